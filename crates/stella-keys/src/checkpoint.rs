//! Keys that sign checkpoints as notes (C2SP signed-note, tlog-checkpoint): a log's, and an organisation's for witnesses.

use std::sync::Arc;

use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::note::{KeyName, NoteSignature, SignatureType, VerifierKey};
use stella_tlog::tree_head::{self, UnixMillis};

use crate::signer::{KeyError, Signer};

/// A key with the name that stands in notes.
pub struct CheckpointSigner {
    key: VerifierKey,
    signer: Arc<dyn Signer>,
}

impl CheckpointSigner {
    /// Names a key: Ed25519 and ECDSA P-256 sign the note's text.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] for other keys.
    pub fn text(name: KeyName, signer: Arc<dyn Signer>) -> Result<Self, KeyError> {
        let kind = match signer.details() {
            KeyDetails::Ed25519 => SignatureType::Ed25519,
            KeyDetails::EcdsaP256Sha256 => SignatureType::Ecdsa,
            other => return Err(KeyError::Unsupported(other)),
        };
        Self::new(name, kind, signer)
    }

    /// Names a P-256 key of a certificate transparency log, which signs RFC 6962 tree heads.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] for other keys.
    pub fn tree_head(name: KeyName, signer: Arc<dyn Signer>) -> Result<Self, KeyError> {
        Self::new(name, SignatureType::TreeHead, signer)
    }

    fn new(name: KeyName, kind: SignatureType, signer: Arc<dyn Signer>) -> Result<Self, KeyError> {
        let public = signer.public_key();
        let key = match kind {
            SignatureType::Ed25519 => public.bits(),
            _ => public.spki(),
        };
        let key = VerifierKey::new(name, kind, key);
        let key = key.map_err(|_| KeyError::Unsupported(signer.details()))?;
        Ok(Self { key, signer })
    }

    /// Returns the key that verifies the signatures.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Signs a checkpoint.
    ///
    /// # Errors
    /// [`KeyError`], when the key cannot be used now.
    pub fn sign(&self, checkpoint: &Checkpoint, now: UnixTime) -> Result<NoteSignature, KeyError> {
        let signature = match self.key.signature_type() {
            SignatureType::TreeHead => {
                let time = UnixMillis(u64::try_from(now.millis()).unwrap_or_default());
                let signed = tree_head::to_be_signed(time, checkpoint);
                tree_head::note_signature(time, &self.signer.sign(&signed)?)
            }
            _ => self.signer.sign(checkpoint.to_string().as_bytes())?,
        };
        Ok(NoteSignature::new(&self.key, signature))
    }
}
