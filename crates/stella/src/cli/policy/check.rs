//! `stella policy check`: is this a policy, and does it say what its author means?

use std::path::PathBuf;

use serde_json::{Value, json};
use stella_policy::{file, lint};

use crate::cli::gate;
use crate::exit::{self, Failure};
use crate::terminal;

/// Check a policy file, give advice, and print what it means
///
/// A policy with advice still is a policy: the exit code is 0. What cannot be read ends with 2.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The policy file
    #[arg(value_name = "FILE")]
    policy: PathBuf,

    /// Print JSON: the policy as it was understood, and the advice
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let policy = match gate::read_policy(&args.policy) {
        Err(failure) if args.json => {
            let error = crate::output::json::error(&failure);
            terminal::say_json(&json!({"policy": null, "advice": [], "errors": [error]}));
            return Ok(failure.code);
        }
        other => other?,
    };
    let advice = lint::advice(&policy);
    if args.json {
        let advice: Vec<Value> = advice.iter().map(|each| json!(each.to_string())).collect();
        let policy = file::to_value(&policy);
        terminal::say_json(&json!({"policy": policy, "advice": advice, "errors": []}));
        return Ok(exit::OK);
    }
    terminal::say(file::to_yaml(&policy).trim_end());
    for each in &advice {
        terminal::tell(&format!("advice: {each}"));
    }
    Ok(exit::OK)
}
