//! The ways in which an artifact is refused. Every variant is one, with the data that tells expected from found.

use std::time::Duration;

use stella_bundle::digest::Digest;
use stella_bundle::identity::escape;
use stella_bundle::time::UnixTime;
use stella_bundle::verify::VerifyError;

use crate::age::{Age, Elapsed};
use crate::code;
use crate::condition::Unmet;
use crate::requirement::Counted;
use crate::type_pattern::TypePattern;

/// Why an artifact is refused. An `item` is the place of an attestation in the list that was judged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The attestation that came nearest says something else than was asked for.
    #[error("{requirement}: {}", escape(&unmet.to_string()))]
    Condition {
        /// Which requirement.
        requirement: String,
        /// Which attestation.
        item: usize,
        /// What was expected and found.
        unmet: Box<Unmet>,
    },
    /// The only attestations are damaged.
    #[error("the attestation is damaged")]
    Damaged {
        /// Which.
        item: usize,
    },
    /// An accepted signer says no.
    #[error("the policy result of {digest} says {}", result.as_deref().map_or_else(|| "nothing".to_owned(), escape))]
    Denied {
        /// Which attestation.
        item: usize,
        /// Its digest.
        digest: Digest,
        /// What its `result` is, none when it has none.
        result: Option<String>,
    },
    /// The signer of the only fitting policy result let it end.
    #[error("{requirement}: the policy result was valid until {until}")]
    Expired {
        /// Which requirement.
        requirement: String,
        /// Which attestation.
        item: usize,
        /// When it ended.
        until: UnixTime,
    },
    /// No attestation speaks of the artifact.
    #[error("no attestation speaks of this artifact")]
    NoAttestation,
    /// The attestation that came furthest is not even a bundle.
    #[error("the attestation is not a bundle")]
    NotABundle {
        /// Which.
        item: usize,
    },
    /// The attestation that came furthest is not what the archive holds from which it comes.
    #[error("the archive does not prove the attestation")]
    NotArchived {
        /// Which.
        item: usize,
    },
    /// Attestations hold, none is of the predicate type asked for.
    #[error("no attestation of type {}; found {}", wanted.spelled(), list(found))]
    PredicateAbsent {
        /// Which requirement.
        requirement: String,
        /// The type asked for.
        wanted: TypePattern,
        /// The types found, each once.
        found: Vec<String>,
    },
    /// The attestation that came furthest is refused for this.
    #[error("{error}")]
    Refused {
        /// Which attestation.
        item: usize,
        /// Why.
        error: VerifyError,
    },
    /// The signer is accepted, but not for this requirement.
    #[error(
        "{requirement}: expected an attestation by {}, found one by {}",
        list(wanted),
        list(found)
    )]
    SignerNotAccepted {
        /// Which requirement.
        requirement: String,
        /// Which attestation.
        item: usize,
        /// Whose are wanted.
        wanted: Vec<String>,
        /// Whose it is.
        found: Vec<String>,
    },
    /// What is attested is too old.
    #[error("{requirement}: {}, at most {allowed} are allowed", age_text(age.as_ref()))]
    Stale {
        /// Which requirement.
        requirement: String,
        /// Which attestation.
        item: usize,
        /// How old, none when no time is authenticated.
        age: Option<Duration>,
        /// How old it may be.
        allowed: Age,
    },
    /// There are some, but not enough.
    #[error("{requirement}: {found} {of} of {wanted}")]
    TooFew {
        /// Which requirement.
        requirement: String,
        /// How many are needed.
        wanted: usize,
        /// How many count.
        found: usize,
        /// What is counted.
        of: Counted,
    },
}

impl Refusal {
    /// Returns the code of reports and commands.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Condition { .. } | Self::Denied { .. } => code::DENIED,
            Self::Damaged { .. } => code::INTERNAL,
            Self::Expired { .. } | Self::Stale { .. } => code::STALE,
            Self::NoAttestation => code::NO_ATTESTATION,
            Self::NotABundle { .. } | Self::NotArchived { .. } => code::SIGNATURE,
            Self::PredicateAbsent { .. } | Self::TooFew { .. } => code::NO_PREDICATE,
            Self::Refused { error, .. } => code::of_verification(error),
            Self::SignerNotAccepted { .. } => code::IDENTITY,
        }
    }

    /// Returns the name of the page that says what this means and what to do (docs/errors).
    pub const fn page(&self) -> &'static str {
        match self {
            Self::Condition { .. } => "condition-not-met",
            Self::Damaged { .. } => "damaged-attestation",
            Self::Denied { .. } => "denied",
            Self::Expired { .. } | Self::Stale { .. } => "stale",
            Self::NoAttestation => "no-attestation",
            Self::NotABundle { .. } => "not-a-bundle",
            Self::NotArchived { .. } => "not-archived",
            Self::PredicateAbsent { .. } => "predicate-absent",
            Self::Refused { error, .. } => error.page(),
            Self::SignerNotAccepted { .. } => "signer-not-accepted",
            Self::TooFew { .. } => "too-few",
        }
    }

    /// Returns the attestation that the refusal is about, none when it is about no single one.
    pub const fn item(&self) -> Option<usize> {
        match self {
            Self::Condition { item, .. }
            | Self::Damaged { item }
            | Self::Denied { item, .. }
            | Self::Expired { item, .. }
            | Self::NotABundle { item }
            | Self::NotArchived { item }
            | Self::Refused { item, .. }
            | Self::SignerNotAccepted { item, .. }
            | Self::Stale { item, .. } => Some(*item),
            Self::NoAttestation | Self::PredicateAbsent { .. } | Self::TooFew { .. } => None,
        }
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => escape(&names.join(", ")),
    }
}

/// Says how old something is.
pub(super) fn age_text(age: Option<&Duration>) -> String {
    match age {
        Some(age) => format!("attested {} ago", Elapsed(*age)),
        None => "nothing authenticated says when it was attested".to_owned(),
    }
}
