//! The gate: reads files, judges, reports; opens no socket. `stella verify`, `stella attest verify` and
//! `stella policy explain` are this engine with other words.

mod artifacts;
mod identity_flags;
mod named;
mod piece_flags;
mod policy_flags;
mod trust_flags;

use std::num::NonZeroUsize;
use std::thread;
use std::time::Instant;

use stella_attest::verify::{Gate, Question};
use stella_bundle::predicate::PredicateType;
use stella_bundle::verify::{Evidence, LogRule, ManagedKey, Trust};
use stella_policy::mode::Mode;
use stella_policy::policy::Policy;
use stella_server::{Clock as _, SystemClock};

use super::Context;
use super::attest::source::SourceFlags;
use crate::artifact::{Artifact, Keep};
use crate::exit::{self, Failure};
use crate::output::{Judged, Run, Sinks};
use crate::terminal;
use crate::terminal::Progress;
use crate::trust::{self, Acceptance, DevelopmentRule, TrustMaterial};

pub(super) use artifacts::BUNDLE_ENDINGS;
use named::Named;
use piece_flags::PieceFlags;
pub(super) use policy_flags::{Origin, PolicyFlags, read_policy};
pub(super) use trust_flags::TrustFlags;

/// A name with more mistakes than these was another one.
const MAX_TYPOS: usize = 2;

/// Everything that the gate is told beside the artifacts.
#[derive(Debug, clap::Args)]
pub(crate) struct GateFlags {
    #[command(flatten)]
    policy: PolicyFlags,

    #[command(flatten)]
    source: SourceFlags,

    #[command(flatten)]
    pieces: PieceFlags,

    #[command(flatten)]
    trust: TrustFlags,

    /// Promise that no socket is opened; verification never opens one
    #[arg(long)]
    offline: bool,
}

/// Where reports go.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportFlags {
    /// Print the report as JSON (stella.verify/v1), on success and on refusal; the same as -o json
    #[arg(long)]
    json: bool,

    /// Write a report: text, json, junit or github, to standard output or to a file; may be given more than once
    #[arg(short, long = "output", value_name = "FORMAT[=FILE]")]
    outputs: Vec<String>,
}

/// Judges every artifact and reports; the exit code is that of the first one, in the order given, that does not pass.
pub(crate) fn run(
    context: &Context,
    flags: &GateFlags,
    reports: &ReportFlags,
    given: &[String],
) -> Result<u8, Failure> {
    let start = Instant::now();
    let sinks = Sinks::parse(&reports.outputs, reports.json)?;
    match judge(context, flags, given, start) {
        Ok(run) => {
            sinks.write(&run)?;
            tell(&run, &sinks);
            Ok(run.exit())
        }
        Err(failure) => {
            // Whoever asked for a report reads one, whatever happened.
            let code = failure.code;
            let run = Run::not_judged(given, &failure, start.elapsed());
            sinks.write(&run)?;
            if sinks.speaks_to_programs() {
                return Ok(code);
            }
            Err(failure)
        }
    }
}

/// Reads everything, then asks the rules, which know neither files nor clock.
pub(crate) fn judge(
    context: &Context,
    flags: &GateFlags,
    given: &[String],
    start: Instant,
) -> Result<Run, Failure> {
    // 1. What is asked, and whom to believe.
    let (mut policy, origin) = flags.policy.policy()?;
    PolicyFlags::narrow_trust(&mut policy, flags.trust.fingerprint())?;
    let acceptance = Acceptance {
        digests: policy.trust.clone(),
        development: development_rule(&policy, origin),
    };
    let mut material = flags.trust.choose_accepted(context, &acceptance)?;
    if material.is_none() && !asks_nobody(&policy) {
        material = Some(trust::require_chosen(None)?);
    }
    let trust = material
        .as_ref()
        .map_or_else(Trust::default, TrustMaterial::prepare);
    // 2. The last reading of files.
    let names = artifacts::expand(given)?;
    let progress = Progress::new("read", names.len());
    let mut artifacts = Vec::with_capacity(names.len());
    let mut questions = Vec::new();
    let keep = what_to_keep(&policy);
    let bundles = flags.bundles()?;
    for name in &names {
        let question = flags.question(name, keep, bundles.as_ref());
        progress.step();
        artifacts.push(
            question
                .as_ref()
                .map(|question| question.artifact.first().cloned())
                .map_err(Clone::clone),
        );
        questions.extend(question);
    }
    progress.end();
    // 3. The rules.
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let gate = Gate::new(trust, policy);
    let mut answers = gate
        .verify_many(questions, SystemClock.now(), threads)
        .into_iter();
    // 4. What each came to.
    let leniency = gate.policy().leniency();
    let judged = names
        .into_iter()
        .zip(artifacts)
        .map(|(name, read)| match read {
            Ok(digest) => {
                let answer = answers.next();
                let failure = answer
                    .as_ref()
                    .and_then(|answer| exit::refusal(gate.policy(), answer));
                Judged::new(name, digest, answer, failure, leniency)
            }
            Err(failure) => Judged::new(name, None, None, Some(failure), leniency),
        });
    Ok(Run {
        judged: judged.collect(),
        trust: material,
        policy: gate.policy().clone(),
        elapsed: start.elapsed(),
    })
}

impl GateFlags {
    /// Reads the bundles that were named, once for all artifacts; none when none was.
    fn bundles(&self) -> Result<Option<Named>, Failure> {
        match self.source.named() {
            [] => Ok(None),
            paths => Named::read(paths).map(Some),
        }
    }

    /// Reads an artifact and everything that may speak of it.
    fn question(
        &self,
        name: &str,
        keep: Keep,
        bundles: Option<&Named>,
    ) -> Result<Question, Failure> {
        let artifact = Artifact::read_and_keep(name, keep)?;
        let candidates = match (self.pieces.candidate()?, bundles) {
            (Some(detached), _) => vec![detached],
            (None, Some(named)) => named.about(&artifact.digests),
            (None, None) => self.source.candidates(&artifact)?,
        };
        Ok(Question {
            candidates,
            artifact: artifact.digests,
            content: artifact.content,
        })
    }
}

/// Says whether keys alone decide: then no log, authority or clock is believed, and no trust root is needed.
fn asks_nobody(policy: &Policy) -> bool {
    let verification = policy.to_verification();
    let needs_nobody = |evidence: &Evidence| {
        evidence.log == LogRule::WithoutLogUnsafe
            && evidence.times == 0
            && evidence.timestamps == 0
            && evidence.witnesses.is_none()
    };
    verification.certificates.is_none()
        && policy.trust.is_empty()
        && verification
            .keys
            .is_some_and(|rule| needs_nobody(&rule.evidence))
}

/// A key that signs whole messages needs the bytes of what it signed.
fn what_to_keep(policy: &Policy) -> Keep {
    let signs_whole = |key: &ManagedKey| {
        let scheme = key.scheme.unwrap_or_else(|| key.key.default_scheme());
        scheme.hash().is_none()
    };
    match policy.to_verification().keys {
        Some(rule) if rule.keys.iter().any(signs_whole) => Keep::Content,
        _ => Keep::Digests,
    }
}

/// A policy file that enforces believes no instance on this machine's own names, unless it names it.
fn development_rule(policy: &Policy, origin: Origin) -> DevelopmentRule {
    match origin {
        Origin::File if policy.mode == Mode::Enforce => DevelopmentRule::NamedAlways,
        Origin::File | Origin::Flags => DevelopmentRule::NamedInCi,
    }
}

/// Tells what was refused, and what a mode let pass.
fn tell(run: &Run, sinks: &Sinks) {
    for judged in &run.judged {
        let Some(failure) = &judged.failure else {
            continue;
        };
        match judged.ending.allowed_by {
            Some(Mode::Warn) => {
                terminal::tell(&format!(
                    "WARNING: {} is refused with code {} and passes, because the mode is warn",
                    stella_bundle::identity::escape(&judged.given),
                    failure.code
                ));
                terminal::tell_failure(failure, "warning");
            }
            Some(_) => {}
            None if sinks.speaks_to_programs() => {}
            None => {
                if run.judged.len() > 1 {
                    terminal::tell(&stella_bundle::identity::escape(&judged.given));
                }
                terminal::tell_failure(failure, "error");
            }
        }
    }
}

/// Says what is wrong with a predicate type, and what may have been meant.
pub(super) fn not_a_type(typed: &str, error: &dyn std::fmt::Display) -> Failure {
    let failure = Failure::usage(error.to_string());
    let typed = typed.split(':').next().unwrap_or_default().to_lowercase();
    let names = PredicateType::OURS.iter().flat_map(|ours| ours.names());
    let distance = |name: &&'static str| (strsim::damerau_levenshtein(name, &typed), *name);
    match names.map(distance).min() {
        Some((distance, name)) if distance <= MAX_TYPOS => {
            failure.hint(format!("did you mean {name}?"))
        }
        _ => failure,
    }
}

/// Says why an artifact passes or not; none when it could not be judged.
pub(crate) fn explain(run: &Run, judged: &Judged) -> Option<stella_policy::explain::Explanation> {
    let answer = judged.answer.as_ref()?;
    let items = answer.items();
    Some(stella_policy::explain::explain(
        &run.policy,
        &items,
        &answer.decision,
    ))
}
