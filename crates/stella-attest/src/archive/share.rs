//! Shares: many machines collect and verify, one seals.
//!
//! A machine takes the attestations whose digest falls into its share, verifies them, and publishes what it found under a name of its
//! own. Whoever seals takes all shares in, compares every digest, verifies some again that nobody could foresee, and believes the rest:
//! who may write to the place of shares speaks for the organisation.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use stella_archive::fingerprint::Fingerprint;
use stella_archive::frames::{Assembler, Blob, Class, Compressor, Cutter, FrameError, RawFrame};
use stella_archive::leaf::{Leaf, Status};
use stella_archive::statement::{KeyId, Period, Profile};
use stella_bundle::key::sha256;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{Policy, Trust, Verifier};

use super::error::ArchiveError;
use super::examine::{Arrival, Incoming, examine_stream};
use super::open::Archive;
use super::pack::{PartFile, write_part};
use super::publish;
use super::run::lock;
use super::spool::Finding;
use crate::storage::Storage;

/// What a share's manifest is a manifest of.
const SHARE_TYPE: &str = "application/vnd.stella-ops.archive.share.v1";
/// The file that says what it is a share of.
const HEAD: &str = "share.json";
/// Bytes of it.
const MAX_HEAD: u64 = 64 << 10;
/// Machines that share the work.
const MAX_SHARES: u32 = 1000;
/// Of so many attestations of a share one is verified again.
const SAMPLE: u64 = 100;

/// One machine's part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which, from 1.
    pub number: u32,
    /// Of how many.
    pub of: u32,
}

impl Share {
    /// Returns a share, where the numbers name one: from 1 to `of`, which is at most 1000.
    #[must_use]
    pub fn new(number: u32, of: u32) -> Option<Self> {
        let is_one = (1..=of).contains(&number) && of <= MAX_SHARES;
        is_one.then_some(Self { number, of })
    }

    /// Returns all shares of so many.
    fn all(of: u32) -> impl Iterator<Item = Self> {
        (1..=of).map(move |number| Self { number, of })
    }

    /// Says whether an attestation of this digest is in it.
    fn has(self, sha256: &[u8; 32]) -> bool {
        let [a, b, c, d, ..] = *sha256;
        u32::from_be_bytes([a, b, c, d]) % self.of == self.number - 1
    }

    /// Returns the name under which it is published.
    fn name(self, period: &str) -> String {
        format!("share-{period}-{}-of-{}", self.number, self.of)
    }
}

/// Everything that collecting a share needs.
pub struct Collection<'a> {
    /// Which share.
    pub share: Share,
    /// What is collected for.
    pub period: &'a Period,
    /// The file of the trusted root by which attestations are verified.
    pub trusted_root: &'a [u8],
    /// Who may have signed attestations, and what must be shown.
    pub policy: &'a Policy,
    /// SHA-256 of the policy's file; none where every signer is taken.
    pub policy_digest: Option<[u8; 32]>,
    /// Where shares are published.
    pub storage: Arc<dyn Storage>,
    /// A folder for this process.
    pub work: &'a Path,
    /// On so many cores.
    pub threads: NonZeroUsize,
    /// Tells the time.
    pub now: &'a (dyn Fn() -> UnixTime + Sync),
    /// Hears how many attestations are verified.
    pub done: &'a (dyn Fn(u64) + Sync),
}

/// What was collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// The name under which it is published.
    pub name: String,
    /// Attestations that hold.
    pub verified: u64,
    /// Attestations that do not.
    pub rejected: u64,
    /// Bytes of them all.
    pub raw: u64,
}

/// What a share says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    number: u32,
    of: u32,
    period: Period,
    profile: Profile,
}

/// What a share says about one attestation, one line of JSON before its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The leaf's line.
    leaf: String,
    /// The beginning of the SHA-256 of what signed it.
    signer: u64,
    /// Keys of what it speaks of.
    subjects: Vec<KeyId>,
    /// Where it is logged: origin and index.
    entries: Vec<(String, u64)>,
}

/// Names the way in which attestations are verified.
pub(super) fn profile(trusted_root: &[u8], policy_digest: Option<[u8; 32]>) -> Profile {
    Profile {
        trusted_root: sha256(trusted_root),
        policy: policy_digest.map(KeyId),
        verifier: concat!("stella ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

/// Collects, verifies and publishes a share; one that was published before is replaced.
///
/// # Errors
/// `Busy`, `Trust`, `Io`, `Storage`, and those of what comes in.
pub async fn collect(
    collection: &Collection<'_>,
    incoming: Incoming<'_>,
) -> Result<Collected, ArchiveError> {
    let trusted_root = TrustedRoot::parse(collection.trusted_root)?;
    let verifier = Verifier::new(Trust::new(&trusted_root), collection.policy.clone());
    let share = collection.share;
    let name = share.name(&collection.period.name);
    let _lock = lock(collection.work)?;
    let folder = collection.work.join(&name);
    // What an earlier process left is collected anew: only what is published counts.
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| ArchiveError::io("remove", &folder, error))?;
    }
    // 1. Only what is this share's is verified.
    let own = incoming.filter(|arrival| {
        let is_own = arrival
            .as_ref()
            .map_or(true, |arrival| share.has(&arrival.sha256()));
        std::future::ready(is_own)
    });
    let mut collected = Collected {
        name: name.clone(),
        verified: 0,
        rejected: 0,
        raw: 0,
    };
    let mut writer = Writer::new(&folder)?;
    let take = |bytes: Vec<u8>, finding: Finding| {
        match finding.status {
            Status::Verified => collected.verified += 1,
            Status::Rejected(_) => collected.rejected += 1,
        }
        collected.raw += bytes.len() as u64;
        writer.push(&bytes, finding)
    };
    let (threads, now) = (collection.threads, collection.now);
    let verifier = Arc::new(verifier);
    examine_stream(Box::pin(own), verifier, threads, now, collection.done, take).await?;
    // 2. What was found, and how.
    let head = Head {
        number: share.number,
        of: share.of,
        period: collection.period.clone(),
        profile: profile(collection.trusted_root, collection.policy_digest),
    };
    // Serialising plain structs into memory cannot fail.
    let head = serde_json::to_vec(&head).unwrap_or_default();
    let mut parts = vec![write_part(&folder, HEAD, &head)?];
    parts.extend(writer.finish()?);
    // 3. Published.
    let storage = &collection.storage;
    publish::put(storage, &name, SHARE_TYPE, (&folder, &parts)).await?;
    fs::remove_dir_all(&folder).map_err(|error| ArchiveError::io("remove", &folder, error))?;
    Ok(collected)
}

/// The row of what was found: a line about an attestation and its bytes, and so on, in frames.
const ROW: Class = Class::Evidence;

fn not_packed(error: FrameError) -> ArchiveError {
    let part = ROW.file(0);
    ArchiveError::Frame { part, error }
}

/// Writes the row.
struct Writer<'a> {
    folder: &'a Path,
    cutter: Cutter,
    assembler: Assembler,
    compressor: Compressor,
    parts: Vec<PartFile>,
    next: u64,
}

impl<'a> Writer<'a> {
    fn new(folder: &'a Path) -> Result<Self, ArchiveError> {
        fs::create_dir_all(folder).map_err(|error| ArchiveError::io("make", folder, error))?;
        Ok(Self {
            folder,
            cutter: Cutter::new(ROW),
            assembler: Assembler::new(ROW),
            compressor: Compressor::new().map_err(not_packed)?,
            parts: Vec::new(),
            next: 0,
        })
    }

    fn push(&mut self, bytes: &[u8], finding: Finding) -> Result<(), ArchiveError> {
        let line = Line {
            leaf: finding.leaf(bytes.len() as u64).to_line(),
            signer: finding.signer,
            subjects: finding.subjects.into_iter().map(KeyId).collect(),
            entries: finding.entries,
        };
        let mut thing = serde_json::to_vec(&line).unwrap_or_default();
        thing.push(b'\n');
        thing.extend_from_slice(bytes);
        let full = self.cutter.push(self.next, &thing);
        self.next += 1;
        self.pack(full)
    }

    fn pack(&mut self, frame: Option<RawFrame>) -> Result<(), ArchiveError> {
        let Some(frame) = frame else { return Ok(()) };
        let packed = self.compressor.compress(&frame.bytes).map_err(not_packed)?;
        let full = self.assembler.push(frame.first, frame.bytes.len(), &packed);
        self.keep(full)
    }

    fn keep(&mut self, blob: Option<Blob>) -> Result<(), ArchiveError> {
        if let Some(blob) = blob {
            let name = ROW.file(blob.number);
            let part = write_part(self.folder, &name, &blob.bytes)?;
            self.parts.push(part);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<PartFile>, ArchiveError> {
        let last = std::mem::replace(&mut self.cutter, Cutter::new(ROW)).finish();
        self.pack(last)?;
        let (last, _) = std::mem::replace(&mut self.assembler, Assembler::new(ROW)).finish();
        self.keep(last)?;
        Ok(self.parts)
    }
}

/// Returns what the shares of a period hold, verified: all of them, made in the same way. `chance` decides which attestations are
/// verified again.
///
/// # Errors
/// `Absent` where a share is missing, `Share` where one was made in another way, and whatever hinders reading.
pub async fn incoming(
    storage: &Arc<dyn Storage>,
    of: u32,
    period: &Period,
    (trusted_root, policy_digest): (&[u8], Option<[u8; 32]>),
    chance: u64,
) -> Result<Incoming<'static>, ArchiveError> {
    let wanted = profile(trusted_root, policy_digest);
    let mut rows = Vec::new();
    for share in Share::all(of) {
        let name = share.name(&period.name);
        let archive = Archive::open_as(Arc::clone(storage), &name, SHARE_TYPE).await?;
        let head = archive.read(HEAD, MAX_HEAD).await?;
        let head: Option<Head> = serde_json::from_slice(&head).ok();
        let expected = Head {
            number: share.number,
            of: share.of,
            period: period.clone(),
            profile: wanted.clone(),
        };
        if head.as_ref() != Some(&expected) {
            return Err(ArchiveError::Share { name });
        }
        rows.push(archive);
    }
    let names = rows.into_iter().flat_map(|archive| {
        let names: Vec<_> = archive.blobs(ROW).collect();
        names.into_iter().map(move |name| (archive.clone(), name))
    });
    let blobs = stream::iter(names.collect::<Vec<_>>());
    let arrivals =
        blobs.then(move |(archive, name)| async move { read(&archive, &name, chance).await });
    Ok(Box::pin(arrivals.flat_map(|arrivals| {
        stream::iter(match arrivals {
            Ok(arrivals) => arrivals.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    })))
}

/// Reads the attestations of one blob of a share.
async fn read(archive: &Archive, name: &str, chance: u64) -> Result<Vec<Arrival>, ArchiveError> {
    let unreadable = || ArchiveError::Unreadable {
        what: format!("{} {name}", archive.name),
    };
    let mut arrivals = Vec::new();
    let frames = archive.each_frame_of(name, |frame| {
        let mut rest = frame;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = rest.split_at(end.ok_or_else(unreadable)?);
            let (size, finding) = parse(line).ok_or_else(unreadable)?;
            let bytes = after
                .get(1..)
                .and_then(|after| after.split_at_checked(size));
            let (bytes, after) = bytes.ok_or_else(unreadable)?;
            if Fingerprint::of(bytes) != finding.digest {
                return Err(unreadable());
            }
            let bytes = bytes.to_vec();
            arrivals.push(match is_sampled(&finding.digest, chance) {
                true => Arrival::doubted(bytes, finding),
                false => Arrival::believed(bytes, finding),
            });
            rest = after;
        }
        Ok(())
    });
    frames.await?;
    Ok(arrivals)
}

/// Reads a line: how many bytes the attestation has, and what was found about it.
fn parse(line: &[u8]) -> Option<(usize, Finding)> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let leaf = Leaf::parse(line.leaf.as_bytes()).ok()?;
    let finding = Finding {
        digest: leaf.digest,
        status: leaf.status,
        time: leaf.time,
        signer: line.signer,
        subjects: line.subjects.into_iter().map(|each| each.0).collect(),
        entries: line.entries,
    };
    Some((usize::try_from(leaf.size).ok()?, finding))
}

/// Says whether an attestation is one of those that are verified again.
fn is_sampled(digest: &Fingerprint, chance: u64) -> bool {
    let [a, b, c, d, e, f, g, h, ..] = digest.sha3;
    let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    (number ^ chance)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .is_multiple_of(SAMPLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attestation_is_in_exactly_one_share() {
        for of in [1, 3, 8, MAX_SHARES] {
            for each in 0..200_u32 {
                let digest = sha256(&each.to_le_bytes());
                assert_eq!(Share::all(of).filter(|share| share.has(&digest)).count(), 1);
            }
        }
        assert_eq!(Share::new(0, 3), None);
        assert_eq!(Share::new(4, 3), None);
        assert_eq!(Share::new(1, MAX_SHARES + 1), None);
    }

    #[test]
    fn about_one_in_a_hundred_is_verified_again_and_chance_says_which() {
        let sampled = |chance| -> Vec<u32> {
            let is = |each: &u32| is_sampled(&Fingerprint::of(&each.to_le_bytes()), chance);
            (0..20_000).filter(is).collect()
        };
        let (one, other) = (sampled(1), sampled(2));
        assert!((100..300).contains(&one.len()), "{}", one.len());
        assert_ne!(one, other);
    }
}
