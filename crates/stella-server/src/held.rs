//! Keys of an instance that are kept elsewhere: in a device, behind a program or a service, in a file of the operator's.
//!
//! The instance records how such a key is named and its public half, and no secret of it; whoever opens the instance opens
//! the keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stella_bundle::key::{KeyDetails, PublicKey};
use stella_keys::{KeyError, Signer};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::instance::InstanceError;

/// What a key of an instance is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPurpose {
    /// It signs certificates, below a root whose own key is made for that and forgotten.
    Ca,
    /// It signs the CT log's promises and tree heads.
    Ct,
    /// It signs the Rekor log's checkpoints.
    Log,
    /// It signs the own issuer's tokens.
    Oidc,
    /// It signs timestamps, below a root likewise.
    Tsa,
}

impl KeyPurpose {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ca, Self::Ct, Self::Log, Self::Oidc, Self::Tsa];

    /// Returns who signs with it, for people.
    #[must_use]
    pub const fn owner(self) -> &'static str {
        match self {
            Self::Ca => "certificate authority",
            Self::Ct => "CT log",
            Self::Log => "Rekor log",
            Self::Oidc => "own issuer",
            Self::Tsa => "timestamp authority",
        }
    }

    /// Returns how such a key may sign: what the format has, and every client verifies.
    pub(crate) const fn suitable(self) -> &'static [KeyDetails] {
        use KeyDetails as Details;
        match self {
            Self::Ca | Self::Tsa => &[Details::EcdsaP256Sha256, Details::EcdsaP384Sha384],
            // spec: RFC 6962 §2.1.4; its RSA is nobody's here.
            Self::Ct => &[Details::EcdsaP256Sha256],
            // spec: C2SP signed-note; sigstore's clients know these two of its kinds.
            Self::Log => &[Details::Ed25519, Details::EcdsaP256Sha256],
            // spec: RFC 7518 §3.1: RS256, ES256, ES384.
            Self::Oidc => &[
                Details::RsaPkcs1v15_2048Sha256,
                Details::RsaPkcs1v15_3072Sha256,
                Details::RsaPkcs1v15_4096Sha256,
                Details::EcdsaP256Sha256,
                Details::EcdsaP384Sha384,
            ],
        }
    }

    /// Says the same in words.
    pub(crate) const fn suitable_words(self) -> &'static str {
        match self {
            Self::Ca | Self::Tsa => "ECDSA on P-256 or P-384",
            Self::Ct => "ECDSA on P-256",
            Self::Log => "Ed25519 or ECDSA on P-256",
            Self::Oidc => "RSA of 2048, 3072 or 4096 bits or ECDSA on P-256 or P-384",
        }
    }
}

/// How the keys that are kept elsewhere are named; the others are in files of the instance's own.
pub type KeyReferences = BTreeMap<KeyPurpose, String>;

/// A key that is kept elsewhere, opened.
#[derive(Clone)]
pub struct HeldKey {
    /// How it is named.
    pub reference: String,
    /// The key.
    pub signer: Arc<dyn Signer>,
}

/// The keys of an instance that are kept elsewhere, opened.
pub type HeldKeys = BTreeMap<KeyPurpose, HeldKey>;

/// Returns how keys are named.
pub(crate) fn references(keys: &HeldKeys) -> KeyReferences {
    let named = |(purpose, key): (&KeyPurpose, &HeldKey)| (*purpose, key.reference.clone());
    keys.iter().map(named).collect()
}

/// Requires keys that can do what they are for.
pub(crate) fn require_suitable(keys: &HeldKeys) -> Result<(), InstanceError> {
    for (purpose, key) in keys {
        let found = key.signer.details();
        if !purpose.suitable().contains(&found) {
            return Err(InstanceError::KeyUnsuitable {
                purpose: *purpose,
                reference: key.reference.clone(),
                found,
            });
        }
    }
    Ok(())
}

/// Returns the key that a reference was recorded for: the one that was opened, if it has the public half that clients know.
pub(crate) fn require(
    recorded: &str,
    opened: Option<&HeldKey>,
    public: &PublicKey,
) -> Result<Arc<dyn Signer>, InstanceError> {
    let reference = || recorded.to_owned();
    let opened = opened.filter(|key| key.reference == recorded);
    let opened = opened.ok_or_else(|| InstanceError::KeyElsewhere {
        reference: reference(),
    })?;
    if opened.signer.public_key() != public {
        return Err(InstanceError::KeyMismatch {
            reference: reference(),
        });
    }
    Ok(Arc::new(Patient(Arc::clone(&opened.signer))))
}

/// Returns the key of a public half for those who only read: it signs nothing.
pub(crate) fn closed(public: PublicKey) -> Result<Arc<dyn Signer>, InstanceError> {
    let details = public.details().ok_or(KeyError::UnsupportedKind)?;
    Ok(Arc::new(Closed { public, details }))
}

/// A key that takes its time: others are served while it signs.
struct Patient(Arc<dyn Signer>);

impl Signer for Patient {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn details(&self) -> KeyDetails {
        self.0.details()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let has_others = Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        match has_others {
            true => tokio::task::block_in_place(|| self.0.sign(message)),
            false => self.0.sign(message),
        }
    }
}

struct Closed {
    public: PublicKey,
    details: KeyDetails,
}

impl Signer for Closed {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn details(&self) -> KeyDetails {
        self.details
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, KeyError> {
        Err(KeyError::Unsupported(self.details))
    }
}
