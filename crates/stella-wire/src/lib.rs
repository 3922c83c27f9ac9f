//! What is said between clients and services of a Sigstore, each word both written and read here, and [`Transport`],
//! the way it travels.
//!
//! No input or output, no clock: a driver (`stella-client`) or a service (`stella-server`) hands in bytes.

pub mod csr;
pub mod ct;
pub mod fulcio;
pub mod limits;
pub mod oidc;
pub mod problem;
pub mod registry;
pub mod rekor;
pub mod transport;
pub mod tsa;

pub use transport::{Request, Response, Sending, TlsProblem, Transport, TransportError};
