//! Collect the attestations of an image: one look at what refers to it, then only what may matter, side by side.
//!
//! What comes out are candidates: whether they hold is decided by `verify`. A transient error is never an empty list.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use stella_bundle::bundle::{Bundle, KeyMaterial, MAX_BUNDLE};
use stella_bundle::certificate::Certificate;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::legacy::{self, LegacyError, Pieces};
use stella_client::error::ClientError;
use stella_client::registry::Repository;
use stella_wire::registry::attachment::{self, PREDICATE_TYPE, as_listed, is_bundle, legacy_tags};
use stella_wire::registry::legacy::{ENVELOPE, SIMPLE_SIGNING, annotation};
use stella_wire::registry::{Descriptor, Manifest, ManifestError, RawManifest};

use crate::cache::Cache;
use crate::referrers::{self, Look, Place, Referrer};
use crate::storage::{Storage, StorageError};
use crate::verify::{Candidate, Found, Source};

/// So many requests are under way at once.
const AT_ONCE: usize = 16;

/// More attestations of one image than this are refused unless told otherwise.
pub const MAX_ATTESTATIONS: usize = 1000;

/// What to collect.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Says whether statements of a type (a URI) matter. Where a list does not say the type, the attestation is read.
    pub matters: &'a (dyn Fn(&str) -> bool + Sync),
    /// How closely to look where the registry keeps no list.
    pub look: Look,
    /// More attestations than this are refused.
    pub most: usize,
    /// Where manifests and bundles that were read before may be.
    pub cache: Option<&'a Cache>,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            matters: &|_| true,
            look: Look::Index,
            most: MAX_ATTESTATIONS,
            cache: None,
        }
    }
}

/// What was collected.
#[derive(Debug)]
pub struct Collected {
    /// What may speak of the image.
    pub attested: Vec<Attested>,
    /// What is listed and not there: garbage collection takes what only an index names.
    pub gone: Vec<Digest>,
    /// Whether nothing more could be found by [`Look::Thorough`].
    pub is_thorough: bool,
}

/// What may be an attestation.
#[derive(Debug)]
pub struct Attested {
    /// For the rules.
    pub candidate: Candidate,
    /// The manifest that attaches it; none for a layer of an older one.
    pub manifest: Option<Descriptor>,
}

/// The ways in which nothing is collected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// A request failed, or what came is not what it must be.
    #[error(transparent)]
    Registry(#[from] ClientError),
    /// A layout on this machine is of no use.
    #[error(transparent)]
    Storage(StorageError),
    /// What a list names is not there.
    #[error("{digest} is listed and not there")]
    Gone {
        /// A manifest.
        digest: Digest,
    },
    /// A listed manifest is none.
    #[error("{digest}: {error}")]
    Manifest {
        /// Its digest.
        digest: Digest,
        /// What is wrong with it.
        error: ManifestError,
    },
    /// A bundle is larger than any honest one.
    #[error("the attestation {digest} has {size} bytes, more than {MAX_BUNDLE}")]
    TooLarge {
        /// The layer's digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// There are more attestations than asked for at most.
    #[error("{found} attestations, more than {most}")]
    TooMany {
        /// How many.
        found: usize,
        /// The limit.
        most: usize,
    },
}

impl From<StorageError> for CollectError {
    /// A registry that is away is a registry that is away, by whichever door it was asked.
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Registry(error) => Self::Registry(error),
            other => Self::Storage(other),
        }
    }
}

impl Collected {
    /// Returns what is for the rules.
    pub fn into_candidates(self) -> Vec<Candidate> {
        let candidates = self.attested.into_iter();
        candidates.map(|each| each.candidate).collect()
    }
}

/// Collects what may speak of `subject`.
///
/// # Errors
/// Any [`CollectError`].
pub async fn collect(
    repository: &Repository,
    subject: &Digest,
    wanted: Wanted<'_>,
) -> Result<Collected, CollectError> {
    // 1. Everything that refers to the image, and the tags of older cosign.
    let [signatures, attestations, _] = legacy_tags(subject);
    let (listed, signatures, attestations) = tokio::join!(
        referrers::list(repository, subject, wanted.look),
        repository.manifest(&signatures),
        repository.manifest(&attestations),
    );
    let listed = listed?;
    // 2. Only what may matter.
    let referrers: Vec<Referrer> = listed
        .referrers
        .into_iter()
        .filter(|each| may_matter(&each.descriptor, wanted))
        .collect();
    let mut older = Vec::new();
    for raw in [signatures?, attestations?].into_iter().flatten() {
        older.extend(parse(&raw)?.layers().to_vec());
    }
    let found = referrers.len() + older.len();
    if found > wanted.most {
        let most = wanted.most;
        return Err(CollectError::TooMany { found, most });
    }
    // 3. Side by side, in the order of the lists.
    let shelves = Shelves {
        repository,
        cache: wanted.cache,
    };
    let newer = stream::iter(referrers).map(|each| read_referrer(&shelves, each));
    let newer: Vec<Read> = newer.buffered(AT_ONCE).try_collect().await?;
    let older = stream::iter(older).map(|layer| read_older(&shelves, layer));
    let older: Vec<Read> = older.buffered(AT_ONCE).try_collect().await?;
    let (mut attested, mut gone) = (Vec::new(), Vec::new());
    for read in newer.into_iter().chain(older) {
        match read {
            Read::Attested(found) => attested.push(*found),
            Read::Gone(digest) => gone.push(digest),
            Read::SomethingElse => {}
        }
    }
    Ok(Collected {
        attested,
        gone,
        is_thorough: listed.is_thorough,
    })
}

/// Collects what may speak of `subject` from a place that is no registry: an OCI layout.
///
/// # Errors
/// Any [`CollectError`].
pub async fn collect_from(
    storage: &dyn Storage,
    subject: &Digest,
    wanted: Wanted<'_>,
) -> Result<Vec<Candidate>, CollectError> {
    let mut candidates = Vec::new();
    for listed in storage.referrers(subject).await? {
        if !may_matter(&listed, wanted) {
            continue;
        }
        let digest = &listed.digest;
        let raw = storage.manifest(&digest.to_string()).await?;
        let raw = raw.ok_or_else(|| CollectError::Gone {
            digest: digest.clone(),
        })?;
        let manifest = parse(&raw)?;
        let Some(layer) = bundle_layer(&manifest) else {
            continue;
        };
        if candidates.len() == wanted.most {
            let (found, most) = (wanted.most + 1, wanted.most);
            return Err(CollectError::TooMany { found, most });
        }
        candidates.push(Candidate {
            digest: layer.digest.clone(),
            source: Source::Layout,
            found: Found::Bytes(Ok(read_blob(storage, layer).await?)),
            held: None,
        });
    }
    Ok(candidates)
}

/// Reads a layer whole. That it is the one that was named is for the rules: a bundle proves itself.
async fn read_blob(storage: &dyn Storage, layer: &Descriptor) -> Result<Vec<u8>, CollectError> {
    require_bounded(layer)?;
    if let Some(inline) = layer.data() {
        return Ok(inline);
    }
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < layer.size {
        let part = storage.blob_part(layer, bytes.len() as u64).await?;
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// Says whether a listed manifest may be an attestation that is asked for: what a list leaves out is no reason to pass over.
fn may_matter(descriptor: &Descriptor, wanted: Wanted<'_>) -> bool {
    let artifact_type = descriptor.artifact_type.as_deref().unwrap_or_default();
    if !artifact_type.is_empty() && !is_bundle(artifact_type) {
        // Before OCI 1.1 lists showed an artifact by the type of its configuration.
        return artifact_type == attachment::empty_config().media_type;
    }
    let stated = descriptor.annotations.get(PREDICATE_TYPE);
    stated.is_none_or(|stated| (wanted.matters)(stated))
}

/// Where things that have a digest are read: here if they were read before, else in the registry.
struct Shelves<'a> {
    repository: &'a Repository,
    cache: Option<&'a Cache>,
}

impl Shelves<'_> {
    /// Reads a listed manifest; none when the registry has it no more.
    async fn manifest(&self, listed: &Descriptor) -> Result<Option<RawManifest>, ClientError> {
        let digest = &listed.digest;
        if let Some(bytes) = self.cache.and_then(|cache| cache.get(digest)) {
            return Ok(Some(RawManifest {
                media_type: listed.media_type.clone(),
                digest: digest.clone(),
                bytes,
            }));
        }
        let raw = self.repository.manifest(&digest.to_string()).await?;
        if let (Some(cache), Some(raw)) = (self.cache, &raw) {
            cache.put(digest, &raw.bytes);
        }
        Ok(raw)
    }

    /// Reads a layer whole.
    async fn layer(&self, layer: &Descriptor) -> Result<Bytes, CollectError> {
        require_bounded(layer)?;
        if let Some(inline) = layer.data() {
            return Ok(Bytes::from(inline));
        }
        if let Some(bytes) = self.cache.and_then(|cache| cache.get(&layer.digest)) {
            return Ok(bytes);
        }
        let limit = usize::try_from(layer.size).unwrap_or(MAX_BUNDLE);
        let bytes = self.repository.blob(layer, limit).await?;
        if let Some(cache) = self.cache {
            cache.put(&layer.digest, &bytes);
        }
        Ok(bytes)
    }
}

/// What a listed thing came to.
enum Read {
    Attested(Box<Attested>),
    Gone(Digest),
    /// No bundle after all.
    SomethingElse,
}

/// Reads the bundle of a manifest.
async fn read_referrer(shelves: &Shelves<'_>, referrer: Referrer) -> Result<Read, CollectError> {
    let digest = &referrer.descriptor.digest;
    let Some(raw) = shelves.manifest(&referrer.descriptor).await? else {
        return Ok(Read::Gone(digest.clone()));
    };
    let manifest = parse(&raw)?;
    let Some(layer) = bundle_layer(&manifest) else {
        return Ok(Read::SomethingElse);
    };
    let bytes = shelves.layer(layer).await?;
    let candidate = Candidate {
        digest: layer.digest.clone(),
        source: match referrer.place {
            Place::Referrers => Source::Referrers,
            Place::FallbackIndex => Source::FallbackIndex,
            Place::OwnTag => Source::OwnTag,
        },
        found: Found::Bytes(Ok(bytes.to_vec())),
        held: None,
    };
    let size = raw.bytes.len() as u64;
    Ok(Read::Attested(Box::new(Attested {
        candidate,
        manifest: Some(as_listed(&manifest, raw.digest.clone(), size)),
    })))
}

fn parse(raw: &RawManifest) -> Result<Manifest, CollectError> {
    raw.parse().map_err(|error| CollectError::Manifest {
        digest: raw.digest.clone(),
        error,
    })
}

/// An attestation has one layer, and that is a bundle.
fn bundle_layer(manifest: &Manifest) -> Option<&Descriptor> {
    match manifest.layers() {
        [layer] if is_bundle(&layer.media_type) => Some(layer),
        _ => None,
    }
}

fn require_bounded(layer: &Descriptor) -> Result<(), CollectError> {
    if layer.size <= MAX_BUNDLE as u64 {
        return Ok(());
    }
    Err(CollectError::TooLarge {
        digest: layer.digest.clone(),
        size: layer.size,
    })
}

/// Reads a layer of cosign's older manifests.
async fn read_older(shelves: &Shelves<'_>, layer: Descriptor) -> Result<Read, CollectError> {
    if layer.media_type != SIMPLE_SIGNING && layer.media_type != ENVELOPE {
        return Ok(Read::SomethingElse);
    }
    let bytes = shelves.layer(&layer).await?;
    let candidate = Candidate {
        digest: DigestAlgorithm::Sha256.digest(&bytes),
        source: Source::LegacyTag,
        found: Found::Pieces(put_together(&layer, &bytes).map(Box::new)),
        held: None,
    };
    Ok(Read::Attested(Box::new(Attested {
        candidate,
        manifest: None,
    })))
}

/// Makes a bundle of a layer and its annotations.
fn put_together(layer: &Descriptor, bytes: &[u8]) -> Result<Bundle, LegacyError> {
    let said = |name: &str| layer.annotations.get(name).filter(|text| !text.is_empty());
    let certificate = said(annotation::CERTIFICATE).map(|leaf| {
        let chain = said(annotation::CHAIN).map_or("", String::as_str);
        format!("{leaf}\n{chain}")
    });
    let timestamp = said(annotation::TIMESTAMP)
        .map(|text| legacy::read_timestamp(text.as_bytes()))
        .transpose()?;
    let entry = said(annotation::BUNDLE)
        .map(|text| legacy::read_rekor_bundle(text.as_bytes()))
        .transpose()?;
    let certificate = certificate.as_deref().map(str::as_bytes);
    let timestamp = timestamp.as_deref();
    let pieces = if layer.media_type == ENVELOPE {
        Pieces {
            signature: bytes,
            payload: None,
            certificate,
            timestamp,
            entry,
        }
    } else {
        Pieces {
            signature: said(annotation::SIGNATURE).map_or(&[], |text| text.as_bytes()),
            payload: Some(bytes),
            certificate,
            timestamp,
            entry,
        }
    };
    let mut bundle = pieces.to_bundle()?;
    if let KeyMaterial::Certificates(chain) = &mut bundle.key {
        // cosign wrote the whole chain down; an anchor comes from the verifier and never from a signer.
        let is_anchor =
            |der: &[u8]| Certificate::parse(der).is_ok_and(|each| each.is_self_issued());
        let mut at = 0;
        chain.retain(|der| {
            at += 1;
            at == 1 || !is_anchor(der)
        });
    }
    Ok(bundle)
}

#[cfg(test)]
mod tests {
    use stella_client::error::Service;

    use super::*;

    #[test]
    fn a_registry_that_fails_behind_a_storage_is_no_refusal() {
        let (service, address) = (Service::Registry, "nowhere".to_owned());
        let away = StorageError::Registry(ClientError::Address { service, address });
        assert!(matches!(
            CollectError::from(away),
            CollectError::Registry(_)
        ));
        let layout = CollectError::from(StorageError::WriterFailed);
        assert!(matches!(layout, CollectError::Storage(_)));
    }
}
