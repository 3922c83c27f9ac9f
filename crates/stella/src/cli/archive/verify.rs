//! `stella archive verify`: an archive, or a file taken out of one, by the organisation's anchor alone.

mod evidence;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::{Value, json};
use stella_archive::history::{Counts, History, JudgedStatement, Judgement};
use stella_archive::witnessed::require_witnessed;
use stella_attest::archive::Archive;
use stella_attest::archive::cosign::note_of;
use stella_attest::archive::verify::{self, Checked, Demands, Depth};
use stella_bundle::identity::{Identities, escape};
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{IdentityRule, Policy};
use stella_tlog::quorum::{self, Cosigned};

use super::believed::{KnownFlags, read_anchor};
use super::cosign::{self, read_policy};
use super::place::{PlaceFlags, failure};
use crate::cli::Context;
use crate::exit::{self, Failure};
use crate::output;
use crate::terminal::{self, Estimate};
use evidence::read_set;

/// Verify an archive, or a file taken out of one, by the organisation's anchor, without a network
///
/// Three levels are told apart: archived (L0), the organisation held exactly this and recorded that it verified; re-verified
/// (L1), every attestation verifies again by the trusted root of its time, less what fell since; independent (L2), it verifies by
/// a trusted root of yours. The exit code is 0 when every attestation holds at
/// the level that is asked for. Who signed is shown by `stella archive search`, and asked when an attestation is used.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella archive verify archive --anchor org.anchor
  stella archive verify archive-2026-11.tar --anchor org.anchor --level archived
  stella archive verify evidence.json --anchor org.anchor --artifact app.tar.gz --at 2046-01-01T00:00:00Z")]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceFlags,

    /// The organisation's anchor, or one public key of it
    #[arg(long, visible_alias = "org-key", value_name = "FILE")]
    anchor: PathBuf,

    /// For a file taken out of an archive: what its attestations must speak of
    #[arg(long, value_name = "ARTIFACT")]
    artifact: Option<String>,

    /// A trusted root of your own, for the independent level
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,

    #[command(flatten)]
    known: KnownFlags,

    /// Where a newer archive of the organisation is, whose past renews this one; by default the newest of the same place
    #[arg(long, value_name = "PLACE")]
    newer: Option<String>,

    /// Require that witnesses cosigned the checkpoint, as this policy asks (c2sp.org/tlog-policy)
    #[arg(long, value_name = "FILE")]
    witness_policy: Option<PathBuf>,

    /// A kept key by which attestations are signed, in PEM
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,

    /// What must hold; by default every attestation verifies again whose bytes were not let go after retention
    #[arg(long, value_name = "LEVEL")]
    level: Option<WantedLevel>,

    /// Threads that verify
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum WantedLevel {
    /// L0: the organisation held exactly this, and had verified it
    Archived,
    /// L1: it verifies again by the trusted root of its time
    Reverified,
    /// L2: it verifies by the trusted root of yours (--trusted-root)
    Independent,
}

pub(crate) async fn run(_: &Context, args: &Args) -> Result<u8, Failure> {
    let anchor = read_anchor(&args.anchor)?;
    let own = args.own()?;
    let known = args.known.falls();
    if args.level == Some(WantedLevel::Independent) && own.is_none() {
        return Err(Failure::usage(
            "the independent level needs a trusted root of yours: --trusted-root FILE",
        ));
    }
    let path = Path::new(&args.place.archive);
    if path.is_file()
        && let Some(set) = read_set(path)?
    {
        if args.witness_policy.is_some() {
            return Err(Failure::usage("--witness-policy is for an archive: what was taken out has no note of witnesses")
                .hint("`stella archive extract --proof FILE` takes the note along, in the form c2sp.org/tlog-proof"));
        }
        if args.level == Some(WantedLevel::Archived) && args.artifact.is_some() {
            return Err(Failure::usage(
                "the archived level compares no artifact: ask for another, or leave --artifact out",
            ));
        }
        let newer = args.newer().await?;
        return args.extracted(set, newer, &anchor, own.as_ref(), &known);
    }
    if args.artifact.is_some() {
        return Err(
            Failure::usage("--artifact is for a file that was taken out of an archive")
                .hint("`stella archive extract` takes one out"),
        );
    }
    let witnesses = args.witness_policy.as_deref().map(read_policy);
    let witnesses = witnesses.transpose()?;
    let (archive, newest) = args.place.open_with_newest().await?;
    let newer = match &args.newer {
        Some(_) => args.newer_archive().await?,
        None => newest,
    };
    let usual = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let policy = args.policy()?;
    let estimate = Estimate::new();
    let demands = Demands {
        anchor: &anchor,
        known: &known,
        own: own.as_ref(),
        policy: &policy,
        newer: newer.as_ref(),
        depth: match args.level.unwrap_or(WantedLevel::Reverified) {
            WantedLevel::Archived => Depth::Archived,
            WantedLevel::Reverified => Depth::Reverified,
            WantedLevel::Independent => Depth::Independent,
        },
        now: args.known.now(),
        threads: args.threads.unwrap_or(usual),
        done: &|count, total| {
            let left = estimate.left(count, total);
            terminal::show(&format!("verified: {count}{left}"));
        },
    };
    let checked = verify::verify(&archive, &demands).await;
    terminal::clear();
    let checked = checked.map_err(failure)?;
    let cosigned = match &witnesses {
        Some(policy) => Some(require_cosigned(&archive, &checked, policy).await?),
        None => None,
    };
    args.report(&checked, &archive.name, cosigned.as_deref());
    let counts = checked.judgement.statements.get(checked.sequence as usize);
    let verified = counts.map_or(0, |each| each.manifest.counts.verified);
    let is_good = match args.level {
        Some(WantedLevel::Archived) => true,
        // What was let go is no failure, unless it is asked for.
        None if checked.refused_count == 0 && checked.unknown.is_none() => {
            checked.reverified + checked.absent >= verified
        }
        _ => checked.reverified == verified,
    };
    Ok(if is_good { exit::OK } else { exit::SIGNATURE })
}

impl Args {
    /// Whoever signed is taken: who may have is asked when an attestation is used.
    fn policy(&self) -> Result<Policy, Failure> {
        let mut policy = Policy::for_certificates(IdentityRule::Given(Identities::AnyoneUnsafe));
        policy.keys = super::sources::kept_keys(&self.public_key)?;
        Ok(policy)
    }

    async fn newer_archive(&self) -> Result<Option<Archive>, Failure> {
        let Some(place) = &self.newer else {
            return Ok(None);
        };
        let (archive, _) = self.place.elsewhere(place).open_with_newest().await?;
        Ok(Some(archive))
    }

    /// Reads the past of a newer archive, with its trusted roots.
    async fn newer(&self) -> Result<Option<(History, Vec<Vec<u8>>)>, Failure> {
        match self.newer_archive().await? {
            None => Ok(None),
            Some(archive) => archive.history().await.map(Some).map_err(failure),
        }
    }

    fn own(&self) -> Result<Option<TrustedRoot>, Failure> {
        let Some(path) = &self.trusted_root else {
            return Ok(None);
        };
        let bytes = fs::read(path).map_err(|error| Failure::io("read", path, &error))?;
        let root = TrustedRoot::parse(&bytes);
        root.map(Some)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    }

    fn report(&self, checked: &Checked, name: &str, cosigned: Option<&[Cosigned]>) {
        let judgement = &checked.judgement;
        if self.json {
            let mut facts = past(judgement, checked.sequence);
            facts["schema"] = json!("stella.archive-verify/v1");
            facts["period"] = json!(name);
            facts["present"] = json!(checked.present);
            facts["absent"] = json!(checked.absent);
            facts["reverified"] = json!(checked.reverified);
            facts["refused"] = json!(checked.refused_count);
            facts["unknown"] = json!(checked.unknown.map(|missing| missing.to_string()));
            let first = checked.refused.iter();
            let first =
                first.map(|(index, refusal)| json!({"leaf": index, "reason": refusal.to_string()}));
            facts["firstRefused"] = first.collect();
            facts["cosigned"] = cosigned.map_or(Value::Null, cosign::cosigned);
            terminal::say_json(&facts);
            return;
        }
        say_past(judgement, checked.sequence);
        cosign::say_cosigned(cosigned.unwrap_or_default());
        terminal::say(&format!("period {}", escape(name)));
        terminal::say(&format!(
            "  L0 archived: {} attestations, byte for byte",
            checked.present
        ));
        if checked.absent > 0 {
            terminal::say(&format!(
                "     and {} whose bytes were let go after retention",
                checked.absent
            ));
        }
        match self.level.unwrap_or(WantedLevel::Reverified) {
            WantedLevel::Archived => {}
            WantedLevel::Reverified => {
                terminal::say(&format!("  L1 verified again: {}", checked.reverified))
            }
            WantedLevel::Independent => {
                terminal::say(&format!("  L2 independent: {}", checked.reverified))
            }
        }
        if let Some(missing) = checked.unknown {
            terminal::say(&format!("     not all: {missing}"));
        }
        for (index, refusal) in &checked.refused {
            terminal::say(&format!(
                "     refused: leaf {index}: {}",
                escape(&refusal.to_string())
            ));
        }
    }
}

/// Requires the cosignatures that a policy asks for.
async fn require_cosigned(
    archive: &Archive,
    checked: &Checked,
    policy: &quorum::Policy,
) -> Result<Vec<Cosigned>, Failure> {
    let name = &archive.name;
    let refused = |problem: String| {
        Failure::new(exit::LOG, problem)
            .hint("`stella archive cosign` has the newest archive cosigned")
    };
    let note = note_of(archive).await.map_err(failure)?;
    let note =
        note.ok_or_else(|| refused(format!("no note of witnesses is kept beside {name}")))?;
    let judgement = &checked.judgement;
    let manifest = statement(judgement, checked.sequence).map(|each| &each.manifest);
    let keyset = manifest.and_then(|manifest| {
        let mut keysets = judgement.keysets.iter();
        keysets.find(|each| each.version == manifest.keyset.version)
    });
    let (manifest, keyset) = manifest
        .zip(keyset)
        .ok_or_else(|| refused(format!("{name} has no statement")))?;
    let cosigned = require_witnessed(&note, manifest, keyset, policy);
    cosigned.map_err(|refusal| refused(refusal.to_string()))
}

/// Tells about a statement and the newest one, which speaks for it.
fn say_past(judgement: &Judgement, sequence: u64) {
    let Some((statement, newest)) = statement(judgement, sequence).zip(judgement.newest()) else {
        return;
    };
    let manifest = &statement.manifest;
    terminal::say(&format!(
        "good: {} {}, statement {sequence} of a tree of {} leaves",
        escape(&manifest.origin),
        escape(&manifest.period.name),
        manifest.tree.size
    ));
    terminal::say(&format!("  {}", statement.existence));
    if newest.manifest.sequence != sequence {
        terminal::say(&format!(
            "  statement {} of {} names it, the newest",
            newest.manifest.sequence,
            escape(&newest.manifest.period.name)
        ));
    }
    for each in &judgement.signatures {
        let counts = match each.counts {
            Counts::Yes => "counts",
            Counts::FellBefore => "no longer counts",
        };
        let id = hex::encode(&each.key.key_id[..8]);
        terminal::say(&format!(
            "  signed by the {} key {id}: {counts}",
            each.key.role.name()
        ));
    }
}

fn statement(judgement: &Judgement, sequence: u64) -> Option<&JudgedStatement> {
    let at = usize::try_from(sequence).ok()?;
    judgement.statements.get(at)
}

/// Says the same as JSON.
fn past(judgement: &Judgement, sequence: u64) -> Value {
    let statement = statement(judgement, sequence);
    let signatures = judgement.signatures.iter().map(|each| {
        json!({
            "keyId": hex::encode(each.key.key_id),
            "role": each.key.role,
            "counts": each.counts == Counts::Yes,
        })
    });
    json!({
        "manifest": statement.map(|each| &each.manifest),
        "existed": statement.and_then(|each| output::json::existence(&each.existence)),
        "newest": judgement.newest().map(|each| each.manifest.sequence),
        "signatures": signatures.collect::<Vec<_>>(),
    })
}
