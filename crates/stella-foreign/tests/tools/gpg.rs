//! Signatures of GnuPG.

use std::collections::BTreeSet;
use std::time::Duration;

use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::key::{KeyDetails, Scheme};
use stella_foreign::{ForeignError, Format, Reason, Signer};

use crate::tool::Bench;
use crate::trial::{NOW, Trial, native, reason, require_outside_of_base64};

const DAY: Duration = Duration::from_secs(86_400);

/// A keyring of its own, at a fixed time.
struct Gpg(Bench);

impl Drop for Gpg {
    fn drop(&mut self) {
        self.0.attempt(&["gpgconf", "--kill", "all"]);
    }
}

impl Gpg {
    fn start() -> Option<Self> {
        Bench::of("gpg").map(Self)
    }

    fn run(&self, words: &[&str]) -> Vec<u8> {
        // The mark at its end stops the clock: a busy machine needs a second now and then.
        self.run_at("20260101T000000!", words)
    }

    fn run_at(&self, time: &str, words: &[&str]) -> Vec<u8> {
        let first = [
            "gpg",
            "--batch",
            "--quiet",
            "--yes",
            "--pinentry-mode",
            "loopback",
        ];
        let second = ["--passphrase", "", "--faked-system-time", time];
        self.0.run_words(&[&first[..], &second, words].concat())
    }

    /// Makes a primary key; returns its fingerprint.
    fn key(&self, algorithm: &str, usage: &str, expire: &str) -> String {
        let name = format!("{algorithm} <{algorithm}@example.org>");
        self.run(&["--quick-generate-key", &name, algorithm, usage, expire]);
        self.fingerprints(&name)[0].clone()
    }

    fn fingerprints(&self, name: &str) -> Vec<String> {
        let list = self.run(&["--list-keys", "--with-colons", name]);
        let list = String::from_utf8(list).unwrap();
        let of = |line: &str| Some(line.strip_prefix("fpr:")?.trim_matches(':').to_owned());
        list.lines().filter_map(of).collect()
    }

    fn export(&self, key: &str) -> Vec<u8> {
        self.run(&["--export", key])
    }

    fn sign(&self, key: &str, options: &[&str]) -> Vec<u8> {
        let words = ["--local-user", key, "--output", "-", "--detach-sign"];
        self.run(&[options, &words, &["artifact"]].concat())
    }

    fn trial(&self, key: &str, options: &[&str]) -> Trial {
        Trial::new(Format::Pgp, &self.sign(key, options), &self.export(key))
    }
}

/// Returns the unhashed subpackets of a binary signature of version 4, which nobody signs. They repeat the key id.
fn unhashed(signature: &[u8]) -> BTreeSet<usize> {
    let header = if signature[0] == 0x89 { 3 } else { 2 };
    let length = |at: usize| usize::from(u16::from_be_bytes([signature[at], signature[at + 1]]));
    let start = header + 6 + length(header + 4);
    (start..start + 2 + length(start)).collect()
}

#[test]
fn ecdsa_and_rsa_over_the_right_hash_are_native() {
    let Some(gpg) = Gpg::start() else { return };
    let other = gpg.export(&gpg.key("nistp384", "sign", "never"));
    let cases = [
        ("nistp256", "SHA256", KeyDetails::EcdsaP256Sha256),
        ("nistp384", "SHA384", KeyDetails::EcdsaP384Sha384),
        ("nistp521", "SHA512", KeyDetails::EcdsaP521Sha512),
        ("rsa2048", "SHA256", KeyDetails::RsaPkcs1v15_2048Sha256),
        ("rsa3072", "SHA256", KeyDetails::RsaPkcs1v15_3072Sha256),
    ];
    for (algorithm, hash, details) in cases {
        let fingerprint = if algorithm == "nistp384" {
            gpg.fingerprints(algorithm)[0].clone()
        } else {
            gpg.key(algorithm, "sign", "never")
        };
        let trial = gpg.trial(&fingerprint, &["--digest-algo", hash]);
        let verified = trial.verify().unwrap();
        assert_eq!(native(&verified).key_details, details);
        assert_eq!(verified.created(), Some(NOW));
        let expected = Signer::OpenPgp {
            fingerprint: fingerprint.clone(),
            primary: fingerprint,
            user_ids: vec![format!("{algorithm} <{algorithm}@example.org>")],
        };
        assert_eq!(*verified.signer(), expected);
        if algorithm != "nistp384" {
            let free = trial.stand(&other);
            let unsigned = unhashed(&trial.signature);
            assert!(free.is_subset(&unsigned), "{algorithm}: {free:?}");
        }
    }
}

#[test]
fn ed25519_and_rsa_over_sha512_are_to_be_attested_anew() {
    let Some(gpg) = Gpg::start() else { return };
    let rsa = gpg.key("rsa2048", "sign", "never");
    let verified = gpg
        .trial(&rsa, &["--digest-algo", "SHA512"])
        .verify()
        .unwrap();
    let (allowed, found) = (DigestAlgorithm::Sha256, DigestAlgorithm::Sha512);
    assert_eq!(*reason(&verified), Reason::Hash { allowed, found });
    let ed25519 = gpg.key("ed25519", "sign", "never");
    let trial = gpg.trial(&ed25519, &[]);
    let verified = trial.verify().unwrap();
    assert_eq!(verified.scheme(), Scheme::Ed25519);
    assert_eq!(*reason(&verified), Reason::PureEd25519);
    let free = trial.stand(&gpg.export(&rsa));
    assert!(free.is_subset(&unhashed(&trial.signature)), "{free:?}");
}

#[test]
fn armor_may_change_around_what_it_holds() {
    let Some(gpg) = Gpg::start() else { return };
    let (key, other) = (
        gpg.key("ed25519", "sign", "never"),
        gpg.key("nistp256", "sign", "never"),
    );
    let binary = gpg.trial(&key, &[]);
    let mut trial = gpg.trial(&key, &["--armor", "--comment", "a comment"]);
    trial.key = gpg.run(&["--armor", "--export", &key]);
    assert_eq!(
        trial.verify().unwrap().signer(),
        binary.verify().unwrap().signer()
    );
    trial.stand(&gpg.run(&["--armor", "--export", &other]));
}

#[test]
fn a_bound_subkey_signs_and_an_unbound_one_does_not() {
    let Some(gpg) = Gpg::start() else { return };
    let primary = gpg.key("ed25519", "cert", "never");
    gpg.run(&[
        "--quick-add-key",
        &primary,
        "nistp256/ecdsa",
        "sign",
        "never",
    ]);
    gpg.run(&["--quick-add-key", &primary, "cv25519", "encr", "never"]);
    let subkey = gpg.fingerprints("ed25519")[1].clone();
    let trial = gpg.trial(&primary, &[]);
    let verified = trial.verify().unwrap();
    let expected = Signer::OpenPgp {
        fingerprint: subkey.clone(),
        primary: primary.clone(),
        user_ids: vec!["ed25519 <ed25519@example.org>".to_owned()],
    };
    assert_eq!(*verified.signer(), expected);
    assert_eq!(native(&verified).key_details, KeyDetails::EcdsaP256Sha256);
    let other = gpg.export(&gpg.key("rsa2048", "sign", "never"));
    let free = trial.stand(&other);
    assert!(free.is_subset(&unhashed(&trial.signature)), "{free:?}");

    // A key file in which a byte of the binding is another no longer binds, by name of what is missing.
    let refused = key_flips(&trial);
    let lacks = |wanted: &str| {
        let is_wanted = |error: &ForeignError| matches!(error, ForeignError::NotBound { missing, .. } if *missing == wanted);
        refused.iter().any(is_wanted)
    };
    assert!(lacks("the primary key's signature") && lacks("the subkey's own signature"));
    let unsigned = |error: &ForeignError| matches!(error, ForeignError::NoSelfSignature { .. });
    assert!(refused.iter().any(unsigned));
}

/// Changes every byte of the key file in turn; what is still accepted reports the same key.
fn key_flips(trial: &Trial) -> Vec<ForeignError> {
    let good = trial.verify().unwrap();
    let mut refused = Vec::new();
    for at in 0..trial.key.len() {
        let mut changed = trial.clone();
        changed.key[at] ^= 1;
        match changed.verify() {
            Ok(found) => assert_eq!(found.loggable(), good.loggable(), "byte {at}"),
            Err(error) => refused.push(error),
        }
    }
    refused
}

#[test]
fn keys_and_signatures_that_ended_are_refused_with_their_date() {
    let Some(gpg) = Gpg::start() else { return };
    let key = gpg.key("ed25519", "sign", "2d");
    let mut trial = gpg.trial(&key, &[]);
    trial.verify().unwrap();
    trial.now = NOW.plus(2 * DAY);
    let expired = NOW.plus(2 * DAY);
    let error = ForeignError::KeyExpired {
        key: key.clone(),
        expired,
    };
    assert_eq!(trial.verify(), Err(error));
    let short = gpg.trial(&key, &["--default-sig-expire", "1d"]);
    // Its owner lets it live longer.
    gpg.run_at(
        "20260102T000000!",
        &["--quick-set-expire", &key, "2026-02-01"],
    );
    trial.key = gpg.export(&key);
    trial.verify().unwrap();

    let mut trial = short;
    trial.verify().unwrap();
    trial.now = NOW.plus(DAY);
    let expired = NOW.plus(DAY);
    let error = ForeignError::SignatureExpired { expired };
    assert_eq!(trial.verify(), Err(error));
    trial.now = NOW.minus(DAY);
    let early = trial.verify();
    let early = matches!(early, Err(ForeignError::NoSelfSignature { .. }));
    assert!(early);
}

#[test]
fn a_revoked_key_is_refused() {
    let Some(gpg) = Gpg::start() else { return };
    let key = gpg.key("ed25519", "sign", "never");
    let mut trial = gpg.trial(&key, &[]);
    trial.verify().unwrap();
    // gpg lays a revocation ready, with a colon that keeps it from being used by mistake.
    let ready = gpg.0.read(&format!("openpgp-revocs.d/{key}.rev"));
    let ready = String::from_utf8(ready)
        .unwrap()
        .replace(":-----BEGIN", "-----BEGIN");
    gpg.0.write("revocation", ready.as_bytes());
    gpg.run(&["--import", "revocation"]);
    trial.key = gpg.export(&key);
    let reason = "no reason specified";
    assert_eq!(
        trial.verify(),
        Err(ForeignError::KeyRevoked { key, reason })
    );
}

#[test]
fn a_revoked_subkey_is_refused() {
    let Some(gpg) = Gpg::start() else { return };
    let primary = gpg.key("ed25519", "cert", "never");
    gpg.run(&[
        "--quick-add-key",
        &primary,
        "nistp256/ecdsa",
        "sign",
        "never",
    ]);
    let mut trial = gpg.trial(&primary, &[]);
    trial.verify().unwrap();
    gpg.0.write("commands", b"key 1\nrevkey\ny\n1\n\ny\nsave\n");
    let line = format!(
        "gpg --quiet --yes --pinentry-mode loopback --passphrase '' --faked-system-time 20260101T000000! \
         --command-file commands --no-tty --edit-key {primary}"
    );
    gpg.0.run_words(&["sh", "-c", &line]);
    trial.key = gpg.export(&primary);
    let key = gpg.fingerprints("ed25519")[1].clone();
    let reason = "key material has been compromised";
    assert_eq!(
        trial.verify(),
        Err(ForeignError::KeyRevoked { key, reason })
    );
}

#[test]
fn a_file_of_several_signatures_is_good_by_any_given_key() {
    let Some(gpg) = Gpg::start() else { return };
    let (one, two) = (
        gpg.key("ed25519", "sign", "never"),
        gpg.key("nistp256", "sign", "never"),
    );
    let both = [gpg.sign(&one, &[]), gpg.sign(&two, &[])].concat();
    for key in [&one, &two] {
        let trial = Trial::new(Format::Pgp, &both, &gpg.export(key));
        let verified = trial.verify().unwrap();
        assert!(verified.signer().to_string().contains(key.as_str()));
    }
    let armored = [gpg.sign(&two, &["--armor"]), gpg.sign(&one, &["--armor"])].concat();
    Trial::new(Format::Pgp, &armored, &gpg.export(&one))
        .verify()
        .unwrap();
    let ring = [gpg.export(&two), gpg.export(&one)].concat();
    Trial::new(Format::Pgp, &gpg.sign(&one, &[]), &ring)
        .verify()
        .unwrap();
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let Some(gpg) = Gpg::start() else { return };
    let key = gpg.key("rsa2048", "sign", "never");
    let refused = |options: &[&str], command: &str| {
        let words = ["--local-user", &key, "--output", "-", command, "artifact"];
        let signature = gpg.run(&[options, &words].concat());
        Trial::new(Format::Pgp, &signature, &gpg.export(&key)).verify()
    };
    let weak = |options: &[&str]| match refused(options, "--detach-sign") {
        Err(ForeignError::WeakHash { name }) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(weak(&["--digest-algo", "SHA1"]), "SHA-1");
    assert_eq!(weak(&["--digest-algo", "SHA224"]), "SHA-224");
    assert_eq!(weak(&["--digest-algo", "RIPEMD160"]), "RIPEMD-160");
    let unsupported = |options: &[&str], command: &str| match refused(options, command) {
        Err(ForeignError::Unsupported { feature, .. }) => feature,
        other => panic!("{other:?}"),
    };
    let text = unsupported(&["--textmode"], "--detach-sign");
    assert_eq!(text, "a text signature (type 0x01)");
    let clear = unsupported(&[], "--clear-sign");
    assert_eq!(clear, "a clear-signed message");
    let inline = unsupported(&[], "--sign");
    assert_eq!(inline, "a message that holds its content");
    let notation = unsupported(&["--sig-notation", "!x@example.org=y"], "--detach-sign");
    assert_eq!(notation, "the critical subpacket 20");
    let mut trial = gpg.trial(&key, &[]);
    trial.key = gpg.run(&["--export-secret-keys", &key]);
    assert!(matches!(
        trial.verify(),
        Err(ForeignError::Unsupported { .. })
    ));
    // DSA signs no more.
    let dsa = gpg.key("dsa2048", "sign", "never");
    let error = gpg.trial(&dsa, &["--digest-algo", "SHA256"]).verify();
    assert!(
        matches!(error, Err(ForeignError::Unsupported { .. })),
        "{error:?}"
    );
}

#[test]
fn armored_text_is_read_whatever_stands_around_it() {
    let Some(gpg) = Gpg::start() else { return };
    let key = gpg.key("ed25519", "sign", "never");
    let mut trial = gpg.trial(&key, &["--armor"]);
    let free = {
        let good = trial.verify().unwrap();
        (0..trial.signature.len())
            .filter(|at| {
                let mut changed = trial.clone();
                changed.signature[*at] ^= 1;
                changed.verify() == Ok(good.clone())
            })
            .collect()
    };
    // But for the hints at the issuer, which nobody signs, every character of the base64 counts; its checksum sees to
    // the hints.
    require_outside_of_base64(&trial.signature, &free);
    trial.signature = [b"From: me\r\n\r\n", &trial.signature[..], b"bye\n"].concat();
    trial.verify().unwrap();
}
