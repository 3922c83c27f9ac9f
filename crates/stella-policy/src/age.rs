//! Ages as people write them: `30d`, `12h`, `90m`. From when an attestation's age is counted is in the gate.

use std::fmt;
use std::time::Duration;

/// The units, the largest first, with their seconds.
const UNITS: [(char, u64); 5] = [
    ('w', 604_800),
    ('d', 86_400),
    ('h', 3_600),
    ('m', 60),
    ('s', 1),
];

/// Ages above a hundred years are slips of the pen.
const MOST: u64 = 100 * 366 * 86_400;

/// How old something may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(Duration);

/// Text that is no age.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no age: write a whole number and one of s, m, h, d, w, as 30d")]
pub struct AgeError {
    /// The text.
    pub found: String,
}

impl Age {
    /// Reads a whole number above zero and a unit.
    ///
    /// # Errors
    /// [`AgeError`] for everything else, and for more than a hundred years.
    pub fn parse(text: &str) -> Result<Self, AgeError> {
        let read = || {
            let unit = text.chars().next_back()?;
            let (_, seconds) = UNITS.into_iter().find(|(letter, _)| *letter == unit)?;
            let digits = text.strip_suffix(unit)?;
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let total = digits.parse::<u64>().ok()?.checked_mul(seconds)?;
            (is_number && (1..=MOST).contains(&total)).then_some(Self(Duration::from_secs(total)))
        };
        read().ok_or_else(|| AgeError {
            found: text.to_owned(),
        })
    }

    /// Returns the duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Age {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_duration(formatter, self.0)
    }
}

/// A duration for people, in the largest unit that has no rest, or rounded down to the largest that fits twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(pub Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let unit = UNITS
            .into_iter()
            .skip(1)
            .find(|(_, unit)| seconds >= 2 * unit);
        let (letter, unit) = unit.unwrap_or(('s', 1));
        write!(formatter, "{}{letter}", seconds / unit)
    }
}

fn write_duration(formatter: &mut fmt::Formatter<'_>, duration: Duration) -> fmt::Result {
    let seconds = duration.as_secs();
    let unit = UNITS
        .into_iter()
        .skip(1)
        .find(|(_, unit)| seconds.is_multiple_of(*unit));
    let (letter, unit) = unit.unwrap_or(('s', 1));
    write!(formatter, "{}{letter}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_and_printed() {
        for (text, seconds, printed) in [
            ("30d", 2_592_000, "30d"),
            ("2w", 1_209_600, "14d"),
            ("90m", 5_400, "90m"),
            ("3600s", 3_600, "1h"),
        ] {
            let age = Age::parse(text);
            assert_eq!(age, Ok(Age(Duration::from_secs(seconds))), "{text}");
            assert_eq!(age.map(|age| age.to_string()), Ok(printed.to_owned()));
        }
        assert_eq!(Elapsed(Duration::from_secs(2_600_000)).to_string(), "30d");
    }

    #[test]
    fn what_is_no_age_is_refused() {
        for text in [
            "", "d", "30", "0d", "-1d", "+1d", "1.5d", "30 d", "30D", "9999999w", "1é",
        ] {
            assert!(Age::parse(text).is_err(), "{text}");
        }
    }
}
