//! Signatures of openssl: bare ones, and PKCS#7.

use std::collections::BTreeSet;

use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::key::{KeyDetails, Scheme};
use stella_foreign::{ForeignError, Format, Reason, Signed, Signer};

use crate::tool::Bench;
use crate::trial::{Trial, native, reason};

const EC: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
const RSA: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
const ED25519: &str = "-algorithm ED25519";

fn bench() -> Option<Bench> {
    Bench::of("openssl")
}

/// Makes `NAME.key`, `NAME.pub` and the self-signed `NAME.crt`.
fn key(bench: &Bench, name: &str, algorithm: &str) {
    bench.run(&format!("openssl genpkey {algorithm} -out {name}.key"));
    bench.run(&format!(
        "openssl pkey -in {name}.key -pubout -out {name}.pub"
    ));
    bench.run(&format!(
        "openssl req -x509 -new -key {name}.key -subj /CN={name} -days 30 -out {name}.crt"
    ));
}

#[test]
fn bare_signatures_by_key_and_certificate_are_verified_in_every_scheme() {
    let Some(bench) = bench() else { return };
    key(&bench, "other", EC);
    for curve in ["384", "521"] {
        let algorithm = format!("-algorithm EC -pkeyopt ec_paramgen_curve:P-{curve}");
        key(&bench, curve, &algorithm);
    }
    key(&bench, "ec", EC);
    key(&bench, "rsa", RSA);
    let (sha256, sha512) = (DigestAlgorithm::Sha256, DigestAlgorithm::Sha512);
    let hash = |found| {
        Err(Reason::Hash {
            allowed: sha256,
            found,
        })
    };
    let cases = [
        ("ec", "-sha256", Ok(KeyDetails::EcdsaP256Sha256)),
        ("ec", "-sha512", hash(sha512)),
        ("384", "-sha384", Ok(KeyDetails::EcdsaP384Sha384)),
        ("521", "-sha512", Ok(KeyDetails::EcdsaP521Sha512)),
        ("rsa", "-sha256", Ok(KeyDetails::RsaPkcs1v15_2048Sha256)),
        ("rsa", "-sha384", hash(DigestAlgorithm::Sha384)),
        (
            "rsa",
            "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
            Err(Reason::Scheme {
                scheme: Scheme::RsaPss(sha256),
            }),
        ),
    ];
    let wrong = bench.read("other.pub");
    for (name, options, expected) in cases {
        bench.run(&format!(
            "openssl dgst {options} -sign {name}.key -out signature artifact"
        ));
        let by_key = Trial::new(
            Format::X509,
            &bench.read("signature"),
            &bench.read(&format!("{name}.pub")),
        );
        let verified = by_key.verify().unwrap();
        match expected {
            Ok(details) => {
                assert_eq!(native(&verified).key_details, details);
                assert_eq!(native(&verified).certificate, None);
            }
            Err(expected) => assert_eq!(*reason(&verified), expected),
        }
        assert_eq!(by_key.stand(&wrong), BTreeSet::new(), "{name} {options}");

        bench.run("openssl base64 -in signature -out signature.b64");
        let certificate = bench.read(&format!("{name}.crt"));
        let by_certificate = Trial::new(Format::X509, &bench.read("signature.b64"), &certificate);
        let verified = by_certificate.verify().unwrap();
        assert!(
            verified
                .signer()
                .to_string()
                .starts_with(&format!("CN={name} "))
        );
    }
}

#[test]
fn a_bare_ed25519_signature_is_to_be_attested_anew() {
    let Some(bench) = bench() else { return };
    key(&bench, "ed", ED25519);
    key(&bench, "other", ED25519);
    bench.run("openssl pkeyutl -sign -inkey ed.key -rawin -in artifact -out signature");
    let trial = Trial::new(
        Format::X509,
        &bench.read("signature"),
        &bench.read("ed.pub"),
    );
    assert_eq!(*reason(&trial.verify().unwrap()), Reason::PureEd25519);
    assert_eq!(trial.stand(&bench.read("other.pub")), BTreeSet::new());
}

fn pkcs7(bench: &Bench, name: &str, command: &str, key: &str) -> Trial {
    bench.run(&format!(
        "openssl {command} -sign -binary -in artifact -signer {name}.crt -inkey {name}.key -outform DER -out signature"
    ));
    Trial::new(Format::Pkcs7, &bench.read("signature"), &bench.read(key))
}

#[test]
fn pkcs7_of_both_commands_is_native_and_only_what_is_unsigned_may_change() {
    let Some(bench) = bench() else { return };
    key(&bench, "ec", EC);
    key(&bench, "rsa", RSA);
    key(&bench, "other", EC);
    let (key_wrong, certificate_wrong) = (bench.read("other.pub"), bench.read("other.crt"));
    for name in ["ec", "rsa"] {
        for command in [
            "cms",
            "smime",
            "cms -noattr",
            "cms -nocerts",
            "cms -keyid",
            "cms -md sha512",
        ] {
            // 1. By the certificate.
            let trial = pkcs7(&bench, name, command, &format!("{name}.crt"));
            let verified = trial.verify().unwrap();
            let Signer::Certificate { subject, .. } = verified.signer() else {
                panic!("{:?}", verified.signer());
            };
            assert_eq!(*subject, format!("CN={name}"));
            let is_native = !command.contains("sha512");
            if is_native {
                assert!(native(&verified).certificate.is_some());
            } else {
                assert!(matches!(reason(&verified), Reason::Hash { .. }));
            }
            let has_attributes = !command.contains("noattr");
            assert_eq!(verified.created().is_some(), has_attributes);
            assert_eq!(*verified.signed() == Signed::Artifact, !has_attributes);
            // 2. By the bare key.
            let by_key = Trial {
                key: bench.read(&format!("{name}.pub")),
                ..trial.clone()
            };
            assert!(matches!(
                by_key.verify().unwrap().signer(),
                Signer::PublicKey { .. }
            ));
            // 3. What changes without notice is not signed: versions, the list of hashes, certificates beside.
            if command == "cms -nocerts" || command == "cms -noattr" {
                let free = trial.stand(&certificate_wrong);
                require_unsigned(&trial, &free);
                by_key.stand(&key_wrong);
            }
        }
    }
}

/// Requires that nothing may change in the signed attributes and the signature.
fn require_unsigned(trial: &Trial, free: &BTreeSet<usize>) {
    let verified = trial.verify().unwrap();
    let mut signed = vec![native(&verified).signature.clone()];
    if let Signed::Message(attributes) = verified.signed() {
        // Behind the header of the SET, which stands in the file under another tag.
        signed.push(attributes[3..].to_vec());
    }
    for part in signed {
        let is_here = |at: &usize| trial.signature[*at..].starts_with(&part);
        let at = (0..trial.signature.len()).find(is_here).unwrap();
        assert_eq!(free.range(at..at + part.len()).next(), None);
    }
}

#[test]
fn a_certificate_inside_counts_when_a_given_ca_issued_it() {
    let Some(bench) = bench() else { return };
    key(&bench, "ca", EC);
    key(&bench, "other", EC);
    bench.run(&format!("openssl genpkey {EC} -out leaf.key"));
    bench.run("openssl req -new -key leaf.key -subj /CN=leaf -out leaf.csr");
    bench.write(
        "leaf.ext",
        b"keyUsage=digitalSignature\nbasicConstraints=CA:FALSE\n",
    );
    bench.run("openssl x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile leaf.ext -out leaf.crt");
    let trial = pkcs7(&bench, "leaf", "cms", "ca.crt");
    assert!(
        trial
            .verify()
            .unwrap()
            .signer()
            .to_string()
            .starts_with("CN=leaf ")
    );
    let by_other = Trial {
        key: bench.read("other.crt"),
        ..trial.clone()
    };
    assert!(matches!(
        by_other.verify(),
        Err(ForeignError::WrongKey { .. })
    ));
    let chain = [bench.read("leaf.crt"), bench.read("ca.crt")].concat();
    Trial {
        key: chain,
        ..trial
    }
    .verify()
    .unwrap();
}

#[test]
fn signed_attributes_do_not_pass_for_an_artifact() {
    let Some(bench) = bench() else { return };
    key(&bench, "ec", EC);
    let verified = pkcs7(&bench, "ec", "cms", "ec.crt").verify().unwrap();
    let Signed::Message(attributes) = verified.signed() else {
        panic!("{:?}", verified.signed());
    };
    bench.write("artifact", attributes);
    let trial = pkcs7(&bench, "ec", "cms -noattr", "ec.crt");
    let asked = stella_foreign::Asked::at(trial.now);
    let result = stella_foreign::verify(
        Format::Pkcs7,
        &trial.signature,
        &trial.key,
        &mut &attributes[..],
        &asked,
    );
    assert!(
        matches!(result, Err(ForeignError::Unsupported { .. })),
        "{result:?}"
    );
}

#[test]
fn pkcs7_that_is_not_for_this_is_refused_by_name() {
    let Some(bench) = bench() else { return };
    key(&bench, "ec", EC);
    key(&bench, "other", EC);
    let pem = |command: &str, expected: &str| {
        bench.run(&format!(
            "openssl {command} -sign -binary -in artifact -signer ec.crt -inkey ec.key -out signature"
        ));
        let trial = Trial::new(
            Format::Pkcs7,
            &bench.read("signature"),
            &bench.read("ec.crt"),
        );
        match (trial.verify(), expected) {
            (Ok(_), "") => {}
            (Err(ForeignError::Unsupported { feature, .. }), _) => assert_eq!(feature, expected),
            (other, _) => panic!("{command}: {other:?}"),
        }
    };
    pem("cms -outform PEM", "");
    pem("smime -outform PEM", "");
    pem("cms -outform PEM -nodetach", "content inside the signature");
    pem("cms", "an S/MIME message");
    let error = pkcs7(&bench, "ec", "cms -md sha1", "ec.crt").verify();
    assert!(matches!(error, Err(ForeignError::Cms(_))), "{error:?}");
    let two = pkcs7(
        &bench,
        "ec",
        "cms -signer other.crt -inkey other.key",
        "ec.crt",
    )
    .verify();
    assert!(matches!(two, Err(ForeignError::Cms(_))), "{two:?}");
    bench.write("no.cnf", b"[req]\ndistinguished_name=d\n[d]\n");
    bench.run("openssl req -x509 -new -key ec.key -subj /CN=ec -addext keyUsage=critical,keyCertSign -days 30 -out ec.crt");
    let error = pkcs7(&bench, "ec", "cms", "ec.crt").verify();
    assert!(
        matches!(error, Err(ForeignError::CertificateUse { .. })),
        "{error:?}"
    );
}
