//! `stella archive anchor`: what verifiers must have beforehand.

use std::fs;
use std::path::PathBuf;

use stella_attest::keyset::KeysetFolder;

use super::ceremony::{self, failure};
use crate::exit::{self, Failure};
use crate::terminal;

/// Write the anchor: all that a verifier needs besides an archive, brought to it another way
///
/// The anchor names the first keyset and its keys. It need never change: whatever keys come later follow from it by signed
/// events. One of a later keyset spares a verifier the events before it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella archive anchor --keysets org --output org.anchor")]
pub(crate) struct Args {
    /// The folder with the keysets
    #[arg(long, value_name = "DIR", default_value = "org")]
    keysets: PathBuf,

    /// The keyset that it names, by its number
    #[arg(long, value_name = "N", default_value_t = 1)]
    keyset: u64,

    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let folder = KeysetFolder::read(&args.keysets).map_err(failure)?;
    ceremony::warn(&folder)?;
    let anchor = folder.anchor(Some(args.keyset)).ok_or_else(|| {
        let newest = folder.keysets().len();
        Failure::usage(format!(
            "there is no keyset {}, the newest is {newest}",
            args.keyset
        ))
    })?;
    match &args.output {
        None => terminal::say_bytes(anchor.to_text().as_bytes()),
        Some(path) => {
            fs::write(path, anchor.to_text()).map_err(|error| Failure::io("write", path, &error))?
        }
    }
    Ok(exit::OK)
}
