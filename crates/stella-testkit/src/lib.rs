//! A world to test in: an in-process Sigstore with a clock that stands still, and a disk that loses power.
//!
//! Tests only; nothing here is shipped.

pub mod disk;
pub mod docker_registry;
pub mod forge;
pub mod image;
mod world;

pub use disk::Disk;
pub use world::{BEGINNING, StillClock, URL, World, WorldError};
