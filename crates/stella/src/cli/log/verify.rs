//! `stella log verify`: a signature of another tool, and that a log recorded it. No socket is opened but for an
//! artifact that is named by its address.

use std::path::PathBuf;

use serde_json::json;
use stella_attest::file;
use stella_bundle::identity::escape;
use stella_bundle::json::decode_base64;
use stella_bundle::timestamp::SignedTimestamp;
use stella_bundle::verify::{AuthenticTime, Trust, answer};
use stella_foreign::Loggable;
use stella_server::{Clock as _, SystemClock};

use super::foreign::{Fetch, ForeignFlags};
use super::receipt::{self, ENDING, MAX_RECEIPT, Receipt};
use crate::cli::Context;
use crate::cli::gate::TrustFlags;
use crate::exit::{self, Failure};
use crate::terminal;

/// Verify a signature that another tool made, and that it is in the log
///
/// Reads the proof that `stella log upload` wrote, FILE.rekor.json. The signature is the one in it, unless another is named;
/// the key is always named, for the one in the proof may be anyone's. What was recorded by an attestation is verified by
/// `stella verify FILE --bundle FILE.foreign.sigstore.json`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella log verify --artifact app.tar.gz --public-key release.asc")]
pub(crate) struct Args {
    #[command(flatten)]
    foreign: ForeignFlags,

    /// The proof; by default FILE.rekor.json
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,

    #[command(flatten)]
    trust: TrustFlags,

    /// Open no socket: the artifact is a file
    #[arg(long)]
    offline: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Failure> {
    // 1. The proof, and the signature that it is about, verified with the key that the caller believes.
    let fetch = match args.offline {
        true => Fetch::Offline,
        false => Fetch::Allowed,
    };
    let artifact = args.foreign.artifact(fetch).await?;
    let receipt = args.receipt.clone();
    let path = receipt.unwrap_or_else(|| artifact.beside(ENDING));
    let bytes = file::read(&path, MAX_RECEIPT).map_err(|error| {
        Failure::new(exit::NO_ATTESTATION, format!("cannot read {}: {error}", path.display()))
            .hint("`stella log upload` writes it; what a log cannot verify by itself is verified by `stella verify FILE`")
    })?;
    let receipt = Receipt::parse(&bytes).ok_or_else(|| {
        Failure::new(
            exit::SIGNATURE,
            format!("{} is no receipt of a log", path.display()),
        )
    })?;
    let key = args.foreign.key()?;
    let signature = args.foreign.signature_or(receipt.signature)?;
    let foreign = args.foreign.judge(&artifact, signature, key)?;
    let Loggable::Native(native) = foreign.verified.loggable() else {
        let message = "a log cannot have verified this signature by itself";
        return Err(Failure::new(exit::LOG, message));
    };
    // 2. When it was there at the latest: by the stamp of an authority that is trusted, else now.
    let trust = args.trust.choose(context)?.prepare();
    let stamped = earliest_stamp(&trust, &receipt.timestamps, &native.signature)?;
    let time = stamped
        .as_ref()
        .map_or_else(|| SystemClock.now(), |stamped| stamped.time);
    // 3. The log, in service then, recorded that very signature by that very key.
    let record = receipt::record(native);
    let size = answer::log_entry(&trust, &receipt.entry, &record, time);
    let size =
        size.map_err(|error| Failure::new(exit::LOG, error.to_string()).page("log-entry"))?;
    let (origin, signer) = (
        super::origin(&receipt.entry),
        foreign.verified.signer().to_string(),
    );
    if args.json {
        terminal::say_json(&json!({
            "result": "ok", "artifact": foreign.verified.artifact().to_string(), "format": foreign.verified.format().name(), "signer": signer,
            "time": stamped.as_ref().map(|stamped| stamped.time.to_string()),
            "log": {"origin": origin, "index": super::index(&receipt.entry), "treeSize": size},
        }));
        return Ok(exit::OK);
    }
    let format = foreign.verified.format();
    terminal::say(&format!("good: {format} signature by {}", escape(&signer)));
    terminal::say(&format!("  over {}", foreign.verified.artifact()));
    if let Some(stamped) = &stamped {
        let (time, authority) = (stamped.time, &stamped.authority);
        terminal::say(&format!("  signed before {time} by {authority}"));
    }
    let index = super::index(&receipt.entry);
    terminal::say(&format!(
        "  logged at index {index} of {origin}, in a tree of {size}"
    ));
    Ok(exit::OK)
}

/// Returns the earliest time that a trusted authority says; a stamp that does not hold is refused.
fn earliest_stamp(
    trust: &Trust,
    timestamps: &[String],
    signature: &[u8],
) -> Result<Option<AuthenticTime>, Failure> {
    let refuse = |problem: &dyn std::fmt::Display| {
        Failure::new(
            exit::CHAIN,
            format!("a timestamp in the proof is refused: {problem}"),
        )
        .page("bad-timestamp")
    };
    let mut times = Vec::new();
    for text in timestamps {
        let response = decode_base64(text).ok_or_else(|| refuse(&"not base64"))?;
        let token = SignedTimestamp::parse(&response).map_err(|error| refuse(&error))?;
        let time = answer::timestamp(trust, &token, signature).map_err(|error| refuse(&error))?;
        times.extend(time);
    }
    Ok(times.into_iter().min_by_key(|each| each.time))
}
