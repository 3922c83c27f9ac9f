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
    VerifierKey::new(name, SignatureType::Ed25519, key.bits()).ok()
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use stella_bundle::key::PublicKey;
    use stella_tlog::note::NoteSignature;

    use super::*;
    use crate::keyset::tests::first;
    use crate::keyset::{Role, Status};
    use crate::statement::tests::manifest;

    const NOBODY: &str = "quorum none\n";

    /// Returns a keyset with a checkpoint key, and its note of the manifest's checkpoint.
    fn scene() -> (Keyset, Note) {
        let pair = Ed25519KeyPair::generate().unwrap();
        let spki = pair.public_key().as_der().unwrap();
        let key = PublicKey::from_spki(spki.as_ref()).unwrap();
        let mut keyset = first();
        let (from, until) = (keyset.keys[0].from, keyset.keys[0].until);
        let entry = OrgKeyEntry::new(&key, Role::Checkpoint, from, until);
        let named = note_key(&keyset.origin, &entry).unwrap();
        keyset.keys.push(entry);
        keyset.require_sound().unwrap();
        let text = manifest().checkpoint().to_string();
        let signature = pair.sign(text.as_bytes()).as_ref().to_vec();
        let signatures = vec![NoteSignature::new(&named, signature)];
        (keyset, Note { text, signatures })
    }

    fn judge(note: &Note, keyset: &Keyset, policy: &str) -> Result<Vec<Cosigned>, NoteRefusal> {
        require_witnessed(note, &manifest(), keyset, &Policy::parse(policy).unwrap())
    }

    #[test]
    fn the_organisation_must_have_signed_this_very_checkpoint() {
        let (keyset, note) = scene();
        assert_eq!(judge(&note, &keyset, NOBODY), Ok(Vec::new()));

        let mut of_another_tree = note.clone();
        of_another_tree.text = note.text.replace("\n3\n", "\n4\n");
        let refused = judge(&of_another_tree, &keyset, NOBODY);
        assert_eq!(refused, Err(NoteRefusal::OtherTree));

        let mut unsigned = note.clone();
        unsigned.signatures.clear();
        let refused = judge(&unsigned, &keyset, NOBODY);
        assert_eq!(refused, Err(NoteRefusal::NotSigned));

        let mut damaged = note.clone();
        damaged.signatures[0].signature[5] ^= 1;
        let refused = judge(&damaged, &keyset, NOBODY);
        assert!(matches!(refused, Err(NoteRefusal::Note(_))), "{refused:?}");

        // A key of another organisation, and one that is retired.
        let refused = judge(&note, &scene().0, NOBODY);
        assert_eq!(refused, Err(NoteRefusal::NotSigned));
        let mut retired = keyset;
        retired.keys.last_mut().unwrap().status = Status::Retired;
        let refused = judge(&note, &retired, NOBODY);
        assert_eq!(refused, Err(NoteRefusal::NotSigned));
    }

    #[test]
    fn the_witnesses_are_those_that_the_policy_asks_for() {
        let (keyset, note) = scene();
        let witness = "witness one example.com/witness+c1457f47+BLk3301QVAlkfs42HV/Z1fkXjQ3y4icL7COi5/h4Ar1n\n";
        let refused = judge(&note, &keyset, &format!("{witness}quorum one\n"));
        assert!(
            matches!(refused, Err(NoteRefusal::Quorum(_))),
            "{refused:?}"
        );
        assert_eq!(
            judge(&note, &keyset, &format!("{witness}{NOBODY}")),
            Ok(Vec::new())
        );
    }
}
