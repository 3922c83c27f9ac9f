//! Notes: round trips, refusals, and the checkpoints of Sigstore's public conformance cases.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may panic, read vectors and say why it skipped"
)]

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::checkpoint::Checkpoint;

/// From the documentation of golang.org/x/mod/sumdb/note.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn the_example_of_the_go_library_verifies() {
    let key = VerifierKey::parse(PETER).unwrap();
    let note = Note::parse(NOTE).unwrap();
    assert_eq!(note.verify(&key), Ok(()));
    assert_eq!(note.to_string(), NOTE);
}

#[test]
fn another_text_under_a_known_key_refuses_the_note() {
    let key = VerifierKey::parse(PETER).unwrap();
    let note = Note::parse(&NOTE.replace("answer", "anwser")).unwrap();
    let expected = NoteError::BadSignature {
        name: key.name().clone(),
        key_id: key.key_id(),
    };
    assert_eq!(note.verify(&key), Err(expected));
}

#[test]
fn a_good_signature_does_not_excuse_a_bad_one_of_the_same_key() {
    let key = VerifierKey::parse(PETER).unwrap();
    let mut note = Note::parse(NOTE).unwrap();
    note.signatures.push(NoteSignature::new(&key, vec![0; 64]));
    assert!(matches!(
        note.verify(&key),
        Err(NoteError::BadSignature { .. })
    ));
}

#[test]
fn signatures_of_unknown_keys_are_ignored() {
    let key = VerifierKey::parse(PETER).unwrap();
    let mut note = Note::parse(NOTE).unwrap();
    let mut stranger = note.signatures[0].clone();
    stranger.key_id = KeyId([0; 4]);
    let mut namesake = note.signatures[0].clone();
    namesake.name = KeyName::new("other").unwrap();
    stranger.signature = vec![1];
    note.signatures.insert(0, stranger);
    note.signatures.insert(0, namesake);
    assert_eq!(note.verify(&key), Ok(()));
    note.signatures.truncate(2);
    assert!(matches!(
        note.verify(&key),
        Err(NoteError::NotSigned { .. })
    ));
}

#[test]
fn a_text_may_have_empty_lines() {
    let note = Note::parse("a\n\nb\n\n\u{2014} k AAAAAAA=\n").unwrap();
    assert_eq!(note.text, "a\n\nb\n");
    assert_eq!(note.signatures[0].signature, [0]);
}

#[test]
fn what_is_no_note_is_refused_by_its_fault() {
    let refused = |note: &str, expected: NoteError| {
        assert_eq!(Note::parse(note), Err(expected), "{note:?}");
    };
    refused("", NoteError::SignaturesMissing);
    refused("text\n", NoteError::SignaturesMissing);
    refused("text\n\n", NoteError::SignaturesMissing);
    refused("text\r\n\n", NoteError::ControlCharacter);
    let line = |line| NoteError::SignatureLine { line };
    refused("text\n\n\n", NoteError::SignaturesMissing);
    refused("text\n\n- k AAAAAAA=\n", line(1));
    refused("text\n\n\u{2014} k AAAAAA==\n", line(1)); // an id and no signature
    refused(
        "text\n\n\u{2014} k AAAAAAA=\n\u{2014} k+ AAAAAAA=\n",
        line(2),
    );
    refused("text\n\n\u{2014} k AAAAAAA= \n", line(1));
    refused("text\n\n\u{2014} k AAAAAAA=", NoteError::SignaturesMissing);
    let many = "\u{2014} k AAAAAAA=\n".repeat(MAX_SIGNATURES + 1);
    refused(&format!("text\n\n{many}"), NoteError::TooManySignatures);
    let long = "x".repeat(MAX_NOTE + 1);
    refused(&long, NoteError::TooLong { found: long.len() });
}

#[test]
fn sixteen_ml_dsa_44_cosignatures_fit_a_note() {
    let blob = STANDARD.encode([7; 4 + 8 + 2420]);
    let lines = format!("\u{2014} witness.example.com/name {blob}\n").repeat(16);
    let note = Note::parse(&format!("o\n1\nr\n\n{lines}")).unwrap();
    assert_eq!(note.signatures.len(), 16);
}

/// The public conformance cases beside the workspace; `None`, with the reason printed, when they are absent.
fn conformance_cases() -> Option<PathBuf> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/cases");
    if !cases.is_dir() {
        eprintln!("skipped: no conformance cases at {}", cases.display());
        return None;
    }
    Some(cases)
}

/// The note in a case's bundle, and the keys its trusted root gives to that note's origin.
fn case(folder: &Path) -> (String, Vec<VerifierKey>) {
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
    };
    let bundle = read("bundle.sigstore.json");
    let entry = &bundle["verificationMaterial"]["tlogEntries"][0];
    let note = entry["inclusionProof"]["checkpoint"]["envelope"].as_str();
    let note = note.unwrap().to_owned();
    let mut keys = Vec::new();
    for log in read("trusted_root.json")["tlogs"].as_array().unwrap() {
        let url = log["baseUrl"].as_str().unwrap();
        let name = KeyName::new(url.trim_start_matches("https://").trim_end_matches('/')).unwrap();
        let spki = STANDARD
            .decode(log["publicKey"]["rawBytes"].as_str().unwrap())
            .unwrap();
        let key = match log["publicKey"]["keyDetails"].as_str().unwrap() {
            // An Ed25519 SubjectPublicKeyInfo ends in the 32 bytes of the key (RFC 8410 §4).
            "PKIX_ED25519" => {
                VerifierKey::new(name, SignatureType::Ed25519, &spki[spki.len() - 32..])
            }
            _ => VerifierKey::new(name, SignatureType::Ecdsa, &spki),
        };
        let key = key.unwrap();
        let log_id = STANDARD
            .decode(log["logId"]["keyId"].as_str().unwrap())
            .unwrap();
        assert_eq!(key.log_id().as_slice(), log_id, "{url}");
        keys.push(key);
    }
    (note, keys)
}

/// Verifies a case's checkpoint as a client would: read, signed by one known key of the origin's name.
fn is_accepted(note: &str, keys: &[VerifierKey]) -> bool {
    let Ok(note) = Note::parse(note) else {
        return false;
    };
    let Ok(checkpoint) = Checkpoint::parse(&note.text) else {
        return false;
    };
    keys.iter()
        .filter(|key| key.name().as_str() == checkpoint.origin)
        .any(|key| note.verify(key).is_ok())
}

#[test]
fn public_checkpoints_of_rekor_v2_are_judged_as_sigstore_expects() {
    let Some(cases) = conformance_cases() else {
        return;
    };
    // These cases are about the checkpoint itself; the others of the family carry good checkpoints.
    let bad = [
        "rekor2-checkpoint-missing-log-signature_fail",
        "rekor2-checkpoint-missing-origin_fail",
        "rekor2-checkpoint-missing-root-hash_fail",
        "rekor2-checkpoint-no-matching-signature_fail",
    ];
    let mut seen = 0;
    for folder in std::fs::read_dir(cases).unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("rekor2-") || name == "rekor2-no-inclusion-proof_fail" {
            continue;
        }
        let (note, keys) = case(&folder);
        assert_eq!(
            is_accepted(&note, &keys),
            !bad.contains(&name.as_str()),
            "{name}"
        );
        if !bad.contains(&name.as_str()) {
            assert_eq!(Note::parse(&note).unwrap().to_string(), note, "{name}");
        }
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} cases");
}
