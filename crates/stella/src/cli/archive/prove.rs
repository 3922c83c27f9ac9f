//! `stella archive prove`: that an archive only grew.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stella_archive::growth::{Growth, GrowthError, GrowthFile, MAX_GROWTH};
use stella_archive::history::{self, History, JudgedStatement};
use stella_archive::levels::read_roots;
use stella_attest::archive::prove::{self, Start};
use stella_attest::file;
use stella_bundle::identity::escape;
use stella_tlog::checkpoint::Checkpoint;

use super::believed::{KnownFlags, read_anchor};
use super::place::{self, failure};
use crate::cli::mirror::place::Purpose;
use crate::exit::{self, Failure};
use crate::output;
use crate::registry::RegistryFlags;
use crate::terminal;

/// Bytes of a checkpoint: three lines.
const MAX_CHECKPOINT: usize = 4096;

/// Prove that an archive only grew: that the tree of one period is the beginning of that of a later one
///
/// Statements name their predecessors, but that nothing was changed in the tree itself is then the organisation's word. The
/// proof (RFC 6962) takes it from the hashes in the archives between. Whoever kept the three lines of a checkpoint.txt needs
/// nothing else to notice that a place was rolled back or shows another past (--checkpoint).
///
/// With --output the proof is a file that others check by the anchor alone, without the archives (--check).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella archive prove archive --from 2026-10 --to 2026-12 --anchor org.anchor --output grown.json
  stella archive prove registry.example/org/archive --checkpoint october/checkpoint.txt --anchor org.anchor
  stella archive prove --check grown.json --anchor org.anchor --checkpoint october/checkpoint.txt")]
pub(crate) struct Args {
    /// Where archives are: an OCI layout's folder or tar file, or a repository
    #[arg(default_value = "archive", conflicts_with = "check")]
    archive: String,

    #[command(flatten)]
    registry: RegistryFlags,

    /// The older period; by default the first
    #[arg(long, value_name = "NAME", conflicts_with_all = ["check", "checkpoint"])]
    from: Option<String>,

    /// The newer period; by default the newest
    #[arg(long, value_name = "NAME", conflicts_with = "check")]
    to: Option<String>,

    /// A checkpoint.txt that you kept: the proof must begin with its tree
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,

    /// The organisation's anchor, or one public key of it: both trees must be its own
    #[arg(long, visible_alias = "org-key", value_name = "FILE")]
    anchor: Option<PathBuf>,

    #[command(flatten)]
    known: KnownFlags,

    /// Check this proof, which --output wrote; no archive is read
    #[arg(long, value_name = "FILE", requires = "anchor")]
    check: Option<PathBuf>,

    /// Write the proof to this file
    #[arg(long, short, value_name = "FILE", conflicts_with = "check")]
    output: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args) -> Result<u8, Failure> {
    let kept = args
        .checkpoint
        .as_deref()
        .map(read_checkpoint)
        .transpose()?;
    // 1. The proof: of a file, or made anew.
    let (growth, history, roots) = match &args.check {
        Some(path) => read_proof(path, kept.as_ref())?,
        None => {
            let start = match (kept, &args.from) {
                (Some(kept), _) => Start::Kept(kept),
                (None, Some(name)) => Start::Period(name.clone()),
                (None, None) => Start::First,
            };
            let storage = place::storage(&args.archive, Purpose::Read, &args.registry)?;
            let proved = prove::prove(&storage, &start, args.to.as_deref()).await;
            let proved = proved.map_err(failure)?;
            (proved.growth, proved.history, proved.roots)
        }
    };
    growth.verify().map_err(refused)?;

    // 2. Both trees are the organisation's, as far as that is asked.
    let judgement = match &args.anchor {
        None => None,
        Some(path) => {
            let (anchor, known) = (read_anchor(path)?, args.known.falls());
            let judged = history::judge(&history, &anchor, &known, None, args.known.now());
            Some(judged.map_err(|error| failure(error.into()))?)
        }
    };
    let statements = judgement.as_ref().map(|judged| growth.statements(judged));
    let statements = statements.transpose().map_err(refused)?;
    args.report(&growth, statements);
    if let Some(path) = &args.output {
        let file = GrowthFile::new(&growth, history, roots).to_bytes();
        fs::write(path, file).map_err(|error| Failure::io("write", path, &error))?;
    }
    Ok(exit::OK)
}

fn read_checkpoint(path: &Path) -> Result<Checkpoint, Failure> {
    let bytes =
        file::read(path, MAX_CHECKPOINT).map_err(|error| Failure::io("read", path, &error))?;
    let text = String::from_utf8_lossy(&bytes);
    Checkpoint::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Reads the file of a proof, which must begin with what was kept.
fn read_proof(
    path: &Path,
    kept: Option<&Checkpoint>,
) -> Result<(Growth, History, Vec<Vec<u8>>), Failure> {
    let bytes = file::read(path, MAX_GROWTH).map_err(|error| Failure::io("read", path, &error))?;
    let (growth, mut history, roots) = GrowthFile::read(&bytes).map_err(refused)?;
    if let Some(kept) = kept.filter(|kept| **kept != growth.from) {
        return Err(Failure::new(
            exit::SIGNATURE,
            format!(
                "expected a proof that begins with the tree of {} leaves that was kept, found one of {} leaves and the root {}",
                kept.size, growth.from.size, growth.from.root
            ),
        )
        .hint("ask for a proof from your checkpoint: stella archive prove PLACE --checkpoint FILE --output PROOF"));
    }
    let read = read_roots(&roots);
    history.roots = read.into_iter().map(|(_, root)| root).collect();
    Ok((growth, history, roots))
}

fn refused(error: GrowthError) -> Failure {
    failure(error.into())
}

impl Args {
    fn report(&self, growth: &Growth, statements: Option<[&JudgedStatement; 2]>) {
        let (from, to) = (&growth.from, &growth.to);
        let [older, newer] = statements.map_or([None, None], |each| each.map(Some));
        if self.json {
            terminal::say_json(&json!({
                "schema": "stella.archive-growth/v1",
                "origin": escape(&from.origin),
                "from": tree(from, older),
                "to": tree(to, newer),
                "path": growth.path.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "judged": statements.is_some(),
            }));
            return;
        }
        terminal::say(&format!(
            "good: {} only grew, from {} leaves to {}",
            escape(&from.origin),
            from.size,
            to.size
        ));
        for each in [older, newer].into_iter().flatten() {
            terminal::say(&format!(
                "  {:<16} statement {}, {}",
                escape(&each.manifest.period.name),
                each.manifest.sequence,
                each.existence
            ));
        }
        if statements.is_none() {
            terminal::say("  whose trees these are was not asked: give --anchor");
        }
    }
}

/// Returns a tree for programs, and what its statement says.
fn tree(checkpoint: &Checkpoint, statement: Option<&JudgedStatement>) -> Value {
    let mut told = json!({
        "size": checkpoint.size.0,
        "root": checkpoint.root.to_string(),
    });
    if let Some(statement) = statement {
        told["period"] = json!(escape(&statement.manifest.period.name));
        told["sequence"] = json!(statement.manifest.sequence);
        told["existed"] = json!(output::json::existence(&statement.existence));
    }
    told
}
