//! The ways in which a copy stops, each with the place and the thing that it is about.

use stella_bundle::digest::Digest;
use stella_wire::registry::ManifestError;

use super::Missing;
use crate::storage::StorageError;

/// Why images are not copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// A part of a blob came empty, or longer than what is left of the blob.
    #[error("{place} gave {found} bytes of {blob} where at most {expected} are left")]
    BadPart {
        /// The source.
        place: String,
        /// The blob.
        blob: Digest,
        /// How many bytes are left of it.
        expected: u64,
        /// How many came.
        found: u64,
    },
    /// Everything was copied, and yet the destination lacks something.
    #[error("{place} lacks {} of what was copied to it, first {}", missing.len(), missing.first().map(ToString::to_string).unwrap_or_default())]
    Incomplete {
        /// The destination.
        place: String,
        /// What it lacks.
        missing: Vec<Missing>,
    },
    /// A manifest is none.
    #[error("{reference} of {place}: {error}")]
    Manifest {
        /// The source.
        place: String,
        /// What was asked for.
        reference: String,
        /// What is wrong with it.
        error: ManifestError,
    },
    /// What was asked for, or what an index names, is not there.
    #[error("{place} has no {reference}")]
    NotFound {
        /// The source.
        place: String,
        /// What was asked for.
        reference: String,
    },
    /// A place is of no use.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Manifests lead to manifests without end.
    #[error("{image} of {place} leads through more than {limit} manifests after each other")]
    TooDeep {
        /// The source.
        place: String,
        /// The image.
        image: String,
        /// How many are allowed.
        limit: usize,
    },
    /// One image has more of something than any honest one.
    #[error("{image} of {place} names more than {limit} {what}")]
    TooMany {
        /// The source.
        place: String,
        /// The image.
        image: String,
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// Content that is not what was asked for.
    #[error("{place} answered {found} when asked for {expected}: it is damaged, or it lies")]
    WrongDigest {
        /// The source.
        place: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A manifest of another length than whatever names it says.
    #[error("{digest} of {place} has {found} bytes, expected {expected}")]
    WrongSize {
        /// The source.
        place: String,
        /// The manifest.
        digest: Digest,
        /// What its descriptor says, in bytes.
        expected: u64,
        /// What came, in bytes.
        found: u64,
    },
}
