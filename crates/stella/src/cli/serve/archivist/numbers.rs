//! What the archivist counts, in the text form that Prometheus reads.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use stella_bundle::time::UnixTime;

/// Bytes of a report.
const MAX_REPORT: usize = 16 << 20;

/// What was done since the service started, and by the last run that went well.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    runs: u64,
    failures: u64,
    let_go: u64,
    last: Option<Last>,
}

/// The last run that went well.
#[derive(Debug)]
struct Last {
    time: UnixTime,
    took: Duration,
    report: Report,
}

/// What is read of a run's report.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Report {
    manifest: Manifest,
    size: u64,
    let_go: Vec<String>,
    witnesses: Option<Witnesses>,
}

#[derive(Debug, Deserialize)]
struct Witnesses {
    error: Option<String>,
}

impl Report {
    /// Reads a report; what cannot be read says nothing.
    pub(super) fn read(path: &Path) -> Self {
        let read = stella_attest::file::read(path, MAX_REPORT).ok();
        let read = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        read.unwrap_or_default()
    }

    /// Says whether it names no witnesses that were missing.
    pub(super) fn is_cosigned(&self) -> bool {
        let witnesses = self.witnesses.as_ref();
        witnesses.is_none_or(|witnesses| witnesses.error.is_none())
    }
}

#[derive(Debug, Default, Deserialize)]
struct Manifest {
    counts: Counts,
}

#[derive(Debug, Default, Deserialize)]
struct Counts {
    verified: u64,
    rejected: u64,
}

impl Numbers {
    /// Counts a run, by the report of one that went well.
    pub(super) fn add(&mut self, report: Option<Report>, took: Duration, time: UnixTime) {
        self.runs += 1;
        let Some(report) = report else {
            self.failures += 1;
            return;
        };
        self.let_go += report.let_go.len() as u64;
        self.last = Some(Last { time, took, report });
    }

    /// Writes everything that is known.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let mut write = |name: &str, kind: &str, help: &str, value: String| {
            // Writing into a string cannot fail.
            let _ = write!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
            );
        };
        for (name, help, count) in [
            (
                "stella_archive_runs_total",
                "Runs of the archivist",
                self.runs,
            ),
            (
                "stella_archive_failures_total",
                "Runs that sealed nothing",
                self.failures,
            ),
            (
                "stella_archive_let_go_total",
                "Periods whose bytes were let go",
                self.let_go,
            ),
        ] {
            write(name, "counter", help, count.to_string());
        }
        let Some(Last { time, took, report }) = &self.last else {
            return text;
        };
        let counts = &report.manifest.counts;
        for (name, help, value) in [
            (
                "last_success_timestamp_seconds",
                "When a period was sealed last",
                time.seconds().to_string(),
            ),
            (
                "last_duration_seconds",
                "How long that took",
                format!("{:.3}", took.as_secs_f64()),
            ),
            (
                "last_attestations",
                "Attestations sealed then",
                counts.verified.to_string(),
            ),
            (
                "last_rejected",
                "Attestations refused then",
                counts.rejected.to_string(),
            ),
            (
                "last_size_bytes",
                "Bytes of that archive",
                report.size.to_string(),
            ),
        ] {
            write(&format!("stella_archive_{name}"), "gauge", help, value);
        }
        text
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_went_well_and_one_that_failed_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let report = r#"{"manifest": {"counts": {"verified": 3, "rejected": 1, "records": 0}}, "size": 77, "letGo": ["2024-11"]}"#;
        std::fs::write(&path, report).unwrap();
        let mut numbers = Numbers::default();
        let time = UnixTime::from_seconds(1_795_000_000);
        numbers.add(Some(Report::read(&path)), Duration::from_millis(1500), time);
        numbers.add(None, Duration::ZERO, time);
        let text = numbers.to_text();
        for line in [
            "stella_archive_runs_total 2",
            "stella_archive_failures_total 1",
            "stella_archive_let_go_total 1",
            "stella_archive_last_success_timestamp_seconds 1795000000",
            "stella_archive_last_duration_seconds 1.500",
            "stella_archive_last_attestations 3",
            "stella_archive_last_rejected 1",
            "stella_archive_last_size_bytes 77",
        ] {
            assert!(text.lines().any(|each| each == line), "{line}: {text}");
        }
    }
}
