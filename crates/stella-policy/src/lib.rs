//! The gate: who may sign, what must be attested, and the answer to "may this be released?".
//!
//! One model serves flags and policy files: [`policy::Policy`]. [`mod@file`] reads and prints it, [`gate::judge`] applies it
//! to what `stella_bundle::verify` found, [`explain`] tells why. This crate is pure: it is told the time and handed
//! bytes. Which attestations there are, and printing, are the caller's.

pub mod age;
pub mod code;
pub mod condition;
pub mod explain;
pub mod file;
pub mod gate;
pub mod lint;
pub mod mode;
pub mod number;
pub mod pointer;
pub mod policy;
pub mod requirement;
pub mod signer;
pub mod type_pattern;
