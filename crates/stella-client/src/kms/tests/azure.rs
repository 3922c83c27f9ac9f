//! Azure Key Vault: what it is asked and by whom, and what its answers are worth.

use std::fs;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::json;
use stella_bundle::asn1;
use stella_bundle::json::decode_base64;
use stella_bundle::key::KeyKind;

use super::*;
use crate::scripted::status;

const KEY: &str = "azurekms://team.vault.azure.net/release";
const MESSAGE: &[u8] = b"an artifact";
const APPLICATION: [(&str, &str); 3] = [
    ("AZURE_TENANT_ID", "a-tenant"),
    ("AZURE_CLIENT_ID", "a-client"),
    ("AZURE_CLIENT_SECRET", "a secret"),
];

const KINDS: [(KeyDetails, &str, &str); 4] = [
    (KeyDetails::EcdsaP256Sha256, "P-256", "ES256"),
    (KeyDetails::EcdsaP384Sha384, "P-384", "ES384"),
    (KeyDetails::EcdsaP521Sha512, "P-521", "ES512"),
    (KeyDetails::RsaPkcs1v15_2048Sha256, "", "RS256"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    AnotherKey,
    AnotherName,
    AnotherVersion,
    Disabled,
    OddSignature,
    OnlyEncrypts,
    UnknownCurve,
}

fn web_key(public: &PublicKey, curve: &str) -> Value {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match public.kind() {
        KeyKind::Rsa { .. } => {
            let mut numbers = asn1::only_sequence(public.bits()).unwrap();
            let mut number = || numbers.tlv().unwrap().to_unsigned().unwrap().to_vec();
            json!({"kty": "RSA", "n": text(&number()), "e": text(&number())})
        }
        _ => {
            let (x, y) = public.bits()[1..].split_at(public.bits().len() / 2);
            json!({"kty": "EC-HSM", "crv": curve, "x": text(x), "y": text(y)})
        }
    }
}

/// Makes two numbers of a DER signature, as long as the curve's.
fn numbers(signature: &[u8], size: usize) -> Vec<u8> {
    let mut reader = asn1::only_sequence(signature).unwrap();
    let mut both = Vec::new();
    for _ in 0..2 {
        let number = reader.tlv().unwrap().to_unsigned().unwrap().to_vec();
        both.extend(vec![0; size - number.len()]);
        both.extend(number);
    }
    both
}

/// Answers as the service would with one key of version `v2`, but for the flaw.
fn service(key: &EphemeralKey, curve: &str, name: &str, flaw: Flaw, request: &Request) -> Outcome {
    if request.uri().host() == Some("login.microsoftonline.com") {
        return status(200, r#"{"access_token":"a-token","expires_in":3599}"#);
    }
    assert_eq!(request.uri().host(), Some("team.vault.azure.net"));
    assert_eq!(request.uri().query(), Some("api-version=7.4"));
    assert_eq!(request.headers()["authorization"], "Bearer a-token");
    let kid =
        |name: &str, version: &str| format!("https://team.vault.azure.net/keys/{name}/{version}");
    if request.method() == Method::GET {
        let path = request.uri().path();
        assert!(
            ["/keys/release", "/keys/release/v2"].contains(&path),
            "{path}"
        );
        let curve = if flaw == Flaw::UnknownCurve {
            "P-256K"
        } else {
            curve
        };
        let mut web = web_key(key.public_key(), curve);
        let named = if flaw == Flaw::AnotherName {
            "other"
        } else {
            "release"
        };
        web["kid"] = kid(named, "v2").into();
        web["key_ops"] = match flaw {
            Flaw::OnlyEncrypts => json!(["encrypt"]),
            _ => json!(["sign", "verify"]),
        };
        let enabled = flaw != Flaw::Disabled;
        let answer = json!({"key": web, "attributes": {"enabled": enabled}});
        return status(200, answer.to_string());
    }
    assert_eq!(request.uri().path(), "/keys/release/v2/sign");
    let (asked, details) = (body(request), key.details());
    assert_eq!(asked["alg"], name);
    let digest = decode_base64(asked["value"].as_str().unwrap()).unwrap();
    assert_eq!(digest, details.hash().unwrap().digest(MESSAGE).bytes());
    let signature = match flaw {
        Flaw::AnotherKey => stranger(details).sign(MESSAGE).unwrap(),
        _ => key.sign(MESSAGE).unwrap(),
    };
    let mut signature = match details.kind() {
        KeyKind::Rsa { .. } => signature,
        _ => numbers(&signature, key.public_key().bits().len() / 2),
    };
    if flaw == Flaw::OddSignature {
        signature.pop();
    }
    let version = if flaw == Flaw::AnotherVersion {
        "v3"
    } else {
        "v2"
    };
    let answer =
        json!({"kid": kid("release", version), "value": URL_SAFE_NO_PAD.encode(signature)});
    status(200, answer.to_string())
}

fn open(
    text: &str,
    (details, curve, name): (KeyDetails, &'static str, &'static str),
    flaw: Flaw,
) -> Result<(RemoteKey, PublicKey), KeyError> {
    let key = EphemeralKey::generate(details).unwrap();
    let public = key.public_key().clone();
    let network = answering(move |request| service(&key, curve, name, flaw, request));
    let remote = RemoteKey::open(&reference(text), surroundings(&APPLICATION, network), false)?;
    Ok((remote, public))
}

#[test]
fn every_kind_of_key_signs_by_the_version_that_is_named_or_newest() {
    for kind in KINDS {
        // Numbers that begin with zeros come with one key in some hundred.
        for text in [KEY, "azurekms://team.vault.azure.net/release/v2"] {
            let (remote, public) = open(text, kind, Flaw::None).unwrap();
            same(remote.public_key(), &public);
            let signature = remote.sign(MESSAGE).unwrap();
            public.verify_as(kind.0, MESSAGE, &signature).unwrap();
        }
    }
}

#[test]
fn an_answer_that_is_not_what_was_asked_for_is_refused_by_name() {
    let opened = |flaw| open(KEY, KINDS[0], flaw).map(drop).unwrap_err();
    for (flaw, expected) in [
        (Flaw::AnotherName, ServiceFailure::Answer),
        (Flaw::Disabled, ServiceFailure::Disabled),
        (Flaw::OnlyEncrypts, ServiceFailure::Unsuitable),
    ] {
        let error = opened(flaw);
        assert_eq!(failure(&error), Some(expected), "{flaw:?}: {error}");
    }
    assert_eq!(opened(Flaw::UnknownCurve), KeyError::UnsupportedKind);
    let signed = |flaw| {
        open(KEY, KINDS[0], flaw)
            .unwrap()
            .0
            .sign(MESSAGE)
            .unwrap_err()
    };
    for flaw in [Flaw::AnotherVersion, Flaw::OddSignature] {
        let error = signed(flaw);
        let expected = Some(ServiceFailure::Answer);
        assert_eq!(failure(&error), expected, "{flaw:?}: {error}");
    }
    assert_eq!(signed(Flaw::AnotherKey), KeyError::WrongSignature);
}

#[test]
fn each_refusal_of_the_service_has_its_meaning() {
    use ServiceFailure as F;
    for (code, said, expected) in [
        (
            404,
            r#"{"error":{"code":"KeyNotFound","message":"A key with (name/id) x was not found"}}"#,
            F::Absent,
        ),
        (
            403,
            r#"{"error":{"code":"Forbidden","innererror":{"code":"KeyDisabled"}}}"#,
            F::Disabled,
        ),
        (
            409,
            r#"{"error":{"code":"Conflict","innererror":{"code":"ObjectIsDeletedButRecoverable"}}}"#,
            F::Disabled,
        ),
        (
            403,
            r#"{"error":{"code":"Forbidden","innererror":{"code":"ForbiddenByRbac"}}}"#,
            F::Access,
        ),
        (401, "", F::Access),
        (400, r#"{"error":{"code":"BadParameter"}}"#, F::Refused),
        (429, r#"{"error":{"code":"Throttled"}}"#, F::Unavailable),
    ] {
        let network = answering(move |request| match request.uri().host() {
            Some("login.microsoftonline.com") => {
                status(200, r#"{"access_token":"t","expires_in":"9"}"#)
            }
            _ => status(code, said),
        });
        let error = RemoteKey::open(&reference(KEY), surroundings(&APPLICATION, network), false);
        let error = error.unwrap_err();
        assert_eq!(failure(&error), Some(expected), "{code} {said}: {error}");
    }
}

#[test]
fn tokens_go_to_vaults_alone() {
    for (resource, is_key) in [
        ("team.vault.azure.net/release", true),
        ("team.vault.azure.net/release/0123456789abcdef", true),
        ("team.managedhsm.azure.net/release", true),
        ("127.0.0.1:8080/release", true),
        ("vault.azure.net/release", false),
        ("evil.example/release", false),
        ("team.vault.azure.net.evil.example/release", false),
        ("a.b.vault.azure.net/release", false),
        ("user@team.vault.azure.net/release", false),
        ("team.vault.azure.net", false),
        ("team.vault.azure.net/", false),
        ("team.vault.azure.net/a/b/c", false),
        ("team.vault.azure.net/..", false),
        ("team.vault.azure.net/a?b", false),
    ] {
        let parsed = RemoteReference::parse("azurekms", resource).unwrap();
        assert_eq!(parsed.is_ok(), is_key, "{resource}");
    }
}

/// Asks for a key; returns the bearer and the request for it, or the error before it.
fn bearer(variables: &[(&str, &str)], told: u16) -> Result<(String, Request), KeyError> {
    let (sender, asked) = std::sync::mpsc::channel();
    let sender = Arc::new(Mutex::new(sender));
    let answer = move |request: &Request| {
        sender.lock().unwrap().send(request.clone()).unwrap();
        match request.uri().host() {
            Some("team.vault.azure.net") => status(404, "{}"),
            _ if told == 200 => status(
                200,
                r#"{"access_token":"a-token","expires_on":"1795180000"}"#,
            ),
            _ => status(
                told,
                r#"{"error":"invalid_client","error_description":"AADSTS7000215"}"#,
            ),
        }
    };
    let (network, metadata) = (answering(answer.clone()), answering(answer));
    let mut surroundings = surroundings(variables, network);
    surroundings.metadata = metadata;
    let error = RemoteKey::open(&reference(KEY), surroundings, false).unwrap_err();
    let asked: Vec<Request> = asked.try_iter().collect();
    match asked.as_slice() {
        [for_token, for_key] => {
            let bearer = for_key.headers()["authorization"].to_str().unwrap();
            Ok((bearer.to_owned(), for_token.clone()))
        }
        _ => Err(error),
    }
}

#[test]
fn an_application_a_runner_an_app_and_a_machine_get_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "a.federated.token").unwrap();
    let file = ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap());
    let content = |request: &Request| String::from_utf8(request.body().to_vec()).unwrap();

    let (bearer_told, request) = bearer(&APPLICATION, 200).unwrap();
    assert_eq!(bearer_told, "Bearer a-token");
    let address = "https://login.microsoftonline.com/a-tenant/oauth2/v2.0/token";
    assert_eq!(request.uri(), address);
    let form = content(&request);
    assert!(
        form.contains("scope=https%3A%2F%2Fvault.azure.net%2F.default"),
        "{form}"
    );
    assert!(form.contains("client_secret=a+secret"), "{form}");

    let (_, request) = bearer(&[APPLICATION[0], APPLICATION[1], file], 200).unwrap();
    let form = content(&request);
    assert!(
        form.contains("client_assertion=a.federated.token"),
        "{form}"
    );

    let app = [
        ("IDENTITY_ENDPOINT", "http://localhost:42/msi/token"),
        ("IDENTITY_HEADER", "h"),
    ];
    let (_, request) = bearer(&app, 200).unwrap();
    let expected = "http://localhost:42/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net";
    assert_eq!(request.uri(), expected);
    assert_eq!(request.headers()["x-identity-header"], "h");

    let (_, request) = bearer(&[("AZURE_CLIENT_ID", "mine")], 200).unwrap();
    assert_eq!(request.uri().host(), Some("169.254.169.254"));
    assert!(request.uri().query().unwrap().ends_with("&client_id=mine"));
    assert_eq!(request.headers()["metadata"], "true");

    let error = bearer(&APPLICATION, 401).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Microsoft Entra: access is refused: AADSTS7000215"
    );
    let error = bearer(&[], 400).unwrap_err();
    assert_eq!(
        failure(&error),
        Some(ServiceFailure::Credentials),
        "{error}"
    );
    let error = bearer(&APPLICATION[1..], 200).unwrap_err();
    assert_eq!(
        failure(&error),
        Some(ServiceFailure::Credentials),
        "{error}"
    );
    let nobody = surroundings(&[], Arc::new(Nobody));
    let error = RemoteKey::open(&reference(KEY), nobody, false).unwrap_err();
    assert_eq!(
        failure(&error),
        Some(ServiceFailure::Credentials),
        "{error}"
    );
}
