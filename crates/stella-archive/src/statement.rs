//! What the organisation's key signs: the state of the archive, an event of the keyset, an air-gap kit. Nothing else.
//!
//! Each is an in-toto statement. Whether a signature counts is judged in [`crate::history`].

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::envelope::{self, IN_TOTO};
use stella_bundle::json::JsonError;
use stella_bundle::statement::{Statement, StatementError, Subject};
use stella_bundle::time::UnixTime;
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash::Hash;
use stella_tlog::tree::TreeSize;

use crate::date;
use crate::fingerprint::{Fingerprint, hex32};
use crate::keyset::{Action, Keyset};

/// The state of an archive at the end of a period.
pub const MANIFEST: &str = "https://stella-ops.org/org/archive-manifest/v1";
/// A step from one keyset to the next.
pub const KEYSET_EVENT: &str = "https://stella-ops.org/org/keyset-event/v1";
/// A folder of files that crosses an air gap.
pub const AIR_GAP_KIT: &str = "https://stella-ops.org/org/air-gap-kit/v1";

/// The name of a manifest's subject.
pub const CHECKPOINT: &str = "checkpoint.txt";
/// Bytes of a statement.
pub const MAX_STATEMENT: usize = 1 << 20;
/// Entries of each list of a manifest.
const MAX_ENTRIES: usize = 1000;

/// The ways in which a text is no statement of an organisation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrgStatementError {
    /// It is no statement.
    #[error("not a statement: {0}")]
    Statement(#[from] StatementError),
    /// It is a statement about something that the organisation's key does not sign.
    #[error("the organisation's key signs nothing of the type {found:?}")]
    Type {
        /// The predicate type.
        found: String,
    },
    /// The predicate is not what the type asks for.
    #[error("not the predicate of its type: {0}")]
    Predicate(JsonError),
    /// The subject is another than the predicate says.
    #[error("the statement's subject is not what its predicate describes")]
    Subject,
    /// It is written in another way than the one that is signed.
    #[error("the statement is written in another way than the one that is signed")]
    Form,
    /// It is larger, or one of its lists is longer, than any that is written honestly.
    #[error("the statement is too long")]
    TooLong,
}

/// A statement that the organisation's key may sign: one of three types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgStatement(Statement);

impl OrgStatement {
    /// Returns the statement of an archive's state.
    #[must_use]
    pub fn of_manifest(manifest: &Manifest) -> Self {
        let subject = Subject::new(
            Some(CHECKPOINT.to_owned()),
            &sha256_of(manifest.checkpoint().to_string().as_bytes()),
        );
        // Serialising plain structs into memory cannot fail.
        let predicate = serde_json::to_value(manifest).unwrap_or_default();
        Self(Statement::new(vec![subject], MANIFEST, &predicate))
    }

    /// Returns the statement of a keyset whose file has these bytes.
    #[must_use]
    pub fn of_keyset(keyset: &Keyset, file: &[u8]) -> Self {
        let name = format!("keyset-{}.json", keyset.version);
        let subject = Subject::new(Some(name), &sha256_of(file));
        let event = KeysetEvent {
            origin: keyset.origin.clone(),
            version: keyset.version,
            action: keyset.action,
            reason: keyset.reason.clone(),
            file: Fingerprint::of(file),
        };
        let predicate = serde_json::to_value(event).unwrap_or_default();
        Self(Statement::new(vec![subject], KEYSET_EVENT, &predicate))
    }

    /// Returns the statement of an air-gap kit, by the bytes of the list of its files (`SHA256SUMS`).
    #[must_use]
    pub fn of_kit(origin: &str, sums: &[u8]) -> Self {
        let subject = Subject::new(Some("SHA256SUMS".to_owned()), &sha256_of(sums));
        let sha3 = hex::encode(Fingerprint::of(sums).sha3);
        let predicate = json!({"origin": origin, "sha3": sha3});
        Self(Statement::new(vec![subject], AIR_GAP_KIT, &predicate))
    }

    /// Reads a payload of any of the three types.
    ///
    /// # Errors
    /// `Statement`, `Type`, `TooLong`.
    pub fn parse(payload: &[u8]) -> Result<Self, OrgStatementError> {
        if payload.len() > MAX_STATEMENT {
            return Err(OrgStatementError::TooLong);
        }
        let statement = Statement::parse(payload)?;
        match statement.predicate_type.as_str() {
            MANIFEST | KEYSET_EVENT | AIR_GAP_KIT => Ok(Self(statement)),
            _ => Err(OrgStatementError::Type {
                found: statement.predicate_type,
            }),
        }
    }

    /// Returns the statement itself.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        &self.0
    }

    /// Returns the payload.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// Returns the bytes that a key signs (DSSE's PAE).
    #[must_use]
    pub fn to_be_signed(&self) -> Vec<u8> {
        envelope::pae(IN_TOTO, &self.payload())
    }

    /// Requires that this is the event of a keyset whose file has these bytes.
    ///
    /// # Errors
    /// `Type` for a statement about something else, `Predicate`, `Subject`.
    pub fn require_keyset(&self, keyset: &Keyset, file: &[u8]) -> Result<(), OrgStatementError> {
        self.require_type(KEYSET_EVENT)?;
        match self.0 == Self::of_keyset(keyset, file).0 {
            true => Ok(()),
            false => Err(OrgStatementError::Subject),
        }
    }

    /// Requires that this speaks of an air-gap kit with this list of files.
    ///
    /// # Errors
    /// `Type` for a statement about something else, `Subject`.
    pub fn require_kit(&self, origin: &str, sums: &[u8]) -> Result<(), OrgStatementError> {
        self.require_type(AIR_GAP_KIT)?;
        match self.0 == Self::of_kit(origin, sums).0 {
            true => Ok(()),
            false => Err(OrgStatementError::Subject),
        }
    }

    /// Returns the state of the archive that this is about.
    ///
    /// # Errors
    /// `Type` for a statement about something else, `Predicate`, `Subject`, `TooLong`.
    pub fn to_manifest(&self) -> Result<Manifest, OrgStatementError> {
        self.require_type(MANIFEST)?;
        let manifest: Manifest = read(&self.0)?;
        manifest.require_bounded()?;
        match self.0 == Self::of_manifest(&manifest).0 {
            true => Ok(manifest),
            false => Err(OrgStatementError::Subject),
        }
    }

    fn require_type(&self, wanted: &str) -> Result<(), OrgStatementError> {
        match self.0.predicate_type == wanted {
            true => Ok(()),
            false => Err(OrgStatementError::Type {
                found: self.0.predicate_type.clone(),
            }),
        }
    }
}

fn read<'a, T: Deserialize<'a>>(statement: &'a Statement) -> Result<T, OrgStatementError> {
    let read = serde_json::from_str(statement.predicate.text());
    read.map_err(|error: serde_json::Error| OrgStatementError::Predicate(error.into()))
}

fn sha256_of(bytes: &[u8]) -> Digest {
    DigestAlgorithm::Sha256.digest(bytes)
}

/// What an event of a keyset says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysetEvent {
    origin: String,
    version: u64,
    action: Action,
    reason: String,
    file: Fingerprint,
}

/// The state of an archive at the end of a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Whose archive.
    pub origin: String,
    /// The statement's number, from 0.
    pub sequence: u64,
    /// What it covers.
    pub period: Period,
    /// The whole tree.
    pub tree: TreeState,
    /// The leaves that this period added.
    pub range: Range,
    /// The statement before it; none for the first.
    pub previous: Option<Earlier>,
    /// How many leaves are what.
    pub counts: Counts,
    /// How attestations of this period were verified.
    pub profiles: Vec<Profile>,
    /// The keyset in force.
    pub keyset: KeysetPin,
    /// Ids of the keys that must have signed, sorted.
    pub signers: Vec<KeyId>,
    /// What must be shown beside the signatures.
    pub require: Require,
    /// What logs had to say about completeness.
    pub coverage: Vec<Coverage>,
    /// How long bytes are kept.
    pub retention: Retention,
    /// When the set was frozen.
    #[serde(with = "date")]
    pub created: UnixTime,
}

/// What a statement covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// `2026-11`, a release's name, or `renewal-…`.
    pub name: String,
    /// Its first moment.
    #[serde(with = "date")]
    pub start: UnixTime,
    /// The first moment after it.
    #[serde(with = "date")]
    pub end: UnixTime,
}

/// A tree by its size and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeState {
    /// How many leaves.
    pub size: u64,
    /// The root, 32 bytes in hex.
    #[serde(with = "hex32")]
    pub root: [u8; 32],
}

/// Leaves of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first.
    pub start: u64,
    /// The first that is not in it.
    pub end: u64,
    /// SHA3-256 of the lines, each with `\n`.
    #[serde(with = "hex32")]
    pub sha3: [u8; 32],
}

/// A statement by its digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// Of its payload.
    pub statement: Fingerprint,
    /// Of its bundles, sorted.
    pub evidence: Vec<Fingerprint>,
}

/// How many leaves of a period are what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Attestations that held.
    pub verified: u64,
    /// Attestations that did not.
    pub rejected: u64,
    /// Everything else.
    pub records: u64,
}

/// How attestations were verified.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// SHA-256 of the trusted root.
    #[serde(with = "hex32")]
    pub trusted_root: [u8; 32],
    /// SHA-256 of the policy file; none where every signer was taken.
    pub policy: Option<KeyId>,
    /// Name and version of the verifier.
    pub verifier: String,
}

/// The keyset in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysetPin {
    /// Its number.
    pub version: u64,
    /// Of its file.
    pub file: Fingerprint,
    /// Of the bundles of its event, sorted.
    pub evidence: Vec<Fingerprint>,
}

/// What must be shown beside the signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Require {
    /// How many authorities stamped the statement.
    pub timestamps: u64,
}

/// How much of a log's range was archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// The log's origin.
    pub log: String,
    /// The first entry looked at.
    pub from: u64,
    /// The first entry not looked at.
    pub to: u64,
    /// Entries whose attestation is in the archive.
    pub archived: u64,
    /// Entries whose attestation was nowhere to be found.
    pub missing: u64,
}

/// How long bytes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Months after the period's end.
    pub months: u32,
}

/// 32 bytes in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(#[serde(with = "hex32")] pub [u8; 32]);

impl Manifest {
    /// Returns the tree's state as the text that is the statement's subject.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            origin: self.origin.clone(),
            size: TreeSize(self.tree.size),
            root: Hash::from_bytes(self.tree.root),
            extensions: Vec::new(),
        }
    }

    fn require_bounded(&self) -> Result<(), OrgStatementError> {
        let evidence = self.previous.as_ref().map_or(0, |each| each.evidence.len());
        let longest = [
            evidence,
            self.keyset.evidence.len(),
            self.profiles.len(),
            self.signers.len(),
            self.coverage.len(),
        ];
        match longest.into_iter().all(|length| length <= MAX_ENTRIES) {
            true => Ok(()),
            false => Err(OrgStatementError::TooLong),
        }
    }
}

/// Returns what a manifest's predicate is as JSON.
#[must_use]
pub fn to_json(manifest: &Manifest) -> Value {
    serde_json::to_value(manifest).unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) mod tests {
    use super::*;
    use crate::keyset::tests::first;

    pub(crate) fn manifest() -> Manifest {
        Manifest {
            origin: "archive.example.org".into(),
            sequence: 0,
            period: Period {
                name: "2026-11".into(),
                start: UnixTime::parse_rfc3339("2026-11-01T00:00:00Z").unwrap(),
                end: UnixTime::parse_rfc3339("2026-12-01T00:00:00Z").unwrap(),
            },
            tree: TreeState {
                size: 3,
                root: [5; 32],
            },
            range: Range {
                start: 0,
                end: 3,
                sha3: [6; 32],
            },
            previous: None,
            counts: Counts {
                verified: 2,
                rejected: 1,
                records: 0,
            },
            profiles: vec![Profile {
                trusted_root: [7; 32],
                policy: None,
                verifier: "stella 0.1.0".into(),
            }],
            keyset: KeysetPin {
                version: 1,
                file: Fingerprint::of(b"k"),
                evidence: Vec::new(),
            },
            signers: vec![KeyId([8; 32])],
            require: Require { timestamps: 2 },
            coverage: vec![],
            retention: Retention { months: 24 },
            created: UnixTime::parse_rfc3339("2026-12-01T00:10:00Z").unwrap(),
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let manifest = manifest();
        let statement = OrgStatement::of_manifest(&manifest);
        let read = OrgStatement::parse(&statement.payload()).unwrap();
        assert_eq!(read.payload(), statement.payload());
        assert_eq!(read.to_manifest().unwrap(), manifest);
    }

    #[test]
    fn a_manifest_of_another_tree_than_its_subject_is_refused() {
        let payload = OrgStatement::of_manifest(&manifest()).payload();
        let text = String::from_utf8(payload).unwrap();
        for (from, to) in [
            ("0505", "0506"),
            ("\"size\":3", "\"size\":4"),
            ("archive.example.org", "archive.example.com"),
        ] {
            let wrong = OrgStatement::parse(text.replacen(from, to, 1).as_bytes()).unwrap();
            assert_eq!(
                wrong.to_manifest(),
                Err(OrgStatementError::Subject),
                "{from}"
            );
        }
        let wrong =
            OrgStatement::parse(text.replace("\"sequence\"", "\"sequel\"").as_bytes()).unwrap();
        assert!(matches!(
            wrong.to_manifest(),
            Err(OrgStatementError::Predicate(_))
        ));
    }

    #[test]
    fn an_event_is_of_its_own_keyset_alone() {
        let keyset = first();
        let file = keyset.to_bytes();
        let event = OrgStatement::of_keyset(&keyset, &file);
        let read = OrgStatement::parse(&event.payload()).unwrap();
        read.require_keyset(&keyset, &file).unwrap();
        let other = first();
        let refused = read.require_keyset(&other, &other.to_bytes());
        assert_eq!(refused, Err(OrgStatementError::Subject));
        assert!(read.to_manifest().is_err());
        assert!(read.require_kit("archive.example.org", b"").is_err());
    }

    #[test]
    fn nothing_else_is_signed() {
        let statement = Statement::new(
            vec![Subject::new(None, &sha256_of(b""))],
            "https://stella-ops.org/attestation/policy-result/v1",
            &json!({}),
        );
        assert!(matches!(
            OrgStatement::parse(&statement.to_bytes()),
            Err(OrgStatementError::Type { .. })
        ));
    }
}
