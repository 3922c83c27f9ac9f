//! What `stella doctor` finds: on a new machine, beside a Sigstore that serves, and where something is broken.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;

use std::fs;
use std::process::Command;

use desk::{Desk, Said, says};
use serde_json::Value;

/// Returns what was found of one thing.
#[track_caller]
fn finding(said: &Said, check: &str) -> Value {
    let report = said.json();
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|each| each["check"] == check);
    found
        .unwrap_or_else(|| panic!("no {check}: {report}"))
        .clone()
}

#[track_caller]
fn is(said: &Said, check: &str, status: &str, words: &[&str]) {
    let finding = finding(said, check);
    assert_eq!(finding["status"], status, "{finding}");
    let text = format!("{} {}", finding["found"], finding["next"]);
    for words in words {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
}

fn doctor(desk: &Desk, more: &[&str]) -> Said {
    desk.run([&["doctor", "--json"], more].concat())
}

#[test]
fn a_new_machine_is_told_what_is_missing_and_what_to_do_next() {
    let desk = Desk::new();
    desk.write("etc/signer.yaml", "signer: {}\n");
    let said = doctor(&desk, &[]).ended(2);
    let report = said.json();
    assert_eq!(report["schema"], "stella.doctor/v1");
    assert_eq!(
        (&report["result"], &report["code"]),
        (&"failure".into(), &2.into())
    );
    is(
        &said,
        "trust",
        "failure",
        &["no trust root was chosen", "stella trust use"],
    );
    let config = desk
        .path(".config/stella/signer.yaml")
        .display()
        .to_string();
    is(
        &said,
        "configuration",
        "ok",
        &["defaults", &config, "/etc/stellaops/signer.yaml"],
    );
    let mut checks = report["checks"].as_array().unwrap().iter().rev();
    let unused = checks.find(|each| each["check"] == "configuration");
    let unused = unused.unwrap();
    assert_eq!(unused["status"], "warning");
    assert!(
        unused["next"]
            .as_str()
            .unwrap()
            .contains("--config etc/signer.yaml")
    );
    is(&said, "service", "skipped", &["no trust root"]);
    is(&said, "identity", "ok", &["machine's own instance"]);
    is(&said, "credentials", "ok", &["anonymously"]);
    is(
        &said,
        "store",
        "ok",
        &[".local/share/stella/store", "MiB free"],
    );
    is(&said, "version", "ok", &[env!("CARGO_PKG_VERSION")]);

    let text = desk.run(["doctor"]).ended(2).out;
    assert!(text.contains("failure  trust "), "{text}");
    assert!(text.contains("next: record whom to trust"), "{text}");
    assert!(text.ends_with("1 failed, 1 to think about\n"), "{text}");
}

#[test]
fn beside_a_sigstore_that_serves_all_is_well() {
    let desk = Desk::serving();
    let token = desk.token();
    let said = desk.run_with_token(&token, ["doctor", "--json"]).ended(0);
    let report = said.json();
    assert_eq!(
        (&report["result"], &report["code"]),
        (&"ok".into(), &0.into())
    );
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["status"], "ok", "{check}");
    }
    is(&said, "trust", "ok", &["url", &desk.url, "sha256:"]);
    is(&said, "validity", "ok", &["first to end"]);
    is(
        &said,
        "identity",
        "ok",
        &["repo:local/demo:ref:refs/heads/main"],
    );
    assert!(!said.out.contains(&token), "the token is shown");
    is(&said, "service", "ok", &["Fulcio", &desk.url]);
    is(&said, "clock", "ok", &["within"]);

    let text = desk.run_with_token(&token, ["doctor"]).ended(0).out;
    assert!(text.ends_with("all is well\n"), "{text}");
    // Without a token, verifying still works.
    let said = doctor(&desk, &[]).ended(0);
    is(
        &said,
        "identity",
        "warning",
        &["no identity token", "STELLAOPS_OIDC_TOKEN"],
    );
    assert_eq!(said.json()["result"], "warning");
}

#[test]
fn a_service_that_is_away_ends_as_signing_would() {
    let mut desk = Desk::serving();
    let token = desk.token();
    let sigstore = desk.path("sigstore");
    let with_instance = |desk: &Desk| {
        let mut command = desk.command(["doctor", "--json"]);
        command
            .env("STELLA_INSTANCE", &sigstore)
            .env("STELLAOPS_OIDC_TOKEN", &token);
        desk::finish(&mut command)
    };
    is(
        &with_instance(&desk),
        "instance",
        "ok",
        &["served at", &desk.url],
    );
    desk.stop();
    let said = with_instance(&desk).ended(30);
    is(&said, "service", "failure", &["unavailable", &desk.url]);
    is(&said, "instance", "ok", &["not served now"]);
    is(&said, "clock", "skipped", &[]);
    // Nobody is asked, so nobody is missed.
    let said = doctor(&desk, &["--offline"]).ended(0);
    is(&said, "service", "skipped", &["offline"]);
}

#[test]
fn tokens_are_looked_at_before_they_are_sent() {
    let desk = Desk::serving();
    let look = |variables: &[(&str, &str)]| {
        let mut command = desk.command(["doctor", "--json", "--offline"]);
        command.envs(variables.iter().copied());
        desk::finish(&mut command)
    };
    let runner = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:9/"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hush"),
    ];
    is(
        &look(&runner),
        "identity",
        "ok",
        &["GitHub Actions; not asked"],
    );
    let said = look(&[("GITHUB_ACTIONS", "true")]).ended(31);
    is(&said, "identity", "failure", &["id-token: write"]);
    let said = look(&[("STELLAOPS_OIDC_TOKEN", "a.b.c")]).ended(32);
    is(&said, "identity", "failure", &["not an identity token"]);
    let socket = ("SPIFFE_ENDPOINT_SOCKET", "unix:///run/spire/api.sock");
    is(&look(&[socket]), "identity", "ok", &["SPIFFE Workload API"]);
    let jenkins = look(&[("JENKINS_URL", "https://jenkins.example")]).ended(0);
    is(
        &jenkins,
        "identity",
        "warning",
        &["withCredentials", "STELLAOPS_OIDC_TOKEN"],
    );
}

#[test]
fn a_broken_configuration_a_key_that_is_not_there_and_a_helper_that_is_missing_are_named() {
    let desk = Desk::new();
    let config = |text: &str| desk.write(".config/stella/signer.yaml", text);
    config("signer:\n  signing:\n    mood: key\n");
    let said = doctor(&desk, &["--offline"]).ended(2);
    is(
        &said,
        "configuration",
        "failure",
        &["signer.yaml:3", "mood", "stella config check"],
    );
    // What does not depend on it is looked at all the same.
    is(&said, "store", "ok", &[]);

    config(
        "signer:\n  signing:\n    keyless:\n      certificate:\n        rootBundlePath: none.pem\n",
    );
    let said = doctor(&desk, &["--offline"]).ended(2);
    says(
        &said.out,
        &["rootBundlePath ", "none.pem", "name a file of certificates"],
    );

    config("signer:\n  signing:\n    mode: key\n    key: none.key\n");
    let said = doctor(&desk, &["--offline"]).ended(43);
    is(
        &said,
        "key",
        "failure",
        &["none.key", "stella key generate"],
    );
    desk.write("none.key", "no key");
    let said = doctor(&desk, &["--offline"]).ended(40);
    is(&said, "key", "failure", &[]);
    desk.run([
        "key",
        "generate",
        "--output",
        "some",
        "--insecure-no-passphrase",
    ])
    .ended(0);
    config("signer:\n  signing:\n    mode: key\n    key: some.key\n");
    let said = doctor(&desk, &["--offline"]);
    is(&said, "key", "ok", &["without a passphrase"]);

    desk.write(
        ".docker/config.json",
        r#"{"auths": {"a.example": {}}, "credsStore": "nowhere"}"#,
    );
    let said = doctor(&desk, &["--offline"]);
    is(
        &said,
        "credentials",
        "warning",
        &["docker-credential-nowhere"],
    );
}

#[test]
fn a_trust_root_whose_authorities_have_ended_is_no_more_of_use() {
    let desk = Desk::serving();
    let path = desk.path("sigstore/trusted_root.json");
    let mut root: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let end = |root: &mut Value, time: &str| {
        root["tlogs"][0]["publicKey"]["validFor"]["end"] = time.into();
        root["tlogs"][0]["publicKey"]["validFor"]["start"] = "2020-01-01T00:00:00Z".into();
        let path = desk.write("root.json", root.to_string());
        desk.run(["trust", "use", &path]).ended(0);
        doctor(&desk, &["--offline"])
    };
    let said = end(&mut root, "2021-01-01T00:00:00Z").ended(24);
    is(
        &said,
        "validity",
        "failure",
        &["no log", "stella trust update"],
    );
    let soon = days_from_now(10);
    let said = end(&mut root, &soon).ended(0);
    is(&said, "validity", "warning", &["the log", "in 9 days"]);
}

/// Returns the time some days from now.
fn days_from_now(days: u64) -> String {
    use stella_bundle::time::UnixTime;
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let then = UnixTime::from_seconds(0).plus(since);
    let then = then.plus(std::time::Duration::from_secs(days * 86_400));
    then.floor_seconds().to_string()
}

#[test]
fn offline_opens_no_socket() {
    let strace = Command::new("strace")
        .args(["-e", "trace=network", "true"])
        .output();
    if !strace.is_ok_and(|output| output.status.success()) {
        println!("skipped: strace is not here, or may not trace");
        return;
    }
    let desk = Desk::serving();
    let calls = |more: &[&str]| {
        let mut traced = desk.traced();
        traced.arg("doctor").args(more);
        traced.env("STELLA_INSTANCE", desk.path("sigstore"));
        desk::finish(&mut traced).ended(0);
        desk.network_calls()
    };
    let offline = calls(&["--offline"]);
    assert!(offline.is_empty(), "{offline:#?}");
    assert!(!calls(&[]).is_empty());
}
