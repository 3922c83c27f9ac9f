//! Each answer of a witness, and the law that it never signs two roots for one size.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use proptest::prelude::*;

use super::*;
use crate::hash;
use crate::note::{KeyName, NoteSignature, SignatureType};
use crate::proof::SubtreeHashes;
use crate::tree::Frontier;

struct Log {
    pair: Ed25519KeyPair,
    key: VerifierKey,
    subtrees: HashMap<(u8, u64), Hash>,
    roots: Vec<Hash>,
}

impl SubtreeHashes for Log {
    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        self.subtrees.get(&(level, index)).copied()
    }
}

impl Log {
    fn new(size: u64, seed: u8) -> Self {
        // One key for all logs of these tests: a split view is one log with two trees.
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let name = KeyName::new("log.example").unwrap();
        let public = pair.public_key().as_ref();
        let key = VerifierKey::new(name, SignatureType::Ed25519, public).unwrap();
        let mut frontier = Frontier::new();
        let (mut subtrees, mut roots) = (HashMap::new(), vec![frontier.root()]);
        for leaf in 0..size {
            // The trees of two seeds part at leaf 3.
            let seed = if leaf < 3 { 0 } else { seed };
            frontier.append(
                hash::leaf(&[seed, u8::try_from(leaf).unwrap()]),
                |level, index, hash| {
                    subtrees.insert((level, index), hash);
                },
            );
            roots.push(frontier.root());
        }
        Self {
            pair,
            key,
            subtrees,
            roots,
        }
    }

    fn root(&self, size: u64) -> Hash {
        self.roots[usize::try_from(size).unwrap()]
    }

    fn request(&self, old: u64, new: u64) -> AddCheckpoint {
        let (old_size, size) = (TreeSize(old), TreeSize(new));
        let text = Checkpoint {
            origin: "log.example".to_owned(),
            size,
            root: self.root(new),
            extensions: Vec::new(),
        }
        .to_string();
        let signature = self.pair.sign(text.as_bytes()).as_ref().to_vec();
        AddCheckpoint {
            old_size,
            proof: proof::prove_consistency(self, old_size, size).unwrap_or_default(),
            note: Note {
                text,
                signatures: vec![NoteSignature::new(&self.key, signature)],
            },
        }
    }

    fn known(&self, size: u64) -> KnownLog {
        KnownLog {
            keys: vec![self.key.clone()],
            size: TreeSize(size),
            root: self.root(size),
        }
    }
}

fn status(request: &AddCheckpoint, known: &KnownLog) -> u16 {
    decide(request, |origin| (origin == "log.example").then_some(known)).status()
}

#[test]
fn each_answer_of_the_specification_is_given() {
    let log = Log::new(8, 0);
    let split = Log::new(8, 1);
    assert_eq!(status(&log.request(0, 5), &log.known(0)), 200);
    assert_eq!(status(&log.request(5, 8), &log.known(5)), 200);
    assert_eq!(status(&log.request(5, 5), &log.known(5)), 200);
    assert_eq!(status(&log.request(0, 0), &log.known(0)), 200);
    assert_eq!(status(&log.request(8, 5), &log.known(8)), 400);
    assert_eq!(decide(&log.request(0, 5), |_| None).status(), 404);
    let five = log.known(5);
    assert_eq!(
        decide(&log.request(4, 8), |_| Some(&five)),
        Decision::Conflict { size: TreeSize(5) }
    );
    // Another tree: proof fails, or equal size and another root.
    assert_eq!(status(&split.request(5, 8), &log.known(5)), 422);
    assert_eq!(status(&split.request(5, 5), &log.known(5)), 422);
    let mut proof_from_nothing = log.request(0, 5);
    proof_from_nothing.proof.push(Hash::EMPTY_ROOT);
    assert_eq!(status(&proof_from_nothing, &log.known(0)), 422);
}

#[test]
fn a_missing_or_bad_signature_is_forbidden() {
    let log = Log::new(8, 0);
    let mut bad = log.request(0, 5);
    bad.note.signatures[0].signature[0] ^= 1;
    assert_eq!(status(&bad, &log.known(0)), 403);
    let mut none = log.request(0, 5);
    none.note.signatures[0].name = KeyName::new("other").unwrap();
    assert_eq!(status(&none, &log.known(0)), 403);
    let mut both = log.request(0, 5);
    both.note.signatures.push(bad.note.signatures[0].clone());
    assert_eq!(status(&both, &log.known(0)), 403);
    let mut malformed = log.request(0, 5);
    malformed.note.text = "log.example\n".to_owned();
    assert_eq!(status(&malformed, &log.known(0)), 400);
}

#[test]
fn a_request_reads_back_as_it_was_printed() {
    let log = Log::new(8, 0);
    for (old, new) in [(0, 8), (5, 8), (8, 8)] {
        let request = log.request(old, new);
        assert_eq!(AddCheckpoint::parse(&request.to_string()), Some(request));
    }
}

#[test]
fn a_malformed_request_is_not_read() {
    let note = Log::new(8, 0).request(0, 8).note;
    let hash = Hash::EMPTY_ROOT;
    let lines = format!("{hash}\n").repeat(MAX_PROOF + 1);
    for head in [
        "",
        "old\n",
        "old 01\n",
        "old -1\n",
        "new 1\n",
        "old 1\nAAAA\n",
        "old 1 \n",
        &format!("old 1\n{lines}"),
    ] {
        assert_eq!(
            AddCheckpoint::parse(&format!("{head}\n{note}")),
            None,
            "{head}"
        );
    }
    assert_eq!(AddCheckpoint::parse("old 0\n\nno note\n"), None);
    assert_eq!(AddCheckpoint::parse(&"x".repeat(MAX_REQUEST + 1)), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_witness_never_cosigns_two_roots_for_one_size(
        requests in prop::collection::vec((0_u8..2, 0_u64..12, 0_u64..12), 1..30)
    ) {
        let logs = [Log::new(12, 0), Log::new(12, 1)];
        let mut known = logs[0].known(0);
        let mut cosigned: HashMap<TreeSize, Hash> = HashMap::new();
        for (which, old, new) in requests {
            let request = logs[usize::from(which)].request(old, new);
            if let Decision::Cosign { checkpoint } = decide(&request, |_| Some(&known)) {
                prop_assert!(checkpoint.size >= known.size);
                let first = *cosigned.entry(checkpoint.size).or_insert(checkpoint.root);
                prop_assert_eq!(first, checkpoint.root);
                known.size = checkpoint.size;
                known.root = checkpoint.root;
            }
        }
    }
}
