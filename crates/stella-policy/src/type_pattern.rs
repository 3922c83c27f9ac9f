//! Which predicate types a requirement speaks of: one, a family of versions, plain signatures, or any.

use std::fmt;

use stella_bundle::predicate::{PredicateType, PredicateTypeError};
use stella_bundle::statement::COSIGN_SIGN_V1;

/// The word for signatures over the artifact itself.
pub const SIGNATURE: &str = "signature";

/// The end of a family's name.
const ANY_VERSION: &str = "/*";

/// Which predicate types are meant. Compared to the letter, in upper and lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypePattern {
    /// Whatever is attested.
    Any,
    /// This URI.
    Exact(PredicateType),
    /// Every URI that begins so; what it begins with ends in `/`.
    Family(String),
    /// A signature over the artifact itself, as a message signature or as cosign's predicate that says nothing more.
    Signature,
}

/// The ways in which text names no types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypePatternError {
    /// The text is no URI and no short name.
    #[error("{0}, signature")]
    NotAType(PredicateTypeError),
    /// `*` stands elsewhere than behind the last `/`, or the family is a whole site.
    #[error(
        "in {found:?} * may stand only at the end, behind a path: https://slsa.dev/provenance/*"
    )]
    Wildcard {
        /// The text.
        found: String,
    },
}

impl TypePattern {
    /// Reads a short name, an exact URI, or a URI that ends in `/*`.
    ///
    /// # Errors
    /// Any [`TypePatternError`].
    pub fn parse(text: &str) -> Result<Self, TypePatternError> {
        if text == SIGNATURE {
            return Ok(Self::Signature);
        }
        let exact = |text| PredicateType::parse(text).map_err(TypePatternError::NotAType);
        let Some(family) = text.strip_suffix(ANY_VERSION) else {
            return match text.contains('*') {
                true => Err(wildcard(text)),
                false => exact(text).map(Self::Exact),
            };
        };
        let uri = exact(family)?;
        let has_path = family
            .split_once("://")
            .is_some_and(|(_, rest)| rest.split('/').filter(|part| !part.is_empty()).count() >= 2);
        match uri {
            PredicateType::Other(uri) if has_path && !uri.contains('*') => {
                Ok(Self::Family(format!("{uri}/")))
            }
            _ => Err(wildcard(text)),
        }
    }

    /// Returns the pattern as it is compared: a short name as the URI that it stands for.
    pub fn spelled(&self) -> String {
        match self {
            Self::Exact(predicate_type) => predicate_type.uri().to_owned(),
            other => other.to_string(),
        }
    }

    /// Says whether an attestation is of such a type; none stands for a message signature, which has no statement.
    pub fn matches(&self, predicate_type: Option<&str>) -> bool {
        match (self, predicate_type) {
            (Self::Any, _) | (Self::Signature, None | Some(COSIGN_SIGN_V1)) => true,
            (Self::Exact(wanted), Some(found)) => wanted.uri() == found,
            (Self::Family(beginning), Some(found)) => {
                found.len() > beginning.len() && found.starts_with(beginning)
            }
            (Self::Exact(_) | Self::Family(_), None) | (Self::Signature, Some(_)) => false,
        }
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("any"),
            Self::Exact(predicate_type) => predicate_type.fmt(formatter),
            Self::Family(beginning) => write!(formatter, "{beginning}*"),
            Self::Signature => formatter.write_str(SIGNATURE),
        }
    }
}

fn wildcard(text: &str) -> TypePatternError {
    TypePatternError::Wildcard {
        found: text.to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_what_it_names_and_nothing_beside_it() {
        let slsa = "https://slsa.dev/provenance/v1";
        let verdict = PredicateType::PolicyResult;
        for (pattern, found, expected) in [
            ("verdict", Some(verdict.uri()), true),
            ("policy-result", Some(verdict.uri()), true),
            (slsa, Some(slsa), true),
            (slsa, Some("https://slsa.dev/provenance/v1.1"), false),
            (slsa, Some("https://SLSA.dev/provenance/v1"), false),
            (slsa, None, false),
            ("https://slsa.dev/provenance/*", Some(slsa), true),
            (
                "https://slsa.dev/provenance/*",
                Some("https://slsa.dev/provenance/"),
                false,
            ),
            (
                "https://slsa.dev/provenance/*",
                Some("https://slsa.dev/provenance"),
                false,
            ),
            (
                "https://slsa.dev/provenance/*",
                Some("https://slsa.dev/provenancev1"),
                false,
            ),
            ("signature", None, true),
            ("signature", Some(COSIGN_SIGN_V1), true),
            ("signature", Some(slsa), false),
            (COSIGN_SIGN_V1, None, false),
        ] {
            let pattern = TypePattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(found), expected, "{pattern} {found:?}");
        }
    }

    #[test]
    fn wildcards_elsewhere_and_whole_sites_are_refused() {
        for text in [
            "*",
            "https://slsa.dev/*",
            "https://*/provenance/*",
            "https://slsa.dev/pro*",
            "verdict/*",
            "urn:x/*",
        ] {
            assert!(TypePattern::parse(text).is_err(), "{text}");
        }
    }
}
