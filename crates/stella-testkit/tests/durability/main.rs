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

mod machine;

use std::io;

use stella_server::log::{LogError, Tiling};
use stella_testkit::disk::{Strike, Sync};
use stella_tlog::tree::{LeafIndex, TreeSize};

use machine::{Machine, Violation, append};

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
