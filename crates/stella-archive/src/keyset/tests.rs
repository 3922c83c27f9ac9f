//! Rules of keysets, each with what it refuses.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ML_DSA_65_SIGNING,
    PqdsaKeyPair,
};

use super::*;

fn spki_of_curve() -> PublicKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    PublicKey::from_spki(pair.public_key().as_der().unwrap().as_ref()).unwrap()
}

fn spki_of_lattice() -> PublicKey {
    let pair = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).unwrap();
    PublicKey::from_spki(pair.public_key().as_der().unwrap().as_ref()).unwrap()
}

const DAY: i64 = 86_400;

fn at(days: i64) -> UnixTime {
    UnixTime::from_seconds(1_795_000_000 + days * DAY)
}

fn entry(key: &PublicKey, role: Role) -> OrgKeyEntry {
    OrgKeyEntry::new(key, role, at(0), at(1000))
}

/// A keyset of three new keys.
pub(crate) fn first() -> Keyset {
    let keys = vec![
        entry(&spki_of_curve(), Role::Classical),
        entry(&spki_of_lattice(), Role::PostQuantum),
        entry(&spki_of_curve(), Role::Recovery),
    ];
    Keyset::create(
        "archive.example.org",
        at(0),
        "first",
        2,
        keys,
        vec![[1; 32]],
    )
    .unwrap()
}

fn predecessor(keyset: &Keyset) -> Predecessor {
    Predecessor {
        file: Fingerprint::of(&keyset.to_bytes()),
        evidence: vec![Fingerprint::of(b"bundle")],
    }
}

fn second(earlier: &Keyset) -> Keyset {
    earlier.next(predecessor(earlier), at(30), Action::Rotate, "because")
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let mut keyset = first();
    keyset.compromised.push(Compromise {
        key: [9; 32],
        since: at(3),
        what: "the CA of 2026".into(),
    });
    keyset.sunsets.push(Sunset {
        algorithm: "P-256".into(),
        on: at(4),
    });
    assert_eq!(Keyset::parse(&keyset.to_bytes()), Ok(keyset.clone()));
    let text = String::from_utf8(keyset.to_bytes()).unwrap();
    for wrong in [
        text.replace("stella.keyset/v1", "stella.keyset/v2"),
        text.replace("\"version\"", "\"more\": 1, \"version\""),
        text.replace("\"version\"", "\"version\": 1, \"version\""),
        text.replace("Z\"", "+00:00\""),
        text.replace("\"threshold\": 2", "\"threshold\": 4"),
        text.replace("\"threshold\": 2", "\"threshold\": 0"),
        text.replace("\"post-quantum\"", "\"classical\""),
        text.replace("\"active\"", "\"retired\""),
        text.replace("because", ""),
    ] {
        let is_same = wrong == text;
        assert_eq!(Keyset::parse(wrong.as_bytes()).is_ok(), is_same, "{wrong}");
    }
}

#[test]
fn a_key_twice_or_without_a_partner_is_refused() {
    let mut keyset = first();
    keyset.keys.push(keyset.keys[0].clone());
    assert!(matches!(
        keyset.require_sound(),
        Err(KeysetError::KeyTwice { .. })
    ));
    let mut keyset = first();
    keyset.keys[1].status = Status::Retired;
    assert_eq!(
        keyset.require_sound(),
        Err(KeysetError::NoKey {
            role: "post-quantum"
        })
    );
    let mut keyset = first();
    keyset.keys[0].key_id = [0; 32];
    assert!(matches!(
        keyset.require_sound(),
        Err(KeysetError::Key { .. })
    ));
}

#[test]
fn what_follows_keeps_what_was_said() {
    let earlier = {
        let mut keyset = first();
        keyset.keys.push(entry(&spki_of_curve(), Role::Classical));
        keyset.keys[3].status = Status::Retired;
        keyset.compromised.push(Compromise {
            key: [9; 32],
            since: at(3),
            what: String::new(),
        });
        keyset.sunsets.push(Sunset {
            algorithm: "P-256".into(),
            on: at(4),
        });
        keyset
    };
    let before = predecessor(&earlier);
    let good = second(&earlier);
    good.require_follows(&earlier, &before).unwrap();
    let refusal = |change: fn(&mut Keyset)| {
        let mut keyset = good.clone();
        change(&mut keyset);
        match keyset.require_follows(&earlier, &before) {
            Err(KeysetError::DoesNotFollow { what, .. }) => Some(what),
            _ => None,
        }
    };
    assert_eq!(
        refusal(|keyset| keyset.origin.clear()),
        Some(Breach::Origin)
    );
    assert_eq!(refusal(|keyset| keyset.version = 3), Some(Breach::Version));
    assert_eq!(
        refusal(|keyset| keyset.previous = None),
        Some(Breach::Predecessor)
    );
    assert_eq!(
        refusal(|keyset| keyset.compromised.clear()),
        Some(Breach::FallUndone)
    );
    assert_eq!(
        refusal(|keyset| keyset.compromised[0].since = at(5)),
        Some(Breach::FallUndone)
    );
    assert_eq!(refusal(|keyset| keyset.compromised[0].since = at(2)), None);
    assert_eq!(
        refusal(|keyset| keyset.sunsets[0].on = at(5)),
        Some(Breach::FallUndone)
    );
    assert_eq!(
        refusal(|keyset| keyset.authorities.clear()),
        Some(Breach::AuthorityGone)
    );
    assert_eq!(
        refusal(|keyset| drop(keyset.keys.remove(2))),
        Some(Breach::KeyChanged)
    );
    assert_eq!(
        refusal(|keyset| keyset.keys[0].from = at(1)),
        Some(Breach::KeyChanged)
    );
    assert_eq!(
        refusal(|keyset| keyset.keys[3].status = Status::Active),
        Some(Breach::KeyRevived)
    );
    assert_eq!(
        refusal(|keyset| keyset.keys[3].until = at(2000)),
        Some(Breach::KeyRevived)
    );
    assert_eq!(refusal(|keyset| keyset.keys[0].until = at(2000)), None);
    assert_eq!(
        refusal(|keyset| keyset.keys[3].status = Status::Compromised),
        None
    );
}

#[test]
fn the_first_keyset_is_number_one_and_names_none_before_it() {
    let keyset = first();
    keyset.require_first().unwrap();
    let later = second(&keyset);
    let refused = |what| {
        Err(KeysetError::DoesNotFollow {
            version: later.version,
            earlier: 0,
            what,
        })
    };
    assert_eq!(later.require_first(), refused(Breach::Version));
    let mut named = keyset.clone();
    named.previous = Some(predecessor(&keyset));
    let Err(KeysetError::DoesNotFollow { what, .. }) = named.require_first() else {
        panic!("a first keyset with one before it");
    };
    assert_eq!(what, Breach::Predecessor);
}

#[test]
fn a_checkpoint_key_is_an_ed25519_key_and_has_no_say() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let spki = pair.public_key().as_der().unwrap();
    let key = PublicKey::from_spki(spki.as_ref()).unwrap();
    let mut keyset = first();
    keyset.keys.push(entry(&key, Role::Checkpoint));
    assert_eq!(keyset.require_sound(), Ok(()));
    assert_eq!(keyset.signers().count(), 2);
    assert_eq!(keyset.deciders().count(), 3);
    assert_eq!(keyset.checkpoint_keys().count(), 1);
    // Four keys are active, three can sign an event.
    keyset.threshold = 4;
    let refused = keyset.require_sound();
    let expected = KeysetError::Threshold {
        threshold: 4,
        active: 3,
    };
    assert_eq!(refused, Err(expected));
    // No other kind of key may be one.
    let mut other = first();
    other.keys.push(entry(&spki_of_curve(), Role::Checkpoint));
    let refused = other.require_sound();
    assert!(
        matches!(refused, Err(KeysetError::Key { .. })),
        "{refused:?}"
    );
}
