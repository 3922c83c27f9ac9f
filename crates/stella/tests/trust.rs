//! Whom to believe: each source of a trust root, how it is refreshed, pinned and looked into.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;
mod repository;

use std::fs;
use std::process::Command;

use desk::{Desk, STELLA, Said, digest, finish, says};
use repository::{Owners, Site};
use serde_json::{Value, json};

const RECORD: &str = ".config/stella/trust/trust.json";

/// A trusted root of a small instance.
fn first_root() -> Value {
    serde_json::from_slice(include_bytes!(
        "../../../testdata/keyless/trusted_root.json"
    ))
    .unwrap()
}

/// The same with a second log of certificates, and the end of the first.
fn second_root() -> Value {
    let mut root = first_root();
    let mut log = root["ctlogs"][0].clone();
    let other = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwrkBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2LhC30M9+RYtw==";
    log["publicKey"]["rawBytes"] = json!(other);
    log["logId"]["keyId"] = json!("wNI9atQGlz+VWfO6LRygH4QUfY/8W4RFwiT5i5WRgB0=");
    root["ctlogs"][0]["publicKey"]["validFor"]["end"] = json!("2027-01-01T00:00:00Z");
    root["ctlogs"].as_array_mut().unwrap().push(log);
    root
}

fn text(json: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(json).unwrap()
}

fn client_trust_config(root: &Value) -> Vec<u8> {
    let signing = json!({"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"});
    let media_type = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json";
    text(&json!({"mediaType": media_type, "trustedRoot": root, "signingConfig": signing}))
}

fn verify(desk: &Desk, more: &[&str]) -> Said {
    let artifact = digest("nothing speaks of it");
    let mut arguments = vec!["attest", "verify", "--artifact", &artifact];
    arguments.extend([
        "--certificate-identity",
        "a@b.example",
        "--certificate-oidc-issuer",
        "https://c.example",
    ]);
    arguments.extend(more);
    desk.run(arguments)
}

fn changes(said: &Said) -> Vec<String> {
    let rows = said.json()["changes"].as_array().unwrap().clone();
    let row = |row: &Value| {
        format!(
            "{} {}",
            row["change"].as_str().unwrap(),
            row["part"].as_str().unwrap()
        )
    };
    rows.iter().map(row).collect()
}

#[test]
fn the_public_sigstore_is_built_in() {
    let desk = Desk::new();
    verify(&desk, &[]).ended(2);
    desk.run(["trust", "use", "public", "--offline"]).ended(0);
    // There is a trust root now; what is missing is an attestation.
    let said = verify(&desk, &["--json"]).ended(10).json();
    assert_eq!(said["trustRoot"]["kind"], "public");
    let said = desk.run(["trust", "show", "--json"]).ended(0).json();
    assert_eq!(
        (&said["kind"], &said["source"]),
        (&json!("public"), &json!("public"))
    );
    assert_eq!(said["certificateAuthorities"].as_array().unwrap().len(), 2);
    assert_eq!(said["certificateAuthorities"][0]["state"], "ended");
    assert_eq!(said["logs"][1]["state"], "in use");
    let said = desk.run(["trust", "show"]).ended(0);
    says(
        &said.out,
        &[
            "public",
            "recorded 0 days ago",
            "https://rekor.sigstore.dev",
        ],
    );
    desk.run(["trust", "lint"]).ended(0);
}

#[test]
fn a_configuration_may_name_the_public_sigstore() {
    let desk = Desk::new();
    let config = desk.write(
        "signer.yaml",
        "signer:\n  signing:\n    keyless:\n      trust: public\n",
    );
    desk.run(["--config", &config, "config", "check"]).ended(0);
    let artifact = digest("a");
    let arguments = [
        "--config",
        &config,
        "attest",
        "verify",
        "--artifact",
        &artifact,
    ];
    let identity = [
        "--certificate-identity",
        "a@b.example",
        "--certificate-oidc-issuer",
        "https://c.example",
        "--json",
    ];
    let said = desk.run(arguments.into_iter().chain(identity)).ended(10);
    assert_eq!(said.json()["trustRoot"]["kind"], "public");
}

#[test]
fn the_public_sigstore_can_be_chosen_where_there_is_no_network() {
    let desk = Desk::new();
    let mut isolated = Command::new("unshare");
    isolated.args(["-n", STELLA, "trust", "use", "public"]);
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
    let said = said.ended(0);
    says(
        &said.err,
        &[
            "unavailable",
            "built in, of 2026-08-21",
            "stella trust update",
        ],
    );
    let mut isolated = Command::new("unshare");
    isolated.args(["-n", STELLA, "trust", "update"]);
    isolated
        .env_clear()
        .env("HOME", desk.path(""))
        .env("PATH", std::env::var("PATH").unwrap());
    let said = finish(&mut isolated).ended(30);
    says(&said.err, &["what was recorded stays"]);
}

#[test]
fn a_file_is_read_again_and_what_changed_is_named() {
    let desk = Desk::new();
    desk.write("root.json", text(&first_root()));
    desk.run(["trust", "use", "root.json"]).ended(0);
    let record = fs::read(desk.path(RECORD)).unwrap();
    let said = desk.run(["trust", "update", "--json"]).ended(0);
    assert_eq!(said.json()["result"], "unchanged");
    assert_eq!(fs::read(desk.path(RECORD)).unwrap(), record);

    desk.write("root.json", text(&second_root()));
    let said = desk.run(["trust", "update", "--json"]).ended(0);
    assert_eq!(said.json()["result"], "updated");
    assert_eq!(changes(&said), ["ended ctlogs", "added ctlogs"]);
    assert_ne!(fs::read(desk.path(RECORD)).unwrap(), record);
    // From elsewhere too: the record names the whole path.
    desk.write("root.json", text(&first_root()));
    desk.write("elsewhere/x", "");
    let mut update = desk.command(["trust", "update"]);
    let said = finish(update.current_dir(desk.path("elsewhere"))).ended(0);
    says(
        &said.out,
        &["removed: CT log", "changed: CT log", "updated"],
    );
    fs::remove_file(desk.path("root.json")).unwrap();
    desk.run(["trust", "update"]).ended(2);
    verify(&desk, &[]).ended(10);
}

#[test]
fn a_folder_holds_a_trusted_root_or_a_client_trust_config() {
    let desk = Desk::new();
    desk.write("a/trusted_root.json", text(&first_root()));
    let signing = include_bytes!("../../../testdata/keyless/signing_config.json");
    desk.write("a/signing_config.json", signing);
    desk.run(["trust", "use", "a"]).ended(0);
    let shown = || desk.run(["trust", "show", "--json"]).ended(0).json();
    assert_eq!(shown()["kind"], "directory");
    desk.write("b/trust_config.json", client_trust_config(&second_root()));
    desk.run(["trust", "use", "b"]).ended(0);
    assert_eq!(shown()["ctLogs"].as_array().unwrap().len(), 2);
    fs::create_dir_all(desk.path("c")).unwrap();
    let said = desk.run(["trust", "use", "c"]).ended(2);
    says(&said.err, &["trusted_root.json", "trust_config.json"]);
}

#[test]
fn an_instance_on_this_machine_is_asked_again() {
    let desk = Desk::new();
    let site = Site::new();
    let path = ".well-known/stella/client-trust-config.json";
    site.put(path, client_trust_config(&first_root()));
    desk.run(["trust", "use", &site.url]).ended(0);
    site.put(path, client_trust_config(&second_root()));
    let said = desk.run(["trust", "update", "--json"]).ended(0);
    assert_eq!(changes(&said), ["ended ctlogs", "added ctlogs"]);
    desk.run(["trust", "use", &site.url, "--offline"]).ended(2);
}

#[test]
fn a_repository_is_walked_and_never_goes_back() {
    let desk = Desk::new();
    let (site, mut owners) = (Site::new(), Owners::new());
    let root = desk.write("root.json", owners.root(1));
    let name = "trusted_root.json";
    owners.publish(&site, 1, &[(name, &text(&first_root()))]);
    let first = site.snapshot();
    let choose = ["trust", "use", "--tuf", &site.url, "--root", &root];
    desk.run(choose).ended(0);
    let update = || desk.run(["trust", "update", "--json"]);
    assert_eq!(update().ended(0).json()["result"], "unchanged");

    // 1. New keys, under the next root.
    site.put("2.root.json", owners.root(2));
    owners.publish(&site, 2, &[(name, &text(&second_root()))]);
    assert_eq!(
        changes(&update().ended(0)),
        ["ended ctlogs", "added ctlogs"]
    );
    let shown = || desk.run(["trust", "show", "--json"]).ended(0).json();
    assert_eq!(
        (&shown()["kind"], &shown()["tuf"]["rootVersion"]),
        (&json!("tuf"), &json!(2))
    );
    assert_eq!(shown()["tuf"]["timestampVersion"], 2);

    // 2. The old state again: nothing of it is believed, not even by the same root handed over again.
    let second = site.snapshot();
    site.restore(first);
    let said = update().ended(2);
    says(
        &said.err,
        &["timestamp metadata went back from version 2 to 1", "hint:"],
    );
    desk.run(choose).ended(2);
    assert_eq!(shown()["ctLogs"].as_array().unwrap().len(), 2);

    // 3. A timestamp that has expired names its date.
    site.restore(second);
    owners.life = -86_400;
    owners.publish(&site, 3, &[(name, &text(&second_root()))]);
    let said = update().ended(2);
    says(&said.err, &["timestamp metadata (version 3) expired on 20"]);
    // What was recorded is believed offline as ever.
    verify(&desk, &[]).ended(10);
}

#[test]
fn a_repository_needs_its_own_root_and_https_elsewhere() {
    let desk = Desk::new();
    let (site, owners) = (Site::new(), Owners::new());
    owners.publish(&site, 1, &[("trusted_root.json", &text(&first_root()))]);
    let strange = desk.write("strange.json", Owners::new().root(1));
    let root = desk.write("root.json", owners.root(1));
    let choose =
        |address: &str, root: &str| desk.run(["trust", "use", "--tuf", address, "--root", root]);
    let said = choose(&site.url, &strange).ended(2);
    says(&said.err, &["0 good signatures, needs 1"]);
    let said = choose("http://tuf.example", &root).ended(2);
    says(&said.err, &["https"]);
    choose(&site.url, &desk.write("none.json", "{}")).ended(2);
    desk.run(["trust", "use", "--tuf", &site.url]).ended(2);
    desk.run(["trust", "show"]).ended(2);
    choose(&site.url, &root).ended(0);
    // Who publishes no trusted root is no source of one.
    owners.publish(&site, 2, &[]);
    let said = desk.run(["trust", "update"]).ended(2);
    says(&said.err, &["publishes no trusted_root.json"]);
}

#[test]
fn a_pin_stands_above_use_and_update() {
    let desk = Desk::new();
    desk.run(["trust", "pin"]).ended(2);
    desk.write("root.json", text(&first_root()));
    desk.write("other.json", text(&second_root()));
    desk.run(["trust", "use", "root.json"]).ended(0);
    let said = desk.run(["trust", "pin", "--json"]).ended(0).json();
    let pinned = said["pinned"].as_str().unwrap().to_owned();
    let said = desk.run(["trust", "use", "other.json"]).ended(2);
    says(
        &said.err,
        &[
            &format!("expected {pinned}, found sha256:"),
            "stella trust pin",
        ],
    );
    desk.write("root.json", text(&second_root()));
    let said = desk.run(["trust", "update", "--json"]).ended(2);
    says(&said.err, &[&pinned]);
    assert_eq!(said.json()["result"], "refused");
    assert_eq!(changes(&said), ["ended ctlogs", "added ctlogs"]);
    assert_eq!(desk.run(["trust", "show", "--json"]).json()["pinned"], true);

    // The next one is pinned before it comes: until then nobody is believed.
    let next = said.json()["digest"].as_str().unwrap().to_owned();
    desk.run(["trust", "pin", &next]).ended(0);
    let said = verify(&desk, &[]).ended(2);
    says(&said.err, &[&next, &pinned, "stella trust update"]);
    desk.run(["trust", "update"]).ended(0);
    verify(&desk, &[]).ended(10);
    desk.run(["trust", "pin", "--remove"]).ended(0);
    desk.write("root.json", text(&first_root()));
    desk.run(["trust", "update"]).ended(0);
    desk.run(["trust", "pin", "sha256:00"]).ended(2);
    desk.run(["trust", "update", "--fingerprint", &next])
        .ended(2);
}

#[test]
fn one_unusable_key_spoils_nothing_else_and_is_named() {
    let desk = Desk::serving();
    let artifact = digest("what is released");
    desk.sign(&artifact, &[]);
    let root = fs::read(desk.path("sigstore/trusted_root.json")).unwrap();
    let mut root: Value = serde_json::from_slice(&root).unwrap();
    let mut broken = root["tlogs"][0].clone();
    broken["publicKey"]["rawBytes"] = json!("AAAA");
    broken["logId"]["keyId"] = json!("AAAA");
    root["tlogs"].as_array_mut().unwrap().insert(0, broken);
    let path = desk.write("root.json", text(&root));
    desk.verify(&artifact, &["--trusted-root", &path]).ended(0);
    let said = desk.run(["trust", "show", &path, "--json"]).ended(0).json();
    assert_eq!(said["logs"][0]["state"], "unusable");
    assert!(said["logs"][0]["reason"].is_string(), "{said}");
    assert_eq!(said["logs"][1]["state"], "in use");
    let said = desk.run(["trust", "lint", &path, "--json"]).ended(2).json();
    assert_eq!(said["errors"], 1);
    assert_eq!(said["findings"][0]["name"], "unusable");
}

#[test]
fn warnings_alone_end_with_success() {
    let desk = Desk::new();
    let mut root = first_root();
    let path = desk.write("good.json", text(&root));
    let said = desk.run(["trust", "lint", &path]).ended(0);
    says(&said.out, &["0 errors, 0 warnings"]);
    root["note\u{1b}[31m"] = json!("unknown");
    let path = desk.write("warned.json", text(&root));
    let said = desk.run(["trust", "lint", &path]).ended(0);
    says(&said.out, &["warning: note", "0 errors, 1 warnings"]);
    assert!(!said.out.contains('\u{1b}'), "{said:?}");
    desk.run(["trust", "lint", &desk.write("none.json", "{}")])
        .ended(2);
    desk.run(["trust", "lint"]).ended(2);
}
