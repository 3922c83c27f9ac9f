//! The archive by two verifiers that know nothing of each other: ours, and `verify.py`, which was written from the format's
//! description alone and lies in every archive. They agree about good archives and about every changed one.
//!
//! Runs when `cargo xtask foreign --prepare` has installed what `verify.py` needs under `target/foreign`; else it says that it is
//! skipped, and fails when `STELLA_FOREIGN=1` demands it. The archives are changed by `tests/foreign/archive_mutants.py`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and talk"
)]

mod desk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

use desk::{Desk, Said, finish};
use serde::Deserialize;

const VERDICT: &str = r#"{"result": "allow", "policy": {"digest": {"sha256":
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}},
    "evaluatedAt": "2026-11-20T12:00:00Z"}"#;
/// Fewer than that and the driver has lost some.
const FEWEST: usize = 1000;

/// An archive and what `verify.py` said about it.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    archive: String,
    anchor: String,
    arguments: Vec<String>,
    existed: Option<String>,
    refused: Option<String>,
}

/// An organisation with some years behind it.
struct Office(Desk);

impl Office {
    /// Founds the organisation and seals three periods, with everything between them that happens to keys.
    fn with_a_past() -> Self {
        let office = Self(Desk::serving());
        office.0.key("classical", "ecdsa-p256");
        office.0.key("pq", "ml-dsa-65");
        office.0.key("recovery", "ecdsa-p384");
        office.0.key("checkpoint", "ed25519");
        let old = ["classical.key", "pq.key"];
        let others = ["--recovery-key", "recovery.key"];
        let others = [&others[..], &["--checkpoint-key", "checkpoint.key"]].concat();
        office.found("org", "", &others);
        office.sign(&["one", "two"]);
        office.seal("v1", &old, &[]);

        let extend = ["archive", "keyset", "extend", "--years", "5"];
        office.ceremony(&extend, &old);
        office.0.key("classical2", "ecdsa-p384");
        let rotate = ["key", "rotate", "--old", "classical"];
        office.ceremony(&[&rotate[..], &["--new", "classical2.key"]].concat(), &old);
        let new = ["classical2.key", "pq.key"];
        office.sign(&["three"]);
        office.seal("v2", &new, &[]);

        // The old key must have fallen after what it signed: times have whole seconds.
        thread::sleep(Duration::from_secs(2));
        let fallen = office.key_id("classical.pub");
        let now = office.now();
        let compromise = ["archive", "keyset", "compromise", "--old", &fallen];
        office.ceremony(&[&compromise[..], &["--since", &now]].concat(), &new);
        let sunset = ["archive", "keyset", "sunset", "--algorithm", "RSA"];
        office.ceremony(
            &[&sunset[..], &["--on", "2040-01-01T00:00:00Z"]].concat(),
            &new,
        );
        office.sign(&["four", "five", "six"]);
        office.0.write("dist/broken.json", "{}");
        office.0.write("dist/torn.json", r#"{"torn": 1}"#);
        let store = office.0.path(".local/share/stella/store");
        let store = store.display().to_string();
        office.seal("v3", &new, &["--from", "dist", "--store", &store]);
        office
    }

    /// Founds an organisation with the keys of a folder.
    fn found(&self, keysets: &str, folder: &str, more: &[&str]) {
        let keys = ["classical.key", "pq.key"].map(|name| format!("{folder}{name}"));
        let create = ["archive", "keyset", "create", "--keysets", keysets];
        let origin = ["--origin", "archive.example.org", "--reason", "founded"];
        let keys = ["--key", &keys[0], "--pq-key", &keys[1]];
        self.0
            .run([&create[..], &origin, &keys, more].concat())
            .ended(0);
    }

    fn sign(&self, names: &[&str]) {
        let verdict = self.0.write("verdict.json", VERDICT);
        for name in names {
            let artifact = self.0.write(name, name);
            self.0
                .sign(&artifact, &["--predicate", &verdict, "--type", "verdict"]);
        }
    }

    fn ceremony(&self, event: &[&str], keys: &[&str; 2]) {
        let by = ["--key", keys[0], "--key", keys[1], "--reason", "so be it"];
        self.0.run([event, &by].concat()).ended(0);
    }

    fn seal(&self, release: &str, keys: &[&str; 2], more: &[&str]) {
        let run = ["archive", "run", "--release", release];
        let by = ["--key", keys[0], "--pq-key", keys[1]];
        let said = self.0.run([&run[..], &by, more].concat());
        // 12: something was refused, and archived as that.
        assert!(said.out.contains("archived in archive"), "{said:?}");
        assert!([0, 12].contains(&said.code), "{said:?}");
    }

    fn key_id(&self, name: &str) -> String {
        let text = fs::read_to_string(self.0.path(name)).unwrap();
        let key = stella_bundle::key::PublicKey::from_pem(&text).unwrap();
        key.key_id()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn now(&self) -> String {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seconds = i64::try_from(since.unwrap().as_secs()).unwrap();
        stella_bundle::time::UnixTime::from_seconds(seconds).to_string()
    }

    /// Writes what the driver looks for: anchors, a stranger's too, a stranger's key, files taken out.
    fn prepare(&self) {
        for number in ["1", "3", "5"] {
            let name = format!("anchor{number}");
            let anchor = ["archive", "anchor", "--keyset", number, "--output", &name];
            self.0.run(anchor).ended(0);
        }
        fs::rename(self.0.path("anchor1"), self.0.path("org.anchor")).unwrap();
        self.0.key("extra", "ecdsa-p256");
        fs::create_dir(self.0.path("strangers")).unwrap();
        self.0.key("strangers/classical", "ecdsa-p256");
        self.0.key("strangers/pq", "ml-dsa-65");
        self.found("strangers/org", "strangers/", &[]);
        let anchor = self.0.path("strangers/org/org.anchor");
        fs::copy(anchor, self.0.path("stranger.anchor")).unwrap();
        for (artifact, period) in [("two", "v1"), ("five", "v3")] {
            let file = format!("{artifact}.taken-out.json");
            let extract = ["archive", "extract", "archive", artifact];
            self.0
                .run([&extract[..], &["--period", period, "--output", &file]].concat())
                .ended(0);
        }
    }

    /// Has the driver change archives, and `verify.py` judge them.
    fn cases(&self, python: &Path) -> Vec<Case> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut driver = Command::new(python);
        driver
            .arg(root.join("tests/foreign/archive_mutants.py"))
            .arg(root.join("crates/stella-attest/src/archive/verify.py"))
            .args([self.0.path("archive"), self.0.path("")])
            .arg(format!("{}/api/v1/timestamp", self.0.url))
            .arg(self.0.path("changed"))
            .env_clear()
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let said = finish(&mut driver);
        assert!(said.code == 0, "{}", said.err);
        let lines = said.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn verify(&self, case: &Case) -> Said {
        let verify = ["archive", "verify", &case.archive, "--anchor", &case.anchor];
        let arguments = case.arguments.iter().map(String::as_str);
        let more = ["--level", "archived", "--json"];
        self.0.run(verify.into_iter().chain(arguments).chain(more))
    }
}

/// Returns in what the verifiers differ about an archive.
fn difference(case: &Case, said: &Said) -> Option<String> {
    let is_good = match said.code {
        0 => true,
        // 1 and 10: the carrier has no such blob, or no such archive. 2: the anchor is none.
        1 | 2 | 10 | 12 => false,
        code => return Some(format!("ended with {code}: {}", said.err)),
    };
    match (&case.existed, &case.refused, is_good) {
        (Some(existed), None, true) => {
            let ours = said.json()["existed"]["time"].as_str().map(str::to_owned);
            let differs = ours.filter(|ours| ours != existed);
            differs.map(|ours| format!("existed at {ours} for us, at {existed} for verify.py"))
        }
        (None, Some(_), false) => None,
        (None, Some(refused), true) => Some(format!("verify.py alone refuses it: {refused}")),
        (Some(_), None, false) => Some(format!("we alone refuse it: {}", said.err)),
        _ => Some(format!("verify.py failed: {case:?}")),
    }
}

#[test]
fn a_verifier_written_from_the_format_alone_agrees_about_every_archive_good_or_changed() {
    let Some(python) = python() else { return };
    let office = Office::with_a_past();
    office.prepare();
    let cases = office.cases(&python);
    assert!(cases.len() >= FEWEST, "{} cases", cases.len());

    let (next, differences) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let said = office.verify(case);
                    if let Some(difference) = difference(case, &said) {
                        let name = format!("{} {:?}", case.name, case.arguments);
                        differences.lock().unwrap().insert(name, difference);
                    }
                }
            });
        }
    });
    let differences = differences.into_inner().unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
    let good = cases.iter().filter(|case| case.existed.is_some()).count();
    println!(
        "two verifiers agree about {} archives: {good} good, {} refused",
        cases.len(),
        cases.len() - good
    );
    // What is compared is both kinds.
    assert!(good >= FEWEST / 10 && cases.len() - good >= FEWEST / 2);
}

/// Returns the Python that has what `verify.py` needs; none when it is not there and nobody demands it.
fn python() -> Option<PathBuf> {
    let wanted = std::env::var("STELLA_FOREIGN").unwrap_or_default();
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let place = temporary.parent().unwrap().join("foreign/venv");
    let python = place.join("bin/python");
    let has = |module: &str| {
        let mut import = Command::new(&python);
        let found = import.args(["-c", &format!("import {module}")]).output();
        found.is_ok_and(|output| output.status.success())
    };
    let is_here = place.join("prepared-from").exists()
        && has("zstandard")
        && has("cryptography.hazmat.primitives.asymmetric.mldsa");
    if wanted == "0" || (!is_here && wanted != "1") {
        println!("skipped: `cargo xtask foreign --prepare` installs what verify.py needs");
        return None;
    }
    assert!(
        is_here,
        "what verify.py needs is not there: cargo xtask foreign --prepare"
    );
    Some(python)
}
