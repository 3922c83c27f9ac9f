//! The fourth threat of SECURITY.md, a stolen key: there is none to steal once a signature is made.
//!
//! The tests of the other three lie beside the code that keeps them away; SECURITY.md names them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod desk;

use std::fs;
use std::path::{Path, PathBuf};

use desk::{Desk, digest, finish};
use stella_bundle::bundle::{Bundle, KeyMaterial};
use stella_bundle::certificate::Certificate;

/// What every private key in PEM says of itself.
const PEM: &[u8] = b"PRIVATE KEY-----";

/// How the private part of a P-256 key begins in DER (RFC 5915: version 1, then 32 bytes).
const DER: &[u8] = &[0x02, 0x01, 0x01, 0x04, 0x20];

#[test]
fn signing_writes_no_private_key_anywhere() {
    let desk = Desk::serving();
    let temporary = desk.path("tmp");
    fs::create_dir_all(&temporary).unwrap();
    let mut sign = desk.command(["attest", "sign", "--keyless", "--bundle", "a.sigstore.json"]);
    sign.args(["--artifact", &digest("an artifact")])
        .env("STELLAOPS_OIDC_TOKEN", desk.token());
    sign.env("STELLAOPS_LOG_LEVEL", "trace")
        .env("TMPDIR", temporary);
    let said = finish(&mut sign).ended(0);
    assert!(!has_private_key(said.out.as_bytes()) && !has_private_key(said.err.as_bytes()));

    // Home, working directory and temporary files are all here; the instance has keys of its own, and they are found.
    let (services, signer): (Vec<_>, Vec<_>) = files(&desk.path("."))
        .into_iter()
        .partition(|file| file.starts_with(desk.path("./sigstore")));
    assert!(
        services
            .iter()
            .any(|file| has_private_key(&fs::read(file).unwrap()))
    );
    assert!(
        signer.len() >= 2,
        "the bundle, and the same in the store: {signer:?}"
    );
    for file in signer {
        assert!(
            !has_private_key(&fs::read(&file).unwrap()),
            "{}",
            file.display()
        );
    }
}

#[test]
fn no_two_signatures_share_a_key() {
    let desk = Desk::serving();
    let keys: Vec<Vec<u8>> = ["first", "second"]
        .iter()
        .map(|name| signing_key(&desk, name))
        .collect();
    assert_ne!(keys[0], keys[1]);
}

/// Signs, and returns the public key in the certificate.
fn signing_key(desk: &Desk, name: &str) -> Vec<u8> {
    let bundle = desk.path(name).display().to_string();
    desk.sign(&digest("an artifact"), &["--bundle", &bundle]);
    let KeyMaterial::Certificates(chain) = Bundle::parse(&fs::read(&bundle).unwrap()).unwrap().key
    else {
        panic!("a keyless bundle has a certificate")
    };
    Certificate::parse(&chain[0])
        .unwrap()
        .public_key()
        .spki()
        .to_vec()
}

fn has_private_key(content: &[u8]) -> bool {
    [PEM, DER]
        .iter()
        .any(|sign| content.windows(sign.len()).any(|window| window == *sign))
}

/// Lists every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let list = if entry.file_type().unwrap().is_dir() {
                &mut folders
            } else {
                &mut found
            };
            list.push(entry.path());
        }
    }
    found
}
