//! The service is killed under load, again and again: nothing that it acknowledged is lost, no size has two roots, and the
//! log is whole each time.
//!
//! Thirty kills by default; `STELLA_KILLS=1000` asks for a soak. What a power failure does, a simulated disk shows in
//! stella-testkit.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a test may panic and speak"
)]

mod desk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use desk::Desk;
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::entry::{EntryVerifier, LogEntry};
use stella_bundle::key::KeyDetails;
use stella_client::network::{Network, NetworkOptions};
use stella_keys::{EphemeralKey, Signer as _};
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::note::Note;
use stella_wire::rekor::{self, AddEntry, HashedRekordRequest, Verifier};
use stella_wire::transport::Transport as _;

/// Requests in flight while the service is killed.
const CLIENTS: usize = 16;

#[test]
fn nothing_acknowledged_is_lost_when_the_service_is_killed_under_load() {
    let kills: u64 = std::env::var("STELLA_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(30);
    let mut desk = Desk::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut seen = Seen::default();
    let key = Arc::new(EphemeralKey::generate(KeyDetails::EcdsaP256Sha256).unwrap());
    for kill in 0..kills {
        desk.serve();
        let acknowledged = runtime.block_on(load(&desk, &key, kill));
        // Killed somewhere between "just up" and "in full swing", never at the same place.
        desk.kill();
        desk.run(["log", "fsck", "--dir", "sigstore"]).ended(0);
        for (body, entry) in acknowledged {
            seen.acknowledge(body, &entry);
        }
    }
    desk.serve();
    runtime.block_on(seen.require_all(&desk));
    desk.stop();
    desk.run(["log", "fsck", "--dir", "sigstore"]).ended(0);
    println!(
        "{kills} kills, {} entries acknowledged, {} sizes seen",
        seen.entries.len(),
        seen.roots.len()
    );
    assert!(
        seen.entries.len() as u64 > kills,
        "too little was acknowledged for the test to mean anything"
    );
}

/// Everything that the service ever promised.
#[derive(Default)]
struct Seen {
    /// Request and index of each acknowledged entry.
    entries: BTreeMap<i64, Vec<u8>>,
    /// The root of each size.
    roots: BTreeMap<u64, String>,
}

impl Seen {
    fn acknowledge(&mut self, request: Vec<u8>, entry: &LogEntry) {
        let checkpoint = &entry.inclusion_proof.as_ref().unwrap().checkpoint.envelope;
        let checkpoint = Checkpoint::parse(&Note::parse(checkpoint).unwrap().text).unwrap();
        let root = checkpoint.root.to_string();
        let first = self
            .roots
            .entry(checkpoint.size.0)
            .or_insert_with(|| root.clone());
        assert_eq!(*first, root, "two roots for size {}", checkpoint.size.0);
        let other = self.entries.insert(entry.log_index, request);
        assert!(other.is_none(), "index {} was given twice", entry.log_index);
    }

    /// Sends every acknowledged entry again: each must be where it was.
    async fn require_all(&self, desk: &Desk) {
        let network = Network::new(NetworkOptions::default());
        for (index, request) in &self.entries {
            let entry = post(&network, desk, request.clone()).await.unwrap();
            assert_eq!(entry.log_index, *index, "an acknowledged entry moved");
        }
    }
}

/// Sends requests until the time of this round is over; returns what was acknowledged.
async fn load(desk: &Desk, key: &Arc<EphemeralKey>, round: u64) -> Vec<(Vec<u8>, LogEntry)> {
    let network = Arc::new(Network::new(NetworkOptions::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for client in 0..CLIENTS {
        let (network, stop, key) = (Arc::clone(&network), Arc::clone(&stop), Arc::clone(key));
        let address = desk.url.clone();
        tasks.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let request = request(&key, &format!("{round} {client} {number}"));
                if let Some(entry) = send(&network, &address, request.clone()).await {
                    acknowledged.push((request, entry));
                }
            }
            acknowledged
        }));
    }
    // A step that shares no factor with the range visits all of it.
    let pause = Duration::from_millis(5 + round * 37 % 120);
    tokio::time::sleep(pause).await;
    desk.kill_now();
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

fn request(key: &EphemeralKey, message: &str) -> Vec<u8> {
    let details = KeyDetails::EcdsaP256Sha256;
    let request = HashedRekordRequest {
        digest: DigestAlgorithm::Sha256
            .digest(message.as_bytes())
            .bytes()
            .to_vec(),
        signature: key.sign(message.as_bytes()).unwrap(),
        verifier: Verifier {
            key: EntryVerifier::PublicKey(key.public_key().spki().to_vec()),
            details,
        },
    };
    AddEntry::HashedRekord(request).to_bytes()
}

async fn post(network: &Network, desk: &Desk, request: Vec<u8>) -> Option<LogEntry> {
    send(network, &desk.url, request).await
}

/// Returns the entry when the service acknowledged it.
async fn send(network: &Network, address: &str, request: Vec<u8>) -> Option<LogEntry> {
    let request = http::Request::post(format!("{address}/api/v2/log/entries"))
        .header("content-type", "application/json")
        .body(bytes::Bytes::from(request))
        .unwrap();
    let answer = network.send(request).await.ok()?;
    (answer.status() == 201).then(|| rekor::parse_entry(answer.body()).unwrap())
}
