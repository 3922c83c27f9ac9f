//! What remains of a signature in the log: the entry with its proof, and the signature and key that it is about.

use serde::{Deserialize, Serialize};
use stella_bundle::entry::{EntryVerifier, HashedRekord, LogEntry};
use stella_bundle::json;
use stella_foreign::{Native, Verified};

/// The first member of a receipt.
const SCHEMA: &str = "stella.log-receipt/v1";
/// What a receipt's name ends in, beside its artifact.
pub(super) const ENDING: &str = ".rekor.json";
/// Bytes of a receipt.
pub(super) const MAX_RECEIPT: usize = 16 << 20;

/// A receipt.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Receipt {
    schema: String,
    /// `--pki-format` of the signature.
    pub(super) format: String,
    /// The signature as its maker wrote it.
    #[serde(with = "json::base64_bytes")]
    pub(super) signature: Vec<u8>,
    /// The key or certificate by which it was verified.
    #[serde(with = "json::base64_bytes")]
    pub(super) public_key: Vec<u8>,
    /// TimeStampResp in DER over the primitive signature, each in base64.
    pub(super) timestamps: Vec<String>,
    /// The log's entry with its proof.
    pub(super) entry: LogEntry,
}

impl Receipt {
    pub(super) fn new(
        verified: &Verified,
        signature: Vec<u8>,
        public_key: Vec<u8>,
        timestamps: &[Vec<u8>],
        entry: LogEntry,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            format: verified.format().name().to_owned(),
            signature,
            public_key,
            timestamps: timestamps
                .iter()
                .map(|each| json::encode_base64(each))
                .collect(),
            entry,
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let receipt: Self = serde_json::from_slice(bytes).ok()?;
        (receipt.schema == SCHEMA).then_some(receipt)
    }
}

/// Returns what a log is told of a signature that it verifies by itself.
pub(super) fn record(native: &Native) -> HashedRekord {
    HashedRekord {
        digest: native.digest.clone(),
        signature: native.signature.clone(),
        verifier: match &native.certificate {
            Some(certificate) => EntryVerifier::Certificate(certificate.clone()),
            None => EntryVerifier::PublicKey(native.spki.clone()),
        },
        details: native.key_details,
    }
}
