//! Points in time and windows of validity. Who asks the clock lives elsewhere: pure code is told the time.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// A point in time: microseconds since 1970-01-01T00:00:00Z, before or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400;

impl UnixTime {
    /// Returns the time `seconds` after 1970; saturates beyond ±292 000 years.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(MICROS))
    }

    /// Returns the time `millis` milliseconds after 1970; saturates as above.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Returns the time `micros` microseconds after 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the time of a UTC calendar date, or none where the calendar has no such moment.
    pub fn from_civil(
        year: i64,
        month: i64,
        day: i64,
        hour: i64,
        minute: i64,
        second: i64,
    ) -> Option<Self> {
        let in_range = (0..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second);
        in_range.then(|| {
            Self::from_seconds(
                days_since_1970(year, month, day) * DAY + hour * 3600 + minute * 60 + second,
            )
        })
    }

    /// Returns whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS)
    }

    /// Returns whole milliseconds since 1970, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Returns microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Returns this time without its fraction of a second.
    pub const fn floor_seconds(self) -> Self {
        Self::from_seconds(self.seconds())
    }

    /// Returns a later time; saturates.
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// Returns an earlier time; saturates.
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// Returns how long after `earlier` this is, or zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads an RFC 3339 date and time with its offset; what is finer than a microsecond is dropped.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        // spec: RFC 3339 §5.6. jiff also accepts ISO 8601 spellings; the length bounds the input.
        if text.len() > 40
            || !text.is_ascii()
            || text
                .as_bytes()
                .get(10)
                .is_none_or(|byte| !matches!(byte, b'T' | b't'))
        {
            return None;
        }
        text.parse::<Timestamp>()
            .ok()
            .map(|time| Self(time.as_microsecond()))
    }

    /// Returns the year and the digits `MMDDhhmmss`.
    pub(crate) fn to_civil_digits(self) -> (i64, String) {
        let seconds = self.seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(DAY));
        let rest = seconds.rem_euclid(DAY);
        (
            year,
            format!(
                "{month:02}{day:02}{:02}{:02}{:02}",
                rest / 3600,
                rest / 60 % 60,
                rest % 60
            ),
        )
    }
}

impl fmt::Display for UnixTime {
    /// Prints RFC 3339 in UTC, with as many digits of the fraction as there are.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_microsecond(self.0) {
            Ok(time) => time.fmt(formatter),
            // Beyond the calendar of RFC 3339: only a hostile or a "never ends" value lies there.
            Err(_) => write!(formatter, "{} seconds from 1970", self.seconds()),
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, years counted from March so that the leap day is last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A window of time, inclusive at both ends; an absent end is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// First moment inside.
    pub start: Option<UnixTime>,
    /// Last moment inside.
    pub end: Option<UnixTime>,
}

impl Validity {
    /// Returns the window from `start` on.
    pub const fn from(start: UnixTime) -> Self {
        Self {
            start: Some(start),
            end: None,
        }
    }

    /// Says whether `time` is inside; the ends belong to the window (Sigstore `TimeRange`).
    pub fn contains(&self, time: UnixTime) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time <= end)
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.start, self.end) {
            (Some(start), Some(end)) => write!(formatter, "{start} to {end}"),
            (Some(start), None) => write!(formatter, "from {start}"),
            (None, Some(end)) => write!(formatter, "until {end}"),
            (None, None) => formatter.write_str("always"),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn civil_dates_agree_with_the_calendar_library() {
        for seconds in (-62_000_000_000..253_000_000_000_i64).step_by(86_400 * 997 + 12_345) {
            let time = UnixTime::from_seconds(seconds);
            let (year, rest) = time.to_civil_digits();
            let text = time.to_string();
            let expected: String = text.chars().filter(char::is_ascii_digit).collect();
            assert_eq!(format!("{year:04}{rest}"), expected);
            assert_eq!(UnixTime::parse_rfc3339(&text), Some(time));
        }
    }

    #[test]
    fn both_ends_of_a_window_belong_to_it() {
        let (start, end) = (UnixTime::from_seconds(10), UnixTime::from_seconds(20));
        let window = Validity {
            start: Some(start),
            end: Some(end),
        };
        assert!(window.contains(start) && window.contains(end));
        assert!(!window.contains(start.minus(Duration::from_micros(1))));
        assert!(!window.contains(end.plus(Duration::from_micros(1))));
    }

    #[test]
    fn absurd_times_saturate_and_print() {
        let far = UnixTime::from_seconds(i64::MAX);
        assert!(far.to_string().contains("seconds"));
        assert_eq!(far.plus(Duration::from_secs(1)), far);
    }

    #[test]
    fn dates_without_offset_or_with_blanks_are_refused() {
        for text in [
            "2025-01-01T00:00:00",
            "2025-01-01 00:00:00Z",
            "2025-01-01",
            "",
            "20250101T000000Z é",
        ] {
            assert_eq!(UnixTime::parse_rfc3339(text), None, "{text}");
        }
        assert_eq!(
            UnixTime::parse_rfc3339("1970-01-01T01:00:00.25+01:00")
                .unwrap()
                .micros(),
            250_000
        );
    }
}
