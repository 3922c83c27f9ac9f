//! `stella attest`: what is done with attestations.

mod download;
mod export_bundle;
mod inspect;
mod list;
mod prune;
mod sign;
pub(super) mod signing;
pub(super) mod source;
pub(super) mod statements;
pub(super) mod table;
mod verify;

use clap::Subcommand;

pub(super) use signing::nonce;

use stella_bundle::predicate::PredicateType;

use super::Context;
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the attestations of an image to a file, one bundle a line
    Download(download::Args),
    /// Write every attestation of an artifact into one file that verifies offline
    ExportBundle(export_bundle::Args),
    /// Show what an attestation says and who signed it, without judging who may
    Inspect(inspect::Args),
    /// List the attestations of an artifact
    List(list::Args),
    /// Remove old attestations of an image
    Prune(prune::Args),
    /// Sign a statement about an artifact
    Sign(sign::Args),
    /// Answer whether an artifact is attested by someone who may
    Verify(Box<verify::Args>),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Download(args) => super::wait(download::run(args)),
        Command::ExportBundle(args) => super::wait(export_bundle::run(args)),
        Command::Inspect(args) => inspect::run(context, &args),
        Command::List(args) => super::wait(list::run(args)),
        Command::Prune(args) => super::wait(prune::run(args)),
        Command::Sign(args) => super::wait(sign::run(context, args)),
        Command::Verify(args) => verify::run(context, &args),
    }
}

/// Reads what was typed after `--type`.
fn predicate_type(typed: &str) -> Result<PredicateType, Failure> {
    PredicateType::parse(typed).map_err(|error| super::gate::not_a_type(typed, &error))
}
