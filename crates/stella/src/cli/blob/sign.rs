//! `stella sign-blob`: the bytes of files themselves are signed.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use stella_attest::sign::{self, Message, Signed};
use stella_bundle::json::encode_base64;

use super::{Blob, bundle_paths, require_one, require_other, write};
use crate::cli::Context;
use crate::cli::attest::signing::SigningFlags;
use crate::exit::{self, Failure};
use crate::terminal;

/// Sign files
///
/// The signature is over the file's own bytes, as openssl and cosign verify it. The bundle lies beside the file as
/// FILE.sigstore.json, where `stella verify FILE` finds it. Several files share one key, and one certificate.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella sign-blob app.tar.gz --key stella.key
  stella sign-blob app.tar.gz --key stella.key --log          also in the transparency log, and stamped
  stella sign-blob dist/*.whl --keyless
  stella verify app.tar.gz --key stella.pub")]
pub(crate) struct Args {
    /// Files, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    #[command(flatten)]
    signing: SigningFlags,

    /// Write the bundle to this file instead of FILE.sigstore.json
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// Write the signature alone to this file too, in base64
    #[arg(long, value_name = "FILE")]
    output_signature: Option<PathBuf>,

    /// Print the signature alone, in base64, as cosign does
    #[arg(long, hide = true, conflicts_with = "json")]
    print_signature: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Failure> {
    require_one(&args.files, args.bundle.as_ref())?;
    require_one(&args.files, args.output_signature.as_ref())?;
    let paths = bundle_paths(&args.files, args.bundle.as_ref())?;
    if let Some(path) = &args.output_signature {
        require_other(&args.files, path)?;
    }
    // 1. What there is to sign, before anybody is asked for a PIN or a token.
    let blobs = args.files.iter().map(|file| Blob::read(file));
    let mut blobs = blobs.collect::<Result<Vec<_>, _>>()?;
    // 2. How, and who. Some keys must be given whole messages.
    let prepared = args.signing.prepare(context).await?;
    if prepared.prehash().is_none() {
        blobs.iter_mut().try_for_each(Blob::load)?;
    }
    // 3. The story, and each bundle beside its file.
    let messages: Vec<Message<'_>> = blobs.iter().map(Blob::message).collect();
    let session = prepared.session();
    let signed = sign::sign_many(&session, prepared.signatory()?, &messages).await?;
    let mut rows = Vec::new();
    for ((blob, signed), path) in blobs.iter().zip(&signed).zip(&paths) {
        let file = blob.file;
        write(path, signed)?;
        if let Some(path) = &args.output_signature {
            let text = encode_base64(signed.bundle.content.signature()) + "\n";
            fs::write(path, text).map_err(|error| Failure::io("write", path, &error))?;
        }
        rows.push(to_json(blob, signed, path));
        if args.print_signature {
            terminal::say(&encode_base64(signed.bundle.content.signature()));
        } else if !args.json {
            terminal::say(&format!("signed {file}, in {}", path.display()));
            if let Some(entry) = signed.verified.facts().entries.first() {
                terminal::say(&format!(
                    "  logged at index {} of {}",
                    entry.index, entry.origin
                ));
            }
        }
    }
    if args.json {
        terminal::say_json(&json!({"schema": "stella.sign-blob/v1", "signed": rows}));
    }
    prepared.clear();
    Ok(exit::OK)
}

fn to_json(blob: &Blob<'_>, signed: &Signed, bundle: &std::path::Path) -> serde_json::Value {
    let facts = signed.verified.facts();
    json!({
        "file": blob.file,
        "digest": blob.digests.first().map(ToString::to_string),
        "bundle": bundle.display().to_string(),
        "signature": encode_base64(signed.bundle.content.signature()),
        "signer": facts.signer.as_ref().and_then(|signer| signer.name()),
        "time": facts.times.first().map(|time| time.time.to_string()),
        "log": facts.entries.first().map(|entry| json!({"origin": entry.origin, "index": entry.index})),
    })
}
