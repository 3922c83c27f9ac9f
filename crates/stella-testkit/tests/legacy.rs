//! What cosign wrote before bundles: its older JSON, signature and certificate as files, simple signing payloads. The same
//! rules decide, and refuse.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::{Value, json};
use stella_bundle::bundle::{Bundle, BundleError};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::json::{decode_base64, encode_base64};
use stella_bundle::key::KeyDetails;
use stella_bundle::legacy::{self, Form as Written, LegacyError, Pieces};
use stella_bundle::pem;
use stella_bundle::verify::{Artifact, EntryError, LogRule, Policy, Report, Verifier, VerifyError};
use stella_keys::{EphemeralKey, Signer as _};
use stella_testkit::forge::{self, ARTIFACT, EntryForm, Forge, Form, NOW};

fn form(name: &str) -> Form {
    Form::all()
        .into_iter()
        .find(|form| form.name == name)
        .unwrap()
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).unwrap().as_str().unwrap().to_owned()
}

/// Rewrites an entry as cosign kept it: body, time, index and id under the promise.
fn rekor_bundle(bundle: &Value) -> Value {
    let entry = bundle
        .pointer("/verificationMaterial/tlogEntries/0")
        .unwrap();
    let number = |name: &str| entry[name].as_str().unwrap().parse::<i64>().unwrap();
    json!({
        "SignedEntryTimestamp": text(entry, "/inclusionPromise/signedEntryTimestamp"),
        "Payload": {
            "body": text(entry, "/canonicalizedBody"),
            "integratedTime": number("integratedTime"),
            "logIndex": number("logIndex"),
            "logID": hex::encode(decode_base64(&text(entry, "/logId/keyId")).unwrap()),
        },
    })
}

fn leaf(bundle: &Value) -> String {
    let pointer = "/verificationMaterial/x509CertificateChain/certificates/0/rawBytes";
    pem::encode(
        "CERTIFICATE",
        &decode_base64(&text(bundle, pointer)).unwrap(),
    )
}

/// Rewrites a bundle as `cosign sign-blob --bundle` wrote it.
fn old_json(bundle: &Value) -> Value {
    let signature = match bundle.pointer("/messageSignature/signature") {
        Some(signature) => signature.as_str().unwrap().to_owned(),
        None => encode_base64(bundle["dsseEnvelope"].to_string().as_bytes()),
    };
    json!({
        "base64Signature": signature,
        "cert": encode_base64(leaf(bundle).as_bytes()),
        "rekorBundle": rekor_bundle(bundle),
    })
}

fn judge(forge: &Forge, policy: &Policy, bundle: &Bundle, artifact: &[u8]) -> Report {
    let verifier = Verifier::new(forge::trust(&forge.trusted_root()), policy.clone());
    verifier.verify(bundle, &Artifact::Bytes(artifact), NOW)
}

#[test]
fn the_older_json_of_blobs_and_of_their_attestations_is_verified() {
    let forge = Forge::new();
    for name in [
        "v0.1 chain, message, promise",
        "v0.1 chain, message, rekord",
        "v0.1 chain, statement, intoto 0.0.1",
    ] {
        let forged = forge.make(&form(name));
        let mut old = old_json(&forged.bundle);
        for cert in [
            leaf(&forged.bundle),
            encode_base64(leaf(&forged.bundle).as_bytes()),
        ] {
            old["cert"] = cert.into();
            let (bundle, written) = legacy::read(old.to_string().as_bytes()).unwrap();
            assert_eq!(written, Written::Legacy);
            let report = judge(&forge, &forged.policy, &bundle, ARTIFACT);
            assert_eq!(report.verdict.err(), None, "{name}");
        }
        let (bundle, _) = legacy::read(old.to_string().as_bytes()).unwrap();
        assert!(
            judge(&forge, &forged.policy, &bundle, b"other")
                .verdict
                .is_err()
        );
        old["rekorBundle"]["Payload"]["integratedTime"] = (NOW.seconds() + 1).into();
        let (bundle, _) = legacy::read(old.to_string().as_bytes()).unwrap();
        let error = judge(&forge, &forged.policy, &bundle, ARTIFACT)
            .verdict
            .unwrap_err();
        assert!(matches!(
            error,
            VerifyError::Entry {
                error: EntryError::BadPromise { .. },
                ..
            }
        ));
    }
}

#[test]
fn a_bundle_is_still_read_as_what_it_is() {
    let bundle = Forge::new().make(&Form::current()).bundle;
    let (_, written) = legacy::read(bundle.to_string().as_bytes()).unwrap();
    assert_eq!(written.to_string(), "bundle-v0.3");
    assert!(matches!(legacy::read(b"{}"), Err(LegacyError::Bundle(_))));
}

#[test]
fn older_json_that_is_malformed_is_refused_by_name() {
    let bundle = Forge::new()
        .make(&form("v0.1 chain, message, promise"))
        .bundle;
    let old = old_json(&bundle);
    let changed = |pointer: &str, value: Value| {
        let mut old = old.clone();
        *old.pointer_mut(pointer).unwrap() = value;
        legacy::read(old.to_string().as_bytes()).unwrap_err()
    };
    assert_eq!(
        changed("/base64Signature", "".into()),
        LegacyError::Signature
    );
    assert_eq!(changed("/cert", "AAAA".into()), LegacyError::Certificate);
    assert_eq!(
        changed("/rekorBundle/Payload/logID", "xy".into()),
        LegacyError::LogId
    );
    assert!(matches!(
        changed("/rekorBundle/Payload/body", "AAAA".into()),
        LegacyError::Json(_)
    ));
    assert!(matches!(
        changed("/rekorBundle", json!({"more": 1})),
        LegacyError::Json(_)
    ));
}

#[test]
fn signature_and_certificate_as_files_need_a_time_and_a_log_all_the_same() {
    let forge = Forge::new();
    let forged = forge.make(&form("v0.1 chain, message, promise"));
    let (signature, certificate) = (
        text(&forged.bundle, "/messageSignature/signature"),
        leaf(&forged.bundle),
    );
    let stamp = forge::stamp(
        &forge.timestamping[0],
        &decode_base64(&signature).unwrap(),
        NOW,
    );
    let alone = Pieces {
        signature: signature.as_bytes(),
        certificate: Some(certificate.as_bytes()),
        ..Pieces::default()
    };
    let refused = |pieces: &Pieces<'_>| {
        judge(
            &forge,
            &forged.policy,
            &pieces.to_bundle().unwrap(),
            ARTIFACT,
        )
        .verdict
        .err()
    };
    assert!(matches!(
        refused(&alone),
        Some(VerifyError::NotEnoughTimes { .. })
    ));
    let stamped = Pieces {
        timestamp: Some(&stamp),
        ..alone.clone()
    };
    assert!(matches!(
        refused(&stamped),
        Some(VerifyError::NotEnoughEntries { .. })
    ));
    let entry =
        legacy::read_rekor_bundle(rekor_bundle(&forged.bundle).to_string().as_bytes()).unwrap();
    // What is written is read again as it was.
    let written = legacy::write_rekor_bundle(&entry).unwrap();
    assert_eq!(
        legacy::read_rekor_bundle(written.as_bytes()).unwrap(),
        entry
    );
    let written = legacy::write_timestamp(&stamp);
    assert_eq!(legacy::read_timestamp(written.as_bytes()).unwrap(), stamp);
    let logged = Pieces {
        entry: Some(entry),
        ..stamped
    };
    assert_eq!(refused(&logged), None);
    // Bytes as they are, without base64.
    let bytes = decode_base64(&signature).unwrap();
    assert_eq!(
        refused(&Pieces {
            signature: &bytes,
            ..logged
        }),
        None
    );
}

#[test]
fn the_timestamp_of_an_older_attestation_is_over_all_of_its_envelope() {
    let forge = Forge::new();
    let forged = forge.make(&form("v0.1 chain, statement, intoto 0.0.1"));
    let (envelope, certificate) = (
        forged.bundle["dsseEnvelope"].to_string(),
        leaf(&forged.bundle),
    );
    let entry = rekor_bundle(&forged.bundle).to_string();
    let entry = legacy::read_rekor_bundle(entry.as_bytes()).unwrap();
    let signature = text(&forged.bundle, "/dsseEnvelope/signatures/0/sig");
    let signature = decode_base64(&signature).unwrap();
    let judged = |over: &[u8]| {
        let stamp = forge::stamp(&forge.timestamping[0], over, NOW);
        let pieces = Pieces {
            signature: envelope.as_bytes(),
            certificate: Some(certificate.as_bytes()),
            timestamp: Some(&stamp),
            entry: Some(entry.clone()),
            ..Pieces::default()
        };
        let bundle = pieces.to_bundle().unwrap();
        // No version of the format carries it.
        assert!(matches!(
            bundle.to_json(),
            Err(BundleError::NotInVersion { .. })
        ));
        judge(&forge, &forged.policy, &bundle, ARTIFACT)
            .verdict
            .err()
    };
    assert_eq!(judged(envelope.as_bytes()), None);
    assert!(matches!(
        judged(&signature),
        Some(VerifyError::Timestamp { .. })
    ));
}

/// A simple signing payload about an image, signed and logged.
struct Image {
    forge: Forge,
    key: EphemeralKey,
    leaf: Vec<u8>,
    payload: Vec<u8>,
    digest: [stella_bundle::digest::Digest; 1],
}

impl Image {
    fn new(payload: impl FnOnce(&str) -> String) -> Self {
        let (forge, key) = (Forge::new(), forge::key(KeyDetails::EcdsaP256Sha256));
        let leaf = forge.leaf(&Form::current(), &key, |_| {});
        let digest = DigestAlgorithm::Sha256.digest(b"the manifest of an image");
        let payload = payload(&digest.to_string()).into_bytes();
        Self {
            forge,
            key,
            leaf,
            payload,
            digest: [digest],
        }
    }

    fn good() -> Self {
        Self::new(|digest| {
            json!({
                "critical": {
                    "identity": {"docker-reference": "registry.example.com/app"},
                    "image": {"docker-manifest-digest": digest},
                    "type": "cosign container image signature",
                },
                "optional": null,
            })
            .to_string()
        })
    }

    /// Logs the signature over what was hashed.
    fn verdict(&self, signed: &[u8], hashed: &[u8]) -> Result<Report, LegacyError> {
        let signature = forge::sign(&self.key, signed);
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": DigestAlgorithm::Sha256.digest(hashed).hex()}},
                "signature": {
                    "content": encode_base64(&signature),
                    "publicKey": {"content": encode_base64(pem::encode("CERTIFICATE", &self.leaf).as_bytes())},
                },
            },
        });
        let entry = EntryForm {
            kind: ("hashedrekord", "0.0.1"),
            promise: true,
            proof: false,
        };
        let entries =
            self.forge
                .rekor_1
                .entries(&entry, &[body.to_string().into_bytes()], NOW, None);
        let certificate = pem::encode("CERTIFICATE", &self.leaf);
        let signature = encode_base64(&signature);
        let pieces = Pieces {
            signature: signature.as_bytes(),
            certificate: Some(certificate.as_bytes()),
            payload: Some(&self.payload),
            timestamp: None,
            entry: Some(serde_json::from_value(entries[0].clone()).unwrap()),
        };
        let policy = Policy::for_certificates(forge::rule(&forge::SIGNER));
        let verifier = Verifier::new(forge::trust(&self.forge.trusted_root()), policy);
        Ok(verifier.verify(&pieces.to_bundle()?, &Artifact::Digests(&self.digest), NOW))
    }
}

#[test]
fn an_image_signature_is_verified_over_the_payload_that_names_the_image() {
    let image = Image::good();
    let report = image.verdict(&image.payload, &image.payload).unwrap();
    assert_eq!(report.verdict.err(), None);
    let named = report.facts.image.as_ref().unwrap();
    assert_eq!(named.reference, "registry.example.com/app");
    assert_eq!(named.digest, image.digest[0].to_string());
}

#[test]
fn an_image_signature_about_another_image_or_text_is_refused() {
    let image = Image::good();
    let verdict =
        |signed: &[u8], hashed: &[u8]| image.verdict(signed, hashed).unwrap().verdict.unwrap_err();
    assert!(matches!(
        verdict(b"other", &image.payload),
        VerifyError::Signature(_)
    ));
    let mut report = image.verdict(&image.payload, b"other").unwrap();
    assert!(
        report.facts.times.is_empty(),
        "an entry about another text tells no time"
    );
    assert!(report.verdict.is_err());
    let mut other = Image::good();
    other.digest = [DigestAlgorithm::Sha256.digest(b"another manifest")];
    report = other.verdict(&other.payload, &other.payload).unwrap();
    assert!(matches!(
        report.verdict,
        Err(VerifyError::SubjectMismatch { .. })
    ));
}

#[test]
fn a_payload_of_another_type_or_with_doubled_names_is_refused() {
    let refused = |payload: fn(&str) -> String| {
        let image = Image::new(payload);
        image
            .verdict(&image.payload, &image.payload)
            .unwrap()
            .verdict
    };
    let another = refused(|digest| {
        format!(
            r#"{{"critical":{{"image":{{"docker-manifest-digest":"{digest}"}},"type":"atomic container signature"}}}}"#
        )
    });
    assert!(matches!(another, Err(VerifyError::SimpleSigning(_))));
    let doubled = refused(|digest| {
        format!(
            r#"{{"critical":{{"image":{{"docker-manifest-digest":"sha256:00","docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}}}}"#
        )
    });
    assert!(matches!(doubled, Err(VerifyError::SimpleSigning(_))));
}

#[test]
fn a_signature_that_begins_with_a_brace_is_a_signature() {
    let (forge, key) = (Forge::new(), forge::key(KeyDetails::Ed25519));
    let with_brace = |number: &u32| forge::sign(&key, &number.to_be_bytes()).first() == Some(&b'{');
    let number = (0..100_000).find(with_brace).unwrap().to_be_bytes();
    let signature = forge::sign(&key, &number);
    let pieces = Pieces {
        signature: &signature,
        ..Pieces::default()
    };
    let mut policy = Policy::for_keys(vec![key.public_key().clone().into()]);
    policy.keys.as_mut().unwrap().evidence.log = LogRule::WithoutLogUnsafe;
    let report = judge(&forge, &policy, &pieces.to_bundle().unwrap(), &number);
    assert_eq!(report.verdict.err(), None);
}

#[test]
fn a_managed_key_signs_files_without_log_only_where_the_policy_says_so() {
    let (forge, key) = (Forge::new(), forge::key(KeyDetails::EcdsaP256Sha256));
    let signature = encode_base64(&forge::sign(&key, ARTIFACT));
    let pieces = Pieces {
        signature: signature.as_bytes(),
        ..Pieces::default()
    };
    let bundle = pieces.to_bundle().unwrap();
    let mut policy = Policy::for_keys(vec![key.public_key().clone().into()]);
    let strict = judge(&forge, &policy, &bundle, ARTIFACT);
    assert!(matches!(
        strict.verdict,
        Err(VerifyError::NotEnoughEntries { .. })
    ));
    policy.keys.as_mut().unwrap().evidence.log = LogRule::WithoutLogUnsafe;
    assert_eq!(
        judge(&forge, &policy, &bundle, ARTIFACT).verdict.err(),
        None
    );
    assert!(judge(&forge, &policy, &bundle, b"other").verdict.is_err());
}
