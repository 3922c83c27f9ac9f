//! Rekor v2, proved: that an entry is in the tree that the log signed, and that an older tree is its beginning.
//!
//! Proofs are made here from the log's tiles, and verified against the signed root before anybody gets them: a tile is
//! believed only as far as it leads there.

use std::collections::BTreeMap;

use stella_bundle::time::UnixTime;
use stella_bundle::verify::{Trust, answer};
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash::{self, Hash};
use stella_tlog::note::Note;
use stella_tlog::proof::{self, ProofError, SubtreeHashes};
use stella_tlog::tile::{self, TILE_HEIGHT, TILE_WIDTH, TileKind, TilePath};
use stella_tlog::tree::{LeafIndex, TreeSize};
use stella_wire::rekor::CHECKPOINT_PATH;
use stella_wire::transport::Transport;

use crate::Rekor;
use crate::error::{ClientError, EntryProblem};
use crate::rekor_read::MAX_CHECKPOINT;

/// What a log signed, with every signature that stands under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The note, of whose signatures that of the log is verified.
    pub note: Note,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// That an entry is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// The entry, as the log recorded it.
    pub entry: Vec<u8>,
    /// From the leaf's sibling upwards.
    pub hashes: Vec<Hash>,
}

/// That one tree is the beginning of another, and that one the beginning of what the log signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// The root of the older tree.
    pub old_root: Hash,
    /// The root of the newer tree.
    pub new_root: Hash,
    /// The proof (RFC 6962 §2.1.2).
    pub hashes: Vec<Hash>,
}

impl Rekor {
    /// Returns what the log signed last, as a log of `trust` in service at `now`.
    ///
    /// # Errors
    /// `Unavailable`, `Refused`, `Answer`; `Entry` when nobody who is trusted signed it.
    pub async fn head(
        &self,
        transport: &dyn Transport,
        trust: &Trust,
        now: UnixTime,
    ) -> Result<Head, ClientError> {
        let bytes = self
            .read(transport, CHECKPOINT_PATH, MAX_CHECKPOINT)
            .await?;
        let text = String::from_utf8_lossy(&bytes);
        let checkpoint = answer::checkpoint(trust, &text, now).map_err(EntryProblem::Untrusted)?;
        // What was verified was a note.
        let note = Note::parse(&text).map_err(|_| EntryProblem::NotTheTree)?;
        Ok(Head { note, checkpoint })
    }

    /// Proves that the entry at `index` is in the tree of `head`; none where the tree does not reach so far.
    ///
    /// # Errors
    /// `Unavailable`, `Refused`; `Entry` when what was read is not the tree that was signed.
    pub async fn prove_inclusion(
        &self,
        transport: &dyn Transport,
        head: &Checkpoint,
        index: LeafIndex,
    ) -> Result<Option<Inclusion>, ClientError> {
        let (size, root) = (head.size, &head.root);
        if !size.contains(index) {
            return Ok(None);
        }
        let width = u64::from(TILE_WIDTH);
        let first = index.0 / width * width;
        let bundle = self
            .bundle(transport, index.0 / width, (size.0 - first).min(width))
            .await?;
        let entries = tile::entries(&bundle).map_err(|_| EntryProblem::NotTheTree)?;
        let entry = entries.get((index.0 - first) as usize);
        let entry = entry.ok_or(EntryProblem::NotTheTree)?.to_vec();

        let make = |tiles: &Tiles| proof::prove_inclusion(tiles, index, size);
        let hashes = self
            .made_of_tiles(transport, size, &mut Tiles::default(), make)
            .await?;
        proof::verify_inclusion(&hash::leaf(&entry), index, size, root, &hashes)
            .map_err(|_| EntryProblem::NotTheTree)?;
        Ok(Some(Inclusion { entry, hashes }))
    }

    /// Proves that the tree of `new` leaves begins with that of `old` leaves, and the tree of `head` with both; none where
    /// they are in another order.
    ///
    /// # Errors
    /// As above.
    pub async fn prove_consistency(
        &self,
        transport: &dyn Transport,
        head: &Checkpoint,
        old: TreeSize,
        new: TreeSize,
    ) -> Result<Option<Consistency>, ClientError> {
        let size = head.size;
        if old > new || new > size {
            return Ok(None);
        }
        let mut tiles = Tiles::default();
        let make = |tiles: &Tiles| {
            Ok((
                proof::root(tiles, old)?,
                proof::root(tiles, new)?,
                proof::prove_consistency(tiles, old, new)?,
                proof::prove_consistency(tiles, new, size)?,
            ))
        };
        let (old_root, new_root, hashes, to_head) = self
            .made_of_tiles(transport, size, &mut tiles, make)
            .await?;
        // The signed root vouches for the newer tree, and that one for the older.
        proof::verify_consistency(new, &new_root, size, &head.root, &to_head)
            .and_then(|()| proof::verify_consistency(old, &old_root, new, &new_root, &hashes))
            .map_err(|_| EntryProblem::NotTheTree)?;
        Ok(Some(Consistency {
            old_root,
            new_root,
            hashes,
        }))
    }

    /// Makes something of a tree's hashes, and reads the tiles that turn out to be needed.
    async fn made_of_tiles<T>(
        &self,
        transport: &dyn Transport,
        size: TreeSize,
        tiles: &mut Tiles,
        make: impl Fn(&Tiles) -> Result<T, ProofError>,
    ) -> Result<T, ClientError> {
        loop {
            let (level, index) = match make(tiles) {
                Ok(made) => return Ok(made),
                Err(ProofError::MissingSubtree { level, index }) => place(level, index),
                Err(_) => return Err(EntryProblem::NotTheTree.into()),
            };
            // A tile that is here and does not hold the hash never will.
            if tiles.0.contains_key(&(level, index)) {
                return Err(EntryProblem::NotTheTree.into());
            }
            let hashes = self.hashes(transport, size, level, index).await?;
            tiles.0.insert((level, index), hashes);
        }
    }

    /// Reads a tile, as far as the tree of `size` fills it.
    async fn hashes(
        &self,
        transport: &dyn Transport,
        size: TreeSize,
        level: u8,
        index: u64,
    ) -> Result<Vec<Hash>, ClientError> {
        let complete = size.0 >> (u32::from(level) * u32::from(TILE_HEIGHT));
        let filled = complete.saturating_sub(index * u64::from(TILE_WIDTH));
        let tile = TilePath {
            kind: TileKind::Hashes { level },
            index,
            width: u16::try_from(filled).map_or(TILE_WIDTH, |filled| filled.min(TILE_WIDTH)),
        };
        let bytes = self.tile(transport, tile, MAX_TILE).await?;
        let hashes = bytes.chunks(Hash::SIZE).map(<[u8; Hash::SIZE]>::try_from);
        let hashes = hashes.map(|each| each.map(Hash::from_bytes));
        let hashes: Result<Vec<Hash>, _> = hashes.take(usize::from(tile.width)).collect();
        hashes.map_err(|_| EntryProblem::NotTheTree.into())
    }
}

/// Bytes of a tile.
const MAX_TILE: usize = TILE_WIDTH as usize * Hash::SIZE;

/// The tiles that were read so far, by their level and index.
#[derive(Default)]
struct Tiles(BTreeMap<(u8, u64), Vec<Hash>>);

/// Returns the tile in which a subtree lies whole.
const fn place(level: u8, index: u64) -> (u8, u64) {
    let first = index << (level % TILE_HEIGHT);
    (level / TILE_HEIGHT, first / TILE_WIDTH as u64)
}

impl SubtreeHashes for Tiles {
    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        let inside = level % TILE_HEIGHT;
        let first = usize::try_from((index << inside) % u64::from(TILE_WIDTH)).ok()?;
        let tile = self.0.get(&place(level, index))?;
        let mut row = tile.get(first..first + (1 << inside))?.to_vec();
        while row.len() > 1 {
            row = row
                .chunks(2)
                .filter_map(|pair| Some(hash::node(pair.first()?, pair.get(1)?)))
                .collect();
        }
        row.first().copied()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_tlog::tree::Frontier;
    use stella_wire::rekor::READ_PATH;
    use stella_wire::transport::Request;

    use super::*;
    use crate::scripted::{Answering, BASE, run, status};

    /// A log of so many entries, each of which is its own index, and the hashes of its complete subtrees.
    struct Log {
        subtrees: BTreeMap<(u8, u64), Hash>,
        head: Checkpoint,
    }

    impl Log {
        fn of(size: u64) -> Self {
            let (mut tree, mut subtrees) = (Frontier::new(), BTreeMap::new());
            for index in 0..size {
                tree.append(hash::leaf(&entry(index)), |level, index, hash| {
                    subtrees.insert((level, index), hash);
                });
            }
            let head = Checkpoint {
                origin: "log.example".to_owned(),
                size: TreeSize(size),
                root: tree.root(),
                extensions: Vec::new(),
            };
            Self { subtrees, head }
        }

        fn answer(&self, request: &Request) -> Vec<u8> {
            let path = request.uri().path().strip_prefix(READ_PATH).unwrap();
            let path = TilePath::parse(path).unwrap();
            let first = path.index * u64::from(TILE_WIDTH);
            let places = first..first + u64::from(path.width);
            let mut bytes = Vec::new();
            for place in places {
                match path.kind {
                    TileKind::Hashes { level } => {
                        let hash = &self.subtrees[&(level * TILE_HEIGHT, place)];
                        bytes.extend_from_slice(hash.as_bytes());
                    }
                    _ => {
                        assert!(place < self.head.size.0);
                        bytes.extend_from_slice(&[0, 8]);
                        bytes.extend_from_slice(&entry(place));
                    }
                }
            }
            bytes
        }
    }

    impl SubtreeHashes for Log {
        fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
            self.subtrees.get(&(level, index)).copied()
        }
    }

    fn entry(index: u64) -> [u8; 8] {
        index.to_be_bytes()
    }

    #[test]
    fn proofs_made_of_tiles_are_those_of_the_whole_tree() {
        for size in [1, 2, 255, 256, 257, 1_000, 65_536 + 300] {
            let log = Log::of(size);
            let transport = Answering(|request: &Request| status(200, log.answer(request)));
            let rekor = Rekor::new(BASE);
            for index in [0, 1, 255, 256, 999, 65_535, 65_536, size - 1, size] {
                let index = LeafIndex(index);
                let proved = run(rekor.prove_inclusion(&transport, &log.head, index)).unwrap();
                let expected = proof::prove_inclusion(&log, index, log.head.size).ok();
                let (entries, hashes) = proved.map(|each| (each.entry, each.hashes)).unzip();
                assert_eq!(hashes, expected, "{index} of {size}");
                assert_eq!(entries, hashes.map(|_| entry(index.0).to_vec()));
            }
            for (old, new) in [
                (0, size),
                (1, size),
                (size / 2, size),
                (size, size),
                (size / 3, size / 2),
            ] {
                let (old, new) = (TreeSize(old), TreeSize(new));
                let proved = run(rekor.prove_consistency(&transport, &log.head, old, new));
                let proved = proved.unwrap().unwrap();
                assert_eq!(
                    proved.hashes,
                    proof::prove_consistency(&log, old, new).unwrap()
                );
                assert_eq!(proved.old_root, proof::root(&log, old).unwrap());
                assert_eq!(proved.new_root, proof::root(&log, new).unwrap());
            }
            let reversed =
                rekor.prove_consistency(&transport, &log.head, log.head.size, TreeSize(0));
            assert_eq!(run(reversed), Ok(None));
        }
    }

    #[test]
    fn tiles_that_are_not_the_signed_tree_prove_nothing() {
        let log = Log::of(300);
        let not_the_tree = |spoil: fn(&mut Vec<u8>)| {
            let transport = Answering(|request: &Request| {
                let mut answer = log.answer(request);
                spoil(&mut answer);
                status(200, answer)
            });
            let rekor = Rekor::new(BASE);
            let refused = |result| {
                let Err(ClientError::Entry(EntryProblem::NotTheTree)) = result else {
                    panic!("{result:?}")
                };
            };
            refused(run(rekor.prove_inclusion(&transport, &log.head, LeafIndex(7))).map(|_| ()));
            let proved = rekor.prove_consistency(&transport, &log.head, TreeSize(7), TreeSize(290));
            refused(run(proved).map(|_| ()));
        };
        not_the_tree(|answer| answer.iter_mut().for_each(|byte| *byte ^= 1));
        not_the_tree(|answer| *answer.last_mut().unwrap() ^= 1);
        not_the_tree(|answer| answer.truncate(answer.len() - 1));
        not_the_tree(Vec::clear);
    }
}
