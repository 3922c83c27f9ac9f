//! One attestation of an archive: found by its digest or by what it speaks of, with the proof that it is there.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};
use stella_archive::fingerprint::Fingerprint;
use stella_archive::frames::Class;
use stella_archive::history::History;
use stella_archive::index::{Keys, subject_key};
use stella_archive::leaf::{Leaf, Status};
use stella_archive::levels::Place;
use stella_bundle::attestation_set::{Attestation, AttestationSet, MEDIA_TYPE, TrustedRootCopy};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::json::decode_base64;
use stella_bundle::statement::Subject;
use stella_tlog::hash::Hash;
use stella_tlog::proof;
use stella_tlog::tree::{LeafIndex, TreeSize};

use super::error::ArchiveError;
use super::open::Archive;

/// Where an attestation stands in the tree, as a file carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The leaf's line, the end left out.
    pub leaf: String,
    /// Its index in the tree.
    pub index: u64,
    /// The size of the tree.
    pub size: u64,
    /// From the leaf's sibling up to the root's child, in base64.
    pub path: Vec<String>,
}

/// An attestation with its proof.
#[derive(Clone, Debug)]
pub struct Extracted {
    /// The exact bytes; none where they were let go.
    pub bundle: Option<Vec<u8>>,
    /// Where it stands.
    pub proof: Proof,
    /// From the leaf's sibling up to the root's child.
    pub path: Vec<Hash>,
}

impl Extracted {
    /// Returns its place, for the scales.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place {
            line: self.proof.leaf.as_bytes(),
            index: LeafIndex(self.proof.index),
            size: TreeSize(self.proof.size),
            path: &self.path,
            bundle: self.bundle.as_deref(),
        }
    }
}

/// Finds attestations: the one with this digest, else those that speak of it.
///
/// # Errors
/// `NotFound`, and whatever hinders reading.
pub async fn find(archive: &Archive, digest: &Digest) -> Result<Vec<Extracted>, ArchiveError> {
    let mut leaves = Vec::new();
    if digest.algorithm() == DigestAlgorithm::Sha256
        && let Ok(key) = digest.bytes().try_into()
    {
        leaves = archive.find(Keys::Bundles, &key).await?;
    }
    if leaves.is_empty() {
        leaves = archive.find(Keys::Subjects, &subject_key(digest)).await?;
    }
    if leaves.is_empty() {
        return Err(ArchiveError::NotFound(digest.to_string()));
    }
    let (history, _) = archive.history().await?;
    let mut found = Vec::new();
    for leaf in leaves {
        found.push(extract(archive, &history, leaf).await?);
    }
    Ok(found)
}

/// Reads one attestation by its leaf, and proves that it is in the tree.
async fn extract(
    archive: &Archive,
    history: &History,
    index: u64,
) -> Result<Extracted, ArchiveError> {
    // 1. Its line.
    let unreadable = || ArchiveError::Unreadable {
        what: format!("leaf {index}"),
    };
    let frame = archive.frame(Class::Leaves, index).await?;
    let lines = archive.open_frame(&frame).await?;
    let skipped = index.checked_sub(frame.first).ok_or_else(unreadable)?;
    let skipped = usize::try_from(skipped).map_err(|_| unreadable())?;
    let line = lines
        .split(|byte| *byte == b'\n')
        .nth(skipped)
        .ok_or_else(unreadable)?;
    let leaf = Leaf::parse(line).map_err(|error| ArchiveError::Leaf { index, error })?;
    // 2. Its bytes: after those of the leaves before it in the same frame.
    let class = match leaf.status {
        Status::Verified => Class::Evidence,
        Status::Rejected(_) => Class::Rejected,
    };
    let bundle = bytes(archive, class, index, &leaf).await?;
    // 3. Its proof, in the tree of the newest statement.
    let newest = history.statements.last().ok_or_else(unreadable)?;
    let end = newest.to_manifest().map_err(|_| unreadable())?.tree.size;
    let edge = archive.frontier().await?;
    // Hashes that are missing are read, and it is tried again; any other failure is the last.
    let failure = RefCell::new(None);
    let proved = archive.with_nodes(&edge, end, |nodes| {
        let made = proof::prove_inclusion(nodes, LeafIndex(index), TreeSize(end));
        made.map_err(|error| failure.replace(Some(error))).ok()
    });
    let path = match (proved.await, failure.into_inner()) {
        (Ok(path), _) => path,
        (Err(ArchiveError::Unreadable { .. }), Some(error)) => return Err(error.into()),
        (Err(error), _) => return Err(error),
    };
    let line = String::from_utf8(line.to_vec()).map_err(|_| unreadable())?;
    Ok(Extracted {
        bundle,
        proof: Proof {
            leaf: line,
            index,
            size: end,
            path: path.iter().map(ToString::to_string).collect(),
        },
        path,
    })
}

/// Reads the bytes of a leaf; none where they were let go.
async fn bytes(
    archive: &Archive,
    class: Class,
    index: u64,
    leaf: &Leaf,
) -> Result<Option<Vec<u8>>, ArchiveError> {
    if archive.size(&class.file(0)).is_none() {
        return Ok(None);
    }
    let frame = archive.frame(class, index).await?;
    let raw = archive.open_frame(&frame).await?;
    let at = size_before(archive, frame.first, index).await?;
    let from = usize::try_from(at).unwrap_or(usize::MAX);
    let length = usize::try_from(leaf.size).unwrap_or(usize::MAX);
    let end = from.saturating_add(length);
    let found = raw.get(from..end).map(<[u8]>::to_vec);
    match found.filter(|bytes| Fingerprint::of(bytes) == leaf.digest) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(ArchiveError::Unreadable {
            what: format!("the bytes of leaf {index}"),
        }),
    }
}

/// Returns how many bytes the leaves from one up to another name.
async fn size_before(archive: &Archive, from: u64, to: u64) -> Result<u64, ArchiveError> {
    let (mut at, mut size) = (from, 0);
    while at < to {
        let frame = archive.frame(Class::Leaves, at).await?;
        let lines = archive.open_frame(&frame).await?;
        let skipped = usize::try_from(at - frame.first).unwrap_or(usize::MAX);
        let before = at;
        for line in lines.split(|byte| *byte == b'\n').skip(skipped) {
            if at == to || line.is_empty() {
                break;
            }
            let leaf = Leaf::parse(line);
            let leaf = leaf.map_err(|error| ArchiveError::Leaf { index: at, error })?;
            size = u64::saturating_add(size, leaf.size);
            at += 1;
        }
        if at == before {
            return Err(ArchiveError::Unreadable {
                what: format!("leaf {at}"),
            });
        }
    }
    Ok(size)
}

/// Makes the file of attestations that verify by themselves: with the past, as the newest archive of the place has it, and the
/// trusted roots.
///
/// # Errors
/// Whatever hinders reading.
pub async fn to_file(
    archive: &Archive,
    newest: Option<&Archive>,
    subject: &Digest,
    extracted: &[Extracted],
) -> Result<AttestationSet, ArchiveError> {
    // The newest past renews all older periods.
    let (_, mut roots) = archive.history().await?;
    let (history, more) = newest.unwrap_or(archive).history().await?;
    roots.extend(more);
    roots.sort();
    roots.dedup();
    let attestation = |each: &Extracted| Attestation {
        bundle: each.bundle.clone().unwrap_or_default(),
        archive: serde_json::to_value(&each.proof).ok(),
    };
    Ok(AttestationSet {
        media_type: MEDIA_TYPE.to_owned(),
        subjects: vec![Subject::new(None, subject)],
        attestations: extracted.iter().map(attestation).collect(),
        archive: serde_json::to_value(&history).ok(),
        trusted_roots: roots.into_iter().map(TrustedRootCopy::new).collect(),
    })
}

/// What a file of attestations carries about its archive.
#[derive(Debug)]
pub struct Carried {
    /// The past, not judged.
    pub history: History,
    /// The bytes of trusted roots.
    pub roots: Vec<Vec<u8>>,
    /// The attestations with their places; none for one of which no place is said.
    pub attestations: Vec<(Vec<u8>, Option<Extracted>)>,
}

/// Reads what [`to_file`] made; none where the file carries nothing of an archive.
///
/// # Errors
/// `Unreadable`.
pub fn of_file(set: AttestationSet) -> Result<Option<Carried>, ArchiveError> {
    let unreadable = |what: &str| ArchiveError::Unreadable {
        what: format!("the file's {what}"),
    };
    let Some(past) = set.archive else {
        return Ok(None);
    };
    let history = serde_json::from_value(past).map_err(|_| unreadable("past"))?;
    let mut attestations = Vec::new();
    for each in set.attestations {
        let place = match each.archive {
            None => None,
            Some(proof) => Some(place_of(proof, &each.bundle).ok_or_else(|| unreadable("proof"))?),
        };
        attestations.push((each.bundle, place));
    }
    Ok(Some(Carried {
        history,
        roots: set
            .trusted_roots
            .into_iter()
            .map(|root| root.content)
            .collect(),
        attestations,
    }))
}

fn place_of(proof: serde_json::Value, bundle: &[u8]) -> Option<Extracted> {
    let proof: Proof = serde_json::from_value(proof).ok()?;
    let hash = |text: &String| Hash::try_from(decode_base64(text)?.as_slice()).ok();
    Some(Extracted {
        // A file without the bytes says that they were let go.
        bundle: Some(bundle.to_vec()).filter(|bytes| !bytes.is_empty()),
        path: proof.path.iter().map(hash).collect::<Option<_>>()?,
        proof,
    })
}
