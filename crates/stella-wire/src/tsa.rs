//! Timestamp requests (RFC 3161 §2.4.1) in DER, and in the JSON that sigstore-js sends to Sigstore's authority.
//!
//! Answers are written by `stella_bundle::issue::timestamp` and read by `stella_bundle::timestamp`.

use const_oid::ObjectIdentifier;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stella_bundle::asn1::{self, Asn1Error, tag};
use stella_bundle::cms::read_digest_algorithm;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::issue::timestamp;
use stella_bundle::json::{decode_base64, encode_base64};

use crate::limits;

/// Path below the authority's base URL.
pub const TIMESTAMP_PATH: &str = "/api/v1/timestamp";
/// Path of the authority's certificates in PEM.
pub const CERTIFICATE_CHAIN_PATH: &str = "/api/v1/timestamp/certchain";
/// Media type of a request in DER.
pub const QUERY: &str = "application/timestamp-query";
/// Media type of an answer in DER.
pub const REPLY: &str = "application/timestamp-reply";

/// Nonces longer than this are refused; clients send 8 bytes.
const MAX_NONCE: usize = 32;

/// The ways in which bytes are no timestamp request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampRequestError {
    /// Not DER of the form of RFC 3161.
    #[error("the request is not a TimeStampReq: {0}")]
    Asn1(#[from] Asn1Error),
    /// The digest's length is not that of its algorithm.
    #[error("the digest of {length} bytes does not fit its algorithm")]
    DigestLength {
        /// Its length.
        length: usize,
    },
    /// Request extensions are not supported.
    #[error("request extensions are not supported")]
    Extension,
    /// The hash algorithm is not SHA-256, SHA-384 or SHA-512.
    #[error("the digest must be SHA-256, SHA-384 or SHA-512")]
    HashAlgorithm,
    /// Not JSON of this form.
    #[error("not the JSON expected, at line {line}, column {column}")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The nonce is too long, negative or no number.
    #[error("the nonce must be a number of at most {MAX_NONCE} bytes")]
    Nonce,
    /// The policy is no object identifier.
    #[error("the policy is no object identifier")]
    Policy,
    /// The request exceeds its limit.
    #[error("the request of {length} bytes is larger than {limit}")]
    TooLarge {
        /// Its length.
        length: usize,
        /// The limit for its form.
        limit: usize,
    },
    /// The version is not 1.
    #[error("the request's version must be 1")]
    Version,
}

/// A request for a timestamp over a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampRequest {
    /// What is stamped.
    pub digest: Digest,
    /// MessageImprint as it was sent: the answer repeats it byte for byte.
    pub imprint: Vec<u8>,
    /// Under which policy; none leaves the choice to the authority.
    pub policy: Option<ObjectIdentifier>,
    /// Number to be echoed, big-endian magnitude.
    pub nonce: Option<Vec<u8>>,
    /// Whether the answer should hold the authority's certificate.
    pub certificates: Certificates,
}

/// Whether the answer should hold the authority's certificate (RFC 3161 `certReq`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificates {
    /// Include it.
    Include,
    /// Leave it out: the verifier has it.
    Omit,
}

impl TimestampRequest {
    /// Makes a request over a digest, without policy.
    #[must_use]
    pub fn new(digest: Digest, nonce: Option<Vec<u8>>, certificates: Certificates) -> Self {
        let imprint = timestamp::message_imprint(digest.algorithm(), digest.bytes());
        Self {
            digest,
            imprint,
            policy: None,
            nonce,
            certificates,
        }
    }

    /// Reads TimeStampReq in DER.
    ///
    /// # Errors
    /// Any [`TimestampRequestError`] but `Json`.
    pub fn from_der(der: &[u8]) -> Result<Self, TimestampRequestError> {
        require_size(der, limits::TIMESTAMP_REQUEST)?;
        // spec: RFC 3161 §2.4.1
        let mut request = asn1::only_sequence(der)?;
        if request.expect(tag::INTEGER)?.to_u64() != Ok(1) {
            return Err(TimestampRequestError::Version);
        }
        let imprint = request.expect(tag::SEQUENCE)?;
        let digest = read_imprint(imprint.reader())?;
        let policy = request
            .optional(tag::OID)?
            .map(|policy| policy.to_oid())
            .transpose();
        let policy = policy.map_err(|_| TimestampRequestError::Policy)?;
        let nonce = request
            .optional(tag::INTEGER)?
            .map(|nonce| nonce.to_unsigned())
            .transpose();
        let nonce = nonce
            .map_err(|_| TimestampRequestError::Nonce)?
            .map(<[u8]>::to_vec);
        require_nonce(nonce.as_deref())?;
        let wanted = request
            .optional(tag::BOOLEAN)?
            .map(|wanted| wanted.to_bool())
            .transpose()?;
        if request.peek() == Some(tag::context(0)) {
            return Err(TimestampRequestError::Extension);
        }
        request.finish()?;
        let certificates = if wanted == Some(true) {
            Certificates::Include
        } else {
            Certificates::Omit
        };
        Ok(Self {
            digest,
            imprint: imprint.raw.to_vec(),
            policy,
            nonce,
            certificates,
        })
    }

    /// Writes TimeStampReq in DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let policy = self.policy.as_ref().map(asn1::oid).unwrap_or_default();
        let nonce = self
            .nonce
            .as_deref()
            .map(asn1::unsigned)
            .unwrap_or_default();
        let wanted = match self.certificates {
            Certificates::Include => asn1::boolean(true),
            Certificates::Omit => Vec::new(),
        };
        asn1::sequence(&[&asn1::small(1), &self.imprint, &policy, &nonce, &wanted])
    }

    /// Reads the JSON form of Sigstore's timestamp authority.
    ///
    /// # Errors
    /// Any [`TimestampRequestError`] but `Asn1`, `Extension` and `Version`.
    pub fn from_json(body: &[u8]) -> Result<Self, TimestampRequestError> {
        require_size(body, limits::TIMESTAMP_REQUEST_JSON)?;
        let json: TimestampRequestJson =
            serde_json::from_slice(body).map_err(|error| TimestampRequestError::Json {
                line: error.line(),
                column: error.column(),
            })?;
        let algorithm = match json
            .hash_algorithm
            .to_ascii_lowercase()
            .replace('-', "")
            .as_str()
        {
            "sha256" => DigestAlgorithm::Sha256,
            "sha384" => DigestAlgorithm::Sha384,
            "sha512" => DigestAlgorithm::Sha512,
            _ => return Err(TimestampRequestError::HashAlgorithm),
        };
        let bytes = decode_base64(&json.artifact_hash).unwrap_or_default();
        let length = bytes.len();
        let digest =
            Digest::new(algorithm, &bytes).ok_or(TimestampRequestError::DigestLength { length })?;
        let policy = match json.policy.as_deref() {
            None | Some("") => None,
            Some(policy) => {
                Some(ObjectIdentifier::new(policy).map_err(|_| TimestampRequestError::Policy)?)
            }
        };
        let nonce = json
            .nonce
            .as_deref()
            .map(|nonce| decimal_to_bytes(nonce.get()))
            .transpose()?;
        require_nonce(nonce.as_deref())?;
        let certificates = if json.certificates {
            Certificates::Include
        } else {
            Certificates::Omit
        };
        Ok(Self {
            policy,
            ..Self::new(digest, nonce, certificates)
        })
    }

    /// Writes the JSON form, without nonce and policy.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let json = TimestampRequestJson {
            artifact_hash: encode_base64(self.digest.bytes()),
            hash_algorithm: self.digest.algorithm().name().to_owned(),
            certificates: self.certificates == Certificates::Include,
            nonce: None,
            policy: None,
        };
        serde_json::to_vec(&json).unwrap_or_default()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimestampRequestJson {
    artifact_hash: String,
    hash_algorithm: String,
    #[serde(default)]
    certificates: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<Box<RawValue>>,
    #[serde(
        default,
        rename = "tsaPolicyOID",
        skip_serializing_if = "Option::is_none"
    )]
    policy: Option<String>,
}

fn read_imprint(mut imprint: asn1::Reader<'_>) -> Result<Digest, TimestampRequestError> {
    let algorithm = imprint.expect(tag::SEQUENCE)?;
    let bytes = imprint.expect(tag::OCTET_STRING)?.content;
    imprint.finish()?;
    let algorithm =
        read_digest_algorithm(algorithm).map_err(|_| TimestampRequestError::HashAlgorithm)?;
    let length = bytes.len();
    Digest::new(algorithm, bytes).ok_or(TimestampRequestError::DigestLength { length })
}

const fn require_size(bytes: &[u8], limit: usize) -> Result<(), TimestampRequestError> {
    if bytes.len() > limit {
        return Err(TimestampRequestError::TooLarge {
            length: bytes.len(),
            limit,
        });
    }
    Ok(())
}

fn require_nonce(nonce: Option<&[u8]>) -> Result<(), TimestampRequestError> {
    if nonce.is_some_and(|nonce| nonce.len() > MAX_NONCE) {
        return Err(TimestampRequestError::Nonce);
    }
    Ok(())
}

/// Reads a decimal number as a big-endian magnitude of at most [`MAX_NONCE`] bytes.
fn decimal_to_bytes(digits: &str) -> Result<Vec<u8>, TimestampRequestError> {
    let mut value = [0_u8; MAX_NONCE];
    for digit in digits.bytes() {
        if !digit.is_ascii_digit() {
            return Err(TimestampRequestError::Nonce);
        }
        let mut carry = u16::from(digit - b'0');
        for byte in value.iter_mut().rev() {
            let sum = u16::from(*byte) * 10 + carry;
            [_, *byte] = sum.to_be_bytes();
            carry = sum >> 8;
        }
        if carry != 0 {
            return Err(TimestampRequestError::Nonce);
        }
    }
    Ok(value.into_iter().skip_while(|byte| *byte == 0).collect())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn request() -> TimestampRequest {
        let digest = DigestAlgorithm::Sha256.digest(b"signature");
        TimestampRequest::new(digest, Some(vec![0xff, 1]), Certificates::Include)
    }

    #[test]
    fn der_round_trips() {
        assert_eq!(
            TimestampRequest::from_der(&request().to_der()),
            Ok(request())
        );
        let bare = TimestampRequest {
            nonce: None,
            certificates: Certificates::Omit,
            ..request()
        };
        assert_eq!(TimestampRequest::from_der(&bare.to_der()), Ok(bare));
    }

    #[test]
    fn the_json_of_sigstore_js_is_read() {
        let hash = encode_base64(request().digest.bytes());
        let json = format!(r#"{{"artifactHash":"{hash}","hashAlgorithm":"sha256"}}"#);
        let read = TimestampRequest::from_json(json.as_bytes()).unwrap();
        assert_eq!(
            (read.digest, read.nonce, read.certificates),
            (request().digest, None, Certificates::Omit)
        );
        let json = format!(
            r#"{{"artifactHash":"{hash}","hashAlgorithm":"sha256","nonce":65281,"certificates":true}}"#
        );
        let read = TimestampRequest::from_json(json.as_bytes()).unwrap();
        assert_eq!(read, request());
    }

    #[test]
    fn wrong_requests_are_refused_each_for_its_reason() {
        let json = |text: &str| TimestampRequest::from_json(text.as_bytes()).map(|_| ());
        assert_eq!(
            json(r#"{"artifactHash":"AA==","hashAlgorithm":"md5"}"#),
            Err(TimestampRequestError::HashAlgorithm)
        );
        let short = json(r#"{"artifactHash":"AA==","hashAlgorithm":"sha256"}"#);
        assert_eq!(
            short,
            Err(TimestampRequestError::DigestLength { length: 1 })
        );
        let nonce = format!(
            r#"{{"artifactHash":"{}","hashAlgorithm":"sha256","nonce":{}}}"#,
            encode_base64(&[0; 32]),
            "9".repeat(100)
        );
        assert_eq!(json(&nonce), Err(TimestampRequestError::Nonce));
        let large = vec![b' '; limits::TIMESTAMP_REQUEST_JSON + 1];
        assert!(matches!(
            TimestampRequest::from_json(&large),
            Err(TimestampRequestError::TooLarge { .. })
        ));
        assert!(matches!(
            TimestampRequest::from_der(b"hello"),
            Err(TimestampRequestError::Asn1(_))
        ));
        let mut extended = request().to_der();
        extended[1] += 2;
        extended.extend_from_slice(&[0xa0, 0]);
        assert_eq!(
            TimestampRequest::from_der(&extended),
            Err(TimestampRequestError::Extension)
        );
    }
}
