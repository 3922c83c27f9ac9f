//! What is wrong or unwise in a signing config, before somebody signs by it: each finding is data.
//!
//! An error is what keeps every client from signing, or makes signatures that nobody can verify; a warning is what keeps
//! some client from it. Nothing here decides which services are used.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::selection::{ChoiceError, HowMany, ServiceKind, in_words};
use super::{Selector, Service, SigningConfig};
use crate::pairs;
use crate::time::UnixTime;
use crate::trusted_root::lint::Severity;
use crate::trusted_root::lint::shape::{self, RANGE, Shape};
use crate::trusted_root::{self, TimeRange, TrustFile, TrustFileError};

/// Where a service stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which list.
    pub kind: ServiceKind,
    /// Which service of it, from 0.
    pub index: usize,
}

impl fmt::Display for Place {
    /// Prints `tsaUrls[0]`, as the file has it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}[{}]", self.kind.field(), self.index)
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// A path that clients add themselves.
    #[error("{place}: expected the base URL of a {}, found the path of its API in {url:?}", place.kind.noun())]
    ApiPath {
        /// Where.
        place: Place,
        /// What stands there.
        url: String,
    },
    /// A date that cannot be read.
    #[error("{place}: expected dates in RFC 3339, found {found:?}")]
    BadDate {
        /// Where.
        place: Place,
        /// What stands there.
        found: String,
    },
    /// A count that nobody reads.
    #[error("{} has a count of {count}, which counts with EXACT only", kind.field())]
    CountUnused {
        /// Of which kind.
        kind: ServiceKind,
        /// What stands there.
        count: u32,
    },
    /// `EXACT` without a count.
    #[error("{}: expected EXACT with a count above zero, found 0", kind.field())]
    CountZero {
        /// Of which kind.
        kind: ServiceKind,
    },
    /// A window ends before it begins.
    #[error("{place}: expected an end after the start, found {start} to {end}")]
    EndBeforeStart {
        /// Where.
        place: Place,
        /// Its first moment.
        start: UnixTime,
        /// Its last moment.
        end: UnixTime,
    },
    /// A kind without a service.
    #[error("{} is empty: {}", kind.field(), without(*kind))]
    KindEmpty {
        /// Which kind.
        kind: ServiceKind,
    },
    /// A service with no address.
    #[error("{place}: expected an address such as https://host/path, found {url:?}")]
    NoAddress {
        /// Where.
        place: Place,
        /// What stands there.
        url: String,
    },
    /// A service of nobody.
    #[error("{place} has no operator: all that have none count as one")]
    NoOperator {
        /// Where.
        place: Place,
    },
    /// A timestamp authority's address without its path.
    #[error("{place}: expected the whole URL of a timestamp authority, found no path in {url:?}")]
    NoPath {
        /// Where.
        place: Place,
        /// What stands there.
        url: String,
    },
    /// No service of any kind.
    #[error("expected at least one service, found none")]
    NoService,
    /// A service without a start.
    #[error("{place} has no start, by which clients choose the newest")]
    NoStart {
        /// Where.
        place: Place,
    },
    /// Logs that date nothing, and nobody else who does.
    #[error(
        "{place} is a log of Rekor v2, which dates no entry, and there is no timestamp authority"
    )]
    NoTimestampAuthority {
        /// The first such log.
        place: Place,
    },
    /// So many are not chosen at any time.
    #[error("{} asks for EXACT {count}, its services of API version {version} have {operators} operators", kind.field())]
    NotEnoughOperators {
        /// Of which kind.
        kind: ServiceKind,
        /// How many are asked for.
        count: u32,
        /// The newest version there is.
        version: u32,
        /// How many operators there are.
        operators: usize,
    },
    /// Nobody can sign by this file now.
    #[error("{error}")]
    NotNow {
        /// Why.
        error: ChoiceError,
    },
    /// A service on the way to which everybody reads along.
    #[error("{place}: {url:?} is not https, and not on this machine")]
    PlainHttp {
        /// Where.
        place: Place,
        /// What stands there.
        url: String,
    },
    /// Logs that are read here, and to which nothing is added.
    #[error("{} has no service of API version 2: stella makes entries of Rekor v2 only", ServiceKind::Rekor.field())]
    RekorV1Only,
    /// Two services are one.
    #[error("{place} has the address and the API version of {other}")]
    Twice {
        /// Where.
        place: Place,
        /// The earlier one.
        other: Place,
    },
    /// A selection that is not said.
    #[error("{} has services and no selection, and cosign refuses the file: expected ANY, ALL or EXACT", kind.field())]
    Unselected {
        /// Of which kind.
        kind: ServiceKind,
    },
    /// A name that the format does not know.
    #[error("{path} is no field of a signing config, and strict clients refuse the file")]
    UnknownField {
        /// Which field.
        path: String,
    },
    /// A version that no client speaks.
    #[error("{place}: expected API version {}, found {version}", in_words(place.kind.known()))]
    UnknownVersion {
        /// Where.
        place: Place,
        /// What stands there.
        version: u32,
    },
}

impl Finding {
    /// Returns how much it matters.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::BadDate { .. }
            | Self::CountZero { .. }
            | Self::EndBeforeStart { .. }
            | Self::NoAddress { .. }
            | Self::NoService
            | Self::NoTimestampAuthority { .. }
            | Self::NotEnoughOperators { .. } => Severity::Error,
            Self::ApiPath { .. }
            | Self::CountUnused { .. }
            | Self::KindEmpty { .. }
            | Self::NoOperator { .. }
            | Self::NoPath { .. }
            | Self::NoStart { .. }
            | Self::NotNow { .. }
            | Self::PlainHttp { .. }
            | Self::RekorV1Only
            | Self::Twice { .. }
            | Self::Unselected { .. }
            | Self::UnknownField { .. }
            | Self::UnknownVersion { .. } => Severity::Warning,
        }
    }

    /// Returns the name for machines.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ApiPath { .. } => "apiPath",
            Self::BadDate { .. } => "badDate",
            Self::CountUnused { .. } => "countUnused",
            Self::CountZero { .. } => "countZero",
            Self::EndBeforeStart { .. } => "endBeforeStart",
            Self::KindEmpty { .. } => "kindEmpty",
            Self::NoAddress { .. } => "noAddress",
            Self::NoOperator { .. } => "noOperator",
            Self::NoPath { .. } => "noPath",
            Self::NoService => "noService",
            Self::NoStart { .. } => "noStart",
            Self::NoTimestampAuthority { .. } => "noTimestampAuthority",
            Self::NotEnoughOperators { .. } => "notEnoughOperators",
            Self::NotNow { .. } => "notNow",
            Self::PlainHttp { .. } => "plainHttp",
            Self::RekorV1Only => "rekorV1Only",
            Self::Twice { .. } => "twice",
            Self::Unselected { .. } => "unselected",
            Self::UnknownField { .. } => "unknownField",
            Self::UnknownVersion { .. } => "unknownVersion",
        }
    }
}

const fn without(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::Fulcio => "nobody certifies a key, so only managed keys can sign",
        ServiceKind::Oidc => "a token must come from elsewhere",
        ServiceKind::Rekor => "nothing is logged, and sigstore-python refuses the file",
        ServiceKind::Tsa => "nobody tells the time, which Rekor v2 does not",
    }
}

const SERVICE: Shape = Shape::Names(&[
    ("url", Shape::Plain),
    ("majorApiVersion", Shape::Plain),
    ("validFor", RANGE),
    ("operator", Shape::Plain),
]);
const SELECTION: Shape = Shape::Names(&[("selector", Shape::Plain), ("count", Shape::Plain)]);
/// spec: protobuf-specs `sigstore_trustroot.proto`, SigningConfig.
const SIGNING_CONFIG: Shape = Shape::Names(&[
    ("mediaType", Shape::Plain),
    ("caUrls", Shape::List(&SERVICE)),
    ("oidcUrls", Shape::List(&SERVICE)),
    ("rekorTlogUrls", Shape::List(&SERVICE)),
    ("rekorTlogConfig", SELECTION),
    ("tsaUrls", Shape::List(&SERVICE)),
    ("tsaConfig", SELECTION),
]);

/// Reads a signing config, or the one in a client trust config, and lists what is wrong with it at `now`, errors first.
///
/// # Errors
/// Any [`TrustFileError`], when it is no such file at all.
pub fn lint(bytes: &[u8], now: UnixTime) -> Result<Vec<Finding>, TrustFileError> {
    let mut file: Value = trusted_root::read(TrustFile::SigningConfig, bytes)?;
    for name in ["signingConfig", "signing_config"] {
        if let Some(inner) = file.get_mut(name) {
            file = inner.take();
            break;
        }
    }
    let config = SigningConfig::parse(&trusted_root::to_json(&file))?;
    let mut findings: Vec<Finding> = shape::unknown(&file, &SIGNING_CONFIG)
        .into_iter()
        .map(|path| Finding::UnknownField { path })
        .collect();
    for kind in ServiceKind::ALL {
        services(&config, kind, &mut findings);
        selection(&config, kind, now, &mut findings);
    }
    together(&config, &mut findings);
    findings.sort_by_key(Finding::severity);
    Ok(findings)
}

fn services(config: &SigningConfig, kind: ServiceKind, findings: &mut Vec<Finding>) {
    let services = config.services(kind);
    for (index, service) in services.iter().enumerate() {
        let place = Place { kind, index };
        address(place, &service.url, findings);
        window(place, service.valid_for.as_ref(), findings);
        if service.operator.is_empty() {
            findings.push(Finding::NoOperator { place });
        }
        let version = service.major_api_version;
        if !kind.known().contains(&version) {
            findings.push(Finding::UnknownVersion { place, version });
        }
        let same =
            |other: &Service| (&other.url, other.major_api_version) == (&service.url, version);
        if let Some(other) = services[..index].iter().position(same) {
            let other = Place { kind, index: other };
            findings.push(Finding::Twice { place, other });
        }
    }
}

fn address(place: Place, url: &str, findings: &mut Vec<Finding>) {
    let url = url.to_owned();
    if !pairs::is_address(&url) {
        findings.push(Finding::NoAddress { place, url });
        return;
    }
    let (host, path) = pairs::host_and_path(&url);
    if url.starts_with("http://") && !is_loopback(host) {
        let url = url.clone();
        findings.push(Finding::PlainHttp { place, url });
    }
    let is_whole = !path.trim_matches('/').is_empty();
    match place.kind {
        ServiceKind::Tsa if !is_whole => findings.push(Finding::NoPath { place, url }),
        ServiceKind::Fulcio | ServiceKind::Rekor if path.contains("/api/v") => {
            findings.push(Finding::ApiPath { place, url });
        }
        _ => {}
    }
}

/// Says whether a host, with its port or without, is a spelling of this machine that needs no resolver.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    let name = name.unwrap_or_default();
    // spec: RFC 6761 §6.3: names that end in .localhost are loopback names too.
    let is_name = name == "localhost" || name.ends_with(".localhost");
    is_name
        || name
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn window(place: Place, range: Option<&TimeRange>, findings: &mut Vec<Finding>) {
    let Some(start) = range.and_then(|range| range.start.as_ref()) else {
        findings.push(Finding::NoStart { place });
        return;
    };
    let end = range.and_then(|range| range.end.as_ref());
    let unreadable = |text: &&String| UnixTime::parse_rfc3339(text).is_none();
    if let Some(found) = [Some(start), end].into_iter().flatten().find(unreadable) {
        let found = found.clone();
        findings.push(Finding::BadDate { place, found });
        return;
    }
    let Some(validity) = range.and_then(TimeRange::to_validity) else {
        return; // Said already: a date cannot be read.
    };
    if let (Some(start), Some(end)) = (validity.start, validity.end)
        && end < start
    {
        findings.push(Finding::EndBeforeStart { place, start, end });
    }
}

/// Finds what is wrong with how many are asked for, and whether anybody is chosen now.
fn selection(
    config: &SigningConfig,
    kind: ServiceKind,
    now: UnixTime,
    findings: &mut Vec<Finding>,
) {
    let services = config.services(kind);
    if services.is_empty() {
        findings.push(Finding::KindEmpty { kind });
        return;
    }
    if let HowMany::Said(selection) = config.how_many(kind) {
        let count = selection.count;
        match selection.selector {
            Selector::Exact if count == 0 => {
                findings.push(Finding::CountZero { kind });
                return;
            }
            Selector::Exact => {
                if let Some(finding) = too_few_operators(services, kind, count) {
                    findings.push(finding);
                    return;
                }
            }
            Selector::Undefined => findings.push(Finding::Unselected { kind }),
            Selector::All | Selector::Any => {}
        }
        if selection.selector != Selector::Exact && count > 0 {
            findings.push(Finding::CountUnused { kind, count });
        }
    }
    if let Err(error) = config.choose(kind, kind.known(), now) {
        findings.push(Finding::NotNow { error });
    }
}

/// Finds a count that is above the operators of the newest version, whatever the time.
fn too_few_operators(services: &[Service], kind: ServiceKind, count: u32) -> Option<Finding> {
    let known = services
        .iter()
        .filter(|each| kind.known().contains(&each.major_api_version));
    // What no client knows is said already.
    let version = known.clone().map(|each| each.major_api_version).max()?;
    let operators: BTreeSet<&str> = known
        .filter(|each| each.major_api_version == version)
        .map(|each| each.operator.as_str())
        .collect();
    let operators = operators.len();
    (operators < count as usize).then_some(Finding::NotEnoughOperators {
        kind,
        count,
        version,
        operators,
    })
}

/// Finds what is wrong between the kinds.
fn together(config: &SigningConfig, findings: &mut Vec<Finding>) {
    if ServiceKind::ALL
        .iter()
        .all(|kind| config.services(*kind).is_empty())
    {
        // One sentence instead of one for each kind.
        findings.retain(|each| !matches!(each, Finding::KindEmpty { .. }));
        findings.push(Finding::NoService);
        return;
    }
    let logs = &config.rekor_tlog_urls;
    let v2 = logs.iter().position(|each| each.major_api_version == 2);
    match v2 {
        // A managed key needs no time; a certificate does.
        Some(index) if config.tsa_urls.is_empty() && !config.ca_urls.is_empty() => {
            let kind = ServiceKind::Rekor;
            let place = Place { kind, index };
            findings.push(Finding::NoTimestampAuthority { place });
        }
        None if !logs.is_empty() => findings.push(Finding::RekorV1Only),
        _ => {}
    }
}
