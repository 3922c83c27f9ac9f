//! A service's fresh answer, verified before a client uses it: by the same rules as a bundle, one piece at a time.

use super::certificate;
use super::error::{EntryError, VerifyError};
use super::log;
use super::policy::{IdentityRule, Policy, SctRule, SignerPolicy};
use super::report::{AuthenticTime, Recorder};
use super::time;
use super::trust::Trust;
use crate::certificate::Certificate;
use crate::entry::LogEntry;
use crate::time::UnixTime;
use crate::timestamp::SignedTimestamp;

/// Requires that a certificate was issued by a trusted authority at `now`, with an SCT where the rule asks for one.
///
/// `intermediates` are the certificates that came with the leaf, the root left out.
///
/// # Errors
/// Any [`VerifyError`] of the checks `chain` and `sct`.
pub fn require_issued(
    trust: &Trust,
    leaf: &Certificate,
    intermediates: &[Certificate],
    sct: SctRule,
    now: UnixTime,
) -> Result<(), VerifyError> {
    let mut policy = Policy::new(SignerPolicy::Certificate(IdentityRule::NotGiven));
    policy.sct = sct;
    let path = certificate::find_path(trust, leaf, intermediates, &[now])?;
    certificate::verify_scts(trust, &policy, leaf, &path, &mut Recorder::default())?;
    Ok(())
}

/// Requires that a trusted log, in service at `now`, recorded `body`; returns the size of its checkpoint.
///
/// # Errors
/// Any [`EntryError`].
pub fn require_logged(
    trust: &Trust,
    entry: &LogEntry,
    body: &[u8],
    now: UnixTime,
) -> Result<u64, EntryError> {
    let log = log::find_log(trust, entry, &[now])?;
    let (_, checkpoint) = log::verify_logged(log, entry, body)?;
    Ok(checkpoint.size.0)
}

/// Requires that a trusted authority stamped `message`; returns when and who.
///
/// # Errors
/// `Timestamp`, `TimestampChain`; `NotEnoughTimestamps` when the authority is unknown. The index is always 0.
pub fn require_stamped(
    trust: &Trust,
    response: &[u8],
    message: &[u8],
) -> Result<AuthenticTime, VerifyError> {
    let token = SignedTimestamp::parse(response)
        .map_err(|error| VerifyError::Timestamp { index: 0, error })?;
    time::verify_token(trust, 0, &token, message)?.ok_or(VerifyError::NotEnoughTimestamps {
        wanted: 1,
        found: 0,
        unknown: 1,
    })
}

/// Finds the path of a new certificate into a trusted authority that holds at `now`.
///
/// # Errors
/// `RootInBundle`, `NotOneName`, `Chain`.
pub fn certificate_path<'a>(
    trust: &'a Trust,
    leaf: &'a Certificate,
    intermediates: &'a [Certificate],
    now: UnixTime,
) -> Result<crate::chain::Path<'a>, VerifyError> {
    certificate::find_path(trust, leaf, intermediates, &[now])
}

/// Requires an SCT of a trusted log in a new certificate.
///
/// # Errors
/// `NotEnoughScts`, `Sct`, `SctLogNotValidAt`.
pub fn scts(
    trust: &Trust,
    leaf: &Certificate,
    path: &crate::chain::Path<'_>,
) -> Result<(), VerifyError> {
    let policy = Policy::new(SignerPolicy::Certificate(IdentityRule::NotGiven));
    certificate::verify_scts(trust, &policy, leaf, path, &mut Recorder::default())?;
    Ok(())
}

/// Requires that a trusted log, in service at `now`, recorded `record`; returns the size of its checkpoint.
///
/// # Errors
/// Any [`EntryError`].
pub fn log_entry(
    trust: &Trust,
    entry: &LogEntry,
    record: &crate::entry::HashedRekord,
    now: UnixTime,
) -> Result<u64, EntryError> {
    if entry.kind_version != crate::entry::HashedRekord::kind_version() {
        return Err(EntryError::UnsupportedKind(entry.kind_version.clone()));
    }
    require_logged(trust, entry, &record.to_body(), now)
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
    time::verify_token(trust, 0, token, message)
}
