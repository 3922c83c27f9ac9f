//! The Update Framework (TUF specification 1.0, §5): what a client may believe of a repository's metadata, step by step.
//!
//! Only the top-level roles; delegations are not followed. Nothing is fetched or kept here: the walk over a network
//! lives in stella-client, and the time of the walk is told.

mod canonical;
mod error;
mod key;
mod metadata;
mod signed;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::fmt;

pub use error::TufError;
pub use metadata::{FileRecord, TargetRecord};
pub use signed::{RoleSignature, SignedRole};

use metadata::{Document, RootWords, SnapshotWords, TargetsWords, TimestampWords};

use crate::key::PublicKey;
use crate::time::UnixTime;

/// The most bytes of a root; the public one has 6 KiB. This bound and the next three are those of python-tuf.
pub const MAX_ROOT: usize = 512_000;
/// The most bytes of a timestamp, which names one file.
pub const MAX_TIMESTAMP: usize = 16_384;
/// The most bytes of a snapshot where the timestamp names no length.
pub const MAX_SNAPSHOT: usize = 2_000_000;
/// The most bytes of targets metadata where the snapshot names no length.
pub const MAX_TARGETS: usize = 5_000_000;

const SNAPSHOT_FILE: &str = "snapshot.json";
const TARGETS_FILE: &str = "targets.json";

/// A top-level role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Names the keys of all roles, its own among them.
    Root,
    /// Names the versions of all targets metadata.
    Snapshot,
    /// Names the files that are published.
    Targets,
    /// Names the newest snapshot, and expires soon.
    Timestamp,
}

impl Role {
    /// Returns the name in metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
            Self::Timestamp => "timestamp",
        }
    }

    /// Returns the most bytes that its metadata may have.
    pub const fn limit(self) -> usize {
        match self {
            Self::Root => MAX_ROOT,
            Self::Snapshot => MAX_SNAPSHOT,
            Self::Targets => MAX_TARGETS,
            Self::Timestamp => MAX_TIMESTAMP,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Whether a new root changed the keys of timestamp or snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlineKeys {
    /// They are the same.
    Kept,
    /// They are others: what the old keys signed is forgotten, so that versions which a thief drove up end with them.
    Rotated,
}

/// A trusted root of a repository: who signs for it. From it the other roles are believed, one after the other.
#[derive(Clone, Debug)]
pub struct Root {
    words: RootWords,
    bytes: Vec<u8>,
}

impl Root {
    /// Takes a root that came from a trusted place. It must carry enough signatures of its own keys; it may have
    /// expired, for it is where the walk begins.
    ///
    /// # Errors
    /// Any [`TufError`] but those of versions and dates.
    pub fn trust(bytes: &[u8]) -> Result<Self, TufError> {
        let root = Self::read(bytes)?;
        root.1.require_signed(&root.0, Role::Root)?;
        Ok(root.1)
    }

    fn read(bytes: &[u8]) -> Result<(Document, Self), TufError> {
        let document = Document::parse(Role::Root, bytes)?;
        let root = Self {
            words: RootWords::of(&document)?,
            bytes: bytes.to_vec(),
        };
        Ok((document, root))
    }

    /// Returns the exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the version.
    pub const fn version(&self) -> u64 {
        self.words.version
    }

    /// Returns when it ends.
    pub const fn expires(&self) -> UnixTime {
        self.words.expires
    }

    /// Says whether files carry their version or their hash in their name.
    pub const fn is_consistent(&self) -> bool {
        self.words.consistent_snapshot
    }

    /// Goes on to the next root, which enough keys of this one and enough of its own have signed.
    ///
    /// # Errors
    /// `RootVersion` when it is not the very next one, and all that [`Root::trust`] refuses.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<OnlineKeys, TufError> {
        // spec: TUF §5.3.4: a threshold of the old keys and a threshold of the new ones.
        let (document, next) = Self::read(bytes)?;
        self.require_signed(&document, Role::Root)?;
        next.require_signed(&document, Role::Root)?;
        // spec: TUF §5.3.5: exactly the next version, so that none is passed over and none comes again.
        let expected = self.version().saturating_add(1);
        if next.version() != expected {
            let found = next.version();
            return Err(TufError::RootVersion { expected, found });
        }
        let changed = |role| self.keys_of(role) != next.keys_of(role);
        let keys = if changed(Role::Timestamp) || changed(Role::Snapshot) {
            OnlineKeys::Rotated
        } else {
            OnlineKeys::Kept
        };
        *self = next;
        Ok(keys)
    }

    /// Requires that the root has not ended: the last one of the walk must be good now.
    ///
    /// # Errors
    /// `Expired`.
    pub fn require_current(&self, now: UnixTime) -> Result<(), TufError> {
        // spec: TUF §5.3.10, against a freeze.
        require_current(Role::Root, self.version(), self.expires(), now)
    }

    /// Takes a timestamp that was believed before, for comparison only: it may have expired.
    ///
    /// # Errors
    /// Whatever is wrong with it; then it counts no more.
    pub fn remembered_timestamp(&self, bytes: &[u8]) -> Result<Timestamp, TufError> {
        let document = Document::parse(Role::Timestamp, bytes)?;
        self.require_signed(&document, Role::Timestamp)?;
        let words = TimestampWords::of(&document)?;
        let snapshot = words.meta.get(SNAPSHOT_FILE).cloned();
        Ok(Timestamp {
            version: words.version,
            expires: words.expires,
            snapshot: snapshot.ok_or(TufError::FileUnnamed {
                role: Role::Timestamp,
                name: SNAPSHOT_FILE.to_owned(),
            })?,
            bytes: bytes.to_vec(),
        })
    }

    /// Believes a timestamp, given the one that was believed before. A repeated version gives the earlier one back.
    ///
    /// # Errors
    /// `Rollback`, `Expired`, and whatever is wrong with it.
    pub fn timestamp(
        &self,
        bytes: &[u8],
        before: Option<&Timestamp>,
        now: UnixTime,
    ) -> Result<Timestamp, TufError> {
        let mut timestamp = self.remembered_timestamp(bytes)?;
        if let Some(before) = before {
            // spec: TUF §5.4.3: neither its version nor the snapshot's goes back.
            require_not_older(Role::Timestamp, before.version, timestamp.version)?;
            if timestamp.version == before.version {
                timestamp = before.clone();
            }
            let (old, new) = (before.snapshot.version, timestamp.snapshot.version);
            require_not_older(Role::Snapshot, old, new)?;
        }
        require_current(Role::Timestamp, timestamp.version, timestamp.expires, now)?;
        Ok(timestamp)
    }

    /// Takes a snapshot that was believed before, for comparison only.
    ///
    /// # Errors
    /// Whatever is wrong with it; then it counts no more.
    pub fn remembered_snapshot(&self, bytes: &[u8]) -> Result<Snapshot, TufError> {
        let document = Document::parse(Role::Snapshot, bytes)?;
        self.require_signed(&document, Role::Snapshot)?;
        let words = SnapshotWords::of(&document)?;
        let targets = words.meta.get(TARGETS_FILE).cloned();
        Ok(Snapshot {
            version: words.version,
            expires: words.expires,
            targets: targets.ok_or(TufError::FileUnnamed {
                role: Role::Snapshot,
                name: TARGETS_FILE.to_owned(),
            })?,
            meta: words.meta,
            bytes: bytes.to_vec(),
        })
    }

    /// Believes the snapshot that a timestamp names, given the one that was believed before.
    ///
    /// # Errors
    /// `WrongLength`, `WrongHash`, `VersionMismatch`, `Rollback`, `FileGone`, `Expired`, and whatever is wrong with it.
    pub fn snapshot(
        &self,
        bytes: &[u8],
        timestamp: &Timestamp,
        before: Option<&Snapshot>,
        now: UnixTime,
    ) -> Result<Snapshot, TufError> {
        // spec: TUF §5.5.2 to §5.5.4: hash, signatures, version, in this order.
        timestamp.snapshot.require(SNAPSHOT_FILE, bytes)?;
        let snapshot = self.remembered_snapshot(bytes)?;
        require_version(Role::Snapshot, timestamp.snapshot.version, snapshot.version)?;
        // spec: TUF §5.5.5: no targets metadata goes back or away.
        for (name, old) in before.iter().flat_map(|before| &before.meta) {
            let Some(new) = snapshot.meta.get(name) else {
                return Err(TufError::FileGone { name: name.clone() });
            };
            require_not_older(Role::Targets, old.version, new.version)?;
        }
        require_current(Role::Snapshot, snapshot.version, snapshot.expires, now)?;
        Ok(snapshot)
    }

    /// Believes the targets metadata that a snapshot names.
    ///
    /// # Errors
    /// `WrongLength`, `WrongHash`, `VersionMismatch`, `Expired`, and whatever is wrong with it.
    pub fn targets(
        &self,
        bytes: &[u8],
        snapshot: &Snapshot,
        now: UnixTime,
    ) -> Result<Targets, TufError> {
        // spec: TUF §5.6.2 to §5.6.5.
        snapshot.targets.require(TARGETS_FILE, bytes)?;
        let document = Document::parse(Role::Targets, bytes)?;
        self.require_signed(&document, Role::Targets)?;
        let words = TargetsWords::of(&document)?;
        require_version(Role::Targets, snapshot.targets.version, words.version)?;
        require_current(Role::Targets, words.version, words.expires, now)?;
        Ok(Targets {
            version: words.version,
            targets: words.targets,
            bytes: bytes.to_vec(),
        })
    }

    /// Requires a threshold of this root's keys for `role` under a document.
    fn require_signed(&self, document: &Document, role: Role) -> Result<(), TufError> {
        let need = self.words.role(role)?.threshold;
        let have = self.good_signatures(document, role)?.len();
        if have >= need {
            return Ok(());
        }
        Err(TufError::NotEnoughSignatures { role, have, need })
    }

    /// Finds the good signatures of this root's keys for `role` under a document, one of a key.
    fn good_signatures<'a>(
        &'a self,
        document: &'a Document,
        role: Role,
    ) -> Result<Vec<(&'a key::Key, &'a metadata::Signature)>, TufError> {
        let words = self.words.role(role)?;
        // A key under two ids is one signer; an id signs once, which the document's parser saw to.
        let mut signers: HashSet<&PublicKey> = HashSet::new();
        let mut good = Vec::new();
        for signature in &document.signatures {
            let is_of_role = words.keyids.contains(&signature.key_id);
            let key = self.words.keys.get(&signature.key_id);
            if let Some(key) = key.filter(|_| is_of_role)
                && key.verifies(&document.signed_bytes, &signature.bytes)
                && signers.insert(key.public())
            {
                good.push((key, signature));
            }
        }
        Ok(good)
    }

    /// Returns the keys that sign for a role; none where the root does not know it.
    fn keys_of(&self, role: Role) -> HashSet<Option<&PublicKey>> {
        let keyids = self.words.role(role).map(|words| &words.keyids);
        let key = |id| self.words.keys.get(id).map(key::Key::public);
        keyids.into_iter().flatten().map(key).collect()
    }
}

/// A believed timestamp.
#[derive(Clone, Debug)]
pub struct Timestamp {
    version: u64,
    expires: UnixTime,
    snapshot: FileRecord,
    bytes: Vec<u8>,
}

impl Timestamp {
    /// Returns the exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the version.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Returns when it ends.
    pub const fn expires(&self) -> UnixTime {
        self.expires
    }

    /// Returns what it says of the snapshot.
    pub const fn snapshot(&self) -> &FileRecord {
        &self.snapshot
    }
}

/// A believed snapshot.
#[derive(Clone, Debug)]
pub struct Snapshot {
    version: u64,
    expires: UnixTime,
    targets: FileRecord,
    meta: BTreeMap<String, FileRecord>,
    bytes: Vec<u8>,
}

impl Snapshot {
    /// Returns the exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the version.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Returns what it says of the top-level targets metadata.
    pub const fn targets(&self) -> &FileRecord {
        &self.targets
    }
}

/// Believed targets metadata.
#[derive(Clone, Debug)]
pub struct Targets {
    version: u64,
    targets: BTreeMap<String, TargetRecord>,
    bytes: Vec<u8>,
}

impl Targets {
    /// Returns the exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the version.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Finds a published file.
    ///
    /// # Errors
    /// `FileUnnamed`.
    pub fn find(&self, name: &str) -> Result<&TargetRecord, TufError> {
        self.targets.get(name).ok_or_else(|| TufError::FileUnnamed {
            role: Role::Targets,
            name: name.to_owned(),
        })
    }
}

fn require_not_older(role: Role, trusted: u64, found: u64) -> Result<(), TufError> {
    if found >= trusted {
        return Ok(());
    }
    Err(TufError::Rollback {
        role,
        trusted,
        found,
    })
}

fn require_version(role: Role, expected: u64, found: u64) -> Result<(), TufError> {
    if found == expected {
        return Ok(());
    }
    Err(TufError::VersionMismatch {
        role,
        expected,
        found,
    })
}

fn require_current(
    role: Role,
    version: u64,
    expires: UnixTime,
    now: UnixTime,
) -> Result<(), TufError> {
    // spec: TUF §5: the date must lie after the time of the walk.
    if now < expires {
        return Ok(());
    }
    Err(TufError::Expired {
        role,
        version,
        expires,
    })
}
