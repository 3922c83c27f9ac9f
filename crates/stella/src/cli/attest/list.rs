//! `stella attest list`: what the store has for an artifact.

use serde_json::json;
use stella_attest::verify::Found;
use stella_bundle::bundle::Content;
use stella_bundle::identity::escape;
use stella_bundle::legacy;
use stella_bundle::statement::Statement;

use super::source::SourceFlags;
use crate::exit::{self, Failure};
use crate::{artifact, terminal};

/// List the attestations of an artifact, unverified
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The artifact: a file, or its digest as sha256:HEX
    artifact: String,

    #[command(flatten)]
    source: SourceFlags,

    /// Print JSON with the key `attestations`
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let artifact = artifact::Artifact::read(&args.artifact)?;
    let candidates = args.source.candidates(&artifact)?;
    let rows: Vec<(String, String, usize)> = candidates
        .iter()
        .map(|each| {
            let (predicate_type, size) = match &each.found {
                Found::Bytes(Ok(bytes)) => (predicate_type(bytes), bytes.len()),
                Found::Bytes(Err(damage)) => (format!("damaged: {damage}"), 0),
                Found::Pieces(Ok(bundle)) => (content_type(&bundle.content), 0),
                Found::Pieces(Err(error)) => (format!("unreadable: {error}"), 0),
            };
            (each.digest.to_string(), predicate_type, size)
        })
        .collect();
    if args.json {
        let row = |(digest, predicate_type, size): &(String, String, usize)| json!({"digest": digest, "predicateType": predicate_type, "size": size});
        terminal::say_json(&json!({
            "artifact": artifact.digest()?.to_string(),
            "attestations": rows.iter().map(row).collect::<Vec<_>>(),
        }));
        return Ok(exit::OK);
    }
    terminal::say(&artifact.digest()?.to_string());
    for (digest, predicate_type, size) in &rows {
        terminal::say(&format!(
            "  {digest}  {}  {size} bytes",
            escape(predicate_type)
        ));
    }
    if rows.is_empty() {
        terminal::tell("no attestations");
    }
    Ok(exit::OK)
}

/// Returns what the bundle claims to say.
fn predicate_type(bundle: &[u8]) -> String {
    match legacy::read(bundle) {
        Ok((bundle, _)) => content_type(&bundle.content),
        Err(error) => format!("unreadable: {error}"),
    }
}

fn content_type(content: &Content) -> String {
    match content {
        Content::Envelope(envelope) => match Statement::parse(&envelope.payload) {
            Ok(statement) => statement.predicate_type,
            Err(error) => format!("unreadable: {error}"),
        },
        Content::Message { .. } => "message signature".to_owned(),
        Content::SimpleSigning { .. } => "image signature".to_owned(),
    }
}
