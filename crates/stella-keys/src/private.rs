//! The private halves themselves: made, read from PKCS#8, used. Nothing of them is printed or copied out but as PKCS#8.

use std::fmt;

use aws_lc_rs::digest as backend;
use aws_lc_rs::encoding::{
    AsBigEndian as _, AsDer, Curve25519SeedBin, Pkcs8V1Der, PublicKeyX509Der,
};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING,
    ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm, RSA_PKCS1_SHA256,
};
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::Digest as _;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::key::{KeyDetails, Prehashed, PublicKey};
use zeroize::Zeroizing;

use crate::signer::KeyError;

/// A key pair bound to one way of signing.
pub(crate) struct PrivateKey {
    half: Half,
    public_key: PublicKey,
    details: KeyDetails,
}

enum Half {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Ed25519Ph(SigningKey),
    MlDsa(PqdsaKeyPair),
    Rsa(rsa::KeyPair),
}

impl PrivateKey {
    pub(crate) fn generate(details: KeyDetails) -> Result<Self, KeyError> {
        let half = match details {
            KeyDetails::EcdsaP256Sha256
            | KeyDetails::EcdsaP384Sha384
            | KeyDetails::EcdsaP521Sha512 => {
                Half::Ecdsa(EcdsaKeyPair::generate(ecdsa(details)?).map_err(|_| KeyError::Library)?)
            }
            KeyDetails::Ed25519 => {
                Half::Ed25519(Ed25519KeyPair::generate().map_err(|_| KeyError::Library)?)
            }
            KeyDetails::Ed25519Ph => {
                let mut seed = Zeroizing::new([0; 32]);
                rand::fill(seed.as_mut_slice()).map_err(|_| KeyError::Library)?;
                Half::Ed25519Ph(SigningKey::from_bytes(&seed))
            }
            KeyDetails::MlDsa44 | KeyDetails::MlDsa65 | KeyDetails::MlDsa87 => Half::MlDsa(
                PqdsaKeyPair::generate(ml_dsa(details)?).map_err(|_| KeyError::Library)?,
            ),
            KeyDetails::RsaPkcs1v15_2048Sha256 => rsa_of(KeySize::Rsa2048)?,
            KeyDetails::RsaPkcs1v15_3072Sha256 => rsa_of(KeySize::Rsa3072)?,
            KeyDetails::RsaPkcs1v15_4096Sha256 => rsa_of(KeySize::Rsa4096)?,
            other => return Err(KeyError::Unsupported(other)),
        };
        Self::new(half, details)
    }

    /// Reads PKCS#8 (RFC 5958), which must be a key for `details`.
    pub(crate) fn from_pkcs8(der: &[u8], details: KeyDetails) -> Result<Self, KeyError> {
        let unsupported = |_| KeyError::Unsupported(details);
        let half = match details {
            KeyDetails::EcdsaP256Sha256
            | KeyDetails::EcdsaP384Sha384
            | KeyDetails::EcdsaP521Sha512 => {
                Half::Ecdsa(EcdsaKeyPair::from_pkcs8(ecdsa(details)?, der).map_err(unsupported)?)
            }
            KeyDetails::Ed25519 => Half::Ed25519(ed25519(der, details)?),
            KeyDetails::Ed25519Ph => {
                let pair = ed25519(der, details)?;
                let seed = pair.seed().map_err(|_| KeyError::Library)?;
                let bytes: Curve25519SeedBin<'_> =
                    seed.as_be_bytes().map_err(|_| KeyError::Library)?;
                let seed = <[u8; 32]>::try_from(bytes.as_ref()).map_err(|_| KeyError::Library)?;
                Half::Ed25519Ph(SigningKey::from_bytes(&Zeroizing::new(seed)))
            }
            KeyDetails::MlDsa44 | KeyDetails::MlDsa65 | KeyDetails::MlDsa87 => {
                Half::MlDsa(PqdsaKeyPair::from_pkcs8(ml_dsa(details)?, der).map_err(unsupported)?)
            }
            KeyDetails::RsaPkcs1v15_2048Sha256
            | KeyDetails::RsaPkcs1v15_3072Sha256
            | KeyDetails::RsaPkcs1v15_4096Sha256 => {
                Half::Rsa(rsa::KeyPair::from_pkcs8(der).map_err(unsupported)?)
            }
            other => return Err(KeyError::Unsupported(other)),
        };
        let key = Self::new(half, details)?;
        if key.public_key.kind() != details.kind() {
            return Err(KeyError::Unsupported(details));
        }
        Ok(key)
    }

    fn new(half: Half, details: KeyDetails) -> Result<Self, KeyError> {
        let spki = half.spki()?;
        let public_key = PublicKey::from_spki(&spki).map_err(|_| KeyError::Library)?;
        Ok(Self {
            half,
            public_key,
            details,
        })
    }

    pub(crate) const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    pub(crate) const fn details(&self) -> KeyDetails {
        self.details
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.half {
            Half::Ecdsa(pair) => {
                let signature = pair
                    .sign(&SystemRandom::new(), message)
                    .map_err(|_| KeyError::Library)?;
                Ok(signature.as_ref().to_vec())
            }
            Half::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            // spec: RFC 8032 §5.1 (Ed25519ph) with an empty context, as Rekor verifies it.
            Half::Ed25519Ph(key) => {
                let digest = sha2::Sha512::new_with_prefix(message);
                let signature = key
                    .sign_prehashed(digest, None)
                    .map_err(|_| KeyError::Library)?;
                Ok(signature.to_bytes().to_vec())
            }
            Half::MlDsa(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                let length = pair
                    .sign(message, &mut signature)
                    .map_err(|_| KeyError::Library)?;
                signature.truncate(length);
                Ok(signature)
            }
            Half::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    message,
                    &mut signature,
                )
                .map_err(|_| KeyError::Library)?;
                Ok(signature)
            }
        }
    }

    /// Signs a message of which only the digest is known.
    ///
    /// # Errors
    /// `WholeMessage` for a digest by another hash than the key's, and for keys that have none; `Library`.
    pub(crate) fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, KeyError> {
        if self.details.hash() != Some(digest.algorithm()) {
            return Err(KeyError::WholeMessage);
        }
        let library = |_| KeyError::Library;
        let import = || backend::Digest::import_less_safe(digest.bytes(), algorithm(digest));
        match &self.half {
            Half::Ecdsa(pair) => {
                let digest = import().map_err(library)?;
                let signature = pair.sign_digest(&digest).map_err(library)?;
                Ok(signature.as_ref().to_vec())
            }
            Half::Ed25519Ph(key) => {
                let digest =
                    Prehashed::from_digest(digest.bytes()).ok_or(KeyError::WholeMessage)?;
                let signature = key.sign_prehashed(digest, None);
                let signature = signature.map_err(|_| KeyError::Library)?;
                Ok(signature.to_bytes().to_vec())
            }
            Half::Rsa(pair) => {
                let digest = import().map_err(library)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature)
                    .map_err(library)?;
                Ok(signature)
            }
            Half::Ed25519(_) | Half::MlDsa(_) => Err(KeyError::WholeMessage),
        }
    }

    pub(crate) fn prove_possession(&self, challenge: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.half {
            // spec: RFC 8032 §5.1: both forms may share a key, for Ed25519ph's input begins with its own prefix.
            Half::Ed25519Ph(key) => Ok(key.sign(challenge).to_bytes().to_vec()),
            _ => self.sign(challenge),
        }
    }

    /// Returns the key as PKCS#8, or nothing for keys that are never stored.
    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let library = |_| KeyError::Library;
        let der = match &self.half {
            Half::Ecdsa(pair) => pair.to_pkcs8v1().map_err(library)?.as_ref().to_vec(),
            Half::Ed25519(pair) => pair.to_pkcs8v1().map_err(library)?.as_ref().to_vec(),
            Half::MlDsa(pair) => pair.to_pkcs8v1().map_err(library)?.as_ref().to_vec(),
            Half::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair)
                .map_err(library)?
                .as_ref()
                .to_vec(),
            Half::Ed25519Ph(_) => return Err(KeyError::Unsupported(self.details)),
        };
        Ok(Zeroizing::new(der))
    }
}

impl Half {
    fn spki(&self) -> Result<Vec<u8>, KeyError> {
        let library = |_| KeyError::Library;
        let spki: PublicKeyX509Der<'_> = match self {
            Self::Ecdsa(pair) => pair.public_key().as_der().map_err(library)?,
            Self::Ed25519(pair) => pair.public_key().as_der().map_err(library)?,
            Self::MlDsa(pair) => pair.public_key().as_der().map_err(library)?,
            Self::Rsa(pair) => pair.public_key().as_der().map_err(library)?,
            Self::Ed25519Ph(key) => {
                /// SubjectPublicKeyInfo of Ed25519 up to the key (RFC 8410 §4).
                const PREFIX: [u8; 12] = [
                    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
                ];
                return Ok([PREFIX.as_slice(), key.verifying_key().as_bytes()].concat());
            }
        };
        Ok(spki.as_ref().to_vec())
    }
}

impl fmt::Debug for PrivateKey {
    /// Prints the public half only.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PrivateKey")
            .field("details", &self.details)
            .finish_non_exhaustive()
    }
}

fn algorithm(digest: &Digest) -> &'static backend::Algorithm {
    match digest.algorithm() {
        DigestAlgorithm::Sha256 => &backend::SHA256,
        DigestAlgorithm::Sha384 => &backend::SHA384,
        DigestAlgorithm::Sha512 => &backend::SHA512,
    }
}

fn ecdsa(details: KeyDetails) -> Result<&'static EcdsaSigningAlgorithm, KeyError> {
    match details {
        KeyDetails::EcdsaP256Sha256 => Ok(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyDetails::EcdsaP384Sha384 => Ok(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyDetails::EcdsaP521Sha512 => Ok(&ECDSA_P521_SHA512_ASN1_SIGNING),
        other => Err(KeyError::Unsupported(other)),
    }
}

fn ml_dsa(details: KeyDetails) -> Result<&'static PqdsaSigningAlgorithm, KeyError> {
    match details {
        KeyDetails::MlDsa44 => Ok(&ML_DSA_44_SIGNING),
        KeyDetails::MlDsa65 => Ok(&ML_DSA_65_SIGNING),
        KeyDetails::MlDsa87 => Ok(&ML_DSA_87_SIGNING),
        other => Err(KeyError::Unsupported(other)),
    }
}

fn ed25519(der: &[u8], details: KeyDetails) -> Result<Ed25519KeyPair, KeyError> {
    // OpenSSL writes PKCS#8 version 1, without the public key; both versions are good.
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| KeyError::Unsupported(details))
}

fn rsa_of(size: KeySize) -> Result<Half, KeyError> {
    rsa::KeyPair::generate(size)
        .map(Half::Rsa)
        .map_err(|_| KeyError::Library)
}
