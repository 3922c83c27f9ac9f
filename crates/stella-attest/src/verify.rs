//! Verify artifacts: every attestation found for each, by the rules of `stella_bundle::verify`, then one answer by the
//! gate of `stella_policy`.
//!
//! Where attestations are found, and what is printed, is the caller's.

use std::num::NonZeroUsize;

use stella_bundle::bundle::Bundle;
use stella_bundle::digest::Digest;
use stella_bundle::legacy::{self, Form, LegacyError};
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{
    Artifact, Policy as Verification, Report, Trust, Verified, Verifier, VerifyError,
};
use stella_policy::gate::{self, Decision, Finding, Item};
use stella_policy::policy::Policy;

use crate::archive::held::{Held, InArchive, NotHeld, Reverifiers, RootOf};
use crate::shelf::{Damage, Stored};

/// Where a bundle was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An archive.
    Archive,
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
    /// Its place in an archive that was judged by an anchor; none where no archive is asked.
    pub held: Option<Held>,
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
            held: None,
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
    /// What an archive proves of it; none where no archive was asked or it does not hold it.
    pub archived: Option<InArchive>,
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
    /// It is not what the archive holds from which it comes.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
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
                Err(Unjudged::NotHeld(_)) => Finding::NotArchived,
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
        // 1. Read every bundle; what comes from an archive is in it.
        let policy = self.policy.to_verification();
        let mut artifacts = Vec::with_capacity(questions.len());
        let mut read_candidates = Vec::with_capacity(questions.len());
        for question in questions {
            artifacts.push((question.artifact, question.content));
            let candidates = question.candidates.into_iter();
            let read = candidates.map(|each| Read::of(each, &policy));
            read_candidates.push(read.collect::<Vec<_>>());
        }
        // 2. Verify all at once: bundles of one artifact, which share most, stay neighbours.
        let mut asked = Vec::new();
        for (artifact, candidates) in artifacts.iter().zip(&read_candidates) {
            let artifact = compared(artifact);
            let bundles = candidates.iter().filter(|each| !each.is_of_its_time());
            let bundles = bundles.filter_map(|each| each.bundle.as_ref().ok());
            asked.extend(
                bundles.map(|(bundle, _)| stella_bundle::verify::Question { bundle, artifact }),
            );
        }
        let mut reports = self.verifier.verify_many(&asked, now, threads).into_iter();
        drop(asked);
        // 3. Give each report to its candidate, and judge each artifact.
        let mut again = Reverifiers::new(&policy);
        let mut answers = Vec::with_capacity(read_candidates.len());
        for (artifact, candidates) in artifacts.iter().zip(read_candidates) {
            let mut examined = Vec::with_capacity(candidates.len());
            for read in candidates {
                let form = read.bundle.as_ref().ok().map(|(_, form)| *form);
                let of_its_time = read.is_of_its_time();
                let result = match (read.bundle, &read.archived) {
                    (Ok((bundle, _)), Some(archived)) if of_its_time => {
                        let report = again.verify(archived, bundle, &compared(artifact));
                        Some(report.map_err(Unjudged::from))
                    }
                    // There is a report for each other bundle, in order.
                    (Ok(_), _) => reports.next().map(Ok),
                    (Err(unjudged), _) => Some(Err(unjudged)),
                };
                examined.extend(result.map(|result| Examined {
                    digest: read.digest,
                    source: read.source,
                    form,
                    result,
                    archived: read.archived,
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

/// Returns what attestations are compared with.
fn compared((digests, content): &(Vec<Digest>, Option<Vec<u8>>)) -> Artifact<'_> {
    match content {
        Some(content) => Artifact::Bytes(content),
        None => Artifact::Digests(digests),
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
    archived: Option<InArchive>,
}

impl Read {
    fn of(candidate: Candidate, policy: &Verification) -> Self {
        let archived = match (candidate.held, &candidate.found) {
            (Some(held), Found::Bytes(Ok(bytes))) => held.require_archived(bytes, policy).map(Some),
            _ => Ok(None),
        };
        let (archived, bundle) = match archived {
            Ok(archived) => (archived, read(candidate.found)),
            Err(error) => (None, Err(error.into())),
        };
        Self {
            digest: candidate.digest,
            source: candidate.source,
            bundle,
            archived,
        }
    }

    /// Says whether it is verified by the trusted root of its time, and not by the verifier's.
    fn is_of_its_time(&self) -> bool {
        let by = self.archived.as_ref().map(|archived| archived.by);
        by == Some(RootOf::Archive)
    }
}

/// The one place where bytes become a bundle.
fn read(found: Found) -> Result<(Bundle, Form), Unjudged> {
    match found {
        Found::Bytes(bytes) => Ok(legacy::read(&bytes?)?),
        Found::Pieces(bundle) => Ok((*bundle?, Form::Legacy)),
    }
}
