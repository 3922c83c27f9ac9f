//! Step 1: when it was signed, by timestamp authorities and logs that the trusted root knows.

use std::cell::LazyCell;
use std::time::Duration;

use super::Case;
use super::error::VerifyError;
use super::log::Examined;
use super::report::{AuthenticTime, Clock, Recorder};
use super::trust::Trust;
use crate::certificate::Certificate;
use crate::chain::{Authority, Path, Purpose};
use crate::memo::Memo;
use crate::time::UnixTime;
use crate::timestamp::{SignedTimestamp, TimestampError};

/// Clocks of honest machines differ by less than this.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// Returns every authenticated time, earliest first.
///
/// A token of an unknown authority is counted as such and proves nothing; a malformed token, or a bad one of a known
/// authority, refuses the bundle. A log's time counts once its promise is verified and the entry is about this bundle.
pub(super) fn establish(
    case: &Case<'_>,
    entries: &[Examined<'_>],
    now: UnixTime,
    record: &mut Recorder,
) -> Result<Vec<UnixTime>, VerifyError> {
    // 1. What timestamp authorities say.
    let stamped = case.bundle.stamped();
    for (index, response) in case.bundle.timestamps.iter().enumerate() {
        let token = match SignedTimestamp::parse(response) {
            Ok(token) => token,
            // A commercial authority may use what this crate does not: its token proves nothing here.
            Err(TimestampError::UnsupportedAlgorithm { .. }) => {
                record.facts.ignored_timestamps += 1;
                continue;
            }
            Err(error) => return Err(VerifyError::Timestamp { index, error }),
        };
        match verify_token(case.trust, index, &token, stamped, case.memo)? {
            Some(time) => record.facts.times.push(time),
            None => record.facts.ignored_timestamps += 1,
        }
    }
    let timestamps = authorities(&record.facts.times);
    // 2. What logs promised.
    for (id, time) in entries.iter().filter_map(Examined::time) {
        let log = case.trust.logs().iter().find(|log| log.id == id);
        record.facts.times.push(AuthenticTime {
            time,
            authority: log.map(|log| log.url.clone()).unwrap_or_default(),
            clock: Clock::Log,
        });
    }
    record.facts.times.sort_by_key(|each| each.time);
    // 3. Enough of them, and none from the future.
    require_enough(case, entries, timestamps, record)?;
    let times: Vec<UnixTime> = record.facts.times.iter().map(|each| each.time).collect();
    match times.iter().find(|time| **time > now.plus(CLOCK_TOLERANCE)) {
        Some(time) => Err(VerifyError::FromTheFuture { time: *time, now }),
        None => Ok(times),
    }
}

/// Counts authorities: two words of one are one.
fn authorities(times: &[AuthenticTime]) -> usize {
    let mut names: Vec<_> = times
        .iter()
        .map(|each| (each.clock, &each.authority))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.len()
}

fn require_enough(
    case: &Case<'_>,
    entries: &[Examined<'_>],
    timestamps: usize,
    record: &Recorder,
) -> Result<(), VerifyError> {
    let unknown = record.facts.ignored_timestamps;
    let wanted = case.evidence.timestamps;
    if timestamps < wanted {
        return Err(VerifyError::NotEnoughTimestamps {
            wanted,
            found: timestamps,
            unknown,
        });
    }
    // A certificate must be judged at some time: none is never enough. A key that the caller gave needs none.
    let least = usize::from(case.signer.is_certificate());
    let (wanted, found) = (
        case.evidence.times.max(least),
        authorities(&record.facts.times),
    );
    if found >= wanted {
        return Ok(());
    }
    // A bad promise says more than a missing time.
    let bad = entries
        .iter()
        .enumerate()
        .find_map(|(index, each)| Some((index, each.bad_promise()?.clone())));
    Err(match bad {
        Some((index, error)) => VerifyError::Entry { index, error },
        None => VerifyError::NotEnoughTimes {
            wanted,
            found,
            unknown,
        },
    })
}

/// Verifies a token against the authorities that its signer belongs to; none when it belongs to none.
pub(super) fn verify_token(
    trust: &Trust,
    index: usize,
    token: &SignedTimestamp,
    message: &[u8],
    memo: &Memo,
) -> Result<Option<AuthenticTime>, VerifyError> {
    let mut refusal = None;
    // Most trusted roots list the signer itself: what came along is rarely looked at.
    let carried = LazyCell::new(|| token.carried());
    // One key may be listed several times, with different windows: any that fits will do.
    for authority in trust.timestamp_authorities() {
        match verify_with(trust, authority, index, token, &carried, message, memo) {
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
    carried: &LazyCell<Vec<Certificate>, impl FnOnce() -> Vec<Certificate>>,
    message: &[u8],
    memo: &Memo,
) -> Result<Option<AuthenticTime>, VerifyError> {
    let named = |each: &&Certificate| token.signer.names(each);
    let trusted = authority.certificates().iter().find(named);
    let Some(signer) = trusted.or_else(|| carried.iter().find(named)) else {
        return Ok(None);
    };
    // An authority that lists its signer is that signer: another certificate under the same root is not, or a retired
    // key would sign on under its successor's entry.
    let listed = authority.certificates().first();
    if listed.is_some_and(|first| !first.is_ca() && first != signer) {
        return Ok(None);
    }
    let authorities = std::slice::from_ref(authority);
    let beside: &[Certificate] = match trusted {
        Some(_) => &[],
        None => carried,
    };
    let Ok(path) = Path::find(signer, beside, authorities, memo) else {
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
        clock: Clock::TimestampAuthority,
    }))
}
