//! What every private key offers, wherever it lives, and the ways in which it fails.

use std::io;
use std::path::PathBuf;

use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::key::{KeyDetails, PublicKey};

use crate::device::words::FailureKind;
use crate::service::ServiceFailure;

/// What a key is given to sign.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The digest of a message, which may be larger than memory, by [`Signer::prehash`].
    Digest(&'a Digest),
    /// The message itself.
    Message(&'a [u8]),
}

/// A private key that signs messages by one row of Sigstore's algorithm registry.
pub trait Signer: Send + Sync {
    /// Returns the public half.
    fn public_key(&self) -> &PublicKey;

    /// Returns how this key signs.
    fn details(&self) -> KeyDetails;

    /// Signs `message`: ECDSA as ASN.1 DER, Ed25519 as 64 bytes, RSA as long as its modulus.
    ///
    /// # Errors
    /// [`KeyError`], when the key cannot be used now.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// Returns the hash by which a message's digest is enough to sign it; none where the message itself is needed.
    fn prehash(&self) -> Option<DigestAlgorithm> {
        None
    }

    /// Signs a message of which only the digest is known; the signature is as that of [`sign`](Self::sign).
    ///
    /// # Errors
    /// `WholeMessage` where a digest is not enough, or is by another hash than [`prehash`](Self::prehash) says; [`KeyError`],
    /// when the key cannot be used now.
    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, KeyError> {
        let _ = digest;
        Err(KeyError::WholeMessage)
    }

    /// Signs several messages; the signatures come in their order. Devices do it faster than one by one.
    ///
    /// # Errors
    /// [`KeyError`], of the first that cannot be signed.
    fn sign_many(&self, inputs: &[Input<'_>]) -> Result<Vec<Vec<u8>>, KeyError> {
        let sign = |input: &Input<'_>| match input {
            Input::Digest(digest) => self.sign_digest(digest),
            Input::Message(message) => self.sign(message),
        };
        inputs.iter().map(sign).collect()
    }

    /// Signs a challenge of a certificate authority: as [`sign`](Self::sign), but pure Ed25519 where artifacts are
    /// signed with Ed25519ph, for Fulcio verifies no other.
    ///
    /// # Errors
    /// [`KeyError`], when the key cannot be used now.
    fn prove_possession(&self, challenge: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign(challenge)
    }
}

/// The ways in which a private key cannot be made, read or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// To open the key would take more time or memory than any honest key does.
    #[error(
        "the key's encryption asks for more time or memory than any key that is written honestly"
    )]
    Cost,
    /// A device refused or failed.
    #[error("{}: {message}", kind.words())]
    Device {
        /// How.
        kind: FailureKind,
        /// What was looked for, or what the module says.
        message: String,
    },
    /// The file is there already; keys are never overwritten.
    #[error("the key file {} exists already", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("cannot access the key file {}: {kind}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The process that speaks to devices could not be run, ended or did not answer.
    #[error("the process for PKCS#11 modules: {what}")]
    Helper {
        /// What happened.
        what: String,
    },
    /// The cryptography library could not make a key or a signature.
    #[error("the cryptography library failed")]
    Library,
    /// The file is not a plain PKCS#8 key in PEM.
    #[error("the key file {} does not hold one PEM block PRIVATE KEY", path.display())]
    Malformed {
        /// Where.
        path: PathBuf,
    },
    /// The key is behind a passphrase, and there is none.
    #[error("the key is encrypted, and no passphrase was given")]
    PassphraseNeeded,
    /// The passphrase is another one.
    #[error("the passphrase of the key is wrong")]
    PassphraseWrong,
    /// Others than the owner may read or write the file.
    #[error("the key file {} has mode {mode:03o}: only its owner may read it (chmod 600)", path.display())]
    Permissions {
        /// Where.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What should be a key is something else, or damaged.
    #[error("expected a private key, found {0}")]
    Text(&'static str),
    /// A key of an algorithm, curve or size that Sigstore does not use.
    #[error(
        "keys of this kind are not used here: P-256, P-384, P-521, Ed25519, ML-DSA, and RSA of 2048, 3072 or 4096 bits are"
    )]
    UnsupportedKind,
    /// A program of the plugin protocol refused or failed.
    #[error("the key's program: {what}")]
    Plugin {
        /// What it says, or what happened.
        what: String,
    },
    /// A key service refused, failed or could not be asked.
    #[error("{service}: {}{}", failure.words(), if message.is_empty() { String::new() } else { format!(": {message}") })]
    Service {
        /// Its name.
        service: &'static str,
        /// How.
        failure: ServiceFailure,
        /// What it says, or what happened; one line.
        message: String,
    },
    /// The digest of a message is not enough for this key, or is by another hash than its own.
    #[error("the key signs whole messages, or digests by another hash")]
    WholeMessage,
    /// What the key gave does not verify by its own public half.
    #[error("the key gave a signature that its own public half does not verify")]
    WrongSignature,
    /// Keys of this kind are not held here, or the key is of another kind than asked for.
    #[error("a key for {} is not available here", .0.name())]
    Unsupported(KeyDetails),
}

/// Keeps what a module, a program or a service says to one line.
pub(crate) fn one_line(message: &str) -> String {
    const MOST: usize = 300;
    let is_fine = |each: &char| !each.is_control();
    message.chars().filter(is_fine).take(MOST).collect()
}
