//! Whether a service is there at all, and what its clock says: the head of whatever it answers.
//!
//! That it does its work is not found out here.

use std::time::Duration;

use bytes::Bytes;
use http::header::DATE;
use http::{Method, StatusCode};
use stella_bundle::time::UnixTime;
use stella_wire::limits;
use stella_wire::transport::{Response, Transport};

use crate::error::{ClientError, Service};
use crate::exchange;
use crate::network::AnswerLimit;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A service that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// The time of its answer, in whole seconds, where it says so.
    pub date: Option<UnixTime>,
}

impl Presence {
    /// Returns how far the service's clock and ours are apart, ours being `now` when the answer came.
    #[must_use]
    pub fn skew(&self, now: UnixTime) -> Option<Duration> {
        // A date has no fractions of a second: a service that says :07 may be at :07.9.
        let (now, date) = (now.floor_seconds(), self.date?);
        Some(now.since(date).max(date.since(now)))
    }
}

/// Asks for the head of an address. Any answer of the service itself will do, a refusal too.
///
/// # Errors
///
/// `Address`, and `Unavailable`: no answer, or one that says that the service cannot now.
pub async fn ask(
    transport: &dyn Transport,
    service: Service,
    address: &str,
) -> Result<Presence, ClientError> {
    let mut request = exchange::request(service, Method::HEAD, address, Bytes::new())?;
    request
        .extensions_mut()
        .insert(AnswerLimit(limits::TRUST_ANSWER));
    let address = exchange::address_of(&request);
    let answer = transport.send(request).await;
    let answer =
        answer.map_err(|problem| exchange::no_answer(service, address.clone(), problem))?;
    let is_away = matches!(
        answer.status(),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    );
    match exchange::refusal(service, address, &answer) {
        Some(refusal) if is_away => Err(refusal),
        _ => Ok(Presence {
            date: date(&answer),
        }),
    }
}

/// Reads the header `Date`, in the one form that is still written.
///
/// spec: RFC 9110 §5.6.7, IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`
fn date(answer: &Response) -> Option<UnixTime> {
    let text = answer.headers().get(DATE)?.to_str().ok()?;
    let (_, rest) = text.split_once(", ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    let &[day, month, year, time, "GMT"] = words.as_slice() else {
        return None;
    };
    let month = MONTHS.iter().position(|each| *each == month)?;
    let clock: Vec<&str> = time.split(':').collect();
    let &[hour, minute, second] = clock.as_slice() else {
        return None;
    };
    let number = |text: &str| text.parse::<u16>().ok().map(i64::from);
    UnixTime::from_civil(
        number(year)?,
        i64::try_from(month).ok()? + 1,
        number(day)?,
        number(hour)?,
        number(minute)?,
        number(second)?,
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::error::ErrorClass;
    use crate::scripted::{BASE, Script, refused, run, status};

    fn dated(text: &str) -> Option<UnixTime> {
        let mut answer = status(200, "").unwrap();
        answer.headers_mut().insert(DATE, text.parse().unwrap());
        date(&answer)
    }

    #[test]
    fn a_date_is_read_as_it_is_written_today() {
        let date = dated("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(date, UnixTime::from_seconds(784_111_777));
        let presence = Presence { date: Some(date) };
        let minute = Duration::from_secs(60);
        for now in [date.plus(minute), date.minus(minute)] {
            assert_eq!(presence.skew(now), Some(minute));
        }
        for bad in [
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "",
        ] {
            assert_eq!(dated(bad), None, "{bad}");
        }
    }

    #[test]
    fn who_refuses_is_there_and_who_cannot_is_not() {
        let asked = |answer| run(ask(&Script::new([answer]), Service::Fulcio, BASE));
        for code in [200, 404, 405, 500, 501] {
            assert_eq!(asked(status(code, "")).unwrap().date, None, "{code}");
        }
        for answer in [status(503, ""), refused()] {
            assert_eq!(asked(answer).unwrap_err().class(), ErrorClass::Unavailable);
        }
    }
}
