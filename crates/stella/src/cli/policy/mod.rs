//! `stella policy`: what policy authors need before a policy decides anything.

mod cases;
mod check;
mod explain;

use clap::Subcommand;

use super::Context;
use crate::exit::{self, Failure};
use crate::terminal;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a policy file, give advice, and print what it means
    Check(check::Args),
    /// Tell why artifacts pass or not: each attestation, each signer, each requirement
    Explain(Box<explain::Args>),
    /// Print the JSON Schema of policy files
    Schema,
    /// Try a policy on cases with a known outcome
    Test(cases::Args),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(context, &args),
        Command::Schema => {
            terminal::say(stella_policy::file::SCHEMA.trim_end());
            Ok(exit::OK)
        }
        Command::Test(args) => cases::run(&args),
    }
}
