//! Which services of a signing config are used at some time: the format's own rules, the same for every client.
//!
//! How a chosen service is reached is not here.

use std::cmp::Reverse;
use std::fmt;

use super::{Selection, Selector, Service, SigningConfig};
use crate::time::UnixTime;
use crate::trusted_root::TimeRange;
use crate::trusted_root::inventory::EntryState;

/// The kinds of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// Who certifies keys.
    Fulcio,
    /// Who gives identity tokens.
    Oidc,
    /// Logs of signatures.
    Rekor,
    /// Timestamp authorities.
    Tsa,
}

impl ServiceKind {
    /// Every kind, in the order of a signature.
    pub const ALL: [Self; 4] = [Self::Oidc, Self::Fulcio, Self::Tsa, Self::Rekor];

    /// Returns the name of the list in the file.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Fulcio => "caUrls",
            Self::Oidc => "oidcUrls",
            Self::Rekor => "rekorTlogUrls",
            Self::Tsa => "tsaUrls",
        }
    }

    /// Returns the word for one service.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Fulcio => "Fulcio",
            Self::Oidc => "OIDC provider",
            Self::Rekor => "Rekor log",
            Self::Tsa => "timestamp authority",
        }
    }

    /// Returns the API versions that the format's clients know.
    pub const fn known(self) -> &'static [u32] {
        match self {
            Self::Rekor => &[1, 2],
            // Fulcio's API at /api/v2 is version 1 in this file.
            Self::Fulcio | Self::Oidc | Self::Tsa => &[1],
        }
    }

    /// Returns the API versions with which signing works here: entries of Rekor v1 are read, and not made.
    pub const fn spoken(self) -> &'static [u32] {
        match self {
            Self::Rekor => &[2],
            Self::Fulcio | Self::Oidc | Self::Tsa => &[1],
        }
    }
}

/// Returns versions in words: `1 or 2`.
pub(super) fn in_words(versions: &[u32]) -> String {
    let words: Vec<String> = versions.iter().map(ToString::to_string).collect();
    words.join(" or ")
}

/// The ways in which a signing config does not say which services to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// `EXACT` without a count.
    #[error("signing config asks for EXACT 0 of {}", kind.field())]
    CountZero {
        /// Of which kind.
        kind: ServiceKind,
    },
    /// Fewer operators have a service that is valid now than the file asks for.
    #[error(
        "signing config asks for {wanted} of {}, found {found} that {} valid now and of API version {}",
        kind.field(), if *found == 1 { "is" } else { "are" }, in_words(versions)
    )]
    NotEnough {
        /// Of which kind.
        kind: ServiceKind,
        /// The API versions that come into question.
        versions: &'static [u32],
        /// How many are asked for.
        wanted: u32,
        /// How many there are.
        found: u32,
    },
}

/// How many services of a kind are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HowMany<'a> {
    /// As many as the file says, each of another operator.
    Said(&'a Selection),
    /// One, the newest.
    TheNewest,
}

impl fmt::Display for HowMany<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(selection) => selection.fmt(formatter),
            Self::TheNewest => formatter.write_str("the newest"),
        }
    }
}

impl SigningConfig {
    /// Returns the services of a kind, in the file's order.
    pub fn services(&self, kind: ServiceKind) -> &[Service] {
        match kind {
            ServiceKind::Fulcio => &self.ca_urls,
            ServiceKind::Oidc => &self.oidc_urls,
            ServiceKind::Rekor => &self.rekor_tlog_urls,
            ServiceKind::Tsa => &self.tsa_urls,
        }
    }

    /// Returns how many services of a kind are used.
    pub const fn how_many(&self, kind: ServiceKind) -> HowMany<'_> {
        match kind {
            ServiceKind::Fulcio | ServiceKind::Oidc => HowMany::TheNewest,
            ServiceKind::Rekor => HowMany::Said(&self.rekor_tlog_config),
            ServiceKind::Tsa => HowMany::Said(&self.tsa_config),
        }
    }

    /// Chooses the services of a kind that a client uses at `now` when it speaks these API versions.
    ///
    /// # Errors
    /// Any [`ChoiceError`].
    pub fn choose(
        &self,
        kind: ServiceKind,
        versions: &'static [u32],
        now: UnixTime,
    ) -> Result<Vec<&Service>, ChoiceError> {
        let services = of_newest_version(self.services(kind), versions, now);
        let mut chosen = match self.how_many(kind) {
            HowMany::Said(_) => one_of_each_operator(services),
            HowMany::TheNewest => newest(services),
        };
        let found = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
        let wanted = match self.how_many(kind) {
            HowMany::Said(selection) => match selection.selector {
                Selector::Any => 1,
                Selector::Exact if selection.count == 0 => {
                    return Err(ChoiceError::CountZero { kind });
                }
                Selector::Exact => selection.count,
                Selector::All | Selector::Undefined => found.max(1),
            },
            HowMany::TheNewest => 1,
        };
        if found < wanted {
            return Err(ChoiceError::NotEnough {
                kind,
                versions,
                wanted,
                found,
            });
        }
        chosen.truncate(wanted as usize);
        Ok(chosen)
    }

    /// Chooses the certificate authority to sign with: the one with the newest start.
    ///
    /// # Errors
    /// Any [`ChoiceError`].
    pub fn certificate_authority(&self, now: UnixTime) -> Result<&Service, ChoiceError> {
        let kind = ServiceKind::Fulcio;
        let chosen = self.choose(kind, kind.spoken(), now)?;
        chosen.first().copied().ok_or(ChoiceError::NotEnough {
            kind,
            versions: kind.spoken(),
            wanted: 1,
            found: 0,
        })
    }

    /// Chooses the logs of Rekor v2 to sign with, by the configured selection.
    ///
    /// # Errors
    /// Any [`ChoiceError`].
    pub fn logs(&self, now: UnixTime) -> Result<Vec<&Service>, ChoiceError> {
        let kind = ServiceKind::Rekor;
        self.choose(kind, kind.spoken(), now)
    }

    /// Chooses the timestamp authorities to sign with, by the configured selection.
    ///
    /// # Errors
    /// Any [`ChoiceError`].
    pub fn timestamp_authorities(&self, now: UnixTime) -> Result<Vec<&Service>, ChoiceError> {
        let kind = ServiceKind::Tsa;
        self.choose(kind, kind.spoken(), now)
    }
}

/// Keeps what is valid and of the newest version that anything valid has: versions are never mixed.
fn of_newest_version<'a>(
    services: &'a [Service],
    versions: &[u32],
    now: UnixTime,
) -> Vec<&'a Service> {
    let is_usable = |each: &&Service| {
        versions.contains(&each.major_api_version) && each.state(now) == EntryState::InUse
    };
    let usable: Vec<&Service> = services.iter().filter(is_usable).collect();
    let version = usable.iter().map(|each| each.major_api_version).max();
    let is_newest = |each: &&Service| Some(each.major_api_version) == version;
    usable.into_iter().filter(is_newest).collect()
}

/// Keeps the service with the newest start; of several the first in the file.
fn newest(mut services: Vec<&Service>) -> Vec<&Service> {
    services.sort_by_key(|each| Reverse(each.start()));
    services.truncate(1);
    services
}

/// Keeps the newest service of each operator, in the file's order of operators.
fn one_of_each_operator(services: Vec<&Service>) -> Vec<&Service> {
    let mut kept: Vec<&Service> = Vec::new();
    for service in services {
        let same = |other: &&mut &Service| other.operator == service.operator;
        match kept.iter_mut().find(same) {
            Some(other) if other.start() < service.start() => *other = service,
            Some(_) => {}
            None => kept.push(service),
        }
    }
    kept
}

impl Service {
    /// Says whether the service may be used at `now`; one without dates always may.
    pub fn state(&self, now: UnixTime) -> EntryState {
        let Some(range) = &self.valid_for else {
            return EntryState::InUse;
        };
        let Some(validity) = range.to_validity() else {
            return EntryState::Unusable;
        };
        if validity.contains(now) {
            return EntryState::InUse;
        }
        if validity.end.is_some_and(|end| end < now) {
            EntryState::Ended
        } else {
            EntryState::NotYet
        }
    }

    fn start(&self) -> Option<UnixTime> {
        self.valid_for
            .as_ref()
            .and_then(TimeRange::to_validity)
            .and_then(|validity| validity.start)
    }
}

#[cfg(test)]
mod tests {
    use super::super::MEDIA_TYPE;
    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_770_000_000);
    const OLD: &str = "2024-01-01T00:00:00Z";
    const NEW: &str = "2025-01-01T00:00:00Z";
    const FUTURE: &str = "2035-01-01T00:00:00Z";

    fn service(url: &str, operator: &str, version: u32, start: &str, end: Option<&str>) -> Service {
        Service {
            url: url.into(),
            major_api_version: version,
            valid_for: Some(TimeRange {
                start: Some(start.into()),
                end: end.map(str::to_owned),
            }),
            operator: operator.into(),
        }
    }

    fn config(services: Vec<Service>, selector: Selector, count: u32) -> SigningConfig {
        SigningConfig {
            media_type: MEDIA_TYPE.into(),
            ca_urls: services.clone(),
            oidc_urls: vec![],
            rekor_tlog_urls: services,
            rekor_tlog_config: Selection { selector, count },
            tsa_urls: vec![],
            tsa_config: Selection::default(),
        }
    }

    fn logs() -> Vec<Service> {
        vec![
            service("v1", "x", 1, NEW, None),
            service("old", "x", 2, OLD, None),
            service("new", "x", 2, NEW, None),
            service("y", "y", 2, OLD, None),
            service("ended", "z", 2, OLD, Some(NEW)),
            service("future", "z", 2, FUTURE, None),
            service("damaged", "z", 2, "yesterday", None),
            service("v1 of another", "w", 1, OLD, None),
            service("v3", "w", 3, NEW, None),
        ]
    }

    fn urls(chosen: Result<Vec<&Service>, ChoiceError>) -> Result<Vec<&str>, ChoiceError> {
        Ok(chosen?.iter().map(|each| each.url.as_str()).collect())
    }

    #[track_caller]
    fn check(selector: Selector, count: u32, expected: &[&str]) {
        let config = config(logs(), selector, count);
        let kind = ServiceKind::Rekor;
        // Who knows version 1 too uses it only where there is nothing newer.
        for versions in [kind.known(), kind.spoken()] {
            let chosen = urls(config.choose(kind, versions, NOW));
            assert_eq!(chosen.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn one_service_of_each_operator_is_chosen_of_the_newest_version_the_newest_first() {
        check(Selector::Any, 0, &["new"]);
        check(Selector::All, 0, &["new", "y"]);
        check(Selector::Undefined, 0, &["new", "y"]);
        check(Selector::Exact, 1, &["new"]);
        check(Selector::Exact, 2, &["new", "y"]);
    }

    #[test]
    fn too_few_operators_and_a_count_of_none_are_errors() {
        let kind = ServiceKind::Rekor;
        let error_of = |count| config(logs(), Selector::Exact, count).logs(NOW).err();
        let missing = ChoiceError::NotEnough {
            kind,
            versions: kind.spoken(),
            wanted: 3,
            found: 2,
        };
        assert_eq!(error_of(3), Some(missing));
        assert_eq!(error_of(0), Some(ChoiceError::CountZero { kind }));
        let empty = config(vec![], Selector::All, 0);
        assert!(matches!(
            empty.logs(NOW),
            Err(ChoiceError::NotEnough {
                wanted: 1,
                found: 0,
                ..
            })
        ));
    }

    #[test]
    fn version_one_alone_is_chosen_by_who_speaks_it() {
        let config = config(vec![service("v1", "x", 1, OLD, None)], Selector::Any, 0);
        let kind = ServiceKind::Rekor;
        assert_eq!(urls(config.choose(kind, kind.known(), NOW)), Ok(vec!["v1"]));
        assert!(config.logs(NOW).is_err());
    }

    #[test]
    fn of_authorities_the_newest_is_chosen_and_of_equals_the_first() {
        let url = |services| {
            let config = config(services, Selector::Any, 0);
            config
                .certificate_authority(NOW)
                .map(|each| each.url.clone())
        };
        let services = vec![
            service("a", "x", 1, OLD, None),
            service("b", "x", 1, NEW, None),
            service("c", "y", 1, NEW, None),
            service("d", "y", 1, FUTURE, None),
        ];
        assert_eq!(url(services), Ok("b".to_owned()));
        assert!(url(vec![service("d", "y", 1, FUTURE, None)]).is_err());
        assert!(url(vec![service("v2", "y", 2, OLD, None)]).is_err());
    }

    #[test]
    fn both_ends_of_a_window_belong_to_it() {
        let at = UnixTime::parse_rfc3339(NEW);
        let until = service("until", "x", 1, OLD, Some(NEW));
        let from = service("from", "x", 1, NEW, None);
        for each in [until, from] {
            assert_eq!(at.map(|at| each.state(at)), Some(EntryState::InUse));
        }
    }
}
