//! Collect, verify, and fix the set: from then on it is the same whatever becomes of its sources.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stella_archive::leaf::Status;
use stella_archive::retention::{self, Hold};
use stella_archive::statement::{Coverage, Period, Profile};
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{Trust, Verifier};

use super::super::before::Before;
use super::super::coverage::Logged;
use super::super::error::ArchiveError;
use super::super::examine::{Incoming, examine_stream};
use super::super::known::Known;
use super::super::pack::write_part;
use super::super::retention::Recorded;
use super::super::share;
use super::super::spool::{Counted, Finding, SpoolWriter};
use super::{Job, Logs, Phase, Prune, write_json};

/// The frozen set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Frozen {
    /// SHA-256 of the statement before, in hex; empty for the first.
    pub(super) predecessor: String,
    /// The keyset in force.
    pub(super) keyset: u64,
    pub(super) period: Period,
    pub(super) profiles: Vec<Profile>,
    pub(super) coverage: Vec<Coverage>,
    pub(super) missing: BTreeMap<String, Vec<u64>>,
    /// Reasons of refusal.
    pub(super) reasons: Vec<String>,
    pub(super) refused: BTreeMap<String, u64>,
    /// Attestations that hold.
    pub(super) verified: u64,
    pub(super) archived_before: u64,
    pub(super) earlier: u64,
    pub(super) later: u64,
    pub(super) raw: u64,
    /// Holds that are not archived yet.
    pub(super) holds: Vec<Hold>,
    /// What is to be let go.
    pub(super) prunes: Vec<retention::Prune>,
}

/// Collects and verifies; the set is frozen when `frozen.json` is there.
pub(super) async fn freeze(
    job: &Job<'_>,
    before: &Before,
    folder: &Path,
    incoming: Incoming<'_>,
) -> Result<Frozen, ArchiveError> {
    let trusted_root = TrustedRoot::parse(job.trusted_root)?;
    let verifier = Verifier::new(Trust::new(&trusted_root), job.policy.clone());
    // What will be needed again is kept: it may be another tomorrow.
    write_part(folder, "root.json", job.trusted_root)?;
    let mut frozen = Frozen {
        predecessor: before.predecessor(),
        keyset: job.keysets.newest()?.version,
        period: job.period.clone(),
        profiles: vec![share::profile(job.trusted_root, job.policy_digest)],
        coverage: Vec::new(),
        missing: BTreeMap::new(),
        reasons: Vec::new(),
        refused: BTreeMap::new(),
        verified: 0,
        archived_before: 0,
        earlier: 0,
        later: 0,
        raw: 0,
        holds: Vec::new(),
        prunes: Vec::new(),
    };
    record_retention(job, before, &mut frozen).await?;
    let known = Known::read(&before.periods).await?;
    let mut spool = SpoolWriter::create(folder)?;
    let mut logged = Logged::default();
    let take = |bytes: Vec<u8>, finding: Finding| {
        if job.logs == Logs::Own {
            logged.add(&finding.entries);
        }
        take(job, &known, &mut spool, &mut frozen, &bytes, &finding)
    };
    let (threads, now) = (job.threads, job.session.now);
    let done = |seen| (job.done)(Phase::Collecting, seen);
    examine_stream(incoming, Arc::new(verifier), threads, now, &done, take).await?;
    let Counted { verified, reasons } = spool.finish()?;
    (frozen.verified, frozen.reasons) = (verified, reasons);
    if job.logs == Logs::Own {
        let reconciled = logged.reconcile(&before.history, before.manifest.as_ref());
        (frozen.coverage, frozen.missing) = (reconciled.coverage, reconciled.missing);
    }
    write_json(folder, "frozen.json", &frozen)?;
    Ok(frozen)
}

/// Notes the holds that are not archived yet, and what is to be let go.
async fn record_retention(
    job: &Job<'_>,
    before: &Before,
    frozen: &mut Frozen,
) -> Result<(), ArchiveError> {
    let holds = job.keysets.holds()?;
    if holds.is_empty() && job.prune == Prune::Keep {
        return Ok(());
    }
    let mut recorded = Recorded::read(&before.periods, &job.storage).await?;
    frozen.holds = recorded.add(&holds)?;
    if job.prune == Prune::LetGo {
        // By the end of the period, not by now: the same set gives the same statement.
        let (months, at) = (job.months, job.period.end);
        frozen.prunes = recorded.prune(&before.periods, months, at).await?;
    }
    Ok(())
}

/// Puts an attestation into the spool, unless it belongs to another period.
fn take(
    job: &Job<'_>,
    known: &Known,
    spool: &mut SpoolWriter,
    frozen: &mut Frozen,
    bytes: &[u8],
    finding: &Finding,
) -> Result<(), ArchiveError> {
    let time = finding.time.map(UnixTime::from_seconds);
    if time.is_some_and(|time| time >= job.period.end) {
        frozen.later += 1;
        return Ok(());
    }
    if time
        .zip(job.since)
        .is_some_and(|(time, since)| time < since)
    {
        frozen.earlier += 1;
        return Ok(());
    }
    if known.has(&finding.digest.sha256, &finding.status) {
        frozen.archived_before += 1;
        return Ok(());
    }
    if let Status::Rejected(reason) = &finding.status {
        *frozen.refused.entry(reason.clone()).or_default() += 1;
    }
    frozen.raw += bytes.len() as u64;
    spool.push(bytes, finding)
}
