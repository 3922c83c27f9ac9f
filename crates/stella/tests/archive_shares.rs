//! Shares: several machines collect and verify, one seals, and the archive is the one that it would have been.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod desk;
mod office;

use std::fs;

use desk::{Said, says};
use office::{KEYS, Office};
use serde_json::Value;

/// An office at a time after which nothing was signed.
struct Done {
    office: Office,
    until: String,
}

impl Done {
    fn with(attestations: usize) -> Self {
        let office = Office::open(attestations);
        office.desk.write("dist/broken.json", "{}");
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let now = std::process::Command::new("date")
            .args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])
            .output();
        let until = String::from_utf8(now.unwrap().stdout).unwrap();
        let until = until.trim().to_owned();
        Self { office, until }
    }

    /// What is sealed.
    fn period(&self) -> [&str; 4] {
        ["--release", "v1", "--until", &self.until]
    }

    fn collect(&self, share: &str) -> Said {
        let collect = ["archive", "collect", "--share", share];
        let store = self.office.desk.path(".local/share/stella/store");
        let store = [
            "--store",
            store.to_str().unwrap(),
            "--from",
            "dist",
            "--work",
            share,
        ];
        self.office
            .desk
            .run([&collect[..], &self.period(), &store].concat())
    }

    fn run(&self, more: &[&str]) -> Said {
        let run = ["archive", "run", "--json"];
        self.office
            .desk
            .run([&run[..], &self.period(), &KEYS, more].concat())
    }
}

/// Returns what the leaves are.
fn tree(said: &Value) -> &Value {
    &said["manifest"]["tree"]
}

#[test]
fn an_archive_sealed_from_shares_is_the_one_that_one_machine_seals() {
    let done = Done::with(5);
    let mut verified = 0;
    for share in ["1/3", "2/3", "3/3"] {
        let said = done.collect(share).ended(0);
        let count = said.out.split_once(": ").unwrap().1;
        verified += count.split_once(' ').unwrap().0.parse::<u32>().unwrap();
    }
    assert_eq!(verified, 5);
    let shares = ["--shares", "shares", "--of", "3"];
    let shared = done
        .run(&[&shares[..], &["--output", "shared", "--work", "w1"]].concat())
        .ended(12);
    let shared = shared.json();
    assert_eq!(shared["manifest"]["counts"]["verified"], 5);
    assert_eq!(shared["manifest"]["counts"]["rejected"], 1);
    // Another place has another past.
    fs::remove_file(done.office.desk.path("org/head.json")).unwrap();
    let store = done.office.desk.path(".local/share/stella/store");
    let here = ["--store", store.to_str().unwrap(), "--from", "dist"];
    let alone = done
        .run(&[&here[..], &["--output", "alone", "--work", "w2"]].concat())
        .ended(12);
    assert_eq!(tree(&shared), tree(&alone.json()));
    let verify = ["archive", "verify", "shared", "--anchor", "org/org.anchor"];
    says(
        &done.office.desk.run(verify).ended(0).out,
        &["L1 verified again: 5"],
    );
}

#[test]
fn a_share_that_is_missing_or_was_made_otherwise_seals_nothing() {
    let done = Done::with(2);
    done.collect("1/2").ended(0);
    let shares = ["--shares", "shares", "--of", "2"];
    let said = done.run(&shares).ended(10);
    says(&said.err, &["has no archive share-v1-2-of-2"]);
    done.collect("2/2").ended(0);
    done.run(&["--shares", "shares", "--of", "3"]).ended(10);
    // By a policy of which the shares know nothing.
    done.office.desk.write("policy.yaml", desk::OTHERS);
    let said = done
        .run(&[&shares[..], &["--policy", "policy.yaml"]].concat())
        .ended(12);
    says(
        &said.err,
        &["share-v1-1-of-2 is a share of another period, or was verified"],
    );
    // A byte of one share is changed.
    let blobs = fs::read_dir(done.office.desk.path("shares/blobs/sha256")).unwrap();
    for blob in blobs.map(|entry| entry.unwrap().path()) {
        let mut bytes = fs::read(&blob).unwrap();
        if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&blob, bytes).unwrap();
        }
    }
    done.run(&shares).ended(12);
    assert!(
        !done.office.desk.path("archive/index.json").exists()
            || done.run(&["--dry-run"]).json()["isSealed"] == false
    );
}
