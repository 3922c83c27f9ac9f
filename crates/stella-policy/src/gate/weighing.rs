//! One requirement against every verified attestation: which satisfy it, why the others do not, and whether it holds.

use std::time::Duration;

use stella_bundle::time::UnixTime;

use super::refusal::{Refusal, age_text};
use super::{Candidate, moment, policy_result};
use crate::age::Age;
use crate::condition::Unmet;
use crate::requirement::{Counted, Requirement, SignerChoice};
use crate::type_pattern::SIGNATURE;

/// What became of a requirement.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighing {
    /// What was required.
    pub requirement: Requirement,
    /// The attestations that satisfy it.
    pub satisfied_by: Vec<usize>,
    /// Why each of the others does not.
    pub others: Vec<(usize, WhyNot)>,
    /// How many count.
    pub found: usize,
}

/// Why an attestation does not satisfy a requirement; in the order in which it is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhyNot {
    /// Verification refused it.
    #[error("refused by verification")]
    NotVerified,
    /// It is of another type.
    #[error("it is of type {}", found.as_deref().unwrap_or(SIGNATURE))]
    OtherType {
        /// Which, none for a message signature.
        found: Option<String>,
    },
    /// Its signer is accepted, but not for this requirement.
    #[error("it is by {}", found.join(", "))]
    OtherSigner {
        /// Whose it is.
        found: Vec<String>,
    },
    /// It says something else.
    #[error("{0}")]
    Condition(Box<Unmet>),
    /// It is too old, or nothing authenticated says how old it is.
    #[error("{}, at most {allowed} are allowed", age_text(age.as_ref()))]
    TooOld {
        /// How old, none when no time is authenticated.
        age: Option<Duration>,
        /// How old it may be.
        allowed: Age,
    },
    /// It is a policy result whose signer let it end.
    #[error("the policy result was valid until {until}")]
    Expired {
        /// When it ended.
        until: UnixTime,
    },
    /// It says the same as another by the same signer.
    #[error("it says the same as attestation {item} by the same signer")]
    SameAs {
        /// Which other.
        item: usize,
    },
}

impl WhyNot {
    /// Returns how near an attestation came; the nearest names the refusal.
    const fn nearness(&self) -> u8 {
        match self {
            Self::NotVerified => 0,
            Self::OtherType { .. } => 1,
            Self::OtherSigner { .. } => 2,
            Self::Condition(_) => 3,
            Self::TooOld { .. } | Self::Expired { .. } => 4,
            Self::SameAs { .. } => 5,
        }
    }
}

/// Weighs every candidate; `items` is how many attestations there are at all.
pub(super) fn weigh(
    requirement: &Requirement,
    candidates: &[Candidate<'_>],
    items: usize,
    now: UnixTime,
) -> Weighing {
    let mut fitting: Vec<&Candidate<'_>> = Vec::new();
    let mut others = Vec::new();
    let mut candidates = candidates.iter().peekable();
    for item in 0..items {
        let Some(candidate) = candidates.next_if(|each| each.item == item) else {
            others.push((item, WhyNot::NotVerified));
            continue;
        };
        let twin = fitting.iter().find(|each| each.says_the_same(candidate));
        match (unfit(requirement, candidate, now), twin) {
            (Some(why), _) => others.push((item, why)),
            (None, Some(twin)) => others.push((item, WhyNot::SameAs { item: twin.item })),
            (None, None) => fitting.push(candidate),
        }
    }
    Weighing {
        requirement: requirement.clone(),
        satisfied_by: fitting.iter().map(|each| each.item).collect(),
        others,
        found: match requirement.count.of {
            Counted::Attestations => fitting.len(),
            Counted::Signers => different_signers(requirement, &fitting),
        },
    }
}

/// Returns why a candidate does not satisfy a requirement, none when it does.
fn unfit(requirement: &Requirement, candidate: &Candidate<'_>, now: UnixTime) -> Option<WhyNot> {
    // 1. It is of the type.
    let found = candidate.predicate_type();
    if !requirement.types.matches(found) {
        let found = found.map(str::to_owned);
        return Some(WhyNot::OtherType { found });
    }
    // 2. Its signer counts here.
    if !candidate
        .signers
        .iter()
        .any(|name| requirement.signers.includes(name))
    {
        let found = candidate
            .signers
            .iter()
            .map(|&name| name.to_owned())
            .collect();
        return Some(WhyNot::OtherSigner { found });
    }
    // 3. It says what it must. A message signature says nothing.
    let predicate = candidate.facts.statement.as_ref();
    let predicate = predicate.map_or("null", |statement| statement.predicate.text());
    if let Some(unmet) = requirement
        .conditions
        .iter()
        .find_map(|condition| condition.judge(predicate).err())
    {
        return Some(WhyNot::Condition(unmet));
    }
    // 4. It is young enough, and its signer has not let it end.
    if let Some(allowed) = requirement.max_age {
        let age = candidate.since.map(|since| now.since(since));
        if age.is_none_or(|age| age > allowed.duration()) {
            return Some(WhyNot::TooOld { age, allowed });
        }
    }
    let until = policy_result(candidate.facts).and_then(|result| moment(result, "validUntil"));
    until
        .filter(|until| *until < now)
        .map(|until| WhyNot::Expired { until })
}

/// Counts signers of whom each has an attestation of its own: the greatest matching between names and attestations.
///
/// One attestation may be that of several names, where the policy names the same signer twice; it counts for one.
fn different_signers(requirement: &Requirement, fitting: &[&Candidate<'_>]) -> usize {
    let mut owners: Vec<(&str, usize)> = Vec::new();
    for at in 0..fitting.len() {
        // What was not found for this one will not be found for its like.
        find_owner(at, requirement, fitting, &mut owners, &mut Vec::new());
    }
    owners.len()
}

/// Gives an attestation to a name that has none yet, if need be by giving others another name (Kuhn's algorithm).
fn find_owner<'a>(
    at: usize,
    requirement: &Requirement,
    fitting: &[&Candidate<'a>],
    owners: &mut Vec<(&'a str, usize)>,
    asked: &mut Vec<&'a str>,
) -> bool {
    for &name in &fitting[at].signers {
        if asked.contains(&name) || !requirement.signers.includes(name) {
            continue;
        }
        asked.push(name);
        let Some(taken) = owners.iter().position(|(owner, _)| *owner == name) else {
            owners.push((name, at));
            return true;
        };
        let present = owners[taken].1;
        if find_owner(present, requirement, fitting, owners, asked) {
            // The present holder found another name, so this one is free.
            if let Some(owner) = owners.iter_mut().find(|(owner, _)| *owner == name) {
                owner.1 = at;
            }
            return true;
        }
    }
    false
}

impl Weighing {
    /// Says whether the requirement holds.
    pub const fn is_met(&self) -> bool {
        self.found >= self.requirement.count.least
    }

    /// Says why the requirement does not hold: the reason of the attestation that came nearest.
    pub(super) fn refusal(&self, types: Vec<String>) -> Refusal {
        let requirement = self.requirement.name.clone();
        let too_few = |requirement| Refusal::TooFew {
            requirement,
            wanted: self.requirement.count.least,
            found: self.found,
            of: self.requirement.count.of,
        };
        if self.found > 0 {
            return too_few(requirement);
        }
        let nearest = self
            .others
            .iter()
            .rev()
            .max_by_key(|(_, why)| why.nearness());
        match nearest {
            Some((item, WhyNot::Condition(unmet))) => Refusal::Condition {
                requirement,
                item: *item,
                unmet: unmet.clone(),
            },
            Some((item, WhyNot::TooOld { age, allowed })) => Refusal::Stale {
                requirement,
                item: *item,
                age: *age,
                allowed: *allowed,
            },
            Some((item, WhyNot::Expired { until })) => Refusal::Expired {
                requirement,
                item: *item,
                until: *until,
            },
            Some((item, WhyNot::OtherSigner { found })) => Refusal::SignerNotAccepted {
                requirement,
                item: *item,
                wanted: match &self.requirement.signers {
                    SignerChoice::Any => Vec::new(),
                    SignerChoice::Named(names) => names.clone(),
                },
                found: found.clone(),
            },
            Some((_, WhyNot::SameAs { .. })) => too_few(requirement),
            Some((_, WhyNot::NotVerified | WhyNot::OtherType { .. })) | None => {
                Refusal::PredicateAbsent {
                    wanted: self.requirement.types.clone(),
                    requirement,
                    found: types,
                }
            }
        }
    }
}
