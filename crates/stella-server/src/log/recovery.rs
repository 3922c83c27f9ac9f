//! Opening a log: what segments and tiles say together, and how the log is made whole before anything is served.
//!
//! Damage that no crash explains is refused here, never repaired; `fsck` tells all of it.

use std::sync::Arc;

use bytes::Bytes;
use stella_tlog::hash::Hash;
use stella_tlog::tree::{Frontier, LeafIndex, TreeSize};

use super::edge::WIDTH;
use super::error::{DiskOperation, During as _, LogError};
use super::format::EntryFormat;
use super::record::{self, BLOCK, Record, RecordKind};
use super::segment::{self, Before, FIRST_LENGTH, FOLDER, Segment, Start};
use super::state::{self, Shared};
use super::tiler::{self, TileFiles};
use crate::disk::Disk;
use crate::fsck::Problem;

/// What the segments hold.
pub(crate) struct WriteAhead {
    /// The tree before the first entry held here; all tiles of it are written, the last one to its end.
    pub(crate) start: Frontier,
    /// The batches, in order.
    pub(crate) batches: Vec<Batch>,
    /// The last note that was recorded.
    pub(crate) note: Option<String>,
    /// The log's origin; empty if there are no segments.
    pub(crate) origin: String,
    /// The code of the log's format.
    pub(crate) format: u8,
    /// The number of the newest segment file.
    newest: u64,
    /// All names in the folder.
    names: Vec<String>,
}

/// The entries of one record.
pub(crate) struct Batch {
    pub(crate) old_size: TreeSize,
    pub(crate) new_size: TreeSize,
    pub(crate) root: Hash,
    pub(crate) entries: Vec<Bytes>,
}

/// A log made whole.
pub(super) struct Recovered {
    pub(super) segment: Segment,
    /// The note with the cosignatures that was served last.
    pub(super) note: Option<String>,
}

/// Makes the log whole: fills `shared` and returns the segment to go on in.
pub(super) fn recover(shared: &Arc<Shared>, origin: &str) -> Result<Recovered, LogError> {
    let disk = &shared.disk;
    // 1. Read the segments; a torn end is dropped, it was never acknowledged.
    let ahead = read(disk.as_ref())?;
    require_same_log(&ahead, origin, shared.format)?;

    // 2. Load what is in tiles.
    let start = ahead.start.size();
    // No tree has so many leaves that the next whole tile has no number.
    let tiled = start.0.checked_next_multiple_of(WIDTH).map(TreeSize);
    let tiled = tiled.ok_or(LogError::Corrupt(Problem::RecordChain {
        number: ahead.newest,
        size: start,
    }))?;
    load_tiles(shared, &ahead.start, tiled)?;

    // 3. Replay the rest.
    let end = ahead
        .batches
        .last()
        .map_or(ahead.start.size(), |last| last.new_size);
    if end < tiled {
        let number = ahead.newest;
        return Err(LogError::Corrupt(Problem::RecordChain {
            number,
            size: end,
        }));
    }
    replay(shared, &ahead.batches)?;

    // 4. Write the tiles that became complete. They are durable before any segment goes. Should the last record vanish in
    //    a crash after this, then the tiles beyond the end are never read, and written anew when they are complete again.
    let mut files = TileFiles::new(Arc::clone(disk));
    let size = shared.read().edge.size();
    for index in tiled.0 / WIDTH..size.0 / WIDTH {
        tiler::write_completed(shared, &mut files, index)?;
    }
    files.sync()?;

    // 5. Write the entries beyond the tiles into a new segment, and sync it. What was readable in the old ones need not
    //    have been durable: the process may have been killed before its sync, or the sync may have failed.
    disk.create_folder(FOLDER)
        .during(DiskOperation::Create, FOLDER)?;
    remove(disk.as_ref(), &ahead.names, |name| {
        segment::number(name).is_none()
    })?;
    let records = tail(shared, origin, ahead.note.as_deref())?;
    let segment = Segment::create(disk, ahead.newest + 1, &records, FIRST_LENGTH)?;

    // 6. Only then remove the old ones.
    remove(disk.as_ref(), &ahead.names, |name| {
        segment::number(name).is_some()
    })?;
    Ok(Recovered {
        segment,
        note: ahead.note,
    })
}

fn remove(
    disk: &dyn Disk,
    names: &[String],
    is_chosen: impl Fn(&str) -> bool,
) -> Result<(), LogError> {
    for name in names.iter().filter(|name| is_chosen(name)) {
        let path = format!("{FOLDER}/{name}");
        disk.remove(&path).during(DiskOperation::Remove, &path)?;
    }
    Ok(())
}

/// Reads the segments without changing anything.
pub(crate) fn read(disk: &dyn Disk) -> Result<WriteAhead, LogError> {
    let names = disk.list(FOLDER).during(DiskOperation::List, FOLDER)?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| segment::number(name))
        .collect();
    numbers.sort_unstable();
    let Some(newest) = numbers.last().copied() else {
        return start_of_new_log(disk, names);
    };
    let mut ahead = WriteAhead {
        start: Frontier::new(),
        batches: Vec::new(),
        note: None,
        origin: String::new(),
        format: 0,
        newest,
        names,
    };
    let mut end = None;
    for (number, bytes, start, first) in valid_segments(disk, &numbers)? {
        match end {
            None => {
                ahead.start = start.frontier.clone();
                ahead.origin.clone_from(&start.origin);
                ahead.format = start.format;
            }
            Some(end) if end != start.frontier.size() => {
                return Err(LogError::Corrupt(Problem::SegmentGap { number, end }));
            }
            Some(_) => (),
        }
        if start.note.is_some() {
            ahead.note = start.note;
        }
        end = Some(read_records(
            &mut ahead,
            &bytes,
            number,
            start.frontier.size(),
            first,
        )?);
    }
    Ok(ahead)
}

fn start_of_new_log(disk: &dyn Disk, names: Vec<String>) -> Result<WriteAhead, LogError> {
    let tiles = disk.list("tile").during(DiskOperation::List, "tile")?;
    if !tiles.is_empty() {
        return Err(LogError::Corrupt(Problem::WriteAheadMissing));
    }
    Ok(WriteAhead {
        start: Frontier::new(),
        batches: Vec::new(),
        note: None,
        origin: String::new(),
        format: 0,
        newest: 0,
        names,
    })
}

/// A segment's number, bytes, start, and where its second record begins.
type ValidSegment = (u64, Bytes, Start, usize);

/// Returns the segments that count, oldest first: the newest back to one that needs none before it.
fn valid_segments(disk: &dyn Disk, numbers: &[u64]) -> Result<Vec<ValidSegment>, LogError> {
    let mut segments: Vec<ValidSegment> = Vec::new();
    for (age, number) in numbers.iter().copied().rev().enumerate() {
        // Those before a gap were removed, in this order, when all they held was in tiles; they may have come back.
        if segments
            .last()
            .is_some_and(|(newer, ..)| *newer != number + 1)
        {
            break;
        }
        let path = segment::path(number);
        let bytes: Bytes = disk.read(&path).during(DiskOperation::Read, &path)?.into();
        let first = Record::read(&bytes, 0, number);
        let start = first.and_then(|(record, next)| Some((Start::parse(&record)?, next)));
        let Some((start, next)) = start else {
            // The newest may have got its name and no record yet.
            if age == 0 && numbers.len() > 1 {
                continue;
            }
            return Err(LogError::Corrupt(Problem::SegmentUnreadable { number }));
        };
        let before = start.before;
        segments.push((number, bytes, start, next));
        if before == Before::Tiles {
            break;
        }
    }
    segments.reverse();
    Ok(segments)
}

/// Adds a segment's records, and returns the size at its end.
fn read_records(
    ahead: &mut WriteAhead,
    bytes: &Bytes,
    number: u64,
    start: TreeSize,
    first: usize,
) -> Result<TreeSize, LogError> {
    let mut size = start;
    let mut at = first;
    while let Some((record, next)) = Record::read(bytes, at, number) {
        let damaged = LogError::Corrupt(Problem::RecordChain { number, size });
        match record.kind {
            RecordKind::Entries => {
                let entries = record::entries(&record.payload);
                let entries = entries.filter(|entries| {
                    record.old_size == size && size.0 + entries.len() as u64 == record.new_size.0
                });
                ahead.batches.push(Batch {
                    old_size: size,
                    new_size: record.new_size,
                    root: record.root,
                    entries: entries.ok_or(damaged)?,
                });
                size = record.new_size;
            }
            RecordKind::Note => {
                let note = String::from_utf8(record.payload.to_vec());
                ahead.note = Some(note.map_err(|_| damaged)?);
            }
            RecordKind::Start => return Err(damaged),
        }
        at = next;
    }
    // Records are synced one by one, so a crash tears only the last: whole ones after a torn one are damage.
    let is_followed = (at..bytes.len())
        .step_by(BLOCK)
        .any(|at| Record::read(bytes, at, number).is_some());
    if is_followed {
        return Err(LogError::Corrupt(Problem::RecordChain { number, size }));
    }
    Ok(size)
}

fn require_same_log(ahead: &WriteAhead, origin: &str, format: EntryFormat) -> Result<(), LogError> {
    if ahead.newest == 0 {
        return Ok(());
    }
    if ahead.origin != origin {
        let found = ahead.origin.clone();
        return Err(LogError::Corrupt(Problem::OriginMismatch { found }));
    }
    if ahead.format != format.code() {
        return Err(LogError::Corrupt(Problem::FormatMismatch));
    }
    Ok(())
}

/// Loads the leaf hashes of all written tiles, and proves them against the segments' beginning.
fn load_tiles(shared: &Shared, start: &Frontier, tiled: TreeSize) -> Result<(), LogError> {
    let size = start.size();
    let mismatch = || LogError::Corrupt(Problem::RootMismatch { size });
    let mut state = shared.write();
    for index in 0..tiled.0 / WIDTH {
        let leaves = state::read_leaves(shared.disk.as_ref(), index)?;
        if shared.format.has_identity() {
            for (index, leaf) in (index * WIDTH..).map(LeafIndex).zip(&leaves) {
                state.known.insert(leaf, index);
            }
        }
        let before = state.edge.size();
        let inside = usize::try_from(size.0.saturating_sub(before.0)).unwrap_or(usize::MAX);
        if inside < leaves.len() {
            // The beginning lies inside this tile.
            let hashes = state.edge.frontier_at(before).ok_or_else(mismatch)?;
            let mut check = Frontier::from_hashes(before, hashes).map_err(|_| mismatch())?;
            for leaf in leaves.iter().take(inside) {
                check.append(*leaf, |_, _, _| ());
            }
            if check.root() != start.root() {
                return Err(mismatch());
            }
        }
        state.edge.load(&leaves);
    }
    if state.edge.size() == size && state.edge.root() != start.root() {
        return Err(mismatch());
    }
    Ok(())
}

/// Appends the entries beyond the tiles in memory, checking each record's root.
fn replay(shared: &Shared, batches: &[Batch]) -> Result<(), LogError> {
    let mut state = shared.write();
    for batch in batches {
        for (index, data) in (batch.old_size.0..).zip(&batch.entries) {
            if index < state.edge.size().0 {
                continue; // in a tile
            }
            let index = LeafIndex(index);
            let leaf = shared.format.leaf(data);
            let leaf = leaf.ok_or(LogError::Corrupt(Problem::EntryUnreadable { index }))?;
            if shared.format.has_identity() {
                state.known.insert(&leaf, index);
            }
            state.edge.append(leaf, data);
        }
        if state.edge.size() == batch.new_size && state.edge.root() != batch.root {
            let size = batch.new_size;
            return Err(LogError::Corrupt(Problem::RootMismatch { size }));
        }
    }
    Ok(())
}

/// Makes the records of a segment that holds all that is not in tiles.
fn tail(shared: &Shared, origin: &str, note: Option<&str>) -> Result<Vec<Record>, LogError> {
    let state = shared.read();
    let size = state.edge.size();
    let start = TreeSize(size.0 - size.0 % WIDTH);
    let damaged = || LogError::Corrupt(Problem::RootMismatch { size: start });
    let hashes = state.edge.frontier_at(start).ok_or_else(damaged)?;
    let frontier = Frontier::from_hashes(start, hashes).map_err(|_| damaged())?;
    let start_record = Start::new(Before::Tiles, shared.format, frontier, origin, note);
    let mut records = vec![start_record.to_record()];
    if size > start {
        let mut payload = Vec::new();
        for index in start.0..size.0 {
            let entry = state.edge.entry(LeafIndex(index)).ok_or_else(damaged)?;
            record::push_entry(&mut payload, &entry);
        }
        let root = state.edge.root();
        records.push(segment::entries_record(start, size, root, payload));
    }
    Ok(records)
}
