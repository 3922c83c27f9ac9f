//! The predicate `policy-result`: what a policy decided about an artifact, and why.
//!
//! A gate demands a positive result (`allow`) that is young enough; it never concludes from the absence of `deny`.
//! The policy and everything it looked at are named by digest.

/// The type of the predicate, as it stands in a statement.
pub const URI: &str = concat!(domain!(), "/policy-result/v1");

/// The JSON Schema (draft 2020-12) of the predicate.
pub const SCHEMA: &str = include_str!("../../schemas/policy-result.json");
