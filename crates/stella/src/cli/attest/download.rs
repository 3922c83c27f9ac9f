//! `stella attest download`: the attestations of an image as a file, one bundle a line, for machines without its registry.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::export_bundle::bundles_of;
use super::source::SourceFlags;
use crate::exit::{self, Failure};
use crate::registry::{RegistryFlags, WhichFlags};
use crate::terminal;

/// Write the attestations of an artifact or image to a file, one bundle a line
///
/// What is written verifies elsewhere: `stella verify … --bundle FILE --offline`, and line by line with other clients.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella attest download registry.example/org/app:v1 --output app.sigstore.jsonl")]
pub(crate) struct Args {
    /// An image: REGISTRY/REPO:TAG or REGISTRY/REPO@DIGEST; or a file or digest, from this machine's store
    artifact: String,

    #[command(flatten)]
    which: WhichFlags,

    #[command(flatten)]
    source: SourceFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    /// Write to this file; `-` is standard output; by default sha256-HEX.sigstore.jsonl
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Print JSON about what was written
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<u8, Failure> {
    let registries = args.registry.open()?;
    let which = args.which.which();
    let asked = args
        .source
        .find(&args.artifact, &which, &registries)
        .await?;
    let digest = asked.iter().find_map(|each| each.digests.first().cloned());
    let bundles = bundles_of(asked)?;
    let lines: Vec<u8> = bundles.iter().flat_map(|bundle| line(bundle)).collect();
    let path = args.output.unwrap_or_else(|| {
        let name = digest
            .as_ref()
            .map(|digest| digest.to_string().replace(':', "-"));
        format!("{}.sigstore.jsonl", name.unwrap_or_default()).into()
    });
    if path.as_os_str() == "-" {
        terminal::say_bytes(&lines);
        return Ok(exit::OK);
    }
    fs::write(&path, &lines).map_err(|error| Failure::io("write", &path, &error))?;
    if args.json {
        terminal::say_json(&json!({
            "artifact": digest.map(|digest| digest.to_string()),
            "attestations": bundles.len(),
            "file": path.display().to_string(),
        }));
    } else {
        terminal::tell(&format!(
            "wrote {} attestations to {}",
            bundles.len(),
            path.display()
        ));
    }
    Ok(exit::OK)
}

/// Returns a bundle as one line: line ends of JSON stand between its words only, and say nothing.
fn line(bundle: &[u8]) -> Vec<u8> {
    let words = bundle.iter().filter(|byte| !matches!(byte, b'\n' | b'\r'));
    words.copied().chain([b'\n']).collect()
}
