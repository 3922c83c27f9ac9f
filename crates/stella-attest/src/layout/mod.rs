//! OCI image layouts on this machine, as [`Storage`]: in a folder, or the same in one tar file.
//!
//! Reading copes with what skopeo, oras, podman, Docker 25, cosign and oc-mirror wrote. Writing is content-addressed and
//! resumable. Nothing here speaks to a network, and nothing here knows what an attestation says.

mod catalogue;
mod error;
mod files;
mod folder;
mod index;
mod tar;
#[cfg(test)]
mod tests;

pub use error::LayoutError;
pub use tar::EntryProblem;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use stella_bundle::digest::Digest;
use stella_wire::registry::{Descriptor, RawManifest, attachment};

use crate::storage::{Answer, BlobWriter, PART, Removal, Storage, StorageError};
use catalogue::Catalogue;
use files::{Files, Sink, blocking};
use folder::Folder;
use index::{Change, Index, Names};
use tar::Tar;

/// A layout. What others write into it after it was opened is not seen, but never lost either.
#[derive(Clone)]
pub struct Layout {
    files: Arc<dyn Files>,
    state: Arc<Mutex<State>>,
    /// Held while `index.json` is written.
    writing: Arc<Mutex<()>>,
}

/// What `index.json` says, and what was put since.
struct State {
    index: Index,
    names: Names,
    catalogue: Catalogue,
    changes: Vec<Change>,
}

impl State {
    fn new(index: Index, catalogue: Catalogue) -> Self {
        Self {
            names: index.names(),
            index,
            catalogue,
            changes: Vec::new(),
        }
    }

    fn apply(&mut self, change: Change) {
        if !self.index.apply(&change) {
            return;
        }
        if let Change::Tag(name, manifest) = &change {
            let only = BTreeSet::from([manifest.digest.clone()]);
            self.names.insert(name.clone(), only);
        }
        self.changes.push(change);
    }
}

impl Layout {
    /// Opens a layout for reading: a folder, or a tar file.
    ///
    /// # Errors
    /// Any [`LayoutError`].
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        if path.is_dir() {
            Self::of(Folder::open(path)?)
        } else {
            Self::of(Tar::open(path)?)
        }
    }

    /// Opens the layout in a folder for reading and writing; makes one where there is nothing.
    ///
    /// # Errors
    /// Any [`LayoutError`]; `NotEmpty` for a folder with other things in it.
    pub fn create_folder(path: &Path) -> Result<Self, LayoutError> {
        Self::of(Folder::create(path)?)
    }

    /// Opens the layout in a tar file for reading and writing. Until [`Storage::finish`], what is written stands in
    /// `FILE.partial`, which a later run continues.
    ///
    /// # Errors
    /// Any [`LayoutError`]; `Busy` when another process writes it.
    pub fn create_tar(path: &Path) -> Result<Self, LayoutError> {
        Self::of(Tar::create(path)?)
    }

    fn of(files: impl Files + 'static) -> Result<Self, LayoutError> {
        let index = files.index()?;
        let catalogue = Catalogue::collect(&index, &files)?;
        Ok(Self {
            files: Arc::new(files),
            state: Arc::new(Mutex::new(State::new(index, catalogue))),
            writing: Arc::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs what may wait for the disk.
    fn on_disk<'a, T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> Result<T, LayoutError> + Send + 'static,
    ) -> Answer<'a, T> {
        let layout = self.clone();
        Box::pin(async move { Ok(blocking(move || work(layout)).await?) })
    }

    /// Returns what a name or a digest means here.
    fn find(&self, reference: &str) -> Result<Option<Descriptor>, LayoutError> {
        let state = self.state();
        if let Some(digest) = Digest::parse(reference) {
            return Ok(state.catalogue.find(&digest));
        }
        let mut digests = state.names.get(reference).into_iter().flatten();
        match (digests.next(), digests.next()) {
            (Some(first), Some(second)) => Err(LayoutError::Ambiguous {
                path: self.files.path().to_owned(),
                name: reference.to_owned(),
                first: first.clone(),
                second: second.clone(),
            }),
            (first, _) => Ok(first.and_then(|digest| state.catalogue.find(digest))),
        }
    }

    fn read_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, LayoutError> {
        let found: Vec<Descriptor> = {
            let state = self.state();
            let digests = state.catalogue.referrers(subject);
            digests
                .filter_map(|digest| state.catalogue.find(digest))
                .collect()
        };
        let mut listed = Vec::with_capacity(found.len());
        for descriptor in found {
            let digest = descriptor.digest.clone();
            let raw = catalogue::read(&*self.files, &descriptor)?.ok_or_else(|| {
                let path = self.files.path().to_owned();
                LayoutError::NoBlob { path, digest }
            })?;
            let manifest = catalogue::parse(&*self.files, &raw)?;
            listed.push(attachment::as_listed(
                &manifest,
                raw.digest,
                descriptor.size,
            ));
        }
        Ok(listed)
    }

    fn read_range(&self, blob: &Descriptor, range: Range<u64>) -> Result<Bytes, LayoutError> {
        let path = || self.files.path().to_owned();
        let digest = blob.digest.clone();
        let Some(found) = self.files.size(&digest)? else {
            return Err(LayoutError::NoBlob {
                path: path(),
                digest,
            });
        };
        if found != blob.size {
            return Err(LayoutError::WrongSize {
                path: path(),
                digest,
                expected: blob.size,
                found,
            });
        }
        let end = range.end.min(blob.size);
        let length = usize::try_from(end.saturating_sub(range.start)).unwrap_or(PART);
        self.files.read(&digest, range.start, length.min(PART))
    }

    /// Puts a manifest as a blob, and then what is to be said of it in `index.json`.
    fn put<'a>(&'a self, raw: &'a RawManifest, change: Option<Change>) -> Answer<'a, ()> {
        Box::pin(async move {
            let manifest = catalogue::parse(&*self.files, raw)?;
            let descriptor = raw.descriptor();
            let mut sink = self.files.begin(&descriptor).await?;
            let rest = usize::try_from(sink.written()).unwrap_or(usize::MAX);
            let rest = raw.bytes.slice(rest.min(raw.bytes.len())..);
            blocking(move || {
                sink.write(&rest)?;
                sink.finish()
            })
            .await?;
            let is_enough = {
                let mut state = self.state();
                state.catalogue.add(raw, &manifest);
                if let Some(change) = change {
                    state.apply(change);
                }
                state.changes.len() >= self.files.patience(state.index.entries().len())
            };
            if is_enough {
                self.flush().await?;
            }
            Ok(())
        })
    }

    /// Writes `index.json`.
    fn flush(&self) -> Answer<'_, ()> {
        self.on_disk(|layout| {
            let _one_at_a_time = layout.writing.lock();
            let changes = layout.state().changes.clone();
            let index = layout.files.merge(&changes)?;
            let mut state = layout.state();
            // What was put while the index was being written waits for the next time.
            let later = state.changes.split_off(changes.len());
            let catalogue = std::mem::take(&mut state.catalogue);
            *state = State::new(index, catalogue);
            for change in later {
                state.apply(change);
            }
            Ok(())
        })
    }
}

impl Storage for Layout {
    fn name(&self) -> String {
        self.files.path().display().to_string()
    }

    fn manifest<'a>(&'a self, reference: &'a str) -> Answer<'a, Option<RawManifest>> {
        let reference = reference.to_owned();
        self.on_disk(move |layout| match layout.find(&reference)? {
            Some(descriptor) => catalogue::read(&*layout.files, &descriptor),
            None => Ok(None),
        })
    }

    fn put_manifest<'a>(&'a self, reference: &'a str, manifest: &'a RawManifest) -> Answer<'a, ()> {
        let change = match Digest::parse(reference) {
            Some(_) => None,
            None => Some(Change::Tag(reference.to_owned(), manifest.descriptor())),
        };
        self.put(manifest, change)
    }

    fn attach<'a>(&'a self, manifest: &'a RawManifest) -> Answer<'a, ()> {
        self.put(manifest, Some(Change::Attach(manifest.descriptor())))
    }

    fn has_blob<'a>(&'a self, blob: &'a Descriptor) -> Answer<'a, bool> {
        let (digest, expected) = (blob.digest.clone(), blob.size);
        self.on_disk(move |layout| Ok(layout.files.size(&digest)? == Some(expected)))
    }

    fn blob_range<'a>(&'a self, blob: &'a Descriptor, range: Range<u64>) -> Answer<'a, Bytes> {
        let blob = blob.clone();
        self.on_disk(move |layout| layout.read_range(&blob, range))
    }

    fn begin_blob<'a>(&'a self, blob: &'a Descriptor) -> Answer<'a, Box<dyn BlobWriter + 'a>> {
        Box::pin(async move {
            let sink = self.files.begin(blob).await?;
            let writing = Writing {
                written: sink.written(),
                sink: Some(sink),
            };
            let writer: Box<dyn BlobWriter + 'a> = Box::new(writing);
            Ok(writer)
        })
    }

    fn adopt_blob<'a>(&'a self, blob: &'a Descriptor, file: &'a Path) -> Answer<'a, bool> {
        let (blob, file) = (blob.clone(), file.to_owned());
        self.on_disk(move |layout| layout.files.adopt(&blob, &file))
    }

    fn referrers<'a>(&'a self, subject: &'a Digest) -> Answer<'a, Vec<Descriptor>> {
        let subject = subject.clone();
        self.on_disk(move |layout| layout.read_referrers(&subject))
    }

    fn tags(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async { Ok(self.state().names.keys().cloned().collect()) })
    }

    fn images(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async {
            let state = self.state();
            Ok(state
                .index
                .images(|digest| state.catalogue.is_attached(digest)))
        })
    }

    fn remove<'a>(&'a self, manifest: &'a Digest, blobs: &'a [Digest]) -> Answer<'a, Removal> {
        let (manifest, blobs) = (manifest.clone(), blobs.to_vec());
        self.on_disk(move |layout| {
            let _one_at_a_time = layout.writing.lock();
            // What others wrote meanwhile counts too.
            let named = catalogue::named(&layout.files.index()?, &*layout.files)?;
            let all = [manifest].into_iter().chain(blobs);
            let unnamed: Vec<_> = all.filter(|digest| !named.contains(digest)).collect();
            layout.files.remove(&unnamed)?;
            Ok(Removal::Done)
        })
    }

    fn finish(&self) -> Answer<'_, ()> {
        self.flush()
    }
}

/// A blob on its way into a layout. The sink is away while a thread works on it, and for ever once that has failed.
struct Writing {
    sink: Option<Box<dyn Sink>>,
    written: u64,
}

impl BlobWriter for Writing {
    fn written(&self) -> u64 {
        self.written
    }

    fn write(&mut self, part: Bytes) -> Answer<'_, ()> {
        Box::pin(async move {
            let Some(mut sink) = self.sink.take() else {
                return Err(StorageError::WriterFailed);
            };
            let sink = blocking(move || {
                sink.write(&part)?;
                Ok(sink)
            });
            let sink = self.sink.insert(sink.await?);
            self.written = sink.written();
            Ok(())
        })
    }

    fn finish<'a>(self: Box<Self>) -> Answer<'a, ()>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let sink = self.sink.ok_or(StorageError::WriterFailed)?;
            Ok(blocking(move || sink.finish()).await?)
        })
    }
}
