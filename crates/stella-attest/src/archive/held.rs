//! What an archive holds, as the gate takes it: judged by the organisation's anchor, and verified again by the trusted root of its
//! time.
//!
//! What a policy asks, and who may have signed, is asked of it as of every other attestation.

use std::collections::HashMap;
use std::sync::Arc;

use stella_archive::anchor::Anchor;
use stella_archive::fall::Falls;
use stella_archive::history::{self, Existence, History, HistoryError, Judgement, Reach};
use stella_archive::levels::{Archived, Missing, Refusal, Reverifier, Scales, read_roots};
use stella_bundle::bundle::Bundle;
use stella_bundle::digest::Digest;
use stella_bundle::memo::Memo;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{Artifact, Policy, Report};

use super::error::ArchiveError;
use super::extract::{self, Extracted};
use super::open::{self, Archive};
use crate::storage::Storage;

/// All archives of a place, the newest first.
pub struct Holdings(Vec<Archive>);

impl Holdings {
    /// Opens every archive of a place.
    ///
    /// # Errors
    /// `Absent` where there is none, `Storage`, and as [`Archive::open`].
    pub async fn open(storage: &Arc<dyn Storage>) -> Result<Self, ArchiveError> {
        let mut archives = Vec::new();
        for each in open::list(storage).await?.iter().rev() {
            archives.push(Archive::open(Arc::clone(storage), &each.name).await?);
        }
        match archives.is_empty() {
            true => Err(ArchiveError::Absent {
                place: storage.name(),
                name: "at all".to_owned(),
            }),
            false => Ok(Self(archives)),
        }
    }

    /// Reads the past, as the newest archive has it, and the bytes of its trusted roots.
    ///
    /// # Errors
    /// As [`Archive::history`].
    pub async fn history(&self) -> Result<(History, Vec<Vec<u8>>), ArchiveError> {
        let newest = self.0.first();
        let newest = newest.ok_or_else(|| ArchiveError::Part(History::FILE.to_owned()))?;
        newest.history().await
    }

    /// Finds every attestation about one of these digests, of whatever period. Nothing is proved.
    ///
    /// # Errors
    /// Whatever hinders reading.
    pub async fn about(&self, artifact: &[Digest]) -> Result<Vec<Extracted>, ArchiveError> {
        let mut found: Vec<Extracted> = Vec::new();
        for archive in &self.0 {
            for digest in artifact {
                match extract::find(archive, digest).await {
                    Ok(more) => found.extend(more),
                    Err(ArchiveError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        found.sort_by_key(|each| each.proof.index);
        found.dedup_by_key(|each| each.proof.index);
        Ok(found)
    }
}

/// An archive whose past the anchor believes.
#[derive(Debug)]
pub struct JudgedArchive {
    judgement: Judgement,
    roots: Vec<([u8; 32], TrustedRoot)>,
    barred: Vec<[u8; 32]>,
    now: UnixTime,
}

impl JudgedArchive {
    /// Judges the past of an archive. `accepts` says of a trusted root that the organisation signed whether the verifier lets it
    /// count.
    ///
    /// # Errors
    /// Any [`HistoryError`].
    pub fn judge(
        mut history: History,
        roots: &[Vec<u8>],
        anchor: &Anchor,
        accepts: impl Fn(&[u8; 32], &TrustedRoot) -> bool,
        now: UnixTime,
    ) -> Result<Self, HistoryError> {
        let roots = read_roots(roots);
        history.roots = roots.iter().map(|(_, root)| root.clone()).collect();
        let barred = roots.iter().filter(|(digest, root)| !accepts(digest, root));
        Ok(Self {
            judgement: history::judge(&history, anchor, &Falls::default(), None, now)?,
            barred: barred.map(|(digest, _)| *digest).collect(),
            roots,
            now,
        })
    }

    /// Weighs by this archive's own words; what else the verifier knows is in its policy.
    fn scales<'a>(&'a self, policy: &'a Policy, known: &'a Falls) -> Scales<'a> {
        Scales {
            judgement: &self.judgement,
            roots: &self.roots,
            own: None,
            known,
            policy,
            now: self.now,
        }
    }

    /// Returns the digest of the trusted root by which something was verified when it was archived.
    fn root_of(&self, archived: &Archived) -> Option<[u8; 32]> {
        let at = usize::try_from(archived.sequence).ok()?;
        let manifest = &self.judgement.statements.get(at)?.manifest;
        let profile = manifest.profiles.get(archived.leaf.profile as usize)?;
        Some(profile.trusted_root)
    }
}

/// By whose trusted root what is archived is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootOf {
    /// By that of its time, which the organisation signed (L1).
    Archive,
    /// By the verifier's own (L2).
    Verifier,
}

/// An attestation with its place in an archive that was judged.
#[derive(Clone, Debug)]
pub struct Held {
    /// The archive.
    pub archive: Arc<JudgedArchive>,
    /// Its place; the bytes are the candidate's.
    pub place: Extracted,
    /// By whose trusted root it is verified.
    pub by: RootOf,
}

impl Held {
    /// Requires that the archive holds exactly these bytes, and recorded that they verified (L0).
    pub(crate) fn require_archived(
        self,
        bytes: &[u8],
        policy: &Policy,
    ) -> Result<InArchive, NotHeld> {
        let known = Falls::default();
        let mut place = self.place.place();
        place.bundle = Some(bytes);
        let archived = self.archive.scales(policy, &known).archived(&place)?;
        Ok(InArchive {
            index: self.place.proof.index,
            archive: self.archive,
            archived,
            by: self.by,
        })
    }
}

/// An attestation of which the archive proves that it was archived (L0).
#[derive(Clone, Debug)]
pub struct InArchive {
    archive: Arc<JudgedArchive>,
    archived: Archived,
    index: u64,
    /// By whose trusted root it is verified.
    pub by: RootOf,
}

impl InArchive {
    /// Returns whose archive it is.
    #[must_use]
    pub fn origin(&self) -> &str {
        let newest = self.archive.judgement.newest();
        newest.map_or("", |each| &each.manifest.origin)
    }

    /// Returns the period that archived it.
    #[must_use]
    pub fn period(&self) -> &str {
        let at = usize::try_from(self.archived.sequence).unwrap_or(usize::MAX);
        let statement = self.archive.judgement.statements.get(at);
        statement.map_or("", |each| &each.manifest.period.name)
    }

    /// Returns the index of its leaf.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Returns by when it was archived.
    #[must_use]
    pub const fn existence(&self) -> &Existence {
        &self.archived.existence
    }

    /// Returns the digest of the trusted root by which it was verified when it was archived: `sha256:` and hex.
    #[must_use]
    pub fn trusted_root(&self) -> Option<String> {
        let root = self.archive.root_of(&self.archived)?;
        Some(format!("sha256:{}", hex::encode(root)))
    }
}

/// The ways in which an archive does not show what it should of an attestation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotHeld {
    /// Something that it takes is not there.
    #[error("the archive cannot say whether it verifies: {0}")]
    Missing(#[from] Missing),
    /// It is not what the archive holds.
    #[error("the archive does not prove it: {0}")]
    Refused(#[from] Refusal),
    /// The verifier does not believe the trusted root of that time.
    #[error(
        "it was verified by the trusted root {digest} when it was archived, which is none that is accepted here"
    )]
    RootNotAccepted {
        /// The root's.
        digest: String,
    },
}

/// Verifies again what archives hold, each by the trusted root of its time.
pub(crate) struct Reverifiers<'a> {
    policy: &'a Policy,
    /// By archive (its address) and statement, one for each profile: a trusted root is made ready once.
    ready: HashMap<(usize, u64), Vec<Option<Reverifier>>>,
}

impl<'a> Reverifiers<'a> {
    /// Asks this of every attestation.
    pub(crate) fn new(policy: &'a Policy) -> Self {
        Self {
            policy,
            ready: HashMap::new(),
        }
    }

    /// Verifies an attestation by the trusted root of its time, less what fell before it provably existed.
    pub(crate) fn verify(
        &mut self,
        held: &InArchive,
        bundle: Bundle,
        artifact: &Artifact<'_>,
    ) -> Result<Report, NotHeld> {
        let archive = &held.archive;
        if archive.judgement.reach == Reach::KeyAlone {
            return Err(Missing::Anchor.into());
        }
        let root = archive.root_of(&held.archived);
        if let Some(digest) = root.filter(|root| archive.barred.contains(root)) {
            let digest = format!("sha256:{}", hex::encode(digest));
            return Err(NotHeld::RootNotAccepted { digest });
        }
        let (sequence, policy) = (held.archived.sequence, self.policy);
        let key = (Arc::as_ptr(archive).addr(), sequence);
        let make = || {
            archive
                .scales(policy, &Falls::default())
                .reverifiers(sequence)
        };
        let ready = self.ready.entry(key).or_insert_with(make);
        let reverifier = ready.get(held.archived.leaf.profile as usize);
        let reverifier = reverifier.and_then(Option::as_ref);
        let reverifier = reverifier.ok_or(Missing::TrustedRoot)?;
        Ok(reverifier.report(bundle, artifact, archive.now, &Memo::default())?)
    }
}
