//! What belongs to an image: its manifests and blobs, and all that is attached to any of them.
//!
//! The source is asked level by level, in parallel, and believed in nothing: digests and sizes are compared, loops end at
//! what was seen, and there are bounds. Only outlines are kept; a manifest's bytes only while they are few.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use stella_bundle::digest::Digest;
use stella_wire::registry::{Descriptor, RawManifest};

use super::{Item, MirrorError, Run};

/// Manifests of one image, with all that is attached to it.
const MAX_MANIFESTS: usize = 10_000;
/// Descriptors in all those manifests together.
const MAX_NAMED: usize = 100_000;
/// Manifests after each other: indexes, attestations, attestations of attestations.
const MAX_DEPTH: usize = 16;
/// Bytes of manifests that are kept so that they need not be fetched twice.
const KEPT: usize = 4 << 20;

/// Everything that belongs to one image.
#[derive(Debug)]
pub(super) struct Plan {
    /// What it is called at the source.
    pub(super) image: String,
    /// The manifests: whatever an index names comes before it, the image itself last.
    pub(super) nodes: Vec<Node>,
    /// Tags and what they mean, the image's own last.
    pub(super) tags: Vec<(String, Digest)>,
    /// What the source lists as attached and does not have, or what is about something else.
    pub(super) ignored: Vec<Digest>,
}

/// A manifest's outline.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) manifest: Descriptor,
    /// Its bytes, if they are still at hand.
    pub(super) bytes: Option<Bytes>,
    pub(super) blobs: Vec<Descriptor>,
    pub(super) subject: Option<Digest>,
    children: Vec<Descriptor>,
    referrers: Vec<Descriptor>,
    legacy: Vec<String>,
}

/// A manifest that is to be asked for.
struct Want {
    reference: String,
    /// What named it.
    descriptor: Option<Descriptor>,
    why: Why,
}

enum Why {
    /// An index names it.
    Child,
    /// It is the image.
    Image,
    /// cosign's tag may exist.
    Legacy,
    /// It is listed as attached to this.
    Referrer(Digest),
}

/// Finds everything that belongs to an image.
pub(super) async fn walk(run: &Arc<Run>, item: &Item) -> Result<Plan, MirrorError> {
    let budget = Arc::new(Budget::default());
    let mut found: HashMap<Digest, Node> = HashMap::new();
    let mut discovered: Vec<Digest> = Vec::new();
    let mut seen: HashSet<Digest> = HashSet::new();
    let (mut tags, mut ignored, mut image) = (Vec::new(), Vec::new(), None);
    let mut level = vec![Want {
        reference: item.source.clone(),
        descriptor: None,
        why: Why::Image,
    }];
    for _ in 0..MAX_DEPTH {
        let asked = level.into_iter().map(|want| {
            let (run, budget, item) = (Arc::clone(run), Arc::clone(&budget), item.clone());
            async move { Ok((visit(&run, &budget, &item, &want).await?, want)) }
        });
        let answers = run.all(asked.collect()).await?;
        level = Vec::new();
        for (node, want) in answers {
            let is_about = |node: &Node| match &want.why {
                Why::Referrer(subject) => node.subject.as_ref() == Some(subject),
                _ => true,
            };
            let node = match (node.filter(is_about), want.why) {
                (Some(node), why) => {
                    let digest = node.manifest.digest.clone();
                    match why {
                        Why::Image => image = Some(digest),
                        Why::Legacy => tags.push((want.reference, digest)),
                        Why::Child | Why::Referrer(_) => {}
                    }
                    node
                }
                (None, Why::Legacy) => continue,
                (None, Why::Referrer(_)) => {
                    ignored.extend(want.descriptor.map(|listed| listed.digest));
                    continue;
                }
                (None, Why::Child | Why::Image) => {
                    return Err(MirrorError::NotFound {
                        place: run.source.name(),
                        reference: want.reference,
                    });
                }
            };
            let digest = node.manifest.digest.clone();
            seen.insert(digest.clone());
            if found.contains_key(&digest) {
                continue;
            }
            level.extend(next(&node, &mut seen));
            if seen.len() > MAX_MANIFESTS {
                return Err(run.too_many(item, "manifests", MAX_MANIFESTS));
            }
            discovered.push(digest.clone());
            found.insert(digest, node);
        }
        if level.is_empty() {
            break;
        }
    }
    if !level.is_empty() {
        return Err(MirrorError::TooDeep {
            place: run.source.name(),
            image: item.source.clone(),
            limit: MAX_DEPTH,
        });
    }
    // The image comes last, so that whoever sees it sees what is attached to it.
    if !discovered.is_empty() {
        discovered.rotate_left(1);
    }
    if let (Some(tag), Some(image)) = (&item.tag, image) {
        tags.push((tag.clone(), image));
    }
    Ok(Plan {
        image: item.source.clone(),
        nodes: children_first(discovered, found),
        tags,
        ignored,
    })
}

/// How much of an image's bounds is used.
#[derive(Default)]
struct Budget {
    named: AtomicUsize,
    kept: AtomicUsize,
}

/// Asks for one manifest and for what is attached to it; none when it is not there.
async fn visit(
    run: &Arc<Run>,
    budget: &Budget,
    item: &Item,
    want: &Want,
) -> Result<Option<Node>, MirrorError> {
    let _permit = run.permit().await;
    let Some(raw) = run.source.manifest(&want.reference).await? else {
        return Ok(None);
    };
    require_honest(run, want, &raw)?;
    let manifest = raw.parse().map_err(|error| MirrorError::Manifest {
        place: run.source.name(),
        reference: want.reference.clone(),
        error,
    })?;
    let referrers = run.source.referrers(&raw.digest).await?;
    let named = manifest.manifests().len() + manifest.blobs().count() + referrers.len();
    if budget.named.fetch_add(named, Ordering::Relaxed) + named > MAX_NAMED {
        return Err(run.too_many(item, "manifests and blobs", MAX_NAMED));
    }
    // An index may name things that are no manifests, as caches of builders do: blobs.
    let (children, others): (Vec<_>, Vec<_>) = manifest
        .manifests()
        .iter()
        .partition(|each| each.is_manifest());
    let mut blobs = Vec::new();
    for blob in manifest.blobs().chain(others) {
        // Layers that may not be distributed often lie elsewhere.
        let is_elsewhere = blob.rest.contains_key("urls") && !run.source.has_blob(blob).await?;
        if !is_elsewhere {
            blobs.push(bare(blob));
        }
    }
    let size = raw.bytes.len();
    let is_kept = budget.kept.fetch_add(size, Ordering::Relaxed) + size <= KEPT;
    Ok(Some(Node {
        manifest: raw.descriptor(),
        blobs,
        subject: manifest.subject.as_ref().map(|it| it.digest.clone()),
        children: children.into_iter().map(bare).collect(),
        referrers: referrers.iter().map(bare).collect(),
        legacy: run.legacy_tags(&raw.digest).await,
        bytes: is_kept.then_some(raw.bytes),
    }))
}

/// Compares what came with what was asked for.
fn require_honest(run: &Run, want: &Want, raw: &RawManifest) -> Result<(), MirrorError> {
    let place = || run.source.name();
    let expected = match &want.descriptor {
        Some(descriptor) => descriptor.digest.clone(),
        None => Digest::parse(&want.reference).unwrap_or_else(|| raw.digest.clone()),
    };
    let found = expected.algorithm().digest(&raw.bytes);
    if found != expected || raw.digest != expected {
        return Err(MirrorError::WrongDigest {
            place: place(),
            expected,
            found,
        });
    }
    let length = raw.bytes.len() as u64;
    match &want.descriptor {
        Some(descriptor) if descriptor.size != length => Err(MirrorError::WrongSize {
            place: place(),
            digest: expected,
            expected: descriptor.size,
            found: length,
        }),
        _ => Ok(()),
    }
}

/// Returns what to ask for after a manifest.
fn next(node: &Node, seen: &mut HashSet<Digest>) -> Vec<Want> {
    let mut wants = Vec::new();
    let mut add = |descriptor: &Descriptor, why| {
        if seen.insert(descriptor.digest.clone()) {
            wants.push(Want {
                reference: descriptor.digest.to_string(),
                descriptor: Some(descriptor.clone()),
                why,
            });
        }
    };
    for child in &node.children {
        add(child, Why::Child);
    }
    for referrer in &node.referrers {
        add(referrer, Why::Referrer(node.manifest.digest.clone()));
    }
    wants.extend(node.legacy.iter().map(|tag| Want {
        reference: tag.clone(),
        descriptor: None,
        why: Why::Legacy,
    }));
    wants
}

/// Sorts manifests so that whatever an index names comes before it.
fn children_first(discovered: Vec<Digest>, mut found: HashMap<Digest, Node>) -> Vec<Node> {
    let mut sorted = Vec::with_capacity(discovered.len());
    // A manifest is entered once; when it is met again its children are done.
    let mut entered = HashSet::new();
    for digest in discovered {
        let mut stack = vec![digest];
        while let Some(top) = stack.last().cloned() {
            let is_first = entered.insert(top.clone());
            if is_first && let Some(node) = found.get(&top) {
                let children = node.children.iter().map(|child| child.digest.clone());
                stack.extend(children.filter(|child| !entered.contains(child)));
                continue;
            }
            stack.pop();
            sorted.extend(found.remove(&top));
        }
    }
    sorted
}

/// Returns a descriptor without its notes.
fn bare(descriptor: &Descriptor) -> Descriptor {
    Descriptor::new(
        &descriptor.media_type,
        descriptor.digest.clone(),
        descriptor.size,
    )
}
