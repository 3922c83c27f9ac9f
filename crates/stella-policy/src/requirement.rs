//! Requirements: what must be attested, by whom, how often and how lately. All requirements of a policy must hold.

use std::fmt;

use crate::age::Age;
use crate::condition::Condition;
use crate::type_pattern::TypePattern;

/// A policy has at most so many requirements.
pub const MAX_REQUIREMENTS: usize = 64;
/// A requirement has at most so many conditions.
pub const MAX_CONDITIONS: usize = 64;

/// What must be attested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The name for reports.
    pub name: String,
    /// Of which type.
    pub types: TypePattern,
    /// By whom.
    pub signers: SignerChoice,
    /// What the predicate must say.
    pub conditions: Vec<Condition>,
    /// How many are needed, and of what.
    pub count: Count,
    /// How old each may be.
    pub max_age: Option<Age>,
}

impl Requirement {
    /// Returns the requirement that something of this type is attested by any accepted signer.
    pub fn of_type(types: TypePattern) -> Self {
        Self {
            name: types.to_string(),
            types,
            signers: SignerChoice::Any,
            conditions: Vec::new(),
            count: Count::default(),
            max_age: None,
        }
    }
}

/// Which of a policy's signers count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerChoice {
    /// All of them.
    Any,
    /// Those with these names; never empty.
    Named(Vec<String>),
}

impl SignerChoice {
    /// Says whether a signer counts.
    pub fn includes(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Named(names) => names.iter().any(|each| each == name),
        }
    }
}

/// How many are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The least number; never zero.
    pub least: usize,
    /// Of what.
    pub of: Counted,
}

impl Default for Count {
    fn default() -> Self {
        Self {
            least: 1,
            of: Counted::Attestations,
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counted {
    /// Attestations that differ in what they say or in who says it. The same statement signed twice is one.
    #[default]
    Attestations,
    /// Names of signers, each with an attestation of its own.
    Signers,
}

impl fmt::Display for Counted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Attestations => "attestations",
            Self::Signers => "signers",
        })
    }
}
