//! A PKCS#11 module that fails as it is told (module.c), made by this machine's C compiler.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The module with its folder.
pub(crate) struct Faulty {
    folder: tempfile::TempDir,
}

impl Faulty {
    /// Returns none where there is no C compiler, unless `STELLA_FOREIGN=1` demands one.
    #[expect(clippy::print_stdout, reason = "a test may speak")]
    pub(crate) fn new() -> Option<Self> {
        let faulty = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let source = faulty.folder.path().join("module.c");
        fs::write(&source, include_str!("module.c")).unwrap();
        let built = Command::new("cc")
            .args(["-std=gnu11", "-shared", "-fPIC", "-o"])
            .args([faulty.module(), source])
            .output();
        let Ok(built) = built else {
            let is_wanted = std::env::var("STELLA_FOREIGN").is_ok_and(|value| value == "1");
            assert!(!is_wanted, "there is no C compiler");
            println!("skipped: there is no C compiler");
            return None;
        };
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        Some(faulty)
    }

    pub(crate) fn module(&self) -> PathBuf {
        self.folder.path().join("module.so")
    }

    /// Returns the variables that choose a fault, and begins a new list of what the module was asked.
    pub(crate) fn environment(&self, fault: &str) -> [(&'static str, String); 2] {
        fs::write(self.log(), "").unwrap();
        [
            ("FAULT", fault.to_owned()),
            ("FAULT_LOG", self.log().display().to_string()),
        ]
    }

    /// Counts the lines of what the module was asked: `login 0`, `again 0` for one
    /// signature, or `sign` and the number of the object.
    pub(crate) fn asked(&self, what: &str) -> usize {
        let log = fs::read_to_string(self.log()).unwrap();
        log.lines().filter(|line| line.starts_with(what)).count()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("asked")
    }
}
