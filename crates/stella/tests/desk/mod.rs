//! A desk to work at: a folder with its own HOME, the built command, and an instance that serves while it is wanted.
#![expect(dead_code, reason = "each test takes what it needs")]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The command under test.
pub(crate) const STELLA: &str = env!("CARGO_BIN_EXE_stella");

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Returns stdout as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Requires this exit code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// A policy that accepts others than those who sign here.
pub(crate) const OTHERS: &str = "policy: stella.policy/v1
signers:
  others:
    identity: repo:others/app:ref:refs/heads/main
    issuer: https://issuer.example
";

/// A folder, and an instance that may serve from it.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
    pub(crate) url: String,
    server: Option<Child>,
}

impl Desk {
    /// Returns a desk whose instance is not started; its port is free now.
    pub(crate) fn new() -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            url: format!("http://{address}"),
            server: None,
        }
    }

    /// Returns a desk whose instance serves and is trusted.
    pub(crate) fn serving() -> Self {
        let mut desk = Self::new();
        desk.serve();
        let url = desk.url.clone();
        desk.run(["trust", "use", &url]).ended(0);
        desk
    }

    /// Returns the path of a file at this desk.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// Makes a key without a passphrase, in NAME.key and NAME.pub: to open one behind a passphrase takes long, as it should.
    pub(crate) fn key(&self, name: &str, algorithm: &str) {
        let generate = ["key", "generate", "--algorithm", algorithm];
        let how = ["--output", name, "--insecure-no-passphrase"];
        self.run([&generate[..], &how].concat()).ended(0);
    }

    /// Returns strace around the command, to be given its arguments; see [`Self::network_calls`].
    pub(crate) fn traced(&self) -> Command {
        let watch = ["-f", "-qq", "-e", "trace=network", "-o", "trace", STELLA];
        self.wrapped("strace", watch)
    }

    /// Returns the system calls of the network that the last traced command made.
    pub(crate) fn network_calls(&self) -> Vec<String> {
        let trace = fs::read_to_string(self.path("trace")).unwrap();
        let is_call = |line: &&str| !line.contains("+++") && !line.contains("---");
        trace.lines().filter(is_call).map(str::to_owned).collect()
    }

    /// Returns a command with this desk's environment and no other.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        self.wrapped(STELLA, arguments)
    }

    /// Returns another program with this desk's environment, to run the command inside of it.
    pub(crate) fn wrapped<S: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear();
        command
            .env("HOME", self.folder.path())
            .env("PATH", std::env::var("PATH").unwrap_or_default());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Said {
        finish(&mut self.command(arguments))
    }

    /// Runs a command with a token in its environment.
    pub(crate) fn run_with_token<'a>(
        &self,
        token: &str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Said {
        finish(self.command(arguments).env("STELLAOPS_OIDC_TOKEN", token))
    }

    /// Starts the instance and waits until it serves.
    pub(crate) fn serve(&mut self) {
        self.serve_with(&[]);
    }

    /// Starts the instance with further flags and waits until it serves.
    pub(crate) fn serve_with(&mut self, flags: &[&str]) {
        let address = self.url.trim_start_matches("http://").to_owned();
        let mut child = self
            .command(["serve", "--dir", "sigstore", "--listen", &address])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        assert!(first.starts_with("serving "), "{first}");
        // The pipe is read to its end, so that the service never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        self.server = Some(child);
    }

    /// Stops the instance as an operator does, and requires a clean end.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.server.take() else {
            return;
        };
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        assert!(child.wait().unwrap().success(), "serve did not end cleanly");
    }

    /// Kills the instance as a machine does that runs out of memory, and waits for its end.
    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.server.take() else {
            return;
        };
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// Returns the most memory that the instance has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let peak = peak_memory(self.server.as_ref().unwrap().id());
        peak.unwrap()
    }

    /// Kills the instance without waiting.
    pub(crate) fn kill_now(&self) {
        if let Some(child) = &self.server {
            let id = child.id().to_string();
            let _ = Command::new("kill").args(["-KILL", &id]).status();
        }
    }

    /// Gets a token of the instance's own issuer.
    pub(crate) fn token(&self) -> String {
        let said = self
            .run(["identity", "token", "--dir", "sigstore"])
            .ended(0);
        said.out.trim().to_owned()
    }

    /// Signs an artifact and requires success.
    pub(crate) fn sign(&self, artifact: &str, more: &[&str]) -> Said {
        let mut arguments = vec!["attest", "sign", "--keyless", "--artifact", artifact];
        arguments.extend_from_slice(more);
        self.run_with_token(&self.token(), arguments).ended(0)
    }

    /// Asks whether an artifact is attested by the instance's default subject.
    pub(crate) fn verify(&self, artifact: &str, more: &[&str]) -> Said {
        let mut arguments = vec!["attest", "verify", "--artifact", artifact];
        arguments.extend([
            "--certificate-identity",
            "repo:local/demo:ref:refs/heads/main",
        ]);
        arguments.extend(["--certificate-oidc-issuer", &self.url]);
        arguments.extend_from_slice(more);
        self.run(arguments)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(child) = &mut self.server {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns the most memory that a process held so far, in bytes; none when it is gone.
pub(crate) fn peak_memory(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes = peak.trim().trim_end_matches(" kB");
    Some(kibibytes.parse::<u64>().ok()? << 10)
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Returns `sha256:` and the digest of some text.
pub(crate) fn digest(text: &str) -> String {
    stella_bundle::digest::DigestAlgorithm::Sha256
        .digest(text.as_bytes())
        .to_string()
}

/// Requires each of these words in what was said to people.
#[track_caller]
pub(crate) fn says(err: &str, words: &[&str]) {
    for word in words {
        assert!(err.contains(word), "expected {word:?} in {err:?}");
    }
}

/// Says whether a foreign program is here, and demands it where `STELLA_FOREIGN=1` does.
#[expect(clippy::print_stdout, reason = "a test may speak")]
pub(crate) fn is_wanted(program: &str) -> bool {
    let wanted = std::env::var("STELLA_FOREIGN").unwrap_or_default();
    let version = Command::new(program).arg("--version").output();
    let is_installed = version.is_ok_and(|output| output.status.success());
    if wanted == "0" || (!is_installed && wanted != "1") {
        println!("skipped: {program} is not installed, or STELLA_FOREIGN=0");
        return false;
    }
    assert!(
        is_installed,
        "STELLA_FOREIGN=1, but {program} is not installed"
    );
    true
}
