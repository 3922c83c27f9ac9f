//! The rules of the walk, each with metadata that breaks it: a repository in memory whose every part can be changed.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use super::*;
use crate::digest::DigestAlgorithm;

const NOW: UnixTime = UnixTime::from_seconds(1_795_000_000);
const TARGET: &[u8] = b"a published file";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn day(days: u64) -> String {
    NOW.plus(Duration::from_secs(days * 86_400)).to_string()
}

fn id(seed: u8) -> String {
    format!("key-{seed}")
}

fn sign(signed: &Value, seeds: &[u8]) -> Vec<u8> {
    let named: Vec<(String, u8)> = seeds.iter().map(|seed| (id(*seed), *seed)).collect();
    sign_as(signed, &named)
}

fn sign_as(signed: &Value, signers: &[(String, u8)]) -> Vec<u8> {
    let message = canonical::to_bytes(signed).unwrap();
    let signature = |(id, seed): &(String, u8)| {
        let bytes = key(*seed).sign(&message).to_bytes();
        json!({"keyid": id, "sig": hex::encode(bytes)})
    };
    let signatures: Vec<Value> = signers.iter().map(signature).collect();
    serde_json::to_vec(&json!({"signatures": signatures, "signed": signed})).unwrap()
}

/// Root metadata of `version`: two of the `owners` sign for root and targets, key 9 for the rest.
fn root_words(version: u64, owners: &[u8]) -> Value {
    let written = |seed: u8| {
        json!({"keytype": "ed25519", "scheme": "ed25519", "x-owner": "someone",
            "keyval": {"public": hex::encode(key(seed).verifying_key().to_bytes())}})
    };
    let mut keys = serde_json::Map::new();
    for seed in owners.iter().copied().chain([9]) {
        keys.insert(id(seed), written(seed));
    }
    let role = |seeds: &[u8], threshold: usize| {
        let ids: Vec<String> = seeds.iter().map(|seed| id(*seed)).collect();
        json!({"keyids": ids, "threshold": threshold})
    };
    json!({"_type": "root", "spec_version": "1.0.31", "version": version, "expires": day(100),
        "consistent_snapshot": true, "keys": keys, "x-note": "kept",
        "roles": {"root": role(owners, 2), "targets": role(owners, 2),
            "snapshot": role(&[9], 1), "timestamp": role(&[9], 1)}})
}

fn root_one() -> Root {
    Root::trust(&sign(&root_words(1, &[1, 2, 3]), &[1, 2])).unwrap()
}

fn timestamp_words(version: u64, snapshot: u64) -> Value {
    json!({"_type": "timestamp", "spec_version": "1.0", "version": version, "expires": day(7),
        "meta": {"snapshot.json": {"version": snapshot}}})
}

fn snapshot_words(version: u64, targets: u64) -> Value {
    json!({"_type": "snapshot", "spec_version": "1.0", "version": version, "expires": day(30),
        "meta": {"targets.json": {"version": targets}}})
}

fn targets_words(version: u64) -> Value {
    let digest = DigestAlgorithm::Sha256.digest(TARGET).hex();
    json!({"_type": "targets", "spec_version": "1.0", "version": version, "expires": day(60),
        "targets": {"trusted_root.json": {"length": TARGET.len(), "hashes": {"sha256": digest}}}})
}

fn timestamp(root: &Root, words: &Value) -> Result<Timestamp, TufError> {
    root.timestamp(&sign(words, &[9]), None, NOW)
}

fn snapshot(root: &Root, words: &Value) -> Result<Snapshot, TufError> {
    let version = words["version"].as_u64().unwrap();
    let timestamp = timestamp(root, &timestamp_words(1, version))?;
    root.snapshot(&sign(words, &[9]), &timestamp, None, NOW)
}

fn targets(root: &Root, words: &Value) -> Result<Targets, TufError> {
    let version = words["version"].as_u64().unwrap();
    let snapshot = snapshot(root, &snapshot_words(1, version))?;
    root.targets(&sign(words, &[1, 3]), &snapshot, NOW)
}

#[test]
fn a_walk_ends_at_the_published_file() {
    let root = root_one();
    let targets = targets(&root, &targets_words(4)).unwrap();
    let record = targets.find("trusted_root.json").unwrap();
    record.require("trusted_root.json", TARGET).unwrap();
    let digest = DigestAlgorithm::Sha256.digest(TARGET).hex();
    assert_eq!(record.hash_in_name(), Some(digest));
    assert!(matches!(
        targets.find("another"),
        Err(TufError::FileUnnamed { .. })
    ));
}

#[test]
fn another_length_or_hash_of_a_file_is_refused() {
    let targets = targets(&root_one(), &targets_words(1)).unwrap();
    let record = targets.find("trusted_root.json").unwrap();
    let wrong = |bytes: &[u8]| record.require("f", bytes).unwrap_err();
    let (expected, found) = (TARGET.len() as u64, TARGET.len() as u64 + 1);
    let name = || "f".to_owned();
    assert_eq!(
        wrong(b"a published file!"),
        TufError::WrongLength {
            name: name(),
            expected,
            found
        }
    );
    assert_eq!(
        wrong(b"A published file"),
        TufError::WrongHash { name: name() }
    );
    let unknown: TargetRecord =
        serde_json::from_value(json!({"length": 16, "hashes": {"md5": "00"}})).unwrap();
    assert_eq!(
        unknown.require("f", TARGET),
        Err(TufError::UnknownHash { name: name() })
    );
    // One good hash does not make up for another that is wrong.
    let good = DigestAlgorithm::Sha256.digest(TARGET).hex();
    let both: TargetRecord = serde_json::from_value(
        json!({"length": 16, "hashes": {"sha256": good, "sha512": "00".repeat(64)}}),
    )
    .unwrap();
    assert_eq!(
        both.require("f", TARGET),
        Err(TufError::WrongHash { name: name() })
    );
}

#[test]
fn owners_change_over_two_roots_with_old_and_new_signatures() {
    let mut root = root_one();
    let second = sign(&root_words(2, &[2, 3, 4]), &[2, 3]);
    assert_eq!(root.advance(&second).unwrap(), OnlineKeys::Kept);
    // Of the second root's owners only one signed the third.
    let third = root_words(3, &[4, 5]);
    root.advance(&sign(&third, &[4, 5])).unwrap_err();
    root.advance(&sign(&third, &[2, 4, 5])).unwrap();
    assert_eq!((root.version(), root.is_consistent()), (3, true));
}

#[test]
fn a_new_root_needs_a_threshold_of_the_old_keys_and_one_of_its_own() {
    let too_few = |have| TufError::NotEnoughSignatures {
        role: Role::Root,
        have,
        need: 2,
    };
    let next = root_words(2, &[4, 5]);
    for signers in [&[4, 5, 1][..], &[1, 2, 4], &[1, 2], &[4, 5]] {
        let refused = root_one().advance(&sign(&next, signers)).unwrap_err();
        assert!(
            refused == too_few(1) || refused == too_few(0),
            "{signers:?}: {refused:?}"
        );
    }
    root_one().advance(&sign(&next, &[1, 2, 4, 5])).unwrap();
}

#[test]
fn too_few_signatures_are_too_few_for_each_role() {
    let root = root_one();
    let refused = |error: TufError| match error {
        TufError::NotEnoughSignatures { role, have, need } => (role, have, need),
        other => panic!("{other:?}"),
    };
    let first = Root::trust(&sign(&root_words(1, &[1, 2, 3]), &[3])).unwrap_err();
    assert_eq!(refused(first), (Role::Root, 1, 2));
    let words = timestamp_words(1, 1);
    let error = root.timestamp(&sign(&words, &[1, 2, 3]), None, NOW);
    assert_eq!(refused(error.unwrap_err()), (Role::Timestamp, 0, 1));
    let believed = timestamp(&root, &words).unwrap();
    let error = root.snapshot(&sign(&snapshot_words(1, 1), &[1]), &believed, None, NOW);
    assert_eq!(refused(error.unwrap_err()), (Role::Snapshot, 0, 1));
    let believed = snapshot(&root, &snapshot_words(1, 1)).unwrap();
    let error = root.targets(&sign(&targets_words(1), &[1, 9]), &believed, NOW);
    assert_eq!(refused(error.unwrap_err()), (Role::Targets, 1, 2));
}

#[test]
fn a_key_under_two_ids_and_an_id_that_signs_twice_count_once() {
    let mut words = root_words(1, &[1, 2]);
    words["keys"]["alias"] = words["keys"]["key-1"].clone();
    let ids = words["roles"]["root"]["keyids"].as_array_mut().unwrap();
    ids.push(json!("alias"));
    let twice = [(id(1), 1), ("alias".to_owned(), 1)];
    assert_eq!(
        Root::trust(&sign_as(&words, &twice)).unwrap_err(),
        TufError::NotEnoughSignatures {
            role: Role::Root,
            have: 1,
            need: 2
        }
    );
    assert_eq!(
        Root::trust(&sign(&words, &[1, 1])).unwrap_err(),
        TufError::SignatureTwice {
            role: Role::Root,
            key_id: id(1)
        }
    );
}

#[test]
fn a_changed_byte_of_an_unknown_field_spoils_the_signature() {
    let signed = String::from_utf8(sign(&root_words(1, &[1, 2]), &[1, 2])).unwrap();
    Root::trust(signed.as_bytes()).unwrap();
    let changed = signed.replace("kept", "lost");
    assert!(matches!(
        Root::trust(changed.as_bytes()),
        Err(TufError::NotEnoughSignatures { have: 0, .. })
    ));
}

#[test]
fn unknown_kinds_of_keys_and_unfinished_signatures_are_passed_over() {
    let mut words = root_words(1, &[1, 2]);
    words["keys"]["strange"] =
        json!({"keytype": "sphincs", "scheme": "s", "keyval": {"public": ""}});
    words["keys"]["stranger"] = json!({"keytype": "sigstore-oidc", "keyval": {"identity": "x"}});
    let mut file: Value = serde_json::from_slice(&sign(&words, &[1, 2])).unwrap();
    let list = file["signatures"].as_array_mut().unwrap();
    list.insert(0, json!({"keyid": "strange", "sig": ""}));
    Root::trust(&serde_json::to_vec(&file).unwrap()).unwrap();
}

#[test]
fn a_root_is_followed_by_the_next_version_only() {
    for version in [0, 1, 3, u64::MAX] {
        let bytes = sign(&root_words(version, &[1, 2, 3]), &[1, 2]);
        let error = root_one().advance(&bytes).unwrap_err();
        let expected = 2;
        assert_eq!(
            error,
            TufError::RootVersion {
                expected,
                found: version
            }
        );
    }
}

#[test]
fn a_timestamp_never_goes_back_and_neither_does_its_snapshot() {
    let root = root_one();
    let before = timestamp(&root, &timestamp_words(5, 3)).unwrap();
    let now = |words: &Value| root.timestamp(&sign(words, &[9]), Some(&before), NOW);
    let (trusted, found) = (5, 4);
    assert_eq!(
        now(&timestamp_words(4, 3)).unwrap_err(),
        TufError::Rollback {
            role: Role::Timestamp,
            trusted,
            found
        }
    );
    let (trusted, found) = (3, 2);
    assert_eq!(
        now(&timestamp_words(6, 2)).unwrap_err(),
        TufError::Rollback {
            role: Role::Snapshot,
            trusted,
            found
        }
    );
    assert_eq!(now(&timestamp_words(6, 4)).unwrap().version(), 6);
    // The same version with other content is not taken: what was believed stays.
    let same = now(&timestamp_words(5, 9)).unwrap();
    assert_eq!((same.snapshot().version, same.bytes()), (3, before.bytes()));
}

#[test]
fn a_snapshot_takes_no_targets_back_or_away() {
    let root = root_one();
    let mut words = snapshot_words(3, 7);
    words["meta"]["team.json"] = json!({"version": 2});
    let before = snapshot(&root, &words).unwrap();
    let now = |words: &Value| {
        let timestamp = timestamp(&root, &timestamp_words(1, 4))?;
        root.snapshot(&sign(words, &[9]), &timestamp, Some(&before), NOW)
    };
    let (trusted, found) = (7, 6);
    assert_eq!(
        now(&snapshot_words(4, 6)).unwrap_err(),
        TufError::Rollback {
            role: Role::Targets,
            trusted,
            found
        }
    );
    let name = "team.json".to_owned();
    assert_eq!(
        now(&snapshot_words(4, 7)).unwrap_err(),
        TufError::FileGone { name }
    );
    words["version"] = json!(4);
    assert_eq!(now(&words).unwrap().version(), 4);
}

#[test]
fn what_the_metadata_above_names_is_what_must_come() {
    let root = root_one();
    // 1. Versions.
    let believed = timestamp(&root, &timestamp_words(1, 2)).unwrap();
    let mismatch = |role| TufError::VersionMismatch {
        role,
        expected: 2,
        found: 3,
    };
    let bytes = sign(&snapshot_words(3, 1), &[9]);
    let error = root.snapshot(&bytes, &believed, None, NOW).unwrap_err();
    assert_eq!(error, mismatch(Role::Snapshot));
    let believed = snapshot(&root, &snapshot_words(1, 2)).unwrap();
    let error = root.targets(&sign(&targets_words(3), &[1, 2]), &believed, NOW);
    assert_eq!(error.unwrap_err(), mismatch(Role::Targets));
    // 2. Length and hash, where they are named.
    let bytes = sign(&snapshot_words(2, 1), &[9]);
    let named = |length: usize, digest: String| {
        let mut words = timestamp_words(1, 2);
        words["meta"]["snapshot.json"] =
            json!({"version": 2, "length": length, "hashes": {"sha256": digest}});
        let believed = timestamp(&root, &words)?;
        root.snapshot(&bytes, &believed, None, NOW)
    };
    let digest = DigestAlgorithm::Sha256.digest(&bytes).hex();
    named(bytes.len(), digest.clone()).unwrap();
    assert!(matches!(
        named(bytes.len() - 1, digest),
        Err(TufError::WrongLength { .. })
    ));
    assert!(matches!(
        named(bytes.len(), "00".repeat(32)),
        Err(TufError::WrongHash { .. })
    ));
}

#[test]
fn what_has_expired_is_refused_with_its_date() {
    let root = root_one();
    let past = day(0);
    let expired = |error: TufError, wanted: Role| {
        assert!(error.to_string().contains(&past), "{error}");
        assert!(matches!(error, TufError::Expired { role, .. } if role == wanted));
    };
    let ended = |mut words: Value| {
        words["expires"] = json!(past);
        words
    };
    let mut old = root_words(2, &[1, 2, 3]);
    old["expires"] = json!(past);
    let mut walked = root.clone();
    walked.advance(&sign(&old, &[1, 2])).unwrap();
    expired(walked.require_current(NOW).unwrap_err(), Role::Root);
    // An ended root still leads to the next one.
    walked
        .advance(&sign(&root_words(3, &[1, 2, 3]), &[1, 2]))
        .unwrap();
    walked.require_current(NOW).unwrap();
    expired(
        timestamp(&root, &ended(timestamp_words(1, 1))).unwrap_err(),
        Role::Timestamp,
    );
    expired(
        snapshot(&root, &ended(snapshot_words(1, 1))).unwrap_err(),
        Role::Snapshot,
    );
    expired(
        targets(&root, &ended(targets_words(1))).unwrap_err(),
        Role::Targets,
    );
    // A repeated timestamp is judged by the date of the one that was believed.
    let believed = timestamp(&root, &timestamp_words(1, 1)).unwrap();
    let later = NOW.plus(Duration::from_secs(8 * 86_400));
    let error = root.timestamp(believed.bytes(), Some(&believed), later);
    assert!(matches!(error, Err(TufError::Expired { .. })));
}

#[test]
fn new_online_keys_end_what_the_old_ones_drove_up() {
    let mut root = root_one();
    let driven = timestamp(&root, &timestamp_words(u64::MAX, 1)).unwrap();
    let mut words = root_words(2, &[1, 2, 3]);
    words["keys"]["key-8"] = json!({"keytype": "ed25519", "scheme": "ed25519",
        "keyval": {"public": hex::encode(key(8).verifying_key().to_bytes())}});
    words["roles"]["timestamp"]["keyids"] = json!(["key-8"]);
    assert_eq!(
        root.advance(&sign(&words, &[1, 2])).unwrap(),
        OnlineKeys::Rotated
    );
    // What was signed by the old key counts no more, not even as a bound.
    root.remembered_timestamp(driven.bytes()).unwrap_err();
    root.timestamp(&sign(&timestamp_words(1, 1), &[8]), None, NOW)
        .unwrap();
}

#[test]
fn metadata_of_another_role_version_or_shape_is_refused() {
    let root = root_one();
    let check = |change: &dyn Fn(&mut Value)| {
        let mut words = timestamp_words(1, 1);
        change(&mut words);
        timestamp(&root, &words).unwrap_err()
    };
    let role = Role::Timestamp;
    assert!(matches!(
        check(&|words| words["_type"] = json!("snapshot")),
        TufError::WrongRole { .. }
    ));
    assert!(matches!(
        check(&|words| words["spec_version"] = json!("2.0")),
        TufError::SpecVersion { .. }
    ));
    assert!(matches!(
        check(&|words| words["expires"] = json!("tomorrow")),
        TufError::Date { .. }
    ));
    assert!(matches!(
        check(&|words| words["version"] = json!(-1)),
        TufError::Json { .. }
    ));
    assert!(matches!(
        check(&|words| words["meta"] = json!({})),
        TufError::FileUnnamed { .. }
    ));
    let mut fraction = root_words(1, &[1, 2]);
    fraction["x-note"] = json!(1.5);
    let file = json!({"signatures": [], "signed": fraction});
    let error = Root::trust(&serde_json::to_vec(&file).unwrap()).unwrap_err();
    assert_eq!(error, TufError::NotWhole { role: Role::Root });
    let twice = br#"{"signatures": [], "signed": {}, "signed": {}}"#;
    assert!(matches!(
        root.remembered_timestamp(twice),
        Err(TufError::Json { .. })
    ));
    let length = MAX_TIMESTAMP + 1;
    let limit = MAX_TIMESTAMP;
    let error = root.remembered_timestamp(&vec![b' '; length]).unwrap_err();
    assert_eq!(
        error,
        TufError::TooLarge {
            role,
            length,
            limit
        }
    );
}

#[test]
fn a_root_that_names_no_signer_is_refused() {
    let mut words = root_words(1, &[1, 2]);
    words["roles"]["snapshot"]["threshold"] = json!(0);
    assert_eq!(
        Root::trust(&sign(&words, &[1, 2])).unwrap_err(),
        TufError::ThresholdZero {
            role: Role::Snapshot
        }
    );
    let mut words = root_words(1, &[1, 2]);
    words["roles"].as_object_mut().unwrap().remove("targets");
    assert_eq!(
        Root::trust(&sign(&words, &[1, 2])).unwrap_err(),
        TufError::RoleUnnamed {
            role: Role::Targets
        }
    );
}

#[test]
fn one_roles_metadata_is_verified_without_a_walk() {
    let root = root_one();
    let words = targets_words(4);
    let role = root.verify_role(&sign(&words, &[1, 9, 3]), NOW).unwrap();
    assert_eq!(
        (role.role, role.version, role.threshold),
        (Role::Targets, 4, 2)
    );
    assert_eq!(role.message, canonical::to_bytes(&words).unwrap());
    let signers: Vec<_> = role.signatures.iter().map(|each| &each.key_id).collect();
    assert_eq!(signers, [&id(1), &id(3)]);
}

#[test]
fn one_roles_metadata_by_too_few_or_too_late_is_refused() {
    let root = root_one();
    let verify = |bytes: &[u8], now| root.verify_role(bytes, now).unwrap_err();
    let few = sign(&targets_words(4), &[1, 9]);
    assert!(matches!(
        verify(&few, NOW),
        TufError::NotEnoughSignatures { have: 1, .. }
    ));
    let late = NOW.plus(Duration::from_secs(60 * 86_400));
    let good = sign(&targets_words(4), &[1, 3]);
    assert!(matches!(verify(&good, late), TufError::Expired { .. }));
    let mirrors = sign(&json!({"_type": "mirrors"}), &[1, 3]);
    assert!(matches!(
        verify(&mirrors, NOW),
        TufError::RoleUnknown { .. }
    ));
    assert!(matches!(verify(b"{}", NOW), TufError::NotMetadata { .. }));
}
