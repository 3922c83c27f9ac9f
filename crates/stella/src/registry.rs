//! Registries as the command reaches them: flags, credentials, one connection to each host.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use stella_attest::cache::{self, Cache};
use stella_attest::collect::{CollectError, Collected};
use stella_attest::image::{self, Image, ImageError, Which};
use stella_client::network::{Certificates, Network, NetworkOptions, PlainHttp};
use stella_client::registry::certificates::{CertificateFolderError, CertificateFolders};
use stella_client::registry::credentials::{Credential, Credentials};
use stella_client::registry::{Registry, Repository, Traffic};
use stella_client::retry::{RetryPolicy, Retrying};
use stella_wire::registry::{Reference, ReferenceError};
use stella_wire::transport::Transport;

use crate::exit::{self, Failure};
use crate::{places, terminal};

/// How registries are reached.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct RegistryFlags {
    /// Keep attestations in this repository (REGISTRY/REPO) instead of the image's own
    #[arg(long, value_name = "REPOSITORY", env = "STELLA_REPOSITORY")]
    repository: Option<String>,

    /// Read registries' passwords from this file; by default where `stella login`, docker and podman keep them
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,

    /// Keep nothing that was read from registries, and read it anew: attestations are kept by their digest otherwise
    #[arg(long)]
    no_cache: bool,

    #[command(flatten)]
    connection: ConnectionFlags,
}

/// How a connection to a registry is made.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ConnectionFlags {
    /// Believe the certificate authorities in DIR/*.crt too, and show the certificate in DIR/*.cert with its key in
    /// *.key; by default those that docker and podman have for the registry (certs.d/HOST:PORT)
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,

    /// Speak plain http to registries beyond this machine: credentials and answers can be read and changed on the way
    #[arg(long)]
    insecure_plain_http: bool,
}

/// Which of an image is meant.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct WhichFlags {
    /// The index and every image in it, instead of what the reference names alone
    #[arg(short, long, conflicts_with = "platform")]
    recursive: bool,

    /// The image of this platform, of an index: os/architecture[/variant]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
}

impl WhichFlags {
    pub(crate) fn which(&self) -> Which {
        match (&self.platform, self.recursive) {
            (Some(platform), _) => Which::Platform(platform.clone()),
            (None, true) => Which::All,
            (None, false) => Which::Itself,
        }
    }
}

/// Registries that were opened in this run.
pub(crate) struct Registries {
    connections: Connections,
    credentials: Credentials,
    /// Where attestations are kept, if not beside their images.
    elsewhere: Option<Reference>,
    cache: Option<Cache>,
    open: Mutex<HashMap<String, Arc<Registry>>>,
}

impl RegistryFlags {
    /// Prepares to reach registries; nothing is opened yet.
    pub(crate) fn open(&self) -> Result<Registries, Failure> {
        let elsewhere = self.repository.as_deref().map(parse).transpose()?;
        Ok(Registries {
            connections: self.connection.open(),
            credentials: places::credentials(self.authfile.clone()),
            elsewhere,
            cache: (!self.no_cache).then(|| Cache::new(places::cache(), cache::MAX_BYTES)),
            open: Mutex::default(),
        })
    }
}

impl Registries {
    /// Returns the repository of an image.
    pub(crate) fn repository(&self, reference: &Reference) -> Result<Repository, Failure> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = match open.get(reference.registry()) {
            Some(registry) => Arc::clone(registry),
            None => {
                let credential = self
                    .credentials
                    .find(reference.registry(), reference.repository())?;
                let registry = Arc::new(self.connections.to(reference, credential)?);
                open.insert(reference.registry().to_owned(), Arc::clone(&registry));
                registry
            }
        };
        Ok(Repository::new(registry, reference.repository()))
    }

    /// Returns the repository in which the attestations of an image are kept.
    pub(crate) fn attestations(&self, reference: &Reference) -> Result<Repository, Failure> {
        self.repository(self.elsewhere.as_ref().unwrap_or(reference))
    }

    /// Finds what a text means.
    pub(crate) async fn resolve(&self, text: &str, which: &Which) -> Result<Vec<Image>, Failure> {
        let reference = parse(text)?;
        let repository = self.repository(&reference)?;
        let images = image::resolve(&repository, &reference, which).await;
        images.map_err(image_failure)
    }

    /// Returns where attestations that were read before may be.
    pub(crate) const fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// Returns how many requests were sent and how many bytes came back.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let each = |traffic: &Arc<Traffic>| (traffic.requests(), traffic.bytes());
        open.values()
            .map(|registry| each(registry.traffic()))
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

/// How connections to registries are made in this run.
struct Connections {
    /// For all registries that have no certificates of their own.
    usual: Arc<dyn Transport>,
    plain_http: PlainHttp,
    certificates: CertificateFolders,
}

impl ConnectionFlags {
    fn open(&self) -> Connections {
        let plain_http = match self.insecure_plain_http {
            true => PlainHttp::AnywhereInsecure,
            false => PlainHttp::LoopbackOnly,
        };
        Connections {
            usual: transport(plain_http, Certificates::default()),
            plain_http,
            certificates: places::certificates(self.cert_dir.clone()),
        }
    }

    /// Asks a registry whether it takes a credential.
    pub(crate) async fn check(
        &self,
        registry: &Reference,
        credential: Credential,
    ) -> Result<(), Failure> {
        Ok(self.open().to(registry, credential)?.check().await?)
    }
}

impl Connections {
    /// Returns the registry of a reference. Certificates for it mean TLS, on this machine too.
    fn to(&self, reference: &Reference, credential: Credential) -> Result<Registry, Failure> {
        let host = reference.host();
        Ok(match self.certificates.find(host).map_err(unusable)? {
            Some(certificates) => {
                let transport = transport(PlainHttp::LoopbackOnly, certificates);
                Registry::at(transport, &format!("https://{host}"), credential)
            }
            None => Registry::new(Arc::clone(&self.usual), host, self.plain_http, credential),
        })
    }
}

fn unusable(error: CertificateFolderError) -> Failure {
    Failure::usage(error.to_string())
        .hint("see containers-certs.d(5); --cert-dir DIR names another folder")
}

fn transport(plain_http: PlainHttp, certificates: Certificates) -> Arc<dyn Transport> {
    let options = NetworkOptions {
        plain_http,
        certificates,
        ..NetworkOptions::default()
    };
    let network = Arc::new(Network::new(options));
    Arc::new(Retrying::new(network, RetryPolicy::default()))
}

/// Reads a reference.
pub(crate) fn parse(text: &str) -> Result<Reference, Failure> {
    Reference::parse(text).map_err(|error| {
        let failure = Failure::usage(error.to_string());
        match error {
            ReferenceError::Digest { .. } => failure,
            _ => failure.hint("an image is named REGISTRY/REPO[:TAG][@sha256:HEX]"),
        }
    })
}

fn image_failure(error: ImageError) -> Failure {
    let message = error.to_string();
    match error {
        ImageError::Registry(error) => error.into(),
        ImageError::NotFound { .. } => Failure::new(exit::NO_ARTIFACT, message)
            .hint("look at the name and the tag; a private repository wants `stella login` first")
            .page("no-artifact"),
        ImageError::NoPlatform { .. } => {
            Failure::new(exit::NO_ARTIFACT, message).page("no-artifact")
        }
        _ => Failure::new(exit::NO_ARTIFACT, message),
    }
}

/// Tells of attestations that the registry lists and no longer has.
pub(crate) fn tell_gone(image: &Reference, collected: &Collected) {
    for digest in &collected.gone {
        terminal::tell(&format!(
            "warning: the attestation {digest} of {image} is listed and not there: the registry's garbage collection took it, or someone did"
        ));
    }
}

/// Says what to do about attestations that could not be collected.
pub(crate) fn collect_failure(error: CollectError) -> Failure {
    let message = error.to_string();
    match error {
        CollectError::Registry(error) => error.into(),
        CollectError::TooMany { .. } => {
            Failure::new(exit::SIGNATURE, message).hint("raise the limit with --max-attestations")
        }
        CollectError::Gone { .. } => Failure::new(exit::SIGNATURE, message)
            .hint("the registry lost what it lists: `stella mirror repair`, or sign again"),
        _ => Failure::new(exit::SIGNATURE, message),
    }
}
