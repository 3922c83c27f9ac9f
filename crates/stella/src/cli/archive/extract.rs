//! `stella archive extract`: one attestation with its proof.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use stella_archive::leaf::Leaf;
use stella_attest::archive::cosign::note_of;
use stella_attest::archive::extract::{self, Extracted};
use stella_attest::archive::{Archive, ArchiveError, open};
use stella_bundle::digest::Digest;
use stella_tlog::tlog_proof::TlogProof;
use stella_tlog::tree::LeafIndex;

use super::place::{PlaceFlags, failure};
use crate::artifact::Artifact;
use crate::exit::{self, Failure};
use crate::terminal;

/// Take attestations out of an archive, with the proof that they are in it, as one file that verifies by itself
///
/// The file is an exported set: `stella archive verify FILE --anchor org.anchor` verifies it, and each attestation in it is
/// byte for byte what was signed. With --bundle the attestation alone is written, as cosign verifies it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella archive extract archive sha256:… --output evidence.json
  stella archive extract registry.example/org/archive app.tar.gz --period 2026-11 --bundle app.sigstore.json
  stella archive extract archive sha256:… --bundle app.sigstore.json --proof app.tlog-proof")]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceFlags,

    /// A file, the digest of one, or the digest of an attestation
    artifact: String,

    /// Write the set to this file; by default to standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Write the only attestation by itself to this file
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    bundle: Option<PathBuf>,

    /// Write to this file that the only attestation is in the tree that witnesses cosigned, in the form c2sp.org/tlog-proof: what is
    /// proved is its leaf, which is there as extra data
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    proof: Option<PathBuf>,

    /// Print JSON about what was found
    #[arg(long, requires = "output")]
    json: bool,
}

pub(crate) async fn run(args: &Args) -> Result<u8, Failure> {
    let digest = match Digest::parse(&args.artifact) {
        Some(digest) => digest,
        None => {
            let artifact = Artifact::read(&args.artifact)?;
            let first = artifact.digests.first().cloned();
            first.ok_or_else(|| Failure::usage("the artifact has no digest"))?
        }
    };
    let (archive, newest, found) = find(&args.place, &digest).await?;
    let write = |path: &PathBuf, bytes: &[u8]| {
        fs::write(path, bytes).map_err(|error| Failure::io("write", path, &error))
    };
    if args.bundle.is_some() || args.proof.is_some() {
        let [only] = found.as_slice() else {
            return Err(
                Failure::usage(format!("{} attestations speak of {digest}", found.len()))
                    .hint("name one by its own digest, or write all of them with --output"),
            );
        };
        let gone = || {
            Failure::new(
                exit::NO_ATTESTATION,
                "its bytes were let go after retention",
            )
        };
        if let Some(path) = &args.bundle {
            write(path, only.bundle.as_ref().ok_or_else(gone)?)?;
            terminal::say(&format!(
                "{}: the attestation of leaf {}",
                path.display(),
                only.proof.index
            ));
        }
        if let Some(path) = &args.proof {
            let proof = cosigned_proof(&archive, only).await?;
            write(path, proof.to_string().as_bytes())?;
            terminal::say(&format!(
                "{}: the proof of leaf {} with the note as it is kept; whose signatures it has, its reader verifies",
                path.display(),
                only.proof.index
            ));
        }
        return Ok(exit::OK);
    }
    let set = extract::to_file(&archive, newest.as_ref(), &digest, &found).await;
    let set = set.map_err(failure)?;
    let bytes = serde_json::to_vec(&set).unwrap_or_default();
    match &args.output {
        None => terminal::say_bytes(&bytes),
        Some(path) => {
            write(path, &bytes)?;
            let rows = found
                .iter()
                .map(|each| json!({"index": each.proof.index, "leaf": each.proof.leaf}));
            match args.json {
                true => terminal::say_json(&json!({
                    "schema": "stella.extract/v1", "period": archive.name, "attestations": rows.collect::<Vec<_>>(),
                })),
                false => terminal::say(&format!(
                    "{}: {} of period {}",
                    path.display(),
                    count(found.len()),
                    archive.name
                )),
            }
        }
    }
    Ok(exit::OK)
}

/// Returns the proof that an attestation's leaf is in the tree that witnesses cosigned.
async fn cosigned_proof(archive: &Archive, found: &Extracted) -> Result<TlogProof, Failure> {
    let note = note_of(archive).await;
    let note = note.map_err(failure)?.ok_or_else(|| {
        let message = format!("no note of witnesses is kept beside {}", archive.name);
        Failure::new(exit::LOG, message)
            .hint("`stella archive cosign` has the newest archive cosigned")
    })?;
    let leaf = found.proof.leaf.as_bytes();
    let proof = TlogProof {
        extra: Some(leaf.to_vec()),
        index: LeafIndex(found.proof.index),
        hashes: found.path.clone(),
        note,
    };
    let checked = proof.checkpoint_of(&Leaf::hash(leaf));
    checked.map_err(|error| {
        Failure::new(exit::LOG, format!("the note is of another tree: {error}"))
    })?;
    Ok(proof)
}

/// Finds attestations in the period that was named, else in the newest that holds some; returns it, and the newest of the place.
async fn find(
    place: &PlaceFlags,
    digest: &Digest,
) -> Result<(Archive, Option<Archive>, Vec<Extracted>), Failure> {
    let (archive, newest) = place.open_with_newest().await?;
    let mut result = extract::find(&archive, digest).await;
    if place.period().is_some() {
        return Ok((archive, newest, result.map_err(failure)?));
    }
    let storage = place.storage()?;
    let listed = open::list(&storage).await.map_err(failure)?;
    for each in listed.iter().rev().filter(|each| each.name != archive.name) {
        if !matches!(result, Err(ArchiveError::NotFound(_))) {
            break;
        }
        let older = Archive::open(storage.clone(), &each.name)
            .await
            .map_err(failure)?;
        result = extract::find(&older, digest).await;
        if result.is_ok() {
            return Ok((older, Some(archive), result.map_err(failure)?));
        }
    }
    Ok((archive, None, result.map_err(failure)?))
}

fn count(attestations: usize) -> String {
    match attestations {
        1 => "1 attestation".to_owned(),
        many => format!("{many} attestations"),
    }
}
