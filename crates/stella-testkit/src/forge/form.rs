//! The forms of bundles: version, signer, content, log entries, timestamps; and the list of all that clients ever wrote.

use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::key::KeyDetails;
use stella_keys::Signer;

use super::short_hash::ShortHashKey;

/// What identifies the signer in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Material {
    /// The leaf alone.
    Certificate,
    /// Leaf and intermediate.
    Chain,
    /// A hint at a managed key.
    Key,
}

/// What a bundle signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The artifact's bytes.
    Message,
    /// A statement about it.
    Statement,
}

/// One log entry of a form.
#[derive(Clone, Copy, Debug)]
pub struct EntryForm {
    /// Kind and version.
    pub kind: (&'static str, &'static str),
    /// Whether it carries a promise (SET).
    pub promise: bool,
    /// Whether it carries a proof.
    pub proof: bool,
}

/// The form of a bundle.
#[derive(Clone, Debug)]
pub struct Form {
    /// For people.
    pub name: &'static str,
    /// `0.1`, `0.2`, `0.3`.
    pub version: &'static str,
    /// What identifies the signer.
    pub material: Material,
    /// What is signed.
    pub what: What,
    /// By which kind of key.
    pub algorithm: KeyDetails,
    /// Whether the message is hashed as [`ShortHashKey`] does, not as the kind of key demands.
    pub has_short_hash: bool,
    /// The log entries.
    pub entries: Vec<EntryForm>,
    /// How many timestamp authorities stamped it, at most 2.
    pub timestamps: usize,
    /// How many CT logs promised the certificate, at most 2.
    pub scts: usize,
    /// Whether a witness cosigned the checkpoint.
    pub witnessed: bool,
}

const fn v1(kind: &'static str, version: &'static str, promise: bool, proof: bool) -> EntryForm {
    EntryForm {
        kind: (kind, version),
        promise,
        proof,
    }
}

/// The entry of today's Rekor.
pub const REKOR_2: EntryForm = v1("hashedrekord", "0.0.2", false, true);

impl Form {
    /// The form that stella writes: bundle v0.3, certificate, statement, Rekor v2, one timestamp, one SCT.
    #[must_use]
    pub fn current() -> Self {
        Self {
            name: "v0.3 certificate, statement, Rekor v2",
            version: "0.3",
            material: Material::Certificate,
            what: What::Statement,
            algorithm: KeyDetails::EcdsaP256Sha256,
            has_short_hash: false,
            entries: vec![REKOR_2],
            timestamps: 1,
            scts: 1,
            witnessed: false,
        }
    }

    /// Makes a key of this form.
    #[must_use]
    pub fn key(&self) -> Box<dyn Signer> {
        if self.has_short_hash {
            return Box::new(ShortHashKey::generate());
        }
        Box::new(super::key(self.algorithm))
    }

    /// Returns the hash under which the message is logged.
    #[must_use]
    pub fn hash(&self) -> DigestAlgorithm {
        let hash = self.algorithm.hash();
        hash.filter(|_| !self.has_short_hash)
            .unwrap_or(DigestAlgorithm::Sha256)
    }

    /// A form of Rekor v1: its log tells the time.
    fn old(name: &'static str, version: &'static str, what: What, entry: EntryForm) -> Self {
        Self {
            name,
            version,
            material: match version {
                "0.3" => Material::Certificate,
                _ => Material::Chain,
            },
            what,
            entries: vec![entry],
            timestamps: 0,
            ..Self::current()
        }
    }

    /// Every form that some client writes or wrote.
    #[must_use]
    pub fn all() -> Vec<Self> {
        use What::{Message, Statement};
        let current = Self::current;
        let mut forms = vec![
            Self::old(
                "v0.1 chain, message, promise",
                "0.1",
                Message,
                v1("hashedrekord", "0.0.1", true, false),
            ),
            Self::old(
                "v0.1 chain, message, promise and proof",
                "0.1",
                Message,
                v1("hashedrekord", "0.0.1", true, true),
            ),
            Self {
                name: "v0.1 chain, message, P-384 over SHA-256",
                algorithm: KeyDetails::EcdsaP384Sha384,
                has_short_hash: true,
                ..Self::old("", "0.1", Message, v1("hashedrekord", "0.0.1", true, true))
            },
            Self::old(
                "v0.1 chain, message, rekord",
                "0.1",
                Message,
                v1("rekord", "0.0.1", true, true),
            ),
            Self::old(
                "v0.1 chain, statement, intoto 0.0.1",
                "0.1",
                Statement,
                v1("intoto", "0.0.1", true, false),
            ),
            Self::old(
                "v0.2 chain, message",
                "0.2",
                Message,
                v1("hashedrekord", "0.0.1", true, true),
            ),
            Self::old(
                "v0.2 chain, statement, intoto 0.0.2",
                "0.2",
                Statement,
                v1("intoto", "0.0.2", true, true),
            ),
            Self::old(
                "v0.3 certificate, message, Rekor v1",
                "0.3",
                Message,
                v1("hashedrekord", "0.0.1", true, true),
            ),
            Self::old(
                "v0.3 certificate, statement, dsse 0.0.1",
                "0.3",
                Statement,
                v1("dsse", "0.0.1", true, true),
            ),
            Self {
                name: "v0.3 certificate, message, Rekor v1 without promise, timestamp",
                timestamps: 1,
                ..Self::old("", "0.3", Message, v1("hashedrekord", "0.0.1", false, true))
            },
            current(),
            Self {
                name: "v0.3 certificate, message, Rekor v2",
                what: Message,
                ..current()
            },
            Self {
                name: "v0.3 certificate, statement, dsse 0.0.2",
                entries: vec![v1("dsse", "0.0.2", false, true)],
                ..current()
            },
            Self {
                name: "v0.3 two logs, two timestamps, two SCTs",
                entries: vec![v1("dsse", "0.0.1", true, true), REKOR_2],
                timestamps: 2,
                scts: 2,
                ..current()
            },
            Self {
                name: "v0.3 certificate, statement, Rekor v2, a witness",
                witnessed: true,
                ..current()
            },
            Self {
                name: "v0.3 key, message, Rekor v1",
                material: Material::Key,
                ..Self::old("", "0.3", Message, v1("hashedrekord", "0.0.1", true, true))
            },
            Self {
                name: "v0.3 key, statement, Rekor v2",
                material: Material::Key,
                ..current()
            },
        ];
        let algorithms = [
            (
                "v0.3 certificate, message, P-384",
                KeyDetails::EcdsaP384Sha384,
            ),
            (
                "v0.3 certificate, message, P-521",
                KeyDetails::EcdsaP521Sha512,
            ),
            (
                "v0.3 certificate, message, Ed25519ph",
                KeyDetails::Ed25519Ph,
            ),
            (
                "v0.3 certificate, message, RSA 2048",
                KeyDetails::RsaPkcs1v15_2048Sha256,
            ),
            (
                "v0.3 certificate, message, RSA 3072",
                KeyDetails::RsaPkcs1v15_3072Sha256,
            ),
        ];
        forms.extend(algorithms.map(|(name, algorithm)| Self {
            name,
            algorithm,
            what: Message,
            ..current()
        }));
        // What no log takes: keys alone, whose signature a timestamp dates.
        let keys = [
            ("v0.3 key alone, message, Ed25519", KeyDetails::Ed25519),
            ("v0.3 key alone, message, ML-DSA-65", KeyDetails::MlDsa65),
        ];
        forms.extend(keys.map(|(name, algorithm)| Self {
            name,
            algorithm,
            what: Message,
            material: Material::Key,
            entries: Vec::new(),
            ..current()
        }));
        forms
    }
}
