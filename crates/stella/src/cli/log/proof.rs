//! `stella log proof`: that an entry is in the log, or that the log only grew, as files that others verify without us.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stella_attest::file;
use stella_bundle::entry::LogEntry;
use stella_bundle::json::encode_base64;
use stella_client::Head;
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::hash::{self, Hash};
use stella_tlog::note::Note;
use stella_tlog::tlog_proof::TlogProof;
use stella_tlog::tree::{LeafIndex, TreeSize};
use stella_tlog::witness::AddCheckpoint;

use super::receipt::MAX_RECEIPT;
use super::search::{LogFlags, Open, entries_of};
use crate::cli::Context;
use crate::exit::{self, Failure};
use crate::terminal;

/// Write the proof that an entry is in the log, or that the log only grew
///
/// The proof of an entry is written in the form c2sp.org/tlog-proof: of FILE, which holds it already (nobody is asked), or
/// made anew under what the log signed last. With --from the proof is that the log of today begins with the log of then, in
/// the form in which witnesses are asked (c2sp.org/tlog-witness); with --to too, of two sizes, with their roots.
///
/// What is made anew is verified before it is written. What FILE holds leads to its checkpoint; whether to believe who
/// signed that is for `stella verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella log proof app.sigstore.json --output app.tlog-proof
  stella log proof --index 42 --include-entry
  stella log proof --from 1000")]
pub(crate) struct Args {
    /// A bundle, or what `stella log upload` wrote
    #[arg(value_name = "FILE", required_unless_present_any = ["index", "from"], conflicts_with_all = ["index", "from"])]
    file: Option<PathBuf>,

    /// The entry with this index
    #[arg(
        long,
        visible_alias = "log-index",
        value_name = "N",
        conflicts_with = "from"
    )]
    index: Option<u64>,

    /// The log when it had so many entries
    #[arg(long, value_name = "N")]
    from: Option<u64>,

    /// The log when it had so many entries, instead of now
    #[arg(long, value_name = "M", requires = "from")]
    to: Option<u64>,

    /// Put the entry into the proof, as extra data
    #[arg(long, conflicts_with = "from")]
    include_entry: bool,

    /// Write to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    log: LogFlags,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<u8, Failure> {
    let written = match (&args.file, args.index, args.from) {
        (Some(path), ..) => of_file(path, &args)?,
        (None, Some(index), _) => of_entry(context, &args, LeafIndex(index)).await?,
        (None, None, Some(from)) => of_growth(context, &args, TreeSize(from)).await?,
        // The arguments ask for one of them.
        (None, None, None) => return Err(Failure::usage("FILE, --index or --from is needed")),
    };
    let text = match args.log.is_json() {
        true => format!("{:#}\n", written.facts),
        false => written.text,
    };
    match &args.output {
        Some(path) => {
            fs::write(path, text).map_err(|error| Failure::io("write", path, &error))?;
        }
        None => terminal::say_bytes(text.as_bytes()),
    }
    Ok(exit::OK)
}

/// A proof, for both kinds of readers.
struct Written {
    text: String,
    facts: Value,
}

/// Takes the proof out of a file.
fn of_file(path: &Path, args: &Args) -> Result<Written, Failure> {
    let refuse = |problem: &str| Failure::usage(format!("{}: {problem}", path.display()));
    let bytes = file::read(path, MAX_RECEIPT).map_err(|error| refuse(&error.to_string()))?;
    let entries = entries_of(&bytes)
        .ok_or_else(|| refuse("expected what `stella log upload` wrote, or a bundle"))?;
    let [entry, others @ ..] = entries.as_slice() else {
        return Err(missing(path));
    };
    if !others.is_empty() {
        terminal::tell(&format!(
            "note: the proof of {}, the first of {} logs",
            super::origin(entry),
            entries.len()
        ));
    }
    let bad = |problem: String| {
        Failure::new(exit::LOG, format!("{}: {problem}", path.display())).page("log-proof")
    };
    let proof = proof_in(entry).ok_or_else(|| missing(path))?;
    let proof = proof.map_err(|error| bad(error.to_string()))?;
    let checkpoint = proof.checkpoint_of(&hash::leaf(&entry.canonicalized_body));
    let checkpoint = checkpoint.map_err(|error| bad(error.to_string()))?;
    Ok(inclusion(
        proof,
        &checkpoint,
        &entry.canonicalized_body,
        args,
    ))
}

fn missing(path: &Path) -> Failure {
    let message = format!("{} holds no inclusion proof of a log", path.display());
    Failure::new(exit::LOG, message)
        .hint("make one: stella log proof --index N")
        .page("rekor-proof-missing")
}

/// Reads the proof of an entry; none where there is none.
fn proof_in(entry: &LogEntry) -> Option<Result<TlogProof, Box<dyn std::error::Error>>> {
    let proof = entry.proof_with_checkpoint()?;
    let read = || {
        let hash = |bytes: &Vec<u8>| <[u8; Hash::SIZE]>::try_from(bytes.as_slice());
        let hashes = proof
            .hashes
            .iter()
            .map(|bytes| hash(bytes).map(Hash::from_bytes));
        Ok(TlogProof {
            extra: None,
            index: LeafIndex(u64::try_from(super::index(entry))?),
            hashes: hashes.collect::<Result<_, _>>()?,
            note: Note::parse(&proof.checkpoint.envelope)?,
        })
    };
    Some(read())
}

/// Makes the proof of an entry anew.
async fn of_entry(context: &Context, args: &Args, index: LeafIndex) -> Result<Written, Failure> {
    let open = args.log.open(context).await?;
    let Open { table, rekor, head } = &open;
    let transport = table.transport.as_ref();
    let proved = rekor
        .prove_inclusion(transport, &head.checkpoint, index)
        .await?;
    table.clear();
    let proved = proved.ok_or_else(|| open.no_entry(index.0))?;
    let proof = TlogProof {
        extra: None,
        index,
        hashes: proved.hashes,
        note: head.note.clone(),
    };
    Ok(inclusion(proof, &head.checkpoint, &proved.entry, args))
}

fn inclusion(mut proof: TlogProof, checkpoint: &Checkpoint, entry: &[u8], args: &Args) -> Written {
    proof.extra = args.include_entry.then(|| entry.to_vec());
    let facts = json!({
        "origin": checkpoint.origin,
        "index": proof.index.0,
        "treeSize": checkpoint.size.0,
        "rootHash": checkpoint.root.to_string(),
        "hashes": texts(&proof.hashes),
        "checkpoint": proof.note.to_string(),
        "entry": args.include_entry.then(|| encode_base64(entry)),
    });
    let text = proof.to_string();
    Written { text, facts }
}

/// Makes the proof that the log only grew.
async fn of_growth(context: &Context, args: &Args, from: TreeSize) -> Result<Written, Failure> {
    let open = args.log.open(context).await?;
    let Open { table, rekor, head } = &open;
    let Head { note, checkpoint } = head;
    let to = args.to.map_or(checkpoint.size, TreeSize);
    let transport = table.transport.as_ref();
    let proved = rekor
        .prove_consistency(transport, checkpoint, from, to)
        .await?;
    table.clear();
    let proved = proved.ok_or_else(|| {
        let size = checkpoint.size;
        Failure::usage(format!(
            "expected --from N --to M with N ≤ M ≤ {size}, the log's size; found {from} and {to}"
        ))
    })?;
    let facts = json!({
        "origin": checkpoint.origin,
        "from": {"treeSize": from.0, "rootHash": proved.old_root.to_string()},
        "to": {"treeSize": to.0, "rootHash": proved.new_root.to_string()},
        "hashes": texts(&proved.hashes),
        "checkpoint": args.to.is_none().then(|| note.to_string()),
    });
    let text = match args.to {
        None => AddCheckpoint {
            old_size: from,
            proof: proved.hashes,
            note: note.clone(),
        }
        .to_string(),
        Some(_) => {
            let (old, new) = (proved.old_root, proved.new_root);
            let ends = [format!("from {from} {old}"), format!("to {to} {new}")];
            let lines = ends.into_iter().chain(texts(&proved.hashes));
            lines.map(|line| format!("{line}\n")).collect()
        }
    };
    Ok(Written { text, facts })
}

fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(ToString::to_string).collect()
}
