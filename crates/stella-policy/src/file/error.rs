//! The ways in which a policy file is refused. All of them end in exit code 2.

use std::io;

use stella_bundle::identity::IdentityError;
use stella_bundle::key::KeyError;
use stella_tlog::quorum;

use super::MAX_POLICY;
use crate::age::AgeError;
use crate::pointer::PointerError;
use crate::type_pattern::TypePatternError;

/// Why a policy file cannot be used, and where.
///
/// Not `PartialEq`: the parser's error is kept as it is.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {}{problem}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct PolicyFileError {
    /// The line, from 1.
    pub line: u64,
    /// The path of the key; empty for the whole file.
    pub path: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with one place of a policy file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// An age cannot be read.
    #[error(transparent)]
    Age(#[from] AgeError),
    /// Anyone is accepted, and others are named beside: then naming them says nothing.
    #[error(
        "a signer with insecure-any-identity stands alone: whoever is named beside it is accepted anyway"
    )]
    AnyoneBesideOthers,
    /// A file that the policy names cannot be read.
    #[error("cannot read {path:?}: {kind}")]
    File {
        /// The path, as it stands in the policy.
        path: String,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// A path leads out of the policy's folder.
    #[error("{path:?} is no path below the policy's own folder")]
    FilePath {
        /// The path.
        path: String,
    },
    /// A digest of a trust root cannot be read.
    #[error("{found:?} is no digest: expected sha256: and 64 hex digits in lower case")]
    Fingerprint {
        /// What stands there.
        found: String,
    },
    /// An identity cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A public key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file does not begin with its version.
    #[error("a policy begins with `policy: {}`", super::VERSION)]
    NoVersion,
    /// A switch that can only be thrown.
    #[error("can only be true: leave the line out for the safe choice")]
    OnlyTrue,
    /// Keys that exclude each other, or of which one is needed.
    #[error("needs exactly one of {}", keys.join(", "))]
    NotExactlyOne {
        /// The keys.
        keys: &'static [&'static str],
    },
    /// The key has no meaning beside another.
    #[error("{key} has no meaning beside {beside}")]
    NotBeside {
        /// The key.
        key: &'static str,
        /// The other.
        beside: &'static str,
    },
    /// A needed key is not there.
    #[error("needs {key}")]
    Missing {
        /// Which.
        key: &'static str,
    },
    /// The text is not YAML.
    #[error("not YAML: {}", .0.render_with_formatter(&serde_saphyr::UserMessageFormatter))]
    NotYaml(Box<serde_saphyr::Error>),
    /// A pointer cannot be read.
    #[error(transparent)]
    Pointer(#[from] PointerError),
    /// A number that is none.
    #[error("{found} is no number that can be compared")]
    Number {
        /// What stands there.
        found: String,
    },
    /// The value has another shape.
    #[error("expected {expected}, found {found}")]
    Shape {
        /// What the key takes.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A moment cannot be read.
    #[error("{found:?} is no moment such as 2026-01-01T00:00:00Z")]
    Time {
        /// What stands there.
        found: String,
    },
    /// The file is larger than any policy.
    #[error("larger than {MAX_POLICY} bytes")]
    TooLarge,
    /// There are more of something than a policy has.
    #[error("more than {most}")]
    TooMany {
        /// How many there may be.
        most: usize,
    },
    /// A key stands twice.
    #[error("stands twice")]
    Twice,
    /// A type cannot be read.
    #[error(transparent)]
    Type(#[from] TypePatternError),
    /// The claim is none that Fulcio writes.
    #[error(
        "no claim of a Fulcio certificate; the claims are {}",
        crate::signer::claim_names()
    )]
    UnknownClaim,
    /// A key that does not exist.
    #[error("unknown key{}", meant(nearest.as_deref()))]
    UnknownKey {
        /// The known key nearest to it.
        nearest: Option<String>,
    },
    /// A signer that the policy does not define.
    #[error("no signer has the name {name:?}{}", meant(nearest.as_deref()))]
    UnknownSigner {
        /// The name.
        name: String,
        /// The defined name nearest to it.
        nearest: Option<String>,
    },
    /// The names of witnesses and their quorum cannot be read.
    #[error(transparent)]
    Witnesses(#[from] quorum::PolicyError),
    /// The word is none that the key takes.
    #[error("expected one of {}, found {found:?}", allowed.join(", "))]
    Word {
        /// The words.
        allowed: &'static [&'static str],
        /// What stands there.
        found: String,
    },
    /// The number is zero, or not a whole one.
    #[error("expected a whole number above zero")]
    Zero,
}

/// Ends a message with what was probably meant.
fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// A name with more mistakes than these was another one.
const MAX_TYPOS: usize = 2;

/// Returns the known name nearest to what was typed.
pub(super) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let distance = |name: &'a str| (strsim::damerau_levenshtein(name, typed), name);
    let (distance, name) = known.map(distance).min()?;
    (distance <= MAX_TYPOS).then(|| name.to_owned())
}
