//! Checks a log on disk from its bytes alone: every leaf hash, tile, record and root, and the checkpoints given.
//!
//! Nothing is repaired and nothing is written. The log must not be open.

use std::collections::BTreeMap;

use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash::Hash;
use stella_tlog::note::{Note, VerifierKey};
use stella_tlog::tile::{TILE_WIDTH, TileKind, TilePath};
use stella_tlog::tree::{Frontier, LeafIndex, TreeSize};

use crate::disk::Disk;
use crate::log::recovery::{self, WriteAhead};
use crate::log::{EntryFormat, LogError};

/// The number of leaves in a tile.
const WIDTH: u64 = TILE_WIDTH as u64;

/// What is wrong with a log on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Bytes stored as an entry are none of the log's format.
    #[error("entry {index} cannot be read")]
    EntryUnreadable {
        /// Its place.
        index: LeafIndex,
    },
    /// The segments belong to a log of another format.
    #[error("the log has entries of another format")]
    FormatMismatch,
    /// A stored entry has not the leaf hash of its place.
    #[error("entry {index} is not the one that was logged")]
    LeafMismatch {
        /// Its place.
        index: LeafIndex,
    },
    /// A checkpoint's root is not the log's at that size, or the log was never so large.
    #[error("the checkpoint of {size} entries is not of this log")]
    NoteMismatch {
        /// The checkpoint's size.
        size: TreeSize,
    },
    /// A checkpoint is not signed by one of the log's keys, or badly.
    #[error("the checkpoint of {size} entries is not signed by the log")]
    NoteUnsigned {
        /// The checkpoint's size.
        size: TreeSize,
    },
    /// A note cannot be read, or is no checkpoint of this origin.
    #[error("a checkpoint cannot be read")]
    NoteUnreadable,
    /// The segments belong to a log of another name.
    #[error("the log on disk is {found}")]
    OriginMismatch {
        /// Its name.
        found: String,
    },
    /// A record does not go on where the one before ended, or a whole one follows a torn one.
    #[error("segment {number} is damaged after entry {size}")]
    RecordChain {
        /// The segment.
        number: u64,
        /// The size of the tree after the last good record.
        size: TreeSize,
    },
    /// The entries do not give the recorded root.
    #[error("the root of {size} entries is not the recorded one")]
    RootMismatch {
        /// The size of the tree.
        size: TreeSize,
    },
    /// A segment does not begin where the one before ended.
    #[error("segment {number} does not begin at entry {end}")]
    SegmentGap {
        /// The segment.
        number: u64,
        /// The size of the tree at the end of the one before.
        end: TreeSize,
    },
    /// A segment has no readable first record.
    #[error("segment {number} cannot be read")]
    SegmentUnreadable {
        /// The segment.
        number: u64,
    },
    /// A tile that must be there cannot be read.
    #[error("{path} is missing")]
    TileMissing {
        /// Where it should be.
        path: TilePath,
    },
    /// A tile does not hold what the entries give.
    #[error("{path} is not the tile of the log's entries")]
    TileMismatch {
        /// Where it is.
        path: TilePath,
    },
    /// There are tiles and no segments.
    #[error("the write-ahead segments are missing")]
    WriteAheadMissing,
}

/// What a log should be.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Its origin.
    pub origin: String,
    /// The format of its entries.
    pub format: EntryFormat,
    /// The keys of which each must have signed each checkpoint.
    pub keys: Vec<VerifierKey>,
    /// Checkpoints that were served once, beside the one on disk.
    pub checkpoints: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The number of entries that were read in order.
    pub size: TreeSize,
    /// Their root.
    pub root: Hash,
    /// All that is wrong; empty for a good log.
    pub problems: Vec<Problem>,
}

/// Checks a log.
///
/// # Errors
/// [`LogError::Disk`], when the segments cannot be read at all; all else is a problem in the report.
pub fn fsck(disk: &dyn Disk, expected: &Expected) -> Result<Report, LogError> {
    let mut check = Check {
        disk,
        expected,
        tree: Frontier::new(),
        tiles: Vec::new(),
        roots: BTreeMap::new(),
        problems: Vec::new(),
    };
    match recovery::read(disk) {
        Ok(ahead) => check.log(&ahead),
        Err(LogError::Corrupt(problem)) => check.problems.push(problem),
        Err(error) => return Err(error),
    }
    Ok(Report {
        size: check.tree.size(),
        root: check.tree.root(),
        problems: check.problems,
    })
}

struct Check<'a> {
    disk: &'a dyn Disk,
    expected: &'a Expected,
    tree: Frontier,
    /// For each tile level, the hashes of the tile that is growing.
    tiles: Vec<Vec<Hash>>,
    /// The roots that checkpoints claim by size, and whether they were met.
    roots: BTreeMap<TreeSize, Vec<(Hash, bool)>>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn log(&mut self, ahead: &WriteAhead) {
        // 1. The name and the checkpoints.
        if !ahead.origin.is_empty() && ahead.origin != self.expected.origin {
            let found = ahead.origin.clone();
            self.problems.push(Problem::OriginMismatch { found });
        }
        for note in self.expected.checkpoints.iter().chain(&ahead.note) {
            if let Err(problem) = self.claim(note) {
                self.problems.push(problem);
            }
        }
        self.meet_claims();

        // 2. The tiles, entry by entry.
        let start = ahead.start.size().0;
        let tiled = start.checked_next_multiple_of(WIDTH).unwrap_or(start);
        let mut last_tile = Vec::new();
        for index in 0..tiled / WIDTH {
            last_tile = self.tile(index);
            self.append_all(&last_tile, &ahead.start, tiled);
            // A record may claim any size: the first tile that is not there ends the search for more.
            if self.tree.size().0 < (index + 1) * WIDTH {
                return;
            }
        }
        if self.tree.size().0 != tiled {
            return; // entries are missing, and all that follows would be wrong
        }

        // 3. The records beyond, each with its root.
        self.records(ahead, tiled, &last_tile);

        // 4. What was claimed and never met.
        for (size, claims) in &self.roots {
            if claims.iter().any(|(_, is_met)| !is_met) {
                self.problems.push(Problem::NoteMismatch { size: *size });
            }
        }
    }

    /// Checks a note's signatures and remembers the root that it claims.
    fn claim(&mut self, note: &str) -> Result<(), Problem> {
        let note = Note::parse(note).map_err(|_| Problem::NoteUnreadable)?;
        let checkpoint = Checkpoint::parse(&note.text).map_err(|_| Problem::NoteUnreadable)?;
        if checkpoint.origin != self.expected.origin {
            return Err(Problem::NoteUnreadable);
        }
        let Checkpoint { size, root, .. } = checkpoint;
        self.roots.entry(size).or_default().push((root, false));
        if self
            .expected
            .keys
            .iter()
            .any(|key| note.verify(key).is_err())
        {
            return Err(Problem::NoteUnsigned { size });
        }
        Ok(())
    }

    fn meet_claims(&mut self) {
        if let Some(claims) = self.roots.get_mut(&self.tree.size()) {
            let root = self.tree.root();
            for (claimed, is_met) in claims {
                *is_met |= *claimed == root;
            }
        }
    }

    /// Checks a tile against its entries; returns the leaf hashes of these.
    fn tile(&mut self, index: u64) -> Vec<Hash> {
        let format = self.expected.format;
        let path = full(format.bundle_kind(), index);
        let Ok(bundle) = self.disk.read(&path.to_string()) else {
            self.problems.push(Problem::TileMissing { path });
            return Vec::new();
        };
        let ranges = format.split(&bundle).unwrap_or_default();
        if ranges.len() != usize::from(TILE_WIDTH) {
            self.problems.push(Problem::TileMismatch { path });
            return Vec::new();
        }
        let mut leaves = Vec::with_capacity(ranges.len());
        for (index, range) in (index * WIDTH..).zip(ranges) {
            let leaf = bundle.get(range).and_then(|data| format.leaf(data));
            let index = LeafIndex(index);
            match leaf {
                Some(leaf) => leaves.push(leaf),
                None => self.problems.push(Problem::EntryUnreadable { index }),
            }
        }
        leaves
    }

    fn append_all(&mut self, leaves: &[Hash], start: &Frontier, tiled: u64) {
        for leaf in leaves {
            if self.tree.size() == start.size() && self.tree.root() != start.root() {
                let size = start.size();
                self.problems.push(Problem::RootMismatch { size });
            }
            self.append(*leaf, tiled);
        }
        if self.tree.size() == start.size() && self.tree.root() != start.root() {
            let size = start.size();
            self.problems.push(Problem::RootMismatch { size });
        }
    }

    /// Appends a leaf, and checks the hash tiles below `tiled` that it completes.
    fn append(&mut self, leaf: Hash, tiled: u64) {
        let mut nodes = Vec::new();
        self.tree.append(leaf, |level, _, hash| {
            if level.is_multiple_of(8) {
                nodes.push(hash);
            }
        });
        let must_exist = self.tree.size().0 <= tiled;
        let mut index = self.tree.size().0;
        for (level, hash) in (0_u8..).zip(nodes) {
            if self.tiles.len() <= usize::from(level) {
                self.tiles.push(Vec::new());
            }
            let Some(tile) = self.tiles.get_mut(usize::from(level)) else {
                break;
            };
            tile.push(hash);
            if tile.len() < usize::from(TILE_WIDTH) {
                break;
            }
            let hashes = std::mem::take(tile);
            index /= WIDTH;
            if must_exist {
                self.hash_tile(full(TileKind::Hashes { level }, index - 1), &hashes);
            }
        }
        self.meet_claims();
    }

    fn hash_tile(&mut self, path: TilePath, expected: &[Hash]) {
        let Ok(tile) = self.disk.read(&path.to_string()) else {
            self.problems.push(Problem::TileMissing { path });
            return;
        };
        let mut found = tile.chunks(Hash::SIZE);
        let is_same = expected
            .iter()
            .all(|hash| found.next() == Some(hash.as_bytes().as_slice()));
        if is_same && found.next().is_none() {
            return;
        }
        // The leaf that differs says more than the tile.
        if let TileKind::Hashes { level: 0 } = path.kind {
            for ((index, hash), found) in (path.index * WIDTH..)
                .zip(expected)
                .zip(tile.chunks(Hash::SIZE))
            {
                if hash.as_bytes() != found {
                    let index = LeafIndex(index);
                    self.problems.push(Problem::LeafMismatch { index });
                }
            }
        }
        self.problems.push(Problem::TileMismatch { path });
    }

    fn records(&mut self, ahead: &WriteAhead, tiled: u64, last_tile: &[Hash]) {
        let mut chain = ahead.start.clone();
        for batch in &ahead.batches {
            for (index, data) in (batch.old_size.0..).map(LeafIndex).zip(&batch.entries) {
                let Some(leaf) = self.expected.format.leaf(data) else {
                    self.problems.push(Problem::EntryUnreadable { index });
                    return;
                };
                chain.append(leaf, |_, _, _| ());
                if index.0 >= tiled {
                    self.append(leaf, tiled);
                } else if last_tile.get(usize::try_from(index.0 % WIDTH).unwrap_or(0))
                    != Some(&leaf)
                {
                    self.problems.push(Problem::LeafMismatch { index });
                }
            }
            if chain.root() != batch.root {
                let size = batch.new_size;
                self.problems.push(Problem::RootMismatch { size });
            }
        }
    }
}

const fn full(kind: TileKind, index: u64) -> TilePath {
    TilePath {
        kind,
        index,
        width: TILE_WIDTH,
    }
}
