//! The log on a disk that loses power: what was acknowledged stays, whatever the moment.
//!
//! A long random run (batches, duplicates, reopening) is struck at every call that changes the disk; then the log is opened
//! again, compared with all that was ever handed out, used on, and checked by fsck. The same tests must fail on a disk whose
//! sync does nothing. `STELLA_SOAK=1` runs many seeds.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic, and says what it saw"
)]

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_keys::{EphemeralKey, Signer as _};
use stella_server::fsck::{self, Expected, Problem};
use stella_server::log::{
    Appended, Build, CheckpointSigner, Entry, EntryFormat, Log, LogError, LogOptions, NoteSigner,
    Quorum, Tiling, Witnesses,
};
use stella_testkit::Disk;
use stella_testkit::disk::{Random, Strike, Sync};
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::cosignature::{self, UnixSeconds};
use stella_tlog::hash::{self, Hash};
use stella_tlog::note::{KeyName, Note, NoteSignature, SignatureType, VerifierKey};
use stella_tlog::proof;
use stella_tlog::quorum::Policy;
use stella_tlog::tile;
use stella_tlog::tree::{LeafIndex, TreeSize};
use stella_tlog::witness::{self, AddCheckpoint, Decision, KnownLog};

const ORIGIN: &str = "log.example";

/// What must never be seen.
#[derive(Debug, PartialEq, Eq)]
enum Violation {
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
struct Machine {
    disk: Disk,
    signer: Arc<dyn NoteSigner>,
    tiling: Tiling,
    random: Random,
    acknowledged: BTreeMap<u64, Vec<u8>>,
    roots: BTreeMap<u64, Hash>,
    served: u64,
    notes: Vec<String>,
    runtime: tokio::runtime::Runtime,
    entries: u64,
    witness: Option<Arc<Witness>>,
}

/// A witness elsewhere: strict, never struck, sometimes not reached.
struct Witness {
    key: VerifierKey,
    signer: EphemeralKey,
    known: Mutex<KnownLog>,
    is_reached: AtomicBool,
}

impl Witness {
    fn new(log: &VerifierKey) -> Self {
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

    fn policy(&self) -> Policy {
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
    fn new(seed: u64, sync: Sync, tiling: Tiling) -> Self {
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

    fn with_witness(mut self) -> Self {
        self.witness = Some(Arc::new(Witness::new(self.signer.key())));
        self
    }

    /// Lets the witness be out of reach, by a chance of so many in a hundred.
    fn lose_sight_of_witness(&mut self, chance: u64) {
        if let Some(witness) = &self.witness {
            let is_reached = self.random.below(100) >= chance;
            witness.is_reached.store(is_reached, Ordering::SeqCst);
        }
    }

    fn open(&mut self) -> Result<Log, LogError> {
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
    fn look(&mut self, log: &Log) -> Result<(), Violation> {
        let checkpoint = log.checkpoint().to_string();
        self.hand_out(&checkpoint)
    }

    fn hand_out(&mut self, checkpoint: &str) -> Result<(), Violation> {
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
    fn burst(&mut self, log: &Log) -> Result<bool, Violation> {
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
    fn entry(&mut self) -> Vec<u8> {
        if self.entries > 0 && self.random.below(10) == 0 {
            let old = self.random.below(self.entries);
            return self.numbered(old);
        }
        self.entries += 1;
        self.numbered(self.entries - 1)
    }

    fn numbered(&self, number: u64) -> Vec<u8> {
        let length = Random(number).below(2000);
        let mut data = format!("entry {number} ").into_bytes();
        data.resize(data.len() + usize::try_from(length).unwrap(), b'.');
        data
    }

    fn acknowledge(&mut self, data: Vec<u8>, appended: &Appended) -> Result<(), Violation> {
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
    fn compare(&mut self, log: &Log) -> Result<(), Violation> {
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

    fn fsck(&self) -> Result<(), Violation> {
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
    fn run(&mut self, steps: u64) -> Result<bool, Violation> {
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
    fn open_unless_struck(&mut self) -> Result<Option<Log>, Violation> {
        match self.open() {
            Ok(log) => Ok(Some(log)),
            Err(LogError::Disk { .. }) if self.disk.is_struck() => Ok(None),
            Err(error) => Err(Violation::NotOpened(error)),
        }
    }

    /// Opens the log after a strike and compares.
    fn recover(&mut self) -> Result<Log, Violation> {
        let log = self.open().map_err(Violation::NotOpened)?;
        self.compare(&log)?;
        Ok(log)
    }
}

fn request(data: &[u8]) -> (Option<Hash>, Build) {
    let (leaf, data) = (hash::leaf(data), Bytes::copy_from_slice(data));
    (
        Some(leaf),
        Box::new(move |_: LeafIndex| Entry { data, leaf }),
    )
}

fn append(
    log: &Log,
    data: &[u8],
) -> impl Future<Output = Result<Appended, LogError>> + Send + use<> {
    let (identity, build) = request(data);
    log.append(identity, build)
}

/// What happens to the machine.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// A call fails, the process ends; later the power goes.
    Error(io::ErrorKind),
    /// The process is killed; later the power goes.
    Kill,
    /// The power goes.
    PowerLoss,
}

/// One life: a run struck at a call, recovery, power loss right after it, recovery, more entries, fsck.
fn life(run: Run, call: u64, blow: Blow, sync: Sync) -> Result<(), Violation> {
    let mut machine = run.machine(sync);
    let strike = match blow {
        Blow::Error(kind) => Strike::Error(kind),
        Blow::Kill | Blow::PowerLoss => Strike::Halt,
    };
    machine.disk.strike_at(call, strike);
    machine.run(run.steps)?;
    machine.lose_sight_of_witness(0);
    match blow {
        Blow::PowerLoss => machine.disk.lose_power(),
        Blow::Error(_) | Blow::Kill => machine.disk.restart(),
    }
    // What is served now must survive whatever comes: it may hold a tail that the dead process never synced.
    let log = machine.recover()?;
    machine.disk.lose_power();
    drop(log);
    machine.fsck()?;
    let log = machine.recover()?;
    if !machine.burst(&log)? {
        return Err(Violation::NotRunning);
    }
    machine.compare(&log)?;
    log.close();
    machine.fsck()
}

/// A run that can be lived again and again.
#[derive(Debug, Clone, Copy)]
struct Run {
    seed: u64,
    steps: u64,
    has_witness: bool,
}

impl Run {
    fn machine(self, sync: Sync) -> Machine {
        let machine = Machine::new(self.seed, sync, Tiling::Inline);
        match self.has_witness {
            true => machine.with_witness(),
            false => machine,
        }
    }

    /// Returns the number of calls without strike.
    fn calls(self) -> u64 {
        let mut machine = self.machine(Sync::Works);
        assert_eq!(machine.run(self.steps), Ok(false));
        assert_eq!(machine.fsck(), Ok(()));
        machine.disk.calls()
    }

    /// Returns some of its calls, evenly spread.
    fn sample(self, samples: u64) -> Vec<u64> {
        let total = self.calls();
        let step = (total / samples).max(1);
        let first = 1 + self.seed % step;
        let step = usize::try_from(step).unwrap();
        (first..=total).step_by(step).collect()
    }
}

/// Lives struck at each of some calls, on both processors; returns those that broke a promise.
fn lives(run: Run, chosen: &[u64], blow: Blow, sync: Sync) -> Vec<(u64, Violation)> {
    let half = chosen.len().div_ceil(2).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = chosen
            .chunks(half)
            .map(|chosen| {
                scope.spawn(move || {
                    let broken = |call: &u64| {
                        let life = life(run, *call, blow, sync);
                        life.err().map(|violation| (*call, violation))
                    };
                    chosen.iter().filter_map(broken).collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    })
}

fn is_soak() -> bool {
    std::env::var_os("STELLA_SOAK").is_some()
}

/// Strikes at every call of one run, and at a sample of the calls of longer ones.
fn survive(blow: Blow, has_witness: bool) {
    let (seeds, samples) = match is_soak() {
        true => (30, u64::MAX),
        false => (2, 25),
    };
    for seed in 1..=seeds {
        let (steps, samples) = match seed {
            1 => (15, u64::MAX),
            _ => (50, samples),
        };
        let run = Run {
            seed,
            steps,
            has_witness,
        };
        let chosen = run.sample(samples);
        eprintln!("{blow:?}, {run:?}: {} calls struck", chosen.len());
        assert_eq!(lives(run, &chosen, blow, Sync::Works), []);
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_power_fails_at_any_call() {
    survive(Blow::PowerLoss, false);
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_at_any_call() {
    survive(Blow::Kill, false);
}

#[test]
fn nothing_acknowledged_is_lost_when_any_call_fails() {
    survive(Blow::Error(io::ErrorKind::Other), false);
    survive(Blow::Error(io::ErrorKind::StorageFull), false);
}

#[test]
fn a_strict_witness_never_sees_a_head_taken_back() {
    survive(Blow::PowerLoss, true);
    survive(Blow::Error(io::ErrorKind::Other), true);
}

#[test]
fn without_quorum_nothing_is_served_and_the_repeated_request_joins_its_entry() {
    let mut machine = Machine::new(7, Sync::Works, Tiling::Inline).with_witness();
    let log = machine.open().unwrap();
    let first = machine.runtime.block_on(append(&log, b"first")).unwrap();
    machine.lose_sight_of_witness(100);
    let refused = machine.runtime.block_on(append(&log, b"second"));
    assert_eq!(refused, Err(LogError::QuorumNotReached));
    assert_eq!(log.checkpoint(), first.checkpoint);
    assert_eq!(log.entries(0, 2), Err(LogError::NotFound));
    // The same over a restart: the old head keeps its cosignature, the new entry its place.
    log.close();
    machine.disk.lose_power();
    let log = machine.open().unwrap();
    assert_eq!(log.checkpoint(), first.checkpoint);
    let refused = machine.runtime.block_on(append(&log, b"second"));
    assert_eq!(refused, Err(LogError::QuorumNotReached));
    machine.lose_sight_of_witness(0);
    let second = machine.runtime.block_on(append(&log, b"second")).unwrap();
    assert_eq!((second.index, second.size), (LeafIndex(1), TreeSize(2)));
    assert!(second.duplicate);
    machine.acknowledge(b"second".to_vec(), &second).unwrap();
    // A new log that reaches nobody has nothing to serve.
    let mut machine = Machine::new(8, Sync::Works, Tiling::Inline).with_witness();
    machine.lose_sight_of_witness(100);
    assert_eq!(machine.open().err(), Some(LogError::QuorumNotReached));
}

/// Returns how many of some lives break a promise on a disk that is not honest.
fn broken_lives(sync: Sync, samples: u64) -> (usize, usize) {
    let run = Run {
        seed: 2,
        steps: 50,
        has_witness: false,
    };
    let chosen = run.sample(samples);
    let broken = lives(run, &chosen, Blow::PowerLoss, sync);
    // The two others would say that the harness is wrong, not the disk.
    let is_lost = |(_, violation): &(u64, Violation)| {
        !matches!(violation, Violation::Unclear(_) | Violation::Proof { .. })
    };
    let lost = broken.iter().filter(|life| is_lost(life)).count();
    eprintln!("{sync:?}: {lost} of {} lives break a promise", chosen.len());
    (lost, chosen.len())
}

#[test]
fn the_harness_detects_a_disk_whose_sync_does_nothing() {
    let (lost, lives) = broken_lives(Sync::DoesNothing, 25);
    assert!(lost * 2 > lives);
}

#[test]
fn each_kind_of_sync_is_needed() {
    for sync in [
        Sync::ForgetsFiles("wal"),
        Sync::ForgetsNames("wal"),
        Sync::ForgetsFiles("tile"),
        Sync::ForgetsNames("tile"),
    ] {
        let (lost, _) = broken_lives(sync, 25);
        assert!(lost > 0, "{sync:?}");
    }
}

#[test]
fn tiles_written_in_the_background_survive_as_well() {
    for seed in 1..=4 {
        let mut machine = Machine::new(seed, Sync::Works, Tiling::Background);
        machine.disk.strike_at(40 * seed, Strike::Halt);
        assert_eq!(machine.run(40), Ok(true));
        machine.disk.lose_power();
        let log = machine.recover().unwrap();
        log.close();
        assert_eq!(machine.fsck(), Ok(()));
        assert_eq!(machine.run(20), Ok(false));
        assert_eq!(machine.fsck(), Ok(()));
    }
}

#[test]
fn a_failed_disk_is_named_and_stops_the_log() {
    let mut machine = Machine::new(3, Sync::Works, Tiling::Inline);
    let log = machine.open().unwrap();
    machine.burst(&log).unwrap();
    let (served, checkpoint) = (machine.served, log.checkpoint());
    // The next append writes, then syncs.
    let call = machine.disk.calls() + 2;
    machine
        .disk
        .strike_at(call, Strike::Error(io::ErrorKind::Other));
    let failed = machine.runtime.block_on(append(&log, b"fails"));
    let Err(cause @ LogError::Disk { .. }) = failed else {
        panic!("{failed:?}");
    };
    assert!(cause.to_string().starts_with("cannot sync wal/"), "{cause}");
    let refused = machine.runtime.block_on(append(&log, b"refused"));
    let stopped = LogError::Stopped {
        cause: Box::new(cause),
    };
    assert_eq!(refused, Err(stopped.clone()));
    assert_eq!(log.require_running(), Err(stopped));
    // What was served is served on.
    assert_eq!(log.checkpoint(), checkpoint);
    assert_eq!(log.size(), TreeSize(served));
}

#[test]
fn damage_that_no_crash_explains_is_refused() {
    let mut machine = Machine::new(5, Sync::Works, Tiling::Inline);
    assert_eq!(machine.run(40), Ok(false));
    let paths = machine.disk.paths();
    // A bit of the segment's last record is like a torn write; any earlier one is damage.
    let segment = paths.iter().find(|path| path.starts_with("wal/")).unwrap();
    let mut damage = vec![segment.as_str(), "tile/0/000", "tile/entries/000"];
    damage.extend(
        paths
            .iter()
            .filter(|path| path.starts_with("tile/entries/"))
            .map(String::as_str),
    );
    for path in damage {
        assert!(machine.disk.rot(path, 200), "{path}");
        let found = machine.fsck();
        assert!(
            matches!(found, Err(Violation::Fsck(_))),
            "{path}: {found:?}"
        );
        assert!(machine.disk.rot(path, 200), "{path}");
    }
    assert_eq!(machine.fsck(), Ok(()));
}
