//! `stella attest-blob`: statements about files, each bundle beside its file.

use std::path::PathBuf;

use serde_json::json;
use stella_attest::sign::{self, Message};

use super::{bundle_paths, require_one, write};
use crate::artifact::Artifact;
use crate::cli::Context;
use crate::cli::attest::signing::SigningFlags;
use crate::cli::attest::statements;
use crate::exit::{self, Failure};
use crate::terminal;

/// Sign a statement about each file
///
/// As `stella attest sign --artifact FILE`, with the bundle beside the file as FILE.sigstore.json instead of in this
/// machine's store.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella attest-blob app.tar.gz --predicate verdict.json --type verdict --key stella.key
  stella verify app.tar.gz --key stella.pub --require verdict:/result=allow")]
pub(crate) struct Args {
    /// Files, digests as sha256:HEX, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// What to say: a JSON file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    predicate: PathBuf,

    /// What the predicate is: a short name (verdict, sbom-delta, reachability) or a URI
    #[arg(long = "type", value_name = "TYPE")]
    predicate_type: String,

    #[command(flatten)]
    signing: SigningFlags,

    /// Write the bundle to this file instead of FILE.sigstore.json
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Failure> {
    require_one(&args.files, args.bundle.as_ref())?;
    let predicates = statements::read(
        std::slice::from_ref(&args.predicate),
        std::slice::from_ref(&args.predicate_type),
    )?;
    let paths = bundle_paths(&args.files, args.bundle.as_ref())?;
    let mut said = Vec::new();
    for file in &args.files {
        let artifact = Artifact::read(file)?;
        said.extend(statements::make(&[artifact], &[], &predicates)?);
    }
    let prepared = args.signing.prepare(context).await?;
    let messages = said.iter().map(|each| Message::Statement(&each.statement));
    let messages: Vec<Message<'_>> = messages.collect();
    let session = prepared.session();
    let signed = sign::sign_many(&session, prepared.signatory()?, &messages).await?;
    let mut rows = Vec::new();
    for (((file, said), signed), path) in args.files.iter().zip(&said).zip(&signed).zip(&paths) {
        write(path, signed)?;
        rows.push(json!({
            "file": file,
            "predicateType": said.statement.predicate_type,
            "bundle": path.display().to_string(),
        }));
        if !args.json {
            terminal::say(&format!("attested {file}, in {}", path.display()));
        }
    }
    if args.json {
        terminal::say_json(&json!({"schema": "stella.attest-blob/v1", "attested": rows}));
    }
    prepared.clear();
    Ok(exit::OK)
}
