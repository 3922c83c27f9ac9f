//! `stella trusted-root`: say whom to believe. To look into the file and to use it is `stella trust`.

mod create;

use clap::Subcommand;

use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // Without a line here, the help is all that the arguments say of themselves.
    Create(Box<create::Args>),
}

pub(crate) fn run(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Create(args) => create::run(&args),
    }
}
