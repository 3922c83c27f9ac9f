//! The ways in which the log refuses or fails.

use std::io;

use stella_keys::KeyError;
use stella_tlog::quorum::QuorumError;

use crate::fsck::Problem;

/// Why the log did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Too much waits already; nothing was queued, ask again later (503).
    #[error("the log is busy")]
    Busy,
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// What is on disk contradicts itself.
    #[error("the log on disk is damaged: {0}")]
    Corrupt(Problem),
    /// A call of the disk failed. While appending, this stops the log: reopen it to go on.
    #[error("cannot {operation} {path}: {kind}")]
    Disk {
        /// What was tried.
        operation: DiskOperation,
        /// On which file or folder of the log.
        path: String,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The entry has no form in the log's format, or its builder panicked; nothing was appended.
    #[error("the entry cannot be logged: {0}")]
    Entry(EntryFault),
    /// No such tile belongs to the published tree (404).
    #[error("the published tree has no such tile")]
    NotFound,
    /// The entry is committed and waits for witnesses; ask again with the same entry to join it (503).
    #[error("the witnesses' quorum is not reached")]
    QuorumNotReached,
    /// The entry is committed, and its checkpoint could not be signed.
    #[error("cannot sign the checkpoint: {0}")]
    Signing(#[from] KeyError),
    /// An earlier failure stopped the log; nothing was appended.
    #[error("the log has stopped: {cause}")]
    Stopped {
        /// What stopped it.
        cause: Box<Self>,
    },
    /// The witnesses' answer does not satisfy the policy.
    #[error("the witnesses' answer is refused: {0}")]
    Witnesses(#[from] QuorumError),
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryFault {
    /// The identity given is not the leaf hash, by which duplicates are found again after a restart.
    #[error("its identity is not its leaf hash")]
    Identity,
    /// The leaf hash given is not that of the stored bytes.
    #[error("its leaf hash is not that of its bytes")]
    LeafHash,
    /// The bytes are not an entry of the log's format, or too long for it.
    #[error("its bytes do not fit the log's format")]
    Malformed,
    /// Its builder panicked.
    #[error("its builder panicked")]
    Panicked,
}

/// What was tried on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskOperation {
    /// Creating a file or folder.
    Create,
    /// Listing a folder.
    List,
    /// Reading a file.
    Read,
    /// Removing a file.
    Remove,
    /// Renaming a file.
    Rename,
    /// Syncing a file or folder.
    Sync,
    /// Writing to a file.
    Write,
}

impl std::fmt::Display for DiskOperation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::List => "list",
            Self::Read => "read",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Sync => "sync",
            Self::Write => "write",
        })
    }
}

/// Says what was being done when the disk failed.
pub(crate) trait During<T> {
    fn during(self, operation: DiskOperation, path: &str) -> Result<T, LogError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, operation: DiskOperation, path: &str) -> Result<T, LogError> {
        self.map_err(|error| LogError::Disk {
            operation,
            path: path.to_owned(),
            kind: error.kind(),
        })
    }
}
