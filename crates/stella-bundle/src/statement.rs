//! in-toto statements: subjects bound to a predicate. What a predicate means lives in [`crate::predicate`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::digest::{Digest, DigestAlgorithm};
use crate::json::{self, JsonError};

/// Statement type of in-toto attestation v1.
pub const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";
/// Statement type of in-toto attestation v0.1, which older cosign writes.
pub const STATEMENT_V0_1: &str = "https://in-toto.io/Statement/v0.1";
/// Predicate type of a plain signature over an image or file, as cosign v3 writes it.
pub const COSIGN_SIGN_V1: &str = "https://sigstore.dev/cosign/sign/v1";
/// Statements with more subjects than this are refused; release pages name a few hundred files.
pub const MAX_SUBJECTS: usize = 10_000;

/// The ways in which a payload is not a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The payload is not JSON of the right shape, or names something twice.
    #[error("not an in-toto statement: {0}")]
    Json(JsonError),
    /// No subject is there: the statement speaks of nothing.
    #[error("statement has no subject")]
    NoSubject,
    /// A subject has no digest.
    #[error("subject {index} has no digest")]
    NoDigest {
        /// Which, from 0.
        index: usize,
    },
    /// There are more subjects than [`MAX_SUBJECTS`].
    #[error("statement has {count} subjects, more than {MAX_SUBJECTS}")]
    TooManySubjects {
        /// How many.
        count: usize,
    },
    /// `_type` is none that is known.
    #[error("statement type {found:?} is not known")]
    UnknownType {
        /// What stands there.
        found: String,
    },
}

impl From<serde_json::Error> for StatementError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.into())
    }
}

/// What a statement speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// A name for people; never compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Digests by algorithm name, lower-case hex.
    #[serde(default)]
    pub digest: BTreeMap<String, String>,
}

impl Subject {
    /// Returns the subject with one digest.
    pub fn new(name: Option<String>, digest: &Digest) -> Self {
        let digest = BTreeMap::from([(digest.algorithm().name().to_owned(), digest.hex())]);
        Self { name, digest }
    }

    /// Returns those digests whose algorithm is known and whose length is right.
    pub fn digests(&self) -> Vec<Digest> {
        let parse = |(name, digits): (&String, &String)| {
            Digest::from_hex(DigestAlgorithm::from_name(name)?, digits)
        };
        self.digest.iter().filter_map(parse).collect()
    }

    /// Says whether this subject is the artifact.
    ///
    /// Some digest must agree and none may disagree: a subject that names one artifact by SHA-256 and another by
    /// SHA-512 is neither.
    pub fn is(&self, artifact: &[Digest]) -> bool {
        let mut agreed = false;
        for digest in artifact {
            match self.digest.get(digest.algorithm().name()) {
                Some(digits) if *digits == digest.hex() => agreed = true,
                Some(_) => return false,
                None => {}
            }
        }
        agreed
    }
}

/// What a statement says, kept as it stands in the payload.
///
/// It is parsed only where someone asks: as a tree of values a hostile text of some megabytes would fill gigabytes, long
/// before anyone knows that its signature is bad.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Predicate(Box<RawValue>);

impl Predicate {
    /// Returns the JSON text.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Returns the tree of values.
    pub fn to_value(&self) -> Value {
        // The text was read once as JSON without doubled names.
        serde_json::from_str(self.text()).unwrap_or_default()
    }
}

impl From<&Value> for Predicate {
    fn from(value: &Value) -> Self {
        let text = RawValue::from_string(value.to_string());
        text.map_or_else(|_| Self::default(), Self)
    }
}

impl Default for Predicate {
    /// `null`: nothing is said.
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl PartialEq for Predicate {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Predicate {}

/// A statement about subjects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// [`STATEMENT_V1`] or [`STATEMENT_V0_1`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// What it speaks of.
    #[serde(default)]
    pub subject: Vec<Subject>,
    /// What is said, as a URI.
    #[serde(rename = "predicateType", default)]
    pub predicate_type: String,
    /// What is said.
    #[serde(default)]
    pub predicate: Predicate,
}

impl Statement {
    /// Returns a statement of in-toto v1.
    pub fn new(subject: Vec<Subject>, predicate_type: &str, predicate: &Value) -> Self {
        let kind = STATEMENT_V1.to_owned();
        Self {
            kind,
            subject,
            predicate_type: predicate_type.to_owned(),
            predicate: Predicate::from(predicate),
        }
    }

    /// Reads a payload. Unknown fields are ignored (in-toto attestation v1 §parsing rules); duplicates are refused.
    ///
    /// # Errors
    /// Any [`StatementError`].
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        json::require_unambiguous(payload)?;
        let statement: Self = serde_json::from_slice(payload)?;
        if statement.kind != STATEMENT_V1 && statement.kind != STATEMENT_V0_1 {
            return Err(StatementError::UnknownType {
                found: statement.kind,
            });
        }
        if statement.subject.is_empty() {
            return Err(StatementError::NoSubject);
        }
        if statement.subject.len() > MAX_SUBJECTS {
            return Err(StatementError::TooManySubjects {
                count: statement.subject.len(),
            });
        }
        if let Some(index) = statement
            .subject
            .iter()
            .position(|each| each.digest.is_empty())
        {
            return Err(StatementError::NoDigest { index });
        }
        Ok(statement)
    }

    /// Writes the payload: compact JSON, names of objects in alphabetical order inside the predicate.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising a `Value` and strings into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Says whether the artifact with these digests is among the subjects.
    pub fn speaks_of(&self, artifact: &[Digest]) -> bool {
        self.subject.iter().any(|subject| subject.is(artifact))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn digest() -> Digest {
        DigestAlgorithm::Sha256.digest(b"artifact")
    }

    #[test]
    fn a_statement_round_trips_and_knows_its_subject() {
        let subject = vec![Subject::new(Some("a".into()), &digest())];
        let statement = Statement::new(subject, COSIGN_SIGN_V1, &serde_json::json!({"b": 1}));
        let parsed = Statement::parse(&statement.to_bytes()).unwrap();
        assert_eq!(parsed, statement);
        assert!(parsed.speaks_of(&[digest()]));
        assert!(!parsed.speaks_of(&[DigestAlgorithm::Sha256.digest(b"other")]));
        assert!(!parsed.speaks_of(&[]));
    }

    #[test]
    fn a_subject_of_two_different_artifacts_is_neither() {
        let mut subject = Subject::new(None, &digest());
        subject.digest.insert(
            "sha512".into(),
            DigestAlgorithm::Sha512.digest(b"other").hex(),
        );
        assert!(!subject.is(&[digest(), DigestAlgorithm::Sha512.digest(b"artifact")]));
    }

    #[test]
    fn payloads_that_are_no_statement_are_refused_by_name() {
        let unknown = br#"{"_type":"x","subject":[{"digest":{"sha256":"00"}}]}"#;
        assert_eq!(
            Statement::parse(unknown),
            Err(StatementError::UnknownType { found: "x".into() })
        );
        let empty = format!(r#"{{"_type":"{STATEMENT_V1}","subject":[]}}"#);
        assert_eq!(
            Statement::parse(empty.as_bytes()),
            Err(StatementError::NoSubject)
        );
        let bare = format!(r#"{{"_type":"{STATEMENT_V1}","subject":[{{"name":"a"}}]}}"#);
        assert_eq!(
            Statement::parse(bare.as_bytes()),
            Err(StatementError::NoDigest { index: 0 })
        );
        let twice = format!(
            r#"{{"_type":"{STATEMENT_V1}","subject":[{{"digest":{{"sha256":"0","sha256":"1"}}}}]}}"#
        );
        assert!(matches!(
            Statement::parse(twice.as_bytes()),
            Err(StatementError::Json { .. })
        ));
    }
}
