//! The job of a period: collect, verify, freeze, pack, sign, verify as a stranger, publish.
//!
//! Each phase leaves its result in the work folder, durable before the next begins: a run that was killed goes on from the
//! last one that ended. What is published already is the only other state.

mod freeze;
mod plan;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stella_archive::anchor::Anchor;
use stella_archive::fall::Falls;
use stella_archive::fingerprint::Fingerprint;
use stella_archive::history::{Document, Existence, History};
use stella_archive::leaf::{Kind, Leaf, Status};
use stella_archive::retention::{self, Hold};
use stella_archive::seal::Terms;
use stella_archive::statement::{CHECKPOINT, Manifest, OrgStatement, Period};
use stella_archive::tuf::TufMetadata;
use stella_bundle::key::sha256;
use stella_bundle::time::UnixTime;
use stella_bundle::verify::Policy;
use stella_keys::OrgKey;

use super::before::Before;
use super::error::{ArchiveError, Mismatch};
use super::examine::Incoming;
use super::open::Archive;
use super::pack::{self, Packed, PartFile, write_part};
use super::publish::{self, Publication};
use super::retention::{LetGo, Recorded};
use super::spool::Spool;
use super::verify::{self, Demands, Depth};
use crate::keyset::{Head, KeysetFolder};
use crate::org;
use crate::session::Session;
use crate::storage::Storage;

use freeze::{Frozen, freeze};
pub use plan::{Plan, plan};

/// What this is, for whoever opens an archive in twenty years.
const README: &str = include_str!("README.txt");
/// The format.
const FORMAT: &str = include_str!("../../../../docs/reference/archive-format.md");
/// A verifier that was written from the format alone.
const VERIFIER: &str = include_str!("verify.py");

/// Everything that a run needs.
pub struct Job<'a> {
    /// Who stamps and logs, and how the time is told.
    pub session: &'a Session<'a>,
    /// The organisation's keysets.
    pub keysets: &'a KeysetFolder,
    /// The keys that sign: exactly those that the keyset in force asks for.
    pub keys: &'a [OrgKey],
    /// Where archives are published, and the earlier ones lie.
    pub storage: Arc<dyn Storage>,
    /// A folder for this run and those that go on with it.
    pub work: &'a Path,
    /// What is sealed.
    pub period: Period,
    /// What was signed before this time is left out; none where late arrivals of earlier periods are taken too.
    pub since: Option<UnixTime>,
    /// The file of the trusted root by which attestations are verified.
    pub trusted_root: &'a [u8],
    /// How it was published, where it came from a TUF repository.
    pub tuf: Option<&'a TufMetadata>,
    /// Who may have signed attestations, and what must be shown.
    pub policy: &'a Policy,
    /// SHA-256 of the policy's file; none where every signer is taken.
    pub policy_digest: Option<[u8; 32]>,
    /// Whether every entry of the logs should have its attestation in the archive.
    pub logs: Logs,
    /// Months for which bytes are kept.
    pub months: u32,
    /// Whether bytes that are due are let go.
    pub prune: Prune,
    /// On so many cores.
    pub threads: NonZeroUsize,
    /// Hears what is going on.
    pub done: &'a (dyn Fn(Phase, u64) + Sync),
}

/// Whether every entry of the logs should have its attestation in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    /// They are the organisation's own: what is missing is named.
    Own,
    /// Others log there too.
    Shared,
}

/// Whether bytes of earlier periods are let go once they are due and nothing holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// They stay.
    Keep,
    /// The statement records that they go, and then they do.
    LetGo,
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Attestations collected and verified so far.
    Collecting,
    /// Leaves packed so far.
    Packing,
    /// The statement is signed and stamped.
    Signing,
    /// Attestations verified by a stranger's eyes so far.
    Checking,
    /// Bytes published so far.
    Publishing,
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it was published now, and not by an earlier run.
    pub is_new: bool,
    /// What was signed.
    pub manifest: Manifest,
    /// Why attestations were refused, and how many for each reason.
    pub refused: BTreeMap<String, u64>,
    /// Entries of logs whose attestation was nowhere to be found; the first of each log.
    pub missing: BTreeMap<String, Vec<u64>>,
    /// Attestations that earlier periods hold.
    pub archived_before: u64,
    /// Attestations from before the time that was asked for.
    pub earlier: u64,
    /// Attestations of a later period.
    pub later: u64,
    /// Bytes of the archive's files.
    pub size: u64,
    /// Bytes of the attestations.
    pub raw: u64,
    /// What was let go.
    pub let_go: LetGo,
}

/// Seals a period, or goes on with what was begun; nothing is done twice.
///
/// # Errors
/// Any [`ArchiveError`]. Until the very last step nothing is published.
pub async fn run(job: &Job<'_>, incoming: Incoming<'_>) -> Result<Outcome, ArchiveError> {
    // 1. Nobody else is at it; the keysets are good, and the keys are those that must sign.
    let folder = job.work.join(&job.period.name);
    fs::create_dir_all(&folder).map_err(|error| ArchiveError::io("make", &folder, error))?;
    let _lock = lock(job.work)?;
    job.keysets.judge((job.session.now)())?;
    require_signers(job.keysets, job.keys)?;

    // 2. What was sealed before.
    let name = Some(job.period.name.as_str());
    let now = (job.session.now)();
    let before = Before::read(&job.storage, job.keysets, name, now).await?;

    // 3. What is there is collected and verified, and from now on the set does not change.
    let frozen = read_json::<Frozen>(&folder.join("frozen.json"))?;
    // Another period, or a ceremony, came in between: what was begun would not follow it.
    let keyset = job.keysets.newest()?.version;
    let follows = |each: &Frozen| each.predecessor == before.predecessor() && each.keyset == keyset;
    let frozen = match frozen.filter(follows) {
        Some(frozen) => frozen,
        None => {
            begin_anew(&folder)?;
            freeze(job, &before, &folder, incoming).await?
        }
    };

    // 4. Leaves and chunks.
    let packed = match read_json::<Packed>(&folder.join("packed.json"))? {
        Some(packed) => packed,
        None => pack_set(job, &before, &folder, &frozen)?,
    };

    // 5. The statement is signed, once.
    let document = sign(job, &before, &folder, &frozen, &packed).await?;
    let manifest = document.to_manifest();
    let manifest = manifest.map_err(|_| ArchiveError::Mismatch(Mismatch::Leaves))?;

    // 6. As a stranger sees it.
    let parts = add_words(job, &before, &folder, &packed, (&document, &manifest))?;
    check(job, &folder, &parts).await?;

    // 7. Published under its name, once.
    let done = |bytes| (job.done)(Phase::Publishing, bytes);
    let publication = Publication {
        name: &job.period.name,
        origin: &manifest.origin,
        sequence: manifest.sequence,
        statement: hex::encode(sha256(&document.bytes)),
        folder: &folder.join("parts"),
        parts: &parts,
    };
    let is_new = publish::publish(&job.storage, &publication, &done).await?;
    job.keysets.remember(&Head::of(&manifest, &document))?;

    // 8. What it records to be let go goes.
    let let_go = let_go(job, &before, &frozen).await?;
    Ok(Outcome {
        is_new,
        let_go,
        refused: frozen.refused,
        missing: frozen.missing,
        archived_before: frozen.archived_before,
        earlier: frozen.earlier,
        later: frozen.later,
        size: parts.iter().map(|part| part.size).sum(),
        raw: frozen.raw,
        manifest,
    })
}

/// Forgets what an earlier run began.
fn begin_anew(folder: &Path) -> Result<(), ArchiveError> {
    for name in ["frozen.json", "packed.json", "signed.json"] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ArchiveError::io("remove", &path, error));
            }
            _ => {}
        }
    }
    crate::file::sync_folder(folder).map_err(|error| ArchiveError::io("write", folder, error))
}

/// Takes the work folder for this process alone.
pub(super) fn lock(work: &Path) -> Result<File, ArchiveError> {
    let path = work.join("lock");
    fs::create_dir_all(work).map_err(|error| ArchiveError::io("make", work, error))?;
    let file = File::create(&path).map_err(|error| ArchiveError::io("write", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(ArchiveError::Busy(work.to_owned())),
    }
}

/// Requires the keys that the keyset in force names as signers, and no other.
///
/// # Errors
/// `Keys`, `Ceremony`.
pub fn require_signers(keysets: &KeysetFolder, keys: &[OrgKey]) -> Result<(), ArchiveError> {
    let keyset = keysets.newest()?;
    let mut wanted: Vec<_> = keyset.signers().map(|each| each.key_id).collect();
    let mut given: Vec<_> = keys.iter().map(|key| key.public_key().key_id()).collect();
    wanted.sort_unstable();
    given.sort_unstable();
    if wanted == given {
        return Ok(());
    }
    let name = |each: &stella_archive::keyset::OrgKeyEntry| {
        format!("{} {}", each.role.name(), hex::encode(&each.key_id[..8]))
    };
    Err(ArchiveError::Keys {
        wanted: keyset.signers().map(name).collect(),
    })
}

/// Lets go what was recorded, unless it came to be held meanwhile.
async fn let_go(job: &Job<'_>, before: &Before, frozen: &Frozen) -> Result<LetGo, ArchiveError> {
    if job.prune == Prune::Keep {
        return Ok(LetGo::default());
    }
    let mut recorded = Recorded::read(&before.periods, &job.storage).await?;
    for (leaf, bytes) in retention_records(frozen) {
        recorded.take(leaf.kind, &bytes)?;
    }
    recorded.add(&job.keysets.holds()?)?;
    recorded.let_go(&before.periods, &job.storage).await
}

fn pack_set(
    job: &Job<'_>,
    before: &Before,
    folder: &Path,
    frozen: &Frozen,
) -> Result<Packed, ArchiveError> {
    let spool = Spool::open(folder, frozen.reasons.clone())?;
    let mut records = keyset_records(job, before);
    records.extend(retention_records(frozen));
    let done = |leaves| (job.done)(Phase::Packing, leaves);
    let parts = folder.join("parts");
    let packed = pack::pack(
        &spool,
        &before.frontier,
        &records,
        &parts,
        job.threads,
        &done,
    )?;
    write_json(folder, "packed.json", &packed)?;
    Ok(packed)
}

/// Returns the events of the keyset since the last statement: each is a leaf.
fn keyset_records(job: &Job<'_>, before: &Before) -> Vec<(Leaf, Vec<u8>)> {
    let last = before
        .manifest
        .as_ref()
        .map_or(0, |each| each.keyset.version);
    let keysets = job.keysets.keysets().iter().zip(job.keysets.documents());
    let new = keysets.filter(|(keyset, _)| keyset.version > last);
    let record = |(keyset, document): (&stella_archive::keyset::Keyset, &Document)| {
        record(Kind::Keyset, document.bytes.clone(), keyset.created)
    };
    new.map(record).collect()
}

/// Returns the holds that are not archived yet, and then what is let go: each is a leaf.
fn retention_records(frozen: &Frozen) -> Vec<(Leaf, Vec<u8>)> {
    let hold = |each: &Hold| record(Kind::Hold, each.to_bytes(), each.created);
    let prune = |each: &retention::Prune| record(Kind::Prune, each.to_bytes(), each.created);
    let holds = frozen.holds.iter().map(hold);
    holds.chain(frozen.prunes.iter().map(prune)).collect()
}

fn record(kind: Kind, bytes: Vec<u8>, created: UnixTime) -> (Leaf, Vec<u8>) {
    let leaf = Leaf {
        kind,
        status: Status::Verified,
        profile: 0,
        digest: Fingerprint::of(&bytes),
        size: bytes.len() as u64,
        time: Some(created.seconds()),
    };
    (leaf, bytes)
}

/// Signs the statement of what was packed; what was signed already is taken as it is.
async fn sign(
    job: &Job<'_>,
    before: &Before,
    folder: &Path,
    frozen: &Frozen,
    packed: &Packed,
) -> Result<Document, ArchiveError> {
    let keyset = job.keysets.newest()?;
    let document = job.keysets.documents().last();
    let document = document.ok_or(ArchiveError::Mismatch(Mismatch::Before))?;
    let previous = before
        .manifest
        .as_ref()
        .zip(before.history.statements.last());
    let manifest = packed.sealed.close(Terms {
        previous,
        keyset: (keyset, document),
        period: frozen.period.clone(),
        profiles: frozen.profiles.clone(),
        coverage: frozen.coverage.clone(),
        timestamps: job.session.services.timestamp_authorities.len() as u64,
        months: job.months,
        // The end of the period, not the moment of this run: the same set gives the same statement.
        created: frozen.period.end,
    });
    let statement = OrgStatement::of_manifest(&manifest);
    let payload = statement.payload();
    // A name is given once: what is there under it already is this very statement, or nothing is signed.
    let digest = hex::encode(sha256(&payload));
    publish::is_published(&job.storage, &job.period.name, &digest).await?;
    let signed = read_json::<Document>(&folder.join("signed.json"))?;
    if let Some(signed) = signed.filter(|signed| signed.bytes == payload) {
        return Ok(signed);
    }
    (job.done)(Phase::Signing, 0);
    let signed = org::sign_document(job.session, job.keys, &statement, payload).await?;
    write_json(folder, "signed.json", &signed)?;
    Ok(signed)
}

/// Adds what an archive says about itself and its past; returns all its files, those that are read first at the front.
fn add_words(
    job: &Job<'_>,
    before: &Before,
    folder: &Path,
    packed: &Packed,
    (document, manifest): (&Document, &Manifest),
) -> Result<Vec<PartFile>, ArchiveError> {
    let (work, folder) = (folder, folder.join("parts"));
    let write = |name: &str, bytes: &[u8]| write_part(&folder, name, bytes);
    let mut history = before.history.clone();
    history.keysets = job.keysets.documents().to_vec();
    history.statements.push(document.clone());
    let mut parts = vec![
        write("README.txt", README.as_bytes())?,
        write("FORMAT.md", FORMAT.as_bytes())?,
        write("verify.py", VERIFIER.as_bytes())?,
        write(History::FILE, &history.to_bytes())?,
    ];
    parts.push(write(
        CHECKPOINT,
        manifest.checkpoint().to_string().as_bytes(),
    )?);
    for (key, bundle) in job.keys.iter().zip(&document.bundles) {
        let id = hex::encode(&key.public_key().key_id()[..4]);
        parts.push(write(&format!("{CHECKPOINT}.{id}.sigstore.json"), bundle)?);
    }
    let mut roots = BTreeMap::new();
    let own = job.keysets.roots().iter().chain(&before.roots);
    let path = work.join("root.json");
    let frozen = fs::read(&path).map_err(|error| ArchiveError::io("read", &path, error))?;
    for root in own.map(Vec::as_slice).chain([&frozen[..]]) {
        roots.insert(hex::encode(sha256(root)), root);
    }
    for (digest, root) in roots {
        parts.push(write(&format!("trust/{digest}.json"), root)?);
    }
    if let Some(metadata) = job.tuf {
        let digest = sha256(&frozen);
        for role in TufMetadata::ROLES {
            let name = TufMetadata::file_name(&digest, role);
            parts.push(write(&name, metadata.of(role))?);
        }
    }
    parts.extend(packed.parts.iter().cloned());
    Ok(parts)
}

/// Verifies what is about to be published, by the keyset in force; an authority that the keyset pins must have dated it, or in a
/// few years nobody could say when it was.
async fn check(job: &Job<'_>, folder: &Path, parts: &[PartFile]) -> Result<(), ArchiveError> {
    let anchor = job.keysets.anchor(None).map(Anchor::Organisation);
    let anchor = anchor.ok_or(ArchiveError::Mismatch(Mismatch::Before))?;
    let archive = Archive::in_folder(&job.period.name, folder.join("parts"), parts);
    let demands = Demands {
        anchor: &anchor,
        known: &Falls::default(),
        own: None,
        policy: job.policy,
        newer: None,
        // Each attestation was hashed and verified when it came in.
        depth: Depth::Unchanged,
        now: (job.session.now)(),
        threads: job.threads,
        done: &|present, _| (job.done)(Phase::Checking, present),
    };
    let checked = verify::verify(&archive, &demands).await?;
    let newest = checked.judgement.newest().map(|each| &each.existence);
    match newest {
        Some(Existence::At { .. }) => Ok(()),
        _ => Err(ArchiveError::Undated),
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, ArchiveError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| ArchiveError::io("read", path, error))?,
    };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|_| ArchiveError::Unreadable {
        what: path.display().to_string(),
    })
}

/// Writes a result of a phase: it is there whole, or not at all.
fn write_json<T: Serialize>(folder: &Path, name: &str, value: &T) -> Result<(), ArchiveError> {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let partial = format!("{name}.partial");
    write_part(folder, &partial, &bytes)?;
    let (from, to): (PathBuf, PathBuf) = (folder.join(partial), folder.join(name));
    let renamed = fs::rename(&from, &to).and_then(|()| crate::file::sync_folder(folder));
    renamed.map_err(|error| ArchiveError::io("write", &to, error))
}
