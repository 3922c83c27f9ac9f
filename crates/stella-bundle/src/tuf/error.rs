//! The ways in which metadata of a repository is not to be believed.

use super::Role;
use crate::json::JsonError;
use crate::time::UnixTime;

/// Why metadata or a published file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TufError {
    /// A date is none of RFC 3339.
    #[error("{role} metadata expires at {found:?}, which is no date")]
    Date {
        /// Whose metadata.
        role: Role,
        /// What stands there.
        found: String,
    },
    /// The metadata has ended: somebody may be holding newer metadata back.
    #[error("{role} metadata (version {version}) expired on {expires}")]
    Expired {
        /// Whose metadata.
        role: Role,
        /// Its version.
        version: u64,
        /// When it ended.
        expires: UnixTime,
    },
    /// The trusted snapshot named a file that the new one does not.
    #[error("the new snapshot no longer names {name:?}")]
    FileGone {
        /// The file.
        name: String,
    },
    /// The metadata does not name a file that is needed.
    #[error("{role} metadata does not name {name:?}")]
    FileUnnamed {
        /// Whose metadata.
        role: Role,
        /// The file.
        name: String,
    },
    /// The metadata is not JSON of its kind, or names something twice.
    #[error("not TUF {role} metadata: {error}")]
    Json {
        /// Which was expected.
        role: Role,
        /// What is wrong, and where.
        error: JsonError,
    },
    /// The file is not JSON of signed metadata, or names something twice.
    #[error("not TUF metadata: {error}")]
    NotMetadata {
        /// What is wrong, and where.
        error: JsonError,
    },
    /// A number has a fraction or an exponent, so that its canonical form is open.
    #[error("{role} metadata holds a number that is no whole number")]
    NotWhole {
        /// Whose metadata.
        role: Role,
    },
    /// Too few of the role's keys signed.
    #[error("{role} metadata has {have} good signatures, needs {need}")]
    NotEnoughSignatures {
        /// Whose metadata.
        role: Role,
        /// How many keys signed.
        have: usize,
        /// How many are needed.
        need: usize,
    },
    /// The metadata is of none of the top-level roles.
    #[error("expected metadata of root, snapshot, targets or timestamp, found {found:?}")]
    RoleUnknown {
        /// What it says that it is.
        found: String,
    },
    /// The root does not say who signs for a role.
    #[error("root metadata does not say who signs {role} metadata")]
    RoleUnnamed {
        /// The role.
        role: Role,
    },
    /// Older metadata than was believed already.
    #[error("{role} metadata went back from version {trusted} to {found}")]
    Rollback {
        /// Whose metadata.
        role: Role,
        /// The version that was believed.
        trusted: u64,
        /// The version that came.
        found: u64,
    },
    /// Roots come one after the other.
    #[error("expected version {expected} of root metadata, found {found}")]
    RootVersion {
        /// One more than the trusted version.
        expected: u64,
        /// The version that came.
        found: u64,
    },
    /// One key id signed twice.
    #[error("{role} metadata has two signatures of the key {key_id:?}")]
    SignatureTwice {
        /// Whose metadata.
        role: Role,
        /// The id.
        key_id: String,
    },
    /// The metadata follows another version of the specification.
    #[error("{role} metadata follows version {found:?} of the TUF specification, expected 1")]
    SpecVersion {
        /// Whose metadata.
        role: Role,
        /// What it says.
        found: String,
    },
    /// A role that nobody need sign.
    #[error("root metadata asks for no signature under {role} metadata")]
    ThresholdZero {
        /// The role.
        role: Role,
    },
    /// Larger than any honest metadata.
    #[error("{role} metadata of {length} bytes is larger than {limit}")]
    TooLarge {
        /// Whose metadata.
        role: Role,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The new root chain is longer than one walk follows.
    #[error("more than {limit} new versions of root metadata")]
    TooManyRoots {
        /// The limit.
        limit: u64,
    },
    /// No hash of a file is by an algorithm known here.
    #[error("{name:?} is named without a hash by SHA-256 or SHA-512")]
    UnknownHash {
        /// The file.
        name: String,
    },
    /// Another version than the metadata above names: pieces of two states are mixed.
    #[error("expected version {expected} of {role} metadata, found {found}")]
    VersionMismatch {
        /// Whose metadata.
        role: Role,
        /// The version that is named.
        expected: u64,
        /// The version that came.
        found: u64,
    },
    /// A file has another hash than the metadata names.
    #[error("{name:?} has another hash than its metadata names")]
    WrongHash {
        /// The file.
        name: String,
    },
    /// A file has another length than the metadata names.
    #[error("{name:?} has {found} bytes, its metadata names {expected}")]
    WrongLength {
        /// The file.
        name: String,
        /// The length that is named, in bytes.
        expected: u64,
        /// The length of what came, in bytes.
        found: u64,
    },
    /// The metadata is another role's.
    #[error("expected {role} metadata, found {found:?}")]
    WrongRole {
        /// Which was expected.
        role: Role,
        /// What it says that it is.
        found: String,
    },
}
