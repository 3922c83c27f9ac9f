//! `stella airgap load`: a kit is checked, then its images go into a registry, with all that is attached to them.

use serde_json::json;
use stella_attest::mirror::{self, Item, Options, Summary};

use super::check::{self, WhichKit};
use crate::cli::Context;
use crate::cli::mirror::place::{self, Purpose};
use crate::cli::mirror::{bytes, of_mirror, shown};
use crate::exit::{self, Failure};
use crate::registry::RegistryFlags;
use crate::terminal;

/// Check a kit, then copy its images into a registry
///
/// Where one image is refused, nothing is copied. What the registry has is not transferred again; a run that was stopped
/// is completed by the next.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella airgap load kit registry.inside --digest sha256:…
  stella airgap load kit registry.inside --anchor org.anchor
  stella airgap load kit registry.inside/mirror --digest sha256:…     org/app becomes mirror/org/app")]
pub(crate) struct Args {
    #[command(flatten)]
    which: WhichKit,

    /// Where to: a registry, or a path of one; each repository of the kit goes below it
    #[arg(value_name = "REGISTRY")]
    destination: String,

    #[command(flatten)]
    registry: RegistryFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    let checked = check::check(context, &args.which).await?;
    let code = checked.tell();
    if code != exit::OK {
        terminal::tell("nothing was copied");
        return Ok(code);
    }
    let registries = args.registry.open()?;
    let mut all = Summary::default();
    for set in &checked.contents.sets {
        let from = check::set_file(&args.which.folder, set);
        let to = format!(
            "{}/{}",
            args.destination.trim_end_matches('/'),
            set.repository
        );
        if place::is_path(&to) {
            return Err(
                Failure::usage(format!("{to} is a path, and no repository of a registry"))
                    .hint("name a registry: stella airgap load KIT registry.inside --digest …"),
            );
        }
        let source = place::open(&from, Purpose::Read, &registries)?;
        let destination = place::open(&to, Purpose::Write, &registries)?;
        let items: Vec<Item> = set
            .images
            .iter()
            .map(|image| Item {
                // What was judged, and not what a name may mean by now.
                source: image.digest.clone(),
                tag: Item::in_repository(&image.name).tag,
            })
            .collect();
        let options = shown(Options::default());
        let copied = mirror::sync(source.storage, destination.storage, &items, &options).await;
        let copied = copied.map_err(of_mirror)?;
        all.images += copied.images;
        all.bytes += copied.bytes;
        if !args.json {
            terminal::clear();
            terminal::say(&format!("{to}: {} images", copied.images));
        }
    }
    if args.json {
        let rows = checked.rows();
        let signed = checked.signed();
        terminal::say_json(
            &json!({"images": rows, "signed": signed, "bytes": all.bytes, "code": code}),
        );
    } else {
        terminal::say(&format!(
            "{} images, {} transferred",
            all.images,
            bytes(all.bytes)
        ));
    }
    Ok(code)
}
