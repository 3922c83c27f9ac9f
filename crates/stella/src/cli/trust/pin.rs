//! `stella trust pin`: allow one trusted root only.

use serde_json::json;

use super::update::nothing_recorded;
use super::{digest, now};
use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust::Folder;

/// Allow one trusted root only, whatever is used or updated later
///
/// `trust use` and `trust update` then refuse every other one, and so does verification by the recorded choice.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella trust pin                     pin the recorded one
  stella trust pin sha256:…            pin the one that comes next
  stella trust pin --remove")]
pub(crate) struct Args {
    /// The digest of the trusted root: sha256:HEX; without it, the recorded one
    #[arg(conflicts_with = "remove")]
    digest: Option<String>,

    /// Remove the pin
    #[arg(long)]
    remove: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let lock = Folder::usual().lock()?;
    if args.remove {
        let was_pinned = lock.remove_pin()?;
        if args.json {
            terminal::say_json(&json!({"pinned": null}));
        } else if was_pinned {
            terminal::say("the pin is removed");
        } else {
            terminal::say("nothing was pinned");
        }
        return Ok(exit::OK);
    }
    let digest = match &args.digest {
        Some(text) => digest(text)?,
        None => {
            let record = lock.folder().record()?.ok_or_else(nothing_recorded)?;
            // What is pinned is what is there, not what a record says of it.
            lock.folder().chosen(&record)?.digest()
        }
    };
    lock.set_pin(&digest, &now().to_string())?;
    if args.json {
        terminal::say_json(&json!({"pinned": digest.to_string()}));
    } else {
        terminal::say(&format!("pinned {digest}"));
    }
    Ok(exit::OK)
}
