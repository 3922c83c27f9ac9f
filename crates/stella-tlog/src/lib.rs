//! The transparency log as mathematics and text: trees, proofs, tiles, notes, checkpoints, cosignatures.
//!
//! In the words of RFC 6962 and C2SP; nothing of Sigstore is known here. The crate is pure: callers hand in bytes and
//! times, no private key enters, and what is to be signed goes out as bytes.

pub mod checkpoint;
pub mod cosignature;
mod decimal;
pub mod hash;
pub mod note;
pub mod proof;
pub mod quorum;
pub mod tile;
pub mod tlog_proof;
pub mod tree;
pub mod tree_head;
mod vkey;
pub mod witness;
