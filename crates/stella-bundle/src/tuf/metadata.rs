//! TUF metadata as it is written: an envelope of signatures, and what each role says.
//!
//! Unknown fields are kept in the signed bytes and else passed over.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::key::{Key, KeyWords};
use super::{Role, TufError, canonical};
use crate::digest::{Digest, DigestAlgorithm};
use crate::json;
use crate::time::UnixTime;

/// The most signatures under one document: each costs a verification, and the public root has five signers.
const MAX_SIGNATURES: usize = 64;

/// A parsed file: signatures, and the bytes that they are over.
#[derive(Debug)]
pub(super) struct Document {
    role: Role,
    pub(super) signatures: Vec<Signature>,
    pub(super) signed_bytes: Vec<u8>,
    signed: Value,
}

/// One signature.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) key_id: String,
    pub(super) bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct EnvelopeWords {
    #[serde(deserialize_with = "json::at_most::<MAX_SIGNATURES, _, _>")]
    signatures: Vec<SignatureWords>,
    signed: Value,
}

#[derive(Deserialize)]
struct SignatureWords {
    keyid: String,
    sig: String,
}

#[derive(Deserialize)]
struct HeadWords {
    #[serde(rename = "_type")]
    kind: String,
    spec_version: String,
}

impl Document {
    /// Reads a file of `role`: bounded, unambiguous, of a known version of the specification.
    ///
    /// # Errors
    /// `TooLarge`, `Json`, `NotWhole`, `SignatureTwice`, `WrongRole`, `SpecVersion`.
    pub(super) fn parse(role: Role, bytes: &[u8]) -> Result<Self, TufError> {
        let (length, limit) = (bytes.len(), role.limit());
        if length > limit {
            return Err(TufError::TooLarge {
                role,
                length,
                limit,
            });
        }
        let words: EnvelopeWords = json::require_unambiguous(bytes)
            .and_then(|()| serde_json::from_slice(bytes))
            .map_err(|error| json_error(role, error))?;
        let head: HeadWords = read(role, &words.signed)?;
        if head.kind != role.name() {
            let found = head.kind;
            return Err(TufError::WrongRole { role, found });
        }
        if head.spec_version.split('.').next() != Some("1") {
            let found = head.spec_version;
            return Err(TufError::SpecVersion { role, found });
        }
        let signed_bytes = canonical::to_bytes(&words.signed)
            .map_err(|canonical::NotWhole| TufError::NotWhole { role })?;
        Ok(Self {
            role,
            signatures: signatures(role, words.signatures)?,
            signed_bytes,
            signed: words.signed,
        })
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, TufError> {
        read(self.role, &self.signed)
    }

    /// Reads the two things that metadata of every role says.
    pub(super) fn version_and_end(&self) -> Result<(u64, UnixTime), TufError> {
        #[derive(Deserialize)]
        struct Words {
            version: u64,
            expires: String,
        }
        let words: Words = self.read()?;
        Ok((words.version, self.date(&words.expires)?))
    }

    fn date(&self, text: &str) -> Result<UnixTime, TufError> {
        UnixTime::parse_rfc3339(text).ok_or_else(|| TufError::Date {
            role: self.role,
            found: text.to_owned(),
        })
    }
}

/// Takes the signatures, one of a key id; those that are not hex are of nobody.
fn signatures(role: Role, list: Vec<SignatureWords>) -> Result<Vec<Signature>, TufError> {
    let mut seen = BTreeSet::new();
    let mut signatures = Vec::new();
    for SignatureWords { keyid, sig } in list {
        if !seen.insert(keyid.clone()) {
            return Err(TufError::SignatureTwice {
                role,
                key_id: keyid,
            });
        }
        // Tools write an empty signature for a signer who has not signed yet.
        if let Ok(bytes) = hex::decode(&sig) {
            signatures.push(Signature {
                key_id: keyid,
                bytes,
            });
        }
    }
    Ok(signatures)
}

fn read<T: DeserializeOwned>(role: Role, value: &Value) -> Result<T, TufError> {
    T::deserialize(value).map_err(|error| json_error(role, error))
}

fn json_error(role: Role, error: serde_json::Error) -> TufError {
    TufError::Json {
        role,
        error: error.into(),
    }
}

/// What root metadata says.
#[derive(Clone, Debug)]
pub(super) struct RootWords {
    pub(super) version: u64,
    pub(super) expires: UnixTime,
    pub(super) consistent_snapshot: bool,
    pub(super) keys: BTreeMap<String, Key>,
    roles: BTreeMap<String, RoleWords>,
}

/// Who signs for a role.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RoleWords {
    pub(super) keyids: BTreeSet<String>,
    pub(super) threshold: usize,
}

impl RootWords {
    pub(super) fn of(document: &Document) -> Result<Self, TufError> {
        #[derive(Deserialize)]
        struct Words {
            version: u64,
            expires: String,
            #[serde(default)]
            consistent_snapshot: bool,
            keys: BTreeMap<String, Value>,
            roles: BTreeMap<String, RoleWords>,
        }
        let words: Words = document.read()?;
        // A key of an unknown kind does not spoil the rest.
        let key = |(id, value): (String, Value)| {
            Some((id, Key::of(&KeyWords::deserialize(value).ok()?)?))
        };
        let root = Self {
            version: words.version,
            expires: document.date(&words.expires)?,
            consistent_snapshot: words.consistent_snapshot,
            keys: words.keys.into_iter().filter_map(key).collect(),
            roles: words.roles,
        };
        for role in [Role::Root, Role::Snapshot, Role::Targets, Role::Timestamp] {
            if root.role(role)?.threshold == 0 {
                return Err(TufError::ThresholdZero { role });
            }
        }
        Ok(root)
    }

    /// Finds who signs for a role.
    pub(super) fn role(&self, role: Role) -> Result<&RoleWords, TufError> {
        self.roles
            .get(role.name())
            .ok_or(TufError::RoleUnnamed { role })
    }
}

/// What timestamp metadata says.
#[derive(Debug)]
pub(super) struct TimestampWords {
    pub(super) version: u64,
    pub(super) expires: UnixTime,
    pub(super) meta: BTreeMap<String, FileRecord>,
}

/// Snapshot metadata says the same of more files.
pub(super) type SnapshotWords = TimestampWords;

impl TimestampWords {
    pub(super) fn of(document: &Document) -> Result<Self, TufError> {
        #[derive(Deserialize)]
        struct Words {
            version: u64,
            expires: String,
            meta: BTreeMap<String, FileRecord>,
        }
        let words: Words = document.read()?;
        Ok(Self {
            version: words.version,
            expires: document.date(&words.expires)?,
            meta: words.meta,
        })
    }
}

/// What targets metadata says.
#[derive(Debug)]
pub(super) struct TargetsWords {
    pub(super) version: u64,
    pub(super) expires: UnixTime,
    pub(super) targets: BTreeMap<String, TargetRecord>,
}

impl TargetsWords {
    pub(super) fn of(document: &Document) -> Result<Self, TufError> {
        #[derive(Deserialize)]
        struct Words {
            version: u64,
            expires: String,
            targets: BTreeMap<String, TargetRecord>,
        }
        let words: Words = document.read()?;
        Ok(Self {
            version: words.version,
            expires: document.date(&words.expires)?,
            targets: words.targets,
        })
    }
}

/// What metadata says of other metadata: always a version, and perhaps length and hashes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FileRecord {
    /// The version.
    pub version: u64,
    /// The length in bytes, where it is named.
    #[serde(default)]
    pub length: Option<u64>,
    #[serde(default)]
    hashes: Option<BTreeMap<String, String>>,
}

impl FileRecord {
    /// Requires that `bytes` are the file, as far as length and hashes are named.
    pub(super) fn require(&self, name: &str, bytes: &[u8]) -> Result<(), TufError> {
        if let Some(expected) = self.length {
            require_length(name, expected, bytes)?;
        }
        match &self.hashes {
            Some(hashes) => require_hashes(name, hashes, bytes),
            None => Ok(()),
        }
    }
}

/// What targets metadata says of a published file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TargetRecord {
    /// The length in bytes.
    pub length: u64,
    hashes: BTreeMap<String, String>,
}

impl TargetRecord {
    /// Requires that `bytes` are the file.
    ///
    /// # Errors
    /// `WrongLength`, `WrongHash`, `UnknownHash`.
    pub fn require(&self, name: &str, bytes: &[u8]) -> Result<(), TufError> {
        require_length(name, self.length, bytes)?;
        require_hashes(name, &self.hashes, bytes)
    }

    /// Returns the hash that a consistent repository puts before the file's name, in hex; none without a known one.
    pub fn hash_in_name(&self) -> Option<String> {
        let known = |algorithm: DigestAlgorithm| digest(algorithm, &self.hashes);
        DigestAlgorithm::ALL
            .into_iter()
            .find_map(known)
            .map(|digest| digest.hex())
    }
}

fn digest(algorithm: DigestAlgorithm, hashes: &BTreeMap<String, String>) -> Option<Digest> {
    Digest::from_hex(algorithm, hashes.get(algorithm.name())?)
}

fn require_length(name: &str, expected: u64, bytes: &[u8]) -> Result<(), TufError> {
    let found = bytes.len() as u64;
    if found == expected {
        return Ok(());
    }
    Err(TufError::WrongLength {
        name: name.to_owned(),
        expected,
        found,
    })
}

/// Requires every hash of a known algorithm, and at least one of those.
fn require_hashes(
    name: &str,
    hashes: &BTreeMap<String, String>,
    bytes: &[u8],
) -> Result<(), TufError> {
    let known: Vec<_> = DigestAlgorithm::ALL
        .into_iter()
        .filter(|algorithm| hashes.contains_key(algorithm.name()))
        .collect();
    if known.is_empty() {
        let name = name.to_owned();
        return Err(TufError::UnknownHash { name });
    }
    let holds =
        |algorithm: &DigestAlgorithm| digest(*algorithm, hashes) == Some(algorithm.digest(bytes));
    if known.iter().all(holds) {
        return Ok(());
    }
    let name = name.to_owned();
    Err(TufError::WrongHash { name })
}
