//! Hashes of the tree that a period completes, in files of 32 bytes each, from which proofs are made.
//!
//! File L holds the hashes of complete subtrees of 256^L leaves that the period completed, in order. They are not believed: a
//! proof made of wrong ones leads to no signed root.

use stella_tlog::hash::{self, Hash};
use stella_tlog::proof::SubtreeHashes;
use stella_tlog::tree::{Frontier, TreeSize};

/// Levels of the tree between two files.
const STEP: u8 = 8;

/// Returns the number of the file for subtrees of `2^level` leaves; none where there is no such file.
#[must_use]
pub const fn file_of(level: u8) -> Option<u8> {
    match level % STEP {
        0 => Some(level / STEP),
        _ => None,
    }
}

/// Returns the name of a file.
#[must_use]
pub fn file_name(file: u8) -> String {
    format!("hashes/{file}")
}

/// A period's hashes, read by file and position.
pub struct Nodes<R> {
    /// The right edge of the tree before the period.
    frontier: Frontier,
    /// Leaves of the tree after it.
    end: u64,
    /// Reads the hash at a position of a file.
    read: R,
}

impl<R: Fn(u8, u64) -> Option<Hash>> Nodes<R> {
    /// Takes the right edge before the period, the leaves after it, and what reads the hash at a position of a file.
    pub const fn new(frontier: Frontier, end: u64, read: R) -> Self {
        Self {
            frontier,
            end,
            read,
        }
    }

    /// Returns the hash of a subtree that was complete before the period: those that a proof needs are the edge's own.
    fn before(&self, level: u8, index: u64) -> Option<Hash> {
        let rest = self.frontier.size().0 >> level;
        let is_edge = rest & 1 == 1 && index == rest - 1;
        let position = (rest >> 1).count_ones() as usize;
        self.frontier
            .hashes()
            .get(position)
            .copied()
            .filter(|_| is_edge)
    }
}

/// Returns the right edge of a tree of `size` leaves; none when a hash of it is not to be had.
#[must_use]
pub fn edge(nodes: &impl SubtreeHashes, size: u64) -> Option<Frontier> {
    let levels = (0..64).rev().filter(|level| size >> level & 1 == 1);
    let hashes = levels.map(|level| nodes.subtree(level, (size >> level) - 1));
    let hashes: Option<Vec<_>> = hashes.collect();
    Frontier::from_hashes(TreeSize(size), hashes?).ok()
}

impl<R: Fn(u8, u64) -> Option<Hash>> SubtreeHashes for Nodes<R> {
    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        let start = self.frontier.size().0;
        let last = index
            .checked_add(1)?
            .checked_mul(1_u64.checked_shl(level.into())?)?;
        if last > self.end {
            return None;
        }
        if last <= start {
            return self.before(level, index);
        }
        if let Some(file) = file_of(level) {
            return (self.read)(file, index.checked_sub(start >> level)?);
        }
        let left = self.subtree(level - 1, index * 2)?;
        let right = self.subtree(level - 1, index * 2 + 1)?;
        Some(hash::node(&left, &right))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_tlog::proof;
    use stella_tlog::tree::LeafIndex;

    use super::*;

    fn leaf(index: u64) -> Hash {
        hash::leaf(&index.to_be_bytes())
    }

    #[test]
    fn every_leaf_of_every_period_is_proved() {
        for (start, end) in [
            (0, 1),
            (0, 700),
            (1, 2),
            (255, 258),
            (300, 1000),
            (512, 520),
            (777, 70_000),
        ] {
            let mut tree = Frontier::new();
            for index in 0..start {
                tree.append(leaf(index), |_, _, _| ());
            }
            let before = tree.clone();
            let mut files: Vec<Vec<Hash>> = vec![Vec::new(); 4];
            for index in start..end {
                tree.append(leaf(index), |level, _, hash| {
                    if let Some(file) = file_of(level) {
                        files[usize::from(file)].push(hash);
                    }
                });
            }
            let read = |file: u8, position: u64| {
                files[usize::from(file)]
                    .get(usize::try_from(position).unwrap())
                    .copied()
            };
            let nodes = Nodes::new(before, end, read);
            assert_eq!(edge(&nodes, end).unwrap(), tree);
            let root = tree.root();
            for index in (start..end)
                .step_by(1 + usize::try_from((end - start) / 50).unwrap())
                .chain([end - 1])
            {
                let (index, size) = (LeafIndex(index), TreeSize(end));
                let path = proof::prove_inclusion(&nodes, index, size).unwrap();
                proof::verify_inclusion(&leaf(index.0), index, size, &root, &path).unwrap();
            }
            // The tree before is the beginning of the tree after.
            if start > 0 {
                let (old, new) = (TreeSize(start), TreeSize(end));
                let path = proof::prove_consistency(&nodes, old, new).unwrap();
                let before = nodes.frontier.root();
                proof::verify_consistency(old, &before, new, &root, &path).unwrap();
            }
        }
    }
}
