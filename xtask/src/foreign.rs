//! The foreign clients: installs sigstore-python and sigstore-js at pinned versions, once, under `target/foreign`; and moto,
//! which plays AWS.
//!
//! What they are made to do is in `crates/stella/tests/foreign.rs`, `crates/stella/tests/archive_reference.rs`,
//! `crates/stella/tests/kms.rs`, `crates/stella-testkit/tests/differential` and `tests/foreign/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// Written last into a prepared folder: the pins it was made from. A change of the pins makes it anew.
const STAMP: &str = "prepared-from";

/// Whether `ci` shall run the foreign clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// When python3 and npm are there.
    IfPossible,
    /// Not at all.
    No,
    /// A machine without them is an error.
    Yes,
}

impl Wanted {
    /// Reads `STELLA_FOREIGN`.
    pub(crate) fn from_environment() -> Self {
        Self::parse(std::env::var("STELLA_FOREIGN").ok().as_deref())
    }

    fn parse(value: Option<&str>) -> Self {
        match value {
            None | Some("") => Self::IfPossible,
            Some("0") => Self::No,
            Some(_) => Self::Yes,
        }
    }
}

/// Prepares the clients, then runs their tests.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    prepare(workspace)?;
    for (package, name) in [
        ("stella", "archive_reference"),
        ("stella", "foreign"),
        ("stella", "kms"),
        ("stella-testkit", "differential"),
    ] {
        let mut test = cargo::cargo(workspace);
        test.args(["test", "--package", package, "--test", name]);
        test.args(["--", "--nocapture"]);
        cargo::run(test.env("STELLA_FOREIGN", "1"))?;
    }
    Ok(())
}

/// Prepares the clients as `ci` wants them, and says so when it leaves them out.
pub(crate) fn prepare_if_wanted(workspace: &Workspace, wanted: Wanted) -> Result<(), Failure> {
    match (wanted, require_tools()) {
        (Wanted::No, _) => println!("xtask: foreign clients left out: STELLA_FOREIGN=0"),
        (Wanted::IfPossible, Err(missing)) => {
            println!("xtask: foreign clients left out: {missing}")
        }
        (Wanted::Yes, Err(missing)) => return Err(missing),
        (_, Ok(())) => prepare(workspace)?,
    }
    Ok(())
}

/// Installs all of them unless this very set is installed already.
pub(crate) fn prepare(workspace: &Workspace) -> Result<(), Failure> {
    require_tools()?;
    let pins = workspace.root().join("tests/foreign");
    let place = workspace.target().join("foreign");
    python(&pins.join("requirements.txt"), &place.join("venv"))?;
    // Both want the same libraries, in versions of their own.
    python(
        &pins.join("requirements-moto.txt"),
        &place.join("venv-moto"),
    )?;
    javascript(&pins, &place.join("node"))
}

fn require_tools() -> Result<(), Failure> {
    if !cargo::succeeds("python3", &["-c", "import ensurepip, venv"]) {
        return Err(Failure::ToolMissing {
            tool: "python3 with venv",
            install: "apt-get install python3-venv",
        });
    }
    if !cargo::succeeds("npm", &["--version"]) {
        return Err(Failure::ToolMissing {
            tool: "npm",
            install: "apt-get install npm",
        });
    }
    Ok(())
}

fn python(requirements: &Path, place: &Path) -> Result<(), Failure> {
    let wanted = read(requirements)?;
    if is_prepared(place, &wanted) {
        return Ok(());
    }
    begin_anew(place)?;
    cargo::run(Command::new("python3").args(["-m", "venv"]).arg(place))?;
    // Wheels only, each by its hash: nothing is built here, and nothing but the pinned bytes is run. The list is
    // complete, so nothing is resolved either: pip before 24 takes a dependency with an extra for an unpinned one.
    let mut pip = Command::new(place.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]);
    pip.args([
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--no-deps",
        "--requirement",
    ])
    .arg(requirements);
    cargo::run(&mut pip)?;
    write(&place.join(STAMP), &wanted)
}

fn javascript(pins: &Path, place: &Path) -> Result<(), Failure> {
    let files = ["package.json", "package-lock.json"];
    let wanted = read(&pins.join(files[1]))?;
    if is_prepared(place, &wanted) {
        return Ok(());
    }
    begin_anew(place)?;
    for file in files {
        write(&place.join(file), &read(&pins.join(file))?)?;
    }
    // The lock names node itself too, as a plain file of the registry: sigstore-js 5 wants node 22.22.2 or newer.
    let mut npm = Command::new("npm");
    npm.args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--loglevel=error",
    ]);
    cargo::run(npm.current_dir(place))?;
    write(&place.join(STAMP), &wanted)
}

fn is_prepared(place: &Path, wanted: &str) -> bool {
    fs::read_to_string(place.join(STAMP)).is_ok_and(|stamp| stamp == wanted)
}

/// Empties the folder: what an interrupted run left there is not worth keeping.
fn begin_anew(place: &Path) -> Result<(), Failure> {
    if place.exists() {
        fs::remove_dir_all(place).map_err(|error| at(place, error))?;
    }
    fs::create_dir_all(place).map_err(|error| at(place, error))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| at(path, error))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| at(path, error))
}

fn at(path: &Path, error: std::io::Error) -> Failure {
    Failure::File {
        path: PathBuf::from(path),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_whether_the_clients_are_wanted() {
        assert_eq!(Wanted::parse(None), Wanted::IfPossible);
        assert_eq!(Wanted::parse(Some("0")), Wanted::No);
        assert_eq!(Wanted::parse(Some("1")), Wanted::Yes);
    }

    #[test]
    fn a_folder_without_a_stamp_is_not_prepared() {
        assert!(!is_prepared(Path::new("no/such/folder"), ""));
    }
}
