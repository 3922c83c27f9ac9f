//! Evidence that was tampered with is refused, and by its own name: `testdata/keyless/cases.json`, one edit after another
//! on a good bundle or on the trusted root; and every signed byte of the bundle, changed one at a time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use serde::Deserialize;
use serde_json::Value;
use stella_bundle::bundle::Bundle;
use stella_bundle::identity::{AnyOf, CertificateIdentity, Identities};
use stella_bundle::json;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{Artifact, IdentityRule, Policy, Trust, Verifier, VerifyError};

const GOOD: &str = include_str!("../../../testdata/keyless/bundle.sigstore.json");
const OTHER: &str = include_str!("../../../testdata/keyless/other.sigstore.json");
const ROOT: &str = include_str!("../../../testdata/keyless/trusted_root.json");
const ARTIFACT: &str = include_str!("../../../testdata/keyless/artifact.txt");
const CASES: &str = include_str!("../../../testdata/keyless/cases.json");

const IDENTITY: &str = "repo:local/demo:ref:refs/heads/main";
const ISSUER: &str = "http://127.0.0.1:8470";

/// Thirty years after the bundle was signed: no clock has a say in what an old signature is worth.
const NOW: &str = "2056-11-21T00:00:00Z";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// `ok`, `bundle` for a bundle that does not parse, or the name of the refusal with that of its cause.
    expect: String,
    #[serde(default)]
    edits: Vec<Edit>,
    #[serde(default)]
    root: Vec<Edit>,
    artifact: Option<String>,
    identity: Option<String>,
    issuer: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Edit {
    /// Removes what is there.
    Drop { drop: String },
    /// Puts a value there.
    Put { put: String, value: Value },
    /// Copies from one place to another.
    Copy { copy: String, to: String },
    /// Takes what the other bundle has there.
    Take { take: String, to: Option<String> },
    /// Changes one character of base64.
    Flip { flip: String, at: usize },
    /// Changes a piece of text.
    Replace {
        replace: String,
        from: String,
        with: String,
    },
}

impl Edit {
    fn apply(&self, to_edit: &mut Value) {
        let other = || serde_json::from_str::<Value>(OTHER).unwrap();
        match self {
            Self::Drop { drop } => {
                let (parent, name) = drop.rsplit_once('/').unwrap();
                let parent = to_edit
                    .pointer_mut(parent)
                    .unwrap()
                    .as_object_mut()
                    .unwrap();
                parent.remove(name).unwrap();
            }
            Self::Put { put, value } => place(to_edit, put, value.clone()),
            Self::Copy { copy, to } => {
                let value = to_edit.pointer(copy).unwrap().clone();
                place(to_edit, to, value);
            }
            Self::Take { take, to } => {
                let value = other().pointer(take).unwrap().clone();
                place(to_edit, to.as_ref().unwrap_or(take), value);
            }
            Self::Flip { flip, at } => {
                let text = to_edit.pointer(flip).unwrap().as_str().unwrap().to_owned();
                place(to_edit, flip, flipped(&text, *at).into());
            }
            Self::Replace {
                replace,
                from,
                with,
            } => {
                let text = to_edit.pointer(replace).unwrap().as_str().unwrap();
                assert!(text.contains(from), "{from:?} is not in {text:?}");
                let text = text.replacen(from, with, 1);
                place(to_edit, replace, text.into());
            }
        }
    }
}

/// Puts a value at a JSON pointer; a last step of `-` appends to a list.
fn place(to_edit: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match to_edit.pointer_mut(parent).unwrap() {
        Value::Array(list) if name == "-" => list.push(value),
        Value::Array(list) => list[name.parse::<usize>().unwrap()] = value,
        Value::Object(object) => {
            object.insert(name.to_owned(), value);
        }
        _ => panic!("{pointer}: nothing can be put there"),
    }
}

fn flipped(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

fn verify(bundle: &[u8], root: &[u8], case: &Case) -> String {
    let Ok(bundle) = Bundle::parse(bundle) else {
        return "bundle".to_owned();
    };
    let identity = case.identity.as_deref().unwrap_or(IDENTITY);
    let issuer = case.issuer.as_deref().unwrap_or(ISSUER);
    let identity = CertificateIdentity::parse(identity, issuer).unwrap();
    let rule = IdentityRule::Given(Identities::AnyOf(AnyOf::new(vec![identity]).unwrap()));
    let trust = Trust::new(&TrustedRoot::parse(root).unwrap());
    let verifier = Verifier::new(trust, Policy::for_certificates(rule));
    let artifact = case.artifact.as_deref().unwrap_or(ARTIFACT);
    let now = UnixTime::parse_rfc3339(NOW).unwrap();
    match verifier
        .verify(&bundle, &Artifact::Bytes(artifact.as_bytes()), now)
        .verdict
    {
        Ok(_) => "ok".to_owned(),
        Err(error) => name_of(&error),
    }
}

/// Returns the name of a refusal, with that of its cause where it has one.
fn name_of(error: &VerifyError) -> String {
    fn variant(value: &dyn std::fmt::Debug) -> String {
        let text = format!("{value:?}");
        let end = text.find([' ', '(', '{']).unwrap_or(text.len());
        text[..end].to_owned()
    }
    let cause = match error {
        VerifyError::Entry { error, .. } => variant(error),
        VerifyError::Timestamp { error, .. } => variant(error),
        VerifyError::TimestampChain { error, .. } | VerifyError::Chain(error) => variant(error),
        _ => return variant(error),
    };
    format!("{}.{cause}", variant(error))
}

fn edited(text: &str, edits: &[Edit]) -> Vec<u8> {
    let mut value: Value = serde_json::from_str(text).unwrap();
    edits.iter().for_each(|edit| edit.apply(&mut value));
    serde_json::to_vec(&value).unwrap()
}

#[test]
fn every_case_ends_as_it_says() {
    let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let found = verify(&edited(GOOD, &case.edits), &edited(ROOT, &case.root), case);
        if found != case.expect {
            wrong.push(format!(
                "{}: expected {}, found {found}",
                case.name, case.expect
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(cases.len() > 60);
}

#[test]
fn no_byte_of_what_is_signed_can_be_changed() {
    let case: Case = serde_json::from_str(r#"{"name":"mutation","expect":"ok"}"#).unwrap();
    let good: Value = serde_json::from_str(GOOD).unwrap();
    let signed = [
        "/verificationMaterial/certificate/rawBytes",
        "/verificationMaterial/tlogEntries/0/canonicalizedBody",
        "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0",
        "/verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
        "/verificationMaterial/tlogEntries/0/logId/keyId",
        "/dsseEnvelope/payload",
        "/dsseEnvelope/signatures/0/sig",
    ];
    for pointer in signed {
        let bytes = json::decode_base64(good.pointer(pointer).unwrap().as_str().unwrap()).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let mut bundle = good.clone();
            place(&mut bundle, pointer, json::encode_base64(&changed).into());
            let bundle = serde_json::to_vec(&bundle).unwrap();
            assert_ne!(
                verify(&bundle, ROOT.as_bytes(), &case),
                "ok",
                "{pointer} byte {at}"
            );
        }
    }
}

/// A token has parts that nobody signs: what is around the signed content, and the certificates beside it. Whatever is
/// changed there, the time that counts is the one that was signed.
#[test]
fn no_byte_of_a_timestamp_can_move_the_time() {
    let case: Case = serde_json::from_str(r#"{"name":"mutation","expect":"ok"}"#).unwrap();
    let good: Value = serde_json::from_str(GOOD).unwrap();
    let pointer =
        "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";
    let bytes = json::decode_base64(good.pointer(pointer).unwrap().as_str().unwrap()).unwrap();
    let mut accepted = 0;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let mut bundle = good.clone();
        place(&mut bundle, pointer, json::encode_base64(&changed).into());
        let bundle = serde_json::to_vec(&bundle).unwrap();
        if verify(&bundle, ROOT.as_bytes(), &case) == "ok" {
            accepted += 1;
            let original = stella_bundle::timestamp::SignedTimestamp::parse(&bytes).unwrap();
            let token = stella_bundle::timestamp::SignedTimestamp::parse(&changed).unwrap();
            assert_eq!(
                (token.time, &token.imprint),
                (original.time, &original.imprint),
                "byte {at}"
            );
        }
    }
    assert!(
        accepted < bytes.len() / 2,
        "{accepted} of {} changes were accepted",
        bytes.len()
    );
}
