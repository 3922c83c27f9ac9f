//! `stella attest`: what is done with attestations.

mod export_bundle;
mod identity_flags;
mod inspect;
mod list;
mod sign;
mod source;
mod verify;

use clap::Subcommand;

pub(super) use sign::nonce;

use stella_bundle::predicate::PredicateType;

use super::Context;
use crate::exit::Failure;

/// A name with more mistakes than these was another one.
const MAX_TYPOS: usize = 2;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write every attestation of an artifact into one file that verifies offline
    ExportBundle(export_bundle::Args),
    /// Show what an attestation says and who signed it, without judging who may
    Inspect(inspect::Args),
    /// List the attestations of an artifact
    List(list::Args),
    /// Sign a statement about an artifact
    Sign(sign::Args),
    /// Answer whether an artifact is attested by someone who may
    Verify(verify::Args),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::ExportBundle(args) => export_bundle::run(&args),
        Command::Inspect(args) => inspect::run(context, &args),
        Command::List(args) => list::run(&args),
        Command::Sign(args) => super::wait(sign::run(context, args)),
        Command::Verify(args) => verify::run(context, &args),
    }
}

/// Reads what was typed after `--type`.
fn predicate_type(typed: &str) -> Result<PredicateType, Failure> {
    PredicateType::parse(typed).map_err(|error| {
        let failure = Failure::usage(error.to_string());
        let nearest = PredicateType::OURS
            .iter()
            .flat_map(|ours| ours.names())
            .map(|name| {
                (
                    strsim::damerau_levenshtein(name, &typed.to_lowercase()),
                    *name,
                )
            })
            .min()
            .filter(|(distance, _)| *distance <= MAX_TYPOS);
        match nearest {
            Some((_, name)) => failure.hint(format!("did you mean {name}?")),
            None => failure,
        }
    })
}
