//! Bytes end to end in compressed frames, each of which can be read alone; and blobs of such frames.
//!
//! What is compressed is signed by nobody: only what comes out counts. Where it is written to is the caller's.

use std::fmt;

use stella_bundle::bundle::MAX_BUNDLE;
use zstd::zstd_safe;

/// Bytes after which a frame is closed. One thing is never split, so a frame may be longer.
pub const FRAME: usize = 1 << 20;
/// Uncompressed bytes after which a blob is closed.
pub const BLOB: u64 = 64 << 20;
/// Uncompressed bytes of a frame at most.
pub const MAX_FRAME: usize = MAX_BUNDLE + FRAME;
/// Higher levels gain a hundredth and take twice as long and more (docs/benchmarks.md).
const LEVEL: i32 = 1;

/// What lies in a row of blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Lines of leaves, each with its end.
    Leaves,
    /// Attestations that held.
    Evidence,
    /// Attestations that did not.
    Rejected,
    /// What other leaves are about.
    Records,
}

impl Class {
    /// Every class, by its number in an index.
    pub const ALL: [Self; 4] = [Self::Leaves, Self::Evidence, Self::Rejected, Self::Records];

    /// Returns its number in an index.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Returns the name of its blob with this number, from 0.
    #[must_use]
    pub fn file(self, blob: u32) -> String {
        match self {
            Self::Leaves => format!("leaves/{blob:05}.jsonl.zst"),
            Self::Evidence => format!("evidence/{blob:05}.zst"),
            Self::Rejected => format!("rejected/{blob:05}.zst"),
            Self::Records => format!("records/{blob:05}.zst"),
        }
    }
}

/// The ways in which a frame is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// It is cut short, or something else.
    #[error("a compressed part is damaged")]
    Damaged,
    /// It would be longer than what it may hold.
    #[error("a compressed part holds more than {limit} bytes")]
    TooLong {
        /// How many it may hold.
        limit: usize,
    },
}

/// Compresses frames one after the other; each is the same as if it were the first.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// Makes one; its tables are used again for each frame.
    ///
    /// # Errors
    /// `Damaged`, when the library fails.
    pub fn new() -> Result<Self, FrameError> {
        let made = zstd::bulk::Compressor::new(LEVEL);
        made.map(Self).map_err(|_| FrameError::Damaged)
    }

    /// Compresses a frame.
    ///
    /// # Errors
    /// `Damaged`, when the library fails.
    pub fn compress(&mut self, raw: &[u8]) -> Result<Vec<u8>, FrameError> {
        self.0.compress(raw).map_err(|_| FrameError::Damaged)
    }
}

/// Returns the uncompressed length that a frame says it has.
///
/// # Errors
/// `Damaged`, also when it holds nothing: so does a skippable frame, which readers may see or not.
pub fn raw_length(frame: &[u8]) -> Result<u64, FrameError> {
    let size = zstd_safe::get_frame_content_size(frame).map_err(|_| FrameError::Damaged)?;
    size.filter(|size| *size > 0).ok_or(FrameError::Damaged)
}

/// Decompresses one frame of at most `limit` bytes.
///
/// # Errors
/// Any [`FrameError`].
pub fn decompress(frame: &[u8], limit: usize) -> Result<Vec<u8>, FrameError> {
    let size = usize::try_from(raw_length(frame)?).unwrap_or(usize::MAX);
    if size > limit {
        return Err(FrameError::TooLong { limit });
    }
    let raw = zstd::bulk::decompress(frame, size).map_err(|_| FrameError::Damaged)?;
    match raw.len() == size {
        true => Ok(raw),
        false => Err(FrameError::Damaged),
    }
}

/// Splits a blob into its frames, of which it has one at least.
///
/// # Errors
/// `Damaged`, when it does not end with the end of a frame.
pub fn split(mut blob: &[u8]) -> Result<Vec<&[u8]>, FrameError> {
    let mut frames = Vec::new();
    if blob.is_empty() {
        return Err(FrameError::Damaged);
    }
    while !blob.is_empty() {
        let size = zstd_safe::find_frame_compressed_size(blob).map_err(|_| FrameError::Damaged)?;
        let (frame, rest) = blob.split_at_checked(size).ok_or(FrameError::Damaged)?;
        if frame.is_empty() {
            return Err(FrameError::Damaged);
        }
        frames.push(frame);
        blob = rest;
    }
    Ok(frames)
}

/// Bytes that become a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// What it holds.
    pub class: Class,
    /// The index of the leaf to which its first bytes belong.
    pub first: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Cuts a row of things into frames.
#[derive(Debug)]
pub struct Cutter {
    class: Class,
    first: u64,
    bytes: Vec<u8>,
}

impl Cutter {
    /// Begins a row.
    #[must_use]
    pub const fn new(class: Class) -> Self {
        Self {
            class,
            first: 0,
            bytes: Vec::new(),
        }
    }

    /// Adds a thing that belongs to a leaf; returns a frame that is full.
    pub fn push(&mut self, leaf: u64, thing: &[u8]) -> Option<RawFrame> {
        if self.bytes.is_empty() {
            self.first = leaf;
        }
        self.bytes.extend_from_slice(thing);
        (self.bytes.len() >= FRAME).then(|| self.take())
    }

    /// Ends the row; returns the last frame.
    pub fn finish(mut self) -> Option<RawFrame> {
        (!self.bytes.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> RawFrame {
        RawFrame {
            class: self.class,
            first: self.first,
            bytes: std::mem::take(&mut self.bytes),
        }
    }
}

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameAt {
    /// What it holds.
    pub class: Class,
    /// The number of its blob within the class.
    pub blob: u32,
    /// The index of the leaf to which its first bytes belong.
    pub first: u64,
    /// Where in the blob it begins.
    pub offset: u64,
    /// Its compressed bytes.
    pub length: u64,
}

/// A blob that is full.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob {
    /// What it holds.
    pub class: Class,
    /// Its number within the class, from 0.
    pub number: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Blob {
    /// Prints its name and size.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.class.file(self.number);
        write!(formatter, "Blob({name}, {} bytes)", self.bytes.len())
    }
}

/// Puts compressed frames of one class into blobs, in their order.
#[derive(Debug)]
pub struct Assembler {
    class: Class,
    number: u32,
    bytes: Vec<u8>,
    raw: u64,
    frames: Vec<FrameAt>,
}

impl Assembler {
    /// Begins a row of blobs.
    #[must_use]
    pub const fn new(class: Class) -> Self {
        Self {
            class,
            number: 0,
            bytes: Vec::new(),
            raw: 0,
            frames: Vec::new(),
        }
    }

    /// Adds a frame of so many uncompressed bytes; returns a blob that is full.
    pub fn push(&mut self, first: u64, raw: usize, frame: &[u8]) -> Option<Blob> {
        self.frames.push(FrameAt {
            class: self.class,
            blob: self.number,
            first,
            offset: self.bytes.len() as u64,
            length: frame.len() as u64,
        });
        self.bytes.extend_from_slice(frame);
        self.raw += raw as u64;
        (self.raw >= BLOB).then(|| self.take())
    }

    /// Ends the row: returns the last blob, and where every frame lies.
    pub fn finish(mut self) -> (Option<Blob>, Vec<FrameAt>) {
        let last = (!self.bytes.is_empty()).then(|| self.take());
        (last, self.frames)
    }

    fn take(&mut self) -> Blob {
        let blob = Blob {
            class: self.class,
            number: self.number,
            bytes: std::mem::take(&mut self.bytes),
        };
        self.number += 1;
        self.raw = 0;
        blob
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn pack(raw: &[u8]) -> Result<Vec<u8>, FrameError> {
        Compressor::new()?.compress(raw)
    }

    fn things() -> Vec<Vec<u8>> {
        (0..3000_u32)
            .map(|each| each.to_le_bytes().repeat(1 + each as usize % 500))
            .collect()
    }

    #[test]
    fn what_was_cut_and_packed_comes_back_whole() {
        let mut cutter = Cutter::new(Class::Evidence);
        let mut frames = Vec::new();
        for (leaf, thing) in (0..).zip(things()) {
            frames.extend(cutter.push(leaf, &thing));
        }
        frames.extend(cutter.finish());
        assert!(frames.len() > 2);
        let mut assembler = Assembler::new(Class::Evidence);
        for frame in &frames {
            let packed = pack(&frame.bytes).unwrap();
            assert!(
                assembler
                    .push(frame.first, frame.bytes.len(), &packed)
                    .is_none()
            );
        }
        let (blob, places) = assembler.finish();
        let blob = blob.unwrap();
        assert_eq!(blob.class.file(blob.number), "evidence/00000.zst");
        let split = split(&blob.bytes).unwrap();
        let raw: Vec<u8> = split
            .iter()
            .flat_map(|frame| decompress(frame, MAX_FRAME).unwrap())
            .collect();
        assert_eq!(raw, things().concat());
        // Each frame is found by its place.
        for (place, frame) in places.iter().zip(&frames) {
            let from = usize::try_from(place.offset).unwrap();
            let to = from + usize::try_from(place.length).unwrap();
            assert_eq!(
                decompress(&blob.bytes[from..to], MAX_FRAME).unwrap(),
                frame.bytes
            );
            assert_eq!(place.first, frame.first);
        }
    }

    #[test]
    fn damaged_and_endless_frames_are_refused() {
        let packed = pack(&vec![0; 5000]).unwrap();
        assert_eq!(
            decompress(&packed, 4999),
            Err(FrameError::TooLong { limit: 4999 })
        );
        assert!(decompress(&packed[..packed.len() - 1], 5000).is_err());
        assert!(split(&packed[..packed.len() - 1]).is_err());
        assert_eq!(split(b"no frame"), Err(FrameError::Damaged));
        assert_eq!(decompress(b"", 10), Err(FrameError::Damaged));
    }

    #[test]
    fn what_holds_nothing_is_no_frame_and_no_blob() {
        let skippable = b"\x50\x2a\x4d\x18\x04\0\0\0more";
        assert_eq!(raw_length(skippable), Err(FrameError::Damaged));
        assert_eq!(raw_length(&pack(b"").unwrap()), Err(FrameError::Damaged));
        assert_eq!(split(b""), Err(FrameError::Damaged));
    }

    #[test]
    fn a_full_blob_is_given_and_the_next_has_the_next_number() {
        let mut assembler = Assembler::new(Class::Leaves);
        let half = usize::try_from(BLOB / 2).unwrap();
        assert!(assembler.push(0, half, b"first").is_none());
        let blob = assembler.push(1, half, b"second").unwrap();
        assert_eq!(
            (blob.number, blob.bytes.as_slice()),
            (0, b"firstsecond".as_slice())
        );
        assert!(assembler.push(2, 1, b"third").is_none());
        let (blob, places) = assembler.finish();
        assert_eq!(blob.unwrap().number, 1);
        let places: Vec<_> = places.iter().map(|each| (each.blob, each.offset)).collect();
        assert_eq!(places, [(0, 0), (0, 5), (1, 0)]);
    }
}
