//! The only room where private keys live.
//!
//! What leaves it are public keys and signatures. Bytes to be signed are made in `stella-bundle`; keys of hardware and
//! of key services implement [`Signer`] elsewhere.

mod checkpoint;
pub mod device;
mod ephemeral;
mod file;
mod org;
pub mod plugin;
mod private;
pub mod reference;
mod service;
mod signer;
pub mod stored;

pub use checkpoint::CheckpointSigner;
pub use ephemeral::EphemeralKey;
pub use file::FileKey;
pub use org::OrgKey;
pub use service::ServiceFailure;
pub use signer::{Input, KeyError, Signer};

/// Closes this process, in which keys, PINs and tokens will be: no core dump has them, and no other process of the same user may
/// look (Linux; elsewhere nothing happens).
pub fn protect_memory() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
