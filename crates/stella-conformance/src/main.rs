//! stella behind the command line of sigstore-conformance (`docs/cli_protocol.md` there): `sign-bundle`, `verify-bundle`.
//!
//! Exit code 0 is accepted, 1 refused, 2 a wrong command. What is good is decided in `stella_bundle::verify`; nothing
//! here knows a rule.

mod failure;
mod sign;
mod verify;

use std::process::ExitCode;

use clap::Parser;

/// A Sigstore client for the public conformance suite
#[derive(Debug, Parser)]
#[command(name = "stella-conformance")]
enum Command {
    /// Sign a file or a statement, and write the bundle
    SignBundle(sign::Args),
    /// Verify a bundle over a file or digest
    VerifyBundle(verify::Args),
}

#[expect(clippy::print_stderr, reason = "this is the command line")]
fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::SignBundle(args) => sign::run(&args),
        Command::VerifyBundle(args) => verify::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!(
                "refused: {}",
                stella_bundle::identity::escape(&failure.to_string())
            );
            ExitCode::FAILURE
        }
    }
}
