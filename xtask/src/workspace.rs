//! The checkout: where it is, which text files it has, where built things go.
//!
//! What a good file looks like is decided in `tidy`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Folders that hold built or downloaded things, at whatever depth.
const NOT_OURS: [&str; 6] = [
    ".git",
    "target",
    "node_modules",
    "corpus",
    "artifacts",
    "__pycache__",
];

/// Endings of the files that people read and write.
const TEXT: [&str; 13] = [
    "css", "html", "js", "json", "lock", "md", "mjs", "py", "rs", "sh", "toml", "txt", "yaml",
];

/// Text files without an ending.
const TEXT_NAMES: [&str; 4] = ["LICENSE", "run", ".gitignore", "yml"];

/// One checkout of the repository.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the checkout that this program was built from.
    ///
    /// # Errors
    /// `Failure::File` when that folder is no longer there.
    pub(crate) fn find() -> Result<Self, Failure> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let root = fs::canonicalize(&beside).map_err(|error| Failure::File {
            path: beside,
            error,
        })?;
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self { root, target })
    }

    /// Returns the folder that holds Cargo.toml of the workspace.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder for built things.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Reads one file, named from the root.
    ///
    /// # Errors
    /// `Failure::File` when it is absent or no UTF-8.
    pub(crate) fn read(&self, path: &str) -> Result<String, Failure> {
        let path = self.root.join(path);
        fs::read_to_string(&path).map_err(|error| Failure::File { path, error })
    }

    /// Lists the text files, named from the root with `/`, in order.
    ///
    /// # Errors
    /// `Failure::File` when a folder cannot be read.
    pub(crate) fn text_files(&self) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).map_err(|error| Failure::File {
                path: folder.clone(),
                error,
            })?;
            for entry in entries {
                let entry = entry.map_err(|error| Failure::File {
                    path: folder.clone(),
                    error,
                })?;
                let (path, name) = (entry.path(), entry.file_name());
                let kind = entry.file_type().map_err(|error| Failure::File {
                    path: path.clone(),
                    error,
                })?;
                if kind.is_dir() && !NOT_OURS.iter().any(|&skipped| name == skipped) {
                    folders.push(path);
                } else if kind.is_file() && is_text(&path) {
                    found.push(self.name(&path));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .to_string_lossy()
            .replace('\\', "/")
    }
}

fn is_text(path: &Path) -> bool {
    let by_ending = path
        .extension()
        .is_some_and(|ending| TEXT.iter().any(|&text| ending == text));
    by_ending
        || path
            .file_name()
            .is_some_and(|name| TEXT_NAMES.iter().any(|&text| name == OsStr::new(text)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn this_file_is_listed_and_nothing_built_is() {
        let files = Workspace::find().unwrap().text_files().unwrap();
        assert!(files.iter().any(|file| file == "xtask/src/workspace.rs"));
        assert!(
            !files
                .iter()
                .any(|file| file.starts_with("target/") || file.contains("node_modules/"))
        );
    }
}
