//! What was sealed before a period: the newest archive's past, and the tree that goes on.

use std::sync::Arc;

use stella_archive::anchor::Anchor;
use stella_archive::fall::Falls;
use stella_archive::history::{self, History};
use stella_archive::nodes;
use stella_archive::statement::Manifest;
use stella_bundle::key::sha256;
use stella_tlog::tree::Frontier;

use super::error::{ArchiveError, Mismatch};
use super::open::{self, Archive};
use super::run::Job;

/// What was sealed before this period.
pub(super) struct Before {
    /// The newest archive's past; empty for the first.
    pub(super) history: History,
    /// Trusted roots of earlier profiles.
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) manifest: Option<Manifest>,
    pub(super) frontier: Frontier,
    /// Earlier archives, newest first.
    pub(super) archives: Vec<Archive>,
}

impl Before {
    pub(super) async fn read(job: &Job<'_>) -> Result<Self, ArchiveError> {
        let mut listed = open::list(&job.storage).await?;
        // A run that was killed may have published this very period.
        listed.retain(|each| each.name != job.period.name);
        let mut archives = Vec::new();
        for each in listed.iter().rev() {
            archives.push(Archive::open(Arc::clone(&job.storage), &each.name).await?);
        }
        let Some(newest) = archives.first() else {
            return Ok(Self {
                history: History::default(),
                roots: Vec::new(),
                manifest: None,
                frontier: Frontier::new(),
                archives,
            });
        };
        // It is ours, and whole in its past.
        let (history, roots) = newest.history().await?;
        // By its own newest keyset, which is one of ours: time may have passed over the first one's authorities.
        let version = history.keysets.len() as u64;
        let anchor = job.keysets.anchor(Some(version)).map(Anchor::Organisation);
        let anchor = anchor.ok_or(ArchiveError::Mismatch(Mismatch::Before))?;
        let now = (job.session.now)();
        let judgement = history::judge(&history, &anchor, &Falls::default(), None, now)?;
        let manifest = judgement.newest().map(|each| each.manifest.clone());
        let manifest = manifest.ok_or(ArchiveError::Mismatch(Mismatch::Before))?;
        // The edge of the tree after it.
        let (edge, end) = (newest.frontier().await?, manifest.tree.size);
        let frontier = newest
            .with_nodes(&edge, end, |nodes| nodes::edge(nodes, end))
            .await?;
        if *frontier.root().as_bytes() != manifest.tree.root {
            return Err(ArchiveError::Mismatch(Mismatch::Before));
        }
        Ok(Self {
            history,
            roots,
            manifest: Some(manifest),
            frontier,
            archives,
        })
    }

    /// Names the statement before this one.
    pub(super) fn predecessor(&self) -> String {
        let last = self.history.statements.last();
        last.map_or_else(String::new, |last| hex::encode(sha256(&last.bytes)))
    }
}
