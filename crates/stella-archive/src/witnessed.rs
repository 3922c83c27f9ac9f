//! What witnesses say of an archive's tree: they cosign the checkpoint of a statement as a note (C2SP tlog-cosignature).
//!
//! A cosignature shows that nobody was shown another past of the tree, and when the witness saw it. It dates no signature of the
//! organisation: the note is about the tree alone.

use stella_tlog::note::{KeyName, Note, NoteError, SignatureType, VerifierKey};
use stella_tlog::quorum::{Cosigned, Policy, QuorumError};

use crate::keyset::{Keyset, OrgKeyEntry};
use crate::statement::Manifest;

/// The ways in which a note says nothing about a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteRefusal {
    /// It is of another tree.
    #[error("the note is not that of the statement's checkpoint")]
    OtherTree,
    /// No checkpoint key of the statement's keyset signed it.
    #[error("no checkpoint key of the keyset signed the note")]
    NotSigned,
    /// A signature by a checkpoint key is not good.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The witnesses are not those that the policy asks for.
    #[error("{0}")]
    Quorum(#[from] QuorumError),
}

/// Returns the key that stands in notes for a checkpoint key of an organisation: its name is the archive's origin; none where
/// the origin cannot stand in a note, or the key is no Ed25519 key.
#[must_use]
pub fn note_key(origin: &str, entry: &OrgKeyEntry) -> Option<VerifierKey> {
    let name = KeyName::new(origin).ok()?;
    let key = entry.key().ok()?;
    // RFC 8410 §4: the SubjectPublicKeyInfo ends in the 32 bytes of the key.
    let raw = key.spki().last_chunk::<32>()?;
    VerifierKey::new(name, SignatureType::Ed25519, raw).ok()
}

/// Requires that a note is that of a statement's checkpoint, signed by a checkpoint key of the statement's keyset and cosigned as the
/// policy asks; returns who cosigned, and when.
///
/// # Errors
/// Any [`NoteRefusal`].
pub fn require_witnessed(
    note: &Note,
    manifest: &Manifest,
    keyset: &Keyset,
    policy: &Policy,
) -> Result<Vec<Cosigned>, NoteRefusal> {
    if note.text != manifest.checkpoint().to_string() {
        return Err(NoteRefusal::OtherTree);
    }
    let keys = keyset.checkpoint_keys();
    let mut is_signed = false;
    for key in keys.filter_map(|entry| note_key(&manifest.origin, entry)) {
        match note.verify(&key) {
            Ok(()) => is_signed = true,
            Err(NoteError::NotSigned { .. }) => {}
            Err(bad) => return Err(bad.into()),
        }
    }
    match is_signed {
        true => Ok(policy.satisfied_by(note)?),
        false => Err(NoteRefusal::NotSigned),
    }
}
