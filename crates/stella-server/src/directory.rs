//! Files of an instance: written whole, synced, never overwritten by accident, secret ones for their owner only.
//!
//! What the logs write is in `disk`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readable {
    /// Everyone.
    ByAll,
    /// Its owner only (mode 0600).
    ByOwner,
}

/// A file could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} {}: {kind}", path.display())]
pub struct FileError {
    /// What was tried: `read`, `write`, `create`.
    pub action: &'static str,
    /// Where.
    pub path: PathBuf,
    /// What the system said.
    pub kind: io::ErrorKind,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |error| FileError {
        action,
        path: path.to_owned(),
        kind: error.kind(),
    }
}

/// Whether a directory is ours to fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// It was made, or belongs to the user of this process; mode 0700.
    Ours,
    /// It belongs to another user, and nothing was changed.
    Refused,
}

/// Makes a directory that only its owner may read, or takes one of the same user, which the caller found empty.
pub(crate) fn claim(path: &Path) -> Result<Claimed, FileError> {
    if let Some(parent) = path.parent() {
        // Directories above it are not the instance's: they get the modes that the user gives by default.
        fs::create_dir_all(parent).map_err(failed("create", path))?;
    }
    match make(path, Readable::ByOwner) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => take(path),
        made => made.map(|()| Claimed::Ours),
    }
    .map_err(failed("create", path))
}

/// Makes a directory that must not be there; `ByOwner` gives mode 0700.
pub(crate) fn create_directory(path: &Path, readable: Readable) -> Result<(), FileError> {
    make(path, readable).map_err(failed("create", path))
}

#[cfg(unix)]
fn make(path: &Path, readable: Readable) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = fs::DirBuilder::new();
    if readable == Readable::ByOwner {
        builder.mode(0o700);
    }
    builder.create(path)
}

#[cfg(not(unix))]
fn make(path: &Path, _: Readable) -> io::Result<()> {
    fs::create_dir(path)
}

#[cfg(unix)]
fn take(path: &Path) -> io::Result<Claimed> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    if fs::metadata(path)?.uid() != rustix::process::geteuid().as_raw() {
        return Ok(Claimed::Refused);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    Ok(Claimed::Ours)
}

/// Owners say nothing that could be read here.
#[cfg(not(unix))]
fn take(_: &Path) -> io::Result<Claimed> {
    Ok(Claimed::Ours)
}

/// Writes a file that must not be there, and syncs it with its directory.
pub(crate) fn write_new(path: &Path, bytes: &[u8], readable: Readable) -> Result<(), FileError> {
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        restrict(&mut options, readable);
        let mut file = options.open(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        sync_parent(path)
    };
    write().map_err(failed("write", path))
}

/// Writes a file in one step, whether or not it is there: a reader sees the old one or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let write = || -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let fresh = path.with_file_name(name);
        let mut file = File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        sync_parent(path)
    };
    write().map_err(failed("write", path))
}

/// Reads a file of at most `limit` bytes; larger ones are `FileTooLarge`.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    };
    read().map_err(failed("read", path))
}

/// Reads a file that may be absent.
pub(crate) fn read_optional(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
    match read(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Requires that nobody but the owner may read or write a file.
#[cfg(unix)]
pub(crate) fn is_private(path: &Path) -> Result<bool, FileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).map_err(failed("read", path))?;
    Ok(metadata.permissions().mode() & 0o077 == 0)
}

/// Permissions say nothing that could be read here.
#[cfg(not(unix))]
pub(crate) fn is_private(_: &Path) -> Result<bool, FileError> {
    Ok(true)
}

/// Returns the names in a directory; none when it does not exist.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, FileError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    entries
        .map(name)
        .collect::<io::Result<_>>()
        .map_err(failed("read", path))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    // The name is durable only when its directory is.
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn restrict(options: &mut OpenOptions, readable: Readable) {
    use std::os::unix::fs::OpenOptionsExt as _;
    if readable == Readable::ByOwner {
        options.mode(0o600);
    }
}

#[cfg(not(unix))]
fn restrict(_: &mut OpenOptions, _: Readable) {}
