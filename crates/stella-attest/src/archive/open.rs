//! An archive that is read: its files by their names, whole or in part, wherever they lie.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use stella_archive::fingerprint::{Fingerprint, FingerprintStream};
use stella_archive::frames::{self, Class, FrameAt};
use stella_archive::history::History;
use stella_archive::index::{self, Head, IndexError, Keys};
use stella_archive::leaf::Leaf;
use stella_archive::nodes::{self, Nodes};
use stella_archive::statement::Range as Leaves;
use stella_archive::tuf::TufMetadata;
use stella_bundle::digest::{Digest, DigestAlgorithm, DigestStream};
use stella_bundle::key::sha256;
use stella_bundle::trusted_root::{MAX_TRUSTED_ROOT, TrustedRoot};
use stella_tlog::hash::Hash;
use stella_tlog::tree::{Frontier, TreeSize};
use stella_wire::registry::Descriptor;

use super::error::{ArchiveError, Mismatch};
use super::pack::{FRONTIER, FrontierFile, PartFile};
use crate::storage::Storage;

/// What an archive's manifest is a manifest of.
pub const ARTIFACT_TYPE: &str = "application/vnd.stella-ops.archive.v1";
/// The media type of its files.
pub(crate) const PART_TYPE: &str = "application/vnd.stella-ops.archive.part.v1";
/// Where a layer has its name, as other tools know it.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";
/// The number of the statement; a hint.
pub(crate) const SEQUENCE: &str = "org.stella-ops.archive.sequence";
/// The origin; a hint.
pub(crate) const ORIGIN: &str = "org.stella-ops.archive.origin";
/// What was let go: the digest of the manifest that named it, then those of the files; a hint.
pub(crate) const LET_GO: &str = "org.stella-ops.archive.let-go";
/// Bytes of a file that are read at once where all of it passes by.
const PIECE: u64 = 4 << 20;
/// Trusted roots of an archive.
const MAX_ROOTS: usize = 200;
/// Bytes of a file that is read whole, such as a blob.
pub(super) const MAX_WHOLE: u64 = 256 << 20;

/// An archive.
#[derive(Clone)]
pub struct Archive {
    /// The period.
    pub name: String,
    place: Place,
    parts: BTreeMap<String, Descriptor>,
}

/// Where its files lie.
#[derive(Clone)]
enum Place {
    /// As files in a folder: not published yet.
    Folder(PathBuf),
    /// As blobs.
    Storage(Arc<dyn Storage>),
}

/// A published archive as its place lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The period.
    pub name: String,
    /// Whose archive it is.
    pub origin: String,
    /// The number of its statement.
    pub sequence: u64,
    /// Bytes of all its files.
    pub size: u64,
    /// Whether the bytes of its attestations were let go.
    pub is_pruned: bool,
}

/// Lists the archives of a place, by their sequence; what else is there is passed over.
///
/// # Errors
/// `Storage`.
pub async fn list(storage: &Arc<dyn Storage>) -> Result<Vec<Listed>, ArchiveError> {
    let mut listed = Vec::new();
    for tag in storage.tags().await? {
        let Some(raw) = storage.manifest(&tag).await? else {
            continue;
        };
        let Ok(manifest) = raw.parse() else { continue };
        if manifest.artifact_type.as_deref() != Some(ARTIFACT_TYPE) {
            continue;
        }
        let note = |name: &str| manifest.annotations.get(name).cloned().unwrap_or_default();
        listed.push(Listed {
            origin: note(ORIGIN),
            sequence: note(SEQUENCE).parse().unwrap_or(0),
            size: manifest.layers().iter().map(|layer| layer.size).sum(),
            is_pruned: manifest.annotations.contains_key(LET_GO),
            name: tag,
        });
    }
    listed.sort_by_key(|each| each.sequence);
    Ok(listed)
}

impl Archive {
    /// Opens a published archive.
    ///
    /// # Errors
    /// `Absent` when there is none of this name, `Storage`.
    pub async fn open(storage: Arc<dyn Storage>, name: &str) -> Result<Self, ArchiveError> {
        Self::open_as(storage, name, ARTIFACT_TYPE).await
    }

    /// Opens files that are published as an archive's are, under another artifact type.
    pub(crate) async fn open_as(
        storage: Arc<dyn Storage>,
        name: &str,
        artifact_type: &str,
    ) -> Result<Self, ArchiveError> {
        let absent = || ArchiveError::Absent {
            place: storage.name(),
            name: name.to_owned(),
        };
        let raw = storage.manifest(name).await?.ok_or_else(absent)?;
        let manifest = raw.parse().map_err(|_| absent())?;
        if manifest.artifact_type.as_deref() != Some(artifact_type) {
            return Err(absent());
        }
        let mut parts = BTreeMap::new();
        for layer in manifest.layers() {
            let title = layer.annotations.get(TITLE).cloned().unwrap_or_default();
            // Of two files with one name each reader would take another.
            if title.is_empty() || parts.insert(title.clone(), layer.clone()).is_some() {
                return Err(ArchiveError::Unreadable {
                    what: format!("a layer with the name {title:?}"),
                });
            }
        }
        Ok(Self {
            name: name.to_owned(),
            parts,
            place: Place::Storage(storage),
        })
    }

    /// Opens what lies in a folder and is not published.
    pub(crate) fn in_folder(name: &str, folder: PathBuf, parts: &[PartFile]) -> Self {
        let describe = |part: &PartFile| {
            let digest = Digest::parse(&part.digest)?;
            let descriptor = Descriptor::new(PART_TYPE, digest, part.size);
            Some((part.name.clone(), descriptor))
        };
        Self {
            name: name.to_owned(),
            place: Place::Folder(folder),
            parts: parts.iter().filter_map(describe).collect(),
        }
    }

    /// Returns the place where it is published; none before that.
    pub(super) fn storage(&self) -> Option<&Arc<dyn Storage>> {
        match &self.place {
            Place::Folder(_) => None,
            Place::Storage(storage) => Some(storage),
        }
    }

    /// Returns the names of its files.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.parts
            .iter()
            .map(|(name, part)| (name.as_str(), part.size))
    }

    /// Returns the size of a file in bytes; none where there is no such file.
    #[must_use]
    pub fn size(&self, name: &str) -> Option<u64> {
        self.parts.get(name).map(|part| part.size)
    }

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// `Part` when there is none, `Unreadable` when it is longer or other than its digest says, `Io`, `Storage`.
    pub async fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let part = self.part(name)?;
        let unreadable = || ArchiveError::Unreadable {
            what: name.to_owned(),
        };
        if part.size > limit {
            return Err(unreadable());
        }
        let bytes = self.range(name, 0..part.size).await?;
        match DigestAlgorithm::Sha256.digest(&bytes) == part.digest {
            true => Ok(bytes),
            false => Err(unreadable()),
        }
    }

    /// Reads a range of a file.
    ///
    /// # Errors
    /// `Part`, `Unreadable` when the file ends before, `Io`, `Storage`.
    pub async fn range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, ArchiveError> {
        let part = self.part(name)?;
        let length = range.end.saturating_sub(range.start);
        if range.end > part.size || length > MAX_WHOLE {
            return Err(ArchiveError::Unreadable {
                what: name.to_owned(),
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(name);
                let read = std::fs::File::open(&path).and_then(|mut file| {
                    file.seek(SeekFrom::Start(range.start))?;
                    file.take(length).read_to_end(&mut bytes)
                });
                read.map_err(|error| ArchiveError::io("read", &path, error))?;
            }
            Place::Storage(storage) => {
                let mut at = range.start;
                while at < range.end {
                    let some = storage.blob_range(part, at..range.end).await?;
                    at += some.len() as u64;
                    bytes.extend_from_slice(&some);
                    // A place that gives nothing would be asked for ever.
                    if some.is_empty() {
                        break;
                    }
                }
            }
        }
        match bytes.len() as u64 == length {
            true => Ok(bytes),
            false => Err(ArchiveError::Unreadable {
                what: name.to_owned(),
            }),
        }
    }

    /// Requires that a file of any size has its digest.
    ///
    /// # Errors
    /// `Part`, `Unreadable`, `Io`, `Storage`.
    pub async fn require_digest(&self, name: &str) -> Result<(), ArchiveError> {
        let part = self.part(name)?;
        let mut stream = DigestStream::new(part.digest.algorithm());
        let mut at = 0;
        while at < part.size {
            let end = part.size.min(at + PIECE);
            stream.update(&self.range(name, at..end).await?);
            at = end;
        }
        match stream.finish() == part.digest {
            true => Ok(()),
            false => Err(ArchiveError::Unreadable {
                what: name.to_owned(),
            }),
        }
    }

    fn part(&self, name: &str) -> Result<&Descriptor, ArchiveError> {
        let part = self.parts.get(name);
        part.ok_or_else(|| ArchiveError::Part(name.to_owned()))
    }

    /// Reads the past, with the trusted roots in which authorities are looked up.
    ///
    /// # Errors
    /// `Part`, `History`, and as [`Self::read`].
    pub async fn history(&self) -> Result<(History, Vec<Vec<u8>>), ArchiveError> {
        let mut history = History::parse(&self.read(History::FILE, MAX_WHOLE).await?)?;
        let roots = self.trusted_roots().await?;
        let parse = |bytes: &Vec<u8>| TrustedRoot::parse(bytes).ok();
        history.roots = roots.iter().filter_map(parse).collect();
        Ok((history, roots))
    }

    /// Reads the files of trusted roots.
    async fn trusted_roots(&self) -> Result<Vec<Vec<u8>>, ArchiveError> {
        let mut roots = Vec::new();
        let names = self.parts.keys().filter(|name| name.starts_with("trust/"));
        for name in names.take(MAX_ROOTS) {
            let root = self.read(name, MAX_TRUSTED_ROOT as u64).await?;
            if *name != format!("trust/{}.json", hex::encode(sha256(&root))) {
                return Err(ArchiveError::Unreadable { what: name.clone() });
            }
            roots.push(root);
        }
        Ok(roots)
    }

    /// Reads the right edge of the tree before the period.
    ///
    /// # Errors
    /// `Frontier`, `Unreadable`, and as [`Self::read`].
    pub async fn frontier(&self) -> Result<Frontier, ArchiveError> {
        let unreadable = || ArchiveError::Unreadable {
            what: FRONTIER.to_owned(),
        };
        let file = self.read(FRONTIER, 64 << 10).await?;
        let file: FrontierFile = serde_json::from_slice(&file).map_err(|_| unreadable())?;
        let hash = |text: &String| {
            let bytes = hex::decode(text).ok()?;
            let is_lower = hex::encode(&bytes) == *text;
            Hash::try_from(bytes.as_slice()).ok().filter(|_| is_lower)
        };
        let hashes: Option<Vec<_>> = file.hashes.iter().map(hash).collect();
        Ok(Frontier::from_hashes(
            TreeSize(file.size),
            hashes.ok_or_else(unreadable)?,
        )?)
    }

    /// Returns the files of a class, in order.
    pub(crate) fn blobs(&self, class: Class) -> impl Iterator<Item = String> {
        let names = (0..).map(move |number| class.file(number));
        names.take_while(|name| self.parts.contains_key(name))
    }

    /// Reads a class frame by frame; `each` is given the file's name and what the frame holds.
    ///
    /// # Errors
    /// `Frame`, those of `each`, and as [`Self::read`].
    pub(crate) async fn each_frame(
        &self,
        class: Class,
        mut each: impl FnMut(&str, &[u8]) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        for name in self.blobs(class) {
            self.each_frame_of(&name, |frame| each(&name, frame))
                .await?;
        }
        Ok(())
    }

    /// Reads a file frame by frame.
    ///
    /// # Errors
    /// As [`Self::each_frame`].
    pub(crate) async fn each_frame_of(
        &self,
        name: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let wrong = |error| ArchiveError::Frame {
            part: name.to_owned(),
            error,
        };
        let blob = self.read(name, MAX_WHOLE).await?;
        for frame in frames::split(&blob).map_err(wrong)? {
            let raw = frames::decompress(frame, frames::MAX_FRAME).map_err(wrong)?;
            each(&raw)?;
        }
        Ok(())
    }

    /// Reads how a trusted root with this SHA-256 was published; none where that is not there.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn tuf_metadata(
        &self,
        trusted_root: &[u8; 32],
    ) -> Result<Option<TufMetadata>, ArchiveError> {
        let mut files = Vec::new();
        for role in TufMetadata::ROLES {
            let name = TufMetadata::file_name(trusted_root, role);
            if self.size(&name).is_none() {
                return Ok(None);
            }
            files.push(self.read(&name, role.limit() as u64).await?);
        }
        let files = <[Vec<u8>; 4]>::try_from(files).ok();
        Ok(files.map(TufMetadata::from))
    }

    /// Reads the period's leaves as they are: nothing is proved.
    ///
    /// # Errors
    /// `Leaf`, with its number within the period, and as [`Self::each_frame`].
    pub(crate) async fn each_leaf(&self, mut each: impl FnMut(Leaf)) -> Result<(), ArchiveError> {
        let mut index = 0;
        let read = self.each_frame(Class::Leaves, |_, lines| {
            let lines = lines.split(|byte| *byte == b'\n');
            for line in lines.filter(|line| !line.is_empty()) {
                let leaf = Leaf::parse(line);
                each(leaf.map_err(|error| ArchiveError::Leaf { index, error })?);
                index += 1;
            }
            Ok(())
        });
        read.await
    }

    /// Reads the period's leaves with their indexes, and requires that they are those that its statement names. Until that is
    /// known they have been handed out already: where this fails they are worth nothing.
    ///
    /// # Errors
    /// `Mismatch`, and as [`Self::each_leaf`].
    pub(crate) async fn each_stated_leaf(
        &self,
        range: &Leaves,
        mut each: impl FnMut(u64, Leaf),
    ) -> Result<(), ArchiveError> {
        let wrong = || ArchiveError::Mismatch(Mismatch::Leaves);
        let (mut index, mut stream) = (range.start, FingerprintStream::default());
        let read = self.each_frame(Class::Leaves, |_, frame| {
            stream.update(frame);
            let lines = frame.strip_suffix(b"\n").ok_or_else(wrong)?;
            for line in lines.split(|byte| *byte == b'\n') {
                let leaf = Leaf::parse(line);
                each(
                    index,
                    leaf.map_err(|error| ArchiveError::Leaf { index, error })?,
                );
                index += 1;
            }
            match index <= range.end {
                true => Ok(()),
                false => Err(wrong()),
            }
        });
        read.await?;
        match index == range.end && stream.finish().sha3 == range.sha3 {
            true => Ok(()),
            false => Err(wrong()),
        }
    }

    /// Reads the bytes of a class, one thing after the other: those of these leaves, which are all of the class.
    ///
    /// # Errors
    /// `Mismatch` where the bytes are others than the leaves say, and as [`Self::each_frame`].
    pub(crate) async fn each_thing<'a>(
        &self,
        class: Class,
        leaves: &'a [(u64, Leaf)],
        mut each: impl FnMut(u64, &'a Leaf, &[u8]) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let mut rest = leaves.iter();
        let read = self.each_frame(class, |_, mut frame| {
            while !frame.is_empty() {
                let length = || ArchiveError::Mismatch(Mismatch::Length);
                let (index, leaf) = rest.next().ok_or_else(length)?;
                let size = usize::try_from(leaf.size).unwrap_or(usize::MAX);
                let (bytes, after) = frame.split_at_checked(size).ok_or_else(length)?;
                if Fingerprint::of(bytes) != leaf.digest {
                    return Err(ArchiveError::Mismatch(Mismatch::Bytes(*index)));
                }
                each(*index, leaf, bytes)?;
                frame = after;
            }
            Ok(())
        });
        read.await?;
        // What is empty and comes last is in no frame.
        match rest.all(|(_, leaf)| leaf.size == 0) {
            true => Ok(()),
            false => Err(ArchiveError::Mismatch(Mismatch::Length)),
        }
    }

    /// Says whether the files of a class are counted from 0 without a gap, and are all there is of it.
    pub(crate) fn is_counted(&self, class: Class) -> bool {
        let first = class.file(0);
        let folder = first.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_within = |name: &&String| name.split('/').next() == Some(folder);
        self.parts.keys().filter(is_within).count() == self.blobs(class).count()
    }

    /// Finds the leaves of attestations under a key of the index.
    ///
    /// # Errors
    /// `Index`, and as [`Self::range`].
    pub async fn find(&self, keys: Keys, key: &[u8; 32]) -> Result<Vec<u64>, ArchiveError> {
        let head = self.index().await?;
        let file = IndexFile::default();
        loop {
            match head.find(&file, keys, key) {
                Err(Wanted::Range(range)) => file.put(self, range).await?,
                Err(Wanted::Damaged) => return Err(IndexError.into()),
                Ok(found) => return Ok(found),
            }
        }
    }

    /// Finds where the frame lies that holds what belongs to a leaf, and the leaf at which it begins.
    pub(crate) async fn frame(&self, class: Class, leaf: u64) -> Result<FrameAt, ArchiveError> {
        let head = self.index().await?;
        let file = IndexFile::default();
        loop {
            match head.frame(&file, class, leaf) {
                Err(Wanted::Range(range)) => file.put(self, range).await?,
                Err(Wanted::Damaged) => return Err(IndexError.into()),
                Ok(found) => return Ok(found),
            }
        }
    }

    /// Reads a frame's bytes.
    pub(crate) async fn open_frame(&self, frame: &FrameAt) -> Result<Vec<u8>, ArchiveError> {
        let name = frame.class.file(frame.blob);
        let end = frame.offset.checked_add(frame.length).ok_or(IndexError)?;
        let packed = self.range(&name, frame.offset..end).await?;
        frames::decompress(&packed, frames::MAX_FRAME)
            .map_err(|error| ArchiveError::Frame { part: name, error })
    }

    async fn index(&self) -> Result<Head, ArchiveError> {
        let size = self.part(index::FILE)?.size;
        let head = self.range(index::FILE, 0..index::HEAD as u64).await?;
        Ok(Head::parse(&head, size)?)
    }

    /// Asks for something that needs hashes of the tree: those that are missing are read, and it is asked again.
    pub(crate) async fn with_nodes<T>(
        &self,
        frontier: &Frontier,
        end: u64,
        ask: impl Fn(&Nodes<&dyn Fn(u8, u64) -> Option<Hash>>) -> Option<T>,
    ) -> Result<T, ArchiveError> {
        let tiles: std::cell::RefCell<BTreeMap<(u8, u64), Vec<u8>>> = std::cell::RefCell::default();
        loop {
            let missing = std::cell::Cell::new(None);
            let read = |file: u8, position: u64| {
                let tiles = tiles.borrow();
                let Some(tile) = tiles.get(&(file, position / TILE)) else {
                    missing.set(missing.get().or(Some((file, position / TILE))));
                    return None;
                };
                let at = usize::try_from(position % TILE).ok()? * Hash::SIZE;
                Hash::try_from(tile.get(at..at + Hash::SIZE)?).ok()
            };
            let read: &dyn Fn(u8, u64) -> Option<Hash> = &read;
            let answer = ask(&Nodes::new(frontier.clone(), end, read));
            if let Some(answer) = answer {
                return Ok(answer);
            }
            let unreadable = || ArchiveError::Unreadable {
                what: "hashes".to_owned(),
            };
            let (file, tile) = missing.get().ok_or_else(unreadable)?;
            let name = nodes::file_name(file);
            let size = self.part(&name)?.size;
            let bytes = TILE * Hash::SIZE as u64;
            let from = tile.saturating_mul(bytes);
            if from >= size {
                return Err(unreadable());
            }
            let read = self.range(&name, from..size.min(from + bytes)).await?;
            tiles.borrow_mut().insert((file, tile), read);
        }
    }
}

/// Hashes that are read at once.
const TILE: u64 = 256;

/// Parts of the index that were read: the search says what it wants next.
#[derive(Default)]
struct IndexFile(std::cell::RefCell<BTreeMap<(u64, u64), Vec<u8>>>);

/// What a search lacks.
enum Wanted {
    Damaged,
    Range(Range<u64>),
}

impl From<IndexError> for Wanted {
    fn from(_: IndexError) -> Self {
        Self::Damaged
    }
}

impl index::ReadAt for IndexFile {
    type Error = Wanted;

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, Wanted> {
        let parts = self.0.borrow();
        let found = parts.get(&(range.start, range.end)).cloned();
        found.ok_or(Wanted::Range(range))
    }
}

impl IndexFile {
    async fn put(&self, archive: &Archive, range: Range<u64>) -> Result<(), ArchiveError> {
        let bytes = archive.range(index::FILE, range.clone()).await?;
        self.0.borrow_mut().insert((range.start, range.end), bytes);
        Ok(())
    }
}
