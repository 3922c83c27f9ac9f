//! Key ceremonies: who may sign for the organisation, and the signed record of every change.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;

use std::fs;

use desk::{Desk, Said, says};

/// A desk with an instance, whose timestamp authority stamps, and keys of every role.
struct Office(Desk);

impl Office {
    fn open() -> Self {
        let office = Self(Desk::serving());
        for (name, algorithm) in [
            ("classical", "ecdsa-p256"),
            ("pq", "ml-dsa-65"),
            ("recovery", "ed25519"),
            ("classical2", "ecdsa-p384"),
            ("stranger", "ecdsa-p256"),
        ] {
            office.0.key(name, algorithm);
        }
        office
    }

    fn keyset(&self, arguments: &[&str]) -> Said {
        self.0.run([&["archive", "keyset"], arguments].concat())
    }

    /// Holds an event, signed by these keys.
    fn event(&self, arguments: &[&str], keys: &[&str]) -> Said {
        let keys = keys.iter().flat_map(|key| ["--key", key]);
        let flags = keys.chain(["--reason", "a test"]);
        let arguments = arguments.iter().copied().chain(flags);
        self.keyset(&arguments.collect::<Vec<_>>())
    }

    fn found(&self) {
        let keys = [
            "--key",
            "classical.key",
            "--pq-key",
            "pq.key",
            "--recovery-key",
            "recovery.key",
        ];
        let create = [
            "create",
            "--origin",
            "archive.example.org",
            "--reason",
            "founded",
        ];
        let said = self.keyset(&[&create[..], &keys].concat()).ended(0);
        says(
            &said.out,
            &["keyset 1 of archive.example.org (create)", "org.anchor"],
        );
        says(&said.err, &["Two are better"]);
    }
}

const BOTH: [&str; 2] = ["classical.key", "pq.key"];

#[test]
fn every_change_is_signed_by_keys_that_were_there_before() {
    let office = Office::open();
    office.found();
    // 1. Neither one key nor a stranger's changes anything, and nothing is founded twice.
    let extend = ["extend", "--years", "5"];
    says(
        &office.event(&extend, &["pq.key"]).ended(40).err,
        &["nothing was changed", "1 of the 2 keys"],
    );
    let said = office.event(&extend, &["pq.key", "stranger.key"]).ended(40);
    says(&said.err, &["a key that is not in the keyset"]);
    assert!(!office.0.path("org/keysets/2.json").exists());
    let again = [
        "create",
        "--origin",
        "x",
        "--reason",
        "y",
        "--key",
        "classical.key",
        "--pq-key",
        "pq.key",
    ];
    says(
        &office.keyset(&again).ended(2).err,
        &["has keysets already", "rotate"],
    );
    // 2. Two of them do.
    office.event(&extend, &BOTH).ended(0);
    // 3. A new key takes another's place, by the words of either command.
    let rotate = [
        "key",
        "rotate",
        "--old",
        "classical",
        "--new",
        "classical2.key",
    ];
    let signed = [
        "--key",
        "classical.key",
        "--key",
        "recovery.key",
        "--reason",
        "the HSM is replaced",
    ];
    office.0.run([&rotate[..], &signed].concat()).ended(0);
    // 4. What was retired changes nothing more.
    let said = office.event(&extend, &BOTH).ended(40);
    says(&said.err, &["1 of the 2 keys"]);
    let after = ["classical2.key", "pq.key"];
    // 5. What others have, what nobody has, and what no longer counts.
    let since = ["--since", "2026-01-01T00:00:00Z"];
    let compromise = [
        "compromise",
        "--public-key",
        "stranger.pub",
        "--what",
        "the CA",
    ];
    office
        .event(&[&compromise[..], &since].concat(), &after)
        .ended(0);
    let sunset = [
        "sunset",
        "--algorithm",
        "RSA",
        "--on",
        "2035-01-01T00:00:00Z",
    ];
    office.event(&sunset, &after).ended(0);
    let shown = office.keyset(&["show"]).ended(0);
    says(
        &shown.out,
        &[
            "keyset 5",
            "classical    retired",
            "the HSM is replaced",
            "compromised since 2026-01-01T00:00:00Z",
            "RSA is believed until 2035-01-01T00:00:00Z",
        ],
    );
    let json = office.keyset(&["show", "--json"]).ended(0).json();
    assert_eq!(json["keysets"].as_array().unwrap().len(), 5);
    assert_eq!(json["keysets"][4]["keys"][0]["status"], "retired");
}

#[test]
fn a_key_file_is_destroyed_once_that_is_recorded() {
    let office = Office::open();
    office.found();
    let recovery = office.keyset(&["show", "--json"]).json();
    let id = recovery["keysets"][0]["keys"][2]["keyId"].as_str().unwrap()[..16].to_owned();
    let destroy = |file| {
        let destroy = [
            "key", "destroy", "--old", &id, "--remove", file, "--reason", "a test",
        ];
        let keys = ["--key", "classical.key", "--key", "pq.key"];
        office.0.run([&destroy[..], &keys].concat())
    };
    // The wrong file is left alone, and so is everything else.
    says(
        &destroy("stranger.key").ended(2).err,
        &["holds another key"],
    );
    assert!(office.0.path("stranger.key").exists());
    assert!(!office.0.path("org/keysets/2.json").exists());
    destroy("recovery.key").ended(0);
    assert!(!office.0.path("recovery.key").exists());
    says(
        &office.keyset(&["show"]).ended(0).out,
        &["recovery     destroyed"],
    );
}

#[test]
fn what_was_changed_in_the_folder_is_found() {
    let office = Office::open();
    office.found();
    office.event(&["extend"], &BOTH).ended(0);
    let anchor = office.0.run(["archive", "anchor"]).ended(0);
    let written = fs::read_to_string(office.0.path("org/org.anchor")).unwrap();
    assert_eq!(anchor.out, written);
    let path = office.0.path("org/keysets/1.json");
    let first = fs::read_to_string(&path).unwrap();
    fs::write(&path, first.replace("founded", "confounded")).unwrap();
    let said = office.keyset(&["show"]).ended(12);
    says(&said.err, &["are not good", "does not sign this document"]);
    fs::write(&path, &first).unwrap();
    office.keyset(&["show"]).ended(0);
    // A signature that is gone.
    let folder = fs::read_dir(office.0.path("org/keysets")).unwrap();
    let signature = folder.map(|entry| entry.unwrap().path()).find(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("2.") && name.ends_with(".sigstore.json")
    });
    fs::remove_file(signature.unwrap()).unwrap();
    says(
        &office.keyset(&["show"]).ended(12).err,
        &["1 of the 2 keys"],
    );
    says(
        &office
            .0
            .run(["archive", "anchor", "--keysets", "none"])
            .ended(2)
            .err,
        &["keyset create"],
    );
}
