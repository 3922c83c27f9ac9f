//! A layout in a folder: `oci-layout`, `index.json`, `blobs/<algorithm>/<hex>`.
//!
//! A blob grows in `blobs/<algorithm>/.<hex>.partial`, which a later run continues, and gets its name once its digest is
//! seen to be right. `index.json` is replaced whole, under a lock, with what others wrote meanwhile still in it.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use stella_bundle::digest::{Digest, DigestStream};
use stella_bundle::json::JsonError;
use stella_wire::registry::Descriptor;

use super::error::{LayoutError, failed};
use super::files::{Files, Sink, Soon, Whole, blocking};
use super::index::{Change, Index, MAX_INDEX};
use crate::file;

/// The file that says that a folder is a layout, and of which version.
pub(super) const OCI_LAYOUT: &str = "oci-layout";
/// Its content.
pub(super) const VERSION: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// Bytes of it that are read.
pub(super) const MAX_VERSION: usize = 4096;
/// The file that names the images.
pub(super) const INDEX: &str = "index.json";
/// Whoever changes `index.json` holds this file's lock.
const LOCK: &str = ".stella.lock";
/// The least number of changes after which `index.json` is written in the middle of a run.
const PATIENCE: usize = 64;
/// How often to look whether another writer of the same blob has ended.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes that are hashed at a time when a blob is continued.
const PIECE: usize = 1 << 20;

/// A layout's folder.
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Opens a layout that exists.
    pub(super) fn open(root: &Path) -> Result<Self, LayoutError> {
        let path = root.join(OCI_LAYOUT);
        match file::read(&path, MAX_VERSION) {
            Ok(text) => require_version(root, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && root.is_dir() => {
                return Err(LayoutError::NotALayout {
                    path: root.to_owned(),
                    missing: OCI_LAYOUT,
                });
            }
            Err(error) => return Err(failed("read", &path)(error)),
        }
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// Opens a layout, or makes an empty one where nothing is.
    pub(super) fn create(root: &Path) -> Result<Self, LayoutError> {
        fs::create_dir_all(root).map_err(failed("create", root))?;
        if !root.join(OCI_LAYOUT).exists() {
            // What a run left that was killed right here is not somebody's file.
            let is_foreign = |entry: io::Result<fs::DirEntry>| {
                entry.map_or(true, |entry| entry.file_name() != ".oci-layout.partial")
            };
            let mut entries = fs::read_dir(root).map_err(failed("read", root))?;
            if entries.any(is_foreign) {
                return Err(LayoutError::NotEmpty {
                    path: root.to_owned(),
                });
            }
            replace(root, OCI_LAYOUT, VERSION)?;
        }
        let folder = Self::open(root)?;
        if !root.join(INDEX).exists() {
            replace(root, INDEX, &Index::empty().to_bytes())?;
        }
        Ok(folder)
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        let folder = self.root.join("blobs").join(digest.algorithm().name());
        folder.join(digest.hex())
    }
}

impl Files for Folder {
    fn path(&self) -> &Path {
        &self.root
    }

    fn index(&self) -> Result<Index, LayoutError> {
        let path = self.root.join(INDEX);
        match file::read(&path, MAX_INDEX) {
            Ok(text) => parse_index(&self.root, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(LayoutError::NotALayout {
                path: self.root.clone(),
                missing: INDEX,
            }),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>, LayoutError> {
        size(&self.blob(digest))
    }

    fn read(&self, digest: &Digest, from: u64, length: usize) -> Result<Bytes, LayoutError> {
        let path = self.blob(digest);
        let read = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = vec![0; length];
            file.read_exact(&mut bytes)?;
            Ok(Bytes::from(bytes))
        };
        read().map_err(failed("read", &path))
    }

    fn begin<'a>(&'a self, blob: &'a Descriptor) -> Soon<'a, Box<dyn Sink>> {
        Box::pin(async move {
            loop {
                let (whole, blob) = (self.blob(&blob.digest), blob.clone());
                if let Some(sink) = blocking(move || Partial::open(whole, blob)).await? {
                    return Ok(sink);
                }
                tokio::time::sleep(LOOK).await;
            }
        })
    }

    fn adopt(&self, blob: &Descriptor, path: &Path) -> Result<bool, LayoutError> {
        let mut file = File::open(path).map_err(failed("open", path))?;
        let mut stream = DigestStream::new(blob.digest.algorithm());
        hash(&mut file, &mut stream).map_err(failed("read", path))?;
        let found = stream.finish();
        if found != blob.digest {
            return Err(LayoutError::WrongDigest {
                path: path.to_owned(),
                expected: blob.digest.clone(),
                found,
            });
        }
        let whole = self.blob(&blob.digest);
        let folder = make_folder(&whole)?;
        // Another file system, or one without links: then it is copied.
        match fs::hard_link(path, &whole) {
            Ok(()) => sync(folder).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    fn remove(&self, digests: &[Digest]) -> Result<(), LayoutError> {
        for digest in digests {
            let path = self.blob(digest);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn patience(&self, entries: usize) -> usize {
        // In proportion to its length, lest the index be written more than what it names.
        PATIENCE.max(entries / 4)
    }

    fn merge(&self, changes: &[Change]) -> Result<Index, LayoutError> {
        let path = self.root.join(LOCK);
        let lock = File::options().create(true).append(true).open(&path);
        let lock = lock.map_err(failed("open", &path))?;
        lock.lock().map_err(failed("lock", &path))?;
        let mut index = self.index()?;
        let mut differs = false;
        for change in changes {
            differs |= index.apply(change);
        }
        if differs {
            replace(&self.root, INDEX, &index.to_bytes())?;
        }
        Ok(index)
    }
}

/// A blob that grows.
struct Partial {
    file: File,
    path: PathBuf,
    whole: PathBuf,
    blob: Descriptor,
    stream: DigestStream,
    written: u64,
}

impl Partial {
    /// Opens the file in which a blob grows, and hashes what is there; none while somebody else writes it.
    fn open(whole: PathBuf, blob: Descriptor) -> Result<Option<Box<dyn Sink>>, LayoutError> {
        let is_there = || Ok(size(&whole)? == Some(blob.size));
        if is_there()? {
            return Ok(Some(Box::new(Whole(blob.size))));
        }
        let folder = make_folder(&whole)?;
        let path = folder.join(format!(".{}.partial", blob.digest.hex()));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        // Whoever held the lock may have given this very file its name meanwhile.
        if is_there()? {
            return Ok(Some(Box::new(Whole(blob.size))));
        }
        let mut stream = DigestStream::new(blob.digest.algorithm());
        let written =
            continued(&mut file, blob.size, &mut stream).map_err(failed("continue", &path))?;
        Ok(Some(Box::new(Self {
            file,
            path,
            whole,
            blob,
            stream,
            written,
        })))
    }
}

/// Makes the folder of a blob, where it is not there, and returns it.
fn make_folder(whole: &Path) -> Result<&Path, LayoutError> {
    let folder = whole.parent().unwrap_or(Path::new(""));
    if !folder.exists() {
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
        folder.ancestors().skip(1).take(2).try_for_each(sync)?;
    }
    Ok(folder)
}

/// Hashes what an interrupted run left behind; what is longer than the blob is of no use.
fn continued(file: &mut File, size: u64, stream: &mut DigestStream) -> io::Result<u64> {
    if file.metadata()?.len() > size {
        file.set_len(0)?;
    }
    hash(file, stream)
}

/// Hashes the rest of a file; returns how many bytes that were.
fn hash(file: &mut File, stream: &mut DigestStream) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut written = 0;
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(written);
        }
        stream.update(&piece[..length]);
        written += length as u64;
    }
}

impl Sink for Partial {
    fn written(&self) -> u64 {
        self.written
    }

    fn write(&mut self, part: &[u8]) -> Result<(), LayoutError> {
        let found = self.written + part.len() as u64;
        if found > self.blob.size {
            return Err(self.wrong_size(found));
        }
        let written = self.file.write_all(part);
        written.map_err(failed("write", &self.path))?;
        self.stream.update(part);
        self.written = found;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), LayoutError> {
        if self.written != self.blob.size {
            return Err(self.wrong_size(self.written));
        }
        let found = self.stream.finish();
        if found != self.blob.digest {
            // Emptied, not removed: whoever waits for the lock holds the same file.
            let emptied = self.file.set_len(0);
            emptied.map_err(failed("empty", &self.path))?;
            return Err(LayoutError::WrongDigest {
                path: self.path,
                expected: self.blob.digest,
                found,
            });
        }
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        let renamed = fs::rename(&self.path, &self.whole);
        renamed.map_err(failed("rename to", &self.whole))?;
        self.whole.parent().map_or(Ok(()), sync)
    }
}

impl Partial {
    fn wrong_size(&self, found: u64) -> LayoutError {
        LayoutError::WrongSize {
            path: self.path.clone(),
            digest: self.blob.digest.clone(),
            expected: self.blob.size,
            found,
        }
    }
}

/// Reads `oci-layout`.
pub(super) fn require_version(path: &Path, text: &[u8]) -> Result<(), LayoutError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Words {
        image_layout_version: String,
    }
    let words: Result<Words, _> = serde_json::from_slice(text);
    let words = words.map_err(|error| LayoutError::Json {
        path: path.to_owned(),
        name: OCI_LAYOUT,
        error: JsonError::from(error),
    })?;
    if words.image_layout_version != "1.0.0" {
        return Err(LayoutError::Version {
            path: path.to_owned(),
            found: words.image_layout_version,
        });
    }
    Ok(())
}

/// Reads `index.json`.
pub(super) fn parse_index(path: &Path, text: &[u8]) -> Result<Index, LayoutError> {
    Index::parse(text).map_err(|error| LayoutError::Json {
        path: path.to_owned(),
        name: INDEX,
        error,
    })
}

/// Returns the length of a plain file; none when there is none.
fn size(path: &Path) -> Result<Option<u64>, LayoutError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Replaces a small file as a whole.
fn replace(folder: &Path, name: &str, content: &[u8]) -> Result<(), LayoutError> {
    let (path, partial) = (folder.join(name), folder.join(format!(".{name}.partial")));
    let write = || {
        let mut file = File::create(&partial)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(failed("write", &partial))?;
    fs::rename(&partial, &path).map_err(failed("rename to", &path))?;
    sync(folder)
}

/// Makes the names in a folder durable.
pub(super) fn sync(folder: &Path) -> Result<(), LayoutError> {
    file::sync_folder(folder).map_err(failed("sync", folder))
}
