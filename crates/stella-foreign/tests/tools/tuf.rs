//! TUF metadata, signed by openssl over its canonical form.

use serde_json::{Value, json};
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_bundle::tuf::{Role, TufError};
use stella_foreign::{Asked, ForeignError, Format, Reason, Signer, Verified, detect};

use crate::tool::Bench;
use crate::trial::{NOW, native, reason};

const EC: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

struct Repository {
    bench: Bench,
    root: Vec<u8>,
}

impl Repository {
    /// Makes a repository whose roles need `threshold` of two keys.
    fn new(threshold: usize) -> Option<Self> {
        let bench = Bench::of("openssl")?;
        let mut keys = serde_json::Map::new();
        for id in ["one", "two"] {
            bench.run(&format!("openssl genpkey {EC} -out {id}.key"));
            bench.run(&format!("openssl pkey -in {id}.key -pubout -out {id}.pub"));
            let public = String::from_utf8(bench.read(&format!("{id}.pub"))).unwrap();
            let key = json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": public}});
            keys.insert(id.to_owned(), key);
        }
        let role = json!({"keyids": ["one", "two"], "threshold": threshold});
        let words = json!({"_type": "root", "spec_version": "1.0.31", "version": 1,
            "expires": "2026-12-31T00:00:00Z", "consistent_snapshot": true, "keys": keys,
            "roles": {"root": role, "snapshot": role, "targets": role, "timestamp": role}});
        let mut repository = Self {
            bench,
            root: Vec::new(),
        };
        repository.root = repository.sign(&words, &["one", "two"]);
        Some(repository)
    }

    fn sign(&self, words: &Value, ids: &[&str]) -> Vec<u8> {
        self.bench.write("canonical", canonical(words).as_bytes());
        let signature = |id: &&str| {
            let bytes = self
                .bench
                .run(&format!("openssl dgst -sha256 -sign {id}.key canonical"));
            json!({"keyid": id, "sig": hex(&bytes)})
        };
        let signatures: Vec<Value> = ids.iter().map(signature).collect();
        serde_json::to_vec(&json!({"signatures": signatures, "signed": words})).unwrap()
    }

    fn verify(&self, metadata: &[u8], now: UnixTime) -> Result<Verified, ForeignError> {
        let mut artifact = metadata;
        stella_foreign::verify(Format::Tuf, b"", &self.root, &mut artifact, &Asked::at(now))
    }
}

/// Writes canonical JSON of what needs no escapes but `\n`, which stays as it is.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut names: Vec<&String> = map.keys().collect();
            names.sort();
            let entry = |name: &&String| format!("\"{name}\":{}", canonical(&map[*name]));
            format!(
                "{{{}}}",
                names.iter().map(entry).collect::<Vec<_>>().join(",")
            )
        }
        Value::Array(list) => {
            format!(
                "[{}]",
                list.iter().map(canonical).collect::<Vec<_>>().join(",")
            )
        }
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn timestamp_words() -> Value {
    json!({"_type": "timestamp", "spec_version": "1.0.31", "version": 7,
        "expires": "2026-01-08T00:00:00Z", "meta": {"snapshot.json": {"version": 3}}})
}

#[test]
fn metadata_by_one_key_is_native() {
    let Some(repository) = Repository::new(1) else {
        return;
    };
    let metadata = repository.sign(&timestamp_words(), &["two"]);
    assert_eq!(detect(&metadata, &repository.root), Some(Format::Tuf));
    let verified = repository.verify(&metadata, NOW).unwrap();
    assert_eq!(native(&verified).key_details, KeyDetails::EcdsaP256Sha256);
    let expected = Signer::Tuf {
        role: Role::Timestamp,
        version: 7,
        key_ids: vec!["two".to_owned()],
    };
    assert_eq!(*verified.signer(), expected);
    // Every byte counts but white space and case, which say the same of JSON and hex.
    for at in 0..metadata.len() {
        let mut changed = metadata.clone();
        changed[at] ^= 1;
        if let Ok(found) = repository.verify(&changed, NOW) {
            assert_eq!(found.loggable(), verified.loggable(), "byte {at}");
        }
        let _ = repository.verify(&metadata[..at], NOW).unwrap_err();
    }
}

#[test]
fn metadata_that_needs_two_keys_is_to_be_attested_anew() {
    let Some(repository) = Repository::new(2) else {
        return;
    };
    let metadata = repository.sign(&timestamp_words(), &["two", "one"]);
    let verified = repository.verify(&metadata, NOW).unwrap();
    assert_eq!(*reason(&verified), Reason::Threshold { needed: 2 });
    let alone = repository.sign(&timestamp_words(), &["two"]);
    let error = repository.verify(&alone, NOW);
    let few = matches!(
        error,
        Err(ForeignError::Tuf(TufError::NotEnoughSignatures { .. }))
    );
    assert!(few, "{error:?}");
}

#[test]
fn a_root_signs_itself_and_what_ended_is_refused() {
    let Some(repository) = Repository::new(1) else {
        return;
    };
    repository.verify(&repository.root, NOW).unwrap();
    let metadata = repository.sign(&timestamp_words(), &["one"]);
    for now in [1_767_830_400, 1_800_000_000] {
        let error = repository.verify(&metadata, UnixTime::from_seconds(now));
        let ended = matches!(error, Err(ForeignError::Tuf(TufError::Expired { .. })));
        assert!(ended, "{error:?}");
    }
}

#[test]
fn another_file_beside_the_metadata_or_another_root_is_refused() {
    let Some(repository) = Repository::new(1) else {
        return;
    };
    let metadata = repository.sign(&timestamp_words(), &["one"]);
    let verify = |signature: &[u8], root: &[u8]| {
        let asked = Asked::at(NOW);
        stella_foreign::verify(Format::Tuf, signature, root, &mut &metadata[..], &asked)
    };
    verify(&metadata, &repository.root).unwrap();
    assert!(matches!(
        verify(b"{}", &repository.root),
        Err(ForeignError::Unexpected { .. })
    ));
    let Some(other) = Repository::new(1) else {
        return;
    };
    assert!(matches!(
        verify(b"", &other.root),
        Err(ForeignError::Tuf(_))
    ));
}
