//! Each error has its page in docs/errors, and each page is reached from an error.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where pages are named: whole functions called `page`.
const NAMED: [&str; 2] = [
    include_str!("../../stella-bundle/src/verify/error.rs"),
    include_str!("../../stella-policy/src/gate/refusal.rs"),
];

#[test]
fn every_error_has_its_page_and_every_page_its_error() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named: BTreeSet<String> = NAMED.iter().flat_map(|text| bodies(text)).collect();
    for path in sources(&root.join("src")) {
        let text = fs::read_to_string(path).unwrap();
        let calls = text.split(".page(\"").skip(1);
        named.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        named.extend(bodies(&text));
    }
    let pages = fs::read_dir(root.join("../../docs/errors")).unwrap();
    let pages: BTreeSet<String> = pages
        .map(|entry| {
            let path = entry.unwrap().path();
            path.file_stem().unwrap().to_string_lossy().into_owned()
        })
        .collect();
    assert_eq!(named, pages);
}

#[test]
fn every_page_says_what_why_and_what_to_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for part in [
            "# ",
            "Exit code ",
            "## What it means",
            "## Why it is so",
            "## What to do",
        ] {
            assert!(text.contains(part), "{}: {part}", path.display());
        }
    }
}

/// Returns the names in functions that choose a page.
fn bodies(text: &str) -> Vec<String> {
    let functions = text
        .split("fn ")
        .filter(|part| part.starts_with("page(&self)") || part.starts_with("service_page("));
    let names = functions.flat_map(|function| {
        let body = function.split("\n}\n").next().unwrap_or_default();
        let body = body.split("\n    }\n\n").next().unwrap_or_default();
        body.split('"')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    names.collect()
}

/// Lists every Rust file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            found.push(path);
        }
    }
    found
}
