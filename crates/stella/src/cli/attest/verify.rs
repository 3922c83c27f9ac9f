//! `stella attest verify`: the gate. Reads files, judges, prints; opens no socket.

use std::path::PathBuf;
use std::time::Instant;

use stella_attest::verify::{Answer, Demand};
use stella_bundle::verify::{Artifact, CertificateRule, LogRule, Policy, Verifier};
use stella_server::{Clock as _, SystemClock};

use super::identity_flags::IdentityFlags;
use super::source::SourceFlags;
use crate::cli::Context;
use crate::config::{Flags, TrustElsewhere};
use crate::exit::{self, Failure};
use crate::output::{self, Verification};
use crate::{artifact, terminal, trust};

/// Answer whether an artifact is attested by someone who may
///
/// Checks signature, certificate chain at the signing time, SCT, log inclusion, timestamp, the artifact itself and who
/// signed. Everything needed is in the bundle: no network is used.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella attest verify --artifact sha256:… \\
      --certificate-identity repo:myorg/myrepo:ref:refs/heads/main \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com
  stella attest verify --offline --bundle attestation-bundle.json --artifact ./app …")]
pub(crate) struct Args {
    /// The artifact: a file, or its digest as sha256:HEX
    #[arg(long, value_name = "ARTIFACT")]
    artifact: String,

    #[command(flatten)]
    identity: IdentityFlags,

    #[command(flatten)]
    source: SourceFlags,

    #[command(flatten)]
    trust: TrustFlags,

    /// Demand an attestation of this predicate type: a short name (verdict, sbom-delta, reachability) or a URI
    #[arg(long = "type", value_name = "TYPE")]
    predicate_type: Option<String>,

    /// Demand log inclusion, whatever a configuration says
    #[arg(long, conflicts_with = "insecure_ignore_log")]
    require_rekor: bool,

    /// Do without log inclusion: who steals a token can sign unseen
    #[arg(long)]
    insecure_ignore_log: bool,

    /// Promise that no socket is opened; verification never opens one
    #[arg(long)]
    offline: bool,

    /// Print the report as JSON (stella.verify/v1), on success and on refusal
    #[arg(long)]
    json: bool,
}

/// Whom to believe.
#[derive(Debug, clap::Args)]
pub(crate) struct TrustFlags {
    /// Believe this trusted root or client trust config
    #[arg(long, visible_alias = "trust-config", value_name = "FILE")]
    trusted_root: Option<PathBuf>,

    /// The digest that the trusted root must have: sha256:HEX
    #[arg(long, value_name = "DIGEST")]
    trust_fingerprint: Option<String>,
}

impl TrustFlags {
    /// Finds the trust root of this command.
    pub(crate) fn choose(&self, context: &Context) -> Result<trust::TrustMaterial, Failure> {
        let flags = Flags {
            trust_elsewhere: match self.trusted_root {
                Some(_) => TrustElsewhere::Given,
                None => TrustElsewhere::None,
            },
            ..Flags::default()
        };
        let loaded = context.load(flags)?;
        let configured = loaded.meant.keyless.trust.as_ref();
        trust::choose(
            self.trusted_root.as_deref(),
            configured,
            self.trust_fingerprint.as_deref(),
        )
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    let start = Instant::now();
    match judge(context, args, start) {
        // Whoever asked for JSON reads JSON, whatever happened.
        Err(failure) if args.json => {
            let elapsed = start.elapsed();
            terminal::say_json(&output::not_judged(&args.artifact, &failure, elapsed));
            Ok(failure.code)
        }
        other => other,
    }
}

fn judge(context: &Context, args: &Args, start: Instant) -> Result<u8, Failure> {
    // 1. What was asked.
    let rule = args.identity.rule()?;
    let predicate_type = args
        .predicate_type
        .as_deref()
        .map(super::predicate_type)
        .transpose()?;
    let demand = Demand {
        predicate_type: predicate_type.map(|each| each.uri().to_owned()),
    };
    let mut rule = CertificateRule::strict(rule);
    if args.insecure_ignore_log {
        rule.evidence.log = LogRule::WithoutLogUnsafe;
    }
    let policy = Policy {
        certificates: Some(rule),
        keys: None,
    };
    // 2. The last reading of files.
    let material = args.trust.choose(context)?;
    let artifact = artifact::Artifact::read(&args.artifact)?;
    let candidates = args.source.candidates(&artifact)?;
    // 3. The rules, which know neither files nor clock.
    let verifier = Verifier::new(material.prepare(), policy);
    let now = SystemClock.now();
    let digests = Artifact::Digests(&artifact.digests);
    let answer = stella_attest::verify::verify(&verifier, &digests, candidates, &demand, now);
    // 4. The report.
    let report = Verification {
        artifact: &artifact.given,
        digest: artifact.digest()?,
        offline: true,
        trust: &material,
        answer: &answer,
        elapsed: start.elapsed(),
    };
    if args.json {
        terminal::say_json(&output::verification(&report));
    } else {
        output::print_verification(&report);
    }
    finish(&answer, args)
}

fn finish(answer: &Answer, args: &Args) -> Result<u8, Failure> {
    let Err(refusal) = &answer.verdict else {
        return Ok(exit::OK);
    };
    let failure = exit::refusal(refusal);
    if args.json {
        return Ok(failure.code);
    }
    Err(failure)
}
