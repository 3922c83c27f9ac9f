//! How keys sign tokens: the algorithm of a kind of key, and the form of its signatures (RFC 7518).
//!
//! Which algorithms of others are believed is `stella_server::issuers`' business.

use stella_bundle::asn1::{self, Asn1Error};
use stella_bundle::key::KeyKind;

/// How a key signs tokens (RFC 7518 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// RSA with PKCS #1 v1.5 and SHA-256.
    Rs256,
}

impl TokenAlgorithm {
    /// Returns the algorithm by which keys of a kind sign tokens; none for kinds that sign none here.
    #[must_use]
    pub const fn of(kind: KeyKind) -> Option<Self> {
        match kind {
            KeyKind::EcdsaP256 => Some(Self::Es256),
            KeyKind::EcdsaP384 => Some(Self::Es384),
            KeyKind::Rsa { .. } => Some(Self::Rs256),
            _ => None,
        }
    }

    /// Returns the name that headers and key sets have.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
        }
    }

    /// Returns a signature as tokens have it: of ECDSA `r ‖ s`, each as long as the curve's numbers are. None where an ECDSA
    /// signature is no `SEQUENCE` of two of them.
    // spec: RFC 7518 §3.4
    #[must_use]
    pub fn signature(self, signature: Vec<u8>) -> Option<Vec<u8>> {
        let length = match self {
            Self::Es256 => 32,
            Self::Es384 => 48,
            Self::Rs256 => return Some(signature),
        };
        let (r, s) = numbers(&signature).ok()?;
        let mut fixed = vec![0; 2 * length];
        let (left, right) = fixed.split_at_mut(length);
        for (number, place) in [(r, left), (s, right)] {
            let from = length.checked_sub(number.len())?;
            place[from..].copy_from_slice(number);
        }
        Some(fixed)
    }
}

/// Reads `SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 §2.2.3).
fn numbers(signature: &[u8]) -> Result<(&[u8], &[u8]), Asn1Error> {
    let mut both = asn1::only_sequence(signature)?;
    let (r, s) = (both.tlv()?.to_unsigned()?, both.tlv()?.to_unsigned()?);
    both.finish()?;
    Ok((r, s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_length_of_the_curve_and_longer_ones_are_refused() {
        let with = |r: &[u8], s: &[u8]| asn1::sequence(&[&asn1::unsigned(r), &asn1::unsigned(s)]);
        for (algorithm, length) in [(TokenAlgorithm::Es256, 32), (TokenAlgorithm::Es384, 48)] {
            let long = vec![0xff; length];
            let short = [vec![0; length - 1], vec![7]].concat();
            let expected = [long.clone(), short].concat();
            assert_eq!(algorithm.signature(with(&long, &[7])), Some(expected));
            let longer = vec![0xff; length + 1];
            assert_eq!(algorithm.signature(with(&longer, &[7])), None);
            assert_eq!(algorithm.signature(long), None);
        }
        let rsa = vec![1, 2, 3];
        assert_eq!(TokenAlgorithm::Rs256.signature(rsa.clone()), Some(rsa));
    }
}
