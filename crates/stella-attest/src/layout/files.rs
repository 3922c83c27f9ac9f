//! What a layout is made of, wherever it lies: one index and many blobs.
//!
//! A folder and a tar file are the two places. Everything here may wait for a disk, so it is called on threads that may.

use std::path::Path;
use std::pin::Pin;

use bytes::Bytes;
use stella_bundle::digest::Digest;
use stella_wire::registry::Descriptor;

use super::error::LayoutError;
use super::index::{Change, Index};

/// An answer on its way.
pub(super) type Soon<'a, T> = Pin<Box<dyn Future<Output = Result<T, LayoutError>> + Send + 'a>>;

/// A place of blobs with an index.
pub(super) trait Files: Send + Sync {
    /// Returns where it is.
    fn path(&self) -> &Path;

    /// Reads `index.json`.
    fn index(&self) -> Result<Index, LayoutError>;

    /// Returns the length of a blob in bytes, none when it is not there.
    fn size(&self, digest: &Digest) -> Result<Option<u64>, LayoutError>;

    /// Reads exactly so many bytes of a blob.
    fn read(&self, digest: &Digest, from: u64, length: usize) -> Result<Bytes, LayoutError>;

    /// Begins to write a blob, or goes on with one; waits while somebody else does.
    fn begin<'a>(&'a self, blob: &'a Descriptor) -> Soon<'a, Box<dyn Sink>>;

    /// Gives a file the name of a blob, if its digest is right; says whether that can be done here.
    fn adopt(&self, _blob: &Descriptor, _file: &Path) -> Result<bool, LayoutError> {
        Ok(false)
    }

    /// Removes blobs; one that is not there is none the less gone.
    fn remove(&self, digests: &[Digest]) -> Result<(), LayoutError>;

    /// Returns after how many changes an `index.json` of so many entries is worth writing, so that a killed run leaves
    /// names behind.
    fn patience(&self, entries: usize) -> usize;

    /// Merges changes into `index.json` and makes them durable; returns it as it is then.
    fn merge(&self, changes: &[Change]) -> Result<Index, LayoutError>;
}

/// A blob that is being written.
pub(super) trait Sink: Send {
    /// Returns how many bytes are there already.
    fn written(&self) -> u64;

    /// Adds a part.
    fn write(&mut self, part: &[u8]) -> Result<(), LayoutError>;

    /// Ends the blob: it appears if its size and digest are right.
    fn finish(self: Box<Self>) -> Result<(), LayoutError>;
}

/// A blob that was there already.
pub(super) struct Whole(pub(super) u64);

impl Sink for Whole {
    fn written(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) -> Result<(), LayoutError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), LayoutError> {
        Ok(())
    }
}

/// Calls what may wait for a disk on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LayoutError> + Send + 'static,
) -> Result<T, LayoutError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends before the work began: nobody is left who waits for the answer.
            Err(_) => std::future::pending().await,
        },
    }
}
