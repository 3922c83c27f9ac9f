//! Legal holds that the organisation sets and releases: `holds/000001.json` and on, one record a file. They are in force as soon as
//! they are written; the next statement archives them.

use std::fs;
use std::path::PathBuf;

use stella_archive::retention::{Hold, Holds, MAX_RECORD};

use super::{CeremonyError, KeysetFolder, files_in, io_error, replace};
use crate::file;

/// The folder.
const HOLDS: &str = "holds";

impl KeysetFolder {
    /// Returns the records of holds in the order in which they were made.
    ///
    /// # Errors
    /// `Io`; `Unreadable` for one that is none, or is not there: what is held would not be known.
    pub fn holds(&self) -> Result<Vec<Hold>, CeremonyError> {
        let mut holds = Vec::new();
        for (found, number) in files_in(&self.path.join(HOLDS))?.iter().zip(1..) {
            let path = self.hold_path(number);
            if *found != path {
                return Err(CeremonyError::Unreadable(path));
            }
            let bytes = file::read(&path, MAX_RECORD);
            let bytes = bytes.map_err(|error| io_error("read", &path, error))?;
            let hold = Hold::parse(&bytes);
            holds.push(hold.map_err(|_| CeremonyError::Unreadable(path))?);
        }
        Ok(holds)
    }

    /// Writes the record of a hold that is set or released; `archived` is what was in force before this folder's own.
    ///
    /// # Errors
    /// `Hold` where it does not fit those before it, `Io`, `Unreadable`.
    pub fn add_hold(&self, mut archived: Holds, hold: &Hold) -> Result<(), CeremonyError> {
        let earlier = self.holds()?;
        archived.add(hold)?;
        let folder = self.path.join(HOLDS);
        fs::create_dir_all(&folder).map_err(|error| io_error("make", &folder, error))?;
        let path = self.hold_path(earlier.len() + 1);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        replace(&folder, &name, &hold.to_bytes())?;
        file::sync_folder(&self.path).map_err(|error| io_error("write", &folder, error))
    }

    fn hold_path(&self, number: usize) -> PathBuf {
        self.path.join(HOLDS).join(format!("{number:06}.json"))
    }
}
