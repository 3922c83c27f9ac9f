//! Which manifests a reference means: the image itself, one platform of it, or everything below an index.

use stella_bundle::digest::Digest;
use stella_client::error::ClientError;
use stella_client::registry::Repository;
use stella_wire::registry::{Descriptor, ManifestError, RawManifest, Reference};

/// Indexes in indexes deeper than this are refused.
const MAX_DEPTH: usize = 4;
/// More manifests than this below one index are refused.
const MAX_MANIFESTS: usize = 1000;

/// What of an image is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every manifest below an index, and the index.
    All,
    /// What the reference names, be it an index or an image.
    Itself,
    /// The image of this platform (`os/architecture[/variant]`).
    Platform(String),
}

/// A manifest that a reference means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Where it is, by digest.
    pub reference: Reference,
    /// Its type, digest and size.
    pub descriptor: Descriptor,
}

/// The ways in which a reference means nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It is not there.
    #[error("{reference} is not in the registry")]
    NotFound {
        /// What was asked for.
        reference: String,
    },
    /// What is there is no manifest.
    #[error("{reference}: {error}")]
    Manifest {
        /// What was asked for.
        reference: String,
        /// What is wrong with it.
        error: ManifestError,
    },
    /// No image is for this platform.
    #[error("{reference} has no image for {wanted}, only for {}", if .found.is_empty() { "no platform".to_owned() } else { .found.join(", ") })]
    NoPlatform {
        /// What was asked for.
        reference: String,
        /// The platform.
        wanted: String,
        /// Those that are there.
        found: Vec<String>,
    },
    /// Index in index without end.
    #[error("{reference} has indexes in indexes, or more than {MAX_MANIFESTS} manifests")]
    TooMuch {
        /// What was asked for.
        reference: String,
    },
    /// A request failed.
    #[error(transparent)]
    Registry(#[from] ClientError),
}

/// Finds what a reference means. The first is what it names itself, by digest, but for one platform of it.
///
/// # Errors
/// Any [`ImageError`].
pub async fn resolve(
    repository: &Repository,
    reference: &Reference,
    which: &Which,
) -> Result<Vec<Image>, ImageError> {
    let raw = fetch(repository, reference, &reference.manifest()).await?;
    let image = |descriptor: Descriptor| Image {
        reference: reference.with_digest(&descriptor.digest),
        descriptor,
    };
    match which {
        Which::Itself => Ok(vec![image(raw.descriptor())]),
        Which::Platform(wanted) => {
            let listed = parse(reference, &raw)?.manifests().to_vec();
            let is_wanted = |each: &Descriptor| each.platform().as_deref() == Some(wanted);
            match listed.iter().find(|each| is_wanted(each)) {
                Some(found) => Ok(vec![image(found.clone())]),
                None => Err(ImageError::NoPlatform {
                    reference: reference.to_string(),
                    wanted: wanted.clone(),
                    found: listed.iter().filter_map(Descriptor::platform).collect(),
                }),
            }
        }
        Which::All => {
            let all = below(repository, reference, raw).await?;
            Ok(all.into_iter().map(image).collect())
        }
    }
}

/// Returns a manifest and every one below it, each once.
async fn below(
    repository: &Repository,
    reference: &Reference,
    raw: RawManifest,
) -> Result<Vec<Descriptor>, ImageError> {
    let mut found = vec![raw.descriptor()];
    let mut waiting = vec![(raw, 0)];
    while let Some((raw, depth)) = waiting.pop() {
        for listed in parse(reference, &raw)?.manifests() {
            if found.iter().any(|each| each.digest == listed.digest) {
                continue;
            }
            if found.len() == MAX_MANIFESTS || depth == MAX_DEPTH {
                let reference = reference.to_string();
                return Err(ImageError::TooMuch { reference });
            }
            let child = fetch(repository, reference, &listed.digest.to_string()).await?;
            found.push(child.descriptor());
            waiting.push((child, depth + 1));
        }
    }
    Ok(found)
}

async fn fetch(
    repository: &Repository,
    reference: &Reference,
    manifest: &str,
) -> Result<RawManifest, ImageError> {
    let raw = repository.manifest(manifest).await?;
    raw.ok_or_else(|| ImageError::NotFound {
        reference: match Digest::parse(manifest) {
            Some(digest) => reference.with_digest(&digest).to_string(),
            None => reference.to_string(),
        },
    })
}

fn parse(
    reference: &Reference,
    raw: &RawManifest,
) -> Result<stella_wire::registry::Manifest, ImageError> {
    raw.parse().map_err(|error| ImageError::Manifest {
        reference: reference.to_string(),
        error,
    })
}
