//! `stella completion`: scripts that complete commands and flags.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::terminal;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: stella completion bash > /etc/bash_completion.d/stella")]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut super::Cli::command(),
        "stella",
        &mut script,
    );
    terminal::say_bytes(&script);
}
