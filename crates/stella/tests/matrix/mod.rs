//! One cell of the key matrix (docs/reference/keys.md): a key of some kind, wherever it is kept, signs a file and a statement
//! about it. Both are verified here, and by openssl where it knows the algorithm.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::desk::Desk;

/// The file that is signed.
const FILE: &str = "app";
const PREDICATE: &str = "predicate.json";
const TYPE: &str = "https://example.com/ready";

/// Lays out what is signed.
pub(crate) fn lay(desk: &Desk) {
    desk.write(FILE, "an artifact");
    desk.write(PREDICATE, r#"{"ready": true}"#);
}

/// Has a key tell its public half, as `NAME.pub`, and sign the file and the statement, as `NAME.blob.json` and
/// `NAME.statement.json`; `run` has each command run where the key can be reached.
pub(crate) fn sign(name: &str, key: &str, mut run: impl FnMut(&[&str])) {
    let key = ["--key", key];
    let (public, blob) = (format!("{name}.pub"), format!("{name}.blob.json"));
    let statement = format!("{name}.statement.json");
    run(&[&["key", "public"], &key[..], &["--output", &public]].concat());
    run(&[&["sign-blob", FILE], &key[..], &["--bundle", &blob]].concat());
    let said = ["--predicate", PREDICATE, "--type", TYPE];
    run(&[
        &["attest-blob", FILE],
        &key[..],
        &said,
        &["--bundle", &statement],
    ]
    .concat());
}

/// Requires that what a key of this algorithm signed under this name is verified by everyone.
#[track_caller]
pub(crate) fn is_verified(desk: &Desk, algorithm: &str, name: &str) {
    // 1. By stella: no trust root was chosen, and none is needed.
    let public = format!("{name}.pub");
    let verify = |kind: &str, more: &[&str]| {
        let bundle = format!("{name}.{kind}.json");
        let verify = ["verify", FILE, "--key", &public, "--bundle", &bundle];
        desk.run(verify.iter().chain(more))
    };
    verify("blob", &[]).ended(0);
    let ready = format!("{TYPE}:/ready=true");
    verify("statement", &["--require", &ready]).ended(0);
    // 2. By openssl: the file's own bytes, and the bytes that DSSE has signed for a statement.
    if !openssl_knows(algorithm) {
        return;
    }
    let read = |kind: &str| -> Value {
        let text = fs::read(desk.path(&format!("{name}.{kind}.json"))).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let signature = bytes(&read("blob")["messageSignature"]["signature"]);
    let file = fs::read(desk.path(FILE)).unwrap();
    assert!(
        openssl(desk, algorithm, &public, &file, &signature),
        "{name}"
    );
    let envelope = &read("statement")["dsseEnvelope"];
    let signature = bytes(&envelope["signatures"][0]["sig"]);
    let message = encoded(envelope);
    assert!(
        openssl(desk, algorithm, &public, &message, &signature),
        "{name}"
    );
    assert!(
        !openssl(desk, algorithm, &public, &file, &signature),
        "{name}"
    );
}

/// Says whether openssl verifies this algorithm: it knows ML-DSA from 3.5 on.
fn openssl_knows(algorithm: &str) -> bool {
    let listed = Command::new("openssl")
        .args(["list", "-signature-algorithms"])
        .output();
    listed.is_ok_and(|output| {
        let listed = String::from_utf8_lossy(&output.stdout).to_uppercase();
        !algorithm.starts_with("ml-dsa") || listed.contains("ML-DSA-65")
    })
}

fn openssl(desk: &Desk, algorithm: &str, public: &str, message: &[u8], signature: &[u8]) -> bool {
    desk.write("openssl.message", message);
    desk.write("openssl.signature", signature);
    let hash = match algorithm {
        "ecdsa-p384" => "sha384",
        "ecdsa-p521" => "sha512",
        _ => "sha256",
    };
    let arguments = match algorithm {
        "ed25519" | "ml-dsa-65" => format!(
            "pkeyutl -verify -pubin -inkey {public} -rawin -in openssl.message -sigfile openssl.signature"
        ),
        _ => format!("dgst -{hash} -verify {public} -signature openssl.signature openssl.message"),
    };
    let mut command = desk.wrapped("openssl", arguments.split(' '));
    command.output().unwrap().status.success()
}

/// Returns what is signed of an envelope.
///
/// spec: DSSE v1, protocol, PAE
fn encoded(envelope: &Value) -> Vec<u8> {
    let kind = envelope["payloadType"].as_str().unwrap();
    let payload = bytes(&envelope["payload"]);
    let (kind_size, size) = (kind.len(), payload.len());
    [
        format!("DSSEv1 {kind_size} {kind} {size} ").into_bytes(),
        payload,
    ]
    .concat()
}

fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap()
}
