//! Prove that an archive only grew: the tree of one period is the beginning of that of a later one.
//!
//! The hashes lie in the archives of the periods between. None of them is believed: the proof must lead from the root of one
//! statement to that of the other. Whether the organisation signed those is the verifier's question.

use std::collections::HashMap;
use std::sync::Arc;

use stella_archive::growth::Growth;
use stella_archive::history::History;
use stella_archive::statement::Manifest;
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash::Hash;
use stella_tlog::proof::{self, ProofError, SubtreeHashes};
use stella_tlog::tree::{Frontier, TreeSize};

use super::error::ArchiveError;
use super::open::{self, Archive};
use crate::storage::Storage;

/// Where the older tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first period.
    First,
    /// A checkpoint that was kept.
    Kept(Checkpoint),
    /// A period.
    Period(String),
}

/// A proof with what is needed to judge whose trees these are.
#[derive(Debug)]
pub struct Proved {
    /// The proof, which leads from one root to the other.
    pub growth: Growth,
    /// The past of the newest archive of the place, not judged.
    pub history: History,
    /// The bytes of its trusted roots.
    pub roots: Vec<Vec<u8>>,
}

/// Makes a proof from the archives of a place, up to a period or to the newest.
///
/// # Errors
/// `Absent`, `Growth`, `OtherTree`, `Reversed`, `Shrunk`, and whatever hinders reading.
pub async fn prove(
    storage: &Arc<dyn Storage>,
    start: &Start,
    end: Option<&str>,
) -> Result<Proved, ArchiveError> {
    // 1. Which statements these are: the newest archive has them all.
    let listed = open::list(storage).await?;
    let absent = |name: &str| ArchiveError::Absent {
        place: storage.name(),
        name: name.to_owned(),
    };
    let newest = listed.last().ok_or_else(|| absent("at all"))?;
    let newest = Archive::open(Arc::clone(storage), &newest.name).await?;
    let (history, roots) = newest.history().await?;
    let manifests = manifests(&history)?;
    let named = |name: &str| {
        let mut manifests = manifests.iter();
        let found = manifests.position(|each| each.period.name == name);
        found.ok_or_else(|| absent(name))
    };
    let from = match start {
        Start::First => 0,
        Start::Kept(kept) => kept_among(&manifests, kept)?,
        Start::Period(name) => named(name)?,
    };
    let to = match end {
        Some(name) => named(name)?,
        None => manifests.len().saturating_sub(1),
    };
    let (Some(older), Some(newer)) = (manifests.get(from), manifests.get(to)) else {
        return Err(absent("at all"));
    };
    if from > to {
        return Err(ArchiveError::Reversed {
            from: older.period.name.clone(),
            to: newer.period.name.clone(),
        });
    }

    // 2. The hashes that the proof is made of, each from the archive whose period completed it.
    let mut between = Vec::new();
    for manifest in &manifests[from + 1..=to] {
        if manifest.range.start < manifest.range.end {
            between.push(Part::open(storage, manifest).await?);
        }
    }
    let (old, new) = (TreeSize(older.tree.size), TreeSize(newer.tree.size));
    let growth = Growth {
        from: older.checkpoint(),
        to: newer.checkpoint(),
        path: path(&between, old, new).await?,
    };

    // 3. Wrong ones lead nowhere.
    growth.verify()?;
    Ok(Proved {
        growth,
        history,
        roots,
    })
}

/// Returns what each statement says; nobody's signature is asked.
fn manifests(history: &History) -> Result<Vec<Manifest>, ArchiveError> {
    let unreadable = |_| ArchiveError::Unreadable {
        what: History::FILE.to_owned(),
    };
    let documents = history.statements.iter();
    documents
        .map(|each| each.to_manifest().map_err(unreadable))
        .collect()
}

/// Finds the statement whose tree was kept.
fn kept_among(manifests: &[Manifest], kept: &Checkpoint) -> Result<usize, ArchiveError> {
    let found = manifests.iter().position(|each| each.checkpoint() == *kept);
    let newest = manifests.last().map_or(0, |each| each.tree.size);
    found.ok_or(match kept.size.0 > newest {
        true => ArchiveError::Shrunk {
            kept: kept.size,
            newest: TreeSize(newest),
        },
        false => ArchiveError::OtherTree(kept.size),
    })
}

/// An archive that completed some of the subtrees.
struct Part {
    archive: Archive,
    edge: Frontier,
    end: u64,
}

impl Part {
    async fn open(storage: &Arc<dyn Storage>, manifest: &Manifest) -> Result<Self, ArchiveError> {
        let archive = Archive::open(Arc::clone(storage), &manifest.period.name).await?;
        Ok(Self {
            edge: archive.frontier().await?,
            end: manifest.tree.size,
            archive,
        })
    }

    async fn subtree(&self, level: u8, index: u64) -> Result<Hash, ArchiveError> {
        let ask = self
            .archive
            .with_nodes(&self.edge, self.end, |nodes| nodes.subtree(level, index));
        ask.await
    }
}

/// Hashes that were read.
#[derive(Default)]
struct Known(HashMap<(u8, u64), Hash>);

impl SubtreeHashes for Known {
    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        self.0.get(&(level, index)).copied()
    }
}

/// Makes the proof: a hash that is missing is read, and it is tried again.
async fn path(between: &[Part], old: TreeSize, new: TreeSize) -> Result<Vec<Hash>, ArchiveError> {
    let mut known = Known::default();
    loop {
        let (level, index) = match proof::prove_consistency(&known, old, new) {
            Err(ProofError::MissingSubtree { level, index }) => (level, index),
            made => return Ok(made?),
        };
        // It is complete within the newer tree: some period ends behind it. Those before the older tree's end are its edge.
        let last = (index + 1) << level;
        let missing = || ProofError::MissingSubtree { level, index };
        let part = between.iter().find(|part| part.end >= last);
        let hash = part.ok_or_else(missing)?.subtree(level, index).await?;
        known.0.insert((level, index), hash);
    }
}
