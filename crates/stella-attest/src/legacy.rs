//! Attach a signature or attestation as cosign before v3 did, for readers that know nothing newer.
//!
//! All of an image's signatures stand in one manifest under one tag, and registries know no "only if unchanged": of two
//! who write at once one may lose, and what is lost is noticed by reading back. Nothing of ours depends on it; what
//! [`crate::attach`] wrote is kept by other means.

use std::collections::BTreeMap;
use std::time::Duration;

use stella_bundle::bundle::{Bundle, Content, KeyMaterial};
use stella_bundle::digest::Digest;
use stella_bundle::{json, legacy, pem};
use stella_client::error::{AnswerProblem, ClientError, Service};
use stella_client::registry::{RegistryProblem, Repository};
use stella_wire::registry::attachment::legacy_tags;
use stella_wire::registry::legacy::{
    ENVELOPE, LegacyLayer, SIMPLE_SIGNING, annotation, with_layer,
};
use stella_wire::registry::{Manifest, ManifestKind};

/// How often it is tried again when another writer was faster.
const ATTEMPTS: u32 = 8;
/// The pause before the first repetition; each further one is longer.
const PAUSE: Duration = Duration::from_millis(50);

/// Whether it stands there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It does.
    There,
    /// Others kept writing over it.
    Contended,
}

/// Returns the envelope of a statement's bundle as it stands in a layer; none for anything else.
#[must_use]
pub fn envelope_bytes(bundle: &Bundle) -> Option<Vec<u8>> {
    match &bundle.content {
        Content::Envelope(envelope) => serde_json::to_vec(envelope).ok(),
        _ => None,
    }
}

/// Attaches a statement to an image as older readers expect it. `envelope` is [`envelope_bytes`] of its bundle, over which
/// `timestamp` is, for that is what they look at: not the bundle's own, which is over the signature.
///
/// # Errors
/// Any [`ClientError`] of a request; `Answer` when something else stands under the tag.
pub async fn attach_attestation(
    repository: &Repository,
    image: &Digest,
    bundle: &Bundle,
    (envelope, timestamp): (Vec<u8>, Option<&[u8]>),
    predicate_type: &str,
) -> Result<Added, ClientError> {
    let mut annotations = annotations(bundle);
    let kind = (annotation::PREDICATE_TYPE, predicate_type);
    for (name, value) in [kind, (annotation::SIGNATURE, "")] {
        annotations.insert(name.to_owned(), value.to_owned());
    }
    add_timestamp(&mut annotations, timestamp);
    let [_, tag, _] = legacy_tags(image);
    let layer = LegacyLayer::new(ENVELOPE, envelope, annotations);
    add(repository, &tag, layer).await
}

/// Attaches a simple signature to an image: `bundle` holds the signature over `payload`, which names the image.
///
/// # Errors
/// Any [`ClientError`] of a request; `Answer` when something else stands under the tag.
pub async fn attach_signature(
    repository: &Repository,
    image: &Digest,
    payload: &[u8],
    bundle: &Bundle,
) -> Result<Added, ClientError> {
    let mut annotations = annotations(bundle);
    let signature = json::encode_base64(bundle.content.signature());
    annotations.insert(annotation::SIGNATURE.to_owned(), signature);
    add_timestamp(
        &mut annotations,
        bundle.timestamps.first().map(Vec::as_slice),
    );
    let [tag, ..] = legacy_tags(image);
    let layer = LegacyLayer::new(SIMPLE_SIGNING, payload.to_vec(), annotations);
    add(repository, &tag, layer).await
}

/// Returns what else belongs to a signature: certificates, and the log's promise where it gave one.
fn annotations(bundle: &Bundle) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    if let KeyMaterial::Certificates(chain) = &bundle.key
        && let Some((leaf, above)) = chain.split_first()
    {
        let pem = |der: &Vec<u8>| pem::encode("CERTIFICATE", der);
        let above: String = above.iter().map(pem).collect();
        annotations.insert(annotation::CERTIFICATE.to_owned(), pem(leaf));
        annotations.insert(annotation::CHAIN.to_owned(), above);
    }
    if let Some(text) = bundle.entries.iter().find_map(legacy::write_rekor_bundle) {
        annotations.insert(annotation::BUNDLE.to_owned(), text);
    }
    annotations
}

fn add_timestamp(annotations: &mut BTreeMap<String, String>, timestamp: Option<&[u8]>) {
    if let Some(timestamp) = timestamp {
        let text = legacy::write_timestamp(timestamp);
        annotations.insert(annotation::TIMESTAMP.to_owned(), text);
    }
}

/// Adds a layer to the manifest under a tag, and sees to it that it is there afterwards.
async fn add(repository: &Repository, tag: &str, layer: LegacyLayer) -> Result<Added, ClientError> {
    let LegacyLayer { descriptor, bytes } = layer;
    repository
        .put_blob(&descriptor.digest, bytes.into())
        .await?;
    for attempt in 0..ATTEMPTS {
        let present = read(repository, tag).await?;
        let Some((manifest, config)) = with_layer(present.as_ref(), &descriptor) else {
            return Ok(Added::There);
        };
        if attempt > 0 {
            tokio::time::sleep(PAUSE * attempt).await;
        }
        if let ManifestKind::Image { config: name, .. } = &manifest.kind {
            repository.put_blob(&name.digest, config.into()).await?;
        }
        let bytes = manifest.to_bytes().into();
        let put = repository.put_manifest(tag, &manifest.media_type, bytes);
        put.await?;
    }
    let present = read(repository, tag).await?;
    let is_there = with_layer(present.as_ref(), &descriptor).is_none();
    Ok(if is_there {
        Added::There
    } else {
        Added::Contended
    })
}

/// Reads what stands under a tag; what is no image of layers is left alone.
async fn read(repository: &Repository, tag: &str) -> Result<Option<Manifest>, ClientError> {
    let problem = |problem: RegistryProblem| {
        ClientError::answer(Service::Registry, AnswerProblem::Registry(problem))
    };
    let Some(raw) = repository.manifest(tag).await? else {
        return Ok(None);
    };
    let manifest = raw.parse().map_err(|error| problem(error.into()))?;
    match manifest.kind {
        ManifestKind::Image { .. } => Ok(Some(manifest)),
        _ => Err(problem(RegistryProblem::Occupied {
            tag: tag.to_owned(),
        })),
    }
}
