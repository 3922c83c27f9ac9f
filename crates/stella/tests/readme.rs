//! The README's five minutes, run as they are written.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod typed;

const README: &str = include_str!("../../../README.md");

#[test]
fn every_command_of_the_five_minutes_does_what_the_text_says() {
    let (_, walk) = README.split_once("## Five minutes").unwrap();
    let (walk, _) = walk.split_once("\n## ").unwrap();
    typed::run(walk, "readme");
}
