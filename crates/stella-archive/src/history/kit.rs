//! The judgement over an air-gap kit: who must have signed the list of its files, and whether that counts.
//!
//! Every key that signs statements under the newest keyset must have signed exactly this list, and nobody else may have; one
//! of these signatures at least must count. Whether the files are those of the list is not asked here.

use stella_bundle::time::UnixTime;

use super::existence::{Authorities, Clocks, Existence};
use super::signed::{Document, SignatureError, Signatures};
use super::{Counts, History, HistoryError, Read, SignatureFact, fact};
use crate::anchor::Anchor;
use crate::fall::Falls;
use crate::keyset::Keyset;
use crate::statement::{KeyId, OrgStatement};

/// A kit that was judged: the organisation signed the list of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedKit {
    /// Whose organisation.
    pub origin: String,
    /// The number of the newest keyset.
    pub keyset: u64,
    /// By when the kit existed, by the authorities that the organisation pins.
    pub existence: Existence,
    /// How its signatures stand; of a verifier with one key alone, that key's.
    pub signatures: Vec<SignatureFact>,
}

/// The ways in which a kit is not the organisation's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KitSignatureError {
    /// The keysets are not good, or do not begin where the verifier begins.
    #[error(transparent)]
    Keysets(#[from] HistoryError),
    /// No signature counts any longer.
    #[error(
        "no signature of the list counts: every key that signed it had fallen before it provably existed"
    )]
    NoneCounts,
    /// The key of a verifier that has only one is none of those that sign.
    #[error("expected a signature by key {expected}, found those of {origin}, by {found}")]
    OtherKey {
        /// Its id.
        expected: String,
        /// Whose keyset is there.
        origin: String,
        /// Ids of the keys that sign under it.
        found: String,
    },
    /// A signature is missing or bad, or there is one too many.
    #[error(
        "expected the list signed by the active keys of keyset {keyset} of {origin} ({wanted}), found: {error}"
    )]
    Signature {
        /// Whose keyset.
        origin: String,
        /// Its number.
        keyset: u64,
        /// Ids of the keys that must sign.
        wanted: String,
        /// What is wrong.
        error: SignatureError,
    },
}

/// Judges the signatures beside the list of a kit's files, by the keysets and trusted roots that came with it, as far as the
/// anchor reaches.
///
/// `known` is what the verifier itself knows to have fallen.
///
/// # Errors
/// Any [`KitSignatureError`].
pub fn judge_kit(
    list: &[u8],
    bundles: &[Vec<u8>],
    history: &History,
    anchor: &Anchor,
    known: &Falls,
    now: UnixTime,
) -> Result<JudgedKit, KitSignatureError> {
    // 1. The keysets: each follows from the one before it, from the anchor's on. A lone key says nothing about other keys.
    let read = Read::of(history, None)?;
    let newest = read.keysets.last();
    let keyset = &newest
        .ok_or(HistoryError::Nothing { what: "keyset" })?
        .keyset;
    let mut falls = Falls::of(keyset);
    falls.add(known);
    if let Anchor::Organisation(anchor) = anchor {
        read.require_successions(anchor, &falls, now)?;
    }

    // 2. The signatures: by every key that signs under the newest keyset, over this list, whatever they count for.
    let signatures = signatures(list, bundles, keyset);
    let signatures = signatures.map_err(|error| KitSignatureError::Signature {
        origin: keyset.origin.clone(),
        keyset: keyset.version,
        wanted: signer_ids(keyset),
        error,
    })?;

    // 3. By when the kit existed, and whether a signature of then counts. A lone key must have signed itself.
    let clocks = Clocks {
        pinned: Some(&keyset.authorities),
        falls: &falls,
        now,
    };
    let stamps = Authorities::of(&history.roots).stamps(&signatures);
    let existence = clocks.existence(&stamps, Existence::Undated);
    let existed = existence.by(now);
    let facts = keyset.signers().map(|each| fact(each, &falls, existed));
    let mut facts: Vec<_> = facts.collect();
    if let Anchor::Key(key) = anchor {
        facts.retain(|each| each.key.public_key == key.spki());
        if facts.is_empty() {
            return Err(KitSignatureError::OtherKey {
                expected: hex::encode(key.key_id()),
                origin: keyset.origin.clone(),
                found: signer_ids(keyset),
            });
        }
    }
    if !facts.iter().any(|each| each.counts == Counts::Yes) {
        return Err(KitSignatureError::NoneCounts);
    }
    Ok(JudgedKit {
        origin: keyset.origin.clone(),
        keyset: keyset.version,
        existence,
        signatures: facts,
    })
}

fn signatures(
    list: &[u8],
    bundles: &[Vec<u8>],
    keyset: &Keyset,
) -> Result<Signatures, SignatureError> {
    let document = Document {
        bytes: list.to_vec(),
        bundles: bundles.to_vec(),
    };
    let statement = OrgStatement::of_kit(&keyset.origin, list);
    let signatures = Signatures::read(&document, &statement, &[&keyset.keys])?;
    let signers: Vec<_> = keyset.signers().map(|each| KeyId(each.key_id)).collect();
    signatures.require_all(&signers)?;
    Ok(signatures)
}

/// Returns the ids of the keys that sign under a keyset, for people.
fn signer_ids(keyset: &Keyset) -> String {
    let ids = keyset.signers().map(|each| hex::encode(each.key_id));
    ids.collect::<Vec<_>>().join(", ")
}
