//! What earlier periods hold: nothing is archived twice, and what was refused once may still come to be verified.

use stella_archive::frames::{self, Class};
use stella_archive::leaf::{Kind, Leaf, Status};

use super::error::ArchiveError;
use super::open::Archive;

/// Bytes of a compressed blob.
const MAX_BLOB: u64 = 256 << 20;

/// Attestations of earlier periods by the first half of their digests: two that share it are not to be found.
#[derive(Default)]
pub(crate) struct Known {
    /// Sorted.
    verified: Vec<u128>,
    /// Sorted.
    rejected: Vec<u128>,
}

impl Known {
    /// Reads the leaves of earlier archives.
    pub(crate) async fn read(archives: &[Archive]) -> Result<Self, ArchiveError> {
        let mut known = Self::default();
        for archive in archives {
            for name in archive.blobs(Class::Leaves) {
                let blob = archive.read(&name, MAX_BLOB).await?;
                known.add(&name, &blob)?;
            }
        }
        known.verified.sort_unstable();
        known.rejected.sort_unstable();
        Ok(known)
    }

    fn add(&mut self, name: &str, blob: &[u8]) -> Result<(), ArchiveError> {
        let wrong = |error| ArchiveError::Frame {
            part: name.to_owned(),
            error,
        };
        for frame in frames::split(blob).map_err(wrong)? {
            let lines = frames::decompress(frame, frames::MAX_FRAME).map_err(wrong)?;
            for line in lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                let leaf = Leaf::parse(line);
                let leaf = leaf.map_err(|error| ArchiveError::Leaf { index: 0, error })?;
                if leaf.kind == Kind::Attestation {
                    self.of(&leaf.status).push(half(&leaf.digest.sha256));
                }
            }
        }
        Ok(())
    }

    fn of(&mut self, status: &Status) -> &mut Vec<u128> {
        match status {
            Status::Verified => &mut self.verified,
            Status::Rejected(_) => &mut self.rejected,
        }
    }

    /// Says whether an attestation is archived in such a way that this finding adds nothing.
    pub(crate) fn has(&self, sha256: &[u8; 32], found: &Status) -> bool {
        let half = half(sha256);
        let is_rejected = *found != Status::Verified;
        let holds = |list: &[u128]| list.binary_search(&half).is_ok();
        holds(&self.verified) || (is_rejected && holds(&self.rejected))
    }
}

fn half(sha256: &[u8; 32]) -> u128 {
    let mut first = [0; 16];
    first.copy_from_slice(&sha256[..16]);
    u128::from_be_bytes(first)
}
