//! `stella log search`, `get` and `info`: the log read and checked against what it signed.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stella_attest::file;
use stella_bundle::bundle::Bundle;
use stella_bundle::certificate::Certificate;
use stella_bundle::entry::LogEntry;
use stella_bundle::json::decode_base64;
use stella_bundle::key::PublicKey;
use stella_bundle::pem;
use stella_client::{Head, Rekor};
use stella_server::{Clock as _, SystemClock};
use stella_tlog::checkpoint::Checkpoint;
use url::Url;

use super::receipt::{MAX_RECEIPT, Receipt};
use crate::artifact::Artifact;
use crate::cli::Context;
use crate::cli::attest::signing::reach;
use crate::cli::attest::table::{Place, Table};
use crate::exit::{self, Failure};
use crate::terminal;

/// Which log.
#[derive(Debug, clap::Args)]
pub(crate) struct LogFlags {
    #[command(flatten)]
    place: Place,

    /// Use the log at this address; the trusted root must know it
    #[arg(long, value_name = "URL")]
    rekor: Option<Url>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Find the entries of a key, or about an artifact
///
/// Reads the whole log and recomputes the tree that it signed: an entry that is there cannot be left out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella log search --public-key release.pub
  stella log search --artifact app.tar.gz
  stella log search --proof app.tar.gz.rekor.json")]
pub(crate) struct SearchArgs {
    /// Entries by this public key or certificate, in PEM
    #[arg(long, value_name = "FILE", required_unless_present_any = ["artifact", "proof"])]
    public_key: Option<PathBuf>,

    /// The entry of which this file holds the proof: FILE.rekor.json, or a bundle
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,

    /// Entries over this file, or over a digest: sha256:HEX. A statement's entry is over its envelope, and not found so
    #[arg(long, value_name = "ARTIFACT")]
    artifact: Option<String>,

    #[command(flatten)]
    log: LogFlags,
}

/// Print an entry
#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// Its index
    #[arg(long, visible_alias = "log-index", value_name = "N")]
    index: u64,

    #[command(flatten)]
    log: LogFlags,
}

/// Show how large the log is, and what it signed
#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    log: LogFlags,
}

/// A log that is read.
pub(super) struct Open {
    pub(super) table: Table,
    pub(super) rekor: Rekor,
    pub(super) head: Head,
}

impl LogFlags {
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    pub(super) async fn open(&self, context: &Context) -> Result<Open, Failure> {
        let (table, services) = reach(&self.place, self.rekor.as_ref(), context).await?;
        let rekor = services.logs.first().cloned();
        let rekor = rekor.ok_or_else(|| Failure::usage("no log is named by the signing config"))?;
        let (trust, now) = (table.material.prepare(), SystemClock.now());
        let head = rekor.head(table.transport.as_ref(), &trust, now).await?;
        Ok(Open { table, rekor, head })
    }
}

impl Open {
    /// Says that the log does not reach so far.
    pub(super) fn no_entry(&self, index: u64) -> Failure {
        let size = self.head.checkpoint.size;
        let message = format!("the log has {size} entries, and none with index {index}");
        Failure::new(exit::NO_ATTESTATION, message)
    }

    /// Reads every entry that `wanted` wants.
    async fn entries(
        &self,
        wanted: impl Fn(u64, &Value) -> bool,
    ) -> Result<Vec<(u64, Value)>, Failure> {
        let mut found = Vec::new();
        let each = |index, body: &[u8]| {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            if wanted(index, &body) {
                found.push((index, body));
            }
        };
        let transport = self.table.transport.as_ref();
        self.rekor
            .entries(transport, &self.head.checkpoint, each)
            .await?;
        self.table.clear();
        Ok(found)
    }
}

pub(crate) async fn search(context: &Context, args: SearchArgs) -> Result<u8, Failure> {
    let key = args.public_key.as_deref().map(read_key).transpose()?;
    let artifact = args.artifact.as_deref().map(Artifact::read).transpose()?;
    let proven = args.proof.as_deref().map(proven).transpose()?;
    let open = args.log.open(context).await?;
    let is_wanted = |_, body: &Value| {
        let is_proven = proven.as_ref().is_none_or(|proven| proven.contains(body));
        let by = key
            .as_ref()
            .is_none_or(|key| signer(body).as_ref() == Some(key));
        let about = artifact.as_ref().is_none_or(|artifact| {
            digest(body)
                .is_some_and(|digest| artifact.digests.iter().any(|each| each.bytes() == digest))
        });
        is_proven && by && about
    };
    let found = open.entries(is_wanted).await?;
    let size = open.head.checkpoint.size.0;
    if args.log.json {
        let rows = found
            .iter()
            .map(|(index, body)| json!({"index": index, "body": body}));
        let rows: Vec<Value> = rows.collect();
        terminal::say_json(
            &json!({"origin": open.head.checkpoint.origin, "treeSize": size, "entries": rows}),
        );
    } else {
        for (index, body) in &found {
            terminal::say(&format!(
                "{index}  {}",
                body["kind"].as_str().unwrap_or("unknown")
            ));
        }
        terminal::tell(&format!(
            "{} of {size} entries; all were read, and are the tree that the log signed",
            found.len()
        ));
    }
    Ok(match found.is_empty() {
        true => exit::NO_ATTESTATION,
        false => exit::OK,
    })
}

pub(crate) async fn get(context: &Context, args: GetArgs) -> Result<u8, Failure> {
    let open = args.log.open(context).await?;
    let found = open.entries(|index, _| index == args.index).await?;
    let Some((_, body)) = found.first() else {
        return Err(open.no_entry(args.index));
    };
    terminal::say_json(body);
    Ok(exit::OK)
}

pub(crate) async fn info(context: &Context, args: InfoArgs) -> Result<u8, Failure> {
    let open = args.log.open(context).await?;
    let Checkpoint {
        origin, size, root, ..
    } = &open.head.checkpoint;
    if args.log.json {
        terminal::say_json(
            &json!({"origin": origin, "treeSize": size.0, "rootHash": root.to_string()}),
        );
    } else {
        terminal::say(&format!("{origin}: {} entries, root {root}", size.0));
    }
    open.table.clear();
    Ok(exit::OK)
}

/// Returns what was recorded, by the proofs in a receipt or bundle.
fn proven(path: &Path) -> Result<Vec<Value>, Failure> {
    let refuse = |problem: &str| Failure::usage(format!("{}: {problem}", path.display()));
    let bytes = file::read(path, MAX_RECEIPT).map_err(|error| refuse(&error.to_string()))?;
    let entries = entries_of(&bytes)
        .ok_or_else(|| refuse("expected what `stella log upload` wrote, or a bundle"))?;
    let body = |entry: &LogEntry| serde_json::from_slice(&entry.canonicalized_body).ok();
    Ok(entries.iter().filter_map(body).collect())
}

/// Returns the entries in a receipt or bundle; none where the bytes are neither.
pub(super) fn entries_of(bytes: &[u8]) -> Option<Vec<LogEntry>> {
    match Receipt::parse(bytes) {
        Some(receipt) => Some(vec![receipt.entry]),
        None => Bundle::parse(bytes).ok().map(|bundle| bundle.entries),
    }
}

fn read_key(path: &Path) -> Result<PublicKey, Failure> {
    let refuse = |problem: String| Failure::usage(format!("{}: {problem}", path.display()));
    let bytes = file::read(path, pem::MAX_TEXT).map_err(|error| refuse(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| refuse(error.to_string()))?;
    if let Ok(key) = PublicKey::from_pem(&text) {
        return Ok(key);
    }
    let blocks = pem::decode_all(&text).map_err(|error| refuse(error.to_string()))?;
    let certificate = blocks.first().map(|block| Certificate::parse(&block.der));
    match certificate {
        Some(Ok(certificate)) => Ok(certificate.public_key().clone()),
        _ => Err(refuse(
            "expected a public key or certificate in PEM".to_owned(),
        )),
    }
}

/// Returns whose key an entry names.
fn signer(body: &Value) -> Option<PublicKey> {
    let verifier = body.pointer("/spec/hashedRekordV002/signature/verifier")?;
    let der = |path: &str| decode_base64(verifier.pointer(path)?.as_str()?);
    if let Some(spki) = der("/publicKey/rawBytes") {
        return PublicKey::from_spki(&spki).ok();
    }
    let certificate = Certificate::parse(&der("/x509Certificate/rawBytes")?).ok()?;
    Some(certificate.public_key().clone())
}

fn digest(body: &Value) -> Option<Vec<u8>> {
    decode_base64(
        body.pointer("/spec/hashedRekordV002/data/digest")?
            .as_str()?,
    )
}
