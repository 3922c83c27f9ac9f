//! The archivist: an instance that seals its organisation's periods by itself.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod desk;
mod office;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use office::Office;
use serde_json::Value;

/// So often a file is looked for, ten times a second.
const PATIENCE: usize = 600;

const CONFIGURATION: &str = "\
schedule: monthly
timeZone: Europe/Vienna
key: ../classical.key
pqKey: ../pq.key
keysets: ../org
output: ../archive
store: ../.local/share/stella/store
prune: true
";

impl Office {
    /// Starts the instance with its archivist, whose last run was long ago, and returns the report of the run that it makes up for.
    fn serve_late(&mut self) -> Value {
        self.desk.stop();
        self.desk
            .write("sigstore/archivist/state.json", r#"{"lastSuccess":0}"#);
        self.desk.serve_with(&["--with", "archivist"]);
        let folder = self.desk.path("sigstore/archivist");
        for _ in 0..PATIENCE {
            std::thread::sleep(Duration::from_millis(100));
            let state = fs::read_to_string(folder.join("state.json")).unwrap_or_default();
            if state.contains("lastSuccess") && !state.contains(":0}") {
                break;
            }
        }
        let entries = fs::read_dir(&folder).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let report = names.find(|name| name.starts_with("20") && name.ends_with(".json"));
        let report = report.unwrap();
        assert!(folder.join(report.replace(".json", ".txt")).exists());
        serde_json::from_slice(&fs::read(folder.join(report)).unwrap()).unwrap()
    }

    fn metrics(&self) -> String {
        let host = self.desk.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).unwrap();
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

#[test]
fn a_run_that_was_missed_is_made_up_for_and_its_numbers_are_shown() {
    let mut office = Office::open(1);
    office.desk.write("sigstore/archivist.yaml", CONFIGURATION);
    let report = office.serve_late();
    // What was signed this month waits for its own period.
    assert_eq!(
        (&report["isNew"], &report["later"]),
        (&true.into(), &1.into())
    );
    let numbers = office.metrics();
    for line in [
        "stella_archive_runs_total 1",
        "stella_archive_failures_total 0",
        "stella_archive_last_attestations 0",
    ] {
        assert!(
            numbers.lines().any(|each| each == line),
            "{line}: {numbers}"
        );
    }
    // Late once more it finds the period sealed.
    let report = office.serve_late();
    assert_eq!(report["isNew"], false);
    let period = report["manifest"]["period"]["name"].as_str().unwrap();
    let verify = ["archive", "verify", "archive", "--period", period];
    let anchor = ["--anchor", "org/org.anchor"];
    office.desk.run([&verify[..], &anchor].concat()).ended(0);
}

#[test]
fn without_a_configuration_nothing_is_served() {
    let mut office = Office::open(0);
    office.desk.stop();
    let serve = ["serve", "--dir", "sigstore", "--with", "archivist"];
    let said = office.desk.run(serve).ended(2);
    desk::says(&said.err, &["archivist.yaml", "pqKey"]);
}
