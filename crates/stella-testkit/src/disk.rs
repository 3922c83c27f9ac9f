//! A simulated disk on which power is lost: unsynced bytes vanish, tear or come in another order, unsynced names go.
//!
//! It keeps two worlds: what the running system sees (its cache), and what is durable. Everything is decided by the seed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stella_server::disk::{Disk as DiskCalls, DiskFile};

/// A write tears between sectors of this length.
const SECTOR: usize = 512;

/// A simulated disk. Clones are handles of the same disk.
///
/// Calls that change something are counted, so that a test can strike at each of them.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

/// What strikes at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// The call fails so, once. A write is half done; after a failed sync the bytes stay readable and never become durable,
    /// although the next sync succeeds, as on Linux.
    Error(io::ErrorKind),
    /// The process dies before the call: it and all later ones fail, until [`Disk::restart`] or [`Disk::lose_power`].
    Halt,
}

/// How honest the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Syncing does nothing and says it did. A test that passes on such a disk tests nothing.
    DoesNothing,
    /// Syncing files does nothing below this folder.
    ForgetsFiles(&'static str),
    /// Syncing the names in folders does nothing from this folder on.
    ForgetsNames(&'static str),
    /// What was synced survives.
    Works,
}

impl Sync {
    fn keeps_file(self, path: &str) -> bool {
        match self {
            Self::DoesNothing => false,
            Self::ForgetsFiles(folder) => !path.starts_with(folder),
            Self::ForgetsNames(_) | Self::Works => true,
        }
    }

    fn keeps_names(self, path: &str) -> bool {
        match self {
            Self::DoesNothing => false,
            Self::ForgetsNames(folder) => !path.starts_with(folder),
            Self::ForgetsFiles(_) | Self::Works => true,
        }
    }
}

struct State {
    random: Random,
    sync: Sync,
    files: BTreeMap<u64, Bytes>,
    next_file: u64,
    /// Path to file, as the running system sees it.
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names that are not durable, by folder, in order.
    unsynced_names: BTreeMap<String, Vec<NameChange>>,
    calls: u64,
    strike: Option<(u64, Strike)>,
    is_halted: bool,
    /// Files opened before the last restart are dead.
    generation: u64,
}

#[derive(Default)]
struct Bytes {
    cached: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

enum NameChange {
    Remove(String),
    Rename { from: String, to: String },
    Set(String, u64),
}

impl Disk {
    /// Makes an empty disk.
    #[must_use]
    pub fn new(seed: u64, sync: Sync) -> Self {
        let state = State {
            random: Random(seed),
            sync,
            files: BTreeMap::new(),
            next_file: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: BTreeMap::new(),
            calls: 0,
            strike: None,
            is_halted: false,
            generation: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Returns the number of changing calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Arranges a strike at the call of this number, the first being 1.
    pub fn strike_at(&self, call: u64, strike: Strike) {
        self.lock().strike = Some((call, strike));
    }

    /// Says whether the arranged strike has happened, or none is arranged.
    #[must_use]
    pub fn is_struck(&self) -> bool {
        self.lock().strike.is_none()
    }

    /// Starts the system anew after the process ended: the cache is kept.
    pub fn restart(&self) {
        self.lock().start_anew();
    }

    /// Loses power and starts anew: of what was not synced, as much survives as chance wants.
    pub fn lose_power(&self) {
        let mut state = self.lock();
        state.lose_names();
        state.lose_bytes();
        state.start_anew();
    }

    /// Changes one bit of a file, durably, as a rotting disk does; says whether the file has such a byte.
    pub fn rot(&self, path: &str, at: usize) -> bool {
        let mut state = self.lock();
        let Some(file) = state.names.get(path).copied() else {
            return false;
        };
        let Some(bytes) = state.files.get_mut(&file) else {
            return false;
        };
        let mut is_there = false;
        for copy in [&mut bytes.cached, &mut bytes.durable] {
            if let Some(byte) = copy.get_mut(at) {
                *byte ^= 1;
                is_there = true;
            }
        }
        is_there
    }

    /// Returns all paths that the running system sees.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a changing call; an error is the strike.
    fn call(&mut self) -> io::Result<()> {
        self.require_power()?;
        self.calls += 1;
        match self.strike {
            Some((at, strike)) if at == self.calls => {
                self.strike = None;
                match strike {
                    Strike::Error(kind) => Err(kind.into()),
                    Strike::Halt => {
                        self.is_halted = true;
                        self.require_power()
                    }
                }
            }
            _ => Ok(()),
        }
    }

    fn require_power(&self) -> io::Result<()> {
        if self.is_halted {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    fn start_anew(&mut self) {
        self.is_halted = false;
        self.strike = None;
        self.generation += 1;
    }

    fn file(&mut self, path: &str) -> io::Result<&mut Bytes> {
        let file = self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        self.files
            .get_mut(file)
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn change_name(&mut self, path: &str, change: NameChange) {
        let changes = self.unsynced_names.entry(folder(path).to_owned());
        let changes = changes.or_default();
        apply(&change, &mut self.names);
        changes.push(change);
    }

    /// Folders forget the end of their unsynced changes, each its own part.
    fn lose_names(&mut self) {
        for changes in std::mem::take(&mut self.unsynced_names).into_values() {
            let kept = self.random.below(changes.len() as u64 + 1);
            for (_, change) in (0..kept).zip(&changes) {
                apply(change, &mut self.durable_names);
            }
        }
        self.names.clone_from(&self.durable_names);
    }

    /// Of unsynced writes, all sectors survive, or none, or some.
    fn lose_bytes(&mut self) {
        for bytes in self.files.values_mut() {
            let fate = self.random.below(3);
            for (at, write) in std::mem::take(&mut bytes.unsynced) {
                for (sector, part) in write.chunks(SECTOR).enumerate() {
                    let survives = match fate {
                        0 => false,
                        1 => true,
                        _ => self.random.below(2) == 0,
                    };
                    if survives {
                        put(&mut bytes.durable, at + sector * SECTOR, part);
                    }
                }
            }
            bytes.cached.clone_from(&bytes.durable);
        }
        let kept = &self.names;
        self.files
            .retain(|file, _| kept.values().any(|named| named == file));
    }
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn apply(change: &NameChange, names: &mut BTreeMap<String, u64>) {
    match change {
        NameChange::Remove(path) => drop(names.remove(path)),
        NameChange::Rename { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        NameChange::Set(path, file) => drop(names.insert(path.clone(), *file)),
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    let end = at + part.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(part);
}

impl DiskCalls for Disk {
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        state.call()?;
        let file = state.next_file;
        state.next_file += 1;
        state.files.insert(file, Bytes::default());
        state.change_name(path, NameChange::Set(path.to_owned(), file));
        Ok(Box::new(OpenFile {
            disk: self.clone(),
            file,
            is_kept: state.sync.keeps_file(path),
            generation: state.generation,
        }))
    }

    fn create_folder(&self, _path: &str) -> io::Result<()> {
        // Folders are where their files are; the call promises durable names.
        self.lock().call()
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.require_power()?;
        let inside = format!("{folder}/");
        let mut names: Vec<String> = state
            .names
            .keys()
            .filter_map(|path| path.strip_prefix(&inside))
            .map(|rest| rest.split('/').next().unwrap_or(rest).to_owned())
            .collect();
        names.dedup();
        Ok(names)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        state.require_power()?;
        Ok(state.file(path)?.cached.clone())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        state.file(path)?;
        state.change_name(path, NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        state.file(from)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        state.change_name(&to.clone(), NameChange::Rename { from, to });
        Ok(())
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        if state.sync.keeps_names(path) {
            for change in state.unsynced_names.remove(path).unwrap_or_default() {
                apply(&change, &mut state.durable_names);
            }
        }
        Ok(())
    }
}

struct OpenFile {
    disk: Disk,
    file: u64,
    /// Whether syncing it does anything.
    is_kept: bool,
    generation: u64,
}

impl OpenFile {
    fn with<T>(&self, act: impl FnOnce(&mut Bytes) -> T) -> (io::Result<()>, Option<T>) {
        let mut state = self.disk.lock();
        if state.generation != self.generation {
            return (Err(io::ErrorKind::BrokenPipe.into()), None);
        }
        let called = state.call();
        if state.is_halted {
            return (called, None);
        }
        let done = state.files.get_mut(&self.file).map(act);
        (called, done)
    }
}

impl DiskFile for OpenFile {
    fn sync_data(&mut self) -> io::Result<()> {
        let is_kept = self.is_kept;
        let (called, unsynced) = self.with(|bytes| match is_kept {
            true => std::mem::take(&mut bytes.unsynced),
            false => Vec::new(),
        });
        called?;
        self.settle(unsynced.unwrap_or_default());
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let is_struck = {
            let state = self.disk.lock();
            matches!(state.strike, Some((call, Strike::Error(_))) if call == state.calls + 1)
        };
        let written = match is_struck {
            true => &bytes[..bytes.len() / 2],
            false => bytes,
        };
        let (called, _) = self.with(|file| {
            put(&mut file.cached, at, written);
            file.unsynced.push((at, written.to_vec()));
        });
        called
    }
}

impl OpenFile {
    /// Makes writes durable.
    fn settle(&self, writes: Vec<(usize, Vec<u8>)>) {
        let mut state = self.disk.lock();
        if let Some(bytes) = state.files.get_mut(&self.file) {
            for (at, write) in writes {
                put(&mut bytes.durable, at, &write);
            }
        }
    }
}

/// Numbers without surprise: SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// Returns the next number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn written(sync: Sync, is_synced: bool) -> Vec<Option<Vec<u8>>> {
        let read = |seed| {
            let disk = Disk::new(seed, sync);
            let mut file = disk.create("a/file").unwrap();
            file.write_at(0, &[7; 2 * SECTOR]).unwrap();
            if is_synced {
                file.sync_data().unwrap();
                disk.sync_folder("a").unwrap();
            }
            disk.lose_power();
            assert!(file.write_at(0, b"dead").is_err());
            disk.read("a/file").ok()
        };
        (0..300).map(read).collect()
    }

    #[test]
    fn what_was_synced_survives_and_the_rest_vanishes_or_tears() {
        let whole = Some(vec![7; 2 * SECTOR]);
        assert!(
            written(Sync::Works, true)
                .iter()
                .all(|found| *found == whole)
        );
        for lost in [
            written(Sync::Works, false),
            written(Sync::DoesNothing, true),
        ] {
            assert!(lost.contains(&None));
            assert!(lost.contains(&Some(Vec::new())));
            assert!(lost.contains(&whole));
            let second_only = [vec![0; SECTOR], vec![7; SECTOR]].concat();
            assert!(lost.contains(&Some(second_only)));
        }
    }

    #[test]
    fn a_failed_sync_leaves_bytes_that_are_readable_and_never_durable() {
        let disk = Disk::new(1, Sync::Works);
        let mut file = disk.create("a/file").unwrap();
        disk.sync_folder("a").unwrap();
        file.write_at(0, b"bytes").unwrap();
        disk.strike_at(disk.calls() + 1, Strike::Error(io::ErrorKind::Other));
        assert!(file.sync_data().is_err());
        assert!(file.sync_data().is_ok());
        disk.restart();
        assert_eq!(disk.read("a/file").unwrap(), b"bytes");
        disk.lose_power();
        assert_eq!(disk.read("a/file").unwrap(), b"");
    }

    #[test]
    fn a_halted_disk_refuses_everything_until_it_is_started_anew() {
        let disk = Disk::new(1, Sync::Works);
        disk.strike_at(2, Strike::Halt);
        let mut file = disk.create("a/file").unwrap();
        assert!(file.write_at(0, b"bytes").is_err());
        assert!(disk.read("a/file").is_err());
        disk.restart();
        assert_eq!(disk.read("a/file").unwrap(), b"");
    }
}
