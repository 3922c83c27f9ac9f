//! Digests of artifacts and messages: an algorithm and its bytes.

use std::fmt;

use aws_lc_rs::digest;

/// A hash function of the SHA-2 family (FIPS 180-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DigestAlgorithm {
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl DigestAlgorithm {
    /// All algorithms, weakest first.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Returns the name that in-toto and OCI use: `sha256`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns the name that Sigstore's protobuf uses: `SHA2_256`.
    pub const fn sigstore_name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA2_256",
            Self::Sha384 => "SHA2_384",
            Self::Sha512 => "SHA2_512",
        }
    }

    /// Returns the length of a digest in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Finds the algorithm of this in-toto name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    /// Finds the algorithm of this Sigstore name, or of its number in Sigstore's protobuf in decimal digits.
    pub fn from_sigstore_name_or_number(text: &str) -> Option<Self> {
        let number = |algorithm: &Self| match algorithm {
            Self::Sha256 => "1",
            Self::Sha384 => "2",
            Self::Sha512 => "3",
        };
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.sigstore_name() == text || number(algorithm) == text)
    }

    /// Returns the digest of `message`.
    pub fn digest(self, message: &[u8]) -> Digest {
        Digest {
            algorithm: self,
            bytes: digest::digest(self.backend(), message).as_ref().to_vec(),
        }
    }

    pub(crate) fn backend(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// Computes a digest piece by piece, for artifacts that are read in a stream.
pub struct DigestStream {
    algorithm: DigestAlgorithm,
    context: digest::Context,
}

impl DigestStream {
    /// Starts a digest.
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        Self {
            algorithm,
            context: digest::Context::new(algorithm.backend()),
        }
    }

    /// Adds the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.context.update(piece);
    }

    /// Ends the digest.
    pub fn finish(self) -> Digest {
        Digest {
            algorithm: self.algorithm,
            bytes: self.context.finish().as_ref().to_vec(),
        }
    }
}

/// A digest whose length is that of its algorithm.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: DigestAlgorithm,
    bytes: Vec<u8>,
}

impl Digest {
    /// Returns the digest with these bytes, or none when their length is another's.
    pub fn new(algorithm: DigestAlgorithm, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == algorithm.size()).then(|| Self {
            algorithm,
            bytes: bytes.to_vec(),
        })
    }

    /// Reads `sha256:<64 hex digits>`, and likewise for the other algorithms; lower-case hex only, as OCI has it.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, digits) = text.split_once(':')?;
        Self::from_hex(DigestAlgorithm::from_name(name)?, digits)
    }

    /// Reads lower-case hex digits of the algorithm's length.
    pub fn from_hex(algorithm: DigestAlgorithm, digits: &str) -> Option<Self> {
        if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
            return None;
        }
        Self::new(algorithm, &hex::decode(digits).ok()?)
    }

    /// Returns the algorithm.
    pub const fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the bytes as lower-case hex digits.
    pub fn hex(&self) -> String {
        hex::encode(&self.bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_digest_prints_as_it_parses() {
        let digest = DigestAlgorithm::Sha256.digest(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::parse(text).unwrap(), digest);
    }

    #[test]
    fn digests_of_another_length_alphabet_or_algorithm_are_refused() {
        let upper = "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
        for text in [
            upper,
            "sha256:",
            "sha256:00",
            "md5:00",
            "e3b0",
            "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert_eq!(Digest::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_stream_gives_the_digest_of_the_whole() {
        let mut stream = DigestStream::new(DigestAlgorithm::Sha512);
        stream.update(b"ab");
        stream.update(b"c");
        assert_eq!(stream.finish(), DigestAlgorithm::Sha512.digest(b"abc"));
    }
}
