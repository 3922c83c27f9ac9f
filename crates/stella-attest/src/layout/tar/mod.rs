//! A layout in one uncompressed tar file, read by seeking and written as a stream.
//!
//! Only the pieces of a layout are looked at, and nothing is ever unpacked to a path. docker save's old form is not read.

mod append;
mod contents;
mod growing;
mod header;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use stella_bundle::digest::Digest;
use stella_wire::registry::Descriptor;
use tokio::sync::Mutex as Turn;

use super::error::{LayoutError, failed};
use super::files::{Files, Sink, Soon, Whole, blocking};
use super::folder::{INDEX, OCI_LAYOUT, parse_index, require_version};
use super::index::{Change, Index};
use crate::storage::PART;
use contents::{Contents, Extent, TornEnd, read_at};
use growing::{Growing, Large, Small};

/// What is wrong with an entry of a tar file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryProblem {
    /// The header's checksum is another.
    #[error("has a damaged header: this is no tar file, or it was changed on the way")]
    Checksum,
    /// It stands there twice, with other content.
    #[error("stands there twice, with other content")]
    Duplicate,
    /// What stands before it to extend its header cannot be used.
    #[error("has an unusable extended header")]
    Extension,
    /// A link, a device or a sparse file.
    #[error("is neither a file nor a folder (type {:?}): a layout has no links and devices", char::from(*.0))]
    Kind(u8),
    /// A name that leads elsewhere.
    #[error("has a name that is absolute, leads upwards, or is no text")]
    Name,
    /// A number in its header is none.
    #[error("has a number in its header that is none")]
    Number,
    /// It is larger than anything of its name.
    #[error("is larger than {limit} bytes")]
    TooLarge {
        /// How many bytes are allowed.
        limit: usize,
    },
    /// The file ends in the middle of it.
    #[error("is cut off: {expected} bytes should follow, {found} do: copy the file again")]
    Torn {
        /// How many bytes should follow.
        expected: u64,
        /// How many do.
        found: u64,
    },
}

/// A tar file with a layout in it.
pub(super) struct Tar {
    shared: Arc<Shared>,
    /// Whoever appends holds this.
    growing: Arc<Turn<Growing>>,
}

/// What is known of the file.
struct Shared {
    path: PathBuf,
    /// Where each blob is to be read.
    places: RwLock<HashMap<Digest, Place>>,
    /// The index as it was when the file was opened, or written last.
    index: Mutex<Index>,
}

#[derive(Clone)]
struct Place {
    file: Arc<Mutex<File>>,
    extent: Extent,
}

impl Tar {
    /// Opens a file for reading.
    pub(super) fn open(path: &Path) -> Result<Self, LayoutError> {
        Ok(Self {
            shared: Arc::new(Shared::read(path)?),
            growing: Arc::new(Turn::new(Growing::Never)),
        })
    }

    /// Opens a file for writing, with what is in it and in `FILE.partial`.
    pub(super) fn create(path: &Path) -> Result<Self, LayoutError> {
        let shared = match Shared::read(path) {
            Err(LayoutError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Shared::empty(path)
            }
            other => other?,
        };
        let mut growing = Growing::NotYet;
        if shared.partial().exists() {
            growing.start(&shared)?;
        }
        Ok(Self {
            shared: Arc::new(shared),
            growing: Arc::new(Turn::new(growing)),
        })
    }
}

impl Files for Tar {
    fn path(&self) -> &Path {
        &self.shared.path
    }

    fn index(&self) -> Result<Index, LayoutError> {
        Ok(self.shared.index().clone())
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>, LayoutError> {
        Ok(self.shared.place(digest).map(|place| place.extent.size))
    }

    fn read(&self, digest: &Digest, from: u64, length: usize) -> Result<Bytes, LayoutError> {
        let place = self
            .shared
            .place(digest)
            .ok_or_else(|| LayoutError::NoBlob {
                path: self.shared.path.clone(),
                digest: digest.clone(),
            })?;
        let length = place.length_from(from).min(length);
        let bytes = place.read(from, length);
        bytes.map_err(failed("read", &self.shared.path))
    }

    fn begin<'a>(&'a self, blob: &'a Descriptor) -> Soon<'a, Box<dyn Sink>> {
        Box::pin(async move {
            if self.size(&blob.digest)? == Some(blob.size) {
                return Ok(Box::new(Whole(blob.size)) as Box<dyn Sink>);
            }
            let (shared, blob) = (Arc::clone(&self.shared), blob.clone());
            // Small ones wait in memory for their turn, so that many can be fetched at once.
            if blob.size <= PART as u64 {
                return Ok(Small::open(shared, Arc::clone(&self.growing), blob));
            }
            let turn = Arc::clone(&self.growing).lock_owned().await;
            blocking(move || Large::open(shared, turn, blob)).await
        })
    }

    fn remove(&self, _: &[Digest]) -> Result<(), LayoutError> {
        Err(LayoutError::NeverShorter {
            path: self.shared.path.clone(),
        })
    }

    fn patience(&self, _: usize) -> usize {
        // The index is the last entry, and written once.
        usize::MAX
    }

    fn merge(&self, changes: &[Change]) -> Result<Index, LayoutError> {
        let mut growing = self.growing.blocking_lock();
        let mut index = self.shared.index().clone();
        let mut differs = matches!(*growing, Growing::Now(..));
        for change in changes {
            differs |= index.apply(change);
        }
        if differs {
            growing.finish(&self.shared, &index.to_bytes())?;
            *self.shared.index() = index.clone();
        }
        Ok(index)
    }
}

impl Shared {
    fn empty(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            places: RwLock::default(),
            index: Mutex::new(Index::empty()),
        }
    }

    /// Reads where everything is in a file that is whole.
    fn read(path: &Path) -> Result<Self, LayoutError> {
        let mut file = File::open(path).map_err(failed("open", path))?;
        let contents = Contents::scan(&mut file, path, TornEnd::Refuse)?;
        if contents.has_docker_manifest && contents.index.is_none() {
            return Err(LayoutError::DockerArchive { path: path.into() });
        }
        if let Some(refused) = contents.refused {
            return Err(refused);
        }
        let missing = |missing| LayoutError::NotALayout {
            path: path.into(),
            missing,
        };
        let index = contents.index.ok_or_else(|| missing(INDEX))?;
        let version = contents.version.ok_or_else(|| missing(OCI_LAYOUT))?;
        let mut small = |extent: Extent| {
            // The scan refused those that are larger than their bounds.
            let mut bytes = vec![0; usize::try_from(extent.size).unwrap_or_default()];
            read_at(&mut file, extent.offset, &mut bytes).map_err(failed("read", path))?;
            Ok(bytes)
        };
        require_version(path, &small(version)?)?;
        let index = parse_index(path, &small(index)?)?;
        let shared = Self {
            index: Mutex::new(index),
            ..Self::empty(path)
        };
        shared.add(&Arc::new(Mutex::new(file)), contents.blobs);
        Ok(shared)
    }

    fn partial(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".partial");
        name.into()
    }

    fn add(&self, file: &Arc<Mutex<File>>, blobs: impl IntoIterator<Item = (Digest, Extent)>) {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        for (digest, extent) in blobs {
            let file = Arc::clone(file);
            places.insert(digest, Place { file, extent });
        }
    }

    fn place(&self, digest: &Digest) -> Option<Place> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places.get(digest).cloned()
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn length_from(&self, from: u64) -> usize {
        let rest = self.extent.size.saturating_sub(from);
        usize::try_from(rest).unwrap_or(usize::MAX)
    }

    fn read(&self, from: u64, length: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        read_at(&mut file, self.extent.offset + from, &mut bytes)?;
        Ok(bytes.into())
    }
}

/// Returns an entry for tests, of whatever name and kind.
#[cfg(test)]
pub(super) fn entry(name: &str, content: &[u8], flag: u8) -> Vec<u8> {
    let mut bytes = header::block(name, content.len() as u64, flag).to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(header::BLOCK), 0);
    bytes
}

/// Returns a header alone, for tests.
#[cfg(test)]
pub(super) fn header_of(name: &str, size: u64) -> Vec<u8> {
    header::write(name, size, header::Kind::File)
}
