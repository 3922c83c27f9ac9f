//! Hashes of a log: the 32 bytes, and the two ways in which RFC 6962 makes them.
//!
//! Trees of hashes live in `tree`; what is hashed into a leaf is for the log's owner to say.

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The prefix of a leaf's preimage.
const LEAF_PREFIX: u8 = 0x00;

/// The prefix of a node's preimage; it keeps a node from being taken for a leaf.
const NODE_PREFIX: u8 = 0x01;

/// A SHA-256 hash: of a leaf, of a subtree or of a whole tree.
///
/// It prints as standard base64 with padding (44 characters), the form of checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; Self::SIZE]);

impl Hash {
    /// The length of a hash in bytes.
    pub const SIZE: usize = 32;

    /// The root of the empty tree: SHA-256 of nothing (RFC 6962 §2.1).
    pub const EMPTY_ROOT: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// Takes 32 bytes as a hash.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    /// Takes a digest of SHA-256.
    fn of(digest: &digest::Digest) -> Self {
        let mut bytes = [0; Self::SIZE];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// Parses standard base64 with padding; exactly 44 characters.
    ///
    /// # Errors
    ///
    /// [`HashError::Base64`] if it is not canonical base64, [`HashError::Length`] if it is not 32 bytes.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        // Checked first, so that nothing of a stranger's length is decoded.
        if text.len() > 2 * Self::SIZE {
            return Err(HashError::Length { found: text.len() });
        }
        let bytes = STANDARD.decode(text).map_err(|_| HashError::Base64)?;
        Self::try_from(bytes.as_slice())
    }
}

/// What is wrong with bytes or text that should be a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The text is not standard, padded base64.
    #[error("a hash is not standard base64")]
    Base64,
    /// The length is not 32 bytes.
    #[error("a hash has {found} bytes instead of 32")]
    Length {
        /// The length found: bytes, or characters if the text was too long to decode.
        found: usize,
    },
}

impl TryFrom<&[u8]> for Hash {
    type Error = HashError;

    fn try_from(bytes: &[u8]) -> Result<Self, HashError> {
        let found = bytes.len();
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| HashError::Length { found })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Hashes a leaf's data: SHA-256(0x00 ‖ data).
// spec: RFC 6962 §2.1, MTH({d(0)}).
#[must_use]
pub fn leaf(data: &[u8]) -> Hash {
    sha256(&[&[LEAF_PREFIX], data])
}

/// Hashes two subtrees into their parent: SHA-256(0x01 ‖ left ‖ right).
// spec: RFC 6962 §2.1, MTH(D[n]).
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut preimage = [NODE_PREFIX; 1 + 2 * Hash::SIZE];
    preimage[1..=Hash::SIZE].copy_from_slice(&left.0);
    preimage[1 + Hash::SIZE..].copy_from_slice(&right.0);
    Hash::of(&digest::digest(&digest::SHA256, &preimage))
}

/// Hashes the parts in order, as if they were one string.
pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    Hash::of(&context.finish())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_empty_root_is_sha256_of_nothing() {
        assert_eq!(sha256(&[]), Hash::EMPTY_ROOT);
    }

    #[test]
    fn a_hash_reads_back_what_it_prints() {
        let hash = leaf(b"data");
        assert_eq!(Hash::parse(&hash.to_string()).unwrap(), hash);
    }

    #[test]
    fn text_that_is_no_hash_is_refused() {
        assert_eq!(
            Hash::parse("AAAA").unwrap_err(),
            HashError::Length { found: 3 }
        );
        assert_eq!(Hash::parse("A*AA").unwrap_err(), HashError::Base64);
        let long = "A".repeat(1000);
        assert_eq!(
            Hash::parse(&long).unwrap_err(),
            HashError::Length { found: 1000 }
        );
    }
}
