//! The organisation's key: any key, behind a door through which only statements of the organisation pass.

use stella_archive::statement::OrgStatement;
use stella_bundle::key::{KeyDetails, PublicKey};

use crate::signer::{KeyError, Signer};

/// A key that signs archive manifests, events of keysets and air-gap kits, and nothing else.
pub struct OrgKey(Box<dyn Signer>);

impl OrgKey {
    /// Takes a key; it is used for nothing else from now on.
    #[must_use]
    pub fn new(signer: Box<dyn Signer>) -> Self {
        Self(signer)
    }

    /// Returns the public half.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    /// Returns how this key signs.
    #[must_use]
    pub fn details(&self) -> KeyDetails {
        self.0.details()
    }

    /// Signs a statement (DSSE). What does not verify by the key's own public half does not leave.
    ///
    /// # Errors
    /// `WrongSignature`, and whatever hinders the key.
    pub fn sign(&self, statement: &OrgStatement) -> Result<Vec<u8>, KeyError> {
        let message = statement.to_be_signed();
        let signature = self.0.sign(&message)?;
        let verified = (self.public_key()).verify_as(self.details(), &message, &signature);
        verified.map_err(|_| KeyError::WrongSignature)?;
        Ok(signature)
    }
}

impl std::fmt::Debug for OrgKey {
    /// Prints the public half only.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("OrgKey")
            .field(self.public_key())
            .finish()
    }
}
