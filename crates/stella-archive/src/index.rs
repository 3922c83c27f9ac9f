//! The index: where the attestation with a digest, or about an artifact, lies. It is not believed: what it says is proved.
//!
//! A file of fixed records, all numbers in little-endian order, so that any one of them is read by its position:
//! 16 bytes `stella.index/v1\n`; three numbers of 8 bytes: frames, bundles, subjects; frames of 32 bytes (first leaf 8, offset 8,
//! length 8, class 4, blob 4) by class and leaf; then for bundles and subjects records of 40 bytes (key 32, leaf 8) by key and
//! leaf. The key of a bundle is the SHA-256 of its bytes, that of a subject the SHA-256 of `algorithm:hex`.

use std::io::{self, Write};
use std::ops::Range;

use stella_bundle::digest::Digest;
use stella_bundle::key::sha256;

use crate::frames::{Class, FrameAt};

/// The name of the file.
pub const FILE: &str = "index";
/// The first bytes.
const MAGIC: &[u8; 16] = b"stella.index/v1\n";
/// Bytes of the head.
pub const HEAD: usize = 16 + 3 * 8;
/// Bytes of a frame's record.
const FRAME: u64 = 32;
/// Bytes of a key's record.
const KEY: u64 = 40;
/// Records that are read at once while a key is looked for.
const WINDOW: u64 = 512;
/// Records of one key that are looked at.
const MOST: u64 = 1 << 16;

/// The ways in which a file is no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the archive's index is damaged")]
pub struct IndexError;

/// Returns the key under which an artifact is found.
#[must_use]
pub fn subject_key(digest: &Digest) -> [u8; 32] {
    sha256(digest.to_string().as_bytes())
}

/// What an index is made of.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    frames: Vec<FrameAt>,
    bundles: Vec<([u8; 32], u64)>,
    subjects: Vec<([u8; 32], u64)>,
}

impl IndexBuilder {
    /// Notes an attestation by the SHA-256 of its bytes.
    pub fn bundle(&mut self, sha256: [u8; 32], leaf: u64) {
        self.bundles.push((sha256, leaf));
    }

    /// Notes what an attestation is about.
    pub fn subject(&mut self, key: [u8; 32], leaf: u64) {
        self.subjects.push((key, leaf));
    }

    /// Notes where frames lie.
    pub fn frames(&mut self, frames: impl IntoIterator<Item = FrameAt>) {
        self.frames.extend(frames);
    }

    /// Writes the file.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(mut self, out: &mut impl Write) -> io::Result<()> {
        self.frames
            .sort_by_key(|each| (each.class, each.first, each.blob, each.offset));
        self.bundles.sort_unstable();
        self.subjects.sort_unstable();
        self.subjects.dedup();
        out.write_all(MAGIC)?;
        for count in [self.frames.len(), self.bundles.len(), self.subjects.len()] {
            out.write_all(&(count as u64).to_le_bytes())?;
        }
        for each in &self.frames {
            for number in [each.first, each.offset, each.length] {
                out.write_all(&number.to_le_bytes())?;
            }
            out.write_all(&each.class.number().to_le_bytes())?;
            out.write_all(&each.blob.to_le_bytes())?;
        }
        for (key, leaf) in self.bundles.iter().chain(&self.subjects) {
            out.write_all(key)?;
            out.write_all(&leaf.to_le_bytes())?;
        }
        Ok(())
    }
}

/// Which keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Of bundles.
    Bundles,
    /// Of subjects.
    Subjects,
}

/// The head of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    frames: u64,
    bundles: u64,
    subjects: u64,
}

/// Reads bytes of the file by their place.
pub trait ReadAt {
    /// How reading fails.
    type Error: From<IndexError>;

    /// Returns exactly the bytes of this range.
    ///
    /// # Errors
    /// When they are not to be had.
    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, Self::Error>;
}

impl Head {
    /// Reads the first [`HEAD`] bytes of a file of `size` bytes.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn parse(bytes: &[u8], size: u64) -> Result<Self, IndexError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(IndexError)?;
        let head = Self {
            frames: number(rest, 0)?,
            bundles: number(rest, 8)?,
            subjects: number(rest, 16)?,
        };
        let frames = head.frames.checked_mul(FRAME);
        let keys = head.bundles.checked_add(head.subjects);
        let keys = keys.and_then(|keys| keys.checked_mul(KEY));
        let total = frames
            .zip(keys)
            .and_then(|(a, b)| a.checked_add(b)?.checked_add(HEAD as u64));
        (total == Some(size)).then_some(head).ok_or(IndexError)
    }

    /// Finds the leaves under a key: keys are digests, so a guess lands near.
    ///
    /// # Errors
    /// `IndexError` when keys are not in order or too many are the same, and what the reader says.
    pub fn find<R: ReadAt>(
        &self,
        file: &R,
        keys: Keys,
        key: &[u8; 32],
    ) -> Result<Vec<u64>, R::Error> {
        let (base, count) = match keys {
            Keys::Bundles => (self.keys(), self.bundles),
            Keys::Subjects => (self.keys() + self.bundles * KEY, self.subjects),
        };
        // 1. Narrow down where the first record with a key not below this one lies: at `low` or after it, at `high` at last.
        let (mut low, mut high) = (0, count);
        let (mut guess, mut tries) = (position(key, count), 0);
        while high - low > WINDOW {
            let from = guess.saturating_sub(WINDOW / 2).clamp(low, high - WINDOW);
            let records = file.read(record(base, from, WINDOW))?;
            let mut keys = records.chunks_exact(KEY as usize).map(|each| &each[..32]);
            let below = keys.position(|each| each >= &key[..]);
            match below {
                Some(0) => high = from,
                None => low = from + WINDOW,
                Some(at) => {
                    low = from + at as u64;
                    break;
                }
            }
            // It is most likely right beside; whoever made the file may have made it otherwise.
            tries += 1;
            guess = match (tries < 4, below) {
                (true, Some(_)) => high.saturating_sub(WINDOW / 2),
                (true, None) => low + WINDOW / 2,
                (false, _) => low + (high - low) / 2,
            };
        }
        // 2. Read on from there while the key is the same.
        let mut found = Vec::new();
        while low < count {
            let some = WINDOW.min(count - low);
            let records = file.read(record(base, low, some))?;
            for each in records.chunks_exact(KEY as usize) {
                match each[..32].cmp(&key[..]) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => found.push(number(each, 32)?),
                    std::cmp::Ordering::Greater => return Ok(found),
                }
            }
            if found.len() as u64 > MOST {
                return Err(IndexError.into());
            }
            low += some;
        }
        Ok(found)
    }

    /// Finds the frame of a class that holds what belongs to a leaf.
    ///
    /// # Errors
    /// `IndexError` when there is none, and what the reader says.
    pub fn frame<R: ReadAt>(&self, file: &R, class: Class, leaf: u64) -> Result<FrameAt, R::Error> {
        let wanted = (class.number(), leaf);
        let (mut low, mut high) = (0, self.frames);
        // The last frame that begins at the leaf or before it.
        while low < high {
            let middle = low + (high - low) / 2;
            let frame = self.frame_at(file, middle)?;
            match (frame.class.number(), frame.first) <= wanted {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let at = low.checked_sub(1).ok_or(IndexError)?;
        let frame = self.frame_at(file, at)?;
        match frame.class == class {
            true => Ok(frame),
            false => Err(IndexError.into()),
        }
    }

    fn frame_at<R: ReadAt>(&self, file: &R, at: u64) -> Result<FrameAt, R::Error> {
        let from = HEAD as u64 + at * FRAME;
        let record = file.read(from..from + FRAME)?;
        let word = |at: usize| {
            let bytes = record
                .get(at..at + 4)
                .and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_le_bytes).ok_or(IndexError)
        };
        let class = word(24)? as usize;
        Ok(FrameAt {
            first: number(&record, 0)?,
            offset: number(&record, 8)?,
            length: number(&record, 16)?,
            class: *Class::ALL.get(class).ok_or(IndexError)?,
            blob: word(28)?,
        })
    }

    /// Returns where the keys begin.
    const fn keys(&self) -> u64 {
        HEAD as u64 + self.frames * FRAME
    }
}

const fn record(base: u64, at: u64, count: u64) -> Range<u64> {
    let from = base + at * KEY;
    from..from + count * KEY
}

/// Guesses where a digest lies among so many.
fn position(key: &[u8; 32], count: u64) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&key[..8]);
    let share = u128::from(u64::from_be_bytes(first)) * u128::from(count);
    u64::try_from(share >> 64).unwrap_or(0)
}

fn number(bytes: &[u8], at: usize) -> Result<u64, IndexError> {
    let bytes = bytes
        .get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_le_bytes).ok_or(IndexError)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A file in memory that counts how often it is read.
    struct Memory(Vec<u8>, Cell<usize>);

    impl ReadAt for Memory {
        type Error = IndexError;

        fn read(&self, range: Range<u64>) -> Result<Vec<u8>, IndexError> {
            self.1.set(self.1.get() + 1);
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            self.0.get(range).map(<[u8]>::to_vec).ok_or(IndexError)
        }
    }

    fn made(bundles: u64) -> (Memory, Head) {
        let mut builder = IndexBuilder::default();
        for leaf in 0..bundles {
            builder.bundle(sha256(&leaf.to_le_bytes()), leaf);
            builder.subject(sha256(&(leaf / 3).to_le_bytes()), leaf);
        }
        for at in 0..100 {
            builder.frames([Class::Evidence, Class::Leaves].map(|class| FrameAt {
                class,
                blob: at / 10,
                first: u64::from(at) * 50,
                offset: u64::from(at % 10) * 1000,
                length: 1000,
            }));
        }
        let mut bytes = Vec::new();
        builder.write(&mut bytes).unwrap();
        let head = Head::parse(&bytes[..HEAD], bytes.len() as u64).unwrap();
        (Memory(bytes, Cell::new(0)), head)
    }

    #[test]
    fn every_key_is_found_with_few_reads() {
        for count in [1, 2, 700, 100_000] {
            let (file, head) = made(count);
            let mut reads = 0;
            for leaf in (0..count).step_by(1 + usize::try_from(count / 100).unwrap()) {
                file.1.set(0);
                let found = head
                    .find(&file, Keys::Bundles, &sha256(&leaf.to_le_bytes()))
                    .unwrap();
                assert_eq!(found, [leaf]);
                reads += file.1.get();
                let same = head.find(&file, Keys::Subjects, &sha256(&(leaf / 3).to_le_bytes()));
                let expected: Vec<u64> = (leaf / 3 * 3..count.min(leaf / 3 * 3 + 3)).collect();
                assert_eq!(same.unwrap(), expected);
            }
            assert!(reads <= 101 * 5, "{count}: {reads} reads");
            let absent = head.find(&file, Keys::Bundles, &sha256(b"absent")).unwrap();
            assert!(absent.is_empty());
        }
    }

    #[test]
    fn the_frame_of_a_leaf_is_found() {
        let (file, head) = made(10);
        for leaf in [0, 49, 50, 4999, 100_000] {
            let frame = head.frame(&file, Class::Evidence, leaf).unwrap();
            let number = (leaf / 50).min(99);
            assert_eq!((frame.first, frame.class), (number * 50, Class::Evidence));
        }
        assert!(head.frame(&file, Class::Records, 0).is_err());
    }

    #[test]
    fn another_file_or_a_cut_one_is_refused() {
        let (file, _) = made(10);
        let size = file.0.len() as u64;
        assert_eq!(Head::parse(&file.0[..HEAD], size - 1), Err(IndexError));
        assert_eq!(Head::parse(&file.0[1..=HEAD], size), Err(IndexError));
        assert_eq!(Head::parse(&file.0[..20], size), Err(IndexError));
        let mut huge = file.0[..HEAD].to_vec();
        huge[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Head::parse(&huge, size), Err(IndexError));
    }
}
