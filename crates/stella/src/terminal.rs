//! Where text goes: reports to stdout, talk to stderr. A reader who left (`| head`) is no error.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Write as _};

use stella_bundle::identity::escape;

use crate::exit::Failure;

/// What is shown of progress has at most so many characters.
const LINE: usize = 78;

/// Writes one line to stdout.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Writes bytes to stdout as they are.
pub(crate) fn say_bytes(bytes: &[u8]) {
    let _ = io::stdout().lock().write_all(bytes);
}

/// Writes indented JSON to stdout.
pub(crate) fn say_json(value: &serde_json::Value) {
    say(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Writes one line to stderr.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes a failure to stderr: what it is, what to do next, and where more is said.
pub(crate) fn tell_failure(failure: &Failure, word: &str) {
    tell(&format!("{word}: {}", escape(&failure.message)));
    if let Some(hint) = &failure.hint {
        tell(&format!("hint: {hint}"));
    }
    if let Some(docs) = failure.docs() {
        tell(&format!("see: {docs}"));
    }
}

/// Shows how far something is, in the place of what was shown before; only where somebody waits at a terminal.
pub(crate) fn show(text: &str) {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr().lock(), "\r{text:<LINE$}");
    }
}

/// Leaves an empty line where something was shown.
pub(crate) fn clear() {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr().lock(), "\r{:LINE$}\r", "");
    }
}

/// A counter on stderr for whoever waits at a terminal; elsewhere nothing is written.
#[derive(Debug)]
pub(crate) struct Progress {
    word: &'static str,
    total: usize,
    done: Cell<usize>,
    is_shown: bool,
}

impl Progress {
    /// Begins to count; one thing alone is not counted.
    pub(crate) fn new(word: &'static str, total: usize) -> Self {
        Self {
            word,
            total,
            done: Cell::new(0),
            is_shown: total > 1 && io::stderr().is_terminal(),
        }
    }

    /// Counts one more.
    pub(crate) fn step(&self) {
        let done = self.done.get() + 1;
        self.done.set(done);
        if self.is_shown {
            show(&format!("{} {done} of {}", self.word, self.total));
        }
    }

    /// Leaves an empty line.
    pub(crate) fn end(&self) {
        if self.is_shown {
            clear();
        }
    }
}
