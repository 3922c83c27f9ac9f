//! `stella mirror sync`: whatever the destination lacks is copied, and nothing else.

use serde_json::json;
use stella_attest::mirror::{self, Summary};

use super::border::Border;
use super::place::{self, Purpose};
use super::{Flags, bytes, of_mirror, shown};
use crate::cli::Context;
use crate::exit::Failure;
use crate::terminal;

/// Copy images from one place to another, with all that is attached to them
///
/// Attestations, attestations of attestations and the tags of older cosign go with each image. What the destination has
/// is not transferred again; a run that was killed is completed by the next one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where from: a repository (every tag), an image of one, REGISTRY/REPO:TAG, oci:DIR, oci-archive:FILE or a path
    source: String,

    /// Where to: likewise
    destination: String,

    #[command(flatten)]
    how: Copying,
}

/// What may cross, which images, and how: what every verb that moves images is told.
#[derive(Debug, clap::Args)]
pub(super) struct Copying {
    #[command(flatten)]
    border: Border,

    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    copy(context, &args.source, &args.destination, &args.how).await
}

/// Copies and reports; every verb that moves images ends here.
pub(super) async fn copy(
    context: &Context,
    from: &str,
    to: &str,
    Copying { border, flags }: &Copying,
) -> Result<u8, Failure> {
    let registries = flags.registry.open()?;
    let source = place::open(from, Purpose::Read, &registries)?;
    let destination = place::open(to, Purpose::Write, &registries)?;
    let items = flags.items(&source, &destination).await?;
    let (items, code) = border.pass(context, source.storage.as_ref(), items).await?;
    let options = shown(flags.options());
    let summary = mirror::sync(source.storage, destination.storage, &items, &options).await;
    let summary = summary.map_err(of_mirror)?;
    terminal::clear();
    report(&summary, flags.json);
    Ok(code)
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
