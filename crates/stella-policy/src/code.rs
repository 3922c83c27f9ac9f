//! The numbers with which a verification ends: stable, in reports and as exit codes (docs/reference/exit-codes.md).
//!
//! Codes of services and keys belong to the command; what a mode makes of a number is in [`crate::mode`].

use stella_bundle::verify::{Check, VerifyError};

/// A gate passed, or there was nothing to refuse.
pub const OK: u8 = 0;
/// Something failed that no other code names.
pub const INTERNAL: u8 = 1;
/// The command, a flag, the configuration or the policy is wrong.
pub const USAGE: u8 = 2;
/// No attestation speaks of the artifact.
pub const NO_ATTESTATION: u8 = 10;
/// The artifact is not there.
pub const NO_ARTIFACT: u8 = 11;
/// No signature matches.
pub const SIGNATURE: u8 = 12;
/// There is no certificate.
pub const NO_CERTIFICATE: u8 = 13;
/// Someone else signed.
pub const IDENTITY: u8 = 20;
/// What was asked for is not attested, or not often enough.
pub const NO_PREDICATE: u8 = 21;
/// A signer who is believed says no, or something else than was asked for.
pub const DENIED: u8 = 22;
/// A certificate or a timestamp is not to be trusted.
pub const CHAIN: u8 = 23;
/// A log, an SCT or a proof is missing or bad.
pub const LOG: u8 = 24;
/// What is attested is too old.
pub const STALE: u8 = 25;
/// A service cannot be reached now.
pub const UNAVAILABLE: u8 = 30;
/// A service does not let the caller in.
pub const ACCESS: u8 = 31;

/// Returns the code of a refused bundle.
pub const fn of_verification(error: &VerifyError) -> u8 {
    match (error, error.check()) {
        (VerifyError::NoCertificate, _) => NO_CERTIFICATE,
        (_, Check::Time | Check::Certificate) => CHAIN,
        (_, Check::Sct | Check::Log) => LOG,
        (_, Check::Signature | Check::Subject) => SIGNATURE,
        (_, Check::Identity) => IDENTITY,
    }
}
