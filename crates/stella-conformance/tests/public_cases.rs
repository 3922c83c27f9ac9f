//! The public cases through the runner beside the checkout, `../shared/conformance/run.py`: every client process in an
//! empty network namespace, a crash is a failure, and no failure is known.
//!
//! Where the runner, python3 or the right to make a namespace is missing the test says so and passes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

use std::path::Path;
use std::process::Command;

#[test]
fn every_public_case_ends_as_its_name_says_without_a_network() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let can = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !folder.is_dir() || !can("python3", &["-c", ""]) || !can("unshare", &["-n", "true"]) {
        println!("skipped: needs ../shared/conformance, python3 and the right to `unshare -n`");
        return;
    }
    let output = Command::new("python3")
        .arg(folder.join("run.py"))
        .args(["--entrypoint", env!("CARGO_BIN_EXE_stella-conformance")])
        .arg("--assets")
        .arg(folder.join("cases"))
        .arg("--production-root")
        .arg(folder.join("production_trusted_root.json"))
        .args(["--strict", "--isolate"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}");
    assert!(said.contains("failed 0 (known 0)"), "{said}");
}
