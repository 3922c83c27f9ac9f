//! `stella logout`: forget what `stella login`, `docker login` or `podman login` kept for a registry.

use std::path::PathBuf;

use serde_json::json;
use stella_client::registry::credentials::Credentials;

use super::login::registry;
use crate::exit::{self, Failure};
use crate::{places, terminal};

/// Forget the password of a registry
///
/// It is erased from the file to which `stella login` writes, or by the credential helper that this file names.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The registry: HOST or HOST:PORT
    #[arg(
        value_name = "REGISTRY",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    registry: Option<String>,

    /// Forget every registry of the file
    #[arg(long)]
    all: bool,

    /// Erase from this file
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<u8, Failure> {
    let credentials = places::credentials(args.authfile);
    let named = match &args.registry {
        Some(name) => vec![registry(name)?],
        None => credentials.registries()?,
    };
    let file = credentials.written()?;
    let mut erased = Vec::new();
    for registry in &named {
        if credentials.erase(registry)?.was_there {
            erased.push(registry.as_str());
        }
    }
    let kept = remaining(&credentials, &named);
    if args.json {
        terminal::say_json(&json!({"file": file, "erased": erased, "elsewhere": kept}));
    } else if erased.is_empty() {
        let file = file.display();
        terminal::say(&match args.registry {
            Some(_) => format!("{file} has no password for {}", named.join(", ")),
            None => format!("{file} has no passwords"),
        });
    }
    for registry in erased.iter().filter(|_| !args.json) {
        terminal::say(&format!(
            "the password for {registry} is erased from {}",
            file.display()
        ));
    }
    for path in kept {
        terminal::tell(&format!(
            "note: {} still holds one, which is used now: stella logout REGISTRY --authfile {0}",
            path.display()
        ));
    }
    Ok(exit::OK)
}

/// Lists the other files that still have a password for one of these registries.
fn remaining(credentials: &Credentials, registries: &[String]) -> Vec<PathBuf> {
    let paths = registries
        .iter()
        .flat_map(|each| credentials.elsewhere(each));
    let mut paths: Vec<PathBuf> = paths.map(PathBuf::from).collect();
    paths.sort();
    paths.dedup();
    paths
}
