//! A machine with a log on a simulated disk, and the memory of a stranger who has seen everything that it handed out.
//!
//! When it is struck, and what must hold then, is told in `main`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_keys::{EphemeralKey, Signer as _};
use stella_server::fsck::{self, Expected, Problem};
use stella_server::log::{
    Appended, Build, CheckpointSigner, Entry, EntryFormat, Log, LogError, LogOptions, Quorum,
    Tiling, Witnesses,
};
use stella_testkit::Disk;
use stella_testkit::disk::{Random, Sync};
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::cosignature::{self, UnixSeconds};
use stella_tlog::hash::{self, Hash};
use stella_tlog::note::{KeyName, Note, NoteSignature, SignatureType, VerifierKey};
use stella_tlog::proof;
use stella_tlog::quorum::Policy;
use stella_tlog::tile;
use stella_tlog::tree::{LeafIndex, TreeSize};
use stella_tlog::witness::{self, AddCheckpoint, Decision, KnownLog};

pub(crate) const ORIGIN: &str = "log.example";

/// What must never be seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    Changed { index: u64 },
    Fsck(Vec<Problem>),
    Lost { index: u64 },
    NotOpened(LogError),
    NotRunning,
    Proof { index: u64 },
    Shrunk { from: u64, to: u64 },
    TwoRoots { size: u64 },
    Unclear(LogError),
}

/// A machine with a log, and the memory of a stranger who has seen everything that it ever handed out.
pub(crate) struct Machine {
    pub(crate) disk: Disk,
    signer: Arc<CheckpointSigner>,
    tiling: Tiling,
    random: Random,
    acknowledged: BTreeMap<u64, Vec<u8>>,
    roots: BTreeMap<u64, Hash>,
    pub(crate) served: u64,
    notes: Vec<String>,
    pub(crate) runtime: tokio::runtime::Runtime,
    entries: u64,
    witness: Option<Arc<Witness>>,
}

/// A witness elsewhere: strict, never struck, sometimes not reached.
pub(crate) struct Witness {
    key: VerifierKey,
    signer: EphemeralKey,
    known: Mutex<KnownLog>,
    is_reached: AtomicBool,
}

impl Witness {
    pub(crate) fn new(log: &VerifierKey) -> Self {
        let signer = EphemeralKey::generate(KeyDetails::Ed25519).unwrap();
        let public = signer.public_key().spki().last_chunk::<32>().unwrap();
        let name = KeyName::new("witness.example").unwrap();
        Self {
            key: VerifierKey::new(name, SignatureType::CosignatureEd25519, public).unwrap(),
            signer,
            known: Mutex::new(KnownLog {
                keys: vec![log.clone()],
                size: TreeSize::EMPTY,
                root: Hash::EMPTY_ROOT,
            }),
            is_reached: AtomicBool::new(true),
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy::parse(&format!("witness w {}\nquorum w\n", self.key)).unwrap()
    }
}

impl Witnesses for Witness {
    fn cosign(
        &self,
        note: &Note,
        consistency: &dyn Fn(TreeSize) -> Option<Vec<Hash>>,
    ) -> Vec<NoteSignature> {
        if !self.is_reached.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let mut known = self.known.lock().unwrap();
        let request = AddCheckpoint {
            old_size: known.size,
            proof: consistency(known.size).unwrap_or_default(),
            note: note.clone(),
        };
        let Decision::Cosign { checkpoint } = witness::decide(&request, |_| Some(&known)) else {
            return Vec::new();
        };
        (known.size, known.root) = (checkpoint.size, checkpoint.root);
        let time = UnixSeconds(1_800_000_000);
        let message = cosignature::to_be_signed(&self.key, time, &note.text).unwrap();
        let signature = self.signer.sign(&message).unwrap();
        let blob = cosignature::note_signature(time, &signature);
        vec![NoteSignature::new(&self.key, blob)]
    }
}

impl Machine {
    pub(crate) fn new(seed: u64, sync: Sync, tiling: Tiling) -> Self {
        let key = EphemeralKey::generate(KeyDetails::Ed25519).unwrap();
        let signer = CheckpointSigner::text(KeyName::new(ORIGIN).unwrap(), Arc::new(key)).unwrap();
        Self {
            disk: Disk::new(seed, sync),
            signer: Arc::new(signer),
            tiling,
            random: Random(seed ^ 0x5eed),
            acknowledged: BTreeMap::new(),
            roots: BTreeMap::new(),
            served: 0,
            notes: Vec::new(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap(),
            entries: 0,
            witness: None,
        }
    }

    pub(crate) fn with_witness(mut self) -> Self {
        self.witness = Some(Arc::new(Witness::new(self.signer.key())));
        self
    }

    /// Lets the witness be out of reach, by a chance of so many in a hundred.
    pub(crate) fn lose_sight_of_witness(&mut self, chance: u64) {
        if let Some(witness) = &self.witness {
            let is_reached = self.random.below(100) >= chance;
            witness.is_reached.store(is_reached, Ordering::SeqCst);
        }
    }

    pub(crate) fn open(&self) -> Result<Log, LogError> {
        let mut options = LogOptions::new(
            KeyName::new(ORIGIN).unwrap(),
            EntryFormat::Rekor,
            vec![Arc::clone(&self.signer)],
            Arc::new(|| UnixTime::from_seconds(1_800_000_000)),
        );
        options.tiling = self.tiling;
        options.quorum = self.witness.clone().map(|witness| Quorum {
            policy: witness.policy(),
            witnesses: witness,
        });
        options.segment_limit = 0; // as short as they come
        Log::open(Arc::new(self.disk.clone()), options)
    }

    /// Takes note of what the log serves.
    pub(crate) fn look(&mut self, log: &Log) -> Result<(), Violation> {
        let checkpoint = log.checkpoint().to_string();
        self.hand_out(&checkpoint)
    }

    pub(crate) fn hand_out(&mut self, checkpoint: &str) -> Result<(), Violation> {
        let note = Note::parse(checkpoint).unwrap();
        note.verify(self.signer.key()).unwrap();
        if let Some(witness) = &self.witness {
            witness.policy().satisfied_by(&note).unwrap();
        }
        let Checkpoint { size, root, .. } = Checkpoint::parse(&note.text).unwrap();
        if size.0 < self.served {
            return Err(Violation::Shrunk {
                from: self.served,
                to: size.0,
            });
        }
        self.served = size.0;
        if *self.roots.entry(size.0).or_insert(root) != root {
            return Err(Violation::TwoRoots { size: size.0 });
        }
        self.notes.push(checkpoint.to_owned());
        Ok(())
    }

    /// Appends some entries at once; `Ok(false)` says that the log has stopped.
    pub(crate) fn burst(&mut self, log: &Log) -> Result<bool, Violation> {
        let count = match self.random.below(4) {
            0 => 1,
            1 => 1 + self.random.below(8),
            _ => 1 + self.random.below(60),
        };
        let entries: Vec<Vec<u8>> = (0..count).map(|_| self.entry()).collect();
        let requests = entries.iter().map(|data| request(data)).collect();
        let answers = log.append_all(requests);
        let mut is_running = true;
        for (answer, data) in answers.into_iter().zip(entries) {
            match self.runtime.block_on(answer) {
                Ok(appended) => self.acknowledge(data, &appended)?,
                Err(LogError::Disk { .. } | LogError::Stopped { .. }) => is_running = false,
                // Committed and not served: nothing was promised, and the entry may be found again.
                Err(LogError::QuorumNotReached) if self.witness.is_some() => (),
                Err(other) => return Err(Violation::Unclear(other)),
            }
        }
        Ok(is_running)
    }

    /// Makes an entry: mostly a new one, sometimes one of those before.
    pub(crate) fn entry(&mut self) -> Vec<u8> {
        if self.entries > 0 && self.random.below(10) == 0 {
            let old = self.random.below(self.entries);
            return self.numbered(old);
        }
        self.entries += 1;
        self.numbered(self.entries - 1)
    }

    pub(crate) fn numbered(&self, number: u64) -> Vec<u8> {
        let length = Random(number).below(2000);
        let mut data = format!("entry {number} ").into_bytes();
        data.resize(data.len() + usize::try_from(length).unwrap(), b'.');
        data
    }

    pub(crate) fn acknowledge(
        &mut self,
        data: Vec<u8>,
        appended: &Appended,
    ) -> Result<(), Violation> {
        let index = appended.index.0;
        let leaf = hash::leaf(&data);
        let proved =
            proof::root_from_inclusion(&leaf, appended.index, appended.size, &appended.hashes);
        if proved != Ok(appended.root) || appended.data != data {
            return Err(Violation::Proof { index });
        }
        let note = Note::parse(&appended.checkpoint).unwrap();
        let checkpoint = Checkpoint::parse(&note.text).unwrap();
        assert_eq!(
            (checkpoint.size, checkpoint.root),
            (appended.size, appended.root)
        );
        if self.served < appended.size.0 {
            self.hand_out(&appended.checkpoint)?;
        }
        if *self
            .acknowledged
            .entry(index)
            .or_insert_with(|| data.clone())
            != data
        {
            return Err(Violation::Changed { index });
        }
        Ok(())
    }

    /// Compares the open log with all that was acknowledged.
    pub(crate) fn compare(&mut self, log: &Log) -> Result<(), Violation> {
        self.look(log)?;
        let size = log.size().0;
        let mut found = Vec::new();
        for bundle in 0..size.div_ceil(256) {
            let width = u16::try_from((size - bundle * 256).min(256)).unwrap();
            let bundle = log.entries(bundle, width).map_err(Violation::Unclear)?;
            found.extend(
                tile::entries(&bundle)
                    .unwrap()
                    .into_iter()
                    .map(<[u8]>::to_vec),
            );
        }
        for (index, data) in &self.acknowledged {
            match found.get(usize::try_from(*index).unwrap()) {
                None => return Err(Violation::Lost { index: *index }),
                Some(found) if found != data => return Err(Violation::Changed { index: *index }),
                Some(_) => (),
            }
        }
        // A repeated request finds the entry again, with a proof against the present checkpoint.
        let acknowledged = self.acknowledged.len() as u64;
        if acknowledged > 0 {
            let chosen = self.random.below(acknowledged);
            let chosen = self
                .acknowledged
                .iter()
                .nth(usize::try_from(chosen).unwrap());
            let (index, data) = chosen.map(|(index, data)| (*index, data.clone())).unwrap();
            let again = self
                .runtime
                .block_on(append(log, &data))
                .map_err(Violation::Unclear)?;
            if !again.duplicate || again.index.0 != index {
                return Err(Violation::Lost { index });
            }
            self.acknowledge(data, &again)?;
        }
        Ok(())
    }

    pub(crate) fn fsck(&self) -> Result<(), Violation> {
        let expected = Expected {
            origin: ORIGIN.to_owned(),
            format: EntryFormat::Rekor,
            keys: vec![self.signer.key().clone()],
            checkpoints: self.notes.clone(),
        };
        let report = fsck::fsck(&self.disk, &expected).map_err(Violation::NotOpened)?;
        if !report.problems.is_empty() {
            return Err(Violation::Fsck(report.problems));
        }
        Ok(())
    }

    /// Runs until the steps are done or the log stops; says whether it stopped.
    pub(crate) fn run(&mut self, steps: u64) -> Result<bool, Violation> {
        let Some(mut log) = self.open_unless_struck()? else {
            return Ok(true);
        };
        self.look(&log)?;
        for step in 1..=steps {
            self.lose_sight_of_witness(25);
            if !self.burst(&log)? {
                return Ok(true);
            }
            if step % 7 == 0 {
                log.close();
                drop(log);
                log = match self.open_unless_struck()? {
                    Some(log) => log,
                    None => return Ok(true),
                };
                self.look(&log)?;
            }
        }
        Ok(false)
    }

    /// Opens the log; a failure is the strike's or a violation.
    pub(crate) fn open_unless_struck(&self) -> Result<Option<Log>, Violation> {
        match self.open() {
            Ok(log) => Ok(Some(log)),
            Err(LogError::Disk { .. }) if self.disk.is_struck() => Ok(None),
            Err(error) => Err(Violation::NotOpened(error)),
        }
    }

    /// Opens the log after a strike and compares.
    pub(crate) fn recover(&mut self) -> Result<Log, Violation> {
        let log = self.open().map_err(Violation::NotOpened)?;
        self.compare(&log)?;
        Ok(log)
    }
}

pub(crate) fn request(data: &[u8]) -> (Option<Hash>, Build) {
    let (leaf, data) = (hash::leaf(data), Bytes::copy_from_slice(data));
    (
        Some(leaf),
        Box::new(move |_: LeafIndex| Entry { data, leaf }),
    )
}

pub(crate) fn append(
    log: &Log,
    data: &[u8],
) -> impl Future<Output = Result<Appended, LogError>> + Send + use<> {
    let (identity, build) = request(data);
    log.append(identity, build)
}
