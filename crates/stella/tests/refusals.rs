//! Everything that goes wrong says what was expected, what was found and what to do next, and ends with its own code.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;

use std::fs;
use std::process::Stdio;

use desk::{Desk, digest, finish, says};

#[test]
fn an_expired_token_is_named_before_any_service_is_asked() {
    let mut desk = Desk::serving();
    desk.stop();
    let token = unsigned_token(&desk.url, "sigstore", -42);
    let said = desk
        .run_with_token(
            &token,
            ["attest", "sign", "--keyless", "--artifact", &digest("a")],
        )
        .ended(32);
    says(&said.err, &["OIDC token expired", "s ago", "hint:"]);
}

#[test]
fn a_token_for_another_audience_is_refused_before_any_service_is_asked() {
    let mut desk = Desk::serving();
    desk.stop();
    let token = unsigned_token(&desk.url, "somebody-else", 300);
    let said = desk
        .run_with_token(
            &token,
            ["attest", "sign", "--keyless", "--artifact", &digest("a")],
        )
        .ended(32);
    says(
        &said.err,
        &["somebody-else", "sigstore", "hint:", "audience"],
    );
}

#[test]
fn a_token_that_the_issuer_never_signed_is_refused_by_fulcio() {
    let desk = Desk::serving();
    let token = unsigned_token(&desk.url, "sigstore", 300);
    let said = desk.run_with_token(
        &token,
        ["attest", "sign", "--keyless", "--artifact", &digest("a")],
    );
    let said = said.ended(32);
    says(
        &said.err,
        &["Fulcio", "TOKEN_KEY_UNKNOWN", "published keys"],
    );
    assert!(!said.err.contains("audience"), "{said:?}");
    assert!(
        !desk.path(".local/share/stella/store").exists(),
        "nothing may be kept"
    );
}

#[test]
fn fulcio_unavailable_is_not_a_refusal_and_nothing_is_lost() {
    let mut desk = Desk::serving();
    let token = desk.token();
    desk.stop();
    let config = desk.write(
        "signer.yaml",
        "signer:\n  signing:\n    keyless:\n      fulcio:\n        retries: 0\n",
    );
    let arguments = [
        "--config",
        &config,
        "attest",
        "sign",
        "--keyless",
        "--artifact",
        &digest("a"),
    ];
    let said = desk.run_with_token(&token, arguments).ended(30);
    says(&said.err, &["Fulcio unavailable", "hint:"]);
    assert!(
        !desk.path(".local/share/stella/store").exists(),
        "nothing may be kept"
    );
}

#[test]
fn a_chain_of_another_instance_is_invalid_for_signing_and_verifying() {
    let desk = Desk::serving();
    let other = Desk::serving();
    let artifact = digest("a");
    desk.sign(&artifact, &["--bundle", "b.json"]);
    // Verifying under another root.
    let bundle = desk.path("b.json");
    let said = other
        .run([
            "attest",
            "verify",
            "--artifact",
            &artifact,
            "--bundle",
            bundle.to_str().unwrap(),
            "--certificate-identity",
            "repo:local/demo:.*",
            "--certificate-oidc-issuer",
            &desk.url,
            "--json",
        ])
        .ended(23);
    let json = said.json();
    let chain = json["attestations"][0]["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == "timestamp")
        .unwrap()
        .clone();
    assert_eq!(chain["status"], "fail", "{json}");
    // Signing with services that the trusted root does not know.
    let config = fs::read_to_string(desk.path("sigstore/client_trust_config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let strange = fs::read_to_string(other.path("sigstore/trusted_root.json")).unwrap();
    config["trustedRoot"] = serde_json::from_str(&strange).unwrap();
    let mixed = desk.write("mixed.json", config.to_string());
    let said = desk
        .run_with_token(
            &desk.token(),
            [
                "attest",
                "sign",
                "--keyless",
                "--artifact",
                &artifact,
                "--trust-config",
                &mixed,
            ],
        )
        .ended(23);
    says(&said.err, &["Certificate chain invalid", "hint:"]);
}

#[test]
fn an_identity_mismatch_says_who_was_expected_and_who_was_found() {
    let desk = Desk::serving();
    let artifact = digest("a");
    desk.sign(&artifact, &[]);
    let said = desk
        .run([
            "attest",
            "verify",
            "--artifact",
            &artifact,
            "--certificate-identity",
            "repo:local/demo:ref:refs/heads/release",
            "--certificate-oidc-issuer",
            &desk.url,
        ])
        .ended(20);
    says(
        &said.err.to_lowercase(),
        &[
            "identity mismatch",
            "refs/heads/release",
            "refs/heads/main",
            "hint:",
        ],
    );
    let said = desk
        .run([
            "attest",
            "verify",
            "--artifact",
            &artifact,
            "--certificate-identity",
            "repo:local/demo:.*",
            "--certificate-oidc-issuer",
            "https://elsewhere.example",
        ])
        .ended(20);
    says(&said.err, &["elsewhere.example", &desk.url]);
    let said = desk
        .run(["attest", "verify", "--artifact", &artifact])
        .ended(20);
    says(&said.err, &["no identity was given"]);
    says(
        &said.out,
        &["timestamp", "chain", "sct", "tlog", "signature", "subject"],
    );
}

#[test]
fn a_missing_rekor_proof_is_named() {
    let desk = Desk::serving();
    let artifact = digest("a");
    desk.sign(&artifact, &["--bundle", "b.json"]);
    let bundle = fs::read_to_string(desk.path("b.json")).unwrap();
    let mut bundle: serde_json::Value = serde_json::from_str(&bundle).unwrap();
    bundle["verificationMaterial"]["tlogEntries"] = serde_json::json!([]);
    desk.write("without.json", bundle.to_string());
    for more in [
        &["--bundle", "without.json"][..],
        &["--bundle", "without.json", "--require-rekor"],
    ] {
        let said = desk.verify(&artifact, more).ended(24);
        says(&said.err, &["Rekor proof missing", "hint:"]);
    }
    let ignored = ["--bundle", "without.json", "--insecure-ignore-log"];
    desk.verify(&artifact, &ignored).ended(0);
    desk.verify(
        &artifact,
        &[
            "--bundle",
            "without.json",
            "--insecure-ignore-log",
            "--require-rekor",
        ],
    )
    .ended(2);
}

#[test]
fn a_changed_bundle_is_refused_with_its_own_code() {
    let desk = Desk::serving();
    let artifact = digest("a");
    desk.sign(&artifact, &["--bundle", "b.json"]);
    let good: serde_json::Value =
        serde_json::from_slice(&fs::read(desk.path("b.json")).unwrap()).unwrap();
    let mut payload = good.clone();
    payload["dsseEnvelope"]["payloadType"] = "text/plain".into();
    desk.write("type.json", payload.to_string());
    let said = desk.verify(&artifact, &["--bundle", "type.json", "--json"]);
    assert!([12, 24].contains(&said.code), "{said:?}");
    let mut timestamps = good.clone();
    timestamps["verificationMaterial"]["timestampVerificationData"] = serde_json::json!({});
    desk.write("untimed.json", timestamps.to_string());
    desk.verify(&artifact, &["--bundle", "untimed.json"])
        .ended(23);
    desk.write("broken.json", "{");
    desk.verify(&artifact, &["--bundle", "broken.json"])
        .ended(12);
    desk.verify(&digest("b"), &["--bundle", "b.json"]).ended(12);
    desk.verify("no-such-file", &["--bundle", "b.json"])
        .ended(11);
    desk.verify(&digest("b"), &[]).ended(10);
    desk.verify(&artifact, &["--bundle", "no-such-bundle.json"])
        .ended(2);
}

#[test]
fn identities_that_say_too_much_or_too_little_are_usage_errors() {
    let desk = Desk::serving();
    let artifact = digest("a");
    let verify = |identity: &str, issuer: &str| {
        desk.run([
            "attest",
            "verify",
            "--artifact",
            &artifact,
            "--certificate-identity",
            identity,
            "--certificate-oidc-issuer",
            issuer,
        ])
    };
    says(
        &verify(".*", &desk.url).ended(2).err,
        &["repo:OWNER/NAME:", "hint: for example"],
    );
    says(
        &verify("repo:.*", &desk.url).ended(2).err,
        &["complete project"],
    );
    verify("", &desk.url).ended(2);
    verify("repo:a/b:.*", "").ended(2);
    desk.run([
        "attest",
        "verify",
        "--artifact",
        &artifact,
        "--certificate-identity",
        "repo:a/b:.*",
    ])
    .ended(2);
    desk.run([
        "attest",
        "verify",
        "--artifact",
        &artifact,
        "--certificate-oidc-issuer",
        &desk.url,
    ])
    .ended(2);
    desk.run(["attest", "verify", "--artifact", "sha256:abc123"])
        .ended(2);
    let said = desk.verify(&artifact, &["--type", "verdikt"]).ended(2);
    says(&said.err, &["did you mean verdict?"]);
}

#[test]
fn nobody_is_believed_unasked() {
    let mut desk = Desk::new();
    desk.serve();
    let artifact = digest("a");
    desk.sign(&artifact, &["--dir", "sigstore"]);
    let said = desk.verify(&artifact, &[]).ended(2);
    says(
        &said.err,
        &["nobody is believed unasked", "stella trust use"],
    );
    desk.run(["trust", "use", &desk.url]).ended(0);
    desk.verify(&artifact, &[]).ended(0);
    // A pipeline believes a local instance only when it is named by its fingerprint.
    let arguments = [
        "attest",
        "verify",
        "--artifact",
        &artifact,
        "--certificate-identity",
        "repo:local/demo:.*",
        "--certificate-oidc-issuer",
        &desk.url,
    ];
    let said = finish(desk.command(arguments).env("CI", "true")).ended(2);
    says(&said.err, &["--trust-fingerprint sha256:"]);
    let fingerprint = desk.run(["trust", "show", "--json"]).ended(0).json()["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let named = arguments
        .into_iter()
        .chain(["--trust-fingerprint", &fingerprint]);
    finish(desk.command(named).env("CI", "true")).ended(0);
    // Who signs there chose the services already, and is asked for no fingerprint.
    let sign = ["attest", "sign", "--keyless", "--artifact", &artifact];
    let token = desk.token();
    let mut sign = desk.command(sign);
    finish(sign.env("CI", "true").env("STELLAOPS_OIDC_TOKEN", &token)).ended(0);
    // A record that was tampered with is no record.
    let root = fs::read(desk.path("sigstore/trusted_root.json")).unwrap();
    let digest = fingerprint.trim_start_matches("sha256:");
    desk.write(
        &format!(".config/stella/trust/trusted_root.{digest}.json"),
        [root, b"\n".to_vec()].concat(),
    );
    desk.verify(&artifact, &[]).ended(2);
}

#[test]
fn a_damaged_store_is_named_and_never_believed() {
    let desk = Desk::serving();
    let artifact = digest("a");
    let said = desk.sign(&artifact, &["--json"]).json();
    let blob = said["attestations"][0]["bundle"]
        .as_str()
        .unwrap()
        .trim_start_matches("sha256:")
        .to_owned();
    let path = desk.path(&format!(".local/share/stella/store/blobs/sha256/{blob}"));
    fs::write(&path, "{}").unwrap();
    let said = desk.verify(&artifact, &[]).ended(1);
    says(&said.err, &["corrupted", &blob, "hint:"]);
    let export = ["attest", "export-bundle", "--image", &artifact];
    desk.run(export).ended(1);
    // A healthy one beside it is judged, and the damaged one is still named.
    desk.sign(&artifact, &[]);
    let json = desk.verify(&artifact, &["--json"]).ended(0).json();
    let attestations = json["attestations"].as_array().unwrap();
    assert_eq!(attestations.len(), 2);
    let damaged = attestations.iter().find(|each| each["error"].is_string());
    says(&damaged.unwrap().to_string(), &["corrupted", &blob]);
    says(&desk.run(export).ended(0).err, &["left out", &blob]);
    let list = ["attest", "list", artifact.as_str()];
    says(&desk.run(list).ended(0).out, &["damaged"]);
}

#[test]
fn a_store_that_cannot_be_written_is_an_error_and_not_a_success() {
    let desk = Desk::serving();
    desk.write("taken", "a file, not a folder");
    let said = desk
        .run_with_token(
            &desk.token(),
            [
                "attest",
                "sign",
                "--keyless",
                "--artifact",
                &digest("a"),
                "--store",
                "taken",
            ],
        )
        .ended(1);
    says(&said.err, &["taken"]);
    // Where only the second copy cannot be written, the first is named.
    let arguments = [
        "attest",
        "sign",
        "--keyless",
        "--artifact",
        &digest("a"),
        "--bundle",
        "none/b.json",
    ];
    let said = desk.run_with_token(&desk.token(), arguments).ended(1);
    says(
        &said.err,
        &["none/b.json", "sha256:", ".local/share/stella/store"],
    );
    desk.verify(&digest("a"), &[]).ended(0);
}

#[test]
fn configuration_says_what_is_wrong_and_where() {
    let desk = Desk::serving();
    let wrong = desk.write("wrong.yaml", "signer:\n  signing:\n    keyless:\n      fulcio:\n        ulr: https://fulcio.example.com\n");
    let said = desk.run(["--config", &wrong, "config", "show"]).ended(2);
    says(&said.err, &["ulr", "url", "5"]);
    desk.write(
        "etc/signer.yaml",
        "signer:\n  signing:\n    mode: keyless\n",
    );
    let said = desk.run(["config", "show"]).ended(0);
    says(&said.err, &["not used: pass --config"]);
    let said = desk
        .run(["--config", "etc/signer.yaml", "config", "show"])
        .ended(0);
    says(&said.out, &["etc/signer.yaml:3"]);
    let unchecked = desk.write(
        "unchecked.yaml",
        "signer:\n  signing:\n    keyless:\n      certificate:\n        validateChain: false\n",
    );
    desk.run(["--config", &unchecked, "config", "show"])
        .ended(2);
    let later = desk.write("later.yaml", "signer:\n  signing:\n    mode: key\n");
    desk.run(["--config", &later, "config", "check"]).ended(0);
    let without_key = [
        "--config",
        &later,
        "attest",
        "sign",
        "--artifact",
        &digest("a"),
    ];
    let said = desk.run(without_key).ended(2);
    says(&said.err, &["no key was named", "--key KEY"]);
    let lax = desk.write(
        "lax.yaml",
        "signer:\n  signing:\n    keyless:\n      certificate:\n        requireSCT: false\n",
    );
    let said = desk.sign(&digest("a"), &["--config", &lax]);
    says(&said.err, &["note:", "requireSCT is false"]);
}

#[test]
fn a_token_on_the_command_line_is_taken_off_it() {
    let mut desk = Desk::serving();
    let token = desk.token();
    let artifact = digest("a");
    let said = desk
        .run([
            "attest",
            "sign",
            "--keyless",
            "--artifact",
            &artifact,
            "--identity-token",
            &token,
        ])
        .ended(0);
    says(&said.err, &["warning"]);
    desk.verify(&artifact, &[]).ended(0);
    // While such a command waits for a service that does not answer, its arguments do not show the token.
    desk.stop();
    let listener = std::net::TcpListener::bind(desk.url.trim_start_matches("http://")).unwrap();
    let mut child = desk
        .command([
            "attest",
            "sign",
            "--keyless",
            "--artifact",
            &artifact,
            "--identity-token",
            &token,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let waiting = listener.accept().unwrap();
    let arguments = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(waiting);
    let arguments = String::from_utf8_lossy(&arguments);
    assert!(
        arguments.contains("attest") && !arguments.contains(&token),
        "{arguments:?}"
    );
}

#[test]
fn debug_tells_more_on_stderr_and_never_the_token() {
    let desk = Desk::serving();
    let token = desk.token();
    let arguments = [
        "attest",
        "sign",
        "--keyless",
        "--artifact",
        &digest("a"),
        "--json",
    ];
    let mut command = desk.command(arguments);
    let said = finish(
        command
            .env("STELLAOPS_OIDC_TOKEN", &token)
            .env("STELLAOPS_LOG_LEVEL", "debug"),
    )
    .ended(0);
    says(&said.err, &["DEBUG", "identity token"]);
    assert!(!said.err.contains('\u{1b}'), "a pipe is no terminal");
    assert!(!said.err.contains(&token) && !said.out.contains(&token));
    said.json();
}

/// A token of the right shape that its issuer never signed; it expires `seconds` from now.
fn unsigned_token(issuer: &str, audience: &str, seconds: i64) -> String {
    use base64::Engine as _;
    let encode = |json: serde_json::Value| {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string())
    };
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let now = i64::try_from(now).unwrap();
    let claims = serde_json::json!({
        "iss": issuer, "aud": audience, "sub": "repo:local/demo:ref:refs/heads/main", "iat": now - 100, "exp": now + seconds,
    });
    let head = serde_json::json!({"alg": "RS256", "kid": "unknown", "typ": "JWT"});
    format!("{}.{}.{}", encode(head), encode(claims), "AAAA")
}
