//! A whole private Sigstore in one process: OIDC issuer, Fulcio, CT log, Rekor v2, timestamp authority, trust files, and
//! on demand an OCI registry.
//!
//! [`Sigstore`] implements [`Transport`]: a client in the same process speaks to it as it would over the network.
//! Sockets are in [`listen`]; each service has a room of the same shape; both logs share one engine.

mod answer;
mod clock;
mod ct;
mod directory;
pub mod disk;
pub mod fsck;
mod fulcio;
mod held;
mod inspection;
mod instance;
mod issuers;
pub mod listen;
pub mod log;
mod metrics;
mod oidc;
mod problem;
mod random;
mod reading;
mod registry;
mod rekor;
mod sigstore;
mod subject_pattern;
mod trust;
mod tsa;

pub use clock::{Clock, SystemClock};
pub use directory::FileError;
pub use held::{HeldKey, HeldKeys, KeyPurpose, KeyReferences};
pub use inspection::{LogReport, fsck_instance};
pub use instance::{DESCRIPTION, Description, InstanceError, SECRET, is_held, read_secret};
pub use issuers::ConfigurationError;
pub use oidc::{DEFAULT_AUDIENCE, DEFAULT_SUBJECT, TOKEN_PATH, TokenRefusal, TokenRequest};
pub use registry::{Registry, RegistryError, RegistryOptions};
pub use sigstore::{
    ARCHIVE_METRICS, InitOptions, OpenError, Options, OwnIssuer, OwnRegistry, Sigstore,
};

#[cfg(doc)]
use stella_wire::Transport;
