//! Signature schemes, and Sigstore's registry of them by kind of key.

use const_oid::ObjectIdentifier;

use super::{
    ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ECDSA_WITH_SHA512, ED25519, KeyError, KeyKind, ML_DSA_44,
    ML_DSA_65, ML_DSA_87,
};
use crate::asn1::Tlv;
use crate::digest::DigestAlgorithm;

const RSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_WITH_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// ECDSA over this hash, signature in ASN.1 DER.
    Ecdsa(DigestAlgorithm),
    /// Ed25519 over the message itself.
    Ed25519,
    /// Ed25519ph over SHA-512 (RFC 8032 §5.1).
    Ed25519Ph,
    /// Pure ML-DSA with an empty context.
    MlDsa,
    /// RSASSA-PKCS1-v1_5 over this hash.
    RsaPkcs1(DigestAlgorithm),
    /// RSASSA-PSS over this hash, salt as long as the hash.
    RsaPss(DigestAlgorithm),
}

impl Scheme {
    /// Returns the hash that a signer applies first, or none where the scheme signs the message itself.
    pub const fn hash(self) -> Option<DigestAlgorithm> {
        match self {
            Self::Ecdsa(hash) | Self::RsaPkcs1(hash) | Self::RsaPss(hash) => Some(hash),
            Self::Ed25519Ph => Some(DigestAlgorithm::Sha512),
            Self::Ed25519 | Self::MlDsa => None,
        }
    }

    /// Reads an AlgorithmIdentifier of a certificate or token.
    ///
    /// # Errors
    /// `Asn1`, `UnsupportedSignature`.
    pub fn from_algorithm_identifier(element: Tlv<'_>) -> Result<Self, KeyError> {
        let mut reader = element.reader();
        let algorithm = reader.tlv()?.to_oid()?;
        Ok(match algorithm {
            ECDSA_WITH_SHA256 => Self::Ecdsa(DigestAlgorithm::Sha256),
            ECDSA_WITH_SHA384 => Self::Ecdsa(DigestAlgorithm::Sha384),
            ECDSA_WITH_SHA512 => Self::Ecdsa(DigestAlgorithm::Sha512),
            RSA_WITH_SHA256 => Self::RsaPkcs1(DigestAlgorithm::Sha256),
            RSA_WITH_SHA384 => Self::RsaPkcs1(DigestAlgorithm::Sha384),
            RSA_WITH_SHA512 => Self::RsaPkcs1(DigestAlgorithm::Sha512),
            ED25519 => Self::Ed25519,
            ML_DSA_44 | ML_DSA_65 | ML_DSA_87 => Self::MlDsa,
            algorithm => return Err(KeyError::UnsupportedSignature { algorithm }),
        })
    }
}

/// A row of Sigstore's algorithm registry: a kind of key with its scheme (`PublicKeyDetails` of protobuf-specs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyDetails {
    /// P-256 with SHA-256.
    EcdsaP256Sha256,
    /// P-384 with SHA-384.
    EcdsaP384Sha384,
    /// P-521 with SHA-512.
    EcdsaP521Sha512,
    /// Ed25519.
    Ed25519,
    /// Ed25519ph.
    Ed25519Ph,
    /// ML-DSA-44.
    MlDsa44,
    /// ML-DSA-65.
    MlDsa65,
    /// ML-DSA-87.
    MlDsa87,
    /// RSA 2048 PKCS#1 v1.5 with SHA-256.
    RsaPkcs1v15_2048Sha256,
    /// RSA 3072 PKCS#1 v1.5 with SHA-256.
    RsaPkcs1v15_3072Sha256,
    /// RSA 4096 PKCS#1 v1.5 with SHA-256.
    RsaPkcs1v15_4096Sha256,
    /// RSA 2048 PSS with SHA-256.
    RsaPss2048Sha256,
    /// RSA 3072 PSS with SHA-256.
    RsaPss3072Sha256,
    /// RSA 4096 PSS with SHA-256.
    RsaPss4096Sha256,
}

const SHA256: DigestAlgorithm = DigestAlgorithm::Sha256;

/// Name, number in the protobuf enum, kind and scheme of each row.
pub(super) const REGISTRY: [(KeyDetails, &str, u64, KeyKind, Scheme); 14] = [
    (
        KeyDetails::EcdsaP256Sha256,
        "PKIX_ECDSA_P256_SHA_256",
        5,
        KeyKind::EcdsaP256,
        Scheme::Ecdsa(SHA256),
    ),
    (
        KeyDetails::EcdsaP384Sha384,
        "PKIX_ECDSA_P384_SHA_384",
        12,
        KeyKind::EcdsaP384,
        Scheme::Ecdsa(DigestAlgorithm::Sha384),
    ),
    (
        KeyDetails::EcdsaP521Sha512,
        "PKIX_ECDSA_P521_SHA_512",
        13,
        KeyKind::EcdsaP521,
        Scheme::Ecdsa(DigestAlgorithm::Sha512),
    ),
    (
        KeyDetails::Ed25519,
        "PKIX_ED25519",
        7,
        KeyKind::Ed25519,
        Scheme::Ed25519,
    ),
    (
        KeyDetails::Ed25519Ph,
        "PKIX_ED25519_PH",
        8,
        KeyKind::Ed25519,
        Scheme::Ed25519Ph,
    ),
    (
        KeyDetails::MlDsa44,
        "ML_DSA_44",
        23,
        KeyKind::MlDsa44,
        Scheme::MlDsa,
    ),
    (
        KeyDetails::MlDsa65,
        "ML_DSA_65",
        21,
        KeyKind::MlDsa65,
        Scheme::MlDsa,
    ),
    (
        KeyDetails::MlDsa87,
        "ML_DSA_87",
        22,
        KeyKind::MlDsa87,
        Scheme::MlDsa,
    ),
    (
        KeyDetails::RsaPkcs1v15_2048Sha256,
        "PKIX_RSA_PKCS1V15_2048_SHA256",
        9,
        KeyKind::Rsa { bits: 2048 },
        Scheme::RsaPkcs1(SHA256),
    ),
    (
        KeyDetails::RsaPkcs1v15_3072Sha256,
        "PKIX_RSA_PKCS1V15_3072_SHA256",
        10,
        KeyKind::Rsa { bits: 3072 },
        Scheme::RsaPkcs1(SHA256),
    ),
    (
        KeyDetails::RsaPkcs1v15_4096Sha256,
        "PKIX_RSA_PKCS1V15_4096_SHA256",
        11,
        KeyKind::Rsa { bits: 4096 },
        Scheme::RsaPkcs1(SHA256),
    ),
    (
        KeyDetails::RsaPss2048Sha256,
        "PKIX_RSA_PSS_2048_SHA256",
        16,
        KeyKind::Rsa { bits: 2048 },
        Scheme::RsaPss(SHA256),
    ),
    (
        KeyDetails::RsaPss3072Sha256,
        "PKIX_RSA_PSS_3072_SHA256",
        17,
        KeyKind::Rsa { bits: 3072 },
        Scheme::RsaPss(SHA256),
    ),
    (
        KeyDetails::RsaPss4096Sha256,
        "PKIX_RSA_PSS_4096_SHA256",
        18,
        KeyKind::Rsa { bits: 4096 },
        Scheme::RsaPss(SHA256),
    ),
];

impl KeyDetails {
    /// Returns every algorithm of the registry.
    pub fn all() -> impl Iterator<Item = Self> {
        REGISTRY.iter().map(|row| row.0)
    }

    /// Finds the row by its protobuf name, or by its number in decimal digits.
    pub fn from_name_or_number(text: &str) -> Option<Self> {
        let number = text.parse::<u64>().ok();
        REGISTRY
            .iter()
            .find(|row| row.1 == text || Some(row.2) == number)
            .map(|row| row.0)
    }

    /// Returns the protobuf name: `PKIX_ECDSA_P256_SHA_256`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns the number in the protobuf enum.
    pub fn number(self) -> u64 {
        self.row().2
    }

    /// Returns the kind of key of this row.
    pub fn kind(self) -> KeyKind {
        self.row().3
    }

    /// Returns the scheme of this row.
    pub fn scheme(self) -> Scheme {
        self.row().4
    }

    /// Returns the hash of this row's scheme, none for pure Ed25519 and ML-DSA.
    pub fn hash(self) -> Option<DigestAlgorithm> {
        self.scheme().hash()
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the registry lists every variant; a test says so"
    )]
    fn row(self) -> &'static (Self, &'static str, u64, KeyKind, Scheme) {
        let position = REGISTRY.iter().position(|row| row.0 == self).unwrap_or(0);
        &REGISTRY[position]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_registry_is_found_by_name_and_number() {
        for row in &REGISTRY {
            assert_eq!(KeyDetails::from_name_or_number(row.1), Some(row.0));
            assert_eq!(
                KeyDetails::from_name_or_number(&row.2.to_string()),
                Some(row.0)
            );
            assert_eq!(row.0.number(), row.2);
        }
        assert_eq!(KeyDetails::from_name_or_number("PKIX_RSA_PSS"), None);
    }
}
