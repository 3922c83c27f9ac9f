//! Times the command and a serving instance from outside: whole processes and requests over HTTP.
//!
//! Everything runs on this machine; the load generator takes its share of the same cores. What the disk costs is printed
//! beside what the log costs, because a durable entry cannot be quicker than one `fdatasync`.
//!
//!     cargo bench --package stella --bench service
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark talks, and may panic"
)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::entry::EntryVerifier;
use stella_bundle::key::KeyDetails;
use stella_client::network::{Network, NetworkOptions};
use stella_keys::{EphemeralKey, Signer as _};
use stella_wire::rekor::{AddEntry, HashedRekordRequest, Verifier};
use stella_wire::transport::Transport as _;

const STELLA: &str = env!("CARGO_BIN_EXE_stella");
/// Whole processes are started this often.
const PROCESSES: usize = 40;
/// As large as a Fulcio certificate of a CI job, so that entries have the size of real ones.
const CERTIFICATE: usize = 1600;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path());
    println!(
        "serve: ready in {:.0} ms, {:.1} MiB resident",
        millis(world.ready),
        world.resident()
    );
    println!(
        "disk: append of 4 KiB and fdatasync, p50 {:.2} ms",
        millis(disk(folder.path()))
    );
    processes(&world);
    world.run(&["attest", "list", "a", "--json"]);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    for (clients, entries) in [(1, 400), (16, 4_000), (256, 40_000)] {
        load(&world, &runtime, clients, entries);
    }
    println!("serve: {:.1} MiB resident after the load", world.resident());
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// An instance that serves.
struct World<'a> {
    folder: &'a Path,
    url: String,
    server: Child,
    ready: Duration,
}

impl<'a> World<'a> {
    fn start(folder: &'a Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let begin = Instant::now();
        let mut command = command(
            folder,
            &["serve", "--dir", "sigstore", "--listen", &address],
        );
        let mut server = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        assert!(first.starts_with("serving"), "{first}");
        let ready = begin.elapsed();
        std::thread::spawn(move || lines.for_each(drop));
        let world = Self {
            folder,
            url: format!("http://{address}"),
            server,
            ready,
        };
        world.run(&["trust", "use", &world.url]);
        world
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = command(self.folder, arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn resident(&self) -> f64 {
        status(self.server.id(), "VmRSS:").map_or(0.0, |kib| kib / 1024.0)
    }

    /// CPU time of the server so far.
    fn cpu(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.server.id())).unwrap();
        let fields: Vec<&str> = text
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // The kernel counts hundredths of a second (USER_HZ).
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(STELLA);
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn status(process: u32, field: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Appends and syncs, as a log must at least once for an entry.
fn disk(folder: &Path) -> Duration {
    let mut file = File::create(folder.join("disk")).unwrap();
    let block = [7_u8; 4096];
    let sync = |_| {
        let begin = Instant::now();
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
        begin.elapsed()
    };
    median((0..100).map(sync).collect())
}

/// Whole processes: sign over HTTP, verify offline.
fn processes(world: &World<'_>) {
    let token = world.run(&["identity", "token", "--dir", "sigstore"]);
    let artifact = DigestAlgorithm::Sha256.digest(b"artifact").to_string();
    let sign = [
        "attest",
        "sign",
        "--keyless",
        "--artifact",
        &artifact,
        "--bundle",
        "b.json",
    ];
    let mut times = Vec::new();
    for _ in 0..PROCESSES {
        let begin = Instant::now();
        let output = command(world.folder, &sign)
            .env("STELLAOPS_OIDC_TOKEN", &token)
            .output()
            .unwrap();
        times.push(begin.elapsed());
        assert!(output.status.success());
    }
    println!(
        "sign: whole process over HTTP, median of {PROCESSES}: {:.1} ms",
        millis(median(times))
    );
    println!(
        "sign: whole process with the instance inside it, median of {PROCESSES}: {:.1} ms",
        millis(inside(world.folder, &artifact))
    );
    let mut verify = vec![
        "attest",
        "verify",
        "--offline",
        "--bundle",
        "b.json",
        "--artifact",
        &artifact,
    ];
    verify.extend([
        "--certificate-identity",
        "repo:local/demo:.*",
        "--certificate-oidc-issuer",
        &world.url,
    ]);
    let mut times = Vec::new();
    let mut peak: f64 = 0.0;
    for _ in 0..PROCESSES {
        let begin = Instant::now();
        let mut child = command(world.folder, &verify).spawn().unwrap();
        assert!(child.wait().unwrap().success());
        times.push(begin.elapsed());
        peak = peak.max(peak_of(world, &verify));
    }
    println!(
        "verify: whole process offline, median of {PROCESSES}: {:.1} ms, peak {peak:.1} MiB resident",
        millis(median(times))
    );
}

/// Signs with an instance that no other process serves.
fn inside(folder: &Path, artifact: &str) -> Duration {
    let home = folder.join("inside");
    fs::create_dir_all(&home).unwrap();
    let sign = ["attest", "sign", "--keyless", "--artifact", artifact];
    let time = || {
        let begin = Instant::now();
        assert!(
            command(&home, &sign)
                .stderr(Stdio::null())
                .output()
                .unwrap()
                .status
                .success()
        );
        begin.elapsed()
    };
    // The first one makes the instance.
    time();
    median((0..PROCESSES).map(|_| time()).collect())
}

/// The most memory that a process had, watched until it ends.
fn peak_of(world: &World<'_>, arguments: &[&str]) -> f64 {
    let mut child = command(world.folder, arguments).spawn().unwrap();
    let mut peak: f64 = 0.0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(status(child.id(), "VmHWM:").unwrap_or(0.0));
    }
    peak / 1024.0
}

/// Adds entries with so many requests in flight; every entry is durable and proved when its answer comes.
fn load(world: &World<'_>, runtime: &tokio::runtime::Runtime, clients: usize, entries: usize) {
    let bodies = Arc::new(requests(entries, clients));
    let address = format!("{}/api/v2/log/entries", world.url);
    let network = Arc::new(Network::new(NetworkOptions::default()));
    let next = Arc::new(AtomicUsize::new(0));
    let (begin, cpu) = (Instant::now(), world.cpu());
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (bodies, address, network, next) = (
                Arc::clone(&bodies),
                address.clone(),
                Arc::clone(&network),
                Arc::clone(&next),
            );
            runtime.spawn(async move {
                let mut times = Vec::new();
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begin = Instant::now();
                    let request = http::Request::post(&address)
                        .header("content-type", "application/json")
                        .body(bytes::Bytes::copy_from_slice(body))
                        .unwrap();
                    let answer = network.send(request).await.unwrap();
                    assert_eq!(answer.status(), 201);
                    times.push(begin.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times: Vec<Duration> = tasks
        .into_iter()
        .flat_map(|task| runtime.block_on(task).unwrap())
        .collect();
    let elapsed = begin.elapsed();
    let cpu = (world.cpu() - cpu).as_secs_f64() * 1e6 / entries as f64;
    times.sort_unstable();
    println!(
        "log over HTTP: {clients:>3} in flight: {:>6.0} entries/s, p50 {:.1} ms, p99 {:.1} ms, server CPU {cpu:.0} µs an entry",
        entries as f64 / elapsed.as_secs_f64(),
        millis(times[times.len() / 2]),
        millis(times[times.len() * 99 / 100]),
    );
}

/// Makes requests of different digests, signed before the clock starts.
fn requests(count: usize, salt: usize) -> Vec<Vec<u8>> {
    let details = KeyDetails::EcdsaP256Sha256;
    let key = EphemeralKey::generate(details).unwrap();
    let certificate = certificate(&key);
    (0..count)
        .map(|number| {
            let message = format!("{salt} {number}");
            let request = HashedRekordRequest {
                digest: DigestAlgorithm::Sha256
                    .digest(message.as_bytes())
                    .bytes()
                    .to_vec(),
                signature: key.sign(message.as_bytes()).unwrap(),
                verifier: Verifier {
                    key: EntryVerifier::Certificate(certificate.clone()),
                    details,
                },
            };
            AddEntry::HashedRekord(request).to_bytes()
        })
        .collect()
}

/// A certificate of the usual size over the key; a log asks no more of it than that it parses.
fn certificate(key: &EphemeralKey) -> Vec<u8> {
    use stella_bundle::asn1;
    use stella_bundle::key::ECDSA_WITH_SHA256;
    use stella_bundle::time::UnixTime;
    let algorithm = asn1::sequence(&[&asn1::oid(&ECDSA_WITH_SHA256)]);
    let name = asn1::sequence(&[]);
    let validity = asn1::sequence(&[
        &asn1::x509_time(UnixTime::from_seconds(1_700_000_000)),
        &asn1::x509_time(UnixTime::from_seconds(1_900_000_000)),
    ]);
    let padding = asn1::sequence(&[
        &asn1::tlv(asn1::tag::OID, &[0x2b, 0x06, 0x01]),
        &asn1::octet_string(&vec![0; CERTIFICATE]),
    ]);
    let tbs = asn1::sequence(&[
        &asn1::explicit(0, &asn1::small(2)),
        &asn1::small(1),
        &algorithm,
        &name,
        &validity,
        &name,
        key.public_key().spki(),
        &asn1::explicit(3, &asn1::sequence(&[&padding])),
    ]);
    let signature = key.sign(&tbs).unwrap();
    asn1::sequence(&[&tbs, &algorithm, &asn1::bit_string(&signature)])
}
