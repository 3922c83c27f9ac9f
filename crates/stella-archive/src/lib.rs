//! The archive: an organisation's append-only tree of everything it verified, and what makes it outlive certificates, logs
//! and algorithms. The format and its promises are docs/design/archive.md.
//!
//! [`leaf`] and [`statement`] are what is written, [`keyset`] and [`anchor`] say by whom, [`history`] judges what counts at what
//! time. This crate is pure: it is told the time and handed bytes. Collecting, signing and storing are the caller's.

pub mod anchor;
mod date;
pub mod fall;
pub mod fingerprint;
pub mod frames;
pub mod growth;
pub mod history;
pub mod index;
pub mod keyset;
pub mod leaf;
pub mod levels;
pub mod nodes;
pub mod retention;
pub mod seal;
pub mod statement;
pub mod tuf;
pub mod witnessed;
