//! The instance as a whole: made once, opened under its lock, asked by path.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use stella_bundle::time::UnixTime;
use stella_tlog::note::{KeyName, VerifierKeyError};
use stella_tlog::tree::TreeSize;
use stella_wire::oidc::DISCOVERY_PATH;
use stella_wire::problem::Code;
use stella_wire::{
    Request, Response, Sending, Transport, fulcio as fulcio_words, rekor as rekor_words,
    tsa as tsa_words,
};
use url::Url;

use crate::answer;
use crate::clock::{Clock, SteadyClock, SystemClock};
use crate::ct::{self, CtLog};
use crate::directory::{self, FileError};
use crate::disk::Local;
use crate::fulcio::Fulcio;
use crate::held::HeldKeys;
use crate::instance::{Instance, InstanceError};
use crate::issuers::{ConfigurationError, Issuers};
use crate::log::{CheckpointSigner, EntryFormat, Log, LogError, LogOptions};
use crate::metrics::Metrics;
use crate::oidc::{self, Issuer, TokenRefusal, TokenRequest, authorization};
use crate::problem::Problem;
use crate::reading;
use crate::registry::{Registry, RegistryError, RegistryOptions};
use crate::rekor::{GenesisError, Rekor};
use crate::trust::{self, TrustFiles};
use crate::tsa::TimestampAuthority;

/// The archivist's numbers inside the directory, in the text form that Prometheus reads; they are shown with the instance's own.
pub const ARCHIVE_METRICS: &str = "archivist/metrics.prom";
/// Bytes of them.
const MAX_METRICS: u64 = 64 << 10;
/// The registry's folder inside the directory.
const REGISTRY: &str = "registry";

/// What a new instance needs to be told.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Public URL: `http(s)://host[:port]`, fixed for the instance's life. Its host is the log's origin.
    pub url: Url,
    /// When it is made.
    pub now: UnixTime,
}

/// Whether the instance mints tokens itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnIssuer {
    /// It does, for whoever has the secret, and Fulcio believes them.
    Offer,
    /// It does not: tokens come from `issuers.yaml` only.
    Withhold,
}

/// Whether the instance has a registry beside its services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnRegistry {
    /// It has one, in `registry/` of its directory, which whoever reaches it may read and write.
    Offer,
    /// It has none; one that was there stays as it is.
    Withhold,
}

/// How an instance is opened.
#[derive(Clone)]
pub struct Options {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How issuers are asked for their keys; none means that all keys are pinned.
    pub transport: Option<Arc<dyn Transport>>,
    /// Whether the instance mints tokens itself.
    pub own_issuer: OwnIssuer,
    /// Whether the instance has a registry.
    pub own_registry: OwnRegistry,
    /// How long to wait for another process to give the instance up.
    pub patience: Duration,
    /// The keys that are kept elsewhere, opened: all that the instance's description names.
    pub keys: HeldKeys,
}

impl Default for Options {
    /// The machine's clock, no network, own tokens, no registry, no waiting.
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            transport: None,
            own_issuer: OwnIssuer::Offer,
            own_registry: OwnRegistry::Withhold,
            patience: Duration::ZERO,
            keys: HeldKeys::default(),
        }
    }
}

/// The ways in which an instance cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// `issuers.yaml` cannot be used.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// A trust file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The directory is no usable instance, or another process has it.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// A log could not be opened.
    #[error("the {log} log cannot be used: {error}")]
    Log {
        /// `ct` or `rekor`.
        log: &'static str,
        /// Why.
        error: LogError,
    },
    /// The public URL's host cannot name a log.
    #[error("the instance's URL cannot name a log: {0}")]
    Origin(#[from] VerifierKeyError),
    /// The registry could not be opened.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The first entry of the Rekor log could not be signed.
    #[error(transparent)]
    Key(#[from] stella_keys::KeyError),
}

/// An open instance. Clones share it; the lock is given up when the last one goes.
#[derive(Clone)]
pub struct Sigstore(Arc<Services>);

struct Services {
    /// Where the archivist keeps its numbers, if there is one.
    archive_metrics: PathBuf,
    instance: Arc<Instance>,
    clock: SteadyClock,
    codes: authorization::Codes,
    ct: Arc<CtLog>,
    fulcio: Fulcio,
    issuer: Option<Issuer>,
    metrics: Arc<Metrics>,
    registry: Option<Registry>,
    rekor: Rekor,
    trust: TrustFiles,
    tsa: TimestampAuthority,
}

impl Sigstore {
    /// Makes an instance in a new directory, or in an empty one of the same user: keys, certificates, secret. Nothing is
    /// served yet.
    ///
    /// # Errors
    /// `AlreadyInitialised`, `NotEmpty`, `NotOwned`: the directory is as it was. `Locked`, `UrlUnusable`, `File`, `Key`.
    pub fn init(directory: &Path, options: &InitOptions) -> Result<(), InstanceError> {
        Self::init_with(directory, options, &HeldKeys::default())
    }

    /// As [`Sigstore::init`], with keys that are kept elsewhere; how they are named is recorded.
    ///
    /// # Errors
    /// As above, and `KeyUnsuitable`.
    pub fn init_with(
        directory: &Path,
        options: &InitOptions,
        keys: &HeldKeys,
    ) -> Result<(), InstanceError> {
        Instance::create(directory, &options.url, options.now, keys)
    }

    /// Takes the lock, reads keys and configuration, recovers both logs, writes the trust files, and opens the registry if
    /// there shall be one.
    ///
    /// # Errors
    /// [`OpenError`]; `Instance(Locked)` when another process keeps the instance for longer than the patience.
    pub async fn open(directory: &Path, options: Options) -> Result<Self, OpenError> {
        // 1. The directory, ours alone from here on.
        let instance = Arc::new(open_patiently(directory, &options).await?);
        let clock = SteadyClock::new(Arc::clone(&options.clock));
        let metrics = Arc::new(Metrics::default());
        // 2. Whom Fulcio believes.
        let issuer = match options.own_issuer {
            OwnIssuer::Offer => Some(Issuer::new(
                directory,
                instance.url(),
                Arc::clone(&instance.oidc),
                &instance.secret,
            )?),
            OwnIssuer::Withhold => None,
        };
        let own = issuer
            .as_ref()
            .map(|issuer| (instance.url(), issuer.jwks()));
        let issuers = Issuers::load(directory, own, options.transport.as_ref())?;
        // 3. Both logs, recovered.
        let origin = KeyName::new(instance.origin())?;
        let signer = CheckpointSigner::text(origin, Arc::clone(&instance.rekor))?;
        let log_id = signer.key().log_id();
        let rekor = open_log(
            &instance,
            "rekor",
            signer,
            EntryFormat::Rekor,
            &options.clock,
        )?;
        let rekor = Rekor::new(rekor, log_id, Arc::clone(&metrics));
        rekor
            .write_genesis(instance.origin())
            .await
            .map_err(|error| match error {
                GenesisError::Key(error) => OpenError::Key(error),
                GenesisError::Log(error) => OpenError::Log {
                    log: "rekor",
                    error,
                },
            })?;
        let origin = KeyName::new(&format!("{}{}", instance.host(), ct::PREFIX))?;
        let signer = CheckpointSigner::tree_head(origin, Arc::clone(&instance.ct))?;
        let ct = open_log(
            &instance,
            "ct",
            signer,
            EntryFormat::StaticCt,
            &options.clock,
        )?;
        let ct = Arc::new(CtLog::new(Arc::clone(&instance), ct));
        // 4. What clients need to know.
        let trust = TrustFiles::new(&instance, log_id);
        trust.write(&instance)?;
        // 5. The registry.
        let registry = match options.own_registry {
            OwnRegistry::Offer => Some(Registry::open(
                &directory.join(REGISTRY),
                RegistryOptions::default(),
            )?),
            OwnRegistry::Withhold => None,
        };
        let fulcio = Fulcio::new(
            Arc::clone(&instance),
            issuers,
            Arc::clone(&ct),
            clock.clone(),
            Arc::clone(&metrics),
        );
        let tsa =
            TimestampAuthority::new(Arc::clone(&instance), clock.clone(), Arc::clone(&metrics));
        let codes = authorization::Codes::default();
        Ok(Self(Arc::new(Services {
            archive_metrics: directory.join(ARCHIVE_METRICS),
            instance,
            clock,
            codes,
            ct,
            fulcio,
            issuer,
            metrics,
            registry,
            rekor,
            trust,
            tsa,
        })))
    }

    /// Returns the public URL, without a slash at the end; it is the local issuer's name too.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.instance.url()
    }

    /// Returns the Rekor log's origin.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.0.instance.origin()
    }

    /// Says whether the instance mints tokens itself.
    #[must_use]
    pub fn own_issuer(&self) -> OwnIssuer {
        if self.0.issuer.is_some() {
            OwnIssuer::Offer
        } else {
            OwnIssuer::Withhold
        }
    }

    /// Says whether the instance has a registry.
    #[must_use]
    pub fn own_registry(&self) -> OwnRegistry {
        if self.0.registry.is_some() {
            OwnRegistry::Offer
        } else {
            OwnRegistry::Withhold
        }
    }

    /// Returns the registry, if a path is its.
    pub(crate) fn registry_of(&self, path: &str) -> Option<&Registry> {
        let registry = self.0.registry.as_ref()?;
        Registry::has_path(path).then(|| {
            self.0.metrics.requests.add();
            registry
        })
    }

    /// Returns `trusted_root.json`.
    #[must_use]
    pub fn trusted_root(&self) -> &[u8] {
        self.0.trust.file("trusted_root.json").unwrap_or_default()
    }

    /// Returns `signing_config.json`.
    #[must_use]
    pub fn signing_config(&self) -> &[u8] {
        self.0.trust.file("signing_config.json").unwrap_or_default()
    }

    /// Returns `client_trust_config.json`.
    #[must_use]
    pub fn client_trust_config(&self) -> &[u8] {
        self.0
            .trust
            .file("client_trust_config.json")
            .unwrap_or_default()
    }

    /// Makes an identity token of the local issuer. Whoever can open the directory has the secret already.
    ///
    /// # Errors
    /// [`TokenRefusal`]; `SubjectNotAllowed` also when the own issuer is withheld.
    pub fn identity_token(&self, request: &TokenRequest) -> Result<String, TokenRefusal> {
        let services = &self.0;
        let Some(issuer) = &services.issuer else {
            let subject = request.subject.clone().unwrap_or_default();
            return Err(TokenRefusal::SubjectNotAllowed { subject });
        };
        let token = issuer.mint(services.clock.now(), request, None)?;
        services.metrics.tokens.add();
        Ok(token)
    }

    /// Returns the number of entries in the Rekor log, the genesis entry included.
    #[must_use]
    pub fn rekor_size(&self) -> TreeSize {
        self.0.rekor.log().size()
    }

    /// Requires that both logs take entries.
    ///
    /// # Errors
    /// `Log`: a disk that failed leaves nobody knowing what is durable, so the log stopped; a new start reads what is
    /// there and goes on from it.
    pub fn require_running(&self) -> Result<(), OpenError> {
        let stopped = |(log, error)| OpenError::Log { log, error };
        self.0.require_running().map_err(stopped)
    }

    /// Stops both logs after what waits in them is durable and in tiles. Later requests to them get 503.
    pub fn close(&self) {
        self.0.rekor.log().close();
        self.0.ct.log().close();
    }

    /// Answers a request to a service of Sigstore by its path, whatever host it names. The registry, whose bodies need not
    /// fit into memory, is asked by itself.
    pub async fn answer(&self, request: &Request) -> Response {
        let services = &self.0;
        services.metrics.requests.add();
        match services.route(request).await {
            Ok(response) => response,
            Err(problem) => {
                services.metrics.problems.add();
                problem.into_response()
            }
        }
    }
}

impl Transport for Sigstore {
    fn send(&self, request: Request) -> Sending<'_> {
        match self.registry_of(request.uri().path()) {
            Some(registry) => registry.send(request),
            None => Box::pin(async move { Ok(self.answer(&request).await) }),
        }
    }
}

impl std::fmt::Debug for Sigstore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sigstore")
            .field("instance", &self.0.instance)
            .finish_non_exhaustive()
    }
}

impl Services {
    async fn route(&self, request: &Request) -> Result<Response, Problem> {
        let path = request.uri().path();
        match *request.method() {
            Method::POST => match path {
                fulcio_words::SIGNING_CERT_PATH => self.fulcio.sign(request).await,
                fulcio_words::LEGACY_SIGNING_CERT_PATH => self.fulcio.sign_legacy(request).await,
                rekor_words::ENTRIES_PATH => self.rekor.add(request).await,
                tsa_words::TIMESTAMP_PATH => self.tsa.stamp(request),
                authorization::EXCHANGE_PATH => {
                    authorization::exchange(self.issuer()?, &self.codes, request, self.clock.now())
                }
                _ => Err(wrong_method(path, &Method::POST)),
            },
            Method::GET | Method::HEAD => self.read(request, path),
            _ => Err(wrong_method(path, request.method())),
        }
    }

    fn read(&self, request: &Request, path: &str) -> Result<Response, Problem> {
        match path {
            DISCOVERY_PATH => Ok(self.issuer()?.discovery()),
            oidc::JWKS_PATH => Ok(self.issuer()?.keys()),
            oidc::TOKEN_PATH => {
                let host = self.instance.host();
                let answered = self.issuer()?.token(request, host, self.clock.now());
                answered.inspect(|_| self.metrics.tokens.add())
            }
            authorization::AUTHORIZE_PATH => {
                let host = self.instance.host();
                authorization::authorize(
                    self.issuer()?,
                    &self.codes,
                    request,
                    host,
                    self.clock.now(),
                )
            }
            fulcio_words::TRUST_BUNDLE_PATH => Ok(self.fulcio.trust_bundle()),
            fulcio_words::CONFIGURATION_PATH => Ok(self.fulcio.configuration()),
            fulcio_words::LEGACY_ROOT_CERT_PATH => Ok(self.fulcio.root_legacy()),
            tsa_words::CERTIFICATE_CHAIN_PATH => Ok(self.tsa.chain()),
            "/healthz" => Ok(answer::json(StatusCode::OK, r#"{"status":"SERVING"}"#)),
            "/ping" => Ok(answer::text(StatusCode::OK, "pong\n")),
            "/readyz" => self.ready(),
            "/metrics" => {
                // None where nobody archives.
                let archive = directory::read(&self.archive_metrics, MAX_METRICS);
                let archive = archive.unwrap_or_default();
                let archive = String::from_utf8_lossy(&archive);
                Ok(self.metrics.page(&self.days(), &archive))
            }
            _ => self.read_below(path),
        }
    }

    fn read_below(&self, path: &str) -> Result<Response, Problem> {
        if let Some(name) = path.strip_prefix(trust::PREFIX) {
            return self.trust.read(name).ok_or_else(reading::not_found);
        }
        if let Some(path) = path
            .strip_prefix(ct::PREFIX)
            .and_then(|path| path.strip_prefix('/'))
        {
            return self.ct.read(path);
        }
        // spec: the write API says /api/v2, clients that read ask below the log's own URL: both are served.
        let below = path
            .strip_prefix("/api/v2/")
            .or_else(|| path.strip_prefix('/'));
        if POST_ONLY.contains(&path) {
            return Err(wrong_method(path, &Method::GET));
        }
        self.rekor.read(below.unwrap_or(path))
    }

    fn issuer(&self) -> Result<&Issuer, Problem> {
        self.issuer.as_ref().ok_or_else(reading::not_found)
    }

    /// Requires that both logs take entries. A log that stopped stays so until the process starts again.
    fn require_running(&self) -> Result<(), (&'static str, LogError)> {
        for (name, log) in [("rekor", self.rekor.log()), ("ct", self.ct.log())] {
            log.require_running().map_err(|error| (name, error))?;
        }
        Ok(())
    }

    fn ready(&self) -> Result<Response, Problem> {
        self.require_running().map_err(|(name, error)| {
            let message = format!("the {name} log takes no entries");
            Problem::new(Code::Unavailable, message, "NOT_READY").because(error)
        })?;
        Ok(answer::json(StatusCode::OK, r#"{"status":"READY"}"#))
    }

    fn days(&self) -> [(&'static str, i64); 2] {
        let now = self.clock.now();
        let days = |ends: UnixTime| (ends.seconds() - now.seconds()) / 86_400;
        [
            (
                "fulcio-intermediate",
                days(self.instance.intermediate.certificate.not_after()),
            ),
            (
                "timestamp-authority",
                days(self.instance.timestamping.certificate.not_after()),
            ),
        ]
    }
}

/// Paths that exist and cannot be read.
const POST_ONLY: [&str; 5] = [
    fulcio_words::SIGNING_CERT_PATH,
    fulcio_words::LEGACY_SIGNING_CERT_PATH,
    rekor_words::ENTRIES_PATH,
    tsa_words::TIMESTAMP_PATH,
    authorization::EXCHANGE_PATH,
];

/// The refusal of a method: a path that exists takes another one, any other path is not found.
fn wrong_method(path: &str, method: &Method) -> Problem {
    if !POST_ONLY.contains(&path) {
        return reading::not_found();
    }
    let message = format!("{path} does not take {method}");
    Problem::new(Code::Unimplemented, message, "METHOD_WRONG")
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

async fn open_patiently(directory: &Path, options: &Options) -> Result<Instance, InstanceError> {
    /// Between two tries: short beside the life of a signing process, long beside the system call.
    const PAUSE: Duration = Duration::from_millis(20);
    let deadline = tokio::time::Instant::now() + options.patience;
    loop {
        match Instance::open(directory, &options.keys) {
            Err(InstanceError::Locked { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(PAUSE).await;
            }
            opened => return opened,
        }
    }
}

/// Opens one of the two logs in its folder of the directory.
fn open_log(
    instance: &Instance,
    folder: &'static str,
    signer: CheckpointSigner,
    format: EntryFormat,
    clock: &Arc<dyn Clock>,
) -> Result<Log, OpenError> {
    let path = instance.directory.join(folder);
    let disk = Local::open(&path).map_err(|error| FileError {
        action: "open",
        path,
        kind: error.kind(),
    })?;
    let origin = signer.key().name().clone();
    let clock = Arc::clone(clock);
    let options = LogOptions::new(
        origin,
        format,
        vec![Arc::new(signer)],
        Arc::new(move || clock.now()),
    );
    Log::open(Arc::new(disk), options).map_err(|error| OpenError::Log { log: folder, error })
}
