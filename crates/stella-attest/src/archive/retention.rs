//! Retention: which bytes may go, what holds them, and letting them go.
//!
//! A record comes first, signed with the statement of a period; only then the bytes go. What cannot be read holds everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stella_archive::fingerprint::Fingerprint;
use stella_archive::frames::Class;
use stella_archive::leaf::{Kind, Leaf};
use stella_archive::retention::{Held, Hold, Holds, Prune, due};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::time::UnixTime;
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, ManifestKind, RawManifest};

use super::before::{Before, Sealed};
use super::error::ArchiveError;
use super::open::{Archive, LET_GO, TITLE};
use super::search;
use crate::keyset::KeysetFolder;
use crate::storage::{Removal, Storage};

/// The classes whose bytes are let go; records stay for ever.
const GOING: [Class; 2] = [Class::Evidence, Class::Rejected];

/// What becomes of the bytes of a period's attestations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They are kept until then.
    Kept(UnixTime),
    /// They are due, and held by these cases.
    Held(Vec<String>),
    /// They are due, and nothing holds them: the next statement may record that they go.
    Due,
    /// It is recorded that they go, and they are still there.
    Recorded,
    /// They were let go.
    Gone,
    /// The place has the period's archive no longer.
    Absent,
}

/// A period with what becomes of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Its name.
    pub period: String,
    /// How many attestations it has.
    pub attestations: u64,
    /// Bytes that are there.
    pub size: u64,
    /// What becomes of them.
    pub fate: Fate,
}

/// What an organisation has said about retention.
pub struct Retention {
    periods: Vec<Sealed>,
    recorded: Recorded,
}

impl Retention {
    /// Reads what is said in the archives of a place and in the organisation's folder.
    ///
    /// # Errors
    /// Whatever hinders reading; `Absent` where an archive with records is not there.
    pub async fn read(
        storage: &Arc<dyn Storage>,
        keysets: &KeysetFolder,
        now: UnixTime,
    ) -> Result<Self, ArchiveError> {
        let before = Before::read(storage, keysets, None, now).await?;
        let mut recorded = Recorded::read(&before.periods, storage).await?;
        recorded.add(&keysets.holds()?)?;
        Ok(Self {
            periods: before.periods,
            recorded,
        })
    }

    /// Returns the holds in force.
    #[must_use]
    pub fn holds(&self) -> &Holds {
        &self.recorded.holds
    }

    /// Says what becomes of every period that has attestations.
    ///
    /// # Errors
    /// Whatever hinders reading what a hold asks for.
    pub async fn outlook(&self, months: u32, now: UnixTime) -> Result<Vec<Outlook>, ArchiveError> {
        let mut all = Vec::new();
        for period in &self.periods {
            let counts = period.manifest.counts;
            let attestations = counts.verified + counts.rejected;
            if attestations == 0 {
                continue;
            }
            all.push(Outlook {
                period: period.manifest.period.name.clone(),
                attestations,
                size: period.archive.as_ref().map_or(0, going),
                fate: self.recorded.fate(period, months, now).await?,
            });
        }
        Ok(all)
    }

    /// Lets go what was recorded to go and nothing holds.
    ///
    /// # Errors
    /// Whatever hinders it. The same call again goes on.
    pub async fn let_go(&self, storage: &Arc<dyn Storage>) -> Result<LetGo, ArchiveError> {
        self.recorded.let_go(&self.periods, storage).await
    }
}

/// What was let go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetGo {
    /// The periods whose bytes went now.
    pub periods: Vec<String>,
    /// Manifests, by their digests, that no longer have a name and that the registry does not remove when it is asked: with their blobs
    /// they are its operator's.
    pub left: Vec<String>,
}

/// What was recorded.
#[derive(Default)]
pub(super) struct Recorded {
    holds: Holds,
    /// Records of holds that are archived.
    archived: BTreeSet<Fingerprint>,
    /// By the names of their periods.
    pruned: BTreeMap<String, Prune>,
}

impl Recorded {
    /// Reads the records of all archives, oldest first; their leaves are those of the statements.
    pub(super) async fn read(
        periods: &[Sealed],
        storage: &Arc<dyn Storage>,
    ) -> Result<Self, ArchiveError> {
        let mut recorded = Self::default();
        for period in periods {
            if period.manifest.counts.records == 0 {
                continue;
            }
            let absent = || ArchiveError::Absent {
                place: storage.name(),
                name: period.manifest.period.name.clone(),
            };
            let archive = period.archive.as_ref().ok_or_else(absent)?;
            let mut leaves = Vec::new();
            let add = |index, leaf: Leaf| {
                if leaf.class() == Class::Records {
                    leaves.push((index, leaf));
                }
            };
            let range = &period.manifest.range;
            archive.each_stated_leaf(range, add).await?;
            let take = |_, leaf: &Leaf, bytes: &[u8]| recorded.take(leaf.kind, bytes);
            archive.each_thing(Class::Records, &leaves, take).await?;
        }
        Ok(recorded)
    }

    /// Takes the next record into account.
    pub(super) fn take(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), ArchiveError> {
        match kind {
            Kind::Hold => {
                self.holds.add(&Hold::parse(bytes)?)?;
                self.archived.insert(Fingerprint::of(bytes));
            }
            Kind::Prune => {
                let prune = Prune::parse(bytes)?;
                self.pruned.insert(prune.period.clone(), prune);
            }
            Kind::Attestation | Kind::Keyset => {}
        }
        Ok(())
    }

    /// Takes the organisation's own records into account; returns those that are not archived yet.
    pub(super) fn add(&mut self, holds: &[Hold]) -> Result<Vec<Hold>, ArchiveError> {
        let mut new = Vec::new();
        for hold in holds {
            if !self.archived.contains(&Fingerprint::of(&hold.to_bytes())) {
                self.holds.add(hold)?;
                new.push(hold.clone());
            }
        }
        Ok(new)
    }

    /// Returns the records of what is due at a time.
    pub(super) async fn prune(
        &self,
        periods: &[Sealed],
        months: u32,
        at: UnixTime,
    ) -> Result<Vec<Prune>, ArchiveError> {
        let mut prunes = Vec::new();
        for period in periods {
            let Fate::Due = self.fate(period, months, at).await? else {
                continue;
            };
            let (manifest, counts) = (&period.manifest, period.manifest.counts);
            let months = months.max(manifest.retention.months);
            let what = (manifest.period.name.as_str(), period.statement);
            prunes.push(Prune::new(
                what,
                months,
                counts.verified + counts.rejected,
                at,
            ));
        }
        Ok(prunes)
    }

    async fn fate(&self, period: &Sealed, months: u32, at: UnixTime) -> Result<Fate, ArchiveError> {
        let manifest = &period.manifest;
        let Some(archive) = &period.archive else {
            return Ok(Fate::Absent);
        };
        if going(archive) == 0 {
            return Ok(Fate::Gone);
        }
        let due = due(manifest.period.end, months.max(manifest.retention.months));
        if due > at {
            return Ok(Fate::Kept(due));
        }
        let held = self.held(period, archive).await?;
        Ok(match held.is_empty() {
            false => Fate::Held(held),
            true if self.pruned.contains_key(&manifest.period.name) => Fate::Recorded,
            true => Fate::Due,
        })
    }

    /// Returns the cases that hold a period, or any attestation in it: one holds all.
    async fn held(&self, period: &Sealed, archive: &Archive) -> Result<Vec<String>, ArchiveError> {
        let mut cases: BTreeSet<String> = {
            self.holds
                .of_period(&period.manifest.period.name)
                .into_iter()
        }
        .collect();
        if !self.holds.ask_for_content() {
            return Ok(cases.into_iter().collect());
        }
        let mut leaves = GOING.map(|class| (class, Vec::new()));
        let add = |index, leaf: Leaf| {
            let mut rows = leaves.iter_mut();
            if let Some((_, row)) = rows.find(|(class, _)| *class == leaf.class()) {
                row.push((index, leaf));
            }
        };
        archive
            .each_stated_leaf(&period.manifest.range, add)
            .await?;
        for (class, leaves) in &leaves {
            if archive.blobs(*class).next().is_none() {
                continue;
            }
            let look = |_, _: &Leaf, bytes: &[u8]| {
                cases.extend(self.of_attestation(bytes));
                Ok(())
            };
            archive.each_thing(*class, leaves, look).await?;
        }
        Ok(cases.into_iter().collect())
    }

    fn of_attestation(&self, bytes: &[u8]) -> Vec<String> {
        // What is no bundle says nothing, and is known by its digest alone.
        let said = search::say(bytes);
        let mut digests = said.subjects;
        digests.push(DigestAlgorithm::Sha256.digest(bytes).to_string());
        let signer = [said.signer.as_str(), said.issuer.as_str()];
        let digests = digests.as_slice();
        self.holds.of_attestation(Held { digests, signer })
    }

    /// Lets go what was recorded to go and nothing holds.
    pub(super) async fn let_go(
        &self,
        periods: &[Sealed],
        storage: &Arc<dyn Storage>,
    ) -> Result<LetGo, ArchiveError> {
        let mut gone = LetGo::default();
        for period in periods {
            let name = &period.manifest.period.name;
            let prune = self.pruned.get(name);
            let is_recorded = prune.is_some_and(|each| each.statement == period.statement);
            let Some(archive) = period.archive.as_ref().filter(|_| is_recorded) else {
                continue;
            };
            if !self.held(period, archive).await?.is_empty() {
                continue;
            }
            let_go(storage, name, &mut gone).await?;
        }
        Ok(gone)
    }
}

/// Returns how many bytes an archive has that may once go.
fn going(archive: &Archive) -> u64 {
    let files = archive.files().filter(|(name, _)| is_going(name));
    files.map(|(_, size)| size).sum()
}

/// Says whether a file of an archive may once go.
fn is_going(name: &str) -> bool {
    let folder = name.split_once('/').map(|(folder, _)| folder);
    GOING.iter().any(|class| {
        let first = class.file(0);
        first.split_once('/').map(|(folder, _)| folder) == folder
    })
}

/// Lets go the bytes of a published archive. What goes is noted in what stays, so that whoever is interrupted goes on with it.
async fn let_go(
    storage: &Arc<dyn Storage>,
    name: &str,
    done: &mut LetGo,
) -> Result<(), ArchiveError> {
    let unreadable = || ArchiveError::Unreadable {
        what: name.to_owned(),
    };
    // 1. What stays is published under the same name.
    let raw = storage.manifest(name).await?.ok_or_else(unreadable)?;
    let mut manifest = raw.parse().map_err(|_| unreadable())?;
    let ManifestKind::Image { layers, .. } = &mut manifest.kind else {
        return Err(unreadable());
    };
    let title = |layer: &Descriptor| layer.annotations.get(TITLE).cloned().unwrap_or_default();
    let (gone, kept): (Vec<_>, Vec<_>) =
        { layers.drain(..) }.partition(|layer| is_going(&title(layer)));
    *layers = kept;
    if !gone.is_empty() {
        let digests = gone.iter().map(|layer| layer.digest.to_string());
        let digests = [raw.digest.to_string()].into_iter().chain(digests);
        let note = digests.collect::<Vec<_>>().join(" ");
        manifest.annotations.insert(LET_GO.to_owned(), note);
        let less = RawManifest::new(media::MANIFEST, manifest.to_bytes().into());
        storage.put_manifest(name, &less).await?;
        storage.finish().await?;
        done.periods.push(name.to_owned());
    }
    // 2. The rest goes: now, or after a run that was interrupted.
    let note = manifest.annotations.get(LET_GO);
    let digests = note.into_iter().flat_map(|note| note.split(' '));
    let digests: Vec<_> = digests.filter_map(Digest::parse).collect();
    if let Some((manifest, blobs)) = digests.split_first() {
        match storage.remove(manifest, blobs).await? {
            Removal::Done => {}
            Removal::Unsupported => done.left.push(manifest.to_string()),
        }
    }
    Ok(())
}
