//! Signatures that gpg, minisign, ssh-keygen and openssl made: put into the log, verified, found there again; and TUF metadata.
//!
//! Each tool is tried where it is installed; `STELLA_FOREIGN=1` demands them all.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;

use std::path::Path;
use std::process::Command;

use desk::{Desk, says};
use stella_bundle::key::KeyDetails;
use stella_keys::Signer as _;
use stella_testkit::forge;

/// A signature by another tool: how it is made, and whether a log verifies it by itself.
struct Row {
    name: &'static str,
    tool: &'static str,
    make: &'static str,
    signature: &'static str,
    key: &'static str,
    is_native: bool,
}

const GPG: &str = "gpg --homedir $PWD/$N --batch --quiet --pinentry-mode loopback --passphrase ''";

const fn row(
    name: &'static str,
    tool: &'static str,
    make: &'static str,
    signature: &'static str,
    key: &'static str,
    is_native: bool,
) -> Row {
    Row {
        name,
        tool,
        make,
        signature,
        key,
        is_native,
    }
}

const PGP: &str = "mkdir -m 700 $N && $GPG --quick-generate-key me@example.com $KIND sign never && $GPG --armor --export > $N.asc && $GPG --armor --digest-algo SHA256 --output $N.sig --detach-sign app";
const SSH: &str = "ssh-keygen -q -N '' -C me -t $KIND -f $N && ssh-keygen -q -Y sign -f $N -n file app 2>/dev/null && mv app.sig $N.sig";
const CMS: &str = "openssl req -x509 -newkey $KIND -nodes -keyout $N.key -out $N.crt -subj /CN=me -days 2 2>/dev/null && openssl cms -sign -binary -in app -signer $N.crt -inkey $N.key -outform DER -md sha256 -out $N.sig";
const RAW: &str = "openssl genpkey $KIND -out $N.key && openssl pkey -in $N.key -pubout -out $N.pub && openssl dgst -sha256 -sign $N.key -out $N.sig app";

const ROWS: [(&str, Row); 12] = [
    (
        "rsa3072",
        row("gpg-rsa", "gpg", PGP, "gpg-rsa.sig", "gpg-rsa.asc", true),
    ),
    (
        "nistp256",
        row(
            "gpg-ecdsa",
            "gpg",
            PGP,
            "gpg-ecdsa.sig",
            "gpg-ecdsa.asc",
            true,
        ),
    ),
    (
        "ed25519",
        row(
            "gpg-ed25519",
            "gpg",
            PGP,
            "gpg-ed25519.sig",
            "gpg-ed25519.asc",
            false,
        ),
    ),
    (
        "ecdsa",
        row(
            "ssh-ecdsa",
            "ssh-keygen",
            SSH,
            "ssh-ecdsa.sig",
            "ssh-ecdsa.pub",
            true,
        ),
    ),
    (
        "rsa",
        row(
            "ssh-rsa",
            "ssh-keygen",
            SSH,
            "ssh-rsa.sig",
            "ssh-rsa.pub",
            false,
        ),
    ),
    (
        "ed25519",
        row(
            "ssh-ed25519",
            "ssh-keygen",
            SSH,
            "ssh-ed25519.sig",
            "ssh-ed25519.pub",
            false,
        ),
    ),
    (
        "rsa:3072",
        row(
            "cms-rsa",
            "openssl",
            CMS,
            "cms-rsa.sig",
            "cms-rsa.crt",
            true,
        ),
    ),
    (
        "ec -pkeyopt ec_paramgen_curve:P-256",
        row(
            "cms-ecdsa",
            "openssl",
            CMS,
            "cms-ecdsa.sig",
            "cms-ecdsa.crt",
            true,
        ),
    ),
    (
        "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
        row(
            "raw-rsa",
            "openssl",
            RAW,
            "raw-rsa.sig",
            "raw-rsa.pub",
            true,
        ),
    ),
    (
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        row(
            "raw-ecdsa",
            "openssl",
            RAW,
            "raw-ecdsa.sig",
            "raw-ecdsa.pub",
            true,
        ),
    ),
    (
        "",
        row(
            "mini",
            "minisign",
            "minisign -G -W -p mini.pub -s mini.key >/dev/null && minisign -S -s mini.key -m app -x mini.sig >/dev/null",
            "mini.sig",
            "mini.pub",
            false,
        ),
    ),
    (
        "",
        row(
            "mini-old",
            "minisign",
            "minisign -G -W -p mini-old.pub -s mini-old.key >/dev/null && minisign -S -l -s mini-old.key -m app -x mini-old.sig >/dev/null",
            "mini-old.sig",
            "mini-old.pub",
            false,
        ),
    ),
];

fn has(tool: &str) -> bool {
    let is_here = Command::new("sh")
        .args(["-c", &format!("command -v {tool}")])
        .output();
    let is_here = is_here.is_ok_and(|output| output.status.success());
    let is_wanted = std::env::var("STELLA_FOREIGN").is_ok_and(|value| value == "1");
    assert!(is_here || !is_wanted, "{tool} is not installed");
    if !is_here {
        println!("{tool} is not installed: left out");
    }
    is_here
}

fn make(desk: &Desk, kind: &str, row: &Row) {
    let script = row
        .make
        .replace("$KIND", kind)
        .replace("$GPG", GPG)
        .replace("$N", row.name);
    let script = script.replace("$GPG", GPG).replace("$N", row.name);
    let said = desk::finish(&mut desk.wrapped("sh", ["-c", &script]));
    assert_eq!(said.code, 0, "{}: {}", row.name, said.err);
}

#[test]
fn what_other_tools_signed_is_logged_verified_and_found_again() {
    let mut desk = Desk::serving();
    desk.write("app", "an artifact");
    let issuer = desk.url.clone();
    let subject = "repo:local/demo:ref:refs/heads/main";
    let identity = [
        "--certificate-identity",
        subject,
        "--certificate-oidc-issuer",
        &issuer,
    ];
    for (kind, row) in &ROWS {
        if !has(row.tool) {
            continue;
        }
        make(&desk, kind, row);
        let given = [
            "--artifact",
            "app",
            "--signature",
            row.signature,
            "--public-key",
            row.key,
        ];
        let proof = format!("{}.json", row.name);
        let upload = [&["log", "upload"], &given[..], &["--output", &proof]].concat();
        // 1. Into the log: as it is, or by an attestation that it is good.
        if row.is_native {
            let said = desk.run(&upload).ended(0);
            says(
                &said.out,
                &["good: ", "recorded as it is", "logged at index"],
            );
            let verify = [
                "log",
                "verify",
                "--artifact",
                "app",
                "--receipt",
                &proof,
                "--public-key",
                row.key,
            ];
            desk.run(verify).ended(0);
        } else {
            let said = desk.run(&upload).ended(2);
            says(&said.err, &["the signature is good", "--keyless"]);
            let upload = [&upload[..], &["--keyless"]].concat();
            let said = desk.run_with_token(&desk.token(), upload).ended(0);
            says(&said.out, &["good: ", "by an attestation that it is good"]);
            let verify = ["verify", "app", "--bundle", &proof];
            let kind = [
                "--type",
                "https://stella-ops.org/attestation/foreign-signature/v1",
            ];
            desk.run(verify.iter().chain(&identity).chain(&kind))
                .ended(0);
        }
        // 2. Found again in a log that was read whole.
        let found = desk
            .run(["log", "search", "--proof", &proof, "--json"])
            .ended(0)
            .json();
        assert_eq!(
            found["entries"].as_array().unwrap().len(),
            1,
            "{}",
            row.name
        );
    }
    if has("openssl") {
        let found = desk.run(["log", "search", "--public-key", "raw-rsa.pub", "--json"]);
        assert_eq!(
            found.ended(0).json()["entries"].as_array().unwrap().len(),
            1
        );
        let found = desk
            .run(["log", "search", "--artifact", "app", "--json"])
            .ended(0)
            .json();
        assert_eq!(found["entries"].as_array().unwrap().len(), 2);
        // 3. Nothing else verifies, and no socket is needed to verify.
        desk.stop();
        let verify = |artifact: &str, key: &str| {
            desk.run([
                "log",
                "verify",
                "--artifact",
                artifact,
                "--receipt",
                "raw-rsa.json",
                "--public-key",
                key,
            ])
        };
        verify("app", "raw-rsa.pub").ended(0);
        desk.write("other", "another artifact");
        verify("other", "raw-rsa.pub").ended(12);
        verify("app", "raw-ecdsa.pub").ended(12);
        says(
            &verify("app", "raw-rsa.pub").ended(0).out,
            &["signed before "],
        );
        let text = std::fs::read_to_string(desk.path("raw-rsa.json")).unwrap();
        let other = std::fs::read_to_string(desk.path("raw-ecdsa.json")).unwrap();
        let mut receipt: serde_json::Value = serde_json::from_str(&text).unwrap();
        let other: serde_json::Value = serde_json::from_str(&other).unwrap();
        receipt["entry"] = other["entry"].clone();
        desk.write("raw-rsa.json", receipt.to_string());
        says(&verify("app", "raw-rsa.pub").ended(24).err, &["another"]);
        receipt["timestamps"] = other["timestamps"].clone();
        desk.write("raw-rsa.json", receipt.to_string());
        says(
            &verify("app", "raw-rsa.pub").ended(23).err,
            &["a timestamp in the proof is refused"],
        );
    }
}

#[test]
fn metadata_that_python_tuf_signed_is_logged_and_found_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join("target/foreign/venv/bin/python");
    let is_wanted = std::env::var("STELLA_FOREIGN").is_ok_and(|value| value == "1");
    if !python.exists() {
        assert!(
            !is_wanted,
            "cargo xtask foreign --prepare installs python-tuf"
        );
        println!("skipped: python-tuf is not installed (cargo xtask foreign --prepare)");
        return;
    }
    let desk = Desk::serving();
    for (kind, is_native) in [("ecdsa", true), ("ed25519", false)] {
        let made = Command::new(&python)
            .arg(root.join("tests/foreign/tuf_metadata.py"))
            .arg(desk.path("."))
            .arg(kind)
            .status();
        assert!(made.unwrap().success());
        let (targets, root) = (format!("targets-{kind}.json"), format!("root-{kind}.json"));
        let proof = format!("{kind}.proof");
        let given = [
            "--artifact",
            &targets,
            "--public-key",
            &root,
            "--pki-format",
            "tuf",
        ];
        let upload = [&["log", "upload", "--output", &proof], &given[..]].concat();
        if is_native {
            desk.run(upload).ended(0);
            let verify = [&["log", "verify", "--receipt", &proof], &given[..]].concat();
            desk.run(verify).ended(0);
        } else {
            let upload = [&upload[..], &["--keyless"]].concat();
            desk.run_with_token(&desk.token(), upload).ended(0);
        }
        let found = desk
            .run(["log", "search", "--proof", &proof, "--json"])
            .ended(0)
            .json();
        assert_eq!(found["entries"].as_array().unwrap().len(), 1, "{kind}");
    }
}

#[test]
fn a_log_is_looked_into() {
    let desk = Desk::serving();
    desk.sign(&format!("sha256:{}", "ab".repeat(32)), &[]);
    let info = desk.run(["log", "info", "--json"]).ended(0).json();
    assert!(info["treeSize"].as_u64().unwrap() >= 1);
    let entry = desk.run(["log", "get", "--index", "0"]).ended(0).json();
    assert_eq!(entry["kind"], "hashedrekord");
    desk.run(["log", "get", "--index", "999"]).ended(10);
    desk.write(
        "nobody.pub",
        forge::key(KeyDetails::Ed25519).public_key().to_pem(),
    );
    desk.run(["log", "search", "--public-key", "nobody.pub"])
        .ended(10);
    let said = desk
        .run([
            "log",
            "upload",
            "--artifact",
            "x",
            "--public-key",
            "nobody.pub",
        ])
        .ended(2);
    says(&said.err, &["--signature FILE is needed"]);
}
