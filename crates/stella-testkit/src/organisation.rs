//! An organisation with an archive: its keys, its clocks and its months, made by the forge in a time that tests choose.
//!
//! Everything that it signs is good; tests forge beside it with the keys that they take from it.

use std::sync::Arc;

use stella_archive::anchor::{Anchor, OrgAnchor};
use stella_archive::fingerprint::Fingerprint;
use stella_archive::history::{Document, History};
use stella_archive::keyset::{Action, Keyset, OrgKeyEntry, Predecessor, Role};
use stella_archive::leaf::{Kind, Leaf, Status};
use stella_archive::seal::{Seal, Terms};
use stella_archive::statement::{Manifest, OrgStatement, Period, Profile};
use stella_bundle::bundle::{Bundle, Content, KeyMaterial, Version};
use stella_bundle::envelope::{Envelope, EnvelopeSignature, IN_TOTO};
use stella_bundle::json::encode_base64;
use stella_bundle::key::{KeyDetails, sha256};
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_keys::{EphemeralKey, Signer as _};
use stella_tlog::hash::{self, Hash};
use stella_tlog::proof::SubtreeHashes;
use stella_tlog::tree::Frontier;

use crate::forge::certificate::Certified;
use crate::forge::{self, Forge, NOW, YEAR, must};

/// The origin of the archive.
pub const ORIGIN: &str = "archive.example.org";
/// A twelfth of a year.
pub const MONTH: std::time::Duration = std::time::Duration::from_secs(365 * 86_400 / 12);

/// A timestamp authority that stamps statements.
#[derive(Debug)]
pub struct Clock {
    /// Its address.
    pub url: String,
    /// What signs.
    pub signer: Certified,
    /// The root above it.
    pub root: Certified,
}

impl Clock {
    /// Makes a clock on this curve.
    #[must_use]
    pub fn new(name: &str, algorithm: KeyDetails) -> Arc<Self> {
        let (signer, root) = Certified::lasting_authority(name, algorithm);
        let url = format!("https://{name}.example.net");
        Arc::new(Self { url, signer, root })
    }

    /// Returns the name under which a keyset pins it.
    #[must_use]
    pub fn pin(&self) -> [u8; 32] {
        sha256(self.root.certificate.der())
    }

    fn to_json(&self) -> serde_json::Value {
        let raw = |each: &Certified| serde_json::json!({"rawBytes": encode_base64(each.certificate.der())});
        serde_json::json!({
            "uri": self.url,
            "certChain": {"certificates": [raw(&self.signer), raw(&self.root)]},
            "validFor": {"start": NOW.minus(YEAR).to_string()},
        })
    }
}

/// A key of the organisation.
#[derive(Clone, Debug)]
pub struct Held {
    /// What it is for.
    pub role: Role,
    /// The key.
    pub key: Arc<EphemeralKey>,
}

impl Held {
    /// Makes a key.
    #[must_use]
    pub fn new(role: Role, algorithm: KeyDetails) -> Self {
        let key = Arc::new(forge::key(algorithm));
        Self { role, key }
    }

    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        self.key.public_key().key_id()
    }

    /// Returns its entry in a keyset.
    #[must_use]
    pub fn entry(&self, from: UnixTime, until: UnixTime) -> OrgKeyEntry {
        OrgKeyEntry::new(self.key.public_key(), self.role, from, until)
    }
}

/// An organisation and its archive.
#[derive(Debug)]
pub struct Organisation {
    /// Who makes the attestations.
    pub forge: Arc<Forge>,
    /// The clocks that stamp statements.
    pub clocks: Vec<Arc<Clock>>,
    /// The keys that it has now.
    pub keys: Vec<Held>,
    /// Its past.
    pub history: History,
    /// The file of the trusted root by which attestations are verified.
    pub trusted_root: Vec<u8>,
    /// The present moment.
    pub now: UnixTime,
    /// Every line.
    pub lines: Vec<String>,
    /// Hashes of the lines.
    pub leaves: Leaves,
    frontier: Frontier,
    manifests: Vec<Manifest>,
    keysets: Vec<Keyset>,
}

impl Organisation {
    /// Founds an organisation at [`NOW`]: a classical, a post-quantum and a recovery key, two of which must sign an event.
    #[must_use]
    pub fn found(forge: Arc<Forge>, clocks: Vec<Arc<Clock>>) -> Self {
        let keys = vec![
            Held::new(Role::Classical, KeyDetails::EcdsaP256Sha256),
            Held::new(Role::PostQuantum, KeyDetails::MlDsa65),
            Held::new(Role::Recovery, KeyDetails::EcdsaP384Sha384),
        ];
        let pins = clocks.iter().map(|each| each.pin()).collect();
        let entries = keys.iter().map(|each| each.entry(NOW, NOW.plus(YEAR * 3)));
        let keyset = Keyset::create(ORIGIN, NOW, "founded", 2, entries.collect(), pins);
        let keyset = must(keyset);
        let mut organisation = Self {
            trusted_root: forge.trusted_root().to_string().into_bytes(),
            forge,
            clocks,
            history: History::default(),
            now: NOW,
            lines: Vec::new(),
            leaves: Leaves::default(),
            frontier: Frontier::new(),
            manifests: Vec::new(),
            keysets: Vec::new(),
            keys: keys.clone(),
        };
        organisation.publish(keyset, &keys);
        organisation.history.roots = organisation.roots();
        organisation
    }

    /// Returns the trusted roots of its archive.
    #[must_use]
    pub fn roots(&self) -> Vec<TrustedRoot> {
        vec![
            must(TrustedRoot::parse(&self.trusted_root)),
            clock_root(&self.clocks),
        ]
    }

    /// Returns the anchor of a keyset, counted from 1.
    ///
    /// # Panics
    /// When there is no such keyset.
    #[must_use]
    pub fn anchor(&self, version: usize) -> Anchor {
        let digest = Fingerprint::of(&self.history.keysets[version - 1].bytes).sha256;
        let anchor = OrgAnchor::of(&self.keysets[version - 1], digest);
        Anchor::Organisation(must(anchor.ok_or("a keyset without keys")))
    }

    /// Returns the keyset in force.
    ///
    /// # Panics
    /// Never: there is one from the beginning.
    #[must_use]
    pub fn keyset(&self) -> &Keyset {
        &self.keysets[self.keysets.len() - 1]
    }

    /// Returns how many keysets there are.
    #[must_use]
    pub fn version(&self) -> usize {
        self.keysets.len()
    }

    /// Holds an event: the keyset is changed and signed by these keys.
    pub fn event(&mut self, action: Action, signers: &[Held], change: impl FnOnce(&mut Keyset)) {
        let last = &self.history.keysets[self.history.keysets.len() - 1];
        let previous = Predecessor {
            file: Fingerprint::of(&last.bytes),
            evidence: last.evidence(),
        };
        let mut keyset = self.keyset().next(previous, self.now, action, "a test");
        change(&mut keyset);
        self.publish(keyset, signers);
    }

    fn publish(&mut self, keyset: Keyset, signers: &[Held]) {
        must(keyset.require_sound());
        let file = keyset.to_bytes();
        let statement = OrgStatement::of_keyset(&keyset, &file);
        let bundles = sign(&statement, signers, &self.clocks, self.now);
        self.history.keysets.push(Document {
            bytes: file,
            bundles,
        });
        self.keysets.push(keyset);
    }

    /// Archives attestations, each at the next place, seals the month and lets it pass.
    pub fn month(&mut self, bundles: &[Vec<u8>]) {
        let mut seal = Seal::new(self.frontier.clone());
        for bundle in bundles {
            let leaf = Leaf {
                kind: Kind::Attestation,
                status: Status::Verified,
                profile: 0,
                digest: Fingerprint::of(bundle),
                size: bundle.len() as u64,
                time: Some(NOW.seconds()),
            };
            let line = seal.append(&leaf, |_, _, _| ());
            self.leaves.0.push(Leaf::hash(line.as_bytes()));
            self.lines.push(line);
        }
        let previous = self.manifests.last().zip(self.history.statements.last());
        let keyset = self.history.keysets.last();
        let document = must(keyset.ok_or("no keyset"));
        let manifest = seal.close(Terms {
            previous,
            keyset: (self.keyset(), document),
            period: Period {
                name: format!("month {}", self.manifests.len()),
                start: self.now.floor_seconds(),
                end: self.now.plus(MONTH).floor_seconds(),
            },
            profiles: vec![Profile {
                trusted_root: sha256(&self.trusted_root),
                policy: None,
                verifier: "testkit".to_owned(),
            }],
            coverage: Vec::new(),
            timestamps: self.clocks.len() as u64,
            months: 24,
            created: self.now,
        });
        self.now = self.now.plus(MONTH);
        let statement = OrgStatement::of_manifest(&manifest);
        let signers: Vec<_> = self.signers().cloned().collect();
        self.history.statements.push(Document {
            bytes: statement.payload(),
            bundles: sign(&statement, &signers, &self.clocks, self.now),
        });
        self.frontier = seal.frontier().clone();
        self.manifests.push(manifest);
    }

    /// Returns the size of the tree at the end of the period that added a leaf.
    ///
    /// # Panics
    /// When no period did.
    #[must_use]
    pub fn size_after(&self, index: u64) -> u64 {
        let mut sizes = self.manifests.iter().map(|each| each.tree.size);
        must(sizes.find(|size| *size > index).ok_or("no such leaf"))
    }

    /// Returns the keys that sign statements now.
    pub fn signers(&self) -> impl Iterator<Item = &Held> {
        let active = |each: &&Held| {
            let mut signers = self.keyset().signers();
            signers.any(|entry| entry.key_id == each.id())
        };
        self.keys.iter().filter(active)
    }

    /// Returns the key that has this role now.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn key(&self, role: Role) -> Held {
        let active = |each: &&Held| {
            each.role == role
                && self
                    .keyset()
                    .entry(&each.id())
                    .is_some_and(OrgKeyEntry::is_active)
        };
        let found = self.keys.iter().rev().find(active).cloned();
        must(found.ok_or("no key of this role"))
    }
}

/// Returns a trusted root of nothing but clocks.
#[must_use]
pub fn clock_root(clocks: &[Arc<Clock>]) -> TrustedRoot {
    let clocks: Vec<_> = clocks.iter().map(|each| each.to_json()).collect();
    let root = serde_json::json!({
        "mediaType": stella_bundle::trusted_root::MEDIA_TYPE,
        "timestampAuthorities": clocks,
    });
    must(TrustedRoot::parse(root.to_string().as_bytes()))
}

/// Signs a statement with each key, and has each signature stamped by each clock.
#[must_use]
pub fn sign(
    statement: &OrgStatement,
    signers: &[Held],
    clocks: &[Arc<Clock>],
    time: UnixTime,
) -> Vec<Vec<u8>> {
    let bundle = |held: &Held| {
        let signature = forge::sign(&*held.key, &statement.to_be_signed());
        let stamp = |clock: &Arc<Clock>| forge::stamp(&clock.signer, &signature, time);
        let bundle = Bundle {
            version: Version::V0_3,
            key: KeyMaterial::PublicKey {
                hint: encode_base64(&held.id()),
            },
            entries: Vec::new(),
            timestamps: clocks.iter().map(stamp).collect(),
            stamped: None,
            content: Content::Envelope(Envelope {
                payload: statement.payload(),
                payload_type: IN_TOTO.to_owned(),
                signatures: vec![EnvelopeSignature {
                    sig: signature.clone(),
                    keyid: String::new(),
                }],
            }),
        };
        must(bundle.to_json())
    };
    signers.iter().map(bundle).collect()
}

/// Hashes of leaves, from which those of subtrees are computed when they are asked for.
#[derive(Clone, Debug, Default)]
pub struct Leaves(pub Vec<Hash>);

impl SubtreeHashes for Leaves {
    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        if level == 0 {
            return self.0.get(usize::try_from(index).ok()?).copied();
        }
        let left = self.subtree(level - 1, index * 2)?;
        let right = self.subtree(level - 1, index * 2 + 1)?;
        Some(hash::node(&left, &right))
    }
}
