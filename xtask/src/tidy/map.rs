//! Rules for the documents at the root: the map names every crate and stays short, and what any of them names exists.
//!
//! A name in backticks is checked when it is a path (`docs/benchmarks.md`), a path with an item
//! (a path, `::`, a function or type), a link to a file, or a `cargo xtask` command.

use std::collections::BTreeMap;

use super::{Finding, manifests};
use crate::failure::Failure;
use crate::workspace::Workspace;

/// The map of the house.
const MAP: &str = "ARCHITECTURE.md";

/// A map that takes longer than a quarter of an hour to read is not read.
const MAP_LINES: usize = 250;

/// Documents whose every named path, item and command exists.
const DOCUMENTS: [&str; 6] = [
    MAP,
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "STYLE.md",
    "docs/reference/verification.md",
];

/// First parts of the paths that are checked; everything else in backticks is prose.
const FOLDERS: [&str; 8] = [
    ".ci/",
    "crates/",
    "docs/",
    "etc/",
    "fuzz/",
    "testdata/",
    "tests/",
    "xtask/",
];

/// Checks the documents.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<Finding>, Failure> {
    let files: BTreeMap<String, ()> = workspace
        .text_files()?
        .into_iter()
        .map(|path| (path, ()))
        .collect();
    let exists = |path: &str| files.contains_key(path) || workspace.root().join(path).exists();
    let map = workspace.read(MAP)?;
    let mut findings = length(&map);
    findings.extend(crates(
        &map,
        &manifests::members(&workspace.read("Cargo.toml")?),
    ));
    for document in DOCUMENTS {
        let text = workspace.read(document)?;
        findings.extend(paths(document, &text, exists));
        findings.extend(items(document, &text, |path| workspace.read(path).ok()));
        findings.extend(commands(document, &text));
    }
    Ok(findings)
}

fn length(map: &str) -> Vec<Finding> {
    let lines = map.lines().count();
    let long = lines > MAP_LINES;
    long.then(|| Finding::new(MAP, 0, format!("{lines} lines, {MAP_LINES} at most")))
        .into_iter()
        .collect()
}

fn crates(map: &str, members: &[&str]) -> Vec<Finding> {
    manifests::crate_names(members)
        .iter()
        .filter(|name| !map.contains(&format!("`{name}`")))
        .map(|name| Finding::new(MAP, 0, format!("names every crate, but not `{name}`")))
        .collect()
}

fn paths(document: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let in_backticks = quoted(text).into_iter().filter(|(_, word)| is_path(word));
    let linked = links(text)
        .into_iter()
        .filter(|(_, target)| !target.contains("://") && !target.starts_with('#'));
    in_backticks
        .chain(linked)
        .map(|(line, word)| (line, word.split(['#', ':']).next().unwrap_or(word)))
        .filter(|(_, path)| !exists(path))
        .map(|(line, path)| Finding::new(document, line, format!("`{path}` does not exist")))
        .collect()
}

fn items(document: &str, text: &str, read: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, word) in quoted(text) {
        let Some((path, item)) = word.split_once("::") else {
            continue;
        };
        if !is_path(path) {
            continue;
        }
        let defined =
            read(path).is_some_and(|source| item.split("::").all(|part| defines(&source, part)));
        if !defined {
            findings.push(Finding::new(
                document,
                line,
                format!("`{path}` has no `{item}`"),
            ));
        }
    }
    findings
}

/// Says whether a source file defines an item of that name, of whatever kind.
fn defines(source: &str, item: &str) -> bool {
    let kinds = [
        "fn ",
        "struct ",
        "enum ",
        "trait ",
        "const ",
        "type ",
        "mod ",
        "def ",
        "impl ",
        "macro_rules! ",
    ];
    kinds.iter().any(|kind| {
        source
            .match_indices(&format!("{kind}{item}"))
            .any(|(at, found)| {
                let after = source[at + found.len()..].chars().next();
                after.is_none_or(|next| !next.is_alphanumeric() && next != '_')
            })
    })
}

fn commands(document: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (at, call) in line.match_indices("cargo xtask ") {
            let command: &str = line[at + call.len()..]
                .split(|c: char| !c.is_ascii_lowercase() && c != '-')
                .next()
                .unwrap_or("");
            if !command.is_empty()
                && !command.starts_with('-')
                && !crate::COMMANDS.contains(&command)
            {
                findings.push(Finding::new(
                    document,
                    index + 1,
                    format!("`cargo xtask {command}` is no command"),
                ));
            }
        }
    }
    findings
}

/// Returns what stands between single backticks, with its line counted from 1. Fenced blocks are left out.
fn quoted(text: &str) -> Vec<(usize, &str)> {
    let (mut found, mut fenced) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(
                line.split('`')
                    .skip(1)
                    .step_by(2)
                    .map(|word| (index + 1, word)),
            );
        }
    }
    found
}

/// Returns the targets of Markdown links.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        found.extend(
            line.split("](")
                .skip(1)
                .filter_map(|rest| Some((index + 1, rest.split_once(')')?.0))),
        );
    }
    found
}

fn is_path(word: &str) -> bool {
    let plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/:".contains(c));
    let at_root = word.ends_with(".md") || word.ends_with(".toml");
    plain
        && (FOLDERS.iter().any(|folder| word.starts_with(folder))
            || (at_root && !word.contains('/')))
}

#[cfg(test)]
mod tests {
    use super::super::messages;
    use super::*;

    #[test]
    fn a_crate_that_the_map_forgets_is_found() {
        let findings = crates(
            "`stella-tlog` is the log",
            &["crates/stella-tlog", "crates/stella"],
        );
        assert_eq!(messages(&findings), ["names every crate, but not `stella`"]);
    }

    #[test]
    fn a_map_that_has_grown_too_long_is_found() {
        assert_eq!(length(&"line\n".repeat(MAP_LINES)), []);
        assert_eq!(length(&"line\n".repeat(MAP_LINES + 1)).len(), 1);
    }

    #[test]
    fn a_path_that_does_not_exist_is_found_in_backticks_and_in_links() {
        let text = "See `docs/a.md`, `docs/b.md`, [c](docs/c.md#part), [d](https://example.com), `x.md`.\n";
        let findings = paths("README.md", text, |path| path == "docs/a.md");
        assert_eq!(
            messages(&findings),
            [
                "`docs/b.md` does not exist",
                "`x.md` does not exist",
                "`docs/c.md` does not exist"
            ]
        );
    }

    #[test]
    fn prose_in_backticks_is_no_path() {
        for prose in [
            "cargo run",
            "repo:org/repo:.*",
            "fdatasync",
            "a.rs",
            "sha256:…",
        ] {
            assert!(!is_path(prose), "{prose}");
        }
    }

    #[test]
    fn an_item_that_is_not_defined_is_found() {
        let text = "`crates/a/src/b.rs::verify` and `crates/a/src/b.rs::verif` and `crates/a/src/b.rs::Log::append`\n";
        let source = "impl Log {\n    pub fn append() {}\n}\npub fn verify() {}\nstruct Log;\n";
        let findings = items("ARCHITECTURE.md", text, |_| Some(source.to_owned()));
        assert_eq!(messages(&findings), ["`crates/a/src/b.rs` has no `verif`"]);
    }

    #[test]
    fn a_command_that_does_not_exist_is_found() {
        assert_eq!(
            commands(
                "README.md",
                "run `cargo xtask ci`, or `cargo xtask --help`\n"
            ),
            []
        );
        assert_eq!(
            messages(&commands("README.md", "run cargo xtask tests\n")),
            ["`cargo xtask tests` is no command"]
        );
    }

    #[test]
    fn a_fenced_block_is_no_prose() {
        assert_eq!(
            quoted("`a`\n```sh\n`b`\n```\nx `c` y\n"),
            [(1, "a"), (5, "c")]
        );
    }
}
