//! Signatures of ssh-keygen.

use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::key::KeyDetails;
use stella_foreign::{Asked, ForeignError, Format, Reason, Signer};

use crate::tool::{ARTIFACT, Bench};
use crate::trial::{NOW, Trial, native, reason, require_outside_of_base64};

/// ssh-keygen knows no `--version`, but answers.
fn bench() -> Option<Bench> {
    Bench::of("ssh-keygen")
}

fn sign(bench: &Bench, name: &str, kind: &str, options: &str) -> Trial {
    if !bench.path().join(name).exists() {
        let words = format!("ssh-keygen -q -t {kind} -f {name} -C {name}@example.org");
        let words: Vec<&str> = words.split(' ').chain(["-N", ""]).collect();
        bench.run_words(&words);
    }
    let _ = std::fs::remove_file(bench.path().join("artifact.sig"));
    bench.run(&format!(
        "ssh-keygen -q -Y sign {options}-f {name} artifact"
    ));
    let key = bench.read(&format!("{name}.pub"));
    Trial::new(Format::Ssh, &bench.read("artifact.sig"), &key)
}

#[test]
fn ecdsa_is_native_and_every_bit_of_it_counts() {
    let Some(bench) = bench() else { return };
    let other = sign(&bench, "other", "ecdsa -b 256", "-n file ").key;
    let cases = [
        ("256", KeyDetails::EcdsaP256Sha256),
        ("384", KeyDetails::EcdsaP384Sha384),
        ("521", KeyDetails::EcdsaP521Sha512),
    ];
    for (bits, details) in cases {
        let trial = sign(&bench, bits, &format!("ecdsa -b {bits}"), "-n file ");
        let verified = trial.verify().unwrap();
        assert_eq!(native(&verified).key_details, details);
        let free = trial.stand(&other);
        require_outside_of_base64(&trial.signature, &free);
    }
}

#[test]
fn ed25519_and_rsa_are_to_be_attested_anew() {
    let Some(bench) = bench() else { return };
    let other = sign(&bench, "other", "ecdsa -b 256", "-n file ").key;
    let ed25519 = sign(&bench, "ed25519", "ed25519", "-n file -O hashalg=sha256 ");
    let verified = ed25519.verify().unwrap();
    assert_eq!(*reason(&verified), Reason::PureEd25519);
    let listed = bench.run("ssh-keygen -l -f ed25519.pub");
    let listed = String::from_utf8(listed).unwrap();
    let Signer::Ssh {
        fingerprint,
        comment,
        namespace,
    } = verified.signer()
    else {
        panic!("{:?}", verified.signer());
    };
    assert!(
        listed.contains(fingerprint.as_str()),
        "{listed} {fingerprint}"
    );
    assert_eq!(
        (comment.as_str(), namespace.as_str()),
        ("ed25519@example.org", "file")
    );
    require_outside_of_base64(&ed25519.signature, &ed25519.stand(&other));

    let rsa = sign(&bench, "rsa", "rsa -b 2048", "-n file ");
    let verified = rsa.verify().unwrap();
    let (allowed, found) = (DigestAlgorithm::Sha256, DigestAlgorithm::Sha512);
    assert_eq!(*reason(&verified), Reason::Hash { allowed, found });
    require_outside_of_base64(&rsa.signature, &rsa.stand(&other));
}

#[test]
fn another_namespace_is_refused() {
    let Some(bench) = bench() else { return };
    let trial = sign(&bench, "one", "ed25519", "-n git ");
    let error = ForeignError::Namespace {
        expected: "file".to_owned(),
        found: "git".to_owned(),
    };
    assert_eq!(trial.verify(), Err(error));
    let asked = Asked {
        now: NOW,
        namespace: "git",
    };
    let verify = stella_foreign::verify;
    let (signature, key) = (&trial.signature, &trial.key);
    verify(Format::Ssh, signature, key, &mut &*ARTIFACT, &asked).unwrap();
}

#[test]
fn a_key_file_may_hold_several_lines() {
    let Some(bench) = bench() else { return };
    let other = sign(&bench, "other", "ed25519", "-n file ").key;
    let mut trial = sign(&bench, "one", "ed25519", "-n file ");
    trial.key = [b"# signers\n\n", &other[..], &trial.key].concat();
    trial.verify().unwrap();
    trial.key = other;
    assert!(matches!(trial.verify(), Err(ForeignError::WrongKey { .. })));
    trial.key = bench.read("one");
    assert!(matches!(
        trial.verify(),
        Err(ForeignError::Unsupported { .. })
    ));
}
