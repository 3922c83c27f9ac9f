//! What every ceremony needs: the folder, the keys that sign, a reason, and clocks.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use stella_archive::keyset::{Action, Keyset};
use stella_attest::keyset::{self as ceremonies, CeremonyError, KeysetFolder};
use stella_attest::session::{Services, Session};
use stella_bundle::certificate::Certificate;
use stella_bundle::key::sha256;
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{SctRule, Trust};
use stella_client::network::Network;
use stella_keys::OrgKey;
use stella_server::{Clock as _, SystemClock};
use stella_wire::transport::Transport;

use crate::cli::Context;
use crate::cli::attest::nonce;
use crate::cli::attest::signing::reach;
use crate::cli::attest::table::{Place, Table};
use crate::exit::{self, Failure};
use crate::key::{For, PassphraseFlags};
use crate::terminal;

/// So long before a key's end it is spoken of.
const SOON: Duration = Duration::from_secs(180 * 86_400);

/// How keys are opened, and who says when they signed.
#[derive(Debug, clap::Args)]
pub(crate) struct SealFlags {
    #[command(flatten)]
    passphrase: PassphraseFlags,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    clocks: ClockFlags,
}

impl SealFlags {
    /// Opens a key for statements of the organisation.
    pub(super) fn open(&self, reference: &str) -> Result<OrgKey, Failure> {
        let signer = self.passphrase.open(reference, For::ItselfAlone)?;
        Ok(OrgKey::new(signer))
    }

    /// Returns how keys are opened.
    pub(super) const fn passphrase(&self) -> &PassphraseFlags {
        &self.passphrase
    }

    /// Reaches the authorities that stamp.
    pub(super) async fn clocks(&self, context: &Context) -> Result<Clocks, Failure> {
        self.clocks.reach(&self.place, context).await
    }
}

/// What every ceremony needs.
#[derive(Debug, clap::Args)]
pub(crate) struct CeremonyFlags {
    /// The folder with the keysets
    #[arg(long, value_name = "DIR", default_value = "org")]
    pub(super) keysets: PathBuf,

    /// Why, for those who read it in twenty years
    #[arg(long, value_name = "TEXT")]
    reason: String,

    #[command(flatten)]
    pub(super) clocks: SealFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Whether someone says when it was.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ClockFlags {
    /// Have no timestamp authority say when this was: an anchor reaches no further than the keys of its time last
    #[arg(long)]
    insecure_no_timestamp: bool,
}

/// The keys that sign an event.
#[derive(Debug, clap::Args)]
pub(crate) struct SignerFlags {
    /// A key that signs the event; as many as the keyset's threshold asks for
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<String>,
}

/// Who says when it was.
pub(in crate::cli) struct Clocks {
    /// None where no authority stamps.
    pub(super) table: Option<Table>,
    nobody: Network,
    services: Services,
    trust: Trust,
}

impl Clocks {
    /// Returns the trusted root that knows the authorities.
    pub(in crate::cli) fn root(&self) -> Option<&[u8]> {
        self.table
            .as_ref()
            .map(|table| &table.material.root_bytes[..])
    }

    /// Returns the names by which a keyset pins the authorities: SHA-256 of each chain's topmost certificate.
    pub(super) fn pins(&self) -> Vec<[u8; 32]> {
        let Some(table) = &self.table else {
            return Vec::new();
        };
        let authorities = table.material.root.timestamp_authorities.iter();
        let top = authorities.filter_map(|each| each.cert_chain.certificates.last());
        let readable = top.filter(|each| Certificate::parse(&each.raw_bytes).is_ok());
        let mut pins: Vec<_> = readable.map(|each| sha256(&each.raw_bytes)).collect();
        pins.sort_unstable();
        pins.dedup();
        pins
    }

    /// Returns the sitting for an event: it is stamped.
    pub(in crate::cli) fn session(&self) -> Session<'_> {
        let mut session = self.session_with_logs();
        session.services.logs.clear();
        session
    }

    /// Returns the sitting for a statement: it is stamped and logged.
    pub(super) fn session_with_logs(&self) -> Session<'_> {
        let transport: &dyn Transport = match &self.table {
            Some(table) => table.transport.as_ref(),
            None => &self.nobody,
        };
        Session {
            transport,
            services: self.services.clone(),
            trust: &self.trust,
            sct: SctRule::Require,
            root_bundle: None,
            now: &|| SystemClock.now(),
            nonce: &nonce,
            done: &|step| tracing::debug!(?step, "done"),
        }
    }
}

impl ClockFlags {
    /// Reaches the authorities that stamp.
    pub(in crate::cli) async fn reach(
        &self,
        place: &Place,
        context: &Context,
    ) -> Result<Clocks, Failure> {
        if self.insecure_no_timestamp {
            return Ok(Clocks {
                table: None,
                nobody: Network::default(),
                services: Services::default(),
                trust: Trust::default(),
            });
        }
        let (table, services) = reach(place, None, context).await?;
        let timestamp_authorities = services.timestamp_authorities;
        if timestamp_authorities.is_empty() {
            return Err(Failure::usage("no timestamp authority is named by the signing config")
                .hint("a statement without a time proves no age: name an authority, or say --insecure-no-timestamp"));
        }
        if timestamp_authorities.len() == 1 {
            terminal::tell(
                "note: one timestamp authority; when its key falls nothing else says when this was. Two are better",
            );
        }
        Ok(Clocks {
            trust: table.material.prepare(),
            services: Services {
                fulcio: None,
                logs: services.logs,
                timestamp_authorities,
            },
            table: Some(table),
            nobody: Network::default(),
        })
    }
}

impl CeremonyFlags {
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// Holds an event: the next keyset is changed, signed by these keys and new ones, judged and written.
    pub(super) async fn hold(
        &self,
        context: &Context,
        action: Action,
        signers: &SignerFlags,
        new: &[String],
        change: impl FnOnce(&mut Keyset, &[OrgKey], &Clocks) -> Result<(), Failure>,
    ) -> Result<u8, Failure> {
        let folder = KeysetFolder::read(&self.keysets).map_err(failure)?;
        let mut keyset = ceremonies::next(&folder, now(), action, &self.reason).map_err(failure)?;
        let references = signers.key.iter().chain(new);
        let keys: Vec<_> = references
            .map(|each| self.clocks.open(each))
            .collect::<Result<_, _>>()?;
        let clocks = self.clocks.clocks(context).await?;
        let (_, added) = keys.split_at(signers.key.len());
        change(&mut keyset, added, &clocks)?;
        let session = clocks.session();
        let held = ceremonies::hold(&session, &folder, &keyset, &keys, clocks.root());
        let held = held.await.map_err(failure)?;
        self.report(&held)
    }

    /// Founds the organisation.
    pub(super) async fn found(
        &self,
        keyset: &Keyset,
        keys: &[OrgKey],
        clocks: &Clocks,
    ) -> Result<u8, Failure> {
        let session = clocks.session();
        let founded = ceremonies::found(&session, &self.keysets, keyset, keys, clocks.root());
        self.report(&founded.await.map_err(failure)?)
    }

    fn report(&self, folder: &KeysetFolder) -> Result<u8, Failure> {
        let keyset = folder.newest().map_err(failure)?;
        if self.json {
            terminal::say_json(&json!({
                "schema": "stella.ceremony/v1",
                "keyset": keyset,
                "folder": self.keysets.display().to_string(),
            }));
            return Ok(exit::OK);
        }
        let action = json!(keyset.action);
        let folder = self.keysets.display();
        terminal::say(&format!(
            "keyset {} of {} ({}) in {folder}",
            keyset.version,
            keyset.origin,
            action.as_str().unwrap_or_default(),
        ));
        if keyset.version == 1 {
            terminal::say(&format!(
                "{folder}/org.anchor: give it to everyone who verifies, another way than archives"
            ));
        }
        Ok(exit::OK)
    }
}

/// Says that anchors of the first keyset no longer reach the newest, where that is so; keys that soon come to their end, too.
pub(crate) fn warn(folder: &KeysetFolder) -> Result<(), Failure> {
    if let Some(error) = folder.judge(now()).map_err(failure)? {
        terminal::tell(&format!(
            "warning: an anchor of keyset 1 no longer reaches the newest keyset: {error}. Give verifiers a newer one: `stella archive anchor --keyset N`"
        ));
    }
    let soon = now().plus(SOON);
    for key in folder.newest().map_err(failure)?.keys.iter() {
        if key.is_active() && key.until < soon {
            terminal::tell(&format!(
                "warning: the {} key {} lasts until {}: `stella archive keyset extend` before that",
                key.role.name(),
                hex::encode(&key.key_id[..8]),
                key.until
            ));
        }
    }
    Ok(())
}

/// Returns the present moment.
pub(in crate::cli) fn now() -> UnixTime {
    SystemClock.now()
}

/// Says what to do about a ceremony that ended without a keyset.
pub(crate) fn failure(error: CeremonyError) -> Failure {
    match error {
        CeremonyError::Sign(error) => error.into(),
        CeremonyError::Exists(_) => Failure::usage(error.to_string())
            .hint("`stella archive keyset show` shows them, `rotate` and the others change them"),
        CeremonyError::Empty(_) => Failure::usage(error.to_string()).hint(
            "`stella archive keyset create` makes the first; --keysets DIR names another folder",
        ),
        CeremonyError::NotEnough(_) | CeremonyError::Keyset(_) => {
            Failure::new(exit::KEY, error.to_string()).hint(
                "`stella archive keyset show` says which keys must sign; name each with --key",
            )
        }
        CeremonyError::Undated => Failure::usage(error.to_string())
            .hint("stamp it with one of those once more, such as by --trust-config, and pin the new ones by `stella archive keyset authorities`"),
        CeremonyError::History { .. } => Failure::new(exit::SIGNATURE, error.to_string())
            .hint("bring the folder back from a copy: nothing that it says is to be believed"),
        CeremonyError::Unreadable(_) => Failure::new(exit::SIGNATURE, error.to_string())
            .hint("bring the file back from a copy: what is held or was published would not be known"),
        CeremonyError::Hold(_) => Failure::usage(error.to_string())
            .hint("`stella archive hold list` shows what is in force"),
        CeremonyError::Io { .. } => Failure::new(exit::INTERNAL, error.to_string()),
        _ => Failure::new(exit::INTERNAL, error.to_string()),
    }
}
