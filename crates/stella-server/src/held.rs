//! Keys of an instance that are kept elsewhere: in a device, behind a program, in a file of the operator's.
//!
//! The instance records how such a key is named, and no secret of it; whoever opens the instance opens the keys.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stella_bundle::certificate::Certificate;
use stella_bundle::key::{KeyDetails, KeyKind, PublicKey};
use stella_keys::{KeyError, Signer};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::instance::InstanceError;

/// What a key of an authority may sign with: all that every client verifies.
const SUITABLE: [KeyDetails; 2] = [KeyDetails::EcdsaP256Sha256, KeyDetails::EcdsaP384Sha384];

/// How the keys that are kept elsewhere are named; none where the instance has the key in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyReferences {
    /// The certificate authority's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The timestamp authority's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsa: Option<String>,
}

impl KeyReferences {
    /// Says whether all keys are the instance's own.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ca.is_none() && self.tsa.is_none()
    }
}

/// A key that is kept elsewhere, opened.
#[derive(Clone)]
pub struct HeldKey {
    /// How it is named.
    pub reference: String,
    /// The key.
    pub signer: Arc<dyn Signer>,
}

/// The keys of an instance that are kept elsewhere, opened.
#[derive(Clone, Default)]
pub struct HeldKeys {
    /// The certificate authority's: it signs certificates, below a root whose own key is made for that and forgotten.
    pub ca: Option<HeldKey>,
    /// The timestamp authority's, likewise.
    pub tsa: Option<HeldKey>,
}

impl HeldKeys {
    /// Returns how they are named.
    #[must_use]
    pub fn references(&self) -> KeyReferences {
        let reference = |key: &Option<HeldKey>| key.as_ref().map(|key| key.reference.clone());
        KeyReferences {
            ca: reference(&self.ca),
            tsa: reference(&self.tsa),
        }
    }

    /// Requires keys that every client can verify.
    pub(crate) fn require_suitable(&self) -> Result<(), InstanceError> {
        for key in [&self.ca, &self.tsa].into_iter().flatten() {
            let found = key.signer.details();
            if !SUITABLE.contains(&found) {
                let reference = key.reference.clone();
                return Err(InstanceError::KeyUnsuitable { reference, found });
            }
        }
        Ok(())
    }
}

/// Returns the key that a reference was recorded for: the one that was opened, if the certificate is its.
pub(crate) fn require(
    recorded: &str,
    opened: Option<&HeldKey>,
    certificate: &Certificate,
) -> Result<Arc<dyn Signer>, InstanceError> {
    let reference = || recorded.to_owned();
    let opened = opened.ok_or_else(|| InstanceError::KeyElsewhere {
        reference: reference(),
    })?;
    if opened.signer.public_key() != certificate.public_key() {
        return Err(InstanceError::KeyMismatch {
            reference: reference(),
        });
    }
    Ok(Arc::new(Patient(Arc::clone(&opened.signer))))
}

/// Returns the key of a certificate for those who only read: it signs nothing.
pub(crate) fn closed(certificate: &Certificate) -> Arc<dyn Signer> {
    Arc::new(Closed(certificate.public_key().clone()))
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

struct Closed(PublicKey);

impl Signer for Closed {
    fn public_key(&self) -> &PublicKey {
        &self.0
    }

    fn details(&self) -> KeyDetails {
        match self.0.kind() {
            KeyKind::EcdsaP384 => KeyDetails::EcdsaP384Sha384,
            _ => KeyDetails::EcdsaP256Sha256,
        }
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, KeyError> {
        Err(KeyError::Unsupported(self.details()))
    }
}
