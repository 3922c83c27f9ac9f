//! Signing configs and client trust configs: where to sign, and both trust files in one.

use serde::{Deserialize, Serialize};

use crate::json;
use crate::time::UnixTime;
use crate::trusted_root::{self, TimeRange, TrustFile, TrustFileError, TrustedRoot};

/// The media type of a signing config.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
/// The media type of a client trust config.
pub const CLIENT_TRUST_CONFIG: &str = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json";

/// Which services to sign with (protobuf-specs `sigstore_trustroot.proto`, SigningConfig v0.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningConfig {
    /// [`MEDIA_TYPE`].
    #[serde(alias = "media_type", default)]
    pub media_type: String,
    /// Fulcio, base URLs.
    #[serde(alias = "ca_urls", deserialize_with = "json::or_default", default)]
    pub ca_urls: Vec<Service>,
    /// OIDC issuers.
    #[serde(alias = "oidc_urls", deserialize_with = "json::or_default", default)]
    pub oidc_urls: Vec<Service>,
    /// Rekor, base URLs.
    #[serde(
        alias = "rekor_tlog_urls",
        deserialize_with = "json::or_default",
        default
    )]
    pub rekor_tlog_urls: Vec<Service>,
    /// How many logs.
    #[serde(
        alias = "rekor_tlog_config",
        deserialize_with = "json::or_default",
        default
    )]
    pub rekor_tlog_config: Selection,
    /// Timestamp authorities, whole URLs.
    #[serde(alias = "tsa_urls", deserialize_with = "json::or_default", default)]
    pub tsa_urls: Vec<Service>,
    /// How many authorities.
    #[serde(alias = "tsa_config", deserialize_with = "json::or_default", default)]
    pub tsa_config: Selection,
}

impl SigningConfig {
    /// Reads a signing config.
    ///
    /// # Errors
    /// Any [`TrustFileError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustFileError> {
        let config: Self = trusted_root::read(TrustFile::SigningConfig, bytes)?;
        config.require_media_type()?;
        Ok(config)
    }

    fn require_media_type(&self) -> Result<(), TrustFileError> {
        if self.media_type == MEDIA_TYPE {
            return Ok(());
        }
        let file = TrustFile::SigningConfig;
        Err(TrustFileError::UnknownMediaType {
            file,
            found: self.media_type.clone(),
        })
    }

    /// Writes the file: indented JSON with a final newline.
    pub fn to_json(&self) -> Vec<u8> {
        trusted_root::to_json(self)
    }

    /// Chooses the certificate authority: version 1, valid at `now`, the newest start.
    pub fn certificate_authority(&self, now: UnixTime) -> Option<&Service> {
        newest(&self.ca_urls, 1, now)
    }

    /// Chooses the OIDC issuer: version 1, valid at `now`, the newest start.
    pub fn oidc_issuer(&self, now: UnixTime) -> Option<&Service> {
        newest(&self.oidc_urls, 1, now)
    }

    /// Chooses the logs of Rekor v2 by the configured selection.
    ///
    /// # Errors
    /// [`NotEnoughServices`] when fewer are valid than the selection asks for.
    pub fn logs(&self, now: UnixTime) -> Result<Vec<&Service>, NotEnoughServices> {
        select(&self.rekor_tlog_urls, 2, &self.rekor_tlog_config, now)
    }

    /// Chooses the timestamp authorities by the configured selection.
    ///
    /// # Errors
    /// [`NotEnoughServices`] when fewer are valid than the selection asks for.
    pub fn timestamp_authorities(&self, now: UnixTime) -> Result<Vec<&Service>, NotEnoughServices> {
        select(&self.tsa_urls, 1, &self.tsa_config, now)
    }
}

/// Fewer services are valid now than a signing config asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "signing config asks for {wanted} services of API version {version}, {found} are valid now"
)]
pub struct NotEnoughServices {
    /// API version asked for.
    pub version: u32,
    /// How many are asked for.
    pub wanted: u32,
    /// How many there are.
    pub found: u32,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Its address.
    #[serde(deserialize_with = "json::or_default", default)]
    pub url: String,
    /// The API version it speaks.
    #[serde(
        alias = "major_api_version",
        deserialize_with = "json::or_default",
        default
    )]
    pub major_api_version: u32,
    /// When it may be used.
    #[serde(alias = "valid_for", default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<TimeRange>,
    /// Who runs it: no two of one operator are chosen together.
    #[serde(
        deserialize_with = "json::or_default",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub operator: String,
}

impl Service {
    fn is_valid_at(&self, now: UnixTime) -> bool {
        match &self.valid_for {
            Some(range) => range
                .to_validity()
                .is_some_and(|validity| validity.contains(now)),
            None => true,
        }
    }

    fn start(&self) -> Option<UnixTime> {
        self.valid_for
            .as_ref()
            .and_then(TimeRange::to_validity)
            .and_then(|validity| validity.start)
    }
}

/// How many services of a kind to use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Which rule.
    #[serde(deserialize_with = "json::or_default", default)]
    pub selector: Selector,
    /// How many, for `EXACT`.
    #[serde(
        deserialize_with = "json::or_default",
        default,
        skip_serializing_if = "is_zero"
    )]
    pub count: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The rule of a selection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Selector {
    /// All that are valid.
    All,
    /// Any one.
    Any,
    /// Exactly so many.
    Exact,
    /// Not said: all, as sigstore-python takes it.
    #[default]
    #[serde(rename = "SERVICE_SELECTOR_UNDEFINED")]
    Undefined,
}

/// Trusted root and signing config in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientTrustConfig {
    /// [`CLIENT_TRUST_CONFIG`].
    #[serde(alias = "media_type", default)]
    pub media_type: String,
    /// Whom to believe.
    #[serde(alias = "trusted_root")]
    pub trusted_root: TrustedRoot,
    /// Where to sign.
    #[serde(alias = "signing_config")]
    pub signing_config: SigningConfig,
}

impl ClientTrustConfig {
    /// Returns the file of both parts.
    pub fn new(trusted_root: TrustedRoot, signing_config: SigningConfig) -> Self {
        Self {
            media_type: CLIENT_TRUST_CONFIG.to_owned(),
            trusted_root,
            signing_config,
        }
    }

    /// Reads a client trust config.
    ///
    /// # Errors
    /// Any [`TrustFileError`], of the file or of its parts.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustFileError> {
        let file = TrustFile::ClientTrustConfig;
        let config: Self = trusted_root::read(file, bytes)?;
        if config.media_type != CLIENT_TRUST_CONFIG {
            return Err(TrustFileError::UnknownMediaType {
                file,
                found: config.media_type,
            });
        }
        config.trusted_root.require_media_type()?;
        config.signing_config.require_media_type()?;
        Ok(config)
    }

    /// Writes the file: indented JSON with a final newline.
    pub fn to_json(&self) -> Vec<u8> {
        trusted_root::to_json(self)
    }
}

/// Returns the valid service with the newest start.
fn newest(services: &[Service], version: u32, now: UnixTime) -> Option<&Service> {
    let valid = services
        .iter()
        .filter(|each| each.major_api_version == version && each.is_valid_at(now));
    valid.max_by_key(|each| each.start())
}

/// Chooses services: one of an operator, the newest, then as many as the rule asks for, in the file's order.
fn select<'a>(
    services: &'a [Service],
    version: u32,
    selection: &Selection,
    now: UnixTime,
) -> Result<Vec<&'a Service>, NotEnoughServices> {
    let mut chosen: Vec<&Service> = Vec::new();
    for service in services {
        if service.major_api_version != version || !service.is_valid_at(now) {
            continue;
        }
        match chosen
            .iter_mut()
            .find(|other| other.operator == service.operator)
        {
            Some(other) if other.start() < service.start() => *other = service,
            Some(_) => {}
            None => chosen.push(service),
        }
    }
    let found = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
    let wanted = match selection.selector {
        Selector::Any => 1,
        Selector::Exact => selection.count.max(1),
        Selector::All | Selector::Undefined => found.max(1),
    };
    if found < wanted {
        return Err(NotEnoughServices {
            version,
            wanted,
            found,
        });
    }
    chosen.truncate(wanted as usize);
    Ok(chosen)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn service(url: &str, operator: &str, start: &str, version: u32) -> Service {
        Service {
            url: url.into(),
            major_api_version: version,
            valid_for: Some(TimeRange {
                start: Some(start.into()),
                end: None,
            }),
            operator: operator.into(),
        }
    }

    fn config(selector: Selector, count: u32) -> SigningConfig {
        SigningConfig {
            media_type: MEDIA_TYPE.into(),
            ca_urls: vec![
                service("a", "x", "2024-01-01T00:00:00Z", 1),
                service("b", "x", "2025-01-01T00:00:00Z", 1),
            ],
            oidc_urls: vec![],
            rekor_tlog_urls: vec![
                service("v1", "x", "2020-01-01T00:00:00Z", 1),
                service("old", "x", "2024-01-01T00:00:00Z", 2),
                service("new", "x", "2025-01-01T00:00:00Z", 2),
                service("other", "y", "2025-01-01T00:00:00Z", 2),
                service("future", "z", "2035-01-01T00:00:00Z", 2),
            ],
            rekor_tlog_config: Selection { selector, count },
            tsa_urls: vec![],
            tsa_config: Selection::default(),
        }
    }

    fn urls(config: &SigningConfig) -> Result<Vec<String>, NotEnoughServices> {
        let now = UnixTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        Ok(config
            .logs(now)?
            .iter()
            .map(|each| each.url.clone())
            .collect())
    }

    #[test]
    fn one_service_of_each_operator_is_chosen_the_newest_first() {
        assert_eq!(urls(&config(Selector::Any, 0)).unwrap(), ["new"]);
        assert_eq!(urls(&config(Selector::All, 0)).unwrap(), ["new", "other"]);
        assert_eq!(urls(&config(Selector::Exact, 2)).unwrap(), ["new", "other"]);
        let missing = NotEnoughServices {
            version: 2,
            wanted: 3,
            found: 2,
        };
        assert_eq!(urls(&config(Selector::Exact, 3)), Err(missing));
    }

    #[test]
    fn a_signing_config_is_written_as_it_was_read() {
        let written = config(Selector::Exact, 2).to_json();
        assert_eq!(
            SigningConfig::parse(&written).unwrap(),
            config(Selector::Exact, 2)
        );
    }
}
