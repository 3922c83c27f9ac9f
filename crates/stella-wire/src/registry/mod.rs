//! The words of an OCI registry (distribution spec 1.1, image spec 1.1): names, manifests, lists, refusals.
//!
//! One folder, because a registry has more words than a service of Sigstore. How attestations are attached to an image is
//! [`attachment`]; who asks is `stella_client::registry`, who answers `stella_server`.

pub mod attachment;
mod challenge;
pub mod legacy;
mod link;
pub mod manifest;
mod reference;
mod refusal;

pub use challenge::Challenge;
pub use link::{next_page, write_next};
pub use manifest::{Descriptor, Manifest, ManifestError, ManifestKind, RawManifest};
pub use reference::{Reference, ReferenceError, is_repository, is_tag};
pub use refusal::{Refusal, RefusalCode};

use serde::{Deserialize, Serialize};
use stella_bundle::digest::Digest;

/// Bytes of a manifest or index; the bound that the distribution spec recommends.
pub const MAX_MANIFEST: usize = 4 << 20;
/// Bytes of a list of tags or of a page of referrers.
pub const MAX_LIST: usize = 4 << 20;
/// Bytes of a token answer or of a refusal.
pub const MAX_WORDS: usize = 1 << 20;
/// Pages of one list; at a hundred to a page that is more than any image has.
pub const MAX_PAGES: usize = 1000;

/// The header of an answer that says which manifest was meant (distribution spec, "Pulling manifests").
pub const DOCKER_CONTENT_DIGEST: &str = "docker-content-digest";
/// The header by which a registry says that it indexed a manifest's subject (distribution spec, "Pushing manifests").
pub const OCI_SUBJECT: &str = "oci-subject";
/// The header by which a registry says that it filtered referrers (distribution spec, "Listing referrers").
pub const OCI_FILTERS_APPLIED: &str = "oci-filters-applied";

/// The header in which every answer of a registry names the protocol (Docker Registry HTTP API V2) …
pub const DOCKER_DISTRIBUTION_API_VERSION: &str = "docker-distribution-api-version";
/// … by this value.
pub const API_VERSION: &str = "registry/2.0";

/// The first address of every registry: who answers here speaks the protocol.
pub const BASE_PATH: &str = "/v2/";
/// The path of the list of repositories (Docker Registry HTTP API V2).
pub const CATALOG_PATH: &str = "/v2/_catalog";

/// Returns the path of a manifest, by tag or by digest.
#[must_use]
pub fn manifest_path(repository: &str, reference: &str) -> String {
    format!("/v2/{repository}/manifests/{reference}")
}

/// Returns the path of a blob.
#[must_use]
pub fn blob_path(repository: &str, digest: &Digest) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

/// Returns the path where uploads begin.
#[must_use]
pub fn uploads_path(repository: &str) -> String {
    format!("/v2/{repository}/blobs/uploads/")
}

/// Returns the path of the list of manifests whose subject is `subject`.
#[must_use]
pub fn referrers_path(repository: &str, subject: &Digest) -> String {
    format!("/v2/{repository}/referrers/{subject}")
}

/// Returns the path of the list of tags.
#[must_use]
pub fn tags_path(repository: &str) -> String {
    format!("/v2/{repository}/tags/list")
}

/// A page of tags (distribution spec, "Listing tags").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagList {
    /// The repository's name.
    pub name: String,
    /// The tags; `null` where a registry has none.
    #[serde(deserialize_with = "stella_bundle::json::or_default", default)]
    pub tags: Vec<String>,
}

impl TagList {
    /// Reads a page.
    ///
    /// # Errors
    /// Text that is not such JSON.
    pub fn parse(text: &[u8]) -> Result<Self, stella_bundle::json::JsonError> {
        Ok(serde_json::from_slice(text)?)
    }

    /// Writes a page.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The answer of a registry's token service (distribution, `docs/spec/auth/token.md`). It prints without its secrets.
#[derive(Deserialize)]
pub struct TokenAnswer {
    /// The token; some services call it so …
    #[serde(default)]
    token: String,
    /// … some so (OAuth 2).
    #[serde(default)]
    access_token: String,
    /// How long it lives, in seconds.
    #[serde(default)]
    pub expires_in: Option<u64>,
}

impl TokenAnswer {
    /// Reads an answer.
    ///
    /// # Errors
    /// Text that is not such JSON.
    pub fn parse(text: &[u8]) -> Result<Self, stella_bundle::json::JsonError> {
        Ok(serde_json::from_slice(text)?)
    }

    /// Returns the token; empty where the answer has none.
    #[must_use]
    pub fn token(&self) -> &str {
        if self.token.is_empty() {
            &self.access_token
        } else {
            &self.token
        }
    }
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TokenAnswer")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_tags_is_empty() {
        let list = TagList::parse(br#"{"name":"a","tags":null}"#).unwrap();
        assert_eq!(list.tags, Vec::<String>::new());
    }

    #[test]
    fn a_token_has_either_name_and_is_never_printed() {
        let answer = TokenAnswer::parse(br#"{"access_token":"hush","expires_in":60}"#).unwrap();
        assert_eq!(answer.token(), "hush");
        assert!(!format!("{answer:?}").contains("hush"));
    }
}
