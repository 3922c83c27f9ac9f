//! Where text goes: reports to stdout, talk to stderr. A reader who left (`| head`) is no error.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

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

/// Says whether somebody waits at a terminal, who is shown how far something is.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Shows how far something is, in the place of what was shown before; only where somebody waits at a terminal.
pub(crate) fn show(text: &str) {
    if is_watched() {
        let _ = write!(io::stderr().lock(), "\r{text:<LINE$}");
    }
}

/// Leaves an empty line where something was shown.
pub(crate) fn clear() {
    if is_watched() {
        let _ = write!(io::stderr().lock(), "\r{:LINE$}\r", "");
    }
}

/// Estimates how long something takes still, by what it took so far.
#[derive(Debug)]
pub(crate) struct Estimate {
    begun: Instant,
}

impl Estimate {
    /// Begins now.
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
        }
    }

    /// Returns the part that is done and the time that is left, such as `, 41 %, about 3 min left`; `total` is as much as there is
    /// to do, 0 where nobody knows.
    pub(crate) fn left(&self, done: u64, total: u64) -> String {
        left(self.begun.elapsed(), done, total)
    }
}

/// In the first seconds nothing is known, and nothing is said.
fn left(elapsed: Duration, done: u64, total: u64) -> String {
    if done == 0 || total == 0 || elapsed < Duration::from_secs(2) {
        return String::new();
    }
    let part = (done as f64 / total as f64).min(1.0);
    let seconds = elapsed.as_secs_f64() * (1.0 - part) / part;
    let left = match seconds {
        0.0..90.0 => format!("{seconds:.0} s"),
        90.0..5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    };
    format!(", {:.0} %, about {left} left", part * 100.0)
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
            is_shown: total > 1 && is_watched(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_takes_as_long_as_what_was_done() {
        let after = |seconds, done| left(Duration::from_secs(seconds), done, 1000);
        assert_eq!(after(1, 500), "");
        assert_eq!(after(60, 0), "");
        assert_eq!(left(Duration::from_secs(60), 5, 0), "");
        assert_eq!(after(60, 500), ", 50 %, about 60 s left");
        assert_eq!(after(60, 100), ", 10 %, about 9 min left");
        assert_eq!(after(60, 5), ", 0 %, about 3.3 h left");
        assert_eq!(after(60, 1001), ", 100 %, about 0 s left");
    }
}
