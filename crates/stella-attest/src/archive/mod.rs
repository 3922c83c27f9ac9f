//! The archive as a use case: what was collected is verified, sealed, signed and published, and read again.
//!
//! [`run()`] is the job of a period, [`verify`] what a stranger does with what came out, [`extract`] one attestation of it,
//! [`prove`] that it only grew. The format and what counts are `stella_archive`'s.

mod before;
pub mod cosign;
mod coverage;
pub mod error;
mod examine;
pub mod extract;
pub mod held;
mod known;
pub mod open;
mod pack;
pub mod prove;
mod publish;
pub mod retention;
pub mod run;
pub mod search;
pub mod share;
pub mod source;
mod spool;
mod surroundings;
pub mod verify;

pub use error::ArchiveError;
pub use examine::{Arrival, Incoming};
pub use open::Archive;
pub use run::run;
