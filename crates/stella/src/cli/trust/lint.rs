//! `stella trust lint`: what is wrong or unwise in a trusted root.

use std::path::PathBuf;

use serde_json::json;
use stella_bundle::identity::escape;
use stella_bundle::trusted_root::lint::{self, Finding, Severity};

use super::now;
use super::update::nothing_recorded;
use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust::{self, Folder};

/// List what is wrong or unwise in a trusted root
///
/// Errors are what breaks verification; warnings are what other clients refuse, or what is missing for some use. The exit
/// code is 2 when there is an error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: stella trust lint trusted_root.json")]
pub(crate) struct Args {
    /// A trusted root or client trust config; without it, the recorded one
    file: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let (bytes, source) = match &args.file {
        Some(path) => (trust::read_bounded(path)?, path.display().to_string()),
        None => {
            let folder = Folder::usual();
            let record = folder.record()?.ok_or_else(nothing_recorded)?;
            let material = folder.chosen(&record)?;
            (material.root_bytes, material.source)
        }
    };
    let findings = lint::lint(&bytes, now())
        .map_err(|error| Failure::usage(format!("cannot lint {source}: {error}")))?;
    if args.json {
        terminal::say_json(&json!({
            "source": source,
            "errors": count(&findings, Severity::Error),
            "warnings": count(&findings, Severity::Warning),
            "findings": findings.iter().map(|each| json!({
                "severity": each.severity().name(),
                "name": each.name(),
                "message": each.to_string(),
            })).collect::<Vec<_>>(),
        }));
    } else {
        for each in &findings {
            // Names and texts come from the file, which may be a stranger's.
            terminal::say(&escape(&format!("{}: {each}", each.severity())));
        }
        terminal::say(&format!(
            "{source}: {} errors, {} warnings",
            count(&findings, Severity::Error),
            count(&findings, Severity::Warning)
        ));
    }
    if count(&findings, Severity::Error) > 0 {
        return Ok(exit::USAGE);
    }
    Ok(exit::OK)
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings
        .iter()
        .filter(|each| each.severity() == severity)
        .count()
}
