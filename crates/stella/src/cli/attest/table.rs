//! What signing needs from outside: how services are reached, which ones, and whom to believe.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stella_attest::file;
use stella_attest::session::Services;
use stella_bundle::certificate::Certificate;
use stella_bundle::key::KeyDetails;
use stella_bundle::pem;
use stella_bundle::signing_config::selection::ServiceKind;
use stella_bundle::time::UnixTime;
use stella_client::fulcio::Fulcio;
use stella_client::network::{Network, NetworkOptions};
use stella_client::rekor::Rekor;
use stella_client::retry::{RetryPolicy, Retrying};
use stella_client::tsa::Tsa;
use stella_server::HeldKeys;
use stella_wire::transport::Transport;

use crate::config::{Algorithm, Key, Keyless};
use crate::exit::Failure;
use crate::local::Local;
use crate::trust::{self, TrustMaterial};
use crate::{places, terminal};

/// With whom to sign.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Place {
    /// Sign with the services of this client trust config, and believe its trusted root
    #[arg(long, visible_alias = "trusted-root", value_name = "FILE")]
    pub(in crate::cli) trust_config: Option<PathBuf>,

    /// Sign with the instance in this directory on this machine
    #[arg(long, value_name = "DIR", conflicts_with = "trust_config")]
    pub(in crate::cli) dir: Option<PathBuf>,
}

/// What signing needs from outside: how to reach services, and whom to believe.
pub(in crate::cli) struct Table {
    pub(in crate::cli) transport: Arc<dyn Transport>,
    pub(in crate::cli) material: TrustMaterial,
    pub(in crate::cli) local: Option<Local>,
}

impl Table {
    /// Connects to the instance of this machine where nothing else is configured, else to the network.
    pub(in crate::cli) async fn lay(place: &Place, keyless: &Keyless) -> Result<Self, Failure> {
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
                let keys = HeldKeys::default();
                crate::local::init(&directory, crate::cli::serve::DEFAULT_URL, &keys)?;
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
    pub(in crate::cli) fn clear(&self) {
        if let Some(local) = &self.local {
            local.close();
        }
    }
}

/// Returns the services: those that the configuration names, else those that the signing config has chosen now.
///
/// With several logs or timestamp authorities each of them bears witness, and the bundle carries what each said.
pub(in crate::cli) fn services(
    keyless: &Keyless,
    material: &TrustMaterial,
    now: UnixTime,
    is_certified: bool,
) -> Result<Services, Failure> {
    let addresses = |kind| addresses(kind, keyless, material, now);
    let fulcio = match is_certified {
        true => addresses(ServiceKind::Fulcio)?,
        // A key that is known as it is asks nobody to certify it.
        false => Vec::new(),
    };
    let logs = addresses(ServiceKind::Rekor)?;
    let stamping = addresses(ServiceKind::Tsa)?;
    let fulcio = fulcio.first().map(|url| Fulcio::new(url));
    if is_certified && fulcio.is_none() {
        return Err(nobody(ServiceKind::Fulcio, "none is named"));
    }
    Ok(Services {
        fulcio,
        logs: logs.iter().map(|url| Rekor::new(url)).collect(),
        timestamp_authorities: stamping.iter().map(|url| Tsa::new(url)).collect(),
    })
}

/// Returns the addresses of one kind of service: the configured one, else those that the signing config has chosen.
pub(in crate::cli) fn addresses(
    kind: ServiceKind,
    keyless: &Keyless,
    material: &TrustMaterial,
    now: UnixTime,
) -> Result<Vec<String>, Failure> {
    let configured = match kind {
        ServiceKind::Fulcio => &keyless.fulcio,
        ServiceKind::Rekor => &keyless.rekor,
        ServiceKind::Tsa => &keyless.tsa,
        // Tokens are asked for elsewhere.
        ServiceKind::Oidc => &None,
    };
    match configured {
        Some(url) => Ok(vec![url.to_string()]),
        None => chosen(kind, material, now),
    }
}

/// Returns the addresses that the signing config has chosen, one or more.
fn chosen(
    kind: ServiceKind,
    material: &TrustMaterial,
    now: UnixTime,
) -> Result<Vec<String>, Failure> {
    let source = &material.source;
    let Some(config) = &material.signing else {
        return Err(nobody(kind, &format!("{source} names none")));
    };
    let chosen = config
        .choose(kind, kind.spoken(), now)
        .map_err(|error| nobody(kind, &format!("{source}: {error}")))?;
    Ok(chosen.iter().map(|service| service.url.clone()).collect())
}

fn nobody(kind: ServiceKind, reason: &str) -> Failure {
    let key = match kind {
        ServiceKind::Fulcio => Key::FulcioUrl,
        ServiceKind::Oidc => Key::OidcIssuer,
        ServiceKind::Rekor => Key::RekorUrl,
        ServiceKind::Tsa => Key::TsaUrl,
    };
    let what = kind.noun();
    Failure::usage(format!("no {what} to sign with: {reason}")).hint(format!(
        "use a client trust config (`stella trust use URL`), or set {}",
        key.path()
    ))
}

pub(in crate::cli) fn read_root_bundle(path: &Path) -> Result<Vec<Certificate>, Failure> {
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

pub(in crate::cli) const fn algorithm(algorithm: Algorithm) -> KeyDetails {
    match algorithm {
        Algorithm::EcdsaP256 => KeyDetails::EcdsaP256Sha256,
        Algorithm::EcdsaP384 => KeyDetails::EcdsaP384Sha384,
        Algorithm::Ed25519 => KeyDetails::Ed25519Ph,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io;

    use stella_bundle::signing_config::{Selection, Service, SigningConfig};

    use super::*;
    use crate::config::{self, Flags, Surroundings};
    use crate::trust::PUBLIC;

    const NOW: UnixTime = UnixTime::from_seconds(1_795_000_000);

    /// Returns a configuration with these settings.
    fn loaded(settings: &[(Key, &str)]) -> config::Loaded {
        let with_flag = |(key, text): &(Key, &str)| (*key, "--flag", (*text).to_owned());
        let flags = Flags {
            settings: settings.iter().map(with_flag).collect(),
            ..Flags::default()
        };
        let around = Surroundings {
            variable: &|_| None,
            read: &|_| Err(io::ErrorKind::NotFound.into()),
        };
        config::load(&flags, &around).unwrap()
    }

    fn service(url: &str, version: u32, operator: &str) -> Service {
        Service {
            url: url.to_owned(),
            major_api_version: version,
            valid_for: None,
            operator: operator.to_owned(),
        }
    }

    /// Returns a trust root with three operators' logs, two timestamp authorities of one operator, and one Fulcio.
    fn material(rekor: &str, tsa: &str) -> TrustMaterial {
        let mut material = PUBLIC.material().unwrap();
        material.signing = Some(SigningConfig {
            ca_urls: vec![service("https://fulcio.a", 1, "a")],
            rekor_tlog_urls: vec![
                service("https://v1.a", 1, "a"),
                service("https://rekor.a", 2, "a"),
                service("https://rekor.b", 2, "b"),
                service("https://rekor.c", 2, "c"),
            ],
            rekor_tlog_config: Selection::parse(rekor).unwrap(),
            tsa_urls: vec![
                service("https://tsa.a/1", 1, "a"),
                service("https://tsa.a/2", 1, "a"),
            ],
            tsa_config: Selection::parse(tsa).unwrap(),
            ..SigningConfig::default()
        });
        material
    }

    fn sign_with(settings: &[(Key, &str)], material: &TrustMaterial) -> Result<Services, Failure> {
        services(&loaded(settings).meant.keyless, material, NOW, true)
    }

    fn logs(urls: &[&str]) -> Vec<Rekor> {
        urls.iter().map(|url| Rekor::new(url)).collect()
    }

    #[test]
    fn as_many_logs_bear_witness_as_the_signing_config_asks_for() {
        for (selection, urls) in [
            ("ANY", &["https://rekor.a"][..]),
            ("EXACT:2", &["https://rekor.a", "https://rekor.b"]),
            (
                "ALL",
                &["https://rekor.a", "https://rekor.b", "https://rekor.c"],
            ),
        ] {
            let services = sign_with(&[], &material(selection, "ALL")).unwrap();
            assert_eq!(services.logs, logs(urls), "{selection}");
            assert_eq!(services.fulcio, Some(Fulcio::new("https://fulcio.a")));
            // Two of one operator are one.
            let tsa = [Tsa::new("https://tsa.a/1")];
            assert_eq!(services.timestamp_authorities, tsa);
        }
    }

    #[test]
    fn the_configuration_stands_above_the_signing_config() {
        let settings = [(Key::RekorUrl, "https://mine.example")];
        let services = sign_with(&settings, &material("EXACT:4", "ANY")).unwrap();
        assert_eq!(services.logs, logs(&["https://mine.example/"]));
    }

    #[test]
    fn too_few_services_are_a_usage_error_that_names_them() {
        let mut without = material("ANY", "ANY");
        without.signing = None;
        for (material, words) in [
            (
                material("EXACT:4", "ANY"),
                "asks for 4 of rekorTlogUrls, found 3",
            ),
            (material("ANY", "EXACT:2"), "asks for 2 of tsaUrls, found 1"),
            (without, "no Fulcio to sign with: public"),
            // What the public-good Sigstore offers for signing is Rekor v1.
            (PUBLIC.material().unwrap(), "API version 2"),
        ] {
            let failure = sign_with(&[], &material).unwrap_err();
            assert_eq!(failure.code, crate::exit::USAGE);
            assert!(failure.message.contains(words), "{failure:?}");
        }
    }
}
