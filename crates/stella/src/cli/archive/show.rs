//! `stella archive show`: what one archive says of itself.

use serde_json::{Value, json};
use stella_archive::statement::Manifest;
use stella_attest::archive::Archive;
use stella_bundle::identity::escape;
use stella_bundle::key::sha256;

use super::place::{PlaceFlags, failure};
use crate::exit::{self, Failure};
use crate::terminal;

/// Show what an archive says of itself: its period, how much it holds, how it was verified, who signed, what logs lacked
///
/// This is what its statement says; `stella archive verify` says whether that is true.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella archive show archive
  stella archive show registry.example/org/archive --period 2026-11 --json")]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args) -> Result<u8, Failure> {
    let (archive, _) = args.place.open_with_newest().await?;
    let (history, roots) = archive.history().await.map_err(failure)?;
    let last = history.statements.last();
    let manifest = last.and_then(|document| document.to_manifest().ok());
    let manifest = manifest.ok_or_else(|| {
        Failure::new(
            exit::SIGNATURE,
            "the archive has no statement that can be read",
        )
        .hint("bring the archive again from where it was made")
    })?;
    let published = published(&archive, &manifest, &roots).await?;
    if args.json {
        let files = archive.files();
        let files = files.map(|(name, size)| json!({"name": name, "size": size}));
        terminal::say_json(&json!({
            "schema": "stella.archive-show/v1",
            "period": archive.name,
            "manifest": manifest,
            "published": published.iter().map(Published::facts).collect::<Vec<_>>(),
            "files": files.collect::<Vec<_>>(),
        }));
        return Ok(exit::OK);
    }
    say(&archive, &manifest, &published);
    Ok(exit::OK)
}

/// A trusted root that a TUF repository published.
struct Published {
    /// SHA-256 of the trusted root.
    trusted_root: [u8; 32],
    /// SHA-256 of the repository's root.
    root: [u8; 32],
    version: u64,
}

impl Published {
    fn facts(&self) -> Value {
        json!({
            "trustedRoot": hex::encode(self.trusted_root),
            "repositoryRoot": hex::encode(self.root),
            "version": self.version,
        })
    }
}

/// Finds out which of the trusted roots a repository published at the end of the period.
async fn published(
    archive: &Archive,
    manifest: &Manifest,
    roots: &[Vec<u8>],
) -> Result<Vec<Published>, Failure> {
    let mut published = Vec::new();
    for profile in &manifest.profiles {
        let digest = profile.trusted_root;
        let metadata = archive.tuf_metadata(&digest).await.map_err(failure)?;
        let bytes = roots.iter().find(|bytes| sha256(bytes) == digest);
        let Some((metadata, bytes)) = metadata.zip(bytes) else {
            continue;
        };
        if let Ok(root) = metadata.publisher_of(bytes, manifest.period.end) {
            published.push(Published {
                trusted_root: digest,
                root: sha256(root.bytes()),
                version: root.version(),
            });
        }
    }
    Ok(published)
}

fn say(archive: &Archive, manifest: &Manifest, published: &[Published]) {
    let line = |text: String| terminal::say(&text);
    let (period, counts) = (&manifest.period, manifest.counts);
    line(format!(
        "{} {}, statement {}",
        escape(&manifest.origin),
        escape(&period.name),
        manifest.sequence
    ));
    line(format!("  from {} until {}", period.start, period.end));
    line(format!(
        "  {} attestations verified, {} refused, {} records",
        counts.verified, counts.rejected, counts.records
    ));
    line(format!(
        "  leaves {} to {} of a tree of {}, root {}",
        manifest.range.start,
        manifest.range.end,
        manifest.tree.size,
        hex::encode(manifest.tree.root)
    ));
    for each in &manifest.profiles {
        let policy = each.policy.map_or_else(
            || "whoever signed".to_owned(),
            |digest| format!("policy sha256:{}", hex::encode(digest.0)),
        );
        line(format!(
            "  verified by {}, trusted root sha256:{}, {policy}",
            escape(&each.verifier),
            hex::encode(each.trusted_root)
        ));
    }
    for each in published {
        line(format!(
            "  trusted root sha256:{} was published by the TUF repository whose root has version {}, sha256:{}",
            hex::encode(&each.trusted_root[..8]),
            each.version,
            hex::encode(each.root)
        ));
    }
    for each in &manifest.coverage {
        line(format!(
            "  log {}: of entries {} to {}, {} archived, {} missing",
            escape(&each.log),
            each.from,
            each.to,
            each.archived,
            each.missing
        ));
    }
    for signer in &manifest.signers {
        line(format!(
            "  signed by {}, keyset {}",
            hex::encode(&signer.0[..8]),
            manifest.keyset.version
        ));
    }
    line(format!(
        "  stamped by {}, bytes kept for {} months",
        authorities(manifest.require.timestamps),
        manifest.retention.months
    ));
    let size: u64 = archive.files().map(|(_, size)| size).sum();
    line(format!("  {} files, {size} bytes", archive.files().count()));
}

fn authorities(count: u64) -> String {
    match count {
        1 => "1 authority".to_owned(),
        many => format!("{many} authorities"),
    }
}
