//! What the organisation's own verification finds about attestations that come in.

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

use super::error::ArchiveError;
use super::spool::Finding;

/// Attestations that are verified side by side, and held in memory until they are.
const BATCH: usize = 1024;
/// Bytes of attestations that are held in memory until they are verified.
const BATCH_BYTES: usize = 16 << 20;

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

/// Verifies what comes in, a batch at a time: while one is verified the next is read, and the one before is handed on. `done` hears
/// how many there are so far.
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
    let (mut running, mut seen) = (None, 0);
    loop {
        let batch = next_batch(&mut incoming).await?;
        let finished = match running.take() {
            Some(running) => examined(running).await,
            None => Vec::new(),
        };
        if !batch.is_empty() {
            let (verifier, now) = (Arc::clone(&verifier), now());
            running = Some(tokio::task::spawn_blocking(move || {
                let findings = examine_all(&verifier, &batch, now, threads);
                let bytes = batch.into_iter().map(|arrival| arrival.bytes);
                bytes.zip(findings).collect::<Vec<_>>()
            }));
        }
        for (bytes, finding) in finished {
            each(bytes, finding?)?;
            seen += 1;
        }
        done(seen);
        if running.is_none() {
            return Ok(());
        }
    }
}

/// Reads as many attestations as are verified side by side.
async fn next_batch(incoming: &mut Incoming<'_>) -> Result<Vec<Arrival>, ArchiveError> {
    let (mut batch, mut held) = (Vec::new(), 0);
    while batch.len() < BATCH && held < BATCH_BYTES {
        let Some(arrival) = incoming.next().await.transpose()? else {
            break;
        };
        held += arrival.bytes.len();
        batch.push(arrival);
    }
    Ok(batch)
}

/// A batch with what was found.
type Examined = Vec<(Vec<u8>, Result<Finding, ArchiveError>)>;

/// Waits for a batch; a defect that panics is the caller's.
async fn examined(running: tokio::task::JoinHandle<Examined>) -> Examined {
    match running.await {
        Ok(findings) => findings,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends: nobody waits for the answer.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Verifies attestations side by side; the findings come in their order. Each thread takes the next few that nobody has taken: one
/// that others keep from its core holds up nobody.
fn examine_all(
    verifier: &Verifier,
    batch: &[Arrival],
    now: UnixTime,
    threads: NonZeroUsize,
) -> Vec<Result<Finding, ArchiveError>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (memo, mut done) = (Memo::remembering(), Vec::new());
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            let Some(some) = batch.chunks(AT_ONCE).nth(part) else {
                return done;
            };
            let findings = some.iter().map(|each| each.examine(verifier, now, &memo));
            done.push((part, findings.collect::<Vec<_>>()));
        }
    };
    let mut parts = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.get()).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| {
            let joined = worker.join();
            joined.unwrap_or_else(|cause| std::panic::resume_unwind(cause))
        });
        joined.flatten().collect::<Vec<_>>()
    });
    parts.sort_by_key(|(part, _)| *part);
    parts
        .into_iter()
        .flat_map(|(_, findings)| findings)
        .collect()
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
