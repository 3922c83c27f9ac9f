//! What entries look like in the two kinds of log: how they are framed in entry bundles, and which bytes are the leaf.
//!
//! Recovery and fsck recompute each leaf hash from stored bytes alone, so both rules are known here and not only by those
//! who make entries.

use bytes::Bytes;
use stella_tlog::hash::{self, Hash};
use stella_tlog::tile::{self, TileKind};

/// The format of a log's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryFormat {
    /// Rekor v2: any bytes up to 65 535, framed by two bytes of length; the leaf is the entry (C2SP tlog-tiles).
    Rekor,
    /// Certificate transparency: `TileLeaf` structures one after the other; the leaf is the `MerkleTreeLeaf` made of its
    /// first part (C2SP static-ct-api, RFC 6962 §3.4).
    StaticCt,
}

/// An entry ready to be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The bytes stored in the entry bundle.
    pub data: Bytes,
    /// The leaf hash.
    pub leaf: Hash,
}

/// RFC 6962 §3.4: version 1 and leaf type `timestamped_entry` before the entry itself.
const MERKLE_TREE_LEAF: [u8; 2] = [0, 0];

/// RFC 6962 §3.1, LogEntryType.
const X509_ENTRY: [u8; 2] = [0, 0];
const PRECERT_ENTRY: [u8; 2] = [0, 1];

impl EntryFormat {
    /// Returns the leaf hash of stored bytes; `None` if they are not an entry.
    #[must_use]
    pub fn leaf(self, data: &[u8]) -> Option<Hash> {
        match self {
            Self::Rekor => (data.len() <= tile::MAX_ENTRY).then(|| hash::leaf(data)),
            Self::StaticCt => {
                let leaf = tile_leaf(data)?;
                if leaf.whole != data.len() {
                    return None;
                }
                let timestamped = data.get(..leaf.timestamped)?;
                Some(hash::leaf(&[&MERKLE_TREE_LEAF, timestamped].concat()))
            }
        }
    }

    /// Appends an entry, known to be of this format, to a bundle.
    pub(super) fn frame(self, bundle: &mut Vec<u8>, data: &[u8]) {
        match self {
            // Longer entries have no leaf and come never so far.
            Self::Rekor => drop(tile::push_entry(bundle, data)),
            Self::StaticCt => bundle.extend_from_slice(data),
        }
    }

    /// Returns where each entry of a bundle begins and ends, without its frame; `None` if it cannot be split.
    pub(crate) fn split(self, bundle: &[u8]) -> Option<Vec<std::ops::Range<usize>>> {
        let mut ranges = Vec::new();
        let mut at = 0;
        while at < bundle.len() {
            let rest = bundle.get(at..)?;
            let (frame, length) = match self {
                Self::Rekor => (2, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
                Self::StaticCt => (0, tile_leaf(rest)?.whole),
            };
            let range = at + frame..at + frame + length;
            bundle.get(range.clone())?;
            at = range.end;
            ranges.push(range);
        }
        Some(ranges)
    }

    /// Returns the kind of tile that holds the entries.
    #[must_use]
    pub const fn bundle_kind(self) -> TileKind {
        match self {
            Self::Rekor => TileKind::Entries,
            Self::StaticCt => TileKind::Data,
        }
    }

    /// Says whether entries are known again by their leaf hash.
    #[must_use]
    pub const fn has_identity(self) -> bool {
        matches!(self, Self::Rekor)
    }

    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Rekor => 1,
            Self::StaticCt => 2,
        }
    }
}

/// The lengths found in a `TileLeaf`.
struct TileLeaf {
    /// Of its `TimestampedEntry`.
    timestamped: usize,
    /// Of the whole structure.
    whole: usize,
}

/// Measures the `TileLeaf` that the bytes begin with.
// spec: C2SP static-ct-api, "Log entries"; RFC 6962 §3.4, TimestampedEntry.
fn tile_leaf(bytes: &[u8]) -> Option<TileLeaf> {
    let timestamp = 8;
    let entry_type: [u8; 2] = *bytes.get(timestamp..)?.first_chunk()?;
    let mut at = timestamp + 2;
    match entry_type {
        X509_ENTRY => at = skip(bytes, at, 3)?,
        PRECERT_ENTRY => {
            let issuer_key_hash = Hash::SIZE;
            at = skip(bytes, at + issuer_key_hash, 3)?;
        }
        _ => return None,
    }
    let timestamped = skip(bytes, at, 2)?; // extensions
    at = timestamped;
    if entry_type == PRECERT_ENTRY {
        at = skip(bytes, at, 3)?; // pre_certificate
    }
    let whole = skip(bytes, at, 2)?; // certificate_chain
    Some(TileLeaf { timestamped, whole })
}

/// Returns where a field ends whose length is written in `width` bytes at `at`; `None` if it is cut short.
fn skip(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let length = bytes.get(at..at + width)?;
    let length = length
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    let end = at + width + length;
    (end <= bytes.len()).then_some(end)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// A precertificate's `TileLeaf` with a leaf index extension and one fingerprint.
    fn precertificate(fill: u8) -> (Vec<u8>, Vec<u8>) {
        let mut timestamped = vec![0, 0, 1, 2, 3, 4, 5, 6, 0, 1];
        timestamped.extend([fill; 32]);
        timestamped.extend([0, 0, 3, fill, fill, fill]);
        timestamped.extend([0, 8, 0, 0, 5, 0, 0, 0, 0, 7]);
        let mut whole = timestamped.clone();
        whole.extend([0, 0, 2, fill, fill]);
        whole.extend([0, 32]);
        whole.extend([9; 32]);
        (timestamped, whole)
    }

    #[test]
    fn a_certificate_leaf_hashes_its_timestamped_entry_only() {
        let (timestamped, whole) = precertificate(3);
        let expected = hash::leaf(&[[0, 0].as_slice(), &timestamped].concat());
        assert_eq!(EntryFormat::StaticCt.leaf(&whole), Some(expected));
        assert_eq!(EntryFormat::StaticCt.leaf(&whole[1..]), None);
        let longer = [whole.as_slice(), &[0]].concat();
        assert_eq!(EntryFormat::StaticCt.leaf(&longer), None);
    }

    #[test]
    fn bundles_of_both_formats_split_into_their_entries() {
        let (_, one) = precertificate(1);
        let mut x509 = vec![0; 8];
        x509.extend([0, 0, 0, 0, 1, 7, 0, 0, 0, 0]);
        for (format, entries) in [
            (EntryFormat::StaticCt, [one, x509]),
            (EntryFormat::Rekor, [b"one".to_vec(), Vec::new()]),
        ] {
            let mut bundle = Vec::new();
            for entry in &entries {
                assert!(format.leaf(entry).is_some());
                format.frame(&mut bundle, entry);
            }
            let found: Vec<&[u8]> = format
                .split(&bundle)
                .unwrap()
                .into_iter()
                .map(|range| &bundle[range])
                .collect();
            assert_eq!(found, entries);
            assert!(format.split(&bundle[..bundle.len() - 1]).is_none());
        }
    }
}
