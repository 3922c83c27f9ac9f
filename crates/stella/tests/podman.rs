//! Other people's tools around the registry of `stella serve`: buildah builds and pushes an image, stella attests it, podman
//! pulls it and writes it into a file, and stella reads that file.
//!
//! Runs where both are installed; else it says that it is skipped, and fails when `STELLA_FOREIGN=1` demands them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;

use std::process::Command;

use desk::{Desk, says};

/// How long any one call may take, in seconds; `timeout` ends it then.
const PATIENCE: &str = "120";

/// Runs podman or buildah with a storage of this desk's own; returns what it printed.
fn run(desk: &Desk, program: &str, arguments: &[&str]) -> String {
    let storage = |name: &str| desk.path(name).display().to_string();
    let (root, state) = (storage("containers"), storage("containers-state"));
    let place = [
        "--root",
        &root,
        "--runroot",
        &state,
        "--storage-driver",
        "vfs",
    ];
    let all = [&[PATIENCE, program], &place[..], arguments].concat();
    let said = desk::finish(&mut desk.wrapped("timeout", all));
    assert_eq!(said.code, 0, "{program} {arguments:?}: {}", said.err);
    said.out.trim().to_owned()
}

#[test]
fn what_buildah_pushed_is_attested_and_what_podman_saved_is_loaded() {
    if !desk::is_wanted("buildah") || !desk::is_wanted("podman") {
        return;
    }
    // Both mount what they build; where nobody may, they can do nothing.
    let may_mount = Command::new("unshare").args(["--mount", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        println!("skipped: mounting needs more rights");
        return;
    }
    let mut desk = Desk::new();
    desk.serve_with(&["--with", "registry"]);
    let url = desk.url.clone();
    desk.run(["trust", "use", &url]).ended(0);
    let image = format!("{}/team/app:v1", url.trim_start_matches("http://"));
    // podman trusts nobody without a file that says whom.
    let policy = desk.write(
        "policy.json",
        r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
    );
    let trust = ["--signature-policy", &policy];
    // 1. Built and pushed by others.
    let file = desk.write("hello", "hello");
    let container = run(&desk, "buildah", &["from", "scratch"]);
    run(&desk, "buildah", &["copy", &container, &file, "/hello"]);
    run(
        &desk,
        "buildah",
        &[&["commit"], &trust[..], &[&container, "app"]].concat(),
    );
    let to = format!("docker://{image}");
    let push = [&["push", "--tls-verify=false"], &trust[..], &["app", &to]].concat();
    run(&desk, "buildah", &push);
    // 2. Attested by us; the image stays what it was.
    let signed = ["attest", "sign", "--keyless", "--image", &image];
    desk.run_with_token(&desk.token(), signed).ended(0);
    let subject = "repo:local/demo:ref:refs/heads/main";
    let given = [
        "--certificate-identity",
        subject,
        "--certificate-oidc-issuer",
        &url,
    ];
    desk.run(["verify", "--image", &image].iter().chain(&given))
        .ended(0);
    // 3. Pulled and saved by others.
    let pull = [
        &["pull", "--tls-verify=false"],
        &trust[..],
        &[image.as_str()],
    ]
    .concat();
    run(&desk, "podman", &pull);
    let saved = desk.path("saved.tar").display().to_string();
    run(
        &desk,
        "podman",
        &["save", "--format", "oci-archive", "-o", &saved, &image],
    );
    // 4. Its whole name becomes a tag where it goes.
    let other = image.replace("team/app:v1", "other/app");
    desk.run(["mirror", "load", "saved.tar", &other]).ended(0);
    let listed = desk.run(["attest", "list", &format!("{other}:v1")]);
    says(&listed.out, &["other/app"]);
    // 5. The format before OCI is told apart.
    let older = desk.path("older.tar").display().to_string();
    run(
        &desk,
        "podman",
        &["save", "--format", "docker-archive", "-o", &older, &image],
    );
    let said = desk.run(["mirror", "load", "older.tar", &other]).ended(2);
    says(&said.err, &["older.tar", "docker"]);
}
