//! Where text goes: reports to stdout, talk to stderr. A reader who left (`| head`) is no error.

use std::io::{self, Write as _};

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
