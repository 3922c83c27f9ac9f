//! What was read from registries, kept on this machine: an attestation does not change, so none is fetched twice.
//!
//! Files are named by digest and compared with it at every reading; whatever is wrong with one, or with the whole folder,
//! only costs the request that it would have saved. Nothing here is evidence of what a registry lists today.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use stella_bundle::digest::Digest;

use crate::file;

/// The cache has at most so many bytes, unless told otherwise.
pub const MAX_BYTES: u64 = 256 << 20;
/// Larger things are not kept, in bytes.
const MAX_FILE: usize = 4 << 20;
/// After so many new files the folder is looked over.
const SWEEP_EVERY: u64 = 64;

/// A folder of things read before.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    most: u64,
    puts: AtomicU64,
}

impl Cache {
    /// Returns the cache in a folder, which is made when there is something to keep; of at most about `most` bytes.
    #[must_use]
    pub const fn new(folder: PathBuf, most: u64) -> Self {
        Self {
            folder,
            most,
            puts: AtomicU64::new(0),
        }
    }

    /// Returns what has this digest, if it is here.
    pub fn get(&self, digest: &Digest) -> Option<Bytes> {
        let path = self.path(digest);
        let bytes = file::read(&path, MAX_FILE).ok()?;
        if digest.algorithm().digest(&bytes) != *digest {
            let _ = fs::remove_file(&path);
            return None;
        }
        // What is used goes last.
        if let Ok(file) = File::options().append(true).open(&path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Some(bytes.into())
    }

    /// Keeps bytes that have this digest. What cannot be kept is not kept.
    pub fn put(&self, digest: &Digest, bytes: &[u8]) {
        if bytes.len() > MAX_FILE {
            return;
        }
        if let Err(error) = self.write(digest, bytes) {
            tracing::debug!(folder = %self.folder.display(), %error, "not kept");
        }
        let puts = self.puts.fetch_add(1, Ordering::Relaxed);
        if puts.is_multiple_of(SWEEP_EVERY) {
            self.sweep();
        }
    }

    fn write(&self, digest: &Digest, bytes: &[u8]) -> std::io::Result<()> {
        make_private(&self.folder)?;
        // Others see it whole or not at all. A crash may leave one of these, which is swept away as any other.
        let number = self.puts.load(Ordering::Relaxed);
        let temporary = format!(".{}-{number}-{}", std::process::id(), digest.hex());
        let temporary = self.folder.join(temporary);
        fs::write(&temporary, bytes)?;
        fs::rename(&temporary, self.path(digest)).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
    }

    /// Removes what was not used for longest, once there is too much.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
        if total <= self.most {
            return;
        }
        files.sort();
        for (_, length, path) in files {
            if total <= self.most / 4 * 3 {
                return;
            }
            let _ = fs::remove_file(path);
            total -= length;
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder
            .join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }
}

/// Makes a folder that only its owner reads: attestations of private images are private.
fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_bundle::digest::DigestAlgorithm;

    use super::*;

    #[test]
    fn what_was_kept_is_found_and_what_was_changed_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"), MAX_BYTES);
        let digest = DigestAlgorithm::Sha256.digest(b"kept");
        assert_eq!(cache.get(&digest), None);
        cache.put(&digest, b"kept");
        assert_eq!(cache.get(&digest).unwrap(), "kept");
        fs::write(cache.path(&digest), "else").unwrap();
        assert_eq!(cache.get(&digest), None);
        assert!(!cache.path(&digest).exists());
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), 4_000);
        let digests: Vec<Digest> = (0..10_u8)
            .map(|each| {
                let bytes = vec![each; 500];
                let digest = DigestAlgorithm::Sha256.digest(&bytes);
                cache.put(&digest, &bytes);
                let file = File::options()
                    .append(true)
                    .open(cache.path(&digest))
                    .unwrap();
                let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(each.into());
                file.set_modified(time).unwrap();
                digest
            })
            .collect();
        assert!(cache.get(&digests[0]).is_some());
        cache.sweep();
        let left: Vec<bool> = digests
            .iter()
            .map(|each| cache.path(each).exists())
            .collect();
        let expected = [
            true, false, false, false, false, true, true, true, true, true,
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let cache = Cache::new(file.join("cache"), MAX_BYTES);
        let digest = DigestAlgorithm::Sha256.digest(b"kept");
        cache.put(&digest, b"kept");
        assert_eq!(cache.get(&digest), None);
    }
}
