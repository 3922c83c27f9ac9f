//! The newest statement that the organisation saw published: `head.json`. A place of archives that lacks it was rolled back.

use std::io;

use serde::{Deserialize, Serialize};
use stella_archive::history::{Document, History};
use stella_archive::statement::{KeyId, Manifest};
use stella_bundle::key::sha256;

use super::{CeremonyError, KeysetFolder, io_error, replace};
use crate::file;

/// The file.
const HEAD: &str = "head.json";
/// Bytes of it.
const MAX_HEAD: usize = 64 << 10;

/// A statement that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its number.
    pub sequence: u64,
    /// Its period.
    pub period: String,
    /// SHA-256 of its payload.
    pub statement: KeyId,
}

impl Head {
    /// Names a statement.
    #[must_use]
    pub fn of(manifest: &Manifest, document: &Document) -> Self {
        Self {
            sequence: manifest.sequence,
            period: manifest.period.name.clone(),
            statement: KeyId(sha256(&document.bytes)),
        }
    }

    /// Says whether a past has it.
    #[must_use]
    pub fn is_in(&self, history: &History) -> bool {
        let at = usize::try_from(self.sequence).ok();
        let statement = at.and_then(|at| history.statements.get(at));
        statement.is_some_and(|each| sha256(&each.bytes) == self.statement.0)
    }
}

impl KeysetFolder {
    /// Returns the newest statement that was seen published; none before the first.
    ///
    /// # Errors
    /// `Io`, `Unreadable`.
    pub fn head(&self) -> Result<Option<Head>, CeremonyError> {
        let path = self.path.join(HEAD);
        let bytes = match file::read(&path, MAX_HEAD) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| io_error("read", &path, error))?,
        };
        let head = serde_json::from_slice(&bytes);
        head.map(Some).map_err(|_| CeremonyError::Unreadable(path))
    }

    /// Remembers a statement that was published, unless a later one is remembered.
    ///
    /// # Errors
    /// `Io`, `Unreadable`.
    pub fn remember(&self, head: &Head) -> Result<(), CeremonyError> {
        if self
            .head()?
            .is_some_and(|last| last.sequence >= head.sequence)
        {
            return Ok(());
        }
        // Serialising plain structs into memory cannot fail.
        let mut bytes = serde_json::to_vec(head).unwrap_or_default();
        bytes.push(b'\n');
        replace(&self.path, HEAD, &bytes)
    }
}
