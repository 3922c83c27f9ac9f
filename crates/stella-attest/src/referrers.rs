//! Which manifests refer to an image, and how one more is added so that none is ever lost.
//!
//! A registry with the referrers list keeps it itself. Where there is none, the specification's index under a tag is a
//! read-modify-write race without a lock, and garbage collection takes what only such an index names. So each manifest
//! also gets a tag of its own, which no writer shares; the index is healed from those tags by whoever writes next.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use stella_bundle::digest::Digest;
use stella_client::error::ClientError;
use stella_client::registry::{Put, Repository};
use stella_client::retry::{TokioWaiting, Waiting as _};
use stella_wire::registry::attachment::{as_listed, fallback_tag, is_own_tag, own_tag};
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, Manifest, RawManifest};

/// So often an index is written and read back; the own tag holds where even that was not enough.
const ROUNDS: u32 = 8;

/// The pause between two rounds is at most so long: writers that met should not meet again.
const PAUSE: Duration = Duration::from_millis(80);

/// Where a referrer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In the index under the fallback tag.
    FallbackIndex,
    /// Under a tag of its own.
    OwnTag,
    /// In the registry's list.
    Referrers,
}

/// A manifest that refers to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// The manifest.
    pub descriptor: Descriptor,
    /// Where it was found.
    pub place: Place,
}

/// How closely to look where a registry keeps no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Read the index; list tags only where there is none.
    Index,
    /// Read the index and list the tags: finds what writers without a lock left out of the index.
    Thorough,
}

/// What refers to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The manifests, each once.
    pub referrers: Vec<Referrer>,
    /// Whether nothing more could be found by [`Look::Thorough`].
    pub is_thorough: bool,
}

/// What stands under the fallback tag.
enum Fallback {
    Absent,
    Index(Vec<Descriptor>),
    /// A referrer, or something else that is no index of them: `skopeo sync` leaves the one, `cosign copy` the image itself.
    Other(RawManifest),
}

/// Lists the manifests that refer to `subject`.
///
/// # Errors
/// Any [`ClientError`] of a request: what could not be listed is never taken for nothing.
pub async fn list(
    repository: &Repository,
    subject: &Digest,
    look: Look,
) -> Result<Listed, ClientError> {
    let mut found = Found::default();
    if let Some(listed) = repository.referrers(subject, None).await? {
        found.extend(listed, Place::Referrers);
        return Ok(found.listed(true));
    }
    let mut is_thorough = look == Look::Thorough;
    match read_fallback(repository, subject).await? {
        Fallback::Index(index) => {
            found.extend(index, Place::FallbackIndex);
        }
        Fallback::Absent => is_thorough = true,
        Fallback::Other(other) => {
            is_thorough = true;
            found.extend(listed_if_refers(&other, subject), Place::FallbackIndex);
        }
    }
    if is_thorough {
        let tagged = read_own_tags(repository, subject, &found.seen).await?;
        found.extend(tagged, Place::OwnTag);
    }
    Ok(found.listed(is_thorough))
}

/// Puts a manifest that refers to `subject`, so that it is found ever after. The blobs that it names are there already.
///
/// # Errors
/// Any [`ClientError`] of a request.
pub async fn attach(
    repository: &Repository,
    subject: &Digest,
    manifest: &RawManifest,
) -> Result<Place, ClientError> {
    let put = |reference: String| {
        let bytes = manifest.bytes.clone();
        async move {
            repository
                .put_manifest(&reference, &manifest.media_type, bytes)
                .await
        }
    };
    // 1. Under its digest: that is all, where the registry keeps the list.
    if put(manifest.digest.to_string()).await? == Put::Indexed {
        return Ok(Place::Referrers);
    }
    if let Some(listed) = repository.referrers(subject, None).await?
        && listed.iter().any(|each| each.digest == manifest.digest)
    {
        return Ok(Place::Referrers);
    }
    // 2. Under a tag of its own: from here on nobody can lose it.
    put(own_tag(subject, &manifest.digest)).await?;
    // 3. In the index, for those who know only that.
    heal(repository, subject, listed_if_refers(manifest, subject)).await?;
    Ok(Place::OwnTag)
}

/// How an index was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Healed {
    /// Everything that is known stands in the index.
    Whole,
    /// Others kept writing: what is missing in the index is found by its own tag.
    Contended,
    /// Something else stands under the index's tag and was left alone.
    Occupied,
    /// The registry keeps the list itself.
    NotNeeded,
}

/// Makes the index under the fallback tag name everything that refers to `subject`, and nothing that is gone.
///
/// # Errors
/// Any [`ClientError`] of a request.
pub async fn repair(repository: &Repository, subject: &Digest) -> Result<Healed, ClientError> {
    if repository.referrers(subject, None).await?.is_some() {
        return Ok(Healed::NotNeeded);
    }
    if let Fallback::Index(listed) = read_fallback(repository, subject).await? {
        let mut gone = Vec::new();
        for each in &listed {
            let digest = each.digest.to_string();
            if repository.manifest(&digest).await?.is_none() {
                gone.push(each);
            }
        }
        take_out(repository, subject, &gone).await?;
    }
    heal(repository, subject, Vec::new()).await
}

/// Takes manifests out of the index under the fallback tag, where there is one.
///
/// # Errors
/// Any [`ClientError`] of a request.
pub async fn forget(
    repository: &Repository,
    subject: &Digest,
    gone: &[&Descriptor],
) -> Result<(), ClientError> {
    if repository.referrers(subject, None).await?.is_some() {
        return Ok(());
    }
    take_out(repository, subject, gone).await
}

async fn take_out(
    repository: &Repository,
    subject: &Digest,
    gone: &[&Descriptor],
) -> Result<(), ClientError> {
    let is_gone = |each: &Descriptor| gone.iter().any(|gone| gone.digest == each.digest);
    for _ in 0..ROUNDS {
        let Fallback::Index(mut listed) = read_fallback(repository, subject).await? else {
            return Ok(());
        };
        let before = listed.len();
        listed.retain(|each| !is_gone(each));
        if listed.len() == before {
            return Ok(());
        }
        write_fallback(repository, subject, listed).await?;
    }
    Ok(())
}

async fn heal(
    repository: &Repository,
    subject: &Digest,
    known: Vec<Descriptor>,
) -> Result<Healed, ClientError> {
    let waiting = TokioWaiting::default();
    let mut wanted = known;
    for round in 0..ROUNDS {
        // 1. What stands there.
        let listed = match read_fallback(repository, subject).await? {
            Fallback::Absent => Vec::new(),
            Fallback::Index(index) => index,
            Fallback::Other(other) => match listed_if_refers(&other, subject) {
                // The image itself, or a stranger: replacing it might leave it without any tag.
                none if none.is_empty() => return Ok(Healed::Occupied),
                own => own,
            },
        };
        // 2. What is missing: what is ours, and what others have under their own tags.
        if round == 0 {
            let known = listed.iter().chain(&wanted);
            let known = known.map(|each| each.digest.clone()).collect();
            wanted.extend(read_own_tags(repository, subject, &known).await?);
        }
        let (whole, is_missing) = with_missing(listed, wanted);
        if !is_missing {
            return Ok(Healed::Whole);
        }
        // 3. Write, and look again a little later.
        write_fallback(repository, subject, whole.clone()).await?;
        wanted = whole;
        let pause = PAUSE * (round + 1) / ROUNDS * waiting.jitter() / 1000;
        waiting.wait(pause).await;
    }
    Ok(Healed::Contended)
}

/// Adds to a list what it lacks, and says whether it lacked something.
fn with_missing(mut listed: Vec<Descriptor>, wanted: Vec<Descriptor>) -> (Vec<Descriptor>, bool) {
    let mut seen: HashSet<Digest> = listed.iter().map(|each| each.digest.clone()).collect();
    let before = listed.len();
    let is_new = |each: &Descriptor| seen.insert(each.digest.clone());
    listed.extend(wanted.into_iter().filter(is_new));
    let is_missing = listed.len() > before;
    (listed, is_missing)
}

async fn write_fallback(
    repository: &Repository,
    subject: &Digest,
    listed: Vec<Descriptor>,
) -> Result<(), ClientError> {
    let index = Manifest::index(media::INDEX.to_owned(), listed).to_bytes();
    repository
        .put_manifest(&fallback_tag(subject), media::INDEX, Bytes::from(index))
        .await?;
    Ok(())
}

async fn read_fallback(repository: &Repository, subject: &Digest) -> Result<Fallback, ClientError> {
    let Some(raw) = repository.manifest(&fallback_tag(subject)).await? else {
        return Ok(Fallback::Absent);
    };
    if raw.digest == *subject {
        return Ok(Fallback::Other(raw));
    }
    Ok(match raw.parse() {
        Ok(index) if index.media_type == media::INDEX => {
            Fallback::Index(index.manifests().to_vec())
        }
        _ => Fallback::Other(raw),
    })
}

/// Reads the manifests under own tags of attestations of `subject`, but those that are known.
async fn read_own_tags(
    repository: &Repository,
    subject: &Digest,
    known: &HashSet<Digest>,
) -> Result<Vec<Descriptor>, ClientError> {
    let known: HashSet<String> = known.iter().map(|each| own_tag(subject, each)).collect();
    let mut found = Vec::new();
    for tag in repository.tags().await? {
        if !is_own_tag(&tag, subject) || known.contains(&tag) {
            continue;
        }
        // A tag that went away since the list was read is no error.
        if let Some(raw) = repository.manifest(&tag).await? {
            found.extend(listed_if_refers(&raw, subject));
        }
    }
    Ok(found)
}

/// Returns how a list shows a manifest, when it refers to `subject`.
fn listed_if_refers(raw: &RawManifest, subject: &Digest) -> Vec<Descriptor> {
    let Ok(manifest) = raw.parse() else {
        return Vec::new();
    };
    let refers = manifest
        .subject
        .as_ref()
        .is_some_and(|named| named.digest == *subject);
    let size = raw.bytes.len() as u64;
    let listed = refers.then(|| as_listed(&manifest, raw.digest.clone(), size));
    listed.into_iter().collect()
}

/// Referrers, each once.
#[derive(Default)]
struct Found {
    referrers: Vec<Referrer>,
    seen: HashSet<Digest>,
}

impl Found {
    fn extend(&mut self, descriptors: Vec<Descriptor>, place: Place) {
        for descriptor in descriptors {
            if self.seen.insert(descriptor.digest.clone()) {
                self.referrers.push(Referrer { descriptor, place });
            }
        }
    }

    fn listed(self, is_thorough: bool) -> Listed {
        Listed {
            referrers: self.referrers,
            is_thorough,
        }
    }
}
