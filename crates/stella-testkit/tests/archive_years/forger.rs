//! Forgers: what they make of the keys that they have.

use std::sync::Arc;

use stella_archive::fingerprint::Fingerprint;
use stella_archive::history::{Document, History};
use stella_archive::keyset::{Action, Keyset, Predecessor, Role, Status};
use stella_archive::leaf::{Kind, Leaf, Status as LeafStatus};
use stella_archive::seal::{Seal, Terms};
use stella_archive::statement::{Manifest, OrgStatement, Period, Profile};
use stella_bundle::bundle::Bundle;
use stella_bundle::json::{decode_base64, encode_base64};
use stella_bundle::key::{KeyDetails, sha256};
use stella_bundle::time::UnixTime;
use stella_testkit::forge::{self, Forge, Form, NOW, YEAR};
use stella_testkit::organisation::{Clock, Held, MONTH, clock_root, sign};
use stella_tlog::hash::Hash;
use stella_tlog::proof;
use stella_tlog::tree::{Frontier, LeafIndex, TreeSize};

use super::scene::Scene;
use super::story::{Story, years};

/// What a forger makes of the keys that he has: an archive of one statement over one attestation.
pub(crate) struct Forger {
    pub(crate) keysets: Vec<Document>,
    pub(crate) keyset: Keyset,
    pub(crate) signers: Vec<Held>,
    pub(crate) clocks: Vec<Arc<Clock>>,
    pub(crate) time: UnixTime,
}

impl Forger {
    /// Takes the first keyset as it was, and signs now with these keys and clocks.
    pub(crate) fn of(story: &Story, signers: Vec<Held>, time: UnixTime) -> Self {
        let document = story.organisation.history.keysets[0].clone();
        Self {
            keyset: Keyset::parse(&document.bytes).unwrap(),
            keysets: vec![document],
            signers,
            clocks: story.organisation.clocks.clone(),
            time,
        }
    }

    /// Signs a next keyset.
    pub(crate) fn follow(&mut self, action: Action, change: impl FnOnce(&mut Keyset)) {
        let last = self.keysets.last().unwrap();
        let previous = Predecessor {
            file: Fingerprint::of(&last.bytes),
            evidence: last.evidence(),
        };
        let mut keyset = self.keyset.next(previous, self.time, action, "trust me");
        change(&mut keyset);
        let file = keyset.to_bytes();
        let event = OrgStatement::of_keyset(&keyset, &file);
        let bundles = sign(&event, &self.signers, &self.clocks, self.time);
        self.keysets.push(Document {
            bytes: file,
            bundles,
        });
        self.keyset = keyset;
    }

    /// Archives a forged attestation in a statement that claims to be of the first month.
    pub(crate) fn show(&self, story: &Story, change: impl FnOnce(&mut Manifest)) -> Scene {
        let bundle = forged_elsewhere();
        let leaf = leaf_of(&bundle);
        let mut seal = Seal::new(Frontier::new());
        let line = seal.append(&leaf, |_, _, _| ());
        let mut manifest = seal.close(Terms {
            previous: None,
            keyset: (&self.keyset, self.keysets.last().unwrap()),
            period: Period {
                name: "2026-01".into(),
                start: NOW,
                end: NOW.plus(MONTH),
            },
            profiles: vec![Profile {
                trusted_root: sha256(&story.organisation.trusted_root),
                policy: None,
                verifier: "forger".into(),
            }],
            coverage: Vec::new(),
            timestamps: 0,
            months: 24,
            created: NOW,
        });
        change(&mut manifest);
        let statement = OrgStatement::of_manifest(&manifest);
        let bundles = sign(&statement, &self.signers, &self.clocks, self.time);
        let mut roots = story.organisation.roots();
        roots.push(clock_root(&self.clocks));
        Scene {
            history: History {
                keysets: self.keysets.clone(),
                statements: vec![Document {
                    bytes: statement.payload(),
                    bundles,
                }],
                roots,
            },
            line,
            index: 0,
            size: 1,
            path: Vec::new(),
            bundle: Some(bundle),
            ..story.scene()
        }
    }
}

pub(crate) fn leaf_of(bundle: &[u8]) -> Leaf {
    Leaf {
        kind: Kind::Attestation,
        status: LeafStatus::Verified,
        profile: 0,
        digest: Fingerprint::of(bundle),
        size: bundle.len() as u64,
        time: Some(NOW.seconds()),
    }
}

/// An attestation of somebody else's Sigstore.
pub(crate) fn forged_elsewhere() -> Vec<u8> {
    Forge::new()
        .make(&Form::current())
        .bundle
        .to_string()
        .into_bytes()
}

/// Shows an attestation that is not in the archive in another's place.
pub(crate) fn instead(story: &Story, bundle: Vec<u8>) -> Scene {
    let line = leaf_of(&bundle).to_line();
    Scene {
        line,
        ..story.scene_of(0, bundle)
    }
}

pub(crate) fn forgery(name: &str) -> Option<Vec<Scene>> {
    let curve = KeyDetails::EcdsaP384Sha384;
    let scenes = match name {
        // The certificate and its SCT are of the right time; an honest authority stamps at its own.
        "f-ca" => {
            let mut stolen = [0; 32];
            let story = years(|story| {
                stolen = story.organisation.forge.intermediate.key_id();
                story.compromise(stolen);
            });
            let forge = &story.organisation.forge;
            let mut bundle = forge.make(&Form::current()).bundle;
            let signature = &bundle["dsseEnvelope"]["signatures"][0]["sig"];
            let signature = decode_base64(signature.as_str().unwrap());
            let stamp = forge::stamp(
                &forge.timestamping[0],
                &signature.unwrap(),
                story.organisation.now,
            );
            bundle["verificationMaterial"]["timestampVerificationData"] = serde_json::json!({
                "rfc3161Timestamps": [{"signedTimestamp": encode_base64(&stamp)}],
            });
            vec![instead(&story, bundle.to_string().into_bytes())]
        }
        "f-ca-archived" => {
            let story = years(|story| {
                let key = story.organisation.forge.intermediate.key_id();
                story.compromise_since(key, NOW.minus(forge::DAY).floor_seconds());
            });
            vec![story.scene()]
        }
        "f-log" => {
            let story = years(|story| {
                let key = story.organisation.forge.rekor_2.id();
                story.compromise(key);
            });
            let bundle = story.organisation.forge.make(&Form::current()).bundle;
            vec![instead(&story, bundle.to_string().into_bytes())]
        }
        "f-tsa" => {
            let story = years(|story| {
                let key = story.organisation.forge.timestamping[0].key_id();
                story.compromise(key);
            });
            let bundle = forged_elsewhere();
            vec![instead(&story, bundle)]
        }
        "f-org-old" | "f-pq-old" | "f-org-both-old" | "f-org-and-tsa" | "f-extend" | "f-keyset"
        | "f-p256" => {
            let mut old = Vec::new();
            let story = years(|story| {
                let mut rotate =
                    |role, algorithm| old.push(story.rotate(role, algorithm, Status::Retired));
                rotate(Role::Classical, curve);
                rotate(Role::PostQuantum, KeyDetails::MlDsa65);
            });
            let [classical, post_quantum] = [old[0].clone(), old[1].clone()];
            forged_by_old_keys(name, &story, &classical, &post_quantum)
        }
        "f-bytes" => {
            let story = years(|_| ());
            let mut scene = story.scene();
            let bytes = scene.bundle.as_mut().unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            vec![scene]
        }
        "f-strip" => {
            let story = years(|_| ());
            let strip = |at: usize| {
                let mut scene = story.scene();
                let last = scene.history.statements.last_mut().unwrap();
                last.bundles.remove(at);
                scene
            };
            vec![strip(0), strip(1)]
        }
        "f-swap" => swapped(&years(|_| ())),
        "f-three" => {
            let story = years(|_| ());
            let mut organisation = story.organisation.history.clone();
            organisation.statements.clear();
            let signers = story.able();
            let mut forger = Forger::of(&story, signers, story.organisation.now);
            forger.keysets = organisation.keysets;
            forger.keyset = story.organisation.keyset().clone();
            forger.signers.retain(|each| each.role.signs_statements());
            vec![forger.show(&story, |_| ())]
        }
        _ => return None,
    };
    Some(scenes)
}

pub(crate) fn forged_by_old_keys(
    name: &str,
    story: &Story,
    classical: &Held,
    post_quantum: &Held,
) -> Vec<Scene> {
    let (now, both) = (
        story.organisation.now,
        vec![classical.clone(), post_quantum.clone()],
    );
    let alone = |held: &Held| {
        let forger = Forger::of(story, vec![held.clone()], now);
        let id = stella_archive::statement::KeyId(held.id());
        vec![
            forger.show(story, |_| ()),
            forger.show(story, |manifest| manifest.signers = vec![id]),
        ]
    };
    match name {
        "f-org-old" => alone(classical),
        "f-pq-old" => alone(post_quantum),
        "f-org-both-old" => {
            let mut without_clock = Forger::of(story, both.clone(), now);
            without_clock.clocks.clear();
            let mut scenes = behind_their_own_past(story, &both);
            scenes.push(Forger::of(story, both, now).show(story, |_| ()));
            scenes.push(without_clock.show(story, |_| ()));
            scenes
        }
        "f-org-and-tsa" => {
            let mut forger = Forger::of(story, both, NOW.plus(MONTH));
            forger.clocks.truncate(1);
            let mut scene = forger.show(story, |_| ());
            let stolen = story.organisation.clocks[0].signer.key_id();
            scene.known.add_key(stolen, NOW.plus(YEAR * 8));
            vec![scene]
        }
        "f-extend" => vec![longer(story, both)],
        "f-keyset" => vec![keyset_of_his_own(story, both)],
        // Whoever has broken the curve has every key on it; the post-quantum key is another.
        "f-p256" => {
            let mut forger = Forger::of(story, vec![classical.clone()], NOW.plus(MONTH));
            forger.clocks.truncate(1);
            let mut scene = forger.show(story, |_| ());
            scene.known.add_algorithm("P-256", NOW.plus(YEAR * 8));
            vec![scene]
        }
        _ => unreachable!(),
    }
}

/// Behind the honest past of their time, both retired keys sign one more statement today. They were to last longer than that,
/// had they not been retired: only the newest keyset says so, which the verifier has as its anchor.
fn behind_their_own_past(story: &Story, signers: &[Held]) -> Vec<Scene> {
    let past = &story.organisation.history;
    let version = |document: &Document| {
        let statement = OrgStatement::parse(&document.bytes).unwrap();
        statement.to_manifest().unwrap()
    };
    let active = |keyset: &Keyset| {
        signers.iter().all(|held| {
            keyset
                .entry(&held.id())
                .is_some_and(|entry| entry.is_active())
        })
    };
    let last = past
        .keysets
        .iter()
        .rposition(|each| active(&Keyset::parse(&each.bytes).unwrap()));
    let last = last.unwrap();
    let keyset = Keyset::parse(&past.keysets[last].bytes).unwrap();
    let mut statements = past.statements.clone();
    statements.retain(|each| version(each).keyset.version <= keyset.version);
    let previous = version(statements.last().unwrap());
    let mut seal = Seal::new(Frontier::new());
    for index in 0..usize::try_from(previous.tree.size).unwrap() {
        let line = &story.organisation.lines[index];
        seal.append_line(
            &Leaf::parse(line.as_bytes()).unwrap(),
            line.as_bytes(),
            |_, _, _| (),
        );
    }
    let mut seal = Seal::new(seal.frontier().clone());
    let bundle = forged_elsewhere();
    let line = seal.append(&leaf_of(&bundle), |_, _, _| ());
    let manifest = seal.close(Terms {
        previous: Some((&previous, statements.last().unwrap())),
        keyset: (&keyset, &past.keysets[last]),
        period: Period {
            name: "one more".into(),
            start: NOW,
            end: NOW.plus(MONTH),
        },
        profiles: previous.profiles.clone(),
        coverage: Vec::new(),
        timestamps: 2,
        months: 24,
        created: NOW,
    });
    let statement = OrgStatement::of_manifest(&manifest);
    // A year after they were retired; the clocks are honest, and tell today.
    let today = NOW.plus(YEAR * 9);
    statements.push(Document {
        bytes: statement.payload(),
        bundles: sign(&statement, signers, &story.organisation.clocks, today),
    });
    let index = previous.tree.size;
    let mut leaves = story.organisation.leaves.clone();
    leaves.0.truncate(usize::try_from(index).unwrap());
    leaves.0.push(Leaf::hash(line.as_bytes()));
    let path = proof::prove_inclusion(&leaves, LeafIndex(index), TreeSize(index + 1)).unwrap();
    let scene = |keysets: &[Document], anchor| Scene {
        anchor,
        history: History {
            keysets: keysets.to_vec(),
            statements: statements.clone(),
            roots: story.organisation.roots(),
        },
        line: line.clone(),
        index,
        size: index + 1,
        path: path.clone(),
        bundle: Some(bundle.clone()),
        now: today,
        ..story.scene()
    };
    let newest = story.organisation.anchor(story.organisation.version());
    vec![
        scene(&past.keysets, newest.clone()),
        scene(&past.keysets[..=last], newest),
    ]
}

/// Both retired keys sign that they last longer, today.
pub(crate) fn longer(story: &Story, signers: Vec<Held>) -> Scene {
    let now = story.organisation.now;
    let mut forger = Forger::of(story, signers, now);
    forger.follow(Action::Extend, |keyset| keyset.extend(now.plus(YEAR)));
    forger.show(story, |_| ())
}

/// Both retired keys sign a keyset with an authority of the forger's own, which vouches for their time.
pub(crate) fn keyset_of_his_own(story: &Story, signers: Vec<Held>) -> Scene {
    let mut forger = Forger::of(story, signers, NOW.plus(MONTH));
    forger.clocks = vec![Clock::new("forger", KeyDetails::EcdsaP384Sha384)];
    let pin = forger.clocks[0].pin();
    forger.follow(Action::Authorities, |keyset| keyset.authorities.push(pin));
    forger.show(story, |_| ())
}

/// A leaf, a proof, a statement, a token, a keyset: each changed in a good archive.
pub(crate) fn swapped(story: &Story) -> Vec<Scene> {
    let change = |change: &dyn Fn(&mut Scene)| {
        let mut scene = story.scene();
        change(&mut scene);
        scene
    };
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    let mut scenes = vec![
        change(&|scene| scene.line = scene.line.replace("1768", "1769")),
        change(&|scene| {
            scene.line = leaf_of(b"other").to_line();
            scene.bundle = Some(b"other".to_vec());
        }),
        change(&|scene| scene.index = 1),
        change(&|scene| scene.size += 1),
        change(&|scene| scene.path.push(Hash::EMPTY_ROOT)),
        // The same place in the newest tree: true, and of another statement.
        change(&|scene| {
            let leaves = &story.organisation.leaves;
            scene.size = leaves.0.len() as u64;
            let (index, size) = (LeafIndex(0), TreeSize(scene.size));
            scene.path = proof::prove_inclusion(leaves, index, size).unwrap();
        }),
        change(&|scene| drop(scene.history.statements.remove(5))),
        change(&|scene| scene.history.statements.truncate(5)),
        change(&|scene| flip(&mut scene.history.keysets[0].bytes)),
        change(&|scene| flip(&mut scene.history.keysets[1].bundles[0])),
    ];
    // The same statement, signed and stamped by the same once more.
    scenes.push(change(&|scene| {
        let organisation = &story.organisation;
        let document = &mut scene.history.statements[17];
        let statement = OrgStatement::parse(&document.bytes).unwrap();
        let signers: Vec<_> = organisation.signers().cloned().collect();
        document.bundles = sign(&statement, &signers, &organisation.clocks, organisation.now);
    }));
    for at in [0, 17, story.organisation.history.statements.len() - 1] {
        scenes.push(change(&|scene| {
            flip(&mut scene.history.statements[at].bytes)
        }));
        scenes.push(change(&|scene| {
            flip(&mut scene.history.statements[at].bundles[1])
        }));
        scenes.push(change(&|scene| {
            let bundles = &mut scene.history.statements[at].bundles;
            bundles[0] = without_tokens(&bundles[0]);
        }));
    }
    scenes
}

pub(crate) fn without_tokens(bundle: &[u8]) -> Vec<u8> {
    let mut bundle = Bundle::parse(bundle).unwrap();
    bundle.timestamps.clear();
    bundle.to_json().unwrap()
}
