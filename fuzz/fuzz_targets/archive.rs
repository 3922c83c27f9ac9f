//! Files of archives: nothing panics, nothing grows without bound, and a leaf that is read is written as it came.
#![no_main]

use std::ops::Range;

use libfuzzer_sys::fuzz_target;
use stella_archive::anchor::Anchor;
use stella_archive::fall::Falls;
use stella_archive::frames::{self, Class};
use stella_archive::growth::GrowthFile;
use stella_archive::history::{History, judge};
use stella_archive::index::{HEAD, Head, IndexError, Keys, ReadAt};
use stella_archive::keyset::Keyset;
use stella_archive::leaf::Leaf;
use stella_archive::retention::{Hold, Prune};
use stella_archive::statement::OrgStatement;
use stella_bundle::time::UnixTime;

/// What a frame may hold here.
const FRAME: usize = 1 << 16;

struct Memory<'a>(&'a [u8]);

impl ReadAt for Memory<'_> {
    type Error = IndexError;

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, IndexError> {
        let start = usize::try_from(range.start).map_err(|_| IndexError)?;
        let end = usize::try_from(range.end).map_err(|_| IndexError)?;
        self.0.get(start..end).map(<[u8]>::to_vec).ok_or(IndexError)
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(leaf) = Leaf::parse(bytes) {
        assert_eq!(leaf.to_line().as_bytes(), bytes);
    }
    if let Ok((growth, ..)) = GrowthFile::read(bytes) {
        let _ = growth.verify();
    }
    if let Ok(hold) = Hold::parse(bytes) {
        assert_eq!(hold.to_bytes(), bytes);
    }
    if let Ok(prune) = Prune::parse(bytes) {
        assert_eq!(prune.to_bytes(), bytes);
    }
    if let Ok(statement) = OrgStatement::parse(bytes) {
        let _ = statement.to_manifest();
    }
    if let Ok(keyset) = Keyset::parse(bytes) {
        assert_eq!(Keyset::parse(&keyset.to_bytes()), Ok(keyset));
    }
    let text = String::from_utf8_lossy(bytes);
    // An anchor and a past may come in one input.
    let (first, rest) = text.split_once('\0').unwrap_or((&text, &text));
    if let (Ok(anchor), Ok(past)) = (Anchor::parse(first), History::parse(rest.as_bytes())) {
        let now = UnixTime::from_seconds(1_800_000_000);
        let _ = judge(&past, &anchor, &Falls::default(), None, now);
    }
    if let Ok(split) = frames::split(bytes) {
        for frame in split {
            assert!(!frame.is_empty());
            if let Ok(raw) = frames::decompress(frame, FRAME) {
                assert!(raw.len() <= FRAME);
            }
        }
    }
    let head = bytes.get(..HEAD).and_then(|head| Head::parse(head, bytes.len() as u64).ok());
    if let Some(head) = head {
        let file = Memory(bytes);
        let _ = head.find(&file, Keys::Bundles, &[0x55; 32]);
        let _ = head.find(&file, Keys::Subjects, &[0xff; 32]);
        let _ = head.frame(&file, Class::Evidence, 7);
    }
});
