//! The texts of a transparency log: notes, checkpoints, keys, policies, proofs, tile paths, entry bundles.
//!
//! What has one spelling is printed back to the bytes it was read from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::note::{Note, VerifierKey};
use stella_tlog::quorum::Policy;
use stella_tlog::tile::{self, TilePath};
use stella_tlog::tlog_proof::TlogProof;

fuzz_target!(|bytes: &[u8]| {
    entry_bundle(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(note) = Note::parse(text) {
        assert_eq!(note.to_string(), text);
        let _ = Checkpoint::parse(&note.text);
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_string(), text);
    }
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key));
    }
    if let Some(path) = TilePath::parse(text) {
        assert_eq!(path.to_string(), text);
    }
    let _ = Policy::parse(text);
    if let Ok(proof) = TlogProof::parse(text) {
        let _ = proof.checkpoint_of(&stella_tlog::hash::leaf(b"another leaf"));
    }
});

fn entry_bundle(bytes: &[u8]) {
    let Ok(entries) = tile::entries(bytes) else {
        return;
    };
    let mut again = Vec::new();
    for entry in entries {
        tile::push_entry(&mut again, entry).expect("what was read is short enough");
    }
    assert_eq!(again, bytes);
}
