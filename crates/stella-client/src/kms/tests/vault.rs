//! Vault and OpenBao: what their transit engine is asked, and what its answers are worth.

use std::fs;
use std::sync::Arc;

use http::Method;
use serde_json::json;
use stella_bundle::json::{decode_base64, encode_base64};
use stella_bundle::key::KeyKind;

use super::*;
use crate::scripted::status;

const VARIABLES: [(&str, &str); 2] = [
    ("VAULT_ADDR", "https://vault.example/"),
    ("VAULT_TOKEN", "hvs.token"),
];
const MESSAGE: &[u8] = b"an artifact";

const KINDS: [KeyDetails; 5] = [
    KeyDetails::EcdsaP256Sha256,
    KeyDetails::EcdsaP384Sha384,
    KeyDetails::EcdsaP521Sha512,
    KeyDetails::Ed25519,
    KeyDetails::RsaPkcs1v15_2048Sha256,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    AnotherKey,
    AnotherVersion,
    CutBase64,
    Derived,
    NoPrefix,
    NotForSigning,
    Symmetric,
}

/// Answers as the engine would with a key of seven versions, but for the flaw; a digest is that of [`MESSAGE`].
fn engine(key: &EphemeralKey, flaw: Flaw, request: &Request) -> Outcome {
    let details = key.details();
    assert_eq!(request.uri().host(), Some("vault.example"));
    assert_eq!(request.headers()["x-vault-token"], "hvs.token");
    if request.method() == Method::GET {
        assert_eq!(request.uri().path(), "/v1/transit/keys/release");
        let public = match details.kind() {
            KeyKind::Ed25519 => encode_base64(key.public_key().bits()),
            _ => key.public_key().to_pem(),
        };
        let newest = match flaw {
            Flaw::Symmetric => json!(1_700_000_000),
            _ => json!({"public_key": public, "creation_time": "2026-01-01T00:00:00Z"}),
        };
        let answer = json!({"request_id": "x", "data": {
            "type": "a-type", "latest_version": 7, "supports_signing": flaw != Flaw::NotForSigning,
            "derived": flaw == Flaw::Derived, "keys": {"1": {"public_key": "old"}, "7": newest},
        }});
        return status(200, answer.to_string());
    }
    assert_eq!(request.uri().path(), "/v1/transit/sign/release");
    let asked = body(request);
    assert_eq!(asked["key_version"], 7);
    let input = decode_base64(asked["input"].as_str().unwrap()).unwrap();
    match details.hash() {
        Some(hash) => {
            assert_eq!(asked["prehashed"], true);
            assert_eq!(input, hash.digest(MESSAGE).bytes());
            let name = format!("sha2-{}", hash.size() * 8);
            assert_eq!(asked["hash_algorithm"], name);
        }
        None => assert_eq!(
            (input.as_slice(), &asked["prehashed"]),
            (MESSAGE, &json!(false))
        ),
    }
    let is_rsa = matches!(details.kind(), KeyKind::Rsa { .. });
    assert_eq!(asked["signature_algorithm"] == "pkcs1v15", is_rsa);
    let is_ecdsa = !is_rsa && details.kind() != KeyKind::Ed25519;
    assert_eq!(asked["marshaling_algorithm"] == "asn1", is_ecdsa);
    let signature = match flaw {
        Flaw::AnotherKey => stranger(details).sign(MESSAGE).unwrap(),
        _ => key.sign(MESSAGE).unwrap(),
    };
    let mut signature = encode_base64(&signature);
    if flaw == Flaw::CutBase64 {
        signature.truncate(signature.len() - 3);
    }
    let prefix = match flaw {
        Flaw::AnotherVersion => "vault:v8:",
        Flaw::NoPrefix => "",
        _ => "vault:v7:",
    };
    let answer = json!({"data": {"signature": format!("{prefix}{signature}"), "key_version": 7}});
    status(200, answer.to_string())
}

fn open(details: KeyDetails, flaw: Flaw) -> Result<(RemoteKey, PublicKey), KeyError> {
    let key = EphemeralKey::generate(details).unwrap();
    let public = key.public_key().clone();
    let network = answering(move |request| engine(&key, flaw, request));
    let place = reference("hashivault://release");
    let remote = RemoteKey::open(&place, surroundings(&VARIABLES, network), false)?;
    Ok((remote, public))
}

#[test]
fn every_kind_of_key_signs_by_the_version_whose_public_half_was_read() {
    for details in KINDS {
        let (remote, public) = open(details, Flaw::None).unwrap();
        same(remote.public_key(), &public);
        let signature = remote.sign(MESSAGE).unwrap();
        public.verify_as(details, MESSAGE, &signature).unwrap();
    }
}

#[test]
fn an_answer_that_is_not_what_was_asked_for_is_refused_by_name() {
    let details = KeyDetails::EcdsaP256Sha256;
    for (flaw, expected) in [
        (Flaw::Derived, ServiceFailure::Unsuitable),
        (Flaw::NotForSigning, ServiceFailure::Unsuitable),
        (Flaw::Symmetric, ServiceFailure::Answer),
    ] {
        let error = open(details, flaw).map(drop).unwrap_err();
        assert_eq!(failure(&error), Some(expected), "{flaw:?}: {error}");
    }
    for flaw in [Flaw::AnotherVersion, Flaw::CutBase64, Flaw::NoPrefix] {
        let error = open(details, flaw).unwrap().0.sign(MESSAGE).unwrap_err();
        let expected = Some(ServiceFailure::Answer);
        assert_eq!(failure(&error), expected, "{flaw:?}: {error}");
    }
    let error = open(details, Flaw::AnotherKey).unwrap().0.sign(MESSAGE);
    assert_eq!(error.unwrap_err(), KeyError::WrongSignature);
}

#[test]
fn each_refusal_of_the_service_has_its_meaning() {
    use ServiceFailure as F;
    for (code, said, expected) in [
        (403, r#"{"errors":["permission denied"]}"#, F::Access),
        (404, r#"{"errors":[]}"#, F::Absent),
        (400, r#"{"errors":["unsupported key type"]}"#, F::Refused),
        (
            429,
            r#"{"errors":["rate limit quota exceeded"]}"#,
            F::Unavailable,
        ),
        (503, r#"{"errors":["Vault is sealed"]}"#, F::Unavailable),
        (500, "", F::Unavailable),
        (204, "", F::Refused),
    ] {
        let network = answering(move |_| status(code, said));
        let place = reference("openbao://release");
        let error = RemoteKey::open(&place, surroundings(&VARIABLES, network), false);
        let error = error.unwrap_err();
        assert_eq!(failure(&error), Some(expected), "{code}: {error}");
        assert!(error.to_string().starts_with("OpenBao: "), "{error}");
    }
}

#[test]
fn where_and_who_are_found_in_the_variables_of_either_program() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".vault-token"), "from-a-file\n").unwrap();
    let asked = |scheme: &str, variables: &[(&str, &str)]| {
        let (sender, asked) = std::sync::mpsc::channel();
        let sender = std::sync::Mutex::new(sender);
        let network = answering(move |request| {
            let header = |name: &str| {
                let value = request.headers().get(name);
                value
                    .map(|value| value.to_str().unwrap().to_owned())
                    .unwrap_or_default()
            };
            let who = (header("x-vault-token"), header("x-vault-namespace"));
            sender
                .lock()
                .unwrap()
                .send((request.uri().to_string(), who))
                .unwrap();
            status(404, "{}")
        });
        let mut surroundings = surroundings(variables, network);
        surroundings.home = Some(home.path().to_owned());
        let place = reference(&format!("{scheme}://release"));
        let error = RemoteKey::open(&place, surroundings, false).unwrap_err();
        asked.try_recv().map_err(|_| error)
    };
    let both = [
        ("VAULT_ADDR", "https://v.example"),
        ("BAO_ADDR", "https://b.example/below"),
        ("BAO_TOKEN", "b"),
        ("VAULT_NAMESPACE", "team"),
        ("TRANSIT_SECRET_ENGINE_PATH", "team/sign"),
    ];
    let who = |token: &str, namespace: &str| (token.to_owned(), namespace.to_owned());
    assert_eq!(
        asked("hashivault", &both).unwrap(),
        (
            "https://v.example/v1/team/sign/keys/release".to_owned(),
            who("b", "team")
        )
    );
    assert_eq!(
        asked("openbao", &both).unwrap(),
        (
            "https://b.example/below/v1/team/sign/keys/release".to_owned(),
            who("b", "team")
        )
    );
    assert_eq!(
        asked("hashivault", &both[..1]).unwrap(),
        (
            "https://v.example/v1/transit/keys/release".to_owned(),
            who("from-a-file", "")
        )
    );
    for (variables, expected) in [
        (vec![], ServiceFailure::Setting),
        (
            vec![("VAULT_ADDR", "http://v.example")],
            ServiceFailure::Setting,
        ),
        (
            vec![both[0], ("TRANSIT_SECRET_ENGINE_PATH", "../sys")],
            ServiceFailure::Setting,
        ),
    ] {
        let error = asked("hashivault", &variables).unwrap_err();
        assert_eq!(failure(&error), Some(expected), "{error}");
    }
    let nobody = surroundings(&both[..1], Arc::new(Nobody));
    let error = RemoteKey::open(&reference("hashivault://release"), nobody, false).unwrap_err();
    assert_eq!(
        failure(&error),
        Some(ServiceFailure::Credentials),
        "{error}"
    );
}

#[test]
fn a_reference_is_one_name() {
    for (resource, is_key) in [
        ("release", true),
        ("release-2026.1_x", true),
        ("", false),
        ("a/b", false),
        ("..", false),
        ("a?b", false),
        ("a b", false),
    ] {
        let parsed = RemoteReference::parse("hashivault", resource).unwrap();
        assert_eq!(parsed.is_ok(), is_key, "{resource}");
    }
}

#[test]
fn a_key_that_signs_whole_messages_only_is_not_for_logs() {
    let key = EphemeralKey::generate(KeyDetails::Ed25519).unwrap();
    let network = answering(move |request| engine(&key, Flaw::None, request));
    let place = reference("hashivault://release");
    let error = RemoteKey::open(&place, surroundings(&VARIABLES, network), true).unwrap_err();
    assert_eq!(error, KeyError::Unsupported(KeyDetails::Ed25519Ph));
}
