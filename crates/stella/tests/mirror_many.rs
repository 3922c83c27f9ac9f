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

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use desk::{Desk, peak_memory};
use stella_client::network::{Network, PlainHttp};
use stella_client::registry::credentials::Credential;
use stella_client::registry::{Registry, Repository};
use stella_client::retry::{RetryPolicy, Retrying};
use stella_testkit::image::{self, Image};
use stella_wire::registry::RawManifest;
use stella_wire::registry::attachment::{self, Attachment};
use stella_wire::registry::manifest::media;

/// Attestations of each image.
const ATTESTATIONS: usize = 5;
/// What a copy may hold at most, in bytes.
const MEMORY: u64 = 100 << 20;

fn number(variable: &str, default: usize) -> usize {
    let asked = std::env::var(variable).ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn random_below(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % limit
}

/// Returns a desk whose instance serves a registry, and the registry's host.
fn registry() -> (Desk, String) {
    let mut desk = Desk::new();
    desk.serve_with(&["--with", "registry"]);
    let host = desk.url.trim_start_matches("http://").to_owned();
    (desk, host)
}

/// Pushes an image with its attestations; what they say does not matter here.
async fn push(repository: Repository, seed: String) {
    let image = Image::new(&seed, "amd64");
    image.push(&repository, &seed).await.unwrap();
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
        let manifest = RawManifest::new(media::MANIFEST, made.manifest.into());
        image::push(&repository, &digest, &manifest).await.unwrap();
    }
}

#[test]
fn what_was_killed_is_completed_and_nothing_is_transferred_twice() {
    let (images, kills) = (number("STELLA_IMAGES", 12), number("STELLA_KILLS", 6));
    let ((desk, source), (_other, destination)) = (registry(), registry());
    let registry = Registry::new(
        Arc::new(Retrying::new(
            Arc::new(Network::default()),
            RetryPolicy::default(),
        )),
        &source,
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
    let from = format!("{source}/org/app");
    let mirror = |number: usize| format!("{destination}/mirror/app{number}");
    let (mut peak, mut killed, mut finished) = (0, 0, 0);
    // 1. Killed at some moment. A copy that was faster than its killer is whole, and the next one begins anew.
    while killed < kills {
        let to = mirror(finished);
        let mut child = desk
            .command(["mirror", "sync", &from, &to])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moment = Duration::from_millis(random_below(100 + images as u64));
        let start = Instant::now();
        while start.elapsed() < moment && child.try_wait().unwrap().is_none() {
            peak = peak.max(peak_memory(child.id()).unwrap_or(0));
            std::thread::sleep(Duration::from_millis(1));
        }
        match child.try_wait().unwrap() {
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
            }
            Some(status) => {
                assert!(status.success());
                desk.run(["mirror", "diff", &from, &to]).ended(0);
                finished += 1;
            }
        }
    }
    let to = mirror(finished);
    // 2. The next one completes it.
    let child = desk
        .command(["mirror", "sync", &from, &to, "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let watched = std::thread::spawn(move || child.wait_with_output().unwrap());
    while !watched.is_finished() {
        peak = peak.max(peak_memory(id).unwrap_or(0));
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
    println!(
        "{images} images, killed {killed} times over {} copies, at most {} KiB",
        finished + 1,
        peak >> 10
    );
    assert!(peak < MEMORY, "{peak} bytes");
}
