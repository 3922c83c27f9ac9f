//! Signatures of `testdata/foreign`, which need no tool to be there; and bytes that are no signature at all.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use stella_bundle::digest::Digest;
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_foreign::{Asked, ForeignError, Format, Loggable, Reason, Verified, detect};

/// 2026-01-02, a day after most of them were made.
const NOW: UnixTime = UnixTime::from_seconds(1_767_312_000);

const ARTIFACT: &[u8] = include_bytes!("../../../testdata/foreign/artifact.txt");
const TUF_ROOT: &[u8] = include_bytes!("../../stella/trust/public/root.json");

/// Format, signature, key.
const VECTORS: [(Format, &[u8], &[u8]); 5] = [
    (
        Format::Minisign,
        include_bytes!("../../../testdata/foreign/minisign.sig"),
        include_bytes!("../../../testdata/foreign/minisign.pub"),
    ),
    (
        Format::Pgp,
        include_bytes!("../../../testdata/foreign/pgp.sig"),
        include_bytes!("../../../testdata/foreign/pgp.pub"),
    ),
    (
        Format::Pkcs7,
        include_bytes!("../../../testdata/foreign/pkcs7.sig"),
        include_bytes!("../../../testdata/foreign/pkcs7.pub"),
    ),
    (
        Format::Ssh,
        include_bytes!("../../../testdata/foreign/ssh.sig"),
        include_bytes!("../../../testdata/foreign/ssh.pub"),
    ),
    (
        Format::X509,
        include_bytes!("../../../testdata/foreign/x509.sig"),
        include_bytes!("../../../testdata/foreign/x509.pub"),
    ),
];

fn verify(
    format: Format,
    signature: &[u8],
    key: &[u8],
    mut artifact: &[u8],
) -> Result<Verified, ForeignError> {
    stella_foreign::verify(format, signature, key, &mut artifact, &Asked::at(NOW))
}

#[test]
fn each_vector_is_good_and_its_format_is_told() {
    for (format, signature, key) in VECTORS {
        assert_eq!(detect(signature, key), Some(format));
        let verified = verify(format, signature, key, ARTIFACT).unwrap();
        assert_eq!(verified.format(), format);
        let expected = match format {
            Format::Minisign => None,
            Format::Pkcs7 => Some(KeyDetails::RsaPkcs1v15_2048Sha256),
            _ => Some(KeyDetails::EcdsaP256Sha256),
        };
        let native = match verified.loggable() {
            Loggable::Native(native) => Some(native.key_details),
            Loggable::CounterAttest(_) => None,
        };
        assert_eq!(native, expected, "{format}");
    }
}

#[test]
fn the_root_of_the_public_good_sigstore_is_good_by_itself() {
    let verified = verify(Format::Tuf, b"", TUF_ROOT, TUF_ROOT).unwrap();
    let loggable = verified.loggable();
    let together = Loggable::CounterAttest(Reason::Threshold { needed: 3 });
    assert_eq!(*loggable, together);
}

#[test]
fn a_vector_read_as_another_format_is_refused() {
    for (format, signature, key) in VECTORS {
        for other in Format::ALL {
            let result = verify(other, signature, key, ARTIFACT);
            assert_eq!(result.is_ok(), other == format, "{format} as {other}");
        }
    }
}

#[test]
fn files_that_are_too_large_are_refused_unread() {
    let large = vec![b'-'; stella_foreign::MAX_INPUT + 1];
    for format in Format::ALL {
        for (signature, key) in [(&large[..], &b""[..]), (b"", &large)] {
            let result = verify(format, signature, key, ARTIFACT);
            assert!(matches!(result, Err(ForeignError::TooLarge { .. })));
        }
    }
}

/// Returns signature, key and digest, where a log takes them.
fn primitive(verified: &Verified) -> Option<(&[u8], &[u8], &Digest)> {
    match verified.loggable() {
        Loggable::Native(native) => Some((&native.signature, &native.spki, &native.digest)),
        Loggable::CounterAttest(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(
        signature in proptest::collection::vec(any::<u8>(), 0..200),
        key in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = detect(&signature, &key);
        for format in Format::ALL {
            prop_assert!(verify(format, &signature, &key, ARTIFACT).is_err());
        }
    }

    #[test]
    fn a_piece_of_a_vector_in_the_place_of_another_is_refused_or_says_the_same(
        which in 0..VECTORS.len(),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        length in 1_usize..20,
        in_key in any::<bool>(),
    ) {
        let (format, signature, key) = VECTORS[which];
        let good = verify(format, signature, key, ARTIFACT).unwrap();
        let (mut signature, mut key) = (signature.to_vec(), key.to_vec());
        let changed = if in_key { &mut key } else { &mut signature };
        let (from, to) = (from.index(changed.len()), to.index(changed.len()));
        let length = length.min(changed.len() - from.max(to));
        changed.copy_within(from..from + length, to);
        if let Ok(found) = verify(format, &signature, &key, ARTIFACT) {
            // A certificate in the key file is as the caller gave it.
            prop_assert_eq!(primitive(&found), primitive(&good));
            prop_assert_eq!(found.signed(), good.signed());
        }
    }
}
