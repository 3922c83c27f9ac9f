//! What lies around a statement is its own: its name, its files, the trusted roots that it names, the checkpoint.

use std::collections::BTreeSet;

use stella_archive::frames::Class;
use stella_archive::history::Document;
use stella_archive::statement::{CHECKPOINT, Manifest};
use stella_bundle::key::sha256;

use super::error::{ArchiveError, Mismatch};
use super::open::Archive;

/// Bytes of a checkpoint or a bundle.
const MAX_FILE: u64 = 1 << 20;

/// Requires that an archive is named as its statement says, and has the files that belong to it.
///
/// # Errors
/// `Mismatch`, and whatever hinders reading.
pub(super) async fn require(
    archive: &Archive,
    manifest: &Manifest,
    document: &Document,
    roots: &[Vec<u8>],
) -> Result<(), ArchiveError> {
    let mismatch = |what| Err(ArchiveError::Mismatch(what));
    if manifest.period.name != archive.name {
        return mismatch(Mismatch::Name);
    }
    if !Class::ALL.iter().all(|class| archive.is_counted(*class)) {
        return mismatch(Mismatch::Files);
    }
    let digests: BTreeSet<_> = roots.iter().map(|root| sha256(root)).collect();
    let mut profiles = manifest.profiles.iter();
    if !profiles.all(|each| digests.contains(&each.trusted_root)) {
        return mismatch(Mismatch::TrustedRoot);
    }
    checkpoint(archive, manifest, document).await
}

/// Requires that the checkpoint and its bundles are those of the statement: tools that know neither archives nor
/// statements read them there.
async fn checkpoint(
    archive: &Archive,
    manifest: &Manifest,
    document: &Document,
) -> Result<(), ArchiveError> {
    let text = archive.read(CHECKPOINT, MAX_FILE).await?;
    let prefix = format!("{CHECKPOINT}.");
    let mut expected = BTreeSet::new();
    for signer in &manifest.signers {
        let id = hex::encode(&signer.0[..4]);
        expected.insert(format!("{prefix}{id}.sigstore.json"));
    }
    let names = archive.files().map(|(name, _)| name);
    let names: BTreeSet<_> = { names }
        .filter(|name| name.starts_with(&prefix))
        .map(ToOwned::to_owned)
        .collect();
    let mut found = Vec::new();
    for name in &names {
        found.push(archive.read(name, MAX_FILE).await?);
    }
    let mut bundles = document.bundles.clone();
    bundles.sort_unstable();
    found.sort_unstable();
    let is_same = text == manifest.checkpoint().to_string().as_bytes();
    match is_same && names == expected && found == bundles {
        true => Ok(()),
        false => Err(ArchiveError::Mismatch(Mismatch::Checkpoint)),
    }
}
