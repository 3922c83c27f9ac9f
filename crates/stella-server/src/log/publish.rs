//! From a committed head to one that is served: the log's signatures, and where a quorum is asked, the witnesses'.
//!
//! What a good cosignature is, is decided in `stella_tlog`; who speaks to witnesses over the network implements
//! [`Witnesses`].

use std::sync::Arc;

use stella_bundle::time::UnixTime;
use stella_keys::CheckpointSigner;
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash::Hash;
use stella_tlog::note::{Note, NoteSignature};
use stella_tlog::quorum::Policy;
use stella_tlog::tree::TreeSize;

use super::error::LogError;

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
    pub(super) signers: Vec<Arc<CheckpointSigner>>,
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
            note.signatures.push(signer.sign(&checkpoint, now)?);
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
