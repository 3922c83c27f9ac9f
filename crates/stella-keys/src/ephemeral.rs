//! Keys that live in memory only: one per signature, gone with the process.

use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::key::{KeyDetails, PublicKey};

use crate::private::PrivateKey;
use crate::signer::{KeyError, Signer};

/// A key that was made here and cannot be stored.
#[derive(Debug)]
pub struct EphemeralKey(PrivateKey);

impl EphemeralKey {
    /// Makes a key for ECDSA on P-256, P-384 or P-521, for Ed25519 or Ed25519ph, for ML-DSA
    /// (44, 65, 87), or for RSA (2048, 3072, 4096).
    ///
    /// # Errors
    /// `Unsupported` for other rows of the registry, `Library` when the system gives no randomness.
    pub fn generate(details: KeyDetails) -> Result<Self, KeyError> {
        PrivateKey::generate(details).map(Self)
    }
}

impl Signer for EphemeralKey {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn details(&self) -> KeyDetails {
        self.0.details()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.0.sign(message)
    }

    fn prehash(&self) -> Option<DigestAlgorithm> {
        self.0.details().hash()
    }

    fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, KeyError> {
        self.0.sign_digest(digest)
    }

    fn prove_possession(&self, challenge: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.0.prove_possession(challenge)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_each_kind_of_key_signs_verifies_by_its_public_half() {
        for details in [
            KeyDetails::EcdsaP256Sha256,
            KeyDetails::EcdsaP384Sha384,
            KeyDetails::EcdsaP521Sha512,
            KeyDetails::Ed25519,
            KeyDetails::Ed25519Ph,
            KeyDetails::MlDsa44,
            KeyDetails::MlDsa65,
            KeyDetails::MlDsa87,
            KeyDetails::RsaPkcs1v15_2048Sha256,
        ] {
            let key = EphemeralKey::generate(details).unwrap();
            let signature = key.sign(b"message").unwrap();
            key.public_key()
                .verify_as(details, b"message", &signature)
                .unwrap();
            assert!(
                key.public_key()
                    .verify_as(details, b"another", &signature)
                    .is_err(),
                "{details:?}"
            );
        }
    }

    #[test]
    fn a_digest_is_as_good_as_its_message_where_the_key_says_so() {
        for details in [
            KeyDetails::EcdsaP256Sha256,
            KeyDetails::EcdsaP384Sha384,
            KeyDetails::EcdsaP521Sha512,
            KeyDetails::Ed25519,
            KeyDetails::Ed25519Ph,
            KeyDetails::MlDsa65,
            KeyDetails::RsaPkcs1v15_2048Sha256,
        ] {
            let key = EphemeralKey::generate(details).unwrap();
            for algorithm in DigestAlgorithm::ALL {
                let signed = key.sign_digest(&algorithm.digest(b"message"));
                if key.prehash() != Some(algorithm) {
                    assert_eq!(signed, Err(KeyError::WholeMessage), "{details:?}");
                    continue;
                }
                let public = key.public_key();
                let verified = public.verify_as(details, b"message", &signed.unwrap());
                assert_eq!(verified, Ok(()), "{details:?}");
            }
        }
    }

    #[test]
    fn possession_of_a_prehashing_key_is_proved_in_pure_ed25519() {
        let key = EphemeralKey::generate(KeyDetails::Ed25519Ph).unwrap();
        let proof = key.prove_possession(b"subject").unwrap();
        key.public_key()
            .verify_as(KeyDetails::Ed25519, b"subject", &proof)
            .unwrap();
    }

    #[test]
    fn kinds_that_are_not_held_here_are_refused() {
        let refused = EphemeralKey::generate(KeyDetails::RsaPss2048Sha256).map(|_| ());
        assert_eq!(
            refused,
            Err(KeyError::Unsupported(KeyDetails::RsaPss2048Sha256))
        );
    }
}
