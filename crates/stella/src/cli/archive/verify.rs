//! `stella archive verify`: an archive, or a file taken out of one, by the organisation's anchor alone.

mod evidence;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::{Value, json};
use stella_archive::anchor::{Anchor, MAX_ANCHOR};
use stella_archive::fall::{ALGORITHMS, Falls};
use stella_archive::history::{Counts, Existence, History, JudgedStatement, Judgement};
use stella_attest::archive::Archive;
use stella_attest::archive::verify::{self, Checked, Demands, Depth};
use stella_attest::file;
use stella_bundle::certificate::Certificate;
use stella_bundle::identity::{Identities, escape};
use stella_bundle::key::PublicKey;
use stella_bundle::pem;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{IdentityRule, Policy};

use super::ceremony::now;
use super::place::{PlaceFlags, failure};
use crate::cli::Context;
use crate::exit::{self, Failure};
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

    /// An algorithm that you do not believe from a day on, such as P-256=2035-01-01T00:00:00Z
    #[arg(long, value_name = "NAME=TIME", value_parser = parse_sunset)]
    sunset: Vec<(String, UnixTime)>,

    /// Judge as at this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<UnixTime>,

    /// A key that others may have since some time: SHA-256 of its SubjectPublicKeyInfo in hex, or the file of its public half or
    /// certificate in PEM, such as fulcio.pem=2031-05-01T00:00:00Z
    #[arg(long, value_name = "KEY=TIME", value_parser = parse_compromised)]
    compromised: Vec<([u8; 32], UnixTime)>,

    /// Where a newer archive of the organisation is, whose past renews this one; by default the newest of the same place
    #[arg(long, value_name = "PLACE")]
    newer: Option<String>,

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
    let anchor = args.anchor()?;
    let own = args.own()?;
    let mut known = Falls::default();
    for (name, on) in &args.sunset {
        known.add_algorithm(name, *on);
    }
    for (key, since) in &args.compromised {
        known.add_key(*key, *since);
    }
    if args.level == Some(WantedLevel::Independent) && own.is_none() {
        return Err(Failure::usage(
            "the independent level needs a trusted root of yours: --trusted-root FILE",
        ));
    }
    let path = Path::new(&args.place.archive);
    if path.is_file()
        && let Some(set) = read_set(path)?
    {
        if args.level == Some(WantedLevel::Archived) && args.artifact.is_some() {
            return Err(Failure::usage(
                "the archived level compares no artifact: ask for another, or leave --artifact out",
            ));
        }
        let newer = args.newer().await?;
        return args.extracted(&set, newer, &anchor, own.as_ref(), &known);
    }
    if args.artifact.is_some() {
        return Err(
            Failure::usage("--artifact is for a file that was taken out of an archive")
                .hint("`stella archive extract` takes one out"),
        );
    }
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
        now: args.at.unwrap_or_else(now),
        threads: args.threads.unwrap_or(usual),
        done: &|count, total| {
            let left = estimate.left(count, total);
            terminal::show(&format!("verified: {count}{left}"));
        },
    };
    let checked = verify::verify(&archive, &demands).await;
    terminal::clear();
    let checked = checked.map_err(failure)?;
    args.report(&checked, &archive.name);
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
    fn anchor(&self) -> Result<Anchor, Failure> {
        let path = &self.anchor;
        let bytes =
            file::read(path, MAX_ANCHOR).map_err(|error| Failure::io("read", path, &error))?;
        let text = String::from_utf8_lossy(&bytes);
        Anchor::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    }

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

    fn report(&self, checked: &Checked, name: &str) {
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
            terminal::say_json(&facts);
            return;
        }
        say_past(judgement, checked.sequence);
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
    terminal::say(&format!("  {}", existed(&statement.existence)));
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

fn existed(existence: &Existence) -> String {
    match existence {
        Existence::At { time, authority } => format!("by {time}, as {} says", escape(authority)),
        Existence::Undated => "at a time that no clock vouches for any longer".to_owned(),
    }
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
    let time = statement.and_then(|each| match &each.existence {
        Existence::At { time, authority } => {
            Some(json!({"time": time.to_string(), "authority": authority}))
        }
        Existence::Undated => None,
    });
    json!({
        "manifest": statement.map(|each| &each.manifest),
        "existed": time,
        "newest": judgement.newest().map(|each| each.manifest.sequence),
        "signatures": signatures.collect::<Vec<_>>(),
    })
}

fn parse_sunset(text: &str) -> Result<(String, UnixTime), String> {
    let wrong = || format!("expected NAME=TIME, NAME one of {}", ALGORITHMS.join(", "));
    let (name, time) = text.split_once('=').ok_or_else(wrong)?;
    let is_known = ALGORITHMS.contains(&name);
    is_known.then_some(()).ok_or_else(wrong)?;
    Ok((name.to_owned(), parse_time(time)?))
}

fn parse_time(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse_rfc3339(text)
        .ok_or_else(|| "expected a time such as 2035-01-01T00:00:00Z".to_owned())
}

/// Reads a key and since when others may have it.
fn parse_compromised(text: &str) -> Result<([u8; 32], UnixTime), String> {
    let wrong = || "expected KEY=TIME, KEY as 64 hex digits or a PEM file".to_owned();
    let (key, time) = text.rsplit_once('=').ok_or_else(wrong)?;
    let time = parse_time(time)?;
    let mut id = [0; 32];
    if key.len() == 64 && hex::decode_to_slice(key, &mut id).is_ok() {
        return Ok((id, time));
    }
    let pem_text = fs::read_to_string(key).map_err(|error| format!("{key}: {error}"))?;
    let blocks = pem::decode_all(&pem_text).map_err(|error| format!("{key}: {error}"))?;
    let block = blocks.first().ok_or_else(wrong)?;
    let found = match block.label.as_str() {
        "CERTIFICATE" => Certificate::parse(&block.der)
            .ok()
            .map(|each| each.public_key().clone()),
        _ => PublicKey::from_pem(&pem_text).ok(),
    };
    found.map(|key| (key.key_id(), time)).ok_or_else(wrong)
}
