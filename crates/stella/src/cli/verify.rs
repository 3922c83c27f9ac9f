//! `stella verify FILE…`: may this be released?

use super::Context;
use super::gate::{self, GateFlags, ReportFlags};
use crate::exit::Failure;

/// Answer whether files may be released: attested by someone who may, as a policy asks
///
/// Checks signature, certificate chain at the signing time, SCT, log inclusion, timestamp, the file itself, who signed,
/// and what the attestations say. Attestations are read from FILE.sigstore.json, else FILE.sigstore, else this machine's
/// store; those of an image from its registry. For files no network is used.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella verify app.tar.gz --policy policy.yaml
  stella verify --image registry.example/org/app:v1 --policy policy.yaml
  stella verify --from Dockerfile --policy policy.yaml
  stella verify dist/ --policy policy.yaml -o github -o junit=report.xml
  stella verify app.tar.gz --certificate-identity repo:myorg/myrepo:ref:refs/heads/main \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com \\
      --require verdict:/result=allow --max-age 30d")]
pub(crate) struct Args {
    /// Files, folders (every file below but bundles), digests as sha256:HEX, or - for standard input
    #[arg(required_unless_present_any = ["images", "from"], value_name = "FILE")]
    artifacts: Vec<String>,

    #[command(flatten)]
    gate: GateFlags,

    #[command(flatten)]
    reports: ReportFlags,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    gate::run(context, &args.gate, &args.reports, &args.artifacts)
}
