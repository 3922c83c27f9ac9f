//! The archive, by the command: sealed with the organisation's keys, verified by its anchor alone when everything else is gone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;

use std::fs;

use desk::{Desk, Said, says};

const VERDICT: &str = r#"{"result": "allow", "policy": {"digest": {"sha256":
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}},
    "evaluatedAt": "2026-11-20T12:00:00Z"}"#;
const KEYS: [&str; 4] = ["--key", "classical.key", "--pq-key", "pq.key"];

/// A desk with an instance, an organisation, and some attestations in the store.
struct Office {
    desk: Desk,
    artifacts: Vec<String>,
}

impl Office {
    fn open(attestations: usize) -> Self {
        let desk = Desk::serving();
        for (name, algorithm) in [
            ("classical", "ecdsa-p256"),
            ("pq", "ml-dsa-65"),
            ("recovery", "ecdsa-p384"),
        ] {
            let generate = [
                "key",
                "generate",
                "--algorithm",
                algorithm,
                "--output",
                name,
            ];
            desk.run([&generate[..], &["--insecure-no-passphrase"]].concat())
                .ended(0);
        }
        let create = [
            "archive",
            "keyset",
            "create",
            "--origin",
            "archive.example.org",
        ];
        let more = ["--recovery-key", "recovery.key", "--reason", "founded"];
        desk.run([&create[..], &KEYS, &more].concat()).ended(0);
        let mut office = Self {
            desk,
            artifacts: Vec::new(),
        };
        for _ in 0..attestations {
            office.sign();
        }
        office
    }

    /// Signs one more verdict about one more artifact.
    fn sign(&mut self) {
        let name = format!("app{}", self.artifacts.len());
        let artifact = self.desk.write(&name, &name);
        let verdict = self.desk.write("verdict.json", VERDICT);
        let sign = ["attest", "sign", "--keyless", "--artifact", &artifact];
        let sign = [&sign[..], &["--predicate", &verdict, "--type", "verdict"]].concat();
        self.desk.run_with_token(&self.desk.token(), sign).ended(0);
        self.artifacts.push(artifact);
    }

    fn run(&self, release: &str) -> Said {
        let run = ["archive", "run", "--release", release];
        self.desk.run([&run[..], &KEYS].concat())
    }

    fn verify(&self, more: &[&str]) -> Said {
        let verify = ["archive", "verify"];
        let anchor = ["--anchor", "org/org.anchor"];
        self.desk.run([&verify[..], more, &anchor].concat())
    }
}

#[test]
fn what_was_sealed_verifies_when_everything_else_is_gone() {
    let mut office = Office::open(3);
    let said = office.run("v1").ended(0);
    says(
        &said.out,
        &["v1: 3 attestations archived in archive", "tree of 4 leaves"],
    );
    // Nothing is sealed twice, and what was sealed stays where it is.
    says(&office.run("v1").ended(0).out, &["v1: 3 attestations"]);
    office.sign();
    let said = office.run("v2").ended(0);
    says(
        &said.out,
        &[
            "v2: 1 attestations",
            "tree of 5 leaves",
            "left out: 3 archived in an earlier period",
        ],
    );
    // Taken out before all is gone.
    let artifact = office.artifacts[1].clone();
    let extract = ["archive", "extract", "archive", &artifact, "--period", "v1"];
    office
        .desk
        .run([&extract[..], &["--output", "evidence.json"]].concat())
        .ended(0);
    office
        .desk
        .run([&extract[..], &["--bundle", "one.json"]].concat())
        .ended(0);

    // The instance, its trust, the store, the keys: all gone.
    office.desk.stop();
    for name in ["sigstore", "classical.key", "pq.key", "home"] {
        let path = office.desk.path(name);
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
    }
    let said = office.verify(&["archive"]).ended(0);
    says(
        &said.out,
        &[
            "good: archive.example.org v2, statement 1",
            "L1 verified again: 1",
        ],
    );
    let said = office.verify(&["archive", "--period", "v1"]).ended(0);
    says(
        &said.out,
        &[
            "statement 0",
            "L0 archived: 3 attestations",
            "L1 verified again: 3",
            "classical key",
            "post-quantum key",
        ],
    );
    // A file that was taken out, by itself, in twenty years.
    let later = ["evidence.json", "--at", "2046-01-01T00:00:00Z"];
    office.verify(&later).ended(0);
    // The instance's only clock is on P-256. Who does not believe that any longer knows no date, and the keys have an end.
    let broken = ["--sunset", "P-256=2040-01-01T00:00:00Z"];
    let said = office.verify(&[&later[..], &broken].concat()).ended(12);
    says(&said.err, &["no signature of the newest statement counts"]);
    let other = office.artifacts[0].clone();
    let said = office
        .verify(&["evidence.json", "--artifact", &other])
        .ended(12);
    says(&said.out, &["L1 verified again  refused"]);
    // As JSON.
    let json = office
        .verify(&["archive", "--period", "v1", "--json"])
        .ended(0)
        .json();
    assert_eq!(
        (json["present"].as_u64(), json["reverified"].as_u64()),
        (Some(3), Some(3))
    );
    assert_eq!(json["manifest"]["counts"]["verified"], 3);
}

#[test]
fn what_is_no_attestation_is_kept_apart_and_named() {
    let office = Office::open(1);
    fs::create_dir(office.desk.path("dist")).unwrap();
    office.desk.write("dist/broken.json", "{}");
    let run = [
        "archive",
        "run",
        "--release",
        "v1",
        "--from",
        "dist",
        "--store",
        "none",
    ];
    let said = office.desk.run([&run[..], &KEYS].concat()).ended(12);
    says(
        &said.out,
        &["v1: 0 attestations", "refused: 1 (not-a-bundle)"],
    );
    let said = office.verify(&["archive"]).ended(0);
    says(&said.out, &["L0 archived: 1 attestations"]);
}

#[test]
fn other_keys_seal_nothing_and_a_stranger_s_anchor_believes_nothing() {
    let office = Office::open(1);
    let run = [
        "archive",
        "run",
        "--release",
        "v1",
        "--key",
        "recovery.key",
        "--pq-key",
        "pq.key",
    ];
    says(
        &office.desk.run(run).ended(40).err,
        &["exactly these keys: classical", "post-quantum"],
    );
    assert!(!office.desk.path("archive/index.json").exists());
    office.run("v1").ended(0);
    let stranger = Office::open(0);
    let anchor = fs::read(stranger.desk.path("org/org.anchor")).unwrap();
    office.desk.write("stranger.anchor", anchor);
    let verify = [
        "archive",
        "verify",
        "archive",
        "--anchor",
        "stranger.anchor",
    ];
    says(
        &office.desk.run(verify).ended(12).err,
        &["the one that the anchor names"],
    );
    // One public key alone shows who signed.
    let verify = ["archive", "verify", "archive", "--anchor", "classical.pub"];
    let said = office.desk.run(verify).ended(0);
    says(&said.out, &["classical key"]);
    assert!(!said.out.contains("post-quantum"));
}

#[test]
fn a_changed_archive_is_refused_wherever_it_was_changed() {
    let office = Office::open(2);
    office.run("v1").ended(0);
    office.verify(&["archive"]).ended(0);
    let blobs = office.desk.path("archive/blobs/sha256");
    let mut changed = 0;
    for entry in fs::read_dir(&blobs).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(&path, &bad).unwrap();
        let said = office.verify(&["archive"]);
        fs::write(&path, &good).unwrap();
        // The empty configuration says nothing.
        assert!(
            said.code != 0 || good == b"{}",
            "{}: {said:?}",
            path.display()
        );
        changed += usize::from(said.code != 0);
    }
    assert!(changed >= 4, "{changed}");
    office.verify(&["archive"]).ended(0);
}
