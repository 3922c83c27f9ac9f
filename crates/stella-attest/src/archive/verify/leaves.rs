//! The leaves of an archive: together they are what its statement says.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use stella_archive::fingerprint::Fingerprint;
use stella_archive::frames::{self, Class, FrameError};
use stella_archive::history::Judgement;
use stella_archive::leaf::{Leaf, LeafError};
use stella_archive::nodes;
use stella_archive::seal::Seal;
use stella_archive::statement::Manifest;
use stella_tlog::hash::Hash;
use stella_tlog::tree::Frontier;

use super::Demands;
use crate::archive::error::{ArchiveError, Mismatch};
use crate::archive::open::{Archive, MAX_WHOLE};

/// Frames that a thread reads before they are taken together.
const AT_ONCE: usize = 4;
/// The shortest month: bytes are not gone too early.
const MONTH: Duration = Duration::from_secs(28 * 86_400);

/// What a leaf says about bytes.
pub(super) struct Expected {
    pub(super) digest: Fingerprint,
    pub(super) size: u64,
    pub(super) profile: u32,
}

/// What the leaves of a period say, by where the bytes are.
#[derive(Default)]
pub(super) struct Leaves {
    pub(super) evidence: Row,
    pub(super) rejected: Row,
    pub(super) records: Row,
}

/// Leaves whose bytes lie end to end.
#[derive(Default)]
pub(super) struct Row {
    /// The index of the first.
    pub(super) first: u64,
    pub(super) expected: Vec<Expected>,
    /// Whether the bytes may be gone by now.
    pub(super) is_due: bool,
}

/// Reads the leaves; together they are what the archive's statement says.
///
/// # Errors
/// `Mismatch`, `Leaf`, and whatever hinders reading.
pub(super) async fn read(
    archive: &Archive,
    judgement: &Judgement,
    sequence: u64,
    demands: &Demands<'_>,
) -> Result<Leaves, ArchiveError> {
    let at = usize::try_from(sequence).unwrap_or(usize::MAX);
    let statement = judgement.statements.get(at);
    let statement = statement.ok_or(ArchiveError::Mismatch(Mismatch::Leaves))?;
    // 1. The tree before them is that of the statement before.
    let before = archive.frontier().await?;
    let earlier = at
        .checked_sub(1)
        .and_then(|at| judgement.statements.get(at));
    let earlier = earlier.map(|each| &each.manifest);
    if !is_edge_of(&before, earlier) {
        return Err(ArchiveError::Mismatch(Mismatch::Before));
    }
    // 2. What each line says, and its hash, is found side by side, a few frames at a time; what all are, one after the other.
    let mut taker = Taker::new(&statement.manifest, before);
    for name in archive.blobs(Class::Leaves) {
        let wrong = |error| ArchiveError::Frame {
            part: name.clone(),
            error,
        };
        let blob = archive.read(&name, MAX_WHOLE).await?;
        let frames = frames::split(&blob).map_err(wrong)?;
        let mut rest = frames.as_slice();
        while !rest.is_empty() {
            let (some, after) = rest.split_at(few(rest, demands.threads).map_err(wrong)?);
            rest = after;
            for lines in side_by_side(some, demands.threads, |frame| Lines::read(frame)) {
                let lines = lines.map_err(wrong)?;
                lines
                    .each()
                    .try_for_each(|(line, read)| taker.take(line, read))?;
            }
        }
    }
    // 3. All together.
    let (mut leaves, hashes) = taker.finish()?;
    require_hashes(archive, &hashes).await?;
    let manifest = &statement.manifest;
    let kept = MONTH.checked_mul(manifest.retention.months);
    let is_due = manifest.period.end.plus(kept.unwrap_or(Duration::MAX)) <= demands.now;
    (leaves.evidence.is_due, leaves.rejected.is_due) = (is_due, is_due);
    Ok(leaves)
}

/// Says whether a tree is the one that a statement names; without a statement, the empty one.
fn is_edge_of(edge: &Frontier, statement: Option<&Manifest>) -> bool {
    match statement {
        None => edge.size().0 == 0,
        Some(manifest) => {
            let tree = manifest.tree;
            edge.size().0 == tree.size && *edge.root().as_bytes() == tree.root
        }
    }
}

/// Takes one leaf after the other.
struct Taker<'a> {
    manifest: &'a Manifest,
    seal: Seal,
    leaves: Leaves,
    /// The hashes of complete subtrees, by the number of their file.
    hashes: BTreeMap<u8, Vec<u8>>,
    last: Class,
}

impl<'a> Taker<'a> {
    fn new(manifest: &'a Manifest, before: Frontier) -> Self {
        Self {
            manifest,
            seal: Seal::new(before),
            leaves: Leaves::default(),
            hashes: BTreeMap::new(),
            last: Class::Leaves,
        }
    }

    fn take(
        &mut self,
        line: &[u8],
        read: &Result<(Leaf, Hash), LeafError>,
    ) -> Result<(), ArchiveError> {
        let mismatch = |what| Err(ArchiveError::Mismatch(what));
        let index = self.seal.frontier().size().0;
        // More lines than the statement names are not even kept.
        if index >= self.manifest.range.end {
            return mismatch(Mismatch::Leaves);
        }
        let wrong = |error: &LeafError| ArchiveError::Leaf {
            index,
            error: *error,
        };
        let (leaf, hash) = read.as_ref().map_err(wrong)?;
        if leaf.class() < self.last {
            return mismatch(Mismatch::Order(index));
        }
        self.last = leaf.class();
        if leaf.profile as usize >= self.manifest.profiles.len() {
            return mismatch(Mismatch::Profile(index));
        }
        let hashes = &mut self.hashes;
        self.seal
            .append_hashed(leaf, line, *hash, |level, _, hash| {
                if let Some(file) = nodes::file_of(level) {
                    let hashes = hashes.entry(file).or_default();
                    hashes.extend_from_slice(hash.as_bytes());
                }
            });
        self.leaves.add(index, leaf);
        Ok(())
    }

    /// Requires that these are the leaves that the statement names; returns them, and the hashes of the tree that they complete.
    fn finish(self) -> Result<(Leaves, BTreeMap<u8, Vec<u8>>), ArchiveError> {
        let (sealed, manifest) = (self.seal.sealed(), self.manifest);
        if sealed.tree != manifest.tree || sealed.range != manifest.range {
            return Err(ArchiveError::Mismatch(Mismatch::Leaves));
        }
        if sealed.counts != manifest.counts {
            return Err(ArchiveError::Mismatch(Mismatch::Counts));
        }
        Ok((self.leaves, self.hashes))
    }
}

/// Returns how many of these frames are read side by side: those of a few usual ones together, one at least.
fn few(frames: &[&[u8]], threads: NonZeroUsize) -> Result<usize, FrameError> {
    let most = (threads.get() * AT_ONCE * frames::FRAME) as u64;
    let (mut count, mut held) = (0, 0_u64);
    for frame in frames {
        held = held.saturating_add(frames::raw_length(frame)?);
        if count > 0 && held > most {
            break;
        }
        count += 1;
    }
    Ok(count)
}

/// The lines of a frame, up to the first that is no leaf.
struct Lines {
    raw: Vec<u8>,
    read: Vec<Result<(Leaf, Hash), LeafError>>,
}

impl Lines {
    fn read(frame: &[u8]) -> Result<Self, FrameError> {
        let mut raw = frames::decompress(frame, frames::MAX_FRAME)?;
        match raw.pop() {
            Some(b'\n') => {}
            _ => return Err(FrameError::Damaged),
        }
        let mut read = Vec::new();
        for line in raw.split(|byte| *byte == b'\n') {
            let leaf = Leaf::parse(line).map(|leaf| (leaf, Leaf::hash(line)));
            let is_leaf = leaf.is_ok();
            read.push(leaf);
            // Nobody looks further.
            if !is_leaf {
                break;
            }
        }
        Ok(Self { raw, read })
    }

    /// Returns each line with what it says and its hash.
    fn each(&self) -> impl Iterator<Item = (&[u8], &Result<(Leaf, Hash), LeafError>)> {
        self.raw.split(|byte| *byte == b'\n').zip(&self.read)
    }
}

/// Maps each item, on so many threads; the results come in the order of the items.
fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    threads: NonZeroUsize,
    map: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let part = items.len().div_ceil(threads.get()).max(1);
    let map = &map;
    thread::scope(|scope| {
        let parts = items.chunks(part);
        let workers: Vec<_> = parts
            .map(|some| scope.spawn(move || some.iter().map(map).collect::<Vec<_>>()))
            .collect();
        let joined = workers.into_iter().map(|worker| {
            let joined = worker.join();
            joined.unwrap_or_else(|cause| std::panic::resume_unwind(cause))
        });
        joined.flatten().collect()
    })
}

/// Requires that the files of hashes are those of the tree: proofs are made from them.
async fn require_hashes(
    archive: &Archive,
    hashes: &BTreeMap<u8, Vec<u8>>,
) -> Result<(), ArchiveError> {
    let names = archive.files().map(|(name, _)| name);
    let found = names.filter(|name| name.starts_with("hashes/")).count();
    let mut is_same = found == hashes.len();
    for (file, expected) in hashes {
        let name = nodes::file_name(*file);
        is_same = is_same && archive.read(&name, MAX_WHOLE).await? == *expected;
    }
    match is_same {
        true => Ok(()),
        false => Err(ArchiveError::Mismatch(Mismatch::Hashes)),
    }
}

impl Leaves {
    fn add(&mut self, index: u64, leaf: &Leaf) {
        let row = match leaf.class() {
            Class::Evidence => &mut self.evidence,
            Class::Rejected => &mut self.rejected,
            _ => &mut self.records,
        };
        if row.expected.is_empty() {
            row.first = index;
        }
        row.expected.push(Expected {
            digest: leaf.digest,
            size: leaf.size,
            profile: leaf.profile,
        });
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_archive::frames::Compressor;
    use stella_archive::leaf::{Kind, Status};

    use super::*;

    fn frame(raw: &[u8]) -> Vec<u8> {
        Compressor::new().unwrap().compress(raw).unwrap()
    }

    fn line() -> String {
        let leaf = Leaf {
            kind: Kind::Attestation,
            status: Status::Verified,
            profile: 0,
            digest: Fingerprint::of(b"x"),
            size: 1,
            time: None,
        };
        format!("{}\n", leaf.to_line())
    }

    #[test]
    fn a_frame_is_read_up_to_the_first_line_that_is_no_leaf() {
        let good = line().repeat(3);
        let lines = Lines::read(&frame(good.as_bytes())).unwrap();
        assert_eq!(lines.each().count(), 3);
        // Ten million empty lines fit into a kilobyte: none is kept but the first.
        let hostile = format!("{good}{}", "\n".repeat(10_000_000));
        let lines = Lines::read(&frame(hostile.as_bytes())).unwrap();
        assert_eq!(lines.read.len(), 4);
        assert!(lines.each().last().unwrap().1.is_err());
        for damaged in [&b"no end"[..], &frame(b"no end")] {
            assert!(matches!(Lines::read(damaged), Err(FrameError::Damaged)));
        }
    }

    #[test]
    fn large_frames_are_read_one_at_a_time() {
        let two = NonZeroUsize::new(2).unwrap();
        let (usual, large) = (frame(&[b'a'; 1 << 20]), frame(&[b'a'; 100 << 20]));
        let frames = [&usual[..]; 20];
        assert_eq!(few(&frames, two), Ok(8));
        assert_eq!(few(&frames[..5], two), Ok(5));
        assert_eq!(few(&[&large, &large], two), Ok(1));
        assert_eq!(few(&[&usual, &large], two), Ok(1));
    }

    #[test]
    fn what_is_mapped_side_by_side_comes_in_its_order() {
        for threads in 1..5 {
            let threads = NonZeroUsize::new(threads).unwrap();
            for count in 0..10 {
                let items: Vec<u32> = (0..count).collect();
                let mapped = side_by_side(&items, threads, |each| each * 2);
                assert_eq!(
                    mapped,
                    items.iter().map(|each| each * 2).collect::<Vec<_>>()
                );
            }
        }
    }
}
