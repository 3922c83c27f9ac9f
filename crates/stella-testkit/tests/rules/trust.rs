//! The trusted root: what cannot be used harms nothing else, and what is not in it is believed by nobody.

use serde_json::{Value, json};
use stella_bundle::json::encode_base64;
use stella_bundle::verify::{TrustPart, UnusableReason};
use stella_testkit::forge;

use super::Bench;

const LISTS: [(&str, TrustPart); 4] = [
    ("tlogs", TrustPart::Tlogs),
    ("ctlogs", TrustPart::Ctlogs),
    ("certificateAuthorities", TrustPart::CertificateAuthorities),
    ("timestampAuthorities", TrustPart::TimestampAuthorities),
];

/// Makes the first entry of a list unusable.
fn spoil(root: &Value, list: &str) -> Value {
    let mut bad = root[list][0].clone();
    match list {
        "tlogs" | "ctlogs" => bad["publicKey"]["rawBytes"] = encode_base64(b"no key").into(),
        _ => {
            bad["certChain"]["certificates"][0]["rawBytes"] =
                encode_base64(b"no certificate").into()
        }
    }
    bad
}

#[test]
fn one_unusable_key_next_to_good_ones_harms_nothing() {
    for (list, part) in LISTS {
        let mut bench = Bench::new();
        let bad = spoil(&bench.root, list);
        bench.root[list].as_array_mut().unwrap().insert(0, bad);
        bench.accepted();
        let trust = forge::trust(&bench.root);
        let unusable: Vec<_> = trust
            .unusable()
            .iter()
            .map(|each| (each.part, each.index))
            .collect();
        assert_eq!(unusable, [(part, 0)]);
    }
}

#[test]
fn a_key_without_a_start_is_not_used() {
    for (list, _) in LISTS {
        let mut bench = Bench::new();
        for entry in bench.root[list].as_array_mut().unwrap() {
            let holder = match list {
                "tlogs" | "ctlogs" => &mut entry["publicKey"],
                _ => entry,
            };
            holder["validFor"] = json!({});
        }
        assert!(bench.verify().verdict.is_err(), "{list}");
        let trust = forge::trust(&bench.root);
        assert!(
            trust
                .unusable()
                .iter()
                .all(|each| each.reason == UnusableReason::NoStart)
        );
    }
}

#[test]
fn nothing_is_believed_that_the_trusted_root_does_not_list() {
    for (list, _) in LISTS {
        let mut bench = Bench::new();
        bench.root[list] = json!([]);
        assert!(bench.verify().verdict.is_err(), "{list}");
    }
}

#[test]
fn several_windows_of_one_log_are_alternatives() {
    let mut bench = Bench::new();
    let mut retired = bench.root["tlogs"][1].clone();
    retired["publicKey"]["validFor"] = super::window(-99, -9);
    bench.root["tlogs"]
        .as_array_mut()
        .unwrap()
        .insert(0, retired);
    bench.accepted();
}
