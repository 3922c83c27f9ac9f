//! Write-ahead segments: files of zeros into which records are written and synced one after the other.
//!
//! A file that does not grow is synced at half the cost, so segments are made of zeros beforehand. What records look like
//! is in `record`; what a crash leaves of them is read in `recovery`.

use std::sync::Arc;

use bytes::Bytes;
use stella_tlog::hash::Hash;
use stella_tlog::tree::{Frontier, TreeSize};

use super::error::{DiskOperation, During as _, LogError};
use super::format::EntryFormat;
use super::record::{self, Record, RecordKind};
use crate::disk::{Disk, DiskFile};

/// The folder of the segments.
pub(super) const FOLDER: &str = "wal";

/// The length of the first segment after opening; each later one is twice as long, up to the limit.
pub(super) const FIRST_LENGTH: u64 = 256 * 1024;

/// Zeros are written in pieces of this length.
const ZEROS: usize = 256 * 1024;

/// The version of the layout.
const VERSION: u8 = 1;

/// The length of what stands before the frontier in a [`Start`]: version, kind of beginning, format, zero.
const FIXED: usize = 4;

/// The payload of a segment's first record: where the log stood when the segment began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    /// What the segment presumes to be on disk.
    pub(super) before: Before,
    /// The code of the log's format.
    pub(super) format: u8,
    /// The frontier of the tree before the segment's first entry.
    pub(super) frontier: Frontier,
    /// The log's origin.
    pub(super) origin: String,
    /// The checkpoint that was served when the segment began, if it holds cosignatures, which cannot be made anew.
    pub(super) note: Option<String>,
}

/// What a segment presumes to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// All entries before it are in tiles: older segments say nothing any more. Such a segment gets its name only when all
    /// of it is synced.
    Tiles,
    /// The entries before it that are not in tiles are in the segment of the number before.
    Segment,
}

impl Start {
    pub(super) fn new(
        before: Before,
        format: EntryFormat,
        frontier: Frontier,
        origin: &str,
        note: Option<&str>,
    ) -> Self {
        Self {
            before,
            format: format.code(),
            frontier,
            origin: origin.to_owned(),
            note: note.map(str::to_owned),
        }
    }

    pub(super) fn to_record(&self) -> Record {
        let is_base = u8::from(self.before == Before::Tiles);
        let mut payload = vec![VERSION, is_base, self.format, 0];
        for hash in self.frontier.hashes() {
            payload.extend_from_slice(hash.as_bytes());
        }
        record::push_entry(&mut payload, self.origin.as_bytes());
        record::push_entry(
            &mut payload,
            self.note.as_deref().unwrap_or_default().as_bytes(),
        );
        Record {
            kind: RecordKind::Start,
            old_size: self.frontier.size(),
            new_size: self.frontier.size(),
            root: self.frontier.root(),
            payload: payload.into(),
        }
    }

    pub(super) fn parse(record: &Record) -> Option<Self> {
        let [VERSION, is_base, format, 0] = *record.payload.first_chunk()? else {
            return None;
        };
        let texts_at = FIXED + record.new_size.0.count_ones() as usize * Hash::SIZE;
        let hashes = record.payload.get(FIXED..texts_at)?;
        let texts = record::entries(&record.payload.slice(texts_at..))?;
        let [origin, note] = texts.as_slice() else {
            return None;
        };
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).ok();
        let hashes = hashes
            .chunks(Hash::SIZE)
            .map(|hash| Hash::try_from(hash).ok())
            .collect::<Option<Vec<Hash>>>()?;
        let frontier = Frontier::from_hashes(record.new_size, hashes).ok()?;
        if record.kind != RecordKind::Start || frontier.root() != record.root {
            return None;
        }
        Some(Self {
            before: match is_base {
                0 => Before::Segment,
                _ => Before::Tiles,
            },
            format,
            frontier,
            origin: text(origin)?,
            note: Some(text(note)?).filter(|note| !note.is_empty()),
        })
    }
}

/// Returns the path of a segment.
pub(super) fn path(number: u64) -> String {
    format!("{FOLDER}/{number:010}")
}

/// Returns a segment's number by its name in the folder; `None` for files that are none.
pub(super) fn number(name: &str) -> Option<u64> {
    let number: u64 = name.parse().ok()?;
    (name.len() == 10).then_some(number)
}

/// A file of zeros, synced, that may become a segment.
pub(super) struct Spare {
    file: Box<dyn DiskFile>,
    path: String,
    length: u64,
}

impl Spare {
    /// Makes a spare under a temporary name; `content` stands where zeros would.
    pub(super) fn prepare(
        disk: &dyn Disk,
        path: String,
        content: &[u8],
        length: u64,
    ) -> Result<Self, LogError> {
        let mut file = disk.create(&path).during(DiskOperation::Create, &path)?;
        let mut at = content.len() as u64;
        file.write_at(0, content)
            .during(DiskOperation::Write, &path)?;
        while at < length {
            let piece = usize::try_from(length - at).map_or(ZEROS, |left| left.min(ZEROS));
            file.write_at(at, &vec![0; piece])
                .during(DiskOperation::Write, &path)?;
            at += piece as u64;
        }
        file.sync_data().during(DiskOperation::Sync, &path)?;
        Ok(Self {
            file,
            path,
            length: at,
        })
    }

    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Removes the file.
    pub(super) fn discard(self, disk: &dyn Disk) -> Result<(), LogError> {
        disk.remove(&self.path)
            .during(DiskOperation::Remove, &self.path)
    }
}

/// The segment that is written to.
pub(super) struct Segment {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    number: u64,
    length: u64,
    at: u64,
}

impl Segment {
    /// Makes a segment whose records are durable before it has its name, so that it may replace all older ones.
    pub(super) fn create(
        disk: &Arc<dyn Disk>,
        number: u64,
        records: &[Record],
        length: u64,
    ) -> Result<Self, LogError> {
        let content = bytes_of(records, number);
        let temporary = format!("{}.new", path(number));
        let spare = Spare::prepare(disk.as_ref(), temporary, &content, length)?;
        let segment = Self::adopt(disk, number, spare, content.len() as u64)?;
        disk.sync_folder(FOLDER)
            .during(DiskOperation::Sync, FOLDER)?;
        Ok(segment)
    }

    fn adopt(disk: &Arc<dyn Disk>, number: u64, spare: Spare, at: u64) -> Result<Self, LogError> {
        let name = path(number);
        disk.rename(&spare.path, &name)
            .during(DiskOperation::Rename, &name)?;
        Ok(Self {
            disk: Arc::clone(disk),
            file: spare.file,
            number,
            length: spare.length,
            at,
        })
    }

    /// Writes records and syncs them once; `Ok` means that they are durable.
    pub(super) fn commit(&mut self, records: &[Record]) -> Result<(), LogError> {
        let bytes = bytes_of(records, self.number);
        let path = path(self.number);
        self.file
            .write_at(self.at, &bytes)
            .during(DiskOperation::Write, &path)?;
        self.file.sync_data().during(DiskOperation::Sync, &path)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Goes on in the next segment, whose first records these are; `Ok` means that they are durable.
    ///
    /// `spare` is used if it is long enough.
    pub(super) fn rotate(
        &mut self,
        records: &[Record],
        spare: Option<Spare>,
        limit: u64,
    ) -> Result<(), LogError> {
        let number = self.number + 1;
        let needed = length_of(records);
        let spare = match spare {
            Some(spare) if spare.length >= needed => spare,
            short => {
                if let Some(short) = short {
                    short.discard(self.disk.as_ref())?;
                }
                let length = self.next_length(limit).max(needed);
                let temporary = format!("{}.new", path(number));
                Spare::prepare(self.disk.as_ref(), temporary, &[], length)?
            }
        };
        let mut next = Self::adopt(&self.disk, number, spare, 0)?;
        next.commit(records)?;
        self.disk
            .sync_folder(FOLDER)
            .during(DiskOperation::Sync, FOLDER)?;
        *self = next;
        Ok(())
    }

    /// Says whether the records fit.
    pub(super) fn has_room_for(&self, records: &[Record]) -> bool {
        self.at + length_of(records) <= self.length
    }

    /// Says whether it is time to prepare the next segment.
    pub(super) const fn is_half_full(&self) -> bool {
        self.at > self.length / 2
    }

    /// Returns the length that the next segment should have.
    pub(super) fn next_length(&self, limit: u64) -> u64 {
        self.length.saturating_mul(2).min(limit.max(FIRST_LENGTH))
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }
}

/// Makes the record of a batch.
pub(super) fn entries_record(
    old_size: TreeSize,
    new_size: TreeSize,
    root: Hash,
    payload: Vec<u8>,
) -> Record {
    Record {
        kind: RecordKind::Entries,
        old_size,
        new_size,
        root,
        payload: payload.into(),
    }
}

/// Makes the record of a served note.
pub(super) fn note_record(size: TreeSize, root: Hash, note: &str) -> Record {
    Record {
        kind: RecordKind::Note,
        old_size: size,
        new_size: size,
        root,
        payload: Bytes::copy_from_slice(note.as_bytes()),
    }
}

fn bytes_of(records: &[Record], number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        record.write(number, &mut bytes);
    }
    bytes
}

/// Returns what the records take at most, without writing them.
fn length_of(records: &[Record]) -> u64 {
    let blocks = |of: &Record| of.payload.len() / record::BLOCK + 2;
    let blocks: usize = records.iter().map(blocks).sum();
    (blocks * record::BLOCK) as u64
}
