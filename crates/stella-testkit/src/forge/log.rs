//! Logs of the forge: bodies of every kind, promises, proofs in a tree with neighbours, checkpoints and cosignatures.

use serde_json::{Value, json};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::entry::LogEntry;
use stella_bundle::json::encode_base64;
use stella_bundle::key::KeyKind;
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::cosignature::{self, UnixSeconds};
use stella_tlog::hash::{self, Hash};
use stella_tlog::note::{KeyName, SignatureType, VerifierKey, signature_line};
use stella_tlog::proof::{self, SubtreeHashes};
use stella_tlog::tree::{LeafIndex, TreeSize};

use stella_bundle::time::UnixTime;
use stella_keys::{EphemeralKey, Signer as _};

/// So many foreign leaves stand before and after the forge's: proofs have both kinds of steps.
const NEIGHBOURS: usize = 2;
/// By so much the index over all shards exceeds the index in the tree (Rekor v1).
const SHARD: i64 = 1000;

/// A log.
#[derive(Debug)]
pub struct ForgeLog {
    /// Its key: ECDSA for Rekor v1, Ed25519 for v2.
    pub key: EphemeralKey,
    /// Its address.
    pub url: String,
    /// The origin of its checkpoints.
    pub origin: String,
}

/// What signs a checkpoint besides the log.
#[derive(Clone, Copy, Debug)]
pub struct Cosigner<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its Ed25519 key.
    pub key: &'a EphemeralKey,
}

impl ForgeLog {
    /// Returns the log's key as checkpoints name it.
    #[must_use]
    pub fn verifier_key(&self) -> VerifierKey {
        let name = self.origin.split(" - ").next().unwrap_or_default();
        let public_key = self.key.public_key();
        match public_key.kind() {
            KeyKind::Ed25519 => named(name, SignatureType::Ed25519, public_key.bits()),
            _ => named(name, SignatureType::Ecdsa, public_key.spki()),
        }
    }

    /// Returns the log's id.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        self.verifier_key().log_id()
    }

    /// Returns the entries for bodies that share one checkpoint, with promise and proof as asked.
    #[must_use]
    pub fn entries(
        &self,
        form: &super::EntryForm,
        bodies: &[Vec<u8>],
        time: UnixTime,
        cosigner: Option<Cosigner<'_>>,
    ) -> Vec<Value> {
        let foreign = |at: usize| hash::leaf(&at.to_be_bytes());
        let leaves = (0..NEIGHBOURS)
            .map(foreign)
            .chain(bodies.iter().map(|body| hash::leaf(body)))
            .chain((NEIGHBOURS..2 * NEIGHBOURS).map(foreign));
        let tree = Leaves(leaves.collect());
        let size = TreeSize(tree.0.len() as u64);
        let root = super::must(proof::root(&tree, size));
        let note = self.note(size.0, root, cosigner);
        let entry = |(at, body): (usize, &Vec<u8>)| {
            let index = (NEIGHBOURS + at) as u64;
            let mut entry = self.entry(form, body, index, time);
            if form.proof {
                let path = super::must(proof::prove_inclusion(&tree, LeafIndex(index), size));
                let hash = |hash: &Hash| encode_base64(hash.as_bytes());
                entry["inclusionProof"] = json!({
                    "logIndex": index.to_string(),
                    "rootHash": hash(&root),
                    "treeSize": size.0.to_string(),
                    "hashes": path.iter().map(hash).collect::<Vec<_>>(),
                    "checkpoint": {"envelope": note},
                });
            }
            entry
        };
        bodies.iter().enumerate().map(entry).collect()
    }

    /// Returns an entry without its proof.
    fn entry(&self, form: &super::EntryForm, body: &[u8], index: u64, time: UnixTime) -> Value {
        let (kind, version) = form.kind;
        let is_v2 = self.key.public_key().kind() == KeyKind::Ed25519;
        let place = i64::try_from(index).unwrap_or_default();
        let mut entry = LogEntry {
            log_index: if is_v2 { place } else { place + SHARD },
            integrated_time: if is_v2 { 0 } else { time.seconds() },
            canonicalized_body: body.to_vec(),
            ..LogEntry::default()
        };
        entry.log_id.key_id = self.id().to_vec();
        let mut value = json!({
            "logIndex": entry.log_index.to_string(),
            "logId": {"keyId": encode_base64(&entry.log_id.key_id)},
            "kindVersion": {"kind": kind, "version": version},
            "integratedTime": entry.integrated_time.to_string(),
            "canonicalizedBody": encode_base64(body),
        });
        if form.promise {
            let promise = super::sign(&self.key, &entry.promised());
            value["inclusionPromise"] = json!({"signedEntryTimestamp": encode_base64(&promise)});
        }
        value
    }

    /// Returns the signed checkpoint of a head.
    #[must_use]
    pub fn note(&self, size: u64, root: Hash, cosigner: Option<Cosigner<'_>>) -> String {
        let text = Checkpoint {
            origin: self.origin.clone(),
            size: TreeSize(size),
            root,
            extensions: Vec::new(),
        }
        .to_string();
        let mut note = format!("{text}\n");
        if let Some(Cosigner { name, key }) = cosigner {
            let named = witness_key(name, key);
            let time = UnixSeconds(u64::try_from(super::NOW.seconds()).unwrap_or_default());
            let message = super::must(cosignature::to_be_signed(&named, time, &text));
            let signature = cosignature::note_signature(time, &super::sign(key, &message));
            note.push_str(&signature_line(&named, &signature));
        }
        let signature = super::sign(&self.key, text.as_bytes());
        note.push_str(&signature_line(&self.verifier_key(), &signature));
        note
    }
}

/// Returns a witness's key as notes name it.
#[must_use]
pub fn witness_key(name: &str, key: &EphemeralKey) -> VerifierKey {
    named(
        name,
        SignatureType::CosignatureEd25519,
        key.public_key().bits(),
    )
}

fn named(name: &str, signature_type: SignatureType, key: &[u8]) -> VerifierKey {
    super::must(VerifierKey::new(
        super::must(KeyName::new(name)),
        signature_type,
        key,
    ))
}

/// A small tree, computed anew for every question.
struct Leaves(Vec<Hash>);

impl SubtreeHashes for Leaves {
    fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        if level == 0 {
            return self.0.get(usize::try_from(index).ok()?).copied();
        }
        let left = self.subtree(level - 1, 2 * index)?;
        let right = self.subtree(level - 1, 2 * index + 1)?;
        Some(hash::node(&left, &right))
    }
}

/// What a body of any kind is made of.
pub(super) struct BodyParts<'a> {
    /// PEM of certificate or key.
    pub(super) pem: String,
    /// DER for Rekor v2, with the name of its field.
    pub(super) der: (&'static str, Vec<u8>),
    /// Registry name of the key.
    pub(super) details: &'static str,
    /// The signature.
    pub(super) signature: &'a [u8],
    /// What was signed: the artifact, or the PAE.
    pub(super) message: &'a [u8],
    /// Hash of the key's scheme.
    pub(super) hash: DigestAlgorithm,
    /// The envelope's payload and type, empty for a message signature.
    pub(super) payload: &'a [u8],
}

impl BodyParts<'_> {
    /// Returns the canonical body of a kind: serde_json's maps are in order of names, as RFC 8785 wants.
    pub(super) fn body(&self, (kind, version): (&str, &str)) -> Vec<u8> {
        let pem = encode_base64(self.pem.as_bytes());
        let signature = encode_base64(self.signature);
        let hex = |algorithm: DigestAlgorithm, bytes: &[u8]| json!({"algorithm": algorithm.name(), "value": algorithm.digest(bytes).hex()});
        let payload_hash = hex(DigestAlgorithm::Sha256, self.payload);
        let verifier = json!({"keyDetails": self.details, self.der.0: {"rawBytes": encode_base64(&self.der.1)}});
        let digest = |algorithm: DigestAlgorithm, bytes: &[u8]| json!({"algorithm": algorithm.sigstore_name(), "digest": encode_base64(algorithm.digest(bytes).bytes())});
        let spec = match (kind, version) {
            ("hashedrekord", "0.0.1") => json!({
                "data": {"hash": hex(self.hash, self.message)},
                "signature": {"content": signature, "publicKey": {"content": pem}},
            }),
            ("rekord", "0.0.1") => json!({
                "data": {"hash": hex(DigestAlgorithm::Sha256, self.message)},
                "signature": {"content": signature, "format": "x509", "publicKey": {"content": pem}},
            }),
            ("dsse", "0.0.1") => json!({
                "envelopeHash": hex(DigestAlgorithm::Sha256, b"what the client sent"),
                "payloadHash": payload_hash,
                "signatures": [{"signature": signature, "verifier": pem}],
            }),
            ("intoto", "0.0.1") => json!({
                "content": {"hash": hex(DigestAlgorithm::Sha256, b"what the client sent"), "payloadHash": payload_hash},
                "publicKey": pem,
            }),
            ("intoto", "0.0.2") => json!({
                "content": {
                    "envelope": {
                        "payloadType": stella_bundle::envelope::IN_TOTO,
                        "signatures": [{"publicKey": pem, "sig": encode_base64(signature.as_bytes())}],
                    },
                    "hash": hex(DigestAlgorithm::Sha256, b"what the client sent"),
                    "payloadHash": payload_hash,
                },
            }),
            ("hashedrekord", "0.0.2") => json!({"hashedRekordV002": {
                "data": digest(self.hash, self.message),
                "signature": {"content": signature, "verifier": verifier},
            }}),
            ("dsse", "0.0.2") => json!({"dsseV002": {
                "payloadHash": digest(DigestAlgorithm::Sha256, self.payload),
                "signatures": [{"content": signature, "verifier": verifier}],
            }}),
            _ => json!({}),
        };
        let body = json!({"apiVersion": version, "kind": kind, "spec": spec});
        body.to_string().into_bytes()
    }
}
