//! The disk as the log's engine sees it: the few calls whose order decides what survives a crash.
//!
//! [`Local`] is a folder of the file system; the simulated disk that loses power is in `stella-testkit`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A folder with files. Paths are relative to it, with `/` between names.
///
/// Nothing is promised to survive a crash but what was synced: a file's bytes by [`DiskFile::sync_data`], its name (after
/// creating, renaming or removing) by [`Disk::sync_folder`].
pub trait Disk: Send + Sync {
    /// Creates a file, or empties the one that is there.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Creates a folder and those above it, and makes their names durable.
    ///
    /// # Errors
    /// What the system says.
    fn create_folder(&self, path: &str) -> io::Result<()>;

    /// Returns the names in a folder, in no order; none if the folder is absent.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Returns a file's bytes.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Gives a file another name, atomically in place of the one that has it.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_folder(&self, path: &str) -> io::Result<()>;
}

/// A file open for writing; it stays the same file when it is renamed.
pub trait DiskFile: Send {
    /// Makes all bytes written so far durable (`fdatasync`).
    ///
    /// After an error nothing is known of any byte written since the last success, and asking again proves nothing.
    ///
    /// # Errors
    /// What the system says.
    fn sync_data(&mut self) -> io::Result<()>;

    /// Writes bytes at an offset.
    ///
    /// # Errors
    /// What the system says.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// A folder of the local file system.
#[derive(Debug, Clone)]
pub struct Local {
    root: PathBuf,
}

impl Local {
    /// Opens a folder, creating it (its parent must exist).
    ///
    /// # Errors
    /// What the system says.
    pub fn open(root: &Path) -> io::Result<Self> {
        create_durably(root)?;
        Ok(Self {
            root: root.to_owned(),
        })
    }
}

impl Disk for Local {
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(self.root.join(path))?;
        Ok(Box::new(LocalFile(file)))
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        let mut folder = self.root.clone();
        for name in path.split('/') {
            folder.push(name);
            create_durably(&folder)?;
        }
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.root.join(path))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        sync_folder(&self.root.join(path))
    }
}

struct LocalFile(File);

impl DiskFile for LocalFile {
    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.write_all(bytes)
    }
}

/// Makes a folder, whose parent must exist, and makes its name durable; one that is there will do.
pub(crate) fn create_durably(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
            _ => Ok(()),
        },
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Elsewhere folders cannot be opened, and their names are durable when the call returns.
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_local_disk_keeps_what_it_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Local::open(&folder.path().join("log")).unwrap();
        assert!(disk.list("a").unwrap().is_empty());
        disk.create_folder("a/b").unwrap();
        let mut file = disk.create("a/b/one").unwrap();
        file.write_at(2, b"xyz").unwrap();
        disk.rename("a/b/one", "a/b/two").unwrap();
        file.write_at(0, b"ab").unwrap();
        file.sync_data().unwrap();
        disk.sync_folder("a/b").unwrap();
        assert_eq!(disk.read("a/b/two").unwrap(), b"abxyz");
        assert_eq!(disk.list("a/b").unwrap(), ["two"]);
        disk.remove("a/b/two").unwrap();
        let missing = disk.read("a/b/two").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
