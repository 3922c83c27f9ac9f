//! The ways in which an organisation's past is not one.

use stella_bundle::json::JsonError;
use stella_bundle::time::UnixTime;

use super::signed::SignatureError;
use crate::keyset::KeysetError;
use crate::statement::OrgStatementError;

/// The ways in which an organisation's past is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// No keyset is the one that the anchor names.
    #[error("no keyset of the archive is the one that the anchor names")]
    Anchor,
    /// A keyset is none, or does not follow the one before it.
    #[error(transparent)]
    Keyset(#[from] KeysetError),
    /// The event of a keyset is signed as something else, or not well.
    #[error("the event of keyset {version}: {error}")]
    Event {
        /// Which keyset.
        version: u64,
        /// What is wrong.
        error: SignatureError,
    },
    /// Too few keys of the keyset before signed an event in time.
    #[error(
        "keyset {version} is signed by {found} of the {wanted} keys of its predecessor that must sign it before they fall"
    )]
    KeysetNotSigned {
        /// Which keyset.
        version: u64,
        /// How many must sign.
        wanted: usize,
        /// How many did, in time.
        found: usize,
        /// How many did, at whatever time.
        signed: usize,
    },
    /// A new key did not sign the event that brings it.
    #[error("keyset {version} has the new key {key}, which did not sign")]
    NewKeyNotShown {
        /// Which keyset.
        version: u64,
        /// Its id.
        key: String,
    },
    /// The file is not the JSON of a past.
    #[error("not the past of an archive: {0}")]
    File(JsonError),
    /// There is no statement, or no keyset.
    #[error("the archive has no {what}")]
    Nothing {
        /// What.
        what: &'static str,
    },
    /// There are more of them than any archive has.
    #[error("the archive has too many {what}")]
    TooMany {
        /// What.
        what: &'static str,
    },
    /// A statement is none.
    #[error("statement {sequence}: {error}")]
    Statement {
        /// Which.
        sequence: u64,
        /// What is wrong.
        error: OrgStatementError,
    },
    /// A signature of a statement is missing or bad.
    #[error("statement {sequence}: {error}")]
    StatementSignature {
        /// Which.
        sequence: u64,
        /// What is wrong.
        error: SignatureError,
    },
    /// A statement does not fit to the one before it, or to its keyset.
    #[error("statement {sequence} does not fit: {what}")]
    Link {
        /// Which.
        sequence: u64,
        /// To what it does not fit.
        what: Misfit,
    },
    /// It is judged as of a time before it was made.
    #[error(
        "the newest statement was made at {created}, after the time as of which it is judged, {now}"
    )]
    FromTheFuture {
        /// When it was made.
        created: UnixTime,
        /// As of when it is judged.
        now: UnixTime,
    },
    /// No signature of the newest statement counts any longer.
    #[error(
        "no signature of the newest statement counts: every key that signed it had fallen before it provably existed"
    )]
    NoneCounts,
}

/// To what a statement does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// It names another keyset, or goes back to an earlier one.
    #[error("its keyset is another, or an earlier one than that of the statement before")]
    Keyset,
    /// The origin is another.
    #[error("it is of another origin")]
    Origin,
    /// It does not name the statement before it, with its evidence.
    #[error("it does not name the statement before it with its evidence")]
    Previous,
    /// Its leaves do not begin where the statement before ends.
    #[error("its leaves do not begin where the statement before ends")]
    Range,
    /// It is not the next one.
    #[error("it is not the next one")]
    Sequence,
    /// It names other signers than its keyset has.
    #[error("it names other signers than its keyset has")]
    Signers,
    /// Fewer authorities stamped it than it says.
    #[error("fewer authorities stamped it than it says")]
    Timestamps,
    /// The tree has the same size as before and another root.
    #[error("its tree has the size of the one before and another root")]
    Tree,
}
