//! `stella trust use`: record whom to believe.

use std::path::PathBuf;

use serde_json::json;

use super::{digest, now, require_fingerprint, require_pinned};
use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust::obtain::{self, Choice, Purpose};
use crate::trust::{Folder, Lock, PUBLIC, TrustKind, TrustMaterial};

/// Record whom to believe from now on
///
/// The source is one of: `public`, the public-good Sigstore, built in and refreshed over the network where there is one;
/// a file, which is a client trust config or a trusted root; a folder that holds trusted_root.json or trust_config.json;
/// the URL of an instance, which off this machine needs https and the fingerprint of its trusted root, told another way.
/// A TUF repository is named by --tuf and vouched for by --root.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella trust use public
  stella trust use http://127.0.0.1:8470
  stella trust use https://sigstore.example.com --fingerprint sha256:…
  stella trust use --tuf https://tuf.example.com --root root.json")]
pub(crate) struct Args {
    /// `public`, a file, a folder, or the URL of an instance
    #[arg(required_unless_present = "tuf", conflicts_with = "tuf")]
    source: Option<String>,

    /// The URL of a TUF repository
    #[arg(long, value_name = "URL", requires = "root")]
    tuf: Option<String>,

    /// The root of that repository, as its owner handed it over
    #[arg(long, value_name = "FILE", requires = "tuf")]
    root: Option<PathBuf>,

    /// The digest that the trusted root must have: sha256:HEX
    #[arg(long, value_name = "DIGEST")]
    fingerprint: Option<String>,

    /// Fetch nothing: take what is built in, or files
    #[arg(long, conflicts_with = "tuf")]
    offline: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args) -> Result<u8, Failure> {
    // 1. What was asked.
    let fingerprint = args.fingerprint.as_deref().map(digest).transpose()?;
    let choice = match (&args.tuf, &args.source) {
        (Some(address), _) => Choice::Tuf {
            address: address.clone(),
            root: args.root.clone(),
        },
        (None, Some(source)) => Choice::parse(source),
        (None, None) => return Err(Failure::usage("whom to believe was not said")),
    };
    if args.offline && matches!(choice, Choice::Url(_)) {
        return Err(Failure::usage("a URL cannot be used with --offline"));
    }
    // 2. Get it, and hold it to what was told about it.
    let lock = Folder::usual().lock()?;
    let purpose = Purpose::Believe(fingerprint.as_ref());
    let material = match &choice {
        Choice::Public if args.offline => without_network(&lock)?,
        _ => match obtain::obtain(&choice, purpose, &lock, now()).await {
            Err(failure) if choice == Choice::Public && failure.code == exit::UNAVAILABLE => {
                let material = without_network(&lock)?;
                terminal::tell(&format!("note: {}", failure.message));
                terminal::tell(&format!(
                    "note: {} is taken; `stella trust update` refreshes it",
                    material.source
                ));
                material
            }
            other => other?,
        },
    };
    require_fingerprint(&material, fingerprint.as_ref())?;
    require_pinned(&lock, &material)?;
    // 3. Keep it.
    let record = lock.remember(&material, &choice.source(), &now().to_string())?;
    if args.json {
        terminal::say_json(&json!({
            "kind": record.kind.name(),
            "source": record.source,
            "digest": record.digest,
        }));
    } else {
        terminal::say(&format!("from now on {} is believed", record.source));
        terminal::say(&format!("trusted root {}", record.digest));
    }
    Ok(exit::OK)
}

/// Returns the public-good Sigstore's trust root as it was refreshed last, else as it is built in.
fn without_network(lock: &Lock) -> Result<TrustMaterial, Failure> {
    let folder = lock.folder();
    // A record that cannot be read is what this command is to replace.
    let record = folder.record().ok().flatten();
    let refreshed = record.filter(|record| record.kind == TrustKind::Public);
    match refreshed.and_then(|record| folder.chosen(&record).ok()) {
        Some(material) => Ok(material),
        None => PUBLIC.material(),
    }
}
