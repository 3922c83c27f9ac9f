//! The rule book, line by line: each test is a rule, on evidence of the forge that breaks it, or keeps it just so.
//!
//! docs/reference/verification.md lists the rules with the names of these tests. Edits of a bundle that our own instance
//! made are in `evidence.rs`, every possible edit of every form in `mutation.rs`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod certificate;
mod log;
mod parse;
mod signature;
mod time;
mod trust;

use serde_json::{Value, json};
use stella_bundle::json::encode_base64;
use stella_bundle::verify::{Policy, Report, Verifier, VerifyError};
use stella_testkit::forge::{self, Forge, Forged, Form, NOW};

/// Where the first entry stands.
const ENTRY: &str = "/verificationMaterial/tlogEntries/0";

/// A forge, the current form, a good bundle of it, and its trusted root.
struct Bench {
    forge: Forge,
    good: Forged,
    root: Value,
}

impl Bench {
    fn new() -> Self {
        Self::with(&Form::current())
    }

    fn with(form: &Form) -> Self {
        let forge = Forge::new();
        let good = forge.make(form);
        let root = forge.trusted_root();
        Self { forge, good, root }
    }

    fn verify(&self) -> Report {
        report(&self.root, &self.good.bundle, &self.good.policy)
    }

    #[track_caller]
    fn accepted(&self) -> Report {
        let report = self.verify();
        assert_eq!(report.verdict.as_ref().err(), None);
        report
    }

    #[track_caller]
    fn refused(&self) -> VerifyError {
        self.verify().verdict.unwrap_err()
    }

    /// Returns a place in the bundle.
    fn at(&mut self, pointer: &str) -> &mut Value {
        self.good.bundle.pointer_mut(pointer).unwrap()
    }
}

fn report(root: &Value, bundle: &Value, policy: &Policy) -> Report {
    let verifier = Verifier::new(forge::trust(root), policy.clone());
    forge::verify(&verifier, bundle).unwrap()
}

/// Returns the form of this name.
fn form(name: &str) -> Form {
    let found = Form::all().into_iter().find(|form| form.name == name);
    found.unwrap_or_else(|| panic!("there is no form {name:?}"))
}

/// Returns a window around the forge's moment.
fn window(start: i64, end: i64) -> Value {
    let at = |seconds: i64| forge::UnixTime::from_seconds(NOW.seconds() + seconds).to_string();
    json!({"start": at(start), "end": at(end)})
}

/// Returns bytes as a certificate stands in a file.
fn raw(der: &[u8]) -> Value {
    json!({"rawBytes": encode_base64(der)})
}
