//! `stella attest verify`: the gate, with the artifacts as flags.

use crate::cli::Context;
use crate::cli::gate::{self, GateFlags, ReportFlags};
use crate::exit::Failure;

/// Answer whether an artifact is attested by someone who may
///
/// Checks signature, certificate chain at the signing time, SCT, log inclusion, timestamp, the artifact itself, who
/// signed, and what a policy asks beyond that. Everything needed is in the bundle: no network is used.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella attest verify --artifact sha256:… \\
      --certificate-identity repo:myorg/myrepo:ref:refs/heads/main \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com
  stella attest verify --offline --bundle attestation-bundle.json --artifact ./app …")]
pub(crate) struct Args {
    /// The artifact: a file, a folder (every file below but bundles), a digest as sha256:HEX, or - for standard input;
    /// may be given more than once
    #[arg(
        long = "artifact",
        required_unless_present_any = ["images", "from"],
        value_name = "ARTIFACT"
    )]
    artifacts: Vec<String>,

    #[command(flatten)]
    gate: GateFlags,

    #[command(flatten)]
    reports: ReportFlags,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    gate::run(context, &args.gate, &args.reports, &args.artifacts)
}
