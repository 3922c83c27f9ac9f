//! `stella archive list`: what there is.

use serde_json::json;
use stella_attest::archive::open;
use stella_bundle::identity::escape;

use super::place::{self, failure};
use crate::cli::mirror::place::Purpose;
use crate::exit::{self, Failure};
use crate::registry::RegistryFlags;
use crate::terminal;

/// List the archives of a place, oldest first
///
/// This is what the place says of them; `stella archive verify` says what is true of one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where archives are: an OCI layout's folder or tar file, or a repository
    #[arg(default_value = "archive")]
    archive: String,

    #[command(flatten)]
    registry: RegistryFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args) -> Result<u8, Failure> {
    let storage = place::storage(&args.archive, Purpose::Read, &args.registry)?;
    let listed = open::list(&storage).await.map_err(failure)?;
    if args.json {
        let rows = listed.iter().map(|each| {
            json!({"period": each.name, "origin": each.origin, "sequence": each.sequence, "size": each.size, "isPruned": each.is_pruned})
        });
        terminal::say_json(
            &json!({"schema": "stella.archives/v1", "archives": rows.collect::<Vec<_>>()}),
        );
        return Ok(exit::OK);
    }
    for each in &listed {
        terminal::say(&format!(
            "{:>4}  {:<16} {:>14} bytes  {}{}",
            each.sequence,
            escape(&each.name),
            each.size,
            escape(&each.origin),
            if each.is_pruned {
                "  (the attestations' bytes were let go)"
            } else {
                ""
            },
        ));
    }
    if listed.is_empty() {
        terminal::tell(&format!("{} has no archive", storage.name()));
    }
    Ok(exit::OK)
}
