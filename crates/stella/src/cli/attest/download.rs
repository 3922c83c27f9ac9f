//! `stella attest download`: the attestations of an image as a file, one bundle a line, for machines without its registry.

use std::path::PathBuf;

use super::export_bundle::{bundles_of, line, write};
use super::source::LookFlags;
use crate::exit::{self, Failure};

/// Write the attestations of an artifact or image to a file, one bundle a line
///
/// What is written verifies elsewhere: `stella verify … --bundle FILE --offline`, and line by line with other clients.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella attest download registry.example/org/app:v1 --output app.sigstore.jsonl")]
pub(crate) struct Args {
    #[command(flatten)]
    look: LookFlags,

    /// Write to this file; `-` is standard output; by default sha256-HEX.sigstore.jsonl
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Print JSON about what was written
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<u8, Failure> {
    let asked = args.look.find().await?;
    let digest = asked.iter().find_map(|each| each.digests.first().cloned());
    let bundles = bundles_of(asked)?;
    let lines: Vec<u8> = bundles.iter().flat_map(|bundle| line(bundle)).collect();
    let path = args.output.unwrap_or_else(|| {
        let name = digest
            .as_ref()
            .map(|digest| digest.to_string().replace(':', "-"));
        format!("{}.sigstore.jsonl", name.unwrap_or_default()).into()
    });
    write(&path, &lines, digest.as_ref(), bundles.len(), args.json)?;
    Ok(exit::OK)
}
