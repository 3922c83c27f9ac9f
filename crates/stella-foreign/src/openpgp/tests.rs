//! Version 6, which no packaged tool writes yet: the sample key of RFC 9580 §A.3 and §A.4, and signatures made with it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use stella_bundle::digest::DigestAlgorithm;

use super::*;
use crate::{Loggable, Reason};

/// RFC 9580 §A.3: an Ed25519 primary key, a signature over it, an X25519 subkey, its binding.
const PUBLIC: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----

xioGY4d/4xsAAAAg+U2nu0jWCmHlZ3BqZYfQMxmZu52JGggkLq2EVD34laPCsQYf
GwoAAABCBYJjh3/jAwsJBwUVCg4IDAIWAAKbAwIeCSIhBssYbE8GCaaX5NUt+mxy
KwwfHifBilZwj2Ul7Ce62azJBScJAgcCAAAAAK0oIBA+LX0ifsDm185Ecds2v8lw
gyU2kCcUmKfvBXbAf6rhRYWzuQOwEn7E/aLwIwRaLsdry0+VcallHhSu4RN6HWaE
QsiPlR4zxP/TP7mhfVEe7XWPxtnMUMtf15OyA51YBM4qBmOHf+MZAAAAIIaTJINn
+eUBXbki+PSAld2nhJh/LVmFsS+60WyvXkQ1wpsGGBsKAAAALAWCY4d/4wKbDCIh
BssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce62azJAAAAAAQBIKbpGG2dWTX8
j+VjFM21J0hqWlEg+bdiojWnKfA5AQpWUWtnNwDEM0g12vYxoWM8Y81W+bHBw805
I8kWVkXU6vFOi+HWvv/ira7ofJu16NnoUkhclkUrk0mXubZvyl4GBg==
-----END PGP PUBLIC KEY BLOCK-----
";

/// RFC 9580 §A.4: the secret part of the primary key.
const SECRET: &str = "GXKBexK+cH6NX1hs5hNhIB00TrJmosgv3mg1ditlsLc=";

/// Its fingerprint (RFC 9580 §A.3).
const FINGERPRINT: &str = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9";

/// A day after the key was made, 2022-11-30T16:08:03Z.
const SIGNED: u32 = 1_669_824_483 + 86_400;
const NOW: UnixTime = UnixTime::from_seconds(1_700_000_000);
const ARTIFACT: &[u8] = b"a file";

/// What a signature of the sample key is made of.
struct Template {
    salt: Vec<u8>,
    hash: u8,
    created: u32,
    /// Further hashed subpackets.
    hashed: Vec<u8>,
}

impl Default for Template {
    fn default() -> Self {
        Self {
            salt: vec![7; 32],
            hash: 10,
            created: SIGNED,
            hashed: Vec::new(),
        }
    }
}

impl Template {
    /// Writes a packet of version 6 over the artifact (RFC 9580 §5.2.3, §5.2.4).
    fn sign(&self) -> Vec<u8> {
        let created = [&[5, 2][..], &self.created.to_be_bytes()].concat();
        let issuer = [&[34, 33, 6][..], &hex::decode(FINGERPRINT).unwrap()].concat();
        let area = [created, issuer, self.hashed.clone()].concat();
        let length = |bytes: &[u8]| (bytes.len() as u32).to_be_bytes();
        let head = [&[6, BINARY, 27, self.hash][..], &length(&area), &area].concat();
        let trailer = [&head[..], &[6, 0xff], &length(&head)].concat();
        let message = [&self.salt, ARTIFACT, &trailer].concat();
        let digest = DigestAlgorithm::Sha512.digest(&message);
        let secret: [u8; 32] = STANDARD.decode(SECRET).unwrap().try_into().unwrap();
        let signature = SigningKey::from_bytes(&secret)
            .sign(digest.bytes())
            .to_bytes();
        let salt = [&[self.salt.len() as u8][..], &self.salt].concat();
        let left = digest.bytes().get(..2).unwrap();
        let body = [&head, &[0; 4][..], left, &salt, &signature].concat();
        [&[0xc2, 0xff][..], &length(&body), &body].concat()
    }
}

fn verify_at(signature: &[u8], now: UnixTime) -> Result<Found, ForeignError> {
    let mut reader = ARTIFACT;
    verify(
        signature,
        PUBLIC.as_bytes(),
        &mut Artifact::new(&mut reader),
        now,
    )
}

fn error(template: &Template) -> ForeignError {
    verify_at(&template.sign(), NOW).err().unwrap()
}

#[test]
fn a_signature_of_version_6_is_verified_with_the_sample_key() {
    let found = verify_at(&Template::default().sign(), NOW).unwrap();
    let expected = Signer::OpenPgp {
        fingerprint: FINGERPRINT.to_owned(),
        primary: FINGERPRINT.to_owned(),
        user_ids: Vec::new(),
    };
    assert_eq!(found.signer, expected);
    assert_eq!(found.created, Some(UnixTime::from_seconds(SIGNED.into())));
    let reason = Reason::PureEd25519;
    assert_eq!(found.proven.loggable, Loggable::CounterAttest(reason));
}

#[test]
fn every_byte_of_a_signature_of_version_6_counts() {
    let good = Template::default().sign();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.clone();
            changed[at] ^= 1 << bit;
            assert!(verify_at(&changed, NOW).is_err(), "byte {at}, bit {bit}");
        }
        assert!(verify_at(&good[..at], NOW).is_err(), "{at} bytes");
    }
}

#[test]
fn keys_of_unknown_versions_are_passed_over_when_there_are_others() {
    let known = armor::to_binary(PUBLIC.as_bytes(), armor::PUBLIC_KEY).unwrap();
    // A key of version 3 with a name, and a subkey of version 9 with a binding.
    let unknown = [&[0xc6, 2, 3, 0][..], &[0xcd, 1, b'x']].concat();
    let subkey = [&[0xce, 2, 9, 0][..], &[0xc2, 1, 4]].concat();
    let signature = Template::default().sign();
    let verify = |ring: &[u8]| {
        let mut reader = ARTIFACT;
        verify(&signature, ring, &mut Artifact::new(&mut reader), NOW)
    };
    verify(&[&unknown, &known[..], &subkey, &unknown].concat()).unwrap();
    let error = verify(&unknown).err().unwrap();
    assert!(
        matches!(error, ForeignError::Unsupported { .. }),
        "{error:?}"
    );
}

#[test]
fn a_salt_of_another_length_or_a_weak_hash_is_refused() {
    let short = Template {
        salt: vec![7; 16],
        ..Template::default()
    };
    assert!(matches!(error(&short), ForeignError::Unexpected { .. }));
    let weak = Template {
        hash: 2,
        ..Template::default()
    };
    assert_eq!(error(&weak), ForeignError::WeakHash { name: "SHA-1" });
}

#[test]
fn a_signature_older_than_its_key_or_newer_than_now_is_refused() {
    for created in [SIGNED - 2 * 86_400, 1_700_000_001] {
        let template = Template {
            created,
            ..Template::default()
        };
        let error = error(&template);
        assert!(
            matches!(error, ForeignError::FromTheFuture { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn a_critical_subpacket_that_is_unknown_is_refused_and_others_are_passed_over() {
    let with = |kind: u8| Template {
        hashed: vec![2, kind, 1],
        ..Template::default()
    };
    verify_at(&with(100).sign(), NOW).unwrap();
    verify_at(&with(30 | 0x80).sign(), NOW).unwrap();
    let feature = "the critical subpacket 100".to_owned();
    let format = Format::Pgp;
    assert_eq!(
        error(&with(100 | 0x80)),
        ForeignError::Unsupported { format, feature }
    );
}
