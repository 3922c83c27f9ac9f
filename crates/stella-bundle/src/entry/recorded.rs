//! Bodies as Rekor v1 recorded them, and the `dsse` 0.0.2 that Rekor v2 wrote before release 2.3: read, and rebuilt.
//!
//! These are the log's own words; whether they are about a bundle is compared in [`crate::verify`].

use std::borrow::Cow;

use serde::Deserialize;

use super::EntryVerifier;
use crate::digest::{Digest, DigestAlgorithm};
use crate::json::{self, JsonError};
use crate::key::KeyDetails;

/// A body of Rekor v1: RFC 8785 JSON of kind, version and what is recorded.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Body<'a, S> {
    /// `0.0.1`, `0.0.2`.
    #[serde(borrow)]
    pub(crate) api_version: Cow<'a, str>,
    /// `hashedrekord`, `dsse`, `intoto`, `rekord`.
    #[serde(borrow)]
    pub(crate) kind: Cow<'a, str>,
    /// What is recorded.
    pub(crate) spec: S,
}

impl<'a, S: Deserialize<'a>> Body<'a, S> {
    /// Reads a body. Names that are not asked for are left alone: the log signed the bytes, not our view of them.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, JsonError> {
        Ok(serde_json::from_slice(body)?)
    }
}

/// `hashedrekord` 0.0.1, and `rekord` 0.0.1, which adds a format.
#[derive(Deserialize)]
pub(crate) struct Rekord {
    pub(crate) data: Data,
    pub(crate) signature: RekordSignature,
}

/// What was signed.
#[derive(Deserialize)]
pub(crate) struct Data {
    pub(crate) hash: HashWords,
}

/// Signature and key of a `hashedrekord` or `rekord`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RekordSignature {
    #[serde(with = "json::base64_bytes")]
    pub(crate) content: Vec<u8>,
    /// `x509`, `pgp`, `minisign`, `ssh`; a `hashedrekord` has none and is always X.509.
    #[serde(default)]
    pub(crate) format: Option<String>,
    pub(crate) public_key: PemContent,
}

/// A certificate or key, as PEM text.
#[derive(Deserialize)]
pub(crate) struct PemContent {
    #[serde(with = "json::base64_bytes")]
    pub(crate) content: Vec<u8>,
}

/// `dsse` 0.0.1.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dsse {
    pub(crate) payload_hash: HashWords,
    #[serde(deserialize_with = "json::at_most::<{ crate::envelope::MAX_SIGNATURES }, _, _>")]
    pub(crate) signatures: Vec<DsseSignature>,
}

/// One signature of a `dsse` 0.0.1.
#[derive(Deserialize)]
pub(crate) struct DsseSignature {
    #[serde(with = "json::base64_bytes")]
    pub(crate) signature: Vec<u8>,
    /// PEM text.
    #[serde(with = "json::base64_bytes")]
    pub(crate) verifier: Vec<u8>,
}

/// `intoto` 0.0.1: the key once, no signature.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IntotoV1 {
    pub(crate) content: IntotoV1Content,
    /// PEM text.
    #[serde(with = "json::base64_bytes")]
    pub(crate) public_key: Vec<u8>,
}

/// What an `intoto` 0.0.1 hashes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IntotoV1Content {
    /// Of the envelope's JSON, as the client sent it.
    pub(crate) hash: HashWords,
    /// Of the payload; later servers added it.
    #[serde(default)]
    pub(crate) payload_hash: Option<HashWords>,
}

/// `intoto` 0.0.2.
#[derive(Deserialize)]
pub(crate) struct IntotoV2 {
    pub(crate) content: IntotoV2Content,
}

/// What an `intoto` 0.0.2 records.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IntotoV2Content {
    pub(crate) envelope: IntotoEnvelope,
    pub(crate) payload_hash: HashWords,
}

/// The envelope of an `intoto` 0.0.2, without its payload.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IntotoEnvelope {
    pub(crate) payload_type: String,
    #[serde(deserialize_with = "json::at_most::<{ crate::envelope::MAX_SIGNATURES }, _, _>")]
    pub(crate) signatures: Vec<IntotoSignature>,
}

/// One signature of an `intoto` 0.0.2.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IntotoSignature {
    /// Base64 of the base64 that stands in the envelope.
    #[serde(with = "json::base64_bytes")]
    pub(crate) sig: Vec<u8>,
    /// PEM text.
    #[serde(with = "json::base64_bytes")]
    pub(crate) public_key: Vec<u8>,
}

/// An algorithm and hex digits.
#[derive(Deserialize)]
pub(crate) struct HashWords {
    algorithm: String,
    value: String,
}

impl HashWords {
    /// Returns the digest, none for another algorithm or length.
    pub(crate) fn to_digest(&self) -> Option<Digest> {
        Digest::from_hex(DigestAlgorithm::from_name(&self.algorithm)?, &self.value)
    }
}

/// Returns the canonical body of a `dsse` 0.0.2 with one signature (rekor-tiles before 2.3).
pub(crate) fn dsse_v2_body(
    payload: &[u8],
    signature: &[u8],
    verifier: &EntryVerifier,
    details: KeyDetails,
) -> Vec<u8> {
    let hash = DigestAlgorithm::Sha256.digest(payload);
    let (digest, signature) = (
        json::encode_base64(hash.bytes()),
        json::encode_base64(signature),
    );
    let verifier = verifier.to_words(details);
    format!(
        r#"{{"apiVersion":"0.0.2","kind":"dsse","spec":{{"dsseV002":{{"payloadHash":{{"algorithm":"SHA2_256","digest":"{digest}"}},"signatures":[{{"content":"{signature}","verifier":{{{verifier}}}}}]}}}}}}"#
    )
    .into_bytes()
}
