//! AWS KMS: what it is asked, and what its answers are worth.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use stella_bundle::json::{decode_base64, encode_base64};

use super::*;
use crate::scripted::status;
use stella_keys::Input;

const VARIABLES: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "a-secret-key"),
    ("AWS_REGION", "eu-west-1"),
];
const KEY: &str = "awskms:///alias/release";

/// One byte more than the service hashes itself.
const LONG: [u8; 4097] = [7; 4097];

/// What the service does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    AnotherKey,
    AnotherUse,
    CutBase64,
    Endless,
    HashesTwice,
    NoJson,
    WrongAlgorithm,
}

/// Answers as the service would with one key, but for the flaw; a digest is believed to be that of [`LONG`].
fn service(key: &EphemeralKey, details: KeyDetails, flaw: Flaw, request: &Request) -> Outcome {
    let algorithm = match flaw {
        Flaw::WrongAlgorithm => "SM2DSA",
        _ => super::super::aws::algorithm(details).unwrap(),
    };
    let asked = body(request);
    assert_eq!(asked["KeyId"], "alias/release");
    assert!(request.headers().contains_key("authorization"));
    let answer = match request.headers()["x-amz-target"].to_str().unwrap() {
        "TrentService.GetPublicKey" => json!({
            "KeyId": "arn:aws:kms:eu-west-1:111122223333:key/1234",
            "PublicKey": encode_base64(key.public_key().spki()),
            "KeyUsage": if flaw == Flaw::AnotherUse { "ENCRYPT_DECRYPT" } else { "SIGN_VERIFY" },
            "SigningAlgorithms": [algorithm, "RSASSA_PSS_SHA_256"],
        }),
        "TrentService.Sign" => {
            let message = decode_base64(asked["Message"].as_str().unwrap()).unwrap();
            let message = match asked["MessageType"].as_str().unwrap() {
                "RAW" => message,
                "DIGEST" if flaw == Flaw::HashesTwice => message,
                "DIGEST" => {
                    assert_eq!(message, details.hash().unwrap().digest(&LONG).bytes());
                    LONG.to_vec()
                }
                "EXTERNAL_MU" => {
                    assert_eq!(message.len(), 64);
                    LONG.to_vec()
                }
                other => panic!("{other}"),
            };
            let signature = match flaw {
                Flaw::AnotherKey => stranger(details).sign(&message).unwrap(),
                _ => key.sign(&message).unwrap(),
            };
            let mut signature = encode_base64(&signature);
            if flaw == Flaw::CutBase64 {
                signature.truncate(signature.len() - 3);
            }
            json!({"KeyId": "x", "Signature": signature, "SigningAlgorithm": algorithm})
        }
        other => panic!("{other}"),
    };
    match flaw {
        Flaw::Endless => status(200, vec![b' '; 1 << 20]),
        Flaw::NoJson => status(200, "<html>"),
        _ => status(200, answer.to_string()),
    }
}

fn open(details: KeyDetails, flaw: Flaw) -> Result<(RemoteKey, PublicKey), KeyError> {
    let key = EphemeralKey::generate(details).unwrap();
    let public = key.public_key().clone();
    let network = answering(move |request| service(&key, details, flaw, request));
    let log = details == KeyDetails::Ed25519Ph;
    let remote = RemoteKey::open(&reference(KEY), surroundings(&VARIABLES, network), log)?;
    Ok((remote, public))
}

#[test]
fn every_kind_of_key_signs_what_is_short_and_digests_of_what_is_long() {
    for details in KINDS {
        let (remote, public) = open(details, Flaw::None).unwrap();
        same(remote.public_key(), &public);
        assert_eq!(remote.details(), details);
        let short = &LONG[..4096];
        for message in [b"".as_slice(), b"a message", short] {
            let signature = remote.sign(message).unwrap();
            public.verify_as(details, message, &signature).unwrap();
        }
        match details.hash() {
            Some(_) => {
                let signature = remote.sign(&LONG).unwrap();
                public.verify_as(details, &LONG, &signature).unwrap();
            }
            None if details == KeyDetails::MlDsa65 => {
                let signature = remote.sign(&LONG).unwrap();
                public.verify_as(details, &LONG, &signature).unwrap();
            }
            None => {
                let error = remote.sign(&LONG).unwrap_err();
                assert_eq!(failure(&error), Some(ServiceFailure::TooLong), "{error}");
            }
        }
    }
}

#[test]
fn an_ed25519_key_signs_digests_for_logs_and_proves_possession_in_the_pure_form() {
    let key = Arc::new(EphemeralKey::generate(KeyDetails::Ed25519Ph).unwrap());
    let public = key.public_key().clone();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (kept, signer) = (Arc::clone(&asked), Arc::clone(&key));
    let network = answering(move |request| {
        let question = body(request);
        kept.lock().unwrap().push((
            question["SigningAlgorithm"].clone(),
            question["MessageType"].clone(),
        ));
        let message = decode_base64(question["Message"].as_str().unwrap_or_default()).unwrap();
        let signature = match question["SigningAlgorithm"].as_str() {
            None => {
                let answer = json!({
                    "PublicKey": encode_base64(signer.public_key().spki()),
                    "KeyUsage": "SIGN_VERIFY",
                    "SigningAlgorithms": ["ED25519_SHA_512", "ED25519_PH_SHA_512"],
                });
                return status(200, answer.to_string());
            }
            Some("ED25519_SHA_512") => signer.prove_possession(&message).unwrap(),
            // The digest of the one message that this test signs.
            Some(_) => signer.sign(b"an artifact").unwrap(),
        };
        let answer = json!({"Signature": encode_base64(&signature)});
        status(200, answer.to_string())
    });
    let remote = RemoteKey::open(&reference(KEY), surroundings(&VARIABLES, network), true);
    let remote = remote.unwrap();
    assert_eq!(remote.details(), KeyDetails::Ed25519Ph);
    let signature = remote.sign(b"an artifact").unwrap();
    let ph = KeyDetails::Ed25519Ph;
    public.verify_as(ph, b"an artifact", &signature).unwrap();
    let proof = remote.prove_possession(b"a challenge").unwrap();
    let pure = KeyDetails::Ed25519;
    public.verify_as(pure, b"a challenge", &proof).unwrap();
    assert_eq!(
        asked.lock().unwrap()[1..],
        [
            (json!("ED25519_PH_SHA_512"), json!("DIGEST")),
            (json!("ED25519_SHA_512"), json!("RAW"))
        ]
    );
}

#[test]
fn an_answer_that_is_not_what_was_asked_for_is_refused_by_name() {
    let details = KeyDetails::EcdsaP256Sha256;
    let opened = |flaw| open(details, flaw).map(drop).unwrap_err();
    for (flaw, expected) in [
        (Flaw::NoJson, ServiceFailure::Answer),
        (Flaw::Endless, ServiceFailure::Answer),
        (Flaw::AnotherUse, ServiceFailure::Unsuitable),
        (Flaw::WrongAlgorithm, ServiceFailure::Unsuitable),
    ] {
        assert_eq!(failure(&opened(flaw)), Some(expected), "{flaw:?}");
    }
    let signed = |flaw, message: &[u8]| {
        let (remote, _) = open(details, flaw).unwrap();
        remote.sign(message).unwrap_err()
    };
    let error = signed(Flaw::CutBase64, b"x");
    assert_eq!(failure(&error), Some(ServiceFailure::Answer), "{error}");
    assert_eq!(signed(Flaw::AnotherKey, b"x"), KeyError::WrongSignature);
    assert_eq!(signed(Flaw::HashesTwice, &LONG), KeyError::WrongSignature);
}

#[test]
fn each_refusal_of_the_service_has_its_meaning() {
    let refused = |code: u16, body: &'static str| {
        let network = answering(move |_| status(code, body));
        let error = RemoteKey::open(&reference(KEY), surroundings(&VARIABLES, network), false);
        error.unwrap_err()
    };
    use ServiceFailure as F;
    for (code, body, expected) in [
        (
            400,
            r#"{"__type":"NotFoundException","message":"Alias is not found."}"#,
            F::Absent,
        ),
        (
            400,
            r#"{"__type":"com.amazonaws.kms#NotFoundException"}"#,
            F::Absent,
        ),
        (
            400,
            r#"{"__type":"DisabledException","message":"x is disabled."}"#,
            F::Disabled,
        ),
        (
            400,
            r#"{"__type":"KMSInvalidStateException","message":"x is pending deletion."}"#,
            F::Disabled,
        ),
        (
            400,
            r#"{"__type":"AccessDeniedException","Message":"User is not authorized"}"#,
            F::Access,
        ),
        (403, r#"{"__type":"SomethingElse"}"#, F::Access),
        (400, r#"{"__type":"ExpiredTokenException"}"#, F::Access),
        (400, r#"{"__type":"ValidationException"}"#, F::Refused),
        (
            400,
            r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
            F::Unavailable,
        ),
        (500, "", F::Unavailable),
        (404, "<html>", F::Answer),
        (302, "", F::Refused),
    ] {
        let error = refused(code, body);
        assert_eq!(failure(&error), Some(expected), "{code} {body}: {error}");
    }
    let said = refused(
        400,
        r#"{"__type":"AccessDeniedException","Message":"User\nis not\u001b[1m"}"#,
    );
    assert_eq!(
        said.to_string(),
        "AWS KMS: access is refused: Useris not[1m"
    );
}

#[test]
fn throttling_is_waited_for() {
    let key = EphemeralKey::generate(KeyDetails::EcdsaP256Sha256).unwrap();
    let tries = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&tries);
    let network = answering(
        move |request| match counter.fetch_add(1, Ordering::Relaxed) {
            0 | 1 | 3 => status(
                400,
                r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
            ),
            4 => status(429, ""),
            _ => service(&key, KeyDetails::EcdsaP256Sha256, Flaw::None, request),
        },
    );
    let remote = RemoteKey::open(&reference(KEY), surroundings(&VARIABLES, network), false);
    remote.unwrap().sign(b"x").unwrap();
    assert_eq!(tries.load(Ordering::Relaxed), 6);
}

#[test]
fn many_messages_get_their_signatures_in_their_order() {
    let (remote, public) = open(KeyDetails::EcdsaP256Sha256, Flaw::None).unwrap();
    let messages: Vec<[u8; 2]> = (0..100_u16).map(u16::to_be_bytes).collect();
    let messages: Vec<&[u8]> = messages.iter().map(<[u8; 2]>::as_slice).collect();
    let inputs: Vec<_> = messages.iter().map(|each| Input::Message(each)).collect();
    let signatures = remote.sign_many(&inputs).unwrap();
    assert_eq!(signatures.len(), messages.len());
    for (message, signature) in messages.iter().zip(&signatures) {
        public.verify(message, signature).unwrap();
    }
    assert_eq!(remote.sign_many(&[]).unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn a_reference_names_a_key_and_perhaps_an_endpoint() {
    for (text, host, region) in [
        (
            "awskms:///1234abcd-12ab-34cd-56ef-1234567890ab",
            "https://kms.eu-west-1.amazonaws.com/",
            "eu-west-1",
        ),
        (
            "awskms:///alias/a/b",
            "https://kms.eu-west-1.amazonaws.com/",
            "eu-west-1",
        ),
        (
            "awskms:///arn:aws:kms:us-east-2:111122223333:key/1234",
            "https://kms.us-east-2.amazonaws.com/",
            "us-east-2",
        ),
        (
            "awskms:///arn:aws-cn:kms:cn-north-1:111122223333:alias/x",
            "https://kms.cn-north-1.amazonaws.com.cn/",
            "cn-north-1",
        ),
        (
            "awskms://localhost:4566/alias/x",
            "http://localhost:4566/",
            "eu-west-1",
        ),
        (
            "awskms://127.0.0.1:1/alias/x",
            "http://127.0.0.1:1/",
            "eu-west-1",
        ),
        ("awskms://[::1]:1/alias/x", "http://[::1]:1/", "eu-west-1"),
        (
            "awskms://kms.example/alias/x",
            "https://kms.example/",
            "eu-west-1",
        ),
    ] {
        let key = EphemeralKey::generate(KeyDetails::EcdsaP256Sha256).unwrap();
        let network = answering(move |request| {
            assert_eq!(request.uri(), host);
            let header = request.headers()["authorization"].to_str().unwrap();
            let scope = format!("/20261120/{region}/kms/aws4_request, ");
            assert!(header.contains(&scope), "{header}");
            status(
                200,
                json!({
                    "PublicKey": encode_base64(key.public_key().spki()),
                    "KeyUsage": "SIGN_VERIFY",
                    "SigningAlgorithms": ["ECDSA_SHA_256"],
                })
                .to_string(),
            )
        });
        let opened = RemoteKey::open(&reference(text), surroundings(&VARIABLES, network), false);
        opened.unwrap();
    }
    for resource in [
        "",
        "alias/x",
        "/",
        "host",
        "user@host/alias/x",
        "/alias/x?y",
        "/alias/ x",
        "h#/x",
    ] {
        let parsed = RemoteReference::parse("awskms", resource).unwrap();
        // Without its empty endpoint `alias/x` would be the key x at the host "alias".
        assert_eq!(parsed.is_ok(), resource == "alias/x", "{resource}");
    }
    assert!(RemoteReference::parse("vendor", "/alias/x").is_none());
}

#[test]
fn no_secret_goes_by_plain_http_to_another_machine() {
    let variables = [
        VARIABLES[0],
        VARIABLES[1],
        VARIABLES[2],
        ("AWS_ENDPOINT_URL", "http://kms.example"),
    ];
    let network = answering(|_| panic!("nobody is asked"));
    let error = RemoteKey::open(&reference(KEY), surroundings(&variables, network), false);
    let error = error.unwrap_err();
    assert_eq!(failure(&error), Some(ServiceFailure::Setting), "{error}");
}

#[test]
fn without_a_region_nobody_is_asked() {
    for region in ["", "evil.example/", "Eu-West-1"] {
        let variables = [VARIABLES[0], VARIABLES[1], ("AWS_REGION", region)];
        let network = answering(|_| panic!("nobody is asked"));
        let error = RemoteKey::open(&reference(KEY), surroundings(&variables, network), false);
        let error = error.unwrap_err();
        assert_eq!(
            failure(&error),
            Some(ServiceFailure::Setting),
            "{region}: {error}"
        );
    }
}

#[test]
fn nothing_secret_is_printed() {
    let (remote, _) = open(KeyDetails::EcdsaP256Sha256, Flaw::None).unwrap();
    assert!(!format!("{remote:?}").contains("secret"));
}

/// Counts the requests that are under way at once.
struct Busy {
    key: EphemeralKey,
    now: AtomicUsize,
    most: Arc<AtomicUsize>,
}

impl Transport for Busy {
    fn send(&self, request: Request) -> Sending<'_> {
        Box::pin(async move {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            self.now.fetch_sub(1, Ordering::SeqCst);
            service(&self.key, self.key.details(), Flaw::None, &request)
        })
    }
}

#[test]
fn eight_requests_are_under_way_at_once_and_no_more() {
    let most = Arc::new(AtomicUsize::new(0));
    let busy = Busy {
        key: EphemeralKey::generate(KeyDetails::EcdsaP256Sha256).unwrap(),
        now: AtomicUsize::new(0),
        most: Arc::clone(&most),
    };
    let surroundings = surroundings(&VARIABLES, Arc::new(busy));
    let remote = RemoteKey::open(&reference(KEY), surroundings, false).unwrap();
    remote.sign_many(&[Input::Message(b"x"); 30]).unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 8);
}
