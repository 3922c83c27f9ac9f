//! The laws of proofs, on known vectors and on random trees.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::tree::Frontier;
use crate::tree::tests::{LEAVES, ROOTS, from_hex};

#[derive(Default)]
struct Tree {
    subtrees: HashMap<(u8, u64), Hash>,
    roots: Vec<Hash>,
}

impl SubtreeHashes for Tree {
    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        self.subtrees.get(&(level, index)).copied()
    }
}

impl Tree {
    fn new<'a>(leaves: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut tree = Self::default();
        let mut frontier = Frontier::new();
        tree.roots.push(frontier.root());
        for leaf in leaves {
            frontier.append(hash::leaf(leaf), |level, index, hash| {
                tree.subtrees.insert((level, index), hash);
            });
            tree.roots.push(frontier.root());
        }
        tree
    }

    fn numbered(size: u64) -> Self {
        let leaves: Vec<[u8; 8]> = (0..size).map(u64::to_be_bytes).collect();
        Self::new(leaves.iter().map(<[u8; 8]>::as_slice))
    }

    fn leaf(&self, index: u64) -> Hash {
        self.subtrees[&(0, index)]
    }

    fn root(&self, size: u64) -> Hash {
        self.roots[usize::try_from(size).unwrap()]
    }
}

#[test]
fn the_well_known_inclusion_proofs_are_made_and_verified() {
    // From certificate-transparency-go, `merkletree/verify_test.go`: leaf, size, proof (one-based leaves there).
    let vectors: [(u64, u64, &[&str]); 4] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            3,
            &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
        ),
    ];
    let tree = Tree::new(LEAVES);
    for (index, size, expected) in vectors {
        let proof = prove_inclusion(&tree, LeafIndex(index), TreeSize(size)).unwrap();
        let expected: Vec<Hash> = expected.iter().map(|text| from_hex(text)).collect();
        assert_eq!(proof, expected);
        let leaf = tree.leaf(index);
        let root = root_from_inclusion(&leaf, LeafIndex(index), TreeSize(size), &proof).unwrap();
        assert_eq!(root, from_hex(ROOTS[usize::try_from(size).unwrap() - 1]));
    }
}

#[test]
fn the_well_known_consistency_proofs_are_made_and_verified() {
    let vectors: [(u64, u64, &[&str]); 4] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    let tree = Tree::new(LEAVES);
    for (old, new, expected) in vectors {
        let (old, new) = (TreeSize(old), TreeSize(new));
        let proof = prove_consistency(&tree, old, new).unwrap();
        let expected: Vec<Hash> = expected.iter().map(|text| from_hex(text)).collect();
        assert_eq!(proof, expected);
        verify_consistency(old, &tree.root(old.0), new, &tree.root(new.0), &proof).unwrap();
    }
}

#[test]
fn all_proofs_of_all_small_trees_verify() {
    let tree = Tree::numbered(40);
    for new in 0..=40 {
        assert_eq!(root(&tree, TreeSize(new)).unwrap(), tree.root(new));
        for old in 0..=new {
            let (old, new) = (TreeSize(old), TreeSize(new));
            let proof = prove_consistency(&tree, old, new).unwrap();
            verify_consistency(old, &tree.root(old.0), new, &tree.root(new.0), &proof).unwrap();
        }
        for index in 0..new {
            let (index, size) = (LeafIndex(index), TreeSize(new));
            let proof = prove_inclusion(&tree, index, size).unwrap();
            verify_inclusion(&tree.leaf(index.0), index, size, &tree.root(new), &proof).unwrap();
        }
    }
}

#[test]
fn sizes_at_the_end_of_the_range_do_not_overflow() {
    let hash = Hash::EMPTY_ROOT;
    let whole = TreeSize(u64::MAX);
    let last = LeafIndex(u64::MAX - 1);
    assert!(root_from_inclusion(&hash, last, whole, &[hash; 63]).is_ok());
    assert!(root_from_inclusion(&hash, LeafIndex(0), whole, &[hash; 64]).is_ok());
    assert_eq!(
        root_from_inclusion(&hash, LeafIndex(u64::MAX), whole, &[]),
        Err(ProofError::IndexOutOfRange {
            index: LeafIndex(u64::MAX),
            size: whole
        })
    );
    assert!(verify_consistency(TreeSize(1 << 63), &hash, whole, &hash, &[hash]).is_err());
}

#[test]
fn an_empty_tree_with_another_root_is_refused() {
    let root = hash::leaf(b"");
    let refused = Err(ProofError::RootMismatch);
    let (empty, one) = (TreeSize(0), TreeSize(1));
    assert_eq!(verify_consistency(empty, &root, one, &root, &[]), refused);
    assert_eq!(verify_consistency(empty, &root, empty, &root, &[]), refused);
    let proof = [root];
    let refused = verify_consistency(empty, &Hash::EMPTY_ROOT, one, &root, &proof);
    assert_eq!(
        refused,
        Err(ProofError::Length {
            expected: 0,
            found: 1
        })
    );
}

/// Every way to change one proof: a bit of a hash, one hash less, one more, two swapped.
fn mutants(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut mutants = vec![[proof, &[Hash::EMPTY_ROOT]].concat()];
    for at in 0..proof.len() {
        let mut flipped = proof.to_vec();
        let mut bytes = *flipped[at].as_bytes();
        bytes[at % Hash::SIZE] ^= 1;
        flipped[at] = Hash::from_bytes(bytes);
        mutants.push(flipped);
        let mut shorter = proof.to_vec();
        shorter.remove(at);
        mutants.push(shorter);
        let mut swapped = proof.to_vec();
        swapped.swap(at, 0);
        if swapped != proof {
            mutants.push(swapped);
        }
    }
    mutants
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_inclusion_proof_verifies_and_no_mutant_of_it((size, index) in (1u64..600).prop_flat_map(|size| (Just(size), 0..size))) {
        let tree = Tree::numbered(size);
        let (at, of, root) = (LeafIndex(index), TreeSize(size), tree.root(size));
        let leaf = tree.leaf(index);
        let proof = prove_inclusion(&tree, at, of).unwrap();
        prop_assert_eq!(verify_inclusion(&leaf, at, of, &root, &proof), Ok(()));
        for mutant in mutants(&proof) {
            prop_assert!(verify_inclusion(&leaf, at, of, &root, &mutant).is_err());
        }
        if index + 1 < size {
            prop_assert!(verify_inclusion(&leaf, LeafIndex(index + 1), of, &root, &proof).is_err());
        }
        prop_assert!(verify_inclusion(&hash::leaf(b"other"), at, of, &root, &proof).is_err());
    }

    #[test]
    fn a_consistency_proof_verifies_and_no_mutant_of_it((new, old) in (1u64..600).prop_flat_map(|new| (Just(new), 1..=new))) {
        let tree = Tree::numbered(new);
        let (old, new) = (TreeSize(old), TreeSize(new));
        let (old_root, new_root) = (tree.root(old.0), tree.root(new.0));
        let proof = prove_consistency(&tree, old, new).unwrap();
        prop_assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()));
        for mutant in mutants(&proof) {
            prop_assert!(verify_consistency(old, &old_root, new, &new_root, &mutant).is_err());
        }
        let other = hash::leaf(b"other");
        prop_assert!(verify_consistency(old, &other, new, &new_root, &proof).is_err());
        prop_assert!(verify_consistency(old, &old_root, new, &other, &proof).is_err());
    }
}
