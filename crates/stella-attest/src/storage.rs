//! Where images and what is attached to them lie: a repository of a registry, or an OCI layout on this machine.
//!
//! A use case that copies or collects speaks to this trait alone. Nothing here is believed: whoever reads compares
//! digests, whoever writes is told what the bytes must be.

use std::future::Future;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;

use bytes::Bytes;
use stella_bundle::digest::Digest;
use stella_client::error::ClientError;
use stella_client::registry::{Repository, Upload};
use stella_wire::registry::{Descriptor, RawManifest, attachment};

use crate::layout::LayoutError;
use crate::referrers::{self, Look};

/// An answer on its way; boxed, so that a `dyn Storage` can give it.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// A part of a blob has at most so many bytes: what one transfer holds in memory.
pub const PART: usize = 4 << 20;

/// A place of manifests and blobs.
pub trait Storage: Send + Sync {
    /// Returns the name for people.
    fn name(&self) -> String;

    /// Fetches a manifest by tag or digest; none when the place has none such, and only then. A manifest that was asked
    /// for by digest has it.
    fn manifest<'a>(&'a self, reference: &'a str) -> Answer<'a, Option<RawManifest>>;

    /// Puts a manifest under a tag or its digest; what it names must be there already. It is durable on return, and others
    /// find it at the latest after [`Storage::finish`]. One that stands only under its digest is there because an index
    /// names it; for any other there is [`Storage::attach`].
    fn put_manifest<'a>(&'a self, reference: &'a str, manifest: &'a RawManifest) -> Answer<'a, ()>;

    /// Puts a manifest that neither an index nor a tag names: one with a subject, so that `referrers` of the subject finds
    /// it ever after, or an image that has only its digest. Otherwise as [`Storage::put_manifest`].
    fn attach<'a>(&'a self, manifest: &'a RawManifest) -> Answer<'a, ()>;

    /// Says whether a blob is there, whole.
    fn has_blob<'a>(&'a self, blob: &'a Descriptor) -> Answer<'a, bool>;

    /// Reads at most [`PART`] bytes of a blob, from an offset below its size on; never nothing.
    fn blob_part<'a>(&'a self, blob: &'a Descriptor, from: u64) -> Answer<'a, Bytes> {
        self.blob_range(blob, from..blob.size.min(from.saturating_add(PART as u64)))
    }

    /// Reads a range of a blob: at most [`PART`] bytes, within its size; never nothing.
    fn blob_range<'a>(&'a self, blob: &'a Descriptor, range: Range<u64>) -> Answer<'a, Bytes>;

    /// Begins to write a blob.
    fn begin_blob<'a>(&'a self, blob: &'a Descriptor) -> Answer<'a, Box<dyn BlobWriter + 'a>>;

    /// Takes a file as a blob without copying it, where the place can: it must be durable, and nobody may write it again. Says whether it
    /// did.
    fn adopt_blob<'a>(&'a self, _blob: &'a Descriptor, _file: &'a Path) -> Answer<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    /// Lists the manifests whose subject is `subject`, of every kind, without duplicates; empty when there are none. What
    /// tags alone tell (own tags of attestations) is in the list too.
    fn referrers<'a>(&'a self, subject: &'a Digest) -> Answer<'a, Vec<Descriptor>>;

    /// Lists all tags; empty when the place has none.
    fn tags(&self) -> Answer<'_, Vec<String>>;

    /// Lists what there is to copy: tags, and digests of images that have none; nothing that is attached to another.
    fn images(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            let mut tags = self.tags().await?;
            tags.retain(|tag| attachment::tag_subject(tag).is_none());
            Ok(tags)
        })
    }

    /// Removes a manifest by its digest, and blobs that nothing names any longer. What something still names stays; what is not
    /// there is none the less gone. A registry removes blobs by itself, in its own time.
    fn remove<'a>(&'a self, manifest: &'a Digest, blobs: &'a [Digest]) -> Answer<'a, Removal>;

    /// Ends a row of writes that went well: what was put is found by whoever opens the place from now on. A file of
    /// images appears only now.
    fn finish(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// What became of what was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Done,
    /// The place removes nothing when it is asked: its operator must.
    Unsupported,
}

/// A blob that is being written. Dropped unfinished it leaves nothing that could be taken for the whole.
pub trait BlobWriter: Send {
    /// Returns how many bytes are there already: more than none when an interrupted transfer goes on.
    fn written(&self) -> u64;

    /// Adds a part.
    fn write(&mut self, part: Bytes) -> Answer<'_, ()>;

    /// Ends the blob: it appears only if its size and digest are those of its descriptor, and is durable on return.
    fn finish<'a>(self: Box<Self>) -> Answer<'a, ()>
    where
        Self: 'a;
}

/// The ways in which a place is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A layout on this machine.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] ClientError),
    /// A blob is written on after a part of it failed.
    #[error("a part of the blob could not be written before: begin it again")]
    WriterFailed,
}

impl Storage for Repository {
    fn name(&self) -> String {
        self.to_string()
    }

    fn manifest<'a>(&'a self, reference: &'a str) -> Answer<'a, Option<RawManifest>> {
        Box::pin(async move { Ok(self.manifest(reference).await?) })
    }

    fn put_manifest<'a>(&'a self, reference: &'a str, manifest: &'a RawManifest) -> Answer<'a, ()> {
        Box::pin(async move {
            let bytes = manifest.bytes.clone();
            self.put_manifest(reference, &manifest.media_type, bytes)
                .await?;
            Ok(())
        })
    }

    fn attach<'a>(&'a self, manifest: &'a RawManifest) -> Answer<'a, ()> {
        Box::pin(async move {
            let subject = manifest.parse().ok().and_then(|parsed| parsed.subject);
            match subject {
                Some(subject) => {
                    referrers::attach(self, &subject.digest, manifest).await?;
                }
                None => {
                    let (digest, bytes) = (manifest.digest.to_string(), manifest.bytes.clone());
                    self.put_manifest(&digest, &manifest.media_type, bytes)
                        .await?;
                }
            }
            Ok(())
        })
    }

    fn has_blob<'a>(&'a self, blob: &'a Descriptor) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.has_blob(&blob.digest).await?) })
    }

    fn blob_range<'a>(&'a self, blob: &'a Descriptor, range: Range<u64>) -> Answer<'a, Bytes> {
        Box::pin(async move { Ok(self.blob_part(&blob.digest, range).await?) })
    }

    fn begin_blob<'a>(&'a self, blob: &'a Descriptor) -> Answer<'a, Box<dyn BlobWriter + 'a>> {
        Box::pin(async move {
            let upload = self.begin_upload().await?;
            let digest = blob.digest.clone();
            let writer: Box<dyn BlobWriter> = Box::new(BlobUpload { upload, digest });
            Ok(writer)
        })
    }

    fn referrers<'a>(&'a self, subject: &'a Digest) -> Answer<'a, Vec<Descriptor>> {
        Box::pin(async move {
            let listed = referrers::list(self, subject, Look::Thorough).await?;
            let descriptors = listed.referrers.into_iter().map(|each| each.descriptor);
            Ok(descriptors.collect())
        })
    }

    fn tags(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async move { Ok(self.tags().await?) })
    }

    fn remove<'a>(&'a self, manifest: &'a Digest, _: &'a [Digest]) -> Answer<'a, Removal> {
        Box::pin(async move {
            match self.delete_manifest(&manifest.to_string()).await {
                // spec: OCI distribution 1.1, "Deleting Manifests": 405 where a registry does not delete.
                Err(ClientError::Refused { status: 405, .. }) => Ok(Removal::Unsupported),
                deleted => deleted.map(|_| Removal::Done).map_err(Into::into),
            }
        })
    }
}

/// A blob on its way to a registry.
struct BlobUpload {
    upload: Upload,
    digest: Digest,
}

impl BlobWriter for BlobUpload {
    fn written(&self) -> u64 {
        self.upload.written()
    }

    fn write(&mut self, part: Bytes) -> Answer<'_, ()> {
        Box::pin(async move { Ok(self.upload.write(part).await?) })
    }

    fn finish<'a>(self: Box<Self>) -> Answer<'a, ()>
    where
        Self: 'a,
    {
        Box::pin(async move { Ok(self.upload.finish(&self.digest, Bytes::new()).await?) })
    }
}
