//! Rules for the Cargo.toml files: the direction of dependencies, what a pure crate may use, a sentence for each
//! dependency, and one and the same list of banned calls for all pure crates.
//!
//! The reader below knows as much TOML as these files use: sections, `key = value` lines, comments.

use super::Finding;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// Crates without clock, disk, network, environment or randomness.
pub(super) const PURE: [&str; 6] = [
    "stella-archive",
    "stella-bundle",
    "stella-foreign",
    "stella-policy",
    "stella-tlog",
    "stella-wire",
];

/// What a pure crate may use besides earlier pure crates: mathematics, formats and words, nothing that acts.
const PURE_MAY_USE: [&str; 20] = [
    "aws-lc-rs",
    "base64",
    "blake2",
    "bytes",
    "const-oid",
    "der",
    "ed25519-dalek",
    "hex",
    "http",
    "jiff",
    "regex",
    "serde",
    "serde-saphyr",
    "serde_json",
    "sha2",
    "strsim",
    "thiserror",
    "url",
    "zeroize",
    "zstd",
];

/// Pairs that never meet but in `stella` and `stella-testkit`: a use case must not know which Sigstore it talks to.
const APART: [(&str, &str); 1] = [("stella-attest", "stella-server")];

/// The list of banned calls of every pure crate.
const BANS: &str = "clippy.toml";

/// One `key = value` line.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    section: &'a str,
    key: &'a str,
    value: &'a str,
    line: usize,
    /// Whether a comment stands on this line or heads its group (lines without an empty line between them).
    explained: bool,
}

/// Checks the manifests of the workspace and of every crate in it.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<Finding>, Failure> {
    let root = workspace.read("Cargo.toml")?;
    let members = members(&root);
    let mut findings = sentences("Cargo.toml", &root);
    for member in &members {
        let path = format!("{member}/Cargo.toml");
        let text = workspace.read(&path)?;
        findings.extend(inherited(&path, &text));
        findings.extend(direction(&path, &text, &crate_names(&members)));
        findings.extend(purity(&path, &text));
    }
    findings.extend(bans(workspace)?);
    Ok(findings)
}

/// Returns the folders of `members = [ … ]`, in order.
pub(super) fn members(root: &str) -> Vec<&str> {
    let list = root
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once("\n]"))
        .map_or("", |(list, _)| list);
    list.lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
        .collect()
}

/// Returns the crate that lives in each folder; a folder has its crate's name.
pub(super) fn crate_names<'a>(members: &[&'a str]) -> Vec<&'a str> {
    members
        .iter()
        .map(|member| member.rsplit('/').next().unwrap_or(member))
        .collect()
}

fn entries(text: &str) -> Vec<Entry<'_>> {
    let (mut section, mut explained, mut entries) = ("", false, Vec::new());
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            (section, explained) = (name, false);
        } else if trimmed.is_empty() {
            explained = false;
        } else if trimmed.starts_with('#') {
            explained = true;
        } else if let Some((key, value)) = trimmed.split_once('=') {
            let explained = explained || value.contains(" # ");
            entries.push(Entry {
                section,
                key: key.trim(),
                value: value.trim(),
                line: index + 1,
                explained,
            });
        }
    }
    entries
}

/// A dependency needs a sentence: the standard or the need it serves.
fn sentences(path: &str, root: &str) -> Vec<Finding> {
    entries(root)
        .iter()
        .filter(|entry| {
            entry.section == "workspace.dependencies"
                && !entry.explained
                && !entry.value.contains("path =")
        })
        .map(|entry| {
            Finding::new(
                path,
                entry.line,
                format!("say above `{}` which standard or need it serves", entry.key),
            )
        })
        .collect()
}

/// Versions and features are chosen once, where the sentence is.
fn inherited(path: &str, text: &str) -> Vec<Finding> {
    entries(text)
        .iter()
        .filter(|entry| is_dependency_section(entry.section) && !takes_from_workspace(entry))
        .map(|entry| {
            Finding::new(
                path,
                entry.line,
                format!("write `{}.workspace = true`", entry.key),
            )
        })
        .collect()
}

/// A crate may use only crates that the workspace lists before it.
fn direction(path: &str, text: &str, order: &[&str]) -> Vec<Finding> {
    let name = crate_of(path);
    let place = |wanted: &str| order.iter().position(|&listed| listed == wanted);
    let mut findings = Vec::new();
    for entry in entries(text)
        .iter()
        .filter(|entry| entry.section == "dependencies")
    {
        let used = dependency(entry);
        let upward = place(used).is_some_and(|used| Some(used) >= place(name));
        if upward {
            findings.push(Finding::new(
                path,
                entry.line,
                format!("{name} comes before {used}: turn the dependency round"),
            ));
        }
        if APART.contains(&(name, used)) || APART.contains(&(used, name)) {
            findings.push(Finding::new(
                path,
                entry.line,
                format!("{name} and {used} meet only in stella and stella-testkit"),
            ));
        }
    }
    findings
}

/// A pure crate uses pure things.
fn purity(path: &str, text: &str) -> Vec<Finding> {
    let name = crate_of(path);
    if !PURE.contains(&name) {
        return Vec::new();
    }
    entries(text)
        .iter()
        .filter(|entry| entry.section == "dependencies")
        .filter(|entry| {
            !PURE.contains(&dependency(entry)) && !PURE_MAY_USE.contains(&dependency(entry))
        })
        .map(|entry| {
            Finding::new(
                path,
                entry.line,
                format!("{name} is pure: it may not use {}", dependency(entry)),
            )
        })
        .collect()
}

/// Every pure crate has the same list of banned calls: clippy reads the file nearest to the crate, and no other.
fn bans(workspace: &Workspace) -> Result<Vec<Finding>, Failure> {
    let path_of = |name: &str| format!("crates/{name}/{BANS}");
    let first = workspace.read(&path_of(PURE[0]))?;
    let mut findings = Vec::new();
    for name in PURE {
        if workspace.read(&path_of(name))? != first {
            findings.push(Finding::new(
                &path_of(name),
                0,
                format!("differs from {}", path_of(PURE[0])),
            ));
        }
    }
    Ok(findings)
}

fn crate_of(path: &str) -> &str {
    path.trim_end_matches("/Cargo.toml")
        .rsplit('/')
        .next()
        .unwrap_or(path)
}

fn dependency<'a>(entry: &Entry<'a>) -> &'a str {
    entry.key.split('.').next().unwrap_or(entry.key)
}

fn is_dependency_section(section: &str) -> bool {
    section.ends_with("dependencies") && section != "workspace.dependencies"
}

fn takes_from_workspace(entry: &Entry<'_>) -> bool {
    entry.key.ends_with(".workspace") || entry.value.contains("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::super::messages;
    use super::*;

    const ORDER: [&str; 3] = ["stella-tlog", "stella-server", "stella-attest"];

    #[test]
    fn members_are_read_in_order() {
        let root = "[workspace]\nmembers = [\n    \"crates/a\", # one\n    \"crates/b\",\n]\nexclude = [\"fuzz\"]\n";
        assert_eq!(members(root), ["crates/a", "crates/b"]);
        assert_eq!(crate_names(&members(root)), ["a", "b"]);
    }

    #[test]
    fn a_dependency_without_a_sentence_is_found() {
        let root = "[workspace.dependencies]\n# Time.\njiff = \"1\"\ntime = \"1\"\n\nurl = \"2\"\nhex = \"1\" # RFC 4648\n";
        assert_eq!(
            messages(&sentences("Cargo.toml", root)),
            ["say above `url` which standard or need it serves"]
        );
    }

    #[test]
    fn a_version_chosen_in_a_crate_is_found() {
        let text = "[dependencies]\nurl = \"2\"\nhex.workspace = true\njiff = { workspace = true, features = [\"std\"] }\n";
        assert_eq!(
            messages(&inherited("crates/a/Cargo.toml", text)),
            ["write `url.workspace = true`"]
        );
    }

    #[test]
    fn a_dependency_against_the_order_is_found() {
        let text = "[dependencies]\nstella-server.workspace = true\n";
        assert_eq!(
            direction("crates/stella-tlog/Cargo.toml", text, &ORDER).len(),
            1
        );
        let itself = "[dependencies]\nstella-tlog.workspace = true\n";
        assert_eq!(
            direction("crates/stella-tlog/Cargo.toml", itself, &ORDER).len(),
            1
        );
        assert_eq!(
            direction("crates/stella-server/Cargo.toml", itself, &ORDER),
            []
        );
    }

    #[test]
    fn the_use_cases_may_not_know_the_server() {
        let text = "[dependencies]\nstella-server.workspace = true\n";
        assert_eq!(
            direction("crates/stella-attest/Cargo.toml", text, &ORDER).len(),
            1
        );
    }

    #[test]
    fn a_pure_crate_may_not_use_a_network() {
        let text = "[dependencies]\nreqwest.workspace = true\nder.workspace = true\n";
        assert_eq!(
            messages(&purity("crates/stella-wire/Cargo.toml", text)),
            ["stella-wire is pure: it may not use reqwest"]
        );
        assert_eq!(purity("crates/stella-client/Cargo.toml", text), []);
    }
}
