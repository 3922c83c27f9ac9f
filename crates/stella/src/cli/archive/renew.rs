//! `stella archive renew`: the same tree, signed and stamped anew.

use stella_archive::statement::Period;
use stella_bundle::time::UnixTime;

use super::ceremony::now;
use super::run::{JobFlags, Source};
use super::sources::{Load, Rule};
use crate::cli::Context;
use crate::exit::Failure;

/// Sign and stamp the archive anew without adding to it: before an authority or an algorithm comes to its end, or when a key did
///
/// Each month's run does the same for all earlier months; this is for months without one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella archive renew --key 'pkcs11:token=org;object=archive' --pq-key file:pq.key
  stella archive renew --prune --key … --pq-key …     let go, too, what is due")]
pub(crate) struct Args {
    #[command(flatten)]
    job: JobFlags,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    let end = now().floor_seconds();
    let digits: String = end
        .to_string()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let period = Period {
        name: format!("renewal-{digits}"),
        start: UnixTime::from_seconds(0),
        end,
    };
    let nothing = Load::none().with_nothing();
    let name = period.name.clone();
    let done = args
        .job
        .seal(context, period, None, &Rule::none(), Source::Here(nothing))
        .await?;
    args.job.report(&name, done, &[])
}
