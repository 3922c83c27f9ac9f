//! Starting a tool in a folder of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The artifact of all tests.
pub(crate) const ARTIFACT: &[u8] = b"what is signed\r\nhas two lines\n";

/// A folder with the artifact in it, where a tool works.
pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    /// Returns a folder for `tool`, or none when it is not installed.
    pub(crate) fn of(tool: &str) -> Option<Self> {
        let found = Command::new(tool)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok();
        if !found {
            let demanded = std::env::var("STELLA_FOREIGN").is_ok_and(|value| value == "1");
            assert!(!demanded, "STELLA_FOREIGN=1, but {tool} is not installed");
            eprintln!("skipped: {tool} is not installed");
            return None;
        }
        // The path is short: gpg-agent's socket lies in it.
        let folder = tempfile::Builder::new()
            .prefix("st")
            .tempdir_in("/tmp")
            .unwrap();
        let bench = Self { folder };
        bench.write("artifact", ARTIFACT);
        Some(bench)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    /// Runs a command line, words between blanks; returns its standard output.
    pub(crate) fn run(&self, line: &str) -> Vec<u8> {
        let words: Vec<&str> = line.split(' ').collect();
        self.run_words(&words)
    }

    /// Runs a command; returns its standard output.
    pub(crate) fn run_words(&self, words: &[&str]) -> Vec<u8> {
        let output = self.attempt(words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {error}");
        output.stdout
    }

    /// Runs a command that may fail.
    pub(crate) fn attempt(&self, words: &[&str]) -> std::process::Output {
        Command::new(words[0])
            .args(&words[1..])
            .current_dir(self.path())
            .env("GNUPGHOME", self.path())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}
