//! `stella mirror save`: images into one file or folder that can be carried.

use super::sync::{self, Copying};
use crate::cli::Context;
use crate::exit::Failure;

/// Copy images into one file or folder, to be carried
///
/// The file gets its name only when it is whole; until then it is FILE.partial, which the next run continues.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where from: oci:DIR, oci-archive:FILE or a path
    source: String,

    /// Write to this: oci:DIR, oci-archive:FILE, a folder, or a file that ends in .tar
    #[arg(long, short, value_name = "FILE")]
    output: String,

    #[command(flatten)]
    how: Copying,
}

pub(super) async fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    sync::copy(context, &args.source, &args.output, &args.how).await
}
