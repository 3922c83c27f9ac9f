//! Step 3: the log. Each entry is rebuilt from this bundle and followed to a checkpoint that a known log signed.

use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash::{self, Hash};
use stella_tlog::note::{KeyName, Note, SignatureType, VerifierKey};
use stella_tlog::proof;
use stella_tlog::tree::LeafIndex;

use super::Signer;
use super::error::{EntryError, VerifyError};
use super::policy::{LogRule, Policy};
use super::report::{LogFact, Recorder, Standing};
use super::signature::{self, Message};
use super::trust::{Log, Trust};
use crate::bundle::Bundle;
use crate::entry::{self, EntryVerifier, HashedRekord, InclusionProof, LogEntry};
use crate::key::KeyKind;
use crate::time::UnixTime;

/// Verifies every entry and requires enough of them.
///
/// An entry that names an unknown log or kind, stands twice or proves nothing is reported and counts for nothing; a
/// wrong entry of a known log refuses the bundle.
pub(super) fn verify_entries(
    trust: &Trust,
    policy: &Policy,
    bundle: &Bundle,
    signer: &Signer<'_>,
    message: &Message,
    times: &[UnixTime],
    record: &mut Recorder,
) -> Result<Standing, VerifyError> {
    let LogRule::Require { logs: wanted } = policy.log else {
        return Ok(Standing::Skipped);
    };
    let mut counted: Vec<(&[u8], i64)> = Vec::new();
    let mut reasons = Vec::new();
    for (index, entry) in bundle.entries.iter().enumerate() {
        let mut fact = LogFact {
            origin: hex::encode(&entry.log_id.key_id),
            index: entry.log_index,
            tree_size: None,
            witnesses: Vec::new(),
            ignored: None,
        };
        let place = (entry.log_id.key_id.as_slice(), entry.log_index);
        let result = if counted.contains(&place) {
            Err(EntryError::Duplicate)
        } else {
            verify_entry(
                trust, policy, bundle, signer, message, times, entry, &mut fact,
            )
        };
        match result {
            Ok(()) => counted.push(place),
            Err(error) if counts_for_nothing(&error) => {
                fact.ignored = Some(error.clone());
                reasons.push(error);
            }
            Err(error) => return Err(VerifyError::Entry { index, error }),
        }
        record.facts.entries.push(fact);
    }
    // Two entries of one log are one witness.
    let mut logs: Vec<&[u8]> = counted.iter().map(|(log, _)| *log).collect();
    logs.sort_unstable();
    logs.dedup();
    let (wanted, found) = (wanted.max(1), logs.len());
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
            | EntryError::UnknownLog { .. }
            | EntryError::UnsupportedKind(_)
    )
}

#[expect(
    clippy::too_many_arguments,
    reason = "the evidence of one entry, each used once"
)]
fn verify_entry(
    trust: &Trust,
    policy: &Policy,
    bundle: &Bundle,
    signer: &Signer<'_>,
    message: &Message,
    times: &[UnixTime],
    entry: &LogEntry,
    fact: &mut LogFact,
) -> Result<(), EntryError> {
    // 1. Which log, and was it in service.
    let log = find_log(trust, entry, times)?;
    // 2. The leaf is rebuilt: what the entry says of itself is not believed.
    let body = match (
        entry.kind_version.kind.as_str(),
        entry.kind_version.version.as_str(),
    ) {
        ("hashedrekord", "0.0.2") => rebuild(bundle, signer, message)?,
        _ => return Err(EntryError::UnsupportedKind(entry.kind_version.clone())),
    };
    // 3. Leaf, proof, checkpoint, signatures.
    let (note, checkpoint) = verify_logged(log, entry, &body)?;
    fact.origin.clone_from(&checkpoint.origin);
    fact.tree_size = Some(checkpoint.size.0);
    // 4. Witnesses, where the policy names some.
    if let Some(witnesses) = &policy.witnesses {
        let cosigned = witnesses
            .satisfied_by(&note)
            .map_err(|_| EntryError::NotWitnessed)?;
        fact.witnesses = cosigned.into_iter().map(|each| each.witness).collect();
    }
    Ok(())
}

/// Verifies that `log` holds `body` where the entry says: body, proof, checkpoint and the log's signature agree.
pub(super) fn verify_logged(
    log: &Log,
    entry: &LogEntry,
    body: &[u8],
) -> Result<(Note, Checkpoint), EntryError> {
    if !entry.canonicalized_body.is_empty() && entry.canonicalized_body != body {
        return Err(EntryError::BodyMismatch);
    }
    let proof = entry.inclusion_proof.as_ref().ok_or(EntryError::NoProof)?;
    let (note, checkpoint) = verify_checkpoint(log, proof)?;
    verify_inclusion(entry, proof, &checkpoint, &hash::leaf(body))?;
    Ok((note, checkpoint))
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

/// Makes the body that this bundle's signature has in the log.
fn rebuild(bundle: &Bundle, signer: &Signer<'_>, message: &Message) -> Result<Vec<u8>, EntryError> {
    let key = signer.key();
    let details = entry::logged_details(key).ok_or(EntryError::KeyNotLogged)?;
    let scheme = signature::scheme(bundle, key);
    let digest = message.digest(scheme).ok_or(EntryError::NoMessage)?;
    let verifier = match signer {
        Signer::Certificate { leaf, .. } => EntryVerifier::Certificate(leaf.der().to_vec()),
        Signer::Key(key) => EntryVerifier::PublicKey(key.spki().to_vec()),
    };
    let signature = bundle.content.signature().to_vec();
    Ok(HashedRekord {
        digest,
        signature,
        verifier,
        details,
    }
    .to_body())
}

/// Reads the checkpoint and verifies that this log signed it.
fn verify_checkpoint(log: &Log, proof: &InclusionProof) -> Result<(Note, Checkpoint), EntryError> {
    let note = Note::parse(&proof.checkpoint.envelope)?;
    let checkpoint = Checkpoint::parse(&note.text)?;
    note.verify(&checkpoint_key(log, &checkpoint)?)?;
    Ok((note, checkpoint))
}

/// Returns the key under the name of the checkpoint's origin, once that origin is seen to be the log's.
///
/// An Ed25519 log's id is a hash over its origin, so the id binds the name; for other keys the trusted root's address
/// does.
fn checkpoint_key(log: &Log, checkpoint: &Checkpoint) -> Result<VerifierKey, EntryError> {
    let mismatch = || EntryError::OriginMismatch {
        origin: checkpoint.origin.clone(),
    };
    let name = KeyName::new(&checkpoint.origin).map_err(|_| mismatch())?;
    let (signature_type, bytes) = match log.key.kind() {
        KeyKind::Ed25519 => (SignatureType::Ed25519, log.key.bits()),
        KeyKind::Rsa { .. } => (SignatureType::Rsa, log.key.spki()),
        _ => (SignatureType::Ecdsa, log.key.spki()),
    };
    let key = VerifierKey::new(name, signature_type, bytes).map_err(|_| mismatch())?;
    if key.log_id() != log.id.as_slice() {
        return Err(mismatch());
    }
    if signature_type == SignatureType::Ecdsa && !is_host_of(&log.url, &checkpoint.origin) {
        return Err(mismatch());
    }
    Ok(key)
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
    if entry.log_index != proof.log_index {
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
