//! Trusted roots: whom a verifier believes. Read tolerantly, written as every released client accepts it.
//!
//! This is the file; which of its keys are usable is found out in [`crate::verify`], what is unwise in it in [`lint`], and
//! how one is made of words and key files in [`create`].

pub mod create;
pub mod inventory;
pub mod lint;

use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::time::{UnixTime, Validity};

/// The media type that is written: released Go and Python clients accept no other.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
/// Media types that are read.
const KNOWN_MEDIA_TYPES: [&str; 3] = [
    MEDIA_TYPE,
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];
/// Trusted roots larger than this are refused; the public one has 7 KiB.
pub const MAX_TRUSTED_ROOT: usize = 4 << 20;

/// The ways in which bytes are not a trusted root or one of its neighbours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustFileError {
    /// The text is not JSON of this file, or names something twice.
    #[error("not a Sigstore {file}: {error}")]
    Json {
        /// Which file was expected.
        file: TrustFile,
        /// What is wrong, and where.
        error: JsonError,
    },
    /// The file is larger than [`MAX_TRUSTED_ROOT`].
    #[error("{file} of {length} bytes is larger than {MAX_TRUSTED_ROOT}")]
    TooLarge {
        /// Which file was expected.
        file: TrustFile,
        /// Its length in bytes.
        length: usize,
    },
    /// The media type is another file's, or a later version's.
    #[error("{file} has the unknown media type {found:?}")]
    UnknownMediaType {
        /// Which file was expected.
        file: TrustFile,
        /// What stands there.
        found: String,
    },
}

/// The files that say whom to trust and where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustFile {
    /// Trusted root and signing config in one.
    ClientTrustConfig,
    /// Where to sign.
    SigningConfig,
    /// Whom to believe.
    TrustedRoot,
}

impl std::fmt::Display for TrustFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::ClientTrustConfig => "client trust config",
            Self::SigningConfig => "signing config",
            Self::TrustedRoot => "trusted root",
        })
    }
}

/// Reads a trust file of this kind: bounded, unambiguous.
pub(crate) fn read<'a, T: Deserialize<'a>>(
    file: TrustFile,
    bytes: &'a [u8],
) -> Result<T, TrustFileError> {
    if bytes.len() > MAX_TRUSTED_ROOT {
        return Err(TrustFileError::TooLarge {
            file,
            length: bytes.len(),
        });
    }
    json::require_unambiguous(bytes)
        .and_then(|()| serde_json::from_slice(bytes))
        .map_err(|error| TrustFileError::Json {
            file,
            error: error.into(),
        })
}

/// A trusted root (protobuf-specs `sigstore_trustroot.proto`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedRoot {
    /// [`MEDIA_TYPE`] when written here.
    #[serde(alias = "media_type", default)]
    pub media_type: String,
    /// Logs of signatures.
    #[serde(deserialize_with = "json::or_default", default)]
    pub tlogs: Vec<TransparencyLog>,
    /// Issuers of signing certificates.
    #[serde(
        alias = "certificate_authorities",
        deserialize_with = "json::or_default",
        default
    )]
    pub certificate_authorities: Vec<CertificateAuthority>,
    /// Logs of certificates.
    #[serde(deserialize_with = "json::or_default", default)]
    pub ctlogs: Vec<TransparencyLog>,
    /// Timestamp authorities.
    #[serde(
        alias = "timestamp_authorities",
        deserialize_with = "json::or_default",
        default
    )]
    pub timestamp_authorities: Vec<CertificateAuthority>,
}

impl TrustedRoot {
    /// Reads a trusted root. A key that cannot be used does not spoil the rest: it is only kept as it is.
    ///
    /// # Errors
    /// Any [`TrustFileError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustFileError> {
        let root: Self = read(TrustFile::TrustedRoot, bytes)?;
        root.require_media_type()?;
        Ok(root)
    }

    pub(crate) fn require_media_type(&self) -> Result<(), TrustFileError> {
        if KNOWN_MEDIA_TYPES.contains(&self.media_type.as_str()) {
            return Ok(());
        }
        let file = TrustFile::TrustedRoot;
        Err(TrustFileError::UnknownMediaType {
            file,
            found: self.media_type.clone(),
        })
    }

    /// Writes the file: indented JSON with a final newline.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}

/// Writes any trust file.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    // Serialising plain structs into memory cannot fail.
    let mut out = serde_json::to_vec_pretty(value).unwrap_or_default();
    out.push(b'\n');
    out
}

/// A log and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransparencyLog {
    /// Its address; the host is the origin of a Rekor v2 log.
    #[serde(alias = "base_url", deserialize_with = "json::or_default", default)]
    pub base_url: String,
    /// `SHA2_256`.
    #[serde(
        alias = "hash_algorithm",
        deserialize_with = "json::enumeration",
        default
    )]
    pub hash_algorithm: String,
    /// Its key.
    #[serde(alias = "public_key", deserialize_with = "json::or_default", default)]
    pub public_key: LogKey,
    /// Its id.
    #[serde(alias = "log_id", deserialize_with = "json::or_default", default)]
    pub log_id: crate::entry::LogId,
    /// A note key id, which some files carry beside the log id.
    #[serde(
        alias = "checkpoint_key_id",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub checkpoint_key_id: Option<crate::entry::LogId>,
    /// Who runs it.
    #[serde(
        deserialize_with = "json::or_default",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub operator: String,
}

/// A log's key with the time in which it signs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogKey {
    /// DER SubjectPublicKeyInfo, or PKCS#1 in old files.
    #[serde(alias = "raw_bytes", with = "json::base64_bytes", default)]
    pub raw_bytes: Vec<u8>,
    /// Name in the algorithm registry.
    #[serde(alias = "key_details", deserialize_with = "json::enumeration", default)]
    pub key_details: String,
    /// When it signs.
    #[serde(alias = "valid_for", default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<TimeRange>,
}

/// A chain that issues certificates or timestamps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAuthority {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<DistinguishedName>,
    /// Its address; for a timestamp authority the whole URL.
    #[serde(deserialize_with = "json::or_default", default)]
    pub uri: String,
    /// The certificates, the issuing one first, the anchor last.
    #[serde(alias = "cert_chain", deserialize_with = "json::or_default", default)]
    pub cert_chain: CertificateChain,
    /// When it issues.
    #[serde(alias = "valid_for", default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<TimeRange>,
    /// Who runs it.
    #[serde(
        deserialize_with = "json::or_default",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub operator: String,
}

/// A name for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DistinguishedName {
    /// O.
    #[serde(deserialize_with = "json::or_default", default)]
    pub organization: String,
    /// CN.
    #[serde(alias = "common_name", deserialize_with = "json::or_default", default)]
    pub common_name: String,
}

/// Certificates in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateChain {
    /// DER each.
    #[serde(deserialize_with = "json::or_default", default)]
    pub certificates: Vec<RawCertificate>,
}

/// One certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawCertificate {
    /// DER.
    #[serde(alias = "raw_bytes", with = "json::base64_bytes", default)]
    pub raw_bytes: Vec<u8>,
}

/// A window of time in RFC 3339; both ends belong to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    /// First moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Last moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

impl TimeRange {
    /// Returns the range from `start` on, without an end.
    pub fn from_start(start: UnixTime) -> Self {
        Self {
            start: Some(start.to_string()),
            end: None,
        }
    }

    /// Returns the window, none where a date does not parse.
    pub fn to_validity(&self) -> Option<Validity> {
        let read = |text: &Option<String>| match text {
            Some(text) => UnixTime::parse_rfc3339(text).map(Some),
            None => Some(None),
        };
        Some(Validity {
            start: read(&self.start)?,
            end: read(&self.end)?,
        })
    }
}
