//! The ways in which a configuration is refused. All of them end in exit code 2.

use std::fmt;
use std::path::PathBuf;

use super::key::{Key, Shape};
use super::source::Source;

/// Why a configuration cannot be used.
///
/// Not `PartialEq`: the parser's error is kept as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    /// `validateChain: false`.
    #[error("{at}: {} can only be true: a certificate whose chain is not validated proves nothing; remove the line", key.path())]
    ChainValidationOff {
        /// Where.
        at: Source,
        /// `validateChain`.
        key: Key,
    },
    /// `fulcio.url` without anything that says whom to trust.
    #[error("{at}: {} is set, but nothing says whom to trust there; set {}, or record the choice with `stella trust use public|FILE|URL`", Key::FulcioUrl.path(), Key::Trust.path())]
    FulcioWithoutTrust {
        /// Where the address was given.
        at: Source,
    },
    /// `mode: keyless` together with `enabled: false`.
    #[error("{mode}: {} is keyless, but {enabled}: {} is false", Key::Mode.path(), Key::KeylessEnabled.path())]
    KeylessDisabled {
        /// Where the mode comes from.
        mode: Source,
        /// Where keyless signing is switched off.
        enabled: Source,
    },
    /// The value is text, but none that this key takes.
    #[error("{at}: {} is {found:?}; expected {expected}{}", key.path(), meant(nearest.as_deref()))]
    NotAccepted {
        /// Where.
        at: Source,
        /// Which key.
        key: Key,
        /// What the key takes.
        expected: Expected,
        /// What was typed.
        found: String,
        /// The accepted word nearest to it.
        nearest: Option<&'static str>,
    },
    /// A value where a section should be.
    #[error("{at}: {path} holds keys of its own, but is {found}", path = if path.is_empty() { "the file" } else { path })]
    NotASection {
        /// Where.
        at: Source,
        /// The section's path; empty for the whole file.
        path: String,
        /// What is there.
        found: Found,
    },
    /// The text is not YAML.
    #[error("{at}: not YAML: {}", problem.render_with_formatter(&serde_saphyr::UserMessageFormatter))]
    NotYaml {
        /// Where.
        at: Source,
        /// What the parser says.
        problem: Box<serde_saphyr::Error>,
    },
    /// `preferred` is not in `allowed`.
    #[error("{at}: {} is {preferred}, which {} does not hold", Key::AlgorithmsPreferred.path(), Key::AlgorithmsAllowed.path())]
    PreferredNotAllowed {
        /// Where `preferred` comes from.
        at: Source,
        /// Its value.
        preferred: super::meaning::Algorithm,
    },
    /// The file is larger than any signer.yaml.
    #[error("{at}: larger than {limit} bytes")]
    TooLarge {
        /// The file.
        at: Source,
        /// The limit.
        limit: usize,
    },
    /// A key that does not exist.
    #[error("{at}: unknown key {path}{}", meant(nearest.as_deref()))]
    UnknownKey {
        /// Where.
        at: Source,
        /// What was typed.
        path: String,
        /// The known path nearest to it.
        nearest: Option<String>,
    },
    /// The file that was asked for cannot be read.
    #[error("cannot read {}, which {named_by} names: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Who asked for it.
        named_by: NamedBy,
        /// Why.
        problem: std::io::Error,
    },
    /// The value has another type.
    #[error("{at}: {} takes {}, but is {found}", key.path(), shape_word(*expected))]
    WrongShape {
        /// Where.
        at: Source,
        /// Which key.
        key: Key,
        /// What the key takes.
        expected: Shape,
        /// What is there.
        found: Found,
    },
}

/// Who named the file that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamedBy {
    /// `--config` or `$STELLAOPS_CONFIG`.
    Asked(Source),
    /// The search order.
    Search,
}

impl fmt::Display for NamedBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(source) => source.fmt(formatter),
            Self::Search => formatter.write_str("the search order"),
        }
    }
}

/// What a key takes, where its shape does not say it all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A whole address, without credentials, query or fragment.
    Address,
    /// An algorithm's name.
    Algorithm,
    /// A time with its unit, from 1 ms to 10 min.
    Duration,
    /// A level of logging.
    LogLevel,
    /// `keyless` or `key`.
    Mode,
    /// At least one name.
    SomeAlgorithm,
    /// Something other than nothing.
    SomeText,
    /// `true` or `false`.
    Switch,
    /// A file, or `public`.
    Trust,
    /// Text without `${…}`.
    WithoutVariables,
    /// A whole number from 0 to 10.
    Retries,
}

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Address => {
                "an address such as https://host/path, without credentials, query or fragment"
            }
            Self::Algorithm => "one of ECDSA_P256, ECDSA_P384, Ed25519",
            Self::Duration => "a time with its unit, from 1ms to 10m, such as 500ms, 30s or 2m",
            Self::LogLevel => "one of off, error, warn, info, debug, trace",
            Self::Mode => "keyless or key",
            Self::SomeAlgorithm => "at least one algorithm",
            Self::SomeText => "some text",
            Self::Switch => "true or false",
            Self::Trust => {
                "a file or the word public; an address is recorded with `stella trust use URL`"
            }
            Self::WithoutVariables => "text without ${…}, which is not expanded",
            Self::Retries => "a whole number from 0 to 10",
        })
    }
}

/// What kind of node stands where another was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A list.
    List,
    /// Nothing at all.
    Nothing,
    /// A number.
    Number,
    /// Further keys.
    Section,
    /// `true` or `false`.
    Switch,
    /// Text.
    Text,
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::List => "a list",
            Self::Nothing => "empty (remove the line to keep the default)",
            Self::Number => "a number (quote it if text is meant)",
            Self::Section => "a section",
            Self::Switch => "true or false (quote it if text is meant)",
            Self::Text => "text",
        })
    }
}

fn shape_word(shape: Shape) -> &'static str {
    match shape {
        Shape::Names => "a list of names",
        Shape::Switch => "true or false",
        Shape::Text => "text",
        Shape::Whole => "a whole number",
    }
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"))
}
