//! `stella sign-blob` and `stella attest-blob`: files are signed, and each bundle lies beside its file.

pub(super) mod attest;
pub(super) mod sign;

use std::fs;
use std::path::{Path, PathBuf};

use stella_attest::sign::Signed;

use crate::exit::{self, Failure};
use crate::terminal;

/// Larger files are not signed: some keys sign the whole message, which is held in memory.
const MAX_BLOB: usize = 4 << 30;

/// What a bundle's name ends in, beside its file.
const ENDING: &str = ".sigstore.json";

/// Returns where the bundle of a file goes: where it was said, or beside the file.
fn bundle_path(file: &str, given: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    match given {
        Some(path) => Ok(path.clone()),
        None if file == crate::artifact::STDIN => Err(Failure::usage(
            "what is read from standard input has no place beside it",
        )
        .hint("name a file for the bundle with --bundle FILE")),
        None => Ok(PathBuf::from(format!("{file}{ENDING}"))),
    }
}

/// Returns where the bundle of each file goes. All of it is known before anything is signed, and no file that is read is
/// written over.
fn bundle_paths(files: &[String], given: Option<&PathBuf>) -> Result<Vec<PathBuf>, Failure> {
    let paths = files.iter().map(|file| bundle_path(file, given));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    for path in &paths {
        require_other(files, path)?;
    }
    Ok(paths)
}

/// Requires that what is written is none of what is read.
fn require_other(files: &[String], path: &Path) -> Result<(), Failure> {
    let same = |file: &&String| {
        let paths = (fs::canonicalize(file), fs::canonicalize(path));
        matches!(paths, (Ok(file), Ok(path)) if file == path)
    };
    match files.iter().find(same) {
        None => Ok(()),
        Some(file) => Err(Failure::usage(format!(
            "{file} would be written over by what signs it"
        ))),
    }
}

/// Requires that `--bundle` names the bundle of one file.
fn require_one(files: &[String], bundle: Option<&PathBuf>) -> Result<(), Failure> {
    if bundle.is_some() && files.len() > 1 {
        return Err(
            Failure::usage("--bundle names one file, and several are to be signed").hint(format!(
                "leave it out: each bundle goes beside its file as FILE{ENDING}"
            )),
        );
    }
    Ok(())
}

fn write(path: &Path, signed: &Signed) -> Result<(), Failure> {
    if path.exists() {
        terminal::tell(&format!(
            "note: {} was there and is replaced",
            path.display()
        ));
    }
    fs::write(path, &signed.bytes).map_err(|error| Failure::io("write", path, &error))
}

fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let read = match file {
        crate::artifact::STDIN => stella_attest::file::read_from(std::io::stdin(), MAX_BLOB),
        _ => stella_attest::file::read(Path::new(file), MAX_BLOB),
    };
    read.map_err(|error| {
        Failure::new(exit::NO_ARTIFACT, format!("cannot read {file}: {error}")).page("no-artifact")
    })
}
