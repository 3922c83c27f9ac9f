//! `stella archive run`, also spelled `re-sign`: the job of a period.

mod report;

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use futures_util::stream::StreamExt as _;
use stella_archive::statement::Period;
use stella_attest::archive::cosign::Witnessed;
use stella_attest::archive::run::{self, Job, Logs, Outcome, Phase, Plan, Prune};
use stella_attest::archive::{Incoming, share};
use stella_attest::keyset::KeysetFolder;
use stella_attest::storage::Storage;
use stella_bundle::time::UnixTime;
use stella_keys::OrgKey;

use super::ceremony::{self, SealFlags, now};
use super::cosign::WitnessFlags;
use super::period::PeriodFlags;
use super::place::{self, failure};
use super::sources::{Load, Rule, SourceFlags};
use crate::cli::Context;
use crate::cli::attest::nonce;
use crate::cli::mirror::place::Purpose;
use crate::exit::{self, Failure};
use crate::registry::RegistryFlags;
use crate::terminal;
use crate::trust::Folder;

/// Seal a period: collect what was attested, verify it, and sign the archive with the organisation's keys
///
/// Every attestation that is found is verified; one that does not hold is kept apart and named. The archive is an OCI layout or
/// a repository, one name for each period; what earlier periods hold is not archived again. A run that was interrupted goes on
/// where it was. The exit code is 12 when attestations were refused, 24 when entries of the organisation's own log have
/// no attestation (--reconcile), or when too few witnesses cosigned what was sealed (--witness-policy).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella archive run --key 'pkcs11:token=org;object=archive' --pq-key file:pq.key     the month that has ended
  stella archive run --cadence weekly --key … --pq-key …                                the week that has ended
  stella archive run --month 2026-11 --key … --pq-key … --output registry.example/org/archive
  stella archive run --release v1.4 --from dist --key … --pq-key …")]
pub(crate) struct Args {
    #[command(flatten)]
    period: PeriodFlags,

    #[command(flatten)]
    sources: SourceFlags,

    /// Take what other machines collected and verified, by `stella archive collect`, from this place
    #[arg(long, value_name = "PLACE", requires = "of")]
    shares: Option<String>,

    /// In so many shares
    #[arg(long, value_name = "N", requires = "shares")]
    of: Option<u32>,

    #[command(flatten)]
    job: JobFlags,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    let (period, rule) = (args.period.period()?, args.sources.rule()?);
    let since = args.period.since;
    let gone = Rc::default();
    let registry = &args.job.registry;
    let source = match args.shares.as_ref().zip(args.of) {
        Some((place, of)) => Source::Shares {
            storage: place::storage(place, Purpose::Read, registry)?,
            of,
            more: match args.sources.is_named() {
                true => Some(args.sources.incoming(registry, &gone).await?),
                false => None,
            },
        },
        None => Source::Here(args.sources.incoming(registry, &gone).await?),
    };
    let name = period.name.clone();
    let done = args.job.seal(context, period, since, &rule, source).await?;
    let gone = gone.take();
    args.job.report(&name, done, &gone)
}

/// Where attestations come from.
pub(super) enum Source {
    /// They are read here.
    Here((Incoming<'static>, Load)),
    /// Other machines collected and verified them.
    Shares {
        storage: Arc<dyn Storage>,
        /// How many shares there are.
        of: u32,
        /// What is read here besides.
        more: Option<(Incoming<'static>, Load)>,
    },
}

impl Source {
    /// Returns what comes in for a period.
    async fn open(
        self,
        period: &Period,
        profile: (&[u8], Option<[u8; 32]>),
    ) -> Result<(Incoming<'static>, Load), Failure> {
        let (storage, of, more) = match self {
            Self::Here(incoming) => return Ok(incoming),
            Self::Shares { storage, of, more } => (storage, of, more),
        };
        let chance = u64::from_le_bytes(nonce().0);
        let shares = share::incoming(&storage, of, period, profile, chance).await;
        let shares = shares.map_err(failure)?;
        let more = more.unwrap_or_else(|| Load::none().with_nothing());
        Ok((Box::pin(shares.chain(more.0)), more.1))
    }
}

/// Who seals, and where.
#[derive(Debug, clap::Args)]
pub(super) struct JobFlags {
    /// The classical key of the organisation
    #[arg(long, value_name = "KEY")]
    key: String,

    /// The post-quantum key of the organisation
    #[arg(long, value_name = "KEY")]
    pq_key: String,

    /// The folder with the keysets
    #[arg(long, value_name = "DIR", default_value = "org")]
    keysets: PathBuf,

    /// Where archives are: an OCI layout's folder, or a repository
    #[arg(long, short, value_name = "PLACE", default_value = "archive")]
    output: String,

    /// A folder for what is not finished
    #[arg(long, value_name = "DIR", default_value = "archive.work")]
    work: PathBuf,

    /// Months for which the bytes are kept
    #[arg(long, value_name = "N", default_value_t = 24)]
    keep_months: u32,

    /// Let go the bytes of earlier periods whose months are over and that no hold keeps (`stella archive hold`); what goes is recorded in
    /// the statement, leaves and proofs stay
    #[arg(long)]
    prune: bool,

    /// Collect and verify, and print what would be done: nothing is signed, published or let go, and no key is asked
    #[arg(long)]
    dry_run: bool,

    /// The logs are the organisation's own: name every entry whose attestation was not found
    #[arg(long)]
    reconcile: bool,

    /// Threads that verify
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    #[command(flatten)]
    clocks: SealFlags,

    #[command(flatten)]
    witnesses: WitnessFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    /// Write the report as JSON to this file, too
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl JobFlags {
    /// Seals what comes in, or says what that would do.
    pub(super) async fn seal(
        &self,
        context: &Context,
        period: Period,
        since: Option<UnixTime>,
        rule: &Rule,
        source: Source,
    ) -> Result<Done, Failure> {
        let keysets = KeysetFolder::read(&self.keysets).map_err(ceremony::failure)?;
        let keys = self.open(&keysets)?;
        let witnesses = match self.dry_run {
            true => self.witnesses.read_policy().map(|_| None)?,
            false => self.witnesses.open(self.clocks.passphrase(), &keysets)?,
        };
        let clocks = self.clocks.clocks(context).await?;
        let table = clocks.table.as_ref().ok_or_else(|| {
            Failure::usage("an archive without a timestamp proves no age: --insecure-no-timestamp is for ceremonies")
        })?;
        ceremony::warn(&keysets)?;
        let _lock = lock(&self.output)?;
        let storage = place::storage(&self.output, Purpose::Write, &self.registry)?;
        fs::create_dir_all(&self.work).map_err(|error| Failure::io("make", &self.work, &error))?;
        let usual = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let session = clocks.session_with_logs();
        let profile = (&table.material.root_bytes[..], rule.digest);
        let (incoming, load) = source.open(&period, profile).await?;
        let metadata = Folder::usual().tuf_metadata(&table.material, now());
        let job = Job {
            session: &session,
            keysets: &keysets,
            keys: &keys,
            storage,
            work: &self.work,
            period,
            since,
            trusted_root: &table.material.root_bytes,
            tuf: metadata.as_ref(),
            policy: &rule.policy,
            policy_digest: rule.digest,
            logs: match self.reconcile {
                true => Logs::Own,
                false => Logs::Shared,
            },
            months: self.keep_months,
            prune: match self.prune {
                true => Prune::LetGo,
                false => Prune::Keep,
            },
            threads: self.threads.unwrap_or(usual),
            done: &|phase, done| show(phase, done, &load),
        };
        if self.dry_run {
            let plan = run::plan(&job, incoming).await;
            terminal::clear();
            return plan.map(Done::Planned).map_err(failure);
        }
        let outcome = run::run(&job, incoming).await;
        terminal::clear();
        let outcome = Box::new(outcome.map_err(failure)?);
        let witnessed = match &witnesses {
            Some(witnesses) => Some(witnesses.ask(job.storage, &keysets, &self.work).await),
            None => None,
        };
        Ok(Done::Sealed(outcome, witnessed))
    }

    /// Opens the keys that sign; none where nothing is signed.
    fn open(&self, keysets: &KeysetFolder) -> Result<Vec<OrgKey>, Failure> {
        if self.dry_run {
            return Ok(Vec::new());
        }
        let keys = vec![
            self.clocks.open(&self.key)?,
            self.clocks.open(&self.pq_key)?,
        ];
        run::require_signers(keysets, &keys).map_err(failure)?;
        Ok(keys)
    }

    /// Reports what was done, or would be; returns the exit code.
    pub(super) fn report(&self, period: &str, done: Done, gone: &[String]) -> Result<u8, Failure> {
        let (refused, missing) = match &done {
            Done::Planned(plan) => (plan.refused.len(), plan.missing.len()),
            Done::Sealed(outcome, _) => (outcome.refused.len(), outcome.missing.len()),
        };
        let facts = report::facts(period, &done, gone, &self.output);
        if let Some(path) = &self.report {
            let text = serde_json::to_string_pretty(&facts).unwrap_or_default();
            fs::write(path, text).map_err(|error| Failure::io("write", path, &error))?;
        }
        match self.json {
            true => terminal::say_json(&facts),
            false => report::say(period, &done, gone, &self.output),
        }
        let code = match (refused == 0 && gone.is_empty(), missing == 0) {
            (false, _) => exit::SIGNATURE,
            (true, false) => exit::LOG,
            (true, true) => exit::OK,
        };
        // What was sealed is reported, whatever the witnesses say; and what was refused is worse.
        match done {
            Done::Sealed(_, Some(Err(failure))) if code == exit::OK => Err(failure),
            Done::Sealed(_, Some(Err(failure))) => {
                terminal::tell(&format!("warning: {}", failure.message));
                Ok(code)
            }
            _ => Ok(code),
        }
    }
}

/// What came of it.
pub(super) enum Done {
    /// Nothing was done: this would be.
    Planned(Plan),
    /// It was sealed; what the witnesses said, where any were asked.
    Sealed(Box<Outcome>, Option<Result<Witnessed, Failure>>),
}

/// Takes a folder of archives for this process alone; registries have no locks.
pub(super) fn lock(place: &str) -> Result<Option<fs::File>, Failure> {
    if !place::is_folder(place) {
        return Ok(None);
    }
    let path = PathBuf::from(format!("{}.lock", place.trim_end_matches('/')));
    let file = fs::File::create(&path).map_err(|error| Failure::io("write", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(_) => Err(
            Failure::new(exit::INTERNAL, format!("another process writes {place}"))
                .hint("wait for it"),
        ),
    }
}

/// Shows how far it is, where somebody looks.
fn show(phase: Phase, done: u64, load: &Load) {
    if !terminal::is_watched() {
        return;
    }
    let word = match phase {
        Phase::Collecting => {
            return terminal::show(&format!("collected and verified: {done}{}", load.left()));
        }
        Phase::Packing => "packed",
        Phase::Signing => return terminal::show("signing"),
        Phase::Checking => "checked",
        Phase::Publishing => "bytes published",
    };
    // Each leaf is heard of; a line for each would take longer than the work.
    if phase != Phase::Packing || done.is_multiple_of(1000) {
        terminal::show(&format!("{word}: {done}"));
    }
}
