//! `stella mirror diff`: what a destination lacks; nothing is written.

use serde_json::json;
use stella_attest::mirror::{self, Lack, Missing};

use super::place::{Purpose, open_storage};
use super::{Flags, of_mirror};
use crate::exit::{self, Failure};
use crate::terminal;

/// List what a destination lacks of a source's images
///
/// Ends with 0 when it lacks nothing, with 11 otherwise.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the images are: oci:DIR, oci-archive:FILE or a path
    source: String,

    /// Where they should be: likewise
    destination: String,

    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn run(args: &Args) -> Result<u8, Failure> {
    let source = open_storage(&args.source, Purpose::Read)?;
    let destination = open_storage(&args.destination, Purpose::Read)?;
    let items = args.flags.items(&*source).await?;
    let missing = mirror::diff(source, destination, &items, &args.flags.options()).await;
    let missing = missing.map_err(of_mirror)?;
    if args.flags.json {
        let rows: Vec<_> = missing.iter().map(to_json).collect();
        terminal::say_json(&json!({"images": items.len(), "missing": rows}));
    } else {
        missing
            .iter()
            .for_each(|each| terminal::say(&each.to_string()));
        if missing.is_empty() {
            terminal::say(&format!("{} images: nothing is missing", items.len()));
        }
    }
    Ok(if missing.is_empty() {
        exit::OK
    } else {
        exit::NO_ARTIFACT
    })
}

fn to_json(missing: &Missing) -> serde_json::Value {
    let digest = |digest: &stella_bundle::digest::Digest| digest.to_string();
    let mut row = match &missing.what {
        Lack::Blob(blob) => json!({"kind": "blob", "digest": digest(&blob.digest)}),
        Lack::Manifest(manifest) => {
            json!({"kind": "manifest", "digest": digest(&manifest.digest)})
        }
        Lack::Referrer { subject, manifest } => json!({
            "kind": "attachment",
            "digest": digest(&manifest.digest),
            "subject": digest(subject),
        }),
        Lack::Tag {
            tag,
            expected,
            found,
        } => json!({
            "kind": "tag",
            "tag": tag,
            "digest": digest(expected),
            "found": found.as_ref().map(digest),
        }),
    };
    row["image"] = missing.image.clone().into();
    row
}
