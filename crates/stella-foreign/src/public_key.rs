//! Public keys and signatures from bare numbers, in the forms that X.509 gives them.

use const_oid::ObjectIdentifier;
use stella_bundle::asn1;
use stella_bundle::key::{
    EC_PUBLIC_KEY, ED25519, KeyError, PublicKey, SECP256R1, SECP384R1, SECP521R1,
};

/// An elliptic curve of ECDSA keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::P256 => SECP256R1,
            Self::P384 => SECP384R1,
            Self::P521 => SECP521R1,
        }
    }

    /// Finds the curve by the content octets of its OID.
    pub(crate) fn from_oid(octets: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|curve| curve.oid().as_bytes() == octets)
    }
}

/// Returns the RSA key of this modulus and exponent, both big-endian.
pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, KeyError> {
    let numbers = [asn1::unsigned(modulus), asn1::unsigned(exponent)];
    PublicKey::from_pkcs1(&asn1::sequence(&[&numbers[0], &numbers[1]]))
}

/// Returns the ECDSA key of this point, uncompressed (SEC 1 §2.3.3).
pub(crate) fn ecdsa(curve: Curve, point: &[u8]) -> Result<PublicKey, KeyError> {
    let algorithm = asn1::sequence(&[&asn1::oid(&EC_PUBLIC_KEY), &asn1::oid(&curve.oid())]);
    PublicKey::from_spki(&asn1::sequence(&[&algorithm, &asn1::bit_string(point)]))
}

/// Returns the Ed25519 key of these bytes (RFC 8032 §5.1.5).
pub(crate) fn ed25519(raw: &[u8]) -> Result<PublicKey, KeyError> {
    let algorithm = asn1::sequence(&[&asn1::oid(&ED25519)]);
    PublicKey::from_spki(&asn1::sequence(&[&algorithm, &asn1::bit_string(raw)]))
}

/// Returns an ECDSA signature in DER (RFC 3279 §2.2.3).
pub(crate) fn ecdsa_signature(r: &[u8], s: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::unsigned(r), &asn1::unsigned(s)])
}
