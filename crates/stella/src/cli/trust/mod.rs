//! `stella trust`: say whom to believe, keep that current, and look into it.

mod choice;
mod lint;
mod pin;
mod show;
mod update;

use clap::Subcommand;
use serde_json::{Value, json};
use stella_bundle::digest::Digest;
use stella_bundle::identity::escape;
use stella_bundle::trusted_root::inventory::{self, Change, Entry};
use stella_server::{Clock as _, SystemClock};

use crate::exit::Failure;
use crate::terminal;
use crate::trust::{Lock, TrustMaterial};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what is wrong or unwise in a trusted root
    Lint(lint::Args),
    /// Allow one trusted root only, whatever is used or updated later
    Pin(pin::Args),
    /// Show whom the recorded choice believes, or whom a file would
    Show(show::Args),
    /// Refresh the recorded choice from where it came
    Update(update::Args),
    /// Record whom to believe from now on
    Use(choice::Args),
}

pub(crate) async fn run(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Lint(args) => lint::run(&args),
        Command::Pin(args) => pin::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Update(args) => update::run(&args).await,
        Command::Use(args) => choice::run(&args).await,
    }
}

/// Returns the time of day, as records have it.
fn now() -> stella_bundle::time::UnixTime {
    SystemClock.now()
}

fn digest(text: &str) -> Result<Digest, Failure> {
    Digest::parse(text)
        .filter(|digest| digest.algorithm().name() == "sha256")
        .ok_or_else(|| {
            Failure::usage(format!(
                "{text:?} is not a digest: expected sha256: and 64 hex digits in lower case"
            ))
        })
}

/// Refuses a trusted root of another digest than was given.
fn require_fingerprint(material: &TrustMaterial, expected: Option<&Digest>) -> Result<(), Failure> {
    let found = material.digest();
    match expected.filter(|expected| **expected != found) {
        Some(expected) => Err(Failure::usage(format!(
            "the trusted root has the digest {found}, expected {expected}"
        ))),
        None => Ok(()),
    }
}

/// Refuses a trusted root other than the pinned one.
fn require_pinned(lock: &Lock, material: &TrustMaterial) -> Result<(), Failure> {
    let found = material.digest().to_string();
    match lock.folder().pin()?.filter(|pin| pin.digest != found) {
        Some(pin) => Err(Failure::usage(format!(
            "the trusted root is pinned since {}: expected {}, found {found}",
            pin.pinned, pin.digest
        ))
        .hint(format!(
            "look at the new one first; then allow it with `stella trust pin {found}`, or any with `stella trust pin --remove`"
        ))),
        None => Ok(()),
    }
}

fn entry_json(entry: &Entry) -> Value {
    let validity = entry.validity.unwrap_or_default();
    json!({
        "part": inventory::field(entry.place.part),
        "index": entry.place.index,
        "url": entry.url,
        "fingerprint": entry.fingerprint.to_string(),
        "start": validity.start.map(|time| time.to_string()),
        "end": validity.end.map(|time| time.to_string()),
    })
}

fn print_changes(changes: &[(Change, Entry)]) {
    for (change, entry) in changes {
        terminal::say(&format!(
            "{}: {} {}  {}  {}",
            change.name(),
            inventory::noun(entry.place.part),
            escape(&entry.url),
            entry.window(),
            entry.fingerprint
        ));
    }
}
