//! Credential helpers: programs named `docker-credential-NAME` that keep secrets in a keychain or fetch them from a cloud.
//!
//! Which helper stands for which registry is said by the credential file, not here.
//!
//! spec: docker-credential-helpers, "Development": a verb as argument, the question on standard input, the answer on
//! standard output; errors are standard output too, with an exit code other than 0.

use std::env::{consts::EXE_SUFFIX, split_paths};
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::Credential;
use super::error::HelperProblem;
use super::object::{Object, quoted, unquoted};

/// Bytes of an answer; tokens of clouds have a few thousand.
const MAX_ANSWER: usize = 64 * 1024;
/// How long a person may take to unlock a keychain.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the end of a helper is looked for that has said everything.
const GLANCE: Duration = Duration::from_millis(2);
/// Characters of a failing helper's words that are repeated.
const MAX_SAID: usize = 200;

/// What a helper says of a registry that it does not know.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user's name that says: the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Says whether a name leads to a program of the search path and nowhere else.
pub(super) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.bytes().all(is_plain)
}

/// How helpers are found and how long they are waited for.
#[derive(Debug, Clone)]
pub(super) struct CredentialHelpers {
    /// Folders, as `PATH` lists them.
    pub(super) search_path: OsString,
    /// How long each of them may take.
    pub(super) patience: Duration,
}

struct Answer {
    status: ExitStatus,
    said: Zeroizing<Vec<u8>>,
}

impl CredentialHelpers {
    pub(super) const fn new(search_path: OsString) -> Self {
        Self {
            search_path,
            patience: PATIENCE,
        }
    }

    /// Asks for what is known of a server; `None` when that is nothing.
    pub(super) fn find(
        &self,
        name: &str,
        server: &str,
    ) -> Result<Option<Credential>, HelperProblem> {
        let answer = self.run(name, "get", server.as_bytes())?;
        if answer.is_not_found() {
            return Ok(None);
        }
        let text = answer.require_success()?;
        let object = Object::parse(text).map_err(|_| HelperProblem::Answer)?;
        let word = |name| {
            let text = object.member(name).and_then(unquoted);
            text.ok_or(HelperProblem::Answer)
        };
        let (user, secret) = (word("Username")?, word("Secret")?);
        Ok(match user.as_str() {
            TOKEN_USER => Some(Credential::IdentityToken(secret)),
            "" if secret.is_empty() => None,
            _ => Some(Credential::Basic {
                user: (*user).clone(),
                password: secret,
            }),
        })
    }

    /// Hands a password over.
    pub(super) fn store(
        &self,
        name: &str,
        server: &str,
        user: &str,
        password: &str,
    ) -> Result<(), HelperProblem> {
        let secret = Zeroizing::new(quoted(password));
        let question = Zeroizing::new(format!(
            "{{\"ServerURL\":{},\"Username\":{},\"Secret\":{}}}",
            quoted(server),
            quoted(user),
            *secret
        ));
        let answer = self.run(name, "store", question.as_bytes())?;
        answer.require_success().map(|_| ())
    }

    /// Lets a helper forget a server, and says whether it knew one.
    pub(super) fn erase(&self, name: &str, server: &str) -> Result<bool, HelperProblem> {
        let answer = self.run(name, "erase", server.as_bytes())?;
        if answer.is_not_found() {
            return Ok(false);
        }
        answer.require_success().map(|_| true)
    }

    /// Says whether a helper's program is to be found.
    pub(super) fn is_installed(&self, name: &str) -> bool {
        self.program(name).is_some()
    }

    fn run(&self, name: &str, verb: &str, question: &[u8]) -> Result<Answer, HelperProblem> {
        let program = self.program(name).ok_or(HelperProblem::NotInstalled)?;
        // What a helper has to say to a person, it says on standard error.
        let mut child = Command::new(program)
            .arg(verb)
            .env("PATH", &self.search_path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(start_problem)?;
        let answer = self.converse(&mut child, question);
        if answer.is_err() {
            // It may have ended by itself; then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
        answer
    }

    /// Speaks with a helper until it ends. A thread of its own, because a pipe can be waited for without end.
    fn converse(&self, child: &mut Child, question: &[u8]) -> Result<Answer, HelperProblem> {
        let deadline = Instant::now() + self.patience;
        let late = HelperProblem::Late {
            patience: self.patience,
        };
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(start_problem(io::ErrorKind::BrokenPipe.into()));
        };
        let question = Zeroizing::new(question.to_vec());
        let (sender, receiver) = mpsc::channel();
        let talk = move || {
            // Who needs no question may leave it unread.
            let _ = stdin.write_all(&question);
            drop(stdin);
            let mut said = Zeroizing::new(Vec::with_capacity(MAX_ANSWER + 1));
            let read = stdout.take(MAX_ANSWER as u64 + 1).read_to_end(&mut said);
            let _ = sender.send(read.map(|_| said));
        };
        let talk = thread::Builder::new().spawn(talk);
        talk.map_err(start_problem)?;
        let said = match receiver.recv_timeout(self.patience) {
            Ok(read) => read.map_err(start_problem)?,
            Err(RecvTimeoutError::Timeout) => return Err(late),
            Err(RecvTimeoutError::Disconnected) => return Err(HelperProblem::Answer),
        };
        if said.len() > MAX_ANSWER {
            return Err(HelperProblem::TooLong { limit: MAX_ANSWER });
        }
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().map_err(start_problem)? {
                return Ok(Answer { status, said });
            }
            thread::sleep(GLANCE);
        }
        Err(late)
    }

    /// Finds a helper. Folders that depend on where a command is run are left out: a checked-out project is no place to
    /// take programs from that are told secrets.
    fn program(&self, name: &str) -> Option<PathBuf> {
        let file = format!("docker-credential-{name}{EXE_SUFFIX}");
        split_paths(&self.search_path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(&file))
            .find(|path| is_executable(path))
    }
}

impl Answer {
    fn is_not_found(&self) -> bool {
        !self.status.success() && self.text().map(str::trim) == Some(NOT_FOUND)
    }

    fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.said).ok()
    }

    fn require_success(&self) -> Result<&str, HelperProblem> {
        if self.status.success() {
            return self.text().ok_or(HelperProblem::Answer);
        }
        let said = self.text().unwrap_or_default().trim();
        // An object is an answer that may hold a secret: it is not repeated.
        let said = if said.contains('{') { "" } else { said };
        Err(HelperProblem::Failed {
            code: self.status.code(),
            said: said
                .lines()
                .next()
                .unwrap_or_default()
                .chars()
                .take(MAX_SAID)
                .collect(),
        })
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "map_err hands the error over"
)]
fn start_problem(error: io::Error) -> HelperProblem {
    HelperProblem::Start {
        kind: error.kind(),
        number: error.raw_os_error(),
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}
