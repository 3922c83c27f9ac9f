//! Predicates: what a verdict says about its subject, by type, and the check of its shape before it is signed.
//!
//! What a verdict *means* to a gate lives elsewhere; here only its form counts. Unknown predicate types pass as they are.

/// [`DOMAIN`] as a literal, so that types are constants made of it; above the modules that use it.
macro_rules! domain {
    () => {
        "https://stella-ops.org/attestation"
    };
}

pub mod policy_result;
pub mod reachability;
pub mod sbom_delta;
pub mod schema;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

use self::schema::{Schema, SchemaError, ShapeError};
use crate::json;

/// The one domain of our own predicate types; the type of a predicate is `DOMAIN/NAME/v1`.
pub const DOMAIN: &str = domain!();

/// The type of a predicate: one of ours, or any other URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PredicateType {
    /// Any other, as it was given.
    Other(String),
    /// What a policy decided; [`policy_result`].
    PolicyResult,
    /// Which vulnerable code can be reached; [`reachability`].
    Reachability,
    /// What changed between two bills of materials; [`sbom_delta`].
    SbomDelta,
}

/// The ways in which text names no predicate type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PredicateTypeError {
    /// The text is no URI and none of the short names.
    #[error(
        "{found:?} is neither a URI nor one of sbom-delta, reachability, policy-result, verdict"
    )]
    NotAType {
        /// The text.
        found: String,
    },
}

/// The ways in which a predicate must not be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PredicateError {
    /// The bytes are not JSON, or name something twice.
    #[error("the predicate is not JSON, or names something twice (line {line}, column {column})")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The schema that ships with this program cannot be used.
    #[error("the schema of {predicate_type} cannot be used")]
    Schema {
        /// Whose schema.
        predicate_type: PredicateType,
        /// Why.
        #[source]
        problem: SchemaError,
    },
    /// The predicate has another shape than its type demands.
    #[error("not a {predicate_type} predicate: {problem}")]
    Shape {
        /// Which type it should be of.
        predicate_type: PredicateType,
        /// Where, what was expected, what was found.
        problem: ShapeError,
    },
}

impl PredicateType {
    /// Our own types, by their short names.
    pub const OURS: [Self; 3] = [Self::PolicyResult, Self::Reachability, Self::SbomDelta];

    /// Reads what a person writes after `--type`: a short name, its alias, or a URI.
    ///
    /// # Errors
    ///
    /// [`PredicateTypeError::NotAType`]: neither a known short name nor `scheme:…` of printable ASCII (RFC 3986 §3.1).
    pub fn parse(text: &str) -> Result<Self, PredicateTypeError> {
        if let Some(ours) = Self::OURS
            .into_iter()
            .find(|ours| ours.names().contains(&text))
        {
            return Ok(ours);
        }
        if !schema::is_uri(text) {
            return Err(PredicateTypeError::NotAType {
                found: text.to_owned(),
            });
        }
        Ok(Self::from_uri(text))
    }

    /// Returns the type with this URI, to the letter.
    pub fn from_uri(uri: &str) -> Self {
        Self::OURS
            .into_iter()
            .find(|ours| ours.uri() == uri)
            .unwrap_or_else(|| Self::Other(uri.to_owned()))
    }

    /// Returns the URI that stands in the statement.
    pub fn uri(&self) -> &str {
        match self {
            Self::Other(uri) => uri,
            Self::PolicyResult => policy_result::URI,
            Self::Reachability => reachability::URI,
            Self::SbomDelta => sbom_delta::URI,
        }
    }

    /// Returns the short names, the proper one first; none for a foreign type.
    pub fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Other(_) => &[],
            Self::PolicyResult => &["policy-result", "verdict"],
            Self::Reachability => &["reachability"],
            Self::SbomDelta => &["sbom-delta"],
        }
    }

    /// Returns the JSON Schema (draft 2020-12) of the predicate; none for a foreign type.
    pub fn schema(&self) -> Option<&'static str> {
        match self {
            Self::Other(_) => None,
            Self::PolicyResult => Some(policy_result::SCHEMA),
            Self::Reachability => Some(reachability::SCHEMA),
            Self::SbomDelta => Some(sbom_delta::SCHEMA),
        }
    }

    /// Reads the bytes of a predicate of this type, and checks its shape.
    ///
    /// # Errors
    ///
    /// What [`check`](Self::check) refuses, and bytes that are not JSON or name something twice.
    pub fn parse_predicate(&self, bytes: &[u8]) -> Result<Value, PredicateError> {
        let not_json = |problem: serde_json::Error| PredicateError::NotJson {
            line: problem.line(),
            column: problem.column(),
        };
        json::require_unambiguous(bytes).map_err(not_json)?;
        let predicate = serde_json::from_slice(bytes).map_err(not_json)?;
        self.check(&predicate)?;
        Ok(predicate)
    }

    /// Checks the shape of a predicate of this type; a foreign type accepts everything.
    ///
    /// # Errors
    ///
    /// [`PredicateError::Shape`] with the JSON pointer (RFC 6901) of the first value that is not as its schema says.
    pub fn check(&self, predicate: &Value) -> Result<(), PredicateError> {
        let Some(text) = self.schema() else {
            return Ok(());
        };
        let schema = Schema::parse(text).map_err(|problem| PredicateError::Schema {
            predicate_type: self.clone(),
            problem,
        })?;
        schema
            .check(predicate)
            .map_err(|problem| PredicateError::Shape {
                predicate_type: self.clone(),
                problem,
            })
    }
}

impl fmt::Display for PredicateType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.names().first().copied().unwrap_or_else(|| self.uri()))
    }
}
