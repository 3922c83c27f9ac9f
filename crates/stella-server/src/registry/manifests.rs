//! Manifests: put, read, deleted (distribution spec, "Pushing manifests", "Pulling manifests", "Deleting tags",
//! "Deleting manifests").

use http::{HeaderValue, StatusCode, header, request};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_wire::registry::{
    Descriptor, MAX_MANIFEST, Manifest, OCI_SUBJECT, RawManifest, RefusalCode, manifest_path,
};

use super::body::{Body, Received};
use super::refused::Refused;
use super::route::ManifestName;
use super::store::Repository;
use super::{Rooms, blobs};

/// Bytes of an artifact type.
const MAX_TYPE: usize = 255;

impl Rooms {
    pub(crate) async fn read_manifest(
        &self,
        repository: &str,
        name: ManifestName,
    ) -> Result<http::Response<Body>, Refused> {
        let repository = repository.to_owned();
        let raw = self
            .on_disk(move |store| find(&store.repository(&repository), &name))
            .await?;
        let mut response = http::Response::new(Body::Whole(raw.bytes));
        let headers = response.headers_mut();
        // It was put there with this type; what cannot stand in a header cannot have been.
        if let Ok(media_type) = HeaderValue::from_str(&raw.media_type) {
            headers.insert(header::CONTENT_TYPE, media_type);
        }
        blobs::insert_digest(headers, &raw.digest);
        Ok(response)
    }

    pub(crate) async fn put_manifest(
        &self,
        repository: &str,
        name: ManifestName,
        head: &request::Parts,
        body: &mut Received,
    ) -> Result<http::Response<Body>, Refused> {
        // 1. What comes.
        let media_type = head.headers.get(header::CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok());
        let bytes = body.whole(MAX_MANIFEST).await?;
        let manifest = Manifest::parse(&bytes, media_type.unwrap_or_default())?;
        require_short_type(&manifest)?;
        // 2. Under which name.
        let digest = match &name {
            ManifestName::Digest(expected) => {
                let found = expected.algorithm().digest(&bytes);
                require_equal(expected, &found)?;
                found
            }
            ManifestName::Tag(_) => DigestAlgorithm::Sha256.digest(&bytes),
            ManifestName::Unusable(found) => return Err(name_unusable(found)),
        };
        // 3. Into the repository, if that has what the manifest names.
        let subject = manifest.subject.as_ref().map(|named| named.digest.clone());
        let raw = RawManifest {
            media_type: manifest.media_type.clone(),
            digest: digest.clone(),
            bytes,
        };
        let (owned, repository) = (repository.to_owned(), repository);
        self.on_disk(move |store| {
            let _adding = store.adding();
            let repository = store.repository(&owned);
            require_named(&repository, &manifest)?;
            repository.add_manifest(&raw, &manifest)?;
            // The tag comes last: whoever follows it finds everything.
            if let ManifestName::Tag(tag) = &name {
                repository.tag(tag, &raw.digest)?;
            }
            Ok(())
        })
        .await?;
        let location = manifest_path(repository, &digest.to_string());
        let mut response = blobs::created(&location, &digest);
        if let Some(subject) = subject.and_then(|subject| header_value(&subject)) {
            response.headers_mut().insert(OCI_SUBJECT, subject);
        }
        Ok(response)
    }

    pub(crate) async fn delete_manifest(
        &self,
        repository: &str,
        name: ManifestName,
    ) -> Result<http::Response<Body>, Refused> {
        let repository = repository.to_owned();
        self.on_disk(move |store| {
            let _alone = store.alone();
            let repository = store.repository(&repository);
            match &name {
                ManifestName::Tag(tag) if repository.remove_tag(tag)? => Ok(()),
                ManifestName::Tag(name) | ManifestName::Unusable(name) => {
                    Err(Refused::manifest_unknown(name))
                }
                ManifestName::Digest(digest) if repository.has_manifest(digest)? => {
                    Ok(repository.remove_manifest(digest)?)
                }
                ManifestName::Digest(digest) => Err(Refused::manifest_unknown(&digest.to_string())),
            }
        })
        .await?;
        Ok(blobs::empty(StatusCode::ACCEPTED))
    }
}

fn find(repository: &Repository<'_>, name: &ManifestName) -> Result<RawManifest, Refused> {
    let digest = match name {
        ManifestName::Digest(digest) => digest.clone(),
        ManifestName::Tag(tag) => repository
            .tagged(tag)?
            .ok_or_else(|| Refused::manifest_unknown(tag))?,
        ManifestName::Unusable(name) => return Err(Refused::manifest_unknown(name)),
    };
    let found = repository.manifest(&digest)?;
    found.ok_or_else(|| Refused::manifest_unknown(&digest.to_string()))
}

/// Requires that lists can show the manifest's type.
// spec: RFC 6838 §4.2: a type and a subtype of at most 127 characters each.
fn require_short_type(manifest: &Manifest) -> Result<(), Refused> {
    let length = manifest.listed_type().map_or(0, str::len);
    if length <= MAX_TYPE {
        return Ok(());
    }
    let message = format!("an artifact type of {length} bytes is longer than {MAX_TYPE}");
    Err(Refused::invalid(RefusalCode::ManifestInvalid, message))
}

/// Requires that the repository has what a manifest names. Its subject may be missing, and come later or never.
// spec: distribution spec, "Pushing Manifests with Subject".
fn require_named(repository: &Repository<'_>, manifest: &Manifest) -> Result<(), Refused> {
    for blob in manifest.blobs() {
        // Who made an image may say that a layer is to be had elsewhere, and is not for registries.
        if !repository.has_blob(&blob.digest)? && !is_elsewhere(blob) {
            return Err(missing("blob", &blob.digest));
        }
    }
    for named in manifest.manifests() {
        let is_there = repository.has_manifest(&named.digest)?
            || !named.is_manifest() && repository.has_blob(&named.digest)?;
        if !is_there {
            return Err(missing("manifest", &named.digest));
        }
    }
    Ok(())
}

fn is_elsewhere(blob: &Descriptor) -> bool {
    let urls = blob.rest.get("urls").and_then(|urls| urls.as_array());
    urls.is_some_and(|urls| !urls.is_empty())
}

fn missing(kind: &str, digest: &Digest) -> Refused {
    let message = format!("the repository does not have the {kind} {digest}: push it first");
    Refused::invalid(RefusalCode::ManifestBlobUnknown, message)
}

fn name_unusable(found: &str) -> Refused {
    let message = format!(
        "{found:?} is not a tag: expected at most 128 letters, digits, and . _ -, a letter, digit or _ first"
    );
    Refused::invalid(RefusalCode::ManifestInvalid, message)
}

/// Requires that content has the digest that was said.
pub(crate) fn require_equal(expected: &Digest, found: &Digest) -> Result<(), Refused> {
    if expected == found {
        return Ok(());
    }
    let message = format!("the content's digest is {found}, not {expected}");
    Err(Refused::invalid(RefusalCode::DigestInvalid, message))
}

fn header_value(digest: &Digest) -> Option<HeaderValue> {
    HeaderValue::from_str(&digest.to_string()).ok()
}
