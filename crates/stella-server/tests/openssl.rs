//! What OpenSSL says of certificates, SCTs and timestamps made here. Skipped where there is no `openssl` command.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::path::Path;
use std::process::Command;

use http::Method;
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::key::KeyDetails;
use stella_bundle::pem;
use stella_keys::EphemeralKey;
use stella_server::{HeldKeys, KeyPurpose};
use stella_wire::tsa::{Certificates, QUERY, TimestampRequest};
use world::{P256, START, World, held};

/// Runs `openssl` in a folder and returns whether it succeeded with all that it printed; none when it is not installed.
fn openssl(folder: &Path, arguments: &[&str]) -> Option<(bool, String)> {
    let ran = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .ok()?;
    let printed = [ran.stdout, ran.stderr].concat();
    Some((
        ran.status.success(),
        String::from_utf8_lossy(&printed).into_owned(),
    ))
}

#[tokio::test]
async fn openssl_accepts_the_chain_and_reads_the_sct() {
    let world = World::new().await;
    let issued = world.certify(&EphemeralKey::generate(P256).unwrap()).await;
    let folder = world.directory.path();
    for (name, der) in ["leaf.pem", "intermediate.pem", "root.pem"]
        .iter()
        .zip(&issued.chain)
    {
        std::fs::write(folder.join(name), pem::encode("CERTIFICATE", der)).unwrap();
    }
    let time = (START / 1000 + 60).to_string();
    let verify = [
        "verify",
        "-attime",
        &time,
        "-x509_strict",
        "-purpose",
        "any",
        "-CAfile",
        "root.pem",
        "-untrusted",
        "intermediate.pem",
        "leaf.pem",
    ];
    let Some((accepted, printed)) = openssl(folder, &verify) else {
        return;
    };
    assert!(accepted, "{printed}");
    let (_, printed) = openssl(folder, &["x509", "-in", "leaf.pem", "-noout", "-text"]).unwrap();
    for expected in [
        "CT Precertificate SCTs",
        "Version   : v1 (0x0)",
        "ecdsa-with-SHA256",
        "Code Signing",
        "X509v3 Subject Alternative Name: critical",
        "Nov 20 12:00:00 2026 GMT",
    ] {
        assert!(
            printed.contains(expected),
            "{expected} is missing in {printed}"
        );
    }
}

#[tokio::test]
async fn openssl_accepts_timestamps_with_and_without_certificate() {
    for details in [P256, KeyDetails::EcdsaP384Sha384] {
        let keys = HeldKeys::from([(KeyPurpose::Tsa, held("tsa", details))]);
        openssl_accepts_timestamps(&World::with_keys(keys).await).await;
    }
}

async fn openssl_accepts_timestamps(world: &World) {
    let folder = world.directory.path();
    let chain = world.get("/api/v1/timestamp/certchain").await;
    std::fs::write(folder.join("chain.pem"), chain.body()).unwrap();
    std::fs::write(folder.join("data"), b"signature").unwrap();
    for certificates in [Certificates::Include, Certificates::Omit] {
        let digest = DigestAlgorithm::Sha512.digest(b"signature");
        let request = TimestampRequest::new(digest, Some(vec![0x80, 7]), certificates).to_der();
        std::fs::write(folder.join("request.tsq"), &request).unwrap();
        let answer = world
            .send(
                Method::POST,
                "/api/v1/timestamp",
                &[("content-type", QUERY)],
                request,
            )
            .await;
        std::fs::write(folder.join("answer.tsr"), answer.body()).unwrap();
        let time = (START / 1000 + 60).to_string();
        let common = [
            "-in",
            "answer.tsr",
            "-CAfile",
            "chain.pem",
            "-untrusted",
            "chain.pem",
            "-attime",
            &time,
        ];
        let by_query = [
            ["ts", "-verify", "-queryfile", "request.tsq"].as_slice(),
            &common,
        ]
        .concat();
        let by_data = [["ts", "-verify", "-data", "data"].as_slice(), &common].concat();
        for arguments in [by_query, by_data] {
            let Some((accepted, printed)) = openssl(folder, &arguments) else {
                return;
            };
            assert!(
                accepted && printed.contains("Verification: OK"),
                "{printed}"
            );
        }
    }
}

#[tokio::test]
async fn openssl_reads_a_refusal() {
    let world = World::new().await;
    let folder = world.directory.path();
    let headers = [
        ("content-type", QUERY),
        ("accept", "application/timestamp-reply"),
    ];
    let answer = world
        .send(Method::POST, "/api/v1/timestamp", &headers, "no request")
        .await;
    std::fs::write(folder.join("answer.tsr"), answer.body()).unwrap();
    let Some((_, printed)) = openssl(folder, &["ts", "-reply", "-in", "answer.tsr", "-text"])
    else {
        return;
    };
    assert!(
        printed.contains("Rejected") && printed.contains("the data submitted has the wrong format"),
        "{printed}"
    );
}
