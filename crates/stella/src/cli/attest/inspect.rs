//! `stella attest inspect`: what is inside, for people who want to know before they decide whom to accept.

use stella_attest::verify::{Examined, Gate, Question};
use stella_bundle::certificate::Certificate;
use stella_bundle::identity::escape;
use stella_bundle::pem;
use stella_policy::policy::Policy;
use stella_server::{Clock as _, SystemClock};

use super::source::SourceFlags;
use crate::cli::Context;
use crate::cli::gate::TrustFlags;
use crate::exit::{self, Failure};
use crate::{artifact, output, terminal};

/// Show what an attestation says and who signed it, without judging who may
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The artifact: a file, or its digest as sha256:HEX
    #[arg(long, value_name = "ARTIFACT")]
    artifact: String,

    #[command(flatten)]
    source: SourceFlags,

    #[command(flatten)]
    trust: TrustFlags,

    /// Show the certificate: names, validity, every claim, and the PEM block
    #[arg(long)]
    show_cert: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    let artifact = artifact::Artifact::read(&args.artifact)?;
    let candidates = args.source.candidates(&artifact)?;
    if candidates.is_empty() {
        return Err(Failure::new(
            exit::NO_ATTESTATION,
            "no attestation speaks of this artifact",
        )
        .hint("give one with --bundle FILE"));
    }
    let material = args.trust.choose(context)?;
    // Who may sign is not asked here: the answer's verdict is never looked at.
    let question = Question {
        artifact: artifact.digests,
        content: None,
        candidates,
    };
    let answer =
        Gate::new(material.prepare(), Policy::looking()).verify(question, SystemClock.now());
    if args.json {
        let shown: Vec<_> = answer
            .examined
            .iter()
            .map(|each| json(each, args.show_cert))
            .collect();
        terminal::say_json(&serde_json::json!({"attestations": shown}));
        return Ok(exit::OK);
    }
    for examined in &answer.examined {
        output::text::attestation(examined)
            .iter()
            .for_each(|line| terminal::say(line));
        if let Some(predicate) = predicate(examined) {
            terminal::say(&format!("  predicate {predicate}"));
        }
        if args.show_cert && examined.result.is_ok() {
            show_certificate(examined);
        }
    }
    Ok(exit::OK)
}

fn json(examined: &Examined, with_certificate: bool) -> serde_json::Value {
    let mut value = output::json::attestation(examined);
    if let Ok(report) = &examined.result {
        value["predicate"] = serde_json::json!(
            report
                .facts
                .statement
                .as_ref()
                .map(|statement| statement.predicate.to_value())
        );
    }
    if let Some(leaf) = certificate(examined).filter(|_| with_certificate) {
        value["certificate"] = serde_json::json!(pem::encode("CERTIFICATE", leaf.der()));
    }
    value
}

fn predicate(examined: &Examined) -> Option<String> {
    let report = examined.result.as_ref().ok()?;
    let statement = report.facts.statement.as_ref()?;
    Some(escape(statement.predicate.text()))
}

fn certificate(examined: &Examined) -> Option<&Certificate> {
    let report = examined.result.as_ref().ok()?;
    Some(report.facts.signer.as_ref()?.certificate())
}

fn show_certificate(examined: &Examined) {
    let Some(leaf) = certificate(examined) else {
        return terminal::say("  no certificate: signed with a managed key");
    };
    terminal::say(&format!(
        "  certificate {}",
        leaf.serial()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    ));
    terminal::say(&format!("    issued by   {}", escape(&leaf.issuer_text())));
    terminal::say(&format!(
        "    valid       {} to {}",
        leaf.not_before(),
        leaf.not_after()
    ));
    terminal::say(&format!("    key         {:?}", leaf.public_key().kind()));
    for name in leaf.names() {
        terminal::say(&format!(
            "    name        {}",
            escape(name.identity().unwrap_or("of a type that names no signer"))
        ));
    }
    for (claim, _, label) in stella_bundle::certificate::Claim::ALL {
        if let Some(text) = leaf.claim(claim) {
            terminal::say(&format!("    {label:<36}{}", escape(text)));
        }
    }
    terminal::say(pem::encode("CERTIFICATE", leaf.der()).trim_end());
}
