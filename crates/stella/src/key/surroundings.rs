//! What drivers of key services are handed: the environment, the clock and the network of this process.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stella_attest::file;
use stella_client::kms::Surroundings;
use stella_client::network::{Certificates, Network, NetworkOptions, PlainHttp};
use stella_client::retry::TokioWaiting;
use stella_server::{Clock as _, SystemClock};

use crate::exit::Failure;
use crate::places;

/// Metadata services are on the same link, or not there.
const METADATA_DEADLINE: Duration = Duration::from_secs(3);

/// The certificate authorities of a Vault or an OpenBao, beside the system's.
const AUTHORITIES: [(&str, [&str; 2]); 2] = [
    ("hashivault", ["VAULT_CACERT", "BAO_CACERT"]),
    ("openbao", ["BAO_CACERT", "VAULT_CACERT"]),
];
/// Bytes of a file with certificates.
const MAX_CERTIFICATES: usize = 1 << 20;

/// Returns the surroundings for services of a scheme.
pub(super) fn of(scheme: &str) -> Result<Surroundings, Failure> {
    let network = Network::new(NetworkOptions {
        certificates: certificates(scheme)?,
        ..NetworkOptions::default()
    });
    let metadata = Network::new(NetworkOptions {
        deadline: METADATA_DEADLINE,
        plain_http: PlainHttp::Link,
        ..NetworkOptions::default()
    });
    Ok(Surroundings {
        variable: Box::new(|name| env::var(name).ok()),
        home: places::user_home(),
        clock: || SystemClock.now(),
        network: Arc::new(network),
        metadata: Arc::new(metadata),
        waiting: Arc::new(TokioWaiting::default()),
    })
}

fn certificates(scheme: &str) -> Result<Certificates, Failure> {
    let mut certificates = Certificates::default();
    let variables = AUTHORITIES.iter().find(|(name, _)| *name == scheme);
    let variables = variables.map_or([].as_slice(), |(_, variables)| variables);
    let set = |name: &&str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = variables.iter().find_map(set) {
        let path = Path::new(&path);
        let pem = file::read(path, MAX_CERTIFICATES);
        let pem = pem.map_err(|error| Failure::io("read", path, &error))?;
        let believed = certificates.believe(&pem);
        believed
            .map_err(|error| Failure::usage(format!("cannot use {}: {error}", path.display())))?;
    }
    Ok(certificates)
}
