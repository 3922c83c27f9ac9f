//! Signature packets of versions 4 and 6 (RFC 9580 §5.2): what they hash, and the primitive signature inside.

use stella_bundle::digest::{Digest, DigestAlgorithm, DigestStream};
use stella_bundle::key::{KeyKind, Scheme};
use stella_bundle::time::UnixTime;

use super::FORMAT;
use super::key::{Key, algorithm, read_number, unsupported};
use super::subpackets::Subpackets;
use crate::ForeignError;
use crate::cursor::Cursor;
use crate::primitive::{Message, Primitive};
use crate::public_key;

/// The type of a signature over a file (RFC 9580 §5.2.1).
pub(super) const BINARY: u8 = 0x00;
/// The type of a signature over a text with its line endings made equal.
pub(super) const TEXT: u8 = 0x01;

/// Numbers of an Ed25519 signature, in bytes.
const ED25519_HALF: usize = 32;

/// A signature, unverified.
#[derive(Clone)]
pub(super) struct Signature<'a> {
    pub(super) version: u8,
    pub(super) kind: u8,
    algorithm: u8,
    hash: u8,
    /// From the version up to the hashed subpackets, as it is hashed.
    hashed_part: &'a [u8],
    pub(super) said: Subpackets<'a>,
    /// The first two bytes of the digest.
    left: [u8; 2],
    /// What is hashed first, in version 6.
    pub(super) salt: &'a [u8],
    material: &'a [u8],
}

impl<'a> Signature<'a> {
    /// Reads the body of a signature's packet.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, ForeignError> {
        let mut cursor = Cursor::new(FORMAT, body);
        let version = cursor.u8("a signature version")?;
        if version != 4 && version != 6 {
            let feature = format!("a signature of version {version}");
            return Err(ForeignError::unsupported(FORMAT, feature));
        }
        let kind = cursor.u8("a signature type")?;
        let algorithm = cursor.u8("an algorithm")?;
        let hash = cursor.u8("a hash")?;
        let hashed = read_area(&mut cursor, version)?;
        let head = if version == 6 { 8 } else { 6 };
        let hashed_part = body.get(..head + hashed.len()).unwrap_or_default();
        let unhashed = read_area(&mut cursor, version)?;
        let left = cursor.array("two bytes of the digest")?;
        let salt = if version == 6 {
            let length = cursor.u8("a salt")?;
            cursor.take(length.into(), "a salt")?
        } else {
            &[]
        };
        Ok(Self {
            version,
            kind,
            algorithm,
            hash,
            hashed_part,
            said: Subpackets::parse(hashed, unhashed)?,
            left,
            salt,
            material: cursor.take_rest(),
        })
    }

    /// Returns the hash, with a salt of its length in version 6 (RFC 9580 §9.5).
    pub(super) fn hash(&self) -> Result<DigestAlgorithm, ForeignError> {
        let weak = |name| Err(ForeignError::WeakHash { name });
        let hash = match self.hash {
            1 => return weak("MD5"),
            2 => return weak("SHA-1"),
            3 => return weak("RIPEMD-160"),
            11 => return weak("SHA-224"),
            8 => DigestAlgorithm::Sha256,
            9 => DigestAlgorithm::Sha384,
            10 => DigestAlgorithm::Sha512,
            12 => return Err(ForeignError::unsupported(FORMAT, "SHA3-256")),
            14 => return Err(ForeignError::unsupported(FORMAT, "SHA3-512")),
            other => return Err(ForeignError::unsupported(FORMAT, format!("hash {other}"))),
        };
        let salt = if self.version == 6 {
            hash.size() / 2
        } else {
            0
        };
        if self.salt.len() != salt {
            let found = format!("{} bytes", self.salt.len());
            return Err(ForeignError::unexpected(
                FORMAT,
                "a salt of the hash's length",
                found,
            ));
        }
        Ok(hash)
    }

    /// Returns when it says it was made, which it must (RFC 9580 §5.2.3.11).
    pub(super) fn created(&self) -> Result<UnixTime, ForeignError> {
        let seconds = self
            .said
            .created
            .ok_or_else(|| ForeignError::unexpected(FORMAT, "the time of the signature", "none"))?;
        Ok(UnixTime::from_seconds(seconds.into()))
    }

    /// Requires that the signature is understood, made before `now`, and has not ended.
    pub(super) fn require_current(&self, what: &str, now: UnixTime) -> Result<(), ForeignError> {
        if let Some(kind) = self.said.unknown_critical {
            let feature = format!("the critical subpacket {kind}");
            return Err(ForeignError::unsupported(FORMAT, feature));
        }
        let created = self.created()?;
        if created > now {
            return Err(ForeignError::FromTheFuture {
                what: what.to_owned(),
                created,
                now,
            });
        }
        let expired = created.seconds() + i64::from(self.said.expires_after);
        let expired = UnixTime::from_seconds(expired);
        if self.said.expires_after > 0 && expired <= now {
            return Err(ForeignError::SignatureExpired { expired });
        }
        Ok(())
    }

    /// Returns what is hashed last (RFC 9580 §5.2.4).
    pub(super) fn trailer(&self) -> Vec<u8> {
        // Areas of version 6 have four octets of length; a file is far smaller.
        let length = self.hashed_part.len() as u32;
        let mark = [self.version, 0xff];
        [self.hashed_part, &mark, &length.to_be_bytes()].concat()
    }

    /// Verifies the signature over `parts` by `key`: over keys and names, not over a file.
    pub(super) fn verify(&self, key: &Key<'_>, parts: &[&[u8]]) -> Result<(), ForeignError> {
        let mut stream = DigestStream::new(self.hash()?);
        stream.update(self.salt);
        parts.iter().for_each(|part| stream.update(part));
        stream.update(&self.trailer());
        self.primitive(key, stream.finish())?.verify()?;
        Ok(())
    }

    /// Returns the primitive signature over this digest.
    pub(super) fn primitive(
        &self,
        key: &Key<'_>,
        digest: Digest,
    ) -> Result<Primitive, ForeignError> {
        // spec: RFC 9580 §5.2.3: a key signs with its own version and algorithm.
        if self.version != key.version || !is_same_algorithm(self.algorithm, key.algorithm) {
            return Err(ForeignError::BadSignature);
        }
        if digest.bytes().get(..2) != Some(&self.left) {
            return Err(ForeignError::BadSignature);
        }
        let public = key.public_key()?;
        let scheme = match public.kind() {
            KeyKind::Rsa { .. } => Scheme::RsaPkcs1(digest.algorithm()),
            KeyKind::Ed25519 => Scheme::Ed25519,
            _ => Scheme::Ecdsa(digest.algorithm()),
        };
        let message = match scheme {
            Scheme::Ed25519 => Message::Whole(digest.bytes().to_vec()),
            _ => Message::Digest(digest),
        };
        Ok(Primitive {
            signature: self.read_material(public.kind())?,
            key: public,
            certificate: None,
            scheme,
            message,
        })
    }

    /// Reads the numbers of the signature (RFC 9580 §5.2.3) into the form of X.509.
    fn read_material(&self, kind: KeyKind) -> Result<Vec<u8>, ForeignError> {
        let mut cursor = Cursor::new(FORMAT, self.material);
        let bytes = match (self.algorithm, kind) {
            (algorithm::RSA | algorithm::RSA_SIGN_ONLY, KeyKind::Rsa { bits }) => {
                padded(read_number(&mut cursor)?, bits.div_ceil(8))?
            }
            (algorithm::ECDSA, _) => {
                let r = read_number(&mut cursor)?;
                public_key::ecdsa_signature(r, read_number(&mut cursor)?)
            }
            (algorithm::EDDSA_LEGACY, _) => {
                let r = padded(read_number(&mut cursor)?, ED25519_HALF)?;
                let s = padded(read_number(&mut cursor)?, ED25519_HALF)?;
                [r, s].concat()
            }
            (algorithm::ED25519, _) => cursor.take(2 * ED25519_HALF, "64 bytes")?.to_vec(),
            (other, _) => return Err(unsupported(other)),
        };
        cursor.finish()?;
        Ok(bytes)
    }

    /// Returns the issuer as the signature names it.
    pub(super) fn issuer_text(&self) -> String {
        let said = &self.said;
        let fingerprint = said.fingerprints.first().map(hex::encode_upper);
        let id = said.issuers.first().map(hex::encode_upper);
        fingerprint.or(id).unwrap_or_else(|| "nobody".to_owned())
    }
}

/// Both numbers of RSA are one algorithm.
const fn is_same_algorithm(one: u8, other: u8) -> bool {
    const fn plain(number: u8) -> u8 {
        if number == algorithm::RSA_SIGN_ONLY {
            algorithm::RSA
        } else {
            number
        }
    }
    plain(one) == plain(other)
}

/// Reads an area of subpackets behind its length, two octets in version 4 and four in version 6.
fn read_area<'a>(cursor: &mut Cursor<'a>, version: u8) -> Result<&'a [u8], ForeignError> {
    if version == 6 {
        return cursor.string("subpackets");
    }
    let length = cursor.u16("subpackets")?;
    cursor.take(length.into(), "subpackets")
}

/// Returns a number with zeros before it, as long as `length`.
fn padded(number: &[u8], length: usize) -> Result<Vec<u8>, ForeignError> {
    let zeros = length.checked_sub(number.len()).ok_or_else(|| {
        let found = format!("one of {} bytes", number.len());
        ForeignError::unexpected(FORMAT, "a signature as long as its key", found)
    })?;
    Ok([&vec![0; zeros], number].concat())
}
