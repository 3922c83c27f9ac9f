//! Many images with their attestations from one registry to another: killed again and again, completed by the next run,
//! in bounded memory, and nothing is transferred twice.
//!
//! A few images and kills by default; `STELLA_IMAGES=1000 STELLA_KILLS=50` is the long form (docs/benchmarks.md).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use desk::Desk;
use stella_client::network::{Network, PlainHttp};
use stella_client::registry::credentials::Credential;
use stella_client::registry::{Registry, Repository};
use stella_testkit::image::Image;
use stella_wire::registry::attachment::{self, Attachment};
use stella_wire::registry::manifest::media;

/// Attestations of each image.
const ATTESTATIONS: usize = 5;
/// What a copy may hold at most, in KiB.
const MEMORY: u64 = 100 << 10;

fn number(variable: &str, default: usize) -> usize {
    let asked = std::env::var(variable).ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Serves a registry until it is dropped.
struct Served {
    child: Child,
    host: String,
}

impl Served {
    fn start(desk: &Desk, name: &str) -> Self {
        let host = Desk::new().url.trim_start_matches("http://").to_owned();
        let arguments = [
            "serve", "--with", "registry", "--dir", name, "--listen", &host,
        ];
        let mut command = desk.command(arguments);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while TcpStream::connect(&host).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{host} does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, host }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pushes an image with its attestations; what they say does not matter here.
async fn push(repository: Repository, seed: String) {
    let image = Image::new(&seed, "amd64");
    for (blob, bytes) in image.blobs {
        repository.put_blob(&blob.digest, bytes).await.unwrap();
    }
    let put = |reference: String, media_type: &'static str, bytes| {
        let repository = repository.clone();
        async move {
            repository
                .put_manifest(&reference, media_type, bytes)
                .await
                .unwrap()
        }
    };
    put(seed.clone(), media::MANIFEST, image.manifest.bytes.clone()).await;
    let subject = image.manifest.descriptor();
    let empty = attachment::empty_config().digest;
    let config = attachment::EMPTY_CONFIG.to_vec().into();
    repository.put_blob(&empty, config).await.unwrap();
    for each in 0..ATTESTATIONS {
        let bundle = format!("{{\"attestation\":{each},\"of\":\"{seed}\"}}").into_bytes();
        let made = Attachment::new(&subject, &bundle, "https://e.x/p", "2026-01-01T00:00:00Z");
        repository
            .put_blob(&made.bundle, bundle.into())
            .await
            .unwrap();
        let digest = made.descriptor.digest.to_string();
        put(digest, media::MANIFEST, made.manifest.into()).await;
    }
}

#[test]
fn what_was_killed_is_completed_and_nothing_is_transferred_twice() {
    let (images, kills) = (number("STELLA_IMAGES", 12), number("STELLA_KILLS", 6));
    let desk = Desk::new();
    let (source, destination) = (Served::start(&desk, "one"), Served::start(&desk, "other"));
    let registry = Registry::new(
        Arc::new(Network::default()),
        &source.host,
        PlainHttp::LoopbackOnly,
        Credential::Anonymous,
    );
    let repository = Repository::new(Arc::new(registry), "org/app");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let mut pushes = tokio::task::JoinSet::new();
        for each in 0..images {
            pushes.spawn(push(repository.clone(), format!("v{each}")));
            if pushes.len() == 16 {
                pushes.join_next().await.unwrap().unwrap();
            }
        }
        while let Some(pushed) = pushes.join_next().await {
            pushed.unwrap();
        }
    });
    let from = format!("{}/org/app", source.host);
    let to = format!("{}/mirror/app", destination.host);
    let (mut peak, mut killed) = (0, 0);
    // 1. Killed at some moment, each time a later one.
    for each in 0..kills {
        let mut child = desk
            .command(["mirror", "sync", &from, &to])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moment = Duration::from_millis(30 + 40 * each as u64 * images.ilog2() as u64 / 4);
        let start = Instant::now();
        while start.elapsed() < moment && child.try_wait().unwrap().is_none() {
            peak = peak.max(memory(child.id()));
            std::thread::sleep(Duration::from_millis(5));
        }
        killed += usize::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
    }
    // 2. The next one completes it.
    let child = desk
        .command(["mirror", "sync", &from, &to, "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let watched = std::thread::spawn(move || child.wait_with_output().unwrap());
    while !watched.is_finished() {
        peak = peak.max(memory(id));
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = watched.join().unwrap();
    assert!(output.status.success());
    desk.run(["mirror", "diff", &from, &to]).ended(0);
    // 3. And one more finds nothing to do.
    let again = desk
        .run(["mirror", "sync", &from, &to, "--json"])
        .ended(0)
        .json();
    assert_eq!(again["images"], images);
    assert_eq!(again["bytes"], 0);
    for what in ["manifests", "blobs", "tags"] {
        assert_eq!(again[what]["copied"], 0, "{again}");
    }
    println!("{images} images, killed {killed} times, at most {peak} KiB");
    assert!(peak < MEMORY, "{peak} KiB");
}

/// Returns the most memory that a process held so far, in KiB; 0 when it is gone.
fn memory(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let digits = line.and_then(|line| line.split_whitespace().next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
