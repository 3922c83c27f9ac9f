//! `stella log`: signatures of other tools put into a transparency log and found there, and logs looked into.

mod foreign;
mod fsck;
mod proof;
mod receipt;
mod search;
mod upload;
mod verify;

use clap::Subcommand;
use stella_bundle::entry::LogEntry;

use super::Context;
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read every entry, tile and checkpoint again and recompute what they commit to
    Fsck(fsck::Args),
    /// Print an entry
    Get(search::GetArgs),
    /// Show how large the log is, and what it signed
    #[command(visible_alias = "loginfo")]
    Info(search::InfoArgs),
    /// Write the proof that an entry is in the log, or that the log only grew
    Proof(proof::Args),
    /// Find the entries of a key, or about an artifact
    Search(search::SearchArgs),
    /// Put a signature that another tool made into the transparency log
    Upload(Box<upload::Args>),
    /// Verify a signature that another tool made, and that it is in the log
    Verify(verify::Args),
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Fsck(args) => fsck::run(args),
        Command::Get(args) => search::get(context, args).await,
        Command::Info(args) => search::info(context, args).await,
        Command::Proof(args) => proof::run(context, args).await,
        Command::Search(args) => search::search(context, args).await,
        Command::Upload(args) => upload::run(context, *args).await,
        Command::Verify(args) => verify::run(context, args).await,
    }
}

/// Returns the log's name, as its checkpoint in an entry says.
fn origin(entry: &LogEntry) -> String {
    let envelope = entry
        .proof_with_checkpoint()
        .map(|proof| &proof.checkpoint.envelope);
    let line = envelope.and_then(|envelope| envelope.lines().next());
    line.unwrap_or_default().to_owned()
}

/// Returns the entry's index in its tree.
fn index(entry: &LogEntry) -> i64 {
    entry
        .inclusion_proof
        .as_ref()
        .map_or(entry.log_index, |proof| proof.log_index)
}
