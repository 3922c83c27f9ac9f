//! Where attestations come from on this machine: files, one or many bundles in each, read as they are asked for.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use stella_bundle::attestation_set;
use stella_bundle::bundle::MAX_BUNDLE;

use super::error::ArchiveError;
use crate::file;

/// Bytes of a file that are read at once.
const PIECE: usize = 1 << 20;

/// Reads the bundles of a file: line by line where its name ends in `.jsonl`, else the one bundle or the exported set that it is.
/// What is neither is one thing that is no attestation: whoever verifies says so.
pub fn bundles(path: &Path) -> Box<dyn Iterator<Item = Result<Vec<u8>, ArchiveError>> + Send> {
    let wrong = |error| ArchiveError::io("read", path, error);
    if path.extension().is_some_and(|ending| ending == "jsonl") {
        return match File::open(path) {
            Ok(file) => Box::new(Lines {
                path: path.to_owned(),
                file: BufReader::with_capacity(PIECE, file),
                is_over: false,
            }),
            Err(error) => Box::new(std::iter::once(Err(wrong(error)))),
        };
    }
    let bytes = match file::read(path, MAX_BUNDLE) {
        Ok(bytes) => bytes,
        Err(error) => return Box::new(std::iter::once(Err(wrong(error)))),
    };
    let bundles = attestation_set::bundles_in(&bytes).unwrap_or_else(|_| vec![bytes]);
    Box::new(bundles.into_iter().map(Ok))
}

/// Bundles, one a line.
struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    /// After a line that is too long nobody knows where the next one begins.
    is_over: bool,
}

impl Iterator for Lines {
    type Item = Result<Vec<u8>, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            let mut line = Vec::new();
            let mut bounded = (&mut self.file).take(MAX_BUNDLE as u64 + 1);
            let read = bounded.read_until(b'\n', &mut line);
            let error = match read {
                Ok(0) => return None,
                Ok(read) if read > MAX_BUNDLE => io::ErrorKind::FileTooLarge.into(),
                Ok(_) => {
                    if line.last() == Some(&b'\n') {
                        line.pop();
                    }
                    match line.is_empty() {
                        true => continue,
                        false => return Some(Ok(line)),
                    }
                }
                Err(error) => error,
            };
            self.is_over = true;
            return Some(Err(ArchiveError::io("read", &self.path, error)));
        }
        None
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn lines_and_whole_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let all: Result<Vec<_>, _> = bundles(&path).collect();
            all.unwrap()
        };
        assert_eq!(read("a.jsonl", "{}\n\n[1]\n2"), [&b"{}"[..], b"[1]", b"2"]);
        assert_eq!(read("a.json", "{}"), [b"{}"]);
        assert!(
            bundles(&folder.path().join("none.json"))
                .next()
                .unwrap()
                .is_err()
        );
        assert!(
            bundles(&folder.path().join("none.jsonl"))
                .next()
                .unwrap()
                .is_err()
        );
    }
}
