//! Step 1: when it was signed, by timestamp authorities that the trusted root knows.

use std::time::Duration;

use super::error::VerifyError;
use super::policy::{Policy, SignerPolicy};
use super::report::{AuthenticTime, Recorder};
use super::trust::Trust;
use crate::bundle::Bundle;
use crate::chain::{Authority, Path, Purpose};
use crate::time::UnixTime;
use crate::timestamp::{SignedTimestamp, TimestampError};

/// Clocks of honest machines differ by less than this.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// Returns every authenticated time, earliest first.
///
/// A token of an unknown authority is counted as such and proves nothing; a malformed token, or a bad one of a known
/// authority, refuses the bundle.
pub(super) fn establish(
    trust: &Trust,
    policy: &Policy,
    bundle: &Bundle,
    now: UnixTime,
    record: &mut Recorder,
) -> Result<Vec<UnixTime>, VerifyError> {
    let signature = bundle.content.signature();
    for (index, response) in bundle.timestamps.iter().enumerate() {
        let token = match SignedTimestamp::parse(response) {
            Ok(token) => token,
            // A commercial authority may use what this crate does not: its token proves nothing here.
            Err(TimestampError::UnsupportedAlgorithm { .. }) => {
                record.facts.ignored_timestamps += 1;
                continue;
            }
            Err(error) => return Err(VerifyError::Timestamp { index, error }),
        };
        match verify_token(trust, index, &token, signature)? {
            Some(time) => record.facts.times.push(time),
            None => record.facts.ignored_timestamps += 1,
        }
    }
    record.facts.times.sort_by_key(|each| each.time);
    let mut authorities: Vec<&str> = record
        .facts
        .times
        .iter()
        .map(|each| each.authority.as_str())
        .collect();
    authorities.sort_unstable();
    authorities.dedup();
    // A certificate must be judged at some time: none is never enough. A key that the caller gave needs none.
    let wanted = match policy.signer {
        SignerPolicy::Certificate(_) => policy.timestamps.max(1),
        SignerPolicy::Key(_) => policy.timestamps,
    };
    if authorities.len() < wanted {
        let unknown = record.facts.ignored_timestamps;
        return Err(VerifyError::NotEnoughTimestamps {
            wanted,
            found: authorities.len(),
            unknown,
        });
    }
    let times: Vec<UnixTime> = record.facts.times.iter().map(|each| each.time).collect();
    match times.iter().find(|time| **time > now.plus(CLOCK_TOLERANCE)) {
        Some(time) => Err(VerifyError::FromTheFuture { time: *time, now }),
        None => Ok(times),
    }
}

/// Verifies a token against the authorities that its signer belongs to; none when it belongs to none.
pub(super) fn verify_token(
    trust: &Trust,
    index: usize,
    token: &SignedTimestamp,
    message: &[u8],
) -> Result<Option<AuthenticTime>, VerifyError> {
    let mut refusal = None;
    // One key may be listed several times, with different windows: any that fits will do.
    for authority in trust.timestamp_authorities() {
        match verify_with(trust, authority, index, token, message) {
            Ok(Some(time)) => return Ok(Some(time)),
            Ok(None) => {}
            Err(error) => refusal = Some(error),
        }
    }
    refusal.map_or(Ok(None), Err)
}

fn verify_with(
    trust: &Trust,
    authority: &Authority,
    index: usize,
    token: &SignedTimestamp,
    message: &[u8],
) -> Result<Option<AuthenticTime>, VerifyError> {
    let named = |each: &&crate::certificate::Certificate| token.signer.names(each);
    let trusted = authority.certificates().iter().find(named);
    let Some(signer) = trusted.or_else(|| token.certificates.iter().find(named)) else {
        return Ok(None);
    };
    // An authority that lists its signer is that signer: another certificate under the same root is not, or a retired
    // key would sign on under its successor's entry.
    let listed = authority.certificates().first();
    if listed.is_some_and(|first| !first.is_ca() && first != signer) {
        return Ok(None);
    }
    let authorities = std::slice::from_ref(authority);
    let Ok(path) = Path::find(signer, &token.certificates, authorities) else {
        return Ok(None);
    };

    let refuse = |error| VerifyError::Timestamp { index, error };
    token.require_message(message).map_err(refuse)?;
    token.verify(signer).map_err(refuse)?;
    path.require(Purpose::TimeStamping, token.time)
        .and_then(|()| path.require_none_retired(trust.timestamp_authorities(), token.time))
        .map_err(|error| VerifyError::TimestampChain { index, error })?;
    Ok(Some(AuthenticTime {
        time: token.time,
        authority: authority.uri().to_owned(),
    }))
}
