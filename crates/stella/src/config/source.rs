//! A value as it was typed, and whence it came.
//!
//! What it means is `meaning.rs`.

use std::fmt;
use std::path::PathBuf;

use super::key::Key;

/// A line of a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line(pub(crate) u64);

/// Whence a value came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The program's own defaults.
    Default,
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: &'static str,
    },
    /// A line of signer.yaml.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the key.
        line: Line,
    },
    /// A flag of the command line.
    Flag {
        /// Its spelling, `--fulcio-url`.
        flag: &'static str,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Environment { variable } => write!(formatter, "environment ${variable}"),
            Self::File { path, line } => write!(formatter, "{}:{}", path.display(), line.0),
            Self::Flag { flag } => write!(formatter, "flag {flag}"),
        }
    }
}

/// A value as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A list of names.
    Names(Vec<String>),
    /// `true` or `false`.
    Switch(bool),
    /// Text; also what flags and variables give for any key.
    Text(String),
    /// A whole number.
    Whole(u64),
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(names) => write!(formatter, "[{}]", names.join(", ")),
            Self::Switch(switch) => write!(formatter, "{switch}"),
            Self::Text(text) => formatter.write_str(text),
            Self::Whole(whole) => write!(formatter, "{whole}"),
        }
    }
}

/// One setting as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Typed {
    /// Which setting.
    pub(crate) key: Key,
    /// What was typed.
    pub(crate) value: Value,
    /// Where.
    pub(crate) source: Source,
}
