//! A world to test in: an in-process Sigstore with a clock that stands still, a disk that loses power, and a registry to
//! which the way is bad, and an organisation with an archive.
//!
//! Tests only; nothing here is shipped.

pub mod disk;
pub mod docker_registry;
pub mod forge;
pub mod image;
pub mod organisation;
pub mod registry;
mod world;

pub use disk::Disk;
pub use world::{BEGINNING, StillClock, URL, World, WorldError};
