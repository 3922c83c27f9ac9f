//! From a frozen set to the files of an archive: leaves, the bytes of attestations, the tree's hashes, the index.
//!
//! The same set gives the same files. Compressing happens beside reading and hashing, on other threads.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};
use stella_archive::frames::{
    Assembler, Blob, Class, Compressor, Cutter, FrameAt, FrameError, RawFrame,
};
use stella_archive::index::{self, IndexBuilder};
use stella_archive::leaf::{Kind, Leaf};
use stella_archive::nodes;
use stella_archive::seal::{Seal, Sealed};
use stella_bundle::digest::{DigestAlgorithm, DigestStream};
use stella_tlog::tree::Frontier;

use super::error::ArchiveError;
use super::spool::Spool;

/// The right edge of the tree before the period.
pub(crate) const FRONTIER: &str = "frontier.json";

/// A file of an archive that is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartFile {
    /// Its name in the archive.
    pub(crate) name: String,
    /// `sha256:` and hex of its bytes.
    pub(crate) digest: String,
    /// How many bytes.
    pub(crate) size: u64,
}

/// What was packed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Packed {
    /// The leaves.
    pub(crate) sealed: Sealed,
    /// The files.
    pub(crate) parts: Vec<PartFile>,
}

/// The right edge of a tree in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FrontierFile {
    /// How many leaves.
    pub(crate) size: u64,
    /// In hex, widest first.
    pub(crate) hashes: Vec<String>,
}

impl FrontierFile {
    pub(crate) fn of(frontier: &Frontier) -> Self {
        let hashes = frontier.hashes().iter();
        Self {
            size: frontier.size().0,
            hashes: hashes.map(|hash| hex::encode(hash.as_bytes())).collect(),
        }
    }
}

/// Attestations that are read at once.
const BATCH: usize = 256;

/// Packs a set: into `folder`, which is made anew. `done` hears how many leaves there are so far.
pub(crate) fn pack(
    spool: &Spool,
    before: &Frontier,
    records: &[(Leaf, Vec<u8>)],
    folder: &Path,
    threads: NonZeroUsize,
    done: &(dyn Fn(u64) + Sync),
) -> Result<Packed, ArchiveError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| ArchiveError::io("remove", folder, error))?;
    }
    let frontier = serde_json::to_vec(&FrontierFile::of(before)).unwrap_or_default();
    let mut parts = vec![write_part(folder, FRONTIER, &frontier)?];
    let (frames, waiting) = mpsc::sync_channel::<Job>(threads.get() * 2);
    let waiting = Mutex::new(waiting);
    let order = spool.order()?;
    let (sealed, mut index) = thread::scope(|scope| {
        // Beside the packer some read what comes next, some compress, and one writes.
        let (read, batches) = mpsc::sync_channel(2);
        let order = &order;
        scope.spawn(move || read_all(spool, order, &read));
        for _ in 0..threads.get() {
            scope.spawn(|| compress(&waiting));
        }
        let (blobs, full) = mpsc::sync_channel(1);
        let writer = scope.spawn(move || write_all(folder, full));
        let packed = Packer::new(folder, before, frames, blobs).and_then(|mut packer| {
            for batch in batches {
                for (leaf, bytes) in batch? {
                    packer.push(&leaf, &bytes)?;
                    done(packer.seal.frontier().size().0 - before.size().0);
                }
            }
            for (leaf, bytes) in records {
                packer.push(leaf, bytes)?;
            }
            packer.finish()
        });
        // What hinders the writer hinders the packer: the writer knows why.
        let written = writer.join();
        parts.extend(written.unwrap_or_else(|cause| std::panic::resume_unwind(cause))?);
        packed
    })?;
    index_subjects(spool, &order, before.size().0, &mut index)?;
    for number in 0..NODE_FILES {
        let part = describe(folder, &nodes::file_name(number))?;
        // Small trees have no large subtrees.
        if part.size > 0 {
            parts.push(part);
        }
    }
    let path = folder.join(index::FILE);
    let file = File::create(&path).map_err(|error| ArchiveError::io("write", &path, error))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let written = index.write(&mut file).and_then(|()| file.flush());
    let written = written.and_then(|()| file.get_ref().sync_all());
    written.map_err(|error| ArchiveError::io("write", &path, error))?;
    parts.push(describe(folder, index::FILE)?);
    Ok(Packed { sealed, parts })
}

/// Attestations with their leaves.
type Batch = Result<Vec<(Leaf, Vec<u8>)>, ArchiveError>;

/// Reads attestations in the order of the leaves, until all are read or nobody takes them.
fn read_all(spool: &Spool, order: &[u32], read: &SyncSender<Batch>) {
    for some in order.chunks(BATCH) {
        let batch = some.iter().map(|number| spool.read(*number)).collect();
        if read.send(batch).is_err() {
            return;
        }
    }
}

/// Writes blobs as they come, until all are written or one cannot be.
fn write_all(folder: &Path, full: Receiver<Blob>) -> Result<Vec<PartFile>, ArchiveError> {
    let write = |blob: Blob| write_part(folder, &blob.class.file(blob.number), &blob.bytes);
    full.into_iter().map(write).collect()
}

/// Notes what each attestation speaks of.
fn index_subjects(
    spool: &Spool,
    order: &[u32],
    start: u64,
    index: &mut IndexBuilder,
) -> Result<(), ArchiveError> {
    // A record that is not in the order was another's double.
    let records = order.iter().max().map_or(0, |most| *most as usize + 1);
    let mut leaves = vec![u32::MAX; records];
    for (leaf, number) in (0..).zip(order) {
        leaves[*number as usize] = leaf;
    }
    spool.subjects(|number, key| {
        let leaf = leaves
            .get(number as usize)
            .filter(|leaf| **leaf != u32::MAX);
        if let Some(leaf) = leaf {
            index.subject(key, start + u64::from(*leaf));
        }
    })
}

/// A frame that is to be compressed, and where the result goes.
type Job = (RawFrame, SyncSender<Result<Vec<u8>, FrameError>>);

fn compress(waiting: &Mutex<Receiver<Job>>) {
    let mut compressor = Compressor::new();
    loop {
        let job = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok((frame, result)) = job else { return };
        let packed = match &mut compressor {
            Ok(compressor) => compressor.compress(&frame.bytes),
            Err(error) => Err(*error),
        };
        let _ = result.send(packed);
    }
}

/// A frame on its way.
struct Pending {
    class: Class,
    first: u64,
    raw: usize,
    result: Receiver<Result<Vec<u8>, FrameError>>,
}

/// Turns leaves into files, one after the other.
struct Packer<'a> {
    folder: &'a Path,
    seal: Seal,
    frames: SyncSender<Job>,
    pending: VecDeque<Pending>,
    leaves: Cutter,
    things: [Cutter; 3],
    assemblers: [Assembler; 4],
    nodes: Vec<BufWriter<File>>,
    index: IndexBuilder,
    blobs: SyncSender<Blob>,
}

/// Frames on their way at most: what they hold is in memory.
const MOST_PENDING: usize = 8;
/// Files of hashes: for trees of up to 2^40 leaves.
const NODE_FILES: u8 = 5;

impl<'a> Packer<'a> {
    fn new(
        folder: &'a Path,
        before: &Frontier,
        frames: SyncSender<Job>,
        blobs: SyncSender<Blob>,
    ) -> Result<Self, ArchiveError> {
        let open = |file: u8| {
            let path = folder.join(nodes::file_name(file));
            let made = fs::create_dir_all(folder.join("hashes"));
            let made = made.and_then(|()| File::create(&path));
            let made = made.map_err(|error| ArchiveError::io("write", &path, error))?;
            Ok::<_, ArchiveError>(BufWriter::with_capacity(1 << 18, made))
        };
        Ok(Self {
            folder,
            seal: Seal::new(before.clone()),
            frames,
            pending: VecDeque::new(),
            leaves: Cutter::new(Class::Leaves),
            things: [Class::Evidence, Class::Rejected, Class::Records].map(Cutter::new),
            assemblers: Class::ALL.map(Assembler::new),
            nodes: (0..NODE_FILES).map(open).collect::<Result<_, _>>()?,
            index: IndexBuilder::default(),
            blobs,
        })
    }

    fn push(&mut self, leaf: &Leaf, bytes: &[u8]) -> Result<(), ArchiveError> {
        let index = self.seal.frontier().size().0;
        // 1. The line, and the hashes that it completes.
        let (nodes, mut failed) = (&mut self.nodes, None);
        let mut line = self.seal.append(leaf, |level, _, hash| {
            let file = nodes::file_of(level).and_then(|file| nodes.get_mut(usize::from(file)));
            let written = file.map_or(Ok(()), |file| file.write_all(hash.as_bytes()));
            failed = failed.take().or(written.err());
        });
        if let Some(error) = failed {
            return Err(ArchiveError::io("write", self.folder, error));
        }
        line.push('\n');
        let full = self.leaves.push(index, line.as_bytes());
        self.send(full)?;
        // 2. What it is about.
        let cutter = match leaf.class() {
            Class::Evidence => &mut self.things[0],
            Class::Rejected => &mut self.things[1],
            _ => &mut self.things[2],
        };
        let full = cutter.push(index, bytes);
        self.send(full)?;
        if leaf.kind == Kind::Attestation {
            self.index.bundle(leaf.digest.sha256, index);
        }
        Ok(())
    }

    /// Sends a frame to be compressed, and takes what is ready where too many are on their way.
    fn send(&mut self, frame: Option<RawFrame>) -> Result<(), ArchiveError> {
        let Some(frame) = frame else { return Ok(()) };
        let (give, result) = mpsc::sync_channel(1);
        self.pending.push_back(Pending {
            class: frame.class,
            first: frame.first,
            raw: frame.bytes.len(),
            result,
        });
        // The others end only with this value.
        let _ = self.frames.send((frame, give));
        while self.pending.len() > MOST_PENDING {
            self.take()?;
        }
        Ok(())
    }

    /// Takes the frame that was sent first.
    fn take(&mut self) -> Result<(), ArchiveError> {
        let Some(pending) = self.pending.pop_front() else {
            return Ok(());
        };
        let frame = pending.result.recv().unwrap_or(Err(FrameError::Damaged));
        let frame = frame.map_err(|error| ArchiveError::Frame {
            part: pending.class.file(0),
            error,
        })?;
        let assembler = &mut self.assemblers[pending.class.number() as usize];
        match assembler.push(pending.first, pending.raw, &frame) {
            Some(blob) => self.write(blob),
            None => Ok(()),
        }
    }

    /// Has a blob written, beside what follows.
    fn write(&self, blob: Blob) -> Result<(), ArchiveError> {
        let ended = |_| ArchiveError::io("write", self.folder, ErrorKind::BrokenPipe.into());
        self.blobs.send(blob).map_err(ended)
    }

    fn finish(mut self) -> Result<(Sealed, IndexBuilder), ArchiveError> {
        let leaves = std::mem::replace(&mut self.leaves, Cutter::new(Class::Leaves));
        self.send(leaves.finish())?;
        let none = [Class::Evidence, Class::Rejected, Class::Records].map(Cutter::new);
        for things in std::mem::replace(&mut self.things, none) {
            self.send(things.finish())?;
        }
        while !self.pending.is_empty() {
            self.take()?;
        }
        let assemblers = std::mem::replace(&mut self.assemblers, Class::ALL.map(Assembler::new));
        for assembler in assemblers {
            let (last, places): (_, Vec<FrameAt>) = assembler.finish();
            self.index.frames(places);
            if let Some(blob) = last {
                self.write(blob)?;
            }
        }
        for file in &mut self.nodes {
            let synced = file.flush().and_then(|()| file.get_ref().sync_all());
            synced.map_err(|error| ArchiveError::io("write", self.folder, error))?;
        }
        Ok((self.seal.sealed(), self.index))
    }
}

/// Writes a file of an archive, and makes it durable. What had the name before is not written over: it may be a blob by now.
pub(crate) fn write_part(
    folder: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<PartFile, ArchiveError> {
    let path = folder.join(name);
    let parent = path.parent().unwrap_or(folder);
    let written = fs::create_dir_all(parent).and_then(|()| {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&path)?;
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| ArchiveError::io("write", &path, error))?;
    Ok(PartFile {
        name: name.to_owned(),
        digest: DigestAlgorithm::Sha256.digest(bytes).to_string(),
        size: bytes.len() as u64,
    })
}

/// Describes a file that was written.
fn describe(folder: &Path, name: &str) -> Result<PartFile, ArchiveError> {
    use std::io::Read as _;
    let path = folder.join(name);
    let wrong = |error| ArchiveError::io("read", &path, error);
    let mut file = File::open(&path).map_err(wrong)?;
    let (mut stream, mut size) = (DigestStream::new(DigestAlgorithm::Sha256), 0);
    let mut piece = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut piece).map_err(wrong)?;
        if read == 0 {
            break;
        }
        stream.update(&piece[..read]);
        size += read as u64;
    }
    Ok(PartFile {
        name: name.to_owned(),
        digest: stream.finish().to_string(),
        size,
    })
}
