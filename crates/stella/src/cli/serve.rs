//! `stella serve`: the private Sigstore as a service, until SIGTERM or SIGINT.

mod archivist;
mod held;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stella_server::listen::{self, Consent, Exposure, ListenError, Offered};
use stella_server::{
    Description, InstanceError, KeyReferences, OpenError, OwnIssuer, OwnRegistry, Sigstore,
};
use url::Url;

use self::archivist::Archivist;
use self::held::KeyFlags;
use crate::exit::{self, Failure};
use crate::key::PassphraseFlags;
use crate::{local, places, terminal};

/// Where a new instance listens when nothing is said.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8470";
/// How often the logs are looked at.
const WATCH: Duration = Duration::from_secs(1);
/// Its public URL then.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:8470";

/// Serve a private Sigstore: OIDC issuer, Fulcio, CT log, Rekor v2, timestamp authority
///
/// The directory holds keys, logs and trust files; it is made at the first start. The public URL is fixed then: it stands
/// in every certificate and log entry.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Then, in another terminal:
  stella trust use http://127.0.0.1:8470
  export STELLAOPS_OIDC_TOKEN=$(stella identity token --dir DIR)
  stella attest sign --keyless --artifact FILE")]
pub(crate) struct Args {
    /// The instance's directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Listen here; by default where the public URL points
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// The public URL of a new instance; by default http:// and the address listened on
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Offer the own issuer, which gives tokens to whoever has one secret, beyond the loopback interface
    #[arg(long)]
    insecure_dev_issuer: bool,

    /// Do without the own issuer: for sites with real issuers, which DIR/issuers.yaml names
    #[arg(long, conflicts_with = "insecure_dev_issuer")]
    no_dev_issuer: bool,

    /// Serve this too; may be given again
    #[arg(long, value_name = "WHAT", value_enum)]
    with: Vec<Extra>,

    /// Offer the registry, which whoever reaches it may read and write, beyond the loopback interface
    #[arg(long)]
    insecure_open_registry: bool,

    #[command(flatten)]
    keys: KeyFlags,

    #[command(flatten)]
    passphrase: PassphraseFlags,
}

/// What is served on demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Extra {
    /// The job that seals each period into the organisation's archive, as DIR/archivist.yaml says; reports are in DIR/archivist
    Archivist,
    /// An OCI registry, in DIR/registry: images, and attestations beside them
    Registry,
}

impl Args {
    const fn exposure(&self) -> Exposure {
        const fn consent(is_given: bool) -> Consent {
            if is_given {
                Consent::Insecure
            } else {
                Consent::Guarded
            }
        }
        Exposure {
            own_issuer: consent(self.insecure_dev_issuer),
            own_registry: consent(self.insecure_open_registry),
        }
    }

    fn offered(&self) -> Offered {
        Offered {
            own_issuer: if self.no_dev_issuer {
                OwnIssuer::Withhold
            } else {
                OwnIssuer::Offer
            },
            own_registry: if self.with.contains(&Extra::Registry) {
                OwnRegistry::Offer
            } else {
                OwnRegistry::Withhold
            },
        }
    }
}

pub(crate) fn run(args: Args) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Failure::new(exit::INTERNAL, format!("cannot start: {error}")))?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> Result<u8, Failure> {
    let start = Instant::now();
    let directory = places::instance(args.dir.clone());
    let offered = args.offered();
    // 1. What is asked for, and whether it may be: a refused start leaves nothing behind.
    let place = Place::find(&args, &directory)?;
    listen::require_guarded(&place.url, place.address, offered, args.exposure())
        .map_err(|error| listen_failure(&error))?;
    let archivist = match args.with.contains(&Extra::Archivist) {
        true => Some(Archivist::read(&directory)?),
        false => None,
    };
    // 2. The keys that are kept elsewhere.
    let keys = local::hold(&place.keys, &args.passphrase)?;
    // 3. The socket: who comes early waits in its queue.
    let listener = listen::bind_address(place.address)
        .await
        .map_err(|error| listen_failure(&error))?;
    // 4. The instance: made at the first start, its URL fixed from then on.
    if place.is_new {
        local::init(&directory, &place.url, &keys)?;
    }
    let sigstore = local::open(&directory, Duration::ZERO, offered, keys)
        .await
        .map_err(local::open_failure)?;
    // 5. Serve until told to stop.
    let address = listener.local_addr().unwrap_or(place.address);
    let stop = stop_signal()?;
    announce(&sigstore, address, &directory, start.elapsed());
    let archivist = archivist.map(|archivist| {
        terminal::tell(&format!("  archive  {}", archivist.announcement()));
        tokio::spawn(archivist.work())
    });
    let running = sigstore.clone();
    let mut failure = None;
    let end = async {
        tokio::select! {
            () = stop => {}
            error = stopped(&running) => failure = Some(error),
        }
    };
    listen::serve(sigstore, listener, end).await;
    if let Some(archivist) = archivist {
        // What it was doing is gone on with after the next start.
        archivist.abort();
    }
    terminal::tell("stopped");
    match failure {
        // Nothing that was acknowledged is lost; what nobody knows to be durable was not acknowledged.
        Some(error) => Err(Failure::new(exit::INTERNAL, error.to_string()).hint(
            "make room or mend the disk, see what is there with `stella log fsck`, and start again",
        )),
        None => Ok(exit::OK),
    }
}

/// Waits until a log stops: a service that cannot record must not look alive to whoever restarts it.
async fn stopped(sigstore: &Sigstore) -> OpenError {
    let mut look = tokio::time::interval(WATCH);
    loop {
        look.tick().await;
        if let Err(error) = sigstore.require_running() {
            return error;
        }
    }
}

/// Where an instance is served.
struct Place {
    /// Its public URL.
    url: String,
    /// The socket's address.
    address: SocketAddr,
    /// Its keys that are kept elsewhere.
    keys: KeyReferences,
    /// Whether it is still to be made.
    is_new: bool,
}

impl Place {
    fn find(args: &Args, directory: &Path) -> Result<Self, Failure> {
        match Description::read(directory) {
            Ok(description) => Self::of_existing(args, description),
            Err(InstanceError::NotInitialised { .. }) => Self::of_new(args),
            Err(error) => Err(local::instance_failure(error)),
        }
    }

    fn of_existing(args: &Args, description: Description) -> Result<Self, Failure> {
        let Description { url, keys, .. } = description;
        held::require_same(&args.keys.references()?, &keys)?;
        if args
            .url
            .as_ref()
            .is_some_and(|given| given.trim_end_matches('/') != url)
        {
            return Err(Failure::usage(format!(
                "this instance's public URL is {url} and cannot change"
            ))
            .hint(
                "certificates and log entries name it: make a new instance in another directory",
            ));
        }
        let address = match args.listen {
            Some(address) => address,
            None => address_of(&url)?,
        };
        Ok(Self {
            url,
            address,
            keys,
            is_new: false,
        })
    }

    fn of_new(args: &Args) -> Result<Self, Failure> {
        let default = || {
            DEFAULT_ADDRESS
                .parse()
                .map_err(|_| Failure::usage("no address to listen on"))
        };
        let address = args.listen.map_or_else(default, Ok)?;
        if address.port() == 0 && args.url.is_none() {
            return Err(Failure::usage(
                "a new instance needs its port: the public URL is fixed when it is made",
            ));
        }
        let url = args
            .url
            .clone()
            .unwrap_or_else(|| format!("http://{address}"));
        local::parse_url(&url)?;
        Ok(Self {
            url,
            address,
            keys: args.keys.references()?,
            is_new: true,
        })
    }
}

/// Says what to do about a socket that is not opened.
fn listen_failure(error: &ListenError) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error {
        ListenError::Address { kind, .. } => failure.hint(match kind {
            io::ErrorKind::AddrInUse => {
                "another program has the port: stop it, or name a free one with --listen (the public URL of an instance is fixed: then a proxy leads from it to there)"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 are for the system: name another one with --listen, and put a proxy before it"
            }
            _ => "name an address of this machine with --listen ADDRESS:PORT",
        }),
        ListenError::OwnIssuerExposed { .. } => failure.hint(
            "listen on 127.0.0.1; or with real issuers in DIR/issuers.yaml do without the own one: --no-dev-issuer",
        ),
        ListenError::OwnIssuerPublic { .. } => failure.hint(
            "a proxy would lead strangers to it: with real issuers in DIR/issuers.yaml do without the own one: --no-dev-issuer",
        ),
        ListenError::RegistryExposed { .. } | ListenError::RegistryPublic { .. } => failure.hint(
            "serve the registry from an instance on 127.0.0.1, or put a proxy before this one that asks who comes to /v2/",
        ),
        _ => failure,
    }
}

/// Returns the socket address that a public URL names, when it names one by number.
fn address_of(url: &str) -> Result<SocketAddr, Failure> {
    let address = Url::parse(url)
        .ok()
        .and_then(|url| url.socket_addrs(|| None).ok()?.first().copied());
    address.ok_or_else(|| {
        Failure::usage(format!(
            "the public URL {url} names no address of this machine"
        ))
        .hint("say where to listen: --listen ADDRESS:PORT")
    })
}

fn announce(sigstore: &Sigstore, address: SocketAddr, directory: &Path, elapsed: Duration) {
    let url = sigstore.url();
    terminal::tell(&format!(
        "serving {url} from {} (ready in {} ms)",
        directory.display(),
        elapsed.as_millis()
    ));
    terminal::tell(&format!(
        "  log      {} entries, origin {}",
        sigstore.rekor_size(),
        sigstore.origin()
    ));
    if url.split_once("://").map(|(_, host)| host) != Some(address.to_string().as_str()) {
        terminal::tell(&format!("  listens  on {address}"));
    }
    terminal::tell(&format!("  trust    stella trust use {url}"));
    if sigstore.own_issuer() == OwnIssuer::Offer {
        terminal::tell(&format!(
            "  token    stella identity token --dir {}",
            directory.display()
        ));
    }
    if sigstore.own_registry() == OwnRegistry::Offer {
        let host = url.split_once("://").map_or(url, |(_, host)| host);
        terminal::tell(&format!(
            "  registry {host}/REPOSITORY:TAG, open to whoever reaches it"
        ));
    }
}

/// Resolves at SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let catch = |kind| {
        signal(kind)
            .map_err(|error| Failure::new(exit::INTERNAL, format!("cannot catch signals: {error}")))
    };
    let (mut terminate, mut interrupt) = (
        catch(SignalKind::terminate())?,
        catch(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
