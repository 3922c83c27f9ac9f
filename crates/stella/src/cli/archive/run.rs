//! `stella archive run`, also spelled `re-sign`: the job of a period.

mod report;

use std::cell::RefCell;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::stream;
use stella_archive::statement::Period;
use stella_attest::archive::run::{self, Incoming, Job, Logs, Outcome, Phase, Plan, Prune};
use stella_attest::archive::{ArchiveError, source};
use stella_attest::collect::{self, Wanted};
use stella_attest::image::Which;
use stella_attest::keyset::KeysetFolder;
use stella_attest::referrers::Look;
use stella_attest::shelf::Shelf;
use stella_attest::verify::Found;
use stella_bundle::identity::Identities;
use stella_bundle::key::{PublicKey, sha256};
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{IdentityRule, KeyRule, ManagedKey, Policy};
use stella_keys::OrgKey;

use super::ceremony::{self, SealFlags, now};
use super::period::{self, Cadence};
use super::place::{self, failure};
use crate::cli::Context;
use crate::cli::gate::read_policy_files;
use crate::cli::mirror::place::Purpose;
use crate::exit::{self, Failure};
use crate::registry::{RegistryFlags, collect_failure};
use crate::terminal::Estimate;
use crate::{places, terminal};

/// Seal a period: collect what was attested, verify it, and sign the archive with the organisation's keys
///
/// Every attestation that is found is verified; one that does not hold is kept apart and named. The archive is an OCI layout or
/// a repository, one name for each period; what earlier periods hold is not archived again. A run that was interrupted goes on
/// where it was. The exit code is 12 when attestations were refused, 24 when entries of the organisation's own log have
/// no attestation (--reconcile).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stella archive run --key 'pkcs11:token=org;object=archive' --pq-key file:pq.key     the month that has ended
  stella archive run --cadence weekly --key … --pq-key …                                the week that has ended
  stella archive run --month 2026-11 --key … --pq-key … --output registry.example/org/archive
  stella archive run --release v1.4 --from dist --key … --pq-key …")]
pub(crate) struct Args {
    /// The month, such as 2026-11; by default the last one that has ended
    #[arg(long, value_name = "YYYY-MM", value_parser = period::parse_month)]
    month: Option<Period>,

    /// A month, a week or a quarter, such as 2026-11, 2026-W48 or 2026-Q4
    #[arg(long, value_name = "NAME", value_parser = period::parse, conflicts_with = "month")]
    period: Option<Period>,

    /// Where no period is named: seal the last week, month or quarter that has ended
    #[arg(long, value_name = "CADENCE", default_value = "monthly")]
    cadence: Cadence,

    /// Seal everything until now under this name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["month", "period"])]
    release: Option<String>,

    /// With --release: what was signed from this time on, such as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME", requires = "release", value_parser = parse_time)]
    since: Option<UnixTime>,

    /// With --release: what was signed before this time
    #[arg(long, value_name = "TIME", requires = "release", value_parser = parse_time)]
    until: Option<UnixTime>,

    /// Collect from this store of attestations
    #[arg(long, value_name = "DIR", env = "STELLA_STORE")]
    store: Option<PathBuf>,

    /// Collect from this file, or from every file in this folder that ends in .json or .jsonl
    #[arg(long, value_name = "PATH")]
    from: Vec<PathBuf>,

    /// Collect what is attached to this image
    #[arg(long, value_name = "IMAGE")]
    image: Vec<String>,

    /// Accept attestations by this kept key too
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,

    /// Accept attestations by the signers of this policy alone, with the evidence it asks for; others are kept apart as refused. Without
    /// it whoever signed is accepted: who may have is asked when an attestation is used
    #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
    policy: Option<PathBuf>,

    #[command(flatten)]
    job: JobFlags,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<u8, Failure> {
    let (period, rule) = (args.period()?, args.rule()?);
    let gone = Rc::default();
    let (incoming, load) = args.incoming(&gone).await?;
    let name = period.name.clone();
    let done = args
        .job
        .seal(context, period, args.since, &rule, (incoming, load))
        .await?;
    args.job.report(&name, &done, &gone.borrow())
}

/// Returns the rule for attestations by these kept keys; none where there is no key.
pub(super) fn kept_keys(paths: &[PathBuf]) -> Result<Option<KeyRule>, Failure> {
    let mut keys: Vec<ManagedKey> = Vec::new();
    for path in paths {
        let text = fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
        let key = PublicKey::from_pem(&text);
        let key = key.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        keys.push(key.into());
    }
    Ok((!keys.is_empty()).then(|| KeyRule::strict(keys)))
}

/// Who may have signed attestations.
pub(super) struct Rule {
    policy: Policy,
    /// SHA-256 of the policy's file.
    digest: Option<[u8; 32]>,
}

impl Rule {
    /// Nothing comes in.
    pub(super) fn none() -> Self {
        let policy = Policy::for_certificates(IdentityRule::NotGiven);
        Self {
            policy,
            digest: None,
        }
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
        (incoming, load): (Incoming<'_>, Load),
    ) -> Result<Done, Failure> {
        let keysets = KeysetFolder::read(&self.keysets).map_err(ceremony::failure)?;
        let keys = self.open(&keysets)?;
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
        let job = Job {
            session: &session,
            keysets: &keysets,
            keys: &keys,
            storage,
            work: &self.work,
            period,
            since,
            trusted_root: &table.material.root_bytes,
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
        let done = match self.dry_run {
            true => run::plan(&job, incoming).await.map(Done::Planned),
            false => run::run(&job, incoming).await.map(Done::Sealed),
        };
        terminal::clear();
        done.map_err(failure)
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
    pub(super) fn report(&self, period: &str, done: &Done, gone: &[String]) -> Result<u8, Failure> {
        let (refused, missing) = match done {
            Done::Planned(plan) => (plan.refused.len(), plan.missing.len()),
            Done::Sealed(outcome) => (outcome.refused.len(), outcome.missing.len()),
        };
        let facts = report::facts(period, done, gone, &self.output);
        if let Some(path) = &self.report {
            let text = serde_json::to_string_pretty(&facts).unwrap_or_default();
            fs::write(path, text).map_err(|error| Failure::io("write", path, &error))?;
        }
        match self.json {
            true => terminal::say_json(&facts),
            false => report::say(period, done, gone, &self.output),
        }
        Ok(match (refused == 0 && gone.is_empty(), missing == 0) {
            (false, _) => exit::SIGNATURE,
            (true, false) => exit::LOG,
            (true, true) => exit::OK,
        })
    }
}

/// What came of it.
pub(super) enum Done {
    /// Nothing was done: this would be.
    Planned(Plan),
    /// It was sealed.
    Sealed(Outcome),
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

/// What could not be read, with the reason.
type Gone = Rc<RefCell<Vec<String>>>;

impl Args {
    fn period(&self) -> Result<Period, Failure> {
        if let Some(name) = &self.release {
            require_name(name)?;
            let start = self.since.unwrap_or_else(|| UnixTime::from_seconds(0));
            // The first moment after what is there now.
            let next = now().floor_seconds().plus(Duration::from_secs(1));
            let end = self.until.unwrap_or(next).min(next);
            return Ok(Period {
                name: name.clone(),
                start,
                end,
            });
        }
        let last = || self.cadence.last(now());
        let named = self.month.clone().or_else(|| self.period.clone());
        let period = named.or_else(last);
        let period = period.ok_or_else(|| Failure::usage("the clock shows no date"))?;
        if period.end > now() {
            return Err(Failure::usage(format!("{} has not ended yet", period.name))
                .hint("a period is sealed once; --release NAME seals what is there now"));
        }
        Ok(period)
    }

    /// Returns who may have signed.
    fn rule(&self) -> Result<Rule, Failure> {
        let Some(path) = &self.policy else {
            let mut policy =
                Policy::for_certificates(IdentityRule::Given(Identities::AnyoneUnsafe));
            policy.keys = kept_keys(&self.public_key)?;
            return Ok(Rule {
                policy,
                digest: None,
            });
        };
        let files = read_policy_files(path)?;
        if files.policy.signers.is_empty() {
            return Err(
                Failure::usage(format!("{} names no signer", path.display()))
                    .hint("`stella policy schema` shows how signers are named"),
            );
        }
        Ok(Rule {
            policy: files.policy.to_verification(),
            digest: Some(sha256(&files.bytes)),
        })
    }

    /// Returns the attestations of every source that was named, else those of this machine's store.
    async fn incoming(&self, gone: &Gone) -> Result<(Incoming<'static>, Load), Failure> {
        let mut files = Vec::new();
        for path in &self.from {
            files.extend(files_of(path)?);
        }
        let mut attached = Vec::new();
        for image in &self.image {
            attached.extend(self.attached(image, gone).await?);
        }
        let sizes = files.iter().filter_map(|path| fs::metadata(path).ok());
        let sizes = sizes.map(|each| each.len());
        let mut total = sum(sizes.chain(attached.iter().map(|each| each.len() as u64)));
        let is_named = !files.is_empty() || !self.image.is_empty();
        let named = files.into_iter().flat_map(|path| source::bundles(&path));
        let named = named.chain(attached.into_iter().map(Ok));
        if is_named && self.store.is_none() {
            return Ok(Load::of(named, total));
        }
        let shelf = Shelf::new(places::store(self.store.clone()));
        let digests = shelf.digests();
        let digests = digests.map_err(|error| Failure::new(exit::INTERNAL, error.to_string()))?;
        total += sum(digests.iter().filter_map(|each| shelf.size(each)));
        let gone = Rc::clone(gone);
        let stored = digests
            .into_iter()
            .filter_map(move |digest| match shelf.read(&digest) {
                Ok(bytes) => Some(Ok(bytes)),
                Err(damage) => {
                    gone.borrow_mut().push(damage.to_string());
                    None
                }
            });
        Ok(Load::of(named.chain(stored), total))
    }

    async fn attached(&self, image: &str, gone: &Gone) -> Result<Vec<Vec<u8>>, Failure> {
        let registries = self.job.registry.open()?;
        let mut attached = Vec::new();
        for found in registries.resolve(image, &Which::All).await? {
            let repository = registries.attestations(&found.reference)?;
            let wanted = Wanted {
                look: Look::Thorough,
                ..Wanted::default()
            };
            let digest = &found.descriptor.digest;
            let collected = collect::collect(&repository, digest, wanted)
                .await
                .map_err(collect_failure)?;
            let missing = collected
                .gone
                .iter()
                .map(|digest| format!("{digest} is listed and not there"));
            gone.borrow_mut().extend(missing);
            for candidate in collected.into_candidates() {
                match candidate.found {
                    Found::Bytes(Ok(bytes)) => attached.push(bytes),
                    Found::Bytes(Err(damage)) => gone.borrow_mut().push(damage.to_string()),
                    // Pieces of before bundles have no bytes of their own to be kept.
                    Found::Pieces(_) => {
                        let digest = candidate.digest;
                        let what = format!(
                            "{digest} is an attestation in the form of before bundles, which is not archived"
                        );
                        gone.borrow_mut().push(what);
                    }
                }
            }
        }
        Ok(attached)
    }
}

/// How much comes in, and how much of it was taken.
pub(super) struct Load {
    /// Bytes; 0 where nobody wants to know.
    total: u64,
    taken: Arc<AtomicU64>,
    estimate: Estimate,
}

/// Sums up sizes where somebody looks: a store has many, and nobody else wants to know.
fn sum(sizes: impl Iterator<Item = u64>) -> u64 {
    match terminal::is_watched() {
        true => sizes.sum(),
        false => 0,
    }
}

impl Load {
    /// Nothing comes in.
    pub(super) fn none() -> Self {
        Self::new(0)
    }

    fn new(total: u64) -> Self {
        Self {
            total,
            taken: Arc::default(),
            estimate: Estimate::new(),
        }
    }

    fn of(
        attestations: impl Iterator<Item = Result<Vec<u8>, ArchiveError>> + 'static,
        total: u64,
    ) -> (Incoming<'static>, Self) {
        let load = Self::new(total);
        let taken = Arc::clone(&load.taken);
        let counted = attestations.inspect(move |each| {
            let bytes = each.as_ref().map_or(0, Vec::len) as u64;
            taken.fetch_add(bytes, Ordering::Relaxed);
        });
        (Box::pin(stream::iter(counted)), load)
    }

    fn left(&self) -> String {
        let taken = self.taken.load(Ordering::Relaxed);
        self.estimate.left(taken, self.total)
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

/// Returns the files of a folder that may be attestations, or the file itself.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| Failure::io("read", path, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| Failure::io("read", path, &error))?
            .path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_file() && matches!(ending, Some("json" | "jsonl")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn parse_time(text: &str) -> Result<UnixTime, String> {
    let time = UnixTime::parse_rfc3339(text).map(UnixTime::floor_seconds);
    time.ok_or_else(|| "expected a time such as 2026-11-01T00:00:00Z".to_owned())
}

/// Requires a name that can be a tag, and is no other period's.
fn require_name(name: &str) -> Result<(), Failure> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_tag = name.len() <= 128
        && name.bytes().next().is_some_and(is_word)
        && name
            .bytes()
            .all(|byte| is_word(byte) || byte == b'.' || byte == b'-');
    let is_ours = period::parse(name).is_ok() || name.starts_with("renewal-");
    match is_tag && !is_ours {
        true => Ok(()),
        false => Err(Failure::usage(format!("{name:?} cannot be a release's name"))
            .hint("letters, digits, _ . and -, a letter, digit or _ first; 2026-11, 2026-W48, 2026-Q4 and renewal-… are other periods' names")),
    }
}
