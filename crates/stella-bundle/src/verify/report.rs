//! What verification found: every fact, the outcome of every check, and one verdict.

use std::sync::Arc;

use super::error::{EntryError, VerifyError};
use crate::certificate::{Certificate, Claim};
use crate::entry::{KindVersion, LogEntry};
use crate::identity::Compared;
use crate::key::PublicKey;
use crate::legacy::SimpleSigning;
use crate::statement::Statement;
use crate::time::UnixTime;

/// What is checked, in the order of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// When it was signed.
    Time,
    /// The chain at that time.
    Certificate,
    /// What CT logs said of the leaf.
    Sct,
    /// Inclusion in the log.
    Log,
    /// The signature.
    Signature,
    /// The artifact.
    Subject,
    /// Who signed.
    Identity,
}

impl Check {
    /// All checks in order.
    pub const ALL: [Self; 7] = [
        Self::Time,
        Self::Certificate,
        Self::Sct,
        Self::Log,
        Self::Signature,
        Self::Subject,
        Self::Identity,
    ];

    /// Returns the name used in reports (`stella.verify/v1`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Time => "timestamp",
            Self::Certificate => "chain",
            Self::Sct => "sct",
            Self::Log => "tlog",
            Self::Signature => "signature",
            Self::Subject => "subject",
            Self::Identity => "identity",
        }
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It failed.
    Failed(VerifyError),
    /// A check that it depends on failed.
    NotReached,
    /// It holds.
    Ok,
    /// The policy asks for it not to be made.
    SkippedByPolicy,
}

/// A check that ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds.
    Holds,
    /// The policy asks for it not to be made.
    Skipped,
}

/// Everything that was found, trusted or not; the checks say which.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Facts {
    /// Who signed, by the certificate.
    pub signer: Option<SignerFact>,
    /// Which managed key signed.
    pub key: Option<KeyFact>,
    /// When, by authorities and logs that the trusted root knows; earliest first.
    pub times: Vec<AuthenticTime>,
    /// Timestamps of unknown authorities: they count for nothing.
    pub ignored_timestamps: usize,
    /// The log entries.
    pub entries: Vec<LogFact>,
    /// The SCTs.
    pub scts: Vec<SctFact>,
    /// What was signed, when it is a statement.
    pub statement: Option<Statement>,
    /// What was signed, when it is a simple signing payload.
    pub image: Option<SimpleSigning>,
    /// The comparisons with the first identity that matched.
    pub identity: Vec<Compared>,
    /// Which of the policy's identities match, by their places in its list.
    pub matched: Vec<usize>,
}

/// Which managed key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFact {
    /// Its place in the policy's list.
    pub index: usize,
    /// The key.
    pub key: PublicKey,
    /// The hint that the bundle gives.
    pub hint: String,
}

/// Who signed, by the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerFact(Arc<Certificate>);

impl SignerFact {
    pub(super) fn of(leaf: &Arc<Certificate>) -> Self {
        Self(Arc::clone(leaf))
    }

    /// Returns the certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.0
    }

    /// Returns the only subjectAltName that identifies a signer.
    pub fn name(&self) -> Option<&str> {
        crate::identity::only_identity(&self.0)
    }

    /// Returns the OIDC issuer.
    pub fn issuer(&self) -> Option<&str> {
        self.0.oidc_issuer()
    }

    /// Returns what Fulcio wrote for a claim.
    pub fn claim(&self, claim: Claim) -> Option<&str> {
        self.0.claim(claim)
    }

    /// Returns every claim that Fulcio wrote.
    pub fn claims(&self) -> impl Iterator<Item = (Claim, &str)> {
        let claim = |row: &(Claim, u8, &str)| Some((row.0, self.0.claim(row.0)?));
        Claim::ALL.iter().filter_map(claim)
    }
}

/// A time that a known authority vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticTime {
    /// When.
    pub time: UnixTime,
    /// The address of the timestamp authority, or of the log.
    pub authority: String,
    /// What said so.
    pub clock: Clock,
}

/// What tells an authenticated time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clock {
    /// The promise of a Rekor v1 log (SET): the log's own clock.
    Log,
    /// An RFC 3161 timestamp authority.
    TimestampAuthority,
}

/// A log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFact {
    /// The checkpoint's origin, or the log's id in hex when there is none.
    pub origin: String,
    /// What the entry is.
    pub kind: KindVersion,
    /// The leaf's index (v1: over all shards).
    pub index: i64,
    /// How inclusion was shown, none when the entry does not count.
    pub evidence: Option<LogEvidence>,
    /// Size of the tree that the checkpoint commits to.
    pub tree_size: Option<u64>,
    /// Witnesses of the policy that cosigned the checkpoint.
    pub witnesses: Vec<String>,
    /// Why it does not count, none when it does.
    pub ignored: Option<EntryError>,
}

impl LogFact {
    /// Returns what an entry says of itself; nothing of it is verified yet.
    pub(super) fn of(entry: &LogEntry) -> Self {
        Self {
            origin: String::new(),
            kind: entry.kind_version.clone(),
            index: entry.log_index,
            evidence: None,
            tree_size: None,
            witnesses: Vec::new(),
            ignored: None,
        }
    }
}

/// How inclusion in a log was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEvidence {
    /// By a promise of the log (SET).
    Promise,
    /// By an audit path to a signed checkpoint.
    Proof,
}

/// An SCT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SctFact {
    /// The log's address, none when the log is unknown.
    pub log: Option<String>,
    /// When the log took the certificate.
    pub time: UnixTime,
}

/// The result of verifying one bundle.
#[derive(Clone, Debug)]
pub struct Report {
    /// Everything that was found; shared with the verdict, because a statement may be large.
    pub facts: Arc<Facts>,
    /// How every check ended, in order.
    pub checks: Vec<(Check, Outcome)>,
    /// The verdict: the first failure in order refuses.
    pub verdict: Result<Verified, VerifyError>,
}

impl Report {
    /// Returns how a check ended.
    pub fn outcome(&self, check: Check) -> &Outcome {
        let found = self.checks.iter().find(|(each, _)| *each == check);
        found.map_or(&Outcome::NotReached, |(_, outcome)| outcome)
    }
}

/// A bundle that passed. It can be made only by [`super::Verifier::verify`].
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    facts: Arc<Facts>,
}

impl Verified {
    /// Returns what was found; all of it was verified under the policy.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// Collects outcomes while the story is told.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) facts: Facts,
    outcomes: Vec<(Check, Outcome)>,
}

impl Recorder {
    /// Notes how a check ended and hands its value on.
    pub(super) fn keep<T>(&mut self, check: Check, result: Result<T, VerifyError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.outcomes.push((check, Outcome::Ok));
                Some(value)
            }
            Err(error) => {
                self.outcomes.push((check, Outcome::Failed(error)));
                None
            }
        }
    }

    /// Notes how a check ended that may be skipped.
    pub(super) fn keep_outcome(&mut self, check: Check, result: Result<Standing, VerifyError>) {
        self.outcomes.push((
            check,
            match result {
                Ok(Standing::Holds) => Outcome::Ok,
                Ok(Standing::Skipped) => Outcome::SkippedByPolicy,
                Err(error) => Outcome::Failed(error),
            },
        ));
    }

    /// Notes a check that does not apply.
    pub(super) fn skip(&mut self, check: Check) {
        self.outcomes.push((check, Outcome::SkippedByPolicy));
    }

    /// Ends a story that could not begin.
    pub(super) fn finish_with(mut self, check: Check, error: VerifyError) -> Report {
        self.outcomes.push((check, Outcome::Failed(error)));
        self.finish()
    }

    pub(super) fn finish(mut self) -> Report {
        let mut checks = Vec::with_capacity(Check::ALL.len());
        for check in Check::ALL {
            let at = self.outcomes.iter().position(|(each, _)| *each == check);
            let outcome = at.map_or(Outcome::NotReached, |at| self.outcomes.swap_remove(at).1);
            checks.push((check, outcome));
        }
        let failure = checks.iter().find_map(|(_, outcome)| match outcome {
            Outcome::Failed(error) => Some(error.clone()),
            _ => None,
        });
        let facts = Arc::new(self.facts);
        let verdict = match failure {
            Some(error) => Err(error),
            None => Ok(Verified {
                facts: Arc::clone(&facts),
            }),
        };
        Report {
            facts,
            checks,
            verdict,
        }
    }
}
