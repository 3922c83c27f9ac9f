//! The command `stella`: arguments in, one exit code out. No rule of the field lives in this crate.

mod artifact;
mod cli;
mod config;
mod exit;
mod key;
mod local;
mod output;
mod places;
mod prompt;
mod registry;
mod terminal;
mod token;
mod trust;

fn main() -> std::process::ExitCode {
    cli::main()
}
