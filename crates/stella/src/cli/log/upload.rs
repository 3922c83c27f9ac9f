//! `stella log upload`: a signature that another tool made is verified and put into the transparency log: as it is where
//! a log can verify it, else by an attestation of ours that it is good.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use stella_attest::sign::{self, Message};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::identity::escape;
use stella_bundle::json::encode_base64;
use stella_bundle::statement::{Statement, Subject};
use stella_foreign::{Loggable, Native, Reason};
use stella_server::{Clock as _, SystemClock};
use url::Url;

use super::foreign::{Artifact, Fetch, Foreign, ForeignFlags};
use super::receipt::{self, ENDING, Receipt};
use crate::cli::Context;
use crate::cli::attest::signing::{SigningFlags, reach};
use crate::exit::{self, Failure};
use crate::terminal;

/// The predicate of an attestation that a foreign signature is good.
const COUNTER_ATTESTATION: &str = "https://stella-ops.org/attestation/foreign-signature/v1";

/// What the name of an attestation ends in, beside its artifact: the artifact's own bundle may be there too.
const COUNTER_ENDING: &str = ".foreign.sigstore.json";

/// Put a signature that another tool made into the transparency log
///
/// The signature is verified here first. Where a log can verify it by itself (RSA and ECDSA of most formats) it is recorded
/// as it is, and FILE.rekor.json holds the proof. Where it cannot (Ed25519, minisign, TUF, old hashes) an attestation that it
/// is good is signed and recorded in its place, by --keyless or --key with --log; FILE.foreign.sigstore.json holds that.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella log upload --artifact app.tar.gz --signature app.tar.gz.asc --public-key release.asc
  stella log upload --artifact app.tar.gz --signature app.tar.gz.minisig --public-key minisign.pub --keyless")]
pub(crate) struct Args {
    #[command(flatten)]
    foreign: ForeignFlags,

    #[command(flatten)]
    signing: SigningFlags,

    /// Use the log at this address; the trusted root must know it
    #[arg(long, value_name = "URL")]
    rekor: Option<Url>,

    /// Write the proof to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Failure> {
    let artifact = args.foreign.artifact(Fetch::Allowed).await?;
    let foreign = args.foreign.verify(&artifact)?;
    let digest = foreign.verified.artifact().to_string();
    let mut facts = match foreign.verified.loggable().clone() {
        Loggable::Native(native) => record(context, &args, &artifact, foreign, &native).await?,
        Loggable::CounterAttest(reason) => {
            attest(context, &args, &artifact, &foreign, &reason).await?
        }
    };
    facts["artifact"] = json!(digest);
    if args.json {
        terminal::say_json(&facts);
        return Ok(exit::OK);
    }
    let text = |name: &str| facts[name].as_str().unwrap_or_default().to_owned();
    terminal::say(&format!(
        "good: {} signature by {}",
        text("format"),
        escape(&text("signer"))
    ));
    terminal::say(&format!("  over {digest}"));
    terminal::say(&match facts["reason"].as_str() {
        None => "  recorded as it is: the log verified it by itself".to_owned(),
        Some(reason) => format!("  recorded by an attestation that it is good: {reason}"),
    });
    terminal::say(&format!(
        "  logged at index {} of {}",
        facts["log"]["index"],
        text("origin")
    ));
    terminal::say(&format!("  in {}", text("file")));
    Ok(exit::OK)
}

/// Records the signature as it is.
async fn record(
    context: &Context,
    args: &Args,
    artifact: &Artifact,
    foreign: Foreign,
    native: &Native,
) -> Result<Value, Failure> {
    let (table, services) = reach(args.signing.place(), args.rekor.as_ref(), context).await?;
    let trust = table.material.prepare();
    let log = services.logs.first();
    let log = log.ok_or_else(|| Failure::usage("no log is named by the signing config"))?;
    let now = SystemClock.now();
    let record = receipt::record(native);
    let entry = log
        .add(table.transport.as_ref(), &record, &trust, now)
        .await?;
    let mut timestamps = Vec::new();
    for authority in &services.timestamp_authorities {
        let nonce = crate::cli::attest::nonce();
        let stamp = authority.timestamp(
            table.transport.as_ref(),
            &native.signature,
            nonce,
            &trust,
            now,
        );
        timestamps.push(stamp.await?.response);
    }
    let path = args.output(artifact, ENDING);
    let origin = super::origin(&entry);
    let (format, signer) = (
        foreign.verified.format(),
        foreign.verified.signer().to_string(),
    );
    let index = entry
        .inclusion_proof
        .as_ref()
        .map_or(entry.log_index, |proof| proof.log_index);
    let receipt = Receipt::new(
        &foreign.verified,
        foreign.signature,
        foreign.public_key,
        &timestamps,
        entry,
    );
    let bytes = serde_json::to_vec_pretty(&receipt).unwrap_or_default();
    fs::write(&path, bytes).map_err(|error| Failure::io("write", &path, &error))?;
    table.clear();
    Ok(json!({
        "format": format.name(), "signer": signer, "native": true,
        "file": path.display().to_string(), "origin": origin, "log": {"index": index},
    }))
}

/// Signs and records an attestation that the signature is good.
async fn attest(
    context: &Context,
    args: &Args,
    artifact: &Artifact,
    foreign: &Foreign,
    reason: &Reason,
) -> Result<Value, Failure> {
    if !args.signing.is_logged() {
        return Err(Failure::usage(format!(
            "the signature is good, and a log cannot verify it by itself: {reason}"
        ))
        .hint(
            "have it recorded by an attestation that it is good: --keyless, or --key KEY --log",
        ));
    }
    let verified = &foreign.verified;
    let name = artifact.name.clone();
    let predicate = json!({
        "format": verified.format().name(),
        "signer": verified.signer().to_string(),
        "created": verified.created().map(|time| time.to_string()),
        "signature": piece(&foreign.signature),
        "publicKey": piece(&foreign.public_key),
    });
    let subject = Subject::new(name, verified.artifact());
    let statement = Statement::new(vec![subject], COUNTER_ATTESTATION, &predicate);
    let prepared = args.signing.prepare(context).await?;
    let session = prepared.session();
    let message = Message::Statement(&statement);
    let signed = sign::sign(&session, prepared.signatory()?, message).await?;
    let path = args.output(artifact, COUNTER_ENDING);
    fs::write(&path, &signed.bytes).map_err(|error| Failure::io("write", &path, &error))?;
    let entry = signed.verified.facts().entries.first();
    let entry = entry.ok_or_else(|| {
        Failure::usage("the attestation was not logged").hint("add --log to --key")
    })?;
    prepared.clear();
    Ok(json!({
        "format": verified.format().name(), "signer": verified.signer().to_string(), "native": false,
        "reason": reason.to_string(), "file": path.display().to_string(), "origin": entry.origin,
        "log": {"index": entry.index},
    }))
}

fn piece(bytes: &[u8]) -> Value {
    let digest: Digest = DigestAlgorithm::Sha256.digest(bytes);
    json!({"sha256": digest.hex(), "content": encode_base64(bytes)})
}

impl Args {
    fn output(&self, artifact: &Artifact, ending: &str) -> PathBuf {
        let output = self.output.clone();
        output.unwrap_or_else(|| artifact.beside(ending))
    }
}
