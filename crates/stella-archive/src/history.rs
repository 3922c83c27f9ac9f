//! The judgement over an organisation's past: which keysets and statements count, and by when each statement existed.
//!
//! The rules are those of docs/design/archive.md, "Time". Nothing here knows attestations: what a statement commits to is
//! proved elsewhere.

mod error;
mod existence;
mod kit;
mod signed;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stella_bundle::json;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;

use crate::anchor::{Anchor, OrgAnchor};
use crate::fall::Falls;
use crate::fingerprint::Fingerprint;
use crate::keyset::{Keyset, OrgKeyEntry, Predecessor};
use crate::statement::{Earlier, KeyId, KeysetPin, Manifest, OrgStatement, OrgStatementError};

pub use error::{HistoryError, Misfit};
pub use existence::Existence;
use existence::{Authorities, Clocks, Stamp};
pub use kit::{JudgedKit, KitSignatureError, judge_kit};
use signed::Signatures;
pub use signed::{Document, SignatureError};

/// Bytes of the file with the past: a keyset or statement has some 20 KiB with its signatures.
const MAX_HISTORY: usize = 128 << 20;
/// Clocks of honest machines differ by less than this.
const TOLERANCE: Duration = Duration::from_secs(300);
/// Keysets of one archive.
pub const MAX_KEYSETS: usize = 1000;
/// Statements of one archive: a week each for forty years.
pub const MAX_STATEMENTS: usize = 2500;

/// Everything that an archive says about its own past: oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Every keyset's file with the bundles of its event.
    pub keysets: Vec<Document>,
    /// Every statement's payload with its bundles.
    pub statements: Vec<Document>,
    /// Trusted roots, in which timestamp authorities are looked up; they have files of their own.
    #[serde(skip)]
    pub roots: Vec<TrustedRoot>,
}

impl History {
    /// The name of the file in an archive.
    pub const FILE: &str = "history.json";

    /// Reads the file; the trusted roots are in others.
    ///
    /// # Errors
    /// `TooMany`, `File`.
    pub fn parse(bytes: &[u8]) -> Result<Self, HistoryError> {
        if bytes.len() > MAX_HISTORY {
            return Err(HistoryError::TooMany { what: "bytes" });
        }
        let read = json::require_unambiguous(bytes).and_then(|()| serde_json::from_slice(bytes));
        read.map_err(|error| HistoryError::File(error.into()))
    }

    /// Writes the file: one line of JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising plain structs into memory cannot fail.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// A past that was judged.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The keysets, oldest first; every one follows from the anchor's.
    pub keysets: Vec<Keyset>,
    /// The statements, oldest first; each is named by the one after it.
    pub statements: Vec<JudgedStatement>,
    /// What fell, by the newest keyset and by the verifier's own knowledge.
    pub falls: Falls,
    /// How the newest statement's signatures stand.
    pub signatures: Vec<SignatureFact>,
    /// How far the anchor reaches.
    pub reach: Reach,
}

/// How far an anchor reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One key signed: nothing is known of other keys, of clocks or of roots.
    KeyAlone,
    /// The keysets follow from the anchor's.
    Organisation,
}

/// A statement that was judged.
#[derive(Clone, Debug)]
pub struct JudgedStatement {
    /// What it says.
    pub manifest: Manifest,
    /// By when it existed, by the authorities that the organisation pins.
    pub existence: Existence,
    /// By when it existed, by the verifier's own authorities alone.
    pub independent: Existence,
}

/// How a signature of the newest statement stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFact {
    /// The key.
    pub key: OrgKeyEntry,
    /// Whether it counts: the statement existed before the key fell.
    pub counts: Counts,
}

/// Whether a signature counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// It does.
    Yes,
    /// The key fell before the statement provably existed.
    FellBefore,
}

impl Judgement {
    /// Returns the newest statement.
    #[must_use]
    pub fn newest(&self) -> Option<&JudgedStatement> {
        self.statements.last()
    }

    /// Returns the statement whose period added a leaf.
    #[must_use]
    pub fn statement_of(&self, index: u64) -> Option<&JudgedStatement> {
        let holds = |each: &&JudgedStatement| {
            let range = each.manifest.range;
            (range.start..range.end).contains(&index)
        };
        self.statements.iter().find(holds)
    }
}

/// A keyset with what was read around it.
struct ReadKeyset {
    keyset: Keyset,
    /// Of the file.
    file: Fingerprint,
    /// Of the bundles, sorted.
    evidence: Vec<Fingerprint>,
    signatures: Signatures,
    stamps: Vec<Stamp>,
}

/// A statement with what was read around it. Every key that must have signed it did.
struct ReadStatement {
    manifest: Manifest,
    /// Of the payload.
    payload: Fingerprint,
    /// Of the bundles, sorted.
    evidence: Vec<Fingerprint>,
    stamps: Vec<Stamp>,
    own_stamps: Vec<Stamp>,
}

/// Judges a past, as far as the anchor reaches.
///
/// `known` is what the verifier itself knows to have fallen; it counts beside what the newest keyset says. `own` is the trusted
/// root of a verifier that does not ask the organisation whose clocks count.
///
/// # Errors
/// Any [`HistoryError`].
pub fn judge(
    history: &History,
    anchor: &Anchor,
    known: &Falls,
    own: Option<&TrustedRoot>,
    now: UnixTime,
) -> Result<Judgement, HistoryError> {
    // 1. Read everything: every file is what it should be, every signature and every token is good, whatever it counts for.
    let read = Read::of(history, own)?;
    let newest_keyset = read
        .keysets
        .last()
        .ok_or(HistoryError::Nothing { what: "keyset" })?;
    let newest = read
        .statements
        .last()
        .ok_or(HistoryError::Nothing { what: "statement" })?;

    // 2. What fell. Whoever could write a false entry here could only make it stricter.
    let mut falls = Falls::of(&newest_keyset.keyset);
    falls.add(known);

    // 3. From the anchor's keyset on each follows by keys of the one before, while those counted. A lone key says nothing
    //    about other keys.
    if let Anchor::Organisation(anchor) = anchor {
        read.require_successions(anchor, &falls, now)?;
    }

    // 4. By when each statement existed: by the authorities that count at last, and by the verifier's own.
    let reach = match anchor {
        Anchor::Key(_) => Reach::KeyAlone,
        Anchor::Organisation(_) => Reach::Organisation,
    };
    let authorities = match reach {
        Reach::KeyAlone => &[][..],
        Reach::Organisation => &newest_keyset.keyset.authorities,
    };
    let pinned = Clocks {
        pinned: Some(authorities),
        falls: &falls,
        now,
    };
    let existences = pinned.existences(read.statements.iter().map(|each| &each.stamps[..]));
    let alone = Clocks {
        pinned: None,
        falls: known,
        now,
    };
    let independent = alone.existences(read.statements.iter().map(|each| &each.own_stamps[..]));

    // 5. The newest statement is under the newest keyset: who hides a statement may not show what a key lost.
    if newest.manifest.keyset.version != newest_keyset.keyset.version {
        let (sequence, what) = (newest.manifest.sequence, Misfit::Keyset);
        return Err(HistoryError::Link { sequence, what });
    }

    // 6. It was made before it is judged: no clock counts that tells a later time.
    if newest.manifest.created > now.plus(TOLERANCE) {
        let created = newest.manifest.created;
        return Err(HistoryError::FromTheFuture { created, now });
    }

    // 7. It speaks for all others, if a key that signed it counts. A lone key must have signed it itself.
    let by = existences.last().map_or(now, |each| each.by(now));
    let mut signatures = facts(newest, &read.keysets, &falls, by);
    if let Anchor::Key(key) = anchor {
        signatures.retain(|each| each.key.public_key == key.spki());
    }
    if !signatures.iter().any(|each| each.counts == Counts::Yes) {
        return Err(HistoryError::NoneCounts);
    }
    let existences = existences.into_iter().zip(independent);
    let statements = read.statements.into_iter().zip(existences);
    let judged = statements.map(|(each, (existence, independent))| JudgedStatement {
        manifest: each.manifest,
        existence,
        independent,
    });
    Ok(Judgement {
        statements: judged.collect(),
        keysets: read.keysets.into_iter().map(|each| each.keyset).collect(),
        falls,
        signatures,
        reach,
    })
}

/// Judges keysets alone, as far as the anchor reaches: their own tokens say when each event was. Returns that for each event
/// after the anchor's keyset, by the authorities of the keyset before it.
///
/// # Errors
/// `Anchor`, `Keyset`, `Event`, `KeysetNotSigned`, `NewKeyNotShown`, `Nothing`, `TooMany`.
pub fn judge_keysets(
    history: &History,
    anchor: &OrgAnchor,
    known: &Falls,
    now: UnixTime,
) -> Result<Vec<Existence>, HistoryError> {
    let read = Read::of(history, None)?;
    let newest = read.keysets.last();
    let newest = newest.ok_or(HistoryError::Nothing { what: "keyset" })?;
    let mut falls = Falls::of(&newest.keyset);
    falls.add(known);
    read.require_successions(anchor, &falls, now)
}

/// Everything that was read, and verified as far as it stands by itself.
struct Read {
    keysets: Vec<ReadKeyset>,
    statements: Vec<ReadStatement>,
}

impl Read {
    fn of(history: &History, own: Option<&TrustedRoot>) -> Result<Self, HistoryError> {
        let authorities = Authorities::of(&history.roots);
        let own = Authorities::of(own.map_or(&[], std::slice::from_ref));
        let keysets = read_keysets(history, &authorities)?;
        let statements = read_statements(history, &keysets, &authorities, &own)?;
        Ok(Self {
            keysets,
            statements,
        })
    }

    /// Requires that each keyset from the anchor's on follows by keys of the one before, while those counted.
    fn require_successions(
        &self,
        anchor: &OrgAnchor,
        falls: &Falls,
        now: UnixTime,
    ) -> Result<Vec<Existence>, HistoryError> {
        let start = self.anchored(anchor)?;
        let mut existences = Vec::new();
        for pair in self.keysets[start..].windows(2) {
            let [earlier, later] = pair else { break };
            // A keyset cannot vouch for the time of its own birth: only the earlier one's authorities count.
            let pinned = Some(&earlier.keyset.authorities[..]);
            let existence = self.existence_of_event(later, &Clocks { pinned, falls, now });
            require_succession(earlier, later, falls, existence.by(now))?;
            existences.push(existence);
        }
        Ok(existences)
    }

    /// Finds the keyset that the anchor names.
    fn anchored(&self, anchor: &OrgAnchor) -> Result<usize, HistoryError> {
        let is_meant = |each: &ReadKeyset| anchor.is_of(&each.keyset, &each.file.sha256);
        let found = self.keysets.iter().position(is_meant);
        found.ok_or(HistoryError::Anchor)
    }

    /// Returns by when the event of a keyset existed: when the first statement under it did, or as its own tokens say.
    fn existence_of_event(&self, keyset: &ReadKeyset, clocks: &Clocks<'_>) -> Existence {
        let stamps = self.statements.iter().map(|each| &each.stamps[..]);
        let existences = clocks.existences(stamps);
        let version = keyset.keyset.version;
        let is_under = |each: &ReadStatement| each.manifest.keyset.version >= version;
        let first = self.statements.iter().position(is_under);
        let covered = first.map_or(Existence::Undated, |first| existences[first].clone());
        clocks.existence(&keyset.stamps, covered)
    }
}

/// Reads keysets; each must be allowed to follow the one before it.
fn read_keysets(
    history: &History,
    authorities: &Authorities,
) -> Result<Vec<ReadKeyset>, HistoryError> {
    if history.keysets.len() > MAX_KEYSETS {
        return Err(HistoryError::TooMany { what: "keysets" });
    }
    let mut read: Vec<ReadKeyset> = Vec::new();
    for document in &history.keysets {
        let keyset = Keyset::parse(&document.bytes)?;
        let version = keyset.version;
        let wrong = |error| HistoryError::Event { version, error };
        let event = OrgStatement::of_keyset(&keyset, &document.bytes);
        let earlier_keys = read.last().map_or(&[][..], |earlier| &earlier.keyset.keys);
        let signatures = Signatures::read(document, &event, &[&keyset.keys, earlier_keys]);
        let signatures = signatures.map_err(wrong)?;
        match read.last() {
            None => keyset.require_first()?,
            Some(earlier) => {
                let predecessor = Predecessor {
                    file: earlier.file,
                    evidence: earlier.evidence.clone(),
                };
                keyset.require_follows(&earlier.keyset, &predecessor)?;
            }
        }
        read.push(ReadKeyset {
            file: Fingerprint::of(&document.bytes),
            evidence: document.evidence(),
            keyset,
            stamps: authorities.stamps(&signatures),
            signatures,
        });
    }
    Ok(read)
}

/// Reads statements; each must name the one before it, and its keyset.
fn read_statements(
    history: &History,
    keysets: &[ReadKeyset],
    authorities: &Authorities,
    own: &Authorities,
) -> Result<Vec<ReadStatement>, HistoryError> {
    if history.statements.len() > MAX_STATEMENTS {
        return Err(HistoryError::TooMany { what: "statements" });
    }
    let mut read: Vec<ReadStatement> = Vec::new();
    for (document, sequence) in history.statements.iter().zip(0..) {
        let wrong = |error| HistoryError::Statement { sequence, error };
        let statement = OrgStatement::parse(&document.bytes).map_err(wrong)?;
        let manifest = statement.to_manifest().map_err(wrong)?;
        // The one before is named by these bytes, and signed as those: they are the same.
        if statement.payload() != document.bytes {
            return Err(wrong(OrgStatementError::Form));
        }
        let misfit = |what| HistoryError::Link { sequence, what };
        let keyset = pinned(keysets, &manifest.keyset).ok_or_else(|| misfit(Misfit::Keyset))?;
        if let Some(what) = misfit_of(&manifest, sequence, read.last(), &keyset.keyset) {
            return Err(misfit(what));
        }
        let wrong = |error| HistoryError::StatementSignature { sequence, error };
        let signatures = Signatures::read(document, &statement, &[&keyset.keyset.keys]);
        let signatures = signatures.map_err(wrong)?;
        signatures.require_all(&manifest.signers).map_err(wrong)?;
        if signatures.stamps() < manifest.require.timestamps {
            return Err(misfit(Misfit::Timestamps));
        }
        read.push(ReadStatement {
            payload: Fingerprint::of(&document.bytes),
            evidence: document.evidence(),
            manifest,
            stamps: authorities.stamps(&signatures),
            own_stamps: own.stamps(&signatures),
        });
    }
    Ok(read)
}

/// Finds the keyset that a statement names by its digests.
fn pinned<'a>(keysets: &'a [ReadKeyset], pin: &KeysetPin) -> Option<&'a ReadKeyset> {
    let mut keysets = keysets.iter();
    let found = keysets.find(|each| each.keyset.version == pin.version)?;
    (found.file == pin.file && found.evidence == pin.evidence).then_some(found)
}

fn misfit_of(
    manifest: &Manifest,
    sequence: u64,
    earlier: Option<&ReadStatement>,
    keyset: &Keyset,
) -> Option<Misfit> {
    let mut signers: Vec<_> = keyset.signers().map(|each| KeyId(each.key_id)).collect();
    signers.sort_unstable();
    let previous = earlier.map(|earlier| Earlier {
        statement: earlier.payload,
        evidence: earlier.evidence.clone(),
    });
    let end = earlier.map_or(0, |earlier| earlier.manifest.tree.size);
    let least = earlier.map_or(1, |earlier| earlier.manifest.keyset.version);
    let range = manifest.range;
    let is_same_tree = earlier.is_none_or(|earlier| {
        let (before, after) = (earlier.manifest.tree, manifest.tree);
        before.size != after.size || before.root == after.root
    });
    [
        (Misfit::Sequence, manifest.sequence == sequence),
        (Misfit::Origin, manifest.origin == keyset.origin),
        (Misfit::Previous, manifest.previous == previous),
        (
            Misfit::Range,
            range.start == end && range.start <= range.end && range.end == manifest.tree.size,
        ),
        (Misfit::Tree, is_same_tree),
        (Misfit::Keyset, manifest.keyset.version >= least),
        (Misfit::Signers, manifest.signers == signers),
    ]
    .into_iter()
    .find_map(|(what, fits)| (!fits).then_some(what))
}

/// Requires that enough keys of the earlier keyset signed the later one in time, and that new keys showed themselves.
fn require_succession(
    earlier: &ReadKeyset,
    later: &ReadKeyset,
    falls: &Falls,
    existed: UnixTime,
) -> Result<(), HistoryError> {
    let version = later.keyset.version;
    // How long a key lasts is the earlier keyset's word: none can prolong itself after its end.
    let keys = earlier.keyset.deciders();
    let signed: Vec<_> = keys
        .filter(|each| later.signatures.has(&each.key_id))
        .collect();
    let in_time = signed.iter().filter(|each| falls.counts_of(each, existed));
    let (found, wanted) = (in_time.count(), earlier.keyset.threshold);
    if found < wanted {
        return Err(HistoryError::KeysetNotSigned {
            version,
            wanted,
            found,
            signed: signed.len(),
        });
    }
    let is_new = |each: &&OrgKeyEntry| earlier.keyset.entry(&each.key_id).is_none();
    let mut new = later.keyset.keys.iter().filter(is_new);
    match new.find(|each| !later.signatures.has(&each.key_id)) {
        None => Ok(()),
        Some(each) => Err(HistoryError::NewKeyNotShown {
            version,
            key: hex::encode(each.key_id),
        }),
    }
}

/// Says of each key that signed a statement whether that counts.
fn facts(
    statement: &ReadStatement,
    keysets: &[ReadKeyset],
    falls: &Falls,
    existed: UnixTime,
) -> Vec<SignatureFact> {
    let Some(keyset) = pinned(keysets, &statement.manifest.keyset) else {
        return Vec::new();
    };
    let signers = keyset.keyset.signers();
    signers.map(|each| fact(each, falls, existed)).collect()
}

fn fact(key: &OrgKeyEntry, falls: &Falls, existed: UnixTime) -> SignatureFact {
    SignatureFact {
        key: key.clone(),
        counts: match falls.counts_of(key, existed) {
            true => Counts::Yes,
            false => Counts::FellBefore,
        },
    }
}
