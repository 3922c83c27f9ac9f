//! A segment of the log's write-ahead file, as a crash or a bad disk may leave it.
//!
//! Checksums are put right before the check looks: a fuzzer does not guess them, and what they protect is the question.
//! With an odd first byte the bytes stand behind a good first record, else they are the whole file.
#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use stella_server::disk::{Disk, DiskFile};
use stella_server::fsck::{self, Expected};
use stella_server::log::EntryFormat;
use stella_tlog::hash::Hash;

/// Records begin at multiples of this.
const BLOCK: usize = 4096;

/// What a record has before its payload.
const HEADER: usize = 72;

const ORIGIN: &str = "log.example.com";

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else {
        return;
    };
    let mut segment = if first % 2 == 1 { start() } else { Vec::new() };
    segment.extend_from_slice(rest);
    put_checksums_right(&mut segment);
    let expected = Expected {
        origin: ORIGIN.to_owned(),
        format: EntryFormat::Rekor,
        keys: Vec::new(),
        checkpoints: Vec::new(),
    };
    let _ = fsck::fsck(&OneSegment(segment), &expected);
});

/// Returns the first record of an empty log: version, kind of beginning, format, zero, origin, no note.
fn start() -> Vec<u8> {
    let mut payload = vec![1, 1, 1, 0];
    for text in [ORIGIN, ""] {
        payload.extend_from_slice(&(text.len() as u32).to_be_bytes());
        payload.extend_from_slice(text.as_bytes());
    }
    let mut record = b"slr1\0\0\0\0\x01\0\0\0".to_vec();
    record.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    for number in [1_u64, 0, 0] {
        record.extend_from_slice(&number.to_be_bytes());
    }
    record.extend_from_slice(Hash::EMPTY_ROOT.as_bytes());
    record.extend_from_slice(&payload);
    record.resize(BLOCK, 0);
    record
}

/// Gives every block that could begin a record the checksum and the segment number of a good one.
fn put_checksums_right(segment: &mut [u8]) {
    for at in (0..segment.len()).step_by(BLOCK) {
        let Some(header) = segment.get_mut(at..at + HEADER) else {
            return;
        };
        header[16..24].copy_from_slice(&1_u64.to_be_bytes());
        let length = u32::from_be_bytes([header[12], header[13], header[14], header[15]]);
        let Some(checked) = segment.get(at + 8..at + HEADER + length as usize) else {
            continue;
        };
        let checksum = crc32c::crc32c(checked);
        segment[at + 4..at + 8].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// A disk with nothing but `wal/0000000001`, and nothing to be written.
struct OneSegment(Vec<u8>);

impl Disk for OneSegment {
    fn create(&self, _: &str) -> io::Result<Box<dyn DiskFile>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn create_folder(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        Ok(if folder == "wal" {
            vec!["0000000001".to_owned()]
        } else {
            Vec::new()
        })
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match path {
            "wal/0000000001" => Ok(self.0.clone()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_folder(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
