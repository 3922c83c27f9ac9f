//! From a committed head to one that is served: the log's signatures, and where a quorum is asked, the witnesses'.
//!
//! What a good cosignature is, is decided in `stella_tlog`; who speaks to witnesses over the network implements
//! [`Witnesses`].

use std::sync::Arc;

use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_keys::{KeyError, Signer};
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash::Hash;
use stella_tlog::note::{KeyName, Note, NoteSignature, SignatureType, VerifierKey};
use stella_tlog::quorum::Policy;
use stella_tlog::tree::TreeSize;
use stella_tlog::tree_head::{self, UnixMillis};

use super::error::LogError;

/// A key of the log, able to sign its checkpoints.
pub trait NoteSigner: Send + Sync {
    /// Returns the key that verifies the signatures.
    fn key(&self) -> &VerifierKey;

    /// Signs a checkpoint; returns a note signature's bytes, without the key id.
    ///
    /// # Errors
    /// [`KeyError`], when the key cannot be used now.
    fn sign(&self, checkpoint: &Checkpoint, now: UnixTime) -> Result<Vec<u8>, KeyError>;
}

/// Signs checkpoints by a key of `stella-keys`.
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
        let unsupported = KeyError::Unsupported(signer.details());
        let spki = signer.public_key().spki();
        let key = match kind {
            // RFC 8410 §4: the SubjectPublicKeyInfo ends in the 32 bytes of the key.
            SignatureType::Ed25519 => spki.last_chunk::<32>().map(<[u8; 32]>::as_slice),
            _ => Some(spki),
        };
        let key = key.and_then(|key| VerifierKey::new(name, kind, key).ok());
        Ok(Self {
            key: key.ok_or(unsupported)?,
            signer,
        })
    }
}

impl NoteSigner for CheckpointSigner {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, checkpoint: &Checkpoint, now: UnixTime) -> Result<Vec<u8>, KeyError> {
        if self.key.signature_type() != SignatureType::TreeHead {
            return self.signer.sign(checkpoint.to_string().as_bytes());
        }
        let time = UnixMillis(u64::try_from(now.millis()).unwrap_or_default());
        let signature = self
            .signer
            .sign(&tree_head::to_be_signed(time, checkpoint))?;
        Ok(tree_head::note_signature(time, &signature))
    }
}

/// Those who are asked to cosign.
pub trait Witnesses: Send + Sync {
    /// Collects cosignatures for a checkpoint that the log has signed; blocks, and gives up by its own deadline.
    ///
    /// `consistency` makes the proof from the tree that a witness has to this one. Cosignatures are verified by the
    /// caller; too few are not an error here.
    fn cosign(
        &self,
        note: &Note,
        consistency: &dyn Fn(TreeSize) -> Option<Vec<Hash>>,
    ) -> Vec<NoteSignature>;
}

/// Who must have cosigned before a checkpoint is served; without them appending fails (closed) until they are back.
#[derive(Clone)]
pub struct Quorum {
    /// The rule.
    pub policy: Policy,
    /// Those who are asked.
    pub witnesses: Arc<dyn Witnesses>,
}

/// Makes notes that may be served.
pub(super) struct Publisher {
    pub(super) origin: String,
    pub(super) signers: Vec<Arc<dyn NoteSigner>>,
    pub(super) now: Arc<dyn Fn() -> UnixTime + Send + Sync>,
    pub(super) quorum: Option<Quorum>,
}

impl Publisher {
    /// Signs the head and has it cosigned.
    pub(super) fn note(
        &self,
        size: TreeSize,
        root: Hash,
        consistency: &dyn Fn(TreeSize) -> Option<Vec<Hash>>,
    ) -> Result<Note, LogError> {
        let checkpoint = Checkpoint {
            origin: self.origin.clone(),
            size,
            root,
            extensions: Vec::new(),
        };
        let now = (self.now)();
        let mut note = Note {
            text: checkpoint.to_string(),
            signatures: Vec::with_capacity(self.signers.len()),
        };
        for signer in &self.signers {
            let signature = signer.sign(&checkpoint, now)?;
            note.signatures
                .push(NoteSignature::new(signer.key(), signature));
        }
        if let Some(quorum) = &self.quorum {
            let cosignatures = quorum.witnesses.cosign(&note, consistency);
            note.signatures.extend(cosignatures);
            require_quorum(quorum, &note)?;
        }
        Ok(note)
    }
}

fn require_quorum(quorum: &Quorum, note: &Note) -> Result<(), LogError> {
    use stella_tlog::quorum::QuorumError;
    match quorum.policy.satisfied_by(note) {
        Ok(_) => Ok(()),
        Err(QuorumError::NotReached { .. }) => Err(LogError::QuorumNotReached),
        Err(refused) => Err(refused.into()),
    }
}
