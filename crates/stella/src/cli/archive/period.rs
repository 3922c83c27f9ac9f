//! Periods: months, weeks and quarters by their names, and the one that has ended last. All in UTC.

use std::time::Duration;

use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::Deserialize;
use stella_archive::statement::Period;
use stella_attest::archive::cosign::NOTE_NAME;
use stella_bundle::time::UnixTime;

use super::ceremony::now;
use crate::exit::Failure;

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

/// What is sealed.
#[derive(Debug, clap::Args)]
pub(super) struct PeriodFlags {
    /// The month, such as 2026-11; by default the last one that has ended
    #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
    month: Option<Period>,

    /// A month, a week or a quarter, such as 2026-11, 2026-W48 or 2026-Q4
    #[arg(long, value_name = "NAME", value_parser = parse, conflicts_with = "month")]
    period: Option<Period>,

    /// Where no period is named: seal the last week, month or quarter that has ended
    #[arg(long, value_name = "CADENCE", default_value = "monthly")]
    cadence: Cadence,

    /// Seal everything until now under this name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["month", "period"])]
    release: Option<String>,

    /// With --release: what was signed from this time on, such as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME", requires = "release", value_parser = parse_time)]
    pub(super) since: Option<UnixTime>,

    /// With --release: what was signed before this time
    #[arg(long, value_name = "TIME", requires = "release", value_parser = parse_time)]
    until: Option<UnixTime>,
}

impl PeriodFlags {
    /// Returns the period that is meant; it has ended.
    pub(super) fn period(&self) -> Result<Period, Failure> {
        if let Some(name) = &self.release {
            require_name(name)?;
            let start = self.since.unwrap_or_else(|| UnixTime::from_seconds(0));
            // The first moment after what is there now.
            let next = now().floor_seconds().plus(Duration::from_secs(1));
            let end = self.until.unwrap_or(next).min(next);
            return Ok(Period {
                name: name.clone(),
                start,
                end,
            });
        }
        let last = || self.cadence.last(now());
        let named = self.month.clone().or_else(|| self.period.clone());
        let period = named.or_else(last);
        let period = period.ok_or_else(|| Failure::usage("the clock shows no date"))?;
        if period.end > now() {
            return Err(Failure::usage(format!("{} has not ended yet", period.name))
                .hint("a period is sealed once; --release NAME seals what is there now"));
        }
        Ok(period)
    }
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

pub(super) fn parse_time(text: &str) -> Result<UnixTime, String> {
    let time = UnixTime::parse_rfc3339(text).map(UnixTime::floor_seconds);
    time.ok_or_else(|| "expected a time such as 2026-11-01T00:00:00Z".to_owned())
}

/// Requires a name that can be a tag, and is no other period's.
fn require_name(name: &str) -> Result<(), Failure> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_tag = name.len() <= 128
        && name.bytes().next().is_some_and(is_word)
        && name
            .bytes()
            .all(|byte| is_word(byte) || byte == b'.' || byte == b'-');
    let is_ours = parse(name).is_ok()
        || ["renewal-", NOTE_NAME]
            .iter()
            .any(|start| name.starts_with(start));
    match is_tag && !is_ours {
        true => Ok(()),
        false => Err(Failure::usage(format!("{name:?} cannot be a release's name"))
            .hint("letters, digits, _ . and -, a letter, digit or _ first; 2026-11, 2026-W48, 2026-Q4 and renewal-… are other periods' names, note-… those of witnesses' notes")),
    }
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
