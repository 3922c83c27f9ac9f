//! The engine on a local folder: places, proofs, tiles, duplicates and refusals. What a crash does is tested in
//! `stella-testkit`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;

use stella_bundle::key::KeyDetails;
use stella_keys::EphemeralKey;
use stella_tlog::note::VerifierKey;
use stella_tlog::proof;
use stella_tlog::tile;
use stella_tlog::{hash, tree::Frontier};

use super::*;
use crate::disk::Local;
use crate::fsck::{self, Expected};

const ORIGIN: &str = "log.example";

struct Fixture {
    folder: tempfile::TempDir,
    signer: Arc<CheckpointSigner>,
    format: EntryFormat,
}

impl Fixture {
    fn new(format: EntryFormat) -> Self {
        let name = KeyName::new(ORIGIN).unwrap();
        let signer = match format {
            EntryFormat::Rekor => {
                let key = EphemeralKey::generate(KeyDetails::Ed25519).unwrap();
                CheckpointSigner::text(name, Arc::new(key))
            }
            EntryFormat::StaticCt => {
                let key = EphemeralKey::generate(KeyDetails::EcdsaP256Sha256).unwrap();
                CheckpointSigner::tree_head(name, Arc::new(key))
            }
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            signer: Arc::new(signer.unwrap()),
            format,
        }
    }

    fn disk(&self) -> Local {
        Local::open(self.folder.path()).unwrap()
    }

    fn options(&self) -> LogOptions {
        let mut options = LogOptions::new(
            KeyName::new(ORIGIN).unwrap(),
            self.format,
            vec![Arc::clone(&self.signer)],
            Arc::new(|| UnixTime::from_seconds(1_800_000_000)),
        );
        options.segment_limit = 0;
        options
    }

    fn open(&self) -> Log {
        Log::open(Arc::new(self.disk()), self.options()).unwrap()
    }

    fn key(&self) -> VerifierKey {
        self.signer.key().clone()
    }

    fn assert_fsck(&self, size: u64, checkpoints: Vec<String>) {
        let expected = Expected {
            origin: ORIGIN.to_owned(),
            format: self.format,
            keys: vec![self.key()],
            checkpoints,
        };
        let report = fsck::fsck(&self.disk(), &expected).unwrap();
        assert_eq!(report.problems, []);
        assert_eq!(report.size, TreeSize(size));
    }

    /// Verifies an answer as a client would, from the signed checkpoint on.
    fn assert_proved(&self, data: &[u8], appended: &Appended) {
        let note = Note::parse(&appended.checkpoint).unwrap();
        note.verify(&self.key()).unwrap();
        let checkpoint = Checkpoint::parse(&note.text).unwrap();
        let leaf = self.format.leaf(data).unwrap();
        assert_eq!(appended.data, data);
        proof::verify_inclusion(
            &leaf,
            appended.index,
            checkpoint.size,
            &checkpoint.root,
            &appended.hashes,
        )
        .unwrap();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.build().unwrap().block_on(future)
}

fn request(data: Vec<u8>) -> (Option<Hash>, Build) {
    let leaf = hash::leaf(&data);
    let data = Bytes::from(data);
    (Some(leaf), Box::new(move |_| Entry { data, leaf }))
}

fn append(log: &Log, data: &[u8]) -> Result<Appended, LogError> {
    let (identity, build) = request(data.to_vec());
    wait(log.append(identity, build))
}

fn numbered(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

/// Compares every tile of the served tree, whole and in part, with what the entries give.
fn assert_tiles(log: &Log, entries: &[Vec<u8>]) {
    let leaves: Vec<Hash> = entries.iter().map(|data| hash::leaf(data)).collect();
    let mut roots = Vec::new();
    for (index, tile) in (0..).zip(leaves.chunks(256)) {
        for width in 1..=tile.len() {
            let served = log.tile(0, index, u16::try_from(width).unwrap()).unwrap();
            assert_eq!(served, tiler::bytes_of(&tile[..width]));
        }
        let width = u16::try_from(tile.len()).unwrap();
        for width in [1, width / 2, width] {
            let bundle = log.entries(index, width).unwrap();
            let start = usize::try_from(index * 256).unwrap();
            let expected = &entries[start..start + usize::from(width)];
            assert_eq!(tile::entries(&bundle).unwrap(), expected);
        }
        for beyond in [0, width + 1, 257] {
            assert_eq!(log.tile(0, index, beyond), Err(LogError::NotFound));
            assert_eq!(log.entries(index, beyond), Err(LogError::NotFound));
        }
        let mut frontier = Frontier::new();
        for leaf in tile {
            frontier.append(*leaf, |_, _, _| ());
        }
        if tile.len() == 256 {
            roots.push(frontier.root());
        }
    }
    let width = u16::try_from(roots.len()).unwrap();
    assert_eq!(log.tile(1, 0, width).unwrap(), tiler::bytes_of(&roots));
    for (level, index) in [(1, 1), (2, 0), (8, 0), (63, 0), (255, 0), (0, u64::MAX)] {
        assert_eq!(log.tile(level, index, 1), Err(LogError::NotFound));
    }
}

#[test]
fn tiles_are_served_from_memory_and_files_alike() {
    let fixture = Fixture::new(EntryFormat::Rekor);
    let log = fixture.open();
    let entries: Vec<Vec<u8>> = (0..600).map(numbered).collect();
    let requests = entries.iter().cloned().map(request).collect();
    for (answer, data) in log.append_all(requests).into_iter().zip(&entries) {
        fixture.assert_proved(data, &wait(answer).unwrap());
    }
    assert_tiles(&log, &entries);
    let checkpoint = log.checkpoint().to_string();
    log.close();
    fixture.assert_fsck(600, vec![checkpoint.clone()]);

    let log = fixture.open();
    assert_eq!(*log.checkpoint(), checkpoint);
    assert_tiles(&log, &entries);
    // Old entries are found and proved from files.
    for at in [0, 255, 256, 511, 512, 599] {
        let again = append(&log, &entries[at]).unwrap();
        assert!(again.duplicate);
        assert_eq!(again.index, LeafIndex(at as u64));
        fixture.assert_proved(&entries[at], &again);
    }
    assert_eq!(log.size(), TreeSize(600));
}

#[test]
fn many_at_once_get_their_own_places_and_repeated_ones_the_same() {
    let fixture = Fixture::new(EntryFormat::Rekor);
    let log = fixture.open();
    let places: Vec<(u64, u64)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (log, fixture) = (log.clone(), &fixture);
                scope.spawn(move || {
                    let mut places = Vec::new();
                    for round in 0..50 {
                        // Two threads each ask for the same entry, often at the same time.
                        let number = round * 4 + thread % 4;
                        let appended = append(&log, &numbered(number)).unwrap();
                        fixture.assert_proved(&numbered(number), &appended);
                        places.push((number, appended.index.0));
                    }
                    places
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let distinct: BTreeSet<(u64, u64)> = places.into_iter().collect();
    assert_eq!(distinct.len(), 200);
    let indices: BTreeSet<u64> = distinct.iter().map(|(_, index)| *index).collect();
    assert_eq!(indices, (0..200).collect());
}

#[test]
fn an_entry_that_cannot_be_logged_is_refused_alone() {
    let fixture = Fixture::new(EntryFormat::Rekor);
    let log = fixture.open();
    let leaf = hash::leaf(b"good");
    let entry = |data: Vec<u8>, leaf| -> Build {
        Box::new(move |_| Entry {
            data: data.into(),
            leaf,
        })
    };
    let long = vec![0; tile::MAX_ENTRY + 1];
    let long_leaf = hash::leaf(&long);
    let panics: Build = Box::new(|_| panic!("a bug in a service"));
    let answers = log.append_all(vec![
        (None, panics),
        (None, entry(b"other".to_vec(), leaf)),
        (None, entry(long, long_leaf)),
        (Some(hash::leaf(b"other")), entry(b"good".to_vec(), leaf)),
        (Some(leaf), entry(b"good".to_vec(), leaf)),
    ]);
    let answers: Vec<_> = answers.into_iter().map(wait).collect();
    let faults = [
        EntryFault::Panicked,
        EntryFault::LeafHash,
        EntryFault::Malformed,
        EntryFault::Identity,
    ];
    for (answer, fault) in answers.iter().zip(faults) {
        assert_eq!(*answer, Err(LogError::Entry(fault)));
    }
    assert_eq!(answers[4].as_ref().unwrap().index, LeafIndex(0));
    assert_eq!(log.size(), TreeSize(1));
}

/// A certificate's `TileLeaf` (C2SP static-ct-api) that holds its own place.
fn tile_leaf(index: LeafIndex) -> Vec<u8> {
    let mut leaf = vec![0; 8];
    leaf.extend([0, 0, 0, 0, 4]);
    leaf.extend(b"cert");
    leaf.extend([0, 8, 0, 0, 5]);
    leaf.extend(&index.0.to_be_bytes()[3..]);
    leaf.extend([0, 0]);
    leaf
}

#[test]
fn a_certificate_log_has_entries_that_know_their_place() {
    let fixture = Fixture::new(EntryFormat::StaticCt);
    let log = fixture.open();
    let build = || -> Build {
        Box::new(|index| {
            let data = tile_leaf(index);
            let leaf = EntryFormat::StaticCt.leaf(&data).unwrap();
            Entry {
                data: data.into(),
                leaf,
            }
        })
    };
    let answers = log.append_all((0..300).map(|_| (None, build())).collect());
    for (index, answer) in (0..300).map(LeafIndex).zip(answers) {
        let appended = wait(answer).unwrap();
        assert_eq!(appended.index, index);
        fixture.assert_proved(&tile_leaf(index), &appended);
    }
    let bundle: Vec<u8> = (0..44)
        .flat_map(|at| tile_leaf(LeafIndex(256 + at)))
        .collect();
    assert_eq!(log.entries(1, 44).unwrap(), bundle);
    log.close();
    fixture.assert_fsck(300, vec![log.checkpoint().to_string()]);
    let log = fixture.open();
    assert_eq!(
        wait(log.append(None, build())).unwrap().index,
        LeafIndex(300)
    );
}

#[test]
fn segments_go_when_their_entries_are_in_tiles() {
    let fixture = Fixture::new(EntryFormat::Rekor);
    let log = fixture.open();
    for round in 0..20 {
        let requests = (0..100).map(|at| {
            let mut data = numbered(round * 100 + at);
            data.resize(1000, 0);
            request(data)
        });
        for answer in log.append_all(requests.collect()) {
            wait(answer).unwrap();
        }
    }
    log.close();
    // 2000 entries of 1000 bytes: eight segments of 256 KiB, and only those since the last complete tile are kept.
    let segments = fixture.disk().list(segment::FOLDER).unwrap();
    assert!(segments.len() <= 4, "{segments:?}");
    fixture.assert_fsck(2000, Vec::new());
    let log = fixture.open();
    assert_eq!(log.size(), TreeSize(2000));
    assert_eq!(fixture.disk().list(segment::FOLDER).unwrap().len(), 1);
}

#[test]
fn a_closed_log_refuses_and_still_serves() {
    let fixture = Fixture::new(EntryFormat::Rekor);
    let log = fixture.open();
    append(&log, b"one").unwrap();
    log.close();
    log.close();
    assert_eq!(append(&log, b"two"), Err(LogError::Closed));
    assert!(append(&log, b"one").unwrap().duplicate);
    assert_eq!(log.entries(0, 1).unwrap(), b"\0\x03one".as_slice());
}

#[test]
fn a_log_of_another_name_or_format_is_not_opened() {
    let fixture = Fixture::new(EntryFormat::Rekor);
    drop(fixture.open());
    let mut options = fixture.options();
    options.origin = KeyName::new("other.example").unwrap();
    let refused = Log::open(Arc::new(fixture.disk()), options).err();
    let found = ORIGIN.to_owned();
    assert_eq!(
        refused,
        Some(LogError::Corrupt(Problem::OriginMismatch { found }))
    );
    let mut options = fixture.options();
    options.format = EntryFormat::StaticCt;
    let refused = Log::open(Arc::new(fixture.disk()), options).err();
    assert_eq!(refused, Some(LogError::Corrupt(Problem::FormatMismatch)));
}
