//! The registry's folder: files that appear whole or not at all, and are durable when a call returns.
//!
//! Whatever is being written lies in `temporary/` until it is complete and synced, and is renamed then. A crash leaves
//! such files, and the next open removes them. What the files mean is said in `store`.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::RegistryError;
use crate::directory::FileError;
use crate::disk::{Folders, sync_folder};

const LOCK: &str = "lock";
const TEMPORARY: &str = "temporary";

/// A folder that one process has for itself. Paths are relative to it.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    /// Names temporary files.
    number: AtomicU64,
    folders: Folders,
    _lock: File,
}

impl Files {
    /// Opens the folder, makes it where it is absent (its parent must exist), and removes what a crash left.
    pub(crate) fn open(root: &Path) -> Result<Self, RegistryError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |error: io::Error| FileError {
                action,
                path,
                kind: error.kind(),
            }
        };
        let folders = Folders::default();
        folders.create(root).map_err(failed("create", root))?;
        let path = root.join(LOCK);
        let lock = File::options().create(true).append(true).open(&path);
        let lock = lock.map_err(failed("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(RegistryError::Locked {
                    folder: root.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error).into()),
        }
        let files = Self {
            root: root.to_owned(),
            number: AtomicU64::new(0),
            folders,
            _lock: lock,
        };
        let path = root.join(TEMPORARY);
        files.clear().map_err(failed("clear", &path))?;
        Ok(files)
    }

    fn clear(&self) -> io::Result<()> {
        let folder = Path::new(TEMPORARY);
        for name in self.names(folder)? {
            fs::remove_file(self.root.join(folder).join(name))?;
        }
        self.create_folder(folder)
    }

    /// Begins a file; dropped before it is settled it is gone.
    pub(crate) fn temporary(&self) -> io::Result<Temporary> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(TEMPORARY).join(number.to_string());
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(Temporary { file, path })
    }

    /// Gives a finished file its name, in place of the one that has it.
    pub(crate) fn settle(&self, temporary: Temporary, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new(""));
        self.create_folder(folder)?;
        temporary.file.sync_all()?;
        fs::rename(&temporary.path, self.root.join(path))?;
        self.sync_folder(folder)
    }

    /// Writes a small file, in place of the one that has the name.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut temporary = self.temporary()?;
        temporary.file.write_all(bytes)?;
        self.settle(temporary, path)
    }

    /// Writes a small file whose content follows from its name, unless it is there.
    pub(crate) fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if !self.has(path)? {
            return self.replace(path, bytes);
        }
        // Whoever wrote it may not have come to this yet.
        self.sync_folder(path.parent().unwrap_or(Path::new("")))
    }

    /// Removes a file; says whether it was there.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<bool> {
        match fs::remove_file(self.root.join(path)) {
            Err(error) if is_absence(&error) => return Ok(false),
            removed => removed?,
        }
        self.sync_folder(path.parent().unwrap_or(Path::new("")))?;
        Ok(true)
    }

    /// Says whether there is such a file or folder.
    pub(crate) fn has(&self, path: &Path) -> io::Result<bool> {
        match fs::metadata(self.root.join(path)) {
            Err(error) if is_absence(&error) => Ok(false),
            found => found.map(|_| true),
        }
    }

    /// Opens a file for reading; none when it is absent.
    pub(crate) fn open_file(&self, path: &Path) -> io::Result<Option<File>> {
        match File::open(self.root.join(path)) {
            Err(error) if is_absence(&error) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Reads a file of at most `limit` bytes; none when it is absent.
    pub(crate) fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(bytes))
    }

    /// Returns the names in a folder, sorted; none when it is absent.
    pub(crate) fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Err(error) if is_absence(&error) => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Makes the names in a folder durable.
    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        sync_folder(&self.root.join(folder))
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.folders.create_below(&self.root, folder)
    }
}

/// A file that nobody sees yet.
#[derive(Debug)]
pub(crate) struct Temporary {
    /// The open file.
    pub(crate) file: File,
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Absent when it has its name; what stays behind goes at the next open.
        let _ = fs::remove_file(&self.path);
    }
}

/// Absent, or below something that is no folder.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
