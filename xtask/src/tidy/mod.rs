//! The house rules that a program can check, each a function from text to findings.
//!
//! What the compiler, rustfmt and clippy check is not repeated here.

mod manifests;
mod map;
mod sources;
mod texts;

use std::fmt;

use crate::failure::Failure;
use crate::workspace::Workspace;

/// One broken rule, where it is, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1; 0 when the whole file is meant.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Checks the whole checkout and prints every finding, not only the first.
///
/// # Errors
/// `Failure::Tidy` when a rule is broken, `Failure::File` when a file cannot be read.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let mut findings = Vec::new();
    for path in workspace.text_files()? {
        let text = workspace.read(&path)?;
        findings.extend(texts::check(&path, &text));
        if path.ends_with(".rs") {
            findings.extend(sources::check(&path, &text));
        }
    }
    findings.extend(manifests::check(workspace)?);
    findings.extend(map::check(workspace)?);
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(Failure::Tidy {
        findings: findings.len(),
    })
}

/// Returns the messages alone, for tests.
#[cfg(test)]
fn messages(findings: &[Finding]) -> Vec<&str> {
    findings
        .iter()
        .map(|finding| finding.message.as_str())
        .collect()
}
