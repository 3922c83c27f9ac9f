//! Signing configs and client trust configs: where to sign, and both trust files in one.
//!
//! This is the file; which of its services are used is said in [`selection`], what is unwise in it in [`lint`], and how
//! one is made of words in [`create`].

pub mod create;
pub mod lint;
pub mod selection;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::json;
use crate::trusted_root::{self, TimeRange, TrustFile, TrustFileError, TrustedRoot};

/// The media type of a signing config.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
/// The media type of a client trust config.
pub const CLIENT_TRUST_CONFIG: &str = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json";

/// Which services to sign with (protobuf-specs `sigstore_trustroot.proto`, SigningConfig v0.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

impl Selection {
    /// Reads `ANY`, `ALL` or `EXACT:n`, in either case, as cosign has them.
    ///
    /// # Errors
    /// [`SelectionError`] for anything else, `EXACT:0` too: nobody is asked then.
    pub fn parse(text: &str) -> Result<Self, SelectionError> {
        let upper = text.to_ascii_uppercase();
        let (selector, count) = match upper.split_once(':') {
            None if upper == "ANY" => (Selector::Any, Some(0)),
            None if upper == "ALL" => (Selector::All, Some(0)),
            Some(("EXACT", count)) => {
                let count = count.parse().ok().filter(|count| *count > 0);
                (Selector::Exact, count)
            }
            _ => (Selector::Undefined, None),
        };
        let found = || SelectionError {
            found: text.to_owned(),
        };
        let count = count.ok_or_else(found)?;
        Ok(Self { selector, count })
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.selector {
            Selector::All => formatter.write_str("ALL"),
            Selector::Any => formatter.write_str("ANY"),
            Selector::Exact => write!(formatter, "EXACT:{}", self.count),
            Selector::Undefined => formatter.write_str("not said"),
        }
    }
}

/// Words that are no selection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected ANY, ALL or EXACT:n with n above zero, found {found:?}")]
pub struct SelectionError {
    /// What stands there.
    pub found: String,
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn config(selector: Selector, count: u32) -> SigningConfig {
        let service = Service {
            url: "https://rekor.example".into(),
            major_api_version: 2,
            valid_for: Some(TimeRange::default()),
            operator: String::new(),
        };
        SigningConfig {
            media_type: MEDIA_TYPE.into(),
            rekor_tlog_urls: vec![service],
            rekor_tlog_config: Selection { selector, count },
            ..SigningConfig::default()
        }
    }

    #[test]
    fn a_signing_config_is_written_as_it_was_read() {
        for (selector, count) in [(Selector::Exact, 2), (Selector::Undefined, 0)] {
            let written = config(selector, count).to_json();
            assert_eq!(
                SigningConfig::parse(&written).unwrap(),
                config(selector, count)
            );
        }
    }

    #[test]
    fn selections_are_read_in_words() {
        for (text, selector, count) in [
            ("ANY", Selector::Any, 0),
            ("all", Selector::All, 0),
            ("EXACT:2", Selector::Exact, 2),
            ("exact:1", Selector::Exact, 1),
        ] {
            assert_eq!(Selection::parse(text), Ok(Selection { selector, count }));
        }
        for text in [
            "",
            "SOME",
            "ANY:1",
            "ALL:",
            "EXACT",
            "EXACT:",
            "EXACT:0",
            "EXACT:-1",
            "EXACT:two",
        ] {
            let found = text.to_owned();
            assert_eq!(Selection::parse(text), Err(SelectionError { found }));
        }
    }

    #[test]
    fn selections_are_printed_as_they_are_read() {
        for text in ["ALL", "ANY", "EXACT:3"] {
            assert_eq!(Selection::parse(text).unwrap().to_string(), text);
        }
    }
}
