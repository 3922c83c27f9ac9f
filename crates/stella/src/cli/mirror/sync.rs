//! `stella mirror sync`: whatever the destination lacks is copied, and nothing else.

use serde_json::json;
use stella_attest::mirror::{self, Summary};

use super::place::{Purpose, open_storage};
use super::{Flags, bytes, clear, of_mirror, shown};
use crate::exit::{self, Failure};
use crate::terminal;

/// Copy images from one place to another, with all that is attached to them
///
/// Attestations, attestations of attestations and the tags of older cosign go with each image. What the destination has
/// is not transferred again; a run that was killed is completed by the next one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where from: oci:DIR, oci-archive:FILE or a path
    source: String,

    /// Where to: likewise
    destination: String,

    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn run(args: &Args) -> Result<u8, Failure> {
    copy(&args.source, &args.destination, &args.flags).await
}

/// Copies and reports; every verb that moves images ends here.
pub(super) async fn copy(from: &str, to: &str, flags: &Flags) -> Result<u8, Failure> {
    let source = open_storage(from, Purpose::Read)?;
    let destination = open_storage(to, Purpose::Write)?;
    let items = flags.items(&*source).await?;
    let options = shown(flags.options());
    let summary = mirror::sync(source, destination, &items, &options).await;
    let summary = summary.map_err(of_mirror)?;
    clear();
    report(&summary, flags.json);
    Ok(exit::OK)
}

fn report(summary: &Summary, as_json: bool) {
    let ignored: Vec<String> = summary.ignored.iter().map(ToString::to_string).collect();
    if as_json {
        let count =
            |count: mirror::Count| json!({"copied": count.copied, "skipped": count.skipped});
        terminal::say_json(&json!({
            "images": summary.images,
            "manifests": count(summary.manifests),
            "blobs": count(summary.blobs),
            "tags": count(summary.tags),
            "bytes": summary.bytes,
            "ignored": ignored,
        }));
        return;
    }
    terminal::say(&format!(
        "{} images: copied {} manifests, {} blobs, {} tags ({}); there already: {} manifests, {} blobs",
        summary.images,
        summary.manifests.copied,
        summary.blobs.copied,
        summary.tags.copied,
        bytes(summary.bytes),
        summary.manifests.skipped,
        summary.blobs.skipped,
    ));
    for digest in &ignored {
        terminal::tell(&format!(
            "note: {digest} is listed as attached, and is absent or about something else: left out"
        ));
    }
}
