//! One service in words: `url=…,start-time=…`, the pairs in which commands are told of services, as cosign has them.
//!
//! What a service is made of these words is said by each file: [`crate::signing_config`], [`crate::trusted_root`].

use crate::time::UnixTime;
use crate::trusted_root::TimeRange;

/// The key of a service's address.
pub const URL: &str = "url";
/// The key of the first moment.
pub const START: &str = "start-time";
/// The key of the last moment.
pub const END: &str = "end-time";

/// The ways in which words do not describe a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairsError {
    /// A window ends before it begins.
    #[error("expected {END} after {START}, found {start} to {end}")]
    EndBeforeStart {
        /// Its first moment.
        start: UnixTime,
        /// Its last moment.
        end: UnixTime,
    },
    /// A key is not there, or has no value.
    #[error("expected the key {key}, found none")]
    Missing {
        /// Which key.
        key: &'static str,
    },
    /// What stands between two commas is no pair.
    #[error("expected key=value, found {found:?}")]
    NotAPair {
        /// What stands there.
        found: String,
    },
    /// An address without scheme or host.
    #[error("expected an address such as https://host/path, found {found:?}")]
    NotAnAddress {
        /// What stands there.
        found: String,
    },
    /// A date that is not RFC 3339.
    #[error("expected {key} in RFC 3339, such as 2026-01-31T00:00:00Z, found {found:?}")]
    NotATime {
        /// Which key.
        key: &'static str,
        /// What stands there.
        found: String,
    },
    /// An API version that is no number above zero.
    #[error("expected {key} as a whole number above zero, found {found:?}")]
    NotAVersion {
        /// Which key.
        key: &'static str,
        /// What stands there.
        found: String,
    },
    /// A key stands twice: which one counts is open.
    #[error("expected {key} once, found it twice")]
    Twice {
        /// Which key.
        key: &'static str,
    },
    /// A key that nobody reads.
    #[error("expected one of {}, found the unknown key {found:?}", known.join(", "))]
    UnknownKey {
        /// What stands there.
        found: String,
        /// The keys that may stand there.
        known: &'static [&'static str],
    },
}

/// The pairs of one service, each key known and there once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs(Vec<(&'static str, String)>);

impl Pairs {
    /// Reads `key=value,key=value`; blanks around a key or a value do not count, and a value holds no comma.
    ///
    /// # Errors
    /// `NotAPair`, `Twice`, `UnknownKey`.
    pub fn parse(text: &str, known: &'static [&'static str]) -> Result<Self, PairsError> {
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        for pair in text.split(',') {
            let Some((key, value)) = pair.split_once('=') else {
                let found = pair.to_owned();
                return Err(PairsError::NotAPair { found });
            };
            let found = key.trim();
            let Some(key) = known.iter().find(|known| **known == found) else {
                let found = found.to_owned();
                return Err(PairsError::UnknownKey { found, known });
            };
            if pairs.iter().any(|(other, _)| other == key) {
                return Err(PairsError::Twice { key });
            }
            pairs.push((key, value.trim().to_owned()));
        }
        Ok(Self(pairs))
    }

    /// Returns what a key says, none where it is absent or empty.
    pub fn optional(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(name, _)| *name == key)?;
        (!value.is_empty()).then_some(value)
    }

    /// Returns what a key says.
    ///
    /// # Errors
    /// `Missing`.
    pub fn required(&self, key: &'static str) -> Result<&str, PairsError> {
        self.optional(key).ok_or(PairsError::Missing { key })
    }

    /// Returns the address under [`URL`].
    ///
    /// # Errors
    /// `Missing`, `NotAnAddress`.
    pub fn url(&self) -> Result<&str, PairsError> {
        let found = self.required(URL)?;
        if is_address(found) {
            return Ok(found);
        }
        let found = found.to_owned();
        Err(PairsError::NotAnAddress { found })
    }

    /// Returns the window from [`START`], or from `default` where that is not said, to [`END`].
    ///
    /// # Errors
    /// `EndBeforeStart`, `NotATime`, and `Missing` where nobody says the start.
    pub fn range(&self, default: Option<UnixTime>) -> Result<TimeRange, PairsError> {
        let Some(start) = self.time(START)?.or(default) else {
            return Err(PairsError::Missing { key: START });
        };
        let end = self.time(END)?;
        if let Some(end) = end.filter(|end| *end < start) {
            return Err(PairsError::EndBeforeStart { start, end });
        }
        Ok(TimeRange {
            start: Some(start.to_string()),
            end: end.map(|end| end.to_string()),
        })
    }

    fn time(&self, key: &'static str) -> Result<Option<UnixTime>, PairsError> {
        let Some(found) = self.optional(key) else {
            return Ok(None);
        };
        let not_a_time = || PairsError::NotATime {
            key,
            found: found.to_owned(),
        };
        UnixTime::parse_rfc3339(found)
            .map(Some)
            .ok_or_else(not_a_time)
    }

    /// Returns the whole number above zero under a key.
    ///
    /// # Errors
    /// `Missing`, `NotAVersion`.
    pub fn version(&self, key: &'static str) -> Result<u32, PairsError> {
        let found = self.required(key)?;
        let version = found.parse().ok().filter(|version| *version > 0);
        version.ok_or_else(|| PairsError::NotAVersion {
            key,
            found: found.to_owned(),
        })
    }
}

/// Says whether a text is an address of http or https that names a host.
pub(crate) fn is_address(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
    !host_and_path(text).0.is_empty() && text.bytes().all(is_plain)
}

/// Returns the host of an address with its port, and what follows it; both empty where there is none.
pub(crate) fn host_and_path(address: &str) -> (&str, &str) {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| address.strip_prefix(scheme));
    let rest = rest.unwrap_or_default();
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &[URL, START, END, "api-version"];

    #[test]
    fn pairs_are_read_as_cosign_reads_them() {
        let text = " url = https://a.example/x?y=1 , end-time=,start-time=2026-01-01T01:00:00+01:00,api-version=2";
        let pairs = Pairs::parse(text, KNOWN).unwrap();
        assert_eq!(pairs.url(), Ok("https://a.example/x?y=1"));
        assert_eq!(pairs.version("api-version"), Ok(2));
        let range = pairs.range(None).unwrap();
        assert_eq!(range.start.as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(range.end, None);
    }

    #[test]
    fn words_that_are_no_pairs_are_refused_by_name() {
        let not_a_pair = |found: &str| {
            let found = found.to_owned();
            PairsError::NotAPair { found }
        };
        for (text, error) in [
            ("", not_a_pair("")),
            ("url=https://a.example,", not_a_pair("")),
            ("url=https://a.example,start", not_a_pair("start")),
            ("url=a,url=b", PairsError::Twice { key: URL }),
            (
                "ulr=a",
                PairsError::UnknownKey {
                    found: "ulr".to_owned(),
                    known: KNOWN,
                },
            ),
        ] {
            assert_eq!(Pairs::parse(text, KNOWN), Err(error), "{text}");
        }
    }

    #[test]
    fn an_address_names_scheme_and_host() {
        for (url, is_good) in [
            ("https://a.example", true),
            ("http://127.0.0.1:8470/api", true),
            ("https://[::1]:8470", true),
            ("", false),
            ("a.example", false),
            ("https://", false),
            ("https:///path", false),
            ("ftp://a.example", false),
            ("https://a example", false),
            ("https://a.example/\u{7}", false),
        ] {
            assert_eq!(is_address(url), is_good, "{url}");
            let pairs = Pairs::parse(&format!("url={url}"), KNOWN).unwrap();
            assert_eq!(pairs.url().is_ok(), is_good, "{url}");
        }
    }

    #[test]
    fn a_window_has_a_start_and_no_end_before_it() {
        let range = |text: &str| Pairs::parse(text, KNOWN).unwrap().range(None);
        let (early, late) = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        assert_eq!(range("end-time="), Err(PairsError::Missing { key: START }));
        for (key, text) in [
            (START, "start-time=2026-01-01".to_owned()),
            (END, format!("start-time={early},end-time=tomorrow")),
        ] {
            let found = text.rsplit('=').next().unwrap().to_owned();
            assert_eq!(range(&text), Err(PairsError::NotATime { key, found }));
        }
        let reversed = range(&format!("start-time={late},end-time={early}"));
        assert!(matches!(reversed, Err(PairsError::EndBeforeStart { .. })));
        // Both ends belong to a window: one moment is a window.
        assert!(range(&format!("start-time={late},end-time={late}")).is_ok());
        let default = UnixTime::parse_rfc3339(early);
        let pairs = Pairs::parse("url=a", KNOWN).unwrap();
        assert_eq!(pairs.range(default).unwrap().start.as_deref(), Some(early));
    }

    #[test]
    fn a_version_is_a_number_above_zero() {
        for (found, version) in [("1", Some(1)), ("0", None), ("v2", None), ("-1", None)] {
            let pairs = Pairs::parse(&format!("api-version={found}"), KNOWN).unwrap();
            assert_eq!(pairs.version("api-version").ok(), version, "{found}");
        }
    }
}
