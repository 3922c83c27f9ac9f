//! The keys that verify notes: their names, ids, text form, and the check of one signature.
//!
//! Which signatures of a note are looked at is decided in `note`; `note` also exports these types.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash;
use crate::{cosignature, tree_head};

/// The length of a bare Ed25519 public key (RFC 8032 §5.1.5).
const ED25519_KEY: usize = 32;

/// The length of a bare ML-DSA-44 public key (FIPS 204, table 2).
const ML_DSA_44_KEY: usize = 1312;

/// How the DER of each P-256 `SubjectPublicKeyInfo` with an uncompressed point begins (RFC 5480 §2).
const P256_SPKI: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The same for P-384.
const P384_SPKI: [u8; 24] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04,
];

/// The object identifier `rsaEncryption` in DER, which each RSA `SubjectPublicKeyInfo` holds (RFC 3279 §2.3.1).
const RSA_OID: [u8; 11] = [
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
];

/// The greatest RSA `SubjectPublicKeyInfo` in bytes: a modulus of 8192 bits and its frame.
const MAX_RSA_SPKI: usize = 1100;

/// The greatest vkey text: an ML-DSA-44 key in base64 and a long name.
const MAX_VKEY: usize = 4096;

/// The name of a key in a note; not empty, without white space and `+`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// Takes a name.
    ///
    /// # Errors
    ///
    /// [`VerifierKeyError::Name`].
    // spec: C2SP signed-note, "Format".
    pub fn new(name: &str) -> Result<Self, VerifierKeyError> {
        let foreign = |c: char| c == '+' || c.is_whitespace() || c.is_control();
        if name.is_empty() || name.contains(foreign) {
            return Err(VerifierKeyError::Name);
        }
        Ok(Self(name.to_owned()))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first four bytes of a key's hash: finds the key, proves nothing. It prints as eight hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// What a key signs, and how (C2SP signed-note, "Signature types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureType {
    /// 0x04: a witness's Ed25519 cosignature with its time (C2SP tlog-cosignature). The key is 32 bytes.
    CosignatureEd25519,
    /// 0x06: a cosigner's ML-DSA-44 signature with its time. The key is 1312 bytes.
    CosignatureMlDsa44,
    /// 0x02: ECDSA over the text: P-256 with SHA-256 or P-384 with SHA-384, DER. The key is a `SubjectPublicKeyInfo`.
    Ecdsa,
    /// 0x01: Ed25519 over the text. The key is 32 bytes.
    Ed25519,
    /// 0xff with Rekor's label: RSA PKCS #1 v1.5 with SHA-256 over the text. The key is a `SubjectPublicKeyInfo`.
    Rsa,
    /// 0x05: an RFC 6962 tree head with its time (C2SP static-ct-api). The key is a P-256 `SubjectPublicKeyInfo`.
    TreeHead,
}

impl SignatureType {
    const ALL: [Self; 6] = [
        Self::CosignatureEd25519,
        Self::CosignatureMlDsa44,
        Self::Ecdsa,
        Self::Ed25519,
        Self::Rsa,
        Self::TreeHead,
    ];

    /// The bytes before the public key in a vkey and in most key ids.
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::CosignatureEd25519 => &[0x04],
            Self::CosignatureMlDsa44 => &[0x06],
            Self::Ecdsa => &[0x02],
            Self::Ed25519 => &[0x01],
            // spec: sigstore/rekor-tiles, `pkg/note`: the longer identifier that 0xff asks for.
            Self::Rsa => b"\xffPKIX-RSA-PKCS#1v1.5",
            Self::TreeHead => &[0x05],
        }
    }

    fn accepts(self, key: &[u8]) -> bool {
        let is_p256 = key.starts_with(&P256_SPKI) && key.len() == P256_SPKI.len() + 2 * 32;
        let is_p384 = key.starts_with(&P384_SPKI) && key.len() == P384_SPKI.len() + 2 * 48;
        match self {
            Self::CosignatureEd25519 | Self::Ed25519 => key.len() == ED25519_KEY,
            Self::CosignatureMlDsa44 => key.len() == ML_DSA_44_KEY,
            Self::Ecdsa => is_p256 || is_p384,
            Self::Rsa => {
                key.len() <= MAX_RSA_SPKI && key.windows(RSA_OID.len()).any(|part| part == RSA_OID)
            }
            Self::TreeHead => is_p256,
        }
    }
}

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierKeyError {
    /// The id in the text is not that of the key.
    #[error("the vkey names the id {found}, its key has {expected}")]
    IdMismatch {
        /// The id in the text.
        found: KeyId,
        /// The id computed from name and key.
        expected: KeyId,
    },
    /// The bytes are not a key of the signature type.
    #[error("the key's bytes do not fit its signature type")]
    Key,
    /// The name is empty or has white space or `+`.
    #[error("a key name must not be empty nor have white space or '+'")]
    Name,
    /// The text is not `name+id+base64`.
    #[error("a vkey is not of the form name+id+base64")]
    Syntax,
    /// The signature type is not known.
    #[error("a vkey has an unknown signature type")]
    UnknownType,
}

/// A public key together with its name and signature type: all that tells whose signature in a note is good.
///
/// It prints as a vkey (`name+id+base64`).
#[derive(Debug, Clone)]
pub struct VerifierKey {
    name: KeyName,
    signature_type: SignatureType,
    public_key: Vec<u8>,
    /// The backend's form of the key, from the first signature on; none when the backend refuses the key.
    parsed: OnceLock<Option<Arc<ParsedPublicKey>>>,
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for VerifierKey {}

impl Hash for VerifierKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl VerifierKey {
    /// Names a public key, given in the form that the signature type says.
    ///
    /// # Errors
    ///
    /// [`VerifierKeyError::Key`].
    pub fn new(
        name: KeyName,
        signature_type: SignatureType,
        public_key: &[u8],
    ) -> Result<Self, VerifierKeyError> {
        if !signature_type.accepts(public_key) {
            return Err(VerifierKeyError::Key);
        }
        Ok(Self {
            name,
            signature_type,
            public_key: public_key.to_vec(),
            parsed: OnceLock::new(),
        })
    }

    /// What makes two keys the same.
    fn parts(&self) -> (&KeyName, SignatureType, &[u8]) {
        (&self.name, self.signature_type, &self.public_key)
    }

    /// Parses a vkey.
    ///
    /// # Errors
    ///
    /// [`VerifierKeyError`].
    // spec: C2SP signed-note, "Verifier keys".
    pub fn parse(vkey: &str) -> Result<Self, VerifierKeyError> {
        if vkey.len() > MAX_VKEY {
            return Err(VerifierKeyError::Syntax);
        }
        let mut parts = vkey.splitn(3, '+');
        let mut part = || parts.next().ok_or(VerifierKeyError::Syntax);
        let (name, id, material) = (part()?, part()?, part()?);
        let name = KeyName::new(name)?;
        if id.len() != 8 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(VerifierKeyError::Syntax);
        }
        let id = u32::from_str_radix(id, 16).map_err(|_| VerifierKeyError::Syntax)?;
        let found = KeyId(id.to_be_bytes());
        let material = STANDARD
            .decode(material)
            .map_err(|_| VerifierKeyError::Syntax)?;
        let (signature_type, public_key) = SignatureType::ALL
            .into_iter()
            .find_map(|kind| Some((kind, material.strip_prefix(kind.prefix())?)))
            .ok_or(VerifierKeyError::UnknownType)?;
        let key = Self::new(name, signature_type, public_key)?;
        let expected = key.key_id();
        if found != expected {
            return Err(VerifierKeyError::IdMismatch { found, expected });
        }
        Ok(key)
    }

    /// Returns the key's name.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// Returns what the key signs, and how.
    #[must_use]
    pub const fn signature_type(&self) -> SignatureType {
        self.signature_type
    }

    /// Returns the public key in the form that the signature type says.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Returns the id that stands before the key's signatures.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        let hash = match self.signature_type {
            // spec: C2SP static-ct-api, "Checkpoints": the id covers the log's id instead of the key.
            SignatureType::TreeHead => self.named_hash(&self.log_id()),
            _ => self.log_id(),
        };
        KeyId([hash[0], hash[1], hash[2], hash[3]])
    }

    /// Returns the 32 bytes by which trust files and log entries name the log.
    ///
    /// That is the hash whose beginning is the key id, and for RFC 6962 tree heads the `LogID` (RFC 6962 §3.2).
    // spec: Sigstore trust root, `TransparencyLogInstance.log_id`.
    #[must_use]
    pub fn log_id(&self) -> [u8; 32] {
        match self.signature_type {
            // These two are not bound to the name.
            SignatureType::Ecdsa | SignatureType::TreeHead => {
                *hash::sha256(&[&self.public_key]).as_bytes()
            }
            _ => self.named_hash(&self.public_key),
        }
    }

    // spec: C2SP signed-note, "Signatures".
    fn named_hash(&self, key: &[u8]) -> [u8; 32] {
        let name = self.name.as_str().as_bytes();
        let parts = [name, b"\n", self.signature_type.prefix(), key];
        *hash::sha256(&parts).as_bytes()
    }

    /// Says whether `signature` (without the key id) is this key's over the note text.
    pub(crate) fn accepts(&self, text: &str, signature: &[u8]) -> bool {
        match self.signature_type {
            SignatureType::Ecdsa | SignatureType::Ed25519 | SignatureType::Rsa => {
                self.verifies(text.as_bytes(), signature)
            }
            SignatureType::CosignatureEd25519 | SignatureType::CosignatureMlDsa44 => {
                cosignature::accepts(self, text, signature)
            }
            SignatureType::TreeHead => tree_head::accepts(self, text, signature),
        }
    }

    /// Says whether the bare signature is the bare key's over the message.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let parse = || ParsedPublicKey::new(self.algorithm(), &self.public_key).ok();
        let key = self.parsed.get_or_init(|| parse().map(Arc::new));
        key.as_ref()
            .is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }

    fn algorithm(&self) -> &'static dyn VerificationAlgorithm {
        match self.signature_type {
            SignatureType::CosignatureEd25519 | SignatureType::Ed25519 => &signature::ED25519,
            SignatureType::CosignatureMlDsa44 => &signature::ML_DSA_44,
            SignatureType::Ecdsa if self.public_key.starts_with(&P384_SPKI) => {
                &signature::ECDSA_P384_SHA384_ASN1
            }
            SignatureType::Ecdsa | SignatureType::TreeHead => &signature::ECDSA_P256_SHA256_ASN1,
            SignatureType::Rsa => &signature::RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = [self.signature_type.prefix(), &self.public_key].concat();
        let material = STANDARD.encode(material);
        write!(f, "{}+{}+{material}", self.name, self.key_id())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// From the documentation of golang.org/x/mod/sumdb/note.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn a_vkey_reads_back_as_it_was_printed() {
        let key = VerifierKey::parse(PETER).unwrap();
        assert_eq!(key.name().as_str(), "PeterNeumann");
        assert_eq!(key.signature_type(), SignatureType::Ed25519);
        assert_eq!(key.key_id(), KeyId([0xc7, 0x4f, 0x20, 0xa3]));
        assert_eq!(key.to_string(), PETER);
    }

    #[test]
    fn a_bad_vkey_is_refused_by_its_fault() {
        let refused = |vkey: &str, expected: VerifierKeyError| {
            assert_eq!(VerifierKey::parse(vkey), Err(expected), "{vkey}");
        };
        refused("", VerifierKeyError::Syntax);
        refused("a+c74f20a3", VerifierKeyError::Syntax);
        refused("a b+c74f20a3+AQ==", VerifierKeyError::Name);
        refused("a++74f20a3+AQ==", VerifierKeyError::Syntax);
        refused("a+c74f20a3+AQ==", VerifierKeyError::Key);
        refused("a+c74f20a3+CQ==", VerifierKeyError::UnknownType);
        let other = PETER.replace("c74f20a3", "c74f20a4");
        let mismatch = VerifierKeyError::IdMismatch {
            found: KeyId([0xc7, 0x4f, 0x20, 0xa4]),
            expected: KeyId([0xc7, 0x4f, 0x20, 0xa3]),
        };
        refused(&other, mismatch);
    }
}
