//! A kit is packed beside one registry, carried, checked by someone who trusts nothing of it but a digest, and loaded into
//! another registry.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;

use std::fs;
use std::path::Path;
use std::process::Command;

use desk::{Desk, Said, says};
use stella_testkit::image::Image;

mod harbour;

/// Returns a desk whose instance serves a registry too and is trusted, and the registry's host.
fn serving() -> (Desk, String) {
    let mut desk = Desk::new();
    desk.serve_with(&["--with", "registry"]);
    let url = desk.url.clone();
    desk.run(["trust", "use", &url]).ended(0);
    let host = url.trim_start_matches("http://").to_owned();
    (desk, host)
}

/// Pushes an image and attests it; returns its digest.
fn attested(desk: &Desk, name: &str) -> String {
    let image = Image::new(name, "amd64");
    harbour::push(name, &image);
    let signed = ["attest", "sign", "--keyless", "--image", name];
    desk.run_with_token(&desk.token(), signed).ended(0);
    image.manifest.digest.to_string()
}

/// Writes a policy that believes this desk's instance alone.
fn policy(desk: &Desk) -> String {
    let root = desk.run(["trust", "show", "--json"]).ended(0).json();
    let text = format!(
        "policy: stella.policy/v1\nmode: enforce\ntrust: [\"{}\"]\nsigners:\n  ci:\n    identity: repo:local/demo:ref:refs/heads/main\n    issuer: {}\n",
        root["digest"].as_str().unwrap(),
        desk.url
    );
    desk.write("policy.yaml", text)
}

fn pack(desk: &Desk, policy: &str, sources: &[&str]) -> Said {
    let given = ["--policy", policy, "--output", "kit", "--json"];
    let arguments = ["airgap", "pack"].iter().chain(sources).chain(&given);
    desk.run(arguments)
}

fn carry(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

#[test]
fn a_kit_is_packed_carried_checked_and_loaded() {
    let (outside, host) = serving();
    let (app, db) = (format!("{host}/org/app:v1"), format!("{host}/org/db:v2"));
    let digest = attested(&outside, &app);
    attested(&outside, &db);
    let policy = policy(&outside);
    let packed = pack(&outside, &policy, &[&app, &db]).ended(0).json();
    let kit = packed["digest"].as_str().unwrap();
    assert_eq!(packed["contents"]["sets"][0]["repository"], "org/app");
    assert_eq!(packed["contents"]["sets"][0]["images"][0]["digest"], digest);
    // A machine without stella can check it.
    let sums = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(outside.path("kit"))
        .status();
    assert!(sums.unwrap().success());
    let sums = Command::new("sha256sum")
        .arg(outside.path("kit/SHA256SUMS"))
        .output();
    let sums = String::from_utf8(sums.unwrap().stdout).unwrap();
    assert!(kit.ends_with(sums.split(' ').next().unwrap()));
    // The other side believes nobody yet: the digest is enough, and no network is there.
    let (inside, registry) = serving();
    carry(&outside.path("kit"), &inside.path("kit"));
    drop(outside);
    let apart = Desk::new();
    carry(&inside.path("kit"), &apart.path("kit"));
    let check = ["airgap", "check", "kit", "--digest", kit];
    let said = apart.run(check).ended(0);
    says(
        &said.out,
        &["passes  org/app:v1@", "passes  org/db:v2@", &digest],
    );
    let to = format!("{registry}/mirror");
    let load = ["airgap", "load", "kit", &to, "--digest", kit];
    inside.run(load).ended(0);
    let said = inside.run(load).ended(0);
    says(&said.out, &["2 images, 0 bytes transferred"]);
    let root = inside.path("kit/trust/trusted_root.json");
    let root = root.display().to_string();
    let loaded = format!("{to}/org/app@{digest}");
    let verify = [
        "verify",
        "--image",
        &loaded,
        "--policy",
        "kit/policy/policy.yaml",
    ];
    let given = ["--trusted-root", &root];
    inside.run(verify.iter().chain(&given)).ended(0);
    // Packed again with one image more, only that one is transferred.
    let again = format!("{to}/org/app:v1");
    let packed = [
        "airgap",
        "pack",
        &again,
        "--policy",
        "kit/policy/policy.yaml",
        "--output",
        "again",
        "--json",
    ];
    let packed = inside.run(packed.iter().chain(&given)).ended(0).json();
    assert!(packed["bytes"].as_u64().unwrap() > 0);
}

#[test]
fn what_does_not_pass_makes_no_kit_and_what_was_changed_is_not_loaded() {
    let (desk, host) = serving();
    let (good, bad) = (format!("{host}/org/app:v1"), format!("{host}/org/bad:v1"));
    attested(&desk, &good);
    harbour::push(&bad, &Image::new("unsigned", "amd64"));
    let policy = policy(&desk);
    // 1. One that nobody attested.
    let said = pack(&desk, &policy, &[&good, &bad]).ended(10);
    says(
        &said.err,
        &["v1 does not pass: there is no kit", "no attestation"],
    );
    assert!(!desk.path("kit/SHA256SUMS").exists());
    let any = format!("sha256:{}", "00".repeat(32));
    let check = |kit: &str, digest: &str| desk.run(["airgap", "check", kit, "--digest", digest]);
    says(
        &check("kit", &any).ended(11).err,
        &["not finished", "hint:"],
    );
    // 2. Without it there is one, and nothing of a stranger's is touched.
    pack(&desk, &policy, &[&good]).ended(0);
    desk.write("notes/mine.txt", "mine");
    let given = ["--policy", &policy, "--output", "notes"];
    let said = desk
        .run(["airgap", "pack", &good].iter().chain(&given))
        .ended(2);
    says(&said.err, &["neither empty nor a kit"]);
    // 3. A byte, and a digest of something else.
    let given = [
        "--policy",
        &policy,
        "--output",
        "kit2",
        "--json",
        "--no-binary",
    ];
    let packed = desk.run(["airgap", "pack", &good].iter().chain(&given));
    let packed = packed.ended(0).json();
    let digest = packed["digest"].as_str().unwrap();
    check("kit2", digest).ended(0);
    says(
        &check("kit2", &any).ended(12).err,
        &["the kit has the digest"],
    );
    check("kit2", "sha256:0").ended(2);
    let images = desk.path("kit2/images/org/app.tar");
    let mut bytes = fs::read(&images).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&images, bytes).unwrap();
    says(
        &check("kit2", digest).ended(12).err,
        &["images/org/app.tar has the digest"],
    );
    let to = format!("{host}/mirror");
    let load = ["airgap", "load", "kit2", &to, "--digest", digest];
    desk.run(load).ended(12);
    let loaded = format!("{to}/org/app:v1");
    desk.run(["attest", "list", &loaded]).ended(11);
    // 4. A policy of the receiver's own counts more than the kit's.
    let stricter = fs::read_to_string(&policy).unwrap() + "require:\n  - type: verdict\n";
    let stricter = desk.write("stricter.yaml", stricter);
    let given = [
        "--policy",
        &policy,
        "--output",
        "kit3",
        "--json",
        "--no-binary",
    ];
    let packed = desk.run(["airgap", "pack", &good].iter().chain(&given));
    let packed = packed.ended(0).json();
    let digest = packed["digest"].as_str().unwrap();
    let check = [
        "airgap", "check", "kit3", "--digest", digest, "--policy", &stricter,
    ];
    let said = desk.run(check).ended(10);
    says(&said.out, &["REFUSED  org/app:v1@"]);
}
