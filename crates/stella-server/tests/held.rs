//! Keys of an instance that are kept elsewhere: named, never written, of the right kind, and away for a while.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod world;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use stella_bundle::key::{KeyDetails, PublicKey};
use stella_bundle::time::UnixTime;
use stella_keys::{EphemeralKey, KeyError, Signer};
use stella_server::{
    Description, HeldKey, HeldKeys, InitOptions, InstanceError, KeyPurpose, OpenError, Options,
    Sigstore,
};
use stella_wire::oidc::Jwt;
use world::{P256, START, StillClock, URL, World, entry, held, refusal};

fn new() -> InitOptions {
    InitOptions {
        url: URL.parse().unwrap(),
        now: UnixTime::from_millis(START),
    }
}

async fn open(directory: &Path, keys: HeldKeys) -> Result<Sigstore, OpenError> {
    let options = Options {
        clock: StillClock::new(),
        keys,
        ..Options::default()
    };
    Sigstore::open(directory, options).await
}

/// All keys; the own issuer signs in this way.
fn keys(oidc: KeyDetails) -> HeldKeys {
    let keys = HeldKeys::from([
        (KeyPurpose::Ca, held("ca", KeyDetails::EcdsaP384Sha384)),
        (KeyPurpose::Ct, held("ct", P256)),
        (KeyPurpose::Log, held("log", P256)),
        (KeyPurpose::Oidc, held("oidc", oidc)),
        (KeyPurpose::Tsa, held("tsa", P256)),
    ]);
    assert!(keys.keys().eq(&KeyPurpose::ALL));
    keys
}

#[tokio::test]
async fn a_key_that_is_kept_elsewhere_is_named_and_never_written() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let keys = keys(KeyDetails::EcdsaP256Sha256);
    Sigstore::init_with(directory, &new(), &keys).unwrap();
    let recorded = Description::read(directory).unwrap().keys;
    let named = |(purpose, key): (&KeyPurpose, &HeldKey)| (*purpose, key.reference.clone());
    assert_eq!(recorded, keys.iter().map(named).collect());
    // Neither these keys nor the roots' above them, which would be the way around a device.
    let names = std::fs::read_dir(directory.join("keys")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, ["ct.pub", "oidc.pub", "rekor.pub"]);

    drop(open(directory, keys.clone()).await.unwrap());
    let refused = async |keys: HeldKeys| match open(directory, keys).await {
        Err(OpenError::Instance(error)) => error,
        other => panic!("{:?}", other.map(|_| ())),
    };
    for (purpose, key) in &keys {
        let reference = key.reference.clone();
        let mut others = keys.clone();
        let own = others.remove(purpose).unwrap();
        let elsewhere = InstanceError::KeyElsewhere { reference };
        assert_eq!(refused(others.clone()).await, elsewhere);
        let renamed = HeldKey {
            reference: "pkcs11:object=renamed".to_owned(),
            ..own.clone()
        };
        others.insert(*purpose, renamed);
        assert_eq!(refused(others.clone()).await, elsewhere);
        let reference = own.reference;
        let name = reference.split('=').next_back().unwrap();
        others.insert(*purpose, held(name, own.signer.details()));
        let mismatch = InstanceError::KeyMismatch { reference };
        assert_eq!(refused(others).await, mismatch);
    }
    // Whoever only reads needs none of them.
    let reports = stella_server::fsck_instance(directory).unwrap();
    assert!(reports.iter().all(|report| report.problems.is_empty()));
    // What clients know a key by is not guessed.
    let path = directory.join("keys/rekor.pub");
    std::fs::write(&path, "-----BEGIN PUBLIC KEY-----\n").unwrap();
    let malformed = InstanceError::PublicKeyMalformed { path };
    assert_eq!(refused(keys).await, malformed);
}

#[test]
fn each_key_signs_with_what_its_format_has_and_every_client_verifies() {
    let directory = tempfile::tempdir().unwrap();
    use KeyDetails::{EcdsaP256Sha256, EcdsaP384Sha384, Ed25519, RsaPkcs1v15_2048Sha256};
    let kinds = [
        EcdsaP256Sha256,
        EcdsaP384Sha384,
        Ed25519,
        RsaPkcs1v15_2048Sha256,
    ];
    let suitable = |purpose| match purpose {
        KeyPurpose::Ca | KeyPurpose::Tsa => vec![EcdsaP256Sha256, EcdsaP384Sha384],
        KeyPurpose::Ct => vec![EcdsaP256Sha256],
        KeyPurpose::Log => vec![EcdsaP256Sha256, Ed25519],
        KeyPurpose::Oidc => vec![EcdsaP256Sha256, EcdsaP384Sha384, RsaPkcs1v15_2048Sha256],
    };
    for purpose in KeyPurpose::ALL {
        for found in kinds {
            let keys = HeldKeys::from([(purpose, held("key", found))]);
            let made = Sigstore::init_with(&directory.path().join("new"), &new(), &keys);
            if suitable(purpose).contains(&found) {
                assert_eq!(made, Ok(()));
                std::fs::remove_dir_all(directory.path().join("new")).unwrap();
                continue;
            }
            let unsuitable = InstanceError::KeyUnsuitable {
                purpose,
                reference: "pkcs11:object=key".to_owned(),
                found,
            };
            let said = unsuitable.to_string();
            assert!(said.contains(purpose.owner()), "{said}");
            assert_eq!(made, Err(unsuitable));
        }
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_own_issuer_signs_as_its_key_does_and_is_believed() {
    for (details, algorithm) in [
        (KeyDetails::EcdsaP256Sha256, "ES256"),
        (KeyDetails::EcdsaP384Sha384, "ES384"),
        (KeyDetails::RsaPkcs1v15_3072Sha256, "RS256"),
    ] {
        let world = World::with_keys(keys(details)).await;
        // Often enough that numbers with zeros before them are among them.
        for _ in 0..if algorithm == "RS256" { 1 } else { 300 } {
            let token = Jwt::parse(&world.token()).unwrap();
            assert_eq!(token.header().alg, algorithm);
            let key = EphemeralKey::generate(P256).unwrap();
            world.certify(&key).await;
        }
        world.log(&entry(b"message")).await;
    }
}

/// A key that can be away.
struct Away {
    key: EphemeralKey,
    is_away: AtomicBool,
}

impl Signer for Away {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn details(&self) -> KeyDetails {
        self.key.details()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match self.is_away.load(Ordering::Relaxed) {
            true => Err(KeyError::Helper {
                what: "it is away".to_owned(),
            }),
            false => self.key.sign(message),
        }
    }
}

#[tokio::test]
async fn while_a_logs_key_is_away_nothing_is_acknowledged_and_nothing_is_lost() {
    let away = Arc::new(Away {
        key: EphemeralKey::generate(KeyDetails::Ed25519).unwrap(),
        is_away: AtomicBool::new(false),
    });
    let held = HeldKey {
        reference: "pkcs11:object=log".to_owned(),
        signer: Arc::clone(&away) as Arc<dyn Signer>,
    };
    let world = World::with_keys(HeldKeys::from([(KeyPurpose::Log, held)])).await;
    let first = world.log(&entry(b"before")).await;
    away.is_away.store(true, Ordering::Relaxed);
    let asked = entry(b"meanwhile");
    for _ in 0..2 {
        let refused = world.post("/api/v2/log/entries", asked.to_bytes()).await;
        let unavailable = (503, "LOG_KEY_UNAVAILABLE".to_owned());
        assert_eq!(refusal(&refused), unavailable);
    }
    away.is_away.store(false, Ordering::Relaxed);
    let ready = world.get("/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK);
    let second = world.log(&asked).await;
    assert_eq!(second.log_index, first.log_index + 1);
    assert_eq!(
        world.log(&entry(b"after")).await.log_index,
        first.log_index + 2
    );
}
