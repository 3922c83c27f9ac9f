//! The artifact as a stream that is read once; its SHA-256 is taken on the way, whatever else is.

use std::io::{ErrorKind, Read};

use stella_bundle::digest::{Digest, DigestAlgorithm, DigestStream};

use crate::ForeignError;

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// Schemes without a hash of their own need the whole artifact in memory; minisign has this very limit.
const MAX_WHOLE: usize = 1 << 30;

/// An artifact that is being read.
pub(crate) struct Artifact<'a> {
    reader: &'a mut dyn Read,
    sha256: DigestStream,
}

impl<'a> Artifact<'a> {
    pub(crate) fn new(reader: &'a mut dyn Read) -> Self {
        Self {
            reader,
            sha256: DigestStream::new(DigestAlgorithm::Sha256),
        }
    }

    /// Hands every piece up to the end to `take`, which may refuse to go on.
    pub(crate) fn each(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), ForeignError>,
    ) -> Result<(), ForeignError> {
        let mut buffer = vec![0; PIECE];
        loop {
            let count = match self.reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    let reason = error.to_string();
                    return Err(ForeignError::Artifact { reason });
                }
            };
            let piece = buffer.get(..count).unwrap_or_default();
            self.sha256.update(piece);
            take(piece)?;
        }
    }

    /// Reads everything into memory.
    pub(crate) fn whole(&mut self) -> Result<Vec<u8>, ForeignError> {
        self.whole_up_to(MAX_WHOLE)
    }

    /// Reads everything into memory, which must be `limit` bytes at most.
    pub(crate) fn whole_up_to(&mut self, limit: usize) -> Result<Vec<u8>, ForeignError> {
        let mut whole = Vec::new();
        self.each(|piece| {
            if piece.len() > limit - whole.len() {
                return Err(ForeignError::ArtifactTooLarge { limit });
            }
            whole.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(whole)
    }

    /// Computes the digest of everything.
    pub(crate) fn digest(&mut self, algorithm: DigestAlgorithm) -> Result<Digest, ForeignError> {
        self.framed_digest(algorithm, &[], &[])
    }

    /// Computes the digest of everything between what a format puts before and after it.
    pub(crate) fn framed_digest(
        &mut self,
        algorithm: DigestAlgorithm,
        before: &[u8],
        after: &[u8],
    ) -> Result<Digest, ForeignError> {
        let mut stream = DigestStream::new(algorithm);
        stream.update(before);
        self.each(|piece| {
            stream.update(piece);
            Ok(())
        })?;
        stream.update(after);
        Ok(stream.finish())
    }

    /// Computes the digests by all algorithms in one pass.
    pub(crate) fn all_digests(&mut self) -> Result<[Digest; 3], ForeignError> {
        let mut streams = DigestAlgorithm::ALL.map(DigestStream::new);
        self.each(|piece| {
            streams.iter_mut().for_each(|each| each.update(piece));
            Ok(())
        })?;
        Ok(streams.map(DigestStream::finish))
    }

    /// Returns the SHA-256 of the artifact.
    pub(crate) fn finish(mut self) -> Result<Digest, ForeignError> {
        self.each(|_| Ok(()))?;
        Ok(self.sha256.finish())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_that_is_too_large_for_memory_is_refused() {
        let mut bytes: &[u8] = &[7; 100];
        let error = Artifact::new(&mut bytes).whole_up_to(99);
        assert_eq!(error, Err(ForeignError::ArtifactTooLarge { limit: 99 }));
        let mut bytes: &[u8] = &[7; 100];
        let whole = Artifact::new(&mut bytes).whole_up_to(100).unwrap();
        assert_eq!(whole, [7; 100]);
    }

    #[test]
    fn a_reader_that_fails_is_no_end() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("disk"))
            }
        }
        let reason = "disk".to_owned();
        let error = Artifact::new(&mut Failing).finish();
        assert_eq!(error, Err(ForeignError::Artifact { reason }));
    }
}
