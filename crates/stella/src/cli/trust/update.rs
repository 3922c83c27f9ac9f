//! `stella trust update`: refresh the recorded choice from where it came, and say what is different.

use serde_json::{Value, json};
use stella_bundle::digest::Digest;
use stella_bundle::trusted_root::inventory::{self, Change, Entry};
use stella_client::trust::is_on_loopback;

use super::{digest, entry_json, now, print_changes, require_fingerprint, require_pinned};
use crate::exit::{self, Failure};
use crate::terminal;
use crate::trust::obtain::{self, Choice, Purpose};
use crate::trust::{Folder, Lock, Record, TrustMaterial};

/// Refresh the recorded choice from where it came
///
/// The public-good Sigstore and TUF repositories are walked over the network; files and folders are read again; an
/// instance is asked again, and off this machine a trusted root that changed is taken only by its fingerprint. Nothing is
/// written when nothing changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: stella trust update --json")]
pub(crate) struct Args {
    /// The digest that the trusted root must have: sha256:HEX
    #[arg(long, value_name = "DIGEST")]
    fingerprint: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args) -> Result<u8, Failure> {
    let fingerprint = args.fingerprint.as_deref().map(digest).transpose()?;
    let lock = Folder::usual().lock()?;
    let Some(record) = lock.folder().record()? else {
        return Err(nothing_recorded());
    };
    // 1. The old one and the new one.
    let old = lock.folder().chosen(&record)?;
    let choice = Choice::of_record(&record);
    let new = obtain::obtain(&choice, Purpose::Compare, &lock, now()).await?;
    let update = Update {
        changes: inventory::differences(&old.root, &new.root),
        is_root_new: old.digest() != new.digest(),
        is_signing_new: old.signing != new.signing,
        record: &record,
        new: &new,
    };
    // 2. Whether it may be believed.
    let allowed = require_fingerprint(&new, fingerprint.as_ref())
        .and_then(|()| require_pinned(&lock, &new))
        .and_then(|()| {
            if is_told(&lock, fingerprint.as_ref())? {
                return Ok(());
            }
            require_no_news(&choice, &new.digest(), update.is_new())
        });
    if let Err(failure) = allowed {
        update.print(args.json, "refused");
        return Err(failure);
    }
    // 3. Keep it.
    if !update.is_new() {
        update.print(args.json, "unchanged");
        return Ok(exit::OK);
    }
    lock.remember(&new, &record.source, &now().to_string())?;
    update.print(args.json, "updated");
    Ok(exit::OK)
}

/// Refuses to go on without a record.
pub(super) fn nothing_recorded() -> Failure {
    Failure::usage("no trust root was chosen")
        .hint("record one with `stella trust use public | FILE | URL`")
}

/// What is different.
struct Update<'a> {
    changes: Vec<(Change, Entry)>,
    is_root_new: bool,
    is_signing_new: bool,
    record: &'a Record,
    new: &'a TrustMaterial,
}

impl Update<'_> {
    const fn is_new(&self) -> bool {
        self.is_root_new || self.is_signing_new
    }

    fn print(&self, as_json: bool, result: &str) {
        if as_json {
            terminal::say_json(&self.json(result));
            return;
        }
        print_changes(&self.changes);
        if self.is_root_new && self.changes.is_empty() {
            terminal::say("the trusted root is written differently, with the same keys");
        }
        if self.is_signing_new {
            terminal::say("changed: the services to sign with");
        }
        terminal::say(&format!(
            "{}: {result}\ntrusted root {}",
            self.record.source,
            self.new.digest()
        ));
    }

    fn json(&self, result: &str) -> Value {
        let change = |(change, entry): &(Change, Entry)| {
            let mut row = entry_json(entry);
            row["change"] = json!(change.name());
            row
        };
        json!({
            "result": result,
            "kind": self.record.kind.name(),
            "source": self.record.source,
            "before": self.record.digest,
            "digest": self.new.digest().to_string(),
            "changes": self.changes.iter().map(change).collect::<Vec<_>>(),
            "signingConfigChanged": self.is_signing_new,
        })
    }
}

/// Says whether somebody named the one trusted root that may come.
fn is_told(lock: &Lock, fingerprint: Option<&Digest>) -> Result<bool, Failure> {
    Ok(fingerprint.is_some() || lock.folder().pin()?.is_some())
}

/// Refuses what an address off this machine answers, when it is new and nobody told its digest.
fn require_no_news(choice: &Choice, found: &Digest, is_new: bool) -> Result<(), Failure> {
    let Choice::Url(address) = choice else {
        return Ok(());
    };
    if !is_new || is_on_loopback(address)? {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{address} answers with another trust configuration, which nobody vouched for"
    ))
    .hint(format!(
        "compare the digest with what its operator tells you another way, then give --fingerprint {found}"
    )))
}

#[cfg(test)]
mod tests {
    use stella_bundle::digest::DigestAlgorithm;

    use super::*;

    #[test]
    fn news_from_off_this_machine_need_somebody_who_vouches_for_them() {
        let found = DigestAlgorithm::Sha256.digest(b"new");
        let refused = |choice: Choice, is_new| {
            require_no_news(&choice, &found, is_new)
                .err()
                .and_then(|failure| failure.hint)
        };
        let elsewhere = || Choice::Url("https://sigstore.example".to_owned());
        let hint = refused(elsewhere(), true).unwrap_or_default();
        assert!(hint.ends_with(&format!("--fingerprint {found}")), "{hint}");
        assert_eq!(refused(elsewhere(), false), None);
        assert_eq!(
            refused(Choice::Url("http://[::1]:8470".to_owned()), true),
            None
        );
        assert_eq!(refused(Choice::File("root.json".into()), true), None);
    }
}
