//! The primitive signature at the bottom of every format: a key, a scheme, a message. Framing is each format's own.

use stella_bundle::certificate::Certificate;
use stella_bundle::digest::Digest;
use stella_bundle::key::{PublicKey, Scheme};

use crate::{ForeignError, Loggable};

/// What a primitive signature is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// A message of which the digest by the scheme's hash is known.
    Digest(Digest),
    /// A whole message.
    Whole(Vec<u8>),
}

impl Message {
    /// Returns a message in the form that `scheme` takes.
    pub(crate) fn whole_for(scheme: Scheme, message: &[u8]) -> Self {
        match scheme.hash() {
            Some(hash) => Self::Digest(hash.digest(message)),
            None => Self::Whole(message.to_vec()),
        }
    }
}

/// A key's signature over a message, unverified.
pub(crate) struct Primitive {
    pub(crate) key: PublicKey,
    /// The key's certificate, when the caller gave one.
    pub(crate) certificate: Option<Certificate>,
    pub(crate) scheme: Scheme,
    pub(crate) message: Message,
    pub(crate) signature: Vec<u8>,
}

impl Primitive {
    /// Verifies the signature, and says what a log can carry of it.
    ///
    /// # Errors
    /// `BadSignature`; `Key` when the key does not sign this way.
    pub(crate) fn verify(self) -> Result<Proven, ForeignError> {
        let verified = match &self.message {
            Message::Digest(digest) => self.key.verify_digest(self.scheme, digest, &self.signature),
            Message::Whole(message) => self.key.verify_with(self.scheme, message, &self.signature),
        };
        verified.map_err(|error| match error {
            stella_bundle::key::KeyError::BadSignature => ForeignError::BadSignature,
            other => ForeignError::Key(other),
        })?;
        Ok(Proven {
            scheme: self.scheme,
            loggable: Loggable::of(self),
        })
    }
}

/// What remains of a primitive signature that is good.
pub(crate) struct Proven {
    pub(crate) scheme: Scheme,
    pub(crate) loggable: Loggable,
}
