//! `stella attest list`: what there is about an artifact or an image, as a tree.

use serde_json::{Value, json};
use stella_attest::collect::Attested;
use stella_attest::verify::{Found, Source};
use stella_bundle::bundle::{Bundle, Content, KeyMaterial};
use stella_bundle::certificate::Certificate;
use stella_bundle::identity::{escape, only_identity};
use stella_bundle::legacy;
use stella_bundle::statement::Statement;
use stella_wire::registry::attachment::CREATED;

use super::source::{Asked, LookFlags};
use crate::exit::{self, Failure};
use crate::{output, terminal};

/// List the attestations of an artifact or image, unverified
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella attest list ./app
  stella attest list registry.example/org/app:v1 -r")]
pub(crate) struct Args {
    #[command(flatten)]
    look: LookFlags,

    /// Print JSON with the key `attestations`
    #[arg(long)]
    json: bool,
}

/// What one attestation says of itself.
struct Row {
    digest: String,
    manifest: Option<String>,
    predicate_type: String,
    signer: Option<String>,
    created: Option<String>,
    size: usize,
    source: Source,
}

pub(crate) async fn run(args: Args) -> Result<u8, Failure> {
    let asked = args.look.find().await?;
    if args.json {
        let documents: Vec<Value> = asked.iter().map(to_json).collect();
        terminal::say_json(&match documents.as_slice() {
            [only] => only.clone(),
            several => json!({"artifacts": several}),
        });
        return Ok(exit::OK);
    }
    for each in &asked {
        tell(each);
    }
    if asked.iter().all(|each| each.attested.is_empty()) {
        terminal::tell("no attestations");
    }
    Ok(exit::OK)
}

fn tell(asked: &Asked) {
    terminal::say(&asked.name);
    let rows: Vec<Row> = asked.attested.iter().map(row).collect();
    for (at, row) in rows.iter().enumerate() {
        let (branch, below) = if at + 1 == rows.len() {
            ("└─", "  ")
        } else {
            ("├─", "│ ")
        };
        terminal::say(&format!("{branch} {}", escape(&row.predicate_type)));
        let line = |text: String| terminal::say(&format!("{below}   {text}"));
        line(format!("{}  {} bytes", row.digest, row.size));
        if let Some(signer) = &row.signer {
            line(format!("says that it is by {}", escape(signer)));
        }
        if let Some(manifest) = &row.manifest {
            let created = row.created.as_deref().map(escape).unwrap_or_default();
            line(format!("attached as {manifest} {created}"));
        }
    }
}

fn to_json(asked: &Asked) -> Value {
    let row = |each: &Attested| {
        let row = row(each);
        json!({
            "digest": row.digest,
            "manifest": row.manifest,
            "predicateType": row.predicate_type,
            "signer": row.signer,
            "created": row.created,
            "size": row.size,
            "source": output::json::source(row.source),
        })
    };
    json!({
        "artifact": asked.digests.first().map(ToString::to_string),
        "ref": asked.name,
        "attestations": asked.attested.iter().map(row).collect::<Vec<_>>(),
    })
}

fn row(attested: &Attested) -> Row {
    let candidate = &attested.candidate;
    let (bundle, size) = match &candidate.found {
        Found::Bytes(Ok(bytes)) => (
            legacy::read(bytes)
                .map(|(bundle, _)| bundle)
                .map_err(|error| format!("unreadable: {error}")),
            bytes.len(),
        ),
        Found::Bytes(Err(damage)) => (Err(format!("damaged: {damage}")), 0),
        Found::Pieces(Ok(bundle)) => (Ok((**bundle).clone()), 0),
        Found::Pieces(Err(error)) => (Err(format!("unreadable: {error}")), 0),
    };
    let manifest = attested.manifest.as_ref();
    Row {
        digest: candidate.digest.to_string(),
        manifest: manifest.map(|manifest| manifest.digest.to_string()),
        signer: bundle.as_ref().ok().and_then(signer),
        predicate_type: match bundle {
            Ok(bundle) => content_type(&bundle.content),
            Err(problem) => problem,
        },
        created: manifest.and_then(|manifest| manifest.annotations.get(CREATED).cloned()),
        size,
        source: candidate.source,
    }
}

/// Returns who the certificate names; nobody has verified it.
fn signer(bundle: &Bundle) -> Option<String> {
    let KeyMaterial::Certificates(chain) = &bundle.key else {
        return None;
    };
    let leaf = Certificate::parse(chain.first()?).ok()?;
    only_identity(&leaf).map(str::to_owned)
}

/// Returns what the bundle claims to say.
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
