//! Policy files: YAML whose first key is `policy: stella.policy/v1`, and the schema that editors use.
//!
//! Every key is known, every value has its shape, every refusal names its line. Files that a policy names are read by
//! the caller. What a policy means is [`crate::policy`]; the walk over the text is in this folder's other files.

mod error;
mod node;
mod print;
mod reading;
mod table;

#[cfg(test)]
mod tests;

use std::io;

pub use error::{PolicyFileError, Problem};
pub use print::{to_value, to_yaml};

use crate::policy::Policy;

/// The JSON Schema (draft 2020-12) of policy files.
pub const SCHEMA: &str = include_str!("../schemas/policy.json");
/// What the first key says.
pub const VERSION: &str = "stella.policy/v1";
/// The largest policy in bytes: a thousand signers, each with a key of its own.
pub const MAX_POLICY: usize = 1024 * 1024;

/// Reads a file that a policy names, relative to the policy's own folder.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, io::ErrorKind>;

/// Reads a policy.
///
/// # Errors
/// The first thing that is not as the schema says, with its line.
pub fn parse(text: &str, read: ReadFile<'_>) -> Result<Policy, PolicyFileError> {
    reading::policy(&node::parse(text)?, read)
}

/// The keys of each table of a policy file, in the order in which they are written.
pub const KEYS: [(&str, &[&str]); 8] = [
    ("", &reading::TOP),
    ("signers", &reading::SIGNER),
    ("valid", &reading::VALID),
    ("require", &reading::REQUIREMENT),
    ("where", &reading::TESTS),
    ("evidence", &reading::EVIDENCE),
    ("key-evidence", &reading::KEY_EVIDENCE),
    ("file", &table::FILE),
];
