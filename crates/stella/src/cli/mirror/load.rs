//! `stella mirror load`: what was carried, into the place where it is wanted.

use super::sync::{self, Copying};
use crate::cli::Context;
use crate::exit::Failure;

/// Copy the images of a file or folder to another place
///
/// Reads what `stella mirror save`, cosign, skopeo, oras, podman and Docker 25 wrote as OCI layouts. Blobs come before
/// manifests and manifests before tags, so whoever sees an image there sees what is attached to it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What was carried: a folder or an uncompressed tar file
    input: String,

    /// Where to: oci:DIR, oci-archive:FILE or a path
    destination: String,

    #[command(flatten)]
    how: Copying,
}

pub(super) async fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    sync::copy(context, &args.input, &args.destination, &args.how).await
}
