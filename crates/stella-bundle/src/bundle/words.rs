//! The words of a bundle: protobuf-specs `sigstore_bundle.proto` in proto3 JSON. What they mean together is decided above.

use serde::{Deserialize, Serialize};

use super::{MAX_CHAIN, MAX_ENTRIES, MAX_TIMESTAMPS};
use crate::entry::LogEntry;
use crate::envelope::Envelope;
use crate::json;

/// The words of protobuf-specs `sigstore_bundle.proto`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BundleWords {
    #[serde(alias = "media_type", default)]
    pub(super) media_type: String,
    #[serde(
        alias = "verification_material",
        deserialize_with = "json::or_default",
        default
    )]
    pub(super) verification_material: MaterialWords,
    #[serde(
        alias = "message_signature",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) message_signature: Option<MessageWords>,
    #[serde(
        alias = "dsse_envelope",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) dsse_envelope: Option<Envelope>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MaterialWords {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<Raw>,
    #[serde(
        alias = "x509_certificate_chain",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) x509_certificate_chain: Option<ChainWords>,
    #[serde(alias = "public_key", default, skip_serializing_if = "Option::is_none")]
    pub(super) public_key: Option<HintWords>,
    #[serde(
        alias = "tlog_entries",
        deserialize_with = "json::at_most::<MAX_ENTRIES, _, _>",
        default
    )]
    pub(super) tlog_entries: Vec<LogEntry>,
    #[serde(
        alias = "timestamp_verification_data",
        deserialize_with = "json::or_default",
        default
    )]
    pub(super) timestamp_verification_data: TimestampsWords,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(alias = "raw_bytes", with = "json::base64_bytes", default)]
    pub(super) raw_bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChainWords {
    #[serde(deserialize_with = "json::at_most::<MAX_CHAIN, _, _>", default)]
    pub(super) certificates: Vec<Raw>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HintWords {
    #[serde(deserialize_with = "json::or_default", default)]
    pub(super) hint: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TimestampsWords {
    #[serde(
        alias = "rfc3161_timestamps",
        deserialize_with = "json::at_most::<MAX_TIMESTAMPS, _, _>",
        default
    )]
    pub(super) rfc3161_timestamps: Vec<TimestampWords>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TimestampWords {
    #[serde(alias = "signed_timestamp", with = "json::base64_bytes", default)]
    pub(super) signed_timestamp: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MessageWords {
    #[serde(
        alias = "message_digest",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) message_digest: Option<DigestWords>,
    #[serde(with = "json::base64_bytes", default)]
    pub(super) signature: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DigestWords {
    #[serde(deserialize_with = "json::enumeration", default)]
    pub(super) algorithm: String,
    #[serde(with = "json::base64_bytes", default)]
    pub(super) digest: Vec<u8>,
}
