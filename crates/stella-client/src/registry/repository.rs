//! One repository: manifests, small blobs, parts of large ones, lists.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, LINK, RANGE};
use http::{HeaderValue, Method, StatusCode};
use stella_bundle::digest::Digest;
use stella_wire::registry::manifest::media;
use stella_wire::registry::{
    self, Descriptor, MAX_LIST, MAX_MANIFEST, MAX_PAGES, MAX_WORDS, Manifest, RawManifest, TagList,
};
use stella_wire::transport::Response;

use super::access::{Asking, Registry, wrong};
use super::{RegistryProblem, Upload};
use crate::error::ClientError;

/// Tags asked for in one page.
const TAG_PAGE: usize = 1000;

/// What became of a manifest that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The registry says that it will list the manifest among its subject's referrers.
    Indexed,
    /// It says nothing of that.
    Stored,
}

/// A repository of a registry.
#[derive(Debug, Clone)]
pub struct Repository {
    registry: Arc<Registry>,
    name: String,
    pull: String,
    push: String,
}

impl Repository {
    /// Returns the repository of this name (`org/app`).
    #[must_use]
    pub fn new(registry: Arc<Registry>, name: &str) -> Self {
        Self {
            registry,
            name: name.to_owned(),
            pull: format!("repository:{name}:pull"),
            push: format!("repository:{name}:pull,push"),
        }
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the registry.
    #[must_use]
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Returns a manifest by tag or digest; none when the registry says that there is none.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused`, `Answer`: among others when the bytes have another digest.
    pub async fn manifest(&self, reference: &str) -> Result<Option<RawManifest>, ClientError> {
        let path = registry::manifest_path(&self.name, reference);
        let mut asking = Asking::get(&path, &self.pull, MAX_MANIFEST);
        let accept = HeaderValue::from_str(&media::ALL_MANIFESTS.join(", "));
        asking.headers.extend(accept.ok().map(|all| (ACCEPT, all)));
        let answer = self.registry.send(asking).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.registry.require_success(&path, &answer)?;
        let media_type = header(&answer, &CONTENT_TYPE);
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let mut manifest = RawManifest::new(media_type, answer.into_body());
        if let Some(expected) = Digest::parse(reference) {
            let found = expected.algorithm().digest(&manifest.bytes);
            if found != expected {
                return Err(wrong(RegistryProblem::DigestMismatch { expected, found }));
            }
            manifest.digest = expected;
        }
        Ok(Some(manifest))
    }

    /// Puts a manifest under a tag, or under its digest.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused`, `Answer`.
    pub async fn put_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Put, ClientError> {
        let path = registry::manifest_path(&self.name, reference);
        let mut asking = Asking::get(&path, &self.push, MAX_WORDS);
        asking.method = Method::PUT;
        asking.body = bytes;
        let media_type = HeaderValue::from_str(media_type);
        asking
            .headers
            .extend(media_type.ok().map(|value| (CONTENT_TYPE, value)));
        let answer = self.registry.send(asking).await?;
        self.registry.require_success(&path, &answer)?;
        Ok(match answer.headers().contains_key(registry::OCI_SUBJECT) {
            true => Put::Indexed,
            false => Put::Stored,
        })
    }

    /// Removes a manifest by digest, or a tag; `false` when there was none.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused` (some registries never delete).
    pub async fn delete_manifest(&self, reference: &str) -> Result<bool, ClientError> {
        let path = registry::manifest_path(&self.name, reference);
        let scope = format!("repository:{}:delete", self.name);
        let mut asking = Asking::get(&path, &scope, MAX_WORDS);
        asking.method = Method::DELETE;
        let answer = self.registry.send(asking).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        self.registry.require_success(&path, &answer)?;
        Ok(true)
    }

    /// Says whether a blob is there.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused`, `Answer`.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, ClientError> {
        let path = registry::blob_path(&self.name, digest);
        let mut asking = Asking::get(&path, &self.pull, MAX_WORDS);
        asking.method = Method::HEAD;
        let answer = self.registry.send(asking).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        self.registry.require_success(&path, &answer)?;
        Ok(true)
    }

    /// Returns a blob of at most `limit` bytes, whole and verified.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused` (404 when it is not there), `Answer`.
    pub async fn blob(&self, blob: &Descriptor, limit: usize) -> Result<Bytes, ClientError> {
        let path = registry::blob_path(&self.name, &blob.digest);
        let answer = self
            .registry
            .send(Asking::get(&path, &self.pull, limit))
            .await?;
        self.registry.require_success(&path, &answer)?;
        let bytes = answer.into_body();
        let found = blob.digest.algorithm().digest(&bytes);
        if found != blob.digest {
            let expected = blob.digest.clone();
            return Err(wrong(RegistryProblem::DigestMismatch { expected, found }));
        }
        Ok(bytes)
    }

    /// Returns a part of a blob. Only the whole can be verified: that is the caller's.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused`, `Answer`: among others when the registry sends another part.
    pub async fn blob_part(&self, digest: &Digest, part: Range<u64>) -> Result<Bytes, ClientError> {
        let path = registry::blob_path(&self.name, digest);
        let expected = part.end - part.start;
        // A registry that knows no ranges sends the whole: that serves for blobs of one part.
        let limit = usize::try_from(expected).unwrap_or(usize::MAX);
        let mut asking = Asking::get(&path, &self.pull, limit);
        let range = HeaderValue::from_str(&format!("bytes={}-{}", part.start, part.end - 1));
        asking
            .headers
            .extend(range.ok().map(|value| (RANGE, value)));
        let answer = self.registry.send(asking).await?;
        self.registry.require_success(&path, &answer)?;
        let is_part = answer.status() == StatusCode::PARTIAL_CONTENT;
        let found = answer.body().len() as u64;
        if found != expected || (!is_part && part.start != 0) {
            return Err(wrong(RegistryProblem::SizeMismatch { expected, found }));
        }
        Ok(answer.into_body())
    }

    /// Puts a small blob, unless it is there already.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused`, `Answer`.
    pub async fn put_blob(&self, digest: &Digest, bytes: Bytes) -> Result<(), ClientError> {
        if self.has_blob(digest).await? {
            return Ok(());
        }
        let upload = self.begin_upload().await?;
        upload.finish(digest, bytes).await
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused`, `Answer`.
    pub async fn begin_upload(&self) -> Result<Upload, ClientError> {
        Upload::begin(Arc::clone(&self.registry), &self.name, &self.push).await
    }

    /// Lists the manifests whose subject is `subject`; none when the registry knows no such list. A registry may filter by
    /// `artifact_type`, or not.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused`, `Answer`.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Option<Vec<Descriptor>>, ClientError> {
        let path = registry::referrers_path(&self.name, subject);
        let query = artifact_type.map(|wanted| {
            let mut query = url::form_urlencoded::Serializer::new(String::from("?"));
            query.append_pair("artifactType", wanted);
            query.finish()
        });
        let mut pages = Pages::new(format!("{path}{}", query.unwrap_or_default()));
        let mut found = Vec::new();
        while let Some(page) = pages.next()? {
            let mut asking = Asking::get(&page, &self.pull, MAX_LIST);
            asking
                .headers
                .push((ACCEPT, HeaderValue::from_static(media::INDEX)));
            let answer = self.registry.send(asking).await?;
            // Before the list was specified these are what registries said of an address that they do not know.
            if pages.is_first() && knows_no_list(&answer) {
                return Ok(None);
            }
            self.registry.require_success(&page, &answer)?;
            let list = Manifest::parse(answer.body(), &header(&answer, &CONTENT_TYPE))
                .map_err(|problem| wrong(RegistryProblem::Manifest(problem)))?;
            found.extend_from_slice(list.manifests());
            pages.follow(&answer);
        }
        Ok(Some(found))
    }

    /// Lists all tags; empty when the repository is not there.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused`, `Answer`.
    pub async fn tags(&self) -> Result<Vec<String>, ClientError> {
        let path = registry::tags_path(&self.name);
        let mut pages = Pages::new(format!("{path}?n={TAG_PAGE}"));
        let mut tags = Vec::new();
        while let Some(page) = pages.next()? {
            let answer = self
                .registry
                .send(Asking::get(&page, &self.pull, MAX_LIST))
                .await?;
            if pages.is_first() && answer.status() == StatusCode::NOT_FOUND {
                return Ok(Vec::new());
            }
            self.registry.require_success(&page, &answer)?;
            let list = TagList::parse(answer.body())
                .map_err(|problem| wrong(RegistryProblem::Words(problem)))?;
            tags.extend(list.tags);
            pages.follow(&answer);
        }
        Ok(tags)
    }
}

impl std::fmt::Display for Repository {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.registry.host(), self.name)
    }
}

/// The pages of a list, by their `Link` headers.
struct Pages {
    next: Option<String>,
    seen: HashSet<String>,
}

impl Pages {
    fn new(first: String) -> Self {
        Self {
            next: Some(first),
            seen: HashSet::new(),
        }
    }

    /// Returns the next page's address; none at the end.
    fn next(&mut self) -> Result<Option<String>, ClientError> {
        let Some(next) = self.next.take() else {
            return Ok(None);
        };
        if self.seen.len() == MAX_PAGES || !self.seen.insert(next.clone()) {
            return Err(wrong(RegistryProblem::EndlessList));
        }
        Ok(Some(next))
    }

    fn is_first(&self) -> bool {
        self.seen.len() == 1
    }

    fn follow(&mut self, answer: &Response) {
        let link = header(answer, &LINK);
        self.next = registry::next_page(&link).map(str::to_owned);
    }
}

fn knows_no_list(answer: &Response) -> bool {
    let is_other =
        answer.status().is_success() && !header(answer, &CONTENT_TYPE).starts_with(media::INDEX);
    is_other
        || matches!(
            answer.status(),
            StatusCode::NOT_FOUND
                | StatusCode::BAD_REQUEST
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_ACCEPTABLE
                | StatusCode::NOT_IMPLEMENTED
        )
}

fn header(answer: &Response, name: &http::HeaderName) -> String {
    let value = answer.headers().get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}
