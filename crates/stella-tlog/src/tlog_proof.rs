//! Proofs of logging as one text file: index, inclusion proof and checkpoint (C2SP tlog-proof).
//!
//! Which logs and witnesses to believe is a [`crate::quorum::Policy`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::decimal;
use crate::hash::{Hash, HashError};
use crate::note::{MAX_NOTE, Note, NoteError};
use crate::proof::{self, ProofError};
use crate::tree::LeafIndex;

/// The first line.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The greatest extra data in base64: room for a certificate chain, not for an artifact.
const MAX_EXTRA: usize = 64 * 1024;

/// The greatest number of hashes: the depth of a tree of 2^64 leaves.
const MAX_HASHES: usize = 64;

/// The greatest file in bytes.
pub const MAX_PROOF: usize = 128 + MAX_EXTRA + MAX_HASHES * 45 + MAX_NOTE;

/// A proof that can be checked offline; it prints as a `.tlog-proof` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Data of the application; nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// The entry's place in the log.
    pub index: LeafIndex,
    /// The inclusion proof, from the leaf's sibling upwards.
    pub hashes: Vec<Hash>,
    /// The checkpoint with its signatures.
    pub note: Note,
}

/// Why a proof file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlogProofError {
    /// The note's text is not a checkpoint.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    /// The extra data is not base64.
    #[error("the extra data of a proof is not standard base64")]
    Extra,
    /// A proof line is not a hash.
    #[error("{0}")]
    Hash(#[from] HashError),
    /// The first line is not that of the format.
    #[error("a proof does not begin with {HEADER}")]
    Header,
    /// The index line is missing or not a decimal number.
    #[error("a proof has no index line")]
    Index,
    /// The note cannot be read.
    #[error("{0}")]
    Note(#[from] NoteError),
    /// The proof does not lead to the checkpoint's root.
    #[error("{0}")]
    Proof(#[from] ProofError),
    /// The file or a part of it is longer than any proof.
    #[error("a proof is too long")]
    TooLong,
}

impl TlogProof {
    /// Parses a proof file.
    ///
    /// # Errors
    ///
    /// [`TlogProofError`].
    // spec: C2SP tlog-proof, "Format".
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        if text.len() > MAX_PROOF {
            return Err(TlogProofError::TooLong);
        }
        let rest = text
            .strip_prefix(HEADER)
            .and_then(|rest| rest.strip_prefix('\n'));
        let (head, note) = rest
            .ok_or(TlogProofError::Header)?
            .split_once("\n\n")
            .ok_or(TlogProofError::Index)?;
        let mut lines = head.split('\n').peekable();
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(extra) => Some(STANDARD.decode(extra).map_err(|_| TlogProofError::Extra)?),
            None => None,
        };
        if extra.is_some() {
            lines.next();
        }
        let index = lines
            .next()
            .and_then(|line| decimal::parse(line.strip_prefix("index ")?))
            .ok_or(TlogProofError::Index)?;
        let hashes = lines
            .take(MAX_HASHES + 1)
            .map(Hash::parse)
            .collect::<Result<Vec<Hash>, HashError>>()?;
        if hashes.len() > MAX_HASHES {
            return Err(TlogProofError::TooLong);
        }
        Ok(Self {
            extra,
            index: LeafIndex(index),
            hashes,
            note: Note::parse(note)?,
        })
    }

    /// Verifies that the checkpoint's tree holds the leaf, and returns the checkpoint, whose signatures are unverified.
    ///
    /// # Errors
    ///
    /// [`TlogProofError::Checkpoint`], [`TlogProofError::Proof`].
    pub fn checkpoint_of(&self, leaf: &Hash) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = Checkpoint::parse(&self.note.text)?;
        proof::verify_inclusion(
            leaf,
            self.index,
            checkpoint.size,
            &checkpoint.root,
            &self.hashes,
        )?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.note)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::hash;

    fn example() -> TlogProof {
        let (left, right) = (hash::leaf(b"left"), hash::leaf(b"right"));
        let root = hash::node(&left, &right);
        TlogProof {
            extra: Some(b"file.tar.gz".to_vec()),
            index: LeafIndex(1),
            hashes: vec![left],
            note: Note::parse(&format!("log.example\n2\n{root}\n\n\u{2014} k AAAAAAA=\n")).unwrap(),
        }
    }

    #[test]
    fn a_proof_reads_back_as_it_was_printed() {
        let mut proof = example();
        assert_eq!(TlogProof::parse(&proof.to_string()).unwrap(), proof);
        proof.extra = None;
        proof.hashes.clear();
        assert_eq!(TlogProof::parse(&proof.to_string()).unwrap(), proof);
    }

    #[test]
    fn a_proof_leads_its_own_leaf_to_the_checkpoint_and_no_other() {
        let proof = example();
        let checkpoint = proof.checkpoint_of(&hash::leaf(b"right")).unwrap();
        assert_eq!(checkpoint.origin, "log.example");
        let refused = proof.checkpoint_of(&hash::leaf(b"left"));
        assert_eq!(
            refused,
            Err(TlogProofError::Proof(ProofError::RootMismatch))
        );
    }

    #[test]
    fn what_is_no_proof_is_refused_by_its_fault() {
        let good = example().to_string();
        let refused = |text: &str, expected: TlogProofError| {
            assert_eq!(TlogProof::parse(text), Err(expected), "{text}");
        };
        refused("", TlogProofError::Header);
        refused(&good.replace("@v1", "@v2"), TlogProofError::Header);
        refused(&good.replace("@v1\n", "@v1 \n"), TlogProofError::Header);
        refused(&good.replace("index 1", "index 01"), TlogProofError::Index);
        refused(&good.replace("index 1\n", ""), TlogProofError::Index);
        refused(&good.replace("extra ", "extra *"), TlogProofError::Extra);
        refused(
            &good.replace("index 1", "index 1\nAAAA"),
            TlogProofError::Hash(HashError::Length { found: 3 }),
        );
        refused(
            &good.replace("\u{2014}", "-"),
            TlogProofError::Note(NoteError::SignatureLine { line: 1 }),
        );
        refused(&"x".repeat(MAX_PROOF + 1), TlogProofError::TooLong);
    }
}
