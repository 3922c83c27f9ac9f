//! Keys and subkeys (RFC 9580 §5.5.2): their numbers, fingerprints, and what is hashed of them.

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use stella_bundle::key::PublicKey;
use stella_bundle::time::UnixTime;

use super::FORMAT;
use super::signature::Signature;
use crate::ForeignError;
use crate::cursor::Cursor;
use crate::public_key::{self, Curve};

/// The longest number that is read, in bits: an RSA modulus. Points of curves are shorter.
const MAX_NUMBER_BITS: u16 = 4096;

/// Ed25519Legacy (RFC 9580 §9.2), content octets of 1.3.6.1.4.1.11591.15.1.
const ED25519_LEGACY: [u8; 9] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];

/// Public-key algorithms (RFC 9580 §9.1).
pub(super) mod algorithm {
    pub(in super::super) const RSA: u8 = 1;
    pub(in super::super) const RSA_SIGN_ONLY: u8 = 3;
    pub(in super::super) const ECDSA: u8 = 19;
    pub(in super::super) const EDDSA_LEGACY: u8 = 22;
    pub(in super::super) const ED25519: u8 = 27;

    /// Returns the name of an algorithm that is refused.
    pub(in super::super) const fn name(number: u8) -> &'static str {
        match number {
            2 => "encryption-only RSA",
            16 | 20 => "ElGamal",
            17 => "DSA",
            18 => "ECDH",
            25 => "X25519",
            26 => "X448",
            28 => "Ed448",
            _ => "an unknown algorithm",
        }
    }
}

/// A key as it stands in its packet.
pub(super) struct Key<'a> {
    pub(super) version: u8,
    pub(super) created: UnixTime,
    pub(super) algorithm: u8,
    material: &'a [u8],
    body: &'a [u8],
    fingerprint: OnceLock<Vec<u8>>,
}

impl<'a> Key<'a> {
    /// Reads the body of a key's packet, of versions 4 and 6.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, ForeignError> {
        let mut cursor = Cursor::new(FORMAT, body);
        let version = cursor.u8("a key version")?;
        if version != 4 && version != 6 {
            let feature = format!("a key of version {version}");
            return Err(ForeignError::unsupported(FORMAT, feature));
        }
        let created = UnixTime::from_seconds(cursor.u32("a time")?.into());
        let algorithm = cursor.u8("an algorithm")?;
        let material = if version == 6 {
            cursor.string("key material")?
        } else {
            cursor.take_rest()
        };
        cursor.finish()?;
        if body.len() > usize::from(u16::MAX) {
            return Err(ForeignError::TooLarge {
                what: "a key",
                length: body.len(),
                limit: usize::from(u16::MAX),
            });
        }
        Ok(Self {
            version,
            created,
            algorithm,
            material,
            body,
            fingerprint: OnceLock::new(),
        })
    }

    /// Returns what is hashed of a key, for its fingerprint and under signatures (RFC 9580 §5.2.4, §5.5.4).
    pub(super) fn hashed(&self) -> Vec<u8> {
        // Parsing saw to it that the length fits two octets.
        let length = self.body.len() as u32;
        let [_, _, high, low] = length.to_be_bytes();
        let head = if self.version == 6 {
            [&[0x9b][..], &length.to_be_bytes()].concat()
        } else {
            vec![0x99, high, low]
        };
        [&head, self.body].concat()
    }

    /// Returns the fingerprint: SHA-1 in version 4, which nobody can change any more, SHA-256 in version 6.
    pub(super) fn fingerprint(&self) -> &[u8] {
        self.fingerprint.get_or_init(|| {
            let hash = if self.version == 6 {
                &SHA256
            } else {
                &SHA1_FOR_LEGACY_USE_ONLY
            };
            digest(hash, &self.hashed()).as_ref().to_vec()
        })
    }

    pub(super) fn fingerprint_text(&self) -> String {
        hex::encode_upper(self.fingerprint())
    }

    /// Returns the key id: the last eight bytes of a fingerprint of version 4, the first of version 6.
    fn key_id(&self) -> &[u8] {
        let fingerprint = self.fingerprint();
        let at = if self.version == 6 {
            0
        } else {
            fingerprint.len().saturating_sub(8)
        };
        fingerprint.get(at..at + 8).unwrap_or_default()
    }

    /// Says whether `signature` names this key as its issuer: everything that it names must agree.
    pub(super) fn is_named_by(&self, signature: &Signature<'_>) -> bool {
        let said = &signature.said;
        let names_any = !said.fingerprints.is_empty() || !said.issuers.is_empty();
        names_any
            && signature.version == self.version
            && said
                .fingerprints
                .iter()
                .all(|each| *each == self.fingerprint())
            && said.issuers.iter().all(|each| each == self.key_id())
    }

    /// Returns when the key ends, given how long after its creation a signature says it lives.
    pub(super) fn end(&self, seconds: u32) -> Option<UnixTime> {
        (seconds > 0).then(|| UnixTime::from_seconds(self.created.seconds() + i64::from(seconds)))
    }

    /// Reads the numbers of a signing key.
    pub(super) fn public_key(&self) -> Result<PublicKey, ForeignError> {
        let mut cursor = Cursor::new(FORMAT, self.material);
        let key = match self.algorithm {
            algorithm::RSA | algorithm::RSA_SIGN_ONLY => {
                let modulus = read_number(&mut cursor)?;
                public_key::rsa(modulus, read_number(&mut cursor)?)?
            }
            algorithm::ECDSA => {
                let oid = read_oid(&mut cursor)?;
                let Some(curve) = Curve::from_oid(oid) else {
                    let feature = format!("the elliptic curve {}", hex::encode(oid));
                    return Err(ForeignError::unsupported(FORMAT, feature));
                };
                public_key::ecdsa(curve, read_number(&mut cursor)?)?
            }
            algorithm::EDDSA_LEGACY => {
                let oid = read_oid(&mut cursor)?;
                if oid != ED25519_LEGACY {
                    let feature = format!("the Edwards curve {}", hex::encode(oid));
                    return Err(ForeignError::unsupported(FORMAT, feature));
                }
                // spec: RFC 9580 §5.5.5.5: 0x40 stands before the native bytes.
                match read_number(&mut cursor)? {
                    [0x40, raw @ ..] => public_key::ed25519(raw)?,
                    _ => {
                        let expected = "a point in native form";
                        return Err(ForeignError::unexpected(FORMAT, expected, "another"));
                    }
                }
            }
            algorithm::ED25519 => public_key::ed25519(cursor.take(32, "32 bytes")?)?,
            other => return Err(unsupported(other)),
        };
        cursor.finish()?;
        Ok(key)
    }
}

pub(super) fn unsupported(number: u8) -> ForeignError {
    let feature = format!("{} ({number})", algorithm::name(number));
    ForeignError::unsupported(FORMAT, feature)
}

fn read_oid<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], ForeignError> {
    let length = cursor.u8("a curve")?;
    cursor.take(length.into(), "a curve")
}

/// Reads a multiprecision integer (RFC 9580 §3.2), whose length in bits must be exact.
pub(super) fn read_number<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], ForeignError> {
    let bits = cursor.u16("a number")?;
    if bits == 0 || bits > MAX_NUMBER_BITS {
        let expected = "a number of 1 to 4096 bits";
        return Err(ForeignError::unexpected(
            FORMAT,
            expected,
            format!("{bits} bits"),
        ));
    }
    let bytes = cursor.take(usize::from(bits.div_ceil(8)), "a number")?;
    let leading = bytes.first().map_or(0, |byte| byte.leading_zeros());
    if bytes.len() * 8 - leading as usize != usize::from(bits) {
        let expected = "a number as long as it says";
        return Err(ForeignError::unexpected(FORMAT, expected, "another"));
    }
    Ok(bytes)
}
