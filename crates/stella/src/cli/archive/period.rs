//! Periods: months, weeks and quarters by their names, and the one that has ended last. All in UTC.

use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::Deserialize;
use stella_archive::statement::Period;
use stella_bundle::time::UnixTime;

/// How long periods are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Cadence {
    /// From Monday to Monday, such as 2026-W48
    Weekly,
    /// Such as 2026-11
    #[default]
    Monthly,
    /// Such as 2026-Q4
    Quarterly,
}

impl Cadence {
    /// Returns the period that has ended last; none where the clock shows a time beyond the calendar.
    pub(in crate::cli) fn last(self, now: UnixTime) -> Option<Period> {
        let now = Timestamp::from_microsecond(now.micros()).ok()?;
        let today = now.to_zoned(TimeZone::UTC).date();
        let (start, end) = match self {
            Self::Weekly => {
                let days = today.weekday().since(Weekday::Monday);
                let monday = today.checked_sub(days.days()).ok()?;
                (monday.checked_sub(7.days()).ok()?, monday)
            }
            Self::Monthly => {
                let first = today.first_of_month();
                (first.checked_sub(1.month()).ok()?, first)
            }
            Self::Quarterly => {
                let beyond = (today.month() - 1) % 3;
                let first = today.first_of_month().checked_sub(beyond.months()).ok()?;
                (first.checked_sub(3.months()).ok()?, first)
            }
        };
        between(self.name(start), start, end)
    }

    fn name(self, start: Date) -> String {
        let year = start.year();
        match self {
            Self::Weekly => {
                let week = start.iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Self::Monthly => format!("{year:04}-{:02}", start.month()),
            Self::Quarterly => format!("{year:04}-Q{}", (start.month() - 1) / 3 + 1),
        }
    }
}

fn between(name: String, start: Date, end: Date) -> Option<Period> {
    let midnight = |date: Date| {
        let zoned = date.to_zoned(TimeZone::UTC).ok()?;
        Some(UnixTime::from_seconds(zoned.timestamp().as_second()))
    };
    Some(Period {
        name,
        start: midnight(start)?,
        end: midnight(end)?,
    })
}

/// Reads the name of a month.
pub(super) fn parse_month(text: &str) -> Result<Period, String> {
    month(text).ok_or_else(|| "expected a month such as 2026-11".to_owned())
}

/// Reads the name of a month, a week or a quarter.
pub(super) fn parse(text: &str) -> Result<Period, String> {
    let found = month(text).or_else(|| week(text)).or_else(|| quarter(text));
    found.ok_or_else(|| {
        "expected a month, a week or a quarter such as 2026-11, 2026-W48 or 2026-Q4".to_owned()
    })
}

fn month(text: &str) -> Option<Period> {
    let (year, month) = text.split_once('-')?;
    let start = Date::new(number(year, 4)?, i8::try_from(number(month, 2)?).ok()?, 1).ok()?;
    between(text.to_owned(), start, start.checked_add(1.month()).ok()?)
}

fn week(text: &str) -> Option<Period> {
    let (year, week) = text.split_once("-W")?;
    let week = i8::try_from(number(week, 2)?).ok()?;
    let monday = ISOWeekDate::new(number(year, 4)?, week, Weekday::Monday).ok()?;
    let start = monday.date();
    between(text.to_owned(), start, start.checked_add(7.days()).ok()?)
}

fn quarter(text: &str) -> Option<Period> {
    let (year, quarter) = text.split_once("-Q")?;
    let quarter = i8::try_from(number(quarter, 1)?).ok()?;
    let first = quarter.checked_sub(1)?.checked_mul(3)?.checked_add(1)?;
    let start = Date::new(number(year, 4)?, first, 1).ok()?;
    between(text.to_owned(), start, start.checked_add(3.months()).ok()?)
}

/// Reads a number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i16> {
    let is_plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_last_period_is_the_one_that_has_ended() {
        for (cadence, now, expected) in [
            (Cadence::Monthly, "2026-12-01T00:00:00Z", "2026-11"),
            (Cadence::Monthly, "2026-12-31T23:59:59Z", "2026-11"),
            (Cadence::Monthly, "2027-01-15T00:00:00Z", "2026-12"),
            (Cadence::Weekly, "2026-11-30T00:00:00Z", "2026-W48"),
            (Cadence::Weekly, "2026-11-29T23:59:59Z", "2026-W47"),
            (Cadence::Weekly, "2027-01-05T12:00:00Z", "2026-W53"),
            (Cadence::Quarterly, "2026-12-31T23:59:59Z", "2026-Q3"),
            (Cadence::Quarterly, "2027-01-01T00:00:00Z", "2026-Q4"),
        ] {
            let now = UnixTime::parse_rfc3339(now).unwrap();
            let period = cadence.last(now).unwrap();
            assert_eq!(period.name, expected);
            assert!(period.end <= now);
            assert_eq!(parse(&period.name).unwrap(), period);
        }
    }

    #[test]
    fn what_names_no_period_is_refused() {
        assert_eq!(
            parse_month("2026-12").unwrap().end.to_string(),
            "2027-01-01T00:00:00Z"
        );
        for wrong in [
            "2026", "2026-13", "26-01", "2026-1", "2026-00", "x", "2026-W54", "2026-W00",
            "2026-Q0", "2026-Q5", "2026-Q+", "2026-W1", "",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse_month("2026-W48").is_err());
    }
}
