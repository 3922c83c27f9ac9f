//! The ways in which a foreign signature is refused.

use stella_bundle::asn1::Asn1Error;
use stella_bundle::certificate::CertificateError;
use stella_bundle::cms::CmsError;
use stella_bundle::key::KeyError;
use stella_bundle::pem::PemError;
use stella_bundle::time::UnixTime;
use stella_bundle::tuf::TufError;

use crate::Format;

/// Why a signature, its key or its artifact is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignError {
    /// The artifact's bytes could not be read.
    #[error("artifact cannot be read: {reason}")]
    Artifact {
        /// The reader's words.
        reason: String,
    },
    /// A scheme that signs the whole artifact at once meets one that is too large for that.
    #[error("artifact is larger than {limit} bytes, and this signature is over all of it at once")]
    ArtifactTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// DER of the wrong shape.
    #[error("not the expected DER: {0}")]
    Asn1(#[from] Asn1Error),
    /// The signature was not made over this artifact by this key.
    #[error("signature does not verify")]
    BadSignature,
    /// A certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certificate forbids what its key did.
    #[error("certificate {subject:?} is not for signatures")]
    CertificateUse {
        /// Its name as text.
        subject: String,
    },
    /// PKCS#7 signed data cannot be read.
    #[error(transparent)]
    Cms(#[from] CmsError),
    /// A signature or key claims a time that has not come yet.
    #[error("{what} was made at {created}, which is after {now}")]
    FromTheFuture {
        /// The signature or key.
        what: String,
        /// When it says it was made.
        created: UnixTime,
        /// The time asked about.
        now: UnixTime,
    },
    /// A public key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key has ended.
    #[error("key {key} expired on {expired}")]
    KeyExpired {
        /// Its fingerprint.
        key: String,
        /// When it ended.
        expired: UnixTime,
    },
    /// The key is not for signing files.
    #[error("key {key} is not for signing")]
    KeyUse {
        /// Its fingerprint.
        key: String,
    },
    /// The key's owner took it back.
    #[error("key {key} is revoked: {reason}")]
    KeyRevoked {
        /// Its fingerprint.
        key: String,
        /// The owner's reason in the words of RFC 9580 §5.2.3.31, or that none is given.
        reason: &'static str,
    },
    /// The signature is made for another purpose.
    #[error("expected a signature in namespace {expected:?}, found {found:?}")]
    Namespace {
        /// The caller's.
        expected: String,
        /// The signature's.
        found: String,
    },
    /// A subkey is not bound to its primary key by good signatures of both.
    #[error("subkey {key} is not bound to its primary key: {missing} is missing or bad")]
    NotBound {
        /// Its fingerprint.
        key: String,
        /// Which signature.
        missing: &'static str,
    },
    /// No signature of the key says what the key is for and how long.
    #[error("key {key} has no good self-signature; one over SHA-1 or MD5 does not count")]
    NoSelfSignature {
        /// Its fingerprint.
        key: String,
    },
    /// Text is not PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The signature has ended.
    #[error("signature expired on {expired}")]
    SignatureExpired {
        /// When it ended.
        expired: UnixTime,
    },
    /// A signed attribute is missing, doubled or names something else.
    #[error("signed attribute {attribute} is missing or wrong")]
    SignedAttribute {
        /// Its name in RFC 5652.
        attribute: &'static str,
    },
    /// More or larger than any honest file has.
    #[error("{what} of {length} is larger than {limit}")]
    TooLarge {
        /// What is counted or measured.
        what: &'static str,
        /// How much there is.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// TUF metadata is not to be believed.
    #[error(transparent)]
    Tuf(#[from] TufError),
    /// Something else stands where the format wants something.
    #[error("expected {expected} in {format} data, found {found}")]
    Unexpected {
        /// The format.
        format: Format,
        /// What it wants.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The format knows this, and it is refused here.
    #[error("{feature} is not supported in {format} signatures")]
    Unsupported {
        /// The format.
        format: Format,
        /// What is refused, by name.
        feature: String,
    },
    /// The hash is broken or too short for signatures.
    #[error("hash {name} is refused: signatures over it can be forged")]
    WeakHash {
        /// Its name.
        name: &'static str,
    },
    /// The signature is by another key than the given ones.
    #[error("expected a signature by {expected}, found one by {found}")]
    WrongKey {
        /// The given keys.
        expected: String,
        /// Whom the signature names.
        found: String,
    },
}

impl ForeignError {
    pub(crate) fn unexpected(
        format: Format,
        expected: &'static str,
        found: impl Into<String>,
    ) -> Self {
        Self::Unexpected {
            format,
            expected,
            found: found.into(),
        }
    }

    pub(crate) fn unsupported(format: Format, feature: impl Into<String>) -> Self {
        Self::Unsupported {
            format,
            feature: feature.into(),
        }
    }
}
