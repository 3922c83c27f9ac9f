//! The transfer of what is missing: blobs in parts, then manifests from the leaves to the root, then tags.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use stella_bundle::digest::{Digest, DigestStream};
use stella_wire::registry::{Descriptor, RawManifest};

use super::plan::{Node, Plan};
use super::{Lack, MirrorError, Missing, Run};
use crate::storage::StorageError;

/// A transfer that goes on with what an earlier run left is tried once more from its beginning.
const ATTEMPTS: usize = 2;

/// Copies what is missing of one image.
pub(super) async fn copy(
    run: &Arc<Run>,
    plan: &Plan,
    missing: &[Missing],
) -> Result<(), MirrorError> {
    // 1. Blobs, in any order.
    let blobs = missing.iter().filter_map(|each| match &each.what {
        Lack::Blob(blob) => Some(blob.clone()),
        _ => None,
    });
    let transfers = blobs.map(|blob| {
        let run = Arc::clone(run);
        async move { transfer_once(&run, &blob).await }
    });
    run.all(transfers.collect()).await?;
    // 2. Manifests, whatever an index names before it.
    let manifests: HashSet<&Digest> = missing
        .iter()
        .filter_map(|each| match &each.what {
            Lack::Manifest(manifest) | Lack::Referrer { manifest, .. } => Some(&manifest.digest),
            _ => None,
        })
        .collect();
    let image = plan.nodes.last().map(|node| &node.manifest.digest);
    for node in &plan.nodes {
        let digest = &node.manifest.digest;
        if !manifests.contains(digest) {
            continue;
        }
        let _permit = run.permit().await;
        let manifest = bytes_of(run, node).await?;
        let is_nameless = Some(digest) == image && plan.tags.iter().all(|tag| tag.1 != *digest);
        if node.subject.is_some() || is_nameless {
            run.destination.attach(&manifest).await?;
        } else {
            let reference = digest.to_string();
            run.destination.put_manifest(&reference, &manifest).await?;
        }
        run.tell(|summary| summary.manifests.copied += 1);
    }
    // 3. Tags, the image's own last: who sees it sees all that belongs to it.
    for each in missing {
        let Lack::Tag { tag, expected, .. } = &each.what else {
            continue;
        };
        let mut nodes = plan.nodes.iter();
        if let Some(node) = nodes.find(|node| node.manifest.digest == *expected) {
            let _permit = run.permit().await;
            let manifest = bytes_of(run, node).await?;
            run.destination.put_manifest(tag, &manifest).await?;
            run.tell(|summary| summary.tags.copied += 1);
        }
    }
    Ok(())
}

/// Returns a manifest's bytes, from memory or from the source once more.
async fn bytes_of(run: &Run, node: &Node) -> Result<RawManifest, MirrorError> {
    let digest = &node.manifest.digest;
    if let Some(bytes) = &node.bytes {
        return Ok(RawManifest {
            media_type: node.manifest.media_type.clone(),
            digest: digest.clone(),
            bytes: bytes.clone(),
        });
    }
    let again = run.source.manifest(&digest.to_string()).await?;
    let again = again.ok_or_else(|| MirrorError::NotFound {
        place: run.source.name(),
        reference: digest.to_string(),
    })?;
    let found = digest.algorithm().digest(&again.bytes);
    if found != *digest {
        return Err(wrong_digest(run, digest, found));
    }
    Ok(again)
}

/// Transfers a blob unless another image of this run did, or waits for it.
async fn transfer_once(run: &Run, blob: &Descriptor) -> Result<(), MirrorError> {
    let cell = {
        let mut transfers = run.transfers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(transfers.entry(blob.digest.clone()).or_default())
    };
    cell.get_or_try_init(|| async {
        let _permit = run.permit().await;
        transfer(run, blob).await?;
        run.tell(|summary| summary.blobs.copied += 1);
        Ok(())
    })
    .await
    .copied()
}

async fn transfer(run: &Run, blob: &Descriptor) -> Result<(), MirrorError> {
    for attempt in 1..=ATTEMPTS {
        match transfer_from(run, blob).await? {
            Ended::Whole => return Ok(()),
            // What an earlier run left was damaged, and is gone now.
            Ended::Resumed(_) if attempt < ATTEMPTS => {}
            Ended::Resumed(error) => return Err(error.into()),
        }
    }
    Ok(())
}

enum Ended {
    Whole,
    /// The destination refuses a blob whose beginning an earlier run wrote.
    Resumed(StorageError),
}

async fn transfer_from(run: &Run, blob: &Descriptor) -> Result<Ended, MirrorError> {
    let mut writer = run.destination.begin_blob(blob).await?;
    let start = writer.written();
    // Only who reads from the beginning can say that the source lies.
    let mut stream = (start == 0).then(|| DigestStream::new(blob.digest.algorithm()));
    let mut at = start;
    while at < blob.size {
        let part = run.source.blob_part(blob, at).await?;
        at += require_fitting(run, blob, blob.size - at, &part)?;
        if let Some(stream) = &mut stream {
            stream.update(&part);
        }
        let length = part.len() as u64;
        writer.write(part).await?;
        run.tell(|summary| summary.bytes += length);
    }
    if let Some(found) = stream.map(DigestStream::finish)
        && found != blob.digest
    {
        return Err(wrong_digest(run, &blob.digest, found));
    }
    match writer.finish().await {
        Ok(()) => Ok(Ended::Whole),
        Err(error) if start > 0 => Ok(Ended::Resumed(error)),
        Err(error) => Err(error.into()),
    }
}

fn require_fitting(
    run: &Run,
    blob: &Descriptor,
    rest: u64,
    part: &Bytes,
) -> Result<u64, MirrorError> {
    let found = part.len() as u64;
    if found == 0 || found > rest {
        return Err(MirrorError::BadPart {
            place: run.source.name(),
            blob: blob.digest.clone(),
            expected: rest,
            found,
        });
    }
    Ok(found)
}

fn wrong_digest(run: &Run, expected: &Digest, found: Digest) -> MirrorError {
    MirrorError::WrongDigest {
        place: run.source.name(),
        expected: expected.clone(),
        found,
    }
}
