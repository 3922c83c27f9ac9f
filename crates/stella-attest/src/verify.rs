//! Verify an artifact: every attestation found for it, each by the rules of `stella_bundle::verify`, then one answer.

use stella_bundle::bundle::{Bundle, BundleError, Version};
use stella_bundle::digest::Digest;
use stella_bundle::predicate;
use stella_bundle::statement::Statement;
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{Artifact, Outcome, Report, Verified, Verifier, VerifyError};

use crate::shelf::{Damage, Stored};

/// Where a bundle was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file that the caller named.
    File,
    /// The shelf of this machine.
    Shelf,
}

/// A bundle that may speak of the artifact.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The bundle.
    pub stored: Stored,
    /// Where it was found.
    pub source: Source,
}

/// What became of one candidate.
#[derive(Debug)]
pub struct Examined {
    /// SHA-256 of the bundle's bytes.
    pub digest: Digest,
    /// Where it was found.
    pub source: Source,
    /// The bundle's version, none when it is not even a bundle.
    pub version: Option<Version>,
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
    NotABundle(#[from] BundleError),
}

impl Examined {
    /// Returns what was verified, none when the bundle was refused.
    pub fn verified(&self) -> Option<&Verified> {
        self.result.as_ref().ok()?.verdict.as_ref().ok()
    }

    /// Returns how far the bundle came: a damaged file nowhere, a bundle by how many checks hold.
    fn reach(&self) -> usize {
        let holds = |outcome: &Outcome| matches!(outcome, Outcome::Ok | Outcome::SkippedByPolicy);
        match &self.result {
            Ok(report) => report
                .checks
                .iter()
                .filter(|(_, outcome)| holds(outcome))
                .count()
                .saturating_add(2),
            Err(Unjudged::NotABundle(_)) => 1,
            Err(Unjudged::Damaged(_)) => 0,
        }
    }
}

/// Why an artifact is refused.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The only attestations that speak of the artifact are damaged.
    Damaged(Damage),
    /// An accepted signer says no.
    Denied {
        /// The bundle that says it.
        digest: Digest,
        /// What its `result` is.
        result: String,
    },
    /// No attestation speaks of the artifact.
    NoAttestation,
    /// The attestation that came furthest is not even a bundle.
    NotABundle(BundleError),
    /// Attestations hold, none is of the predicate type asked for.
    PredicateAbsent {
        /// The type asked for.
        wanted: String,
        /// The types found, each once.
        found: Vec<String>,
    },
    /// The attestation that came furthest is refused for this.
    Refused(VerifyError),
}

/// What is asked of an artifact beyond the verifier's policy.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// The predicate type that one attestation must have.
    pub predicate_type: Option<String>,
}

/// The answer about one artifact.
#[derive(Debug)]
pub struct Answer {
    /// Every candidate, in the order given.
    pub examined: Vec<Examined>,
    /// Whether the artifact passes.
    pub verdict: Result<(), Refusal>,
}

/// Verifies every candidate and answers whether the artifact passes.
///
/// One attestation that holds is enough, unless an accepted signer's policy result says *deny*.
pub fn verify(
    verifier: &Verifier,
    artifact: &Artifact<'_>,
    candidates: Vec<Candidate>,
    demand: &Demand,
    now: UnixTime,
) -> Answer {
    let examine = |candidate: Candidate| {
        let bundle = read(candidate.stored.bytes);
        Examined {
            digest: candidate.stored.digest,
            source: candidate.source,
            version: bundle.as_ref().ok().map(|bundle| bundle.version),
            result: bundle.map(|bundle| verifier.verify(&bundle, artifact, now)),
        }
    };
    let examined: Vec<Examined> = candidates.into_iter().map(examine).collect();
    let verdict = judge(&examined, demand);
    Answer { examined, verdict }
}

fn read(bytes: Result<Vec<u8>, Damage>) -> Result<Bundle, Unjudged> {
    Ok(Bundle::parse(&bytes?)?)
}

fn judge(examined: &[Examined], demand: &Demand) -> Result<(), Refusal> {
    let Some(best) = examined.iter().max_by_key(|each| each.reach()) else {
        return Err(Refusal::NoAttestation);
    };
    let mut holding = examined
        .iter()
        .filter_map(|each| Some((each, each.verified()?)))
        .peekable();
    if holding.peek().is_none() {
        return Err(match &best.result {
            Ok(report) => match &report.verdict {
                Err(error) => Refusal::Refused(error.clone()),
                Ok(_) => Refusal::NoAttestation,
            },
            Err(Unjudged::Damaged(damage)) => Refusal::Damaged(damage.clone()),
            Err(Unjudged::NotABundle(error)) => Refusal::NotABundle(error.clone()),
        });
    }
    let mut found = Vec::new();
    let mut is_satisfied = demand.predicate_type.is_none();
    for (each, verified) in holding {
        let Some(statement) = &verified.facts().statement else {
            continue;
        };
        if let Some(result) = denial(statement) {
            return Err(Refusal::Denied {
                digest: each.digest.clone(),
                result,
            });
        }
        is_satisfied |= demand.predicate_type.as_ref() == Some(&statement.predicate_type);
        if !found.contains(&statement.predicate_type) {
            found.push(statement.predicate_type.clone());
        }
    }
    match &demand.predicate_type {
        Some(wanted) if !is_satisfied => Err(Refusal::PredicateAbsent {
            wanted: wanted.clone(),
            found,
        }),
        _ => Ok(()),
    }
}

/// Returns the result of a policy result that does not allow.
fn denial(statement: &Statement) -> Option<String> {
    if statement.predicate_type != predicate::PredicateType::PolicyResult.uri() {
        return None;
    }
    let predicate = statement.predicate.to_value();
    match predicate.get("result").and_then(|result| result.as_str()) {
        Some("allow" | "warn") => None,
        Some(result) => Some(result.to_owned()),
        None => Some("none".to_owned()),
    }
}
