//! Records of the write-ahead segments: their bytes, and the rule by which a torn one is known.
//!
//! In which order they are written and synced is told in `segment`; what they mean together, in `recovery`.
//!
//! ```text
//!  0  4  "slr1"
//!  4  4  CRC-32C of all that follows, to the payload's end
//!  8  1  kind: 1 start, 2 entries, 3 note
//!  9  3  zero
//! 12  4  length of the payload
//! 16  8  sequence number of the segment: bytes of another segment never pass for a record of this one
//! 24  8  size of the tree before
//! 32  8  size of the tree after
//! 40 32  root of the tree after
//! 72     payload, then zeros up to a multiple of 4096
//! ```
//!
//! Numbers are big-endian. Records begin at blocks of 4096 bytes, so that a synced block is never written again.

use bytes::Bytes;
use stella_tlog::hash::Hash;
use stella_tlog::tree::TreeSize;

/// Records begin at multiples of this: the physical sector of today's disks.
pub(super) const BLOCK: usize = 4096;

/// The bytes before the payload.
const HEADER: usize = 72;

/// Where the bytes begin that the checksum covers.
const CHECKED: usize = 8;

const MAGIC: [u8; 4] = *b"slr1";

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: RecordKind,
    pub(super) old_size: TreeSize,
    pub(super) new_size: TreeSize,
    /// The root at `new_size`.
    pub(super) root: Hash,
    pub(super) payload: Bytes,
}

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// Entries, each after four bytes of its length.
    Entries,
    /// The checkpoint with its signatures and cosignatures, ready to be served.
    Note,
    /// The first record of a segment: a [`super::segment::Start`].
    Start,
}

impl RecordKind {
    const fn code(self) -> u8 {
        match self {
            Self::Start => 1,
            Self::Entries => 2,
            Self::Note => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Start),
            2 => Some(Self::Entries),
            3 => Some(Self::Note),
            _ => None,
        }
    }
}

impl Record {
    /// Appends the record's bytes, padded to whole blocks; `segment` is the number of the segment it is for.
    pub(super) fn write(&self, segment: u64, out: &mut Vec<u8>) {
        let start = out.len();
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX); // batches are bounded far below
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&[self.kind.code(), 0, 0, 0]);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&segment.to_be_bytes());
        out.extend_from_slice(&self.old_size.0.to_be_bytes());
        out.extend_from_slice(&self.new_size.0.to_be_bytes());
        out.extend_from_slice(self.root.as_bytes());
        out.extend_from_slice(&self.payload);
        let checksum = crc32c::crc32c(&out[start + CHECKED..]);
        out[start + 4..start + CHECKED].copy_from_slice(&checksum.to_be_bytes());
        let padded = (out.len() - start).next_multiple_of(BLOCK);
        out.resize(start + padded, 0);
    }

    /// Reads the record at `at` and says where the next one begins; `None` if there is no whole one of this segment.
    pub(super) fn read(bytes: &Bytes, at: usize, segment: u64) -> Option<(Self, usize)> {
        let header = bytes.get(at..at.checked_add(HEADER)?)?;
        let number = |from: usize| Some(u64::from_be_bytes(*header.get(from..)?.first_chunk()?));
        let word = |from: usize| Some(u32::from_be_bytes(*header.get(from..)?.first_chunk()?));
        let length = usize::try_from(word(12)?).ok()?;
        let end = (at + HEADER).checked_add(length)?;
        let checked = bytes.get(at + CHECKED..end)?;
        let is_whole = header.starts_with(&MAGIC)
            && word(4)? == crc32c::crc32c(checked)
            && number(16)? == segment;
        if !is_whole {
            return None;
        }
        let record = Self {
            kind: RecordKind::from_code(header[8])?,
            old_size: TreeSize(number(24)?),
            new_size: TreeSize(number(32)?),
            root: Hash::try_from(&header[40..HEADER]).ok()?,
            payload: bytes.slice(at + HEADER..end),
        };
        Some((record, at + (end - at).next_multiple_of(BLOCK)))
    }
}

/// Appends an entry to the payload of a record of entries.
pub(super) fn push_entry(payload: &mut Vec<u8>, data: &[u8]) {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX); // entries are bounded by their format
    payload.extend_from_slice(&length.to_be_bytes());
    payload.extend_from_slice(data);
}

/// Splits the payload of a record of entries; `None` if it is cut short.
pub(super) fn entries(payload: &Bytes) -> Option<Vec<Bytes>> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < payload.len() {
        let length = u32::from_be_bytes(*payload.get(at..)?.first_chunk()?);
        let end = (at + 4).checked_add(usize::try_from(length).ok()?)?;
        payload.get(at + 4..end)?;
        entries.push(payload.slice(at + 4..end));
        at = end;
    }
    Some(entries)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn example() -> Record {
        let mut payload = Vec::new();
        for entry in [vec![1; 5000], Vec::new(), vec![2; 3]] {
            push_entry(&mut payload, &entry);
        }
        Record {
            kind: RecordKind::Entries,
            old_size: TreeSize(7),
            new_size: TreeSize(10),
            root: Hash::EMPTY_ROOT,
            payload: payload.into(),
        }
    }

    #[test]
    fn records_read_back_one_after_the_other() {
        let mut bytes = Vec::new();
        let record = example();
        record.write(3, &mut bytes);
        record.write(3, &mut bytes);
        assert_eq!(bytes.len() % BLOCK, 0);
        bytes.resize(bytes.len() + BLOCK, 0);
        let bytes = Bytes::from(bytes);
        let (first, next) = Record::read(&bytes, 0, 3).unwrap();
        assert_eq!(first, record);
        let (second, end) = Record::read(&bytes, next, 3).unwrap();
        assert_eq!(second, record);
        assert_eq!(Record::read(&bytes, end, 3), None);
        assert_eq!(entries(&first.payload).unwrap().len(), 3);
    }

    #[test]
    fn a_record_with_any_byte_changed_is_none() {
        let mut bytes = Vec::new();
        example().write(3, &mut bytes);
        let length = HEADER + example().payload.len();
        for at in 0..length {
            let mut torn = bytes.clone();
            torn[at] ^= 0x40;
            assert_eq!(Record::read(&torn.into(), 0, 3), None, "byte {at}");
        }
    }

    #[test]
    fn a_record_of_another_segment_is_none() {
        let mut bytes = Vec::new();
        example().write(3, &mut bytes);
        assert_eq!(Record::read(&bytes.into(), 0, 4), None);
    }
}
