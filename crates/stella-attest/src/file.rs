//! One way to read a file that somebody else may have written: no further than its bound; and to make names durable.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Reads a file of at most `limit` bytes. A device that never ends is left after one byte more.
///
/// # Errors
/// Of the kind `FileTooLarge` for a larger file; else what the system says.
pub fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // What is known to be too large is not read first. A device has no length.
    if file.metadata()?.len() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large(limit));
    }
    read_from(file, limit)
}

/// Reads at most `limit` bytes from what is open already, such as standard input.
///
/// # Errors
/// As [`read`].
pub fn read_from(source: impl io::Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    source.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

fn too_large(limit: usize) -> io::Error {
    let message = format!("larger than {limit} bytes");
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

/// Makes the names in a folder durable: a file's name is so only once its folder is.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // The parent of a bare name.
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_one_without_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        let kind = |path: &Path, limit| read(path, limit).unwrap_err().kind();
        assert_eq!(kind(&path, 3), io::ErrorKind::FileTooLarge);
        #[cfg(unix)]
        assert_eq!(
            kind(Path::new("/dev/zero"), 4096),
            io::ErrorKind::FileTooLarge
        );
        assert_eq!(
            kind(folder.path().join("none").as_path(), 4),
            io::ErrorKind::NotFound
        );
    }
}
