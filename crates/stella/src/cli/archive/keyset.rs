//! `stella archive keyset`: ceremonies with the organisation's keys, each of which leaves a signed record.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use stella_archive::fall::ALGORITHMS;
use stella_archive::keyset::{Action, Keyset, OrgKeyEntry, Role, Status, Sunset};
use stella_archive::witnessed::note_key;
use stella_attest::keyset::KeysetFolder;
use stella_bundle::certificate::Certificate;
use stella_bundle::identity::escape;
use stella_bundle::key::PublicKey;
use stella_bundle::pem;
use stella_bundle::time::UnixTime;
use stella_keys::OrgKey;

use super::ceremony::{self, CeremonyFlags, Clocks, SignerFlags, failure, now};
use crate::cli::Context;
use crate::exit::{self, Failure};
use crate::terminal;

/// A year, as keys last.
const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Add(Add),
    /// Have other timestamp authorities count too: those of the trusted root
    Authorities(Change),
    Compromise(Compromise),
    Create(Create),
    Destroy(Destroy),
    Extend(Extend),
    Retire(Retire),
    Rotate(Rotate),
    Show(Show),
    Sunset(SunsetArgs),
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Add(args) => add(context, &args).await,
        Command::Authorities(args) => authorities(context, &args).await,
        Command::Compromise(args) => compromise(context, &args).await,
        Command::Create(args) => create(context, &args).await,
        Command::Destroy(args) => destroy(context, &args).await,
        Command::Extend(args) => extend(context, &args).await,
        Command::Retire(args) => retire(context, &args).await,
        Command::Rotate(args) => rotate(context, &args).await,
        Command::Show(args) => show(&args),
        Command::Sunset(args) => sunset(context, &args).await,
    }
}

/// Found an organisation: its first keyset, and the anchor for all who verify
///
/// Three keys by default, two of which must sign whatever changes later: a classical one in hardware and a post-quantum one in
/// a file elsewhere sign every statement, a recovery key rests offline. Each signs here once, to show that it is there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella archive keyset create --origin archive.example.org --reason 'founded' \\
      --key 'pkcs11:token=org;object=archive' --pq-key file:pq.key --recovery-key file:recovery.key")]
pub(crate) struct Create {
    /// The name under which the archive is known: a host and a path, like a URL without its scheme
    #[arg(long, value_name = "NAME")]
    origin: String,

    /// The classical key, P-256 or P-384, in hardware
    #[arg(long, value_name = "KEY")]
    key: String,

    /// The post-quantum key, ML-DSA-65
    #[arg(long, value_name = "KEY")]
    pq_key: String,

    /// The recovery key, of any kind
    #[arg(long, value_name = "KEY")]
    recovery_key: Option<String>,

    /// The key that signs checkpoints for witnesses, Ed25519
    #[arg(long, value_name = "KEY")]
    checkpoint_key: Option<String>,

    /// How many keys must sign what changes later
    #[arg(long, value_name = "N", default_value_t = 2)]
    threshold: usize,

    /// How many years the keys last, unless an event extends them
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=30))]
    years: u32,

    #[command(flatten)]
    ceremony: CeremonyFlags,
}

async fn create(context: &Context, args: &Create) -> Result<u8, Failure> {
    let keys = [
        (Some(&args.key), Role::Classical),
        (Some(&args.pq_key), Role::PostQuantum),
        (args.recovery_key.as_ref(), Role::Recovery),
        (args.checkpoint_key.as_ref(), Role::Checkpoint),
    ];
    let (from, until) = (now(), now().plus(YEAR * args.years));
    let (mut opened, mut entries) = (Vec::new(), Vec::new());
    for (reference, role) in keys {
        let Some(reference) = reference else { continue };
        let key = args.ceremony.clocks.open(reference)?;
        entries.push(OrgKeyEntry::new(key.public_key(), role, from, until));
        opened.push(key);
    }
    let clocks = args.ceremony.clocks.clocks(context).await?;
    let reason = args.ceremony.reason();
    let keyset = Keyset::create(
        &args.origin,
        from,
        reason,
        args.threshold,
        entries,
        clocks.pins(),
    );
    let keyset = keyset.map_err(|error| Failure::usage(error.to_string()))?;
    args.ceremony.found(&keyset, &opened, &clocks).await
}

/// Have one more key, beside those that are there: a recovery key, or one for checkpoints
///
/// Keys that sign statements are one of each kind: `stella key rotate` puts another in the place of one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella archive keyset add --role checkpoint --new file:checkpoint.key --reason 'witnesses cosign' \\
      --key 'pkcs11:token=org;object=archive' --key file:pq.key")]
pub(crate) struct Add {
    /// What it is for
    #[arg(long, value_name = "ROLE", value_parser = parse_role)]
    role: Role,

    /// The new key
    #[arg(long, value_name = "KEY")]
    new: String,

    /// How many years it lasts, unless an event extends it
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=30))]
    years: u32,

    #[command(flatten)]
    signers: SignerFlags,

    #[command(flatten)]
    ceremony: CeremonyFlags,
}

async fn add(context: &Context, args: &Add) -> Result<u8, Failure> {
    let change = |keyset: &mut Keyset, new: &[OrgKey], _: &Clocks| {
        enter(keyset, new, args.role, args.years);
        Ok(())
    };
    let new = std::slice::from_ref(&args.new);
    args.ceremony
        .hold(context, Action::Add, &args.signers, new, change)
        .await
}

/// Adds keys that sign from the event on.
fn enter(keyset: &mut Keyset, new: &[OrgKey], role: Role, years: u32) {
    let until = keyset.created.plus(YEAR * years);
    for each in new {
        let entry = OrgKeyEntry::new(each.public_key(), role, keyset.created, until);
        keyset.keys.push(entry);
    }
}

fn parse_role(text: &str) -> Result<Role, String> {
    let role = Role::ALL.into_iter().find(|each| each.name() == text);
    match role.filter(|role| !role.signs_statements()) {
        Some(role) => Ok(role),
        None => Err("expected recovery or checkpoint; `stella key rotate` puts a classical or post-quantum key in the place of another".to_owned()),
    }
}

/// What changes nothing but the event itself says.
#[derive(Debug, clap::Args)]
pub(crate) struct Change {
    #[command(flatten)]
    signers: SignerFlags,

    #[command(flatten)]
    ceremony: CeremonyFlags,
}

async fn authorities(context: &Context, args: &Change) -> Result<u8, Failure> {
    let change = |keyset: &mut Keyset, _: &[OrgKey], clocks: &Clocks| {
        let before = keyset.authorities.len();
        for pin in clocks.pins() {
            if !keyset.authorities.contains(&pin) {
                keyset.authorities.push(pin);
            }
        }
        match keyset.authorities.len() == before {
            true => Err(Failure::usage("the trusted root has no other authorities")),
            false => Ok(()),
        }
    };
    let (ceremony, action) = (&args.ceremony, Action::Authorities);
    ceremony
        .hold(context, action, &args.signers, &[], change)
        .await
}

/// Put a new key in another's place; the old one signs no more
///
/// The record is signed by keys of the old keyset, as many as its threshold asks for, and by the new key. Name the old key too
/// while it is there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella key rotate --old classical --new 'pkcs11:token=org2;object=archive' --reason 'the HSM is replaced' \\
      --key 'pkcs11:token=org;object=archive' --key file:pq.key")]
pub(crate) struct Rotate {
    /// The old key: its id, the beginning of it, or its role
    #[arg(long, value_name = "ID")]
    old: String,

    /// The new key
    #[arg(long, value_name = "KEY")]
    new: String,

    /// How many years the new key lasts, unless an event extends it
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=30))]
    years: u32,

    #[command(flatten)]
    signers: SignerFlags,

    #[command(flatten)]
    ceremony: CeremonyFlags,
}

pub(crate) async fn rotate(context: &Context, args: &Rotate) -> Result<u8, Failure> {
    let change = |keyset: &mut Keyset, new: &[OrgKey], _: &Clocks| {
        let old = find(keyset, &args.old)?.clone();
        keyset.retire(&old.key_id, Status::Retired);
        enter(keyset, new, old.role, args.years);
        Ok(())
    };
    let new = std::slice::from_ref(&args.new);
    args.ceremony
        .hold(context, Action::Rotate, &args.signers, new, change)
        .await
}

/// Take a key out of service without another in its place
#[derive(Debug, clap::Args)]
pub(crate) struct Retire {
    /// The key: its id, the beginning of it, or its role
    #[arg(long, value_name = "ID")]
    old: String,

    #[command(flatten)]
    signers: SignerFlags,

    #[command(flatten)]
    ceremony: CeremonyFlags,
}

async fn retire(context: &Context, args: &Retire) -> Result<u8, Failure> {
    let change = |keyset: &mut Keyset, _: &[OrgKey], _: &Clocks| {
        let old = find(keyset, &args.old)?.key_id;
        keyset.retire(&old, Status::Retired);
        Ok(())
    };
    args.ceremony
        .hold(context, Action::Retire, &args.signers, &[], change)
        .await
}

/// Record that a key exists no longer; with --remove a key file is overwritten and removed
///
/// A key in a device is destroyed with the device's own tool, before or after.
#[derive(Debug, clap::Args)]
pub(crate) struct Destroy {
    /// The key: its id, or the beginning of it
    #[arg(long, value_name = "ID")]
    old: String,

    /// Overwrite and remove this key file, once the record is written
    #[arg(long, value_name = "FILE")]
    remove: Option<PathBuf>,

    #[command(flatten)]
    signers: SignerFlags,

    #[command(flatten)]
    ceremony: CeremonyFlags,
}

pub(crate) async fn destroy(context: &Context, args: &Destroy) -> Result<u8, Failure> {
    let change = |keyset: &mut Keyset, _: &[OrgKey], _: &Clocks| {
        let old = find(keyset, &args.old)?.key_id;
        if let Some(path) = &args.remove {
            require_same(&args.ceremony, path, &old)?;
        }
        keyset.retire(&old, Status::Destroyed);
        Ok(())
    };
    args.ceremony
        .hold(context, Action::Destroy, &args.signers, &[], change)
        .await?;
    if let Some(path) = &args.remove {
        remove(path).map_err(|error| Failure::io("remove", path, &error))?;
    }
    Ok(exit::OK)
}

/// Requires that a file holds the key that is recorded as destroyed: no other is touched.
fn require_same(
    ceremony: &CeremonyFlags,
    path: &std::path::Path,
    key: &[u8; 32],
) -> Result<(), Failure> {
    let reference = format!("file:{}", path.display());
    let opened = ceremony.clocks.open(&reference)?;
    match opened.public_key().key_id() == *key {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "{} holds another key, {}",
            path.display(),
            hex::encode(opened.public_key().key_id())
        ))),
    }
}

/// Overwrites a file and removes it. What a disk or its snapshots keep of it is beyond this.
fn remove(path: &std::path::Path) -> std::io::Result<()> {
    let length = usize::try_from(fs::metadata(path)?.len()).unwrap_or(usize::MAX);
    let mut noise = vec![0; length.min(1 << 20)];
    let _ = getrandom::fill(&mut noise);
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| {
            std::io::Write::write_all(&mut file, &noise)?;
            file.sync_all()
        })?;
    fs::remove_file(path)
}

/// Have the active keys last longer
#[derive(Debug, clap::Args)]
pub(crate) struct Extend {
    /// How many years from now
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=30))]
    years: u32,

    #[command(flatten)]
    signers: SignerFlags,

    #[command(flatten)]
    ceremony: CeremonyFlags,
}

async fn extend(context: &Context, args: &Extend) -> Result<u8, Failure> {
    let change = |keyset: &mut Keyset, _: &[OrgKey], _: &Clocks| {
        let until = keyset.created.plus(YEAR * args.years);
        keyset.extend(until);
        Ok(())
    };
    args.ceremony
        .hold(context, Action::Extend, &args.signers, &[], change)
        .await
}

/// Record that others may have a key since some day: the organisation's own, or that of an authority or a log
///
/// What it signed counts on if it provably existed before that day.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stella archive keyset compromise --certificate fulcio.pem --since 2031-05-01T00:00:00Z --what 'the CA' \\
      --reason 'its operator says so' --key 'pkcs11:token=org;object=archive' --key file:pq.key")]
pub(crate) struct Compromise {
    /// A key of the organisation: its id, the beginning of it, or its role
    #[arg(long, value_name = "ID", required_unless_present_any = ["public_key", "certificate"])]
    old: Option<String>,

    /// Another's key, by its public half in PEM
    #[arg(long, value_name = "FILE", conflicts_with_all = ["old", "certificate"])]
    public_key: Option<PathBuf>,

    /// Another's key, by a certificate in PEM
    #[arg(long, value_name = "FILE", conflicts_with = "old")]
    certificate: Option<PathBuf>,

    /// Since when, such as 2031-05-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: UnixTime,

    /// Whose key it is, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    what: String,

    #[command(flatten)]
    signers: SignerFlags,

    #[command(flatten)]
    ceremony: CeremonyFlags,
}

async fn compromise(context: &Context, args: &Compromise) -> Result<u8, Failure> {
    let elsewhere = match (&args.public_key, &args.certificate) {
        (Some(path), _) => Some(read_key(path)?),
        (None, Some(path)) => Some(read_certificate(path)?),
        (None, None) => None,
    };
    let change = |keyset: &mut Keyset, _: &[OrgKey], _: &Clocks| {
        let key = match (&elsewhere, &args.old) {
            (Some(key), _) => key.key_id(),
            (None, old) => find(keyset, old.as_deref().unwrap_or_default())?.key_id,
        };
        keyset.compromise(key, args.since, &args.what);
        Ok(())
    };
    args.ceremony
        .hold(context, Action::Compromise, &args.signers, &[], change)
        .await
}

/// Record that an algorithm is no longer believed from a day on
///
/// What was signed by it counts on if it provably existed before that day, by clocks of other algorithms.
#[derive(Debug, clap::Args)]
pub(crate) struct SunsetArgs {
    /// The algorithm
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(ALGORITHMS))]
    algorithm: String,

    /// The day, such as 2035-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    on: UnixTime,

    #[command(flatten)]
    signers: SignerFlags,

    #[command(flatten)]
    ceremony: CeremonyFlags,
}

async fn sunset(context: &Context, args: &SunsetArgs) -> Result<u8, Failure> {
    let change = |keyset: &mut Keyset, _: &[OrgKey], _: &Clocks| {
        keyset.sunsets.push(Sunset {
            algorithm: args.algorithm.clone(),
            on: args.on,
        });
        Ok(())
    };
    args.ceremony
        .hold(context, Action::Sunset, &args.signers, &[], change)
        .await
}

/// Show the keysets of a folder, judged from the first one on
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The folder with the keysets
    #[arg(long, value_name = "DIR", default_value = "org")]
    keysets: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn show(args: &Show) -> Result<u8, Failure> {
    let folder = KeysetFolder::read(&args.keysets).map_err(failure)?;
    ceremony::warn(&folder)?;
    let newest = folder.newest().map_err(failure)?;
    if args.json {
        terminal::say_json(&json!({
            "schema": "stella.keysets/v1",
            "keysets": folder.keysets(),
            "checkpointKeys": note_keys(newest),
        }));
        return Ok(exit::OK);
    }
    terminal::say(&format!(
        "{}: keyset {}, {} of its active keys sign what changes",
        escape(&newest.origin),
        newest.version,
        newest.threshold
    ));
    for key in &newest.keys {
        let status = json!(key.status);
        terminal::say(&format!(
            "  {:<12} {:<11} {}…  until {}",
            key.role.name(),
            status.as_str().unwrap_or_default(),
            &hex::encode(key.key_id)[..16],
            key.until
        ));
    }
    for key in note_keys(newest) {
        terminal::say(&format!("  witnesses know the archive by {key}"));
    }
    for each in &newest.compromised {
        let id = hex::encode(each.key);
        terminal::say(&format!(
            "  compromised since {}: {}… {}",
            each.since,
            &id[..16],
            escape(&each.what)
        ));
    }
    for each in &newest.sunsets {
        terminal::say(&format!(
            "  {} is believed until {}",
            escape(&each.algorithm),
            each.on
        ));
    }
    terminal::say("events:");
    for each in folder.keysets() {
        let action = json!(each.action);
        terminal::say(&format!(
            "  {:>3}  {}  {:<11} {}",
            each.version,
            each.created,
            action.as_str().unwrap_or_default(),
            escape(&each.reason)
        ));
    }
    Ok(exit::OK)
}

/// Returns the checkpoint keys as witnesses are told them.
fn note_keys(keyset: &Keyset) -> Vec<String> {
    let keys = keyset.checkpoint_keys();
    keys.filter_map(|entry| note_key(&keyset.origin, entry))
        .map(|key| key.to_string())
        .collect()
}

/// Finds one key of a keyset by its id, the beginning of it, or the role that only one active key has.
fn find<'a>(keyset: &'a Keyset, name: &str) -> Result<&'a OrgKeyEntry, Failure> {
    let is_meant = |each: &&OrgKeyEntry| {
        let by_role = each.is_active() && each.role.name() == name;
        by_role || (name.len() >= 8 && hex::encode(each.key_id).starts_with(name))
    };
    let mut found = keyset.keys.iter().filter(is_meant);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (found, _) => {
            let what = if found.is_some() {
                "several keys are"
            } else {
                "no key is"
            };
            Err(Failure::usage(format!("{what} named {name:?}"))
                .hint("name one by its role (classical, post-quantum, recovery, checkpoint) or by 8 digits of its id or more: `stella archive keyset show`"))
        }
    }
}

fn parse_time(text: &str) -> Result<UnixTime, String> {
    let time = UnixTime::parse_rfc3339(text).map(UnixTime::floor_seconds);
    time.ok_or_else(|| "expected a time such as 2031-05-01T00:00:00Z".to_owned())
}

fn read_key(path: &std::path::Path) -> Result<PublicKey, Failure> {
    let text = read_text(path)?;
    PublicKey::from_pem(&text)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn read_certificate(path: &std::path::Path) -> Result<PublicKey, Failure> {
    let wrong = || Failure::usage(format!("{} is no certificate in PEM", path.display()));
    let blocks = pem::decode_all(&read_text(path)?).map_err(|_| wrong())?;
    let block = blocks.first().filter(|block| block.label == "CERTIFICATE");
    let certificate = block.and_then(|block| Certificate::parse(&block.der).ok());
    certificate
        .map(|each| each.public_key().clone())
        .ok_or_else(wrong)
}

fn read_text(path: &std::path::Path) -> Result<String, Failure> {
    let bytes = stella_attest::file::read(path, pem::MAX_TEXT);
    let bytes = bytes.map_err(|error| Failure::io("read", path, &error))?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{} is no text", path.display())))
}
