//! Exported attestations: one file with every bundle of an artifact, byte for byte, and the trust roots beside them.
//!
//! A trust root inside such a file proves nothing by itself: it counts only where its digest is pinned.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::bundle::{Bundle, BundleError, MAX_BUNDLE};
use crate::digest::{Digest, DigestAlgorithm};
use crate::json::{self, JsonError};
use crate::statement::Subject;

/// The media type of the file.
pub const MEDIA_TYPE: &str = "application/vnd.stella-ops.attestation-bundle.v1+json";
/// More attestations in one file than this are refused.
pub const MAX_ATTESTATIONS: usize = 10_000;

/// The ways in which bytes are not exported attestations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestationSetError {
    /// The text is not JSON of this file.
    #[error("not an attestation bundle: {0}")]
    Json(JsonError),
    /// A line of a JSON Lines file is not a bundle.
    #[error("line {line}: {error}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        error: BundleError,
    },
    /// There are more attestations than [`MAX_ATTESTATIONS`].
    #[error("{found} attestations in one file, more than {MAX_ATTESTATIONS}")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// The file is larger than [`MAX_BUNDLE`].
    #[error("file of {length} bytes is larger than {MAX_BUNDLE}")]
    TooLarge {
        /// Its length.
        length: usize,
    },
    /// A trusted root's bytes do not have the digest that stands beside them.
    #[error("trusted root {index} does not have the digest noted for it")]
    TrustedRootDigest {
        /// Which, from 0.
        index: usize,
    },
    /// The media type is another's.
    #[error("media type {found:?} is not that of an attestation bundle")]
    UnknownMediaType {
        /// What stands there.
        found: String,
    },
}

impl From<serde_json::Error> for AttestationSetError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.into())
    }
}

/// The file `attestation-bundle.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttestationSet {
    /// [`MEDIA_TYPE`].
    pub media_type: String,
    /// What the attestations speak of.
    pub subjects: Vec<Subject>,
    /// The attestations.
    pub attestations: Vec<Attestation>,
    /// Evidence of a long-term archive over the whole set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<serde_json::Value>,
    /// Trust roots, for people to look at and to pin.
    #[serde(default)]
    pub trusted_roots: Vec<TrustedRootCopy>,
}

/// One attestation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// The exact bytes of the bundle.
    #[serde(with = "json::base64_bytes")]
    pub bundle: Vec<u8>,
    /// Evidence of a long-term archive over this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<serde_json::Value>,
}

/// The exact bytes of a trusted root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedRootCopy {
    /// SHA-256 of the bytes, `sha256:` and hex.
    pub digest: String,
    /// The bytes.
    #[serde(with = "json::base64_bytes")]
    pub content: Vec<u8>,
}

impl TrustedRootCopy {
    /// Returns the copy with its digest.
    pub fn new(content: Vec<u8>) -> Self {
        Self {
            digest: DigestAlgorithm::Sha256.digest(&content).to_string(),
            content,
        }
    }
}

impl AttestationSet {
    /// Returns the file of these bundles about one artifact.
    pub fn new(
        subject: &Digest,
        bundles: Vec<Vec<u8>>,
        trusted_roots: Vec<TrustedRootCopy>,
    ) -> Self {
        let attestation = |bundle| Attestation {
            bundle,
            archive: None,
        };
        Self {
            media_type: MEDIA_TYPE.to_owned(),
            subjects: vec![Subject::new(None, subject)],
            attestations: bundles.into_iter().map(attestation).collect(),
            archive: None,
            trusted_roots,
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Any [`AttestationSetError`] but `Line`.
    pub fn parse(bytes: &[u8]) -> Result<Self, AttestationSetError> {
        if bytes.len() > MAX_BUNDLE {
            return Err(AttestationSetError::TooLarge {
                length: bytes.len(),
            });
        }
        let set: Self = serde_json::from_slice(bytes)?;
        if set.media_type != MEDIA_TYPE {
            return Err(AttestationSetError::UnknownMediaType {
                found: set.media_type,
            });
        }
        if set.attestations.len() > MAX_ATTESTATIONS {
            return Err(AttestationSetError::TooMany {
                found: set.attestations.len(),
            });
        }
        let has_digest = |copy: &TrustedRootCopy| {
            DigestAlgorithm::Sha256.digest(&copy.content).to_string() == copy.digest
        };
        if let Some(index) = set.trusted_roots.iter().position(|copy| !has_digest(copy)) {
            return Err(AttestationSetError::TrustedRootDigest { index });
        }
        Ok(set)
    }

    /// Writes the file: indented JSON with a final newline.
    pub fn to_json(&self) -> Vec<u8> {
        crate::trusted_root::to_json(self)
    }
}

/// Returns the exact bytes of every bundle in a file of any form: a set, one bundle, a JSON array of bundles, or bundles
/// line by line.
///
/// # Errors
/// Any [`AttestationSetError`].
pub fn bundles_in(bytes: &[u8]) -> Result<Vec<Vec<u8>>, AttestationSetError> {
    if bytes.len() > MAX_BUNDLE {
        return Err(AttestationSetError::TooLarge {
            length: bytes.len(),
        });
    }
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return array(bytes);
    }
    match media_type(bytes) {
        Some(found) if found == MEDIA_TYPE => {
            let set = AttestationSet::parse(bytes)?;
            Ok(set
                .attestations
                .into_iter()
                .map(|each| each.bundle)
                .collect())
        }
        Some(_) => Ok(vec![bytes.to_vec()]),
        None => lines(bytes),
    }
}

fn array(bytes: &[u8]) -> Result<Vec<Vec<u8>>, AttestationSetError> {
    let elements: Vec<&RawValue> = serde_json::from_slice(bytes)?;
    let found = elements.len();
    if found > MAX_ATTESTATIONS {
        return Err(AttestationSetError::TooMany { found });
    }
    let bytes = |each: &&RawValue| each.get().as_bytes().to_vec();
    Ok(elements.iter().map(bytes).collect())
}

/// Returns the media type of a text that is one JSON object.
fn media_type(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(alias = "mediaType", default)]
        media_type: String,
    }
    serde_json::from_slice::<Head>(bytes)
        .ok()
        .map(|head| head.media_type)
}

fn lines(bytes: &[u8]) -> Result<Vec<Vec<u8>>, AttestationSetError> {
    let mut bundles = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if bundles.len() == MAX_ATTESTATIONS {
            return Err(AttestationSetError::TooMany {
                found: bundles.len() + 1,
            });
        }
        Bundle::parse(line).map_err(|error| AttestationSetError::Line {
            line: index + 1,
            error,
        })?;
        bundles.push(line.to_vec());
    }
    Ok(bundles)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const BUNDLE: &[u8] = br#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"AA=="}},"messageSignature":{"signature":"AQ=="}}"#;

    fn set() -> AttestationSet {
        let subject = DigestAlgorithm::Sha256.digest(b"artifact");
        let root = TrustedRootCopy::new(b"{}".to_vec());
        AttestationSet::new(&subject, vec![BUNDLE.to_vec()], vec![root])
    }

    #[test]
    fn bundles_come_out_of_a_set_byte_for_byte() {
        let written = set().to_json();
        assert_eq!(AttestationSet::parse(&written).unwrap(), set());
        assert_eq!(bundles_in(&written).unwrap(), [BUNDLE]);
    }

    #[test]
    fn single_bundles_and_json_lines_are_read_too() {
        assert_eq!(bundles_in(BUNDLE).unwrap(), [BUNDLE]);
        let lines = [BUNDLE, b"\n\n", BUNDLE, b"\n"].concat();
        assert_eq!(bundles_in(&lines).unwrap(), [BUNDLE, BUNDLE]);
        let broken = [BUNDLE, b"\n{}\n"].concat();
        assert!(matches!(
            bundles_in(&broken),
            Err(AttestationSetError::Line { line: 2, .. })
        ));
    }

    #[test]
    fn unknown_fields_and_exchanged_trust_roots_are_refused() {
        let text = String::from_utf8(set().to_json()).unwrap();
        let extra = text.replacen('{', r#"{"extra":1,"#, 1);
        assert!(matches!(
            AttestationSet::parse(extra.as_bytes()),
            Err(AttestationSetError::Json { .. })
        ));
        let exchanged = text.replace("\"e30=\"", "\"W10=\"");
        assert_eq!(
            AttestationSet::parse(exchanged.as_bytes()),
            Err(AttestationSetError::TrustedRootDigest { index: 0 })
        );
    }
}
