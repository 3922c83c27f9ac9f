//! Sealing a period: leaves are appended one by one, and the manifest says what the tree is then.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use stella_bundle::time::UnixTime;
use stella_tlog::hash::Hash;
use stella_tlog::tree::Frontier;

use crate::fingerprint::Fingerprint;
use crate::frames::Class;
use crate::history::Document;
use crate::keyset::Keyset;
use crate::leaf::Leaf;
use crate::statement::{
    Counts, Coverage, Earlier, KeyId, KeysetPin, Manifest, Period, Profile, Range, Require,
    Retention, TreeState,
};

/// A period that is being sealed.
#[derive(Clone)]
pub struct Seal {
    frontier: Frontier,
    start: u64,
    lines: digest::Context,
    counts: Counts,
}

/// What a manifest says besides its leaves.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// The statement before it; none for the first.
    pub previous: Option<(&'a Manifest, &'a Document)>,
    /// The keyset in force, with its file and the bundles of its event.
    pub keyset: (&'a Keyset, &'a Document),
    /// What it covers.
    pub period: Period,
    /// How attestations were verified.
    pub profiles: Vec<Profile>,
    /// What logs had to say about completeness.
    pub coverage: Vec<Coverage>,
    /// How many authorities stamp it.
    pub timestamps: u64,
    /// Months for which bytes are kept.
    pub months: u32,
    /// When the set was frozen.
    pub created: UnixTime,
}

impl Seal {
    /// Goes on where a tree ends.
    #[must_use]
    pub fn new(frontier: Frontier) -> Self {
        Self {
            start: frontier.size().0,
            frontier,
            lines: digest::Context::new(&digest::SHA3_256),
            counts: Counts::default(),
        }
    }

    /// Appends a leaf and returns its line, its end left out; `completed` hears of each subtree that is complete now.
    pub fn append(&mut self, leaf: &Leaf, completed: impl FnMut(u8, u64, Hash)) -> String {
        let line = leaf.to_line();
        self.append_line(leaf, line.as_bytes(), completed);
        line
    }

    /// Appends a leaf whose line was read.
    pub fn append_line(&mut self, leaf: &Leaf, line: &[u8], completed: impl FnMut(u8, u64, Hash)) {
        self.append_hashed(leaf, line, Leaf::hash(line), completed);
    }

    /// Appends a leaf whose line was read and hashed.
    pub fn append_hashed(
        &mut self,
        leaf: &Leaf,
        line: &[u8],
        hash: Hash,
        completed: impl FnMut(u8, u64, Hash),
    ) {
        let count = match leaf.class() {
            Class::Evidence => &mut self.counts.verified,
            Class::Rejected => &mut self.counts.rejected,
            _ => &mut self.counts.records,
        };
        *count += 1;
        self.lines.update(line);
        self.lines.update(b"\n");
        self.frontier.append(hash, completed);
    }

    /// Returns the right edge of the tree.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Returns the leaves so far.
    #[must_use]
    pub fn range(&self) -> Range {
        let mut sha3 = [0; 32];
        sha3.copy_from_slice(self.lines.clone().finish().as_ref());
        Range {
            start: self.start,
            end: self.frontier.size().0,
            sha3,
        }
    }

    /// Returns what was sealed so far.
    #[must_use]
    pub fn sealed(&self) -> Sealed {
        Sealed {
            tree: TreeState {
                size: self.frontier.size().0,
                root: *self.frontier.root().as_bytes(),
            },
            range: self.range(),
            counts: self.counts,
        }
    }

    /// Returns the manifest of the period.
    #[must_use]
    pub fn close(&self, terms: Terms<'_>) -> Manifest {
        self.sealed().close(terms)
    }
}

/// A period's leaves, as its manifest names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The whole tree.
    pub tree: TreeState,
    /// The leaves that the period added.
    pub range: Range,
    /// How many leaves are what.
    pub counts: Counts,
}

impl Sealed {
    /// Returns the manifest of the period.
    #[must_use]
    pub fn close(self, terms: Terms<'_>) -> Manifest {
        let (keyset, document) = terms.keyset;
        let mut signers: Vec<_> = keyset.signers().map(|each| KeyId(each.key_id)).collect();
        signers.sort_unstable();
        Manifest {
            origin: keyset.origin.clone(),
            sequence: terms
                .previous
                .map_or(0, |(earlier, _)| earlier.sequence + 1),
            period: terms.period,
            tree: self.tree,
            range: self.range,
            previous: terms.previous.map(|(_, document)| Earlier {
                statement: Fingerprint::of(&document.bytes),
                evidence: document.evidence(),
            }),
            counts: self.counts,
            profiles: terms.profiles,
            keyset: KeysetPin {
                version: keyset.version,
                file: Fingerprint::of(&document.bytes),
                evidence: document.evidence(),
            },
            signers,
            require: Require {
                timestamps: terms.timestamps,
            },
            coverage: terms.coverage,
            retention: Retention {
                months: terms.months,
            },
            created: terms.created.floor_seconds(),
        }
    }
}
