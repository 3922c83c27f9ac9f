//! Blobs on their way into a tar file, one after the other: small ones wait in memory for their turn, a large one keeps
//! the turn while it comes.

use std::collections::HashSet;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use stella_bundle::digest::{Digest, DigestStream};
use stella_wire::registry::Descriptor;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use super::super::error::{LayoutError, failed};
use super::super::files::{Sink, Whole};
use super::append::{Append, PIECE};
use super::contents::Extent;
use super::{Place, Shared};

/// Whether something is being appended.
pub(super) enum Growing {
    /// The file was opened for reading.
    Never,
    /// Nothing was appended yet.
    NotYet,
    /// The file that grows, and the same for reading.
    Now(Append, Arc<Mutex<File>>),
}

impl Growing {
    /// Opens the file that grows, and brings over what the old one has and it lacks.
    pub(super) fn start(
        &mut self,
        shared: &Shared,
    ) -> Result<(&mut Append, &Arc<Mutex<File>>), LayoutError> {
        if let Self::NotYet = self {
            let (append, whole) = Append::open(shared.partial())?;
            let reader = Arc::new(Mutex::new(append.reader()?));
            let old: Vec<(Digest, Place)> = {
                let places = shared.places.read().unwrap_or_else(PoisonError::into_inner);
                let all = places.iter();
                all.map(|(digest, place)| (digest.clone(), place.clone()))
                    .collect()
            };
            shared.add(&reader, whole.iter().cloned());
            let whole: HashSet<Digest> = whole.into_iter().map(|(digest, _)| digest).collect();
            *self = Self::Now(append, reader);
            for (digest, place) in old
                .into_iter()
                .filter(|(digest, _)| !whole.contains(digest))
            {
                if let Err(error) = self.bring_over(shared, digest, &place) {
                    // What lacks a blob must never be finished.
                    *self = Self::NotYet;
                    return Err(error);
                }
            }
        }
        match self {
            Self::Now(append, reader) => Ok((append, reader)),
            Self::Never | Self::NotYet => Err(LayoutError::ReadOnly {
                path: shared.path.clone(),
            }),
        }
    }

    /// Ends the file and gives it its name.
    pub(super) fn finish(&mut self, shared: &Shared, index: &[u8]) -> Result<(), LayoutError> {
        self.start(shared)?;
        match std::mem::replace(self, Self::NotYet) {
            Self::Now(append, _) => append.finish(index, &shared.path),
            Self::Never | Self::NotYet => Ok(()),
        }
    }

    fn bring_over(
        &mut self,
        shared: &Shared,
        digest: Digest,
        place: &Place,
    ) -> Result<(), LayoutError> {
        let blob = Descriptor::new("", digest, place.extent.size);
        let mut growth = Growth::open(self, shared, blob)?;
        while growth.written < place.extent.size {
            let length = place.length_from(growth.written).min(PIECE);
            let piece = place.read(growth.written, length);
            growth.write(self, shared, &piece.map_err(failed("read", &shared.path))?)?;
        }
        growth.close(self, shared)
    }
}

/// A blob that is being appended; whoever has it has the turn.
struct Growth {
    blob: Descriptor,
    offset: u64,
    written: u64,
    stream: DigestStream,
}

impl Growth {
    fn open(growing: &mut Growing, shared: &Shared, blob: Descriptor) -> Result<Self, LayoutError> {
        let (append, _) = growing.start(shared)?;
        Ok(Self {
            offset: append.open_blob(&blob.digest, blob.size)?,
            written: 0,
            stream: DigestStream::new(blob.digest.algorithm()),
            blob,
        })
    }

    fn write(
        &mut self,
        growing: &mut Growing,
        shared: &Shared,
        part: &[u8],
    ) -> Result<(), LayoutError> {
        self.written += part.len() as u64;
        self.stream.update(part);
        if self.written > self.blob.size {
            return Err(self.wrong_size(shared));
        }
        growing.start(shared)?.0.write(part)
    }

    /// Ends the entry; a blob that is wrong is overwritten by the next one.
    fn close(self, growing: &mut Growing, shared: &Shared) -> Result<(), LayoutError> {
        if self.written != self.blob.size {
            return Err(self.wrong_size(shared));
        }
        let found = self.stream.finish();
        if found != self.blob.digest {
            return Err(LayoutError::WrongDigest {
                path: shared.path.clone(),
                expected: self.blob.digest,
                found,
            });
        }
        let (append, reader) = growing.start(shared)?;
        append.close_entry(self.offset, self.blob.size)?;
        let extent = Extent {
            offset: self.offset,
            size: self.blob.size,
        };
        shared.add(reader, [(self.blob.digest, extent)]);
        Ok(())
    }

    fn wrong_size(&self, shared: &Shared) -> LayoutError {
        LayoutError::WrongSize {
            path: shared.path.clone(),
            digest: self.blob.digest.clone(),
            expected: self.blob.size,
            found: self.written,
        }
    }
}

/// A blob that waits in memory until it is whole.
pub(super) struct Small {
    growing: Arc<Turn<Growing>>,
    shared: Arc<Shared>,
    blob: Descriptor,
    content: Vec<u8>,
}

impl Small {
    pub(super) fn open(
        shared: Arc<Shared>,
        growing: Arc<Turn<Growing>>,
        blob: Descriptor,
    ) -> Box<dyn Sink> {
        Box::new(Self {
            growing,
            shared,
            blob,
            content: Vec::new(),
        })
    }
}

impl Sink for Small {
    fn written(&self) -> u64 {
        self.content.len() as u64
    }

    fn write(&mut self, part: &[u8]) -> Result<(), LayoutError> {
        self.content.extend_from_slice(part);
        if self.written() > self.blob.size {
            return Err(LayoutError::WrongSize {
                path: self.shared.path.clone(),
                digest: self.blob.digest.clone(),
                expected: self.blob.size,
                found: self.written(),
            });
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), LayoutError> {
        let mut growing = self.growing.blocking_lock();
        // Somebody else may have had the turn before with the same blob.
        let place = self.shared.place(&self.blob.digest);
        if place.is_some_and(|place| place.extent.size == self.blob.size) {
            return Ok(());
        }
        let mut growth = Growth::open(&mut growing, &self.shared, self.blob)?;
        growth.write(&mut growing, &self.shared, &self.content)?;
        growth.close(&mut growing, &self.shared)
    }
}

/// A blob that goes into the file as it comes; nobody else appends meanwhile.
pub(super) struct Large {
    shared: Arc<Shared>,
    turn: OwnedMutexGuard<Growing>,
    growth: Growth,
}

impl Large {
    pub(super) fn open(
        shared: Arc<Shared>,
        mut turn: OwnedMutexGuard<Growing>,
        blob: Descriptor,
    ) -> Result<Box<dyn Sink>, LayoutError> {
        let place = shared.place(&blob.digest);
        if place.is_some_and(|place| place.extent.size == blob.size) {
            return Ok(Box::new(Whole(blob.size)));
        }
        let growth = Growth::open(&mut turn, &shared, blob)?;
        Ok(Box::new(Self {
            shared,
            turn,
            growth,
        }))
    }
}

impl Sink for Large {
    fn written(&self) -> u64 {
        self.growth.written
    }

    fn write(&mut self, part: &[u8]) -> Result<(), LayoutError> {
        self.growth.write(&mut self.turn, &self.shared, part)
    }

    fn finish(self: Box<Self>) -> Result<(), LayoutError> {
        let Self {
            shared,
            mut turn,
            growth,
        } = *self;
        growth.close(&mut turn, &shared)
    }
}
