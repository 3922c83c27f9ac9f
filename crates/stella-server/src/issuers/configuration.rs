//! `DIR/issuers.yaml`: Fulcio's issuer configuration, and our `jwks: FILE` for issuers that cannot be reached.
//!
//! Unknown keys are refused with their line. Patterns of issuers (`meta-issuers`) are not supported: each issuer is named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use stella_bundle::certificate::Claim;
use stella_wire::Transport;
use stella_wire::fulcio::IssuerEntry;
use stella_wire::oidc::{Jwks, OidcError};
use url::Url;

use super::Trusted;
use super::keys::KeySource;
use super::presets::{PRESETS, Preset};
use super::principal::{CiIdentity, Identity, Unverified};
use super::template::{Template, TemplateError};
use crate::directory::{self, FileError};
use crate::oidc::DEFAULT_AUDIENCE;

const FILE: &str = "issuers.yaml";
/// The public instance's file, the largest known, has 20 KiB.
const MAX_FILE: u64 = 1 << 20;

/// The types of issuers besides the presets.
const TYPES: [&str; 6] = [
    "ci-provider",
    "email",
    "kubernetes",
    "spiffe",
    "uri",
    "username",
];

/// The ways in which the file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The proof of possession would be over another claim than the one that is always used.
    #[error(
        "issuers.yaml: {}: the challenge-claim is {found:?}, but proofs are made over {used:?}: remove the line",
        issuer.escape_debug()
    )]
    ChallengeUnusable {
        /// The issuer.
        issuer: String,
        /// The claim found.
        found: String,
        /// `email` for issuers of that type, else `sub`.
        used: &'static str,
    },
    /// An extension's name is none of Fulcio's.
    #[error("issuers.yaml: {}: the extension {name:?} is unknown", provider.escape_debug())]
    ExtensionUnknown {
        /// Key in `ci-issuer-metadata`.
        provider: String,
        /// The name.
        name: String,
    },
    /// A field that this type of issuer needs is absent.
    #[error("issuers.yaml: {}: {field} is missing", issuer.escape_debug())]
    FieldMissing {
        /// The issuer's URL.
        issuer: String,
        /// The field.
        field: &'static str,
    },
    /// The file, or a pinned key file, could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A pinned key file is no key set.
    #[error("{}: {error}", path.display())]
    KeySet {
        /// Where.
        path: PathBuf,
        /// Why.
        error: OidcError,
    },
    /// The issuer's URL differs from its key in the map, or may not be asked.
    #[error(
        "issuers.yaml: {}: the URL must be the same twice, https (http on loopback only), without query",
        issuer.escape_debug()
    )]
    IssuerUnusable {
        /// The issuer.
        issuer: String,
    },
    /// Keys would have to be fetched and this instance was opened without a network.
    #[error(
        "issuers.yaml: {}: this instance fetches nothing; pin the keys with jwks: FILE",
        issuer.escape_debug()
    )]
    NoNetwork {
        /// The issuer.
        issuer: String,
    },
    /// A template is not understood.
    #[error("issuers.yaml: {0}")]
    Template(#[from] TemplateError),
    /// A type or CI provider is not known.
    #[error(
        "issuers.yaml: {}: the {field} {name:?} is unknown; known are {}",
        issuer.escape_debug(),
        known.join(", ").escape_debug()
    )]
    TypeUnknown {
        /// The issuer.
        issuer: String,
        /// `type` or `ci-provider`.
        field: &'static str,
        /// The name.
        name: String,
        /// The names that this field may have here.
        known: Vec<String>,
    },
    /// Not YAML of this form; the text names line and column.
    #[error("issuers.yaml: {said}")]
    Yaml {
        /// What the YAML parser said, in one line.
        said: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct File {
    oidc_issuers: BTreeMap<String, Issuer>,
    ci_issuer_metadata: BTreeMap<String, Metadata>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Issuer {
    issuer_url: Option<String>,
    client_id: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    ci_provider: Option<String>,
    issuer_claim: Option<String>,
    subject_domain: Option<String>,
    spiffe_trust_domain: Option<String>,
    challenge_claim: Option<String>,
    skip_email_verification: bool,
    /// Ours: a pinned key set, relative to the directory.
    jwks: Option<PathBuf>,
    /// Ours: origins besides the issuer's own from which keys may come.
    jwks_origins: Vec<String>,
    /// Ours: what `{{ .url }}` is for presets.
    url: Option<String>,
    contact: Option<String>,
    description: Option<String>,
    environment: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Metadata {
    default_template_values: BTreeMap<String, String>,
    extension_templates: BTreeMap<String, String>,
    subject_alternative_name_template: String,
}

/// Reads the file; without one there are no further issuers.
pub(super) fn load(
    directory: &Path,
    transport: Option<&Arc<dyn Transport>>,
) -> Result<BTreeMap<String, Trusted>, ConfigurationError> {
    let Some(bytes) = directory::read_optional(&directory.join(FILE), MAX_FILE)? else {
        return Ok(BTreeMap::new());
    };
    let file = parse(&bytes)?;
    let one = |(url, issuer): (&String, &Issuer)| {
        require_challenge(url, issuer)?;
        let trusted = Trusted {
            audience: issuer
                .client_id
                .clone()
                .unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned()),
            identity: identity(url, issuer, &file.ci_issuer_metadata)?,
            keys: keys(directory, url, issuer, transport)?,
            entry: entry(url, issuer),
        };
        Ok((url.clone(), trusted))
    };
    file.oidc_issuers.iter().map(one).collect()
}

fn parse(bytes: &[u8]) -> Result<File, ConfigurationError> {
    let text = std::str::from_utf8(bytes).map_err(|error| ConfigurationError::Yaml {
        said: error.to_string(),
    })?;
    // Without a snippet of the file: an error is one line, in a terminal and in a log.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| ConfigurationError::Yaml {
        said: error
            .render_with_formatter(&serde_saphyr::UserMessageFormatter)
            .replace(char::is_control, " "),
    })
}

/// The claim that a proof of possession signs. It cannot be configured: a claim that the token's holder may choose binds
/// the key to nobody.
fn challenge_claim(issuer: &Issuer) -> &'static str {
    if issuer.kind == "email" {
        "email"
    } else {
        "sub"
    }
}

/// Refuses Fulcio's `challenge-claim` where it says anything but what is done.
fn require_challenge(url: &str, issuer: &Issuer) -> Result<(), ConfigurationError> {
    let used = challenge_claim(issuer);
    match &issuer.challenge_claim {
        Some(found) if found != used => Err(ConfigurationError::ChallengeUnusable {
            issuer: url.to_owned(),
            found: found.clone(),
            used,
        }),
        _ => Ok(()),
    }
}

/// The instance's own issuer: tokens of GitHub's shape, links below the instance's URL, the key in memory.
pub(super) fn own(url: &str, jwks: &[u8]) -> Result<Trusted, ConfigurationError> {
    let issuer = Issuer {
        kind: "github-workflow".to_owned(),
        url: Some(url.to_owned()),
        ..Issuer::default()
    };
    let path = PathBuf::from("keys/oidc.pem");
    let jwks = Jwks::parse(jwks).map_err(|error| ConfigurationError::KeySet { path, error })?;
    Ok(Trusted {
        audience: DEFAULT_AUDIENCE.to_owned(),
        identity: identity(url, &issuer, &BTreeMap::new())?,
        keys: KeySource::pinned(jwks),
        entry: entry(url, &issuer),
    })
}

fn keys(
    directory: &Path,
    url: &str,
    issuer: &Issuer,
    transport: Option<&Arc<dyn Transport>>,
) -> Result<KeySource, ConfigurationError> {
    if issuer.issuer_url.as_ref().is_some_and(|inner| inner != url) {
        return Err(ConfigurationError::IssuerUnusable {
            issuer: url.to_owned(),
        });
    }
    if let Some(file) = &issuer.jwks {
        let path = directory.join(file);
        let bytes = directory::read(&path, MAX_FILE)?;
        let jwks =
            Jwks::parse(&bytes).map_err(|error| ConfigurationError::KeySet { path, error })?;
        return Ok(KeySource::pinned(jwks));
    }
    let transport = transport.ok_or_else(|| ConfigurationError::NoNetwork {
        issuer: url.to_owned(),
    })?;
    KeySource::discovered(url, &issuer.jwks_origins, Arc::clone(transport)).ok_or_else(|| {
        ConfigurationError::IssuerUnusable {
            issuer: url.to_owned(),
        }
    })
}

fn identity(
    url: &str,
    issuer: &Issuer,
    metadata: &BTreeMap<String, Metadata>,
) -> Result<Identity, ConfigurationError> {
    let missing = |field| ConfigurationError::FieldMissing {
        issuer: url.to_owned(),
        field,
    };
    let domain = || {
        issuer
            .subject_domain
            .clone()
            .ok_or_else(|| missing("subject-domain"))
    };
    match issuer.kind.as_str() {
        "email" => {
            let path = issuer
                .issuer_claim
                .as_deref()
                .map(|path| path.trim_start_matches("$."));
            let unverified = if issuer.skip_email_verification {
                Unverified::Accept
            } else {
                Unverified::Refuse
            };
            let issuer_claim = path.map(|path| path.split('.').map(str::to_owned).collect());
            Ok(Identity::Email {
                issuer_claim,
                unverified,
            })
        }
        "kubernetes" => Ok(Identity::Kubernetes),
        "spiffe" => {
            let trust_domain = issuer
                .spiffe_trust_domain
                .clone()
                .ok_or_else(|| missing("spiffe-trust-domain"))?;
            Ok(Identity::Spiffe { trust_domain })
        }
        "uri" => Ok(Identity::Uri { domain: domain()? }),
        "username" => Ok(Identity::Username { domain: domain()? }),
        "ci-provider" => {
            let name = issuer
                .ci_provider
                .as_deref()
                .ok_or_else(|| missing("ci-provider"))?;
            match metadata.get(name) {
                Some(metadata) => custom(name, metadata),
                None => {
                    let own = metadata.keys().map(String::as_str);
                    let unknown = || unknown(url, "ci-provider", name, own);
                    preset(url, issuer, Preset::named(name).ok_or_else(unknown)?)
                }
            }
        }
        name => {
            let unknown = || unknown(url, "type", name, TYPES.into_iter());
            preset(url, issuer, Preset::named(name).ok_or_else(unknown)?)
        }
    }
}

fn custom(provider: &str, metadata: &Metadata) -> Result<Identity, ConfigurationError> {
    let one = |(name, template): (&String, &String)| {
        // Fulcio's name for .22 is longer than the one in our flags and reports.
        let name = name.strip_suffix("-at-signing").unwrap_or(name);
        let claim = Claim::from_name(name).filter(|claim| may_be_templated(*claim));
        let unknown = || ConfigurationError::ExtensionUnknown {
            provider: provider.to_owned(),
            name: name.to_owned(),
        };
        Ok((claim.ok_or_else(unknown)?, Template::parse(template)?))
    };
    Ok(Identity::Ci(Box::new(CiIdentity {
        subject: Template::parse(&metadata.subject_alternative_name_template)?,
        extensions: metadata
            .extension_templates
            .iter()
            .map(one)
            .collect::<Result<_, ConfigurationError>>()?,
        defaults: metadata.default_template_values.clone(),
        ref_protected: None,
    })))
}

/// Issuer and subject come from the token itself, never from a template.
fn may_be_templated(claim: Claim) -> bool {
    !matches!(claim, Claim::Issuer | Claim::IssuerV1 | Claim::TokenSubject)
}

/// The refusal of a name that is neither a preset nor one of `others`.
fn unknown<'a>(
    url: &str,
    field: &'static str,
    name: &str,
    others: impl Iterator<Item = &'a str>,
) -> ConfigurationError {
    let presets = PRESETS.iter().map(|preset| preset.name);
    ConfigurationError::TypeUnknown {
        issuer: url.to_owned(),
        field,
        name: name.to_owned(),
        known: presets.chain(others).map(str::to_owned).collect(),
    }
}

fn preset(url: &str, issuer: &Issuer, preset: &Preset) -> Result<Identity, ConfigurationError> {
    let origin = || {
        Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization())
    };
    let base = issuer
        .url
        .clone()
        .or_else(|| preset.url.map(str::to_owned))
        .unwrap_or_else(origin);
    let mut defaults: BTreeMap<String, String> = preset
        .defaults
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    defaults.insert("url".to_owned(), base);
    let one = |(name, template): &(&str, &str)| {
        Ok((
            Claim::from_name(name).ok_or_else(|| ConfigurationError::ExtensionUnknown {
                provider: preset.name.to_owned(),
                name: (*name).to_owned(),
            })?,
            Template::parse(template)?,
        ))
    };
    Ok(Identity::Ci(Box::new(CiIdentity {
        subject: Template::parse(preset.subject)?,
        extensions: preset
            .extensions
            .iter()
            .map(one)
            .collect::<Result<_, ConfigurationError>>()?,
        defaults,
        ref_protected: preset.ref_protected.map(str::to_owned),
    })))
}

fn entry(url: &str, issuer: &Issuer) -> IssuerEntry {
    IssuerEntry {
        issuer_url: url.to_owned(),
        audience: issuer
            .client_id
            .clone()
            .unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned()),
        challenge_claim: challenge_claim(issuer).to_owned(),
        spiffe_trust_domain: issuer.spiffe_trust_domain.clone().unwrap_or_default(),
        issuer_type: issuer.kind.clone(),
        subject_domain: issuer.subject_domain.clone().unwrap_or_default(),
        ..IssuerEntry::default()
    }
}
