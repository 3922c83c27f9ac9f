//! The gate: which requirement each verified attestation satisfies, why the others do not, and the answer.
//!
//! Only what was verified is weighed: everything below `weigh` takes `&Verified`. Positive demands decide; nothing is
//! concluded from what is not there, because whoever keeps attestations can keep one back.

mod refusal;
mod weighing;

#[cfg(test)]
mod tests;

pub use refusal::Refusal;
pub use weighing::{Weighing, WhyNot};

use stella_bundle::certificate::Claim;
use stella_bundle::digest::Digest;
use stella_bundle::predicate::PredicateType;
use stella_bundle::statement::Statement;
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{Facts, Outcome, Report, Verified};

use crate::policy::{Denials, Policy};
use crate::requirement::Requirement;
use crate::type_pattern::TypePattern;

/// One attestation that may speak of the artifact.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// SHA-256 of its bytes.
    pub digest: &'a Digest,
    /// What became of it.
    pub finding: Finding<'a>,
}

/// What became of an attestation before the gate.
#[derive(Clone, Copy, Debug)]
pub enum Finding<'a> {
    /// Its bytes are damaged, or cannot be read.
    Damaged,
    /// Its bytes are none of the forms of a bundle.
    NotABundle,
    /// It is not what the archive holds from which it comes.
    NotArchived,
    /// It was judged by the rules of verification.
    Report(&'a Report),
}

impl Item<'_> {
    /// Returns what was verified, none when the attestation was refused.
    fn verified(&self) -> Option<&Verified> {
        match self.finding {
            Finding::Report(report) => report.verdict.as_ref().ok(),
            Finding::Damaged | Finding::NotABundle | Finding::NotArchived => None,
        }
    }

    /// Returns how far it came: damaged bytes nowhere, a bundle by how many checks hold.
    fn reach(&self) -> usize {
        let holds = |outcome: &Outcome| matches!(outcome, Outcome::Ok | Outcome::SkippedByPolicy);
        match self.finding {
            Finding::Damaged => 0,
            Finding::NotABundle => 1,
            Finding::NotArchived => 2,
            Finding::Report(report) => {
                let holding = report.checks.iter().filter(|(_, outcome)| holds(outcome));
                holding.count().saturating_add(3)
            }
        }
    }
}

/// The answer about one artifact, with everything that led to it. Attestations are named by their places in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The names of the signers to whom each attestation belongs; none for one that was refused.
    pub signers: Vec<Vec<String>>,
    /// What became of each requirement.
    pub requirements: Vec<Weighing>,
    /// Policy results by accepted signers that do not allow.
    pub denials: Vec<Denial>,
    /// Whether the artifact passes.
    pub verdict: Result<(), Refusal>,
}

/// A policy result by an accepted signer that does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Which attestation.
    pub item: usize,
    /// What its `result` is, none when it has none.
    pub result: Option<String>,
    /// The later result of the same signer about the same policy that stands in for it, where the policy lets it.
    pub superseded_by: Option<usize>,
}

/// A verified attestation, and what the gate weighs of it.
struct Candidate<'a> {
    item: usize,
    facts: &'a Facts,
    signers: Vec<&'a str>,
    /// From when its age is counted.
    since: Option<UnixTime>,
}

impl Candidate<'_> {
    /// Returns the predicate type, none for a message signature.
    fn predicate_type(&self) -> Option<&str> {
        let statement = self.facts.statement.as_ref()?;
        Some(&statement.predicate_type)
    }

    /// Says whether both say the same by the same signer: then they are one attestation, however often it was signed.
    fn says_the_same(&self, other: &Self) -> bool {
        signer_of(self.facts) == signer_of(other.facts)
            && self.facts.statement == other.facts.statement
    }
}

/// Judges everything that was found about one artifact.
pub fn judge(policy: &Policy, items: &[Item<'_>], now: UnixTime) -> Decision {
    let candidates: Vec<Candidate<'_>> = items
        .iter()
        .enumerate()
        .filter_map(|(item, each)| Some((item, each.verified()?)))
        .map(|(item, verified)| weigh(policy, item, verified))
        .collect();
    decide(policy, items, &candidates, now)
}

/// Weighs what was verified.
fn decide(
    policy: &Policy,
    items: &[Item<'_>],
    candidates: &[Candidate<'_>],
    now: UnixTime,
) -> Decision {
    let mut signers: Vec<Vec<String>> = vec![Vec::new(); items.len()];
    for candidate in candidates {
        signers[candidate.item] = candidate
            .signers
            .iter()
            .map(|&name| name.to_owned())
            .collect();
    }
    let any = [Requirement::of_type(TypePattern::Any)];
    let requirements = match policy.requirements.as_slice() {
        [] => &any,
        requirements => requirements,
    };
    let requirements: Vec<Weighing> = requirements
        .iter()
        .map(|requirement| weighing::weigh(requirement, candidates, items.len(), now))
        .collect();
    let denials = denials(policy.denials, candidates);
    let verdict = conclude(items, candidates, &requirements, &denials);
    Decision {
        signers,
        requirements,
        denials,
        verdict,
    }
}

/// Takes of a verified attestation what the gate looks at.
fn weigh<'a>(policy: &'a Policy, item: usize, verified: &'a Verified) -> Candidate<'a> {
    let facts = verified.facts();
    Candidate {
        item,
        facts,
        signers: policy.signers_of(facts),
        since: counted_from(facts),
    }
}

/// Draws the conclusion: nothing verified, a denial, the first requirement that does not hold, or a pass.
fn conclude(
    items: &[Item<'_>],
    candidates: &[Candidate<'_>],
    requirements: &[Weighing],
    denials: &[Denial],
) -> Result<(), Refusal> {
    if candidates.is_empty() {
        return Err(nothing_verified(items));
    }
    let counts = |denial: &&Denial| denial.superseded_by.is_none();
    if let Some(denial) = denials.iter().find(counts) {
        return Err(Refusal::Denied {
            item: denial.item,
            digest: items[denial.item].digest.clone(),
            result: denial.result.clone(),
        });
    }
    let types = types_of(candidates);
    match requirements.iter().find(|each| !each.is_met()) {
        Some(unmet) => Err(unmet.refusal(types)),
        None => Ok(()),
    }
}

/// Returns why nothing was verified: the reason of the attestation that came furthest.
fn nothing_verified(items: &[Item<'_>]) -> Refusal {
    let best = items
        .iter()
        .enumerate()
        .max_by_key(|(_, each)| each.reach());
    let Some((item, best)) = best else {
        return Refusal::NoAttestation;
    };
    match best.finding {
        Finding::Damaged => Refusal::Damaged { item },
        Finding::NotABundle => Refusal::NotABundle { item },
        Finding::NotArchived => Refusal::NotArchived { item },
        Finding::Report(report) => match &report.verdict {
            Err(error) => Refusal::Refused {
                item,
                error: error.clone(),
            },
            Ok(_) => Refusal::NoAttestation,
        },
    }
}

/// Returns the predicate types that were verified, each once.
fn types_of(candidates: &[Candidate<'_>]) -> Vec<String> {
    let mut types: Vec<String> = Vec::new();
    for candidate in candidates {
        let found = candidate
            .predicate_type()
            .unwrap_or(crate::type_pattern::SIGNATURE);
        if !types.iter().any(|each| each == found) {
            types.push(found.to_owned());
        }
    }
    types
}

/// Returns from when the age of an attestation is counted: its earliest authenticated time, and for a policy result
/// the moment of evaluation that its signer swears to, when that is earlier.
///
/// A timestamp only proves that a signature existed. Whoever keeps one made with a managed key can have it stamped
/// anew; what the signer wrote into the statement stays.
fn counted_from(facts: &Facts) -> Option<UnixTime> {
    let authenticated = facts.times.iter().map(|each| each.time).min()?;
    Some(match evaluated_at(facts) {
        Some(evaluated) => authenticated.min(evaluated),
        None => authenticated,
    })
}

fn evaluated_at(facts: &Facts) -> Option<UnixTime> {
    moment(policy_result(facts)?, "evaluatedAt")
}

/// Reads a moment that a policy result names.
fn moment(result: &Statement, name: &str) -> Option<UnixTime> {
    let value = result.predicate.to_value();
    UnixTime::parse_rfc3339(value.get(name)?.as_str()?)
}

/// Returns the statement when it is a policy result.
fn policy_result(facts: &Facts) -> Option<&Statement> {
    let statement = facts.statement.as_ref()?;
    (statement.predicate_type == PredicateType::PolicyResult.uri()).then_some(statement)
}

/// Finds the policy results that do not allow.
fn denials(rule: Denials, candidates: &[Candidate<'_>]) -> Vec<Denial> {
    let mut denials = Vec::new();
    for candidate in candidates {
        let Some(statement) = policy_result(candidate.facts) else {
            continue;
        };
        let predicate = statement.predicate.to_value();
        let result = predicate.get("result").and_then(|result| result.as_str());
        if matches!(result, Some("allow" | "warn")) {
            continue;
        }
        let superseded_by = match rule {
            Denials::Every => None,
            Denials::Newest => successor(candidate, candidates),
        };
        denials.push(Denial {
            item: candidate.item,
            result: result.map(str::to_owned),
            superseded_by,
        });
    }
    denials
}

/// Finds a later policy result of the same signer about the same policy.
///
/// The signer is who signed, not whom the policy accepts: what one branch says does not speak for another. A result
/// whose time is not known neither stands in for another nor gives way to one.
fn successor(denial: &Candidate<'_>, candidates: &[Candidate<'_>]) -> Option<usize> {
    let (since, policy) = (denial.since?, judged_policy(denial.facts)?);
    let is_later = |other: &&Candidate<'_>| {
        other.since.is_some_and(|other| other > since)
            && signer_of(other.facts) == signer_of(denial.facts)
            && judged_policy(other.facts).as_ref() == Some(&policy)
    };
    let newest = candidates
        .iter()
        .filter(is_later)
        .max_by_key(|other| other.since)?;
    Some(newest.item)
}

/// Returns what names the policy that a result is about: its address, else its name, else its digest.
fn judged_policy(facts: &Facts) -> Option<String> {
    let predicate = policy_result(facts)?.predicate.to_value();
    let policy = predicate.get("policy")?;
    let names = ["uri", "name", "digest"];
    names
        .iter()
        .find_map(|name| Some(format!("{name} {}", policy.get(name)?)))
}

/// Who signed: name, token subject and issuer of the certificate, or the key's place in the policy.
#[derive(PartialEq, Eq)]
enum SignedBy<'a> {
    Certificate {
        name: Option<&'a str>,
        subject: Option<&'a str>,
        issuer: Option<&'a str>,
    },
    Key(Option<usize>),
}

fn signer_of(facts: &Facts) -> SignedBy<'_> {
    match &facts.signer {
        Some(signer) => SignedBy::Certificate {
            name: signer.name(),
            subject: signer.claim(Claim::TokenSubject),
            issuer: signer.issuer(),
        },
        None => SignedBy::Key(facts.key.as_ref().map(|key| key.index)),
    }
}
