//! Step 0: strict where two readers could differ, tolerant where protobuf's JSON is.

use serde_json::{Value, json};
use stella_bundle::bundle::{Bundle, BundleError};
use stella_bundle::verify::{EntryError, VerifyError};
use stella_testkit::forge::Form;

use super::{Bench, ENTRY, form};

fn parse(bundle: &Value) -> Result<Bundle, BundleError> {
    Bundle::parse(bundle.to_string().as_bytes())
}

#[test]
fn every_version_is_known_in_both_spellings() {
    let mut bench = Bench::with(&form("v0.2 chain, message"));
    for media_type in [
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "application/vnd.dev.sigstore.bundle.v0.1+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.sigstore.bundle.v0.2+json",
    ] {
        *bench.at("/mediaType") = media_type.into();
        bench.accepted();
    }
    let mut bench = Bench::new();
    for media_type in [
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
    ] {
        *bench.at("/mediaType") = media_type.into();
        bench.accepted();
    }
}

#[test]
fn names_in_snake_case_numbers_and_url_safe_base64_are_read() {
    let bench = Bench::with(&form("v0.3 certificate, message, Rekor v2"));
    let mut text = bench.good.bundle.to_string();
    for (camel, snake) in [
        ("verificationMaterial", "verification_material"),
        ("tlogEntries", "tlog_entries"),
        ("logIndex", "log_index"),
        ("inclusionProof", "inclusion_proof"),
        ("messageSignature", "message_signature"),
        ("messageDigest", "message_digest"),
        ("rfc3161Timestamps", "rfc3161_timestamps"),
        ("rawBytes", "raw_bytes"),
    ] {
        assert!(text.contains(camel), "{camel}");
        text = text.replace(&format!("\"{camel}\""), &format!("\"{snake}\""));
    }
    let mut bundle: Value = serde_json::from_str(&text).unwrap();
    bundle["verification_material"]["tlog_entries"][0]["log_index"] = 2.into();
    bundle["message_signature"]["message_digest"]["algorithm"] = 1.into();
    let signature = &mut bundle["message_signature"]["signature"];
    *signature = signature
        .as_str()
        .unwrap()
        .replace('+', "-")
        .replace('/', "_")
        .replace('=', "")
        .into();
    let report = super::report(&bench.root, &bundle, &bench.good.policy);
    assert_eq!(report.verdict.err(), None);
}

#[test]
fn what_proto3_leaves_out_is_its_default() {
    let mut bench = Bench::new();
    let entry = bench.at(ENTRY).as_object_mut().unwrap();
    entry.remove("integratedTime");
    entry.insert("inclusionPromise".into(), Value::Null);
    bench.accepted();
    // An index of 0 is left out by sigstore-js; here it is another index than the proof's, so it is read as 0.
    bench.at(ENTRY).as_object_mut().unwrap().remove("logIndex");
    assert_eq!(parse(&bench.good.bundle).unwrap().entries[0].log_index, 0);
}

#[test]
fn an_entry_of_an_unknown_kind_is_reported_and_counts_for_nothing() {
    let mut bench = Bench::new();
    let mut unknown = bench.at(ENTRY).clone();
    unknown["kindVersion"]["kind"] = "helm".into();
    unknown["logIndex"] = "77".into();
    bench
        .at("/verificationMaterial/tlogEntries")
        .as_array_mut()
        .unwrap()
        .push(unknown);
    let report = bench.accepted();
    assert!(matches!(
        report.facts.entries[1].ignored,
        Some(EntryError::UnsupportedKind(_))
    ));
    bench
        .at("/verificationMaterial/tlogEntries")
        .as_array_mut()
        .unwrap()
        .remove(0);
    assert!(matches!(
        bench.refused(),
        VerifyError::NotEnoughEntries { found: 0, .. }
    ));
}

#[test]
fn an_absurd_integrated_time_is_refused() {
    let mut bench = Bench::with(&form("v0.1 chain, message, promise"));
    *bench.at(&format!("{ENTRY}/integratedTime")) = "9223372036854775808".into();
    assert!(matches!(
        parse(&bench.good.bundle),
        Err(BundleError::Json(_))
    ));
    for seconds in [i64::MAX, 253_402_300_800, 0, -1] {
        *bench.at(&format!("{ENTRY}/integratedTime")) = seconds.to_string().into();
        let error = EntryError::ImpossibleTime { seconds };
        assert_eq!(bench.refused(), VerifyError::Entry { index: 0, error });
    }
}

#[test]
fn base64_with_foreign_characters_is_refused() {
    for foreign in ["\n", " ", "*", "=", "é"] {
        let mut bench = Bench::new();
        let signature = bench.at("/dsseEnvelope/signatures/0/sig");
        let text = signature.as_str().unwrap();
        *signature = format!("{}{foreign}{}", &text[..8], &text[8..]).into();
        assert!(
            matches!(parse(&bench.good.bundle), Err(BundleError::Json(_))),
            "{foreign:?}"
        );
    }
}

#[test]
fn more_entries_timestamps_or_depth_than_any_client_writes_is_refused() {
    let mut bench = Bench::new();
    for list in ["tlogEntries", "timestampVerificationData/rfc3161Timestamps"] {
        let good = bench.good.bundle.clone();
        let list = bench
            .at(&format!("/verificationMaterial/{list}"))
            .as_array_mut()
            .unwrap();
        *list = vec![list[0].clone(); 33];
        assert!(matches!(
            parse(&bench.good.bundle),
            Err(BundleError::Json(_))
        ));
        bench.good.bundle = good;
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(
        Bundle::parse(deep.as_bytes()),
        Err(BundleError::Json(_))
    ));
}

#[test]
fn a_mebibyte_of_padding_is_refused_as_a_name_and_ignored_as_blanks() {
    let mut bench = Bench::new();
    let text = bench.good.bundle.to_string() + &" ".repeat(1 << 20);
    assert_eq!(Bundle::parse(text.as_bytes()), parse(&bench.good.bundle));
    bench.good.bundle["padding"] = " ".repeat(1 << 20).into();
    assert!(matches!(
        parse(&bench.good.bundle),
        Err(BundleError::Json(_))
    ));
}

#[test]
fn a_signature_and_an_envelope_or_neither_is_refused() {
    let mut bench = Bench::new();
    bench.good.bundle["messageSignature"] = json!({"signature": "AQ=="});
    assert_eq!(parse(&bench.good.bundle), Err(BundleError::Content));
    let bundle = bench.good.bundle.as_object_mut().unwrap();
    bundle.remove("messageSignature");
    bundle.remove("dsseEnvelope");
    assert_eq!(parse(&bench.good.bundle), Err(BundleError::Content));
}

#[test]
fn a_proof_is_needed_from_version_0_2_on_and_a_promise_in_0_1() {
    let mut bench = Bench::with(&form("v0.2 chain, message"));
    bench
        .at(ENTRY)
        .as_object_mut()
        .unwrap()
        .remove("inclusionProof");
    assert!(matches!(
        parse(&bench.good.bundle),
        Err(BundleError::NotInVersion { .. })
    ));
    let mut bench = Bench::with(&form("v0.1 chain, message, promise and proof"));
    bench
        .at(ENTRY)
        .as_object_mut()
        .unwrap()
        .remove("inclusionPromise");
    assert!(matches!(
        parse(&bench.good.bundle),
        Err(BundleError::NotInVersion { .. })
    ));
    let current = Bench::with(&Form {
        version: "0.3",
        ..form("v0.2 chain, message")
    });
    assert!(matches!(
        parse(&current.good.bundle),
        Err(BundleError::NotInVersion { .. })
    ));
}
