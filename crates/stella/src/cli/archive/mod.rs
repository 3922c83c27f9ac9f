//! `stella archive`: evidence that outlives certificates, logs and algorithms.

mod anchor;
pub(super) mod ceremony;
pub(super) mod keyset;

use clap::Subcommand;

use super::Context;
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Anchor(anchor::Args),
    /// Hold ceremonies: who may sign for the organisation, whose clocks count, what was compromised
    #[command(subcommand)]
    Keyset(keyset::Command),
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Anchor(args) => anchor::run(&args),
        Command::Keyset(command) => keyset::run(context, command).await,
    }
}
