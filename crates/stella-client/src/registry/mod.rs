//! An OCI registry: manifests, blobs, tags and referrers of one repository.
//!
//! Every answer is compared with what was asked: bytes that came for a digest have it. What a manifest means, and what
//! stands in where a registry lists no referrers, is in `stella-attest`. Requests are repeated by the transport
//! (`retry.rs`); here only what HTTP alone cannot know is done: tokens, redirects, uploads that go on.

mod access;
pub mod certificates;
pub mod credentials;
mod problem;
mod repository;
mod upload;

pub use access::{Registry, Traffic};
pub use problem::RegistryProblem;
pub use repository::{Put, Repository};
pub use upload::Upload;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
