//! `--offline` opens no socket: the system calls of whole verifications, by strace, and in a network namespace without a
//! single interface. Where neither is to be had the test says so and passes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;

use std::process::Command;

use desk::{Desk, STELLA};

const ROOT: &str = include_str!("../../../testdata/keyless/trusted_root.json");
const BUNDLE: &str = include_str!("../../../testdata/keyless/bundle.sigstore.json");
const ARTIFACT: &str = include_str!("../../../testdata/keyless/artifact.txt");
const IDENTITY: [&str; 4] = [
    "--certificate-identity",
    "repo:local/demo:ref:refs/heads/main",
    "--certificate-oidc-issuer",
    "http://127.0.0.1:8470",
];

/// Verifications with the code in which each ends: accepted, somebody else, another artifact, looking, explaining.
fn commands() -> Vec<(i32, Vec<&'static str>)> {
    let offline = ["--offline", "--trusted-root", "root.json"];
    let with = |first: &[&'static str], more: &[&'static str]| [first, &offline, more].concat();
    let attest = [
        "attest",
        "verify",
        "--artifact",
        "app",
        "--bundle",
        "app.sigstore.json",
    ];
    let stranger = [
        "--certificate-identity",
        "nobody",
        "--certificate-oidc-issuer",
        "nowhere",
    ];
    vec![
        (0, with(&attest, &IDENTITY)),
        (0, with(&["verify", "app"], &IDENTITY)),
        (20, with(&["verify", "app"], &stranger)),
        (
            12,
            with(
                &["verify", "other", "--bundle", "app.sigstore.json"],
                &IDENTITY,
            ),
        ),
        (
            0,
            with(&["policy", "explain", "--artifact", "app"], &IDENTITY),
        ),
    ]
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("root.json", ROOT);
    desk.write("app", ARTIFACT);
    desk.write("other", "another artifact");
    desk.write("app.sigstore.json", BUNDLE);
    desk
}

fn works(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn no_verification_makes_a_system_call_of_the_network() {
    if !works("strace", &["-e", "trace=network", "true"]) {
        println!("skipped: strace is not here, or may not trace");
        return;
    }
    let desk = desk();
    for (code, arguments) in commands() {
        let said = desk::finish(desk.traced().args(&arguments));
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        let calls = desk.network_calls();
        assert!(calls.is_empty(), "{arguments:?}: {calls:#?}");
    }
    // The trace would show one: asking an instance that is not there needs a socket.
    desk::finish(desk.traced().args(["trust", "use", "http://127.0.0.1:9"]));
    let calls = desk.network_calls();
    assert!(calls.iter().any(|call| call.contains("socket(")));
}

#[test]
fn verification_needs_no_network_at_all() {
    if !works("unshare", &["-n", "true"]) {
        println!("skipped: a network namespace needs more rights");
        return;
    }
    let desk = desk();
    for (code, arguments) in commands() {
        let mut apart = vec!["-n", STELLA];
        apart.extend(&arguments);
        let said = desk::finish(&mut desk.wrapped("unshare", &apart));
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
    }
}
