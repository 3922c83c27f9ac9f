//! The ways in which a folder is no kit, or not the one that is meant. What is to be done about each is the caller's to say.

use std::io;
use std::path::PathBuf;

use stella_archive::history::KitSignatureError;
use stella_bundle::digest::Digest;

use super::{CONTENTS, SUMS};
use crate::keyset::CeremonyError;
use crate::sign::SignError;

/// The ways in which a folder is no kit, or not the one that is meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KitError {
    /// A file was changed.
    #[error("{path} has the digest {found}, expected {expected}")]
    Changed {
        /// The file.
        path: String,
        /// What the list says.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// The list of contents cannot be used.
    #[error("{CONTENTS}: {0}")]
    Contents(String),
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was to be done, such as `read`.
        action: &'static str,
        /// Its path.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The organisation's keysets cannot be used.
    #[error("the organisation's keysets: {0}")]
    Keysets(#[from] CeremonyError),
    /// A line of the list is none.
    #[error(
        "{SUMS}, line {line}: expected 64 hex digits in lower case, two spaces and a relative path"
    )]
    Line {
        /// Its number, from 1 on.
        line: usize,
    },
    /// A listed file is absent.
    #[error("{path} is listed and not there")]
    Missing {
        /// The file.
        path: String,
    },
    /// The folder has things in it that are of no kit.
    #[error("{} is neither empty nor a kit", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The list could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The organisation did not sign this list, or its signatures do not count.
    #[error("{}{error}", file.as_ref().map_or(String::new(), |file| format!("{file}: ")))]
    Signature {
        /// The bundle that is wrong, where it is one of them.
        file: Option<String>,
        /// What is wrong.
        error: Box<KitSignatureError>,
    },
    /// Something is neither file nor folder, or its name cannot be listed.
    #[error("{path} is neither a file nor a folder, or has a name that no list can hold")]
    Strange {
        /// Its path.
        path: String,
    },
    /// The folder has no list: nobody finished it.
    #[error("{} is no kit, or one that was not finished: it has no {SUMS}", path.display())]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// A file is there and not listed.
    #[error("{path} is there and not listed")]
    Unlisted {
        /// The file.
        path: String,
    },
    /// Nobody signed it.
    #[error("the kit is not signed by an organisation: it has no {what}")]
    Unsigned {
        /// What is not there.
        what: &'static str,
    },
    /// It is another kit.
    #[error("the kit has the digest {found}, expected {expected}")]
    WrongKit {
        /// The digest that came another way.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
}
