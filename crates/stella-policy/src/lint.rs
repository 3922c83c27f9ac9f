//! What a policy says that its author may not have meant. A policy with advice still is a policy.

use std::cmp::Ordering;
use std::fmt;

use stella_bundle::identity::{IdentityValue, Reach};
use stella_bundle::predicate::PredicateType;
use stella_bundle::verify::{LogRule, SctRule};

use crate::condition::{Condition, Scalar, Test};
use crate::mode::Mode;
use crate::policy::Policy;
use crate::requirement::{Counted, Requirement, SignerChoice};
use crate::signer::{Signer, Who};
use crate::type_pattern::TypePattern;

/// One piece of advice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Advice {
    /// Refusals are not stopped.
    #[error("mode {} stops nothing", mode.name())]
    DoesNotEnforce {
        /// The mode.
        mode: Mode,
    },
    /// A choice that is unsafe by its own name.
    #[error("{}{choice}: {}", signer.as_ref().map_or_else(String::new, |name| format!("signer {name}: ")), choice.meaning())]
    Insecure {
        /// Whose, when it is a signer's.
        signer: Option<String>,
        /// Which.
        choice: Insecure,
    },
    /// An age is asked for, and keys need not show a time.
    #[error(
        "{requirement} has a max-age, but signatures of keys need not show a time: set key-evidence.times, or those without one are too old"
    )]
    KeysWithoutTime {
        /// Which requirement.
        requirement: String,
    },
    /// Nothing is required.
    #[error("nothing is required: one attestation of any type by an accepted signer is enough")]
    NoRequirements,
    /// Nobody is named.
    #[error("no signers: whoever uses this policy says by flags who may sign, or nothing passes")]
    NoSigners,
    /// A verdict of any age counts.
    #[error(
        "{requirement} has no max-age: a verdict of any age counts, also one from before the last incident"
    )]
    NoMaxAge {
        /// Which requirement.
        requirement: String,
    },
    /// A verdict may say warn.
    #[error("{requirement} does not say what /result must be: a verdict that only warns passes")]
    NoResult {
        /// Which requirement.
        requirement: String,
    },
    /// Nothing can ever satisfy the requirement.
    #[error("{requirement} can never hold: {why}")]
    Unreachable {
        /// Which requirement.
        requirement: String,
        /// Why.
        why: Why,
    },
    /// A signer counts nowhere.
    #[error("no requirement counts attestations of the signer {signer}")]
    UnusedSigner {
        /// Which.
        signer: String,
    },
}

/// The unsafe choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insecure {
    /// Anyone may sign.
    AnyIdentity,
    /// No log is asked.
    IgnoreLog,
    /// No CT log is asked.
    IgnoreSct,
    /// An expression may begin with anything.
    WideExpression,
}

impl Insecure {
    const fn meaning(self) -> &'static str {
        match self {
            Self::AnyIdentity => "whoever has a certificate is accepted",
            Self::IgnoreLog => "who steals a token can sign unseen",
            Self::IgnoreSct => "the authority can issue in silence",
            Self::WideExpression => "whoever gets a fitting name is accepted",
        }
    }
}

impl fmt::Display for Insecure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::AnyIdentity | Self::WideExpression => "insecure-any-identity",
            Self::IgnoreLog => "insecure-ignore-log",
            Self::IgnoreSct => "insecure-ignore-sct",
        })
    }
}

/// Why a requirement can never hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Two conditions on one place exclude each other.
    #[error("its conditions on {pointer} exclude each other")]
    Contradiction {
        /// The place.
        pointer: String,
    },
    /// The only results that it takes are denials.
    #[error("a verdict whose result is neither allow nor warn refuses by itself")]
    OnlyDenials,
    /// More signers are needed than count.
    #[error("{needed} signers are needed, {named} count")]
    TooFewSigners {
        /// How many are needed.
        needed: usize,
        /// How many count.
        named: usize,
    },
}

/// Returns all advice about a policy.
pub fn advice(policy: &Policy) -> Vec<Advice> {
    let mut advice = Vec::new();
    if policy.mode != Mode::Enforce {
        advice.push(Advice::DoesNotEnforce { mode: policy.mode });
    }
    advice.extend(insecure(policy));
    if policy.signers.is_empty() {
        advice.push(Advice::NoSigners);
    }
    if policy.requirements.is_empty() {
        advice.push(Advice::NoRequirements);
    }
    for requirement in &policy.requirements {
        advice.extend(about(requirement, policy));
    }
    let is_used = |signer: &&Signer| {
        let mut requirements = policy.requirements.iter();
        policy.requirements.is_empty()
            || requirements.any(|each| each.signers.includes(&signer.name))
    };
    let unused = policy.signers.iter().filter(|signer| !is_used(signer));
    advice.extend(unused.map(|signer| Advice::UnusedSigner {
        signer: signer.name.clone(),
    }));
    advice
}

/// Returns the unsafe choices.
fn insecure(policy: &Policy) -> Vec<Advice> {
    let unsafe_signer = |signer: &Signer| {
        let choice = match &signer.who {
            Who::AnyoneUnsafe => Insecure::AnyIdentity,
            Who::Certificate(identity) => match identity.value() {
                IdentityValue::Expression(each) if each.reach() == Reach::AnyoneUnsafe => {
                    Insecure::WideExpression
                }
                _ => return None,
            },
            Who::Key(_) => return None,
        };
        let signer = Some(signer.name.clone());
        Some(Advice::Insecure { signer, choice })
    };
    let mut advice: Vec<Advice> = policy.signers.iter().filter_map(unsafe_signer).collect();
    let general = |choice| Advice::Insecure {
        signer: None,
        choice,
    };
    if policy.certificates.evidence.log == LogRule::WithoutLogUnsafe {
        advice.push(general(Insecure::IgnoreLog));
    }
    if policy.certificates.sct == SctRule::WithoutSctUnsafe {
        advice.push(general(Insecure::IgnoreSct));
    }
    advice
}

fn about(requirement: &Requirement, policy: &Policy) -> Vec<Advice> {
    let mut advice = Vec::new();
    let name = || requirement.name.clone();
    if let Some(why) = why_unreachable(requirement, policy) {
        let requirement = name();
        advice.push(Advice::Unreachable { requirement, why });
    }
    if requirement.types == TypePattern::Exact(PredicateType::PolicyResult) {
        if requirement.max_age.is_none() {
            advice.push(Advice::NoMaxAge {
                requirement: name(),
            });
        }
        if results(requirement).next().is_none() {
            advice.push(Advice::NoResult {
                requirement: name(),
            });
        }
    }
    let counts_keys = policy.signers.iter().any(|signer| {
        matches!(signer.who, Who::Key(_)) && requirement.signers.includes(&signer.name)
    });
    let demand = &policy.keys.evidence;
    if requirement.max_age.is_some() && counts_keys && demand.times.max(demand.timestamps) == 0 {
        advice.push(Advice::KeysWithoutTime {
            requirement: name(),
        });
    }
    advice
}

/// Returns the conditions on a verdict's result.
fn results(requirement: &Requirement) -> impl Iterator<Item = &Test> {
    let conditions = requirement.conditions.iter();
    conditions
        .filter(|condition| condition.pointer.to_string() == "/result")
        .map(|condition| &condition.test)
}

fn why_unreachable(requirement: &Requirement, policy: &Policy) -> Option<Why> {
    let named = match &requirement.signers {
        SignerChoice::Any => policy.signers.len(),
        SignerChoice::Named(names) => names.len(),
    };
    let needed = requirement.count.least;
    if requirement.count.of == Counted::Signers && needed > named && named > 0 {
        return Some(Why::TooFewSigners { needed, named });
    }
    let passes =
        |scalar: &Scalar| matches!(scalar, Scalar::Text(text) if text == "allow" || text == "warn");
    let denies = |test: &Test| matches!(test, Test::OneOf(wanted) if !wanted.iter().any(passes));
    let is_verdict = requirement.types == TypePattern::Exact(PredicateType::PolicyResult);
    if is_verdict && results(requirement).any(|test| denies(test) || *test == Test::Absent) {
        return Some(Why::OnlyDenials);
    }
    let conditions = &requirement.conditions;
    let pairs = conditions
        .iter()
        .enumerate()
        .flat_map(|(at, one)| conditions[at + 1..].iter().map(move |other| (one, other)));
    let mut excluding = pairs.filter(|(one, other)| exclude(one, other));
    excluding.next().map(|(one, _)| Why::Contradiction {
        pointer: one.pointer.to_string(),
    })
}

fn exclude(one: &Condition, other: &Condition) -> bool {
    if one.pointer != other.pointer {
        return false;
    }
    let disjoint =
        |wanted: &[Scalar], others: &[Scalar]| !wanted.iter().any(|each| others.contains(each));
    match (&one.test, &other.test) {
        (Test::Absent, test) | (test, Test::Absent) => *test != Test::Absent,
        (Test::AtLeast(least), Test::AtMost(most)) | (Test::AtMost(most), Test::AtLeast(least)) => {
            least.compare(most) == Ordering::Greater
        }
        (Test::OneOf(wanted), Test::OneOf(others)) => disjoint(wanted, others),
        (Test::OneOf(wanted), Test::Not(unwanted)) | (Test::Not(unwanted), Test::OneOf(wanted)) => {
            wanted.iter().all(|each| unwanted.contains(each))
        }
        _ => false,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io;

    use super::*;
    use crate::file;

    fn about_text(text: &str) -> Vec<Advice> {
        let text = format!("policy: stella.policy/v1\n{text}");
        advice(&file::parse(&text, &|_| Err(io::ErrorKind::NotFound)).unwrap())
    }

    const SIGNERS: &str = "signers: {a: {identity: a, issuer: i}, b: {identity: b, issuer: i}}\n";

    #[test]
    fn a_careful_policy_gets_no_advice() {
        let careful = format!(
            "{SIGNERS}require: [{{type: verdict, where: {{/result: allow}}, max-age: 30d}}]"
        );
        assert_eq!(about_text(&careful), []);
    }

    #[test]
    fn each_slip_gets_its_advice() {
        type Check = fn(&Advice) -> bool;
        let cases: [(&str, Check); 12] = [
            ("mode: audit", |each| {
                matches!(each, Advice::DoesNotEnforce { .. })
            }),
            ("mode: warn", |each| matches!(each, Advice::NoSigners)),
            ("mode: warn", |each| matches!(each, Advice::NoRequirements)),
            ("signers: {x: {insecure-any-identity: true}}", |each| {
                matches!(
                    each,
                    Advice::Insecure {
                        choice: Insecure::AnyIdentity,
                        ..
                    }
                )
            }),
            ("evidence: {insecure-ignore-log: true}", |each| {
                matches!(
                    each,
                    Advice::Insecure {
                        choice: Insecure::IgnoreLog,
                        ..
                    }
                )
            }),
            ("evidence: {insecure-ignore-sct: true}", |each| {
                matches!(
                    each,
                    Advice::Insecure {
                        choice: Insecure::IgnoreSct,
                        ..
                    }
                )
            }),
            ("require: [{type: verdict}]", |each| {
                matches!(each, Advice::NoMaxAge { .. })
            }),
            ("require: [{type: verdict}]", |each| {
                matches!(each, Advice::NoResult { .. })
            }),
            (
                "require: [{type: verdict, where: {/result: deny}}]",
                |each| {
                    matches!(
                        each,
                        Advice::Unreachable {
                            why: Why::OnlyDenials,
                            ..
                        }
                    )
                },
            ),
            (
                "require: [{where: {/n: {at-least: 2, at-most: 1}}}]",
                |each| {
                    matches!(
                        each,
                        Advice::Unreachable {
                            why: Why::Contradiction { .. },
                            ..
                        }
                    )
                },
            ),
            (
                "require: [{signers: [a], count: signers, min-count: 2}]",
                |each| {
                    matches!(
                        each,
                        Advice::Unreachable {
                            why: Why::TooFewSigners {
                                needed: 2,
                                named: 1
                            },
                            ..
                        }
                    )
                },
            ),
            (
                "require: [{signers: [a]}]",
                |each| matches!(each, Advice::UnusedSigner { signer } if signer == "b"),
            ),
        ];
        for (text, is_expected) in cases {
            let text = match text.contains("signers: [") {
                true => format!("{SIGNERS}{text}"),
                false => text.to_owned(),
            };
            let advice = about_text(&text);
            assert!(advice.iter().any(is_expected), "{text}: {advice:?}");
        }
    }
}
