//! A service's fresh answer, verified before a client uses it: by the same rules as a bundle, one piece at a time.

use super::certificate;
use super::error::{BodyPart, EntryError, VerifyError};
use super::log;
use super::policy::SctRule;
use super::report::{AuthenticTime, Recorder};
use super::time;
use super::trust::Trust;
use crate::certificate::Certificate;
use crate::chain::Path;
use crate::entry::{HashedRekord, LogEntry};
use crate::memo::Memo;
use crate::time::UnixTime;
use crate::timestamp::SignedTimestamp;
use stella_tlog::checkpoint::Checkpoint;

/// Finds the path of a new certificate into a trusted authority that holds at `now`.
///
/// `intermediates` are the certificates that came with the leaf, the root left out.
///
/// # Errors
/// `RootInBundle`, `NotOneName`, `Chain`.
pub fn certificate_path<'a>(
    trust: &'a Trust,
    leaf: &'a Certificate,
    intermediates: &'a [Certificate],
    now: UnixTime,
) -> Result<Path<'a>, VerifyError> {
    certificate::find_path(trust, leaf, intermediates, &[now], &Memo::default())
}

/// Requires an SCT of a trusted log in a new certificate.
///
/// # Errors
/// `NotEnoughScts`, `Sct`, `SctLogNotValidAt`.
pub fn scts(trust: &Trust, leaf: &Certificate, path: &Path<'_>) -> Result<(), VerifyError> {
    let (rule, memo) = (SctRule::Require, Memo::default());
    certificate::verify_scts(trust, rule, leaf, path, &memo, &mut Recorder::default())?;
    Ok(())
}

/// Requires that a trusted log, in service at `now`, recorded `record`; returns the size of its checkpoint.
///
/// # Errors
/// Any [`EntryError`].
pub fn log_entry(
    trust: &Trust,
    entry: &LogEntry,
    record: &HashedRekord,
    now: UnixTime,
) -> Result<u64, EntryError> {
    if entry.kind_version != HashedRekord::kind_version() {
        return Err(EntryError::UnsupportedKind(entry.kind_version.clone()));
    }
    let log = log::find_log(trust, entry, &[now])?;
    let body = record.to_body();
    if !entry.canonicalized_body.is_empty() && entry.canonicalized_body != body {
        let part = BodyPart::Whole;
        return Err(EntryError::BodyMismatch { part });
    }
    let proof = entry.proof_with_checkpoint().ok_or(EntryError::NoProof)?;
    let head = log::verify_logged(log, entry, proof, &body, &Memo::default())?;
    Ok(head.1.size.0)
}

/// Reads a log's checkpoint, which a trusted log that is in service at `now` must have signed.
///
/// # Errors
/// Any [`EntryError`]: that of the log which fits best; `UnknownLog` when there is none.
pub fn checkpoint(trust: &Trust, envelope: &str, now: UnixTime) -> Result<Checkpoint, EntryError> {
    let mut refusal = EntryError::UnknownLog { id: String::new() };
    let logs = trust.logs().iter();
    for log in logs.filter(|log| log.validity.contains(now)) {
        match log::verify_checkpoint(log, envelope) {
            Ok((_, checkpoint)) => return Ok(checkpoint),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// Says when and by whom `message` was stamped; none when the authority is unknown.
///
/// # Errors
/// `Timestamp`, `TimestampChain`, with index 0.
pub fn timestamp(
    trust: &Trust,
    token: &SignedTimestamp,
    message: &[u8],
) -> Result<Option<AuthenticTime>, VerifyError> {
    time::verify_token(trust, 0, token, message, &Memo::default())
}
