//! Small images for tests: a configuration, a layer, a manifest; and an index of several.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;
use stella_bundle::digest::DigestAlgorithm;
use stella_client::error::ClientError;
use stella_client::registry::Repository;
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, Manifest, ManifestKind, RawManifest};

/// An image with everything that it names.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its manifest.
    pub manifest: RawManifest,
    /// Configuration and layers.
    pub blobs: Vec<(Descriptor, Bytes)>,
}

impl Image {
    /// Makes the image for a platform; another seed makes another one.
    #[must_use]
    pub fn new(seed: &str, architecture: &str) -> Self {
        let config = json!({"os": "linux", "architecture": architecture, "seed": seed,
            "rootfs": {"type": "layers", "diff_ids": []}});
        let config = blob(media::CONFIG, config.to_string().into_bytes());
        let layer = blob(
            "application/vnd.oci.image.layer.v1.tar",
            format!("layer of {seed} for {architecture}").into_bytes(),
        );
        let manifest = Manifest {
            media_type: media::MANIFEST.to_owned(),
            artifact_type: None,
            kind: ManifestKind::Image {
                config: config.0.clone(),
                layers: vec![layer.0.clone()],
            },
            subject: None,
            annotations: BTreeMap::new(),
        };
        Self {
            manifest: RawManifest::new(media::MANIFEST, manifest.to_bytes().into()),
            blobs: vec![config, layer],
        }
    }

    /// Pushes the image under a tag, or under its digest.
    ///
    /// # Errors
    /// What the registry says.
    pub async fn push(&self, repository: &Repository, reference: &str) -> Result<(), ClientError> {
        for (blob, bytes) in &self.blobs {
            repository.put_blob(&blob.digest, bytes.clone()).await?;
        }
        push(repository, reference, &self.manifest).await
    }
}

/// Puts a manifest, such as an index whose images are there already.
///
/// # Errors
/// What the registry says.
pub async fn push(
    repository: &Repository,
    reference: &str,
    manifest: &RawManifest,
) -> Result<(), ClientError> {
    let bytes = manifest.bytes.clone();
    repository
        .put_manifest(reference, &manifest.media_type, bytes)
        .await?;
    Ok(())
}

/// Makes the index of images, each with its architecture.
#[must_use]
pub fn index(images: &[(&Image, &str)]) -> RawManifest {
    let listed = images.iter().map(|(image, architecture)| {
        let mut descriptor = image.manifest.descriptor();
        let platform = json!({"os": "linux", "architecture": architecture});
        descriptor.rest.insert("platform".to_owned(), platform);
        descriptor
    });
    let index = Manifest::index(media::INDEX.to_owned(), listed.collect());
    RawManifest::new(media::INDEX, index.to_bytes().into())
}

fn blob(media_type: &str, bytes: Vec<u8>) -> (Descriptor, Bytes) {
    let digest = DigestAlgorithm::Sha256.digest(&bytes);
    let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
    (descriptor, bytes.into())
}
