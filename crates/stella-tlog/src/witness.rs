//! What a witness is asked, and what it decides (C2SP tlog-witness).
//!
//! Keeping the last cosigned size (atomically, before the answer) and signing are for the caller; here is only the rule.

use std::fmt;

use crate::checkpoint::Checkpoint;
use crate::decimal;
use crate::hash::Hash;
use crate::note::{MAX_NOTE, Note, NoteError, VerifierKey};
use crate::proof;
use crate::tree::TreeSize;

/// The greatest number of proof lines.
// spec: C2SP tlog-witness, "add-checkpoint".
pub const MAX_PROOF: usize = 63;

/// The greatest request in bytes: the old size, the proof and the note.
pub const MAX_REQUEST: usize = 64 + MAX_PROOF * 45 + MAX_NOTE;

/// The content type of the answer to a wrong old size.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// Reads the answer to a wrong old size: the stored size and a newline.
#[must_use]
pub fn parse_size(body: &str) -> Option<TreeSize> {
    decimal::parse(body.strip_suffix('\n')?).map(TreeSize)
}

/// A log's wish to have a checkpoint cosigned; it prints as the request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the log believes the witness has.
    pub old_size: TreeSize,
    /// The consistency proof from that size.
    pub proof: Vec<Hash>,
    /// The checkpoint with the log's signature.
    pub note: Note,
}

impl AddCheckpoint {
    /// Parses a request's body; `None` if it is malformed, which is [`Decision::BadRequest`].
    #[must_use]
    pub fn parse(body: &str) -> Option<Self> {
        if body.len() > MAX_REQUEST {
            return None;
        }
        let (head, note) = body.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old_size = decimal::parse(lines.next()?.strip_prefix("old ")?)?;
        let proof = lines
            .take(MAX_PROOF + 1)
            .map(|line| Hash::parse(line).ok())
            .collect::<Option<Vec<Hash>>>()?;
        if proof.len() > MAX_PROOF {
            return None;
        }
        Some(Self {
            old_size: TreeSize(old_size),
            proof,
            note: Note::parse(note).ok()?,
        })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        for hash in &self.proof {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.note)
    }
}

/// What a witness knows of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLog {
    /// The keys trusted for the log's origin.
    pub keys: Vec<VerifierKey>,
    /// The size of the last cosigned checkpoint; 0 if there is none.
    pub size: TreeSize,
    /// Its root; [`Hash::EMPTY_ROOT`] if there is none.
    pub root: Hash,
}

/// What a witness answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// 400: the request is malformed, or its old size is greater than the checkpoint's.
    BadRequest,
    /// 409: the old size is not the one stored; the answer's body is the stored size and a newline.
    Conflict {
        /// The stored size.
        size: TreeSize,
    },
    /// 200: store this checkpoint, then cosign it.
    Cosign {
        /// What is to be stored.
        checkpoint: Checkpoint,
    },
    /// 422: the checkpoint does not extend the stored one.
    Inconsistent,
    /// 403: no trusted key has signed, or the signature of one is bad.
    NotSigned,
    /// 404: the log is not known.
    UnknownOrigin,
}

impl Decision {
    /// Returns the HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Conflict { .. } => 409,
            Self::Cosign { .. } => 200,
            Self::Inconsistent => 422,
            Self::NotSigned => 403,
            Self::UnknownOrigin => 404,
        }
    }
}

/// Decides whether to cosign; `known` finds what is stored of the log of an origin.
// spec: C2SP tlog-witness, "add-checkpoint": the checks in this order.
pub fn decide<'a>(
    request: &AddCheckpoint,
    known: impl FnOnce(&str) -> Option<&'a KnownLog>,
) -> Decision {
    let Ok(checkpoint) = Checkpoint::parse(&request.note.text) else {
        return Decision::BadRequest;
    };
    let Some(log) = known(&checkpoint.origin) else {
        return Decision::UnknownOrigin;
    };
    if !is_signed(&request.note, &log.keys) {
        return Decision::NotSigned;
    }
    if request.old_size > checkpoint.size {
        return Decision::BadRequest;
    }
    if request.old_size != log.size {
        return Decision::Conflict { size: log.size };
    }
    // Equal sizes demand equal roots, the empty tree its root, size 0 an empty proof: all said by the proof's rule.
    let verified = proof::verify_consistency(
        log.size,
        &log.root,
        checkpoint.size,
        &checkpoint.root,
        &request.proof,
    );
    if verified.is_err() {
        return Decision::Inconsistent;
    }
    Decision::Cosign { checkpoint }
}

/// Says whether one trusted key has signed and none has a bad signature.
fn is_signed(note: &Note, keys: &[VerifierKey]) -> bool {
    let verified: Vec<_> = keys.iter().map(|key| note.verify(key)).collect();
    let is_bad =
        |found: &Result<(), NoteError>| matches!(found, Err(NoteError::BadSignature { .. }));
    verified.iter().any(Result::is_ok) && !verified.iter().any(is_bad)
}

#[cfg(test)]
mod tests;
