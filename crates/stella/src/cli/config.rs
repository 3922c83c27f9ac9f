//! `stella config`: what the configuration says, and whether it can be used.

use clap::Subcommand;
use serde_json::json;

use super::Context;
use crate::config::{Flags, Loaded, Mode, show};
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
    if let Command::Check(_) = command {
        require_usable(&loaded)?;
    }
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

/// Refuses what every use would refuse.
fn require_usable(loaded: &Loaded) -> Result<(), Failure> {
    match loaded.meant.mode {
        Mode::Key => Err(key_mode_is_missing()),
        Mode::Keyless => Ok(()),
    }
}

/// Refuses `mode: key`.
pub(crate) fn key_mode_is_missing() -> Failure {
    Failure::usage("signer.signing.mode is key: signing with a managed key is not built in yet")
        .hint("sign keyless with --keyless, or set the mode to keyless")
}
