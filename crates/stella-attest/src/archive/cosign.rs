//! Have witnesses cosign the checkpoint of the newest statement, and keep the note beside the archive.
//!
//! This comes after publication: a witness remembers a tree for ever, so it is shown none that might still be made anew.

use std::path::Path;
use std::sync::Arc;

use stella_archive::history::{JudgedStatement, Judgement};
use stella_archive::keyset::Keyset;
use stella_archive::statement::Manifest;
use stella_archive::witnessed::{note_key, require_witnessed};
use stella_bundle::time::UnixTime;
use stella_client::witness::{Answer, add_checkpoint};
use stella_keys::CheckpointSigner;
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::cosignature;
use stella_tlog::hash::Hash;
use stella_tlog::note::{MAX_NOTE, Note, NoteSignature};
use stella_tlog::quorum::{Cosigned, Policy, Witness};
use stella_tlog::tree::TreeSize;
use stella_tlog::witness::AddCheckpoint;
use stella_wire::transport::Transport;

use super::before::judge_own;
use super::error::{ArchiveError, Mismatch};
use super::open::{self, Archive};
use super::pack::write_part;
use super::prove::{Start, prove};
use super::publish;
use super::run::lock;
use crate::keyset::KeysetFolder;
use crate::storage::Storage;

/// What the manifest of a note is a manifest of.
const NOTE_TYPE: &str = "application/vnd.stella-ops.archive.note.v1";
/// The note's file.
const NOTE: &str = "checkpoint.note";
/// How the names of notes begin; that of the period follows, and no period's name begins so.
pub const NOTE_NAME: &str = "note-";

/// Who asks whom.
pub struct Witnessing<'a> {
    /// The place of archives.
    pub storage: Arc<dyn Storage>,
    /// Leads to the witnesses.
    pub transport: &'a dyn Transport,
    /// The organisation's keysets.
    pub keysets: &'a KeysetFolder,
    /// A checkpoint key of the keyset under which the newest archive was sealed.
    pub signer: &'a CheckpointSigner,
    /// Which witnesses there are, and who of them must cosign.
    pub policy: &'a Policy,
    /// A folder for this process.
    pub work: &'a Path,
    /// Tells the time.
    pub now: &'a (dyn Fn() -> UnixTime + Sync),
}

/// What came of it.
#[derive(Debug)]
pub struct Witnessed {
    /// The period whose checkpoint it is.
    pub period: String,
    /// The note as it is kept.
    pub note: Note,
    /// Who cosigned, and when.
    pub cosigned: Vec<Cosigned>,
    /// Witnesses that did not, and why.
    pub silent: Vec<(String, String)>,
}

/// Has the checkpoint of the newest archive cosigned; whoever cosigned it before is not asked again.
///
/// # Errors
/// `CheckpointKey`, `Quorum` where too few cosigned, `Note` where it becomes too long, `Busy`, `Published` where another thing has its
/// name, and whatever hinders reading and publishing.
pub async fn cosign(witnessing: &Witnessing<'_>) -> Result<Witnessed, ArchiveError> {
    // 1. What the organisation stated last, judged by its own keysets: nothing else is shown to witnesses. Nobody else is at it.
    let _lock = lock(witnessing.work)?;
    let (archive, judgement) = newest(witnessing).await?;
    let (statement, keyset) = stated(&judgement)?;
    let manifest = &statement.manifest;
    require_key(witnessing.signer, manifest, keyset)?;

    // 2. The note so far, signed by the organisation.
    let checkpoint = manifest.checkpoint();
    require_free(&witnessing.storage, &archive.name).await?;
    let mut note = Note {
        text: checkpoint.to_string(),
        signatures: kept(witnessing, &archive, &checkpoint).await?,
    };
    if note.verify(witnessing.signer.key()).is_err() {
        let signature = witnessing.signer.sign(&checkpoint, (witnessing.now)())?;
        note.signatures.insert(0, signature);
    }

    // 3. Each witness that has not cosigned it yet.
    let mut silent = Vec::new();
    for witness in witnessing.policy.witnesses() {
        if cosignature::verify(&note, &witness.key).is_ok() {
            continue;
        }
        match ask(witnessing, witness, &judgement, &note).await {
            Ok(signature) => note.signatures.push(signature),
            Err(error) => silent.push((witness.name.clone(), error.to_string())),
        }
    }

    // 4. Kept only where it is enough.
    let cosigned = require_witnessed(&note, manifest, keyset, witnessing.policy);
    let cosigned = cosigned.map_err(|refusal| ArchiveError::Quorum {
        refusal,
        silent: silent.clone(),
    })?;
    let text = note.to_string();
    Note::parse(&text).map_err(|error| ArchiveError::Note { error })?;
    let folder = witnessing.work.join("note");
    let part = write_part(&folder, NOTE, text.as_bytes())?;
    let name = name_of(&archive.name);
    publish::put(&witnessing.storage, &name, NOTE_TYPE, (&folder, &[part])).await?;
    Ok(Witnessed {
        period: archive.name,
        note,
        cosigned,
        silent,
    })
}

/// Reads the note that is kept beside an archive; none where there is none.
///
/// # Errors
/// `Unreadable`, `Storage`.
pub async fn note_of(archive: &Archive) -> Result<Option<Note>, ArchiveError> {
    let name = name_of(&archive.name);
    let Some(storage) = archive.storage() else {
        return Ok(None);
    };
    let kept = match Archive::open_as(Arc::clone(storage), &name, NOTE_TYPE).await {
        Err(ArchiveError::Absent { .. }) => return Ok(None),
        opened => opened?,
    };
    let bytes = kept.read(NOTE, MAX_NOTE as u64).await?;
    let text = String::from_utf8(bytes).ok();
    let note = text.and_then(|text| Note::parse(&text).ok());
    note.map(Some)
        .ok_or(ArchiveError::Unreadable { what: name })
}

/// Returns the name under which the note of a period is kept.
fn name_of(period: &str) -> String {
    format!("{NOTE_NAME}{period}")
}

/// Requires that nothing else has the name of the note.
async fn require_free(storage: &Arc<dyn Storage>, period: &str) -> Result<(), ArchiveError> {
    let name = name_of(period);
    let Some(raw) = storage.manifest(&name).await? else {
        return Ok(());
    };
    let kind = raw.parse().ok().and_then(|manifest| manifest.artifact_type);
    match kind.as_deref() == Some(NOTE_TYPE) {
        true => Ok(()),
        false => Err(ArchiveError::Published {
            place: storage.name(),
            name,
        }),
    }
}

/// Returns the signatures of the note that is kept: those of this checkpoint by keys that are known here and that are good. Whoever may
/// write to the place could have put others there.
async fn kept(
    witnessing: &Witnessing<'_>,
    archive: &Archive,
    checkpoint: &Checkpoint,
) -> Result<Vec<NoteSignature>, ArchiveError> {
    let note = match note_of(archive).await {
        Err(ArchiveError::Unreadable { .. }) => None,
        note => note?,
    };
    let Some(note) = note.filter(|note| note.text == checkpoint.to_string()) else {
        return Ok(Vec::new());
    };
    let witnesses = witnessing.policy.witnesses().iter();
    let mut keys = witnesses.map(|each| &each.key).collect::<Vec<_>>();
    keys.push(witnessing.signer.key());
    let text = note.text;
    let is_good = |signature: &NoteSignature| {
        let alone = Note {
            text: text.clone(),
            signatures: vec![signature.clone()],
        };
        keys.iter().any(|key| alone.verify(key).is_ok())
    };
    let signatures = note.signatures.into_iter();
    Ok(signatures.filter(is_good).collect())
}

async fn newest(witnessing: &Witnessing<'_>) -> Result<(Archive, Judgement), ArchiveError> {
    let absent = || ArchiveError::Absent {
        place: witnessing.storage.name(),
        name: "at all".to_owned(),
    };
    let listed = open::list(&witnessing.storage).await?;
    let newest = listed.last().ok_or_else(absent)?;
    let archive = Archive::open(Arc::clone(&witnessing.storage), &newest.name).await?;
    let (history, _) = archive.history().await?;
    let judgement = judge_own(&history, witnessing.keysets, (witnessing.now)())?;
    Ok((archive, judgement))
}

/// Returns the newest statement and its keyset.
fn stated(judgement: &Judgement) -> Result<(&JudgedStatement, &Keyset), ArchiveError> {
    let newest = judgement.newest().zip(judgement.keysets.last());
    newest.ok_or(ArchiveError::Mismatch(Mismatch::Before))
}

/// Requires that the key is one by which the keyset has checkpoints signed.
fn require_key(
    signer: &CheckpointSigner,
    manifest: &Manifest,
    keyset: &Keyset,
) -> Result<(), ArchiveError> {
    let mut keys = keyset.checkpoint_keys();
    let is_one = keys.any(|entry| note_key(&manifest.origin, entry).as_ref() == Some(signer.key()));
    is_one.then_some(()).ok_or(ArchiveError::CheckpointKey)
}

/// Asks one witness, by a proof from the tree that it saw last.
async fn ask(
    witnessing: &Witnessing<'_>,
    witness: &Witness,
    judgement: &Judgement,
    note: &Note,
) -> Result<NoteSignature, ArchiveError> {
    // It likely saw the statement before this one.
    let mut old_size = match judgement.statements.as_slice() {
        [.., before, _] => TreeSize(before.manifest.tree.size),
        _ => TreeSize::EMPTY,
    };
    for _ in 0..2 {
        let request = AddCheckpoint {
            old_size,
            proof: proof_from(witnessing, judgement, old_size, witness).await?,
            note: note.clone(),
        };
        let now = (witnessing.now)();
        match add_checkpoint(witnessing.transport, witness, &request, now).await? {
            Answer::Cosigned(signature) => return Ok(signature),
            Answer::Holds(size) => old_size = size,
        }
    }
    Err(ArchiveError::WitnessDiffers {
        witness: witness.name.clone(),
        size: old_size,
    })
}

/// Proves that the newest tree grew out of that of some size, which must have been stated.
async fn proof_from(
    witnessing: &Witnessing<'_>,
    judgement: &Judgement,
    old_size: TreeSize,
    witness: &Witness,
) -> Result<Vec<Hash>, ArchiveError> {
    let newest = judgement.newest().map_or(0, |each| each.manifest.tree.size);
    if [0, newest].contains(&old_size.0) {
        return Ok(Vec::new());
    }
    let mut statements = judgement.statements.iter();
    let older = statements.find(|each| each.manifest.tree.size == old_size.0);
    let older = older.ok_or_else(|| ArchiveError::WitnessDiffers {
        witness: witness.name.clone(),
        size: old_size,
    })?;
    let start = Start::Kept(older.manifest.checkpoint());
    let proved = prove(&witnessing.storage, &start, None).await?;
    Ok(proved.growth.path)
}
