//! `stella key public`, also spelled `stella public-key`.

use std::path::PathBuf;

use serde_json::json;

use crate::exit::{self, Failure};
use crate::key::PassphraseFlags;
use crate::terminal;

/// Write the public half of a key, as PEM
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: stella key public --key stella.key > stella.pub")]
pub(crate) struct Args {
    /// The key: a path, file:PATH, env:VARIABLE, a pkcs11: URI, or one in a service, as `sign-blob --help` names them
    #[arg(long, short, value_name = "KEY")]
    key: String,

    #[command(flatten)]
    passphrase: PassphraseFlags,

    /// Write to this file instead of standard output
    #[arg(long, visible_alias = "outfile", value_name = "FILE")]
    output: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let public = &args.passphrase.public(&args.key)?;
    let pem = public.to_pem();
    if let Some(path) = &args.output {
        super::write_new(path, pem.as_bytes(), 0o644)?;
    } else if !args.json {
        terminal::say_bytes(pem.as_bytes());
    }
    if args.json {
        let kind = super::kind(public);
        let id = hex::encode(public.key_id());
        terminal::say_json(&json!({"kind": kind, "keyId": id, "publicKey": pem}));
    }
    Ok(exit::OK)
}
