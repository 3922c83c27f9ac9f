//! What a run would do.

use std::collections::BTreeMap;
use std::fs;

use stella_archive::retention::{self, Hold};
use stella_archive::statement::Coverage;

use super::super::before::Before;
use super::super::error::ArchiveError;
use super::super::examine::Incoming;
use super::freeze::freeze;
use super::{Job, lock};

/// What a run would do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whether an archive of this name is published, which a run would leave as it is.
    pub is_sealed: bool,
    /// The number that its statement would have.
    pub sequence: u64,
    /// Attestations that hold and are in no earlier period.
    pub verified: u64,
    /// Why attestations were refused, and how many for each reason.
    pub refused: BTreeMap<String, u64>,
    /// What the logs have to say about completeness.
    pub coverage: Vec<Coverage>,
    /// Entries of logs whose attestation was nowhere to be found; the first of each log.
    pub missing: BTreeMap<String, Vec<u64>>,
    /// Attestations that earlier periods hold.
    pub archived_before: u64,
    /// Attestations from before the time that was asked for.
    pub earlier: u64,
    /// Attestations of a later period.
    pub later: u64,
    /// Bytes of the attestations.
    pub raw: u64,
    /// Records of holds that would be archived.
    pub holds: Vec<Hold>,
    /// What would be let go.
    pub prunes: Vec<retention::Prune>,
}

/// Collects and verifies as a run does, and says what it would do: nothing is signed, published or let go, no key is asked.
///
/// # Errors
/// Any [`ArchiveError`] that comes before signing.
pub async fn plan(job: &Job<'_>, incoming: Incoming<'_>) -> Result<Plan, ArchiveError> {
    let folder = job.work.join(format!("{}.plan", job.period.name));
    fs::create_dir_all(&folder).map_err(|error| ArchiveError::io("make", &folder, error))?;
    let _lock = lock(job.work)?;
    let name = job.period.name.as_str();
    let now = (job.session.now)();
    job.keysets.judge(now)?;
    let before = Before::read(&job.storage, job.keysets, Some(name), now).await?;
    let frozen = freeze(job, &before, &folder, incoming).await;
    let removed = fs::remove_dir_all(&folder);
    let frozen = frozen?;
    removed.map_err(|error| ArchiveError::io("remove", &folder, error))?;
    Ok(Plan {
        is_sealed: job.storage.manifest(name).await?.is_some(),
        sequence: before.periods.len() as u64,
        verified: frozen.verified,
        refused: frozen.refused,
        coverage: frozen.coverage,
        missing: frozen.missing,
        archived_before: frozen.archived_before,
        earlier: frozen.earlier,
        later: frozen.later,
        raw: frozen.raw,
        holds: frozen.holds,
        prunes: frozen.prunes,
    })
}
