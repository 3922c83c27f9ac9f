//! Skeleton.
pub mod disk;
pub use disk::Disk;
