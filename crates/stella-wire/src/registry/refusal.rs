//! How a registry refuses: `{"errors":[{"code","message"}]}` (distribution spec, "Error codes").

use serde::{Deserialize, Serialize};
use stella_bundle::json;

/// More errors in one refusal than this are not read.
const MAX_ERRORS: usize = 16;

/// Why a registry refuses, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum RefusalCode {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    TooManyRequests,
    Unauthorized,
    /// Not of the specification: what registries say when they failed themselves.
    Unknown,
    Unsupported,
}

impl RefusalCode {
    const ALL: [(Self, &'static str); 15] = [
        (Self::BlobUnknown, "BLOB_UNKNOWN"),
        (Self::BlobUploadInvalid, "BLOB_UPLOAD_INVALID"),
        (Self::BlobUploadUnknown, "BLOB_UPLOAD_UNKNOWN"),
        (Self::Denied, "DENIED"),
        (Self::DigestInvalid, "DIGEST_INVALID"),
        (Self::ManifestBlobUnknown, "MANIFEST_BLOB_UNKNOWN"),
        (Self::ManifestInvalid, "MANIFEST_INVALID"),
        (Self::ManifestUnknown, "MANIFEST_UNKNOWN"),
        (Self::NameInvalid, "NAME_INVALID"),
        (Self::NameUnknown, "NAME_UNKNOWN"),
        (Self::SizeInvalid, "SIZE_INVALID"),
        (Self::TooManyRequests, "TOOMANYREQUESTS"),
        (Self::Unauthorized, "UNAUTHORIZED"),
        (Self::Unknown, "UNKNOWN"),
        (Self::Unsupported, "UNSUPPORTED"),
    ];

    /// Returns the specification's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        let row = Self::ALL.iter().find(|row| row.0 == self);
        row.map_or("", |row| row.1)
    }

    /// Finds the code of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let row = Self::ALL.iter().find(|row| row.1 == word);
        row.map(|row| row.0)
    }
}

/// A refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    #[serde(deserialize_with = "json::at_most::<MAX_ERRORS, _, _>", default)]
    errors: Vec<One>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct One {
    #[serde(default)]
    code: String,
    #[serde(deserialize_with = "json::or_default", default)]
    message: String,
}

impl Refusal {
    /// Makes a refusal.
    #[must_use]
    pub fn new(code: RefusalCode, message: &str) -> Self {
        let one = One {
            code: code.word().to_owned(),
            message: message.to_owned(),
        };
        Self { errors: vec![one] }
    }

    /// Reads a refusal; none when the text is something else, such as the page of a proxy.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// Writes it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Says whether one of the errors has this code.
    #[must_use]
    pub fn has(&self, code: RefusalCode) -> bool {
        self.errors.iter().any(|each| each.code == code.word())
    }

    /// Returns the first error's code as it stands.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        let first = self.errors.first()?;
        (!first.code.is_empty()).then_some(&first.code)
    }

    /// Returns what the first error says, for people; it is the registry's text and may hold anything.
    #[must_use]
    pub fn message(&self) -> &str {
        let first = self.errors.first();
        first.map_or("", |one| {
            if one.message.is_empty() {
                &one.code
            } else {
                &one.message
            }
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_back_and_a_page_is_none() {
        let refusal = Refusal::new(RefusalCode::ManifestUnknown, "manifest unknown");
        let read = Refusal::parse(&refusal.to_bytes()).unwrap();
        assert!(read.has(RefusalCode::ManifestUnknown) && !read.has(RefusalCode::Denied));
        assert_eq!(read.message(), "manifest unknown");
        assert_eq!(Refusal::parse(b"404 page not found\n"), None);
    }

    #[test]
    fn every_code_is_found_by_its_word() {
        for (code, word) in RefusalCode::ALL {
            assert_eq!(RefusalCode::from_word(word), Some(code));
            assert_eq!(code.word(), word);
        }
    }
}
