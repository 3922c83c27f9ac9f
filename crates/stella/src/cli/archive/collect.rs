//! `stella archive collect`: one machine's share of collecting and verifying.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::rc::Rc;
use std::thread;

use serde_json::json;
use stella_attest::archive::share::{self, Collection, Share};

use super::ceremony::now;
use super::period::PeriodFlags;
use super::place::{self, failure};
use super::sources::SourceFlags;
use crate::cli::Context;
use crate::cli::attest::signing::reach;
use crate::cli::attest::table::Place;
use crate::cli::mirror::place::Purpose;
use crate::exit::{self, Failure};
use crate::registry::RegistryFlags;
use crate::terminal;

/// Collect and verify a share of a period's attestations, for `stella archive run --shares` on another machine
///
/// Every machine reads the same sources, or sources of its own, and takes the attestations whose digest falls into its share. What it
/// found is published in a place that all can reach; whoever seals takes all shares, compares every digest, verifies one of a
/// hundred again, and believes the rest: who may write to that place speaks for the organisation. Only verifying takes long, and it is spread.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella archive collect --share 1/2 --month 2026-11 --image registry.example/app:v1 --output registry.example/org/shares
  stella archive collect --share 2/2 --month 2026-11 --image registry.example/app:v1 --output registry.example/org/shares
  stella archive run --month 2026-11 --shares registry.example/org/shares --of 2 --key … --pq-key …")]
pub(crate) struct Args {
    /// Which share of how many, such as 3/8
    #[arg(long, value_name = "N/M", value_parser = parse_share)]
    share: Share,

    #[command(flatten)]
    period: PeriodFlags,

    #[command(flatten)]
    sources: SourceFlags,

    /// Where shares are: an OCI layout's folder, or a repository
    #[arg(long, short, value_name = "PLACE", default_value = "shares")]
    output: String,

    /// A folder for what is not finished
    #[arg(long, value_name = "DIR", default_value = "archive.work")]
    work: PathBuf,

    /// Threads that verify
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    registry: RegistryFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    let (period, rule) = (args.period.period()?, args.sources.rule()?);
    let gone = Rc::default();
    let (incoming, load) = args.sources.incoming(&args.registry, &gone).await?;
    let (table, _) = reach(&args.place, None, context).await?;
    let usual = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let collection = Collection {
        share: args.share,
        period: &period,
        trusted_root: &table.material.root_bytes,
        policy: &rule.policy,
        policy_digest: rule.digest,
        storage: place::storage(&args.output, Purpose::Write, &args.registry)?,
        work: &args.work,
        threads: args.threads.unwrap_or(usual),
        now: &now,
        done: &|count| terminal::show(&format!("verified: {count}{}", load.left())),
    };
    let collected = share::collect(&collection, incoming).await;
    terminal::clear();
    let collected = collected.map_err(failure)?;
    let gone = gone.borrow();
    if args.json {
        terminal::say_json(&json!({
            "schema": "stella.archive-collect/v1",
            "place": args.output,
            "name": collected.name,
            "verified": collected.verified,
            "rejected": collected.rejected,
            "raw": collected.raw,
            "unreadable": *gone,
        }));
    } else {
        terminal::say(&format!(
            "{}: {} attestations verified, {} refused, {} bytes, in {}",
            collected.name, collected.verified, collected.rejected, collected.raw, args.output
        ));
        for each in gone.iter() {
            terminal::say(&format!("  missing: {each}"));
        }
    }
    // What is refused is told by whoever seals; what could not be read is known here alone.
    Ok(if gone.is_empty() {
        exit::OK
    } else {
        exit::SIGNATURE
    })
}

fn parse_share(text: &str) -> Result<Share, String> {
    let numbers = text.split_once('/');
    let numbers = numbers.and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
    let share = numbers.and_then(|(number, of)| Share::new(number, of));
    share.ok_or_else(|| "expected which share of how many, such as 3/8; 1000 at most".to_owned())
}
