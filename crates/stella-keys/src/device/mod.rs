//! A key in a device, by PKCS#11: an HSM, a smart card, a TPM. The maker's module runs in a process of its own, so that one
//! that crashes or hangs takes nothing with it, and the PIN is known to that process alone.

pub mod uri;
pub mod words;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::key::{KeyDetails, PublicKey};
use zeroize::Zeroizing;

use crate::signer::{Input, KeyError, Signer, one_line};
use crate::stored::details_for;
use words::{Answer, Attested, FailureKind, Listed, MAX_LINE, Open, Request, Sign};

/// So many requests are on their way at once; with their answers they fit into the pipes.
const AT_ONCE: usize = 64;
/// Most requests have fewer bytes.
const USUAL_LINE: usize = 4096;
/// A device may wait for a finger.
const PATIENCE: Duration = Duration::from_secs(60);

/// A key in a device.
pub struct DeviceKey {
    helper: Mutex<Helper>,
    public: PublicKey,
    details: KeyDetails,
}

impl DeviceKey {
    /// Opens a key through the helper program at `helper`. `log` asks for signatures over digests, as logs need them.
    ///
    /// # Errors
    /// `Device` of any kind; `Helper` when the helper cannot be run, ends or does not answer; `UnsupportedKind`.
    pub fn open(helper: &Path, open: Open, log: bool) -> Result<Self, KeyError> {
        Self::open_within(PATIENCE, helper, open, log)
    }

    /// As [`DeviceKey::open`], for modules that must answer within `patience`.
    ///
    /// # Errors
    /// As [`DeviceKey::open`].
    pub fn open_within(
        patience: Duration,
        helper: &Path,
        open: Open,
        log: bool,
    ) -> Result<Self, KeyError> {
        let mut helper = Helper::start(helper, patience)?;
        let spki = match helper.ask(&Request::Open(open))? {
            Answer::Opened(spki) => spki,
            other => return Err(unexpected(other)),
        };
        let public = PublicKey::from_spki(&spki).map_err(|_| KeyError::UnsupportedKind)?;
        let details = details_for(public.kind(), log).ok_or(KeyError::UnsupportedKind)?;
        // What devices sign with Ed25519 is the message itself.
        if details == KeyDetails::Ed25519Ph {
            return Err(KeyError::Unsupported(details));
        }
        Ok(Self {
            helper: Mutex::new(helper),
            public,
            details,
        })
    }
}

/// Lists the keys that a module knows; `open` chooses the token.
///
/// # Errors
/// As [`DeviceKey::open`].
pub fn list(helper: &Path, open: Open) -> Result<Vec<Listed>, KeyError> {
    match Helper::start(helper, PATIENCE)?.ask(&Request::List(open))? {
        Answer::Listed(listed) => Ok(listed),
        other => Err(unexpected(other)),
    }
}

/// Says how a key is kept, as its module says it.
///
/// # Errors
/// As [`DeviceKey::open`].
pub fn attest(helper: &Path, open: Open) -> Result<Attested, KeyError> {
    match Helper::start(helper, PATIENCE)?.ask(&Request::Attest(open))? {
        Answer::Attested(attested) => Ok(*attested),
        other => Err(unexpected(other)),
    }
}

impl Signer for DeviceKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn details(&self) -> KeyDetails {
        self.details
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signatures = self.sign_many(&[Input::Message(message)])?;
        Ok(signatures.swap_remove(0))
    }

    fn prehash(&self) -> Option<DigestAlgorithm> {
        self.details.hash()
    }

    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, KeyError> {
        let mut signatures = self.sign_many(&[Input::Digest(digest)])?;
        Ok(signatures.swap_remove(0))
    }

    fn sign_many(&self, inputs: &[Input<'_>]) -> Result<Vec<Vec<u8>>, KeyError> {
        // Digests are small, so that many fit into the pipe; a whole message may be larger than it.
        let at_once = match self.details.hash() {
            Some(_) => AT_ONCE,
            None => 1,
        };
        let mut helper = self.helper.lock().unwrap_or_else(PoisonError::into_inner);
        let mut signatures = Vec::with_capacity(inputs.len());
        for some in inputs.chunks(at_once) {
            let requests = some.iter().map(|each| self.request(*each));
            let requests = requests.collect::<Result<Vec<_>, _>>()?;
            for answer in helper.ask_all(&requests)? {
                match answer {
                    Answer::Signed(signature) => signatures.push(signature),
                    other => return Err(unexpected(other)),
                }
            }
        }
        Ok(signatures)
    }
}

impl DeviceKey {
    fn request(&self, input: Input<'_>) -> Result<Request, KeyError> {
        let input = match (input, self.details.hash()) {
            (Input::Message(message), Some(hash)) => hash.digest(message).bytes().to_vec(),
            (Input::Message(message), None) => message.to_vec(),
            (Input::Digest(digest), Some(hash)) if digest.algorithm() == hash => {
                digest.bytes().to_vec()
            }
            (Input::Digest(_), _) => return Err(KeyError::WholeMessage),
        };
        Ok(Request::Sign(Sign {
            details: self.details.name().to_owned(),
            input,
        }))
    }
}

impl DeviceKey {
    /// Returns the helper's process id.
    pub fn process(&self) -> u32 {
        let helper = self.helper.lock().unwrap_or_else(PoisonError::into_inner);
        helper.child.id()
    }
}

impl std::fmt::Debug for DeviceKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("DeviceKey")
            .field("details", &self.details)
            .finish_non_exhaustive()
    }
}

/// The helper process. It ends with this value.
struct Helper {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    patience: Duration,
}

impl Helper {
    fn start(program: &Path, patience: Duration) -> Result<Self, KeyError> {
        let failed = |what: String| KeyError::Helper { what };
        let child = Command::new(program)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child =
            child.map_err(|error| failed(format!("cannot run {}: {error}", program.display())))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(to), Some(from)) => Ok(Self {
                child,
                to,
                from: BufReader::new(from),
                patience,
            }),
            _ => Err(failed("it has no pipes".to_owned())),
        }
    }

    /// Sends a request and waits for its answer.
    fn ask(&mut self, request: &Request) -> Result<Answer, KeyError> {
        let mut answers = self.ask_all(std::slice::from_ref(request))?;
        Ok(answers.swap_remove(0))
    }

    /// Sends requests at once and waits for their answers: the module works while the next are on their way.
    fn ask_all(&mut self, requests: &[Request]) -> Result<Vec<Answer>, KeyError> {
        // Made at once: a buffer that grows leaves its beginnings behind, and a PIN may be among them.
        let mut lines = Zeroizing::new(Vec::with_capacity(requests.len() * USUAL_LINE));
        for request in requests {
            serde_json::to_writer(&mut *lines, request).map_err(|_| KeyError::Library)?;
            lines.push(b'\n');
        }
        let sent = self.to.write_all(&lines).and_then(|()| self.to.flush());
        sent.map_err(|error| self.ended(&error))?;
        let mut answers = Vec::with_capacity(requests.len());
        for _ in requests {
            let answer = self.read().map_err(|error| self.ended(&error))?;
            let answer = serde_json::from_slice(&answer).map_err(|_| KeyError::Helper {
                what: "its answer is none".to_owned(),
            })?;
            answers.push(answer);
        }
        Ok(answers)
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        if self.from.buffer().is_empty() {
            wait_for(self.from.get_ref(), self.patience)?;
        }
        let mut line = Vec::new();
        let mut bounded = (&mut self.from).take(MAX_LINE as u64);
        bounded.read_until(b'\n', &mut line)?;
        match line.last() {
            Some(b'\n') => Ok(line),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Says how the helper failed, and ends it.
    fn ended(&mut self, error: &io::Error) -> KeyError {
        if error.kind() == io::ErrorKind::TimedOut {
            let _ = self.child.kill();
        }
        let status = self.child.wait().map(|status| status.to_string());
        let what = match (error.kind(), status) {
            (io::ErrorKind::TimedOut, _) => {
                format!("the module gave no answer in {:?}", self.patience)
            }
            (_, Ok(status)) => format!("the module ended the process: {status}"),
            (_, Err(error)) => error.to_string(),
        };
        KeyError::Helper { what }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until there is something to read.
#[cfg(unix)]
fn wait_for(pipe: &ChildStdout, patience: Duration) -> io::Result<()> {
    use std::time::Instant;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let start = Instant::now();
    loop {
        let left = patience.saturating_sub(start.elapsed());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(pipe, PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
        }
    }
}

/// Elsewhere a module that hangs is waited for.
#[cfg(not(unix))]
const fn wait_for(_: &ChildStdout, _: Duration) -> io::Result<()> {
    Ok(())
}

fn unexpected(answer: Answer) -> KeyError {
    match answer {
        Answer::Failed { kind, message } => KeyError::Device {
            kind,
            message: one_line(&message),
        },
        _ => KeyError::Helper {
            what: "it answers something else than it was asked".to_owned(),
        },
    }
}

impl FailureKind {
    /// Says what it means, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Absent => "there is no such key",
            Self::Ambiguous => "several keys fit",
            Self::Device => "the device failed",
            Self::Pin => "the PIN is wrong or missing",
            Self::Locked => "the PIN is locked",
            Self::Unsupported => "the device cannot do that",
        }
    }
}
