//! What earlier periods hold: nothing is archived twice, and what was refused once may still come to be verified.

use stella_archive::leaf::{Kind, Leaf, Status};

use super::before::Sealed;
use super::error::ArchiveError;

/// Attestations of earlier periods by the first half of their digests: two that share it are not to be found.
#[derive(Default)]
pub(crate) struct Known {
    /// Sorted.
    verified: Vec<u128>,
    /// Sorted.
    rejected: Vec<u128>,
}

impl Known {
    /// Reads the leaves of earlier archives; what a place has no longer is not known.
    pub(crate) async fn read(periods: &[Sealed]) -> Result<Self, ArchiveError> {
        let mut known = Self::default();
        for period in periods {
            let Some(archive) = &period.archive else {
                continue;
            };
            let add = |_, leaf: Leaf| {
                if leaf.kind == Kind::Attestation {
                    let half = half(&leaf.digest.sha256);
                    known.of(&leaf.status).push(half);
                }
            };
            archive
                .each_stated_leaf(&period.manifest.range, add)
                .await?;
        }
        known.verified.sort_unstable();
        known.rejected.sort_unstable();
        Ok(known)
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
