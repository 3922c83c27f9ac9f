//! Everything inside and around a Sigstore bundle, and its verification.
//!
//! This crate is pure: it is told the time and handed bytes; no clock, disk, network, environment or randomness is
//! reached from here, and no private key ever enters. The story of verification is [`verify`].

pub mod asn1;
pub mod attestation_set;
pub mod bundle;
pub mod certificate;
pub mod chain;
pub mod cms;
pub mod digest;
pub mod entry;
pub mod envelope;
pub mod identity;
pub mod issue;
pub mod json;
pub mod key;
pub mod legacy;
pub mod memo;
pub mod pairs;
pub mod pem;
pub mod predicate;
pub mod sct;
pub mod signing_config;
pub mod statement;
pub mod time;
pub mod timestamp;
pub mod trusted_root;
pub mod tuf;
pub mod verify;
