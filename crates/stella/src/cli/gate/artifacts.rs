//! Which artifacts are judged: files, every file below a folder, digests, standard input.

use std::fs;
use std::path::{Path, PathBuf};

use stella_bundle::digest::Digest;

use crate::artifact;
use crate::exit::{self, Failure};

/// More artifacts than this in one call are refused; a release has some thousands.
const MAX_ARTIFACTS: usize = 100_000;

/// What the bundles of files beside them are called.
pub(crate) const BUNDLE_ENDINGS: [&str; 2] = [".sigstore.json", ".sigstore"];

/// Returns the names of single artifacts, folders by their files in alphabetical order.
///
/// Links in a folder are not followed, and bundles are no artifacts.
pub(crate) fn expand(given: &[String]) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for name in given {
        let path = Path::new(name);
        if name == artifact::STDIN || Digest::parse(name).is_some() || !path.is_dir() {
            names.push(name.clone());
            continue;
        }
        let mut files = below(path)?;
        files.sort();
        if files.is_empty() {
            return Err(Failure::new(
                exit::NO_ARTIFACT,
                format!("there is no artifact below {name}"),
            )
            .page("no-artifact"));
        }
        names.extend(files.iter().map(|file| file.display().to_string()));
        if names.len() > MAX_ARTIFACTS {
            return Err(Failure::usage(format!(
                "more than {MAX_ARTIFACTS} artifacts"
            )));
        }
    }
    Ok(names)
}

/// Lists every file below a folder but the bundles.
fn below(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let refuse = |error| Failure::io("read", &folder, &error);
        for entry in fs::read_dir(&folder).map_err(refuse)? {
            let entry = entry.map_err(refuse)?;
            let kind = entry.file_type().map_err(refuse)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && !is_bundle(&entry.path()) {
                files.push(entry.path());
            }
        }
        if files.len() > MAX_ARTIFACTS {
            return Err(Failure::usage(format!(
                "more than {MAX_ARTIFACTS} artifacts"
            )));
        }
    }
    Ok(files)
}

fn is_bundle(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    BUNDLE_ENDINGS.iter().any(|ending| name.ends_with(ending))
}
