//! Each finding, made by breaking a trusted root that has none.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;

use super::*;

const GOOD: &[u8] = include_bytes!("../../../../../testdata/keyless/trusted_root.json");
const NOW: UnixTime = UnixTime::from_seconds(1_795_000_000);

fn good() -> Value {
    serde_json::from_slice(GOOD).unwrap()
}

/// Lists the findings of the good root after a change.
fn broken(change: impl FnOnce(&mut Value)) -> Vec<Finding> {
    let mut root = good();
    change(&mut root);
    lint(&serde_json::to_vec(&root).unwrap(), NOW).unwrap()
}

/// Requires one finding of this name, which matters so much.
#[track_caller]
fn check(name: &str, severity: Severity, change: impl FnOnce(&mut Value)) {
    let found = broken(change);
    let names: Vec<_> = found
        .iter()
        .map(|each| (each.name(), each.severity()))
        .collect();
    assert_eq!(names, [(name, severity)], "{found:?}");
}

#[test]
fn a_trusted_root_of_an_instance_has_no_findings() {
    assert_eq!(broken(|_| {}), []);
}

#[test]
fn a_client_trust_config_is_looked_into() {
    let mut root = good();
    root["note"] = json!("x");
    let config = json!({"mediaType": "m", "trustedRoot": root, "signingConfig": {}});
    let found = lint(&serde_json::to_vec(&config).unwrap(), NOW).unwrap();
    let path = "note".to_owned();
    assert_eq!(found, [Finding::UnknownField { path }]);
}

#[test]
fn what_is_no_trusted_root_is_no_list_of_findings() {
    assert!(matches!(
        lint(b"{}", NOW),
        Err(TrustFileError::UnknownMediaType { .. })
    ));
    assert!(matches!(lint(b"[", NOW), Err(TrustFileError::Json { .. })));
}

#[test]
fn what_released_clients_refuse_is_a_warning() {
    let warning = Severity::Warning;
    check("mediaType", warning, |root| {
        root["mediaType"] = json!("application/vnd.dev.sigstore.trustedroot.v0.2+json");
    });
    check("unknownField", warning, |root| {
        root["tlogs"][0]["publicKey"]["comment"] = json!("x");
    });
    check("fieldAbsent", warning, |root| {
        let authority = root["certificateAuthorities"][0].as_object_mut().unwrap();
        authority.remove("subject");
    });
    check("hashAlgorithm", warning, |root| {
        root["tlogs"][0]["hashAlgorithm"] = json!("SHA2_512");
    });
    check("checkpointKeyId", warning, |root| {
        root["ctlogs"][0]["checkpointKeyId"] = json!({"keyId": "AAAAAA=="});
    });
    check("noAddress", warning, |root| {
        root["ctlogs"][0]["baseUrl"] = json!("");
    });
    check("partEmpty", warning, |root| {
        root["ctlogs"] = json!([]);
    });
    let names: Vec<_> = broken(|root| {
        root.as_object_mut().unwrap().remove("ctlogs");
    })
    .iter()
    .map(Finding::name)
    .collect();
    assert_eq!(names, ["fieldAbsent", "partEmpty"]);
}

#[test]
fn names_of_both_spellings_are_known() {
    let found = broken(|root| {
        let log = root["tlogs"][0].as_object_mut().unwrap();
        let key = log.remove("publicKey").unwrap();
        log.insert("public_key".to_owned(), key);
    });
    assert_eq!(found, []);
}

#[test]
fn an_entry_that_cannot_be_used_is_an_error_and_names_its_place() {
    check("unusable", Severity::Error, |root| {
        root["tlogs"][0]["publicKey"]["validFor"] = json!({});
    });
    check("unusable", Severity::Error, |root| {
        let mut broken = root["ctlogs"][0].clone();
        broken["publicKey"]["rawBytes"] = json!("AAAA");
        broken["logId"]["keyId"] = json!("AAAA");
        root["ctlogs"].as_array_mut().unwrap().push(broken);
    });
    let found = broken(|root| {
        let authority = &mut root["certificateAuthorities"][0]["certChain"]["certificates"];
        authority.as_array_mut().unwrap().reverse();
    });
    assert!(
        found[0]
            .to_string()
            .starts_with("certificateAuthorities[0] cannot be used"),
        "{found:?}"
    );
}

#[test]
fn a_log_id_that_is_not_the_keys_hash_is_an_error() {
    check("logId", Severity::Error, |root| {
        root["tlogs"][0]["baseUrl"] = json!("https://another.example");
    });
    check("logId", Severity::Error, |root| {
        root["ctlogs"][0]["logId"]["keyId"] = json!("AAAA");
    });
    check("keyDetails", Severity::Error, |root| {
        root["ctlogs"][0]["publicKey"]["keyDetails"] = json!("PKIX_ED25519");
    });
}

#[test]
fn two_logs_of_one_id_must_take_turns() {
    let twice = |root: &mut Value, end: Option<&str>| {
        let mut second = root["ctlogs"][0].clone();
        if let Some(end) = end {
            root["ctlogs"][0]["publicKey"]["validFor"]["end"] = json!(end);
            second["publicKey"]["validFor"]["start"] = json!(end);
        }
        root["ctlogs"].as_array_mut().unwrap().push(second);
    };
    check("logIdOverlaps", Severity::Error, |root| twice(root, None));
    check("logIdTwice", Severity::Warning, |root| {
        twice(root, Some("2026-11-01T00:00:00Z"));
    });
}

#[test]
fn logs_that_date_nothing_need_a_timestamp_authority() {
    let found = broken(|root| root["timestampAuthorities"] = json!([]));
    let names: Vec<_> = found.iter().map(Finding::name).collect();
    assert_eq!(names, ["noTimestampAuthority", "partEmpty"]);
}

#[test]
fn chains_that_do_not_hold_are_errors() {
    // A signing authority that is a timestamp authority's leaf.
    let found = broken(|root| {
        let chain = root["timestampAuthorities"][0]["certChain"].clone();
        root["certificateAuthorities"][0]["certChain"] = chain;
    });
    assert!(
        matches!(found[0], Finding::NotACa { certificate: 0, .. }),
        "{found:?}"
    );
    // A timestamp authority that begins when its leaf has ended.
    let found = broken(|root| {
        root["timestampAuthorities"][0]["validFor"] = json!({"start": "2999-01-01T00:00:00Z"});
    });
    assert!(matches!(found[0], Finding::Chain { .. }), "{found:?}");
}

#[test]
fn windows_beyond_the_certificates_are_warnings() {
    let beyond = |found: &[Finding]| {
        found
            .iter()
            .any(|each| matches!(each, Finding::WindowBeyondCertificates { .. }))
    };
    for range in [
        json!({"start": "1999-01-01T00:00:00Z"}),
        json!({"start": "2026-11-20T00:00:00Z", "end": "2999-01-01T00:00:00Z"}),
    ] {
        let found = broken(|root| root["certificateAuthorities"][0]["validFor"] = range);
        assert!(beyond(&found), "{found:?}");
    }
}

#[test]
fn a_root_whose_every_key_has_ended_is_told() {
    let late = UnixTime::parse_rfc3339("2998-01-01T00:00:00Z").unwrap();
    let mut root = good();
    root["tlogs"][0]["publicKey"]["validFor"]["end"] = json!("2027-01-01T00:00:00Z");
    let found = lint(&serde_json::to_vec(&root).unwrap(), late).unwrap();
    let part = TrustPart::Tlogs;
    assert_eq!(found, [Finding::AllEnded { part }]);
}
