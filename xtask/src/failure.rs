//! How a developer's command fails, and the exit code that says so.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A file could not be read or written.
    File { path: PathBuf, error: io::Error },
    /// Another program could not be started.
    NotStarted { program: String, error: io::Error },
    /// Another program ended badly; it has said why itself.
    Program { line: String },
    /// The house rules were broken in this many places, each printed already.
    Tidy { findings: usize },
    /// A program that the foreign clients need is not installed.
    ToolMissing {
        tool: &'static str,
        install: &'static str,
    },
    /// The arguments are no command of ours.
    Usage { words: Vec<String> },
}

impl Failure {
    /// Returns 2 for a wrong call and 1 for everything that was called rightly and failed.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage { .. } => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::NotStarted { program, error } => write!(f, "cannot start {program}: {error}"),
            Self::Program { line } => write!(f, "failed: {line}"),
            Self::Tidy { findings } => {
                write!(f, "tidy found {findings} broken house rules (STYLE.md)")
            }
            Self::ToolMissing { tool, install } => write!(f, "{tool} is missing: {install}"),
            Self::Usage { words } => write!(
                f,
                "no such command: {} (try `cargo xtask --help`)",
                words.join(" ")
            ),
        }
    }
}
