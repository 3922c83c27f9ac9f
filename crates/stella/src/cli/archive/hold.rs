//! `stella archive hold`: what retention must not let go.

use clap::Subcommand;
use serde_json::json;
use stella_archive::retention::{Hold, Scope};
use stella_attest::archive::retention::Retention;
use stella_bundle::identity::escape;

use super::ceremony::{self, now};
use super::place::failure;
use super::prune::OrgFlags;
use crate::artifact::Artifact;
use crate::exit::{self, Failure};
use crate::terminal;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Set(SetArgs),
    Release(ReleaseArgs),
    List(ListArgs),
}

/// Hold attestations: what a hold names, and the period it lies in, is not let go until the hold is released
///
/// It is in force at once; the next `stella archive run` or `renew` archives it, signed with the statement. A case may be set again to
/// name more.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella archive hold set --case 2027-CV-11 --reason 'Doe v. Example' --artifact app.tar.gz
  stella archive hold set --case audit-2027 --reason 'yearly audit' --period 2025-11 --period 2025-12
  stella archive hold set --case incident-7 --reason 'stolen token' --signer github.com/org/app")]
pub(crate) struct SetArgs {
    /// The name of the case
    #[arg(long, value_name = "NAME")]
    case: String,

    /// Why, for those who read it in twenty years
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Hold what speaks of this artifact, or is it: a file, or a digest
    #[arg(long, value_name = "ARTIFACT")]
    artifact: Vec<String>,

    /// Hold this period
    #[arg(long, value_name = "NAME")]
    period: Vec<String>,

    /// Hold what was signed by whoever has this in its name, or in its issuer's
    #[arg(long, value_name = "TEXT")]
    signer: Vec<String>,

    /// Hold everything
    #[arg(long)]
    everything: bool,

    #[command(flatten)]
    org: OrgFlags,
}

/// Release a hold
///
/// What nothing else holds may be let go from then on, by `stella archive run --prune` or `renew --prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella archive hold release --case 2027-CV-11 --reason 'settled'")]
pub(crate) struct ReleaseArgs {
    /// The name of the case
    #[arg(long, value_name = "NAME")]
    case: String,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,

    #[command(flatten)]
    org: OrgFlags,
}

/// List the holds in force: those of the archives, and those of the folder of keysets that are not archived yet
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    org: OrgFlags,
}

pub(crate) async fn run(command: &Command) -> Result<u8, Failure> {
    match command {
        Command::List(args) => list(&args.org).await,
        Command::Release(args) => {
            let hold = Hold::new(&args.case, None, &args.reason, now());
            add(&args.org, &hold).await
        }
        Command::Set(args) => {
            let hold = Hold::new(&args.case, Some(args.scope()?), &args.reason, now());
            add(&args.org, &hold).await
        }
    }
}

impl SetArgs {
    fn scope(&self) -> Result<Scope, Failure> {
        let mut artifacts = Vec::new();
        for text in &self.artifact {
            // Attestations speak of it by one digest or another.
            let digests = Artifact::read(text)?.digests;
            artifacts.extend(digests.iter().map(ToString::to_string));
        }
        let scope = Scope {
            everything: self.everything,
            artifacts,
            periods: self.period.clone(),
            signers: self.signer.clone(),
        };
        match scope.is_empty() {
            false => Ok(scope),
            true => Err(Failure::usage(
                "a hold is about something: --artifact, --period, --signer or --everything",
            )),
        }
    }
}

async fn add(org: &OrgFlags, hold: &Hold) -> Result<u8, Failure> {
    // What cannot be read back would stop every run.
    Hold::parse(&hold.to_bytes())
        .map_err(|_| Failure::usage("a hold's case and reason have 1 to 4096 bytes each"))?;
    let (keysets, storage) = org.open()?;
    let retention = Retention::read(&storage, &keysets, now()).await;
    let in_force = retention.map_err(failure)?.holds().clone();
    keysets
        .add_hold(in_force, hold)
        .map_err(ceremony::failure)?;
    let what = hold.scope.as_ref().map_or("released", |_| "set");
    if org.json {
        terminal::say_json(
            &json!({"schema": "stella.archive-hold/v1", "action": what, "hold": hold}),
        );
        return Ok(exit::OK);
    }
    terminal::say(&format!(
        "hold {} {what}, in force from now on",
        escape(&hold.case)
    ));
    terminal::tell("note: the next `stella archive run` or `renew` archives this");
    Ok(exit::OK)
}

async fn list(org: &OrgFlags) -> Result<u8, Failure> {
    let (keysets, storage) = org.open()?;
    let retention = Retention::read(&storage, &keysets, now()).await;
    let retention = retention.map_err(failure)?;
    let holds = retention.holds();
    if org.json {
        let rows = holds
            .cases()
            .map(|(case, scopes)| json!({"case": case, "scopes": scopes}));
        terminal::say_json(
            &json!({"schema": "stella.archive-holds/v1", "holds": rows.collect::<Vec<_>>()}),
        );
        return Ok(exit::OK);
    }
    for (case, scopes) in holds.cases() {
        for scope in scopes {
            terminal::say(&format!("{}: {}", escape(case), spoken(scope)));
        }
    }
    if holds.cases().next().is_none() {
        terminal::tell("no hold is in force");
    }
    Ok(exit::OK)
}

/// Says what a hold is about.
fn spoken(scope: &Scope) -> String {
    if scope.everything {
        return "everything".to_owned();
    }
    let named = |what: &str, list: &[String]| {
        let list: Vec<_> = list
            .iter()
            .map(|each| format!("{what} {}", escape(each)))
            .collect();
        list
    };
    let parts = [
        named("artifact", &scope.artifacts),
        named("period", &scope.periods),
        named("signer", &scope.signers),
    ];
    parts.concat().join(", ")
}
