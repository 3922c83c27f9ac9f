//! Tiles: where they lie, and the framing of the entries beside them.
//!
//! Their contents are made by the log's engine; hashes of subtrees are explained in `tree` and `proof`.

use std::fmt;

use crate::decimal;

/// The number of hashes in a full tile, and of entries in a full entry bundle.
// spec: C2SP tlog-tiles, "Merkle Tree".
pub const TILE_WIDTH: u16 = 256;

/// The number of tree levels that a tile spans.
pub const TILE_HEIGHT: u8 = 8;

/// The highest tile level.
pub const MAX_LEVEL: u8 = 63;

/// The greatest entry in bytes: its length is written in two bytes.
pub const MAX_ENTRY: usize = u16::MAX as usize;

/// The longest path read: `tile/entries/`, seven groups of digits and a width.
const MAX_PATH: usize = 64;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TileKind {
    /// The log entries of a certificate transparency log (`tile/data`, C2SP static-ct-api).
    Data,
    /// The log entries (`tile/entries`): an entry bundle.
    Entries,
    /// The hashes of complete subtrees of 256^level leaves (`tile/<level>`).
    Hashes {
        /// The tile level, at most [`MAX_LEVEL`].
        level: u8,
    },
}

/// The address of a tile below the log's monitoring prefix; it prints as `tile/0/x001/234.p/5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TilePath {
    /// What the tile holds.
    pub kind: TileKind,
    /// The tile's place among those of its kind.
    pub index: u64,
    /// The number of hashes or entries, 1 to [`TILE_WIDTH`]; less than that is a partial tile.
    pub width: u16,
}

impl TilePath {
    /// Parses a path without leading slash; `None` if it is not the canonical path of a tile.
    // spec: C2SP tlog-tiles, "Merkle Tree", "Log entries".
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        if path.len() > MAX_PATH {
            return None;
        }
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let kind = match kind {
            "data" => TileKind::Data,
            "entries" => TileKind::Entries,
            level => TileKind::Hashes {
                level: u8::try_from(decimal::parse(level)?)
                    .ok()
                    .filter(|level| *level <= MAX_LEVEL)?,
            },
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, u16::try_from(decimal::parse(width)?).ok()?),
            None => (rest, TILE_WIDTH),
        };
        let is_whole = rest.len() == index.len();
        if width == 0 || width > TILE_WIDTH || (width == TILE_WIDTH) != is_whole {
            return None;
        }
        Some(Self {
            kind,
            index: parse_index(index)?,
            width,
        })
    }
}

/// Parses groups of three digits, all but the last beginning with `x`.
fn parse_index(path: &str) -> Option<u64> {
    let mut index = 0_u64;
    let mut groups = path.split('/').peekable();
    let mut is_first = true;
    while let Some(group) = groups.next() {
        let digits = match groups.peek() {
            Some(_) => group.strip_prefix('x')?,
            None => group,
        };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // `x000/001` would be a second name for `001`.
        if is_first && digits == "000" && groups.peek().is_some() {
            return None;
        }
        is_first = false;
        let value: u64 = digits.parse().ok()?;
        index = index.checked_mul(1000)?.checked_add(value)?;
    }
    Some(index)
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Data => f.write_str("tile/data/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
        }
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        f.write_str(&groups.join("/"))?;
        if self.width < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// Why bytes are not an entry bundle, or an entry does not fit one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryBundleError {
    /// The last entry is cut short.
    #[error("an entry bundle is cut short")]
    Incomplete,
    /// An entry is longer than [`MAX_ENTRY`].
    #[error("an entry of {found} bytes is longer than {MAX_ENTRY}")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// There are more than [`TILE_WIDTH`] entries.
    #[error("an entry bundle has more than {TILE_WIDTH} entries")]
    TooMany,
}

/// Appends an entry to a bundle: two bytes of length, big-endian, then the entry.
///
/// # Errors
///
/// [`EntryBundleError::TooLong`].
// spec: C2SP tlog-tiles, "Log entries".
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), EntryBundleError> {
    let found = entry.len();
    let length = u16::try_from(found).map_err(|_| EntryBundleError::TooLong { found })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// Splits an entry bundle into its entries.
///
/// # Errors
///
/// [`EntryBundleError::Incomplete`], [`EntryBundleError::TooMany`].
pub fn entries(bundle: &[u8]) -> Result<Vec<&[u8]>, EntryBundleError> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        if entries.len() == usize::from(TILE_WIDTH) {
            return Err(EntryBundleError::TooMany);
        }
        let (length, after) = rest
            .split_first_chunk::<2>()
            .ok_or(EntryBundleError::Incomplete)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after
            .split_at_checked(length)
            .ok_or(EntryBundleError::Incomplete)?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn check(text: &str, kind: TileKind, index: u64, width: u16) {
        let path = TilePath { kind, index, width };
        assert_eq!(path.to_string(), text);
        assert_eq!(TilePath::parse(text), Some(path));
    }

    #[test]
    fn paths_read_back_as_they_were_printed() {
        check("tile/0/000", TileKind::Hashes { level: 0 }, 0, 256);
        check("tile/63/999", TileKind::Hashes { level: 63 }, 999, 256);
        check(
            "tile/entries/x001/x234/067",
            TileKind::Entries,
            1_234_067,
            256,
        );
        check("tile/data/x001/000.p/7", TileKind::Data, 1000, 7);
        check("tile/1/001.p/255", TileKind::Hashes { level: 1 }, 1, 255);
        let last = TilePath {
            kind: TileKind::Entries,
            index: u64::MAX,
            width: 255,
        };
        assert_eq!(TilePath::parse(&last.to_string()), Some(last));
    }

    #[test]
    fn a_path_with_a_second_spelling_is_refused() {
        for path in [
            "tile/0/0",
            "tile/0/0000",
            "tile/0/1000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/00/000",
            "tile/64/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/other/000",
            "tile/0/",
            "/tile/0/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "",
        ] {
            assert_eq!(TilePath::parse(path), None, "{path}");
        }
    }

    #[test]
    fn entries_read_back_as_they_were_framed() {
        let mut bundle = Vec::new();
        for entry in [b"one".as_slice(), b"", &[7; MAX_ENTRY]] {
            push_entry(&mut bundle, entry).unwrap();
        }
        assert_eq!(
            entries(&bundle).unwrap(),
            [b"one".as_slice(), b"", &[7; MAX_ENTRY]]
        );
    }

    #[test]
    fn a_bundle_cut_short_or_overfull_is_refused() {
        let mut bundle = Vec::new();
        let long = vec![0; MAX_ENTRY + 1];
        let refused = push_entry(&mut bundle, &long);
        assert_eq!(
            refused,
            Err(EntryBundleError::TooLong { found: long.len() })
        );
        assert_eq!(entries(&[0]), Err(EntryBundleError::Incomplete));
        assert_eq!(entries(&[0, 2, 1]), Err(EntryBundleError::Incomplete));
        assert_eq!(entries(&[0; 2 * 257]), Err(EntryBundleError::TooMany));
    }
}
