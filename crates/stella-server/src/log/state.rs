//! What the sequencer, the tiler and readers share: the edge, the index of known entries, and what is published.
//!
//! Readers see only what is published: the edge may be ahead of it by a batch that is not durable yet.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use stella_tlog::hash::Hash;
use stella_tlog::proof::{self, SubtreeHashes};
use stella_tlog::tile::{TILE_HEIGHT, TILE_WIDTH, TileKind, TilePath};
use stella_tlog::tree::{LeafIndex, TreeSize};

use super::Appended;
use super::edge::{self, Edge, TileNodes, WIDTH};
use super::error::{DiskOperation, During as _, LogError};
use super::format::EntryFormat;
use super::tiler;
use crate::disk::Disk;
use crate::fsck::Problem;

/// See the module.
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) format: EntryFormat,
    state: RwLock<State>,
    failure: OnceLock<LogError>,
}

pub(super) struct State {
    pub(super) edge: Edge,
    pub(super) known: Known,
    pub(super) published: Arc<Published>,
}

/// The head that is served.
pub(super) struct Published {
    pub(super) size: TreeSize,
    pub(super) root: Hash,
    pub(super) note: Arc<str>,
}

/// Leaf indices by the first eight bytes of the leaf hash.
///
/// 17 bytes a slot, 20 to 39 bytes an entry as the table grows. Eight bytes do not prove that the entry is the same one, so
/// the whole hash is compared in the tile. Two entries that share them on purpose cost each other their idempotence, no more.
#[derive(Default)]
pub(super) struct Known(HashMap<u64, u64>);

impl Known {
    pub(super) fn insert(&mut self, leaf: &Hash, index: LeafIndex) {
        self.0.entry(prefix(leaf)).or_insert(index.0);
    }

    fn candidate(&self, leaf: &Hash) -> Option<LeafIndex> {
        self.0.get(&prefix(leaf)).copied().map(LeafIndex)
    }
}

fn prefix(leaf: &Hash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *leaf.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

impl Shared {
    pub(super) fn new(disk: Arc<dyn Disk>, format: EntryFormat) -> Self {
        Self {
            disk,
            format,
            state: RwLock::new(State {
                edge: Edge::new(format),
                known: Known::default(),
                published: Arc::new(Published {
                    size: TreeSize::EMPTY,
                    root: Hash::EMPTY_ROOT,
                    note: Arc::from(""),
                }),
            }),
            failure: OnceLock::new(),
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the log for good; the first failure is the one that is told.
    pub(super) fn fail(&self, error: LogError) {
        drop(self.failure.set(error));
    }

    /// Refuses if the log has stopped.
    pub(super) fn require_running(&self) -> Result<(), LogError> {
        match self.failure.get() {
            None => Ok(()),
            Some(cause) => Err(LogError::Stopped {
                cause: Box::new(cause.clone()),
            }),
        }
    }

    pub(super) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.read().published)
    }

    /// Returns a published entry's place, if an entry of this leaf hash is published.
    pub(super) fn find_published(&self, leaf: &Hash) -> Result<Option<LeafIndex>, LogError> {
        let state = self.read();
        let found = self.find(&state, leaf)?;
        Ok(found.filter(|index| state.published.size.contains(*index)))
    }

    /// Returns the place of the entry of this leaf hash, published or not.
    pub(super) fn find(&self, state: &State, leaf: &Hash) -> Result<Option<LeafIndex>, LogError> {
        let Some(index) = state.known.candidate(leaf) else {
            return Ok(None);
        };
        let subtrees = Subtrees::new(self, &state.edge);
        let found = subtrees.subtree(0, index.0);
        if found.is_none() {
            return Err(subtrees.failure(TreeSize(index.0 + 1)));
        }
        Ok((found == Some(*leaf)).then_some(index))
    }

    /// Makes the answer for a published entry; its bytes are `data`, or are looked up.
    pub(super) fn answer(
        &self,
        index: LeafIndex,
        data: Option<Bytes>,
        duplicate: bool,
    ) -> Result<Appended, LogError> {
        let state = self.read();
        let published = Arc::clone(&state.published);
        let subtrees = Subtrees::new(self, &state.edge);
        let hashes = proof::prove_inclusion(&subtrees, index, published.size)
            .map_err(|_| subtrees.failure(published.size))?;
        let data = data.or_else(|| state.edge.entry(index));
        drop(state);
        Ok(Appended {
            index,
            size: published.size,
            root: published.root,
            hashes,
            checkpoint: Arc::clone(&published.note),
            data: match data {
                Some(data) => data,
                None => self.entry_on_disk(index)?,
            },
            duplicate,
        })
    }

    /// Proves that the tree of one size begins with the tree of another.
    pub(super) fn consistency(&self, old: TreeSize, new: TreeSize) -> Result<Vec<Hash>, LogError> {
        let state = self.read();
        let subtrees = Subtrees::new(self, &state.edge);
        proof::prove_consistency(&subtrees, old, new).map_err(|_| subtrees.failure(new))
    }

    /// Returns the root that the tree had at a size.
    pub(super) fn root_at(&self, size: TreeSize) -> Result<Hash, LogError> {
        let state = self.read();
        let subtrees = Subtrees::new(self, &state.edge);
        proof::root(&subtrees, size).map_err(|_| subtrees.failure(size))
    }

    fn entry_on_disk(&self, index: LeafIndex) -> Result<Bytes, LogError> {
        let (path, bundle) = self.bundle_on_disk(index.0 / WIDTH)?;
        let at = usize::try_from(index.0 % WIDTH).ok();
        let ranges = self.format.split(&bundle);
        let range = ranges.and_then(|ranges| ranges.get(at?).cloned());
        let range = range.ok_or(LogError::Corrupt(Problem::TileMismatch { path }))?;
        Ok(bundle.slice(range))
    }

    fn bundle_on_disk(&self, index: u64) -> Result<(TilePath, Bytes), LogError> {
        let path = TilePath {
            kind: self.format.bundle_kind(),
            index,
            width: TILE_WIDTH,
        };
        Ok((path, read_tile(self.disk.as_ref(), path)?))
    }

    /// Returns the first `width` framed entries of an entry bundle of the published tree.
    // A narrower bundle is the beginning of a wider one: partial ones are cut when they are asked for.
    pub(super) fn entries(&self, index: u64, width: u16) -> Result<Bytes, LogError> {
        let state = self.read();
        require_published(&state, 0, index, width)?;
        if let Some(bundle) = state.edge.bundle(index, width) {
            return Ok(bundle);
        }
        drop(state);
        let (path, bundle) = self.bundle_on_disk(index)?;
        if width == TILE_WIDTH {
            return Ok(bundle);
        }
        let ranges = self.format.split(&bundle);
        let last = ranges.and_then(|ranges| ranges.get(usize::from(width) - 1).cloned());
        let last = last.ok_or(LogError::Corrupt(Problem::TileMismatch { path }))?;
        Ok(bundle.slice(..last.end))
    }

    /// Returns the first `width` hashes of a tile of the published tree.
    pub(super) fn tile(&self, level: u8, index: u64, width: u16) -> Result<Bytes, LogError> {
        let state = self.read();
        require_published(&state, level, index, width)?;
        let width = usize::from(width);
        if level > 0 {
            let start = index
                .checked_mul(WIDTH)
                .and_then(|at| usize::try_from(at).ok());
            let hashes = start
                .zip(level.checked_mul(TILE_HEIGHT))
                .and_then(|(start, level)| state.edge.wide(level, start..start + width));
            return hashes.map(tiler::bytes_of).ok_or(LogError::NotFound);
        }
        if let Some(leaves) = state.edge.leaves(index) {
            let leaves = leaves.get(..width).ok_or(LogError::NotFound)?;
            return Ok(tiler::bytes_of(leaves));
        }
        drop(state);
        let path = hash_tile(index);
        let tile = read_tile(self.disk.as_ref(), path)?;
        if tile.len() != usize::from(TILE_WIDTH) * Hash::SIZE {
            return Err(LogError::Corrupt(Problem::TileMismatch { path }));
        }
        Ok(tile.slice(..width * Hash::SIZE))
    }
}

/// Refuses tiles that the published tree does not have, empty ones too.
fn require_published(state: &State, level: u8, index: u64, width: u16) -> Result<(), LogError> {
    let shift = u32::from(level) * u32::from(TILE_HEIGHT);
    let hashes = state.published.size.0.checked_shr(shift).unwrap_or(0);
    let start = index.checked_mul(WIDTH).ok_or(LogError::NotFound)?;
    let has_all = hashes.saturating_sub(start) >= u64::from(width);
    if width == 0 || width > TILE_WIDTH || !has_all {
        return Err(LogError::NotFound);
    }
    Ok(())
}

/// Returns the path of a complete tile of leaf hashes.
pub(super) const fn hash_tile(index: u64) -> TilePath {
    TilePath {
        kind: TileKind::Hashes { level: 0 },
        index,
        width: TILE_WIDTH,
    }
}

pub(super) fn read_tile(disk: &dyn Disk, path: TilePath) -> Result<Bytes, LogError> {
    let path = path.to_string();
    Ok(disk.read(&path).during(DiskOperation::Read, &path)?.into())
}

/// Reads a complete tile of leaf hashes.
pub(super) fn read_leaves(disk: &dyn Disk, index: u64) -> Result<Vec<Hash>, LogError> {
    let path = hash_tile(index);
    let tile = read_tile(disk, path)?;
    let leaves: Option<Vec<Hash>> = tile
        .chunks(Hash::SIZE)
        .map(|hash| Hash::try_from(hash).ok())
        .collect();
    leaves
        .filter(|leaves| leaves.len() == usize::from(TILE_WIDTH))
        .ok_or(LogError::Corrupt(Problem::TileMismatch { path }))
}

/// Subtrees from memory, and from tile files for leaves whose tile is written.
///
/// The newest entries never need the files: their tile is in memory until long after they are answered.
struct Subtrees<'a> {
    shared: &'a Shared,
    edge: &'a Edge,
    read: RefCell<HashMap<u64, TileNodes>>,
    failure: RefCell<Option<LogError>>,
}

impl<'a> Subtrees<'a> {
    fn new(shared: &'a Shared, edge: &'a Edge) -> Self {
        Self {
            shared,
            edge,
            read: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    /// Says why a subtree could not be had.
    fn failure(&self, size: TreeSize) -> LogError {
        let failure = self.failure.take();
        failure.unwrap_or(LogError::Corrupt(Problem::RootMismatch { size }))
    }
}

impl SubtreeHashes for Subtrees<'_> {
    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        if let Some(hash) = self.edge.subtree(level, index) {
            return Some(hash);
        }
        if level >= TILE_HEIGHT {
            return None;
        }
        let (tile, inside) = edge::place(level, index);
        if tile >= self.edge.first_hot() {
            return None;
        }
        if let Some(nodes) = self.read.borrow().get(&tile) {
            return nodes.node(level, inside);
        }
        match read_leaves(self.shared.disk.as_ref(), tile) {
            Ok(leaves) => {
                let nodes = TileNodes::from_leaves(&leaves);
                let hash = nodes.node(level, inside);
                self.read.borrow_mut().insert(tile, nodes);
                hash
            }
            Err(error) => {
                *self.failure.borrow_mut() = Some(error);
                None
            }
        }
    }
}
