//! The list of benchmarks. Their figures, with the machine and the commands, stand in `docs/benchmarks.md`.

use crate::failure::Failure;
use crate::workspace::Workspace;

/// Where each benchmark is, the command that runs it, and what it measures.
const BENCHES: [(&str, &str, &str); 6] = [
    (
        "crates/stella-pkcs11/benches/softhsm.rs",
        "cargo bench --package stella-pkcs11 --bench softhsm",
        "sign with a key in SoftHSM, by the module alone and through the process around it",
    ),
    (
        "crates/stella-server/benches/log.rs",
        "cargo bench --package stella-server --bench log",
        "append to the log, next to what the disk can do",
    ),
    (
        "crates/stella/benches/archive.rs",
        "cargo bench --package stella --bench archive",
        "seal a set of attestations, next to verifying it alone; verify and search the archive",
    ),
    (
        "crates/stella/benches/service.rs",
        "cargo bench --package stella --bench service",
        "whole processes and requests over HTTP: verify offline, sign, log entries",
    ),
    (
        "crates/stella/benches/verify.rs",
        "cargo bench --package stella --bench verify",
        "verify one bundle in process, next to the official Rust verifier",
    ),
    (
        "crates/stella/benches/verify_many.rs",
        "cargo bench --package stella --bench verify_many",
        "verify 10 000 bundles at once, on one core and on two, next to the sum of their signatures",
    ),
];

/// Prints each benchmark with its command.
///
/// # Errors
/// `Failure::File` when the list names a file that is not there.
pub(crate) fn list(workspace: &Workspace) -> Result<(), Failure> {
    for (file, command, what) in BENCHES {
        workspace.read(file)?;
        println!("{command}\n    {what}");
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_benchmark_and_no_other() {
        let files = Workspace::find().unwrap().text_files().unwrap();
        let is_bench = |path: &String| path.contains("/benches/") && path.ends_with(".rs");
        let found: Vec<String> = files.into_iter().filter(is_bench).collect();
        assert_eq!(found, BENCHES.map(|(file, _, _)| file.to_owned()));
    }
}
