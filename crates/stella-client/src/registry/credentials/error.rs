//! The ways in which credentials are not to be had. None of them repeats a secret, and none of them means "anonymous".

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::object::ObjectError;

/// Why credentials cannot be found, stored or erased.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {}", path.display(), system_words(*kind, *number))]
    File {
        /// What was to be done, such as `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        kind: io::ErrorKind,
        /// The system's number for it, none where the system found nothing wrong.
        number: Option<i32>,
    },
    /// A credential helper gives no answer that can be used.
    #[error("docker-credential-{name}, which {} names for {registry}: {problem}", path.display())]
    Helper {
        /// The helper's name, as it stands in the file.
        name: String,
        /// The file that names it.
        path: PathBuf,
        /// The registry.
        registry: String,
        /// What is wrong.
        #[source]
        problem: HelperProblem,
    },
    /// A file has not the form of docker's `config.json`.
    #[error("cannot use the credentials in {}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        problem: FileProblem,
    },
    /// There is no file to write to, for no home directory is known.
    #[error("no file to keep credentials in: there is no home directory and none was named")]
    NoPlace,
    /// A user's name or a password that the file's form cannot hold.
    #[error("{0}")]
    Unstorable(#[from] Unstorable),
}

/// What is wrong with a credential file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// The member `auth` of an entry is not base64 of `USER:PASSWORD`.
    #[error("`auth` of {key:?} is not base64 of USER:PASSWORD")]
    Auth {
        /// The entry's name.
        key: String,
    },
    /// A helper's name might lead elsewhere than into the search path.
    #[error(
        "{name:?} is not the name of a credential helper: expected letters, digits, `.`, `_`, `-`"
    )]
    HelperName {
        /// The name.
        name: String,
    },
    /// A member is not the object that it should be.
    #[error("{member}: {problem}")]
    Member {
        /// Its name, or the entry's name.
        member: String,
        /// What is wrong.
        problem: ObjectError,
    },
    /// A member is not text.
    #[error("{member:?} of {key:?} is not text")]
    NotText {
        /// Its name.
        member: String,
        /// The object in which it stands.
        key: String,
    },
    /// The whole is not a JSON object.
    #[error("{0}")]
    Object(ObjectError),
    /// It is not text at all.
    #[error("the file is not UTF-8")]
    NotUtf8,
}

/// Why a credential helper gives no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelperProblem {
    /// It said something that the protocol does not know.
    #[error("its answer is not a JSON object with `Username` and `Secret`")]
    Answer,
    /// It ended with failure.
    #[error("failed ({}){}", ending(*code), spoken(said))]
    Failed {
        /// The exit code, none where a signal ended it.
        code: Option<i32>,
        /// The first line of what it said; shown escaped.
        said: String,
    },
    /// It took too long.
    #[error("gave no answer in {} s", patience.as_secs_f32())]
    Late {
        /// How long it was waited for.
        patience: Duration,
    },
    /// It is not installed.
    #[error("not found in the search path")]
    NotInstalled,
    /// It cannot be run.
    #[error("cannot be run: {}", system_words(*kind, *number))]
    Start {
        /// What is wrong.
        kind: io::ErrorKind,
        /// The system's number for it.
        number: Option<i32>,
    },
    /// It said more than any secret needs.
    #[error("its answer is larger than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

/// What the form of credential files cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unstorable {
    /// An empty password.
    #[error("the password is empty")]
    PasswordEmpty,
    /// A password that ends with NUL, which readers cut off.
    #[error("the password ends with a NUL character, which readers of credential files cut off")]
    PasswordNul,
    /// A colon in the user's name, after which readers would look for the password.
    #[error("the user's name holds a colon, which separates it from the password")]
    UserColon,
    /// An empty user's name.
    #[error("the user's name is empty")]
    UserEmpty,
}

fn system_words(kind: io::ErrorKind, number: Option<i32>) -> String {
    match number {
        Some(number) => io::Error::from_raw_os_error(number).to_string(),
        None => kind.to_string(),
    }
}

fn ending(code: Option<i32>) -> String {
    code.map_or_else(
        || "by a signal".to_owned(),
        |code| format!("exit code {code}"),
    )
}

fn spoken(said: &str) -> String {
    if said.is_empty() {
        return String::new();
    }
    // Escaped: the text is another program's, and may hold anything.
    format!(": {said:?}")
}
