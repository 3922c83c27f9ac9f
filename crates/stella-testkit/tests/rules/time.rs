//! Step 1: who may tell the time, and when their word counts.

use std::time::Duration;

use serde_json::{Value, json};
use stella_bundle::asn1;
use stella_bundle::certificate::{CODE_SIGNING, EXTENDED_KEY_USAGE, TIME_STAMPING};
use stella_bundle::chain::ChainError;
use stella_bundle::json::{decode_base64, encode_base64};
use stella_bundle::timestamp::{SignedAttribute, TimestampError};
use stella_bundle::verify::{EntryError, VerifyError};
use stella_testkit::forge::{self, Certified, Extension, Form, NOW};

use super::{Bench, ENTRY, form, raw, window};

const STAMPS: &str = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
const SIGNATURE: &str = "/dsseEnvelope/signatures/0/sig";

impl Bench {
    fn signature(&mut self) -> Vec<u8> {
        decode_base64(self.at(SIGNATURE).as_str().unwrap()).unwrap()
    }

    /// Replaces the timestamps.
    fn stamp(&mut self, responses: &[Vec<u8>]) {
        let stamp = |response: &Vec<u8>| json!({"signedTimestamp": encode_base64(response)});
        *self.at(STAMPS) = responses.iter().map(stamp).collect();
    }

    /// Lets another authority stamp, which the trusted root lists in place of the first.
    fn stamped_by(&mut self, authority: &Certified) {
        let signature = self.signature();
        let response = forge::stamp(authority, &signature, NOW);
        self.stamp(&[response]);
        let chain = [
            raw(authority.certificate.der()),
            raw(self.forge.root.certificate.der()),
        ];
        self.root["timestampAuthorities"][0]["certChain"]["certificates"] =
            chain.into_iter().collect();
    }

    fn authority(&self, shape: impl FnOnce(&mut stella_testkit::forge::Sketch)) -> Certified {
        Certified::new("another authority", &self.forge.root, |sketch| {
            sketch.extensions = vec![
                Extension::key_usage(stella_testkit::forge::certificate::DIGITAL_SIGNATURE),
                Extension::purpose(&TIME_STAMPING, true),
            ];
            shape(sketch);
        })
    }
}

fn is_purpose(error: &VerifyError) -> bool {
    matches!(
        error,
        VerifyError::TimestampChain {
            error: ChainError::Purpose { .. },
            ..
        }
    )
}

#[test]
fn a_timestamp_is_over_the_signature_and_nothing_else() {
    let mut bench = Bench::new();
    let over_payload = forge::stamp(&bench.forge.timestamping[0], b"another signature", NOW);
    bench.stamp(&[over_payload]);
    let error = TimestampError::ImprintMismatch;
    assert_eq!(bench.refused(), VerifyError::Timestamp { index: 0, error });
}

#[test]
fn a_timestamp_names_its_signers_certificate() {
    // The same key under two certificates: the token names one (ESSCertIDv2), the trusted root lists the other.
    let mut bench = Bench::new();
    let [first, _] = &bench.forge.timestamping;
    let mut twin = stella_testkit::forge::Sketch::new(
        "first authority",
        &first.key,
        bench.forge.root.certificate.subject(),
        stella_bundle::key::KeyDetails::EcdsaP256Sha256,
    );
    twin.extensions = vec![
        Extension::key_usage(stella_testkit::forge::certificate::DIGITAL_SIGNATURE),
        Extension::purpose(&TIME_STAMPING, true),
    ];
    twin.not_after = twin.not_after.plus(Duration::from_secs(1));
    let twin = twin.sign(&bench.forge.root.key);
    bench.root["timestampAuthorities"][0]["certChain"]["certificates"][0] = raw(&twin);
    let error = TimestampError::SignedAttribute {
        attribute: SignedAttribute::SigningCertificate,
    };
    assert_eq!(bench.refused(), VerifyError::Timestamp { index: 0, error });
}

#[test]
fn a_timestamp_authority_is_for_that_alone_and_says_so_critically() {
    let mut bench = Bench::new();
    bench.stamped_by(&bench.authority(|_| {}));
    bench.accepted();
    let not_critical =
        bench.authority(|sketch| sketch.put(Extension::purpose(&TIME_STAMPING, false)));
    bench.stamped_by(&not_critical);
    assert!(is_purpose(&bench.refused()));
    let both = asn1::sequence(&[&asn1::oid(&TIME_STAMPING), &asn1::oid(&CODE_SIGNING)]);
    let not_alone =
        bench.authority(|sketch| sketch.put(Extension::new(&EXTENDED_KEY_USAGE, true, both)));
    bench.stamped_by(&not_alone);
    assert!(is_purpose(&bench.refused()));
    let another = bench.authority(|sketch| sketch.put(Extension::purpose(&CODE_SIGNING, true)));
    bench.stamped_by(&another);
    assert!(is_purpose(&bench.refused()));
}

#[test]
fn the_ends_of_an_authoritys_window_belong_to_it() {
    let mut bench = Bench::new();
    bench.root["timestampAuthorities"][0]["validFor"] = window(0, 0);
    bench.accepted();
    for outside in [window(1, 9), window(-9, -1)] {
        bench.root["timestampAuthorities"][0]["validFor"] = outside;
        assert!(matches!(
            bench.refused(),
            VerifyError::TimestampChain {
                error: ChainError::AuthorityNotValidAt { .. },
                ..
            }
        ));
    }
}

#[test]
fn a_timestamp_outside_of_its_authoritys_certificate_is_refused() {
    let mut bench = Bench::new();
    let expired = bench.authority(|sketch| sketch.not_after = NOW.minus(Duration::from_secs(1)));
    bench.stamped_by(&expired);
    assert!(matches!(
        bench.refused(),
        VerifyError::TimestampChain {
            error: ChainError::NotValidAt { .. },
            ..
        }
    ));
}

#[test]
fn an_unknown_authoritys_timestamp_is_reported_and_counts_for_nothing() {
    let mut bench = Bench::new();
    let stranger = Certified::timestamping(
        "stranger",
        &Certified::root("stranger", stella_bundle::key::KeyDetails::EcdsaP256Sha256),
    );
    let signature = bench.signature();
    let good = forge::stamp(&bench.forge.timestamping[0], &signature, NOW);
    let unknown = forge::stamp(&stranger, &signature, NOW);
    bench.stamp(&[unknown.clone(), good]);
    assert_eq!(bench.accepted().facts.ignored_timestamps, 1);
    bench.stamp(&[unknown]);
    assert_eq!(
        bench.refused(),
        VerifyError::NotEnoughTimestamps {
            wanted: 1,
            found: 0,
            unknown: 1
        }
    );
}

#[test]
fn a_known_authoritys_bad_timestamp_refuses_the_bundle_whatever_else_is_there() {
    let mut bench = Bench::new();
    let signature = bench.signature();
    let good = forge::stamp(&bench.forge.timestamping[0], &signature, NOW);
    let mut bad = forge::stamp(&bench.forge.timestamping[1], &signature, NOW);
    *bad.last_mut().unwrap() ^= 1;
    bench.stamp(&[good, bad]);
    let error = TimestampError::BadSignature;
    assert_eq!(bench.refused(), VerifyError::Timestamp { index: 1, error });
}

#[test]
fn a_promise_is_verified_before_its_time_is_believed() {
    let mut bench = Bench::with(&form("v0.1 chain, message, promise"));
    bench.accepted();
    // A second later, under the old promise: still inside the certificate.
    let later = NOW.seconds() + 1;
    *bench.at(&format!("{ENTRY}/integratedTime")) = later.to_string().into();
    let index = bench
        .at(&format!("{ENTRY}/logIndex"))
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let error = EntryError::BadPromise { index };
    assert_eq!(bench.refused(), VerifyError::Entry { index: 0, error });
}

#[test]
fn a_promise_counts_only_while_its_logs_key_is_in_service() {
    let mut bench = Bench::with(&form("v0.1 chain, message, promise"));
    bench.root["tlogs"][0]["publicKey"]["validFor"] = window(0, 0);
    bench.accepted();
    bench.root["tlogs"][0]["publicKey"]["validFor"] = window(-9, -1);
    assert!(matches!(
        bench.refused(),
        VerifyError::Entry {
            error: EntryError::LogNotValidAt { .. },
            ..
        }
    ));
}

#[test]
fn a_promise_about_another_signature_tells_no_time() {
    // Both are good bundles of one log; the second one's promise would put the first into the past.
    let mut bench = Bench::with(&form("v0.1 chain, message, promise"));
    let other = bench
        .forge
        .make(&form("v0.1 chain, message, promise"))
        .bundle;
    *bench.at(ENTRY) = other.pointer(ENTRY).unwrap().clone();
    let report = bench.verify();
    assert_eq!(report.facts.times, []);
    assert!(report.verdict.is_err());
}

#[test]
fn as_many_authorities_tell_the_time_as_the_policy_asks() {
    let two = Form {
        timestamps: 2,
        ..Form::current()
    };
    let mut bench = Bench::with(&two);
    bench.accepted();
    let list: Vec<Value> = bench.at(STAMPS).as_array().unwrap().clone();
    // Two words of one authority are one.
    *bench.at(STAMPS) = vec![list[0].clone(), list[0].clone()].into();
    assert!(matches!(
        bench.refused(),
        VerifyError::NotEnoughTimestamps {
            wanted: 2,
            found: 1,
            ..
        }
    ));
    // A log's clock is one more.
    let mut bench = Bench::with(&form("v0.3 two logs, two timestamps, two SCTs"));
    bench
        .good
        .policy
        .certificates
        .as_mut()
        .unwrap()
        .evidence
        .times = 3;
    bench.accepted();
    bench
        .good
        .policy
        .certificates
        .as_mut()
        .unwrap()
        .evidence
        .times = 4;
    assert!(matches!(
        bench.refused(),
        VerifyError::NotEnoughTimes {
            wanted: 4,
            found: 3,
            ..
        }
    ));
}

#[test]
fn a_certificate_without_any_time_is_refused_and_a_log_of_rekor_2_gives_none() {
    let mut bench = Bench::new();
    bench
        .good
        .policy
        .certificates
        .as_mut()
        .unwrap()
        .evidence
        .timestamps = 0;
    bench
        .good
        .policy
        .certificates
        .as_mut()
        .unwrap()
        .evidence
        .times = 0;
    bench.stamp(&[]);
    *bench.at(&format!("{ENTRY}/integratedTime")) = NOW.seconds().to_string().into();
    assert!(matches!(
        bench.refused(),
        VerifyError::NotEnoughTimes {
            wanted: 1,
            found: 0,
            ..
        }
    ));
}

#[test]
fn evidence_from_the_future_is_refused() {
    let bench = Bench::new();
    let verifier = stella_bundle::verify::Verifier::new(
        stella_testkit::forge::trust(&bench.root),
        bench.good.policy.clone(),
    );
    let bundle =
        stella_bundle::bundle::Bundle::parse(bench.good.bundle.to_string().as_bytes()).unwrap();
    let artifact = stella_bundle::verify::Artifact::Bytes(stella_testkit::forge::ARTIFACT);
    let at = |now| verifier.verify(&bundle, &artifact, now).verdict.err();
    assert_eq!(at(NOW.minus(Duration::from_secs(300))), None);
    let now = NOW.minus(Duration::from_secs(301));
    assert_eq!(at(now), Some(VerifyError::FromTheFuture { time: NOW, now }));
}
