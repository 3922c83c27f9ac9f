//! Two digests of the same bytes, by hash functions of two families: when one falls the other still names them.

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// SHA-256 (FIPS 180-4) and SHA3-256 (FIPS 202) of some bytes; in JSON `{"sha256":"…","sha3":"…"}`, 64 hex digits each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// SHA-256, 32 bytes.
    #[serde(with = "hex32")]
    pub sha256: [u8; 32],
    /// SHA3-256, 32 bytes.
    #[serde(with = "hex32")]
    pub sha3: [u8; 32],
}

impl Fingerprint {
    /// Returns both digests of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut stream = FingerprintStream::default();
        stream.update(bytes);
        stream.finish()
    }
}

impl fmt::Debug for Fingerprint {
    /// Prints SHA-256 alone: enough to tell them apart.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fingerprint({})", hex::encode(self.sha256))
    }
}

/// Both digests of bytes that come piece by piece.
#[derive(Clone)]
pub struct FingerprintStream {
    sha256: digest::Context,
    sha3: digest::Context,
}

impl Default for FingerprintStream {
    fn default() -> Self {
        Self {
            sha256: digest::Context::new(&digest::SHA256),
            sha3: digest::Context::new(&digest::SHA3_256),
        }
    }
}

impl FingerprintStream {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.sha3.update(piece);
    }

    /// Returns both digests.
    #[must_use]
    pub fn finish(self) -> Fingerprint {
        Fingerprint {
            sha256: to_array(&self.sha256.finish()),
            sha3: to_array(&self.sha3.finish()),
        }
    }
}

/// Returns SHA3-256 of `bytes`.
#[must_use]
pub fn sha3(bytes: &[u8]) -> [u8; 32] {
    to_array(&digest::digest(&digest::SHA3_256, bytes))
}

fn to_array(digest: &digest::Digest) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(digest.as_ref());
    array
}

/// 32 bytes as 64 lower-case hex digits.
pub(crate) mod hex32 {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        bytes: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| D::Error::custom("expected 64 lower-case hex digits"))
    }

    /// Reads 64 lower-case hex digits.
    pub(crate) fn parse(text: &str) -> Option<[u8; 32]> {
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let mut bytes = [0; 32];
        (is_lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn both_digests_are_the_published_ones() {
        // spec: FIPS 180-4 and FIPS 202, the example message "abc".
        let text = serde_json::to_string(&Fingerprint::of(b"abc")).unwrap();
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let sha3 = "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532";
        assert_eq!(text, format!(r#"{{"sha256":"{sha256}","sha3":"{sha3}"}}"#));
        let read: Fingerprint = serde_json::from_str(&text).unwrap();
        assert_eq!(read, Fingerprint::of(b"abc"));
        for wrong in [
            text.replace("ba78", "BA78"),
            text.replace("ad\"", "\""),
            text.replace("\"sha3\"", "\"md5\""),
        ] {
            assert!(
                serde_json::from_str::<Fingerprint>(&wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
