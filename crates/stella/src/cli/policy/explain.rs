//! `stella policy explain`: why artifacts pass or not.

use std::time::Instant;

use serde_json::{Value, json};
use stella_bundle::identity::escape;
use stella_policy::explain::{AttestationStory, Explanation, SignerStory};

use crate::cli::Context;
use crate::cli::gate::{self, GateFlags};
use crate::exit::Failure;
use crate::output::{Judged, Run, json as report};
use crate::terminal;

/// Tell why artifacts pass or not: each attestation, each signer, each requirement
///
/// The exit code is that of `stella verify` with the same flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The artifact: a file, a folder, a digest as sha256:HEX, or - for standard input; may be given more than once
    #[arg(
        long = "artifact",
        required_unless_present_any = ["images", "from"],
        value_name = "ARTIFACT"
    )]
    artifacts: Vec<String>,

    #[command(flatten)]
    gate: GateFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    let run = gate::judge(context, &args.gate, &args.artifacts, Instant::now())?;
    if args.json {
        let stories: Vec<Value> = run
            .judged
            .iter()
            .map(|judged| to_json(&run, judged))
            .collect();
        terminal::say_json(&json!({"explanations": stories}));
        return Ok(run.exit());
    }
    for judged in &run.judged {
        terminal::say(&escape(&judged.given));
        match gate::explain(&run, judged) {
            Some(story) => tell(&story),
            None => {
                let message = judged
                    .failure
                    .as_ref()
                    .map(|failure| escape(&failure.message));
                terminal::say(&format!(
                    "  cannot be judged: {}",
                    message.unwrap_or_default()
                ));
            }
        }
    }
    Ok(run.exit())
}

fn to_json(run: &Run, judged: &Judged) -> Value {
    json!({
        "artifact": judged.given,
        "explanation": gate::explain(run, judged),
        "errors": judged.failure.iter().map(report::error).collect::<Vec<_>>(),
    })
}

fn tell(story: &Explanation) {
    for attestation in &story.attestations {
        tell_attestation(attestation);
    }
    for denial in &story.denials {
        let result = denial
            .result
            .as_deref()
            .map_or_else(|| "nothing".to_owned(), escape);
        let end = denial.superseded_by.as_ref().map_or_else(
            || "it refuses".to_owned(),
            |later| format!("superseded by {later}"),
        );
        terminal::say(&format!(
            "  denial {} says {result}: {end}",
            denial.attestation
        ));
    }
    for each in &story.requirements {
        let word = if each.holds { "holds" } else { "does not hold" };
        terminal::say(&format!(
            "  requirement {} {word}: {} {} of {}",
            escape(&each.name),
            each.found,
            each.counted,
            each.wanted
        ));
        for digest in &each.satisfied_by {
            terminal::say(&format!("    by {digest}"));
        }
        for other in &each.others {
            terminal::say(&format!(
                "    not by {}: {}",
                other.attestation,
                escape(&other.why)
            ));
        }
    }
    match &story.reason {
        None => terminal::say("  passes"),
        Some(reason) => terminal::say(&format!("  refused with code {}: {reason}", story.code)),
    }
}

fn tell_attestation(story: &AttestationStory) {
    let kind = story
        .predicate_type
        .as_deref()
        .map_or_else(|| "signature".to_owned(), escape);
    terminal::say(&format!("  attestation {} of type {kind}", story.digest));
    match (&story.error, &story.time) {
        (Some(error), _) => terminal::say(&format!("    refused: {}", escape(error))),
        (None, Some(time)) => terminal::say(&format!("    verified; signed by {time}")),
        (None, None) => terminal::say("    verified; at an unknown time"),
    }
    story.signers.iter().for_each(tell_signer);
}

fn tell_signer(story: &SignerStory) {
    let word = if story.matches { "is" } else { "is not" };
    terminal::say(&format!("    {word} by {}", escape(&story.name)));
    for each in &story.comparisons {
        let found = each
            .found
            .as_deref()
            .map_or_else(|| "nothing".to_owned(), escape);
        let word = if each.agrees { "agrees" } else { "differs" };
        let (what, expected) = (each.what, escape(&each.expected));
        terminal::say(&format!(
            "      {what} {word}: wanted {expected}, found {found}"
        ));
    }
    if let Some(note) = story.note {
        terminal::say(&format!("      {note}"));
    }
}
