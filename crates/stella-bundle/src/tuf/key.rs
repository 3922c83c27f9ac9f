//! Keys of TUF metadata: two spellings of ECDSA, Ed25519, RSA-PSS.

use serde::Deserialize;

use crate::asn1;
use crate::digest::DigestAlgorithm;
use crate::key::{ED25519, KeyKind, PublicKey, Scheme};

/// A key as metadata writes it. What else stands there (owners, hints for tools) does not matter here.
#[derive(Debug, Deserialize)]
pub(super) struct KeyWords {
    keytype: String,
    scheme: String,
    keyval: KeyValue,
}

#[derive(Debug, Deserialize)]
struct KeyValue {
    public: String,
}

/// A key that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    public: PublicKey,
    scheme: Scheme,
}

impl Key {
    /// Reads a key; none when its kind is not known here, for then it only signs nothing.
    pub(super) fn of(words: &KeyWords) -> Option<Self> {
        let text = &words.keyval.public;
        let sha256 = DigestAlgorithm::Sha256;
        let (public, scheme) = match (words.keytype.as_str(), words.scheme.as_str()) {
            // spec: TUF §4.2.1 has the first spelling; tools wrote the second for years.
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => (
                PublicKey::from_pem(text).ok()?,
                Scheme::Ecdsa(DigestAlgorithm::Sha256),
            ),
            ("ecdsa" | "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => (
                PublicKey::from_pem(text).ok()?,
                Scheme::Ecdsa(DigestAlgorithm::Sha384),
            ),
            ("ed25519", "ed25519") => (ed25519(text)?, Scheme::Ed25519),
            ("rsa", "rsassa-pss-sha256") => {
                (PublicKey::from_pem(text).ok()?, Scheme::RsaPss(sha256))
            }
            _ => return None,
        };
        let fits = match scheme {
            Scheme::Ecdsa(DigestAlgorithm::Sha256) => public.kind() == KeyKind::EcdsaP256,
            Scheme::Ecdsa(_) => public.kind() == KeyKind::EcdsaP384,
            Scheme::RsaPss(_) => matches!(public.kind(), KeyKind::Rsa { .. }),
            _ => true,
        };
        fits.then_some(Self { public, scheme })
    }

    /// Returns the key itself, whatever id it goes by.
    pub(super) const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Returns how it signs.
    pub(super) const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Says whether this key signed `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public
            .verify_with(self.scheme, message, signature)
            .is_ok()
    }
}

/// Reads 64 hex digits.
fn ed25519(digits: &str) -> Option<PublicKey> {
    let raw: [u8; 32] = hex::decode(digits).ok()?.try_into().ok()?;
    let algorithm = asn1::sequence(&[&asn1::oid(&ED25519)]);
    let spki = asn1::sequence(&[&algorithm, &asn1::bit_string(&raw)]);
    PublicKey::from_spki(&spki).ok()
}
