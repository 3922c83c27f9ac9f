//! What fell and when: keys that others have, algorithms that are no longer believed. What provably existed before counts.

use std::collections::BTreeMap;

use stella_bundle::certificate::Certificate;
use stella_bundle::key::{KeyKind, PublicKey};
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::{CertificateAuthority, TransparencyLog, TrustedRoot};

use crate::keyset::{Keyset, OrgKeyEntry};

/// Returns the name under which an algorithm is said to have fallen.
#[must_use]
pub const fn algorithm(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::EcdsaP256 => "P-256",
        KeyKind::EcdsaP384 => "P-384",
        KeyKind::EcdsaP521 => "P-521",
        KeyKind::Ed25519 => "Ed25519",
        KeyKind::MlDsa44 => "ML-DSA-44",
        KeyKind::MlDsa65 => "ML-DSA-65",
        KeyKind::MlDsa87 => "ML-DSA-87",
        KeyKind::Rsa { .. } => "RSA",
    }
}

/// Names of all algorithms that can fall.
pub const ALGORITHMS: [&str; 8] = [
    "P-256",
    "P-384",
    "P-521",
    "Ed25519",
    "ML-DSA-44",
    "ML-DSA-65",
    "ML-DSA-87",
    "RSA",
];

/// Keys and algorithms that fell. An entry only makes stricter: the earliest one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Falls {
    /// By SHA-256 of the SubjectPublicKeyInfo.
    keys: BTreeMap<[u8; 32], UnixTime>,
    algorithms: BTreeMap<String, UnixTime>,
}

impl Falls {
    /// Returns what a keyset knows: compromises, sunsets, and the ends of keys that sign no more.
    #[must_use]
    pub fn of(keyset: &Keyset) -> Self {
        let mut falls = Self::default();
        for each in keyset.keys.iter().filter(|each| !each.is_active()) {
            falls.add_key(each.key_id, each.until);
        }
        for each in &keyset.compromised {
            falls.add_key(each.key, each.since);
        }
        for each in &keyset.sunsets {
            falls.add_algorithm(&each.algorithm, each.on);
        }
        falls
    }

    /// Says whether nothing is known to have fallen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.algorithms.is_empty()
    }

    /// Notes that a key fell.
    pub fn add_key(&mut self, key: [u8; 32], since: UnixTime) {
        let time = self.keys.entry(key).or_insert(since);
        *time = since.min(*time);
    }

    /// Notes that an algorithm fell.
    pub fn add_algorithm(&mut self, name: &str, since: UnixTime) {
        let time = self.algorithms.entry(name.to_owned()).or_insert(since);
        *time = since.min(*time);
    }

    /// Notes everything that `other` knows.
    pub fn add(&mut self, other: &Self) {
        for (key, since) in &other.keys {
            self.add_key(*key, *since);
        }
        for (name, since) in &other.algorithms {
            self.add_algorithm(name, *since);
        }
    }

    /// Returns when a key fell, by itself or with its algorithm.
    #[must_use]
    pub fn of_key(&self, key: &PublicKey) -> Option<UnixTime> {
        let own = self.keys.get(&key.key_id());
        let by_kind = self.algorithms.get(algorithm(key.kind()));
        own.into_iter().chain(by_kind).min().copied()
    }

    /// Says whether a signature by `key` counts that provably existed at `existed`.
    #[must_use]
    pub fn counts(&self, key: &PublicKey, existed: UnixTime) -> bool {
        self.of_key(key).is_none_or(|fall| existed < fall)
    }

    /// Says whether a signature by a key of the organisation counts that provably existed at `existed`, under the keyset that
    /// has this entry.
    #[must_use]
    pub fn counts_of(&self, entry: &OrgKeyEntry, existed: UnixTime) -> bool {
        let key = entry.key();
        existed < entry.until && key.is_ok_and(|key| self.counts(&key, existed))
    }

    /// Returns what is left of a trusted root for evidence that provably existed at `existed`: authorities and logs whose keys
    /// had not fallen by then. What cannot be read is left out too: it proves nothing.
    #[must_use]
    pub fn surviving(&self, root: &TrustedRoot, existed: UnixTime) -> TrustedRoot {
        let authority = |each: &&CertificateAuthority| self.authority_counts(each, existed);
        let log = |each: &&TransparencyLog| {
            let key = PublicKey::from_spki(&each.public_key.raw_bytes);
            // Old files hold PKCS#1 for RSA.
            let key = key.or_else(|_| PublicKey::from_pkcs1(&each.public_key.raw_bytes));
            key.is_ok_and(|key| self.counts(&key, existed))
        };
        TrustedRoot {
            media_type: root.media_type.clone(),
            tlogs: root.tlogs.iter().filter(log).cloned().collect(),
            ctlogs: root.ctlogs.iter().filter(log).cloned().collect(),
            certificate_authorities: { root.certificate_authorities.iter() }
                .filter(authority)
                .cloned()
                .collect(),
            timestamp_authorities: { root.timestamp_authorities.iter() }
                .filter(authority)
                .cloned()
                .collect(),
        }
    }

    /// Says whether no key of an authority's chain had fallen at `existed`.
    #[must_use]
    pub fn authority_counts(&self, authority: &CertificateAuthority, existed: UnixTime) -> bool {
        let mut chain = authority.cert_chain.certificates.iter();
        chain.all(|each| {
            let certificate = Certificate::parse(&each.raw_bytes);
            certificate.is_ok_and(|each| self.counts(each.public_key(), existed))
        })
    }
}
