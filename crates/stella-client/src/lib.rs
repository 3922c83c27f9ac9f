//! What is said to the services of a Sigstore, one file per service; every answer is verified before it is used.
//!
//! Drivers take any [`stella_wire::transport::Transport`]: the [`network`], or an instance in the same process. No driver reads a clock
//! or the environment: times, variables and nonces are handed in. Flows over several services live in `stella-attest`.

pub mod download;
pub mod error;
mod exchange;
pub mod fulcio;
mod grpc;
pub mod kms;
pub mod network;
pub mod oidc;
pub mod presence;
pub mod registry;
pub mod rekor;
mod rekor_prove;
mod rekor_read;
pub mod retry;
pub mod trust;
pub mod tsa;
pub mod tuf;
pub mod witness;

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;

pub use error::{ClientError, ErrorClass, Service};
pub use fulcio::Fulcio;
pub use network::{Network, NetworkOptions};
pub use rekor::Rekor;
pub use rekor_prove::{Consistency, Head, Inclusion};
pub use retry::{RetryPolicy, Retrying};
pub use tsa::Tsa;
