//! Whose an air-gap kit is: which signatures must be there, by which keys, and when they count.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::sync::Arc;

use stella_archive::anchor::Anchor;
use stella_archive::fall::Falls;
use stella_archive::history::{
    Counts, Existence, HistoryError, JudgedKit, KitSignatureError, SignatureError, judge_kit,
};
use stella_archive::keyset::{Action, Role, Status};
use stella_archive::statement::OrgStatement;
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_testkit::forge::{Forge, NOW, YEAR};
use stella_testkit::organisation::{self, Clock, Held, MONTH, ORIGIN, Organisation};

const LIST: &[u8] = b"00  policy/policy.yaml\n";

/// An organisation in its second keyset, and a kit that it signed.
struct Scene {
    organisation: Organisation,
    bundles: Vec<Vec<u8>>,
    anchor: Anchor,
    now: UnixTime,
}

impl Scene {
    fn new() -> Self {
        let clock = Clock::new("clock", KeyDetails::EcdsaP384Sha384);
        let mut organisation = Organisation::found(Arc::new(Forge::new()), vec![clock]);
        organisation.now = NOW.plus(MONTH);
        rotate(&mut organisation);
        organisation.now = NOW.plus(MONTH * 2);
        let anchor = organisation.anchor(1);
        Self {
            bundles: signed(&organisation, LIST),
            anchor,
            now: organisation.now,
            organisation,
        }
    }

    fn judge_list(&self, list: &[u8]) -> Result<JudgedKit, KitSignatureError> {
        let history = &self.organisation.history;
        let known = Falls::default();
        judge_kit(list, &self.bundles, history, &self.anchor, &known, self.now)
    }

    fn judge(&self) -> Result<JudgedKit, KitSignatureError> {
        self.judge_list(LIST)
    }

    /// Says what is wrong with the signatures.
    fn wrong(&self) -> SignatureError {
        match self.judge().unwrap_err() {
            KitSignatureError::Signature { error, .. } => error,
            other => panic!("{other}"),
        }
    }
}

/// Has a new classical key take the place of the first.
fn rotate(organisation: &mut Organisation) {
    let (old, recovery) = (
        organisation.key(Role::Classical),
        organisation.key(Role::Recovery),
    );
    let new = Held::new(Role::Classical, KeyDetails::EcdsaP256Sha256);
    let now = organisation.now;
    let signers = [old.clone(), recovery, new.clone()];
    organisation.event(Action::Rotate, &signers, |keyset| {
        keyset.retire(&old.id(), Status::Retired);
        keyset.keys.push(new.entry(now, now.plus(YEAR * 3)));
    });
    organisation.keys.push(new);
}

/// Signs a list with the keys of today.
fn signed(organisation: &Organisation, list: &[u8]) -> Vec<Vec<u8>> {
    let signers: Vec<Held> = organisation.signers().cloned().collect();
    by(organisation, &signers, list)
}

fn by(organisation: &Organisation, signers: &[Held], list: &[u8]) -> Vec<Vec<u8>> {
    let statement = OrgStatement::of_kit(ORIGIN, list);
    organisation::sign(&statement, signers, &organisation.clocks, organisation.now)
}

#[test]
fn a_kit_by_both_keys_of_the_newest_keyset_is_the_organisations() {
    let mut scene = Scene::new();
    for version in [1, 2] {
        scene.anchor = scene.organisation.anchor(version);
        let kit = scene.judge().unwrap();
        assert_eq!((kit.origin.as_str(), kit.keyset), (ORIGIN, 2));
        let roles: Vec<_> = kit.signatures.iter().map(|each| each.key.role).collect();
        assert_eq!(roles, [Role::PostQuantum, Role::Classical]);
        assert!(matches!(kit.existence, Existence::At { .. }));
    }
}

#[test]
fn a_signature_that_is_missing_is_named_and_nobody_else_may_sign() {
    let mut scene = Scene::new();
    let good = scene.bundles.clone();
    for (kept, missing) in [(0, Role::Classical), (1, Role::PostQuantum)] {
        scene.bundles = vec![good[kept].clone()];
        let key = hex::encode(scene.organisation.key(missing).id());
        assert_eq!(scene.wrong(), SignatureError::Missing { key });
    }
    scene.bundles.clear();
    assert!(matches!(scene.wrong(), SignatureError::Missing { .. }));
    let stranger = Held::new(Role::Classical, KeyDetails::EcdsaP256Sha256);
    // The recovery key and one that was retired sign no kits either.
    let recovery = scene.organisation.key(Role::Recovery);
    let retired = scene.organisation.keys[0].clone();
    for other in [stranger, recovery, retired] {
        let other = by(&scene.organisation, &[other], LIST);
        scene.bundles = [good.clone(), other].concat();
        assert_eq!(scene.wrong(), SignatureError::Key { index: 2 });
    }
    scene.bundles = vec![good[0].clone(), good[0].clone()];
    assert_eq!(scene.wrong(), SignatureError::Key { index: 1 });
}

#[test]
fn another_list_another_origin_and_another_statement_are_not_what_was_signed() {
    let mut scene = Scene::new();
    assert!(scene.judge_list(b"").is_err());
    let of_another = SignatureError::OfAnother { index: 0 };
    scene.bundles = signed(&scene.organisation, b"another list");
    assert_eq!(scene.wrong(), of_another);
    let signers: Vec<Held> = scene.organisation.signers().cloned().collect();
    let (clocks, now) = (&scene.organisation.clocks, scene.now);
    let keyset = scene.organisation.keyset();
    for statement in [
        OrgStatement::of_kit("archive.example.com", LIST),
        OrgStatement::of_keyset(keyset, &keyset.to_bytes()),
    ] {
        scene.bundles = organisation::sign(&statement, &signers, clocks, now);
        assert_eq!(scene.wrong(), of_another);
    }
}

#[test]
fn an_anchor_of_another_organisation_or_a_past_that_was_cut_is_refused() {
    let mut scene = Scene::new();
    let other = Scene::new();
    scene.anchor = other.organisation.anchor(1);
    let refused = KitSignatureError::Keysets(HistoryError::Anchor);
    assert_eq!(scene.judge().unwrap_err(), refused);
    // Where the newest keyset is left out, the keys of before have not signed.
    let mut scene = Scene::new();
    scene.organisation.history.keysets.pop();
    assert_eq!(scene.wrong(), SignatureError::Key { index: 1 });
    // Where the event is not signed, the anchor does not reach it.
    let mut scene = Scene::new();
    scene.organisation.history.keysets[1].bundles.pop();
    assert!(matches!(
        scene.judge().unwrap_err(),
        KitSignatureError::Keysets(_)
    ));
    scene.organisation.history.keysets.clear();
    let nothing = KitSignatureError::Keysets(HistoryError::Nothing { what: "keyset" });
    assert_eq!(scene.judge().unwrap_err(), nothing);
}

#[test]
fn a_lone_key_must_have_signed_and_the_others_too() {
    let mut scene = Scene::new();
    let key = |scene: &Scene, role| {
        let held = scene.organisation.key(role);
        stella_keys::Signer::public_key(&*held.key).clone()
    };
    for role in [Role::Classical, Role::PostQuantum] {
        scene.anchor = Anchor::Key(key(&scene, role));
        let kit = scene.judge().unwrap();
        assert_eq!(kit.signatures.len(), 1);
        assert_eq!(kit.signatures[0].key.role, role);
    }
    for other in [
        key(&scene, Role::Recovery),
        key(&Scene::new(), Role::Classical),
    ] {
        scene.anchor = Anchor::Key(other);
        assert!(matches!(
            scene.judge().unwrap_err(),
            KitSignatureError::OtherKey { .. }
        ));
    }
    scene.anchor = Anchor::Key(key(&scene, Role::Classical));
    scene.bundles.remove(0);
    assert!(matches!(scene.wrong(), SignatureError::Missing { .. }));
}

#[test]
fn what_fell_no_longer_counts_unless_the_kit_is_older() {
    let mut scene = Scene::new();
    // 1. A token of before shows that it is older than the end of its keys.
    scene.now = NOW.plus(YEAR * 4);
    scene.judge().unwrap();
    // 2. Without one it is not.
    let clocks = std::mem::take(&mut scene.organisation.clocks);
    scene.bundles = signed(&scene.organisation, LIST);
    assert_eq!(scene.judge().unwrap_err(), KitSignatureError::NoneCounts);
    // 3. One algorithm may fall; the other key's signature is left, and both must still be there.
    scene.now = NOW.plus(MONTH * 3);
    scene.organisation.clocks = clocks;
    let signers = [
        scene.organisation.key(Role::Classical),
        scene.organisation.key(Role::PostQuantum),
    ];
    let sunset = scene.organisation.now;
    scene
        .organisation
        .event(Action::Sunset, &signers, |keyset| {
            keyset.sunsets.push(stella_archive::keyset::Sunset {
                algorithm: "P-256".to_owned(),
                on: sunset,
            });
        });
    // What the event itself says would fall with the algorithm: this verifier begins after it.
    scene.anchor = scene.organisation.anchor(3);
    scene.organisation.now = NOW.plus(MONTH * 3);
    scene.bundles = signed(&scene.organisation, LIST);
    let kit = scene.judge().unwrap();
    let counts: Vec<_> = kit.signatures.iter().map(|each| each.counts).collect();
    assert_eq!(counts, [Counts::Yes, Counts::FellBefore]);
    // 4. A lone key ends with its algorithm.
    let classical = scene.organisation.key(Role::Classical);
    let lone = stella_keys::Signer::public_key(&*classical.key).clone();
    scene.anchor = Anchor::Key(lone);
    assert_eq!(scene.judge().unwrap_err(), KitSignatureError::NoneCounts);
}
