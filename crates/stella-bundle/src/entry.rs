//! Log entries: the `TransparencyLogEntry` of a bundle, and the canonical body of a Rekor v2 `hashedrekord`.
//!
//! Whether an entry *counts* is decided in [`crate::verify`].

pub(crate) mod recorded;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::json;
use crate::key::{KeyDetails, KeyKind, PublicKey};

/// An inclusion proof with more hashes than this is refused: no tree has 2^64 leaves.
pub const MAX_PROOF_HASHES: usize = 64;

/// A `TransparencyLogEntry` (protobuf-specs `sigstore_rekor.proto`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogEntry {
    /// Index in the log (v1: over all shards).
    #[serde(alias = "log_index", with = "json::int64", default)]
    pub log_index: i64,
    /// Which log.
    #[serde(alias = "log_id", deserialize_with = "json::or_default", default)]
    pub log_id: LogId,
    /// What the body is.
    #[serde(alias = "kind_version", deserialize_with = "json::or_default", default)]
    pub kind_version: KindVersion,
    /// Seconds since 1970 by the log's own clock; zero for Rekor v2, which gives none.
    #[serde(alias = "integrated_time", with = "json::int64", default)]
    pub integrated_time: i64,
    /// Rekor v1's promise (SET).
    #[serde(
        alias = "inclusion_promise",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub inclusion_promise: Option<InclusionPromise>,
    /// The proof, with the checkpoint that it leads to.
    #[serde(
        alias = "inclusion_proof",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub inclusion_proof: Option<InclusionProof>,
    /// The leaf's bytes.
    #[serde(alias = "canonicalized_body", with = "json::base64_bytes", default)]
    pub canonicalized_body: Vec<u8>,
}

impl LogEntry {
    /// Returns what Rekor v1's promise signs: RFC 8785 JSON of body, time, log and index (rekor `types/log_entry`).
    pub fn promised(&self) -> Vec<u8> {
        let length = self.canonicalized_body.len().div_ceil(3) * 4 + 200;
        let mut promised = String::with_capacity(length);
        promised.push_str(r#"{"body":""#);
        json::append_base64(&self.canonicalized_body, &mut promised);
        // Writing into memory cannot fail.
        let _ = write!(
            promised,
            r#"","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
            self.integrated_time,
            hex::encode(&self.log_id.key_id),
            self.log_index,
        );
        promised.into_bytes()
    }

    /// Returns the proof when it leads to a checkpoint; without one nobody signed its root.
    pub fn proof_with_checkpoint(&self) -> Option<&InclusionProof> {
        let leads = |proof: &&InclusionProof| !proof.checkpoint.envelope.is_empty();
        self.inclusion_proof.as_ref().filter(leads)
    }
}

/// A log's id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogId {
    /// SHA-256 of the key (v1) or of name and key as a note's key id (v2), 32 bytes.
    #[serde(alias = "key_id", with = "json::base64_bytes", default)]
    pub key_id: Vec<u8>,
}

/// Kind and version of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindVersion {
    /// `hashedrekord`, `dsse`, `intoto` …
    #[serde(deserialize_with = "json::or_default", default)]
    pub kind: String,
    /// `0.0.1`, `0.0.2`.
    #[serde(deserialize_with = "json::or_default", default)]
    pub version: String,
}

impl KindVersion {
    /// Says whether Rekor v2 writes such entries.
    pub fn is_v2(&self) -> bool {
        self.version == "0.0.2" && matches!(self.kind.as_str(), "hashedrekord" | "dsse")
    }
}

impl std::fmt::Display for KindVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.kind, self.version)
    }
}

/// Rekor v1's signed entry timestamp.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InclusionPromise {
    /// The signature.
    #[serde(alias = "signed_entry_timestamp", with = "json::base64_bytes", default)]
    pub signed_entry_timestamp: Vec<u8>,
}

/// An inclusion proof as a bundle carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InclusionProof {
    /// Index in the tree of the proof.
    #[serde(alias = "log_index", with = "json::int64", default)]
    pub log_index: i64,
    /// Root that the log claims; the checkpoint's counts.
    #[serde(alias = "root_hash", with = "json::base64_bytes", default)]
    pub root_hash: Vec<u8>,
    /// Size that the log claims; the checkpoint's counts.
    #[serde(alias = "tree_size", with = "json::int64", default)]
    pub tree_size: i64,
    /// The audit path, from the leaf up; at most [`MAX_PROOF_HASHES`].
    #[serde(
        serialize_with = "json::base64_list::serialize",
        deserialize_with = "json::base64_list::at_most::<MAX_PROOF_HASHES, _>",
        default
    )]
    pub hashes: Vec<Vec<u8>>,
    /// The checkpoint.
    #[serde(deserialize_with = "json::or_default", default)]
    pub checkpoint: CheckpointText,
}

/// A checkpoint as a bundle carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointText {
    /// The signed note.
    #[serde(deserialize_with = "json::or_default", default)]
    pub envelope: String,
}

/// Who verifies the signature of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryVerifier {
    /// DER of the leaf certificate.
    Certificate(Vec<u8>),
    /// DER SubjectPublicKeyInfo.
    PublicKey(Vec<u8>),
}

impl EntryVerifier {
    /// Returns the names and values of a canonical `verifier`, in order and without the braces.
    pub(crate) fn to_words(&self, details: KeyDetails) -> String {
        let details = details.name();
        let (name, der) = match self {
            Self::Certificate(der) => ("x509Certificate", der),
            Self::PublicKey(spki) => ("publicKey", spki),
        };
        let mut words = String::with_capacity(der.len().div_ceil(3) * 4 + 100);
        // Writing into memory cannot fail.
        let _ = write!(words, r#""keyDetails":"{details}","{name}":{{"rawBytes":""#);
        json::append_base64(der, &mut words);
        words.push_str(r#""}"#);
        words
    }
}

/// The content of a `hashedrekord` 0.0.2 entry: this key signed this digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedRekord {
    /// Digest of the signed message.
    pub digest: Digest,
    /// The signature over it.
    pub signature: Vec<u8>,
    /// Whose key.
    pub verifier: EntryVerifier,
    /// The key's row in the algorithm registry.
    pub details: KeyDetails,
}

impl HashedRekord {
    /// The kind and version in an entry.
    pub fn kind_version() -> KindVersion {
        KindVersion {
            kind: "hashedrekord".into(),
            version: "0.0.2".into(),
        }
    }

    /// Returns the canonical body: the bytes that the log hashes into its leaf.
    ///
    /// rekor-tiles writes protobuf JSON through RFC 8785; every value is ASCII, so the order of names and the absence
    /// of blanks are all there is to it.
    pub fn to_body(&self) -> Vec<u8> {
        let digest = json::encode_base64(self.digest.bytes());
        let algorithm = self.digest.algorithm().sigstore_name();
        let signature = json::encode_base64(&self.signature);
        let verifier = self.verifier.to_words(self.details);
        // Certificates make this long: one allocation instead of a growing one.
        let mut body = String::with_capacity(verifier.len() + signature.len() + 300);
        // Writing into memory cannot fail.
        let _ = write!(
            body,
            r#"{{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{{"hashedRekordV002":{{"data":{{"algorithm":"{algorithm}","digest":"{digest}"}},"signature":{{"content":"{signature}","verifier":{{{verifier}}}}}}}}}}}"#
        );
        body.into_bytes()
    }
}

/// Returns the registry row under which Rekor v2 logs signatures of this key, none when it logs none.
pub fn logged_details(key: &PublicKey) -> Option<KeyDetails> {
    match key.kind() {
        // spec: rekor-tiles algorithm registry: Ed25519 is logged prehashed only.
        KeyKind::Ed25519 => Some(KeyDetails::Ed25519Ph),
        KeyKind::MlDsa44 | KeyKind::MlDsa65 | KeyKind::MlDsa87 => None,
        _ => key.details(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_default_fields_parses_and_is_written_with_them() {
        let entry: LogEntry =
            serde_json::from_str(r#"{"kind_version":{"kind":"x"},"inclusionPromise":null}"#)
                .unwrap();
        assert_eq!(entry.log_index, 0);
        let text = serde_json::to_string(&entry).unwrap();
        assert!(text.contains(r#""logIndex":"0""#), "{text}");
    }

    #[test]
    fn unknown_and_doubled_names_are_refused() {
        assert!(serde_json::from_str::<LogEntry>(r#"{"extra":1}"#).is_err());
        assert!(serde_json::from_str::<LogEntry>(r#"{"logIndex":"1","log_index":2}"#).is_err());
    }
}
