//! The archive at scale: a set of attestations made by the forge is sealed, verified, and one is taken out.
//!
//! ```text
//! cargo bench -p stella --bench archive -- generate 1000000 SET.jsonl
//! cargo bench -p stella --bench archive -- pure SET.jsonl          read, parse and verify; nothing else
//! cargo bench -p stella --bench archive -- build SET.jsonl DIR     the whole job
//! cargo bench -p stella --bench archive -- share SET.jsonl DIR N M  collect and verify share N of M, as one of M machines
//! cargo bench -p stella --bench archive -- sealed SET.jsonl DIR M  the whole job, from M shares
//! cargo bench -p stella --bench archive -- check DIR               as a stranger, L1
//! cargo bench -p stella --bench archive -- archived DIR            as a stranger, L0
//! cargo bench -p stella --bench archive -- extract DIR COUNT       one after the other
//! ```
//!
//! Each step is a process of its own and ends with the most memory that it had (Linux).
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark speaks, and may panic"
)]

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::stream;
use stella_archive::anchor::Anchor;
use stella_archive::fall::Falls;
use stella_archive::keyset::{Keyset, OrgKeyEntry, Role};
use stella_archive::statement::Period;
use stella_attest::archive::run::{Job, Logs, Prune};
use stella_attest::archive::share::{Collection, Share};
use stella_attest::archive::verify::{Demands, Depth};
use stella_attest::archive::{Archive, Incoming, extract, run, share, source, verify};
use stella_attest::keyset::{self, KeysetFolder};
use stella_attest::layout::Layout;
use stella_attest::session::{Services, Session};
use stella_attest::storage::Storage;
use stella_bundle::bundle::Bundle;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::identity::Identities;
use stella_bundle::key::{KeyDetails, sha256};
use stella_bundle::memo::Memo;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{Artifact, IdentityRule, Policy, SctRule, Trust, Verifier};
use stella_client::tsa::{Nonce, Tsa};
use stella_keys::{OrgKey, Signer};
use stella_testkit::forge::{self, Forge, Form, NOW};
use stella_testkit::{URL, World};
use stella_wire::tsa::TIMESTAMP_PATH;

/// Attestations that share a certificate and a checkpoint: those of one pipeline's run.
const OF_ONE_RUN: usize = 4;

fn main() {
    // `cargo bench` adds its own flag at the end.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|each| each != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let start = Instant::now();
    match words.as_slice() {
        ["generate", count, set] => generate(count.parse().unwrap(), Path::new(set)),
        ["pure", set] => pure(Path::new(set)),
        ["build", set, folder] => block_on(build(Path::new(set), Path::new(folder), None)),
        ["share", set, folder, number, of] => {
            let share = Share::new(number.parse().unwrap(), of.parse().unwrap());
            block_on(collect(Path::new(set), Path::new(folder), share.unwrap()));
        }
        ["sealed", set, folder, of] => {
            let of = Some(of.parse().unwrap());
            block_on(build(Path::new(set), Path::new(folder), of));
        }
        ["check", folder] => block_on(check(Path::new(folder), Depth::Reverified)),
        ["archived", folder] => block_on(check(Path::new(folder), Depth::Archived)),
        ["extract", folder, count] => {
            block_on(extract_some(Path::new(folder), count.parse().unwrap()))
        }
        // Without words it is only built: `cargo test --benches` runs it too.
        _ => return println!("see the head of benches/archive.rs for the steps"),
    }
    println!(
        "{:.2} s in all, at most {} MiB",
        start.elapsed().as_secs_f64(),
        peak() >> 20
    );
}

fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work);
}

fn threads() -> NonZeroUsize {
    thread::available_parallelism().unwrap()
}

/// Writes bundles and, beside them, the trusted root that verifies them.
fn generate(count: usize, set: &Path) {
    let forge = Forge::with_authorities(KeyDetails::EcdsaP384Sha384);
    fs::write(root_of(set), forge.trusted_root().to_string()).unwrap();
    let file = Mutex::new(BufWriter::new(File::create(set).unwrap()));
    let runs = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads().get() {
            scope.spawn(|| {
                while runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < count / OF_ONE_RUN {
                    let bundles = forge.make_many(&Form::current(), OF_ONE_RUN);
                    let lines: String = bundles.iter().map(|each| format!("{each}\n")).collect();
                    file.lock().unwrap().write_all(lines.as_bytes()).unwrap();
                }
            });
        }
    });
    file.into_inner().unwrap().flush().unwrap();
    println!(
        "{count} bundles, {} bytes",
        fs::metadata(set).unwrap().len()
    );
}

fn root_of(set: &Path) -> std::path::PathBuf {
    set.with_extension("root.json")
}

fn anyone() -> Policy {
    Policy::for_certificates(IdentityRule::Given(Identities::AnyoneUnsafe))
}

/// The least that any job must do: every signature verified, on every core.
fn pure(set: &Path) {
    let root = TrustedRoot::parse(&fs::read(root_of(set)).unwrap()).unwrap();
    let verifier = Verifier::new(Trust::new(&root), anyone());
    let source = Mutex::new(source::bundles(set).map(Result::unwrap).collect_chunks());
    let later = NOW.plus(forge::DAY);
    let verified: usize = thread::scope(|scope| {
        let work = || {
            let (memo, mut count) = (Memo::remembering(), 0);
            loop {
                let chunk = source.lock().unwrap().next_chunk(256);
                if chunk.is_empty() {
                    return count;
                }
                for bytes in chunk {
                    let bundle = Bundle::parse(&bytes).unwrap();
                    let report =
                        verifier.verify_remembering(&bundle, &Artifact::AsSigned, later, &memo);
                    report.verdict.unwrap();
                    count += 1;
                }
            }
        };
        let workers: Vec<_> = (0..threads().get()).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|each| each.join().unwrap()).sum()
    });
    println!("{verified} verified");
}

/// An iterator that gives many at a time.
struct Chunks<I>(I);

trait CollectChunks: Iterator + Sized {
    fn collect_chunks(self) -> Chunks<Self> {
        Chunks(self)
    }
}

impl<I: Iterator> CollectChunks for I {}

impl<I: Iterator> Chunks<I> {
    fn next_chunk(&mut self, most: usize) -> Vec<I::Item> {
        self.0.by_ref().take(most).collect()
    }
}

/// Two months after the attestations.
async fn later() -> World {
    let world = World::new().await.unwrap();
    world.advance(Duration::from_secs(60 * 86_400));
    world
}

fn period(world: &World) -> Period {
    Period {
        name: "2026-01".to_owned(),
        start: UnixTime::from_seconds(0),
        end: world.now().floor_seconds(),
    }
}

fn incoming(set: &Path) -> Incoming<'static> {
    let bundles = source::bundles(set).map(|each| each.map(Into::into));
    Box::pin(stream::iter(bundles))
}

fn shares(folder: &Path) -> Arc<dyn Storage> {
    Arc::new(Layout::create_folder(&folder.join("shares")).unwrap())
}

async fn collect(set: &Path, folder: &Path, share: Share) {
    fs::create_dir_all(folder).unwrap();
    let world = later().await;
    let collection = Collection {
        share,
        period: &period(&world),
        trusted_root: &fs::read(root_of(set)).unwrap(),
        policy: &anyone(),
        policy_digest: None,
        storage: shares(folder),
        work: &folder.join(format!("work-{}", share.number)),
        threads: threads(),
        now: &|| world.now(),
        done: &|_| (),
    };
    let collected = share::collect(&collection, incoming(set)).await.unwrap();
    println!("{}: {} verified", collected.name, collected.verified);
}

async fn build(set: &Path, folder: &Path, of: Option<u32>) {
    let world = later().await;
    let root_bytes = world.sigstore().trusted_root().to_vec();
    let root = TrustedRoot::parse(&root_bytes).unwrap();
    let trust = Trust::new(&root);
    let transport = world.transport();
    let session = Session {
        transport: transport.as_ref(),
        services: Services {
            timestamp_authorities: vec![Tsa::new(&format!("{URL}{TIMESTAMP_PATH}"))],
            ..Services::default()
        },
        trust: &trust,
        sct: SctRule::Require,
        root_bundle: None,
        now: &|| world.now(),
        nonce: &|| Nonce([7; 8]),
        done: &|_| (),
    };
    let top = root.timestamp_authorities[0]
        .cert_chain
        .certificates
        .last()
        .unwrap();
    let pins = vec![sha256(&top.raw_bytes)];
    let keys: Vec<OrgKey> = [KeyDetails::EcdsaP384Sha384, KeyDetails::MlDsa65]
        .map(|details| OrgKey::new(Box::new(forge::key(details)) as Box<dyn Signer>))
        .into();
    let until = world.now().plus(Duration::from_secs(3 * 365 * 86_400));
    let entries = keys.iter().zip([Role::Classical, Role::PostQuantum]);
    let entries =
        entries.map(|(key, role)| OrgKeyEntry::new(key.public_key(), role, world.now(), until));
    let keyset = Keyset::create(
        "archive.example.org",
        world.now(),
        "bench",
        2,
        entries.collect(),
        pins,
    );
    fs::create_dir_all(folder).unwrap();
    let org = folder.join("org");
    keyset::found(&session, &org, &keyset.unwrap(), &keys, Some(&root_bytes))
        .await
        .unwrap();
    let keysets = KeysetFolder::read(&org).unwrap();
    let layout = Layout::create_folder(&folder.join("archive")).unwrap();
    let storage: Arc<dyn Storage> = Arc::new(layout);
    let set_root = fs::read(root_of(set)).unwrap();
    let start = Instant::now();
    let last = Mutex::new((None, start));
    let job = Job {
        session: &session,
        keysets: &keysets,
        keys: &keys,
        storage,
        work: &folder.join("work"),
        period: period(&world),
        since: None,
        trusted_root: &set_root,
        tuf: None,
        policy: &anyone(),
        policy_digest: None,
        logs: Logs::Shared,
        months: 24,
        prune: Prune::Keep,
        threads: threads(),
        done: &|phase, _| {
            let mut last = last.lock().unwrap();
            if last.0 != Some(phase) {
                println!("  {:7.2} s {phase:?}", start.elapsed().as_secs_f64());
                *last = (Some(phase), Instant::now());
            }
        },
    };
    let incoming = match of {
        None => incoming(set),
        Some(of) => {
            let profile = (&set_root[..], None);
            let shares = share::incoming(&shares(folder), of, &job.period, profile, 7).await;
            shares.unwrap()
        }
    };
    let outcome = run::run(&job, incoming).await.unwrap();
    println!(
        "{} sealed in {:.2} s, {} bytes of {}",
        outcome.manifest.counts.verified,
        start.elapsed().as_secs_f64(),
        outcome.size,
        outcome.raw
    );
}

async fn open(folder: &Path) -> Archive {
    let layout = Layout::open(&folder.join("archive")).unwrap();
    Archive::open(Arc::new(layout), "2026-01").await.unwrap()
}

async fn check(folder: &Path, depth: Depth) {
    let anchor = fs::read_to_string(folder.join("org/org.anchor")).unwrap();
    let archive = open(folder).await;
    let demands = Demands {
        anchor: &Anchor::parse(&anchor).unwrap(),
        known: &Falls::default(),
        own: None,
        policy: &anyone(),
        newer: None,
        depth,
        now: NOW.plus(Duration::from_secs(365 * 86_400)),
        threads: threads(),
        done: &|_, _| (),
    };
    let checked = verify::verify(&archive, &demands).await.unwrap();
    println!(
        "{} present, {} verified again, {} refused",
        checked.present, checked.reverified, checked.refused_count
    );
}

/// Takes out attestations that are spread over the archive.
async fn extract_some(folder: &Path, count: usize) {
    let archive = open(folder).await;
    let mut times = Vec::new();
    for at in 0..count as u64 {
        let digest = some_bundle(&archive, at, count as u64).await;
        let start = Instant::now();
        let found = extract::find(&archive, &digest).await.unwrap();
        times.push(start.elapsed());
        let bundle = found[0].bundle.as_ref().unwrap();
        assert_eq!(DigestAlgorithm::Sha256.digest(bundle), digest);
    }
    times.sort();
    println!(
        "median {:?}, worst {:?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
}

/// Returns the digest of one attestation of the archive.
async fn some_bundle(archive: &Archive, at: u64, of: u64) -> Digest {
    let head = archive.range("index", 16..40).await.unwrap();
    let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
    let (frames, bundles) = (number(0), number(8));
    let record = 40 + frames * 32 + bundles * at / of * 40;
    let key = archive.range("index", record..record + 32).await.unwrap();
    Digest::new(DigestAlgorithm::Sha256, &key).unwrap()
}

/// Returns the most memory that this process had.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| {
        line.trim()
            .trim_end_matches(" kB")
            .trim()
            .parse::<u64>()
            .ok()
    });
    number.unwrap_or(0) * 1024
}
