//! Step 3: the log. Each entry is shown to be about this signature and followed to a checkpoint that a known log signed.
//!
//! What a body of each kind says is compared in `body`; the promise of Rekor v1 is verified here before step 1
//! believes its time.

use std::borrow::Cow;
use std::sync::Arc;

use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash::{self, Hash};
use stella_tlog::note::{KeyName, Note, SignatureType, VerifierKey};
use stella_tlog::proof;
use stella_tlog::quorum::QuorumError;
use stella_tlog::tree::LeafIndex;

use super::Case;
use super::body;
use super::error::{EntryError, VerifyError};
use super::policy::{LogRule, Promise};
use super::report::{LogEvidence, LogFact, Recorder, Standing};
use super::trust::{Log, Trust};
use crate::entry::{InclusionProof, LogEntry};
use crate::key::KeyKind;
use crate::memo::Memo;
use crate::time::UnixTime;

/// The last second of the year 9999: no log promises anything later.
const LATEST: i64 = 253_402_300_799;

/// What one entry of the bundle says, before any time is known.
pub(super) struct Examined<'a> {
    entry: &'a LogEntry,
    /// The leaf's bytes, once they are seen to be about this signature.
    body: Result<Cow<'a, [u8]>, EntryError>,
    /// The time of the log's promise, once its signature is verified; none when there is no promise of a known log.
    promise: Option<Result<UnixTime, EntryError>>,
}

impl Examined<'_> {
    /// Returns the entry's log and the time that it promised.
    pub(super) fn time(&self) -> Option<(&[u8], UnixTime)> {
        let time = self.promise.as_ref()?.as_ref().ok()?;
        Some((&self.entry.log_id.key_id, *time))
    }

    /// Returns why a known log's promise is not good.
    pub(super) fn bad_promise(&self) -> Option<&EntryError> {
        self.promise.as_ref()?.as_ref().err()
    }
}

/// Compares every entry with the bundle and verifies its promise. A promise about another signature tells no time.
pub(super) fn examine<'a>(case: &Case<'a>) -> Vec<Examined<'a>> {
    let examine = |entry: &'a LogEntry| {
        let body = body::of(case, entry);
        let promise = match &body {
            Ok(_) => verify_promise(case.trust, entry),
            Err(_) => None,
        };
        Examined {
            entry,
            body,
            promise,
        }
    };
    case.bundle.entries.iter().map(examine).collect()
}

/// Verifies a promise (SET) of a known log; none when there is none.
fn verify_promise(trust: &Trust, entry: &LogEntry) -> Option<Result<UnixTime, EntryError>> {
    let signature = match &entry.inclusion_promise {
        Some(promise) if !promise.signed_entry_timestamp.is_empty() => {
            &promise.signed_entry_timestamp
        }
        _ => return None,
    };
    if !(1..=LATEST).contains(&entry.integrated_time) {
        let seconds = entry.integrated_time;
        return Some(Err(EntryError::ImpossibleTime { seconds }));
    }
    let time = UnixTime::from_seconds(entry.integrated_time);
    let log = match find_log(trust, entry, &[time]) {
        Ok(log) => log,
        Err(EntryError::UnknownLog { .. }) => return None,
        Err(error) => return Some(Err(error)),
    };
    let good = log.key.verify(&entry.promised(), signature);
    Some(good.map(|()| time).map_err(|_| EntryError::BadPromise {
        index: entry.log_index,
    }))
}

/// Verifies every entry and requires enough of them.
///
/// An entry that names an unknown log or kind, stands twice or proves nothing is reported and counts for nothing; a
/// wrong entry of a known log refuses the bundle.
pub(super) fn verify_entries(
    case: &Case<'_>,
    entries: &[Examined<'_>],
    times: &[UnixTime],
    record: &mut Recorder,
) -> Result<Standing, VerifyError> {
    let mut counted: Vec<(&[u8], i64)> = Vec::new();
    let mut reasons = Vec::new();
    for (index, examined) in entries.iter().enumerate() {
        let entry = examined.entry;
        let mut fact = LogFact::of(entry);
        let place = (entry.log_id.key_id.as_slice(), entry.log_index);
        let result = if counted.contains(&place) {
            Err(EntryError::Duplicate)
        } else {
            verify_entry(case, examined, times, &mut fact)
        };
        match result {
            Ok(()) => counted.push(place),
            Err(error) if counts_for_nothing(&error) => {
                fact.ignored = Some(error.clone());
                reasons.push(error);
            }
            Err(error) => return Err(VerifyError::Entry { index, error }),
        }
        if fact.origin.is_empty() {
            fact.origin = hex::encode(&entry.log_id.key_id);
        }
        record.facts.entries.push(fact);
    }
    // Two entries of one log are one witness.
    let mut logs: Vec<&[u8]> = counted.iter().map(|(log, _)| *log).collect();
    logs.sort_unstable();
    logs.dedup();
    let wanted = match case.evidence.log {
        LogRule::Require { logs, .. } => logs.max(1),
        LogRule::WithoutLogUnsafe if logs.is_empty() => return Ok(Standing::Skipped),
        LogRule::WithoutLogUnsafe => 0,
    };
    let found = logs.len();
    if found < wanted {
        return Err(VerifyError::NotEnoughEntries {
            wanted,
            found,
            reasons,
        });
    }
    Ok(Standing::Holds)
}

/// These say nothing about a known log's honesty: the entry is as good as absent.
const fn counts_for_nothing(error: &EntryError) -> bool {
    matches!(
        error,
        EntryError::Duplicate
            | EntryError::NoProof
            | EntryError::NotWitnessed
            | EntryError::UnknownLog { .. }
            | EntryError::UnsupportedKind(_)
    )
}

fn verify_entry(
    case: &Case<'_>,
    examined: &Examined<'_>,
    times: &[UnixTime],
    fact: &mut LogFact,
) -> Result<(), EntryError> {
    let entry = examined.entry;
    // 1. Which log, and was it in service.
    let log = find_log(case.trust, entry, times)?;
    // 2. The leaf is about this signature: what the entry says of itself is not believed.
    let body = examined.body.as_deref().map_err(EntryError::clone)?;
    // 3. The promise, where there is one.
    let is_promised = match &examined.promise {
        Some(promise) => promise.clone().map(|_| true)?,
        None => false,
    };
    // 4. Leaf, proof, checkpoint, signatures.
    let Some(proof) = entry.proof_with_checkpoint() else {
        let may_count = matches!(
            case.evidence.log,
            LogRule::WithoutLogUnsafe
                | LogRule::Require {
                    promise: Promise::Counts,
                    ..
                }
        );
        if is_promised && may_count && case.evidence.witnesses.is_none() {
            fact.evidence = Some(LogEvidence::Promise);
            return Ok(());
        }
        return Err(EntryError::NoProof);
    };
    let head = verify_logged(log, entry, proof, body, case.memo)?;
    let (note, checkpoint) = head.as_ref();
    fact.evidence = Some(LogEvidence::Proof);
    fact.origin.clone_from(&checkpoint.origin);
    fact.tree_size = Some(checkpoint.size.0);
    // 5. Witnesses, where the policy names some.
    if let Some(witnesses) = &case.evidence.witnesses {
        let cosigned = witnesses.satisfied_by(note).map_err(|error| match error {
            QuorumError::Note(error) => EntryError::Note(error),
            _ => EntryError::NotWitnessed,
        })?;
        fact.witnesses = cosigned.into_iter().map(|each| each.witness).collect();
    }
    Ok(())
}

/// Verifies that `log` holds `body` where the entry says: proof, checkpoint and the log's signature agree.
pub(super) fn verify_logged(
    log: &Log,
    entry: &LogEntry,
    proof: &InclusionProof,
    body: &[u8],
    memo: &Memo,
) -> Result<Arc<(Note, Checkpoint)>, EntryError> {
    let head = memo.checkpoint(&log.id, &proof.checkpoint.envelope, || {
        verify_checkpoint(log, &proof.checkpoint.envelope)
    })?;
    verify_inclusion(entry, proof, &head.1, &hash::leaf(body))?;
    Ok(head)
}

/// Finds the log by its full id; of several windows for one id, the one that holds the signing time.
pub(super) fn find_log<'a>(
    trust: &'a Trust,
    entry: &LogEntry,
    times: &[UnixTime],
) -> Result<&'a Log, EntryError> {
    let id = &entry.log_id.key_id;
    let mut refusal = EntryError::UnknownLog {
        id: hex::encode(id),
    };
    for log in trust.logs().iter().filter(|log| log.id == *id) {
        match times.iter().find(|time| !log.validity.contains(**time)) {
            None => return Ok(log),
            Some(time) => {
                refusal = EntryError::LogNotValidAt {
                    validity: log.validity,
                    time: *time,
                };
            }
        }
    }
    Err(refusal)
}

/// Reads the checkpoint and verifies that this log signed it.
pub(super) fn verify_checkpoint(
    log: &Log,
    envelope: &str,
) -> Result<(Note, Checkpoint), EntryError> {
    let note = Note::parse(envelope)?;
    let checkpoint = Checkpoint::parse(&note.text)?;
    let key = checkpoint_key(log, &checkpoint)?;
    note.verify(&key)?;
    Ok((note, checkpoint))
}

/// Returns the key under the name of the checkpoint's origin, once that origin is seen to be the log's.
///
/// An Ed25519 log's id is a hash over its origin, so the id binds the name; for other keys the trusted root's address
/// does. Rekor v1 signs as its host and writes `HOST - TREE` into the origin.
fn checkpoint_key(log: &Log, checkpoint: &Checkpoint) -> Result<Arc<VerifierKey>, EntryError> {
    let mismatch = || EntryError::OriginMismatch {
        origin: checkpoint.origin.clone(),
    };
    let (signature_type, bytes) = match log.key.kind() {
        KeyKind::Ed25519 => (SignatureType::Ed25519, log.key.bits()),
        KeyKind::Rsa { .. } => (SignatureType::Rsa, log.key.spki()),
        _ => (SignatureType::Ecdsa, log.key.spki()),
    };
    let name = match signature_type {
        SignatureType::Ecdsa => without_tree(&checkpoint.origin),
        _ => &checkpoint.origin,
    };
    if let Some(key) = log.checkpoint_key.get()
        && key.name().as_str() == name
    {
        return Ok(Arc::clone(key));
    }
    let key = KeyName::new(name)
        .ok()
        .and_then(|name| VerifierKey::new(name, signature_type, bytes).ok())
        .ok_or_else(mismatch)?;
    if key.log_id() != log.id.as_slice() {
        return Err(mismatch());
    }
    if signature_type == SignatureType::Ecdsa && !is_host_of(&log.url, name) {
        return Err(mismatch());
    }
    let key = Arc::new(key);
    // A log has one origin: the first that was seen to be its own is kept.
    log.checkpoint_key.get_or_init(|| Arc::clone(&key));
    Ok(key)
}

/// Returns the host of Rekor v1's origin `HOST - TREE`, any other origin as it is.
fn without_tree(origin: &str) -> &str {
    match origin.split_once(" - ") {
        Some((host, tree)) if tree.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => origin,
    }
}

/// Says whether an origin is the host of an address, with its port or without.
fn is_host_of(url: &str, origin: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.trim_end_matches('/').to_ascii_lowercase();
    let name = host
        .rsplit_once(':')
        .map_or(host.as_str(), |(name, _)| name);
    origin == host || origin == name
}

/// Follows the audit path to the checkpoint's root; what the proof says of size and root is compared, not used.
fn verify_inclusion(
    entry: &LogEntry,
    proof: &InclusionProof,
    checkpoint: &Checkpoint,
    leaf: &Hash,
) -> Result<(), EntryError> {
    let malformed = EntryError::ProofMalformed;
    let index = u64::try_from(proof.log_index).map_err(|_| malformed.clone())?;
    // Rekor v1 counts entries over all shards, its proofs inside one.
    if entry.kind_version.is_v2() && entry.log_index != proof.log_index {
        return Err(malformed);
    }
    let hashes: Result<Vec<Hash>, _> = proof
        .hashes
        .iter()
        .map(|hash| Hash::try_from(hash.as_slice()))
        .collect();
    let hashes = hashes.map_err(|_| malformed.clone())?;
    let said_size = u64::try_from(proof.tree_size).map_err(|_| malformed.clone())?;
    if said_size != checkpoint.size.0 || proof.root_hash != checkpoint.root.as_bytes() {
        return Err(malformed);
    }
    let size = checkpoint.size;
    Ok(proof::verify_inclusion(
        leaf,
        LeafIndex(index),
        size,
        &checkpoint.root,
        &hashes,
    )?)
}
