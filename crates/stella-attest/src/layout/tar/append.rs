//! A tar file that grows: `FILE.partial`, in which complete entries follow each other, and which a later run continues.
//!
//! Nothing in it is believed after a kill: every blob is hashed again, and from the first that is torn or wrong the file
//! is cut off.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use stella_bundle::digest::{Digest, DigestStream};

use super::super::error::{LayoutError, failed};
use super::super::folder::{INDEX, OCI_LAYOUT, VERSION, sync};
use super::contents::{Contents, Extent, TornEnd, padded, read_at};
use super::header::{self, BLOCK, Kind};

/// Bytes that are hashed or copied at a time.
pub(super) const PIECE: usize = 1 << 20;

/// A tar file that grows.
pub(super) struct Append {
    file: File,
    path: PathBuf,
    /// Where the next entry begins; what lies behind it is nothing.
    end: u64,
}

impl Append {
    /// Opens the file or makes it; returns the blobs that are in it, whole.
    pub(super) fn open(path: PathBuf) -> Result<(Self, Vec<(Digest, Extent)>), LayoutError> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LayoutError::Busy { path }),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        let contents = Contents::scan(&mut file, &path, TornEnd::Drop)?;
        if let Some(refused) = contents.refused {
            return Err(refused);
        }
        let mut append = Self {
            file,
            path,
            end: contents.head,
        };
        let mut whole = Vec::new();
        for (digest, end) in contents.order {
            let Some(extent) = contents.blobs.get(&digest).copied() else {
                continue;
            };
            if append.digest_of(&digest, extent)? != digest {
                break;
            }
            append.end = end;
            whole.push((digest, extent));
        }
        if contents.version.is_none() {
            // Cut off before anything of worth: begin anew.
            append.end = 0;
            whole.clear();
            append.small(OCI_LAYOUT, VERSION)?;
            append.folder("blobs/")?;
            append.folder("blobs/sha256/")?;
        }
        Ok((append, whole))
    }

    fn digest_of(&mut self, digest: &Digest, extent: Extent) -> Result<Digest, LayoutError> {
        let mut stream = DigestStream::new(digest.algorithm());
        let mut read = || {
            let mut piece = vec![0; PIECE];
            let (mut at, end) = (extent.offset, extent.offset + extent.size);
            while at < end {
                let length = usize::try_from(end - at).map_or(PIECE, |rest| rest.min(PIECE));
                read_at(&mut self.file, at, &mut piece[..length])?;
                stream.update(&piece[..length]);
                at += length as u64;
            }
            io::Result::Ok(())
        };
        read().map_err(failed("read", &self.path))?;
        Ok(stream.finish())
    }

    /// Writes the header of a blob; [`Append::write`] its content, [`Append::close_entry`] its end.
    pub(super) fn open_blob(&mut self, digest: &Digest, size: u64) -> Result<u64, LayoutError> {
        let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        self.open_entry(&name, size, Kind::File)
    }

    /// Adds a part of the open entry's content.
    pub(super) fn write(&mut self, part: &[u8]) -> Result<(), LayoutError> {
        let written = self.file.write_all(part);
        written.map_err(failed("write", &self.path))
    }

    /// Ends the entry whose content began at `offset`: from now on it is in the file.
    pub(super) fn close_entry(&mut self, offset: u64, size: u64) -> Result<(), LayoutError> {
        let padding = usize::try_from(padded(size) - size).unwrap_or_default();
        self.write(&[0; BLOCK][..padding])?;
        self.end = offset + padded(size);
        Ok(())
    }

    /// Writes the index and the end, and gives the file its name.
    pub(super) fn finish(mut self, index: &[u8], name: &Path) -> Result<(), LayoutError> {
        self.small(INDEX, index)?;
        self.write(&[0; 2 * BLOCK])?;
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        fs::rename(&self.path, name).map_err(failed("rename to", name))?;
        name.parent().map_or(Ok(()), sync)
    }

    /// Opens the same file for reading.
    pub(super) fn reader(&self) -> Result<File, LayoutError> {
        File::open(&self.path).map_err(failed("open", &self.path))
    }

    fn small(&mut self, name: &str, content: &[u8]) -> Result<(), LayoutError> {
        let size = content.len() as u64;
        let offset = self.open_entry(name, size, Kind::File)?;
        self.write(content)?;
        self.close_entry(offset, size)
    }

    fn folder(&mut self, name: &str) -> Result<(), LayoutError> {
        let offset = self.open_entry(name, 0, Kind::Folder)?;
        self.close_entry(offset, 0)
    }

    /// Cuts off what an unfinished entry left, and writes a header; returns where the content begins.
    fn open_entry(&mut self, name: &str, size: u64, kind: Kind) -> Result<u64, LayoutError> {
        let header = header::write(name, size, kind);
        let mut write = || {
            self.file.set_len(self.end)?;
            self.file.seek(SeekFrom::Start(self.end))?;
            self.file.write_all(&header)
        };
        write().map_err(failed("write", &self.path))?;
        Ok(self.end + header.len() as u64)
    }
}
