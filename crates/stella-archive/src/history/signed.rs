//! Signatures of the organisation's keys over one document: read from their bundles and verified, whatever they count for.

use serde::{Deserialize, Serialize};
use stella_bundle::bundle::{Bundle, BundleError, Content, KeyMaterial, Version};
use stella_bundle::cms::SignerId;
use stella_bundle::envelope::IN_TOTO;
use stella_bundle::json;
use stella_bundle::timestamp::SignedTimestamp;

use crate::fingerprint::Fingerprint;
use crate::keyset::OrgKeyEntry;
use crate::statement::{KeyId, Manifest, OrgStatement, OrgStatementError};

/// Bundles of one document.
const MAX_BUNDLES: usize = 32;
/// Bytes of such a bundle: an ML-DSA signature and tokens have 20 KiB.
const MAX_BUNDLE: usize = 1 << 20;

/// A file, and the Sigstore bundles that sign it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// A keyset's file, or a statement's payload.
    #[serde(with = "json::base64_bytes")]
    pub bytes: Vec<u8>,
    /// The bundles, in any order.
    #[serde(
        serialize_with = "json::base64_list::serialize",
        deserialize_with = "json::base64_list::at_most::<MAX_BUNDLES, _>"
    )]
    pub bundles: Vec<Vec<u8>>,
}

impl Document {
    /// Returns what it says, as a statement's payload; who signed it is not asked.
    ///
    /// # Errors
    /// Those of [`OrgStatement::parse`] and [`OrgStatement::to_manifest`].
    pub fn to_manifest(&self) -> Result<Manifest, OrgStatementError> {
        OrgStatement::parse(&self.bytes)?.to_manifest()
    }

    /// Returns the fingerprints of its bundles, sorted.
    #[must_use]
    pub fn evidence(&self) -> Vec<Fingerprint> {
        let mut evidence: Vec<_> = { self.bundles.iter() }
            .map(|each| Fingerprint::of(each))
            .collect();
        evidence.sort_unstable();
        evidence
    }
}

/// The ways in which a document is not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// A bundle is none.
    #[error("bundle {index}: {error}")]
    Bundle {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        error: BundleError,
    },
    /// A bundle signs something else.
    #[error("bundle {index} does not sign this document with one kept key")]
    OfAnother {
        /// Which, from 0.
        index: usize,
    },
    /// A bundle names a key that the keyset does not have, or one that signed already.
    #[error("bundle {index} is by a key that is not in the keyset, or that signed already")]
    Key {
        /// Which, from 0.
        index: usize,
    },
    /// A signature does not verify.
    #[error("the signature in bundle {index} does not verify")]
    BadSignature {
        /// Which, from 0.
        index: usize,
    },
    /// A key that must have signed did not.
    #[error("the signature by key {key} is missing")]
    Missing {
        /// Its id.
        key: String,
    },
    /// There are too many bundles, or one is too large.
    #[error("too many or too large bundles")]
    TooLarge,
}

impl SignatureError {
    /// Returns which bundle is wrong, from 0; none where it is none of them.
    #[must_use]
    pub const fn bundle(&self) -> Option<usize> {
        match self {
            Self::BadSignature { index }
            | Self::Bundle { index, .. }
            | Self::Key { index }
            | Self::OfAnother { index } => Some(*index),
            Self::Missing { .. } | Self::TooLarge => None,
        }
    }
}

/// A verified signature.
pub(super) struct Signature {
    pub(super) key_id: [u8; 32],
    pub(super) bytes: Vec<u8>,
    /// DER of TimeStampResp, each.
    pub(super) tokens: Vec<Vec<u8>>,
}

impl Signature {
    /// Returns how many different signers stamped this signature; whether they count is not asked.
    fn stamps(&self) -> usize {
        let tokens = self
            .tokens
            .iter()
            .filter_map(|each| SignedTimestamp::parse(each).ok());
        let over_it = tokens.filter(|token| token.require_message(&self.bytes).is_ok());
        let signers: Vec<_> = over_it.map(|token| token.signer).collect();
        let is_first = |(at, signer): &(usize, &SignerId)| !signers[..*at].contains(signer);
        signers.iter().enumerate().filter(is_first).count()
    }
}

/// The verified signatures over one document.
pub(super) struct Signatures(pub(super) Vec<Signature>);

impl Signatures {
    /// Reads every bundle of a document. Each must be of this statement, by another key of the lists, and good.
    pub(super) fn read(
        document: &Document,
        statement: &OrgStatement,
        keys: &[&[OrgKeyEntry]],
    ) -> Result<Self, SignatureError> {
        let sizes = document.bundles.iter().map(Vec::len);
        if sizes.len() > MAX_BUNDLES || { sizes }.any(|size| size > MAX_BUNDLE) {
            return Err(SignatureError::TooLarge);
        }
        let (payload, message) = (statement.payload(), statement.to_be_signed());
        let mut read: Vec<Signature> = Vec::new();
        for (index, bytes) in document.bundles.iter().enumerate() {
            let wrong = |error| SignatureError::Bundle { index, error };
            let bundle = Bundle::parse(bytes).map_err(wrong)?;
            let (key_id, signature) =
                of_payload(&bundle, &payload).ok_or(SignatureError::OfAnother { index })?;
            let mut entries = keys.iter().flat_map(|each| each.iter());
            let entry = entries.find(|each| each.key_id == key_id);
            let is_first = !read.iter().any(|each| each.key_id == key_id);
            let key = entry.filter(|_| is_first).and_then(|each| each.key().ok());
            let key = key.ok_or(SignatureError::Key { index })?;
            key.verify(&message, &signature)
                .map_err(|_| SignatureError::BadSignature { index })?;
            read.push(Signature {
                key_id,
                bytes: signature,
                tokens: bundle.timestamps,
            });
        }
        Ok(Self(read))
    }

    /// Says whether a key signed.
    pub(super) fn has(&self, key_id: &[u8; 32]) -> bool {
        self.0.iter().any(|each| each.key_id == *key_id)
    }

    /// Requires that exactly these keys signed.
    pub(super) fn require_all(&self, signers: &[KeyId]) -> Result<(), SignatureError> {
        let missing = signers.iter().find(|each| !self.has(&each.0));
        if let Some(missing) = missing {
            let key = hex::encode(missing.0);
            return Err(SignatureError::Missing { key });
        }
        let more = self
            .0
            .iter()
            .position(|each| !signers.contains(&KeyId(each.key_id)));
        more.map_or(Ok(()), |index| Err(SignatureError::Key { index }))
    }

    /// Returns how many different tokens over it the signature with the fewest of them has.
    pub(super) fn stamps(&self) -> u64 {
        let fewest = self.0.iter().map(Signature::stamps).min();
        fewest.unwrap_or_default() as u64
    }
}

/// Returns the key id and the signature of a bundle over this payload by a kept key.
fn of_payload(bundle: &Bundle, payload: &[u8]) -> Option<([u8; 32], Vec<u8>)> {
    let KeyMaterial::PublicKey { hint } = &bundle.key else {
        return None;
    };
    let Content::Envelope(envelope) = &bundle.content else {
        return None;
    };
    let key_id = json::decode_base64(hint)?.try_into().ok()?;
    let is_same = bundle.version == Version::V0_3
        && envelope.payload_type == IN_TOTO
        && envelope.payload == payload;
    is_same.then(|| (key_id, bundle.content.signature().to_vec()))
}
