//! A key on P-384 that signs over SHA-256, as clients did before 2024 (`PKIX_ECDSA_P384_SHA_256`, deprecated): releases
//! of those years are signed so.

use aws_lc_rs::digest::{Digest, SHA384, SHA384_OUTPUT_LEN};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use stella_bundle::key::{KeyDetails, PublicKey, sha256};
use stella_keys::{KeyError, Signer};

/// A key that lives in memory.
#[derive(Debug)]
pub struct ShortHashKey {
    pair: EcdsaKeyPair,
    public_key: PublicKey,
}

impl ShortHashKey {
    /// Makes a key.
    ///
    /// # Panics
    /// When the system gives no randomness.
    #[must_use]
    pub fn generate() -> Self {
        let pair = super::must(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING));
        let der: PublicKeyX509Der<'_> = super::must(pair.public_key().as_der());
        let public_key = super::must(PublicKey::from_spki(der.as_ref()));
        drop(der);
        Self { pair, public_key }
    }
}

impl Signer for ShortHashKey {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Returns the row of the key; its signatures have none in use.
    fn details(&self) -> KeyDetails {
        KeyDetails::EcdsaP384Sha384
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        // To ECDSA a digest is a number (FIPS 186-5 §6.4.1): with zeros before it SHA-256's is the same in 48 bytes.
        let mut number = [0; SHA384_OUTPUT_LEN];
        let (_, low) = number.split_at_mut(SHA384_OUTPUT_LEN - 32);
        low.copy_from_slice(&sha256(message));
        let digest = super::must(Digest::import_less_safe(&number, &SHA384));
        let signature = super::must(self.pair.sign_digest(&digest));
        Ok(signature.as_ref().to_vec())
    }
}
