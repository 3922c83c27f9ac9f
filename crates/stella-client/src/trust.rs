//! A trust configuration from an instance that serves it: whom to trust and where to sign, in one file.
//!
//! What is fetched is believed because of its fingerprint, or because it lies on this very machine; recording the choice
//! is the command's.

use bytes::Bytes;
use http::Method;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::signing_config::ClientTrustConfig;
use stella_wire::limits;
use stella_wire::transport::Transport;
use url::Url;

use crate::error::{ClientError, Service, TrustProblem};
use crate::exchange;
use crate::network;

/// Where an instance serves its client trust configuration, below its base URL.
pub const CLIENT_TRUST_CONFIG_PATH: &str = "/.well-known/stella/client-trust-config.json";

/// A trust configuration with the digest that names it.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchedTrust {
    /// The configuration.
    pub config: ClientTrustConfig,
    /// SHA-256 of the trusted root as it is written to a file (`TrustedRoot::to_json`).
    pub root_digest: Digest,
}

/// Fetches the trust configuration of the instance at `base`.
///
/// Off the loopback it needs https and the fingerprint of the trusted root, told another way: who answers there would
/// otherwise choose whom we believe.
///
/// # Errors
///
/// `Trust` before any request for what that rule forbids, and for a configuration that is none or has another
/// fingerprint; `Unavailable`, `Refused`, `Address`.
pub async fn fetch(
    transport: &dyn Transport,
    base: &str,
    fingerprint: Option<&Digest>,
) -> Result<FetchedTrust, ClientError> {
    if !is_on_loopback(base)? && fingerprint.is_none() {
        require_https(base)?;
        let address = base.to_owned();
        return Err(TrustProblem::FingerprintMissing { address }.into());
    }
    let fetched = fetch_to_compare(transport, base).await?;
    match fingerprint.filter(|expected| **expected != fetched.root_digest) {
        Some(expected) => Err(TrustProblem::Fingerprint {
            expected: expected.to_string(),
            found: fetched.root_digest.to_string(),
        }
        .into()),
        None => Ok(fetched),
    }
}

/// Fetches the trust configuration of the instance at `base` to compare it with what is believed. Nothing says yet that
/// it may be believed itself.
///
/// # Errors
///
/// `Trust` for plain http off the loopback, before any request, and for a configuration that is none; `Unavailable`,
/// `Refused`, `Address`.
pub async fn fetch_to_compare(
    transport: &dyn Transport,
    base: &str,
) -> Result<FetchedTrust, ClientError> {
    let service = Service::Trust;
    require_https(base)?;
    // The whole address may be given as well.
    let address = if base.ends_with(".json") {
        base.to_owned()
    } else {
        exchange::join(base, CLIENT_TRUST_CONFIG_PATH)
    };
    let request = exchange::request(service, Method::GET, &address, Bytes::new())?;
    let answer = exchange::send(transport, service, request, limits::TRUST_ANSWER).await?;
    let config = ClientTrustConfig::parse(answer.body()).map_err(TrustProblem::File)?;
    let root_digest = DigestAlgorithm::Sha256.digest(&config.trusted_root.to_json());
    Ok(FetchedTrust {
        config,
        root_digest,
    })
}

/// Says whether an address is on this very machine.
///
/// # Errors
///
/// `Address`.
pub fn is_on_loopback(base: &str) -> Result<bool, ClientError> {
    let url = Url::parse(base).map_err(|_| ClientError::Address {
        service: Service::Trust,
        address: base.to_owned(),
    })?;
    Ok(url.host_str().is_some_and(network::is_loopback))
}

/// Requires https, but for the loopback.
///
/// # Errors
///
/// `Address`, `Trust`.
pub(crate) fn require_https(base: &str) -> Result<(), ClientError> {
    let is_https = Url::parse(base).is_ok_and(|url| url.scheme() == "https");
    if is_on_loopback(base)? || is_https {
        return Ok(());
    }
    let address = base.to_owned();
    Err(TrustProblem::NotHttps { address }.into())
}
