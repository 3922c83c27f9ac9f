//! `stella identity`: tokens of the local instance's own issuer, shaped like those of a CI system.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use stella_server::{DEFAULT_AUDIENCE, DEFAULT_SUBJECT, TokenRequest};

use crate::exit::{self, Failure};
use crate::local::Local;
use crate::{places, terminal};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a token of the local instance's issuer, good for five minutes
    Token(Args),
}

/// Print a token of the local instance's issuer, good for five minutes
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: export STELLAOPS_OIDC_TOKEN=$(stella identity token --dir ./sigstore)"
)]
pub(crate) struct Args {
    /// The instance's directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Who the token speaks of; the instance's issuer.json lists who may be named
    #[arg(long, value_name = "SUBJECT", default_value = DEFAULT_SUBJECT)]
    subject: String,

    /// Who will accept the token
    #[arg(long, value_name = "AUDIENCE", default_value = DEFAULT_AUDIENCE)]
    audience: String,

    /// Set a further claim
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: Command) -> Result<u8, Failure> {
    let Command::Token(args) = command;
    let mut claims = Vec::with_capacity(args.claims.len());
    for claim in &args.claims {
        let (name, value) = claim
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--claim {claim:?} is not NAME=VALUE")))?;
        claims.push((name.to_owned(), value.to_owned()));
    }
    let subject = (args.subject != DEFAULT_SUBJECT).then_some(args.subject);
    let request = TokenRequest {
        audience: args.audience,
        subject,
        claims,
    };
    let local = Local::connect(&places::instance(args.dir)).await?;
    let token = local.token(&request).await?;
    if args.json {
        terminal::say_json(&json!({"issuer": local.url(), "token": token.as_str()}));
    } else {
        terminal::say(&token);
    }
    local.close();
    Ok(exit::OK)
}
