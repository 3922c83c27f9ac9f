//! The predicate `reachability`: which vulnerable code of an artifact can be reached.
//!
//! The graph itself is not inside: it is named by digest, its summary and the findings are signed. Confidence is a
//! whole number of hundredths of a percent, for fractions have no canonical JSON.

/// The type of the predicate, as it stands in a statement.
pub const URI: &str = concat!(domain!(), "/reachability/v1");

/// The JSON Schema (draft 2020-12) of the predicate.
pub const SCHEMA: &str = include_str!("../../schemas/reachability.json");
