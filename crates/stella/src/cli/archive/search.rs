//! `stella archive search`: which attestations an archive holds.

use serde_json::{Value, json};
use stella_attest::archive::Archive;
use stella_attest::archive::open;
use stella_attest::archive::search::{self, Hit, Query};
use stella_bundle::digest::Digest;
use stella_bundle::identity::escape;
use stella_bundle::predicate::PredicateType;
use stella_bundle::time::UnixTime;

use super::period::parse_time;
use super::place::{self, failure};
use crate::artifact::Artifact;
use crate::cli::mirror::place::Purpose;
use crate::exit::{self, Failure};
use crate::registry::RegistryFlags;
use crate::terminal;

/// Search archives for attestations: by artifact, signer, type or time
///
/// What is shown is what attestations say of themselves: `stella archive extract` takes one out, `stella archive verify` says what
/// is true. The exit code is 10 when nothing is found.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella archive search archive --artifact app.tar.gz
  stella archive search archive --signer github.com/org/app --type verdict --since 2026-11-01T00:00:00Z")]
pub(crate) struct Args {
    /// Where archives are: an OCI layout's folder or tar file, or a repository
    #[arg(default_value = "archive")]
    archive: String,

    /// What they speak of: a file, or the digest of one
    #[arg(long, value_name = "ARTIFACT")]
    artifact: Option<String>,

    /// A part of the signer's name or of its issuer
    #[arg(long, value_name = "TEXT")]
    signer: Option<String>,

    /// The predicate's type: a short name or a URI
    #[arg(long = "type", value_name = "TYPE")]
    predicate_type: Option<String>,

    /// Signed at this time or later
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<UnixTime>,

    /// Signed before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<UnixTime>,

    #[command(flatten)]
    registry: RegistryFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args) -> Result<u8, Failure> {
    let query = args.query()?;
    let storage = place::storage(&args.archive, Purpose::Read, &args.registry)?;
    let listed = open::list(&storage).await.map_err(failure)?;
    let mut rows = Vec::new();
    for each in &listed {
        let archive = Archive::open(storage.clone(), &each.name).await;
        let archive = archive.map_err(failure)?;
        let found = search::search(&archive, &query, |hit| {
            if !args.json {
                say(&each.name, &hit);
            }
            rows.push(to_json(&each.name, &hit));
        });
        found.await.map_err(failure)?;
    }
    let is_found = !rows.is_empty();
    if args.json {
        terminal::say_json(&json!({"schema": "stella.archive-search/v1", "attestations": rows}));
    } else if !is_found {
        terminal::tell("nothing is found");
    }
    Ok(if is_found {
        exit::OK
    } else {
        exit::NO_ATTESTATION
    })
}

impl Args {
    fn query(&self) -> Result<Query, Failure> {
        let artifact = match self.artifact.as_deref() {
            None => None,
            Some(text) => Some(match Digest::parse(text) {
                Some(digest) => digest,
                None => {
                    let first = Artifact::read(text)?.digests.into_iter().next();
                    first.ok_or_else(|| Failure::usage("the artifact has no digest"))?
                }
            }),
        };
        let predicate_type = self
            .predicate_type
            .as_deref()
            .map(PredicateType::parse)
            .transpose();
        let predicate_type = predicate_type.map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Query {
            artifact,
            signer: self.signer.clone(),
            predicate_type: predicate_type.map(|each| each.uri().to_owned()),
            since: self.since,
            until: self.until,
        })
    }
}

fn say(period: &str, hit: &Hit) {
    let time = hit
        .time
        .map_or_else(|| "no time".to_owned(), |time| time.to_string());
    let what = match hit.predicate_type.as_str() {
        "" => "signature",
        predicate_type => predicate_type,
    };
    terminal::say(&format!(
        "{} leaf {}  {time}  {}",
        escape(period),
        hit.index,
        escape(what)
    ));
    terminal::say(&format!(
        "  by {} ({})",
        escape(&hit.signer),
        escape(&hit.issuer)
    ));
    for subject in &hit.subjects {
        terminal::say(&format!("  about {subject}"));
    }
    terminal::say(&format!("  sha256:{}", hex::encode(hit.sha256)));
}

fn to_json(period: &str, hit: &Hit) -> Value {
    json!({
        "period": period,
        "leaf": hit.index,
        "digest": format!("sha256:{}", hex::encode(hit.sha256)),
        "time": hit.time.map(|time| time.to_string()),
        "signer": hit.signer,
        "issuer": hit.issuer,
        "predicateType": hit.predicate_type,
        "subjects": hit.subjects,
    })
}
