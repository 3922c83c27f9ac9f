//! `stella config`: what the configuration says, and whether it can be used.

use clap::Subcommand;
use serde_json::json;

use super::Context;
use crate::config::{Flags, show};
use crate::exit::{self, Failure};
use crate::terminal;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check the configuration and say which file it is
    Check(Args),
    /// Show each value and whence it came
    Show(Args),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: stella --config etc/signer.yaml config show")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, command: &Command) -> Result<u8, Failure> {
    let loaded = context.load(Flags::default())?;
    match command {
        Command::Show(args) if args.json => terminal::say_json(&show::json(&loaded)),
        Command::Show(_) => terminal::say(show::text(&loaded).trim_end()),
        Command::Check(args) if args.json => {
            terminal::say_json(&json!({
                "schema": "stella.config/v1",
                "result": "ok",
                "file": loaded.file,
                "searched": loaded.searched,
                "notUsed": loaded.not_used,
            }));
        }
        Command::Check(_) => match &loaded.file {
            Some(file) => terminal::say(&format!("{} is good", file.display())),
            None => {
                terminal::say("no signer.yaml: the defaults hold; looked for");
                for path in &loaded.searched {
                    terminal::say(&format!("  {}", path.display()));
                }
            }
        },
    }
    Ok(exit::OK)
}

/// Says that `mode: key` needs a key.
pub(crate) fn key_mode_needs_a_key() -> Failure {
    Failure::usage("signer.signing.mode is key, and no key was named")
        .hint("name it with --key KEY or signer.signing.key, or sign keyless with --keyless")
}
