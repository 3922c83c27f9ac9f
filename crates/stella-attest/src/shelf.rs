//! Where attestations rest on this machine: a content-addressed folder that any number of processes may write at once.
//!
//! `blobs/sha256/<hex>` holds a bundle's bytes; an empty file `subjects/<algorithm>-<hex>/<hex of the bundle>` says
//! that the bundle speaks of the subject. Both appear by create-and-rename, there is no shared index, so writers never
//! meet. Registries are another shelf, and live elsewhere.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use stella_bundle::bundle::MAX_BUNDLE;
use stella_bundle::digest::{Digest, DigestAlgorithm};

use crate::file;

/// What became of one stored bundle; the others beside it are not concerned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The file does not have the content that its name says.
    #[error("{} is corrupted: expected {expected}, found {found}", path.display())]
    Corrupted {
        /// The file.
        path: PathBuf,
        /// The digest in its name.
        expected: Digest,
        /// The digest of its content.
        found: Digest,
    },
    /// The file is not there, cannot be read, or is larger than any bundle.
    #[error("{} cannot be read: {kind}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
}

impl Damage {
    /// Returns the damaged file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Corrupted { path, .. } | Self::Unreadable { path, .. } => path,
        }
    }
}

/// The ways in which the shelf cannot do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShelfError {
    /// The operating system refuses.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What it answered.
        error: io::Error,
    },
}

/// A folder of attestations.
#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
}

/// A bundle on the shelf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// SHA-256 of the bytes that were put there.
    pub digest: Digest,
    /// Its bytes, or why they are not to be had.
    pub bytes: Result<Vec<u8>, Damage>,
}

/// Tells apart the temporary files of one process; those of several differ by process id.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

impl Shelf {
    /// Returns the shelf in `folder`, which is made when something is first put there.
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts a bundle where each of its subjects finds it; when this returns, the bundle survives a power failure.
    ///
    /// # Errors
    /// `Io`.
    pub fn put(&self, bundle: &[u8], subjects: &[Digest]) -> Result<Digest, ShelfError> {
        let digest = DigestAlgorithm::Sha256.digest(bundle);
        self.create(&self.blob(&digest), bundle)?;
        // The subject comes last: a crash before it leaves only an unreferenced blob.
        for subject in subjects {
            self.create(&self.subject(subject).join(digest.hex()), b"")?;
        }
        Ok(digest)
    }

    /// Returns the bundles that speak of a subject, in order of their digests; a damaged one is among them and hides none.
    ///
    /// # Errors
    /// `Io` when the subject's folder cannot be read.
    pub fn list(&self, subject: &Digest) -> Result<Vec<Stored>, ShelfError> {
        let folder = self.subject(subject);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &folder)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(failed("read", &folder))?.file_name());
        }
        names.sort();
        let digest =
            |name: &std::ffi::OsString| Digest::from_hex(DigestAlgorithm::Sha256, name.to_str()?);
        // Other names are temporary files of a writer at work, or of one that died.
        let stored = |digest: Digest| Stored {
            bytes: self.read(&digest),
            digest,
        };
        Ok(names.iter().filter_map(digest).map(stored).collect())
    }

    /// Lists everything that is there, in order of the digests.
    ///
    /// # Errors
    /// `Io` when the folder cannot be read.
    pub fn digests(&self) -> Result<Vec<Digest>, ShelfError> {
        let folder = self.folder.join("blobs").join("sha256");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &folder)(error)),
        };
        let mut digests = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed("read", &folder))?.file_name();
            // Other names are temporary files of a writer at work, or of one that died.
            let name = name.to_str();
            digests.extend(name.and_then(|name| Digest::from_hex(DigestAlgorithm::Sha256, name)));
        }
        digests.sort_by(|one, other| one.bytes().cmp(other.bytes()));
        Ok(digests)
    }

    /// Reads one of them.
    ///
    /// # Errors
    /// [`Damage`].
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, Damage> {
        let path = self.blob(digest);
        let bytes = match file::read(&path, MAX_BUNDLE) {
            Ok(bytes) => bytes,
            Err(error) => {
                let kind = error.kind();
                return Err(Damage::Unreadable { path, kind });
            }
        };
        let found = DigestAlgorithm::Sha256.digest(&bytes);
        if found != *digest {
            return Err(Damage::Corrupted {
                path,
                expected: digest.clone(),
                found,
            });
        }
        Ok(bytes)
    }

    /// Returns how many bytes one of them has; none where nothing can be said.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        Some(fs::metadata(self.blob(digest)).ok()?.len())
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder
            .join("blobs")
            .join(digest.algorithm().name())
            .join(digest.hex())
    }

    fn subject(&self, subject: &Digest) -> PathBuf {
        let name = format!("{}-{}", subject.algorithm().name(), subject.hex());
        self.folder.join("subjects").join(name)
    }

    /// Creates a file with all of its content or not at all.
    fn create(&self, path: &Path, content: &[u8]) -> Result<(), ShelfError> {
        if path.exists() {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
        let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!(".{}-{number}.partial", std::process::id()));
        write_synced(&temporary, content).map_err(failed("write", &temporary))?;
        fs::rename(&temporary, path).map_err(failed("rename to", path))?;
        file::sync_folder(folder).map_err(failed("sync", folder))
    }
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // A full disk gets its room back; the first error is the one to report.
        let _ = fs::remove_file(path);
    }
    written
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> ShelfError + 'a {
    move |error| ShelfError::Io {
        action,
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_found_under_every_subject_once() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("store"));
        let subjects = [
            DigestAlgorithm::Sha256.digest(b"a"),
            DigestAlgorithm::Sha512.digest(b"a"),
        ];
        for _ in 0..2 {
            shelf.put(b"bundle", &subjects).unwrap();
        }
        for subject in &subjects {
            let found = shelf.list(subject).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].bytes.as_deref(), Ok(&b"bundle"[..]));
        }
        assert_eq!(
            shelf.list(&DigestAlgorithm::Sha256.digest(b"b")).unwrap(),
            []
        );
    }

    #[test]
    fn a_damaged_file_is_named_and_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().to_owned());
        let subject = DigestAlgorithm::Sha256.digest(b"a");
        let put = |bundle| shelf.put(bundle, std::slice::from_ref(&subject)).unwrap();
        let (changed, gone) = (put(b"changed"), put(b"gone"));
        put(b"healthy");
        fs::write(shelf.blob(&changed), b"changee").unwrap();
        fs::remove_file(shelf.blob(&gone)).unwrap();
        for stored in shelf.list(&subject).unwrap() {
            match stored.bytes {
                Ok(bytes) => assert_eq!(bytes, b"healthy"),
                Err(Damage::Corrupted { expected, .. }) => assert_eq!(expected, changed),
                Err(Damage::Unreadable { path, kind }) => {
                    assert_eq!(path, shelf.blob(&gone));
                    assert_eq!(kind, io::ErrorKind::NotFound);
                }
            }
        }
        assert_eq!(shelf.list(&subject).unwrap().len(), 3);
    }

    #[test]
    fn sixty_four_writers_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().to_owned());
        let subject = DigestAlgorithm::Sha256.digest(b"a");
        std::thread::scope(|scope| {
            for number in 0..64_u8 {
                let (shelf, subject) = (&shelf, &subject);
                scope.spawn(move || shelf.put(&[number], std::slice::from_ref(subject)).unwrap());
            }
        });
        assert_eq!(shelf.list(&subject).unwrap().len(), 64);
    }
}
