//! Signatures made by other tools: bytes in the place of a good signature or of its key, and good ones with changes.
//!
//! Whatever is accepted with the good key is the good signature: the same message, the same primitive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stella_bundle::time::UnixTime;
use stella_foreign::{Asked, Format, Verified, detect};

const ARTIFACT: &[u8] = include_bytes!("../../testdata/foreign/artifact.txt");
/// 2026-01-02, a day after the signatures were made.
const NOW: UnixTime = UnixTime::from_seconds(1_767_312_000);

macro_rules! vector {
    ($format:ident, $name:literal) => {
        (
            Format::$format,
            include_bytes!(concat!("../../testdata/foreign/", $name, ".sig")),
            include_bytes!(concat!("../../testdata/foreign/", $name, ".pub")),
        )
    };
}

const VECTORS: [(Format, &[u8], &[u8]); 5] = [
    vector!(Minisign, "minisign"),
    vector!(Pgp, "pgp"),
    vector!(Pkcs7, "pkcs7"),
    vector!(Ssh, "ssh"),
    vector!(X509, "x509"),
];

fn verify(format: Format, signature: &[u8], key: &[u8], mut artifact: &[u8]) -> Option<Verified> {
    stella_foreign::verify(format, signature, key, &mut artifact, &Asked::at(NOW)).ok()
}

/// Changes bytes: two of place, one of value, again and again.
fn change(good: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut changed = good.to_vec();
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % changed.len();
        changed[at] = edit[2];
    }
    changed
}

fuzz_target!(|bytes: &[u8]| {
    let [choice, bytes @ ..] = bytes else { return };
    let (format, signature, key) = VECTORS[usize::from(*choice) % VECTORS.len()];
    let good = verify(format, signature, key, ARTIFACT).expect("the vectors are good");
    match choice / 50 {
        0 => {
            let _ = verify(format, signature, bytes, ARTIFACT);
            let _ = verify(format, signature, &change(key, bytes), ARTIFACT);
            let _ = verify(Format::Tuf, b"", bytes, bytes);
        }
        side => {
            let changed = change(signature, bytes);
            let signature = if side == 1 { bytes } else { &changed };
            let _ = detect(signature, key);
            if let Some(found) = verify(format, signature, key, ARTIFACT) {
                assert_eq!(found.signed(), good.signed());
                assert_eq!(found.loggable(), good.loggable());
            }
            assert_eq!(verify(format, signature, key, b"another artifact"), None);
        }
    }
});
