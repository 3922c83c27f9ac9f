//! What is said to an OCI registry, and with which credentials.

pub mod credentials;
