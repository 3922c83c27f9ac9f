//! What was collected, on disk: the bytes end to end, a record of fixed length about each, and what each speaks of.
//!
//! In memory is only what sorting needs: 64 bytes for each attestation. Once the set is frozen these files do not change.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use stella_archive::fingerprint::Fingerprint;
use stella_archive::leaf::{Kind, Leaf, Status};

use super::error::ArchiveError;

/// Bytes of a record.
const RECORD: usize = 96;
/// A record's time where there is none.
const NO_TIME: i64 = i64::MIN;
/// Bytes of an entry about a subject: the record's number and the key.
const SUBJECT: usize = 36;

/// What was found about one attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Of its bytes.
    pub(crate) digest: Fingerprint,
    /// What verification found.
    pub(crate) status: Status,
    /// When it was signed, in seconds.
    pub(crate) time: Option<i64>,
    /// The beginning of the SHA-256 of what signed it.
    pub(crate) signer: u64,
    /// Keys of what it speaks of.
    pub(crate) subjects: Vec<[u8; 32]>,
    /// Where it is logged: origin and index.
    pub(crate) entries: Vec<(String, u64)>,
}

impl Finding {
    /// Returns the leaf of an attestation of so many bytes.
    pub(crate) fn leaf(&self, size: u64) -> Leaf {
        Leaf {
            kind: Kind::Attestation,
            status: self.status.clone(),
            profile: 0,
            digest: self.digest,
            size,
            time: self.time,
        }
    }
}

/// Bytes after which the disk is told to write.
const EARLY: u64 = 256 << 20;
/// Seconds of which attestations are sorted by their signer: a certificate's life.
const SLOT: i64 = 600;

/// By what attestations are sorted, with the number of the record: whether it was rejected, slot, signer, digest. Those of one
/// signer stay together, so that what they share is verified and packed once.
type Rank = ((bool, i64, u64, [u8; 32]), u32);

/// What a spool has.
pub(crate) struct Counted {
    /// Attestations that hold, each counted once.
    pub(crate) verified: u64,
    /// Why others were refused; a record has the number of its own, from 1.
    pub(crate) reasons: Vec<String>,
}

/// A spool that is being written.
pub(crate) struct SpoolWriter {
    folder: PathBuf,
    bytes: BufWriter<File>,
    records: BufWriter<File>,
    subjects: BufWriter<File>,
    offset: u64,
    /// Reasons of refusal; a record has the number of its own, from 1.
    reasons: Vec<String>,
    ranks: Vec<Rank>,
    /// Bytes that the disk has, or is writing.
    synced: u64,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl SpoolWriter {
    /// Begins a spool; what an earlier one left is gone.
    pub(crate) fn create(folder: &Path) -> Result<Self, ArchiveError> {
        let open = |name: &str| {
            let path = folder.join(name);
            let file = File::create(&path).map_err(|error| ArchiveError::io("write", &path, error));
            file.map(|file| BufWriter::with_capacity(1 << 20, file))
        };
        Ok(Self {
            bytes: open("bytes")?,
            records: open("records")?,
            subjects: open("subjects")?,
            folder: folder.to_owned(),
            offset: 0,
            reasons: Vec::new(),
            ranks: Vec::new(),
            synced: 0,
            syncing: None,
        })
    }

    /// Adds an attestation.
    pub(crate) fn push(&mut self, bytes: &[u8], finding: &Finding) -> Result<(), ArchiveError> {
        let number = u32::try_from(self.ranks.len()).map_err(|_| ArchiveError::TooMany)?;
        let reason = match &finding.status {
            Status::Verified => 0,
            Status::Rejected(reason) => self.reason(reason),
        };
        let mut record = Vec::with_capacity(RECORD);
        record.extend_from_slice(&finding.digest.sha256);
        record.extend_from_slice(&finding.digest.sha3);
        record.extend_from_slice(&finding.time.unwrap_or(NO_TIME).to_le_bytes());
        record.extend_from_slice(&self.offset.to_le_bytes());
        record.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        record.extend_from_slice(&(reason as u64).to_le_bytes());
        let written = self
            .records
            .write_all(&record)
            .and_then(|()| self.bytes.write_all(bytes));
        written.map_err(|error| self.error(error))?;
        for key in &finding.subjects {
            let written = self.subjects.write_all(&number.to_le_bytes());
            let written = written.and_then(|()| self.subjects.write_all(key));
            written.map_err(|error| self.error(error))?;
        }
        self.offset += bytes.len() as u64;
        self.sync_early()?;
        let is_rejected = finding.status != Status::Verified;
        let slot = finding.time.unwrap_or(NO_TIME).div_euclid(SLOT);
        let rank = (is_rejected, slot, finding.signer, finding.digest.sha256);
        self.ranks.push((rank, number));
        Ok(())
    }

    /// Has the disk write what came so far while more comes: at the end little is left to wait for.
    fn sync_early(&mut self) -> Result<(), ArchiveError> {
        if self.offset < self.synced + EARLY {
            return Ok(());
        }
        self.synced = self.offset;
        self.join()?;
        let file = self.bytes.get_ref().try_clone();
        let file = file.map_err(|error| self.error(error))?;
        self.syncing = Some(thread::spawn(move || file.sync_data()));
        Ok(())
    }

    /// Waits for what is being written.
    fn join(&mut self) -> Result<(), ArchiveError> {
        let Some(syncing) = self.syncing.take() else {
            return Ok(());
        };
        let synced = syncing.join();
        let synced = synced.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
        synced.map_err(|error| self.error(error))
    }

    fn reason(&mut self, reason: &str) -> usize {
        let known = self.reasons.iter().position(|each| each == reason);
        let at = known.unwrap_or_else(|| {
            self.reasons.push(reason.to_owned());
            self.reasons.len() - 1
        });
        at + 1
    }

    /// Sorts what was collected, once each, and makes it durable; returns how many there are.
    pub(crate) fn finish(mut self) -> Result<Counted, ArchiveError> {
        self.join()?;
        self.ranks.sort_unstable();
        // The same bytes have the same rank.
        self.ranks.dedup_by(|later, earlier| later.0 == earlier.0);
        let path = self.folder.join("order");
        let order = File::create(&path).map_err(|error| ArchiveError::io("write", &path, error))?;
        let mut order = BufWriter::new(order);
        for (_, number) in &self.ranks {
            let written = order.write_all(&number.to_le_bytes());
            written.map_err(|error| ArchiveError::io("write", &path, error))?;
        }
        for file in [
            &mut self.bytes,
            &mut self.records,
            &mut self.subjects,
            &mut order,
        ] {
            let synced = file.flush().and_then(|()| file.get_ref().sync_all());
            synced.map_err(|error| ArchiveError::io("write", &self.folder, error))?;
        }
        let rejected = |(rank, _): &&Rank| rank.0;
        Ok(Counted {
            verified: (self.ranks.len() - self.ranks.iter().filter(rejected).count()) as u64,
            reasons: self.reasons,
        })
    }

    fn error(&self, error: std::io::Error) -> ArchiveError {
        ArchiveError::io("write", &self.folder, error)
    }
}

/// A spool of a frozen set.
pub(crate) struct Spool {
    folder: PathBuf,
    bytes: File,
    records: File,
    reasons: Vec<String>,
}

impl Spool {
    /// Opens a frozen spool.
    pub(crate) fn open(folder: &Path, reasons: Vec<String>) -> Result<Self, ArchiveError> {
        let open = |name: &str| {
            let path = folder.join(name);
            File::open(&path).map_err(|error| ArchiveError::io("read", &path, error))
        };
        Ok(Self {
            bytes: open("bytes")?,
            records: open("records")?,
            folder: folder.to_owned(),
            reasons,
        })
    }

    /// Returns the numbers of the records in the order of the leaves.
    pub(crate) fn order(&self) -> Result<Vec<u32>, ArchiveError> {
        let path = self.folder.join("order");
        let bytes = std::fs::read(&path).map_err(|error| ArchiveError::io("read", &path, error))?;
        let number = |four: &[u8]| four.try_into().map(u32::from_le_bytes).unwrap_or_default();
        Ok(bytes.chunks_exact(4).map(number).collect())
    }

    /// Reads an attestation and its leaf.
    pub(crate) fn read(&self, number: u32) -> Result<(Leaf, Vec<u8>), ArchiveError> {
        let wrong = |error| ArchiveError::io("read", &self.folder, error);
        let mut record = [0; RECORD];
        let at = u64::from(number) * RECORD as u64;
        read_at(&self.records, at, &mut record).map_err(wrong)?;
        let word = |at: usize| {
            let eight = record[at..at + 8].try_into();
            eight.map(u64::from_le_bytes).unwrap_or_default()
        };
        let (time, offset, size, reason) = (word(64) as i64, word(72), word(80), word(88));
        let mut digest = Fingerprint {
            sha256: [0; 32],
            sha3: [0; 32],
        };
        digest.sha256.copy_from_slice(&record[..32]);
        digest.sha3.copy_from_slice(&record[32..64]);
        let reason = (reason as usize).checked_sub(1);
        let leaf = Leaf {
            kind: Kind::Attestation,
            status: match reason {
                None => Status::Verified,
                Some(at) => Status::Rejected(self.reasons.get(at).cloned().unwrap_or_default()),
            },
            profile: 0,
            digest,
            size,
            time: Some(time).filter(|time| *time != NO_TIME),
        };
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        read_at(&self.bytes, offset, &mut bytes).map_err(wrong)?;
        Ok((leaf, bytes))
    }

    /// Calls `each` with the number of every record and a key of what it speaks of.
    pub(crate) fn subjects(&self, mut each: impl FnMut(u32, [u8; 32])) -> Result<(), ArchiveError> {
        let path = self.folder.join("subjects");
        let wrong = |error| ArchiveError::io("read", &path, error);
        let mut file = File::open(&path).map_err(wrong)?;
        let length = file.seek(SeekFrom::End(0)).map_err(wrong)?;
        file.seek(SeekFrom::Start(0)).map_err(wrong)?;
        let mut file = std::io::BufReader::with_capacity(1 << 20, file);
        let mut entry = [0; SUBJECT];
        for _ in 0..length / SUBJECT as u64 {
            file.read_exact(&mut entry).map_err(wrong)?;
            let mut key = [0; 32];
            key.copy_from_slice(&entry[4..]);
            let number = entry[..4].try_into().map(u32::from_le_bytes);
            each(number.unwrap_or_default(), key);
        }
        Ok(())
    }
}

fn read_at(mut file: &File, at: u64, into: &mut [u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(into)
}
