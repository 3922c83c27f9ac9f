//! `stella archive verify`: an archive, or a file taken out of one, by the organisation's anchor alone.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::{Value, json};
use stella_archive::anchor::{Anchor, MAX_ANCHOR};
use stella_archive::fall::{ALGORITHMS, Falls};
use stella_archive::history::{self, Counts, Existence, History, Judgement};
use stella_archive::levels::{Level, Levels, Place, Scales, read_roots};
use stella_attest::archive::extract::Proof;
use stella_attest::archive::verify::{self, Checked, Demands, Depth};
use stella_attest::file;
use stella_bundle::attestation_set::AttestationSet;
use stella_bundle::bundle::MAX_BUNDLE;
use stella_bundle::identity::{Identities, escape};
use stella_bundle::json::decode_base64;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TrustedRoot;
use stella_bundle::verify::{Artifact, IdentityRule, Policy};
use stella_tlog::hash::Hash;
use stella_tlog::tree::{LeafIndex, TreeSize};

use super::ceremony::now;
use super::place::{PlaceFlags, failure};
use crate::artifact;
use crate::cli::Context;
use crate::exit::{self, Failure};
use crate::terminal;

/// Verify an archive, or a file taken out of one, by the organisation's anchor, without a network
///
/// Three levels are told apart: archived (L0), the organisation held exactly this and recorded that it verified; re-verified
/// (L1), every attestation verifies again by the trusted root of its time, less what fell since; independent (L2), it verifies by
/// a trusted root of yours. The exit code is 0 when the archive holds and no attestation is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella archive verify archive --anchor org.anchor
  stella archive verify archive-2026-11.tar --anchor org.anchor --archived-only
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

    /// Do not verify the attestations again: only that they are the archived ones
    #[arg(long)]
    archived_only: bool,

    /// Threads that verify
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(_: &Context, args: &Args) -> Result<u8, Failure> {
    let anchor = args.anchor()?;
    let own = args.own()?;
    let mut known = Falls::default();
    for (name, on) in &args.sunset {
        known.add_algorithm(name, *on);
    }
    let path = Path::new(&args.place.archive);
    if path.is_file()
        && let Some(set) = read_set(path)?
    {
        return args.extracted(&set, &anchor, own.as_ref(), &known);
    }
    let (archive, newer) = args.place.open_with_newest().await?;
    let usual = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let policy = anyone();
    let demands = Demands {
        anchor: &anchor,
        known: &known,
        own: own.as_ref(),
        policy: &policy,
        newer: newer.as_ref(),
        depth: match args.archived_only {
            true => Depth::Archived,
            false => Depth::Reverified,
        },
        now: args.at.unwrap_or_else(now),
        threads: args.threads.unwrap_or(usual),
        done: &|count| terminal::show(&format!("verified: {count}")),
    };
    let checked = verify::verify(&archive, &demands).await;
    terminal::clear();
    let checked = checked.map_err(|error| failure(&error))?;
    args.report(&checked, &archive.name);
    match checked.refused_count {
        0 => Ok(exit::OK),
        _ => Ok(exit::SIGNATURE),
    }
}

/// Who signed an attestation is asked when it is used.
fn anyone() -> Policy {
    Policy::for_certificates(IdentityRule::Given(Identities::AnyoneUnsafe))
}

impl Args {
    fn anchor(&self) -> Result<Anchor, Failure> {
        let path = &self.anchor;
        let bytes =
            file::read(path, MAX_ANCHOR).map_err(|error| Failure::io("read", path, &error))?;
        let text = String::from_utf8_lossy(&bytes);
        Anchor::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
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
            let mut facts = past(judgement);
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
        say_past(judgement);
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
        if !self.archived_only {
            terminal::say(&format!("  L1 verified again: {}", checked.reverified));
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

    /// Verifies a file that was taken out of an archive.
    fn extracted(
        &self,
        set: &AttestationSet,
        anchor: &Anchor,
        own: Option<&TrustedRoot>,
        known: &Falls,
    ) -> Result<u8, Failure> {
        let broken =
            |what: &str| Failure::new(exit::SIGNATURE, format!("the file's {what} cannot be read"));
        let files: Vec<_> = set
            .trusted_roots
            .iter()
            .map(|root| root.content.clone())
            .collect();
        let roots = read_roots(&files);
        let past_words = set.archive.clone().unwrap_or_default();
        let mut past: History = serde_json::from_value(past_words).map_err(|_| broken("past"))?;
        past.roots = roots.iter().map(|(_, root)| root.clone()).collect();
        let now = self.at.unwrap_or_else(now);
        let judgement = history::judge(&past, anchor, known, own, now);
        let judgement =
            judgement.map_err(|error| Failure::new(exit::SIGNATURE, error.to_string()))?;
        let policy = anyone();
        let scales = Scales {
            judgement: &judgement,
            roots: &roots,
            own,
            known,
            policy: &policy,
            now,
        };
        let named = self
            .artifact
            .as_deref()
            .map(artifact::Artifact::read)
            .transpose()?;
        let compared = named.as_ref().map_or(Artifact::AsSigned, |named| {
            Artifact::Digests(&named.digests)
        });
        let mut rows = Vec::new();
        let mut is_good = !set.attestations.is_empty();
        for attestation in &set.attestations {
            let proof = attestation.archive.clone().unwrap_or_default();
            let proof: Proof = serde_json::from_value(proof).map_err(|_| broken("proof"))?;
            let path: Option<Vec<Hash>> = proof.path.iter().map(|text| to_hash(text)).collect();
            let place = Place {
                line: proof.leaf.as_bytes(),
                index: LeafIndex(proof.index),
                size: TreeSize(proof.size),
                path: &path.ok_or_else(|| broken("proof"))?,
                bundle: Some(attestation.bundle.as_slice()).filter(|bytes| !bytes.is_empty()),
            };
            let levels = scales.weigh(&place, &compared);
            is_good &= levels.archived.holds() && !matches!(levels.reverified, Level::Refused(_));
            rows.push((proof.index, levels));
        }
        self.report_levels(&judgement, &rows);
        Ok(if is_good { exit::OK } else { exit::SIGNATURE })
    }

    fn report_levels(&self, judgement: &Judgement, rows: &[(u64, Levels)]) {
        if self.json {
            let row = |(index, levels): &(u64, Levels)| {
                json!({
                    "leaf": index,
                    "archived": level(&levels.archived),
                    "reverified": level(&levels.reverified),
                    "independent": level(&levels.independent),
                })
            };
            let mut facts = past(judgement);
            facts["schema"] = json!("stella.archive-verify/v1");
            facts["attestations"] = rows.iter().map(row).collect();
            terminal::say_json(&facts);
            return;
        }
        say_past(judgement);
        for (index, levels) in rows {
            terminal::say(&format!("  leaf {index}"));
            if let Level::Holds(archived) = &levels.archived {
                terminal::say(&format!("    archived {}", existed(&archived.existence)));
            }
            for (name, told) in [
                ("L0 archived", level(&levels.archived)),
                ("L1 verified again", level(&levels.reverified)),
                ("L2 independent", level(&levels.independent)),
            ] {
                let because = told["because"]
                    .as_str()
                    .map(|because| format!(": {}", escape(because)));
                let result = told["result"].as_str().unwrap_or_default();
                terminal::say(&format!(
                    "    {name:<18} {result}{}",
                    because.unwrap_or_default()
                ));
            }
        }
    }
}

/// Tells about the past.
fn say_past(judgement: &Judgement) {
    let Some(newest) = judgement.newest() else {
        return;
    };
    let manifest = &newest.manifest;
    terminal::say(&format!(
        "good: {} {}, statement {} of a tree of {} leaves",
        escape(&manifest.origin),
        escape(&manifest.period.name),
        manifest.sequence,
        manifest.tree.size
    ));
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
    terminal::say(&format!("  {}", existed(&newest.existence)));
}

fn existed(existence: &Existence) -> String {
    match existence {
        Existence::At { time, authority } => format!("by {time}, as {} says", escape(authority)),
        Existence::Undated => "at a time that no clock vouches for any longer".to_owned(),
    }
}

fn past(judgement: &Judgement) -> Value {
    let newest = judgement.newest();
    let signatures = judgement.signatures.iter().map(|each| {
        json!({
            "keyId": hex::encode(each.key.key_id),
            "role": each.key.role,
            "counts": each.counts == Counts::Yes,
        })
    });
    let time = newest.and_then(|each| match &each.existence {
        Existence::At { time, authority } => {
            Some(json!({"time": time.to_string(), "authority": authority}))
        }
        Existence::Undated => None,
    });
    json!({
        "manifest": newest.map(|each| &each.manifest),
        "signatures": signatures.collect::<Vec<_>>(),
        "existed": time,
    })
}

fn level<T>(level: &Level<T>) -> Value {
    match level {
        Level::Holds(_) => json!({"result": "holds"}),
        Level::Refused(refusal) => json!({"result": "refused", "because": refusal.to_string()}),
        Level::Unknown(missing) => json!({"result": "unknown", "because": missing.to_string()}),
    }
}

fn to_hash(text: &str) -> Option<Hash> {
    Hash::try_from(decode_base64(text)?.as_slice()).ok()
}

/// Reads an exported set; none where the file is something else.
fn read_set(path: &Path) -> Result<Option<AttestationSet>, Failure> {
    use std::io::Read as _;
    let mut first = [0; 1];
    let begun = fs::File::open(path).and_then(|mut file| file.read(&mut first));
    begun.map_err(|error| Failure::io("read", path, &error))?;
    if first != *b"{" {
        return Ok(None);
    }
    let bytes = file::read(path, MAX_BUNDLE).map_err(|error| Failure::io("read", path, &error))?;
    let set = AttestationSet::parse(&bytes);
    set.map(Some)
        .map_err(|error| Failure::new(exit::SIGNATURE, format!("{}: {error}", path.display())))
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
