//! The demo's image: pushed into the instance's registry, its verdict beside it, both carried away in one file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use stella_attest::attach;
use stella_attest::collect::{self, Wanted};
use stella_attest::layout::Layout;
use stella_attest::mirror::{self, Item, Options};
use stella_attest::sign::Signed;
use stella_attest::storage::Storage;
use stella_attest::verify::Candidate;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_client::registry::credentials::Credential;
use stella_client::registry::{Registry, Repository};
use stella_server::Sigstore;
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, Manifest, ManifestKind, RawManifest};

use super::URL;
use crate::exit::{self, Failure};
use crate::registry::collect_failure;

/// What the image is called in its repository.
const TAG: &str = "v1";
/// The repository.
const REPOSITORY: &str = "demo/app";

/// Returns the repository of the instance in this process.
pub(super) fn repository(sigstore: &Sigstore) -> Repository {
    let transport = Arc::new(sigstore.clone());
    let registry = Registry::at(transport, URL, Credential::Anonymous);
    Repository::new(Arc::new(registry), REPOSITORY)
}

/// Pushes an image of one layer, and returns what names it.
pub(super) async fn push(repository: &Repository, layer: &[u8]) -> Result<Descriptor, Failure> {
    let config = json!({"os": "linux", "architecture": std::env::consts::ARCH,
        "rootfs": {"type": "layers", "diff_ids": []}});
    let config = blob(repository, media::CONFIG, config.to_string().as_bytes()).await?;
    let layer = blob(repository, "application/vnd.oci.image.layer.v1.tar", layer).await?;
    let manifest = Manifest {
        media_type: media::MANIFEST.to_owned(),
        artifact_type: None,
        kind: ManifestKind::Image {
            config,
            layers: vec![layer],
        },
        subject: None,
        annotations: BTreeMap::new(),
    };
    let raw = RawManifest::new(media::MANIFEST, manifest.to_bytes().into());
    repository
        .put_manifest(TAG, &raw.media_type, raw.bytes.clone())
        .await?;
    Ok(raw.descriptor())
}

async fn blob(
    repository: &Repository,
    media_type: &str,
    bytes: &[u8],
) -> Result<Descriptor, Failure> {
    let digest = DigestAlgorithm::Sha256.digest(bytes);
    repository.put_blob(&digest, bytes.to_vec().into()).await?;
    Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
}

/// Attaches a signed verdict to the image.
pub(super) async fn attach(
    repository: &Repository,
    image: &Descriptor,
    signed: &Signed,
) -> Result<(), Failure> {
    let facts = signed.verified.facts();
    let statement = facts.statement.as_ref();
    let predicate_type = statement.map_or("", |statement| &statement.predicate_type);
    let time = facts.times.first().map(|time| time.time.to_string());
    let created = time.unwrap_or_default();
    attach::attach(repository, image, &signed.bytes, predicate_type, &created).await?;
    Ok(())
}

/// Copies the image with everything that is attached to it into one file.
pub(super) async fn carry_away(repository: Repository, file: &Path) -> Result<(), Failure> {
    let layout = Layout::create_tar(file).map_err(internal)?;
    let (items, options) = ([Item::same(TAG)], Options::default());
    let copied = mirror::sync(Arc::new(repository), Arc::new(layout), &items, &options);
    copied.await.map_err(internal)?;
    Ok(())
}

/// Finds the image and its attestations in the file.
pub(super) async fn open(file: &Path) -> Result<(Digest, Vec<Candidate>), Failure> {
    let layout = Layout::open(file).map_err(internal)?;
    let image = Storage::manifest(&layout, TAG).await.map_err(internal)?;
    let image = image.ok_or_else(|| internal("the file has no image"))?;
    let candidates = collect::collect_from(&layout, &image.digest, Wanted::default())
        .await
        .map_err(collect_failure)?;
    Ok((image.digest, candidates))
}

fn internal(error: impl ToString) -> Failure {
    Failure::new(exit::INTERNAL, error.to_string())
}
