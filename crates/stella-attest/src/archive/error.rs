//! The ways in which an archive is not made, or not read.

use std::io;
use std::path::{Path, PathBuf};

use stella_archive::frames::FrameError;
use stella_archive::growth::GrowthError;
use stella_archive::history::HistoryError;
use stella_archive::index::IndexError;
use stella_archive::leaf::LeafError;
use stella_archive::retention::RetentionError;
use stella_archive::witnessed::NoteRefusal;
use stella_bundle::trusted_root::TrustFileError;
use stella_client::ClientError;
use stella_keys::KeyError;
use stella_tlog::note::NoteError;
use stella_tlog::proof::ProofError;
use stella_tlog::tree::{FrontierError, TreeSize};

use crate::keyset::CeremonyError;
use crate::sign::SignError;
use crate::storage::StorageError;

/// The ways in which an archive is not made, or not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// No archive is there under this name.
    #[error("{place} has no archive {name}")]
    Absent {
        /// Where.
        place: String,
        /// The period.
        name: String,
    },
    /// Another process works in this folder.
    #[error("another process works in {}", .0.display())]
    Busy(PathBuf),
    /// The keysets cannot be used.
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
    /// The key is none by which the keyset has checkpoints signed.
    #[error(
        "the key is no active checkpoint key of the keyset under which the newest archive was sealed"
    )]
    CheckpointKey,
    /// What a share says about an attestation is not so.
    #[error(
        "a share says otherwise about {digest} than what is found here: nothing of it is to be believed"
    )]
    Claim {
        /// SHA-256 of its bytes, in hex.
        digest: String,
    },
    /// A compressed part is damaged.
    #[error("{part}: {error}")]
    Frame {
        /// The file in the archive.
        part: String,
        /// What is wrong.
        error: FrameError,
    },
    /// The right edge of the tree is damaged.
    #[error("frontier.json: {0}")]
    Frontier(FrontierError),
    /// The trees do not grow out of each other.
    #[error(transparent)]
    Growth(#[from] GrowthError),
    /// The past does not hold.
    #[error("the archive does not hold: {0}")]
    History(#[from] HistoryError),
    /// The index is damaged.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was to be done, such as `read`.
        action: &'static str,
        /// Its path.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A key that must sign was not given, or one that must not was.
    #[error("the keyset asks for signatures by exactly these keys: {}", .wanted.join(", "))]
    Keys {
        /// Their roles and ids.
        wanted: Vec<String>,
    },
    /// A line is no leaf.
    #[error("leaf {index}: {error}")]
    Leaf {
        /// Which.
        index: u64,
        /// What is wrong.
        error: LeafError,
    },
    /// What the archive holds is not what its newest statement says.
    #[error("the archive holds something else than its statement says: {0}")]
    Mismatch(Mismatch),
    /// The note of witnesses is longer than anybody reads.
    #[error("the note with its cosignatures cannot be kept: {error}")]
    Note {
        /// What is wrong with it.
        error: NoteError,
    },
    /// It holds no attestation that was asked for.
    #[error("the archive holds no attestation {0}")]
    NotFound(String),
    /// A tree that was kept is none of the archive's.
    #[error(
        "no statement of the archive has the tree of {0} leaves that was kept: its past is another one"
    )]
    OtherTree(TreeSize),
    /// A file of the archive is not there.
    #[error("the archive has no file {0}")]
    Part(String),
    /// A proof cannot be made.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The period was published before, with other content.
    #[error("{place} has another archive {name} already: a period is sealed once")]
    Published {
        /// Where.
        place: String,
        /// The period.
        name: String,
    },
    /// Too few witnesses cosigned the checkpoint.
    #[error("{refusal}{}", silence(silent))]
    Quorum {
        /// What is missing.
        refusal: NoteRefusal,
        /// Witnesses that did not cosign, and why.
        silent: Vec<(String, String)>,
    },
    /// A record of a hold or of bytes that were let go is none, or does not fit those before it.
    #[error("what is held is not known: {0}")]
    Retention(#[from] RetentionError),
    /// The place lacks a statement that the organisation saw published.
    #[error(
        "{place} does not have statement {sequence} ({period}), which was published: it was rolled back, or is another place"
    )]
    RolledBack {
        /// Where.
        place: String,
        /// The statement's number.
        sequence: u64,
        /// Its period.
        period: String,
    },
    /// The older period is the later one.
    #[error("period {from} comes after {to}")]
    Reversed {
        /// Which was to be the older.
        from: String,
        /// Which was to be the newer.
        to: String,
    },
    /// The archive has fewer leaves than it once had.
    #[error(
        "the newest tree has {newest} leaves, the one that was kept has {kept}: newer periods were taken away"
    )]
    Shrunk {
        /// Leaves of the tree that was kept.
        kept: TreeSize,
        /// Leaves of the newest tree.
        newest: TreeSize,
    },
    /// A file that is no part of an archive of this kind, or of another archive.
    #[error("{what} is not readable as a part of this archive")]
    Unreadable {
        /// Which.
        what: String,
    },
    /// A share is of another period, or was verified in another way.
    #[error(
        "{name} is a share of another period, or was verified by another trusted root, policy or version"
    )]
    Share {
        /// Its name.
        name: String,
    },
    /// The checkpoint could not be signed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The statement could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The place of archives is of no use.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A trusted root is none.
    #[error(transparent)]
    Trust(#[from] TrustFileError),
    /// The authorities that stamped the statement are none that the keyset pins.
    #[error(
        "no authority that stamped the statement is one that the keyset in force pins: in some years nobody could say when it was signed"
    )]
    Undated,
    /// Another period was published in the meantime.
    #[error(
        "{place} has a newer archive than this one follows: another period was published in the meantime"
    )]
    Overtaken {
        /// Where.
        place: String,
    },
    /// A witness could not be asked, or what it answered is of no use.
    #[error(transparent)]
    Witness(#[from] ClientError),
    /// A witness saw a tree under this origin that was never stated.
    #[error(
        "{witness} saw a tree of {size} leaves under this origin, which no statement of the archive has: its past is another one"
    )]
    WitnessDiffers {
        /// Its name in the policy.
        witness: String,
        /// The size of the tree that it saw.
        size: TreeSize,
    },
    /// The set is larger than an archive can number.
    #[error("more than 4 294 967 295 attestations in one period")]
    TooMany,
}

/// Says why witnesses did not cosign.
fn silence(silent: &[(String, String)]) -> String {
    let reasons = silent.iter().map(|(name, why)| format!("; {name}: {why}"));
    reasons.collect()
}

/// In what an archive is not what its statement says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The tree before the period.
    #[error("the tree before it")]
    Before,
    /// The lines.
    #[error("the leaves")]
    Leaves,
    /// The checkpoint, or the bundles beside it.
    #[error("the checkpoint and its bundles")]
    Checkpoint,
    /// The hashes of the tree.
    #[error("the hashes of the tree")]
    Hashes,
    /// A class has a file that is not counted, or lacks one.
    #[error("which files there are")]
    Files,
    /// Verified attestations, rejected ones, everything else.
    #[error("the order of leaf {0}")]
    Order(u64),
    /// A leaf was verified in a way that the statement does not name.
    #[error("the profile of leaf {0}")]
    Profile(u64),
    /// The trusted root by which attestations were verified is not there.
    #[error("a trusted root is missing")]
    TrustedRoot,
    /// How many leaves are what.
    #[error("how many leaves are what")]
    Counts,
    /// The bytes of an attestation.
    #[error("the bytes of leaf {0}")]
    Bytes(u64),
    /// The bytes are gone before retention allows it.
    #[error("the bytes of attestations, which are gone before their time")]
    Gone,
    /// Its name: the statement is of another period.
    #[error("its name, which is that of another period")]
    Name,
    /// The past: the newer archive's does not begin with this one's.
    #[error("the past of the newer archive does not begin with its own")]
    Past,
    /// More or fewer bytes than the leaves name.
    #[error("the bytes end elsewhere than the leaves say")]
    Length,
}

impl ArchiveError {
    /// Returns the error of a file.
    pub(crate) fn io(action: &'static str, path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        Self::Io {
            action,
            path,
            error,
        }
    }
}

impl From<FrontierError> for ArchiveError {
    fn from(error: FrontierError) -> Self {
        Self::Frontier(error)
    }
}
