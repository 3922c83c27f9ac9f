//! Places for tests: one in memory that can lie, and one around another that dies after so many writes and watches how
//! much memory parts take.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, Manifest, ManifestKind, RawManifest, attachment};

use crate::storage::{Answer, BlobWriter, PART, Removal, Storage, StorageError};

/// How a place lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    EmptyParts,
    LongParts,
    OtherBlobs,
    OtherManifests,
}

/// A repository in memory, as strict as a registry: what a manifest names must be there before it.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) blobs: Mutex<BTreeMap<Digest, Bytes>>,
    pub(super) manifests: Mutex<BTreeMap<Digest, RawManifest>>,
    pub(super) tags: Mutex<BTreeMap<String, Digest>>,
    /// What is listed beside what is true.
    pub(super) strangers: Mutex<Vec<Descriptor>>,
    pub(super) lie: Option<Lie>,
    /// Forgets what is put.
    pub(super) is_forgetful: bool,
}

impl Memory {
    pub(super) fn add_blob(&self, content: &[u8]) -> Descriptor {
        let digest = DigestAlgorithm::Sha256.digest(content);
        let mut blobs = self.blobs.lock().unwrap();
        blobs.insert(digest.clone(), Bytes::copy_from_slice(content));
        Descriptor::new("application/octet-stream", digest, content.len() as u64)
    }

    pub(super) fn add(&self, manifest: &Manifest) -> Descriptor {
        let raw = RawManifest::new(&manifest.media_type, manifest.to_bytes().into());
        let descriptor = raw.descriptor();
        let mut manifests = self.manifests.lock().unwrap();
        manifests.insert(raw.digest.clone(), raw);
        descriptor
    }

    pub(super) fn add_image(&self, layers: &[&str], subject: Option<&Descriptor>) -> Descriptor {
        let layers = layers
            .iter()
            .map(|layer| self.add_blob(layer.as_bytes()))
            .collect();
        self.add(&Manifest {
            media_type: media::MANIFEST.into(),
            artifact_type: None,
            kind: ManifestKind::Image {
                config: self.add_blob(b"{}"),
                layers,
            },
            subject: subject.cloned(),
            annotations: BTreeMap::new(),
        })
    }

    pub(super) fn add_index(&self, manifests: Vec<Descriptor>) -> Descriptor {
        self.add(&Manifest::index(media::INDEX.into(), manifests))
    }

    pub(super) fn tag(&self, name: &str, manifest: &Descriptor) {
        let mut tags = self.tags.lock().unwrap();
        tags.insert(name.to_owned(), manifest.digest.clone());
    }

    /// An index of two images, attested; an attestation is attested too, an image has cosign's old tag.
    pub(super) fn example() -> Arc<Self> {
        let place = Self::default();
        let one = place.add_image(&["shared", "one"], None);
        let two = place.add_image(&["shared", "two", ""], None);
        let index = place.add_index(vec![one.clone(), two.clone()]);
        place.tag("v1", &index);
        let attestation = place.add_image(&["about the index"], Some(&index));
        place.add_image(&["about the attestation"], Some(&attestation));
        place.add_image(&["about two"], Some(&two));
        let signature = place.add_image(&["signature"], None);
        place.tag(&attachment::legacy_tags(&one.digest)[0], &signature);
        Arc::new(place)
    }

    pub(super) fn digests(&self) -> BTreeSet<Digest> {
        let (blobs, manifests) = (self.blobs.lock().unwrap(), self.manifests.lock().unwrap());
        blobs.keys().chain(manifests.keys()).cloned().collect()
    }

    fn require_complete(&self, manifest: &Manifest) {
        let (blobs, manifests) = (self.blobs.lock().unwrap(), self.manifests.lock().unwrap());
        for each in manifest.blobs() {
            assert!(
                blobs.contains_key(&each.digest),
                "a manifest before its blob"
            );
        }
        for each in manifest.manifests() {
            let is_there = manifests.contains_key(&each.digest) || blobs.contains_key(&each.digest);
            assert!(is_there, "an index before its manifest");
        }
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Storage for Memory {
    fn name(&self) -> String {
        "memory".into()
    }

    fn manifest<'a>(&'a self, reference: &'a str) -> Answer<'a, Option<RawManifest>> {
        let digest = Digest::parse(reference);
        let digest = digest.or_else(|| self.tags.lock().unwrap().get(reference).cloned());
        let mut found = digest.and_then(|it| self.manifests.lock().unwrap().get(&it).cloned());
        if let (Some(Lie::OtherManifests), Some(raw)) = (self.lie, &mut found) {
            raw.bytes = [&raw.bytes[..], b" "].concat().into();
        }
        ready(found)
    }

    fn put_manifest<'a>(&'a self, reference: &'a str, raw: &'a RawManifest) -> Answer<'a, ()> {
        self.require_complete(&raw.parse().unwrap());
        if !self.is_forgetful {
            self.manifests
                .lock()
                .unwrap()
                .insert(raw.digest.clone(), raw.clone());
        }
        if Digest::parse(reference).is_none() {
            self.tag(reference, &raw.descriptor());
        }
        ready(())
    }

    fn attach<'a>(&'a self, raw: &'a RawManifest) -> Answer<'a, ()> {
        self.put_manifest(
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            raw,
        )
    }

    fn has_blob<'a>(&'a self, blob: &'a Descriptor) -> Answer<'a, bool> {
        let blobs = self.blobs.lock().unwrap();
        ready(
            blobs
                .get(&blob.digest)
                .is_some_and(|it| it.len() as u64 == blob.size),
        )
    }

    fn blob_range<'a>(&'a self, blob: &'a Descriptor, range: Range<u64>) -> Answer<'a, Bytes> {
        let content = self.blobs.lock().unwrap()[&blob.digest].clone();
        let (from, to) = (
            usize::try_from(range.start).unwrap(),
            usize::try_from(range.end).unwrap(),
        );
        let rest = content.slice(from..to.min(content.len()));
        let part = rest.slice(..rest.len().min(PART));
        ready(match self.lie {
            Some(Lie::EmptyParts) => Bytes::new(),
            Some(Lie::LongParts) => [&part[..], b"!"].concat().into(),
            Some(Lie::OtherBlobs) => vec![b'!'; part.len()].into(),
            _ => part,
        })
    }

    fn begin_blob<'a>(&'a self, blob: &'a Descriptor) -> Answer<'a, Box<dyn BlobWriter + 'a>> {
        ready(Box::new(InMemory {
            place: self,
            blob: blob.clone(),
            content: Vec::new(),
        }))
    }

    fn remove<'a>(&'a self, manifest: &'a Digest, blobs: &'a [Digest]) -> Answer<'a, Removal> {
        self.manifests.lock().unwrap().remove(manifest);
        for each in blobs {
            self.blobs.lock().unwrap().remove(each);
        }
        ready(Removal::Done)
    }

    fn referrers<'a>(&'a self, subject: &'a Digest) -> Answer<'a, Vec<Descriptor>> {
        let manifests = self.manifests.lock().unwrap();
        let is_about = |raw: &&RawManifest| {
            let manifest = raw.parse().unwrap();
            manifest.subject.is_some_and(|it| it.digest == *subject)
        };
        let all = manifests
            .values()
            .filter(is_about)
            .map(RawManifest::descriptor);
        let strangers = self.strangers.lock().unwrap().clone();
        ready(all.chain(strangers).collect())
    }

    fn tags(&self) -> Answer<'_, Vec<String>> {
        ready(self.tags.lock().unwrap().keys().cloned().collect())
    }
}

struct InMemory<'a> {
    place: &'a Memory,
    blob: Descriptor,
    content: Vec<u8>,
}

impl BlobWriter for InMemory<'_> {
    fn written(&self) -> u64 {
        self.content.len() as u64
    }

    fn write(&mut self, part: Bytes) -> Answer<'_, ()> {
        self.content.extend_from_slice(&part);
        ready(())
    }

    fn finish<'a>(self: Box<Self>) -> Answer<'a, ()>
    where
        Self: 'a,
    {
        assert_eq!(self.place.add_blob(&self.content).digest, self.blob.digest);
        ready(())
    }
}

/// A place that dies after so many writes, or that counts how much memory its parts take.
pub(super) struct Around {
    pub(super) inner: Arc<dyn Storage>,
    pub(super) writes_left: AtomicUsize,
    pub(super) held: Arc<AtomicUsize>,
    pub(super) most: Arc<AtomicUsize>,
}

impl Around {
    pub(super) fn new(inner: Arc<dyn Storage>, writes_left: usize) -> Self {
        Self {
            inner,
            writes_left: AtomicUsize::new(writes_left),
            held: Arc::default(),
            most: Arc::default(),
        }
    }

    fn live(&self) -> Result<(), StorageError> {
        let one_less = |left: usize| left.checked_sub(1);
        let lived = self
            .writes_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        lived.map(|_| ()).map_err(|_| StorageError::WriterFailed)
    }
}

/// A part that gives back what it takes.
struct Held {
    part: Bytes,
    held: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.part
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.fetch_sub(self.part.len(), Ordering::SeqCst);
    }
}

struct Dying<'a> {
    place: &'a Around,
    inner: Box<dyn BlobWriter + 'a>,
}

impl BlobWriter for Dying<'_> {
    fn written(&self) -> u64 {
        self.inner.written()
    }

    fn write(&mut self, part: Bytes) -> Answer<'_, ()> {
        Box::pin(async move {
            // A power failure does not wait for the end of a part.
            let half = part.slice(..part.len() / 2);
            let rest = part.slice(part.len() / 2..);
            self.inner.write(half).await?;
            self.place.live()?;
            self.inner.write(rest).await
        })
    }

    fn finish<'a>(self: Box<Self>) -> Answer<'a, ()>
    where
        Self: 'a,
    {
        Box::pin(async move {
            self.place.live()?;
            self.inner.finish().await
        })
    }
}

impl Storage for Around {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn manifest<'a>(&'a self, reference: &'a str) -> Answer<'a, Option<RawManifest>> {
        self.inner.manifest(reference)
    }

    fn put_manifest<'a>(&'a self, reference: &'a str, manifest: &'a RawManifest) -> Answer<'a, ()> {
        Box::pin(async move {
            self.live()?;
            self.inner.put_manifest(reference, manifest).await
        })
    }

    fn attach<'a>(&'a self, manifest: &'a RawManifest) -> Answer<'a, ()> {
        Box::pin(async move {
            self.live()?;
            self.inner.attach(manifest).await
        })
    }

    fn has_blob<'a>(&'a self, blob: &'a Descriptor) -> Answer<'a, bool> {
        self.inner.has_blob(blob)
    }

    fn blob_range<'a>(&'a self, blob: &'a Descriptor, range: Range<u64>) -> Answer<'a, Bytes> {
        Box::pin(async move {
            let part = self.inner.blob_range(blob, range).await?;
            let now = self.held.fetch_add(part.len(), Ordering::SeqCst) + part.len();
            self.most.fetch_max(now, Ordering::SeqCst);
            let held = Arc::clone(&self.held);
            Ok(Bytes::from_owner(Held { part, held }))
        })
    }

    fn begin_blob<'a>(&'a self, blob: &'a Descriptor) -> Answer<'a, Box<dyn BlobWriter + 'a>> {
        Box::pin(async move {
            self.live()?;
            let inner = self.inner.begin_blob(blob).await?;
            let writer: Box<dyn BlobWriter + 'a> = Box::new(Dying { place: self, inner });
            Ok(writer)
        })
    }

    fn remove<'a>(&'a self, manifest: &'a Digest, blobs: &'a [Digest]) -> Answer<'a, Removal> {
        Box::pin(async move {
            self.live()?;
            self.inner.remove(manifest, blobs).await
        })
    }

    fn referrers<'a>(&'a self, subject: &'a Digest) -> Answer<'a, Vec<Descriptor>> {
        self.inner.referrers(subject)
    }

    fn tags(&self) -> Answer<'_, Vec<String>> {
        self.inner.tags()
    }

    fn images(&self) -> Answer<'_, Vec<String>> {
        self.inner.images()
    }

    fn finish(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.live()?;
            self.inner.finish().await
        })
    }
}
