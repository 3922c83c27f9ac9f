//! The walk over a scripted repository: what is asked for, what is kept, and what a lying repository achieves.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::key::KeyDetails;
use stella_keys::{EphemeralKey, Signer as _};
use stella_wire::transport::{Request, Sending};

use super::*;
use crate::scripted::{NOW, run, status};

const BASE: &str = "https://tuf.example/repository";
const TARGET: &str = "trusted_root.json";

/// Files under their paths; everything that is asked for is written down.
#[derive(Default)]
struct Shelf {
    files: BTreeMap<String, Vec<u8>>,
    asked: Mutex<Vec<String>>,
}

impl Transport for Shelf {
    fn send(&self, request: Request) -> Sending<'_> {
        let path = request.uri().path().trim_start_matches("/repository/");
        self.asked.lock().unwrap().push(path.to_owned());
        let answer = match self.files.get(path) {
            Some(bytes) => status(200, bytes.clone()),
            None => status(404, ""),
        };
        Box::pin(async move { answer })
    }
}

/// A repository of one owner and one online key, at one version of everything.
struct Site {
    owner: EphemeralKey,
    online: EphemeralKey,
    version: u64,
    content: Vec<u8>,
}

fn key() -> EphemeralKey {
    EphemeralKey::generate(KeyDetails::Ed25519).unwrap()
}

impl Site {
    fn new() -> Self {
        Self {
            owner: key(),
            online: key(),
            version: 1,
            content: b"one".to_vec(),
        }
    }

    fn sign(signed: &Value, keys: &[&EphemeralKey]) -> Vec<u8> {
        // Without text that JSON escapes, serde's compact form with sorted names is the canonical one.
        let message = signed.to_string();
        let signature = |key: &&EphemeralKey| {
            let bytes = key.sign(message.as_bytes()).unwrap();
            json!({"keyid": id(key), "sig": hex(&bytes)})
        };
        let signatures: Vec<Value> = keys.iter().map(signature).collect();
        serde_json::to_vec(&json!({"signatures": signatures, "signed": signed})).unwrap()
    }

    fn root(&self, version: u64, signers: &[&EphemeralKey]) -> Vec<u8> {
        let written = |key: &EphemeralKey| {
            json!({"keytype": "ed25519", "scheme": "ed25519",
                "keyval": {"public": hex(key.public_key().bits())}})
        };
        let role = |key: &EphemeralKey| json!({"keyids": [id(key)], "threshold": 1});
        let mut root = head("root", version);
        root["consistent_snapshot"] = json!(true);
        root["keys"] =
            json!({id(&self.owner): written(&self.owner), id(&self.online): written(&self.online)});
        root["roles"] = json!({"root": role(&self.owner), "targets": role(&self.owner),
            "snapshot": role(&self.online), "timestamp": role(&self.online)});
        Self::sign(&root, signers)
    }

    /// Publishes everything at this version, besides what is on the shelf.
    fn publish(&self, shelf: &mut Shelf) {
        let version = self.version;
        let digest = DigestAlgorithm::Sha256.digest(&self.content).hex();
        let mut targets = head("targets", version);
        targets["targets"] =
            json!({TARGET: {"length": self.content.len(), "hashes": {"sha256": digest}}});
        let mut snapshot = head("snapshot", version);
        snapshot["meta"] = json!({"targets.json": {"version": version}});
        let mut timestamp = head("timestamp", version);
        timestamp["meta"] = json!({"snapshot.json": {"version": version}});
        let mut put = |path: String, bytes: Vec<u8>| shelf.files.insert(path, bytes);
        put(format!("targets/{digest}.{TARGET}"), self.content.clone());
        put(
            format!("{version}.targets.json"),
            Self::sign(&targets, &[&self.owner]),
        );
        put(
            format!("{version}.snapshot.json"),
            Self::sign(&snapshot, &[&self.online]),
        );
        put(
            "timestamp.json".to_owned(),
            Self::sign(&timestamp, &[&self.online]),
        );
    }

    /// Returns a client that trusts this site's first root, and the site's first state.
    fn begin(&self) -> (Believed, Shelf) {
        let mut shelf = Shelf::default();
        self.publish(&mut shelf);
        (Believed::from_root(self.root(1, &[&self.owner])), shelf)
    }
}

fn head(kind: &str, version: u64) -> Value {
    let expires = NOW.plus(Duration::from_secs(86_400)).to_string();
    json!({"_type": kind, "spec_version": "1.0", "version": version, "expires": expires})
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn id(key: &EphemeralKey) -> String {
    hex(&key.public_key().key_id())
}

fn fetch(shelf: &Shelf, believed: &mut Believed) -> Result<Option<Bytes>, ClientError> {
    shelf.asked.lock().unwrap().clear();
    run(async {
        let repository = walk(shelf, BASE, believed, NOW).await?;
        repository.fetch(shelf, TARGET).await
    })
}

fn refused(answer: Result<Option<Bytes>, ClientError>) -> TufError {
    match answer {
        Err(ClientError::Trust(TrustProblem::Tuf(error))) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_first_walk_asks_for_each_file_once_and_a_second_only_for_what_may_be_new() {
    let mut site = Site::new();
    let (mut believed, mut shelf) = site.begin();
    let content = fetch(&shelf, &mut believed).unwrap().unwrap();
    assert_eq!(content, site.content);
    let digest = DigestAlgorithm::Sha256.digest(&site.content).hex();
    let file = format!("targets/{digest}.{TARGET}");
    let asked = |shelf: &Shelf| shelf.asked.lock().unwrap().clone();
    assert_eq!(
        asked(&shelf),
        [
            "2.root.json",
            "timestamp.json",
            "1.snapshot.json",
            "1.targets.json",
            &file
        ]
    );
    let before = believed.clone();
    fetch(&shelf, &mut believed).unwrap();
    assert_eq!(asked(&shelf), ["2.root.json", "timestamp.json", &file]);
    assert_eq!(believed, before);

    site.version = 2;
    site.content = b"two".to_vec();
    site.publish(&mut shelf);
    let content = fetch(&shelf, &mut believed).unwrap().unwrap();
    assert_eq!(content, site.content);
    assert_ne!(believed, before);
}

#[test]
fn a_file_that_is_not_published_is_none() {
    let site = Site::new();
    let (mut believed, shelf) = site.begin();
    let found = run(async {
        let repository = walk(&shelf, BASE, &mut believed, NOW).await?;
        repository.fetch(&shelf, "another.json").await
    });
    assert_eq!(found, Ok(None));
}

#[test]
fn a_new_root_is_kept_also_when_a_later_step_fails() {
    let mut site = Site::new();
    let (mut believed, mut shelf) = site.begin();
    site.online = key();
    let second = site.root(2, &[&site.owner]);
    shelf.files.insert("2.root.json".to_owned(), second.clone());
    // The timestamp is still the old key's.
    assert!(matches!(
        refused(fetch(&shelf, &mut believed)),
        TufError::NotEnoughSignatures {
            role: Role::Timestamp,
            ..
        }
    ));
    assert_eq!(believed.root, second);
    // Whoever holds the second root back now is not followed to where only the first would do.
    shelf.files.remove("2.root.json");
    refused(fetch(&shelf, &mut believed));
    site.publish(&mut shelf);
    fetch(&shelf, &mut believed).unwrap();
}

#[test]
fn versions_that_a_thief_drove_up_end_with_the_thiefs_key() {
    let mut site = Site::new();
    let (mut believed, mut shelf) = site.begin();
    site.version = 1_000_000;
    site.publish(&mut shelf);
    fetch(&shelf, &mut believed).unwrap();
    site.version = 2;
    site.publish(&mut shelf);
    assert!(matches!(
        refused(fetch(&shelf, &mut believed)),
        TufError::Rollback { .. }
    ));
    site.online = key();
    let second = site.root(2, &[&site.owner]);
    shelf.files.insert("2.root.json".to_owned(), second);
    site.publish(&mut shelf);
    fetch(&shelf, &mut believed).unwrap();
}

#[test]
fn an_older_state_of_the_repository_is_refused() {
    let mut site = Site::new();
    let (mut believed, mut shelf) = site.begin();
    let old = shelf.files.clone();
    site.version = 2;
    site.publish(&mut shelf);
    fetch(&shelf, &mut believed).unwrap();
    let before = believed.clone();
    shelf.files = old;
    assert!(matches!(
        refused(fetch(&shelf, &mut believed)),
        TufError::Rollback {
            role: Role::Timestamp,
            trusted: 2,
            found: 1
        }
    ));
    assert_eq!(believed, before);
}

#[test]
fn pieces_of_two_states_are_not_mixed() {
    let mut site = Site::new();
    let (mut believed, mut shelf) = site.begin();
    let old = shelf.files["1.targets.json"].clone();
    site.version = 2;
    site.publish(&mut shelf);
    shelf.files.insert("2.targets.json".to_owned(), old);
    assert!(matches!(
        refused(fetch(&shelf, &mut believed)),
        TufError::VersionMismatch {
            role: Role::Targets,
            expected: 2,
            found: 1
        }
    ));
}

#[test]
fn a_changed_or_oversized_file_is_refused() {
    let site = Site::new();
    let (mut believed, mut shelf) = site.begin();
    let digest = DigestAlgorithm::Sha256.digest(&site.content).hex();
    let file = format!("targets/{digest}.{TARGET}");
    shelf.files.insert(file.clone(), b"ONE".to_vec());
    assert!(matches!(
        refused(fetch(&shelf, &mut believed)),
        TufError::WrongHash { .. }
    ));
    shelf.files.insert(file, b"one and more".to_vec());
    let too_large = |answer| matches!(answer, Err(ClientError::Answer { .. }));
    assert!(too_large(fetch(&shelf, &mut believed)));
    let endless = vec![b' '; Role::Timestamp.limit() + 1];
    shelf.files.insert("timestamp.json".to_owned(), endless);
    assert!(too_large(fetch(&shelf, &mut believed)));
}

#[test]
fn a_chain_of_roots_without_end_is_left_and_gone_on_with_later() {
    let site = Site::new();
    let (mut believed, mut shelf) = site.begin();
    for version in 2..=MAX_ROOTS + 2 {
        let root = site.root(version, &[&site.owner]);
        shelf.files.insert(format!("{version}.root.json"), root);
    }
    assert_eq!(
        refused(fetch(&shelf, &mut believed)),
        TufError::TooManyRoots { limit: MAX_ROOTS }
    );
    fetch(&shelf, &mut believed).unwrap();
}

#[test]
fn a_repository_elsewhere_needs_https() {
    let site = Site::new();
    let (mut believed, shelf) = site.begin();
    let walked = run(walk(&shelf, "http://tuf.example", &mut believed, NOW));
    assert!(matches!(
        walked,
        Err(ClientError::Trust(TrustProblem::NotHttps { .. }))
    ));
    assert_eq!(*shelf.asked.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_repository_that_is_away_is_no_end_of_the_chain_of_roots() {
    struct Away;
    impl Transport for Away {
        fn send(&self, _: Request) -> Sending<'_> {
            Box::pin(async { status(503, "") })
        }
    }
    let site = Site::new();
    let (mut believed, _) = site.begin();
    let walked = run(walk(&Away, BASE, &mut believed, NOW));
    assert!(matches!(walked, Err(ClientError::Unavailable { .. })));
}
