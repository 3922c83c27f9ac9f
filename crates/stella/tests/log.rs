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

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use desk::{Desk, says};
use stella_bundle::key::KeyDetails;
use stella_keys::Signer as _;
use stella_testkit::forge;
use stella_tlog::hash;
use stella_tlog::tlog_proof::TlogProof;
use stella_tlog::tree::TreeSize;
use stella_tlog::witness::AddCheckpoint;

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

#[test]
fn proofs_are_written_for_others_to_verify() {
    let mut desk = Desk::serving();
    for byte in ["aa", "bb", "cc", "dd", "ee"] {
        let bundle = format!("{byte}.json");
        let artifact = format!("sha256:{}", byte.repeat(32));
        desk.sign(&artifact, &["--bundle", &bundle]);
    }
    // 1. Of an entry, made anew: whoever has the entry can follow it to what the log signed.
    let size = desk.run(["log", "info", "--json"]).ended(0).json()["treeSize"]
        .as_u64()
        .unwrap();
    let said = desk
        .run(["log", "proof", "--index", "2", "--include-entry"])
        .ended(0);
    let proof = TlogProof::parse(&said.out).unwrap();
    let entry = proof.extra.clone().unwrap();
    let checkpoint = proof.checkpoint_of(&hash::leaf(&entry)).unwrap();
    assert_eq!((proof.index.0, checkpoint.size), (2, TreeSize(size)));
    assert!(proof.checkpoint_of(&hash::leaf(b"another")).is_err());
    desk.run(["log", "proof", "--index", "999"]).ended(10);
    let facts = desk
        .run(["log", "proof", "--index", "2", "--json"])
        .ended(0)
        .json();
    assert_eq!(facts["rootHash"], checkpoint.root.to_string());
    assert_eq!(
        (&facts["index"], &facts["entry"]),
        (&2.into(), &serde_json::Value::Null)
    );

    // 2. That the log only grew: as a witness is asked, and between two sizes.
    let said = desk.run(["log", "proof", "--from", "3"]).ended(0);
    let asked = AddCheckpoint::parse(&said.out).unwrap();
    assert_eq!(asked.old_size, TreeSize(3));
    let said = desk
        .run(["log", "proof", "--from", "1", "--to", "3"])
        .ended(0);
    says(&said.out, &["from 1 ", "\nto 3 "]);
    let facts = desk
        .run(["log", "proof", "--from", "1", "--to", "3", "--json"])
        .ended(0)
        .json();
    says(&said.out, &[facts["to"]["rootHash"].as_str().unwrap()]);
    for (from, to) in [("3", "1"), ("1", "999")] {
        desk.run(["log", "proof", "--from", from, "--to", to])
            .ended(2);
    }
    desk.run(["log", "proof"]).ended(2);
    desk.run(["log", "proof", "aa.json", "--index", "1"])
        .ended(2);

    // 3. Of what a bundle holds: nobody is asked.
    desk.stop();
    desk.run(["log", "proof", "--index", "2"]).ended(30);
    desk.run([
        "log",
        "proof",
        "cc.json",
        "--include-entry",
        "--output",
        "cc.tlog-proof",
    ])
    .ended(0);
    let text = std::fs::read_to_string(desk.path("cc.tlog-proof")).unwrap();
    let proof = TlogProof::parse(&text).unwrap();
    let entry = proof.extra.clone().unwrap();
    proof.checkpoint_of(&hash::leaf(&entry)).unwrap();
    let bundle = std::fs::read_to_string(desk.path("cc.json")).unwrap();
    let mut bundle: serde_json::Value = serde_json::from_str(&bundle).unwrap();
    for hash in ["AAAA".to_owned(), format!("{}=", "A".repeat(43))] {
        let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
        entry["inclusionProof"]["hashes"][0] = hash.into();
        let spoiled = desk.write("spoiled.json", bundle.to_string());
        desk.run(["log", "proof", &spoiled]).ended(24);
    }
    desk.write("none.json", "{}");
    desk.run(["log", "proof", "none.json"]).ended(2);
}

/// Serves `/app` and nothing else, for as long as the test runs.
fn serve_artifact(content: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            let is_there = head.starts_with(b"GET /app ");
            let (status, body) = if is_there {
                ("200 OK", content)
            } else {
                ("404 Not Found", "")
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    format!("http://{address}")
}

#[test]
fn an_artifact_at_an_address_is_fetched_and_its_digest_told() {
    if !has("openssl") {
        return;
    }
    let desk = Desk::serving();
    desk.write("app", "an artifact");
    make(&desk, ROWS[9].0, &ROWS[9].1);
    std::fs::remove_file(desk.path("app")).unwrap();
    let url = serve_artifact("an artifact");
    let (app, none) = (format!("{url}/app"), format!("{url}/none"));
    let with = |command: &[&str], artifact: &str, more: &[&str]| {
        let given = ["--artifact", artifact, "--public-key", "raw-ecdsa.pub"];
        desk.run([command, &given, more].concat())
    };
    let signature = ["--signature", "raw-ecdsa.sig"];
    let said = with(&["log", "upload"], &app, &signature).ended(0);
    says(&said.out, &["over sha256:", "in app.rekor.json"]);
    says(&said.err, &["fetched 11 bytes, sha256:"]);
    let said = with(&["log", "verify"], &app, &["--json"]).ended(0);
    assert!(
        said.json()["artifact"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
    with(&["log", "verify"], &none, &["--receipt", "app.rekor.json"]).ended(11);
    let said = with(&["log", "verify"], &app, &["--offline"]).ended(50);
    says(&said.err, &["--offline opens no socket"]);
    let far = "http://192.0.2.1/app";
    with(&["log", "upload"], far, &signature).ended(30);
    // The file is of use too, and needs no socket.
    desk.write("app", "an artifact");
    with(&["log", "verify"], "app", &["--offline"]).ended(0);
}
