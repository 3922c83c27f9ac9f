//! Verify a whole archive as a stranger does: from the anchor down to the bytes of every attestation.
//!
//! Frames are opened, hashed and verified across cores; in memory are what leaves say and one blob.

mod leaves;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use stella_archive::anchor::Anchor;
use stella_archive::fall::Falls;
use stella_archive::fingerprint::Fingerprint;
use stella_archive::frames::{self, Class, FrameError};
use stella_archive::history::{self, History, Judgement};
use stella_archive::levels::{Missing, Refusal, Reverifier, Scales, read_roots};
use stella_bundle::key::sha256;
use stella_bundle::memo::Memo;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{Artifact, Policy};

use super::error::{ArchiveError, Mismatch};
use super::open::{Archive, MAX_WHOLE};
use super::surroundings;
use leaves::{Expected, Row};

/// Refusals that are listed; more are counted.
const MOST_LISTED: usize = 100;

/// How to verify.
pub struct Demands<'a> {
    /// Whom the verifier believes.
    pub anchor: &'a Anchor,
    /// What it knows to have fallen, besides what the archive says.
    pub known: &'a Falls,
    /// Its own trusted root, for the independent level.
    pub own: Option<&'a TrustedRoot>,
    /// Who may have signed attestations.
    pub policy: &'a Policy,
    /// A newer archive of the same organisation, whose past covers this one's: it knows more of what fell, and renews.
    pub newer: Option<&'a Archive>,
    /// How far to go.
    pub depth: Depth,
    /// The present moment, or the one that is asked about.
    pub now: UnixTime,
    /// On so many cores.
    pub threads: NonZeroUsize,
    /// Hears how many attestations are done, and of how many.
    pub done: &'a (dyn Fn(u64, u64) + Sync),
}

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// As L0, but of bytes that this process itself hashed by both functions SHA-256 alone is compared.
    Unchanged,
    /// L0: signatures, tree, and the bytes of everything.
    Archived,
    /// L1: every attestation verifies again, by the trusted root of its time.
    Reverified,
    /// L2: every attestation verifies by the verifier's own trusted root.
    Independent,
}

/// What was found.
#[derive(Debug)]
pub struct Checked {
    /// The past.
    pub judgement: Judgement,
    /// The number of this archive's statement.
    pub sequence: u64,
    /// Attestations whose bytes are there.
    pub present: u64,
    /// Attestations whose bytes were let go.
    pub absent: u64,
    /// Attestations that verified again.
    pub reverified: u64,
    /// Attestations that did not, with their leaves; the first of them.
    pub refused: Vec<(u64, Refusal)>,
    /// How many did not.
    pub refused_count: u64,
    /// Why none was verified again.
    pub unknown: Option<Missing>,
}

/// Verifies an archive.
///
/// # Errors
/// Any [`ArchiveError`] when the archive itself does not hold. Attestations that do not verify again are no error.
pub async fn verify(archive: &Archive, demands: &Demands<'_>) -> Result<Checked, ArchiveError> {
    // 1. The past, down to the newest statement.
    let (past, root_files, sequence) = past(archive, demands.newer).await?;
    let (anchor, known, own) = (demands.anchor, demands.known, demands.own);
    let judgement = history::judge(&past, anchor, known, own, demands.now)?;

    // 2. What lies around the statement is its own, and so are the leaves.
    let at = usize::try_from(sequence).unwrap_or(usize::MAX);
    let own_statement = judgement.statements.get(at).zip(past.statements.get(at));
    let (statement, document) = own_statement.ok_or(ArchiveError::Mismatch(Mismatch::Leaves))?;
    surroundings::require(archive, &statement.manifest, document, &root_files).await?;
    let leaves = leaves::read(archive, &judgement, sequence, demands).await?;

    // 3. The bytes are those of the leaves; and what they hold verifies.
    let roots = read_roots(&root_files);
    let scales = Scales {
        judgement: &judgement,
        roots: &roots,
        own,
        known,
        policy: demands.policy,
        now: demands.now,
    };
    let reverifiers = match demands.depth {
        Depth::Unchanged | Depth::Archived => None,
        Depth::Reverified => Some(scales.reverifiers(sequence)),
        Depth::Independent => Some(independent(&scales, sequence)),
    };
    let mut found = Found::default();
    let total = (leaves.evidence.expected.len() + leaves.rejected.expected.len()) as u64;
    let done = |present| (demands.done)(present, total);
    for (class, expected) in [
        (Class::Evidence, &leaves.evidence),
        (Class::Rejected, &leaves.rejected),
        (Class::Records, &leaves.records),
    ] {
        let reverifiers = reverifiers.as_ref().filter(|_| class == Class::Evidence);
        let before = found.present;
        bytes(
            archive,
            class,
            expected,
            reverifiers,
            demands,
            &done,
            &mut found,
        )
        .await?;
        if class == Class::Records {
            found.present = before;
        }
    }

    // 4. What only finds things, and what only people read, is what was published too.
    for name in helpers(archive) {
        archive.require_digest(&name).await?;
    }
    found.refused.sort_by_key(|(index, _)| *index);
    found.refused.truncate(MOST_LISTED);
    Ok(Checked {
        judgement,
        sequence,
        present: found.present,
        absent: found.absent,
        reverified: found.reverified,
        refused: found.refused,
        refused_count: found.refused_count,
        unknown: found.unknown,
    })
}

/// Returns the verifier's own, for every profile.
fn independent(scales: &Scales<'_>, sequence: u64) -> Vec<Option<Reverifier>> {
    let at = usize::try_from(sequence).unwrap_or(usize::MAX);
    let statement = scales.judgement.statements.get(at);
    let profiles = statement.map_or(0, |each| each.manifest.profiles.len());
    (0..profiles)
        .map(|_| scales.independent_verifier(sequence))
        .collect()
}

/// Returns the files that nothing above has read.
fn helpers(archive: &Archive) -> Vec<String> {
    let is_packed = |name: &str| name.ends_with(".zst");
    let names = archive.files().map(|(name, _)| name);
    names
        .filter(|name| !is_packed(name))
        .map(ToOwned::to_owned)
        .collect()
}

/// Reads the past, this archive's own or the longer one of a newer archive, and the number of this archive's statement.
async fn past(
    archive: &Archive,
    newer: Option<&Archive>,
) -> Result<(History, Vec<Vec<u8>>, u64), ArchiveError> {
    let mismatch = || ArchiveError::Mismatch(Mismatch::Past);
    let (own, mut roots) = archive.history().await?;
    let sequence = own.statements.len().checked_sub(1).ok_or_else(mismatch)? as u64;
    let Some(newer) = newer else {
        return Ok((own, roots, sequence));
    };
    let (mut longer, more) = newer.history().await?;
    let begins = longer.statements.get(..own.statements.len());
    if begins != Some(&own.statements[..]) {
        return Err(mismatch());
    }
    roots.extend(more);
    longer.roots.extend(own.roots);
    Ok((longer, roots, sequence))
}

#[derive(Default)]
struct Found {
    present: u64,
    absent: u64,
    reverified: u64,
    refused: Vec<(u64, Refusal)>,
    refused_count: u64,
    unknown: Option<Missing>,
}

/// Verifies the bytes of a row, blob by blob.
async fn bytes(
    archive: &Archive,
    class: Class,
    row: &Row,
    reverifiers: Option<&Vec<Option<Reverifier>>>,
    demands: &Demands<'_>,
    done: &(dyn Fn(u64) + Sync),
    found: &mut Found,
) -> Result<(), ArchiveError> {
    let is_attestations = class != Class::Records;
    let total = row.expected.len();
    let names: Vec<_> = archive.blobs(class).collect();
    if names.is_empty() {
        // Let go after retention, the leaves stay; before that they are simply not there. Records are kept for ever.
        let is_missing = row.expected.iter().any(|each| each.size > 0);
        if is_missing && !row.is_due {
            return Err(ArchiveError::Mismatch(Mismatch::Gone));
        }
        if is_attestations {
            found.absent += total as u64;
        }
        return Ok(());
    }
    let mut at = 0;
    for name in names {
        let blob = archive.read(&name, MAX_WHOLE).await?;
        let wrong = |error| ArchiveError::Frame {
            part: name.clone(),
            error,
        };
        let split = frames::split(&blob).map_err(wrong)?;
        at =
            frames_of(&split, row, at, reverifiers, demands, found).map_err(
                |trouble| match trouble {
                    Trouble::Frame(error) => wrong(error),
                    Trouble::Mismatch(mismatch) => ArchiveError::Mismatch(mismatch),
                },
            )?;
        if is_attestations {
            done(found.present);
        }
    }
    // What is empty and comes last is in no frame.
    let nothing = Fingerprint::of(b"");
    let is_empty = |each: &Expected| each.size == 0 && each.digest == nothing;
    let rest = row.expected.get(at..).unwrap_or_default();
    found.present += rest.len() as u64;
    match rest.iter().all(is_empty) {
        true => Ok(()),
        false => Err(ArchiveError::Mismatch(Mismatch::Length)),
    }
}

enum Trouble {
    Frame(FrameError),
    Mismatch(Mismatch),
}

/// A frame with the leaves whose bytes it holds.
struct Task<'a> {
    frame: &'a [u8],
    first: u64,
    expected: &'a [Expected],
    length: usize,
}

/// Verifies the frames of one blob side by side; returns the place in the row after them.
fn frames_of(
    frames: &[&[u8]],
    row: &Row,
    mut at: usize,
    reverifiers: Option<&Vec<Option<Reverifier>>>,
    demands: &Demands<'_>,
    found: &mut Found,
) -> Result<usize, Trouble> {
    // 1. Which leaves each frame belongs to: their sizes fill it exactly.
    let mut tasks = Vec::new();
    for frame in frames {
        let length = frames::raw_length(frame).map_err(Trouble::Frame)?;
        let (start, mut sum) = (at, 0);
        while sum < length {
            let next = row.expected.get(at);
            let next = next.ok_or(Trouble::Mismatch(Mismatch::Length))?;
            sum = sum.saturating_add(next.size);
            at += 1;
        }
        if sum != length {
            return Err(Trouble::Mismatch(Mismatch::Length));
        }
        tasks.push(Task {
            frame,
            first: row.first + start as u64,
            expected: &row.expected[start..at],
            length: usize::try_from(length).unwrap_or(usize::MAX),
        });
    }
    // 2. Each by whoever is free.
    let next = AtomicUsize::new(0);
    let work = || {
        let (memo, mut found) = (Memo::remembering(), Found::default());
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            examine(task, reverifiers, demands, &memo, &mut found)?;
        }
        Ok(found)
    };
    let results: Vec<Result<Found, Trouble>> = thread::scope(|scope| {
        let others: Vec<_> = (1..demands.threads.get())
            .map(|_| scope.spawn(work))
            .collect();
        let mut results = vec![work()];
        for other in others {
            let joined = other.join();
            results.push(joined.unwrap_or_else(|cause| std::panic::resume_unwind(cause)));
        }
        results
    });
    for result in results {
        let part = result?;
        found.present += part.present;
        found.reverified += part.reverified;
        found.refused_count += part.refused_count;
        found.refused.extend(part.refused);
        found.unknown = found.unknown.or(part.unknown);
    }
    Ok(at)
}

fn examine(
    task: &Task<'_>,
    reverifiers: Option<&Vec<Option<Reverifier>>>,
    demands: &Demands<'_>,
    memo: &Memo,
    found: &mut Found,
) -> Result<(), Trouble> {
    let raw = frames::decompress(task.frame, task.length).map_err(Trouble::Frame)?;
    let mut rest = raw.as_slice();
    for (index, expected) in (task.first..).zip(task.expected) {
        let size = usize::try_from(expected.size).unwrap_or(usize::MAX);
        let split = rest.split_at_checked(size);
        let (bytes, after) = split.ok_or(Trouble::Mismatch(Mismatch::Length))?;
        rest = after;
        let is_same = match demands.depth {
            Depth::Unchanged => sha256(bytes) == expected.digest.sha256,
            _ => Fingerprint::of(bytes) == expected.digest,
        };
        if !is_same {
            return Err(Trouble::Mismatch(Mismatch::Bytes(index)));
        }
        found.present += 1;
        let Some(reverifiers) = reverifiers else {
            continue;
        };
        let Some(Some(reverifier)) = reverifiers.get(expected.profile as usize) else {
            found.unknown = found.unknown.or(Some(Missing::TrustedRoot));
            continue;
        };
        match reverifier.verify(bytes, &Artifact::AsSigned, demands.now, memo) {
            Ok(_) => found.reverified += 1,
            Err(refusal) if refusal.is_about_a_missing_key() => found.unknown = Some(Missing::Key),
            Err(refusal) => {
                found.refused_count += 1;
                if found.refused.len() < MOST_LISTED {
                    found.refused.push((index, refusal));
                }
            }
        }
    }
    Ok(())
}
