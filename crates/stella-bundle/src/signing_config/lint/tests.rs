//! Each finding, made by breaking a signing config that has none.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;

use super::*;

const GOOD: &[u8] = include_bytes!("../../../../../testdata/keyless/signing_config.json");
const NOW: UnixTime = UnixTime::from_seconds(1_795_500_000);

fn good() -> Value {
    serde_json::from_slice(GOOD).unwrap()
}

/// Lists the findings of the good file after a change.
fn broken(change: impl FnOnce(&mut Value)) -> Vec<Finding> {
    let mut config = good();
    change(&mut config);
    lint(&serde_json::to_vec(&config).unwrap(), NOW).unwrap()
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
fn a_signing_config_of_an_instance_has_no_findings() {
    assert_eq!(broken(|_| {}), []);
}

#[test]
fn a_client_trust_config_is_looked_into() {
    let mut config = good();
    config["note"] = json!("x");
    let both = json!({"mediaType": "m", "trustedRoot": {}, "signingConfig": config});
    let found = lint(&serde_json::to_vec(&both).unwrap(), NOW).unwrap();
    let path = "note".to_owned();
    assert_eq!(found, [Finding::UnknownField { path }]);
}

#[test]
fn what_is_no_signing_config_is_no_list_of_findings() {
    let unknown = lint(b"{}", NOW);
    assert!(matches!(
        unknown,
        Err(TrustFileError::UnknownMediaType { .. })
    ));
    assert!(matches!(lint(b"[", NOW), Err(TrustFileError::Json { .. })));
}

#[test]
fn what_keeps_everybody_from_signing_is_an_error() {
    let error = Severity::Error;
    check("badDate", error, |config| {
        // Another one is there to be chosen.
        let mut other = config["caUrls"][0].clone();
        other["url"] = json!("https://other.example");
        other["validFor"]["start"] = json!("yesterday");
        config["caUrls"].as_array_mut().unwrap().push(other);
    });
    check("endBeforeStart", error, |config| {
        let mut other = config["caUrls"][0].clone();
        other["url"] = json!("https://other.example");
        other["validFor"]["end"] = json!("2001-01-01T00:00:00Z");
        config["caUrls"].as_array_mut().unwrap().push(other);
    });
    check("countZero", error, |config| {
        config["tsaConfig"] = json!({"selector": "EXACT"});
    });
    check("notEnoughOperators", error, |config| {
        let mut other = config["tsaUrls"][0].clone();
        other["url"] = json!("https://other.example/timestamp");
        config["tsaUrls"].as_array_mut().unwrap().push(other);
        config["tsaConfig"] = json!({"selector": "EXACT", "count": 2});
    });
    for url in ["", "rekor.example", "https://"] {
        check("noAddress", error, |config| {
            config["rekorTlogUrls"][0]["url"] = json!(url);
        });
    }
    check("noService", error, |config| {
        for list in ["caUrls", "oidcUrls", "rekorTlogUrls", "tsaUrls"] {
            config[list] = json!([]);
        }
    });
    let found = broken(|config| config["tsaUrls"] = json!([]));
    assert_eq!(found[0].name(), "noTimestampAuthority");
    assert_eq!(found[1].name(), "kindEmpty");
}

#[test]
fn what_keeps_some_client_from_it_is_a_warning() {
    let warning = Severity::Warning;
    check("apiPath", warning, |config| {
        config["rekorTlogUrls"][0]["url"] = json!("https://rekor.example/api/v2");
    });
    for url in ["https://tsa.example/", "https://h"] {
        check("noPath", warning, |config| {
            config["tsaUrls"][0]["url"] = json!(url);
        });
    }
    check("plainHttp", warning, |config| {
        config["oidcUrls"][0]["url"] = json!("http://oidc.example");
    });
    check("noOperator", warning, |config| {
        config["tsaUrls"][0]["operator"] = json!("");
    });
    check("noStart", warning, |config| {
        config["tsaUrls"][0]["validFor"] = json!({"end": "2040-01-01T00:00:00Z"});
    });
    check("countUnused", warning, |config| {
        config["tsaConfig"] = json!({"selector": "ANY", "count": 2});
    });
    check("unselected", warning, |config| {
        config.as_object_mut().unwrap().remove("rekorTlogConfig");
    });
    check("kindEmpty", warning, |config| {
        config["oidcUrls"] = json!([])
    });
    check("twice", warning, |config| {
        let other = config["caUrls"][0].clone();
        config["caUrls"].as_array_mut().unwrap().push(other);
    });
    check("rekorV1Only", warning, |config| {
        config["rekorTlogUrls"][0]["majorApiVersion"] = json!(1);
    });
    check("unknownField", warning, |config| {
        config["tsaUrls"][0]["comment"] = json!("x");
    });
    check("unknownVersion", warning, |config| {
        let mut other = config["caUrls"][0].clone();
        other["majorApiVersion"] = json!(2);
        config["caUrls"].as_array_mut().unwrap().push(other);
    });
    for window in [
        json!({"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}),
        json!({"start": "2036-01-01T00:00:00Z"}),
    ] {
        check("notNow", warning, |config| {
            config["tsaUrls"][0]["validFor"] = window;
        });
    }
}

#[test]
fn a_managed_key_needs_no_timestamp_authority() {
    let found = broken(|config| {
        for list in ["caUrls", "tsaUrls"] {
            config[list] = json!([]);
        }
    });
    let names: Vec<_> = found.iter().map(Finding::name).collect();
    assert_eq!(names, ["kindEmpty", "kindEmpty"]);
}

#[test]
fn every_spelling_of_this_machine_may_be_plain() {
    for host in ["127.0.0.1:8470", "localhost", "[::1]:80", "a.localhost:1"] {
        assert!(is_loopback(host), "{host}");
    }
    for host in ["10.0.0.1", "localhost.example", "[fe80::1]"] {
        assert!(!is_loopback(host), "{host}");
    }
}
