//! Retention: what is held, when the rest may go, and the records of both. A record is the bytes that a leaf of the kind `hold` or
//! `prune` is about. Who reads and removes lives elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stella_bundle::json;
use stella_bundle::time::UnixTime;

use crate::date;
use crate::fingerprint::Fingerprint;

/// What the file of a hold says it is.
const HOLD: &str = "stella.hold/v1";
/// What the record of bytes that are let go says it is.
const PRUNE: &str = "stella.prune/v1";
/// Bytes of a record.
pub const MAX_RECORD: usize = 1 << 20;
/// Entries of each list of a hold.
const MAX_ENTRIES: usize = 10_000;
/// Bytes of a text.
const MAX_TEXT: usize = 4096;
/// The longest month: nothing is let go too early.
const MONTH: Duration = Duration::from_secs(31 * 86_400);

/// The ways in which a record is none, or does not fit those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetentionError {
    /// A hold is released that nobody set.
    #[error("the hold {case:?} is released, and was not set")]
    NotSet {
        /// The case.
        case: String,
    },
    /// It is no such record, or written in another way.
    #[error("not a record of a hold or of bytes that were let go, as this version writes it")]
    Unreadable,
}

/// A hold that is set or released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    #[serde(rename = "type")]
    kind: String,
    /// Its name: a case, an incident.
    pub case: String,
    /// What it is about where it is set; none where it is released.
    pub scope: Option<Scope>,
    /// Why.
    pub reason: String,
    /// When.
    #[serde(with = "date")]
    pub created: UnixTime,
}

/// What a hold is about: whatever any of the lists names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Every attestation that there is.
    pub everything: bool,
    /// Digests of what attestations speak of, or of their own bytes: `sha256:<hex>`.
    pub artifacts: Vec<String>,
    /// Names of periods.
    pub periods: Vec<String>,
    /// Parts of signers' names or of their issuers.
    pub signers: Vec<String>,
}

impl Scope {
    /// Says whether nothing is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.everything
            && self.artifacts.is_empty()
            && self.periods.is_empty()
            && self.signers.is_empty()
    }
}

/// The bytes of a period's attestations that are let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    #[serde(rename = "type")]
    kind: String,
    /// The period's name.
    pub period: String,
    /// Of its statement's payload.
    pub statement: Fingerprint,
    /// Months after the period's end for which the bytes were kept.
    pub months: u32,
    /// Attestations whose bytes go.
    pub attestations: u64,
    /// When that was decided.
    #[serde(with = "date")]
    pub created: UnixTime,
}

impl Hold {
    /// Makes the record of a hold that is set (`scope`) or released.
    #[must_use]
    pub fn new(case: &str, scope: Option<Scope>, reason: &str, created: UnixTime) -> Self {
        Self {
            kind: HOLD.to_owned(),
            case: case.to_owned(),
            scope,
            reason: reason.to_owned(),
            created: created.floor_seconds(),
        }
    }

    /// Reads a record; it must be written as [`Self::to_bytes`] does, name a case, and be about something where it is set.
    ///
    /// # Errors
    /// `Unreadable`.
    pub fn parse(bytes: &[u8]) -> Result<Self, RetentionError> {
        let hold: Self = read(bytes)?;
        let scope = hold.scope.as_ref();
        let is_about = scope.is_none_or(|scope| !scope.is_empty());
        let lists = scope.map(|scope| [&scope.artifacts, &scope.periods, &scope.signers]);
        let is_bounded = { lists.iter().flatten() }.all(|list| {
            list.len() <= MAX_ENTRIES
                && list.iter().all(|each| (1..=MAX_TEXT).contains(&each.len()))
        });
        let texts = [&hold.case, &hold.reason];
        let is_said = texts
            .iter()
            .all(|text| (1..=MAX_TEXT).contains(&text.len()));
        let is_sound = hold.kind == HOLD && is_about && is_bounded && is_said;
        match is_sound && hold.to_bytes() == bytes {
            true => Ok(hold),
            false => Err(RetentionError::Unreadable),
        }
    }

    /// Writes the record: one line of JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        write(self)
    }
}

impl Prune {
    /// Makes the record.
    #[must_use]
    pub fn new(
        (period, statement): (&str, Fingerprint),
        months: u32,
        attestations: u64,
        created: UnixTime,
    ) -> Self {
        Self {
            kind: PRUNE.to_owned(),
            period: period.to_owned(),
            statement,
            months,
            attestations,
            created: created.floor_seconds(),
        }
    }

    /// Reads a record; it must be written as [`Self::to_bytes`] does.
    ///
    /// # Errors
    /// `Unreadable`.
    pub fn parse(bytes: &[u8]) -> Result<Self, RetentionError> {
        let prune: Self = read(bytes)?;
        match prune.kind == PRUNE && prune.to_bytes() == bytes {
            true => Ok(prune),
            false => Err(RetentionError::Unreadable),
        }
    }

    /// Writes the record: one line of JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        write(self)
    }
}

fn read<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, RetentionError> {
    let is_long = bytes.len() > MAX_RECORD;
    let read = json::require_unambiguous(bytes).and_then(|()| serde_json::from_slice(bytes));
    match read {
        Ok(value) if !is_long => Ok(value),
        _ => Err(RetentionError::Unreadable),
    }
}

fn write<T: Serialize>(record: &T) -> Vec<u8> {
    // Serialising plain structs into memory cannot fail.
    let mut bytes = serde_json::to_vec(record).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Returns from when on the bytes of a period that ended then may be let go.
#[must_use]
pub fn due(end: UnixTime, months: u32) -> UnixTime {
    end.plus(MONTH.checked_mul(months).unwrap_or(Duration::MAX))
}

/// The holds in force, by their cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds(BTreeMap<String, Vec<Scope>>);

/// What an attestation is, as far as a hold asks.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Digests of what it speaks of, and of its own bytes.
    pub digests: &'a [String],
    /// The signer's name, and who says so.
    pub signer: [&'a str; 2],
}

impl Holds {
    /// Takes the next record into account.
    ///
    /// # Errors
    /// `NotSet`.
    pub fn add(&mut self, hold: &Hold) -> Result<(), RetentionError> {
        match &hold.scope {
            Some(scope) => {
                let scopes = self.0.entry(hold.case.clone()).or_default();
                scopes.push(scope.clone());
            }
            None => {
                let released = self.0.remove(&hold.case);
                released.ok_or_else(|| RetentionError::NotSet {
                    case: hold.case.clone(),
                })?;
            }
        }
        Ok(())
    }

    /// Returns the cases with what they are about.
    pub fn cases(&self) -> impl Iterator<Item = (&str, &[Scope])> {
        { self.0.iter() }.map(|(case, scopes)| (case.as_str(), scopes.as_slice()))
    }

    /// Returns the cases that hold a whole period, whatever is in it.
    #[must_use]
    pub fn of_period(&self, period: &str) -> Vec<String> {
        self.of(|scope| scope.everything || scope.periods.iter().any(|each| each == period))
    }

    /// Says whether a hold is about what attestations say, so that they must be read.
    #[must_use]
    pub fn ask_for_content(&self) -> bool {
        let asks = |scope: &Scope| !scope.artifacts.is_empty() || !scope.signers.is_empty();
        self.0.values().flatten().any(asks)
    }

    /// Returns the cases that hold an attestation.
    #[must_use]
    pub fn of_attestation(&self, found: Held<'_>) -> Vec<String> {
        self.of(|scope| {
            let names =
                |part: &String| found.signer.iter().any(|name| name.contains(part.as_str()));
            scope
                .artifacts
                .iter()
                .any(|each| found.digests.contains(each))
                || scope.signers.iter().any(names)
        })
    }

    fn of(&self, holds: impl Fn(&Scope) -> bool) -> Vec<String> {
        let held = self
            .0
            .iter()
            .filter(|(_, scopes)| scopes.iter().any(&holds));
        held.map(|(case, _)| case.clone()).collect()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_795_000_000);

    fn scope(artifacts: &[&str], periods: &[&str], signers: &[&str]) -> Scope {
        let owned = |list: &[&str]| list.iter().map(|each| (*each).to_owned()).collect();
        Scope {
            everything: false,
            artifacts: owned(artifacts),
            periods: owned(periods),
            signers: owned(signers),
        }
    }

    fn set(case: &str, scope: Scope) -> Hold {
        Hold::new(case, Some(scope), "a reason", NOW)
    }

    #[test]
    fn records_are_read_as_they_were_written_and_in_no_other_way() {
        let hold = set("case-1", scope(&["sha256:00"], &[], &[]));
        let release = Hold::new("case-1", None, "settled", NOW);
        for hold in [hold, release] {
            let bytes = hold.to_bytes();
            assert_eq!(Hold::parse(&bytes), Ok(hold));
            assert_eq!(Prune::parse(&bytes), Err(RetentionError::Unreadable));
            assert!(Hold::parse(&bytes[..bytes.len() - 1]).is_err());
        }
        let prune = Prune::new(("2024-11", Fingerprint::of(b"s")), 24, 3, NOW);
        let bytes = prune.to_bytes();
        assert_eq!(Prune::parse(&bytes), Ok(prune));
        assert_eq!(Hold::parse(&bytes), Err(RetentionError::Unreadable));
    }

    #[test]
    fn a_hold_about_nothing_or_of_no_case_is_none() {
        let nothing = set("case-1", Scope::default()).to_bytes();
        assert_eq!(Hold::parse(&nothing), Err(RetentionError::Unreadable));
        let nameless = set("", scope(&[], &["2024-11"], &[])).to_bytes();
        assert_eq!(Hold::parse(&nameless), Err(RetentionError::Unreadable));
        let empty_part = set("case-1", scope(&[], &[], &[""])).to_bytes();
        assert_eq!(Hold::parse(&empty_part), Err(RetentionError::Unreadable));
    }

    #[test]
    fn holds_are_in_force_until_they_are_released() {
        let mut holds = Holds::default();
        holds.add(&set("a", scope(&[], &["2024-11"], &[]))).unwrap();
        holds
            .add(&set("a", scope(&["sha256:01"], &[], &[])))
            .unwrap();
        holds.add(&set("b", scope(&[], &[], &["alice@"]))).unwrap();
        assert_eq!(holds.of_period("2024-11"), ["a"]);
        assert!(holds.of_period("2024-12").is_empty());
        assert!(holds.ask_for_content());
        let digests = ["sha256:01".to_owned()];
        let of = |holds: &Holds, name| {
            let signer = [name, "https://issuer.example"];
            holds.of_attestation(Held {
                digests: &digests,
                signer,
            })
        };
        assert_eq!(of(&holds, "alice@example.org"), ["a", "b"]);
        assert_eq!(of(&holds, "bob@example.org"), ["a"]);
        holds.add(&Hold::new("a", None, "settled", NOW)).unwrap();
        assert!(of(&holds, "bob@example.org").is_empty());
        let again = holds.add(&Hold::new("a", None, "settled", NOW));
        let case = "a".to_owned();
        assert_eq!(again, Err(RetentionError::NotSet { case }));
    }

    #[test]
    fn a_hold_of_everything_holds_every_period() {
        let mut holds = Holds::default();
        let everything = Scope {
            everything: true,
            ..Scope::default()
        };
        holds.add(&set("all", everything)).unwrap();
        assert_eq!(holds.of_period("any"), ["all"]);
        assert!(!holds.ask_for_content());
    }

    #[test]
    fn nothing_is_due_before_its_months_are_over() {
        let end = UnixTime::parse_rfc3339("2024-12-01T00:00:00Z").unwrap();
        assert!(due(end, 24) >= UnixTime::parse_rfc3339("2026-12-01T00:00:00Z").unwrap());
        assert_eq!(due(end, 0), end);
        assert!(due(end, u32::MAX) > end);
    }
}
