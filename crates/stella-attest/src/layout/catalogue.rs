//! What is reachable from `index.json`: which manifests, and what they are attached to.
//!
//! Only descriptors with the media type of a manifest are read; a layer of gigabytes is never looked into. What cannot be
//! read is an error, not an absence: it might be the attestation that was asked for.

use std::collections::{BTreeSet, HashMap, HashSet};

use stella_bundle::digest::Digest;
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, MAX_MANIFEST, Manifest, RawManifest};

use super::error::LayoutError;
use super::files::Files;
use super::index::Index;

/// Manifests of one layout; ten for each of ten thousand images.
const MAX_MANIFESTS: usize = 100_000;
/// Indexes within indexes; nobody has seen more than two.
const MAX_DEPTH: usize = 8;

/// The manifests of a layout, without their content.
#[derive(Default)]
pub(super) struct Catalogue {
    known: HashMap<Digest, Known>,
    referrers: HashMap<Digest, BTreeSet<Digest>>,
}

struct Known {
    media_type: &'static str,
    size: u64,
    subject: Option<Digest>,
}

impl Catalogue {
    /// Reads every manifest that is reachable. What an index names and the layout lacks is left out: an index may be kept
    /// for the sake of some of its platforms.
    pub(super) fn collect(index: &Index, files: &dyn Files) -> Result<Self, LayoutError> {
        let mut catalogue = Self::default();
        let mut seen = HashSet::new();
        let mut level: Vec<Descriptor> = Vec::new();
        reach(index.entries(), &mut seen, &mut level);
        for _ in 0..=MAX_DEPTH {
            let mut next = Vec::new();
            for descriptor in &level {
                let Some(raw) = read(files, descriptor)? else {
                    continue;
                };
                let manifest = parse(files, &raw)?;
                catalogue.add(&raw, &manifest);
                reach(manifest.manifests(), &mut seen, &mut next);
                if seen.len() > MAX_MANIFESTS {
                    return Err(LayoutError::TooMany {
                        path: files.path().to_owned(),
                        what: "manifests",
                        limit: MAX_MANIFESTS,
                    });
                }
            }
            level = next;
        }
        match level.first() {
            Some(deep) => Err(LayoutError::TooDeep {
                path: files.path().to_owned(),
                digest: deep.digest.clone(),
                limit: MAX_DEPTH,
            }),
            None => Ok(catalogue),
        }
    }

    /// Adds a manifest that was put.
    pub(super) fn add(&mut self, raw: &RawManifest, manifest: &Manifest) {
        let is_it = |each: &&&str| **each == manifest.media_type;
        let Some(media_type) = media::ALL_MANIFESTS.iter().find(is_it) else {
            return;
        };
        let subject = manifest.subject.as_ref().map(|subject| &subject.digest);
        if let Some(subject) = subject {
            let all = self.referrers.entry(subject.clone()).or_default();
            all.insert(raw.digest.clone());
        }
        let known = Known {
            media_type,
            size: raw.bytes.len() as u64,
            subject: subject.cloned(),
        };
        self.known.insert(raw.digest.clone(), known);
    }

    /// Returns the descriptor of a manifest that is reachable.
    pub(super) fn find(&self, digest: &Digest) -> Option<Descriptor> {
        let known = self.known.get(digest)?;
        Some(Descriptor::new(
            known.media_type,
            digest.clone(),
            known.size,
        ))
    }

    /// Returns the manifests whose subject this is.
    pub(super) fn referrers(&self, subject: &Digest) -> impl Iterator<Item = &Digest> {
        self.referrers.get(subject).into_iter().flatten()
    }

    /// Says whether a manifest's subject is in the layout too.
    pub(super) fn is_attached(&self, digest: &Digest) -> bool {
        let subject = self
            .known
            .get(digest)
            .and_then(|known| known.subject.as_ref());
        subject.is_some_and(|subject| self.known.contains_key(subject))
    }
}

/// Returns everything that is reachable, manifests and blobs, and what manifests are attached to.
pub(super) fn named(index: &Index, files: &dyn Files) -> Result<HashSet<Digest>, LayoutError> {
    let catalogue = Catalogue::collect(index, files)?;
    let mut named: HashSet<Digest> = { index.entries().iter() }
        .map(|each| each.digest.clone())
        .collect();
    for digest in catalogue.known.keys() {
        let raw = match catalogue.find(digest) {
            Some(descriptor) => read(files, &descriptor)?,
            None => None,
        };
        let Some(raw) = raw else { continue };
        let manifest = parse(files, &raw)?;
        let all = manifest.blobs().chain(manifest.manifests());
        let all = all.chain(&manifest.subject);
        named.extend(all.map(|each| each.digest.clone()));
        named.insert(raw.digest);
    }
    Ok(named)
}

/// Adds the manifests among descriptors that were not seen yet.
fn reach(descriptors: &[Descriptor], seen: &mut HashSet<Digest>, level: &mut Vec<Descriptor>) {
    for each in descriptors.iter().filter(|each| each.is_manifest()) {
        if seen.insert(each.digest.clone()) {
            let bare = Descriptor::new(&each.media_type, each.digest.clone(), each.size);
            level.push(bare);
        }
    }
}

/// Reads a manifest and compares its size and digest; none when the layout lacks it.
pub(super) fn read(
    files: &dyn Files,
    descriptor: &Descriptor,
) -> Result<Option<RawManifest>, LayoutError> {
    let Some(found) = files.size(&descriptor.digest)? else {
        return Ok(None);
    };
    if found != descriptor.size {
        return Err(LayoutError::WrongSize {
            path: files.path().to_owned(),
            digest: descriptor.digest.clone(),
            expected: descriptor.size,
            found,
        });
    }
    let length = usize::try_from(found).unwrap_or(usize::MAX);
    if length > MAX_MANIFEST {
        return Err(LayoutError::Manifest {
            path: files.path().to_owned(),
            digest: descriptor.digest.clone(),
            error: stella_wire::registry::ManifestError::TooLarge { length },
        });
    }
    let bytes = files.read(&descriptor.digest, 0, length)?;
    let found = descriptor.digest.algorithm().digest(&bytes);
    if found != descriptor.digest {
        return Err(LayoutError::WrongDigest {
            path: files.path().to_owned(),
            expected: descriptor.digest.clone(),
            found,
        });
    }
    Ok(Some(RawManifest {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.clone(),
        bytes,
    }))
}

/// Reads what a manifest says.
pub(super) fn parse(files: &dyn Files, raw: &RawManifest) -> Result<Manifest, LayoutError> {
    raw.parse().map_err(|error| LayoutError::Manifest {
        path: files.path().to_owned(),
        digest: raw.digest.clone(),
        error,
    })
}
