//! `stella log fsck`: the instance's logs, looked at from the disk.

use std::path::PathBuf;

use crate::exit::{self, Failure};
use crate::{places, terminal};

/// Read every entry, tile and checkpoint again and recompute what they commit to
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The instance's directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<u8, Failure> {
    let directory = places::instance(args.dir);
    let reports = stella_server::fsck_instance(&directory).map_err(crate::local::open_failure)?;
    let is_clean = reports.iter().all(|report| report.problems.is_empty());
    if args.json {
        terminal::say_json(&serde_json::json!({
            "clean": is_clean,
            "logs": reports.iter().map(|report| serde_json::json!({
                "log": report.log,
                "entries": report.size,
                "problems": report.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        }));
    } else {
        for report in &reports {
            terminal::say(&format!(
                "{}: {} entries, {} problems",
                report.log,
                report.size,
                report.problems.len()
            ));
            for problem in &report.problems {
                terminal::say(&format!("  {problem}"));
            }
        }
    }
    Ok(if is_clean { exit::OK } else { exit::LOG })
}
