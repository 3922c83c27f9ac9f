//! Sigstore bundles: parse every version, write v0.3. What a bundle proves is decided in [`crate::verify`].

mod words;

use crate::digest::{Digest, DigestAlgorithm};
use crate::entry::LogEntry;
use crate::envelope::Envelope;
use crate::json::JsonError;

use words::{
    BundleWords, ChainWords, DigestWords, HintWords, MaterialWords, MessageWords, Raw,
    TimestampWords,
};

/// Bundles larger than this are refused: the size that cosign allows an attachment.
pub const MAX_BUNDLE: usize = 128 << 20;
/// More log entries than this are refused, as sigstore-go does.
pub const MAX_ENTRIES: usize = 32;
/// More timestamps than this are refused, as sigstore-go does.
pub const MAX_TIMESTAMPS: usize = 32;
/// Longer certificate chains than this are refused.
pub const MAX_CHAIN: usize = 10;
/// The media type that is written.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The ways in which bytes are not a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// There is both a message signature and an envelope, or neither.
    #[error("bundle must have either a message signature or a DSSE envelope")]
    Content,
    /// The certificate chain is empty.
    #[error("bundle has an empty certificate chain")]
    EmptyChain,
    /// The text is not JSON of a bundle.
    #[error("not a Sigstore bundle: {0}")]
    Json(JsonError),
    /// None or several of certificate, chain and public key are there.
    #[error("bundle must have exactly one of certificate, certificate chain and public key")]
    KeyMaterial,
    /// A part is not allowed in, or is required by, the bundle's version.
    #[error("{part} does not fit a bundle of version {version}")]
    NotInVersion {
        /// Which part.
        part: Part,
        /// Which version.
        version: Version,
    },
    /// A DSSE envelope has another number of signatures than one.
    #[error("envelope has {found} signatures, expected exactly 1")]
    SignatureCount {
        /// How many.
        found: usize,
    },
    /// Something is there more often, or is larger, than any honest bundle has it.
    #[error("bundle has {found} {part}, more than {limit}")]
    TooMany {
        /// Which part.
        part: Part,
        /// How many.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The media type is none that is known.
    #[error("bundle media type {found:?} is not known")]
    UnknownMediaType {
        /// What stands there.
        found: String,
    },
    /// A value is impossible.
    #[error("bundle has an impossible {part}")]
    Impossible {
        /// Which part.
        part: Part,
    },
}

impl From<serde_json::Error> for BundleError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.into())
    }
}

/// A part of a bundle, for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the bundle's own")]
pub enum Part {
    Bytes,
    CertificateChain,
    Checkpoint,
    InclusionPromise,
    InclusionProof,
    LogIndex,
    MessageDigest,
    Signature,
    SimpleSigning,
    StampedEnvelope,
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Bytes => "bytes",
            Self::CertificateChain => "certificate chain",
            Self::Checkpoint => "proof without checkpoint",
            Self::InclusionPromise => "inclusion promise",
            Self::InclusionProof => "inclusion proof",
            Self::LogIndex => "log index",
            Self::MessageDigest => "message digest",
            Self::Signature => "signature",
            Self::SimpleSigning => "simple signing payload",
            Self::StampedEnvelope => "timestamp of an envelope",
        })
    }
}

/// Version of the bundle format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// v0.1: chain, inclusion promise.
    V0_1,
    /// v0.2: chain, inclusion proof.
    V0_2,
    /// v0.3: single certificate, inclusion proof.
    V0_3,
}

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::V0_1 => "0.1",
            Self::V0_2 => "0.2",
            Self::V0_3 => "0.3",
        })
    }
}

impl Version {
    fn from_media_type(text: &str) -> Option<Self> {
        let prefix = "application/vnd.dev.sigstore.bundle";
        match text.strip_prefix(prefix)? {
            "+json;version=0.1" | ".v0.1+json" => Some(Self::V0_1),
            "+json;version=0.2" | ".v0.2+json" => Some(Self::V0_2),
            "+json;version=0.3" | ".v0.3+json" => Some(Self::V0_3),
            _ => None,
        }
    }
}

/// A bundle: one signed thing and the evidence around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Version of the format it came in.
    pub version: Version,
    /// With what the signature verifies.
    pub key: KeyMaterial,
    /// The log entries.
    pub entries: Vec<LogEntry>,
    /// DER of RFC 3161 TimeStampResp, each.
    pub timestamps: Vec<Vec<u8>>,
    /// What the timestamps are over, where that is not the signature: cosign before v3 had the whole envelope stamped.
    pub stamped: Option<Vec<u8>>,
    /// What is signed.
    pub content: Content,
}

/// With what a bundle's signature verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    /// DER certificates, the leaf first, never empty.
    Certificates(Vec<Vec<u8>>),
    /// A hint at a key that the verifier has.
    PublicKey {
        /// The hint; cosign writes base64 of SHA-256 of the key.
        hint: String,
    },
}

impl KeyMaterial {
    /// Returns the hint at a managed key, none for certificates.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Certificates(_) => None,
            Self::PublicKey { hint } => Some(hint),
        }
    }
}

/// What a bundle signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A DSSE envelope with exactly one signature.
    Envelope(Envelope),
    /// A signature over the artifact's bytes.
    Message {
        /// Digest that the signer noted; a hint, compared and never trusted.
        digest: Option<Digest>,
        /// The signature.
        signature: Vec<u8>,
    },
    /// A signature over a text that names an image (simple signing): what cosign wrote before bundles, and no bundle
    /// carries.
    SimpleSigning {
        /// The signed text.
        payload: Vec<u8>,
        /// The signature.
        signature: Vec<u8>,
    },
}

impl Content {
    /// Returns the signature's bytes: what timestamps cover.
    pub fn signature(&self) -> &[u8] {
        match self {
            Self::Envelope(envelope) => envelope.signatures.first().map_or(&[], |first| &first.sig),
            Self::Message { signature, .. } | Self::SimpleSigning { signature, .. } => signature,
        }
    }
}

impl Bundle {
    /// Returns what the timestamps are over.
    pub fn stamped(&self) -> &[u8] {
        let signature = || self.content.signature();
        self.stamped.as_deref().unwrap_or_else(signature)
    }

    /// Reads a bundle of any version and requires what its version requires.
    ///
    /// # Errors
    /// Any [`BundleError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        at_most(Part::Bytes, bytes.len(), MAX_BUNDLE)?;
        let words: BundleWords = serde_json::from_slice(bytes)?;
        let version =
            Version::from_media_type(&words.media_type).ok_or(BundleError::UnknownMediaType {
                found: words.media_type,
            })?;
        let material = words.verification_material;
        let key = key_material(
            version,
            material.certificate,
            material.x509_certificate_chain,
            material.public_key,
        )?;
        let timestamps = material.timestamp_verification_data.rfc3161_timestamps;
        let bundle = Self {
            version,
            key,
            entries: material.tlog_entries,
            timestamps: timestamps
                .into_iter()
                .map(|each| each.signed_timestamp)
                .collect(),
            stamped: None,
            content: content(words.message_signature, words.dsse_envelope)?,
        };
        bundle.require_limits()?;
        Ok(bundle)
    }

    /// Writes the bundle as v0.3.
    ///
    /// # Errors
    /// `NotInVersion` for a chain of several certificates, a simple signing payload or a timestamp over something else than
    /// the signature, which v0.3 does not carry.
    pub fn to_json(&self) -> Result<Vec<u8>, BundleError> {
        let version = Version::V0_3;
        if self.stamped.is_some() {
            let part = Part::StampedEnvelope;
            return Err(BundleError::NotInVersion { part, version });
        }
        let mut material = MaterialWords::default();
        match &self.key {
            KeyMaterial::Certificates(chain) => match chain.as_slice() {
                [leaf] => {
                    material.certificate = Some(Raw {
                        raw_bytes: leaf.clone(),
                    })
                }
                _ => {
                    return Err(BundleError::NotInVersion {
                        part: Part::CertificateChain,
                        version,
                    });
                }
            },
            KeyMaterial::PublicKey { hint } => {
                material.public_key = Some(HintWords { hint: hint.clone() });
            }
        }
        material.tlog_entries = self.entries.clone();
        let token = |bytes: &Vec<u8>| TimestampWords {
            signed_timestamp: bytes.clone(),
        };
        material.timestamp_verification_data.rfc3161_timestamps =
            self.timestamps.iter().map(token).collect();
        let (message_signature, dsse_envelope) = match &self.content {
            Content::Envelope(envelope) => (None, Some(envelope.clone())),
            Content::SimpleSigning { .. } => {
                return Err(BundleError::NotInVersion {
                    part: Part::SimpleSigning,
                    version,
                });
            }
            Content::Message { digest, signature } => {
                let message_digest = digest.as_ref().map(|digest| DigestWords {
                    algorithm: digest.algorithm().sigstore_name().to_owned(),
                    digest: digest.bytes().to_vec(),
                });
                (
                    Some(MessageWords {
                        message_digest,
                        signature: signature.clone(),
                    }),
                    None,
                )
            }
        };
        let words = BundleWords {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: material,
            message_signature,
            dsse_envelope,
        };
        Ok(serde_json::to_vec(&words)?)
    }

    fn require_limits(&self) -> Result<(), BundleError> {
        if self.content.signature().is_empty() {
            return Err(BundleError::Impossible {
                part: Part::Signature,
            });
        }
        for entry in &self.entries {
            self.require_entry(entry)?;
        }
        Ok(())
    }

    fn require_entry(&self, entry: &LogEntry) -> Result<(), BundleError> {
        if entry.log_index < 0 {
            return Err(BundleError::Impossible {
                part: Part::LogIndex,
            });
        }
        let version = self.version;
        match &entry.inclusion_proof {
            // spec: sigstore_rekor.proto: a proof of v0.2 or later leads to a checkpoint.
            Some(_) if version >= Version::V0_2 && entry.proof_with_checkpoint().is_none() => {
                return Err(BundleError::NotInVersion {
                    part: Part::Checkpoint,
                    version,
                });
            }
            Some(proof) if proof.log_index < 0 || proof.tree_size < 0 => {
                return Err(BundleError::Impossible {
                    part: Part::InclusionProof,
                });
            }
            // spec: sigstore_bundle.proto: from v0.2 on the proof is required, in v0.1 the promise.
            None if version >= Version::V0_2 => {
                return Err(BundleError::NotInVersion {
                    part: Part::InclusionProof,
                    version,
                });
            }
            _ => {}
        }
        if version == Version::V0_1 && entry.inclusion_promise.is_none() {
            return Err(BundleError::NotInVersion {
                part: Part::InclusionPromise,
                version,
            });
        }
        Ok(())
    }
}

fn at_most(part: Part, found: usize, limit: usize) -> Result<(), BundleError> {
    if found <= limit {
        Ok(())
    } else {
        Err(BundleError::TooMany { part, found, limit })
    }
}

fn key_material(
    version: Version,
    certificate: Option<Raw>,
    chain: Option<ChainWords>,
    public_key: Option<HintWords>,
) -> Result<KeyMaterial, BundleError> {
    match (certificate, chain, public_key) {
        (Some(leaf), None, None) => Ok(KeyMaterial::Certificates(vec![leaf.raw_bytes])),
        (None, Some(chain), None) => {
            if chain.certificates.is_empty() {
                return Err(BundleError::EmptyChain);
            }
            // spec: sigstore_bundle.proto: v0.3 carries the leaf alone.
            if version >= Version::V0_3 {
                return Err(BundleError::NotInVersion {
                    part: Part::CertificateChain,
                    version,
                });
            }
            let certificates = chain.certificates.into_iter().map(|each| each.raw_bytes);
            Ok(KeyMaterial::Certificates(certificates.collect()))
        }
        (None, None, Some(key)) => Ok(KeyMaterial::PublicKey { hint: key.hint }),
        _ => Err(BundleError::KeyMaterial),
    }
}

fn content(
    message: Option<MessageWords>,
    envelope: Option<Envelope>,
) -> Result<Content, BundleError> {
    match (message, envelope) {
        (Some(message), None) => {
            // cosign writes an empty one where a key signs the message itself.
            let is_noted =
                |words: &DigestWords| !words.algorithm.is_empty() || !words.digest.is_empty();
            let noted = message.message_digest.filter(is_noted);
            let digest = noted.map(noted_digest).transpose()?;
            Ok(Content::Message {
                digest,
                signature: message.signature,
            })
        }
        (None, Some(envelope)) => match envelope.signatures.len() {
            // spec: sigstore_bundle.proto: a DSSE envelope in a bundle has exactly one signature.
            1 => Ok(Content::Envelope(envelope)),
            found => Err(BundleError::SignatureCount { found }),
        },
        _ => Err(BundleError::Content),
    }
}

fn noted_digest(words: DigestWords) -> Result<Digest, BundleError> {
    // spec: proto3 JSON mapping: an enum is its name or its number.
    DigestAlgorithm::from_sigstore_name_or_number(&words.algorithm)
        .and_then(|algorithm| Digest::new(algorithm, &words.digest))
        .ok_or(BundleError::Impossible {
            part: Part::MessageDigest,
        })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"AA=="}},"messageSignature":{"signature":"AQ=="}}"#;

    #[test]
    fn a_bundle_is_written_as_it_was_read() {
        let bundle = Bundle::parse(MINIMAL.as_bytes()).unwrap();
        assert_eq!(Bundle::parse(&bundle.to_json().unwrap()).unwrap(), bundle);
    }

    #[test]
    fn an_empty_digest_is_none_and_half_of_one_is_refused() {
        let noted = |digest: &str| {
            let digest = format!(r#""messageSignature":{{"messageDigest":{digest},"#);
            let text = MINIMAL.replace(r#""messageSignature":{"#, &digest);
            Bundle::parse(text.as_bytes()).map(|bundle| bundle.content)
        };
        let alone = Content::Message {
            digest: None,
            signature: vec![1],
        };
        assert_eq!(noted("{}"), Ok(alone));
        let impossible = Err(BundleError::Impossible {
            part: Part::MessageDigest,
        });
        assert_eq!(noted(r#"{"digest":"AQ=="}"#), impossible);
        assert_eq!(noted(r#"{"algorithm":"SHA2_256"}"#), impossible);
    }

    #[test]
    fn both_or_neither_content_is_refused() {
        let neither = MINIMAL.replace(r#","messageSignature":{"signature":"AQ=="}"#, "");
        assert_eq!(Bundle::parse(neither.as_bytes()), Err(BundleError::Content));
        let both = MINIMAL.replace(
            r#""messageSignature""#,
            r#""dsseEnvelope":{"payload":"","signatures":[{"sig":"AQ=="}]},"messageSignature""#,
        );
        assert_eq!(Bundle::parse(both.as_bytes()), Err(BundleError::Content));
    }

    #[test]
    fn unknown_names_doubled_names_and_unknown_versions_are_refused() {
        let extra = MINIMAL.replace(r#"{"mediaType""#, r#"{"padding":"x","mediaType""#);
        assert!(matches!(
            Bundle::parse(extra.as_bytes()),
            Err(BundleError::Json { .. })
        ));
        let twice = MINIMAL.replace(
            r#""signature":"AQ==""#,
            r#""signature":"AQ==","signature":"Ag==""#,
        );
        assert!(matches!(
            Bundle::parse(twice.as_bytes()),
            Err(BundleError::Json { .. })
        ));
        let later = MINIMAL.replace("v0.3", "v0.4");
        assert!(matches!(
            Bundle::parse(later.as_bytes()),
            Err(BundleError::UnknownMediaType { .. })
        ));
    }

    #[test]
    fn more_entries_or_timestamps_than_any_client_writes_are_refused() {
        let token = r#"{"signedTimestamp":"AA=="}"#;
        let many = vec![token; MAX_TIMESTAMPS + 1].join(",");
        let bundle = MINIMAL.replace(
            r#""certificate""#,
            &format!(
                r#""timestampVerificationData":{{"rfc3161Timestamps":[{many}]}},"certificate""#
            ),
        );
        assert!(matches!(
            Bundle::parse(bundle.as_bytes()),
            Err(BundleError::Json(error)) if error.reason.contains("at most 32 elements")
        ));
    }
}
