//! The developer's commands, the same on a desk and in CI: `cargo xtask --help`.
//!
//! No rule of signing or verification lives here, and nothing here is shipped. The standard library is enough:
//! a tool that judges the other crates should not wait for their dependencies to be built.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's command talks to a terminal"
)]

mod bench;
mod cargo;
mod failure;
mod foreign;
mod fuzz;
mod tidy;
mod workspace;

use std::process::ExitCode;
use std::time::Instant;

use crate::failure::Failure;
use crate::workspace::Workspace;

const HELP: &str = "\
The developer's commands of stella.

Usage: cargo xtask COMMAND

Commands:
  ci          Everything CI runs: check, foreign --prepare, every test, docs
  check       Formatting, clippy without warnings, tidy
  tidy        The house rules that a program can check
  docs        Build the documentation; a broken link is an error
  foreign     Sign and verify with sigstore-python and sigstore-js against a private instance,
              and with keys in the KMS that moto plays
                --prepare    only install the pinned clients under target/foreign
  fuzz-seeds  Write the small starting corpus of each fuzz target
  bench       List the benchmarks, and how to run each
  help        Print this text

Environment:
  STELLA_FOREIGN=1  `ci` fails, instead of skipping, when python3 or npm is missing
  STELLA_FOREIGN=0  `ci` leaves the foreign clients out
";

/// The name of each command, as README.md may cite it.
pub(crate) const COMMANDS: [&str; 8] = [
    "bench",
    "check",
    "ci",
    "docs",
    "foreign",
    "fuzz-seeds",
    "help",
    "tidy",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            failure.exit_code()
        }
    }
}

/// Chooses the command. What is not understood is refused: a typing error in a CI file must not pass as success.
fn run(words: &[&str]) -> Result<(), Failure> {
    match words {
        [] | ["help" | "--help" | "-h"] | [_, "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        ["bench"] => bench::list(&Workspace::find()?),
        ["check"] => check(&Workspace::find()?),
        ["ci"] => ci(&Workspace::find()?),
        ["docs"] => step("docs", || cargo::docs(&Workspace::find()?)),
        ["foreign"] => foreign::run(&Workspace::find()?),
        ["foreign", "--prepare"] => foreign::prepare(&Workspace::find()?),
        ["fuzz-seeds"] => fuzz::write_seeds(&Workspace::find()?),
        ["tidy"] => step("tidy", || tidy::run(&Workspace::find()?)),
        _ => Err(Failure::Usage {
            words: words.iter().map(|&word| word.to_owned()).collect(),
        }),
    }
}

/// Formatting, lints and house rules, the cheapest first.
fn check(workspace: &Workspace) -> Result<(), Failure> {
    step("tidy", || tidy::run(workspace))?;
    step("fmt", || cargo::fmt(workspace))?;
    step("clippy", || cargo::clippy(workspace))
}

/// What CI runs, and what a change must pass before it is proposed.
fn ci(workspace: &Workspace) -> Result<(), Failure> {
    let begun = Instant::now();
    check(workspace)?;
    let foreign = foreign::Wanted::from_environment();
    step("foreign clients", || {
        foreign::prepare_if_wanted(workspace, foreign)
    })?;
    step("test", || cargo::test(workspace, foreign))?;
    step("docs", || cargo::docs(workspace))?;
    println!("xtask: ci passed in {} s", begun.elapsed().as_secs());
    Ok(())
}

/// Runs one part, and says its name before and its time after.
fn step(name: &str, part: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    println!("xtask: {name} …");
    let begun = Instant::now();
    part()?;
    println!(
        "xtask: {name} passed in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_command() {
        for command in COMMANDS {
            assert!(HELP.contains(&format!("\n  {command} ")), "{command}");
        }
    }

    #[test]
    fn a_mistyped_command_is_refused() {
        assert!(matches!(run(&["chekc"]), Err(Failure::Usage { .. })));
        assert!(matches!(
            run(&["check", "--fast"]),
            Err(Failure::Usage { .. })
        ));
    }
}
