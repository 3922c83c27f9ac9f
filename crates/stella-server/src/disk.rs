//! The disk as the log's engine sees it: the few calls whose order decides what survives a crash.
//!
//! [`Local`] is a folder of the file system; the simulated disk that loses power is in `stella-testkit`.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
    folders: Arc<Folders>,
}

impl Local {
    /// Opens a folder, creating it (its parent must exist).
    ///
    /// # Errors
    /// What the system says.
    pub fn open(root: &Path) -> io::Result<Self> {
        let folders = Folders::default();
        folders.create(root)?;
        Ok(Self {
            root: root.to_owned(),
            folders: Arc::new(folders),
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
        let names = Path::new(path);
        self.folders.create_below(&self.root, names)
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

/// Folders whose names this process knows to be durable.
///
/// One that is found is not known: whoever made it may have been killed before its name was synced, and what is written
/// into it would be lost with it. So each is synced once in a process's life.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    /// Held while a folder is made: who finds one here may rely on it.
    known: Mutex<HashSet<PathBuf>>,
}

impl Folders {
    /// Makes a folder, whose parent must exist, and makes its name durable; one that is there will do.
    pub(crate) fn create(&self, folder: &Path) -> io::Result<()> {
        self.create_below(folder, Path::new(""))
    }

    /// Makes a folder, whose parent must exist, and those below it that `names` says.
    pub(crate) fn create_below(&self, folder: &Path, names: &Path) -> io::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut path = folder.to_owned();
        make_durable(&mut known, &path)?;
        for name in names {
            path.push(name);
            make_durable(&mut known, &path)?;
        }
        Ok(())
    }
}

fn make_durable(known: &mut HashSet<PathBuf>, folder: &Path) -> io::Result<()> {
    if known.contains(folder) {
        return Ok(());
    }
    let is_new = match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        made => made.map(|()| true)?,
    };
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match sync_folder(parent) {
        // In a folder that may not be opened an operator made it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !is_new => {}
        synced => synced?,
    }
    known.insert(folder.to_owned());
    Ok(())
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

    #[test]
    fn a_folder_that_is_found_is_made_durable_before_it_is_relied_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("found");
        fs::create_dir(&path).unwrap();
        let folders = Folders::default();
        assert!(!folders.known.lock().unwrap().contains(&path));
        folders.create_below(&path, Path::new("a/b")).unwrap();
        for known in [path.clone(), path.join("a"), path.join("a/b")] {
            assert!(folders.known.lock().unwrap().contains(&known));
        }
        let file = path.join("file");
        fs::write(&file, "").unwrap();
        let below = folders.create_below(&file, Path::new("a")).unwrap_err();
        assert_eq!(below.kind(), io::ErrorKind::NotADirectory);
    }
}
