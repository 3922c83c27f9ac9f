//! Steps 5 to 7: the signature, what was signed, and who may sign.

use std::time::Duration;

use serde_json::{Value, json};
use stella_bundle::bundle::BundleError;
use stella_bundle::certificate::Claim;
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::envelope::{IN_TOTO, pae};
use stella_bundle::identity::{AnyOf, CertificateIdentity, Identities, IdentityError};
use stella_bundle::json::encode_base64;
use stella_bundle::key::{KeyDetails, KeyError, Scheme};
use stella_bundle::statement::{STATEMENT_V0_1, StatementError};
use stella_bundle::time::Validity;
use stella_bundle::verify::{
    Artifact, Evidence, IdentityRule, LogRule, ManagedKey, Policy, Verifier, VerifyError,
};
use stella_keys::Signer as _;
use stella_testkit::forge::{self, ARTIFACT, Extension, Form, Material, NOW, SIGNER, What};

use super::{Bench, form, report};

/// A bundle signed with a managed key and nothing else.
fn key_alone(algorithm: KeyDetails) -> (Bench, ManagedKey) {
    let bench = Bench::with(&Form {
        algorithm,
        what: What::Message,
        material: Material::Key,
        entries: Vec::new(),
        timestamps: 0,
        ..Form::current()
    });
    let key = bench.good.policy.keys.as_ref().unwrap().keys[0].clone();
    (bench, key)
}

/// Signs a payload of its own with a managed key.
fn enveloped(payload: &[u8], payload_type: &str) -> (Value, Policy) {
    let key = forge::key(KeyDetails::EcdsaP256Sha256);
    let signature = forge::sign(&key, &pae(payload_type, payload));
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": ""}},
        "dsseEnvelope": {
            "payload": encode_base64(payload),
            "payloadType": payload_type,
            "signatures": [{"sig": encode_base64(&signature)}],
        },
    });
    let mut policy = Policy::for_keys(vec![key.public_key().clone().into()]);
    policy.keys.as_mut().unwrap().evidence.log = LogRule::WithoutLogUnsafe;
    (bundle, policy)
}

fn judged(payload: &Value, payload_type: &str) -> Result<(), VerifyError> {
    let (bundle, policy) = enveloped(payload.to_string().as_bytes(), payload_type);
    let root = forge::Forge::new().trusted_root();
    report(&root, &bundle, &policy).verdict.map(|_| ())
}

fn statement() -> Value {
    serde_json::from_slice(&forge::statement()).unwrap()
}

#[test]
fn an_envelope_in_a_bundle_has_exactly_one_signature() {
    let mut bench = Bench::new();
    let signatures = bench.at("/dsseEnvelope/signatures").as_array_mut().unwrap();
    signatures.push(signatures[0].clone());
    let parse =
        |bundle: &Value| stella_bundle::bundle::Bundle::parse(bundle.to_string().as_bytes());
    assert_eq!(
        parse(&bench.good.bundle),
        Err(BundleError::SignatureCount { found: 2 })
    );
    bench
        .at("/dsseEnvelope/signatures")
        .as_array_mut()
        .unwrap()
        .clear();
    assert_eq!(
        parse(&bench.good.bundle),
        Err(BundleError::SignatureCount { found: 0 })
    );
}

#[test]
fn the_hash_of_a_message_signature_follows_the_key() {
    for (algorithm, needed) in [
        (KeyDetails::EcdsaP384Sha384, DigestAlgorithm::Sha384),
        (KeyDetails::EcdsaP521Sha512, DigestAlgorithm::Sha512),
    ] {
        let (bench, _) = key_alone(algorithm);
        bench.accepted();
        // By digest alone only the digest of the key's own hash will do.
        let bundle =
            stella_bundle::bundle::Bundle::parse(bench.good.bundle.to_string().as_bytes()).unwrap();
        let verifier = Verifier::new(forge::trust(&bench.root), bench.good.policy.clone());
        let by = |algorithm: DigestAlgorithm| {
            let digests = [algorithm.digest(ARTIFACT)];
            verifier
                .verify(&bundle, &Artifact::Digests(&digests), NOW)
                .verdict
                .err()
        };
        assert_eq!(by(needed), None);
        assert_eq!(
            by(DigestAlgorithm::Sha256),
            Some(VerifyError::ArtifactDigestNeeded { needed })
        );
    }
}

#[test]
fn a_key_on_p_384_signs_over_sha_256_only_where_rekor_v1_recorded_so() {
    let form = form("v0.1 chain, message, P-384 over SHA-256");
    Bench::with(&form).accepted();
    // A signature over SHA-384 that the log has under SHA-256.
    let forge = forge::Forge::new();
    let key = forge::key(KeyDetails::EcdsaP384Sha384);
    let leaf = forge.leaf(&form, &key, |_| {});
    let good = forge.assemble(&form, &key, Some(leaf));
    let verdict = report(&forge.trusted_root(), &good.bundle, &good.policy).verdict;
    let unsigned = VerifyError::Signature(KeyError::BadSignature);
    assert_eq!(verdict.unwrap_err(), unsigned);
    // A signature over SHA-256 of which the log says nothing.
    let alone = Form {
        material: Material::Key,
        entries: Vec::new(),
        ..form
    };
    assert_eq!(Bench::with(&alone).refused(), unsigned);
}

#[test]
fn a_key_may_sign_in_another_way_only_where_the_policy_says_so() {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};

    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(
        &RSA_PSS_SHA256,
        &SystemRandom::new(),
        ARTIFACT,
        &mut signature,
    )
    .unwrap();
    let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let key = stella_bundle::key::PublicKey::from_spki(spki.as_ref()).unwrap();
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": ""}},
        "messageSignature": {"signature": encode_base64(&signature)},
    });
    let root = forge::Forge::new().trusted_root();
    let verdict = |scheme| {
        let managed = ManagedKey {
            scheme,
            ..ManagedKey::from(key.clone())
        };
        let mut policy = Policy::for_keys(vec![managed]);
        policy.keys.as_mut().unwrap().evidence.log = LogRule::WithoutLogUnsafe;
        report(&root, &bundle, &policy).verdict.map(|_| ())
    };
    assert_eq!(
        verdict(None),
        Err(VerifyError::Signature(KeyError::BadSignature))
    );
    assert_eq!(
        verdict(Some(Scheme::RsaPss(DigestAlgorithm::Sha256))),
        Ok(())
    );
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let (mut bench, _) = key_alone(KeyDetails::Ed25519);
    let (_, other) = key_alone(KeyDetails::Ed25519);
    bench.good.policy.keys.as_mut().unwrap().keys = vec![other];
    assert_eq!(
        bench.refused(),
        VerifyError::Signature(KeyError::BadSignature)
    );
}

#[test]
fn of_several_managed_keys_the_hint_chooses_one() {
    let (mut bench, key) = key_alone(KeyDetails::EcdsaP256Sha256);
    let (_, other) = key_alone(KeyDetails::EcdsaP256Sha256);
    let named = ManagedKey {
        hint: Some("release".to_owned()),
        ..key.clone()
    };
    bench.good.policy.keys.as_mut().unwrap().keys = vec![other, named];
    let hint = "/verificationMaterial/publicKey/hint";
    for known in [
        encode_base64(&key.key.key_id()),
        hex::encode(key.key.key_id()),
        "release".to_owned(),
    ] {
        *bench.at(hint) = known.into();
        assert_eq!(bench.accepted().facts.key.as_ref().unwrap().index, 1);
    }
    *bench.at(hint) = "unknown".into();
    assert_eq!(
        bench.refused(),
        VerifyError::KeyHintMismatch {
            found: "unknown".to_owned()
        }
    );
}

#[test]
fn a_hint_that_differs_from_the_envelopes_key_id_is_refused() {
    let mut bench = Bench::with(&form("v0.3 key, statement, Rekor v2"));
    *bench.at("/dsseEnvelope/signatures/0") = {
        let mut signature = bench.at("/dsseEnvelope/signatures/0").clone();
        signature["keyid"] = "another".into();
        signature
    };
    assert_eq!(
        bench.refused(),
        VerifyError::KeyHintMismatch {
            found: "another".to_owned()
        }
    );
}

#[test]
fn a_managed_key_counts_inside_its_validity_at_the_signing_time_or_now() {
    let second = Duration::from_secs(1);
    let inside = Validity {
        start: Some(NOW),
        end: Some(NOW),
    };
    let outside = Validity {
        start: Some(NOW.plus(second)),
        end: None,
    };
    let mut bench = Bench::with(&form("v0.3 key, statement, Rekor v2"));
    let mut judge = |validity| {
        bench.good.policy.keys.as_mut().unwrap().keys[0].validity = validity;
        bench.verify().verdict.err()
    };
    assert_eq!(judge(inside), None);
    assert_eq!(
        judge(outside),
        Some(VerifyError::KeyNotValidAt {
            validity: outside,
            time: NOW
        })
    );
    // Nothing tells the time: then the key must be valid now, which is thirty years later here.
    let (mut bench, _) = key_alone(KeyDetails::Ed25519);
    bench.good.policy.keys.as_mut().unwrap().keys[0].validity = inside;
    assert!(matches!(bench.refused(), VerifyError::KeyNotValidAt { .. }));
}

#[test]
fn a_key_does_not_stand_in_for_a_certificate_nor_the_other_way_round() {
    let bench = Bench::new();
    let keys = Bench::with(&form("v0.3 key, statement, Rekor v2"));
    let crossed = report(&bench.root, &bench.good.bundle, &keys.good.policy);
    assert_eq!(crossed.verdict, Err(VerifyError::CertificateNotWanted));
    let crossed = report(&bench.root, &keys.good.bundle, &bench.good.policy);
    assert_eq!(crossed.verdict, Err(VerifyError::NoCertificate));
    let nobody = report(&bench.root, &bench.good.bundle, &Policy::default());
    assert!(nobody.verdict.is_err());
}

#[test]
fn the_artifact_is_among_the_subjects() {
    let mut other = statement();
    assert_eq!(judged(&other, IN_TOTO), Ok(()));
    other["subject"][0]["digest"]["sha256"] = DigestAlgorithm::Sha256.digest(b"other").hex().into();
    assert!(matches!(
        judged(&other, IN_TOTO),
        Err(VerifyError::SubjectMismatch { .. })
    ));
}

#[test]
fn a_subject_with_another_algorithms_digest_of_another_artifact_is_refused() {
    // The second digest speaks of other bytes: a subject is one artifact or none.
    let mut twofold = statement();
    twofold["subject"][0]["digest"]["sha512"] =
        DigestAlgorithm::Sha512.digest(b"other").hex().into();
    assert!(matches!(
        judged(&twofold, IN_TOTO),
        Err(VerifyError::SubjectMismatch { .. })
    ));
    // A digest is compared under its own name only.
    let mut renamed = statement();
    let digest = DigestAlgorithm::Sha256.digest(ARTIFACT).hex();
    renamed["subject"][0]["digest"] = json!({"sha512": digest});
    assert!(matches!(
        judged(&renamed, IN_TOTO),
        Err(VerifyError::SubjectMismatch { .. })
    ));
    let mut second = statement();
    let other =
        json!({"name": "b", "digest": {"sha512": DigestAlgorithm::Sha512.digest(b"b").hex()}});
    second["subject"].as_array_mut().unwrap().insert(0, other);
    assert_eq!(judged(&second, IN_TOTO), Ok(()));
}

#[test]
fn statements_of_both_versions_are_read_and_no_others() {
    let mut old = statement();
    old["_type"] = STATEMENT_V0_1.into();
    assert_eq!(judged(&old, IN_TOTO), Ok(()));
    old["_type"] = "https://in-toto.io/Statement/v2".into();
    let found = "https://in-toto.io/Statement/v2".to_owned();
    let error = StatementError::UnknownType { found };
    assert_eq!(judged(&old, IN_TOTO), Err(VerifyError::Statement(error)));
}

#[test]
fn another_payload_type_is_no_statement() {
    let found = "text/plain".to_owned();
    assert_eq!(
        judged(&statement(), "text/plain"),
        Err(VerifyError::PayloadType { found })
    );
    let mut changed = Bench::new();
    *changed.at("/dsseEnvelope/payloadType") = "application/json".into();
    assert!(changed.verify().verdict.is_err());
}

#[test]
fn without_an_artifact_nothing_is_verified() {
    for name in [
        "v0.3 certificate, statement, Rekor v2",
        "v0.3 certificate, message, Rekor v2",
    ] {
        let bench = Bench::with(&form(name));
        let bundle =
            stella_bundle::bundle::Bundle::parse(bench.good.bundle.to_string().as_bytes()).unwrap();
        let verifier = Verifier::new(forge::trust(&bench.root), bench.good.policy.clone());
        let report = verifier.verify(&bundle, &Artifact::NotCompared, NOW);
        assert_eq!(
            report.verdict,
            Err(VerifyError::ArtifactNotCompared),
            "{name}"
        );
    }
}

fn identities(list: &[(&str, &str)]) -> Policy {
    let parse = |(name, issuer): &(&str, &str)| CertificateIdentity::parse(name, issuer).unwrap();
    let any = AnyOf::new(list.iter().map(parse).collect()).unwrap();
    Policy::for_certificates(IdentityRule::Given(Identities::AnyOf(any)))
}

#[test]
fn an_identity_is_the_whole_name_and_never_a_part() {
    let mut bench = Bench::new();
    let (name, issuer) = (SIGNER.name, SIGNER.issuer);
    let longer = format!("{name}x");
    for (name, issuer) in [
        (&name[..name.len() - 1], issuer),
        (&name[1..], issuer),
        (&longer, issuer),
        (&name.to_uppercase(), issuer),
        (name, "https://token.example.com/"),
        (name, "https://token.example.co"),
    ] {
        bench.good.policy = identities(&[(name, issuer)]);
        assert!(
            matches!(bench.refused(), VerifyError::IdentityMismatch { .. }),
            "{name} {issuer}"
        );
    }
}

#[test]
fn several_identities_are_alternatives_and_all_that_match_are_named() {
    let mut bench = Bench::new();
    let nobody = ("https://nobody.example.com", SIGNER.issuer);
    let pattern = ("repo:org/app:.*", SIGNER.issuer);
    bench.good.policy = identities(&[nobody, (SIGNER.name, SIGNER.issuer), pattern]);
    assert_eq!(bench.accepted().facts.matched, [1, 2]);
}

#[test]
fn claims_are_compared_beside_the_identity() {
    let mut bench = Bench::new();
    let identity = CertificateIdentity::parse(SIGNER.name, SIGNER.issuer).unwrap();
    let with = |value: &str| {
        let identity = identity.clone().with_claim(Claim::TokenSubject, value);
        let any = AnyOf::new(vec![identity]).unwrap();
        Policy::for_certificates(IdentityRule::Given(Identities::AnyOf(any)))
    };
    bench.good.policy = with(SIGNER.subject);
    bench.accepted();
    bench.good.policy = with("repo:org/app:ref:refs/heads/dev");
    assert!(matches!(
        bench.refused(),
        VerifyError::IdentityMismatch { .. }
    ));
}

#[test]
fn without_an_identity_every_check_runs_and_nothing_is_verified() {
    let mut bench = Bench::new();
    bench.good.policy = Policy::for_certificates(IdentityRule::NotGiven);
    let report = bench.verify();
    assert_eq!(report.verdict, Err(VerifyError::NoIdentityGiven));
    let failed = |(_, outcome): &&(_, stella_bundle::verify::Outcome)| {
        matches!(outcome, stella_bundle::verify::Outcome::Failed(_))
    };
    assert_eq!(report.checks.iter().filter(failed).count(), 1);
    assert_eq!(
        report.facts.signer.as_ref().unwrap().name(),
        Some(SIGNER.name)
    );
}

#[test]
fn an_empty_identity_or_issuer_is_a_mistake_and_skips_nothing() {
    for (name, issuer) in [("", SIGNER.issuer), (SIGNER.name, "")] {
        let refused = CertificateIdentity::parse(name, issuer);
        assert!(matches!(refused, Err(IdentityError::Empty { .. })));
    }
    assert_eq!(AnyOf::new(Vec::new()), None);
}

#[test]
fn a_certificate_with_two_issuers_has_none() {
    let forge = forge::Forge::new();
    let forged = forge.make_shaped(&Form::current(), |sketch| {
        sketch.put(Extension::claim(
            Claim::IssuerV1,
            "https://evil.example.com",
        ));
    });
    let error = report(&forge.trusted_root(), &forged.bundle, &forged.policy)
        .verdict
        .unwrap_err();
    assert!(matches!(error, VerifyError::IdentityMismatch { .. }));
}

#[test]
fn tricks_of_unicode_in_a_claim_are_shown_escaped_and_match_nothing_else() {
    let forge = forge::Forge::new();
    for trick in [
        "repo:org/app:ref:refs/heads/m\u{430}in",
        "repo:org/app:ref:refs/heads/main\0",
        "repo:org/app:ref:refs/heads/\u{202e}niam",
    ] {
        let mut forged = forge.make_shaped(&Form::current(), |sketch| {
            sketch.put(Extension::claim(Claim::TokenSubject, trick));
        });
        forged.policy = identities(&[(SIGNER.subject, SIGNER.issuer)]);
        let error = report(&forge.trusted_root(), &forged.bundle, &forged.policy)
            .verdict
            .unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, VerifyError::IdentityMismatch { .. }));
        assert!(text.is_ascii() && !text.contains('\0'), "{text}");
        assert!(text.contains("\\u{"), "{text}");
    }
}

#[test]
fn the_strict_rules_ask_for_a_log_and_a_time() {
    assert!(matches!(
        Evidence::STRICT.log,
        LogRule::Require { logs: 1, .. }
    ));
    assert_eq!(Evidence::STRICT.times, 1);
}
