//! The predicate `sbom-delta`: what changed between the bills of materials of two artifacts.
//!
//! Both bills are named by digest, so that the delta can be made again. How components are compared is not decided
//! here.

/// The type of the predicate, as it stands in a statement.
pub const URI: &str = concat!(domain!(), "/sbom-delta/v1");

/// The JSON Schema (draft 2020-12) of the predicate.
pub const SCHEMA: &str = include_str!("../../schemas/sbom-delta.json");
