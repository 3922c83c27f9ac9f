//! `stella airgap`: everything that a place without a network needs, in one folder under one digest.

mod check;
mod guide;
mod load;
mod organisation;
mod pack;

use std::cell::Cell;

use clap::Subcommand;
use stella_attest::kit::KitError;

use super::mirror::bytes;
use crate::cli::Context;
use crate::exit::{self, Failure};
use crate::terminal;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check that a kit is the one that is meant, whole, and that its images pass the policy; without a network
    Check(check::Args),
    /// Check a kit, then copy its images into a registry
    Load(load::Args),
    /// Put images, their verdicts, policy, trust root and this program into one folder
    Pack(pack::Args),
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Check(args) => check::run(context, &args).await,
        Command::Load(args) => load::run(context, &args).await,
        Command::Pack(args) => pack::run(context, &args).await,
    }
}

/// Returns what shows how many bytes were hashed, on a terminal.
fn hashing() -> impl Fn(u64) {
    const STEP: u64 = 16 << 20;
    let shown = Cell::new(0);
    move |done| {
        if done - shown.get() >= STEP {
            shown.set(done);
            terminal::show(&format!("hashed {}", bytes(done)));
        }
    }
}

/// Says what is to be done about a kit that cannot be used.
fn of_kit(error: KitError) -> Failure {
    terminal::clear();
    let message = error.to_string();
    match error {
        KitError::Changed { .. } | KitError::Missing { .. } | KitError::Unlisted { .. } => {
            Failure::new(exit::SIGNATURE, message)
                .hint("the kit is not what was packed: nothing of it is to be used; have it brought again")
        }
        KitError::WrongKit { .. } => Failure::new(exit::SIGNATURE, message)
            .hint("compare with the digest that `stella airgap pack` printed, which comes another way than the kit"),
        KitError::Signature { .. } | KitError::Keysets(_) => Failure::new(exit::SIGNATURE, message)
            .hint("look whether the anchor is that of whoever packs kits for you; else the kit is not what they signed, and nothing of it is to be used"),
        KitError::Unsigned { .. } => Failure::new(exit::SIGNATURE, message)
            .hint("have it packed with --org-key, or check it by --digest, which comes another way than the kit"),
        KitError::Strange { .. } | KitError::Line { .. } | KitError::Contents(_) => {
            Failure::new(exit::SIGNATURE, message)
        }
        KitError::Unfinished { .. } => Failure::new(exit::NO_ARTIFACT, message)
            .hint("run `stella airgap pack` to its end, or look at the path"),
        KitError::NotEmpty { .. } => {
            Failure::usage(message).hint("name a new folder, or one of an earlier kit")
        }
        _ => Failure::new(exit::INTERNAL, message),
    }
    .page("air-gap-kit")
}
