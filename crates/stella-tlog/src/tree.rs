//! The growing tree: its size, the place of a leaf in it, and the right edge that appending needs.
//!
//! Proofs live in `proof`; where hashes of inner subtrees are kept is for the caller to say.

use std::fmt;

use crate::hash::{self, Hash};

/// The number of leaves in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TreeSize(pub u64);

/// The zero-based place of a leaf in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LeafIndex(pub u64);

impl TreeSize {
    /// The size of the tree without leaves.
    pub const EMPTY: Self = Self(0);

    /// Says whether a tree of this size holds the leaf.
    #[must_use]
    pub const fn contains(self, index: LeafIndex) -> bool {
        index.0 < self.0
    }
}

impl fmt::Display for TreeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for LeafIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right edge of a tree: the roots of its complete subtrees, widest first.
///
/// A tree of `n` leaves has as many of them as `n` has one bits, so at most 64 hashes; they are all
/// that is needed to append and to know the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: TreeSize,
    hashes: Vec<Hash>,
}

/// Hashes that cannot be the frontier of a tree of the given size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frontier of a tree of {size} leaves has {} hashes, not {found}", .size.0.count_ones())]
pub struct FrontierError {
    /// The size asked for.
    pub size: TreeSize,
    /// The number of hashes given.
    pub found: usize,
}

impl Frontier {
    /// Starts an empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: TreeSize::EMPTY,
            hashes: Vec::new(),
        }
    }

    /// Takes up a tree again from what [`Frontier::size`] and [`Frontier::hashes`] once returned.
    ///
    /// # Errors
    ///
    /// [`FrontierError`] if the number of hashes does not fit the size.
    pub fn from_hashes(size: TreeSize, hashes: Vec<Hash>) -> Result<Self, FrontierError> {
        let found = hashes.len();
        if found != size.0.count_ones() as usize {
            return Err(FrontierError { size, found });
        }
        Ok(Self { size, hashes })
    }

    /// Appends a leaf and reports every subtree that it completes, the leaf itself (level 0) first.
    ///
    /// `completed` gets the level (a subtree of 2^level leaves), its index among those of the level, and its hash.
    pub fn append(&mut self, leaf: Hash, mut completed: impl FnMut(u8, u64, Hash)) {
        let mut hash = leaf;
        let mut index = self.size.0;
        let mut level = 0;
        completed(level, index, hash);
        // An odd index is a right child: its left sibling is the last hash of the frontier.
        while index & 1 == 1 {
            let Some(left) = self.hashes.pop() else { break };
            hash = hash::node(&left, &hash);
            index >>= 1;
            level += 1;
            completed(level, index, hash);
        }
        self.hashes.push(hash);
        self.size.0 += 1;
    }

    /// Returns the number of leaves.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// Returns the Merkle tree hash of all leaves (RFC 6962 §2.1).
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.hashes).unwrap_or(Hash::EMPTY_ROOT)
    }

    /// Returns the roots of the complete subtrees, widest first.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

/// Joins neighbouring subtrees, widest first, into the root of all; `None` if there are none.
pub(crate) fn fold(subtrees: &[Hash]) -> Option<Hash> {
    let (last, wider) = subtrees.split_last()?;
    let root = wider
        .iter()
        .rev()
        .fold(*last, |right, left| hash::node(left, &right));
    Some(root)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) mod tests {
    use super::*;

    /// The leaves of the test tree that RFC 6962 implementations share (certificate-transparency-go, `testonly`).
    pub(crate) const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];

    /// The roots of the test tree at sizes 1 to 8.
    pub(crate) const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    pub(crate) fn from_hex(text: &str) -> Hash {
        let bytes: Vec<u8> = (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect();
        Hash::try_from(bytes.as_slice()).unwrap()
    }

    #[test]
    fn the_well_known_tree_has_the_well_known_roots() {
        let mut tree = Frontier::new();
        assert_eq!(tree.root(), Hash::EMPTY_ROOT);
        for (leaf, root) in LEAVES.iter().zip(ROOTS) {
            tree.append(hash::leaf(leaf), |_, _, _| ());
            assert_eq!(tree.root(), from_hex(root));
        }
    }

    #[test]
    fn every_completed_subtree_is_reported_once() {
        let mut tree = Frontier::new();
        let mut reported = Vec::new();
        for leaf in LEAVES {
            tree.append(hash::leaf(leaf), |level, index, _| {
                reported.push((level, index));
            });
        }
        assert_eq!(reported.len(), 8 + 4 + 2 + 1);
        assert_eq!(reported.last(), Some(&(3, 0)));
        reported.sort_unstable();
        reported.dedup();
        assert_eq!(reported.len(), 15);
    }

    #[test]
    fn a_frontier_is_taken_up_again_from_its_hashes() {
        let mut tree = Frontier::new();
        for leaf in &LEAVES[..5] {
            tree.append(hash::leaf(leaf), |_, _, _| ());
        }
        let mut again = Frontier::from_hashes(tree.size(), tree.hashes().to_vec()).unwrap();
        again.append(hash::leaf(LEAVES[5]), |_, _, _| ());
        assert_eq!(again.root(), from_hex(ROOTS[5]));
        let refused = Frontier::from_hashes(TreeSize(3), vec![Hash::EMPTY_ROOT]);
        assert_eq!(
            refused.unwrap_err(),
            FrontierError {
                size: TreeSize(3),
                found: 1
            }
        );
    }
}
