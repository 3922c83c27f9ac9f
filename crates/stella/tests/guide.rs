//! The guides, run as they are written.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod typed;

const ADOPTING: &str = include_str!("../../../docs/guide/adopting.md");
const ARCHIVE: &str = include_str!("../../../docs/guide/archive.md");
const POLICY: &str = include_str!("../../../docs/guide/policy.md");
const SIGNING_CONFIG: &str = include_str!("../../../docs/guide/signing-config.md");

#[test]
fn the_way_from_an_empty_file_to_an_enforced_gate_is_as_the_guide_says() {
    typed::run(POLICY, "guide-policy");
}

#[test]
fn the_way_from_a_kept_key_to_keyless_and_fail_closed_is_as_the_guide_says() {
    typed::run(ADOPTING, "guide-adopting");
}

#[test]
fn a_signing_config_is_made_and_looked_into_as_the_guide_says() {
    typed::run(SIGNING_CONFIG, "guide-signing-config");
}

#[test]
fn three_periods_are_sealed_and_verified_when_all_else_is_gone_as_the_guide_says() {
    typed::run(ARCHIVE, "guide-archive");
}
