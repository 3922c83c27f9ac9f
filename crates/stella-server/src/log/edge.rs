//! The log in memory: what appending, proofs and the newest tiles need, and no more.
//!
//! Kept for good: the roots of all complete subtrees of 256 leaves and more. Kept until its tile
//! is written: all of a tile of 256 leaves, its hashes and its entries. Older leaf hashes and entries are read from tiles.

use std::collections::VecDeque;

use bytes::Bytes;
use stella_tlog::hash::Hash;
use stella_tlog::proof::SubtreeHashes;
use stella_tlog::tile::{TILE_HEIGHT, TILE_WIDTH};
use stella_tlog::tree::{Frontier, LeafIndex, TreeSize};

use super::format::EntryFormat;

/// The number of leaves in a tile.
pub(super) const WIDTH: u64 = TILE_WIDTH as u64;

/// The growing end of the log.
///
/// Memory: 64 bytes for each 256 entries for good (0.25 bytes an entry), and 16 KiB beside the entries themselves for each
/// tile that is not written yet.
#[derive(Debug)]
pub(super) struct Edge {
    format: EntryFormat,
    frontier: Frontier,
    /// Hashes of complete subtrees by level, from [`TILE_HEIGHT`] up.
    wide: Vec<Vec<Hash>>,
    /// The tiles not known to be written, the last one open.
    tiles: VecDeque<HotTile>,
    /// The index of the first of them.
    first_hot: u64,
}

/// A tile in memory.
#[derive(Debug, Default)]
struct HotTile {
    nodes: TileNodes,
    /// The framed entries.
    bundle: Vec<u8>,
    /// Where each entry begins, without its frame, and where it ends.
    ranges: Vec<std::ops::Range<usize>>,
}

/// The hashes of complete subtrees inside a tile, by level from 0.
#[derive(Debug, Default)]
pub(super) struct TileNodes([Vec<Hash>; TILE_HEIGHT as usize]);

impl TileNodes {
    /// Computes the nodes over a tile's leaf hashes.
    pub(super) fn from_leaves(leaves: &[Hash]) -> Self {
        let mut nodes = Self::default();
        let mut frontier = Frontier::new();
        for leaf in leaves {
            frontier.append(*leaf, |level, _, hash| nodes.push(level, hash));
        }
        nodes
    }

    fn push(&mut self, level: u8, hash: Hash) {
        if let Some(nodes) = self.0.get_mut(usize::from(level)) {
            nodes.push(hash);
        }
    }

    /// Returns a subtree's hash by its index among those of its level in this tile.
    pub(super) fn node(&self, level: u8, index: u64) -> Option<Hash> {
        let nodes = self.0.get(usize::from(level))?;
        nodes.get(usize::try_from(index).ok()?).copied()
    }

    pub(super) fn leaves(&self) -> &[Hash] {
        &self.0[0]
    }
}

impl Edge {
    /// Starts an empty log.
    pub(super) fn new(format: EntryFormat) -> Self {
        Self {
            format,
            frontier: Frontier::new(),
            wide: Vec::new(),
            tiles: VecDeque::new(),
            first_hot: 0,
        }
    }

    /// Takes up leaves whose tile is written already; only whole tiles, and only before any entry is appended.
    pub(super) fn load(&mut self, leaves: &[Hash]) {
        for leaf in leaves {
            self.push(*leaf, None);
        }
        self.first_hot = self.size().0 / WIDTH;
        self.tiles.clear();
    }

    /// Appends an entry.
    pub(super) fn append(&mut self, leaf: Hash, data: &[u8]) {
        self.push(leaf, Some(data));
    }

    fn push(&mut self, leaf: Hash, data: Option<&[u8]>) {
        if self.size().0.is_multiple_of(WIDTH) {
            self.tiles.push_back(HotTile::default());
        }
        let Self {
            frontier,
            wide,
            tiles,
            ..
        } = self;
        let Some(tile) = tiles.back_mut() else { return };
        frontier.append(leaf, |level, _, hash| {
            if level < TILE_HEIGHT {
                tile.nodes.push(level, hash);
                return;
            }
            let at = usize::from(level - TILE_HEIGHT);
            if at == wide.len() {
                wide.push(Vec::new());
            }
            if let Some(hashes) = wide.get_mut(at) {
                hashes.push(hash);
            }
        });
        if let Some(data) = data {
            self.format.frame(&mut tile.bundle, data);
            let end = tile.bundle.len();
            tile.ranges.push(end - data.len()..end);
        }
    }

    /// Returns the number of leaves, committed or not.
    pub(super) const fn size(&self) -> TreeSize {
        self.frontier.size()
    }

    /// Returns the root of all leaves.
    pub(super) fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Returns the frontier that the tree had at a size whose tile is in memory or complete.
    pub(super) fn frontier_at(&self, size: TreeSize) -> Option<Vec<Hash>> {
        let mut at = 0;
        let mut hashes = Vec::new();
        for level in (0..64_u8).rev().filter(|level| size.0 >> level & 1 == 1) {
            hashes.push(self.subtree(level, at >> level)?);
            at += 1 << level;
        }
        Some(hashes)
    }

    /// Returns the framed entries of a tile in memory, as many as `width`.
    pub(super) fn bundle(&self, tile: u64, width: u16) -> Option<Bytes> {
        let tile = self.hot(tile)?;
        let last = tile.ranges.get(usize::from(width).checked_sub(1)?)?;
        Some(Bytes::copy_from_slice(tile.bundle.get(..last.end)?))
    }

    /// Returns an entry in memory.
    pub(super) fn entry(&self, index: LeafIndex) -> Option<Bytes> {
        let tile = self.hot(index.0 / WIDTH)?;
        let range = tile.ranges.get(usize::try_from(index.0 % WIDTH).ok()?)?;
        Some(Bytes::copy_from_slice(tile.bundle.get(range.clone())?))
    }

    /// Returns the leaf hashes of a tile in memory, those there are.
    pub(super) fn leaves(&self, tile: u64) -> Option<&[Hash]> {
        Some(self.hot(tile)?.nodes.leaves())
    }

    /// Returns a run of hashes of one level of complete subtrees; the level is at least [`TILE_HEIGHT`].
    pub(super) fn wide(&self, level: u8, range: std::ops::Range<usize>) -> Option<&[Hash]> {
        let at = level.checked_sub(TILE_HEIGHT)?;
        self.wide.get(usize::from(at))?.get(range)
    }

    /// Forgets the tiles up to and with this one, which is complete and written.
    pub(super) fn evict(&mut self, tile: u64) {
        while self.first_hot <= tile && self.tiles.len() > 1 {
            self.tiles.pop_front();
            self.first_hot += 1;
        }
        let is_complete = self.size().0 / WIDTH > self.first_hot;
        if self.first_hot <= tile && is_complete {
            self.tiles.clear();
            self.first_hot += 1;
        }
    }

    /// Returns the index of the first tile in memory.
    pub(super) const fn first_hot(&self) -> u64 {
        self.first_hot
    }

    fn hot(&self, tile: u64) -> Option<&HotTile> {
        let at = tile.checked_sub(self.first_hot)?;
        self.tiles.get(usize::try_from(at).ok()?)
    }
}

impl SubtreeHashes for Edge {
    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        if let Some(level) = level.checked_sub(TILE_HEIGHT) {
            let hashes = self.wide.get(usize::from(level))?;
            return hashes.get(usize::try_from(index).ok()?).copied();
        }
        let (tile, inside) = place(level, index);
        self.hot(tile)?.nodes.node(level, inside)
    }
}

/// Returns the tile that holds a subtree below the tile's root, and the subtree's index in it.
pub(super) const fn place(level: u8, index: u64) -> (u64, u64) {
    let height = TILE_HEIGHT - level;
    let tile = index >> height;
    (tile, index - (tile << height))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_tlog::hash;
    use stella_tlog::proof;

    use super::*;

    fn data(index: u64) -> Vec<u8> {
        index.to_be_bytes().to_vec()
    }

    fn edge(size: u64) -> Edge {
        let mut edge = Edge::new(EntryFormat::Rekor);
        for index in 0..size {
            edge.append(hash::leaf(&data(index)), &data(index));
        }
        edge
    }

    #[test]
    fn each_size_it_had_has_its_root_and_frontier() {
        let edge = edge(600);
        let mut frontier = Frontier::new();
        for index in 0..600 {
            assert_eq!(
                edge.frontier_at(frontier.size()).unwrap(),
                frontier.hashes()
            );
            assert_eq!(
                proof::root(&edge, frontier.size()).unwrap(),
                frontier.root()
            );
            frontier.append(hash::leaf(&data(index)), |_, _, _| ());
        }
        assert_eq!(edge.root(), frontier.root());
    }

    #[test]
    fn evicting_keeps_the_open_tile_and_all_wide_subtrees() {
        let mut edge = edge(600);
        edge.evict(0);
        assert_eq!(edge.first_hot(), 1);
        assert_eq!(edge.entry(LeafIndex(255)), None);
        assert_eq!(edge.entry(LeafIndex(256)).unwrap(), data(256));
        edge.evict(1);
        edge.evict(1);
        assert_eq!(edge.first_hot(), 2);
        assert_eq!(edge.bundle(2, 88).unwrap().len(), 88 * 10);
        assert_eq!(edge.bundle(2, 89), None);
        assert_eq!(edge.bundle(2, 0), None);
        assert!(edge.subtree(9, 0).is_some());
        assert!(edge.subtree(7, 0).is_none());
        // Appends go on.
        edge.append(hash::leaf(b"more"), b"more");
        assert_eq!(edge.size(), TreeSize(601));
    }

    #[test]
    fn evicting_the_last_tile_when_it_is_full_leaves_none() {
        let mut edge = edge(512);
        edge.evict(1);
        assert_eq!(edge.first_hot(), 2);
        edge.append(hash::leaf(b"more"), b"more");
        assert_eq!(edge.entry(LeafIndex(512)).unwrap(), b"more".as_slice());
        let mut other = self::edge(512);
        other.append(hash::leaf(b"more"), b"more");
        assert_eq!(edge.root(), other.root());
    }

    #[test]
    fn loaded_leaves_are_not_in_memory_but_their_roots_are() {
        let full = edge(512);
        let mut edge = Edge::new(EntryFormat::Rekor);
        for tile in 0..2 {
            edge.load(full.leaves(tile).unwrap());
        }
        assert_eq!(edge.root(), full.root());
        assert_eq!(edge.first_hot(), 2);
        assert_eq!(edge.leaves(1), None);
        let nodes = TileNodes::from_leaves(full.leaves(1).unwrap());
        assert_eq!(nodes.node(7, 1), full.subtree(7, 3));
        assert_eq!(place(7, 3), (1, 1));
    }
}
