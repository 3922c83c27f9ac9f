//! `stella attest export-bundle`: everything about an artifact in one file, byte for byte.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;
use stella_attest::image::Which;
use stella_attest::verify::{Candidate, Found};
use stella_bundle::attestation_set::{AttestationSet, TrustedRootCopy};
use stella_bundle::bundle::Bundle;
use stella_bundle::digest::Digest;

use super::source::{Asked, SourceFlags};
use crate::exit::{self, Failure};
use crate::registry::RegistryFlags;
use crate::{terminal, trust};

/// Write every attestation of an artifact into one file that verifies offline
///
/// The same file is made out of an archive, with its proofs, by `stella archive extract`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella attest export-bundle --image sha256:… --include-proofs --output attestation-bundle.json
  stella attest verify --offline --bundle attestation-bundle.json --artifact sha256:… …")]
pub(crate) struct Args {
    /// The artifact: a file, its digest as sha256:HEX, or an image: REGISTRY/REPO:TAG or REGISTRY/REPO@DIGEST
    #[arg(long, visible_alias = "artifact", value_name = "ARTIFACT")]
    image: String,

    #[command(flatten)]
    source: SourceFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    /// Refuse bundles that cannot be verified offline, and put the recorded trust root beside them
    #[arg(long)]
    include_proofs: bool,

    /// Write to this file; `-` is standard output
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "attestation-bundle.json"
    )]
    output: PathBuf,

    /// The form of the file
    #[arg(long, value_enum, default_value_t = Format::Set)]
    format: Format,

    /// Print JSON about what was written
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One bundle a line, for other tools
    Jsonl,
    /// Our own file, with exact bytes and trust roots
    Set,
}

pub(crate) async fn run(args: Args) -> Result<u8, Failure> {
    let registries = args.registry.open()?;
    let asked = args
        .source
        .find(&args.image, &Which::Itself, &registries)
        .await?;
    let digest = asked.iter().find_map(|each| each.digests.first().cloned());
    let digest = digest.ok_or_else(|| Failure::new(exit::NO_ARTIFACT, "no artifact"))?;
    let bundles = bundles_of(asked)?;
    if args.include_proofs {
        for bundle in &bundles {
            require_proofs(bundle)?;
        }
    }
    let bytes = match args.format {
        Format::Jsonl => bundles.iter().flat_map(|bundle| line(bundle)).collect(),
        Format::Set => {
            let roots = if args.include_proofs {
                trusted_roots()?
            } else {
                Vec::new()
            };
            AttestationSet::new(&digest, bundles.clone(), roots).to_json()
        }
    };
    write(
        &args.output,
        &bytes,
        Some(&digest),
        bundles.len(),
        args.json,
    )?;
    Ok(exit::OK)
}

/// Writes attestations to a file, or to standard output, and says so.
pub(super) fn write(
    output: &Path,
    bytes: &[u8],
    artifact: Option<&Digest>,
    count: usize,
    as_json: bool,
) -> Result<(), Failure> {
    if output.as_os_str() == "-" {
        terminal::say_bytes(bytes);
        return Ok(());
    }
    fs::write(output, bytes).map_err(|error| Failure::io("write", output, &error))?;
    if as_json {
        terminal::say_json(&json!({
            "artifact": artifact.map(Digest::to_string),
            "attestations": count,
            "file": output.display().to_string(),
        }));
    } else {
        let output = output.display();
        terminal::tell(&format!("wrote {count} attestations to {output}"));
    }
    Ok(())
}

/// Returns a bundle as one line: line ends of JSON stand between its words only, and say nothing.
pub(super) fn line(bundle: &[u8]) -> Vec<u8> {
    let words = bundle.iter().filter(|byte| !matches!(byte, b'\n' | b'\r'));
    words.copied().chain([b'\n']).collect()
}

/// Returns every bundle of what was asked for.
pub(super) fn bundles_of(asked: Vec<Asked>) -> Result<Vec<Vec<u8>>, Failure> {
    let attested = asked.into_iter().flat_map(|each| each.attested);
    let candidates: Vec<Candidate> = attested.map(|each| each.candidate).collect();
    if candidates.is_empty() {
        return Err(Failure::new(
            exit::NO_ATTESTATION,
            "no attestation speaks of this artifact",
        ));
    }
    healthy(candidates)
}

/// Returns the bundles that can be read, and says which cannot.
fn healthy(candidates: Vec<Candidate>) -> Result<Vec<Vec<u8>>, Failure> {
    let mut bundles = Vec::with_capacity(candidates.len());
    let mut last = None;
    for candidate in candidates {
        match candidate.found {
            Found::Bytes(Ok(bytes)) => bundles.push(bytes),
            Found::Bytes(Err(damage)) => {
                terminal::tell(&format!("warning: left out: {damage}"));
                last = Some(damage);
            }
            // What was put together here has no bytes but those of the older bundle that it makes.
            Found::Pieces(Ok(bundle)) => match bundle.to_json() {
                Ok(bytes) => bundles.push(bytes),
                Err(error) => {
                    terminal::tell(&format!("warning: left out {}: {error}", candidate.digest))
                }
            },
            Found::Pieces(Err(error)) => {
                terminal::tell(&format!("warning: left out {}: {error}", candidate.digest));
            }
        }
    }
    match last {
        Some(damage) if bundles.is_empty() => Err(exit::damaged(&damage)),
        _ => Ok(bundles),
    }
}

/// Requires that a bundle carries what an offline verifier needs.
fn require_proofs(bytes: &[u8]) -> Result<(), Failure> {
    let bundle =
        Bundle::parse(bytes).map_err(|error| Failure::new(exit::SIGNATURE, error.to_string()))?;
    let has_proof = bundle
        .entries
        .iter()
        .any(|entry| entry.inclusion_proof.is_some());
    if has_proof && !bundle.timestamps.is_empty() {
        return Ok(());
    }
    let missing = if has_proof {
        "timestamp"
    } else {
        "log inclusion proof"
    };
    Err(Failure::new(
        exit::LOG,
        format!("a bundle has no {missing} and cannot be verified offline"),
    )
    .hint("sign again, or export without --include-proofs"))
}

/// Returns the recorded trust root, for the receiver to look at and to pin.
fn trusted_roots() -> Result<Vec<TrustedRootCopy>, Failure> {
    let recorded = trust::Folder::usual().recorded()?;
    Ok(recorded
        .into_iter()
        .map(|material| TrustedRootCopy::new(material.root_bytes))
        .collect())
}
