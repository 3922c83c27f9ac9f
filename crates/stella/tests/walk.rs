//! The documents' commands as they are written, against an instance that serves; and the same with it gone.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a test may panic and speak"
)]

mod desk;

use std::process::{Command, Stdio};

use desk::{Desk, STELLA, digest, finish};
use stella_bundle::key::KeyDetails;
use stella_keys::{FileKey, Signer as _};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

#[test]
fn what_is_signed_while_the_instance_serves_verifies_when_it_is_gone() {
    let mut desk = Desk::serving();
    let artifact = digest("what is released");
    let said = desk.sign(&artifact, &[]);
    assert!(said.out.contains("logged at index 1"), "{said:?}");
    desk.verify(&artifact, &["--require-rekor"]).ended(0);
    let export = [
        "attest",
        "export-bundle",
        "--image",
        &artifact,
        "--include-proofs",
        "--output",
        "attestation-bundle.json",
    ];
    desk.run(export).ended(0);
    desk.stop();
    desk.verify(&artifact, &["--require-rekor"]).ended(0);
    desk.verify(
        &artifact,
        &["--offline", "--bundle", "attestation-bundle.json"],
    )
    .ended(0);
    let said = desk
        .run(["attest", "inspect", "--artifact", &artifact, "--show-cert"])
        .ended(0);
    for expected in [
        "token-subject",
        "repo:local/demo:ref:refs/heads/main",
        "-----BEGIN CERTIFICATE-----",
    ] {
        assert!(said.out.contains(expected), "{said:?}");
    }
}

#[test]
fn verification_needs_no_network_at_all() {
    let mut desk = Desk::serving();
    let artifact = digest("what is released");
    desk.sign(&artifact, &["--bundle", "b.sigstore.json"]);
    desk.stop();
    let mut isolated = Command::new("unshare");
    isolated.args(["-n", STELLA, "attest", "verify", "--offline", "--bundle"]);
    isolated.arg(desk.path("b.sigstore.json"));
    isolated.args([
        "--artifact",
        &artifact,
        "--certificate-identity",
        "repo:local/demo:.*",
    ]);
    isolated.args(["--certificate-oidc-issuer", &desk.url]);
    isolated
        .env_clear()
        .env("HOME", desk.path(""))
        .env("PATH", std::env::var("PATH").unwrap());
    let said = finish(&mut isolated);
    if said.err.contains("unshare") {
        println!(
            "skipped: this user may not make a network namespace: {}",
            said.err.trim()
        );
        return;
    }
    said.ended(0);
}

#[test]
fn the_documents_issuer_and_identity_work_to_the_letter() {
    // An air-gapped site pins the issuer's keys in a file; here the test holds the private half.
    let mut desk = Desk::new();
    desk.serve();
    desk.stop();
    let key =
        FileKey::create(&desk.path("github.pem"), KeyDetails::RsaPkcs1v15_2048Sha256).unwrap();
    desk.write("sigstore/github.jwks.json", jwks(&key));
    desk.write(
        "sigstore/issuers.yaml",
        format!("oidc-issuers:\n  {GITHUB}:\n    issuer-url: {GITHUB}\n    client-id: sigstore\n    type: ci-provider\n    ci-provider: github-workflow\n    jwks: github.jwks.json\n"),
    );
    desk.serve();
    desk.run(["trust", "use", &desk.url]).ended(0);
    let token = github_token(&key, "repo:myorg/myrepo:ref:refs/heads/main");
    let artifact = digest("what is released");
    desk.run_with_token(
        &token,
        ["attest", "sign", "--keyless", "--artifact", &artifact],
    )
    .ended(0);
    let verify = |identity: &str| {
        desk.run([
            "attest",
            "verify",
            "--artifact",
            &artifact,
            "--certificate-identity",
            identity,
            "--certificate-oidc-issuer",
            GITHUB,
        ])
    };
    verify("repo:myorg/myrepo:ref:refs/heads/main").ended(0);
    verify("repo:myorg/myrepo:.*").ended(0);
    verify("repo:myorg/myrepo:ref:refs/tags/v.*").ended(20);
    verify("repo:myorg/myrepo2:.*").ended(20);
    verify("repo:my.rg/myrepo:.*").ended(20);
    verify("https://github.com/myorg/myrepo/.github/workflows/build.yml@refs/heads/main").ended(0);
    verify("myorg/myrepo").ended(20);
}

#[test]
fn a_verdict_is_checked_before_signing_and_a_denial_never_passes() {
    let desk = Desk::serving();
    let artifact = desk.write("app", "the program");
    let verdict = |result: &str| {
        format!(
            r#"{{"result":"{result}","policy":{{"digest":{{"sha256":"{}"}}}},"evaluatedAt":"2026-01-01T00:00:00Z"}}"#,
            "00".repeat(32)
        )
    };
    desk.write("allow.json", verdict("allow"));
    desk.write("deny.json", verdict("deny"));
    desk.write("wrong.json", verdict("perhaps"));
    let said = desk
        .run_with_token(
            &desk.token(),
            [
                "attest",
                "sign",
                "--keyless",
                "--artifact",
                &artifact,
                "--predicate",
                "wrong.json",
                "--type",
                "verdict",
            ],
        )
        .ended(2);
    assert!(said.err.contains("/result"), "{said:?}");
    desk.sign(
        &artifact,
        &["--predicate", "allow.json", "--type", "verdict"],
    );
    desk.verify(&artifact, &["--type", "verdict"]).ended(0);
    desk.sign(
        &artifact,
        &["--predicate", "allow.json", "--type", "verdict"],
    );
    let said = desk.verify(&artifact, &["--type", "sbom-delta"]).ended(21);
    assert!(said.err.contains("sbom-delta/v1"), "{said:?}");
    assert_eq!(said.err.matches("policy-result/v1").count(), 1, "{said:?}");
    assert!(said.err.contains("stella attest list"), "{said:?}");
    desk.sign(
        &artifact,
        &["--predicate", "deny.json", "--type", "policy-result"],
    );
    let said = desk.verify(&artifact, &["--json"]).ended(22);
    assert_eq!(said.json()["result"], "deny");
    assert_eq!(said.json()["code"], 22);
}

#[test]
fn sixty_four_processes_sign_at_once_and_sixty_four_are_found() {
    let desk = Desk::serving();
    let artifact = digest("many hands");
    let token = desk.token();
    let children: Vec<_> = (0..64)
        .map(|_| {
            desk.command(["attest", "sign", "--keyless", "--artifact", &artifact])
                .env("STELLAOPS_OIDC_TOKEN", &token)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let listed = desk
        .run(["attest", "list", &artifact, "--json"])
        .ended(0)
        .json();
    assert_eq!(listed["attestations"].as_array().unwrap().len(), 64);
    desk.verify(&artifact, &[]).ended(0);
}

#[test]
fn without_a_server_processes_take_turns_at_the_instance() {
    let desk = Desk::new();
    let children: Vec<_> = (0..6)
        .map(|number| {
            let artifact = digest(&number.to_string());
            desk.command(["attest", "sign", "--keyless", "--artifact", &artifact])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let instance = desk.path(".local/share/stella/instance");
    let said = desk
        .run(["log", "fsck", "--dir", instance.to_str().unwrap(), "--json"])
        .ended(0)
        .json();
    // The genesis leaf and six signatures.
    assert_eq!(said["logs"][0]["entries"], 7, "{said}");
}

#[test]
fn an_instance_goes_on_where_it_stopped() {
    let mut desk = Desk::serving();
    desk.sign(&digest("one"), &[]);
    desk.stop();
    desk.serve();
    let said = desk.sign(&digest("two"), &["--json"]);
    assert_eq!(said.json()["attestations"][0]["log"]["index"], 2);
    desk.verify(&digest("one"), &[]).ended(0);
    desk.verify(&digest("two"), &[]).ended(0);
    desk.stop();
    desk.run(["log", "fsck", "--dir", "sigstore"]).ended(0);
}

#[test]
fn ed25519_keys_sign_the_prehashed_form_and_verify() {
    let desk = Desk::serving();
    let config = desk.write("signer.yaml", "signer:\n  signing:\n    keyless:\n      algorithms:\n        preferred: Ed25519\n        allowed: [ECDSA_P256, Ed25519]\n");
    let artifact = digest("edwards");
    let token = desk.token();
    desk.run_with_token(
        &token,
        [
            "--config",
            &config,
            "attest",
            "sign",
            "--keyless",
            "--artifact",
            &artifact,
        ],
    )
    .ended(0);
    let said = desk
        .run(["attest", "inspect", "--artifact", &artifact, "--show-cert"])
        .ended(0);
    assert!(said.out.contains("Ed25519"), "{said:?}");
    desk.verify(&artifact, &[]).ended(0);
}

fn jwks(key: &FileKey) -> String {
    let bits = key.public_key().bits().to_vec();
    let mut fields = stella_bundle::asn1::only_sequence(&bits).unwrap();
    let modulus = fields.tlv().unwrap().to_unsigned().unwrap().to_vec();
    let exponent = fields.tlv().unwrap().to_unsigned().unwrap().to_vec();
    serde_json::json!({"keys": [{
        "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "test", "n": url_safe(&modulus), "e": url_safe(&exponent),
    }]})
    .to_string()
}

fn github_token(key: &FileKey, subject: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let workflow = "myorg/myrepo/.github/workflows/build.yml@refs/heads/main";
    let sha = "0123456789012345678901234567890123456789";
    let claims = serde_json::json!({
        "iss": GITHUB, "aud": "sigstore", "sub": subject, "jti": "1", "iat": now, "nbf": now, "exp": now + 300,
        "event_name": "push", "sha": sha, "workflow": "build", "repository": "myorg/myrepo",
        "repository_id": "2", "repository_owner": "myorg", "repository_owner_id": "1", "repository_visibility": "public",
        "ref": "refs/heads/main", "ref_type": "branch", "job_workflow_ref": workflow, "job_workflow_sha": sha,
        "workflow_ref": workflow, "workflow_sha": sha, "runner_environment": "github-hosted",
        "run_id": "3", "run_attempt": "1", "actor": "me",
    });
    let head = serde_json::json!({"alg": "RS256", "kid": "test", "typ": "JWT"});
    let signed = format!(
        "{}.{}",
        url_safe(head.to_string().as_bytes()),
        url_safe(claims.to_string().as_bytes())
    );
    let signature = key.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", url_safe(&signature))
}

fn url_safe(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
