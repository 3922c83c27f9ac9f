//! Copying images with everything that belongs to them: children, blobs, attestations, attestations of those, and the tags
//! of cosign before v3.
//!
//! What is missing is found, copied from the leaves to the root, and looked for again. Nothing of it is judged: whether an
//! image may cross a border is the gate's business.

mod copy;
mod error;
mod plan;
#[cfg(test)]
mod tests;

pub use error::MirrorError;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stella_bundle::digest::Digest;
use stella_wire::registry::{Descriptor, Reference, attachment, is_tag};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::task::JoinSet;

use crate::storage::Storage;
use plan::Plan;

/// How many things are asked for or transferred at once, unless told otherwise.
pub const PARALLEL: usize = 8;

/// An image to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is called at the source: a tag, a name of a layout, or a digest.
    pub source: String,
    /// The tag that it gets at the destination, if any.
    pub tag: Option<String>,
}

impl Item {
    /// Returns an image that keeps its name; one that is asked for by digest has none.
    #[must_use]
    pub fn same(name: &str) -> Self {
        Self {
            source: name.to_owned(),
            tag: Digest::parse(name).is_none().then(|| name.to_owned()),
        }
    }

    /// Returns an image on its way into one repository, whose tags are no names of whole images: `ghcr.io/a/b:v1` gets the
    /// tag `v1`, and a name without a tag none.
    #[must_use]
    pub fn in_repository(name: &str) -> Self {
        let mut item = Self::same(name);
        item.tag = item.tag.and_then(|name| {
            if is_tag(&name) {
                return Some(name);
            }
            Reference::parse(&name).ok()?.tag().map(str::to_owned)
        });
        item
    }
}

/// Is called with the counts whenever they change.
pub type Watcher = Arc<dyn Fn(&Summary) + Send + Sync>;

/// How to copy.
#[derive(Clone)]
pub struct Options {
    /// How many things are asked for or transferred at once; each holds at most [`crate::storage::PART`] bytes of a blob.
    pub parallel: usize,
    /// Whom to tell how far it is.
    pub watcher: Option<Watcher>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parallel: PARALLEL,
            watcher: None,
        }
    }
}

/// What a copy has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Images that are at the destination with all that belongs to them.
    pub images: usize,
    /// Blobs.
    pub blobs: Count,
    /// Manifests.
    pub manifests: Count,
    /// Tags.
    pub tags: Count,
    /// Bytes of blobs that were transferred.
    pub bytes: u64,
    /// Bytes of blobs that are known to be missing, with those that were transferred.
    pub bytes_expected: u64,
    /// What the source lists as attached to an image and does not have, or what says to be about something else.
    pub ignored: BTreeSet<Digest>,
}

/// How many things.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Were copied.
    pub copied: usize,
    /// Were there already.
    pub skipped: usize,
}

/// Something that the destination lacks, or has otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// To which image it belongs, as the source calls it.
    pub image: String,
    /// What it is.
    pub what: Lack,
}

/// What is lacking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// A blob.
    Blob(Descriptor),
    /// A manifest.
    Manifest(Descriptor),
    /// A manifest is not found among what is attached to its subject.
    Referrer {
        /// The subject.
        subject: Digest,
        /// The manifest.
        manifest: Descriptor,
    },
    /// A tag is absent, or means something else.
    Tag {
        /// The tag.
        tag: String,
        /// What it means at the source.
        expected: Digest,
        /// What it means at the destination.
        found: Option<Digest>,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Lack::Blob(blob) => write!(formatter, "blob {}", blob.digest)?,
            Lack::Manifest(manifest) => write!(formatter, "manifest {}", manifest.digest)?,
            Lack::Referrer { subject, manifest } => {
                write!(formatter, "attachment {} of {subject}", manifest.digest)?;
            }
            Lack::Tag {
                tag,
                expected,
                found: Some(found),
            } => write!(formatter, "tag {tag}: {found} instead of {expected}")?,
            Lack::Tag { tag, expected, .. } => write!(formatter, "tag {tag} for {expected}")?,
        }
        write!(formatter, " (image {})", self.image)
    }
}

/// Copies images; what the destination has already is not transferred again. When this returns, the destination has
/// answered that it has everything.
///
/// # Errors
/// Any [`MirrorError`]. What was copied until then stays, and a later run goes on from there.
pub async fn sync(
    source: Arc<dyn Storage>,
    destination: Arc<dyn Storage>,
    items: &[Item],
    options: &Options,
) -> Result<Summary, MirrorError> {
    let run = Run::new(source, destination, options);
    let copies = items.iter().cloned().map(|item| {
        let run = Arc::clone(&run);
        async move {
            // 1. What belongs to the image, and what of it is missing.
            let plan = plan::walk(&run, &item).await?;
            let missing = run.compare(&plan).await?;
            run.expect(&plan, &missing);
            // 2. Blobs, then manifests, then tags.
            copy::copy(&run, &plan, &missing).await?;
            // 3. The destination's own word for it.
            let missing = run.compare(&plan).await?;
            if !missing.is_empty() {
                let place = run.destination.name();
                return Err(MirrorError::Incomplete { place, missing });
            }
            run.tell(|summary| summary.images += 1);
            Ok(())
        }
    });
    run.some_at_once(copies.collect()).await?;
    run.destination.finish().await?;
    Ok(run.summary().clone())
}

/// Lists what the destination lacks, or has otherwise; nothing is written.
///
/// # Errors
/// Any [`MirrorError`].
pub async fn diff(
    source: Arc<dyn Storage>,
    destination: Arc<dyn Storage>,
    items: &[Item],
    options: &Options,
) -> Result<Vec<Missing>, MirrorError> {
    let run = Run::new(source, destination, options);
    let comparisons = items.iter().cloned().map(|item| {
        let run = Arc::clone(&run);
        async move {
            let plan = plan::walk(&run, &item).await?;
            run.compare(&plan).await
        }
    });
    Ok(run.some_at_once(comparisons.collect()).await?.concat())
}

/// One copy of many images.
struct Run {
    source: Arc<dyn Storage>,
    destination: Arc<dyn Storage>,
    /// How many may speak to a place or hold a part of a blob.
    permits: Semaphore,
    parallel: usize,
    watcher: Option<Watcher>,
    summary: Mutex<Summary>,
    /// What several images have in common is transferred by the first.
    transfers: Mutex<HashMap<Digest, Arc<OnceCell<()>>>>,
    /// Blobs that the destination said it has.
    present: Mutex<BTreeSet<(Digest, u64)>>,
    /// Tags of attachments at the source; none where the source does not list its tags.
    attachment_tags: OnceCell<Option<BTreeSet<String>>>,
}

impl Run {
    fn new(
        source: Arc<dyn Storage>,
        destination: Arc<dyn Storage>,
        options: &Options,
    ) -> Arc<Self> {
        let parallel = options.parallel.max(1);
        Arc::new(Self {
            source,
            destination,
            permits: Semaphore::new(parallel),
            parallel,
            watcher: options.watcher.clone(),
            summary: Mutex::default(),
            transfers: Mutex::default(),
            present: Mutex::default(),
            attachment_tags: OnceCell::new(),
        })
    }

    /// Asks the destination for everything of a plan.
    async fn compare(self: &Arc<Self>, plan: &Plan) -> Result<Vec<Missing>, MirrorError> {
        let mut asked = BTreeSet::new();
        let mut blobs: Vec<Descriptor> = Vec::new();
        for blob in plan.nodes.iter().flat_map(|node| &node.blobs) {
            if asked.insert((&blob.digest, blob.size)) && !self.is_present(blob) {
                blobs.push(blob.clone());
            }
        }
        let blobs = blobs.into_iter().map(|blob| {
            let run = Arc::clone(self);
            async move { run.lacks_blob(blob).await }
        });
        let tags = plan.tags.iter().cloned().map(|(tag, expected)| {
            let run = Arc::clone(self);
            async move { run.lacks_tag(tag, expected).await }
        });
        let (blobs, tags) = (blobs.collect(), tags.collect());
        let mut lacks = self.all(blobs).await?;
        lacks.extend(self.compare_manifests(plan).await?);
        lacks.extend(self.all(tags).await?);
        let missing = |what| Missing {
            image: plan.image.clone(),
            what,
        };
        Ok(lacks.into_iter().flatten().map(missing).collect())
    }

    async fn lacks_blob(&self, blob: Descriptor) -> Result<Option<Lack>, MirrorError> {
        let _permit = self.permit().await;
        if !self.destination.has_blob(&blob).await? {
            return Ok(Some(Lack::Blob(blob)));
        }
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.insert((blob.digest, blob.size));
        Ok(None)
    }

    async fn compare_manifests(
        self: &Arc<Self>,
        plan: &Plan,
    ) -> Result<Vec<Option<Lack>>, MirrorError> {
        // Every list is asked for once, however many are on it.
        let subjects = plan.nodes.iter().filter_map(|node| node.subject.clone());
        let subjects: BTreeSet<Digest> = subjects.collect();
        let lists = subjects.into_iter().map(|subject| {
            let run = Arc::clone(self);
            async move { run.attached(subject).await }
        });
        let attached = self.all(lists.collect()).await?;
        let attached: Arc<BTreeSet<(Digest, Digest)>> =
            Arc::new(attached.into_iter().flatten().collect());
        let comparisons = plan.nodes.iter().map(|node| {
            let (run, attached) = (Arc::clone(self), Arc::clone(&attached));
            let (manifest, subject) = (node.manifest.clone(), node.subject.clone());
            async move { run.lacks_manifest(manifest, subject, &attached).await }
        });
        self.all(comparisons.collect()).await
    }

    /// Lists what the destination has attached to a subject, each with the subject.
    async fn attached(&self, subject: Digest) -> Result<Vec<(Digest, Digest)>, MirrorError> {
        let _permit = self.permit().await;
        let listed = self.destination.referrers(&subject).await?;
        let pair = |each: Descriptor| (subject.clone(), each.digest);
        Ok(listed.into_iter().map(pair).collect())
    }

    async fn lacks_manifest(
        &self,
        manifest: Descriptor,
        subject: Option<Digest>,
        attached: &BTreeSet<(Digest, Digest)>,
    ) -> Result<Option<Lack>, MirrorError> {
        let _permit = self.permit().await;
        let reference = manifest.digest.to_string();
        let found = self.destination.manifest(&reference).await?;
        if found.is_none_or(|found| found.digest != manifest.digest) {
            return Ok(Some(Lack::Manifest(manifest)));
        }
        let is_lacking =
            |subject: &Digest| !attached.contains(&(subject.clone(), manifest.digest.clone()));
        let subject = subject.filter(is_lacking);
        Ok(subject.map(|subject| Lack::Referrer { subject, manifest }))
    }

    async fn lacks_tag(&self, tag: String, expected: Digest) -> Result<Option<Lack>, MirrorError> {
        let _permit = self.permit().await;
        let found = self.destination.manifest(&tag).await?;
        let found = found.map(|found| found.digest);
        if found.as_ref() == Some(&expected) {
            return Ok(None);
        }
        Ok(Some(Lack::Tag {
            tag,
            expected,
            found,
        }))
    }

    fn is_present(&self, blob: &Descriptor) -> bool {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.contains(&(blob.digest.clone(), blob.size))
    }

    /// Returns the tags of cosign before v3 that a manifest may have: those that the source lists, or, where it lists no
    /// tags, each that there could be.
    async fn legacy_tags(&self, subject: &Digest) -> Vec<String> {
        let listed = self.attachment_tags.get_or_init(|| async {
            let mut tags = self.source.tags().await.ok()?;
            tags.retain(|tag| attachment::tag_subject(tag).is_some());
            Some(tags.into_iter().collect())
        });
        let listed = listed.await;
        let may_be = |tag: &String| listed.as_ref().is_none_or(|listed| listed.contains(tag));
        let tags = attachment::legacy_tags(subject);
        tags.into_iter().filter(may_be).collect()
    }

    /// Counts what a plan will do.
    fn expect(&self, plan: &Plan, missing: &[Missing]) {
        let mut blobs: BTreeSet<&Digest> = BTreeSet::new();
        blobs.extend(
            plan.nodes
                .iter()
                .flat_map(|node| &node.blobs)
                .map(|blob| &blob.digest),
        );
        let (mut of_blobs, mut of_manifests, mut of_tags, mut bytes) = (0, 0, 0, 0);
        let mut transfers = self
            .transfers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for each in missing {
            match &each.what {
                Lack::Blob(blob) => {
                    of_blobs += 1;
                    // What two images have in common is transferred once.
                    if !transfers.contains_key(&blob.digest) {
                        bytes += blob.size;
                    }
                    transfers.entry(blob.digest.clone()).or_default();
                }
                Lack::Manifest(_) | Lack::Referrer { .. } => of_manifests += 1,
                Lack::Tag { .. } => of_tags += 1,
            }
        }
        drop(transfers);
        self.tell(|summary| {
            summary.blobs.skipped += blobs.len().saturating_sub(of_blobs);
            summary.manifests.skipped += plan.nodes.len().saturating_sub(of_manifests);
            summary.tags.skipped += plan.tags.len().saturating_sub(of_tags);
            summary.bytes_expected += bytes;
            summary.ignored.extend(plan.ignored.iter().cloned());
        });
    }

    fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the counts and shows them.
    fn tell(&self, change: impl FnOnce(&mut Summary)) {
        let now = {
            let mut summary = self.summary();
            change(&mut summary);
            self.watcher.is_some().then(|| summary.clone())
        };
        if let (Some(watcher), Some(now)) = (&self.watcher, now) {
            watcher(&now);
        }
    }

    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.permits.acquire().await.ok()
    }

    /// Does all of it at once, as far as permits go; returns the answers in order, or the first error.
    async fn all<T, F>(&self, work: Vec<F>) -> Result<Vec<T>, MirrorError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, MirrorError>> + Send + 'static,
    {
        in_parallel(usize::MAX, work).await
    }

    /// Does a few at once: for work that holds much before it needs a permit.
    async fn some_at_once<T, F>(&self, work: Vec<F>) -> Result<Vec<T>, MirrorError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, MirrorError>> + Send + 'static,
    {
        in_parallel(self.parallel, work).await
    }

    fn too_many(&self, item: &Item, what: &'static str, limit: usize) -> MirrorError {
        MirrorError::TooMany {
            place: self.source.name(),
            image: item.source.clone(),
            what,
            limit,
        }
    }
}

/// Runs at most so many tasks at once. The first error ends all the others.
async fn in_parallel<T, F>(most: usize, work: Vec<F>) -> Result<Vec<T>, MirrorError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, MirrorError>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut answers: Vec<Option<T>> = Vec::new();
    let mut work = work.into_iter().enumerate();
    loop {
        while tasks.len() < most
            && let Some((place, one)) = work.next()
        {
            answers.push(None);
            tasks.spawn(async move { (place, one.await) });
        }
        let Some(ended) = tasks.join_next().await else {
            return Ok(answers.into_iter().flatten().collect());
        };
        match ended {
            Ok((place, answer)) => answers[place] = Some(answer?),
            // Nobody aborts a task of this set but its end, so it panicked.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
