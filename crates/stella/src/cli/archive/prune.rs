//! `stella archive prune`: what retention lets go.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use stella_attest::archive::retention::{Fate, LetGo, Outlook, Retention};
use stella_attest::keyset::KeysetFolder;
use stella_attest::storage::Storage;
use stella_bundle::identity::escape;

use super::ceremony::{self, now};
use super::place::{self, failure};
use super::run::lock;
use crate::cli::mirror::place::Purpose;
use crate::exit::{self, Failure};
use crate::registry::RegistryFlags;
use crate::terminal;

/// Show what retention keeps and holds, and let go what is recorded to go
///
/// The bytes of a period's attestations are due when its months are over (`stella archive run --keep-months`). They go in two steps: the
/// statement of a run or renewal with --prune records that they go, signed by the organisation; then they go, at once or by this
/// command with --apply. Leaves, proofs, statements and keysets stay for ever. Nothing goes that a hold keeps, and nothing at all while a
/// hold cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella archive prune                   what would become of every period
  stella archive prune --apply           let go what a statement has recorded
  stella archive renew --prune --key … --pq-key …   record what is due, and let it go")]
pub(crate) struct Args {
    /// Let go what is recorded to go; without it nothing is changed
    #[arg(long)]
    apply: bool,

    /// Months for which the bytes are kept at least, besides what their period's statement says
    #[arg(long, value_name = "N", default_value_t = 24)]
    keep_months: u32,

    #[command(flatten)]
    org: OrgFlags,
}

/// Whose archives, and where.
#[derive(Debug, clap::Args)]
pub(super) struct OrgFlags {
    /// The folder with the keysets
    #[arg(long, value_name = "DIR", default_value = "org")]
    keysets: PathBuf,

    /// Where archives are: an OCI layout's folder, or a repository
    #[arg(long, short, value_name = "PLACE", default_value = "archive")]
    output: String,

    #[command(flatten)]
    registry: RegistryFlags,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl OrgFlags {
    /// Returns the place of archives.
    pub(super) fn output(&self) -> &str {
        &self.output
    }

    pub(super) fn open(&self) -> Result<(KeysetFolder, Arc<dyn Storage>), Failure> {
        let keysets = KeysetFolder::read(&self.keysets).map_err(ceremony::failure)?;
        let storage = place::storage(&self.output, Purpose::Write, &self.registry)?;
        Ok((keysets, storage))
    }
}

pub(crate) async fn run(args: &Args) -> Result<u8, Failure> {
    let _lock = lock(&args.org.output)?;
    let (keysets, storage) = args.org.open()?;
    let retention = Retention::read(&storage, &keysets, now()).await;
    let retention = retention.map_err(failure)?;
    let gone = match args.apply {
        true => retention.let_go(&storage).await.map_err(failure)?,
        false => LetGo::default(),
    };
    let outlook = retention.outlook(args.keep_months, now()).await;
    let mut outlook = outlook.map_err(failure)?;
    for each in &mut outlook {
        if gone.periods.contains(&each.period) {
            (each.fate, each.size) = (Fate::Gone, 0);
        }
    }
    if args.org.json {
        let rows: Vec<_> = outlook.iter().map(row).collect();
        terminal::say_json(
            &json!({"schema": "stella.archive-prune/v1", "letGo": gone.periods, "notRemoved": gone.left, "periods": rows}),
        );
        return Ok(exit::OK);
    }
    for each in &outlook {
        let (period, count) = (escape(&each.period), each.attestations);
        terminal::say(&format!(
            "{period:<16} {count:>10} attestations {:>14} bytes  {}",
            each.size,
            spoken(&each.fate)
        ));
    }
    say_left(&gone);
    let is = |fate: &Fate| outlook.iter().any(|each| each.fate == *fate);
    if is(&Fate::Due) {
        terminal::tell(
            "hint: `stella archive renew --prune`, or the next run with --prune, lets go what is due",
        );
    }
    if is(&Fate::Recorded) {
        terminal::tell("hint: --apply lets go what is recorded");
    }
    Ok(exit::OK)
}

/// Says what a registry does not remove when it is asked.
pub(super) fn say_left(gone: &LetGo) {
    for digest in &gone.left {
        terminal::tell(&format!(
            "warning: the registry does not remove {digest}, which has no name any longer; its operator collects it with its blobs, such as by `registry garbage-collect --delete-untagged`"
        ));
    }
}

fn spoken(fate: &Fate) -> String {
    match fate {
        Fate::Kept(until) => format!("kept until {until}"),
        Fate::Held(cases) => {
            let cases: Vec<_> = cases.iter().map(|case| escape(case)).collect();
            format!("due, held by {}", cases.join(", "))
        }
        Fate::Due => "due".to_owned(),
        Fate::Recorded => "recorded to go".to_owned(),
        Fate::Gone => "let go".to_owned(),
        Fate::Absent => "not in this place".to_owned(),
    }
}

fn row(each: &Outlook) -> Value {
    let (word, until, held) = match &each.fate {
        Fate::Kept(until) => ("kept", Some(until.to_string()), None),
        Fate::Held(cases) => ("held", None, Some(cases)),
        Fate::Due => ("due", None, None),
        Fate::Recorded => ("recorded", None, None),
        Fate::Gone => ("gone", None, None),
        Fate::Absent => ("absent", None, None),
    };
    json!({
        "period": each.period,
        "attestations": each.attestations,
        "size": each.size,
        "fate": word,
        "until": until,
        "heldBy": held,
    })
}
