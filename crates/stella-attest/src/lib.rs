//! The use cases, one file per verb: what a person does with attestations, as a library.
//!
//! Rules of the field live in stella-bundle, words to services in stella-client; arguments, printing and exit codes in
//! the command. A session is given its clock and its transport, so every use case runs without socket or waiting.

pub mod archive;
pub mod attach;
pub mod cache;
pub mod collect;
pub mod file;
pub mod image;
pub mod keyset;
pub mod kit;
pub mod layout;
pub mod legacy;
pub mod mirror;
pub mod org;
pub mod prune;
pub mod referrers;
pub mod session;
pub mod shelf;
pub mod sign;
pub mod storage;
pub mod verify;
