//! Whom a verifier of archives believes, and what it knows itself to have fallen.

use std::fs;
use std::path::Path;

use stella_archive::anchor::{Anchor, MAX_ANCHOR};
use stella_archive::fall::{ALGORITHMS, Falls};
use stella_attest::file;
use stella_bundle::certificate::Certificate;
use stella_bundle::key::PublicKey;
use stella_bundle::pem;
use stella_bundle::time::UnixTime;

use super::ceremony;
use crate::exit::Failure;

/// What a verifier knows by itself.
#[derive(Debug, clap::Args)]
pub(super) struct KnownFlags {
    /// An algorithm that you do not believe from a day on, such as P-256=2035-01-01T00:00:00Z
    #[arg(long, value_name = "NAME=TIME", value_parser = parse_sunset)]
    sunset: Vec<(String, UnixTime)>,

    /// Judge as at this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<UnixTime>,

    /// A key that others may have since some time: SHA-256 of its SubjectPublicKeyInfo in hex, or the file of its public half or
    /// certificate in PEM, such as fulcio.pem=2031-05-01T00:00:00Z
    #[arg(long, value_name = "KEY=TIME", value_parser = parse_compromised)]
    compromised: Vec<([u8; 32], UnixTime)>,
}

impl KnownFlags {
    /// Returns what is known to have fallen.
    pub(super) fn falls(&self) -> Falls {
        let mut known = Falls::default();
        for (name, on) in &self.sunset {
            known.add_algorithm(name, *on);
        }
        for (key, since) in &self.compromised {
            known.add_key(*key, *since);
        }
        known
    }

    /// Returns the time as at which is judged.
    pub(super) fn now(&self) -> UnixTime {
        self.at.unwrap_or_else(ceremony::now)
    }
}

/// Reads an organisation's anchor, or one public key of it.
pub(in crate::cli) fn read_anchor(path: &Path) -> Result<Anchor, Failure> {
    let bytes = file::read(path, MAX_ANCHOR).map_err(|error| Failure::io("read", path, &error))?;
    let text = String::from_utf8_lossy(&bytes);
    Anchor::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn parse_sunset(text: &str) -> Result<(String, UnixTime), String> {
    let wrong = || format!("expected NAME=TIME, NAME one of {}", ALGORITHMS.join(", "));
    let (name, time) = text.split_once('=').ok_or_else(wrong)?;
    let is_known = ALGORITHMS.contains(&name);
    is_known.then_some(()).ok_or_else(wrong)?;
    Ok((name.to_owned(), parse_time(time)?))
}

fn parse_time(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse_rfc3339(text)
        .ok_or_else(|| "expected a time such as 2035-01-01T00:00:00Z".to_owned())
}

/// Reads a key and since when others may have it.
fn parse_compromised(text: &str) -> Result<([u8; 32], UnixTime), String> {
    let wrong = || "expected KEY=TIME, KEY as 64 hex digits or a PEM file".to_owned();
    let (key, time) = text.rsplit_once('=').ok_or_else(wrong)?;
    let time = parse_time(time)?;
    let mut id = [0; 32];
    if key.len() == 64 && hex::decode_to_slice(key, &mut id).is_ok() {
        return Ok((id, time));
    }
    let pem_text = fs::read_to_string(key).map_err(|error| format!("{key}: {error}"))?;
    let blocks = pem::decode_all(&pem_text).map_err(|error| format!("{key}: {error}"))?;
    let block = blocks.first().ok_or_else(wrong)?;
    let found = match block.label.as_str() {
        "CERTIFICATE" => Certificate::parse(&block.der)
            .ok()
            .map(|each| each.public_key().clone()),
        _ => PublicKey::from_pem(&pem_text).ok(),
    };
    found.map(|key| (key.key_id(), time)).ok_or_else(wrong)
}
