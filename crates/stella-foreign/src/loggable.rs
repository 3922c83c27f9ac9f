//! What a transparency log can carry of a foreign signature: the entry `hashedrekord` 0.0.2, or nothing.
//!
//! A log verifies a signature over a digest by itself, for the rows of Sigstore's algorithm registry that it allows.
//! What does not fit is attested anew by somebody else; that is not here.

use std::fmt;

use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::key::{KeyDetails, KeyKind, Scheme};

use crate::primitive::{Message, Primitive};

/// What logs of Rekor v2 accept (rekor-tiles, `internal/algorithmregistry`): RSA over SHA-256, ECDSA over the hash of
/// its curve, Ed25519ph.
const ALLOWED: [KeyDetails; 7] = [
    KeyDetails::RsaPkcs1v15_2048Sha256,
    KeyDetails::RsaPkcs1v15_3072Sha256,
    KeyDetails::RsaPkcs1v15_4096Sha256,
    KeyDetails::EcdsaP256Sha256,
    KeyDetails::EcdsaP384Sha384,
    KeyDetails::EcdsaP521Sha512,
    KeyDetails::Ed25519Ph,
];

/// How a verified signature reaches a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loggable {
    /// Not by itself: somebody attests that it is good, and that attestation is logged.
    CounterAttest(Reason),
    /// As it is: the log verifies it.
    Native(Box<Native>),
}

/// The parts of a `hashedrekord` that a log verifies by itself.
///
/// The digest is that of the message which the signature covers, not of the artifact: [`crate::Signed`] leads from one
/// to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Native {
    /// The signature: ECDSA in DER, RSA as long as the modulus.
    pub signature: Vec<u8>,
    /// DER SubjectPublicKeyInfo of the key.
    pub spki: Vec<u8>,
    /// DER of the key's certificate, when one was given: an entry names it in place of the key.
    pub certificate: Option<Vec<u8>>,
    /// The registry's row.
    pub key_details: KeyDetails,
    /// The digest, by the hash of that row.
    pub digest: Digest,
}

/// Why a log cannot verify a signature by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The key's kind is logged over another hash.
    Hash {
        /// The hash that logs allow.
        allowed: DigestAlgorithm,
        /// The signature's.
        found: DigestAlgorithm,
    },
    /// Logs accept no key of this kind or size.
    Key {
        /// The kind.
        kind: KeyKind,
    },
    /// Ed25519 signs the message itself, and a log sees only a digest: it allows Ed25519ph.
    PureEd25519,
    /// Logs accept no such scheme of this kind of key.
    Scheme {
        /// The scheme.
        scheme: Scheme,
    },
    /// Several signatures are needed, an entry holds one.
    Threshold {
        /// How many.
        needed: usize,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash { allowed, found } => write!(
                formatter,
                "a log takes this key's signatures over {}, this one is over {}",
                allowed.name(),
                found.name()
            ),
            Self::Key { kind } => write!(formatter, "a log takes no signatures of {kind:?} keys"),
            Self::PureEd25519 => formatter.write_str(
                "Ed25519 signs the message itself and a log sees only its digest: it takes Ed25519ph",
            ),
            Self::Scheme { scheme } => write!(formatter, "a log takes no {scheme:?} signatures"),
            Self::Threshold { needed } => write!(
                formatter,
                "{needed} signatures count only together, and an entry holds one"
            ),
        }
    }
}

impl Loggable {
    /// Says what a log can carry of a primitive signature that is known to be good.
    pub(crate) fn of(primitive: Primitive) -> Self {
        let (kind, scheme) = (primitive.key.kind(), primitive.scheme);
        let row = ALLOWED
            .into_iter()
            .find(|row| row.kind() == kind && row.scheme() == scheme);
        match (row, primitive.message) {
            (Some(key_details), Message::Digest(digest)) => Self::Native(Box::new(Native {
                signature: primitive.signature,
                spki: primitive.key.spki().to_vec(),
                certificate: primitive.certificate.map(|each| each.der().to_vec()),
                key_details,
                digest,
            })),
            _ => Self::CounterAttest(reason(kind, scheme)),
        }
    }
}

fn reason(kind: KeyKind, scheme: Scheme) -> Reason {
    let Some(row) = ALLOWED.into_iter().find(|row| row.kind() == kind) else {
        return Reason::Key { kind };
    };
    match (row.scheme(), scheme) {
        (_, Scheme::Ed25519) => Reason::PureEd25519,
        (Scheme::Ecdsa(allowed), Scheme::Ecdsa(found))
        | (Scheme::RsaPkcs1(allowed), Scheme::RsaPkcs1(found)) => Reason::Hash { allowed, found },
        _ => Reason::Scheme { scheme },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_log_refuses_has_its_reason() {
        use DigestAlgorithm::{Sha256, Sha512};
        let rsa = |bits| KeyKind::Rsa { bits };
        let cases = [
            (
                rsa(3072),
                Scheme::RsaPkcs1(Sha512),
                Reason::Hash {
                    allowed: Sha256,
                    found: Sha512,
                },
            ),
            (
                rsa(2560),
                Scheme::RsaPkcs1(Sha256),
                Reason::Key { kind: rsa(2560) },
            ),
            (
                rsa(2048),
                Scheme::RsaPss(Sha256),
                Reason::Scheme {
                    scheme: Scheme::RsaPss(Sha256),
                },
            ),
            (KeyKind::Ed25519, Scheme::Ed25519, Reason::PureEd25519),
            (
                KeyKind::MlDsa65,
                Scheme::MlDsa,
                Reason::Key {
                    kind: KeyKind::MlDsa65,
                },
            ),
        ];
        for (kind, scheme, expected) in cases {
            assert_eq!(reason(kind, scheme), expected);
        }
    }
}
