//! What was sealed before a period: the newest archive's past, and the tree that goes on.

use std::sync::Arc;

use stella_archive::anchor::Anchor;
use stella_archive::fall::Falls;
use stella_archive::fingerprint::Fingerprint;
use stella_archive::history::{self, History, Judgement};
use stella_archive::nodes;
use stella_archive::statement::Manifest;
use stella_bundle::key::sha256;
use stella_bundle::time::UnixTime;
use stella_tlog::tree::Frontier;

use super::error::{ArchiveError, Mismatch};
use super::open::{self, Archive};
use crate::keyset::{Head, KeysetFolder};
use crate::storage::Storage;

/// What was sealed before this period.
pub(super) struct Before {
    /// The newest archive's past; empty for the first.
    pub(super) history: History,
    /// Trusted roots of earlier profiles.
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) manifest: Option<Manifest>,
    pub(super) frontier: Frontier,
    /// Every earlier statement with its archive, oldest first.
    pub(super) periods: Vec<Sealed>,
}

/// A period that was sealed.
pub(crate) struct Sealed {
    pub(crate) manifest: Manifest,
    /// Of its statement's payload.
    pub(crate) statement: Fingerprint,
    /// Its files; none where the place has them no longer.
    pub(crate) archive: Option<Archive>,
}

impl Before {
    /// Reads what a place has of an organisation's archives, and judges the newest of them. `but` is a period that is about to
    /// be sealed: a run that was killed may have published it.
    pub(super) async fn read(
        storage: &Arc<dyn Storage>,
        keysets: &KeysetFolder,
        but: Option<&str>,
        now: UnixTime,
    ) -> Result<Self, ArchiveError> {
        let mut listed = open::list(storage).await?;
        listed.retain(|each| Some(each.name.as_str()) != but);
        let head = keysets.head()?;
        let head = head.filter(|head| Some(head.period.as_str()) != but);
        let Some(newest) = listed.last() else {
            return match head {
                Some(head) => Err(rolled_back(storage, head)),
                None => Ok(Self::nothing()),
            };
        };
        // 1. It is ours, and whole in its past.
        let newest = Archive::open(Arc::clone(storage), &newest.name).await?;
        let (history, roots) = newest.history().await?;
        let judgement = judge_own(&history, keysets, now)?;
        let manifest = judgement.newest().map(|each| each.manifest.clone());
        let manifest = manifest.ok_or(ArchiveError::Mismatch(Mismatch::Before))?;
        // 2. Nothing was taken back since this organisation sealed last.
        if let Some(head) = head.filter(|head| !head.is_in(&history)) {
            return Err(rolled_back(storage, head));
        }
        // 3. The edge of the tree after it.
        let (edge, end) = (newest.frontier().await?, manifest.tree.size);
        let frontier = newest
            .with_nodes(&edge, end, |nodes| nodes::edge(nodes, end))
            .await?;
        if *frontier.root().as_bytes() != manifest.tree.root {
            return Err(ArchiveError::Mismatch(Mismatch::Before));
        }
        // 4. The archives of the periods that it names.
        let mut periods = Vec::new();
        let named = judgement.statements.iter().zip(&history.statements);
        for (statement, document) in named {
            let name = &statement.manifest.period.name;
            let is_there = listed.iter().any(|each| each.name == *name);
            periods.push(Sealed {
                manifest: statement.manifest.clone(),
                statement: Fingerprint::of(&document.bytes),
                archive: match is_there {
                    true => Some(Archive::open(Arc::clone(storage), name).await?),
                    false => None,
                },
            });
        }
        Ok(Self {
            history,
            roots,
            manifest: Some(manifest),
            frontier,
            periods,
        })
    }

    fn nothing() -> Self {
        Self {
            history: History::default(),
            roots: Vec::new(),
            manifest: None,
            frontier: Frontier::new(),
            periods: Vec::new(),
        }
    }

    /// Names the statement before this one.
    pub(super) fn predecessor(&self) -> String {
        let last = self.history.statements.last();
        last.map_or_else(String::new, |last| hex::encode(sha256(&last.bytes)))
    }
}

/// Judges an archive's past by its own newest keyset, which must be one of the organisation's: another may have followed since, and time
/// may have passed over the first one's authorities.
pub(super) fn judge_own(
    history: &History,
    keysets: &KeysetFolder,
    now: UnixTime,
) -> Result<Judgement, ArchiveError> {
    let version = history.keysets.len() as u64;
    let anchor = keysets.anchor(Some(version)).map(Anchor::Organisation);
    let anchor = anchor.ok_or(ArchiveError::Mismatch(Mismatch::Before))?;
    Ok(history::judge(
        history,
        &anchor,
        &Falls::default(),
        None,
        now,
    )?)
}

fn rolled_back(storage: &Arc<dyn Storage>, head: Head) -> ArchiveError {
    ArchiveError::RolledBack {
        place: storage.name(),
        sequence: head.sequence,
        period: head.period,
    }
}
