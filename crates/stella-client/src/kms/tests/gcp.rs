//! Google Cloud KMS: what it is asked, and what its answers are worth.

use http::Method;
use serde_json::json;
use stella_bundle::json::{decode_base64, encode_base64};

use super::*;
use crate::scripted::status;

const KEY: &str = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/release";
const MESSAGE: &[u8] = b"an artifact";

const KINDS: [KeyDetails; 4] = [
    KeyDetails::EcdsaP256Sha256,
    KeyDetails::EcdsaP384Sha384,
    KeyDetails::Ed25519,
    KeyDetails::RsaPkcs1v15_2048Sha256,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    AnotherAlgorithm,
    AnotherKey,
    ChangedPem,
    ChangedSignature,
    NoChecksum,
    NotCompared,
}

/// Answers as the service would with one key of version 3, but for the flaw.
fn service(key: &EphemeralKey, flaw: Flaw, request: &Request) -> Outcome {
    let details = key.details();
    assert_eq!(request.uri().host(), Some("cloudkms.googleapis.com"));
    assert_eq!(request.headers()["authorization"], "Bearer a-token");
    let path = request.uri().path().strip_prefix("/v1/").unwrap();
    let path = path.strip_prefix(KEY).unwrap();
    if request.method() == Method::GET && path == "/cryptoKeyVersions" {
        let name = |version: u32| json!({"name": format!("{KEY}/cryptoKeyVersions/{version}")});
        let answer = json!({"cryptoKeyVersions": [name(1), name(3), name(2)], "totalSize": 3});
        return status(200, answer.to_string());
    }
    if request.method() == Method::GET {
        assert_eq!(path, "/cryptoKeyVersions/3/publicKey");
        let pem = key.public_key().to_pem();
        let checksum = crc32c::crc32c(pem.as_bytes());
        let algorithm = match flaw {
            Flaw::AnotherAlgorithm => "RSA_SIGN_PSS_2048_SHA256",
            _ => super::super::gcp::algorithm(details).unwrap(),
        };
        let pem = match flaw {
            Flaw::ChangedPem => stranger(details).public_key().to_pem(),
            _ => pem,
        };
        let answer = json!({"pem": pem, "pemCrc32c": checksum.to_string(), "algorithm": algorithm});
        return status(200, answer.to_string());
    }
    assert_eq!(path, "/cryptoKeyVersions/3:asymmetricSign");
    let asked = body(request);
    let (sent, checksum) = match details.hash() {
        Some(hash) => {
            let sent = asked["digest"][hash.name()].as_str().unwrap();
            let sent = decode_base64(sent).unwrap();
            assert_eq!(sent, hash.digest(MESSAGE).bytes());
            (sent, &asked["digestCrc32c"])
        }
        None => {
            let sent = decode_base64(asked["data"].as_str().unwrap()).unwrap();
            assert_eq!(sent, MESSAGE);
            (sent, &asked["dataCrc32c"])
        }
    };
    assert_eq!(*checksum, crc32c::crc32c(&sent).to_string());
    let mut signature = match flaw {
        Flaw::AnotherKey => stranger(details).sign(MESSAGE).unwrap(),
        _ => key.sign(MESSAGE).unwrap(),
    };
    let checksum = crc32c::crc32c(&signature);
    if flaw == Flaw::ChangedSignature {
        signature[9] ^= 1;
    }
    let mut answer = json!({
        "name": format!("{KEY}/cryptoKeyVersions/3"),
        "signature": encode_base64(&signature),
        "signatureCrc32c": checksum.to_string(),
        "verifiedDigestCrc32c": details.hash().is_some() && flaw != Flaw::NotCompared,
        "verifiedDataCrc32c": details.hash().is_none(),
    });
    if flaw == Flaw::NoChecksum {
        answer.as_object_mut().unwrap().remove("signatureCrc32c");
    }
    status(200, answer.to_string())
}

/// Surroundings in a machine of Google's.
fn there(network: Arc<dyn Transport>) -> Surroundings {
    let mut surroundings = surroundings(&[], network);
    surroundings.metadata = answering(|request| {
        assert_eq!(request.uri().host(), Some("169.254.169.254"));
        assert_eq!(request.headers()["metadata-flavor"], "Google");
        let mut answer = status(200, r#"{"access_token":"a-token","expires_in":3599}"#)?;
        let google = http::HeaderValue::from_static("Google");
        answer.headers_mut().insert("metadata-flavor", google);
        Ok(answer)
    });
    surroundings
}

fn open(
    resource: &str,
    details: KeyDetails,
    flaw: Flaw,
) -> Result<(RemoteKey, PublicKey), KeyError> {
    let key = EphemeralKey::generate(details).unwrap();
    let public = key.public_key().clone();
    let network = answering(move |request| service(&key, flaw, request));
    let place = reference(&format!("gcpkms://{resource}"));
    let remote = RemoteKey::open(&place, there(network), false)?;
    Ok((remote, public))
}

#[test]
fn every_kind_of_key_signs_by_the_version_that_is_named_or_newest() {
    for details in KINDS {
        for version in ["/cryptoKeyVersions/3", "/versions/3", ""] {
            let resource = format!("{KEY}{version}");
            let (remote, public) = open(&resource, details, Flaw::None).unwrap();
            same(remote.public_key(), &public);
            let signature = remote.sign(MESSAGE).unwrap();
            public.verify_as(details, MESSAGE, &signature).unwrap();
        }
    }
}

#[test]
fn an_answer_that_is_not_what_was_asked_for_is_refused_by_name() {
    let resource = format!("{KEY}/cryptoKeyVersions/3");
    let opened = |flaw| {
        let opened = open(&resource, KeyDetails::RsaPkcs1v15_2048Sha256, flaw);
        failure(&opened.map(drop).unwrap_err())
    };
    let unsuitable = Some(ServiceFailure::Unsuitable);
    assert_eq!(opened(Flaw::AnotherAlgorithm), unsuitable);
    assert_eq!(opened(Flaw::ChangedPem), Some(ServiceFailure::Answer));
    let signed = |flaw| {
        let (remote, _) = open(&resource, KeyDetails::EcdsaP256Sha256, flaw).unwrap();
        remote.sign(MESSAGE).unwrap_err()
    };
    for flaw in [Flaw::ChangedSignature, Flaw::NoChecksum, Flaw::NotCompared] {
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
            r#"{"error":{"code":404,"message":"not found","status":"NOT_FOUND"}}"#,
            F::Absent,
        ),
        (
            403,
            r#"{"error":{"status":"PERMISSION_DENIED"}}"#,
            F::Access,
        ),
        (401, r#"{"error":{"status":"UNAUTHENTICATED"}}"#, F::Access),
        (
            400,
            r#"{"error":{"message":"it is not enabled, current state is: DISABLED.","status":"FAILED_PRECONDITION"}}"#,
            F::Disabled,
        ),
        (
            400,
            r#"{"error":{"status":"INVALID_ARGUMENT"}}"#,
            F::Refused,
        ),
        (
            429,
            r#"{"error":{"status":"RESOURCE_EXHAUSTED"}}"#,
            F::Unavailable,
        ),
        (503, "", F::Unavailable),
    ] {
        let network = answering(move |_| status(code, said));
        let place = reference(&format!("gcpkms://{KEY}/versions/1"));
        let error = RemoteKey::open(&place, there(network), false).unwrap_err();
        assert_eq!(failure(&error), Some(expected), "{code}: {error}");
    }
    for (said, expected) in [
        ("{}", F::Disabled),
        (r#"{"nextPageToken":"x"}"#, F::Setting),
    ] {
        let network = answering(move |_| status(200, said));
        let place = reference(&format!("gcpkms://{KEY}"));
        let error = RemoteKey::open(&place, there(network), false).unwrap_err();
        assert_eq!(failure(&error), Some(expected), "{said}: {error}");
    }
}

#[test]
fn a_reference_is_a_whole_name() {
    for (resource, is_key) in [
        (KEY.to_owned(), true),
        (format!("{KEY}/cryptoKeyVersions/12"), true),
        (format!("{KEY}/versions/12"), true),
        (KEY.replace("/p/", "/example.com:p/"), true),
        (format!("{KEY}/versions/x"), false),
        (format!("{KEY}/versions"), false),
        (format!("{KEY}/versions/1/x"), false),
        (KEY.replace("keyRings", "keyrings"), false),
        (KEY.replace("/r/", "/../"), false),
        (KEY.replace("/r/", "/r?/"), false),
        (KEY.replace("/r/", "//"), false),
        ("projects/p".to_owned(), false),
        (String::new(), false),
    ] {
        let parsed = RemoteReference::parse("gcpkms", &resource).unwrap();
        assert_eq!(parsed.is_ok(), is_key, "{resource}");
    }
}
