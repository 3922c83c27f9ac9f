//! What is asked for: a path, and a query.

use http::StatusCode;
use stella_bundle::digest::Digest;
use stella_wire::registry::{BASE_PATH, CATALOG_PATH, RefusalCode, is_repository, is_tag};

use super::refused::Refused;

/// A thing of the registry that has an address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Endpoint<'a> {
    Base,
    Blob(&'a str, Digest),
    Catalog,
    Manifest(&'a str, ManifestName),
    Referrers(&'a str, Digest),
    Tags(&'a str),
    Upload(&'a str, &'a str),
    Uploads(&'a str),
}

/// What names a manifest within its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ManifestName {
    Digest(Digest),
    Tag(String),
    /// Neither a digest nor a tag: there is no such manifest, and none can be put.
    Unusable(String),
}

impl<'a> Endpoint<'a> {
    /// Reads a path. Names of repositories hold slashes, so what is asked of them is looked for at the end.
    pub(crate) fn parse(path: &'a str) -> Result<Self, Refused> {
        if path == CATALOG_PATH {
            return Ok(Self::Catalog);
        }
        let Some(below) = path.strip_prefix(BASE_PATH).filter(|path| !path.is_empty()) else {
            return Ok(Self::Base);
        };
        let (front, last) = below.rsplit_once('/').ok_or_else(not_found)?;
        if let Some(repository) = front.strip_suffix("/blobs/uploads") {
            let repository = require_repository(repository)?;
            return Ok(match last {
                "" => Self::Uploads(repository),
                upload => Self::Upload(repository, upload),
            });
        }
        let (front, kind) = front.rsplit_once('/').ok_or_else(not_found)?;
        match (kind, last) {
            ("blobs", "uploads") => Ok(Self::Uploads(require_repository(front)?)),
            ("blobs", digest) => Ok(Self::Blob(
                require_repository(front)?,
                require_digest(digest)?,
            )),
            ("manifests", name) => Ok(Self::Manifest(
                require_repository(front)?,
                ManifestName::parse(name)?,
            )),
            ("referrers", digest) => Ok(Self::Referrers(
                require_repository(front)?,
                require_digest(digest)?,
            )),
            ("tags", "list") => Ok(Self::Tags(require_repository(front)?)),
            _ => Err(not_found()),
        }
    }
}

impl ManifestName {
    fn parse(text: &str) -> Result<Self, Refused> {
        if text.contains(':') {
            return require_digest(text).map(Self::Digest);
        }
        let text = text.to_owned();
        Ok(if is_tag(&text) {
            Self::Tag(text)
        } else {
            Self::Unusable(text)
        })
    }
}

/// The part of an address behind the question mark.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// Returns the first value of a name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let pair = self.0.iter().find(|pair| pair.0 == name)?;
        Some(&pair.1)
    }

    /// Returns a digest that is asked for.
    pub(crate) fn digest(&self, name: &str) -> Result<Option<Digest>, Refused> {
        self.value(name).map(require_digest).transpose()
    }

    /// Returns the number of entries that a page shall have at most.
    pub(crate) fn page(&self) -> Result<Option<usize>, Refused> {
        let Some(text) = self.value("n") else {
            return Ok(None);
        };
        let number = text.parse().map_err(|_| {
            let message = format!("n must be a number of entries, not {text:?}");
            Refused::invalid(RefusalCode::Unsupported, message)
        });
        number.map(Some)
    }
}

fn require_repository(text: &str) -> Result<&str, Refused> {
    if is_repository(text) {
        return Ok(text);
    }
    let message = format!(
        "{text:?} is not a repository: expected lower-case letters, digits, and . _ - / between them"
    );
    Err(Refused::invalid(RefusalCode::NameInvalid, message))
}

fn require_digest(text: &str) -> Result<Digest, Refused> {
    Digest::parse(text).ok_or_else(|| {
        let message =
            format!("{text:?} is not a digest: expected sha256: and 64 hex digits in lower case");
        Refused::invalid(RefusalCode::DigestInvalid, message)
    })
}

fn not_found() -> Refused {
    let message = "a registry has nothing at this address";
    Refused::new(StatusCode::NOT_FOUND, RefusalCode::Unsupported, message)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_bundle::digest::DigestAlgorithm;

    use super::*;

    #[test]
    fn names_with_slashes_and_with_the_protocols_words_are_read_from_the_end() {
        let digest = || DigestAlgorithm::Sha256.digest(b"x");
        let rows = [
            ("/v2/".to_owned(), Endpoint::Base),
            ("/v2".to_owned(), Endpoint::Base),
            ("/v2/_catalog".to_owned(), Endpoint::Catalog),
            ("/v2/a/b/tags/list".to_owned(), Endpoint::Tags("a/b")),
            (
                "/v2/a/manifests/v1".to_owned(),
                Endpoint::Manifest("a", ManifestName::Tag("v1".into())),
            ),
            (
                format!("/v2/blobs/uploads/manifests/{}", digest()),
                Endpoint::Manifest("blobs/uploads", ManifestName::Digest(digest())),
            ),
            (
                format!("/v2/a/blobs/{}", digest()),
                Endpoint::Blob("a", digest()),
            ),
            (
                "/v2/a/b/blobs/uploads/".to_owned(),
                Endpoint::Uploads("a/b"),
            ),
            ("/v2/a/blobs/uploads".to_owned(), Endpoint::Uploads("a")),
            (
                "/v2/a/blobs/uploads/7f".to_owned(),
                Endpoint::Upload("a", "7f"),
            ),
            (
                format!("/v2/a/referrers/{}", digest()),
                Endpoint::Referrers("a", digest()),
            ),
        ];
        for (path, expected) in rows {
            assert_eq!(Endpoint::parse(&path).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn addresses_of_nothing_are_refused() {
        for path in [
            "/v2/a",
            "/v2/a/b",
            "/v2/A/tags/list",
            "/v2/../tags/list",
            "/v2/a//blobs/uploads/",
            "/v2/_blobs/tags/list",
            "/v2/a/blobs/sha256:00",
            "/v2/a/manifests/md5:00",
            "/v2/tags/list",
        ] {
            assert!(Endpoint::parse(path).is_err(), "{path}");
        }
    }
}
