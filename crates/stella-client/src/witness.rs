//! Witnesses (C2SP tlog-witness): a signed checkpoint goes in, a cosignature comes out, verified before anybody uses it.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use stella_bundle::time::UnixTime;
use stella_tlog::cosignature::{self, UnixSeconds};
use stella_tlog::note::{Note, NoteError, NoteSignature};
use stella_tlog::quorum;
use stella_tlog::tree::TreeSize;
use stella_tlog::witness::{AddCheckpoint, SIZE_CONTENT_TYPE, parse_size};
use stella_wire::limits;
use stella_wire::transport::{Response, Transport};

use crate::error::{ClientError, Service};
use crate::exchange;

/// The clocks of this machine and of the witness may differ by so much.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Why a witness's answer is not to be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessProblem {
    /// The answer is no signature lines, or none of them is a good one by the witness's key.
    #[error("the witness's answer does not hold: {0}")]
    Cosignature(#[from] NoteError),
    /// Its time is not now, even by a clock that is five minutes off.
    #[error("the cosignature says {time}, now is {now}: check this machine's clock")]
    NotNow {
        /// What the cosignature says.
        time: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The answer to a wrong old size does not say which is right.
    #[error("the witness holds another size of the tree, and does not say which")]
    Size,
    /// The address is not known.
    #[error("the policy has no address of the witness {name}")]
    Unreachable {
        /// Its name in the policy.
        name: String,
    },
}

/// What a witness answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It cosigned; the signature is good, and of now.
    Cosigned(NoteSignature),
    /// It saw the tree last when it had this size: the proof must begin there.
    Holds(TreeSize),
}

/// Asks a witness to cosign a checkpoint.
///
/// # Errors
///
/// `Unavailable`, `Refused` where the witness does not know the log or finds that its tree did not only grow, and `Witness` for an
/// answer that is not to be used.
pub async fn add_checkpoint(
    transport: &dyn Transport,
    witness: &quorum::Witness,
    request: &AddCheckpoint,
    now: UnixTime,
) -> Result<Answer, ClientError> {
    let service = Service::Witness;
    let url = witness.url.as_deref();
    let url = url.ok_or_else(|| WitnessProblem::Unreachable {
        name: witness.name.clone(),
    })?;
    let address = exchange::join(url, "/add-checkpoint");
    let body = Bytes::from(request.to_string());
    let asked = exchange::request(service, Method::POST, &address, body)?;
    let answer = exchange::ask(transport, service, asked, limits::COSIGNATURES).await?;
    if answer.status() == StatusCode::CONFLICT && is_size(&answer) {
        let size = std::str::from_utf8(answer.body()).ok().and_then(parse_size);
        return Ok(Answer::Holds(size.ok_or(WitnessProblem::Size)?));
    }
    if let Some(refusal) = exchange::refusal(service, address, &answer) {
        return Err(refusal);
    }
    Ok(Answer::Cosigned(verified(
        answer.body(),
        witness,
        &request.note.text,
        now,
    )?))
}

/// Returns the time of a cosignature as others tell it.
#[must_use]
pub fn moment(time: UnixSeconds) -> UnixTime {
    UnixTime::from_seconds(i64::try_from(time.0).unwrap_or(i64::MAX))
}

fn is_size(answer: &Response) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes() == SIZE_CONTENT_TYPE.as_bytes())
}

/// Reads signature lines; takes the newest that the witness made.
fn verified(
    lines: &[u8],
    witness: &quorum::Witness,
    text: &str,
    now: UnixTime,
) -> Result<NoteSignature, WitnessProblem> {
    let lines = String::from_utf8_lossy(lines);
    let note = Note::parse(&format!("{text}\n{lines}"))?;
    let latest = cosignature::verify(&note, &witness.key)?;
    let time = moment(latest);
    if time < now.minus(CLOCK_SKEW) || now.plus(CLOCK_SKEW) < time {
        return Err(WitnessProblem::NotNow { time, now });
    }
    let mut signatures = note.signatures_of(&witness.key);
    let newest = signatures.find(|each| cosignature::time(each) == Some(latest));
    let newest = newest.unwrap_or_default().to_vec();
    Ok(NoteSignature::new(&witness.key, newest))
}

#[cfg(test)]
mod tests;
