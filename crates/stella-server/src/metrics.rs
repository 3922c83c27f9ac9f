//! Counters, in the text form that Prometheus reads. Names of upstream's services are kept where they mean the same.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use stella_wire::Response;

use crate::answer;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the services count.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Certificates issued.
    pub(crate) certificates: Counter,
    /// Entries logged, duplicates not counted.
    pub(crate) entries: Counter,
    /// Entries that were there already.
    pub(crate) duplicates: Counter,
    /// Requests that were refused or failed.
    pub(crate) problems: Counter,
    /// Requests answered.
    pub(crate) requests: Counter,
    /// Timestamps issued.
    pub(crate) timestamps: Counter,
    /// Tokens minted.
    pub(crate) tokens: Counter,
}

impl Metrics {
    /// Answers `GET /metrics`, with days until the authorities' certificates end, and `more` at its end.
    pub(crate) fn page(&self, certificate_days: &[(&str, i64)], more: &str) -> Response {
        let mut text = String::new();
        for (name, help, counter) in [
            (
                "fulcio_new_certs",
                "Certificates issued",
                &self.certificates,
            ),
            (
                "rekor_v2_new_hashedrekord_entries",
                "Entries logged",
                &self.entries,
            ),
            (
                "rekor_v2_duplicate_entries",
                "Entries that were there already",
                &self.duplicates,
            ),
            (
                "stella_problems",
                "Requests refused or failed",
                &self.problems,
            ),
            ("stella_requests", "Requests answered", &self.requests),
            (
                "timestamp_authority_timestamps",
                "Timestamps issued",
                &self.timestamps,
            ),
            ("stella_tokens", "Identity tokens minted", &self.tokens),
        ] {
            // Writing into a string cannot fail.
            let _ = write!(
                text,
                "# HELP {name} {help}\n# TYPE {name} counter\n{name} {}\n",
                counter.read()
            );
        }
        text.push_str(
            "# HELP stella_certificate_valid_days_remaining Days until a certificate ends\n",
        );
        text.push_str("# TYPE stella_certificate_valid_days_remaining gauge\n");
        for (name, days) in certificate_days {
            let _ = writeln!(
                text,
                "stella_certificate_valid_days_remaining{{certificate=\"{name}\"}} {days}"
            );
        }
        text.push_str(more);
        answer::typed("text/plain; version=0.0.4; charset=utf-8", text)
    }
}
