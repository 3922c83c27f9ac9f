//! Keys that openssl and ssh-keygen wrote, in every form they know, are read as the keys they are.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use stella_bundle::key::PublicKey;
use stella_keys::stored::{StoredKey, details_for};
use stella_keys::{KeyError, Signer as _};
use zeroize::Zeroizing;

const PASSPHRASE: &str = "open sesame";

fn run(folder: &Path, command: &str) -> Vec<u8> {
    let mut words = command.split_whitespace().map(|word| match word {
        "PASSPHRASE" => PASSPHRASE.to_owned(),
        "NOTHING" => String::new(),
        word => word.to_owned(),
    });
    let output = Command::new(words.next().unwrap())
        .args(words)
        .current_dir(folder)
        .env("PASSPHRASE", PASSPHRASE)
        .output()
        .unwrap_or_else(|error| panic!("{command}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
    output.stdout
}

/// Says whether a program is here, and demands it where `STELLA_FOREIGN=1` does.
fn is_here(program: &str, argument: &str) -> bool {
    let is_here = Command::new(program).arg(argument).output().is_ok();
    let is_wanted = std::env::var("STELLA_FOREIGN").is_ok_and(|value| value == "1");
    assert!(is_here || !is_wanted, "{program} is not installed");
    if !is_here {
        println!("skipped: {program} is not installed");
    }
    is_here
}

/// Reads a file, signs with what was read, and has openssl verify it by the public key that openssl sees.
fn require_same(folder: &Path, name: &str, openssl_public: &[u8]) {
    let text = fs::read(folder.join(name)).unwrap();
    let mut ask = || Some(Zeroizing::new(PASSPHRASE.to_owned()));
    let key = StoredKey::read(&text, &mut ask).unwrap_or_else(|error| panic!("{name}: {error}"));
    let public = PublicKey::from_pem(std::str::from_utf8(openssl_public).unwrap()).unwrap();
    assert!(*key.public_key() == public, "{name}");
    let details = details_for(public.kind(), false).unwrap();
    let signature = key.signer(details).unwrap().sign(b"message").unwrap();
    public.verify_as(details, b"message", &signature).unwrap();
}

#[test]
fn what_openssl_writes_is_read() {
    if !is_here("openssl", "version") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, how) in [
        ("p256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
        ("p384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"),
        ("p521", "-algorithm EC -pkeyopt ec_paramgen_curve:P-521"),
        ("ed25519", "-algorithm ED25519"),
        ("rsa2048", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
        ("rsa3072", "-algorithm RSA -pkeyopt rsa_keygen_bits:3072"),
    ] {
        run(folder, &format!("openssl genpkey {how} -out {name}"));
        let public = run(folder, &format!("openssl pkey -in {name} -pubout"));
        require_same(folder, name, &public);
        let forms = [
            ("der", "pkey -outform DER"),
            ("traditional", "pkey -traditional"),
            ("traditional.der", "pkey -traditional -outform DER"),
            (
                "aes256",
                "pkcs8 -topk8 -v2 aes-256-cbc -passout env:PASSPHRASE",
            ),
            (
                "aes128",
                "pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA512 -iter 100000 -passout env:PASSPHRASE",
            ),
            ("scrypt", "pkcs8 -topk8 -scrypt -passout env:PASSPHRASE"),
            (
                "scrypt.der",
                "pkcs8 -topk8 -scrypt -passout env:PASSPHRASE -outform DER",
            ),
        ];
        // Ed25519 came after the forms that each kind of key had for itself.
        let is_known = |form: &str| name != "ed25519" || !form.starts_with("traditional");
        for (form, how) in forms.into_iter().filter(|(form, _)| is_known(form)) {
            let file = format!("{name}.{form}");
            run(folder, &format!("openssl {how} -in {name} -out {file}"));
            require_same(folder, &file, &public);
        }
    }
    // The parameters of the curve before the key, as `openssl ecparam -genkey` writes them.
    run(
        folder,
        "openssl ecparam -genkey -name prime256v1 -out curve",
    );
    let public = run(folder, "openssl pkey -in curve -pubout");
    require_same(folder, "curve", &public);
}

#[test]
fn what_ssh_keygen_writes_is_read() {
    if !is_here("ssh-keygen", "-?") || !is_here("openssl", "version") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, how) in [
        ("ed25519", "-t ed25519"),
        ("ecdsa256", "-t ecdsa -b 256"),
        ("ecdsa384", "-t ecdsa -b 384"),
        ("ecdsa521", "-t ecdsa -b 521"),
        ("rsa", "-t rsa -b 3072"),
    ] {
        for (file, passphrase) in [
            (name.to_owned(), "NOTHING"),
            (format!("{name}.sealed"), "PASSPHRASE"),
        ] {
            run(
                folder,
                &format!("ssh-keygen -q {how} -N {passphrase} -f {file}"),
            );
            let text = fs::read(folder.join(&file)).unwrap();
            let mut ask = || Some(Zeroizing::new(PASSPHRASE.to_owned()));
            let key =
                StoredKey::read(&text, &mut ask).unwrap_or_else(|error| panic!("{file}: {error}"));
            // openssl believes what we write, and sees a whole key.
            fs::write(folder.join("written"), &*key.to_pem(None).unwrap()).unwrap();
            run(folder, "openssl pkey -in written -noout -check");
            let public = run(folder, "openssl pkey -in written -pubout");
            require_same(folder, &file, &public);
        }
        // And so does ssh-keygen: its own public half is the same.
        run(
            folder,
            &format!("ssh-keygen -q -p -m PKCS8 -P PASSPHRASE -N NOTHING -f {name}.sealed"),
        );
    }
}

#[test]
fn what_sigstore_does_not_use_is_refused_by_name() {
    if !is_here("openssl", "version") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(
        folder,
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out small",
    );
    run(
        folder,
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out curve",
    );
    run(folder, "openssl genpkey -algorithm X25519 -out exchange");
    run(folder, "openssl genpkey -algorithm ED448 -out ed448");
    let read = |name: &str| {
        let text = fs::read(folder.join(name)).unwrap();
        let mut ask = || Some(Zeroizing::new(PASSPHRASE.to_owned()));
        StoredKey::read(&text, &mut ask).map(|_| ())
    };
    for name in ["small", "curve", "exchange", "ed448"] {
        assert_eq!(read(name), Err(KeyError::UnsupportedKind), "{name}");
    }
    run(
        folder,
        "openssl genrsa -traditional -aes128 -passout env:PASSPHRASE -out older 2048",
    );
    run(
        folder,
        "openssl pkcs8 -topk8 -in small -v1 PBE-SHA1-3DES -passout env:PASSPHRASE -out broken",
    );
    for name in ["older", "broken"] {
        let refused = read(name).unwrap_err().to_string();
        assert!(
            refused.contains("openssl pkcs8 -topk8"),
            "{name}: {refused}"
        );
    }
}
