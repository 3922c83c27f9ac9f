//! Retention by the command: what is due goes once a statement has recorded it, what is held stays, and what cannot be read holds
//! everything.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says when it is skipped"
)]

mod desk;
mod office;

use std::fs;
use std::path::{Path, PathBuf};

use desk::{Said, says};
use office::{KEYS, Office};
use serde_json::Value;
use stella_testkit::docker_registry::DockerRegistry;

impl Office {
    /// Seals what is there, to be kept no longer than it takes.
    fn seal(&self, release: &str, more: &[&str]) -> Said {
        let run = ["archive", "run", "--release", release];
        let brief = ["--keep-months", "0"];
        let said = self.desk.run([&run[..], &KEYS, &brief, more].concat());
        // A release ends with the second in which it was sealed.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        said
    }

    /// Signs the archive anew, and lets go what is due.
    fn renew(&self) -> Said {
        self.renew_with(&[])
    }

    fn renew_with(&self, more: &[&str]) -> Said {
        // Periods have names of whole seconds.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let renew = [
            "archive",
            "renew",
            "--prune",
            "--keep-months",
            "0",
            "--json",
        ];
        self.desk.run([&renew[..], &KEYS, more].concat())
    }

    fn hold(&self, arguments: &[&str]) -> Said {
        let hold = ["archive", "hold"];
        self.desk.run([&hold[..], arguments].concat())
    }

    /// Returns what becomes of a period's bytes.
    fn fate(&self, period: &str) -> String {
        let prune = ["archive", "prune", "--keep-months", "0", "--json"];
        let said = self.desk.run(prune).ended(0).json();
        let periods = said["periods"].as_array().unwrap().clone();
        let found = periods.iter().find(|each| each["period"] == period);
        found.unwrap()["fate"].as_str().unwrap().to_owned()
    }

    fn verify(&self, period: &str, more: &[&str]) -> Said {
        let verify = ["archive", "verify", "archive", "--period", period];
        let anchor = ["--anchor", "org/org.anchor"];
        self.desk.run([&verify[..], &anchor, more].concat())
    }

    fn blobs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.desk.path("archive/blobs/sha256")).unwrap();
        let mut blobs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        blobs.sort();
        blobs
    }
}

fn let_go(said: &Value) -> Vec<&str> {
    let periods = said["letGo"].as_array().unwrap();
    periods.iter().map(|each| each.as_str().unwrap()).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn what_is_due_goes_and_what_is_held_stays_until_it_is_released() {
    let mut office = Office::open(2);
    office.seal("v1", &[]).ended(0);
    office.sign();
    office.seal("v2", &[]).ended(0);
    // By the usual 24 months nothing is due.
    let said = office.desk.run(["archive", "prune"]).ended(0);
    says(&said.out, &["v1", "2 attestations", "kept until"]);
    assert_eq!(office.fate("v1"), "due");

    // One attestation is held, by what it speaks of; its whole period stays.
    let set = ["set", "--case", "2027-CV-11", "--reason", "Doe v. Example"];
    office.hold(&set).ended(2);
    let held = office.artifacts[0].clone();
    office
        .hold(&[&set[..], &["--artifact", &held]].concat())
        .ended(0);
    assert_eq!(
        (office.fate("v1"), office.fate("v2")),
        ("held".into(), "due".into())
    );
    let evidence = office.blobs();
    let said = office.renew().ended(0).json();
    assert_eq!(let_go(&said), ["v2"]);
    // One hold and one record of what went.
    assert_eq!(said["manifest"]["counts"]["records"], 2);
    assert!(office.blobs().len() < evidence.len() + 12, "nothing went");
    assert_eq!(
        (office.fate("v1"), office.fate("v2")),
        ("held".into(), "gone".into())
    );
    let said = office.verify("v1", &[]).ended(0);
    says(
        &said.out,
        &["L0 archived: 2 attestations", "L1 verified again: 2"],
    );

    // The hold is in the archive: the folder is not needed to know it.
    fs::remove_dir_all(office.desk.path("org/holds")).unwrap();
    let said = office.hold(&["list"]).ended(0);
    says(&said.out, &["2027-CV-11: artifact sha256:"]);
    assert_eq!(let_go(&office.renew().ended(0).json()), [""; 0]);

    // Released, it goes; the leaves stay, and what was there is still proved.
    let release = ["release", "--case", "2027-CV-11", "--reason", "settled"];
    office.hold(&release).ended(0);
    office.hold(&release).ended(2);
    assert_eq!(let_go(&office.renew().ended(0).json()), ["v1"]);
    let said = office.verify("v1", &[]).ended(0);
    says(
        &said.out,
        &[
            "L0 archived: 0 attestations",
            "and 2 whose bytes were let go",
        ],
    );
    office.verify("v1", &["--level", "archived"]).ended(0);
    office.verify("v1", &["--level", "reverified"]).ended(12);
    let extract = ["archive", "extract", "archive", &held, "--period", "v1"];
    let output = ["--output", "evidence.json"];
    office.desk.run([&extract[..], &output].concat()).ended(0);
    let verify = [
        "archive",
        "verify",
        "evidence.json",
        "--anchor",
        "org/org.anchor",
    ];
    let said = office.desk.run(verify).ended(12);
    says(
        &said.out,
        &[
            "L0 archived        holds",
            "unknown: the attestation's bytes are not there",
        ],
    );
    let archived = ["--level", "archived"];
    office.desk.run([&verify[..], &archived].concat()).ended(0);
    let said = office.desk.run(["archive", "list"]).ended(0);
    says(&said.out, &["v1", "the attestations' bytes were let go"]);
    // Life goes on: nothing is archived a second time because its bytes are gone.
    let said = office.seal("v3", &[]).ended(0);
    says(
        &said.out,
        &[
            "v3: 0 attestations",
            "left out: 3 archived in an earlier period",
        ],
    );
}

#[test]
fn an_interrupted_removal_is_finished_and_what_is_restored_goes_again() {
    let office = Office::open(1);
    office.seal("v1", &[]).ended(0);
    let before = office.blobs();
    copy(&office.desk.path("archive"), &office.desk.path("copy"));
    assert_eq!(let_go(&office.renew().ended(0).json()), ["v1"]);
    let gone: Vec<_> = before.iter().filter(|path| !path.exists()).collect();
    // The manifest that named the evidence, and the evidence.
    assert_eq!(gone.len(), 2);
    // As it is when the run dies between the new manifest and the removal.
    for path in &gone {
        let name = path.file_name().unwrap();
        fs::copy(office.desk.path("copy/blobs/sha256").join(name), path).unwrap();
    }
    let prune = ["archive", "prune", "--apply"];
    office.desk.run(prune).ended(0);
    assert!(gone.iter().all(|path| !path.exists()));
    office.verify("v1", &[]).ended(0);
}

#[test]
fn a_hold_that_cannot_be_read_stops_everything() {
    let office = Office::open(1);
    office.seal("v1", &[]).ended(0);
    let set = ["set", "--case", "c", "--reason", "r", "--everything"];
    office.hold(&set).ended(0);
    let path = office.desk.path("org/holds/000001.json");
    let good = fs::read(&path).unwrap();
    // Damaged, or taken away while a later one is there.
    fs::write(&path, &good[..good.len() - 2]).unwrap();
    let said = office.renew().ended(12);
    says(
        &said.err,
        &["000001.json is missing, or not what was written"],
    );
    office.seal("v2", &[]).ended(12);
    fs::rename(&path, office.desk.path("org/holds/000002.json")).unwrap();
    office.renew().ended(12);
    fs::remove_file(office.desk.path("org/holds/000002.json")).unwrap();
    fs::write(&path, good).unwrap();
    assert_eq!(office.fate("v1"), "held");

    // In the archive it can be changed as little.
    office.renew().ended(0);
    let index = office.desk.path("archive/index.json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("\"v1\"", "\"v0\"")).unwrap();
    let said = office.renew().ended(10);
    says(&said.err, &["has no archive v1"]);
    office.desk.run(["archive", "prune", "--apply"]).ended(10);
}

#[test]
fn a_place_that_was_rolled_back_is_noticed() {
    let mut office = Office::open(1);
    office.seal("v1", &[]).ended(0);
    copy(&office.desk.path("archive"), &office.desk.path("copy"));
    office.sign();
    office.seal("v2", &[]).ended(0);
    fs::rename(office.desk.path("archive"), office.desk.path("newer")).unwrap();
    fs::rename(office.desk.path("copy"), office.desk.path("archive")).unwrap();
    let said = office.seal("v3", &[]).ended(12);
    says(&said.err, &["does not have statement 1 (v2)", "head.json"]);
    fs::remove_dir_all(office.desk.path("archive")).unwrap();
    office.seal("v3", &[]).ended(12);
    fs::remove_dir_all(office.desk.path("archive")).unwrap();
    fs::rename(office.desk.path("newer"), office.desk.path("archive")).unwrap();
    office.seal("v3", &[]).ended(0);
}

#[test]
fn a_plan_changes_nothing_and_asks_no_key() {
    let office = Office::open(2);
    fs::rename(office.desk.path("pq.key"), office.desk.path("elsewhere")).unwrap();
    let said = office.seal("v1", &["--dry-run"]).ended(0);
    says(
        &said.out,
        &[
            "v1: 2 attestations would be archived in archive",
            "by statement 0",
        ],
    );
    office.desk.write("dist/broken.json", "{}");
    let more = ["--dry-run", "--json", "--from", "dist"];
    let said = office.seal("v1", &more).ended(12).json();
    assert_eq!(
        (&said["schema"], &said["verified"]),
        (&"stella.archive-plan/v1".into(), &0.into())
    );
    let list = office
        .desk
        .run(["archive", "list", "--json"])
        .ended(0)
        .json();
    assert_eq!(list["archives"], Value::Array(Vec::new()));
    fs::rename(office.desk.path("elsewhere"), office.desk.path("pq.key")).unwrap();
    office.seal("v1", &[]).ended(0);
    let said = office.seal("v2", &["--dry-run", "--prune"]).ended(0);
    says(
        &said.out,
        &[
            "v2: 0 attestations would be",
            "would be let go: the bytes of v1, 2 attestations",
        ],
    );
    assert_eq!(office.fate("v1"), "due");
}

/// Two periods in a registry, of which the first is due.
fn in_registry(registry: &DockerRegistry) -> (Office, String) {
    let mut office = Office::open(1);
    let place = format!("{}/org/archive", registry.host());
    office.seal("v1", &["--output", &place]).ended(0);
    office.sign();
    office.seal("v2", &["--output", &place]).ended(0);
    (office, place)
}

fn renew_in(office: &Office, place: &str) -> Value {
    office.renew_with(&["--output", place]).ended(0).json()
}

#[test]
fn a_registry_removes_what_was_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let Some(registry) = DockerRegistry::start(folder.path()).unwrap() else {
        println!("skipped: docker-registry is not installed");
        return;
    };
    let (office, place) = in_registry(&registry);
    let said = renew_in(&office, &place);
    assert_eq!(let_go(&said), ["v1", "v2"]);
    assert_eq!(said["notRemoved"], Value::Array(Vec::new()));
    let verify = ["archive", "verify", &place, "--period", "v1"];
    let anchor = ["--anchor", "org/org.anchor"];
    let said = office.desk.run([&verify[..], &anchor].concat()).ended(0);
    says(&said.out, &["1 whose bytes were let go after retention"]);
}

#[test]
fn what_a_registry_does_not_remove_is_named_and_hinders_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(registry) = DockerRegistry::start_keeping(folder.path()).unwrap() else {
        println!("skipped: docker-registry is not installed");
        return;
    };
    let (mut office, place) = in_registry(&registry);
    let said = renew_in(&office, &place);
    assert_eq!(let_go(&said), ["v1", "v2"]);
    assert_eq!(said["notRemoved"].as_array().unwrap().len(), 2);
    // Later periods are let go all the same.
    office.sign();
    office.seal("v3", &["--output", &place]).ended(0);
    assert_eq!(let_go(&renew_in(&office, &place)), ["v3"]);
    let prune = ["archive", "prune", "--apply", "--output", &place];
    let said = office.desk.run(prune).ended(0);
    says(&said.err, &["does not remove sha256:", "its operator"]);
}
