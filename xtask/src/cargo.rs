//! The commands of cargo that make up `check`, `test` and `docs`, and how other programs are run.

use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::foreign;
use crate::workspace::Workspace;

/// Says whether every file is formatted.
pub(crate) fn fmt(workspace: &Workspace) -> Result<(), Failure> {
    run(cargo(workspace).args(["fmt", "--all", "--check"]))
}

/// Lints everything, tests and benches too; a warning is an error.
pub(crate) fn clippy(workspace: &Workspace) -> Result<(), Failure> {
    run(cargo(workspace).args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))
}

/// Runs every test.
pub(crate) fn test(workspace: &Workspace, foreign: foreign::Wanted) -> Result<(), Failure> {
    let mut command = cargo(workspace);
    command.args(["test", "--workspace"]);
    match foreign {
        foreign::Wanted::IfPossible => &mut command,
        foreign::Wanted::No => command.env("STELLA_FOREIGN", "0"),
        foreign::Wanted::Yes => command.env("STELLA_FOREIGN", "1"),
    };
    run(&mut command)
}

/// Builds the documentation; a broken link is an error.
pub(crate) fn docs(workspace: &Workspace) -> Result<(), Failure> {
    run(cargo(workspace)
        .args(["doc", "--workspace", "--no-deps", "--quiet"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// Returns cargo itself, the one that runs this program, at the root of the checkout.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace.root());
    command
}

/// Runs a program to its end, its output shown, and without input, so that a question can never hang a CI job.
///
/// # Errors
/// `Failure::NotStarted`, or `Failure::Program` when the exit status is not success.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::NotStarted {
            program: command.get_program().to_string_lossy().into_owned(),
            error,
        })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Program {
        line: line(command),
    })
}

/// Says whether a program can be started and answers this question with success.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_named_with_its_arguments() {
        let failure = run(Command::new("sh").args(["-c", "exit 3"]));
        assert!(matches!(failure, Err(Failure::Program { line }) if line == "sh -c exit 3"));
    }

    #[test]
    fn a_program_that_is_absent_does_not_succeed() {
        assert!(!succeeds("stella-has-no-such-program", &[]));
    }
}
