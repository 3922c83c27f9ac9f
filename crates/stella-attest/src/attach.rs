//! Attach a bundle to an image: the blobs, the manifest that names its subject, and whatever keeps it from being lost.

use bytes::Bytes;
use stella_bundle::digest::Digest;
use stella_client::error::ClientError;
use stella_client::registry::Repository;
use stella_wire::registry::attachment::{self, Attachment};
use stella_wire::registry::{Descriptor, RawManifest};

use crate::referrers::{self, Place};

/// An attestation beside its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Where it will be found.
    pub place: Place,
}

/// Attaches a bundle that holds a statement of `predicate_type`. Twice with the same `created` is as good as once.
///
/// # Errors
/// Any [`ClientError`] of a request; the same call again goes on where it failed.
pub async fn attach(
    repository: &Repository,
    subject: &Descriptor,
    bundle: &[u8],
    predicate_type: &str,
    created: &str,
) -> Result<Attached, ClientError> {
    let attachment = Attachment::new(subject, bundle, predicate_type, created);
    // 1. What the manifest names.
    let config = attachment::empty_config().digest;
    let empty = Bytes::from_static(attachment::EMPTY_CONFIG);
    let bundle = Bytes::copy_from_slice(bundle);
    tokio::try_join!(
        repository.put_blob(&config, empty),
        repository.put_blob(&attachment.bundle, bundle),
    )?;
    // 2. The manifest.
    let manifest = RawManifest {
        media_type: attachment.descriptor.media_type,
        digest: attachment.descriptor.digest,
        bytes: attachment.manifest.into(),
    };
    let place = referrers::attach(repository, &subject.digest, &manifest).await?;
    Ok(Attached {
        manifest: manifest.digest,
        place,
    })
}
