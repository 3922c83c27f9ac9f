//! What signing needs from outside: how services are reached, which ones, and whom to believe.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stella_attest::file;
use stella_attest::session::Services;
use stella_bundle::certificate::Certificate;
use stella_bundle::key::KeyDetails;
use stella_bundle::pem;
use stella_bundle::time::UnixTime;
use stella_client::error::ClientError;
use stella_client::fulcio::Fulcio;
use stella_client::network::{Network, NetworkOptions};
use stella_client::rekor::Rekor;
use stella_client::retry::{RetryPolicy, Retrying};
use stella_client::tsa::Tsa;
use stella_wire::transport::Transport;

use crate::config::{Algorithm, Keyless};
use crate::exit::Failure;
use crate::local::Local;
use crate::trust::{self, TrustMaterial};
use crate::{places, terminal};

/// With whom to sign.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Sign with the services of this client trust config, and believe its trusted root
    #[arg(long, visible_alias = "trusted-root", value_name = "FILE")]
    pub(super) trust_config: Option<PathBuf>,

    /// Sign with the instance in this directory on this machine
    #[arg(long, value_name = "DIR", conflicts_with = "trust_config")]
    pub(super) dir: Option<PathBuf>,
}

/// What signing needs from outside: how to reach services, and whom to believe.
pub(super) struct Table {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) material: TrustMaterial,
    pub(super) local: Option<Local>,
}

impl Table {
    /// Connects to the instance of this machine where nothing else is configured, else to the network.
    pub(super) async fn lay(place: &Place, keyless: &Keyless) -> Result<Self, Failure> {
        let is_configured = place.trust_config.is_some()
            || keyless.trust.is_some()
            || trust::Folder::usual().record()?.is_some();
        if place.dir.is_some() || !is_configured {
            let directory = places::instance(place.dir.clone());
            if place.dir.is_none() {
                // What a pipeline invents for itself is gone with it, and proves nothing to anyone.
                if trust::is_ci() {
                    return Err(Failure::usage("no trust root was chosen, and in CI no instance is made unasked")
                        .hint("say with whom to sign: `stella trust use public | FILE | URL`, --trust-config FILE, or --dir DIR"));
                }
                terminal::tell(&format!(
                    "note: no trust root was chosen; signing with this machine's own instance in {}",
                    directory.display()
                ));
                crate::local::init(&directory, crate::cli::serve::DEFAULT_URL)?;
            }
            let local = Local::connect(&directory).await?;
            let (transport, material) = (Arc::clone(&local.transport), local.material.clone());
            return Ok(Self {
                transport,
                material,
                local: Some(local),
            });
        }
        let material =
            trust::choose_for_signing(place.trust_config.as_deref(), keyless.trust.as_ref())?;
        let options = NetworkOptions {
            deadline: keyless.timeout,
            ..NetworkOptions::default()
        };
        let policy = RetryPolicy {
            retries: keyless.retries,
            ..RetryPolicy::default()
        };
        let transport = Arc::new(Retrying::new(Arc::new(Network::new(options)), policy));
        Ok(Self {
            transport,
            material,
            local: None,
        })
    }

    /// Closes what was opened for this call.
    pub(super) fn clear(&self) {
        if let Some(local) = &self.local {
            local.close();
        }
    }
}

/// Returns the services: those that the configuration names, else those of the signing config.
pub(super) fn services(
    keyless: &Keyless,
    material: &TrustMaterial,
    now: UnixTime,
) -> Result<Services, Failure> {
    let config = material.signing.as_ref();
    let missing = |what: &str, key: &str| {
        Failure::usage(format!(
            "no {what} to sign with: {} names none",
            material.source
        ))
        .hint(format!(
            "use a client trust config (`stella trust use URL`), or set {key}"
        ))
    };
    let fulcio = match (
        &keyless.fulcio,
        config.and_then(|config| config.certificate_authority(now)),
    ) {
        (Some(url), _) => url.to_string(),
        (None, Some(service)) => service.url.clone(),
        (None, None) => return Err(missing("Fulcio", "signer.signing.keyless.fulcio.url")),
    };
    let logs = match (&keyless.rekor, config) {
        (Some(url), _) => vec![url.to_string()],
        (None, Some(config)) => urls(config.logs(now).map_err(ClientError::from)?),
        (None, None) => return Err(missing("Rekor", "signer.signing.keyless.rekor.url")),
    };
    let stamping = match (&keyless.tsa, config) {
        (Some(url), _) => vec![url.to_string()],
        (None, Some(config)) => urls(
            config
                .timestamp_authorities(now)
                .map_err(ClientError::from)?,
        ),
        (None, None) => {
            return Err(missing(
                "timestamp authority",
                "signer.signing.keyless.tsa.url",
            ));
        }
    };
    Ok(Services {
        fulcio: Some(Fulcio::new(&fulcio)),
        logs: logs.iter().map(|url| Rekor::new(url)).collect(),
        timestamp_authorities: stamping.iter().map(|url| Tsa::new(url)).collect(),
    })
}

fn urls(services: Vec<&stella_bundle::signing_config::Service>) -> Vec<String> {
    services
        .into_iter()
        .map(|service| service.url.clone())
        .collect()
}

pub(super) fn read_root_bundle(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let refuse =
        |reason: String| Failure::usage(format!("rootBundlePath {}: {reason}", path.display()));
    let bytes = file::read(path, pem::MAX_TEXT).map_err(|error| refuse(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| refuse(error.to_string()))?;
    let blocks = pem::decode_all(&text).map_err(|error| refuse(error.to_string()))?;
    let certificates = blocks
        .iter()
        .map(|block| Certificate::parse(&block.der))
        .collect::<Result<_, _>>();
    certificates.map_err(|error| refuse(error.to_string()))
}

pub(super) const fn algorithm(algorithm: Algorithm) -> KeyDetails {
    match algorithm {
        Algorithm::EcdsaP256 => KeyDetails::EcdsaP256Sha256,
        Algorithm::EcdsaP384 => KeyDetails::EcdsaP384Sha384,
        Algorithm::Ed25519 => KeyDetails::Ed25519Ph,
    }
}
