//! What a verifier demands, and what the artifact is. Safe values are what `Policy::new` gives; the others are spelled.

use stella_tlog::quorum;

use super::error::VerifyError;
use crate::bundle::{Bundle, Content};
use crate::digest::{Digest, DigestAlgorithm};
use crate::identity;
use crate::key::PublicKey;

/// What a bundle must show.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who may sign.
    pub signer: SignerPolicy,
    /// What the log must prove.
    pub log: LogRule,
    /// What the CT log must have said.
    pub sct: SctRule,
    /// How many timestamp authorities must have stamped the signature.
    pub timestamps: usize,
    /// Which witnesses must have cosigned the checkpoint.
    pub witnesses: Option<quorum::Policy>,
}

impl Policy {
    /// Returns the strict policy: one log entry, one SCT, one timestamp.
    pub const fn new(signer: SignerPolicy) -> Self {
        let log = LogRule::Require { logs: 1 };
        Self {
            signer,
            log,
            sct: SctRule::Require,
            timestamps: 1,
            witnesses: None,
        }
    }
}

/// Who may sign.
#[derive(Clone, Debug)]
pub enum SignerPolicy {
    /// Holders of a certificate.
    Certificate(IdentityRule),
    /// Holders of one of these keys.
    Key(Vec<PublicKey>),
}

/// Alias that keeps the word of the command line.
pub type Identities = identity::Identities;

/// Whose certificates are accepted.
#[derive(Clone, Debug)]
pub enum IdentityRule {
    /// As the caller said.
    Given(Identities),
    /// The caller said nothing: every check runs, the signer is reported, nothing is verified.
    NotGiven,
}

/// What the log must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRule {
    /// Entries with inclusion proof in so many different logs; none is taken as one.
    Require {
        /// How many logs.
        logs: usize,
    },
    /// Nothing. Whoever steals a token can sign in silence.
    WithoutLogUnsafe,
}

/// What CT logs must have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SctRule {
    /// One SCT by a known log.
    Require,
    /// Nothing. The authority can issue in silence.
    WithoutSctUnsafe,
}

/// What the signature is compared with.
#[derive(Clone, Copy, Debug)]
pub enum Artifact<'a> {
    /// The bytes.
    Bytes(&'a [u8]),
    /// Digests of the bytes, of different algorithms.
    Digests(&'a [Digest]),
    /// Nothing: a bundle is looked at, not verified.
    NotCompared,
}

impl Artifact<'_> {
    /// Returns the artifact's digest, none when it is not known.
    pub fn digest(&self, algorithm: DigestAlgorithm) -> Option<Digest> {
        match self {
            Self::Bytes(bytes) => Some(algorithm.digest(bytes)),
            Self::Digests(digests) => digests
                .iter()
                .find(|digest| digest.algorithm() == algorithm)
                .cloned(),
            Self::NotCompared => None,
        }
    }
}

/// Finds the key that a bundle names by its hint; an empty hint fits a single key.
pub(super) fn choose_key<'a>(
    keys: &'a [PublicKey],
    hint: &str,
    bundle: &Bundle,
) -> Result<&'a PublicKey, VerifyError> {
    let mismatch = |found: &str| VerifyError::KeyHintMismatch {
        found: found.to_owned(),
    };
    // cosign writes the same name into both places; two names are two keys.
    if let Content::Envelope(envelope) = &bundle.content {
        let keyid = envelope
            .signatures
            .first()
            .map_or("", |signature| &signature.keyid);
        if !keyid.is_empty() && !hint.is_empty() && keyid != hint {
            return Err(mismatch(keyid));
        }
    }
    let named = keys
        .iter()
        .find(|key| crate::json::encode_base64(&key.key_id()) == hint);
    match (named, keys) {
        (Some(key), _) => Ok(key),
        // Other tools hint at keys in their own way; with one key given there is no choice to make.
        (None, [only]) => Ok(only),
        (None, _) => Err(mismatch(hint)),
    }
}
