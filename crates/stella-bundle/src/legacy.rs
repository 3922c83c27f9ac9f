//! What cosign wrote before bundles: its own JSON around a signature, and signature, certificate and payload as files of
//! their own. Each becomes a [`Bundle`] of version 0.1, so that the same rules decide.
//!
//! Formats: cosign `pkg/cosign/bundle/rekor.go` and `specs/SIGNATURE_SPEC.md`. Who fetches them is the caller.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::bundle::{
    Bundle, BundleError, Content, KeyMaterial, MAX_BUNDLE, MAX_CHAIN, Part, Version,
};
use crate::entry::{InclusionPromise, KindVersion, LogEntry, LogId};
use crate::envelope::Envelope;
use crate::json::{self, JsonError};
use crate::pem;

/// The ways in which older files do not make a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LegacyError {
    /// What they make is not a bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The certificate is neither PEM, nor base64 of PEM, nor a public key.
    #[error("certificate: expected PEM CERTIFICATE or PUBLIC KEY, or base64 of it")]
    Certificate,
    /// The text is not JSON of the older form.
    #[error("not cosign's older bundle: {0}")]
    Json(JsonError),
    /// The log's id is not hex digits.
    #[error("rekorBundle.Payload.logID: expected 64 hex digits")]
    LogId,
    /// The signature is neither base64 nor bytes.
    #[error("signature: expected base64")]
    Signature,
}

impl From<serde_json::Error> for LegacyError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.into())
    }
}

/// Which form some bytes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A Sigstore bundle.
    Bundle(Version),
    /// One of cosign's older forms.
    Legacy,
}

impl std::fmt::Display for Form {
    /// Prints the word of reports: `bundle-v0.3`, `legacy`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bundle(version) => write!(formatter, "bundle-v{version}"),
            Self::Legacy => formatter.write_str("legacy"),
        }
    }
}

/// Reads a Sigstore bundle, or cosign's older JSON.
///
/// # Errors
/// Any [`LegacyError`]; `Bundle` where the bytes do not look like the older form.
pub fn read(bytes: &[u8]) -> Result<(Bundle, Form), LegacyError> {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(rename = "base64Signature")]
        signature: Option<IgnoredAny>,
    }
    let probe = serde_json::from_slice::<Probe>(bytes);
    if bytes.len() <= MAX_BUNDLE && probe.is_ok_and(|probe| probe.signature.is_some()) {
        return Ok((read_cosign(bytes)?, Form::Legacy));
    }
    let bundle = Bundle::parse(bytes)?;
    let form = Form::Bundle(bundle.version);
    Ok((bundle, form))
}

/// Reads cosign's older bundle of a blob: `{base64Signature, cert, rekorBundle}`.
fn read_cosign(bytes: &[u8]) -> Result<Bundle, LegacyError> {
    let words: CosignWords = serde_json::from_slice(bytes)?;
    let pieces = Pieces {
        signature: words.base64_signature.as_bytes(),
        certificate: words.cert.as_deref().map(str::as_bytes),
        payload: None,
        timestamp: None,
        entry: words.rekor_bundle.map(RekorWords::into_entry).transpose()?,
    };
    pieces.to_bundle()
}

/// A signature with what belongs to it, each from a file or annotation of its own.
#[derive(Clone, Debug, Default)]
pub struct Pieces<'a> {
    /// The signature, base64 or bytes; for an attestation the whole envelope.
    pub signature: &'a [u8],
    /// The certificate as PEM, the leaf first, or base64 of that; none for a managed key.
    pub certificate: Option<&'a [u8]>,
    /// The simple signing payload that was signed, for an image; none when the artifact itself was.
    pub payload: Option<&'a [u8]>,
    /// A TimeStampResp in DER.
    pub timestamp: Option<&'a [u8]>,
    /// The log entry, with the log's promise.
    pub entry: Option<LogEntry>,
}

impl Pieces<'_> {
    /// Puts the pieces together.
    ///
    /// # Errors
    /// `Certificate`, `Signature`, `Json` and `Bundle`.
    pub fn to_bundle(&self) -> Result<Bundle, LegacyError> {
        let signature = decode_or_take(self.signature);
        if signature.is_empty() {
            return Err(LegacyError::Signature);
        }
        let mut stamped = None;
        let content = match self.payload {
            Some(payload) => Content::SimpleSigning {
                payload: payload.to_vec(),
                signature,
            },
            None if is_json_text(&signature) => {
                let envelope: Envelope = serde_json::from_slice(&signature)?;
                let found = envelope.signatures.len();
                if found != 1 {
                    return Err(BundleError::SignatureCount { found }.into());
                }
                // There the signature is no piece of its own, and cosign had all of the envelope stamped.
                stamped = self.timestamp.map(|_| signature);
                Content::Envelope(envelope)
            }
            None => Content::Message {
                digest: None,
                signature,
            },
        };
        Ok(Bundle {
            version: Version::V0_1,
            key: self.key_material()?,
            entries: self.entry.clone().into_iter().collect(),
            timestamps: self.timestamp.map(<[u8]>::to_vec).into_iter().collect(),
            stamped,
            content,
        })
    }

    fn key_material(&self) -> Result<KeyMaterial, LegacyError> {
        let hint = String::new();
        let Some(certificate) = self.certificate else {
            return Ok(KeyMaterial::PublicKey { hint });
        };
        let text = decode_or_take(certificate);
        let text = std::str::from_utf8(&text).map_err(|_| LegacyError::Certificate)?;
        let blocks = pem::decode_all(text).map_err(|_| LegacyError::Certificate)?;
        if blocks.len() > MAX_CHAIN {
            let (part, found, limit) = (Part::CertificateChain, blocks.len(), MAX_CHAIN);
            return Err(BundleError::TooMany { part, found, limit }.into());
        }
        // cosign writes the public key into the same place when a managed key signed; it proves nothing there.
        if blocks.iter().all(|block| block.label == "PUBLIC KEY") {
            return Ok(KeyMaterial::PublicKey { hint });
        }
        if blocks.iter().any(|block| block.label != "CERTIFICATE") {
            return Err(LegacyError::Certificate);
        }
        Ok(KeyMaterial::Certificates(
            blocks.into_iter().map(|block| block.der).collect(),
        ))
    }
}

/// Says whether an attestation stands where a signature does. The first byte alone does not tell: one signature in 256
/// begins with a brace, but none is text.
fn is_json_text(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'{') && std::str::from_utf8(bytes).is_ok()
}

/// Returns what base64 stands for, or the bytes themselves; both forms were written.
fn decode_or_take(bytes: &[u8]) -> Vec<u8> {
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| json::decode_base64(text.trim()))
        .unwrap_or_else(|| bytes.to_vec())
}

/// Reads the log's promise as cosign stores it, in a file or in an image's annotation.
///
/// # Errors
/// `Json`, `LogId`.
pub fn read_rekor_bundle(bytes: &[u8]) -> Result<LogEntry, LegacyError> {
    serde_json::from_slice::<RekorWords>(bytes)?.into_entry()
}

/// Reads the timestamp that cosign put into an annotation beside a signature (`pkg/cosign/bundle/tsa.go`): returns the
/// TimeStampResp in DER.
///
/// # Errors
/// `Json`.
pub fn read_timestamp(bytes: &[u8]) -> Result<Vec<u8>, LegacyError> {
    #[derive(Deserialize)]
    struct Words {
        #[serde(rename = "SignedRFC3161Timestamp", with = "json::base64_bytes")]
        timestamp: Vec<u8>,
    }
    Ok(serde_json::from_slice::<Words>(bytes)?.timestamp)
}

/// Writes a TimeStampResp in DER as [`read_timestamp`] reads it.
pub fn write_timestamp(response: &[u8]) -> String {
    let response = json::encode_base64(response);
    serde_json::json!({ "SignedRFC3161Timestamp": response }).to_string()
}

/// Writes an entry as [`read_rekor_bundle`] reads it; none when the log promised nothing, as Rekor v2 never does.
pub fn write_rekor_bundle(entry: &LogEntry) -> Option<String> {
    let promise = entry.inclusion_promise.as_ref()?;
    let words = serde_json::json!({
        "SignedEntryTimestamp": json::encode_base64(&promise.signed_entry_timestamp),
        "Payload": {
            "body": json::encode_base64(&entry.canonicalized_body),
            "integratedTime": entry.integrated_time,
            "logIndex": entry.log_index,
            "logID": hex::encode(&entry.log_id.key_id),
        },
    });
    Some(words.to_string())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CosignWords {
    base64_signature: String,
    #[serde(default)]
    cert: Option<String>,
    #[serde(default)]
    rekor_bundle: Option<RekorWords>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RekorWords {
    #[serde(with = "json::base64_bytes")]
    signed_entry_timestamp: Vec<u8>,
    payload: RekorPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RekorPayload {
    #[serde(with = "json::base64_bytes")]
    body: Vec<u8>,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

/// What a body says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BodyHead {
    kind: String,
    api_version: String,
}

impl RekorWords {
    /// Returns the entry of a bundle; kind and version stand in the body alone here.
    fn into_entry(self) -> Result<LogEntry, LegacyError> {
        let head: BodyHead = serde_json::from_slice(&self.payload.body)?;
        let key_id = hex::decode(&self.payload.log_id).map_err(|_| LegacyError::LogId)?;
        Ok(LogEntry {
            log_index: self.payload.log_index,
            log_id: LogId { key_id },
            kind_version: KindVersion {
                kind: head.kind,
                version: head.api_version,
            },
            integrated_time: self.payload.integrated_time,
            inclusion_promise: Some(InclusionPromise {
                signed_entry_timestamp: self.signed_entry_timestamp,
            }),
            inclusion_proof: None,
            canonicalized_body: self.payload.body,
        })
    }
}

/// What a simple signing payload says (cosign `SIGNATURE_SPEC.md`; containers/image `signature.md`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimpleSigning {
    /// The reference under which the image was signed, for people.
    pub reference: String,
    /// The digest of the image's manifest, `sha256:` and hex.
    pub digest: String,
}

impl SimpleSigning {
    /// Reads a payload of the type that cosign writes; names that stand twice are refused.
    ///
    /// # Errors
    /// The parser's, with its place.
    pub fn parse(payload: &[u8]) -> Result<Self, JsonError> {
        #[derive(Deserialize)]
        struct Words {
            critical: Critical,
        }
        #[derive(Deserialize)]
        struct Critical {
            #[serde(default)]
            identity: Identity,
            image: Image,
            #[serde(rename = "type")]
            kind: Kind,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Identity {
            #[serde(default)]
            docker_reference: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Image {
            docker_manifest_digest: String,
        }
        #[derive(Deserialize)]
        enum Kind {
            #[serde(rename = "cosign container image signature")]
            Cosign,
        }
        json::require_unambiguous(payload)?;
        let Words { critical } = serde_json::from_slice(payload)?;
        let Kind::Cosign = critical.kind;
        Ok(Self {
            reference: critical.identity.docker_reference,
            digest: critical.image.docker_manifest_digest,
        })
    }
}
