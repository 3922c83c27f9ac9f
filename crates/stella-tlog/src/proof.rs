//! Inclusion and consistency proofs: checked against roots, and made from hashes of complete subtrees.
//!
//! Where those hashes are kept (memory, tiles) is behind [`SubtreeHashes`].

use crate::hash::{self, Hash};
use crate::tree::{self, LeafIndex, TreeSize};

/// Why a proof proves nothing, or cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The leaf lies beyond the tree.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    IndexOutOfRange {
        /// The leaf asked for.
        index: LeafIndex,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The number of hashes is not that of the tree's shape.
    #[error("the proof has {found} hashes instead of {expected}")]
    Length {
        /// The number that the shape of the tree demands.
        expected: usize,
        /// The number given.
        found: usize,
    },
    /// The hash of a complete subtree is not at hand.
    #[error("the hash of subtree {index} of level {level} is missing")]
    MissingSubtree {
        /// The subtree's level: it has 2^level leaves.
        level: u8,
        /// The subtree's place among those of its level.
        index: u64,
    },
    /// The proof leads to another root.
    #[error("the proof does not lead to the root")]
    RootMismatch,
    /// The older tree is the larger one.
    #[error("the older tree of {old} leaves is larger than the newer of {new}")]
    SizesReversed {
        /// The size of the older tree.
        old: TreeSize,
        /// The size of the newer tree.
        new: TreeSize,
    },
}

/// Computes the root that an inclusion proof leads to.
///
/// `proof` runs from the leaf's sibling up to the root's child.
///
/// # Errors
///
/// [`ProofError::IndexOutOfRange`], or [`ProofError::Length`] if the proof has not the shape of the tree.
// spec: RFC 9162 §2.1.3.2.
pub fn root_from_inclusion(
    leaf: &Hash,
    index: LeafIndex,
    size: TreeSize,
    proof: &[Hash],
) -> Result<Hash, ProofError> {
    if !size.contains(index) {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    require_length(inclusion_length(index, size), proof.len())?;
    let mut place = index.0;
    let mut last = size.0 - 1;
    let mut root = *leaf;
    for sibling in proof {
        if place & 1 == 1 || place == last {
            root = hash::node(sibling, &root);
            // A node without a right neighbour climbs until it is a right child itself.
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            root = hash::node(&root, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    Ok(root)
}

/// Verifies that a tree with this root holds the leaf at the index.
///
/// # Errors
///
/// As [`root_from_inclusion`], and [`ProofError::RootMismatch`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: LeafIndex,
    size: TreeSize,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if root_from_inclusion(leaf, index, size, proof)? != *root {
        return Err(ProofError::RootMismatch);
    }
    Ok(())
}

/// Verifies that the newer tree begins with all leaves of the older one.
///
/// The proof from the empty tree and the proof between equal sizes are empty; the former demands the
/// empty root, the latter equal roots.
///
/// # Errors
///
/// [`ProofError::SizesReversed`], [`ProofError::Length`] or [`ProofError::RootMismatch`].
// spec: RFC 9162 §2.1.4.2.
pub fn verify_consistency(
    old: TreeSize,
    old_root: &Hash,
    new: TreeSize,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::SizesReversed { old, new });
    }
    require_length(consistency_length(old, new), proof.len())?;
    for (size, root) in [(old, old_root), (new, new_root)] {
        if size == TreeSize::EMPTY && *root != Hash::EMPTY_ROOT {
            return Err(ProofError::RootMismatch);
        }
    }
    if old == new && old_root != new_root {
        return Err(ProofError::RootMismatch);
    }
    if old == new || old == TreeSize::EMPTY {
        return Ok(());
    }

    // The walk starts at the widest complete subtree that ends where the old tree ends.
    let mut place = old.0 - 1;
    let mut last = new.0 - 1;
    let start = place.trailing_ones();
    place >>= start;
    last >>= start;
    let (mut to_old, mut to_new, rest) = match proof.split_first() {
        // The old tree is that subtree itself: the proof need not repeat its root.
        _ if old.0.is_power_of_two() => (*old_root, *old_root, proof),
        Some((first, rest)) => (*first, *first, rest),
        None => return Err(ProofError::RootMismatch),
    };
    for sibling in rest {
        if place & 1 == 1 || place == last {
            to_old = hash::node(sibling, &to_old);
            to_new = hash::node(sibling, &to_new);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            to_new = hash::node(&to_new, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    if to_old != *old_root || to_new != *new_root {
        return Err(ProofError::RootMismatch);
    }
    Ok(())
}

/// Where the hashes of complete subtrees are found.
pub trait SubtreeHashes {
    /// Returns the hash of the complete subtree of leaves `index · 2^level` up to `(index + 1) · 2^level`.
    fn subtree(&self, level: u8, index: u64) -> Option<Hash>;
}

/// Makes the proof that a tree of `size` leaves holds the leaf at `index`.
///
/// # Errors
///
/// [`ProofError::IndexOutOfRange`] or [`ProofError::MissingSubtree`].
// spec: RFC 6962 §2.1.1, PATH(m, D[n]).
pub fn prove_inclusion(
    subtrees: &impl SubtreeHashes,
    index: LeafIndex,
    size: TreeSize,
) -> Result<Vec<Hash>, ProofError> {
    if !size.contains(index) {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    let (mut start, mut end) = (0, size.0);
    let mut proof = Vec::with_capacity(inclusion_length(index, size));
    while end - start > 1 {
        let middle = start + split(end - start);
        if index.0 < middle {
            proof.push(range_root(subtrees, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(subtrees, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Makes the proof that the tree of `new` leaves begins with the tree of `old` leaves.
///
/// # Errors
///
/// [`ProofError::SizesReversed`] or [`ProofError::MissingSubtree`].
// spec: RFC 6962 §2.1.2, PROOF(m, D[n]).
pub fn prove_consistency(
    subtrees: &impl SubtreeHashes,
    old: TreeSize,
    new: TreeSize,
) -> Result<Vec<Hash>, ProofError> {
    if old > new {
        return Err(ProofError::SizesReversed { old, new });
    }
    let mut proof = Vec::new();
    if old == TreeSize::EMPTY {
        return Ok(proof);
    }
    let (mut start, mut end) = (0, new.0);
    while end != old.0 {
        let middle = start + split(end - start);
        if old.0 <= middle {
            proof.push(range_root(subtrees, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(subtrees, start, middle)?);
            start = middle;
        }
    }
    // What is left is a complete subtree at the old tree's end; from leaf 0 on it is the old tree itself.
    if start != 0 {
        proof.push(range_root(subtrees, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Computes the root of a tree of `size` leaves.
///
/// # Errors
///
/// [`ProofError::MissingSubtree`].
pub fn root(subtrees: &impl SubtreeHashes, size: TreeSize) -> Result<Hash, ProofError> {
    if size == TreeSize::EMPTY {
        return Ok(Hash::EMPTY_ROOT);
    }
    range_root(subtrees, 0, size.0)
}

/// Returns the largest power of two smaller than `leaves`, which must be at least 2.
const fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// Computes the root of the leaves `start..end`, where `start` is a multiple of a power of two ≥ `end - start`.
fn range_root(subtrees: &impl SubtreeHashes, start: u64, end: u64) -> Result<Hash, ProofError> {
    let mut parts = Vec::new();
    let mut at = start;
    while at < end {
        let width = (end - at).ilog2();
        let level = u8::try_from(width).unwrap_or(u8::MAX); // a u64 has 64 bits
        let index = at >> width;
        let missing = ProofError::MissingSubtree { level, index };
        parts.push(subtrees.subtree(level, index).ok_or(missing)?);
        at += 1 << width;
    }
    tree::fold(&parts).ok_or(ProofError::RootMismatch)
}

/// Returns the number of hashes in an inclusion proof; `index < size`.
const fn inclusion_length(index: LeafIndex, size: TreeSize) -> usize {
    // Below the level where the paths of the leaf and of the last leaf meet, each level adds a sibling;
    // above it, only those where the path is a right child.
    let inner = u64::BITS - (index.0 ^ (size.0 - 1)).leading_zeros();
    let border = match index.0.checked_shr(inner) {
        Some(above) => above.count_ones(),
        None => 0,
    };
    (inner + border) as usize
}

/// Returns the number of hashes in a consistency proof; `old <= new`.
const fn consistency_length(old: TreeSize, new: TreeSize) -> usize {
    if old.0 == 0 || old.0 == new.0 {
        return 0;
    }
    // The path to the old tree's last leaf, cut at the widest complete subtree that ends there.
    let cut = old.0.trailing_zeros();
    let path = inclusion_length(LeafIndex(old.0 - 1), new) - cut as usize;
    if old.0.is_power_of_two() {
        path
    } else {
        path + 1
    }
}

fn require_length(expected: usize, found: usize) -> Result<(), ProofError> {
    if expected != found {
        return Err(ProofError::Length { expected, found });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
