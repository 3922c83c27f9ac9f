//! Rules for every text file: nothing of the machine it was written on, no conflict left over.

use super::Finding;

/// Beginnings of absolute paths that exist on one machine only. Written in halves, or this file would break its own rule.
const MACHINE_PATHS: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "bash_jobs"),
];

/// What a merge leaves when it fails.
const CONFLICT: [&str; 2] = [concat!("<<<<", "<<< "), concat!(">>>>", ">>> ")];

/// Checks one file.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(machine) = MACHINE_PATHS
            .iter()
            .find(|&&machine| begins_a_path(line, machine))
        {
            findings.push(Finding::new(
                path,
                index + 1,
                format!("`{machine}` exists on one machine only"),
            ));
        }
        if CONFLICT.iter().any(|&mark| line.starts_with(mark)) {
            findings.push(Finding::new(
                path,
                index + 1,
                "a merge conflict is left here",
            ));
        }
    }
    findings
}

/// Says whether the text stands in the line as an absolute path, not as the middle of a longer path or URL.
fn begins_a_path(line: &str, machine: &str) -> bool {
    line.match_indices(machine).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && !"/._-}".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_machine_is_found() {
        let machine = MACHINE_PATHS[0];
        assert_eq!(check("a.md", &format!("see {machine}x\n")).len(), 1);
        assert_eq!(check("a.md", &format!("\"{machine}x\"\n")).len(), 1);
    }

    #[test]
    fn the_same_letters_inside_a_url_are_no_machine_path() {
        assert_eq!(
            check(
                "a.md",
                &format!("https://example.com{}x\n", MACHINE_PATHS[0])
            ),
            []
        );
        assert_eq!(check("a.md", "/home/runner and .github/workflows/\n"), []);
    }

    #[test]
    fn a_conflict_left_over_is_found() {
        assert_eq!(check("a.md", &format!("a\n{}HEAD\n", CONFLICT[0])).len(), 1);
    }
}
