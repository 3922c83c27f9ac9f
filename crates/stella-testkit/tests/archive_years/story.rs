//! An organisation over the years, and what happens to its keys and services.

use std::sync::Arc;

use stella_archive::fall::Falls;
use stella_archive::keyset::{Action, Role, Status, Sunset};
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_testkit::forge::{self, Forge, Form, YEAR};
use stella_testkit::organisation::{Clock, Held, Organisation, clock_root};
use stella_tlog::proof;
use stella_tlog::tree::{LeafIndex, TreeSize};

use super::scene::Scene;

/// An organisation, an attestation that it archived in its first month, and what everybody knows to have fallen.
pub(crate) struct Story {
    pub(crate) organisation: Organisation,
    pub(crate) first: Vec<u8>,
    pub(crate) policy: stella_bundle::verify::Policy,
    pub(crate) known: Falls,
    pub(crate) months: usize,
}

impl Story {
    /// Begins with one attestation and two clocks, on P-256 and on P-384.
    pub(crate) fn begin() -> Self {
        let forge = Arc::new(Forge::new());
        let clocks = vec![
            Clock::new("clock256", KeyDetails::EcdsaP256Sha256),
            Clock::new("clock384", KeyDetails::EcdsaP384Sha384),
        ];
        let forged = forge.make(&Form::current());
        let mut story = Self {
            organisation: Organisation::found(forge, clocks),
            first: forged.bundle.to_string().into_bytes(),
            policy: forged.policy,
            known: Falls::default(),
            months: 0,
        };
        let first = story.first.clone();
        story.month(&[first]);
        story
    }

    pub(crate) fn month(&mut self, bundles: &[Vec<u8>]) {
        self.organisation.month(bundles);
        self.months += 1;
        // Long before keys run out, they last longer.
        if self.months.is_multiple_of(24) {
            self.extend();
        }
    }

    pub(crate) fn extend(&mut self) {
        let signers = self.able();
        let until = self.organisation.now.plus(YEAR * 3).floor_seconds();
        self.organisation.event(Action::Extend, &signers, |keyset| {
            for each in keyset
                .keys
                .iter_mut()
                .filter(|each| each.status == Status::Active)
            {
                each.until = until;
            }
        });
    }

    /// Lets the months go by up to a year, each with one more attestation.
    pub(crate) fn until_year(&mut self, year: usize) {
        while self.months < year * 12 {
            let filler = format!("attestation {}", self.months).into_bytes();
            self.month(&[filler]);
        }
    }

    /// Returns the keys that sign events.
    pub(crate) fn able(&self) -> Vec<Held> {
        let keys = self.organisation.keys.iter();
        let keyset = self.organisation.keyset();
        let active = |each: &&Held| {
            keyset
                .entry(&each.id())
                .is_some_and(|entry| entry.is_active())
        };
        keys.filter(active).cloned().collect()
    }

    /// Everybody learns that a key has been in other hands for a day.
    pub(crate) fn compromise(&mut self, key: [u8; 32]) {
        let since = self.organisation.now.minus(forge::DAY).floor_seconds();
        self.compromise_since(key, since);
    }

    pub(crate) fn compromise_since(&mut self, key: [u8; 32], since: UnixTime) {
        self.known.add_key(key, since);
        let signers = self.able();
        self.organisation
            .event(Action::Compromise, &signers, |keyset| {
                keyset.compromise(key, since, "a test");
            });
    }

    /// Everybody learns that an algorithm is not believed from now on.
    pub(crate) fn sunset(&mut self, algorithms: &[&str]) {
        let on = self.organisation.now.floor_seconds();
        let signers = self.able();
        for each in algorithms {
            self.known.add_algorithm(each, on);
        }
        self.organisation.event(Action::Sunset, &signers, |keyset| {
            keyset.sunsets.extend(algorithms.iter().map(|each| Sunset {
                algorithm: (*each).to_owned(),
                on,
            }));
        });
    }

    /// Replaces the key of a role; the old one stands in the keyset in this way from now on.
    pub(crate) fn rotate(&mut self, role: Role, algorithm: KeyDetails, old: Status) -> Held {
        let was = self.organisation.key(role);
        let new = Held::new(role, algorithm);
        let (now, mut signers) = (self.organisation.now, self.able());
        if old == Status::Compromised {
            signers.retain(|each| each.id() != was.id());
        }
        signers.push(new.clone());
        self.organisation.keys.push(new.clone());
        self.organisation.event(Action::Rotate, &signers, |keyset| {
            match old {
                Status::Compromised => {
                    keyset.compromise(was.id(), now.minus(forge::DAY), "a test");
                }
                old => keyset.retire(&was.id(), old),
            }
            keyset.keys.push(new.entry(now, now.plus(YEAR * 3)));
        });
        was
    }

    /// Shows the first attestation to a verifier who has the first anchor and the authorities' roots of its own.
    pub(crate) fn scene(&self) -> Scene {
        self.scene_of(0, self.first.clone())
    }

    pub(crate) fn scene_of(&self, index: u64, bundle: Vec<u8>) -> Scene {
        let size = self.organisation.size_after(index);
        let path =
            proof::prove_inclusion(&self.organisation.leaves, LeafIndex(index), TreeSize(size));
        let mut own = TrustedRoot::parse(&self.organisation.trusted_root).unwrap();
        let clocks = clock_root(&self.organisation.clocks);
        own.timestamp_authorities
            .extend(clocks.timestamp_authorities);
        Scene {
            anchor: self.organisation.anchor(1),
            history: self.organisation.history.clone(),
            roots: vec![self.organisation.trusted_root.clone()],
            line: self.organisation.lines[usize::try_from(index).unwrap()].clone(),
            index,
            size,
            path: path.unwrap(),
            bundle: Some(bundle),
            own,
            known: self.known.clone(),
            now: self.organisation.now,
            policy: self.policy.clone(),
        }
    }
}

/// Twenty-five years in which something happens in the eighth.
pub(crate) fn years(happening: impl FnOnce(&mut Story)) -> Story {
    let mut story = Story::begin();
    story.until_year(8);
    happening(&mut story);
    story.until_year(25);
    story
}

pub(crate) fn honest(name: &str) -> Option<Scene> {
    let curve = KeyDetails::EcdsaP384Sha384;
    let scene = match name {
        // The forge's certificates run for five years, its leaves for ten minutes; no service is ever asked.
        "expired" | "gone" => years(|_| ()).scene(),
        "trimmed" => {
            let scene = years(|_| ()).scene();
            let own = TrustedRoot {
                media_type: scene.own.media_type.clone(),
                tlogs: Vec::new(),
                certificate_authorities: Vec::new(),
                ctlogs: Vec::new(),
                timestamp_authorities: Vec::new(),
            };
            Scene { own, ..scene }
        }
        "ca-stolen" => years(|story| {
            let key = story.organisation.forge.intermediate.key_id();
            story.compromise(key);
        })
        .scene(),
        "log-stolen" => years(|story| {
            let key = story.organisation.forge.rekor_2.id();
            story.compromise(key);
        })
        .scene(),
        "tsa-stolen" => years(|story| {
            let key = story.organisation.clocks[0].signer.key_id();
            story.compromise(key);
        })
        .scene(),
        "org-rotated" => years(|story| {
            story.rotate(Role::Classical, curve, Status::Retired);
            story.rotate(Role::PostQuantum, KeyDetails::MlDsa65, Status::Destroyed);
        })
        .scene(),
        "org-stolen" => years(|story| {
            story.rotate(Role::Classical, curve, Status::Compromised);
        })
        .scene(),
        "pq-stolen" => years(|story| {
            story.rotate(Role::PostQuantum, KeyDetails::MlDsa65, Status::Compromised);
        })
        .scene(),
        "recovery-lost" => years(|story| {
            story
                .organisation
                .keys
                .retain(|each| each.role != Role::Recovery);
            story.until_year(9);
        })
        .scene(),
        "p256-broken" => years(|story| {
            story.rotate(Role::Classical, curve, Status::Retired);
            story.month(&[]);
            story.sunset(&["P-256"]);
        })
        .scene(),
        "curves-broken" => {
            let story = years(|story| story.sunset(&["P-256", "P-384", "P-521", "Ed25519"]));
            let anchor = story.organisation.anchor(story.organisation.version());
            Scene {
                anchor,
                ..story.scene()
            }
        }
        "ml-dsa-broken" => years(|story| story.sunset(&["ML-DSA-65"])).scene(),
        "pruned" => Scene {
            bundle: None,
            ..years(|_| ()).scene()
        },
        "tsa-all-lost" => years(|story| {
            for clock in story.organisation.clocks.clone() {
                story.compromise(clock.signer.key_id());
            }
        })
        .scene(),
        _ => return None,
    };
    Some(scene)
}
