//! What a verifier demands, and what the artifact is. Safe values are what `Policy::new` gives; the others are spelled.

use stella_tlog::quorum;

use super::error::VerifyError;
use crate::bundle::{Bundle, Content};
use crate::digest::{Digest, DigestAlgorithm};
use crate::identity;
use crate::key::{PublicKey, Scheme};
use crate::time::Validity;

/// Who may sign, and what evidence each kind of signer must show. With neither kind nobody may.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Holders of certificates.
    pub certificates: Option<CertificateRule>,
    /// Holders of managed keys.
    pub keys: Option<KeyRule>,
}

impl Policy {
    /// Returns the strict policy for certificates, see [`CertificateRule::strict`].
    pub const fn for_certificates(identities: IdentityRule) -> Self {
        Self {
            certificates: Some(CertificateRule::strict(identities)),
            keys: None,
        }
    }

    /// Returns the strict policy for managed keys, see [`KeyRule::strict`].
    pub const fn for_keys(keys: Vec<ManagedKey>) -> Self {
        Self {
            certificates: None,
            keys: Some(KeyRule::strict(keys)),
        }
    }
}

/// What a bundle with a certificate must show.
#[derive(Clone, Debug)]
pub struct CertificateRule {
    /// Whose certificates are accepted.
    pub identities: IdentityRule,
    /// What the CT log must have said.
    pub sct: SctRule,
    /// What logs and clocks must have said.
    pub evidence: Evidence,
}

impl CertificateRule {
    /// Returns the rule that asks for one log, one SCT and one time.
    pub const fn strict(identities: IdentityRule) -> Self {
        Self {
            identities,
            sct: SctRule::Require,
            evidence: Evidence::STRICT,
        }
    }
}

/// What a bundle signed with a managed key must show.
#[derive(Clone, Debug)]
pub struct KeyRule {
    /// The accepted keys.
    pub keys: Vec<ManagedKey>,
    /// What logs and clocks must have said.
    pub evidence: Evidence,
}

impl KeyRule {
    /// Returns the rule that asks for one log; a key whose validity is open needs no time.
    pub const fn strict(keys: Vec<ManagedKey>) -> Self {
        let evidence = Evidence {
            times: 0,
            ..Evidence::STRICT
        };
        Self { keys, evidence }
    }
}

/// A key that somebody keeps, and gave to the verifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedKey {
    /// The key.
    pub key: PublicKey,
    /// The name under which bundles may hint at it, besides the base64 and the hex of its key id.
    pub hint: Option<String>,
    /// When its signatures count: at every authenticated time, or now when there is none.
    pub validity: Validity,
    /// How it signs, where that is not what its kind does by Sigstore's registry: RSA-PSS, or P-384 with SHA-256.
    pub scheme: Option<Scheme>,
}

impl From<PublicKey> for ManagedKey {
    /// Returns the key without an own name, valid at any time, signing as its kind does.
    fn from(key: PublicKey) -> Self {
        Self {
            key,
            hint: None,
            validity: Validity::default(),
            scheme: None,
        }
    }
}

/// What logs and clocks must have said about a signature.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What transparency logs must prove.
    pub log: LogRule,
    /// How many authorities, of timestamps or logs, must have told the time; a certificate needs at least one.
    pub times: usize,
    /// How many RFC 3161 timestamp authorities must be among them.
    pub timestamps: usize,
    /// Which witnesses must have cosigned the checkpoint.
    pub witnesses: Option<quorum::Policy>,
}

impl Evidence {
    /// One log and one time.
    pub const STRICT: Self = Self {
        log: LogRule::Require {
            logs: 1,
            promise: Promise::Counts,
        },
        times: 1,
        timestamps: 0,
        witnesses: None,
    };
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

/// What logs must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRule {
    /// Entries in so many different logs; none is taken as one.
    Require {
        /// How many logs.
        logs: usize,
        /// Whether a promise is enough.
        promise: Promise,
    },
    /// Nothing: whoever steals a token or key can sign in silence. Entries that are there must still be good.
    WithoutLogUnsafe,
}

/// Whether Rekor v1's promise (SET) stands for inclusion where a bundle of version 0.1 has no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// It does, as v0.1 of the bundle format has it.
    Counts,
    /// Only an inclusion proof counts.
    DoesNotCount,
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
    /// Whatever was signed: for those who keep attestations, and do not say that an artifact has one.
    AsSigned,
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
            Self::AsSigned | Self::NotCompared => None,
        }
    }
}

/// Finds the key that a bundle names by its hint, and its place in the list; an empty or foreign hint fits a single key.
pub(super) fn choose_key<'a>(
    keys: &'a [ManagedKey],
    hint: &str,
    bundle: &Bundle,
) -> Result<(usize, &'a ManagedKey), VerifyError> {
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
    let is_named = |key: &ManagedKey| {
        let id = key.key.key_id();
        key.hint.as_deref() == Some(hint)
            || crate::json::encode_base64(&id) == hint
            || hex::encode(id) == hint
    };
    match keys.iter().position(is_named) {
        Some(index) => Ok((index, &keys[index])),
        None => match keys {
            // Other tools hint at keys in their own way; with one key given there is no choice to make.
            [only] => Ok((0, only)),
            _ => Err(mismatch(hint)),
        },
    }
}
