//! `stella key list`: the keys of a device.

use serde_json::json;
use stella_bundle::identity::escape;

use crate::exit::{self, Failure};
use crate::key::PassphraseFlags;
use crate::terminal;

/// List the keys of a device
///
/// Without a PIN only what devices show to everyone is seen.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella key list --key 'pkcs11:?module-path=/usr/lib/softhsm/libsofthsm2.so'")]
pub(crate) struct Args {
    /// A pkcs11: URI; what it says narrows the list
    #[arg(long, short, value_name = "URI", default_value = "pkcs11:")]
    key: String,

    #[command(flatten)]
    passphrase: PassphraseFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let keys = args.passphrase.list(&args.key)?;
    if args.json {
        let rows: Vec<_> = keys
            .iter()
            .map(|key| json!({"token": key.token, "serial": key.serial, "object": key.object, "id": key.id, "kind": key.kind}))
            .collect();
        terminal::say_json(&json!({ "keys": rows }));
        return Ok(exit::OK);
    }
    for key in &keys {
        terminal::say(&format!(
            "pkcs11:token={};object={};id={}  {}",
            encode(&key.token),
            encode(&key.object),
            percent(&key.id),
            escape(&key.kind)
        ));
    }
    if keys.is_empty() {
        terminal::tell("no keys");
    }
    Ok(exit::OK)
}

/// Writes a label as a URI has it (RFC 7512 §2.3).
fn encode(label: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    label.bytes().map(byte).collect()
}

/// Writes hex as `%HH`.
fn percent(hex: &str) -> String {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| format!("%{}", String::from_utf8_lossy(pair)))
        .collect()
}
