//! What is known of a signature once it is verified. Only verification makes a [`Verified`].

use std::fmt;

use stella_bundle::certificate::Certificate;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::key::{PublicKey, Scheme};
use stella_bundle::time::UnixTime;
use stella_bundle::tuf::Role;

use crate::primitive::Proven;
use crate::{Format, Loggable};

/// A foreign signature that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    format: Format,
    artifact: Digest,
    signer: Signer,
    signed: Signed,
    created: Option<UnixTime>,
    scheme: Scheme,
    loggable: Loggable,
}

/// What a format's own verification finds.
pub(crate) struct Found {
    pub(crate) signer: Signer,
    pub(crate) signed: Signed,
    pub(crate) created: Option<UnixTime>,
    pub(crate) proven: Proven,
}

impl Verified {
    pub(crate) fn new(format: Format, found: Found, artifact: Digest) -> Self {
        Self {
            format,
            artifact,
            signer: found.signer,
            signed: found.signed,
            created: found.created,
            scheme: found.proven.scheme,
            loggable: found.proven.loggable,
        }
    }

    /// Returns the format.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Returns SHA-256 of the artifact.
    pub const fn artifact(&self) -> &Digest {
        &self.artifact
    }

    /// Returns who signed.
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Returns what exactly was signed.
    pub const fn signed(&self) -> &Signed {
        &self.signed
    }

    /// Returns when the signer says it signed, where the format tells; nobody else vouches for it.
    pub const fn created(&self) -> Option<UnixTime> {
        self.created
    }

    /// Returns the scheme of the primitive signature.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns what a log can carry of it.
    pub const fn loggable(&self) -> &Loggable {
        &self.loggable
    }
}

/// Who signed, as far as key and signature tell. Texts are as they came: whoever prints them minds control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signer {
    /// The holder of a certificate.
    Certificate {
        /// The subject's name as text.
        subject: String,
        /// SHA-256 of the DER.
        fingerprint: [u8; 32],
        /// First moment of validity.
        not_before: UnixTime,
        /// Last second of validity.
        not_after: UnixTime,
    },
    /// A minisign key.
    Minisign {
        /// The key's id, as minisign prints it.
        key_id: String,
        /// The comment that is signed as well.
        trusted_comment: String,
    },
    /// An OpenPGP key.
    OpenPgp {
        /// The fingerprint of the key that signed, upper-case hex.
        fingerprint: String,
        /// The fingerprint of the primary key, the same where that signed.
        primary: String,
        /// The names that the primary key signed, in the order of the file.
        user_ids: Vec<String>,
    },
    /// A bare public key.
    PublicKey {
        /// SHA-256 of the SubjectPublicKeyInfo.
        key_id: [u8; 32],
    },
    /// An SSH key.
    Ssh {
        /// `SHA256:` and unpadded base64, as ssh-keygen prints it.
        fingerprint: String,
        /// What follows the key on its line.
        comment: String,
        /// What the signature is for.
        namespace: String,
    },
    /// The keys of a role of a TUF repository.
    Tuf {
        /// The role.
        role: Role,
        /// The metadata's version.
        version: u64,
        /// The ids of the keys that signed.
        key_ids: Vec<String>,
    },
}

impl Signer {
    pub(crate) fn of_certificate(certificate: &Certificate) -> Self {
        Self::Certificate {
            subject: certificate.subject_text(),
            fingerprint: *certificate.fingerprint(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        }
    }

    pub(crate) fn of_key(key: &PublicKey) -> Self {
        Self::PublicKey {
            key_id: key.key_id(),
        }
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate {
                subject,
                fingerprint,
                ..
            } => {
                let fingerprint = hex::encode(fingerprint);
                write!(formatter, "{subject} (certificate sha256:{fingerprint})")
            }
            Self::Minisign { key_id, .. } => write!(formatter, "minisign key {key_id}"),
            Self::OpenPgp {
                fingerprint,
                user_ids,
                ..
            } => match user_ids.first() {
                Some(name) => write!(formatter, "{name} (OpenPGP key {fingerprint})"),
                None => write!(formatter, "OpenPGP key {fingerprint}"),
            },
            Self::PublicKey { key_id } => {
                write!(formatter, "public key sha256:{}", hex::encode(key_id))
            }
            Self::Ssh {
                fingerprint,
                comment,
                ..
            } => write!(formatter, "{comment} (SSH key {fingerprint})"),
            Self::Tuf { role, version, .. } => {
                write!(
                    formatter,
                    "the keys of TUF {role} metadata, version {version}"
                )
            }
        }
    }
}

/// The message that the primitive signature covers, as a way from the artifact to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// The artifact itself.
    Artifact,
    /// The artifact between other bytes.
    Framed {
        /// What stands before it.
        before: Vec<u8>,
        /// What stands after it.
        after: Vec<u8>,
    },
    /// The digest of the artifact between other bytes, which Ed25519 in OpenPGP signs like a message.
    FramedDigest {
        /// The hash.
        hash: DigestAlgorithm,
        /// What stands before the artifact.
        before: Vec<u8>,
        /// What stands after it.
        after: Vec<u8>,
    },
    /// These bytes, which hold a hash of the artifact or the artifact in another form.
    Message(Vec<u8>),
}

impl Signed {
    /// Returns the message over `artifact`.
    pub fn message(&self, artifact: &[u8]) -> Vec<u8> {
        match self {
            Self::Artifact => artifact.to_vec(),
            Self::Framed { before, after } => [before, artifact, after].concat(),
            Self::FramedDigest {
                hash,
                before,
                after,
            } => {
                let framed = [before, artifact, after].concat();
                hash.digest(&framed).bytes().to_vec()
            }
            Self::Message(bytes) => bytes.clone(),
        }
    }
}
