//! `stella signing-config check`: what is wrong or unwise in a signing config.

use std::path::PathBuf;

use serde_json::json;
use stella_bundle::identity::escape;
use stella_bundle::signing_config::lint::{self, Finding};
use stella_bundle::trusted_root::lint::Severity;

use super::now;
use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust;

/// List what is wrong or unwise in a signing config
///
/// Errors are what keeps everybody from signing by it; warnings are what keeps some client from it, or what is missing
/// for some use. The exit code is 2 when there is an error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: stella signing-config check signing_config.json")]
pub(crate) struct Args {
    /// A signing config or client trust config
    file: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let source = args.file.display();
    let findings = lint::lint(&trust::read_bounded(&args.file)?, now())
        .map_err(|error| Failure::usage(format!("cannot check {source}: {error}")))?;
    let count = |severity| {
        let of_severity = |each: &&Finding| each.severity() == severity;
        findings.iter().filter(of_severity).count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if args.json {
        terminal::say_json(&json!({
            "source": source.to_string(),
            "errors": errors,
            "warnings": warnings,
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
        terminal::say(&format!("{source}: {errors} errors, {warnings} warnings"));
    }
    Ok(if errors > 0 { exit::USAGE } else { exit::OK })
}
