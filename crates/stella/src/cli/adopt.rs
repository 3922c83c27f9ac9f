//! `stella adopt`: on which step of the way to keyless and fail-closed something stands, and what the next one is.

use std::path::PathBuf;

use serde_json::json;
use stella_attest::collect::Attested;
use stella_attest::verify::Found;
use stella_bundle::bundle::{Bundle, KeyMaterial};
use stella_bundle::certificate::Certificate;
use stella_bundle::identity::escape;
use stella_bundle::legacy;
use stella_policy::mode::Mode;
use stella_policy::policy::Policy;
use stella_policy::signer::Who;

use super::attest::source::LookFlags;
use super::gate;
use crate::exit::{self, Failure};
use crate::terminal;

/// Say on which step to keyless and fail-closed an artifact and its gate stand, and what the next step is
///
/// Looks at what is attached to the artifact or image, and at the policy. Nothing is judged: `stella verify` does that. The
/// steps are those of docs/guide/adopting.md.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella adopt app.tar.gz --policy policy.yaml
  stella adopt registry.example/org/app:v1")]
pub(crate) struct Args {
    #[command(flatten)]
    look: LookFlags,

    /// The policy by which releases are judged
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How something is signed, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Unsigned,
    Key,
    LoggedKey,
    KeyWithIdentity,
    Keyless,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Key => "key",
            Self::LoggedKey => "logged-key",
            Self::KeyWithIdentity => "key-with-identity",
            Self::Keyless => "keyless",
        }
    }

    const fn means(self) -> &'static str {
        match self {
            Self::Unsigned => "nothing is signed",
            Self::Key => "signed with a kept key, unseen by any log",
            Self::LoggedKey => "signed with a kept key, and logged",
            Self::KeyWithIdentity => "signed with a kept key that is certified for an identity",
            Self::Keyless => "signed keyless: by an identity, with no key to lose",
        }
    }

    const fn next(self) -> Option<&'static str> {
        Some(match self {
            Self::Unsigned => {
                "stella key generate && stella sign-blob FILE --key stella.key, or at once: stella sign-blob FILE --keyless"
            }
            Self::Key => "add --log to what signs: a misuse of the key shows then",
            Self::LoggedKey => "add --identity to what signs: the key is certified for who uses it",
            Self::KeyWithIdentity => {
                "sign with --keyless instead of --key, and take the key out of the policy"
            }
            Self::Keyless => return None,
        })
    }
}

pub(crate) async fn run(args: Args) -> Result<u8, Failure> {
    let policy = args.policy.as_deref().map(gate::read_policy).transpose()?;
    let mut rows = Vec::new();
    for asked in args.look.find().await? {
        let steps = asked
            .attested
            .iter()
            .filter_map(|each| step(each, policy.as_ref()));
        rows.push((asked.name, steps.max().unwrap_or(Step::Unsigned)));
    }
    let gate = gate_of(policy.as_ref());
    // What is signed least decides: a gate can ask no more than all can show.
    let signing = rows.iter().map(|(_, step)| *step).min();
    let signing = signing.unwrap_or(Step::Unsigned).next();
    if args.json {
        let artifacts = rows
            .iter()
            .map(|(name, step)| json!({"artifact": name, "step": step.name()}));
        terminal::say_json(&json!({
            "artifacts": artifacts.collect::<Vec<_>>(),
            "gate": gate.name,
            "next": {"signing": signing, "gate": gate.next},
        }));
        return Ok(exit::OK);
    }
    for (name, step) in &rows {
        terminal::say(&format!("{}: {}", escape(name), step.means()));
    }
    terminal::say(&format!("gate: {}", gate.means));
    for next in [signing, gate.next].into_iter().flatten() {
        terminal::say(&format!("next: {next}"));
    }
    if signing.is_none() && gate.next.is_none() {
        terminal::say("next: nothing; this is the top");
    }
    Ok(exit::OK)
}

/// Says how an attestation is signed; none when it cannot be read.
fn step(attested: &Attested, policy: Option<&Policy>) -> Option<Step> {
    let bundle = match &attested.candidate.found {
        Found::Bytes(Ok(bytes)) => legacy::read(bytes).ok()?.0,
        Found::Pieces(Ok(bundle)) => (**bundle).clone(),
        Found::Bytes(Err(_)) | Found::Pieces(Err(_)) => return None,
    };
    Some(match &bundle.key {
        KeyMaterial::PublicKey { .. } if bundle.entries.is_empty() => Step::Key,
        KeyMaterial::PublicKey { .. } => Step::LoggedKey,
        KeyMaterial::Certificates(_) if is_for_a_kept_key(&bundle, policy) => Step::KeyWithIdentity,
        KeyMaterial::Certificates(_) => Step::Keyless,
    })
}

/// A certificate does not say whether its key is kept; a policy that names the key does.
fn is_for_a_kept_key(bundle: &Bundle, policy: Option<&Policy>) -> bool {
    let KeyMaterial::Certificates(chain) = &bundle.key else {
        return false;
    };
    let leaf = chain.first().and_then(|leaf| Certificate::parse(leaf).ok());
    let (Some(leaf), Some(policy)) = (leaf, policy) else {
        return false;
    };
    let is_named = |who: &Who| matches!(who, Who::Key(key) if key.key == *leaf.public_key());
    policy.signers.iter().any(|signer| is_named(&signer.who))
}

/// What the gate does.
struct GateStep {
    name: &'static str,
    means: String,
    next: Option<&'static str>,
}

fn gate_of(policy: Option<&Policy>) -> GateStep {
    let Some(policy) = policy else {
        return GateStep {
            name: "none",
            means: "no policy was named".to_owned(),
            next: Some(
                "write a policy with `mode: audit`, and let `stella verify --policy FILE` write its report",
            ),
        };
    };
    let has_key = policy
        .signers
        .iter()
        .any(|signer| matches!(signer.who, Who::Key(_)));
    let (means, next) = match policy.mode {
        Mode::Audit => (
            "refusals are written into reports",
            Some("when the reports are quiet, set `mode: warn`"),
        ),
        Mode::Warn => (
            "refusals are told, and pass",
            Some("when nobody is warned any more, set `mode: enforce`"),
        ),
        Mode::Enforce if policy.signers.is_empty() => (
            "refusals stop, and nobody is named who may sign",
            Some("name who may sign under `signers`"),
        ),
        Mode::Enforce if has_key => (
            "refusals stop; a kept key is still accepted",
            Some("when all is signed keyless, take the key out of `signers`"),
        ),
        Mode::Enforce => ("refusals stop", None),
    };
    GateStep {
        name: policy.mode.name(),
        means: means.to_owned(),
        next,
    }
}
