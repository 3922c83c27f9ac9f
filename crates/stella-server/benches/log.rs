//! How fast the log appends, beside what its disk can do: `cargo bench -p stella-server --bench log [-- FOLDER]`.
//!
//! Latency is from the request to the answer with proof and signed checkpoint. HTTP and the checking of signatures are not in
//! it. The folder (by default the system's temporary one) should be on the disk that is meant: not on tmpfs.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may panic, and prints"
)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_keys::EphemeralKey;
use stella_server::disk::{Disk, DiskFile, Local};
use stella_server::log::{Build, CheckpointSigner, Entry, EntryFormat, Log, LogOptions};
use stella_tlog::hash;
use stella_tlog::note::KeyName;
use tokio::runtime::Runtime;

/// The length of a Rekor entry with a Fulcio certificate, about.
const ENTRY: usize = 3 * 1024;

/// What the second table adds to each sync, to be like a disk that does not answer from a cache.
const SLOW: Duration = Duration::from_millis(4);

fn main() {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).unwrap();
    println!("disk: {}", folder.path().display());
    for length in [4096, 384 * 1024] {
        let times = fdatasync(folder.path(), length);
        println!(
            "  write of {:>3} KiB + fdatasync, preallocated   p50 {:>6.2} ms  p99 {:>6.2} ms",
            length / 1024,
            millis(quantile(&times, 50)),
            millis(quantile(&times, 99)),
        );
    }
    for added in [Duration::ZERO, SLOW] {
        println!(
            "log: entries of {ENTRY} bytes, {} ms added to each sync",
            added.as_millis()
        );
        println!("  clients   entries  entries/s   p50 ms   p99 ms   CPU us/entry");
        for (clients, each) in [(1, 400), (16, 400), (256, 200)] {
            let name = format!("log-{clients}-{}", added.as_millis());
            run(disk(&folder.path().join(name), added), clients, each);
        }
    }
    reopen(disk(&folder.path().join("log-256-0"), Duration::ZERO));
}

fn disk(folder: &Path, added: Duration) -> Arc<dyn Disk> {
    let local = Local::open(folder).unwrap();
    Arc::new(Slow { local, added })
}

/// A local disk whose syncs take longer.
struct Slow {
    local: Local,
    added: Duration,
}

struct SlowFile {
    file: Box<dyn DiskFile>,
    added: Duration,
}

impl Disk for Slow {
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.local.create(path)?;
        let added = self.added;
        Ok(Box::new(SlowFile { file, added }))
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        self.local.create_folder(path)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.local.list(folder)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.local.read(path)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.local.remove(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.local.rename(from, to)
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        thread::sleep(self.added);
        self.local.sync_folder(path)
    }
}

impl DiskFile for SlowFile {
    fn sync_data(&mut self) -> io::Result<()> {
        thread::sleep(self.added);
        self.file.sync_data()
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }
}

/// Times the disk alone.
fn fdatasync(folder: &Path, length: usize) -> Vec<Duration> {
    let disk = Local::open(folder).unwrap();
    let mut file = disk.create("probe").unwrap();
    let rounds: usize = 100;
    for round in 0..rounds {
        let at = (round * length) as u64;
        file.write_at(at, &vec![0; length]).unwrap();
    }
    file.sync_data().unwrap();
    let times = (0..rounds).map(|round| {
        let bytes = vec![7; length];
        let start = Instant::now();
        file.write_at((round * length) as u64, &bytes).unwrap();
        file.sync_data().unwrap();
        start.elapsed()
    });
    let times = times.collect();
    disk.remove("probe").unwrap();
    times
}

/// Lets each client append one entry after the other.
fn run(disk: Arc<dyn Disk>, clients: usize, each: usize) {
    let log = open(disk);
    let runtime = Runtime::new().unwrap();
    let (cpu, start) = (cpu_time(), Instant::now());
    let tasks: Vec<_> = (0..clients)
        .map(|client| runtime.spawn(client_of(log.clone(), client, each)))
        .collect();
    let mut times: Vec<Duration> = tasks
        .into_iter()
        .flat_map(|task| runtime.block_on(task).unwrap())
        .collect();
    let (elapsed, entries) = (start.elapsed(), clients * each);
    let cpu = cpu.zip(cpu_time()).map(|(before, after)| after - before);
    times.sort_unstable();
    println!(
        "  {clients:>7}  {entries:>8}  {:>9.0}  {:>7.2}  {:>7.2}   {}",
        entries as f64 / elapsed.as_secs_f64(),
        millis(quantile(&times, 50)),
        millis(quantile(&times, 99)),
        cpu.map_or("-".to_owned(), |cpu| format!(
            "{:>12.1}",
            cpu.as_secs_f64() * 1e6 / entries as f64
        )),
    );
    log.close();
}

async fn client_of(log: Log, client: usize, each: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(each);
    for number in 0..each {
        let mut data = format!("client {client}, entry {number} ").into_bytes();
        data.resize(ENTRY, b'.');
        let start = Instant::now();
        let leaf = hash::leaf(&data);
        let build: Build = Box::new(move |_| Entry {
            data: Bytes::from(data),
            leaf,
        });
        log.append(Some(leaf), build).await.unwrap();
        times.push(start.elapsed());
    }
    times
}

fn reopen(disk: Arc<dyn Disk>) {
    let start = Instant::now();
    let log = open(disk);
    println!(
        "reopened {} entries in {:.0} ms",
        log.size(),
        millis(start.elapsed())
    );
}

fn open(disk: Arc<dyn Disk>) -> Log {
    let name = KeyName::new("log.example").unwrap();
    let key = EphemeralKey::generate(KeyDetails::Ed25519).unwrap();
    let signer = CheckpointSigner::text(name.clone(), Arc::new(key)).unwrap();
    let options = LogOptions::new(
        name,
        EntryFormat::Rekor,
        vec![Arc::new(signer)],
        Arc::new(|| UnixTime::from_seconds(1_800_000_000)),
    );
    Log::open(disk, options).unwrap()
}

/// Returns the CPU time of this process, where `/proc` tells it (in hundredths of a second).
fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(10 * (user + system)))
}

fn quantile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
