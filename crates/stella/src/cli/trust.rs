//! `stella trust`: say whom to believe, and see it.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;
use stella_bundle::chain::Authority;
use stella_bundle::digest::Digest;
use stella_bundle::time::Validity;
use stella_client::network::{Network, NetworkOptions};
use stella_server::{Clock as _, SystemClock};

use crate::exit::{self, Failure};
use crate::trust::{self, TrustKind, TrustMaterial};
use crate::{places, terminal};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record whom to believe from now on
    Use(UseArgs),
    /// Show whom the recorded choice believes
    Show(ShowArgs),
}

/// Record whom to believe from now on
///
/// A URL is that of an instance; off this machine it needs https and the fingerprint of its trusted root, told another
/// way. A file is a client trust config or a trusted root.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: stella trust use http://127.0.0.1:8470")]
pub(crate) struct UseArgs {
    /// The URL of an instance, or a file
    source: String,

    /// The digest that the trusted root must have: sha256:HEX
    #[arg(long, value_name = "DIGEST")]
    fingerprint: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show whom the recorded choice believes
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Use(args) => choose(args).await,
        Command::Show(args) => show(&args),
    }
}

async fn choose(args: UseArgs) -> Result<u8, Failure> {
    let fingerprint = match &args.fingerprint {
        Some(text) => Some(Digest::parse(text).ok_or_else(|| {
            Failure::usage(format!(
                "{text:?} is not a digest: expected sha256: and 64 hex digits in lower case"
            ))
        })?),
        None => None,
    };
    if args.source == "public" {
        return Err(trust::public_is_missing());
    }
    let kind = TrustKind::of_choice(&args.source);
    let material = if kind == TrustKind::Url {
        let network = Network::new(NetworkOptions::default());
        let fetched =
            stella_client::trust::fetch(&network, &args.source, fingerprint.as_ref()).await?;
        TrustMaterial::of_config(fetched.config, args.source.clone(), kind)
    } else {
        TrustMaterial::read(Path::new(&args.source))?
    };
    if let Some(expected) = fingerprint.filter(|expected| *expected != material.digest()) {
        return Err(Failure::usage(format!(
            "the trusted root has the digest {}, expected {expected}",
            material.digest()
        )));
    }
    let folder = places::trust();
    trust::remember(
        &folder,
        &material,
        &args.source,
        &SystemClock.now().to_string(),
    )?;
    if args.json {
        terminal::say_json(
            &json!({"source": args.source, "digest": material.digest().to_string()}),
        );
    } else {
        terminal::say(&format!("from now on {} is believed", args.source));
        terminal::say(&format!("trusted root {}", material.digest()));
    }
    Ok(exit::OK)
}

fn show(args: &ShowArgs) -> Result<u8, Failure> {
    let folder = places::trust();
    let Some(material) = trust::recorded(&folder)? else {
        return Err(Failure::usage("no trust root was chosen")
            .hint("record one with `stella trust use FILE | URL`"));
    };
    let trust = material.prepare();
    let authorities = |list: &[Authority]| -> Vec<_> {
        let row = |each: &Authority| (each.uri().to_owned(), each.validity().to_string());
        list.iter().map(row).collect()
    };
    let log = |url: &str, validity: Validity| (url.to_owned(), validity.to_string());
    let logs = trust
        .logs()
        .iter()
        .map(|each| log(&each.url, each.validity));
    let ct_logs = trust
        .ct_logs()
        .iter()
        .map(|each| log(&each.url, each.validity));
    let parts = [
        ("certificate authorities", authorities(trust.authorities())),
        (
            "timestamp authorities",
            authorities(trust.timestamp_authorities()),
        ),
        ("logs", logs.collect()),
        ("CT logs", ct_logs.collect()),
    ];
    if args.json {
        let list = |list: &[(String, String)]| {
            list.iter()
                .map(|(url, validity)| json!({"url": url, "validity": validity}))
                .collect::<Vec<_>>()
        };
        terminal::say_json(&json!({
            "source": material.source,
            "digest": material.digest().to_string(),
            "certificateAuthorities": list(&parts[0].1),
            "timestampAuthorities": list(&parts[1].1),
            "logs": list(&parts[2].1),
            "ctLogs": list(&parts[3].1),
            "unusable": trust.unusable().iter().map(|each| format!("{:?} {}: {}", each.part, each.index, each.reason)).collect::<Vec<_>>(),
        }));
        return Ok(exit::OK);
    }
    terminal::say(&format!(
        "trusted root {}\nfrom {}",
        material.digest(),
        material.source
    ));
    for (name, list) in &parts {
        terminal::say(name);
        for (url, validity) in list {
            terminal::say(&format!("  {url}  {validity}"));
        }
    }
    for each in trust.unusable() {
        terminal::say(&format!(
            "not used: {:?} {}: {}",
            each.part, each.index, each.reason
        ));
    }
    Ok(exit::OK)
}
