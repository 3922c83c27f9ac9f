//! `stella archive`: evidence that outlives certificates, logs and algorithms.

mod anchor;
pub(super) mod believed;
pub(super) mod ceremony;
mod collect;
mod cosign;
mod extract;
mod hold;
pub(super) mod keyset;
mod list;
pub(super) mod period;
pub(super) mod place;
mod prove;
mod prune;
mod renew;
mod run;
mod search;
mod show;
mod sources;
mod verify;

use clap::Subcommand;

use super::Context;
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Anchor(anchor::Args),
    Collect(collect::Args),
    Cosign(Box<cosign::Args>),
    Extract(extract::Args),
    /// Keep what retention would let go: set, release and list legal holds
    #[command(subcommand)]
    Hold(hold::Command),
    /// Hold ceremonies: who may sign for the organisation, whose clocks count, what was compromised
    #[command(subcommand)]
    Keyset(keyset::Command),
    List(list::Args),
    Prove(prove::Args),
    Prune(prune::Args),
    Renew(Box<renew::Args>),
    #[command(visible_alias = "re-sign")]
    Run(Box<run::Args>),
    Search(search::Args),
    Show(show::Args),
    Verify(Box<verify::Args>),
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Anchor(args) => anchor::run(&args),
        Command::Collect(args) => collect::run(context, &args).await,
        Command::Cosign(args) => cosign::run(&args).await,
        Command::Extract(args) => extract::run(&args).await,
        Command::Hold(command) => hold::run(&command).await,
        Command::List(args) => list::run(&args).await,
        Command::Prove(args) => prove::run(&args).await,
        Command::Prune(args) => prune::run(&args).await,
        Command::Renew(args) => renew::run(context, &args).await,
        Command::Run(args) => run::run(context, &args).await,
        Command::Search(args) => search::run(&args).await,
        Command::Show(args) => show::run(&args).await,
        Command::Verify(args) => verify::run(context, &args).await,
        Command::Keyset(command) => keyset::run(context, command).await,
    }
}
