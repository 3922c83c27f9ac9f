//! What the keys of an organisation are for.

use serde::{Deserialize, Serialize};
use stella_bundle::key::KeyKind;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Signs statements: P-256 or P-384, in hardware.
    Classical,
    /// Signs statements: ML-DSA-65 or -87.
    PostQuantum,
    /// Signs events of the keyset only; it rests offline.
    Recovery,
    /// Signs the checkpoint of each statement as a note, for witnesses and readers of C2SP proofs: Ed25519. It has no say in events,
    /// and nobody who has the anchor asks it.
    Checkpoint,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [
        Self::Classical,
        Self::PostQuantum,
        Self::Recovery,
        Self::Checkpoint,
    ];

    /// Returns its word in a file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classical => "classical",
            Self::PostQuantum => "post-quantum",
            Self::Recovery => "recovery",
            Self::Checkpoint => "checkpoint",
        }
    }

    /// Says whether a key of this kind may have the role.
    #[must_use]
    pub const fn takes(self, kind: KeyKind) -> bool {
        match self {
            Self::Classical => matches!(kind, KeyKind::EcdsaP256 | KeyKind::EcdsaP384),
            Self::PostQuantum => matches!(kind, KeyKind::MlDsa65 | KeyKind::MlDsa87),
            Self::Recovery => true,
            Self::Checkpoint => matches!(kind, KeyKind::Ed25519),
        }
    }

    /// Says whether keys of this role sign statements about the archive.
    #[must_use]
    pub const fn signs_statements(self) -> bool {
        matches!(self, Self::Classical | Self::PostQuantum)
    }

    /// Says whether keys of this role have a say in events of the keyset.
    #[must_use]
    pub const fn decides(self) -> bool {
        !matches!(self, Self::Checkpoint)
    }
}
