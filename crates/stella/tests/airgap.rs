//! A kit is packed beside one registry, carried, checked by someone who trusts nothing of it but a digest, and loaded into
//! another registry.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
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

/// Founds an organisation of new keys in a folder; its files are called after it.
fn found(desk: &Desk, name: &str) {
    for (role, algorithm) in [
        ("classical", "ecdsa-p256"),
        ("pq", "ml-dsa-65"),
        ("next", "ecdsa-p256"),
    ] {
        desk.key(&format!("{name}-{role}"), algorithm);
    }
    let (classical, pq) = (format!("{name}-classical.key"), format!("{name}-pq.key"));
    let create = ["archive", "keyset", "create", "--origin", ORIGIN];
    let keys = ["--key", &classical, "--pq-key", &pq];
    let how = ["--keysets", name, "--reason", "founded"];
    desk.run([&create[..], &keys, &how].concat()).ended(0);
}

const ORIGIN: &str = "archive.example.org";
const KIT: &str = "https://stella-ops.org/org/air-gap-kit/v1";
/// A bundle of somebody else, beside the list.
const STRANGER: &str = "SHA256SUMS.00000000.sigstore.json";

/// Packs a kit that an organisation signs with these keys.
fn pack_signed(desk: &Desk, image: &str, kit: &str, keysets: &str, keys: &[&str]) -> Said {
    let pack = ["airgap", "pack", image, "--policy", "policy.yaml"];
    let given = ["--output", kit, "--no-binary", "--json"];
    let keys = keys.iter().flat_map(|key| ["--org-key", key]);
    let keys: Vec<&str> = ["--keysets", keysets].into_iter().chain(keys).collect();
    desk.run([&pack[..], &given, &keys].concat())
}

#[test]
fn a_kit_that_the_organisation_signed_needs_no_digest() {
    let (desk, host) = serving();
    let app = format!("{host}/org/app:v1");
    attested(&desk, &app);
    policy(&desk);
    found(&desk, "org");
    // The keys of the first keyset alone are not those of the newest.
    let rotate = ["archive", "keyset", "rotate", "--old", "classical"];
    let keys = ["--new", "org-next.key", "--key", "org-classical.key"];
    let how = ["--key", "org-pq.key", "--reason", "a new device"];
    desk.run([&rotate[..], &keys, &how].concat()).ended(0);
    for keys in [
        &["org-next.key"][..],
        &["org-classical.key", "org-pq.key"],
        &["org-next.key", "org-pq.key", "org-classical.key"],
    ] {
        let said = pack_signed(&desk, &app, "kit", "org", keys).ended(40);
        says(&said.err, &["under keyset 2", "given are", "--org-key"]);
    }
    assert!(!desk.path("kit").exists());
    let keys = ["org-next.key", "org-pq.key"];
    let packed = pack_signed(&desk, &app, "kit", "org", &keys).ended(0);
    let packed = packed.json();
    assert_eq!(packed["signatures"].as_array().unwrap().len(), 2);
    // cosign is rarely here; where it is, it agrees.
    if Command::new("cosign").arg("version").output().is_ok() {
        // The first key is the classical one.
        let bundle = packed["signatures"][0].as_str().unwrap();
        let verify = format!(
            "verify-blob-attestation --key ../org-next.pub --bundle {bundle} --insecure-ignore-tlog --type {KIT} SHA256SUMS"
        );
        let mut cosign = desk.wrapped("cosign", verify.split(' '));
        desk::finish(cosign.current_dir(desk.path("kit"))).ended(0);
    }
    // By an anchor of the first keyset, where nothing is served and nobody is believed.
    let apart = Desk::new();
    carry(&desk.path("kit"), &apart.path("kit"));
    for (from, to) in [
        ("org/org.anchor", "org.anchor"),
        ("org-next.pub", "org.pub"),
        ("org-classical.pub", "old.pub"),
    ] {
        fs::copy(desk.path(from), apart.path(to)).unwrap();
    }
    let check = |desk: &Desk, how: &[&str]| desk.run(["airgap", "check", "kit"].iter().chain(how));
    let said = check(&apart, &["--anchor", "org.anchor"]).ended(0);
    let words = ["signed for archive.example.org, keyset 2", "post-quantum"];
    says(&said.out, &words);
    says(&said.out, &["classical", "as http", "passes  org/app:v1@"]);
    let json = check(&apart, &["--anchor", "org.anchor", "--json"]);
    let json = json.ended(0).json();
    assert_eq!(json["signed"]["keyset"], 2);
    assert_eq!(json["signed"]["signatures"].as_array().unwrap().len(), 2);
    // By one key alone, if it is one of those that sign now.
    let said = check(&apart, &["--anchor", "org.pub"]).ended(0);
    says(&said.err, &["one key alone"]);
    assert!(!said.out.contains("post-quantum"), "{}", said.out);
    let said = check(&apart, &["--anchor", "old.pub"]).ended(12);
    says(
        &said.err,
        &["expected a signature by key", "found those of"],
    );
    // The digest does as before, one of both is needed, and an anchor is one.
    let digest = packed["digest"].as_str().unwrap();
    check(&apart, &["--digest", digest]).ended(0);
    check(&apart, &[]).ended(2);
    check(&apart, &["--digest", digest, "--anchor", "org.pub"]).ended(2);
    let said = check(&apart, &["--anchor", "kit/README.md"]).ended(2);
    says(&said.err, &["expected an org anchor", "archive anchor"]);
    let sums = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(apart.path("kit"))
        .status();
    assert!(sums.unwrap().success());
    // It is loaded by the anchor, and packed anew over the earlier one.
    let to = format!("{host}/mirror");
    let load = ["airgap", "load", "kit", &to, "--anchor", "org/org.anchor"];
    desk.run(load).ended(0);
    pack_signed(&desk, &app, "kit", "org", &keys).ended(0);
    check(&desk, &["--anchor", "org/org.anchor"]).ended(0);
}

#[test]
fn a_kit_that_the_organisation_did_not_sign_so_is_refused() {
    let (desk, host) = serving();
    let app = format!("{host}/org/app:v1");
    attested(&desk, &app);
    policy(&desk);
    for name in ["org", "other"] {
        found(&desk, name);
        let keys = [format!("{name}-classical.key"), format!("{name}-pq.key")];
        let keys = keys.each_ref().map(String::as_str);
        let kit = format!("{name}-kit");
        pack_signed(&desk, &app, &kit, name, &keys).ended(0);
    }
    /// Returns the bundles beside a kit's list.
    fn bundles(kit: &Path) -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(kit).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let is_bundle = |path: &std::path::PathBuf| path.display().to_string().ends_with("e.json");
        let mut paths: Vec<_> = paths.filter(is_bundle).collect();
        paths.sort();
        paths
    }
    fn append(path: &Path, text: &str) {
        let before = fs::read_to_string(path).unwrap();
        fs::write(path, before + text).unwrap();
    }
    type Change = fn(&Path, &Path);
    let rows: [(&str, Change, &[&str]); 9] = [
        (
            "one signature less",
            |kit, _| fs::remove_file(&bundles(kit)[0]).unwrap(),
            &[
                "expected the list signed by the active keys of keyset 1",
                "is missing",
            ],
        ),
        (
            "none",
            |kit, _| {
                bundles(kit)
                    .iter()
                    .for_each(|path| fs::remove_file(path).unwrap())
            },
            &["not signed", "no bundle beside SHA256SUMS", "--org-key"],
        ),
        (
            "a stranger's besides",
            |kit, other| {
                fs::copy(other.join("../stranger.json"), kit.join(STRANGER)).unwrap();
            },
            &["SHA256SUMS.00000000", "a key that is not in the keyset"],
        ),
        (
            "a stranger's instead",
            |kit, other| {
                fs::copy(&bundles(other)[0], &bundles(kit)[0]).unwrap();
            },
            &["SHA256SUMS.", "found: bundle"],
        ),
        (
            "another list",
            |kit, _| {
                append(
                    &kit.join("SHA256SUMS"),
                    &format!("{}  more\n", "00".repeat(32)),
                )
            },
            &["does not sign this document"],
        ),
        (
            "another keyset",
            |kit, _| append(&kit.join("org/keysets/1.json"), " "),
            &["does not sign this document", "the anchor is that of"],
        ),
        (
            "no keysets",
            |kit, _| fs::remove_dir_all(kit.join("org")).unwrap(),
            &["no org/keysets/1.json"],
        ),
        (
            "one file more",
            |kit, _| fs::write(kit.join("SHA256SUMS.exe"), "").unwrap(),
            &["SHA256SUMS.exe is there and not listed"],
        ),
        (
            "another policy",
            |kit, _| append(&kit.join("policy/policy.yaml"), "\n"),
            &["policy/policy.yaml has the digest"],
        ),
    ];
    // A stranger says of the same list what the organisation says.
    let bundle = fs::read(&bundles(&desk.path("org-kit"))[0]).unwrap();
    let bundle: serde_json::Value = serde_json::from_slice(&bundle).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let statement = BASE64_STANDARD.decode(payload).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&statement).unwrap();
    desk.write("said.json", statement["predicate"].to_string());
    let attest = ["attest-blob", "SHA256SUMS", "--key", "../other-next.key"];
    let said = ["--predicate", "../said.json", "--type", KIT];
    let mut attest = desk.command([&attest[..], &said, &["--bundle", "../stranger.json"]].concat());
    desk::finish(attest.current_dir(desk.path("org-kit"))).ended(0);
    let check = |kit: &str, anchor: &str| desk.run(["airgap", "check", kit, "--anchor", anchor]);
    for (name, change, words) in rows {
        let _ = fs::remove_dir_all(desk.path("kit"));
        carry(&desk.path("org-kit"), &desk.path("kit"));
        check("kit", "org/org.anchor").ended(0);
        change(&desk.path("kit"), &desk.path("other-kit"));
        let said = check("kit", "org/org.anchor");
        assert_eq!(said.code, 12, "{name}: {said:?}");
        says(&said.err, words);
    }
    // Whole, and of somebody else who says that he is the organisation.
    for (kit, anchor) in [
        ("other-kit", "org/org.anchor"),
        ("org-kit", "other/org.anchor"),
        ("other-kit", "org-classical.pub"),
    ] {
        let said = check(kit, anchor).ended(12);
        says(&said.err, &["the anchor is that of"]);
    }
    let to = format!("{host}/mirror");
    let load = ["airgap", "load", "other-kit", &to];
    let load = [&load[..], &["--anchor", "org/org.anchor"]].concat();
    desk.run(load).ended(12);
    desk.run(["attest", "list", &format!("{to}/org/app:v1")])
        .ended(11);
}
