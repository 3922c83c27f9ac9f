//! Rules for one Rust file: the room's description, its name, its length, its lint attributes.

use super::Finding;

/// A file longer than this says why, or is split by meaning.
const LONG: usize = 600;

/// What a long file writes, followed by its reason.
const LONG_BECAUSE: &str = "tidy: long because ";

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 12] = [
    "common", "handler", "handlers", "helper", "helpers", "impl", "manager", "misc", "types",
    "util", "utils", "stuff",
];

/// Checks one file.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(description(path, text));
    findings.extend(name(path));
    findings.extend(length(path, text));
    findings.extend(lint_attributes(path, text));
    findings
}

fn description(path: &str, text: &str) -> Option<Finding> {
    let described = text
        .lines()
        .next()
        .is_some_and(|line| line.starts_with("//! ") && line.len() > 12);
    (!described).then(|| Finding::new(path, 1, "begin with `//! ` and what this file is for"))
}

fn name(path: &str) -> Option<Finding> {
    // The folders count too: `common/mod.rs` is no better than `common.rs`.
    let empty = path
        .trim_end_matches(".rs")
        .split('/')
        .find(|part| EMPTY_NAMES.contains(part))?;
    Some(Finding::new(
        path,
        0,
        format!("`{empty}` says nothing of what is inside: name the thing"),
    ))
}

fn length(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let explained = text.lines().any(|line| {
        line.split_once(LONG_BECAUSE)
            .is_some_and(|(_, why)| why.len() > 8)
    });
    (lines > LONG && !explained).then(|| {
        Finding::new(
            path,
            0,
            format!("{lines} lines: split by meaning, or write `{LONG_BECAUSE}…`"),
        )
    })
}

fn lint_attributes(path: &str, text: &str) -> Vec<Finding> {
    let attribute = concat!("allow", "(");
    let allows = |line: &str| {
        let line = line.trim_start();
        (line.starts_with("#[") || line.starts_with("#![")) && line.contains(attribute)
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| allows(line))
        .map(|(index, _)| {
            Finding::new(
                path,
                index + 1,
                "write `#[expect(…, reason = \"…\")]`, which ends when its cause does",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::messages;
    use super::*;

    #[test]
    fn a_described_short_file_is_good() {
        assert_eq!(
            check("a/proof.rs", "//! Proofs of inclusion.\nfn f() {}\n"),
            []
        );
    }

    #[test]
    fn a_file_without_a_description_is_found() {
        assert_eq!(
            description("a/proof.rs", "use std::fs;\n").map(|finding| finding.line),
            Some(1)
        );
        assert_eq!(
            description("a/proof.rs", "//! X.\n").map(|finding| finding.line),
            Some(1)
        );
    }

    #[test]
    fn an_empty_name_is_found_as_file_and_as_folder() {
        assert!(name("crates/a/src/utils.rs").is_some());
        assert!(name("crates/a/src/common/mod.rs").is_some());
        assert!(name("crates/a/src/utilisation.rs").is_none());
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let long = "//! A table of everything.\n".repeat(LONG + 1);
        assert!(length("a/b.rs", &long).is_some());
        assert!(
            length(
                "a/b.rs",
                &format!("{long}// {LONG_BECAUSE}it is one table\n")
            )
            .is_none()
        );
        assert!(length("a/b.rs", &format!("{long}// {LONG_BECAUSE}\n")).is_some());
    }

    #[test]
    fn a_silenced_lint_is_found_and_an_expected_one_is_not() {
        let silenced = format!(
            "//! Some description.\n    #[{}dead_code)]\nfn f() {{}}\n",
            concat!("allow", "(")
        );
        assert_eq!(messages(&lint_attributes("a/b.rs", &silenced)).len(), 1);
        assert_eq!(
            lint_attributes("a/b.rs", "#[expect(dead_code, reason = \"soon\")]\n"),
            []
        );
    }
}
