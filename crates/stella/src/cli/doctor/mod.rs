//! `stella doctor`: what signing and verifying need on this machine; for each thing what was found, and what to do next.
//!
//! Nothing is signed or written. No token, passphrase or PIN is asked for; a token that is here is read, and not shown.

mod machine;
mod services;
mod signing;
mod trusted;

use serde_json::{Value, json};
use stella_bundle::identity::escape;
use stella_server::{Clock as _, SystemClock};

use self::services::Asking;
use super::Context;
use crate::config::Flags;
use crate::exit::{self, Failure};
use crate::terminal;

/// The form of the report in JSON.
const SCHEMA: &str = "stella.doctor/v1";

/// Look whether signing and verifying can work on this machine, and say what to do next
///
/// Ends with 0 where nothing fails, else with the code in which signing would end. A warning is about something that not
/// everybody needs, or that will fail later. No key is used, and no token is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella doctor
  stella doctor --offline --json")]
pub(crate) struct Args {
    /// Ask nobody: no socket is opened
    #[arg(long)]
    offline: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
struct Finding {
    /// What, in one word.
    check: &'static str,
    outcome: Outcome,
    /// What was found.
    found: String,
    /// What to do next.
    next: Option<String>,
}

/// How it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Signing ends with this code.
    Failure(u8),
    /// As it should be.
    Good,
    /// Not looked at.
    Skipped,
    /// Not everybody needs it, or it fails later.
    Warning,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    let now = SystemClock.now();
    let asking = match args.offline {
        true => None,
        false => Some(Asking::new()?),
    };
    let mut findings = vec![machine::version()];
    // 1. The configuration, by which the rest is judged.
    let loaded = context.read(Flags::default());
    findings.extend(signing::configuration(&loaded));
    if let Ok(loaded) = &loaded {
        let keyless = &loaded.meant.keyless;
        // 2. The key, whom to believe, the services: in the order in which signing needs them.
        findings.extend(signing::key(&loaded.meant));
        let (material, looked) = trusted::look(keyless, now);
        findings.extend(looked);
        findings.extend(signing::instance(asking.as_ref()));
        let places = services::places(keyless, material.as_ref(), now);
        findings.extend(services::look(places, asking.as_ref()));
        findings.extend(signing::identity(loaded, now));
    }
    // 3. What lies about on the machine.
    findings.extend(machine::credentials());
    findings.push(machine::helper());
    findings.push(machine::store());

    let code = findings.iter().find_map(Finding::code).unwrap_or(exit::OK);
    if args.json {
        terminal::say_json(&report(&findings, args, code));
    } else {
        findings.iter().for_each(Finding::print);
        terminal::say(&sum(&findings));
    }
    Ok(code)
}

fn report(findings: &[Finding], args: &Args, code: u8) -> Value {
    let is_clean = !findings.iter().any(|each| each.outcome == Outcome::Warning);
    let result = match code {
        exit::OK if is_clean => Outcome::Good,
        exit::OK => Outcome::Warning,
        code => Outcome::Failure(code),
    };
    json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "offline": args.offline,
        "result": result.name(),
        "code": code,
        "checks": findings.iter().map(Finding::json).collect::<Vec<_>>(),
    })
}

fn sum(findings: &[Finding]) -> String {
    let count = |is: fn(Outcome) -> bool| findings.iter().filter(|each| is(each.outcome)).count();
    let failures = count(|outcome| matches!(outcome, Outcome::Failure(_)));
    let warnings = count(|outcome| outcome == Outcome::Warning);
    match (failures, warnings) {
        (0, 0) => "all is well".to_owned(),
        _ => format!("{failures} failed, {warnings} to think about"),
    }
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Failure(_) => "failure",
            Self::Good => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
        }
    }
}

impl Finding {
    fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            outcome: Outcome::Good,
            found: found.into(),
            next: None,
        }
    }

    fn skipped(check: &'static str, reason: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Skipped,
            ..Self::good(check, reason)
        }
    }

    fn warning(check: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Warning,
            next: Some(next.into()),
            ..Self::good(check, found)
        }
    }

    /// Says that signing ends so.
    fn failure(check: &'static str, failure: Failure) -> Self {
        Self {
            outcome: Outcome::Failure(failure.code),
            next: failure.hint.or_else(|| failure.page.map(page)),
            ..Self::good(check, failure.message)
        }
    }

    /// Says that this would end so, for those who need it.
    fn warning_of(check: &'static str, failure: Failure) -> Self {
        Self {
            outcome: Outcome::Warning,
            ..Self::failure(check, failure)
        }
    }

    /// Says how a thing is that was looked for.
    fn of(check: &'static str, looked: Result<String, Failure>) -> Self {
        match looked {
            Ok(found) => Self::good(check, found),
            Err(failure) => Self::failure(check, failure),
        }
    }

    const fn code(&self) -> Option<u8> {
        match self.outcome {
            Outcome::Failure(code) => Some(code),
            _ => None,
        }
    }

    fn json(&self) -> Value {
        json!({
            "check": self.check,
            "status": self.outcome.name(),
            "code": self.code(),
            "found": self.found,
            "next": self.next,
        })
    }

    fn print(&self) {
        let (word, check) = (self.outcome.name(), self.check);
        terminal::say(&format!("{word:<8} {check:<14} {}", escape(&self.found)));
        if let Some(next) = &self.next {
            terminal::say(&format!("{:24}next: {next}", ""));
        }
    }
}

fn page(name: &str) -> String {
    format!("see docs/errors/{name}.md")
}
