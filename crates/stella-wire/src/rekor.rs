//! Rekor v2's words: `POST /api/v2/log/entries` (rekor-tiles) and the paths of its reads.
//!
//! Read as its gateway reads: protobuf JSON, and an unknown name is refused. Whether a signature verifies is decided by
//! `stella_server::rekor`. The answer is a [`LogEntry`]; checkpoints and tiles are words of `stella_tlog`.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use stella_bundle::entry::{EntryVerifier, LogEntry};
use stella_bundle::envelope::Envelope;
use stella_bundle::json::{self, base64_bytes, or_default};
use stella_bundle::key::KeyDetails;

use crate::limits;

/// Path of the write endpoint below Rekor's base URL.
pub const ENTRIES_PATH: &str = "/api/v2/log/entries";
/// Path of the checkpoint below Rekor's base URL.
pub const CHECKPOINT_PATH: &str = "/api/v2/checkpoint";
/// What stands before the path of a tile.
pub const READ_PATH: &str = "/api/v2/";

/// Envelopes with more signatures are refused; Rekor's own bound.
pub const MAX_SIGNATURES: usize = 10;

/// The ways in which bytes are no request or no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RekorError {
    /// A required field is absent or empty.
    #[error("{field} is missing")]
    FieldMissing {
        /// Its path inside the request.
        field: &'static str,
    },
    /// Not JSON of this form, or a name that the form does not know.
    #[error("not the JSON expected: {said}")]
    Json {
        /// What the JSON parser said, with line and column.
        said: String,
    },
    /// `keyDetails` names no algorithm that is known.
    #[error("keyDetails {name:?} is not known")]
    KeyDetailsUnknown {
        /// The name, or the number in digits.
        name: String,
    },
    /// The request holds none of the known kinds, or several.
    #[error("exactly one of hashedRekordRequestV002 and dsseRequestV002 must be given")]
    NotOneRequest,
    /// A verifier holds both a certificate and a public key, or neither.
    #[error("exactly one of x509Certificate and publicKey must be given")]
    NotOneVerifier,
    /// The body exceeds its limit.
    #[error("the body of {length} bytes is larger than {limit}")]
    TooLarge {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The envelope has too many signatures or verifiers.
    #[error("{count} signatures or verifiers, more than {MAX_SIGNATURES}")]
    TooManySignatures {
        /// How many there are.
        count: usize,
    },
}

/// A request to log one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddEntry {
    /// A DSSE envelope with who signed it (older clients; stored as a hashedrekord over its PAE).
    Dsse(DsseRequest),
    /// A digest, a signature over it and whose it is.
    HashedRekord(HashedRekordRequest),
}

/// `hashedRekordRequestV002`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashedRekordRequest {
    /// Digest of the signed message; its algorithm follows from the key's.
    pub digest: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    /// Who signed.
    pub verifier: Verifier,
}

/// `dsseRequestV002`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DsseRequest {
    /// The envelope, with one signature at least.
    pub envelope: Envelope,
    /// Who signed, in any order.
    pub verifiers: Vec<Verifier>,
}

/// A key or certificate and how its key signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    /// The certificate or key in DER.
    pub key: EntryVerifier,
    /// The key's row in the algorithm registry.
    pub details: KeyDetails,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AddEntryJson {
    #[serde(
        default,
        alias = "hashed_rekord_request_v002",
        skip_serializing_if = "Option::is_none"
    )]
    hashed_rekord_request_v002: Option<HashedRekordJson>,
    #[serde(
        default,
        alias = "dsse_request_v002",
        skip_serializing_if = "Option::is_none"
    )]
    dsse_request_v002: Option<DsseJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedRekordJson {
    #[serde(default, with = "base64_bytes")]
    digest: Vec<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<SignatureJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureJson {
    #[serde(default, with = "base64_bytes")]
    content: Vec<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verifier: Option<VerifierJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DsseJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    envelope: Option<Envelope>,
    #[serde(default, deserialize_with = "or_default")]
    verifiers: Vec<VerifierJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VerifierJson {
    #[serde(default, alias = "public_key", skip_serializing_if = "Option::is_none")]
    public_key: Option<RawBytesJson>,
    #[serde(
        default,
        alias = "x509_certificate",
        skip_serializing_if = "Option::is_none"
    )]
    x509_certificate: Option<RawBytesJson>,
    #[serde(default, alias = "key_details", deserialize_with = "enum_text")]
    key_details: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawBytesJson {
    #[serde(default, alias = "raw_bytes", with = "base64_bytes")]
    raw_bytes: Vec<u8>,
}

/// Reads an enum's value: its name, or its number (proto3 JSON mapping).
fn enum_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(name) => name,
        Value::Null => String::new(),
        other => other.to_string(),
    })
}

impl AddEntry {
    /// Reads the JSON body.
    ///
    /// # Errors
    /// Any [`RekorError`].
    pub fn parse(body: &[u8]) -> Result<Self, RekorError> {
        let limit = limits::REKOR_REQUEST;
        if body.len() > limit {
            return Err(RekorError::TooLarge {
                length: body.len(),
                limit,
            });
        }
        let json: AddEntryJson = parse_json(body)?;
        match (json.hashed_rekord_request_v002, json.dsse_request_v002) {
            (Some(request), None) => Ok(Self::HashedRekord(request.try_into()?)),
            (None, Some(request)) => Ok(Self::Dsse(request.try_into()?)),
            _ => Err(RekorError::NotOneRequest),
        }
    }

    /// Writes the JSON body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = match self {
            Self::HashedRekord(request) => AddEntryJson {
                hashed_rekord_request_v002: Some(HashedRekordJson {
                    digest: request.digest.clone(),
                    signature: Some(SignatureJson {
                        content: request.signature.clone(),
                        verifier: Some((&request.verifier).into()),
                    }),
                }),
                dsse_request_v002: None,
            },
            Self::Dsse(request) => AddEntryJson {
                hashed_rekord_request_v002: None,
                dsse_request_v002: Some(DsseJson {
                    envelope: Some(request.envelope.clone()),
                    verifiers: request.verifiers.iter().map(Into::into).collect(),
                }),
            },
        };
        serde_json::to_vec(&json).unwrap_or_default()
    }
}

impl TryFrom<HashedRekordJson> for HashedRekordRequest {
    type Error = RekorError;

    fn try_from(json: HashedRekordJson) -> Result<Self, RekorError> {
        let missing = |field| RekorError::FieldMissing { field };
        let signature = json.signature.ok_or(missing("signature"))?;
        if signature.content.is_empty() {
            return Err(missing("signature.content"));
        }
        let verifier = signature
            .verifier
            .ok_or(missing("signature.verifier"))?
            .try_into()?;
        if json.digest.is_empty() {
            return Err(missing("digest"));
        }
        Ok(Self {
            digest: json.digest,
            signature: signature.content,
            verifier,
        })
    }
}

impl TryFrom<DsseJson> for DsseRequest {
    type Error = RekorError;

    fn try_from(json: DsseJson) -> Result<Self, RekorError> {
        let missing = |field| RekorError::FieldMissing { field };
        let envelope = json.envelope.ok_or(missing("envelope"))?;
        if envelope.signatures.is_empty()
            || envelope.signatures.iter().any(|one| one.sig.is_empty())
        {
            return Err(missing("envelope.signatures"));
        }
        if json.verifiers.is_empty() {
            return Err(missing("verifiers"));
        }
        let count = envelope.signatures.len().max(json.verifiers.len());
        if count > MAX_SIGNATURES {
            return Err(RekorError::TooManySignatures { count });
        }
        let verifiers = json
            .verifiers
            .into_iter()
            .map(Verifier::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            envelope,
            verifiers,
        })
    }
}

impl TryFrom<VerifierJson> for Verifier {
    type Error = RekorError;

    fn try_from(json: VerifierJson) -> Result<Self, RekorError> {
        let key = match (json.x509_certificate, json.public_key) {
            (Some(certificate), None) => EntryVerifier::Certificate(certificate.raw_bytes),
            (None, Some(key)) => EntryVerifier::PublicKey(key.raw_bytes),
            _ => return Err(RekorError::NotOneVerifier),
        };
        let name = json.key_details;
        let details =
            KeyDetails::from_name_or_number(&name).ok_or(RekorError::KeyDetailsUnknown { name })?;
        Ok(Self { key, details })
    }
}

impl From<&Verifier> for VerifierJson {
    fn from(verifier: &Verifier) -> Self {
        let (x509_certificate, public_key) = match &verifier.key {
            EntryVerifier::Certificate(der) => (
                Some(RawBytesJson {
                    raw_bytes: der.clone(),
                }),
                None,
            ),
            EntryVerifier::PublicKey(der) => (
                None,
                Some(RawBytesJson {
                    raw_bytes: der.clone(),
                }),
            ),
        };
        Self {
            public_key,
            x509_certificate,
            key_details: verifier.details.name().to_owned(),
        }
    }
}

/// Reads the answer of the write endpoint.
///
/// # Errors
/// `TooLarge`, `Json`.
pub fn parse_entry(body: &[u8]) -> Result<LogEntry, RekorError> {
    let limit = limits::REKOR_ANSWER;
    if body.len() > limit {
        return Err(RekorError::TooLarge {
            length: body.len(),
            limit,
        });
    }
    parse_json(body)
}

/// Writes the answer of the write endpoint.
#[must_use]
pub fn entry_to_bytes(entry: &LogEntry) -> Vec<u8> {
    serde_json::to_vec(entry).unwrap_or_default()
}

fn parse_json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, RekorError> {
    let said = |error: serde_json::Error| RekorError::Json {
        said: error.to_string(),
    };
    // A name given twice means two things to two readers; protobuf's own parser refuses it too.
    json::require_unambiguous(body).map_err(said)?;
    serde_json::from_slice(body).map_err(said)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_bundle::envelope::EnvelopeSignature;

    use super::*;

    fn verifier() -> Verifier {
        Verifier {
            key: EntryVerifier::Certificate(vec![0x30, 0]),
            details: KeyDetails::EcdsaP256Sha256,
        }
    }

    #[test]
    fn both_kinds_of_request_round_trip() {
        let hashed = HashedRekordRequest {
            digest: vec![1; 32],
            signature: vec![2],
            verifier: verifier(),
        };
        let envelope = Envelope {
            payload: b"{}".to_vec(),
            payload_type: "application/vnd.in-toto+json".to_owned(),
            signatures: vec![EnvelopeSignature {
                sig: vec![3],
                keyid: String::new(),
            }],
        };
        let dsse = DsseRequest {
            envelope,
            verifiers: vec![verifier()],
        };
        for request in [AddEntry::HashedRekord(hashed), AddEntry::Dsse(dsse)] {
            assert_eq!(AddEntry::parse(&request.to_bytes()), Ok(request));
        }
    }

    #[test]
    fn protobuf_names_numbers_and_both_alphabets_are_read() {
        let body = br#"{"hashed_rekord_request_v002":{"digest":"-_8","signature":{"content":"AQ==","verifier":
            {"public_key":{"raw_bytes":"MAA="},"x509Certificate":null,"key_details":5}}}}"#;
        let AddEntry::HashedRekord(request) = AddEntry::parse(body).unwrap() else {
            panic!("another kind")
        };
        assert_eq!(request.digest, [0xfb, 0xff]);
        assert_eq!(request.verifier.details, KeyDetails::EcdsaP256Sha256);
        assert_eq!(
            request.verifier.key,
            EntryVerifier::PublicKey(vec![0x30, 0])
        );
    }

    #[test]
    fn wrong_requests_are_refused_each_for_its_reason() {
        let hashed = |signature: &str| {
            let body = format!(
                r#"{{"hashedRekordRequestV002":{{"digest":"AA==","signature":{signature}}}}}"#
            );
            AddEntry::parse(body.as_bytes()).unwrap_err()
        };
        let missing = |field| RekorError::FieldMissing { field };
        assert_eq!(AddEntry::parse(b"{}"), Err(RekorError::NotOneRequest));
        assert!(matches!(
            AddEntry::parse(b"{"),
            Err(RekorError::Json { .. })
        ));
        assert!(
            matches!(AddEntry::parse(br#"{"extra":1}"#), Err(RekorError::Json { said }) if said.contains("extra"))
        );
        assert_eq!(hashed("null"), missing("signature"));
        assert_eq!(hashed("{}"), missing("signature.content"));
        assert_eq!(
            hashed(r#"{"content":"AA=="}"#),
            missing("signature.verifier")
        );
        assert_eq!(
            hashed(r#"{"content":"AA==","verifier":{"keyDetails":5}}"#),
            RekorError::NotOneVerifier
        );
        let unknown =
            hashed(r#"{"content":"AA==","verifier":{"publicKey":{},"keyDetails":"PKIX_X"}}"#);
        assert_eq!(
            unknown,
            RekorError::KeyDetailsUnknown {
                name: "PKIX_X".to_owned()
            }
        );
    }
}
