//! Private keys in key services, by REST: what a reference names, and which service is asked.
//!
//! A driver knows one service: how it wants to be asked, who may ask, what its refusals mean. It opens no socket and reads no
//! clock: [`Surroundings`] has all of it. [`RemoteKey`] makes a [`stella_keys::Signer`] of it, and verifies every signature
//! before it hands it out. Programs that others wrote for other services are started by `stella-keys`.

mod ask;
mod aws;
mod azure;
mod gcp;
mod kept;
mod remote;
mod vault;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use stella_bundle::key::{KeyDetails, PublicKey};
use stella_bundle::time::UnixTime;
use stella_keys::KeyError;
use stella_wire::transport::Transport;

pub use remote::RemoteKey;

use crate::retry::Waiting;

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteReference(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Aws(aws::Place),
    Azure(azure::Place),
    Gcp(gcp::Place),
    Vault(vault::Place),
}

/// A reference to a key service that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key of {service} is named {expected}")]
pub struct RemoteReferenceError {
    /// The service's name.
    pub service: &'static str,
    /// How its keys are named.
    pub expected: &'static str,
}

impl RemoteReference {
    /// Reads `SCHEME://RESOURCE`; `None` for a scheme that is no service's.
    ///
    /// # Errors
    /// [`RemoteReferenceError`].
    pub fn parse(scheme: &str, resource: &str) -> Option<Result<Self, RemoteReferenceError>> {
        let (service, expected, place) = match scheme {
            "awskms" => (
                aws::SERVICE,
                "awskms://[ENDPOINT]/ID, with a key's id or ARN, or alias/NAME",
                aws::Place::parse(resource).map(Place::Aws),
            ),
            "azurekms" => (
                azure::SERVICE,
                "azurekms://VAULT.vault.azure.net/KEY[/VERSION]",
                azure::Place::parse(resource).map(Place::Azure),
            ),
            "gcpkms" => (
                gcp::SERVICE,
                "gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/cryptoKeyVersions/N]",
                gcp::Place::parse(resource).map(Place::Gcp),
            ),
            "hashivault" => (
                vault::Maker::HashiCorp.service(),
                "hashivault://KEY",
                vault::Place::parse(vault::Maker::HashiCorp, resource).map(Place::Vault),
            ),
            "openbao" => (
                vault::Maker::OpenBao.service(),
                "openbao://KEY",
                vault::Place::parse(vault::Maker::OpenBao, resource).map(Place::Vault),
            ),
            _ => return None,
        };
        Some(
            place
                .map(Self)
                .ok_or(RemoteReferenceError { service, expected }),
        )
    }

    /// Returns the service's name.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        match &self.0 {
            Place::Aws(_) => aws::SERVICE,
            Place::Azure(_) => azure::SERVICE,
            Place::Gcp(_) => gcp::SERVICE,
            Place::Vault(place) => place.maker.service(),
        }
    }
}

/// Reads a variable of the environment.
pub type Variables = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Everything around a driver, handed in.
pub struct Surroundings {
    /// Reads a variable of the environment.
    pub variable: Variables,
    /// The user's home, below which credentials may be.
    pub home: Option<PathBuf>,
    /// Asks the clock.
    pub clock: fn() -> UnixTime,
    /// Reaches the services. It does not ask again: that is done here.
    pub network: Arc<dyn Transport>,
    /// Reaches the metadata services of clouds, in plain http on the machine's own link. It gives up soon, for most machines
    /// have none.
    pub metadata: Arc<dyn Transport>,
    /// How it is waited before a service is asked again.
    pub waiting: Arc<dyn Waiting>,
}

impl Surroundings {
    /// Reads a variable; an empty one counts as not set.
    fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// Reads the first of several variables that is set.
    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.text(name))
    }

    fn now(&self) -> UnixTime {
        (self.clock)()
    }
}

/// A service, and a key in it.
enum Driver {
    Aws(aws::Kms),
    Azure(azure::Vault),
    Gcp(gcp::Kms),
    Vault(vault::Transit),
}

impl Driver {
    /// Finds out what is needed to ask; nothing is asked yet.
    fn new(reference: &RemoteReference, surroundings: Surroundings) -> Result<Self, KeyError> {
        Ok(match &reference.0 {
            Place::Aws(place) => Self::Aws(aws::Kms::new(place, surroundings)?),
            Place::Azure(place) => Self::Azure(azure::Vault::new(place, surroundings)?),
            Place::Gcp(place) => Self::Gcp(gcp::Kms::new(place, surroundings)?),
            Place::Vault(place) => Self::Vault(vault::Transit::new(place, &surroundings)?),
        })
    }

    /// Asks for the public half. A key that is the newest of several versions is this very one from now on.
    async fn public_key(&mut self) -> Result<PublicKey, KeyError> {
        match self {
            Self::Aws(kms) => kms.public_key().await,
            Self::Azure(vault) => vault.public_key().await,
            Self::Gcp(kms) => kms.public_key().await,
            Self::Vault(transit) => transit.public_key().await,
        }
    }

    /// Says whether keys of the service sign in this way.
    const fn can_sign(&self, details: KeyDetails) -> bool {
        match self {
            Self::Aws(_) => aws::algorithm(details).is_some(),
            Self::Azure(_) => azure::algorithm(details).is_some(),
            Self::Gcp(_) => gcp::algorithm(details).is_some(),
            Self::Vault(_) => vault::can_sign(details),
        }
    }

    /// Makes the body of the request for a signature. Digests are made here, where the message is.
    fn question(&self, details: KeyDetails, message: &[u8]) -> Result<Bytes, KeyError> {
        match self {
            Self::Aws(kms) => kms.question(details, message),
            Self::Azure(vault) => vault.question(details, message),
            Self::Gcp(kms) => kms.question(details, message),
            Self::Vault(transit) => transit.question(details, message),
        }
    }

    /// Asks for a signature.
    async fn sign(&self, question: Bytes) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::Aws(kms) => kms.sign(question).await,
            Self::Azure(vault) => vault.sign(question).await,
            Self::Gcp(kms) => kms.sign(question).await,
            Self::Vault(transit) => transit.sign(question).await,
        }
    }
}
