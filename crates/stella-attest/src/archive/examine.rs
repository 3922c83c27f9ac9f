//! What the organisation's own verification finds about attestations that come in.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use futures_util::stream::{Stream, StreamExt as _};
use stella_archive::fingerprint::Fingerprint;
use stella_archive::index::subject_key;
use stella_archive::leaf::Status;
use stella_bundle::bundle::{Bundle, Content, KeyMaterial};
use stella_bundle::key::sha256;
use stella_bundle::memo::Memo;
use stella_bundle::statement::Subject;
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{Artifact, Facts, LogFact, Verifier, VerifyError};
use tokio::sync::oneshot;

use super::error::ArchiveError;
use super::spool::Finding;

/// Bytes of attestations that are held in memory until those before them are verified.
const MOST_HELD: usize = 16 << 20;

/// Attestations that a thread takes at once: what one certificate signed lies together, and is verified together.
const AT_ONCE: usize = 32;

/// What comes in: attestations, from wherever they are.
pub type Incoming<'a> = Pin<Box<dyn Stream<Item = Result<Arrival, ArchiveError>> + 'a>>;

/// An attestation that comes in.
#[derive(Clone, Debug)]
pub struct Arrival {
    bytes: Vec<u8>,
    claim: Claim,
}

/// What is said about an attestation already.
#[derive(Clone, Debug)]
enum Claim {
    /// Nothing.
    None,
    /// This, by whoever had a share of the work; it is believed.
    Believed(Finding),
    /// The same, and it is verified again.
    Doubted(Finding),
}

impl From<Vec<u8>> for Arrival {
    /// Nothing is known of it but its bytes.
    fn from(bytes: Vec<u8>) -> Self {
        let claim = Claim::None;
        Self { bytes, claim }
    }
}

impl Arrival {
    /// Takes what was found elsewhere for true; the digest was compared.
    pub(super) fn believed(bytes: Vec<u8>, finding: Finding) -> Self {
        let claim = Claim::Believed(finding);
        Self { bytes, claim }
    }

    /// Has what was found elsewhere verified again.
    pub(super) fn doubted(bytes: Vec<u8>, finding: Finding) -> Self {
        let claim = Claim::Doubted(finding);
        Self { bytes, claim }
    }

    /// Returns the SHA-256 of its bytes.
    pub(super) fn sha256(&self) -> [u8; 32] {
        sha256(&self.bytes)
    }
}

/// Verifies what comes in on so many threads, and hands it on in its order. `done` hears how many there are so far.
///
/// # Errors
/// `Claim` where what was found elsewhere does not hold, and those of what comes in and of `each`.
pub(super) async fn examine_stream(
    mut incoming: Incoming<'_>,
    verifier: Arc<Verifier>,
    threads: NonZeroUsize,
    now: &(dyn Fn() -> UnixTime + Sync),
    done: &(dyn Fn(u64) + Sync),
    mut each: impl FnMut(Vec<u8>, Finding) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let workers = Workers::start(&verifier, threads);
    let (mut waiting, mut held, mut seen) = (VecDeque::new(), 0, 0);
    loop {
        let (some, bytes) = next_few(&mut incoming).await?;
        let is_end = some.is_empty();
        if !is_end {
            held += bytes;
            waiting.push_back(workers.send(some, now()));
        }
        while is_end || held > MOST_HELD {
            let Some(first) = waiting.pop_front() else {
                break;
            };
            for (bytes, finding) in examined(first).await {
                held -= bytes.len();
                each(bytes, finding?)?;
                seen += 1;
            }
        }
        done(seen);
        if is_end {
            return Ok(());
        }
    }
}

/// Reads as many attestations as a thread takes at once; returns how many bytes they have, too.
async fn next_few(incoming: &mut Incoming<'_>) -> Result<(Vec<Arrival>, usize), ArchiveError> {
    let (mut some, mut held) = (Vec::new(), 0);
    while some.len() < AT_ONCE && held < MOST_HELD {
        let Some(arrival) = incoming.next().await.transpose()? else {
            break;
        };
        held += arrival.bytes.len();
        some.push(arrival);
    }
    Ok((some, held))
}

/// Threads that verify, each the next few that nobody has taken: one that others keep from its core holds up nobody, and what a
/// thread verified once it remembers to the end.
struct Workers {
    /// The threads end with this.
    tasks: Sender<Task>,
}

/// A few attestations, and where what was found goes.
struct Task {
    some: Vec<Arrival>,
    now: UnixTime,
    answer: oneshot::Sender<thread::Result<Examined>>,
}

/// A few attestations with what was found.
type Examined = Vec<(Vec<u8>, Result<Finding, ArchiveError>)>;

impl Workers {
    fn start(verifier: &Arc<Verifier>, threads: NonZeroUsize) -> Self {
        let (tasks, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..threads.get() {
            let (verifier, waiting) = (Arc::clone(verifier), Arc::clone(&waiting));
            thread::spawn(move || work(&verifier, &waiting));
        }
        Self { tasks }
    }

    fn send(
        &self,
        some: Vec<Arrival>,
        now: UnixTime,
    ) -> oneshot::Receiver<thread::Result<Examined>> {
        let (answer, examined) = oneshot::channel();
        let _ = self.tasks.send(Task { some, now, answer });
        examined
    }
}

/// Waits for what was sent; a defect that panics is the caller's.
async fn examined(examined: oneshot::Receiver<thread::Result<Examined>>) -> Examined {
    match examined.await {
        Ok(Ok(examined)) => examined,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        // Every thread answers before it ends.
        Err(_) => std::future::pending().await,
    }
}

fn work(verifier: &Verifier, waiting: &Mutex<Receiver<Task>>) {
    let memo = Memo::remembering();
    loop {
        let task = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(Task { some, now, answer }) = task else {
            return;
        };
        let examine = |arrival: Arrival| {
            let finding = arrival.examine(verifier, now, &memo);
            (arrival.bytes, finding)
        };
        let examine_all = || some.into_iter().map(examine).collect();
        let examined = std::panic::catch_unwind(AssertUnwindSafe(examine_all));
        let is_defect = examined.is_err();
        let _ = answer.send(examined);
        if is_defect {
            return;
        }
    }
}

impl Arrival {
    fn examine(
        &self,
        verifier: &Verifier,
        now: UnixTime,
        memo: &Memo,
    ) -> Result<Finding, ArchiveError> {
        match &self.claim {
            Claim::None => Ok(examine(verifier, &self.bytes, now, memo)),
            Claim::Believed(finding) => Ok(finding.clone()),
            Claim::Doubted(claimed) => {
                let finding = examine(verifier, &self.bytes, now, memo);
                match finding == *claimed {
                    true => Ok(finding),
                    false => Err(ArchiveError::Claim {
                        digest: hex::encode(claimed.digest.sha256),
                    }),
                }
            }
        }
    }
}

fn examine(verifier: &Verifier, bytes: &[u8], now: UnixTime, memo: &Memo) -> Finding {
    let digest = Fingerprint::of(bytes);
    let refused = |reason: &str| Finding {
        digest,
        status: Status::rejected(reason),
        time: None,
        signer: 0,
        subjects: Vec::new(),
        entries: Vec::new(),
    };
    let Ok(bundle) = Bundle::parse(bytes) else {
        return refused("not-a-bundle");
    };
    let report = verifier.verify_remembering(&bundle, &Artifact::AsSigned, now, memo);
    match report.verdict {
        Ok(verified) => Finding {
            digest,
            status: Status::Verified,
            time: verified
                .facts()
                .times
                .first()
                .map(|each| each.time.seconds()),
            signer: signer(&bundle),
            subjects: subjects(&bundle, verified.facts()),
            entries: entries(verified.facts()),
        },
        Err(error) => refused(&variant(&error)),
    }
}

/// Returns the beginning of the SHA-256 of the signer's certificate, or of the key's hint.
fn signer(bundle: &Bundle) -> u64 {
    let digest = match &bundle.key {
        KeyMaterial::Certificates(chain) => sha256(chain.first().map_or(&[], Vec::as_slice)),
        KeyMaterial::PublicKey { hint } => sha256(hint.as_bytes()),
    };
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Returns where an attestation is provably logged.
fn entries(facts: &Facts) -> Vec<(String, u64)> {
    let counted = facts.entries.iter().filter(|each| each.ignored.is_none());
    let place = |each: &LogFact| Some((each.origin.clone(), u64::try_from(each.index).ok()?));
    counted.filter_map(place).collect()
}

/// Returns the keys of what an attestation speaks of.
fn subjects(bundle: &Bundle, facts: &Facts) -> Vec<[u8; 32]> {
    let named = facts.statement.iter().flat_map(|each| &each.subject);
    let mut digests: Vec<_> = named.flat_map(Subject::digests).collect();
    if let Content::Message {
        digest: Some(digest),
        ..
    } = &bundle.content
    {
        digests.push(digest.clone());
    }
    digests.iter().map(subject_key).collect()
}

/// Names an error by its variant: `BadSignature` becomes `bad-signature`.
fn variant(error: &VerifyError) -> String {
    let text = format!("{error:?}");
    let name = text
        .split(|each: char| !each.is_ascii_alphanumeric())
        .next();
    let mut word = String::new();
    for letter in name.unwrap_or_default().chars() {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}
