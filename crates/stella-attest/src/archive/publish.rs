//! From the files of an archive to its place: every blob first, the name last, and never a second time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use stella_bundle::digest::Digest;
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, Manifest, ManifestKind, RawManifest, attachment};

use super::error::ArchiveError;
use super::open::{self, ARTIFACT_TYPE, ORIGIN, PART_TYPE, SEQUENCE, TITLE};
use super::pack::PartFile;
use crate::storage::{PART, Storage};

/// SHA-256 of the statement's payload; by it the same archive is known again.
const STATEMENT: &str = "org.stella-ops.archive.statement";

/// What is published under which name.
pub(crate) struct Publication<'a> {
    /// The period.
    pub(crate) name: &'a str,
    pub(crate) origin: &'a str,
    pub(crate) sequence: u64,
    /// SHA-256 of the statement's payload, in hex.
    pub(crate) statement: String,
    pub(crate) folder: &'a Path,
    pub(crate) parts: &'a [PartFile],
}

/// Says whether the same archive is published already.
pub(crate) async fn is_published(
    storage: &Arc<dyn Storage>,
    name: &str,
    statement: &str,
) -> Result<bool, ArchiveError> {
    let Some(raw) = storage.manifest(name).await? else {
        return Ok(false);
    };
    let manifest = raw.parse().ok();
    let found = manifest.and_then(|manifest| manifest.annotations.get(STATEMENT).cloned());
    match found.as_deref() == Some(statement) {
        true => Ok(true),
        false => Err(ArchiveError::Published {
            place: storage.name(),
            name: name.to_owned(),
        }),
    }
}

/// Publishes an archive; says whether that was new. `done` hears the bytes so far.
pub(crate) async fn publish(
    storage: &Arc<dyn Storage>,
    publication: &Publication<'_>,
    done: &(dyn Fn(u64) + Sync),
) -> Result<bool, ArchiveError> {
    if is_published(storage, publication.name, &publication.statement).await? {
        return Ok(false);
    }
    let layers = put_parts(storage, (publication.folder, publication.parts), done).await?;
    let notes = [
        (ORIGIN, publication.origin.to_owned()),
        (SEQUENCE, publication.sequence.to_string()),
        (STATEMENT, publication.statement.clone()),
    ];
    let notes = notes.map(|(name, note)| (name.to_owned(), note));
    let raw = manifest(ARTIFACT_TYPE, layers, BTreeMap::from(notes));
    // Who published in the meantime was first.
    require_newest(storage, publication).await?;
    if is_published(storage, publication.name, &publication.statement).await? {
        return Ok(false);
    }
    storage.put_manifest(publication.name, &raw).await?;
    storage.finish().await?;
    // What others read is this.
    is_published(storage, publication.name, &publication.statement).await
}

/// Publishes files under a name, whatever was there.
pub(crate) async fn put(
    storage: &Arc<dyn Storage>,
    name: &str,
    artifact_type: &str,
    files: (&Path, &[PartFile]),
) -> Result<(), ArchiveError> {
    let layers = put_parts(storage, files, &|_| {}).await?;
    let raw = manifest(artifact_type, layers, BTreeMap::new());
    storage.put_manifest(name, &raw).await?;
    storage.finish().await?;
    Ok(())
}

/// Puts every file as a blob, and an image's empty configuration.
async fn put_parts(
    storage: &Arc<dyn Storage>,
    (folder, parts): (&Path, &[PartFile]),
    done: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Descriptor>, ArchiveError> {
    let mut layers = Vec::new();
    let mut written = 0;
    for part in parts {
        let descriptor = describe(part)?;
        let path = folder.join(&part.name);
        let is_there =
            storage.has_blob(&descriptor).await? || storage.adopt_blob(&descriptor, &path).await?;
        if !is_there {
            let file = File::open(&path).map_err(|error| ArchiveError::io("read", &path, error))?;
            put_blob(storage, &descriptor, file, &path).await?;
        }
        written += part.size;
        done(written);
        layers.push(descriptor);
    }
    let config = attachment::empty_config();
    if !storage.has_blob(&config).await? {
        put_blob(storage, &config, attachment::EMPTY_CONFIG, folder).await?;
    }
    Ok(layers)
}

fn manifest(
    artifact_type: &str,
    layers: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
) -> RawManifest {
    let config = attachment::empty_config();
    let manifest = Manifest {
        media_type: media::MANIFEST.to_owned(),
        artifact_type: Some(artifact_type.to_owned()),
        kind: ManifestKind::Image { config, layers },
        subject: None,
        annotations,
    };
    RawManifest::new(media::MANIFEST, manifest.to_bytes().into())
}

/// Requires that no archive follows the same predecessor.
async fn require_newest(
    storage: &Arc<dyn Storage>,
    publication: &Publication<'_>,
) -> Result<(), ArchiveError> {
    let listed = open::list(storage).await?;
    let is_other = |each: &&open::Listed| each.name != publication.name;
    let overtaken = listed
        .iter()
        .filter(is_other)
        .any(|each| each.sequence >= publication.sequence);
    match overtaken {
        true => Err(ArchiveError::Overtaken {
            place: storage.name(),
        }),
        false => Ok(()),
    }
}

fn describe(part: &PartFile) -> Result<Descriptor, ArchiveError> {
    let unreadable = || ArchiveError::Unreadable {
        what: part.name.clone(),
    };
    let digest = Digest::parse(&part.digest).ok_or_else(unreadable)?;
    let is_packed = part.name.ends_with(".zst");
    let media_type = match is_packed {
        true => format!("{PART_TYPE}+zstd"),
        false => PART_TYPE.to_owned(),
    };
    let mut descriptor = Descriptor::new(&media_type, digest, part.size);
    let title = (TITLE.to_owned(), part.name.clone());
    descriptor.annotations = BTreeMap::from([title]);
    Ok(descriptor)
}

/// Puts a blob of what is read; `path` is where that is.
async fn put_blob(
    storage: &Arc<dyn Storage>,
    descriptor: &Descriptor,
    mut source: impl Read,
    path: &Path,
) -> Result<(), ArchiveError> {
    let wrong = |error| ArchiveError::io("read", path, error);
    let mut writer = storage.begin_blob(descriptor).await?;
    let mut skipped = writer.written();
    loop {
        let mut part = Vec::with_capacity(PART);
        let read = source
            .by_ref()
            .take(PART as u64)
            .read_to_end(&mut part)
            .map_err(wrong)?;
        if read == 0 {
            break;
        }
        // What an interrupted run wrote is there already.
        let skip = usize::try_from(skipped)
            .unwrap_or(usize::MAX)
            .min(part.len());
        skipped -= skip as u64;
        if skip < part.len() {
            writer.write(Bytes::from(part).slice(skip..)).await?;
        }
    }
    writer.finish().await?;
    Ok(())
}
