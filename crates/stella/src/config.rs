//! The configuration: defaults, then signer.yaml, then the environment, then flags; each value knows whence it came.
//!
//! Nothing is printed here, and no rule of the field lives here. What was typed (`yaml.rs`, flags) and what it means
//! (`meaning.rs`) are two steps.

mod error;
mod key;
mod meaning;
pub(crate) mod show;
mod source;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub(crate) use self::error::{ConfigError, NamedBy};
pub(crate) use self::key::Key;
pub(crate) use self::meaning::{
    Algorithm, AmbientToken, Config, Keyless, LogLevel, Mode, SctCheck, TrustChoice, TrustElsewhere,
};
pub(crate) use self::source::{Source, Typed, Value};
pub(crate) use self::yaml::MAX_BYTES;

/// The defaults, which are a file like any other.
const DEFAULTS: &str = include_str!("../config/signer.default.yaml");

/// The variables that name signer.yaml; the first that is set counts.
const CONFIG_VARIABLES: [&str; 2] = ["STELLAOPS_CONFIG", "STELLA_CONFIG"];
/// The variables that hold a token.
const TOKEN_VARIABLES: [&str; 2] = ["STELLAOPS_OIDC_TOKEN", "STELLA_OIDC_TOKEN"];
/// The variables that name a file with a token.
const TOKEN_FILE_VARIABLES: [&str; 2] = ["STELLAOPS_OIDC_TOKEN_FILE", "STELLA_OIDC_TOKEN_FILE"];
/// The variables that say how much is told.
const LOG_LEVEL_VARIABLES: [&str; 2] = ["STELLAOPS_LOG_LEVEL", "STELLA_LOG_LEVEL"];

/// For every system, where an administrator puts the file.
const SYSTEM_FILE: &str = "/etc/stellaops/signer.yaml";
/// Only mentioned when seen: in CI the working directory is the pull request.
const WORKING_DIRECTORY_FILE: &str = "etc/signer.yaml";

/// What the command line says about the configuration.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// `--config FILE`.
    pub(crate) config: Option<PathBuf>,
    /// The settings given as flags: the key, the flag's spelling, the text.
    pub(crate) settings: Vec<(Key, &'static str, String)>,
    /// `--identity-token TOKEN|@FILE|-`.
    pub(crate) identity_token: Option<Zeroizing<String>>,
    /// Whether a flag or a recorded choice says whom to trust.
    pub(crate) trust_elsewhere: TrustElsewhere,
}

/// The world around the process, handed in so that tests need no real one.
pub(crate) struct Surroundings<'a> {
    /// Reads a variable of the environment.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a whole file.
    pub(crate) read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

/// A configuration, and all that `stella config show` tells about it.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What the settings mean.
    pub(crate) meant: Config,
    /// Each key that has a value, in the order of the file, with what was typed and whence it came.
    pub(crate) sources: Vec<Typed>,
    /// The token that was given, if any.
    pub(crate) identity_token: Option<(GivenToken, Source)>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    /// The files that were looked for, in order.
    pub(crate) searched: Vec<PathBuf>,
    /// A file in the working directory that was seen and not read: "not used: pass --config".
    pub(crate) not_used: Option<PathBuf>,
}

/// A token that a person or a pipeline gave by hand.
#[derive(PartialEq, Eq)]
pub(crate) enum GivenToken {
    /// The file holds it.
    File(PathBuf),
    /// The token itself.
    Itself(Zeroizing<String>),
    /// Standard input holds it.
    Stdin,
}

impl fmt::Debug for GivenToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
            Self::Itself(_) => formatter.write_str("Itself(hidden)"),
            Self::Stdin => formatter.write_str("Stdin"),
        }
    }
}

/// Loads the configuration.
///
/// # Errors
///
/// A file that was asked for and cannot be read, and everything that `signer.yaml`, the environment or a flag says
/// wrongly. All are usage errors.
pub(crate) fn load(flags: &Flags, around: &Surroundings<'_>) -> Result<Loaded, ConfigError> {
    // 1. What was typed, the weakest first.
    let mut typed = BTreeMap::new();
    let mut lay = |layer: Vec<Typed>| {
        typed.extend(layer.into_iter().map(|typed| (typed.key, typed)));
    };
    lay(yaml::settings(DEFAULTS, &|_| Source::Default)?);
    lay(vec![text(Key::LogLevel, "warn", Source::Default)]);
    let search = find(flags, around)?;
    if let Some((path, text)) = &search.found {
        lay(yaml::settings(text, &|line| Source::File {
            path: path.clone(),
            line,
        })?);
    }
    if let Some((level, source)) = first_variable(around, LOG_LEVEL_VARIABLES) {
        lay(vec![text(Key::LogLevel, level, source)]);
    }
    for (key, flag, value) in &flags.settings {
        lay(vec![text(*key, value, Source::Flag { flag })]);
    }

    // 2. What it means.
    let meant = meaning::of(&typed, flags.trust_elsewhere)?;
    Ok(Loaded {
        meant,
        sources: Key::ALL
            .iter()
            .filter_map(|key| typed.remove(key))
            .collect(),
        identity_token: given_token(flags, around),
        file: search.found.map(|(path, _)| path),
        searched: search.searched,
        not_used: search.not_used,
    })
}

fn text(key: Key, text: impl Into<String>, source: Source) -> Typed {
    Typed {
        key,
        value: Value::Text(text.into()),
        source,
    }
}

/// The file that counts, and what was seen on the way.
struct Search {
    found: Option<(PathBuf, String)>,
    searched: Vec<PathBuf>,
    not_used: Option<PathBuf>,
}

/// Finds signer.yaml: the one that was asked for, else the user's, else the system's; never the working directory's,
/// which in CI belongs to whoever wrote the change.
fn find(flags: &Flags, around: &Surroundings<'_>) -> Result<Search, ConfigError> {
    // A file that was asked for must be there.
    let asked = flags
        .config
        .clone()
        .map(|path| (path, Source::Flag { flag: "--config" }))
        .or_else(|| {
            first_variable(around, CONFIG_VARIABLES)
                .map(|(path, source)| (PathBuf::from(path), source))
        });
    if let Some((path, source)) = asked {
        let text = read(around, &path, &NamedBy::Asked(source))?;
        return Ok(Search {
            searched: vec![path.clone()],
            found: Some((path, text)),
            not_used: None,
        });
    }

    let mut searched = Vec::new();
    for path in usual_places(around) {
        searched.push(path.clone());
        match read(around, &path, &NamedBy::Search) {
            Ok(text) => {
                return Ok(Search {
                    found: Some((path, text)),
                    searched,
                    not_used: None,
                });
            }
            Err(ConfigError::Unreadable { problem, .. }) if is_absent(&problem) => {}
            // A file that is there and cannot be read is not passed over: it may say what to refuse.
            Err(other) => return Err(other),
        }
    }
    let seen = PathBuf::from(WORKING_DIRECTORY_FILE);
    let not_used = (around.read)(&seen).is_ok().then_some(seen);
    Ok(Search {
        found: None,
        searched,
        not_used,
    })
}

fn usual_places(around: &Surroundings<'_>) -> Vec<PathBuf> {
    // spec: XDG Base Directory 0.8: relative paths in these variables are ignored.
    let absolute = |variable: &str| {
        (around.variable)(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let user = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    user.map(|user| user.join("stella").join("signer.yaml"))
        .into_iter()
        .chain([PathBuf::from(SYSTEM_FILE)])
        .collect()
}

fn read(around: &Surroundings<'_>, path: &Path, named_by: &NamedBy) -> Result<String, ConfigError> {
    (around.read)(path)
        .and_then(|bytes| {
            String::from_utf8(bytes)
                .map_err(|problem| io::Error::new(io::ErrorKind::InvalidData, problem))
        })
        .map_err(|problem| ConfigError::Unreadable {
            path: path.to_owned(),
            named_by: named_by.clone(),
            problem,
        })
}

fn is_absent(problem: &io::Error) -> bool {
    matches!(
        problem.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The first of `variables` that is set to something.
fn first_variable(
    around: &Surroundings<'_>,
    variables: [&'static str; 2],
) -> Option<(String, Source)> {
    variables.into_iter().find_map(|variable| {
        let value = (around.variable)(variable).filter(|value| !value.is_empty())?;
        Some((value, Source::Environment { variable }))
    })
}

/// The flag, then the variable with the token, then the variable with a file's name.
fn given_token(flags: &Flags, around: &Surroundings<'_>) -> Option<(GivenToken, Source)> {
    if let Some(given) = &flags.identity_token {
        let token = match given.strip_prefix('@') {
            Some(path) => GivenToken::File(PathBuf::from(path)),
            None if given.as_str() == "-" => GivenToken::Stdin,
            None => GivenToken::Itself(given.clone()),
        };
        let flag = "--identity-token";
        return Some((token, Source::Flag { flag }));
    }
    first_variable(around, TOKEN_VARIABLES)
        .map(|(token, source)| (GivenToken::Itself(Zeroizing::new(token)), source))
        .or_else(|| {
            let (path, source) = first_variable(around, TOKEN_FILE_VARIABLES)?;
            Some((GivenToken::File(PathBuf::from(path)), source))
        })
}
