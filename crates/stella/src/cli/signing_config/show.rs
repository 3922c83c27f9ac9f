//! `stella signing-config show`: the services of a signing config, and which of them sign now.

use std::path::PathBuf;

use serde_json::{Value, json};
use stella_bundle::identity::escape;
use stella_bundle::signing_config::selection::{ChoiceError, ServiceKind};
use stella_bundle::signing_config::{Service, SigningConfig};
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::TimeRange;

use super::{now, read};
use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust::{self, Folder};

/// Show the services of a signing config, and which of them sign now
///
/// Chosen is what the format's rules choose: of the newest API version that is valid now one service of each operator,
/// then as many as the selection says.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella signing-config show
  stella signing-config show signing_config.json --json")]
pub(crate) struct Args {
    /// A signing config or client trust config; without it, that of the recorded choice
    file: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let (config, source) = match &args.file {
        Some(path) => (read(path)?, path.display().to_string()),
        None => recorded()?,
    };
    let now = now();
    let lists = ServiceKind::ALL.map(|kind| List::new(&config, kind, now));
    if args.json {
        let mut shown = json!({"source": source});
        for list in &lists {
            shown[list.kind.field()] = list.json(now);
        }
        terminal::say_json(&shown);
    } else {
        terminal::say(&format!("signing config of {}", escape(&source)));
        for list in &lists {
            list.print(now);
        }
    }
    Ok(exit::OK)
}

fn recorded() -> Result<(SigningConfig, String), Failure> {
    let material = trust::require_chosen(Folder::usual().recorded()?)?;
    let source = material.source;
    match material.signing {
        Some(config) => Ok((config, source)),
        None => Err(Failure::usage(format!("{source} names no services to sign with"))
            .hint("record a client trust config, or a folder with signing_config.json: `stella trust use DIR`")),
    }
}

/// The services of one kind.
struct List<'a> {
    kind: ServiceKind,
    how_many: String,
    services: &'a [Service],
    chosen: Result<Vec<&'a Service>, ChoiceError>,
    /// Why stella cannot sign with what others choose.
    not_here: Option<ChoiceError>,
}

impl<'a> List<'a> {
    fn new(config: &'a SigningConfig, kind: ServiceKind, now: UnixTime) -> Self {
        let chosen = config.choose(kind, kind.known(), now);
        let here = config.choose(kind, kind.spoken(), now);
        Self {
            kind,
            how_many: config.how_many(kind).to_string(),
            services: config.services(kind),
            not_here: chosen.as_ref().ok().and(here.err()),
            chosen,
        }
    }

    fn is_chosen(&self, service: &Service) -> bool {
        let mut chosen = self.chosen.iter().flatten();
        chosen.any(|each| std::ptr::eq(*each, service))
    }

    fn problem(&self) -> Option<String> {
        // A kind of which nothing is offered is no problem of choosing.
        if self.services.is_empty() {
            return None;
        }
        match (&self.chosen, &self.not_here) {
            (Err(error), _) => Some(error.to_string()),
            (Ok(_), Some(error)) => Some(format!("not for stella: {error}")),
            (Ok(_), None) => None,
        }
    }

    fn json(&self, now: UnixTime) -> Value {
        let row = |service: &Service| {
            let range = service.valid_for.clone().unwrap_or_default();
            json!({
                "url": service.url,
                "apiVersion": service.major_api_version,
                "operator": service.operator,
                "start": range.start,
                "end": range.end,
                "state": service.state(now).name(),
                "chosen": self.is_chosen(service),
            })
        };
        json!({
            "selection": self.how_many,
            "services": self.services.iter().map(row).collect::<Vec<_>>(),
            "problem": self.problem(),
        })
    }

    fn print(&self, now: UnixTime) {
        let (field, how_many) = (self.kind.field(), &self.how_many);
        if self.services.is_empty() {
            terminal::say(&format!("{field}: none"));
            return;
        }
        terminal::say(&format!("{field}: {how_many}"));
        let rows: Vec<Vec<String>> = self
            .services
            .iter()
            .map(|each| self.row(each, now))
            .collect();
        for line in aligned(&rows) {
            terminal::say(&format!("  {line}"));
        }
        if let Some(problem) = self.problem() {
            terminal::say(&format!("    {problem}"));
        }
    }

    fn row(&self, service: &Service, now: UnixTime) -> Vec<String> {
        let mark = if self.is_chosen(service) { "*" } else { " " };
        // Addresses and names come from the file, which may be a stranger's.
        vec![
            mark.to_owned(),
            escape(&service.url),
            format!("version {}", service.major_api_version),
            escape(named(&service.operator)),
            window(service),
            service.state(now).name().to_owned(),
        ]
    }
}

/// Returns rows as lines whose columns stand below each other.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate();
        let cells = cells.map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
        let cells: Vec<String> = cells.collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn named(operator: &str) -> &str {
    if operator.is_empty() {
        "no operator"
    } else {
        operator
    }
}

/// Returns the window in words.
fn window(service: &Service) -> String {
    match &service.valid_for {
        Some(range) => TimeRange::to_validity(range)
            .map_or_else(|| "without dates".to_owned(), |each| each.to_string()),
        None => "always".to_owned(),
    }
}
