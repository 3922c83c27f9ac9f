//! `stella mirror repair`: the index of attestations is made whole from the tags that each attestation has for itself.

use serde_json::json;
use stella_attest::referrers::{self, Healed};

use crate::exit::{self, Failure};
use crate::registry::{RegistryFlags, WhichFlags};
use crate::terminal;

/// Make the index of attestations name all that is there, and nothing that is gone
///
/// Registries without a list of referrers keep an index under a tag, which loses what two clients write at once. Every
/// attestation of stella has a tag of its own besides; from these the index is made whole.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image: REGISTRY/REPO:TAG or REGISTRY/REPO@DIGEST
    image: String,

    #[command(flatten)]
    which: WhichFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args) -> Result<u8, Failure> {
    let registries = args.registry.open()?;
    let mut rows = Vec::new();
    for image in registries.resolve(&args.image, &args.which.which()).await? {
        let repository = registries.attestations(&image.reference)?;
        let healed = referrers::repair(&repository, &image.descriptor.digest).await?;
        let (word, text) = match healed {
            Healed::Whole => ("whole", "the index names all that is there"),
            Healed::Contended => (
                "contended",
                "others keep writing the index: what it lacks is found by its own tag",
            ),
            Healed::Occupied => (
                "occupied",
                "something else stands under the index's tag and was left alone",
            ),
            Healed::NotNeeded => ("not-needed", "the registry keeps the list itself"),
        };
        if !args.json {
            terminal::say(&format!("{}: {text}", image.reference));
        }
        rows.push(json!({"image": image.reference.to_string(), "result": word}));
    }
    if args.json {
        terminal::say_json(&json!({"repaired": rows}));
    }
    Ok(exit::OK)
}
