//! Proof of existence: by when a statement existed, computed from the newest one backwards.

use std::fmt;

use stella_bundle::certificate::Certificate;
use stella_bundle::identity::escape;
use stella_bundle::key::{PublicKey, sha256};
use stella_bundle::time::UnixTime;
use stella_bundle::timestamp::SignedTimestamp;
use stella_bundle::trusted_root::{CertificateAuthority, TrustedRoot};
use stella_bundle::verify::{Trust, answer};

use super::signed::{Signature, Signatures};
use crate::fall::Falls;

/// By when something existed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Existence {
    /// At this time, as this authority says.
    At {
        /// When.
        time: UnixTime,
        /// The authority's address.
        authority: String,
    },
    /// No clock that still counts says it: it exists now.
    Undated,
}

impl Existence {
    /// Returns the time at which it provably existed: now, where no clock says more.
    #[must_use]
    pub const fn by(&self, now: UnixTime) -> UnixTime {
        match self {
            Self::At { time, .. } => *time,
            Self::Undated => now,
        }
    }
}

impl fmt::Display for Existence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At { time, authority } => write!(f, "by {time}, as {} says", escape(authority)),
            Self::Undated => f.write_str("at a time that no clock vouches for any longer"),
        }
    }
}

/// Timestamp authorities, made ready one by one.
pub(super) struct Authorities(Vec<Authority>);

struct Authority {
    /// SHA-256 of the topmost certificate.
    top: [u8; 32],
    /// Of every certificate of the chain.
    keys: Vec<PublicKey>,
    /// Nobody but this authority.
    trust: Trust,
}

/// What an authority said, whatever that counts for.
pub(super) struct Stamp {
    /// SHA-256 of the topmost certificate of the authority's chain.
    top: [u8; 32],
    time: UnixTime,
    authority: String,
    /// Keys on which this word depends.
    keys: Vec<PublicKey>,
}

impl Authorities {
    /// Finds the authorities of trusted roots. What cannot be read proves nothing, and is left out.
    pub(super) fn of(roots: &[TrustedRoot]) -> Self {
        let mut found: Vec<&CertificateAuthority> = Vec::new();
        for each in roots.iter().flat_map(|root| &root.timestamp_authorities) {
            if !found.contains(&each) {
                found.push(each);
            }
        }
        Self(found.into_iter().filter_map(Authority::of).collect())
    }

    /// Returns what these authorities said about signatures, each token once verified.
    pub(super) fn stamps(&self, signatures: &Signatures) -> Vec<Stamp> {
        let tokens = signatures.0.iter().flat_map(tokens);
        // One authority may be listed under several roots: each says for itself whether it counts.
        let stamps = tokens.flat_map(|(token, signature)| {
            let stamp = move |each: &Authority| each.stamp(&token, signature);
            self.0.iter().filter_map(stamp)
        });
        stamps.collect()
    }
}

impl Authority {
    fn of(authority: &CertificateAuthority) -> Option<Self> {
        let chain = &authority.cert_chain.certificates;
        let key = |der: &[u8]| Some(Certificate::parse(der).ok()?.public_key().clone());
        let keys: Option<Vec<_>> = chain.iter().map(|each| key(&each.raw_bytes)).collect();
        let root = TrustedRoot {
            media_type: String::new(),
            tlogs: Vec::new(),
            certificate_authorities: Vec::new(),
            ctlogs: Vec::new(),
            timestamp_authorities: vec![authority.clone()],
        };
        Some(Self {
            top: sha256(&chain.last()?.raw_bytes),
            keys: keys?,
            trust: Trust::new(&root),
        })
    }

    fn stamp(&self, token: &SignedTimestamp, signature: &[u8]) -> Option<Stamp> {
        let stamped = answer::timestamp(&self.trust, token, signature).ok()??;
        // The signer may have come with the token: it is judged with the rest of the chain.
        let carried = token.carried();
        let carried = carried.iter().map(|each| each.public_key().clone());
        Some(Stamp {
            top: self.top,
            time: stamped.time,
            authority: stamped.authority,
            keys: self.keys.iter().cloned().chain(carried).collect(),
        })
    }
}

/// Returns the tokens of a signature that can be read.
fn tokens(signature: &Signature) -> impl Iterator<Item = (SignedTimestamp, &[u8])> {
    let tokens = signature.tokens.iter();
    tokens.filter_map(|each| {
        Some((
            SignedTimestamp::parse(each).ok()?,
            signature.bytes.as_slice(),
        ))
    })
}

/// Whose word counts.
pub(super) struct Clocks<'a> {
    /// SHA-256 of the topmost certificates of the authorities that count; all do where none is given.
    pub(super) pinned: Option<&'a [[u8; 32]]>,
    /// What fell.
    pub(super) falls: &'a Falls,
    /// The verifier's own time.
    pub(super) now: UnixTime,
}

impl Clocks<'_> {
    /// Returns by when each statement existed, from what authorities said about each.
    ///
    /// A statement names the tokens of the one before it, so those existed when it did: their word counts if their
    /// authority fell later than that.
    pub(super) fn existences<'s>(
        &self,
        statements: impl DoubleEndedIterator<Item = &'s [Stamp]>,
    ) -> Vec<Existence> {
        let mut existences = Vec::new();
        let mut bound = Existence::Undated;
        for stamps in statements.rev() {
            bound = self.existence(stamps, bound);
            existences.push(bound.clone());
        }
        existences.reverse();
        existences
    }

    /// Returns by when something existed whose stamps existed at `bound`.
    pub(super) fn existence(&self, stamps: &[Stamp], bound: Existence) -> Existence {
        let by = bound.by(self.now);
        let counts = |each: &&Stamp| {
            self.pinned.is_none_or(|tops| tops.contains(&each.top))
                && each.time <= by
                && each.keys.iter().all(|key| self.falls.counts(key, by))
        };
        let earliest = stamps.iter().filter(counts).min_by_key(|each| each.time);
        earliest.map_or(bound, |each| Existence::At {
            time: each.time,
            authority: each.authority.clone(),
        })
    }
}
