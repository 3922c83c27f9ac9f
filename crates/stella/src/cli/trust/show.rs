//! `stella trust show`: whom the recorded choice believes, or whom a file would.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use stella_bundle::identity::escape;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::inventory::{self, Entry, EntryState};
use stella_bundle::tuf::Timestamp;
use stella_bundle::verify::TrustPart;

use super::update::nothing_recorded;
use super::{entry_json, now};
use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust::{Folder, Metadata, Pin, Record, TrustMaterial};

const DAY: Duration = Duration::from_secs(86_400);

/// Show whom the recorded choice believes, or whom a file would
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella trust show
  stella trust show trusted_root.json --json")]
pub(crate) struct Args {
    /// A trusted root or client trust config; without it, the recorded choice
    file: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let folder = Folder::usual();
    let view = match &args.file {
        Some(path) => View::of_file(TrustMaterial::read(path)?),
        None => View::of_record(&folder)?,
    };
    if args.json {
        terminal::say_json(&view.json());
    } else {
        view.print();
    }
    Ok(exit::OK)
}

/// All that is shown.
struct View {
    material: TrustMaterial,
    entries: Vec<Entry>,
    record: Option<Record>,
    pin: Option<Pin>,
    metadata: Option<Metadata>,
    now: UnixTime,
}

impl View {
    fn of_file(material: TrustMaterial) -> Self {
        Self {
            entries: inventory::list(&material.root),
            material,
            record: None,
            pin: None,
            metadata: None,
            now: now(),
        }
    }

    fn of_record(folder: &Folder) -> Result<Self, Failure> {
        let record = folder.record()?.ok_or_else(nothing_recorded)?;
        let metadata = folder.metadata(&record)?;
        let view = Self::of_file(folder.chosen(&record)?);
        Ok(Self {
            pin: folder.pin()?,
            metadata,
            record: Some(record),
            ..view
        })
    }

    /// Returns how long ago the choice was recorded, in days.
    fn age(&self) -> Option<u64> {
        let recorded = UnixTime::parse_rfc3339(&self.record.as_ref()?.recorded)?;
        Some(self.now.since(recorded).as_secs() / DAY.as_secs())
    }

    fn is_pinned(&self) -> bool {
        let digest = self.material.digest().to_string();
        self.pin.as_ref().is_some_and(|pin| pin.digest == digest)
    }

    fn json(&self) -> Value {
        let list = |part: TrustPart| {
            let of_part = self.entries.iter().filter(|each| each.place.part == part);
            of_part.map(|each| self.row(each)).collect::<Vec<_>>()
        };
        let metadata = self.metadata.as_ref().map(|metadata| {
            json!({
                "rootVersion": metadata.root.version(),
                "rootExpires": metadata.root.expires().to_string(),
                "timestampVersion": metadata.timestamp.as_ref().map(Timestamp::version),
                "timestampExpires": metadata.timestamp.as_ref().map(|each| each.expires().to_string()),
            })
        });
        json!({
            "kind": self.material.kind.name(),
            "source": self.record.as_ref().map_or(&self.material.source, |record| &record.source),
            "digest": self.material.digest().to_string(),
            "recorded": self.record.as_ref().map(|record| &record.recorded),
            "ageDays": self.age(),
            "pin": self.pin.as_ref().map(|pin| &pin.digest),
            "pinned": self.is_pinned(),
            "tuf": metadata,
            "certificateAuthorities": list(TrustPart::CertificateAuthorities),
            "timestampAuthorities": list(TrustPart::TimestampAuthorities),
            "logs": list(TrustPart::Tlogs),
            "ctLogs": list(TrustPart::Ctlogs),
        })
    }

    fn row(&self, entry: &Entry) -> Value {
        let mut row = entry_json(entry);
        row["validity"] = json!(entry.window());
        row["state"] = json!(entry.state(self.now).name());
        row["reason"] = json!(entry.unusable.as_ref().map(ToString::to_string));
        row
    }

    fn print(&self) {
        let material = &self.material;
        terminal::say(&format!("trusted root {}", material.digest()));
        terminal::say(&format!("{} {}", material.kind.name(), material.source));
        if let Some(days) = self.age() {
            terminal::say(&format!("recorded {days} days ago"));
        }
        match &self.pin {
            Some(_) if self.is_pinned() => terminal::say("pinned"),
            Some(pin) => terminal::say(&format!(
                "not usable: another one is pinned, {}",
                pin.digest
            )),
            None => {}
        }
        if let Some(metadata) = &self.metadata {
            self.print_metadata(metadata);
        }
        for (part, name) in [
            (TrustPart::CertificateAuthorities, "certificate authorities"),
            (TrustPart::TimestampAuthorities, "timestamp authorities"),
            (TrustPart::Tlogs, "logs"),
            (TrustPart::Ctlogs, "CT logs"),
        ] {
            terminal::say(name);
            for entry in self.entries.iter().filter(|each| each.place.part == part) {
                self.print_entry(entry);
            }
        }
    }

    fn print_metadata(&self, metadata: &Metadata) {
        let until = |expires: UnixTime| {
            let word = if expires <= self.now {
                "ended"
            } else {
                "good until"
            };
            format!("{word} {expires}")
        };
        let root = &metadata.root;
        terminal::say(&format!(
            "TUF root version {}, {}",
            root.version(),
            until(root.expires())
        ));
        if let Some(timestamp) = &metadata.timestamp {
            terminal::say(&format!(
                "TUF timestamp version {}, {}",
                timestamp.version(),
                until(timestamp.expires())
            ));
        }
    }

    fn print_entry(&self, entry: &Entry) {
        let state = entry.state(self.now);
        // Addresses come from the file, which may be a stranger's.
        let url = escape(&entry.url);
        terminal::say(&format!(
            "  {url}  {}  {}  {}",
            entry.window(),
            state.name(),
            entry.fingerprint
        ));
        if let (EntryState::Unusable, Some(reason)) = (state, &entry.unusable) {
            terminal::say(&format!("    {reason}"));
        }
    }
}
