//! Writes complete tiles and drops the segments that they make needless.
//!
//! Nothing waits for it: until it has written a tile, the tile is in memory and its entries in a segment. Files come by
//! temporary name and rename, so that nobody reads half a tile; they are synced together, only before a segment goes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use stella_tlog::hash::Hash;
use stella_tlog::tile::{MAX_LEVEL, TILE_HEIGHT, TILE_WIDTH, TileKind, TilePath};
use stella_tlog::tree::TreeSize;

use super::edge::WIDTH;
use super::error::{DiskOperation, During as _, LogError};
use super::segment::{self, Spare};
use super::state::Shared;
use crate::disk::{Disk, DiskFile};

/// The number of tiles that may wait, about 13 MB of ordinary entries; then appending waits for the disk.
const MAX_WAITING: usize = 16;

/// The number of files kept open for a later sync.
const MAX_UNSYNCED: usize = 64;

/// What there is to do.
pub(super) enum Work {
    /// No more is written to the segment; it may go when all entries before `end` are in tiles.
    SegmentClosed {
        /// Its number.
        number: u64,
        /// The size of the tree at its end.
        end: TreeSize,
    },
    /// Prepare a file of zeros.
    Spare {
        /// The number of the segment it is meant for.
        number: u64,
        /// Its length.
        length: u64,
    },
    /// Write the tiles that this one completes, itself first.
    Tile {
        /// Its index at level 0.
        index: u64,
    },
}

/// Who writes tiles, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tiling {
    /// A thread of its own, beside appending.
    #[default]
    Background,
    /// The sequencer, between two batches: the order of disk calls is always the same, as tests want it.
    Inline,
}

/// The way to the tiler.
pub(super) enum Tiler {
    Background {
        work: SyncSender<Work>,
        thread: JoinHandle<()>,
        spare: Arc<Mutex<Option<Spare>>>,
    },
    Inline(Box<Writer>),
}

impl Tiler {
    pub(super) fn start(tiling: Tiling, shared: &Arc<Shared>) -> Result<Self, LogError> {
        let mut writer = Writer::new(Arc::clone(shared));
        if tiling == Tiling::Inline {
            return Ok(Self::Inline(Box::new(writer)));
        }
        let (work, todo) = mpsc::sync_channel(MAX_WAITING);
        let spare = Arc::clone(&writer.spare);
        let shared = Arc::clone(shared);
        let thread = thread::Builder::new()
            .name("log tiler".to_owned())
            .spawn(move || {
                for work in todo {
                    if let Err(error) = writer.perform(work) {
                        shared.fail(error);
                        return;
                    }
                }
            })
            .during(DiskOperation::Create, "thread")?;
        Ok(Self::Background {
            work,
            thread,
            spare,
        })
    }

    /// Hands over work; waits if too much waits already.
    pub(super) fn hand(&mut self, work: Work) -> Result<(), LogError> {
        match self {
            // Its failure is told by `Shared`.
            Self::Background { work: sender, .. } => {
                sender.send(work).map_err(|_| LogError::Closed)
            }
            Self::Inline(writer) => writer.perform(work),
        }
    }

    /// Takes the spare segment, if one is ready.
    pub(super) fn spare(&self) -> Option<Spare> {
        let spare = match self {
            Self::Background { spare, .. } => spare,
            Self::Inline(writer) => &writer.spare,
        };
        spare.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Finishes what was handed over, and ends.
    pub(super) fn finish(self) {
        if let Self::Background { work, thread, .. } = self {
            drop(work);
            // A panic there was printed already, and tiles are derivable.
            drop(thread.join());
        }
    }
}

/// Writes tiles; see the module.
pub(super) struct Writer {
    shared: Arc<Shared>,
    files: TileFiles,
    closed: VecDeque<(u64, TreeSize)>,
    spare: Arc<Mutex<Option<Spare>>>,
}

impl Writer {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            files: TileFiles::new(Arc::clone(&shared.disk)),
            shared,
            closed: VecDeque::new(),
            spare: Arc::default(),
        }
    }

    fn perform(&mut self, work: Work) -> Result<(), LogError> {
        match work {
            Work::SegmentClosed { number, end } => self.closed.push_back((number, end)),
            Work::Spare { number, length } => self.prepare_spare(number, length)?,
            Work::Tile { index } => {
                write_completed(&self.shared, &mut self.files, index)?;
                self.drop_segments(TreeSize((index + 1) * WIDTH))?;
            }
        }
        Ok(())
    }

    fn prepare_spare(&self, number: u64, length: u64) -> Result<(), LogError> {
        let disk = self.shared.disk.as_ref();
        let old = self.take_spare();
        if let Some(old) = old {
            // It came too late for the segment it was meant for.
            if old.length() >= length {
                self.place_spare(old);
                return Ok(());
            }
            old.discard(disk)?;
        }
        // Its name is not the one that the sequencer would take at the same moment.
        let path = format!("{}.spare", segment::path(number));
        self.place_spare(Spare::prepare(disk, path, &[], length)?);
        Ok(())
    }

    fn take_spare(&self) -> Option<Spare> {
        let mut place = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        place.take()
    }

    fn place_spare(&self, spare: Spare) {
        let mut place = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(spare);
    }

    /// Removes the closed segments whose entries are all in tiles, after syncing these.
    fn drop_segments(&mut self, tiled: TreeSize) -> Result<(), LogError> {
        while let Some((number, end)) = self.closed.front().copied() {
            if end > tiled {
                break;
            }
            self.files.sync()?;
            self.closed.pop_front();
            let path = segment::path(number);
            self.shared
                .disk
                .remove(&path)
                .during(DiskOperation::Remove, &path)?;
        }
        Ok(())
    }
}

/// Writes the tile, its entry bundle and the wider tiles that it completes, then forgets the tile's memory.
pub(super) fn write_completed(
    shared: &Shared,
    files: &mut TileFiles,
    index: u64,
) -> Result<(), LogError> {
    for (path, bytes) in completed(shared, index) {
        files.write(path, &bytes)?;
    }
    shared.write().edge.evict(index);
    Ok(())
}

/// Collects the tiles that the level 0 tile of this index completes.
fn completed(shared: &Shared, index: u64) -> Vec<(TilePath, Bytes)> {
    let state = shared.read();
    let full = |kind, index| TilePath {
        kind,
        index,
        width: TILE_WIDTH,
    };
    let mut tiles = Vec::new();
    if let Some(bundle) = state.edge.bundle(index, TILE_WIDTH) {
        tiles.push((full(shared.format.bundle_kind(), index), bundle));
    }
    if let Some(leaves) = state.edge.leaves(index) {
        tiles.push((full(TileKind::Hashes { level: 0 }, index), bytes_of(leaves)));
    }
    let mut count = index + 1;
    for level in 1..=MAX_LEVEL {
        if !count.is_multiple_of(WIDTH) {
            break;
        }
        count /= WIDTH;
        let Ok(end) = usize::try_from(count * WIDTH) else {
            break;
        };
        let range = end - usize::from(TILE_WIDTH)..end;
        let Some(hashes) = level
            .checked_mul(TILE_HEIGHT)
            .and_then(|level| state.edge.wide(level, range))
        else {
            break;
        };
        let path = full(TileKind::Hashes { level }, count - 1);
        tiles.push((path, bytes_of(hashes)));
    }
    tiles
}

/// Joins hashes into a tile.
pub(super) fn bytes_of(hashes: &[Hash]) -> Bytes {
    let mut tile = Vec::with_capacity(hashes.len() * Hash::SIZE);
    for hash in hashes {
        tile.extend_from_slice(hash.as_bytes());
    }
    tile.into()
}

/// Tile files, and which of them are not durable yet.
pub(super) struct TileFiles {
    disk: Arc<dyn Disk>,
    unsynced: Vec<(String, Box<dyn DiskFile>)>,
    folders: BTreeSet<String>,
    /// Folders known to be there.
    known: BTreeSet<String>,
}

impl TileFiles {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            unsynced: Vec::new(),
            folders: BTreeSet::new(),
            known: BTreeSet::new(),
        }
    }

    fn write(&mut self, path: TilePath, bytes: &[u8]) -> Result<(), LogError> {
        let path = path.to_string();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if !self.known.contains(folder) {
            self.disk
                .create_folder(folder)
                .during(DiskOperation::Create, folder)?;
            self.known.insert(folder.to_owned());
        }
        let temporary = format!("{path}.new");
        let mut file = self
            .disk
            .create(&temporary)
            .during(DiskOperation::Create, &temporary)?;
        file.write_at(0, bytes)
            .during(DiskOperation::Write, &temporary)?;
        self.disk
            .rename(&temporary, &path)
            .during(DiskOperation::Rename, &path)?;
        self.folders.insert(folder.to_owned());
        self.unsynced.push((path, file));
        if self.unsynced.len() >= MAX_UNSYNCED {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes all tiles written so far durable.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        for (path, mut file) in self.unsynced.drain(..) {
            file.sync_data().during(DiskOperation::Sync, &path)?;
        }
        for folder in std::mem::take(&mut self.folders) {
            self.disk
                .sync_folder(&folder)
                .during(DiskOperation::Sync, &folder)?;
        }
        Ok(())
    }
}
