//! Step 4: entries are about this signature, in a known log that was in service, under a checkpoint that it signed.

use serde_json::{Value, json};
use stella_bundle::json::{decode_base64, encode_base64};
use stella_bundle::key::KeyDetails;
use stella_bundle::verify::{BodyPart, EntryError, LogRule, Promise, VerifyError};
use stella_testkit::forge::{self, Form, REKOR_2};
use stella_tlog::hash::Hash;
use stella_tlog::note::NoteError;

use super::{Bench, ENTRY, form, report, window};

const ENVELOPE: &str = "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope";

/// The error of the first entry.
#[track_caller]
fn refused_entry(bench: &Bench) -> EntryError {
    match bench.refused() {
        VerifyError::Entry { index: 0, error } => error,
        other => panic!("{other:?}"),
    }
}

/// Every form with an entry of Rekor v1.
fn old_forms() -> Vec<Form> {
    let is_old =
        |form: &Form| form.entries.iter().any(|entry| entry.promise) && form.entries.len() == 1;
    Form::all().into_iter().filter(is_old).collect()
}

#[test]
fn a_log_is_known_by_its_whole_id() {
    let mut bench = Bench::new();
    let id = format!("{ENTRY}/logId/keyId");
    let mut bytes = decode_base64(bench.at(&id).as_str().unwrap()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    for other in [bytes, vec![0; 32], Vec::new()] {
        *bench.at(&id) = encode_base64(&other).into();
        let error = bench.refused();
        let VerifyError::NotEnoughEntries {
            found: 0, reasons, ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(
            reasons,
            [EntryError::UnknownLog {
                id: hex::encode(&other)
            }]
        );
    }
}

#[test]
fn a_log_retired_before_the_signing_time_is_refused() {
    let mut bench = Bench::new();
    bench.root["tlogs"][1]["publicKey"]["validFor"] = window(0, 0);
    bench.accepted();
    for outside in [window(-9, -1), window(1, 9)] {
        bench.root["tlogs"][1]["publicKey"]["validFor"] = outside;
        assert!(matches!(
            refused_entry(&bench),
            EntryError::LogNotValidAt { .. }
        ));
    }
}

#[test]
fn an_entry_of_another_signature_is_refused_in_every_kind() {
    for form in Form::all()
        .into_iter()
        .filter(|form| !form.entries.is_empty())
    {
        let mut bench = Bench::with(&form);
        let other = bench.forge.make(&form).bundle;
        *bench.at(ENTRY) = other.pointer(ENTRY).unwrap().clone();
        let error = bench.refused();
        assert!(
            matches!(
                error,
                VerifyError::Entry {
                    error: EntryError::BodyMismatch { .. },
                    ..
                } | VerifyError::NotEnoughTimes { .. }
            ),
            "{}: {error:?}",
            form.name
        );
    }
}

#[test]
fn an_entry_of_the_same_key_and_artifact_but_another_signature_is_refused() {
    let mut bench = Bench::new();
    let [first, second] = bench
        .forge
        .make_many(&Form::current(), 2)
        .try_into()
        .unwrap();
    bench.good.bundle = first;
    *bench.at(ENTRY) = second.pointer(ENTRY).unwrap().clone();
    let error = EntryError::BodyMismatch {
        part: BodyPart::Whole,
    };
    assert_eq!(refused_entry(&bench), error);
}

#[test]
fn an_entry_for_the_same_artifact_under_another_certificate_is_refused() {
    // One key, two certificates: signature and artifact agree, the certificate does not.
    let bench = Bench::new();
    let form = form("v0.3 certificate, message, Rekor v1");
    let key = forge::key(KeyDetails::EcdsaP256Sha256);
    let one = bench.forge.leaf(&form, &key, |_| {});
    let two = bench.forge.leaf(&form, &key, |sketch| {
        sketch.not_after = sketch.not_after.plus(std::time::Duration::from_secs(1));
    });
    let forged = bench.forge.assemble(&form, &key, Some(one));
    let mut bundle = forged.bundle.clone();
    bundle["verificationMaterial"]["certificate"]["rawBytes"] = encode_base64(&two).into();
    let error = report(&bench.root, &bundle, &forged.policy);
    assert!(error.facts.times.is_empty(), "its promise tells no time");
    let entry = |report: &stella_bundle::verify::Report| report.verdict.clone().unwrap_err();
    assert!(matches!(entry(&error), VerifyError::NotEnoughTimes { .. }));
    // With a time of its own the entry is what refuses.
    let stamped = Form {
        timestamps: 1,
        ..form
    };
    let forged = bench.forge.assemble(
        &stamped,
        &key,
        Some(bench.forge.leaf(&stamped, &key, |_| {})),
    );
    let mut bundle = forged.bundle;
    bundle["verificationMaterial"]["certificate"]["rawBytes"] = encode_base64(&two).into();
    let part = BodyPart::Key;
    assert_eq!(
        entry(&report(&bench.root, &bundle, &forged.policy)),
        VerifyError::Entry {
            index: 0,
            error: EntryError::BodyMismatch { part }
        }
    );
}

#[test]
fn a_body_of_another_kind_than_the_entry_names_is_refused() {
    let mut bench = Bench::with(&form("v0.3 key, message, Rekor v1"));
    *bench.at(&format!("{ENTRY}/kindVersion/kind")) = "rekord".into();
    let error = EntryError::BodyMismatch {
        part: BodyPart::Kind,
    };
    assert_eq!(refused_entry(&bench), error);
}

#[test]
fn a_body_that_does_not_read_as_its_kind_is_refused() {
    for form in old_forms() {
        let mut bench = Bench::with(&Form {
            timestamps: 1,
            ..form
        });
        *bench.at(&format!("{ENTRY}/canonicalizedBody")) = encode_base64(b"{}").into();
        assert!(matches!(
            refused_entry(&bench),
            EntryError::BodyMalformed(_)
        ));
    }
}

#[test]
fn a_checkpoint_of_another_origin_with_the_same_root_is_refused() {
    for name in [
        "v0.3 certificate, message, Rekor v1",
        "v0.3 certificate, statement, Rekor v2",
    ] {
        let mut bench = Bench::with(&form(name));
        let is_old = bench.forge.rekor_1.id().to_vec()
            == decode_base64(bench.at(&format!("{ENTRY}/logId/keyId")).as_str().unwrap()).unwrap();
        let proof: Value = bench.at(&format!("{ENTRY}/inclusionProof")).clone();
        let root = Hash::parse(proof["rootHash"].as_str().unwrap()).unwrap();
        // The log's own key signs under another name.
        let log = if is_old {
            &mut bench.forge.rekor_1
        } else {
            &mut bench.forge.rekor_2
        };
        log.origin = "other.example.com".to_owned();
        let note = log.note(5, root, None);
        *bench.at(ENVELOPE) = note.into();
        let origin = "other.example.com".to_owned();
        assert_eq!(refused_entry(&bench), EntryError::OriginMismatch { origin });
    }
}

#[test]
fn a_checkpoint_without_origin_size_or_root_is_refused() {
    for line in 0..3 {
        let mut bench = Bench::new();
        let note = bench.at(ENVELOPE).as_str().unwrap().to_owned();
        let without: Vec<&str> = note
            .split('\n')
            .enumerate()
            .filter(|(at, _)| *at != line)
            .map(|(_, line)| line)
            .collect();
        *bench.at(ENVELOPE) = without.join("\n").into();
        assert!(matches!(refused_entry(&bench), EntryError::Checkpoint(_)));
    }
}

#[test]
fn the_logs_signature_may_stand_anywhere_and_unknown_ones_are_ignored() {
    let mut bench = Bench::new();
    let note = bench.at(ENVELOPE).as_str().unwrap().to_owned();
    let (text, line) = note.split_once("\n\n").unwrap();
    let unknown = "\u{2014} witness.example.org AAAAAHNpZ25hdHVyZQ==\n";
    *bench.at(ENVELOPE) = format!("{text}\n\n{unknown}{line}{unknown}").into();
    bench.accepted();
    // Another key of the same name is unknown as well.
    let other = "\u{2014} log2027.example.com AAAAAHNpZ25hdHVyZQ==\n";
    *bench.at(ENVELOPE) = format!("{text}\n\n{other}{line}").into();
    bench.accepted();
    *bench.at(ENVELOPE) = format!("{text}\n\n{other}").into();
    assert!(matches!(
        refused_entry(&bench),
        EntryError::Note(NoteError::NotSigned { .. })
    ));
}

#[test]
fn a_bad_signature_of_the_known_key_refuses_the_checkpoint_even_beside_a_good_one() {
    let mut bench = Bench::new();
    let note = bench.at(ENVELOPE).as_str().unwrap().to_owned();
    let (text, line) = note.split_once("\n\n").unwrap();
    let (name, blob) = line.trim_end().rsplit_once(' ').unwrap();
    let mut bytes = decode_base64(blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let bad = format!("{name} {}\n", encode_base64(&bytes));
    *bench.at(ENVELOPE) = format!("{text}\n\n{line}{bad}").into();
    assert!(matches!(
        refused_entry(&bench),
        EntryError::Note(NoteError::BadSignature { .. })
    ));
}

#[test]
fn a_quorum_of_witnesses_is_needed_where_the_policy_names_one() {
    let name = "v0.3 certificate, statement, Rekor v2, a witness";
    let mut bench = Bench::with(&form(name));
    assert_eq!(bench.accepted().facts.entries[0].witnesses, ["w1"]);
    let note = bench.at(ENVELOPE).as_str().unwrap().to_owned();
    let is_cosignature = |line: &&str| line.starts_with("\u{2014} witness.example.com");
    let cosignature = note.lines().find(is_cosignature).unwrap().to_owned();
    // Without it the entry counts for nothing; with a bad one the checkpoint is refused.
    *bench.at(ENVELOPE) = note.replace(&format!("{cosignature}\n"), "").into();
    let VerifyError::NotEnoughEntries { reasons, .. } = bench.refused() else {
        panic!("not refused for want of entries");
    };
    assert_eq!(reasons, [EntryError::NotWitnessed]);
    let (name, blob) = cosignature.rsplit_once(' ').unwrap();
    let mut bytes = decode_base64(blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    *bench.at(ENVELOPE) = note
        .replace(&cosignature, &format!("{name} {}", encode_base64(&bytes)))
        .into();
    assert!(matches!(
        refused_entry(&bench),
        EntryError::Note(NoteError::BadSignature { .. })
    ));
}

#[test]
fn the_same_entry_twice_counts_once() {
    let mut bench = Bench::new();
    let entry = bench.at(ENTRY).clone();
    bench
        .at("/verificationMaterial/tlogEntries")
        .as_array_mut()
        .unwrap()
        .push(entry);
    assert_eq!(
        bench.accepted().facts.entries[1].ignored,
        Some(EntryError::Duplicate)
    );
    let rule = bench.good.policy.certificates.as_mut().unwrap();
    rule.evidence.log = LogRule::Require {
        logs: 2,
        promise: Promise::Counts,
    };
    assert!(matches!(
        bench.refused(),
        VerifyError::NotEnoughEntries {
            wanted: 2,
            found: 1,
            ..
        }
    ));
}

#[test]
fn two_entries_of_one_log_are_one_log() {
    let mut bench = Bench::new();
    let two = Form {
        entries: vec![REKOR_2, REKOR_2],
        ..Form::current()
    };
    bench.good = bench.forge.make(&two);
    // The second tree is a later one of the same log.
    *bench.at("/verificationMaterial/tlogEntries/1/logIndex") = "3".into();
    assert!(bench.verify().verdict.is_err());
    let mut bench = Bench::with(&form("v0.3 two logs, two timestamps, two SCTs"));
    bench.accepted();
    bench
        .at("/verificationMaterial/tlogEntries")
        .as_array_mut()
        .unwrap()
        .remove(0);
    assert!(matches!(
        bench.refused(),
        VerifyError::NotEnoughEntries {
            wanted: 2,
            found: 1,
            ..
        }
    ));
}

#[test]
fn an_entry_with_neither_proof_nor_promise_counts_for_nothing_and_is_said_so() {
    let mut bench = Bench::with(&Form {
        timestamps: 1,
        ..form("v0.1 chain, message, promise and proof")
    });
    let entry = bench.at(ENTRY).as_object_mut().unwrap();
    entry.remove("inclusionProof");
    entry["inclusionPromise"] = json!({"signedEntryTimestamp": ""});
    let VerifyError::NotEnoughEntries { reasons, .. } = bench.refused() else {
        panic!("not refused for want of entries");
    };
    assert_eq!(reasons, [EntryError::NoProof]);
}

#[test]
fn a_promise_is_not_enough_where_the_policy_wants_a_proof() {
    let mut bench = Bench::with(&form("v0.1 chain, message, promise"));
    bench.accepted();
    let rule = bench.good.policy.certificates.as_mut().unwrap();
    rule.evidence.log = LogRule::Require {
        logs: 1,
        promise: Promise::DoesNotCount,
    };
    assert!(matches!(
        bench.refused(),
        VerifyError::NotEnoughEntries { found: 0, .. }
    ));
}

#[test]
fn a_promise_of_another_log_is_refused() {
    // Signed by a key that is a log's, but not the one that the entry names.
    let mut bench = Bench::with(&form("v0.1 chain, message, promise"));
    let stranger = forge::Forge::new()
        .make(&form("v0.1 chain, message, promise"))
        .bundle;
    let promise = format!("{ENTRY}/inclusionPromise");
    *bench.at(&promise) = stranger.pointer(&promise).unwrap().clone();
    assert!(matches!(
        refused_entry(&bench),
        EntryError::BadPromise { .. }
    ));
}

#[test]
fn without_a_log_only_what_is_spelled_out_is_accepted_and_entries_must_still_be_good() {
    let mut bench = Bench::new();
    let rule = bench.good.policy.certificates.as_mut().unwrap();
    rule.evidence.log = LogRule::WithoutLogUnsafe;
    bench.accepted();
    let other = bench.forge.make(&Form::current()).bundle;
    let good = bench.at(ENTRY).clone();
    *bench.at(ENTRY) = other.pointer(ENTRY).unwrap().clone();
    assert!(matches!(
        refused_entry(&bench),
        EntryError::BodyMismatch { .. }
    ));
    *bench.at(ENTRY) = good;
    bench
        .at("/verificationMaterial/tlogEntries")
        .as_array_mut()
        .unwrap()
        .clear();
    bench.accepted();
}
