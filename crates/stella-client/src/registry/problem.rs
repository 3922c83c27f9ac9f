//! What can be wrong with what a registry answers.

use stella_bundle::digest::Digest;
use stella_wire::registry::ManifestError;

/// The ways in which a registry's answer is not to be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryProblem {
    /// It asks for credentials by a scheme that is none of Basic and Bearer.
    #[error("it asks for credentials by {challenge:?}, which is not supported")]
    Challenge {
        /// The header's value.
        challenge: String,
    },
    /// The bytes have another digest than was asked for, or than it says.
    #[error("asked for {expected}, got bytes with the digest {found}")]
    DigestMismatch {
        /// What they should have.
        expected: Digest,
        /// What they have.
        found: Digest,
    },
    /// A list goes on and on, or in a circle.
    #[error("its list does not end")]
    EndlessList,
    /// It leads to an address that is none, or from https to plain http.
    #[error("it leads to {location:?}, which is not followed")]
    Location {
        /// What it says.
        location: String,
    },
    /// A manifest is none.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// An answer lacks a header that the specification demands, or what stands there is nothing.
    #[error("its answer has no usable {header} header")]
    Header {
        /// Which.
        header: &'static str,
    },
    /// Something else stands under a tag where signatures are kept.
    #[error("under the tag {tag} stands something else than signatures")]
    Occupied {
        /// The tag.
        tag: String,
    },
    /// A blob has another length than was said.
    #[error("a blob of {expected} bytes came with {found}")]
    SizeMismatch {
        /// What it should have, in bytes.
        expected: u64,
        /// What came, in bytes.
        found: u64,
    },
    /// The token service gave no token.
    #[error("its token service gave no token")]
    TokenMissing,
    /// The answer is not JSON of the specification.
    #[error("its answer is not what the specification says: {0}")]
    Words(#[from] stella_bundle::json::JsonError),
}
