//! What the typed settings mean: plain types, checked.
//!
//! Every setting has a value by now, for the defaults are a file as well; addresses and paths may be absent.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::error::{ConfigError, Expected};
use super::key::{Key, Shape};
use super::source::{Source, Typed, Value};

/// The longest deadline of one answer; a signing certificate lives as long.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);

/// More repetitions than this would outlive the token.
const MOST_RETRIES: u32 = 10;

/// The configuration as it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// How signatures are made.
    pub(crate) mode: Mode,
    /// The key that one keeps, as `--key` names it.
    pub(crate) key: Option<String>,
    /// Everything about keyless signing.
    pub(crate) keyless: Keyless,
    /// How much is told on stderr.
    pub(crate) log_level: LogLevel,
}

/// How signatures are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With a key that one keeps.
    Key,
    /// With a key for one signature, certified for an identity.
    Keyless,
}

/// `signer.signing.keyless`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyless {
    /// Whether it may be used at all.
    pub(crate) is_enabled: bool,
    /// Whom to trust; `None` is the recorded choice.
    pub(crate) trust: Option<TrustChoice>,
    /// The certificate authority; `None` is the one of the signing configuration.
    pub(crate) fulcio: Option<Url>,
    /// The transparency log, likewise.
    pub(crate) rekor: Option<Url>,
    /// The timestamp authority's whole address, likewise.
    pub(crate) tsa: Option<Url>,
    /// The deadline of one answer of any service.
    pub(crate) timeout: Duration,
    /// How often a failed request is repeated.
    pub(crate) retries: u32,
    /// Where tokens come from.
    pub(crate) oidc: Oidc,
    /// The kind of key made for each signature.
    pub(crate) preferred: Algorithm,
    /// The kinds of keys that may sign.
    pub(crate) allowed: Vec<Algorithm>,
    /// PEM certificates, one of which must end the chain besides the trusted root.
    pub(crate) root_bundle: Option<PathBuf>,
    /// Whether signing checks the SCT of its own certificate.
    pub(crate) sct: SctCheck,
}

/// Whom to trust, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TrustChoice {
    /// A client trust configuration or a trusted root.
    File(PathBuf),
    /// The public Sigstore.
    Public,
}

/// `signer.signing.keyless.oidc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Oidc {
    /// The only issuer whose tokens are used, to the letter.
    pub(crate) issuer: Option<String>,
    /// The client's name in logins.
    pub(crate) client_id: String,
    /// Whether the CI runner's token is looked for.
    pub(crate) ambient: AmbientToken,
    /// What the token's `aud` must contain.
    pub(crate) audience: String,
}

/// Whether the CI runner's token is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AmbientToken {
    /// Only a token that was given counts.
    Ignore,
    /// The runner's token is used when none was given.
    Use,
}

/// Whether signing checks the SCT of its own certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SctCheck {
    /// A certificate without a valid SCT is refused.
    Require,
    /// Signing goes on; verification still demands it.
    SkipWhenSigning,
}

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// `ECDSA_P256`.
    EcdsaP256,
    /// `ECDSA_P384`.
    EcdsaP384,
    /// `Ed25519`; what is logged is signed as Ed25519ph.
    Ed25519,
}

/// How much is told on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogLevel {
    /// Nothing.
    Off,
    /// Errors.
    Error,
    /// Also what is odd.
    Warn,
    /// Also what is done.
    Info,
    /// Also each request and each check.
    Debug,
    /// Everything but secrets.
    Trace,
}

/// A word and what it stands for.
type Words<T> = &'static [(&'static str, T)];

const MODES: Words<Mode> = &[("key", Mode::Key), ("keyless", Mode::Keyless)];
const ALGORITHMS: Words<Algorithm> = &[
    ("ECDSA_P256", Algorithm::EcdsaP256),
    ("ECDSA_P384", Algorithm::EcdsaP384),
    ("Ed25519", Algorithm::Ed25519),
];
const LOG_LEVELS: Words<LogLevel> = &[
    ("debug", LogLevel::Debug),
    ("error", LogLevel::Error),
    ("info", LogLevel::Info),
    ("off", LogLevel::Off),
    ("trace", LogLevel::Trace),
    ("warn", LogLevel::Warn),
];

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::EcdsaP256 => "ECDSA_P256",
            Self::EcdsaP384 => "ECDSA_P384",
            Self::Ed25519 => "Ed25519",
        })
    }
}

impl LogLevel {
    /// Finds the level that a word names, before any configuration is loaded.
    pub(crate) fn from_word(typed: &str) -> Option<Self> {
        LOG_LEVELS
            .iter()
            .find(|(word, _)| *word == typed)
            .map(|(_, level)| *level)
    }
}

/// Whether something outside the settings says whom to trust: a recorded choice, or a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TrustElsewhere {
    /// Nothing does.
    #[default]
    None,
    /// Something does.
    Given,
}

/// Gives the settings their meaning; of several values for one key, `typed` holds the one that counts.
///
/// # Errors
///
/// The first value that means nothing, or that another one contradicts.
pub(crate) fn of(
    typed: &BTreeMap<Key, Typed>,
    trust_elsewhere: TrustElsewhere,
) -> Result<Config, ConfigError> {
    let settings = Settings(typed);
    // What would take the proof away cannot even be loaded.
    if !settings.switch(Key::CertificateValidateChain)? {
        return Err(ConfigError::ChainValidationOff {
            at: settings.source(Key::CertificateValidateChain),
            key: Key::CertificateValidateChain,
        });
    }
    let config = Config {
        mode: settings.word(Key::Mode, MODES, Expected::Mode)?,
        key: settings.text(Key::Managed)?.map(str::to_owned),
        keyless: keyless(&settings)?,
        log_level: settings.word(Key::LogLevel, LOG_LEVELS, Expected::LogLevel)?,
    };
    require_agreement(&settings, &config, trust_elsewhere)?;
    Ok(config)
}

fn keyless(settings: &Settings<'_>) -> Result<Keyless, ConfigError> {
    Ok(Keyless {
        is_enabled: settings.switch(Key::KeylessEnabled)?,
        trust: settings.trust()?,
        fulcio: settings.address(Key::FulcioUrl)?,
        rekor: settings.address(Key::RekorUrl)?,
        tsa: settings.address(Key::TsaUrl)?,
        timeout: settings.duration(Key::FulcioTimeout)?,
        retries: settings.retries(Key::FulcioRetries)?,
        oidc: Oidc {
            issuer: match settings.address(Key::OidcIssuer)? {
                // Issuers are compared to the letter, so the letters stay.
                Some(_) => settings.text(Key::OidcIssuer)?.map(str::to_owned),
                None => None,
            },
            client_id: settings.some_text(Key::OidcClientId)?,
            ambient: if settings.switch(Key::OidcUseAmbientToken)? {
                AmbientToken::Use
            } else {
                AmbientToken::Ignore
            },
            audience: settings.some_text(Key::OidcAudience)?,
        },
        preferred: settings.word(Key::AlgorithmsPreferred, ALGORITHMS, Expected::Algorithm)?,
        allowed: settings.algorithms(Key::AlgorithmsAllowed)?,
        root_bundle: settings.path(Key::CertificateRootBundlePath)?,
        sct: if settings.switch(Key::CertificateRequireSct)? {
            SctCheck::Require
        } else {
            SctCheck::SkipWhenSigning
        },
    })
}

fn require_agreement(
    settings: &Settings<'_>,
    config: &Config,
    trust_elsewhere: TrustElsewhere,
) -> Result<(), ConfigError> {
    let keyless = &config.keyless;
    if config.mode == Mode::Keyless && !keyless.is_enabled {
        return Err(ConfigError::KeylessDisabled {
            mode: settings.source(Key::Mode),
            enabled: settings.source(Key::KeylessEnabled),
        });
    }
    if !keyless.allowed.contains(&keyless.preferred) {
        return Err(ConfigError::PreferredNotAllowed {
            at: settings.source(Key::AlgorithmsPreferred),
            preferred: keyless.preferred,
        });
    }
    let nobody = keyless.trust.is_none() && trust_elsewhere == TrustElsewhere::None;
    if keyless.fulcio.is_some() && nobody {
        return Err(ConfigError::FulcioWithoutTrust {
            at: settings.source(Key::FulcioUrl),
        });
    }
    Ok(())
}

/// The settings that count, read by kind.
struct Settings<'a>(&'a BTreeMap<Key, Typed>);

impl Settings<'_> {
    fn source(&self, key: Key) -> Source {
        self.0
            .get(&key)
            .map_or(Source::Default, |typed| typed.source.clone())
    }

    fn refuse(&self, key: Key, expected: Expected, nearest: Option<&'static str>) -> ConfigError {
        ConfigError::NotAccepted {
            at: self.source(key),
            key,
            expected,
            found: self
                .0
                .get(&key)
                .map_or_else(String::new, |typed| typed.value.to_string()),
            nearest,
        }
    }

    /// The text of a key, or `None` when nobody gave one.
    fn text(&self, key: Key) -> Result<Option<&str>, ConfigError> {
        debug_assert_eq!(key.shape(), Shape::Text);
        let Some(Value::Text(text)) = self.0.get(&key).map(|typed| &typed.value) else {
            return Ok(None);
        };
        if text.trim().is_empty() {
            return Err(self.refuse(key, Expected::SomeText, None));
        }
        // What a pull request may put into the environment must not choose whom we talk to.
        if text.contains("${") {
            return Err(self.refuse(key, Expected::WithoutVariables, None));
        }
        Ok(Some(text))
    }

    fn some_text(&self, key: Key) -> Result<String, ConfigError> {
        self.text(key)?
            .map(str::to_owned)
            .ok_or_else(|| self.refuse(key, Expected::SomeText, None))
    }

    fn switch(&self, key: Key) -> Result<bool, ConfigError> {
        match self.0.get(&key).map(|typed| &typed.value) {
            Some(Value::Switch(switch)) => Ok(*switch),
            Some(Value::Text(text)) if text == "true" => Ok(true),
            Some(Value::Text(text)) if text == "false" => Ok(false),
            _ => Err(self.refuse(key, Expected::Switch, None)),
        }
    }

    fn retries(&self, key: Key) -> Result<u32, ConfigError> {
        let number = match self.0.get(&key).map(|typed| &typed.value) {
            Some(Value::Whole(whole)) => u32::try_from(*whole).ok(),
            Some(Value::Text(text)) => text.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| *number <= MOST_RETRIES)
            .ok_or_else(|| self.refuse(key, Expected::Retries, None))
    }

    fn word<T: Copy>(
        &self,
        key: Key,
        words: Words<T>,
        expected: Expected,
    ) -> Result<T, ConfigError> {
        let typed = self.some_text(key)?;
        self.meaning(key, &typed, words, expected)
    }

    fn meaning<T: Copy>(
        &self,
        key: Key,
        typed: &str,
        words: Words<T>,
        expected: Expected,
    ) -> Result<T, ConfigError> {
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == typed) {
            return Ok(*meaning);
        }
        let folded = typed.to_lowercase().replace('-', "_");
        let nearest = words
            .iter()
            .map(|(word, _)| {
                (
                    strsim::damerau_levenshtein(&word.to_lowercase(), &folded),
                    *word,
                )
            })
            .min()
            .filter(|(distance, _)| *distance <= 2)
            .map(|(_, word)| word);
        Err(self.refuse(key, expected, nearest))
    }

    fn algorithms(&self, key: Key) -> Result<Vec<Algorithm>, ConfigError> {
        let names = match self.0.get(&key).map(|typed| &typed.value) {
            Some(Value::Names(names)) => names.clone(),
            Some(Value::Text(text)) => text.split(',').map(|name| name.trim().to_owned()).collect(),
            _ => Vec::new(),
        };
        if names.is_empty() {
            return Err(self.refuse(key, Expected::SomeAlgorithm, None));
        }
        names
            .iter()
            .map(|name| self.meaning(key, name, ALGORITHMS, Expected::Algorithm))
            .collect()
    }

    fn address(&self, key: Key) -> Result<Option<Url>, ConfigError> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .map(Some)
            .ok_or_else(|| self.refuse(key, Expected::Address, None))
    }

    fn trust(&self) -> Result<Option<TrustChoice>, ConfigError> {
        let Some(text) = self.text(Key::Trust)? else {
            return Ok(None);
        };
        if text == "public" {
            return Ok(Some(TrustChoice::Public));
        }
        // An address needs a fingerprint, which only the recorded choice carries.
        if text.contains("://") {
            return Err(self.refuse(Key::Trust, Expected::Trust, None));
        }
        Ok(self.path(Key::Trust)?.map(TrustChoice::File))
    }

    /// A relative path counts from the file that holds it; one of a flag, from the working directory.
    fn path(&self, key: Key) -> Result<Option<PathBuf>, ConfigError> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let beside = match self.source(key) {
            Source::File { path, .. } => path.parent().map(Path::to_path_buf),
            Source::Default | Source::Environment { .. } | Source::Flag { .. } => None,
        };
        Ok(Some(beside.unwrap_or_default().join(text)))
    }

    fn duration(&self, key: Key) -> Result<Duration, ConfigError> {
        self.text(key)?
            .and_then(duration)
            .filter(|duration| (Duration::from_millis(1)..=LONGEST_TIMEOUT).contains(duration))
            .ok_or_else(|| self.refuse(key, Expected::Duration, None))
    }
}

/// Reads `30s`, `500ms`, `2m`, `1m30s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let unit_ends = after
            .find(|character: char| character.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_ends);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(milliseconds)?;
        total = total.checked_add(Duration::from_millis(part))?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(duration("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        for bad in [
            "",
            "30",
            "s",
            "30 s",
            "-1s",
            "3.5s",
            "99999999999999999999s",
            "1d",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
