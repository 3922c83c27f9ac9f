//! Verify artifacts: every attestation found for each, by the rules of `stella_bundle::verify`, then one answer by the
//! gate of `stella_policy`.
//!
//! Where attestations are found, and what is printed, is the caller's.

use std::num::NonZeroUsize;

use stella_bundle::bundle::Bundle;
use stella_bundle::digest::Digest;
use stella_bundle::legacy::{self, Form, LegacyError};
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{Artifact, Report, Trust, Verified, Verifier, VerifyError};
use stella_policy::gate::{self, Decision, Finding, Item};
use stella_policy::policy::Policy;

use crate::shelf::{Damage, Stored};

/// Where a bundle was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The index under the fallback tag of a registry.
    FallbackIndex,
    /// A file that the caller named.
    File,
    /// An OCI layout.
    Layout,
    /// A tag of cosign before v3.
    LegacyTag,
    /// A tag of its own in a registry.
    OwnTag,
    /// The list of referrers of a registry.
    Referrers,
    /// The shelf of this machine.
    Shelf,
}

/// An attestation that may speak of the artifact.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Where it was found.
    pub source: Source,
    /// What was found.
    pub found: Found,
}

/// What was found.
#[derive(Clone, Debug)]
pub enum Found {
    /// The bytes of a bundle, or why they are not to be had.
    Bytes(Result<Vec<u8>, Damage>),
    /// Signature, certificate and payload from places of their own, put together, or why they do not fit.
    Pieces(Result<Box<Bundle>, LegacyError>),
}

impl Candidate {
    /// Returns a bundle that lay somewhere.
    pub fn stored(stored: Stored, source: Source) -> Self {
        Self {
            digest: stored.digest,
            source,
            found: Found::Bytes(stored.bytes),
        }
    }
}

/// One artifact, and everything that may speak of it.
#[derive(Clone, Debug)]
pub struct Question {
    /// Digests of the artifact, of different algorithms.
    pub artifact: Vec<Digest>,
    /// Its bytes, for keys that sign whole messages (Ed25519, ML-DSA); the digests do for all others.
    pub content: Option<Vec<u8>>,
    /// What may speak of it.
    pub candidates: Vec<Candidate>,
}

/// What became of one candidate.
#[derive(Debug)]
pub struct Examined {
    /// SHA-256 of the bundle's bytes.
    pub digest: Digest,
    /// Where it was found.
    pub source: Source,
    /// The form in which it was written, none when it is not even a bundle.
    pub form: Option<Form>,
    /// What it proves, or why it was not judged.
    pub result: Result<Report, Unjudged>,
}

/// Why a candidate was not judged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unjudged {
    /// Its file is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// It is not a bundle.
    #[error(transparent)]
    NotABundle(#[from] LegacyError),
}

impl Examined {
    /// Returns what was verified, none when the bundle was refused.
    pub fn verified(&self) -> Option<&Verified> {
        self.result.as_ref().ok()?.verdict.as_ref().ok()
    }

    /// Returns why verification refused the bundle, none when it did not or was not asked.
    pub fn refused(&self) -> Option<&VerifyError> {
        self.result.as_ref().ok()?.verdict.as_ref().err()
    }

    fn to_item(&self) -> Item<'_> {
        Item {
            digest: &self.digest,
            finding: match &self.result {
                Ok(report) => Finding::Report(report),
                Err(Unjudged::Damaged(_)) => Finding::Damaged,
                Err(Unjudged::NotABundle(_)) => Finding::NotABundle,
            },
        }
    }
}

/// The answer about one artifact.
#[derive(Debug)]
pub struct Answer {
    /// Every candidate, in the order given.
    pub examined: Vec<Examined>,
    /// Whether the artifact passes, and what led to it.
    pub decision: Decision,
}

impl Answer {
    /// Returns the candidates as the gate sees them.
    pub fn items(&self) -> Vec<Item<'_>> {
        items(&self.examined)
    }
}

/// A trusted root and a policy, made once and used for many artifacts.
#[derive(Debug)]
pub struct Gate {
    verifier: Verifier,
    policy: Policy,
}

impl Gate {
    /// Returns the gate of this policy over this trust.
    pub fn new(trust: Trust, policy: Policy) -> Self {
        Self {
            verifier: Verifier::new(trust, policy.to_verification()),
            policy,
        }
    }

    /// Returns what is asked.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Answers for one artifact.
    pub fn verify(&self, question: Question, now: UnixTime) -> Answer {
        let mut answers = self.verify_many(vec![question], now, NonZeroUsize::MIN);
        answers
            .pop()
            .unwrap_or_else(|| self.answer(Vec::new(), now))
    }

    /// Answers for many artifacts on up to `threads` threads; the answers come in the order of the questions.
    pub fn verify_many(
        &self,
        questions: Vec<Question>,
        now: UnixTime,
        threads: NonZeroUsize,
    ) -> Vec<Answer> {
        // 1. Read every bundle.
        let mut artifacts = Vec::with_capacity(questions.len());
        let mut read_candidates = Vec::with_capacity(questions.len());
        for question in questions {
            artifacts.push((question.artifact, question.content));
            let candidates = question.candidates.into_iter();
            read_candidates.push(candidates.map(Read::of).collect::<Vec<_>>());
        }
        // 2. Verify all at once: bundles of one artifact, which share most, stay neighbours.
        let mut asked = Vec::new();
        for (artifact, candidates) in artifacts.iter().zip(&read_candidates) {
            let artifact = match artifact {
                (_, Some(content)) => Artifact::Bytes(content),
                (digests, None) => Artifact::Digests(digests),
            };
            let bundles = candidates
                .iter()
                .filter_map(|each| each.bundle.as_ref().ok());
            asked.extend(
                bundles.map(|(bundle, _)| stella_bundle::verify::Question { bundle, artifact }),
            );
        }
        let mut reports = self.verifier.verify_many(&asked, now, threads).into_iter();
        drop(asked);
        // 3. Give each report to its candidate, and judge each artifact.
        let mut answers = Vec::with_capacity(read_candidates.len());
        for candidates in read_candidates {
            let mut examined = Vec::with_capacity(candidates.len());
            for read in candidates {
                let form = read.bundle.as_ref().ok().map(|(_, form)| *form);
                let result = match read.bundle {
                    // There is a report for each bundle, in order.
                    Ok(_) => reports.next().map(Ok),
                    Err(unjudged) => Some(Err(unjudged)),
                };
                examined.extend(result.map(|result| Examined {
                    digest: read.digest,
                    source: read.source,
                    form,
                    result,
                }));
            }
            answers.push(self.answer(examined, now));
        }
        answers
    }

    fn answer(&self, examined: Vec<Examined>, now: UnixTime) -> Answer {
        let decision = gate::judge(&self.policy, &items(&examined), now);
        Answer { examined, decision }
    }
}

fn items(examined: &[Examined]) -> Vec<Item<'_>> {
    examined.iter().map(Examined::to_item).collect()
}

/// A candidate whose bytes were read.
struct Read {
    digest: Digest,
    source: Source,
    bundle: Result<(Bundle, Form), Unjudged>,
}

impl Read {
    fn of(candidate: Candidate) -> Self {
        Self {
            digest: candidate.digest,
            source: candidate.source,
            bundle: read(candidate.found),
        }
    }
}

/// The one place where bytes become a bundle.
fn read(found: Found) -> Result<(Bundle, Form), Unjudged> {
    match found {
        Found::Bytes(bytes) => Ok(legacy::read(&bytes?)?),
        Found::Pieces(bundle) => Ok((*bundle?, Form::Legacy)),
    }
}
