//! Public keys and the signature schemes of Sigstore's algorithm registry. Private keys live in stella-keys.

mod details;

pub use details::{KeyDetails, Scheme};

use details::REGISTRY;

use std::sync::Arc;

use aws_lc_rs::digest::Digest as BackendDigest;
use aws_lc_rs::signature::{
    self as backend, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm,
};
use const_oid::ObjectIdentifier;
use ed25519_dalek::VerifyingKey;
use sha2::Digest as _;

use crate::asn1::{self, Asn1Error, tag};
use crate::digest::{Digest, DigestAlgorithm};
use crate::pem;

/// id-ecPublicKey (RFC 5480).
pub const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// rsaEncryption (RFC 8017).
pub const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// id-Ed25519 (RFC 8410).
pub const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// secp256r1 (RFC 5480).
pub const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// secp384r1 (RFC 5480).
pub const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// secp521r1 (RFC 5480).
pub const SECP521R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
/// id-ml-dsa-44 (RFC 9881).
pub const ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
/// id-ml-dsa-65 (RFC 9881).
pub const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
/// id-ml-dsa-87 (RFC 9881).
pub const ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");
/// ecdsa-with-SHA256 (RFC 5758).
pub const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
/// ecdsa-with-SHA384 (RFC 5758).
pub const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
/// ecdsa-with-SHA512 (RFC 5758).
pub const ECDSA_WITH_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");

/// RSA moduli outside of this range of bits are refused (Sigstore's algorithm registry ends at 4096).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// The ways in which a public key is not usable, or a signature not made by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes are not a SubjectPublicKeyInfo.
    #[error("public key is not a SubjectPublicKeyInfo: {0}")]
    Asn1(#[from] Asn1Error),
    /// The text is not PEM.
    #[error("public key is not PEM: {0}")]
    Pem(#[from] pem::PemError),
    /// The PEM block is another thing than a public key.
    #[error("expected a PEM block PUBLIC KEY, found {found}")]
    UnexpectedPem {
        /// Its label.
        found: String,
    },
    /// The key's algorithm, curve or size is none that Sigstore uses.
    #[error("public key algorithm {algorithm} is not supported")]
    UnsupportedKey {
        /// OID or name with size.
        algorithm: String,
    },
    /// The signature algorithm is none that Sigstore uses.
    #[error("signature algorithm {algorithm} is not supported")]
    UnsupportedSignature {
        /// Its OID.
        algorithm: ObjectIdentifier,
    },
    /// The scheme belongs to another kind of key.
    #[error("a {kind:?} key does not sign {scheme:?}")]
    SchemeMismatch {
        /// The key.
        kind: KeyKind,
        /// The scheme asked for.
        scheme: Scheme,
    },
    /// A digest of another algorithm or length than the scheme's was given, or the scheme takes no digest.
    #[error("{scheme:?} does not verify this digest")]
    DigestMismatch {
        /// The scheme asked for.
        scheme: Scheme,
    },
    /// The signature was not made over this message by this key.
    #[error("signature does not verify")]
    BadSignature,
}

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Elliptic curve P-256.
    EcdsaP256,
    /// Elliptic curve P-384.
    EcdsaP384,
    /// Elliptic curve P-521.
    EcdsaP521,
    /// Edwards curve 25519.
    Ed25519,
    /// ML-DSA-44 (FIPS 204).
    MlDsa44,
    /// ML-DSA-65 (FIPS 204).
    MlDsa65,
    /// ML-DSA-87 (FIPS 204).
    MlDsa87,
    /// RSA with this many bits.
    Rsa {
        /// Length of the modulus in bits.
        bits: usize,
    },
}

/// A public key that Sigstore knows how to use.
#[derive(Clone)]
pub struct PublicKey {
    kind: KeyKind,
    spki: Vec<u8>,
    /// The content of the subjectPublicKey BIT STRING.
    bits: Vec<u8>,
    /// The backend's form for the default scheme, see [`PublicKey::prepare`].
    prepared: Option<Arc<ParsedPublicKey>>,
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

impl std::hash::Hash for PublicKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.spki.hash(state);
    }
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// `Asn1`; `UnsupportedKey` for another algorithm, curve, point form or size.
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        let mut reader = asn1::only_sequence(spki)?;
        let mut algorithm = reader.sequence()?;
        let bits = reader.expect(tag::BIT_STRING)?.to_octets_of_bit_string()?;
        reader.finish()?;
        let oid = algorithm.tlv()?.to_oid()?;
        let kind = match oid {
            EC_PUBLIC_KEY => curve_of(algorithm.tlv()?.to_oid()?)?,
            RSA_ENCRYPTION => KeyKind::Rsa {
                bits: rsa_bits(bits)?,
            },
            ED25519 => KeyKind::Ed25519,
            ML_DSA_44 => KeyKind::MlDsa44,
            ML_DSA_65 => KeyKind::MlDsa65,
            ML_DSA_87 => KeyKind::MlDsa87,
            other => {
                return Err(KeyError::UnsupportedKey {
                    algorithm: other.to_string(),
                });
            }
        };
        require_length(kind, bits.len())?;
        Ok(Self {
            kind,
            spki: spki.to_vec(),
            bits: bits.to_vec(),
            prepared: None,
        })
    }

    /// Makes the key ready for many signatures by its default scheme; without this each one parses it anew.
    pub fn prepare(&mut self) {
        let algorithm = self.backend(self.default_scheme()).ok();
        let parse = |algorithm| ParsedPublicKey::new(algorithm, &self.bits).ok();
        self.prepared = algorithm.and_then(parse).map(Arc::new);
    }

    /// Returns the prepared form when `scheme` is the one that it is for.
    fn prepared(&self, scheme: Scheme) -> Option<&ParsedPublicKey> {
        let is_default = scheme == self.default_scheme();
        self.prepared.as_deref().filter(|_| is_default)
    }

    /// Reads a DER PKCS#1 RSAPublicKey, the form of some old CT log keys.
    ///
    /// # Errors
    /// As [`PublicKey::from_spki`].
    pub fn from_pkcs1(rsa: &[u8]) -> Result<Self, KeyError> {
        let algorithm = asn1::sequence(&[&asn1::oid(&RSA_ENCRYPTION), &asn1::null()]);
        Self::from_spki(&asn1::sequence(&[&algorithm, &asn1::bit_string(rsa)]))
    }

    /// Reads a PEM block `PUBLIC KEY`.
    ///
    /// # Errors
    /// `Pem`, `UnexpectedPem`, and as [`PublicKey::from_spki`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let block = pem::decode_all(text)?.swap_remove(0);
        match block.label.as_str() {
            "PUBLIC KEY" => Self::from_spki(&block.der),
            "RSA PUBLIC KEY" => Self::from_pkcs1(&block.der),
            _ => Err(KeyError::UnexpectedPem { found: block.label }),
        }
    }

    /// Returns the PEM block `PUBLIC KEY`.
    pub fn to_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.spki)
    }

    /// Returns the DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Returns the content of the subjectPublicKey BIT STRING: a curve point, a raw Ed25519 key, an RSAPublicKey.
    pub fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// Returns what the key is.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns SHA-256 of the SubjectPublicKeyInfo, 32 bytes: the id of CT logs and of Rekor v1.
    pub fn key_id(&self) -> [u8; 32] {
        sha256(&self.spki)
    }

    /// Returns the registry's row for this key: the scheme that a Sigstore message signature follows.
    ///
    /// Ed25519 keys answer with the pure form; a log entry that names Ed25519ph says so itself.
    pub fn details(&self) -> Option<KeyDetails> {
        REGISTRY
            .iter()
            .find(|row| row.3 == self.kind)
            .map(|row| row.0)
    }

    /// Returns the scheme that a signature by this key follows when nothing else names one.
    pub fn default_scheme(&self) -> Scheme {
        match self.kind {
            KeyKind::EcdsaP256 => Scheme::Ecdsa(DigestAlgorithm::Sha256),
            KeyKind::EcdsaP384 => Scheme::Ecdsa(DigestAlgorithm::Sha384),
            KeyKind::EcdsaP521 => Scheme::Ecdsa(DigestAlgorithm::Sha512),
            KeyKind::Ed25519 => Scheme::Ed25519,
            KeyKind::MlDsa44 | KeyKind::MlDsa65 | KeyKind::MlDsa87 => Scheme::MlDsa,
            KeyKind::Rsa { .. } => Scheme::RsaPkcs1(DigestAlgorithm::Sha256),
        }
    }

    /// Verifies a signature over `message` by the key's default scheme.
    ///
    /// # Errors
    /// `BadSignature`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        self.verify_with(self.default_scheme(), message, signature)
    }

    /// Verifies a signature over `message` by the scheme of a registry row.
    ///
    /// # Errors
    /// `SchemeMismatch` when the row is of another kind of key, `BadSignature`.
    pub fn verify_as(
        &self,
        details: KeyDetails,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyError> {
        self.require_kind_of(details)?;
        self.verify_with(details.scheme(), message, signature)
    }

    /// Verifies a signature over `message` by `scheme`.
    ///
    /// # Errors
    /// `SchemeMismatch`, `BadSignature`.
    pub fn verify_with(
        &self,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyError> {
        if scheme == Scheme::Ed25519Ph {
            return self.verify_ed25519ph(sha2::Sha512::new_with_prefix(message), signature);
        }
        let verified = match self.prepared(scheme) {
            Some(key) => key.verify_sig(message, signature),
            None => {
                UnparsedPublicKey::new(self.backend(scheme)?, &self.bits).verify(message, signature)
            }
        };
        verified.map_err(|_| KeyError::BadSignature)
    }

    /// Verifies a signature over a message of which only the digest is known.
    ///
    /// # Errors
    /// `SchemeMismatch`; `DigestMismatch` when the digest is of another algorithm or the scheme signs whole messages;
    /// `BadSignature`.
    pub fn verify_digest(
        &self,
        scheme: Scheme,
        digest: &Digest,
        signature: &[u8],
    ) -> Result<(), KeyError> {
        let mismatch = KeyError::DigestMismatch { scheme };
        if scheme.hash() != Some(digest.algorithm()) {
            return Err(mismatch);
        }
        if scheme == Scheme::Ed25519Ph {
            return self.verify_ed25519ph(
                Prehashed::from_digest(digest.bytes()).ok_or(mismatch)?,
                signature,
            );
        }
        let digest = BackendDigest::import_less_safe(digest.bytes(), digest.algorithm().backend())
            .map_err(|_| mismatch)?;
        let verified = match self.prepared(scheme) {
            Some(key) => key.verify_digest_sig(&digest, signature),
            None => UnparsedPublicKey::new(self.backend(scheme)?, &self.bits)
                .verify_digest(&digest, signature),
        };
        verified.map_err(|_| KeyError::BadSignature)
    }

    /// Requires that a registry row is one of this key.
    ///
    /// # Errors
    /// `SchemeMismatch`.
    pub fn require_kind_of(&self, details: KeyDetails) -> Result<(), KeyError> {
        if details.kind() == self.kind {
            return Ok(());
        }
        Err(KeyError::SchemeMismatch {
            kind: self.kind,
            scheme: details.scheme(),
        })
    }

    fn verify_ed25519ph<D>(&self, prehashed: D, signature: &[u8]) -> Result<(), KeyError>
    where
        D: sha2::digest::Digest<OutputSize = sha2::digest::consts::U64>,
    {
        let raw: &[u8; 32] = match (self.kind, self.bits.as_slice().try_into()) {
            (KeyKind::Ed25519, Ok(raw)) => raw,
            _ => {
                return Err(KeyError::SchemeMismatch {
                    kind: self.kind,
                    scheme: Scheme::Ed25519Ph,
                });
            }
        };
        let key = VerifyingKey::from_bytes(raw).map_err(|_| KeyError::BadSignature)?;
        let signature =
            ed25519_dalek::Signature::from_slice(signature).map_err(|_| KeyError::BadSignature)?;
        key.verify_prehashed_strict(prehashed, None, &signature)
            .map_err(|_| KeyError::BadSignature)
    }

    /// Every backend takes the bare bits: EC points, raw Ed25519 and ML-DSA keys, RSAPublicKeys.
    fn backend(&self, scheme: Scheme) -> Result<&'static dyn VerificationAlgorithm, KeyError> {
        use DigestAlgorithm::{Sha256, Sha384, Sha512};
        Ok(match (self.kind, scheme) {
            (KeyKind::EcdsaP256, Scheme::Ecdsa(Sha256)) => &backend::ECDSA_P256_SHA256_ASN1,
            (KeyKind::EcdsaP256, Scheme::Ecdsa(Sha384)) => &backend::ECDSA_P256_SHA384_ASN1,
            (KeyKind::EcdsaP256, Scheme::Ecdsa(Sha512)) => &backend::ECDSA_P256_SHA512_ASN1,
            (KeyKind::EcdsaP384, Scheme::Ecdsa(Sha256)) => &backend::ECDSA_P384_SHA256_ASN1,
            (KeyKind::EcdsaP384, Scheme::Ecdsa(Sha384)) => &backend::ECDSA_P384_SHA384_ASN1,
            (KeyKind::EcdsaP384, Scheme::Ecdsa(Sha512)) => &backend::ECDSA_P384_SHA512_ASN1,
            (KeyKind::EcdsaP521, Scheme::Ecdsa(Sha256)) => &backend::ECDSA_P521_SHA256_ASN1,
            (KeyKind::EcdsaP521, Scheme::Ecdsa(Sha384)) => &backend::ECDSA_P521_SHA384_ASN1,
            (KeyKind::EcdsaP521, Scheme::Ecdsa(Sha512)) => &backend::ECDSA_P521_SHA512_ASN1,
            (KeyKind::Ed25519, Scheme::Ed25519) => &backend::ED25519,
            (KeyKind::MlDsa44, Scheme::MlDsa) => &backend::ML_DSA_44,
            (KeyKind::MlDsa65, Scheme::MlDsa) => &backend::ML_DSA_65,
            (KeyKind::MlDsa87, Scheme::MlDsa) => &backend::ML_DSA_87,
            (KeyKind::Rsa { .. }, Scheme::RsaPkcs1(Sha256)) => &backend::RSA_PKCS1_2048_8192_SHA256,
            (KeyKind::Rsa { .. }, Scheme::RsaPkcs1(Sha384)) => &backend::RSA_PKCS1_2048_8192_SHA384,
            (KeyKind::Rsa { .. }, Scheme::RsaPkcs1(Sha512)) => &backend::RSA_PKCS1_2048_8192_SHA512,
            (KeyKind::Rsa { .. }, Scheme::RsaPss(Sha256)) => &backend::RSA_PSS_2048_8192_SHA256,
            (KeyKind::Rsa { .. }, Scheme::RsaPss(Sha384)) => &backend::RSA_PSS_2048_8192_SHA384,
            (KeyKind::Rsa { .. }, Scheme::RsaPss(Sha512)) => &backend::RSA_PSS_2048_8192_SHA512,
            (kind, scheme) => return Err(KeyError::SchemeMismatch { kind, scheme }),
        })
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}:{}", self.kind, hex::encode(self.key_id()))
    }
}

/// Returns SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    out
}

fn curve_of(oid: ObjectIdentifier) -> Result<KeyKind, KeyError> {
    match oid {
        SECP256R1 => Ok(KeyKind::EcdsaP256),
        SECP384R1 => Ok(KeyKind::EcdsaP384),
        SECP521R1 => Ok(KeyKind::EcdsaP521),
        other => Err(KeyError::UnsupportedKey {
            algorithm: format!("elliptic curve {other}"),
        }),
    }
}

fn rsa_bits(pkcs1: &[u8]) -> Result<usize, KeyError> {
    let mut reader = asn1::only_sequence(pkcs1)?;
    let modulus = reader.expect(tag::INTEGER)?.to_unsigned()?;
    reader.expect(tag::INTEGER)?.to_unsigned()?;
    reader.finish()?;
    let leading = modulus
        .first()
        .map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - leading;
    if RSA_BITS.contains(&bits) {
        return Ok(bits);
    }
    Err(KeyError::UnsupportedKey {
        algorithm: format!("RSA of {bits} bits"),
    })
}

/// Requires the encoded length of each kind; elliptic curve points are uncompressed.
fn require_length(kind: KeyKind, length: usize) -> Result<(), KeyError> {
    let expected = match kind {
        KeyKind::EcdsaP256 => 65,
        KeyKind::EcdsaP384 => 97,
        KeyKind::EcdsaP521 => 133,
        KeyKind::Ed25519 => 32,
        KeyKind::MlDsa44 => 1312,
        KeyKind::MlDsa65 => 1952,
        KeyKind::MlDsa87 => 2592,
        KeyKind::Rsa { .. } => return Ok(()),
    };
    if length == expected {
        return Ok(());
    }
    Err(KeyError::UnsupportedKey {
        algorithm: format!("{kind:?} key of {length} bytes"),
    })
}

/// A SHA-512 digest that is already known, in the shape of a hasher: Ed25519ph asks for one.
pub struct Prehashed([u8; 64]);

impl Prehashed {
    /// Returns none for anything but 64 bytes.
    #[must_use]
    pub fn from_digest(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl Default for Prehashed {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl sha2::digest::HashMarker for Prehashed {}

impl sha2::digest::OutputSizeUser for Prehashed {
    type OutputSize = sha2::digest::consts::U64;
}

impl sha2::digest::Update for Prehashed {
    fn update(&mut self, _: &[u8]) {}
}

impl sha2::digest::FixedOutput for Prehashed {
    fn finalize_into(self, out: &mut sha2::digest::Output<Self>) {
        out.copy_from_slice(&self.0);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _};
    use ed25519_dalek::SigningKey;

    use super::*;

    fn ed25519(seed: u8) -> (SigningKey, PublicKey) {
        let signing = SigningKey::from_bytes(&[seed; 32]);
        let algorithm = asn1::sequence(&[&asn1::oid(&ED25519)]);
        let spki = asn1::sequence(&[
            &algorithm,
            &asn1::bit_string(signing.verifying_key().as_bytes()),
        ]);
        (signing, PublicKey::from_spki(&spki).unwrap())
    }

    #[test]
    fn ed25519ph_verifies_by_message_and_by_digest_and_is_not_ed25519() {
        let (signing, key) = ed25519(7);
        let signature = signing
            .sign_prehashed(sha2::Sha512::new_with_prefix(b"m"), None)
            .unwrap()
            .to_vec();
        key.verify_as(KeyDetails::Ed25519Ph, b"m", &signature)
            .unwrap();
        let digest = DigestAlgorithm::Sha512.digest(b"m");
        key.verify_digest(Scheme::Ed25519Ph, &digest, &signature)
            .unwrap();
        assert_eq!(key.verify(b"m", &signature), Err(KeyError::BadSignature));
        let other = DigestAlgorithm::Sha512.digest(b"n");
        assert_eq!(
            key.verify_digest(Scheme::Ed25519Ph, &other, &signature),
            Err(KeyError::BadSignature)
        );
    }

    #[test]
    fn an_ecdsa_signature_verifies_by_digest_of_the_same_hash_only() {
        #[expect(clippy::disallowed_methods, reason = "a test may be random")]
        let random = SystemRandom::new();
        let algorithm = &backend::ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap();
        let identifier = asn1::sequence(&[&asn1::oid(&EC_PUBLIC_KEY), &asn1::oid(&SECP256R1)]);
        let spki = asn1::sequence(&[&identifier, &asn1::bit_string(pair.public_key().as_ref())]);
        let key = PublicKey::from_spki(&spki).unwrap();
        let signature = pair.sign(&random, b"m").unwrap();
        key.verify(b"m", signature.as_ref()).unwrap();
        let scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);
        key.verify_digest(
            scheme,
            &DigestAlgorithm::Sha256.digest(b"m"),
            signature.as_ref(),
        )
        .unwrap();
        let wrong = key.verify_digest(
            scheme,
            &DigestAlgorithm::Sha384.digest(b"m"),
            signature.as_ref(),
        );
        assert_eq!(wrong, Err(KeyError::DigestMismatch { scheme }));
        assert_eq!(PublicKey::from_pem(&key.to_pem()).unwrap(), key);
    }

    #[test]
    fn a_scheme_of_another_kind_of_key_is_refused() {
        let (_, key) = ed25519(1);
        assert!(matches!(
            key.verify_as(KeyDetails::EcdsaP256Sha256, b"", b""),
            Err(KeyError::SchemeMismatch { .. })
        ));
    }

    #[test]
    fn keys_of_unknown_algorithms_and_sizes_are_refused_with_their_name() {
        let x25519 = ObjectIdentifier::new_unwrap("1.3.101.110");
        let spki = asn1::sequence(&[
            &asn1::sequence(&[&asn1::oid(&x25519)]),
            &asn1::bit_string(&[0; 32]),
        ]);
        assert_eq!(
            PublicKey::from_spki(&spki),
            Err(KeyError::UnsupportedKey {
                algorithm: "1.3.101.110".into()
            })
        );
        let short = asn1::sequence(&[
            &asn1::sequence(&[&asn1::oid(&ED25519)]),
            &asn1::bit_string(&[0; 31]),
        ]);
        assert!(matches!(
            PublicKey::from_spki(&short),
            Err(KeyError::UnsupportedKey { .. })
        ));
    }
}
