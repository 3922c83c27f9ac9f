//! A TUF repository of one owner and one online key, and a server of files on the loopback.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_keys::{EphemeralKey, Signer as _};

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Files under their paths, served until the test ends.
pub(crate) struct Site {
    pub(crate) url: String,
    files: Files,
}

impl Site {
    /// Serves on a free port.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let files = Files::default();
        let served = Arc::clone(&files);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(&stream.unwrap(), &served);
            }
        });
        Self { url, files }
    }

    /// Serves a file from now on.
    pub(crate) fn put(&self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(path.into(), bytes.into());
    }

    /// Returns all files as they are now.
    pub(crate) fn snapshot(&self) -> BTreeMap<String, Vec<u8>> {
        self.files.lock().unwrap().clone()
    }

    /// Serves these files and no others.
    pub(crate) fn restore(&self, files: BTreeMap<String, Vec<u8>>) {
        *self.files.lock().unwrap() = files;
    }
}

fn answer(mut stream: &TcpStream, files: &Files) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let found = files
        .lock()
        .unwrap()
        .get(path.trim_start_matches('/'))
        .cloned();
    let (status, body) = match found {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}

/// Who signs for a repository.
pub(crate) struct Owners {
    owner: EphemeralKey,
    online: EphemeralKey,
    /// How long timestamps are good, in seconds, may be negative.
    pub(crate) life: i64,
}

impl Owners {
    pub(crate) fn new() -> Self {
        let key = || EphemeralKey::generate(KeyDetails::Ed25519).unwrap();
        Self {
            owner: key(),
            online: key(),
            life: 86_400,
        }
    }

    /// Returns root metadata of `version`.
    pub(crate) fn root(&self, version: u64) -> Vec<u8> {
        let written = |key: &EphemeralKey| {
            json!({"keytype": "ed25519", "scheme": "ed25519",
                "keyval": {"public": hex(key.public_key().bits())}})
        };
        let role = |key: &EphemeralKey| json!({"keyids": [id(key)], "threshold": 1});
        let mut root = head("root", version, 86_400);
        root["consistent_snapshot"] = json!(true);
        root["keys"] =
            json!({id(&self.owner): written(&self.owner), id(&self.online): written(&self.online)});
        root["roles"] = json!({"root": role(&self.owner), "targets": role(&self.owner),
            "snapshot": role(&self.online), "timestamp": role(&self.online)});
        sign(&root, &self.owner)
    }

    /// Publishes files at `version` of everything.
    pub(crate) fn publish(&self, site: &Site, version: u64, files: &[(&str, &[u8])]) {
        let mut targets = head("targets", version, 86_400);
        targets["targets"] = json!({});
        for (name, bytes) in files {
            let digest = DigestAlgorithm::Sha256.digest(bytes).hex();
            targets["targets"][*name] =
                json!({"length": bytes.len(), "hashes": {"sha256": digest}});
            site.put(format!("targets/{digest}.{name}"), *bytes);
        }
        let mut snapshot = head("snapshot", version, 86_400);
        snapshot["meta"] = json!({"targets.json": {"version": version}});
        let mut timestamp = head("timestamp", version, self.life);
        timestamp["meta"] = json!({"snapshot.json": {"version": version}});
        site.put(
            format!("{version}.targets.json"),
            sign(&targets, &self.owner),
        );
        site.put(
            format!("{version}.snapshot.json"),
            sign(&snapshot, &self.online),
        );
        site.put("timestamp.json", sign(&timestamp, &self.online));
    }
}

fn head(kind: &str, version: u64, life: i64) -> Value {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs();
    let expires = UnixTime::from_seconds(i64::try_from(now).unwrap() + life).to_string();
    json!({"_type": kind, "spec_version": "1.0", "version": version, "expires": expires})
}

fn sign(signed: &Value, key: &EphemeralKey) -> Vec<u8> {
    // Without text that JSON escapes, serde's compact form with sorted names is the canonical one.
    let bytes = key.sign(signed.to_string().as_bytes()).unwrap();
    let signature = json!({"keyid": id(key), "sig": hex(&bytes)});
    serde_json::to_vec(&json!({"signatures": [signature], "signed": signed})).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn id(key: &EphemeralKey) -> String {
    hex(&key.public_key().key_id())
}
