//! `stella serve`: the private Sigstore as a service, until SIGTERM or SIGINT.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stella_server::listen::{self, Exposure};
use stella_server::{Description, InstanceError, Sigstore};
use url::Url;

use crate::exit::{self, Failure};
use crate::{local, places, terminal};

/// Where a new instance listens when nothing is said.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8470";
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
    // 1. The instance: made at the first start, its URL fixed from then on.
    let (description, address) = prepare(&args, &directory)?;
    let sigstore = local::open(&directory, Duration::ZERO)
        .await
        .map_err(local::open_failure)?;
    // 2. The socket.
    let exposure = if args.insecure_dev_issuer {
        Exposure::InsecureOwnIssuer
    } else {
        Exposure::Guarded
    };
    let listener = listen::bind(&sigstore, address, exposure).await.map_err(|error| {
        Failure::new(exit::USAGE, error.to_string()).hint(
            "the public URL of an instance is fixed: free the port, or put a proxy before another --listen",
        )
    })?;
    // 3. Serve until told to stop.
    announce(&sigstore, &description, &directory, start.elapsed());
    let stop = stop_signal()?;
    listen::serve(sigstore, listener, stop).await;
    terminal::tell("stopped");
    Ok(exit::OK)
}

fn prepare(args: &Args, directory: &Path) -> Result<(Description, SocketAddr), Failure> {
    match Description::read(directory) {
        Ok(description) => {
            if args
                .url
                .as_ref()
                .is_some_and(|url| url.trim_end_matches('/') != description.url)
            {
                return Err(Failure::usage(format!("this instance's public URL is {} and cannot change", description.url))
                    .hint("certificates and log entries name it: make a new instance in another directory"));
            }
            let address = match args.listen {
                Some(address) => address,
                None => address_of(&description.url)?,
            };
            Ok((description, address))
        }
        Err(InstanceError::NotInitialised { .. }) => {
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
            local::init(directory, &url)?;
            let description = Description::read(directory).map_err(local::instance_failure)?;
            Ok((description, address))
        }
        Err(error) => Err(local::instance_failure(error)),
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

fn announce(sigstore: &Sigstore, description: &Description, directory: &Path, elapsed: Duration) {
    terminal::tell(&format!(
        "serving {} from {} (ready in {} ms)",
        description.url,
        directory.display(),
        elapsed.as_millis()
    ));
    terminal::tell(&format!(
        "  log      {} entries, origin {}",
        sigstore.rekor_size(),
        sigstore.origin()
    ));
    terminal::tell(&format!("  trust    stella trust use {}", description.url));
    terminal::tell(&format!(
        "  token    stella identity token --dir {}",
        directory.display()
    ));
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
