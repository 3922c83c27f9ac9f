//! SCTs to be signed, and the log entry they promise (RFC 6962, C2SP static-ct-api).
//!
//! One struct gives both, because the SCT's signature and the tree's leaf cover the same bytes. The format of SCTs is in
//! [`crate::sct`].

use crate::sct::{self, Sct};
use crate::time::UnixTime;

/// A precertificate's entry before the log signed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SctTemplate {
    /// When the log took it; milliseconds.
    pub timestamp: UnixTime,
    /// SHA-256 of the issuer's SubjectPublicKeyInfo.
    pub issuer_key_hash: [u8; 32],
    /// TBSCertificate in DER, without poison and without SCTs.
    pub tbs_certificate: Vec<u8>,
    /// CtExtensions.
    pub extensions: Vec<u8>,
}

impl SctTemplate {
    /// Returns what the log signs (RFC 6962 §3.2).
    ///
    /// The same bytes are the MerkleTreeLeaf (RFC 6962 §3.4): version 0 and type 0 open both.
    #[must_use]
    pub fn to_be_signed(&self) -> Vec<u8> {
        sct::signed_data(
            self.timestamp,
            &self.issuer_key_hash,
            &self.tbs_certificate,
            &self.extensions,
        )
    }

    /// Returns the SCT with the log's id and its DER ECDSA signature over SHA-256.
    #[must_use]
    pub fn assemble(&self, log_id: [u8; 32], signature: Vec<u8>) -> Sct {
        // spec: RFC 5246 §7.4.1.4.1: HashAlgorithm sha256 is 4, SignatureAlgorithm ecdsa is 3.
        let (hash, algorithm) = (4, 3);
        Sct {
            log_id,
            timestamp: self.timestamp,
            extensions: self.extensions.clone(),
            hash,
            algorithm,
            signature,
        }
    }

    /// Returns the TileLeaf that a static CT log stores (static-ct-api, "Log Entries").
    ///
    /// `chain` holds the SHA-256 fingerprints of the issuer's certificate and those above it.
    #[must_use]
    pub fn tile_leaf(&self, precertificate: &[u8], chain: &[[u8; 32]]) -> Vec<u8> {
        let mut leaf = sct::timestamped_entry(
            self.timestamp,
            &self.issuer_key_hash,
            &self.tbs_certificate,
            &self.extensions,
        );
        // Certificates of our own making are far below 2^24 bytes, and chains of fingerprints below 2^16: an overflow
        // would show as a length that no reader accepts, never as another entry.
        let length = u32::try_from(precertificate.len()).unwrap_or(u32::MAX);
        leaf.extend_from_slice(&length.to_be_bytes()[1..]);
        leaf.extend_from_slice(precertificate);
        let length = u16::try_from(chain.len() * 32).unwrap_or(u16::MAX);
        leaf.extend_from_slice(&length.to_be_bytes());
        leaf.extend_from_slice(&chain.concat());
        leaf
    }
}

/// Returns the CtExtensions that name the entry's place: type 0, two bytes of length, 40 bits of index.
///
/// spec: static-ct-api, "SCT Extension": every SCT of a static log carries it.
#[must_use]
pub fn leaf_index(index: u64) -> Vec<u8> {
    let [_, _, _, index @ ..] = index.to_be_bytes();
    [&[0, 0, 5], index.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> SctTemplate {
        SctTemplate {
            timestamp: UnixTime::from_millis(0x0102_0304),
            issuer_key_hash: [7; 32],
            tbs_certificate: vec![0x30, 0],
            extensions: leaf_index(0x01_0203),
        }
    }

    #[test]
    fn the_leaf_index_has_forty_bits() {
        assert_eq!(leaf_index(0x01_0203), [0, 0, 5, 0, 0, 1, 2, 3]);
    }

    #[test]
    fn the_signed_bytes_follow_rfc_6962() {
        let expected = [
            [0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 1].as_slice(),
            &[7; 32],
            &[0, 0, 2, 0x30, 0],
            &[0, 8, 0, 0, 5, 0, 0, 1, 2, 3],
        ]
        .concat();
        assert_eq!(template().to_be_signed(), expected);
    }

    #[test]
    fn a_tile_leaf_continues_the_signed_entry() {
        let leaf = template().tile_leaf(&[9; 3], &[[1; 32], [2; 32]]);
        let entry = &template().to_be_signed()[2..];
        assert_eq!(leaf[..entry.len()], *entry);
        assert_eq!(leaf[entry.len()..][..8], [0, 0, 3, 9, 9, 9, 0, 64]);
    }
}
