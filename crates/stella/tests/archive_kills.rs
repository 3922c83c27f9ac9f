//! The archive's job is killed again and again, and its disk refuses to be written: what comes out is the same, once.
//!
//! A few trials by default; `STELLA_KILLS=200` is the long form.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;
mod office;

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use office::{KEYS, Office};
use serde_json::Value;

/// Attestations of the set.
const ATTESTATIONS: usize = 12;

/// What must be the same whatever happened on the way.
#[derive(Debug, PartialEq, Eq)]
struct Sealed {
    /// Digests of the files, but for signatures and what holds them.
    files: BTreeMap<String, String>,
    statement: Vec<u8>,
    /// Names in the layout.
    names: Vec<String>,
}

impl Office {
    fn arguments<'a>(&self, until: &'a str, output: &'a str, work: &'a str) -> Vec<&'a str> {
        let run = ["archive", "run", "--release", "v1", "--until", until];
        let places = ["--output", output, "--work", work];
        [&run[..], &KEYS, &places].concat()
    }

    fn sealed(&self, output: &str) -> Sealed {
        let layout = self.desk.path(output);
        let read = |digest: &str| {
            let (_, hex) = digest.split_once(':').unwrap();
            fs::read(layout.join("blobs/sha256").join(hex)).unwrap()
        };
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let index = json(&fs::read(layout.join("index.json")).unwrap());
        let manifests = index["manifests"].as_array().unwrap();
        let name = |each: &Value| {
            let name = &each["annotations"]["org.opencontainers.image.ref.name"];
            name.as_str().unwrap().to_owned()
        };
        let manifest = json(&read(manifests[0]["digest"].as_str().unwrap()));
        let (mut files, mut history) = (BTreeMap::new(), None);
        for layer in manifest["layers"].as_array().unwrap() {
            let title = layer["annotations"]["org.opencontainers.image.title"]
                .as_str()
                .unwrap();
            let digest = layer["digest"].as_str().unwrap();
            // All bytes are there.
            let bytes = read(digest);
            if title == "history.json" {
                history = Some(json(&bytes));
            } else if !title.ends_with(".sigstore.json") {
                files.insert(title.to_owned(), digest.to_owned());
            }
        }
        let statements = history.unwrap()["statements"].clone();
        let statement = statements.as_array().unwrap().last().unwrap()["bytes"].clone();
        Sealed {
            files,
            statement: STANDARD.decode(statement.as_str().unwrap()).unwrap(),
            names: manifests.iter().map(name).collect(),
        }
    }
}

fn number(name: &str, usual: usize) -> usize {
    let said = std::env::var(name).ok();
    said.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[test]
fn whatever_happens_on_the_way_the_same_is_sealed_once() {
    let office = Office::open(ATTESTATIONS);
    std::thread::sleep(Duration::from_millis(1100));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let until = stella_bundle::time::UnixTime::from_seconds(i64::try_from(now.as_secs()).unwrap());
    let until = until.to_string();
    let start = Instant::now();
    office
        .desk
        .run(office.arguments(&until, "good", "good.work"))
        .ended(0);
    let usual = start.elapsed();
    let expected = office.sealed("good");
    assert_eq!(expected.names, ["v1"]);

    // 1. Killed at any time, again and again, and then left to itself.
    let (mut kills, mut trials, mut dice) = (0, 0, Dice(7));
    while kills < number("STELLA_KILLS", 12) {
        let (output, work) = (format!("killed{trials}"), format!("killed{trials}.work"));
        for _ in 0..5 {
            let mut command = office
                .desk
                .command(office.arguments(&until, &output, &work));
            let mut child = command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let most = u64::try_from(usual.as_micros()).unwrap();
            std::thread::sleep(Duration::from_micros(dice.below(most)));
            kills += usize::from(child.try_wait().unwrap().is_none());
            let _ = child.kill();
            child.wait().unwrap();
        }
        office
            .desk
            .run(office.arguments(&until, &output, &work))
            .ended(0);
        assert_eq!(office.sealed(&output), expected, "trial {trials}");
        trials += 1;
    }

    // 2. The disk takes so many blocks a file and no more: an error, and nothing is published.
    let stella = desk::STELLA;
    for blocks in [0, 1, 8, 16, 40, 80] {
        let (output, work) = (format!("full{blocks}"), format!("full{blocks}.work"));
        let arguments = office.arguments(&until, &output, &work).join(" ");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec {stella} {arguments}");
        let said = desk::finish(&mut office.desk.wrapped("sh", ["-c", &script]));
        if said.code != 0 {
            let index = office.desk.path(&output).join("index.json");
            let published = fs::read_to_string(index).unwrap_or_default();
            assert!(!published.contains("ref.name"), "{said:?}");
            office
                .desk
                .run(office.arguments(&until, &output, &work))
                .ended(0);
        }
        assert_eq!(office.sealed(&output), expected, "{blocks} blocks");
    }
    println!("{kills} kills hit a running job, in {trials} trials");
}
