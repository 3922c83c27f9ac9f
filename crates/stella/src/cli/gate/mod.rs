//! The gate: reads files, judges, reports; opens no socket. `stella verify`, `stella attest verify` and
//! `stella policy explain` are this engine with other words.

mod archived;
mod artifacts;
mod from;
mod identity_flags;
mod images;
mod named;
mod piece_flags;
mod policy_flags;
mod trust_flags;

use std::num::NonZeroUsize;
use std::thread;
use std::time::Instant;

use stella_attest::archive::held::RootOf;
use stella_attest::image::Image;
use stella_attest::verify::{Candidate, Gate, Question};
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

use archived::{ArchiveFlags, Archives};
pub(super) use artifacts::BUNDLE_ENDINGS;
use images::{ImageFlags, Images};
use named::Named;
use piece_flags::PieceFlags;
pub(super) use policy_flags::{Origin, PolicyFiles, PolicyFlags, read_policy, read_policy_files};
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
    archive: ArchiveFlags,

    #[command(flatten)]
    images: ImageFlags,

    #[command(flatten)]
    pieces: PieceFlags,

    #[command(flatten)]
    trust: TrustFlags,

    /// Promise that no socket is opened; verification opens one only to read the attestations of an image, or archives in a registry
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
    let (policy, origin) = flags.policy.policy()?;
    let opened = open_gate(context, policy, origin, &flags.trust)?;
    let (gate, material) = (&opened.gate, &opened.material);
    let is_root_missing = material.is_none() && !asks_nobody(gate.policy());
    if is_root_missing && !flags.archive.is_anchored() {
        trust::require_chosen(None)?;
    }
    // 2. The last reading of files.
    let named_images = flags.images.named(given)?;
    let files: Vec<String> = given
        .iter()
        .filter(|name| !images::is_image(name))
        .cloned()
        .collect();
    let names = artifacts::expand(&files)?;
    let keep = what_to_keep(gate.policy());
    let sources = flags.sources(&opened.acceptance, is_root_missing)?;
    let progress = Progress::new("read", names.len());
    let mut asked = Vec::with_capacity(names.len());
    for name in names {
        let question = flags.question(&name, keep, &sources);
        progress.step();
        asked.push((name, question));
    }
    progress.end();
    // 3. Images: what speaks of them is fetched, unless it was brought along.
    let mut registries = None;
    // What may be looked at more closely, by its place among the questions.
    let mut again = Vec::new();
    if flags.is_brought_along(&sources) {
        for name in named_images {
            let question = flags.question_about_image(&name, &sources);
            asked.push((name, question));
        }
    } else if !named_images.is_empty() {
        flags.require_network()?;
        if is_root_missing {
            trust::require_chosen(None)?;
        }
        let images = Images::open(&flags.images, gate.policy())?;
        for each in images.ask(&named_images) {
            again.extend(each.again.map(|image| (asked.len(), image)));
            asked.push((each.name, each.question));
        }
        registries = Some(images);
    }
    // 4. The rules.
    let mut judged = judge_all(gate, asked);
    if let Some(images) = &registries {
        look_again(gate, images, &again, &mut judged);
    }
    let (traffic, policy) = (registries.as_ref().map(Images::traffic), gate.policy());
    Ok(Run {
        judged,
        policy: policy.clone(),
        traffic,
        trust: opened.material.clone(),
        elapsed: start.elapsed(),
    })
}

/// Makes the gate of a policy, and says whom it believes; none where keys alone decide.
pub(super) fn gate_of(
    context: &Context,
    policy: Policy,
    origin: Origin,
    flags: &TrustFlags,
) -> Result<(Gate, Option<TrustMaterial>), Failure> {
    let opened = open_gate(context, policy, origin, flags)?;
    if opened.material.is_none() && !asks_nobody(opened.gate.policy()) {
        trust::require_chosen(None)?;
    }
    Ok((opened.gate, opened.material))
}

/// A gate, and whom it believes.
struct Opened {
    gate: Gate,
    /// None where nobody was chosen.
    material: Option<TrustMaterial>,
    /// Which trust roots may be believed.
    acceptance: Acceptance,
}

/// Makes the gate of a policy. Where nobody was chosen it believes nobody.
fn open_gate(
    context: &Context,
    mut policy: Policy,
    origin: Origin,
    flags: &TrustFlags,
) -> Result<Opened, Failure> {
    PolicyFlags::narrow_trust(&mut policy, flags.fingerprint())?;
    let acceptance = Acceptance {
        digests: policy.trust.clone(),
        development: development_rule(&policy, origin),
    };
    let material = flags.choose_accepted(context, &acceptance)?;
    let trust = material
        .as_ref()
        .map_or_else(Trust::default, TrustMaterial::prepare);
    Ok(Opened {
        gate: Gate::new(trust, policy),
        material,
        acceptance,
    })
}

/// What was named as sources of attestations, read or opened once for all artifacts.
struct Sources {
    bundles: Option<Named>,
    archives: Option<Archives>,
    /// Whether only an archive's own trusted roots can count, because nobody else was chosen.
    is_root_missing: bool,
}

/// Judges every question, and says for each name what it came to.
fn judge_all(gate: &Gate, asked: Vec<(String, Result<Question, Failure>)>) -> Vec<Judged> {
    let mut questions = Vec::new();
    let mut read = Vec::with_capacity(asked.len());
    for (name, question) in asked {
        let digest = question
            .as_ref()
            .map(|question| question.artifact.first().cloned())
            .map_err(Clone::clone);
        read.push((name, digest));
        questions.extend(question);
    }
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut answers = gate
        .verify_many(questions, SystemClock.now(), threads)
        .into_iter();
    let leniency = gate.policy().leniency();
    let judged = read.into_iter().map(|(name, read)| match read {
        Ok(digest) => {
            let answer = answers.next();
            let failure = answer
                .as_ref()
                .and_then(|answer| exit::refusal(gate.policy(), answer));
            Judged::new(name, digest, answer, failure, leniency)
        }
        Err(failure) => Judged::new(name, None, None, Some(failure), leniency),
    });
    judged.collect()
}

/// Looks more closely at images that did not pass: an index without a lock may have lost what would let them.
fn look_again(gate: &Gate, images: &Images<'_>, again: &[(usize, Image)], judged: &mut [Judged]) {
    for (place, image) in again {
        let judged = &mut judged[*place];
        if judged.failure.is_none() {
            continue;
        }
        let question = images.ask_again(image);
        let again = judge_all(gate, vec![(judged.given.clone(), question)]);
        if let Some(again) = again.into_iter().next() {
            *judged = again;
        }
    }
}

impl GateFlags {
    /// Reads the bundles that were named, and opens the archives.
    fn sources(&self, acceptance: &Acceptance, is_root_missing: bool) -> Result<Sources, Failure> {
        if self.offline && self.archive.needs_network() {
            return Err(archived::network_needed());
        }
        let by = match self.trust.is_root_given() {
            true => RootOf::Verifier,
            false => RootOf::Archive,
        };
        let believed = self.archive.believe(by, acceptance)?;
        let bundles = match self.source.named() {
            [] => None,
            paths => Some(Named::read(paths, believed.as_ref())?),
        };
        let registry = self.images.registry();
        let archives = self.archive.open(registry, believed.as_ref())?;
        Ok(Sources {
            bundles,
            archives,
            is_root_missing,
        })
    }

    /// Says whether it was said where attestations are: then no image's registry is asked.
    const fn is_brought_along(&self, sources: &Sources) -> bool {
        sources.bundles.is_some() || sources.archives.is_some() || self.pieces.is_given()
    }

    /// Requires that a registry may be asked.
    fn require_network(&self) -> Result<(), Failure> {
        if !self.offline {
            return Ok(());
        }
        Err(Failure::new(
            exit::NETWORK_NEEDED,
            "an image's attestations are read from its registry, and --offline forbids the network",
        )
        .hint("bring them along: `stella attest download REFERENCE --output FILE`, then --bundle FILE")
        .page("network-needed"))
    }

    /// Makes the question about an image whose attestations were brought along: its digest must stand in its name.
    fn question_about_image(&self, name: &str, sources: &Sources) -> Result<Question, Failure> {
        let reference = crate::registry::parse(name)?;
        let digest = reference.digest().ok_or_else(|| {
            Failure::usage(format!("{name} names no digest, and no registry is asked"))
                .hint("name the image by digest: REGISTRY/REPO@sha256:HEX")
        })?;
        self.question(&digest.to_string(), Keep::Digests, sources)
    }

    /// Reads an artifact and everything that may speak of it.
    fn question(&self, name: &str, keep: Keep, sources: &Sources) -> Result<Question, Failure> {
        let artifact = Artifact::read_and_keep(name, keep)?;
        let candidates = self.candidates(&artifact, sources)?;
        if sources.is_root_missing {
            archived::require_all_held(&candidates)?;
        }
        Ok(Question {
            candidates,
            artifact: artifact.digests,
            content: artifact.content,
        })
    }

    /// Finds everything that may speak of an artifact.
    fn candidates(
        &self,
        artifact: &Artifact,
        sources: &Sources,
    ) -> Result<Vec<Candidate>, Failure> {
        if let Some(detached) = self.pieces.candidate()? {
            return Ok(vec![detached]);
        }
        match (&sources.bundles, &sources.archives) {
            (Some(named), _) => Ok(named.about(&artifact.digests)),
            (None, Some(archives)) => archives.about(&artifact.digests),
            (None, None) => self.source.candidates(artifact),
        }
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
