//! `stella attest prune`: old attestations of an image go, by age and number.

use serde_json::json;
use stella_attest::prune::{self, Retention};
use stella_attest::referrers::{self, Look};
use stella_bundle::identity::escape;
use stella_bundle::time::UnixTime;
use stella_policy::age::Age;
use stella_server::{Clock as _, SystemClock};
use stella_wire::registry::Descriptor;
use stella_wire::registry::attachment::{CREATED, PREDICATE_TYPE};

use crate::exit::{self, Failure};
use crate::registry::{RegistryFlags, WhichFlags};
use crate::terminal;

/// Remove old attestations of an image
///
/// Only attestations are touched, and only those whose list says type and age. Look first: --dry-run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella attest prune registry.example/org/app:v1 --keep 3 --older-than 90d --dry-run")]
pub(crate) struct Args {
    /// The image: REGISTRY/REPO:TAG or REGISTRY/REPO@DIGEST
    image: String,

    #[command(flatten)]
    which: WhichFlags,

    /// Keep this many of each predicate type, the newest; 1 unless said otherwise
    #[arg(long, value_name = "COUNT", required_unless_present = "older_than")]
    keep: Option<usize>,

    /// Remove only what is older: 90d, 12h
    #[arg(long, value_name = "AGE")]
    older_than: Option<String>,

    /// Remove only statements of this type: a short name or a URI
    #[arg(long = "type", value_name = "TYPE")]
    predicate_type: Option<String>,

    #[command(flatten)]
    registry: RegistryFlags,

    /// Say what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<u8, Failure> {
    let retention = retention(&args, SystemClock.now())?;
    let registries = args.registry.open()?;
    let mut rows = Vec::new();
    for image in registries.resolve(&args.image, &args.which.which()).await? {
        let repository = registries.attestations(&image.reference)?;
        let subject = &image.descriptor.digest;
        let listed = referrers::list(&repository, subject, Look::Thorough).await?;
        let listed: Vec<Descriptor> = listed
            .referrers
            .into_iter()
            .map(|each| each.descriptor)
            .collect();
        let gone = prune::plan(&listed, &retention);
        if !args.dry_run && !gone.is_empty() {
            prune::remove(&repository, subject, &gone).await?;
        }
        let said = |each: &Descriptor, name: &str| each.annotations.get(name).cloned();
        rows.extend(gone.iter().map(|each| {
            json!({
                "image": image.reference.to_string(),
                "manifest": each.digest.to_string(),
                "predicateType": said(each, PREDICATE_TYPE),
                "created": said(each, CREATED),
            })
        }));
    }
    if args.json {
        terminal::say_json(&json!({"dryRun": args.dry_run, "removed": rows}));
        return Ok(exit::OK);
    }
    let word = if args.dry_run {
        "would remove"
    } else {
        "removed"
    };
    for row in &rows {
        let text = |name: &str| escape(row[name].as_str().unwrap_or_default());
        terminal::say(&format!(
            "{word} {}  {}  {}",
            text("manifest"),
            text("predicateType"),
            text("created")
        ));
    }
    terminal::tell(&format!("{word} {} attestations", rows.len()));
    Ok(exit::OK)
}

fn retention(args: &Args, now: UnixTime) -> Result<Retention, Failure> {
    let age = args.older_than.as_deref().map(Age::parse).transpose();
    let age = age.map_err(|error| Failure::usage(error.to_string()))?;
    let predicate_type = args.predicate_type.as_deref().map(super::predicate_type);
    Ok(Retention {
        keep: args.keep.unwrap_or(1),
        since: age.map_or(now, |age| now.minus(age.duration())),
        predicate_type: predicate_type
            .transpose()?
            .map(|each| each.uri().to_owned()),
    })
}
