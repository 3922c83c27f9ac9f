//! `stella signing-config`: say where to sign, and see what a client makes of it.

mod check;
mod create;
mod show;

use std::fs;
use std::path::Path;

use clap::Subcommand;
use stella_bundle::identity::escape;
use stella_bundle::pairs::PairsError;
use stella_bundle::signing_config::{ClientTrustConfig, SigningConfig};
use stella_bundle::time::UnixTime;
use stella_server::{Clock as _, SystemClock};

use crate::exit::Failure;
use crate::terminal;
use crate::trust;

/// A key with more mistakes than these was another one.
const MAX_TYPOS: usize = 2;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // Without lines here, the help is all that the arguments say of themselves.
    Check(check::Args),
    Create(Box<create::Args>),
    Show(show::Args),
}

pub(crate) fn run(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Create(args) => create::run(&args),
        Command::Show(args) => show::run(&args),
    }
}

/// Returns the time of day.
pub(super) fn now() -> UnixTime {
    SystemClock.now()
}

/// Reads a signing config, or the one in a client trust config.
fn read(path: &Path) -> Result<SigningConfig, Failure> {
    let bytes = trust::read_bounded(path)?;
    if let Ok(config) = ClientTrustConfig::parse(&bytes) {
        return Ok(config.signing_config);
    }
    SigningConfig::parse(&bytes)
        .map_err(|error| Failure::usage(format!("cannot use {}: {error}", path.display())))
}

/// Says what is wrong with the words of a service, and what may have been meant.
pub(super) fn wrong_words(flag: &str, text: &str, error: &PairsError) -> Failure {
    let failure = Failure::usage(format!("--{flag} {text:?}: {error}"));
    let PairsError::UnknownKey { found, known } = error else {
        return failure;
    };
    let distance = |key: &&'static str| (strsim::damerau_levenshtein(key, found), *key);
    match known.iter().map(distance).min() {
        Some((distance, key)) if distance <= MAX_TYPOS => {
            failure.hint(format!("did you mean {key}?"))
        }
        _ => failure,
    }
}

/// Tells what is unwise in a file that was made.
pub(super) fn warn(finding: &dyn std::fmt::Display) {
    // Names and texts may come from another file, which may be a stranger's.
    terminal::tell(&escape(&format!("warning: {finding}")));
}

/// Writes a file that was made, or prints it where none is named.
pub(super) fn deliver(output: Option<&Path>, bytes: &[u8]) -> Result<(), Failure> {
    match output {
        Some(path) if path.as_os_str() != "-" => {
            fs::write(path, bytes).map_err(|error| Failure::io("write", path, &error))?;
            terminal::tell(&format!("wrote {}", path.display()));
        }
        _ => terminal::say_bytes(bytes),
    }
    Ok(())
}
