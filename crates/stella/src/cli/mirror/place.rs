//! What an argument of `stella mirror` names: a layout's folder, a layout's file, or a repository.

use std::path::Path;
use std::sync::Arc;

use stella_attest::layout::Layout;
use stella_attest::storage::Storage;
use stella_bundle::identity::escape;

use super::of_layout;
use crate::exit::Failure;

/// What is to be done with a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// What a text names.
#[derive(Debug, PartialEq, Eq)]
enum Named<'a> {
    Folder(&'a str),
    File(&'a str),
    Repository(&'a str),
}

/// Opens what a text names: `oci:DIR`, `oci-archive:FILE`, a path, or a repository.
pub(super) fn open_storage(text: &str, purpose: Purpose) -> Result<Arc<dyn Storage>, Failure> {
    let layout = match (named(text), purpose) {
        (Named::Repository(name), _) => return open_repository(name),
        (Named::Folder(path) | Named::File(path), Purpose::Read) => Layout::open(Path::new(path)),
        (Named::Folder(path), Purpose::Write) => Layout::create_folder(Path::new(path)),
        (Named::File(path), Purpose::Write) => Layout::create_tar(Path::new(path)),
    };
    Ok(Arc::new(layout.map_err(|error| of_layout(&error))?))
}

/// The one place where registries join.
fn open_repository(name: &str) -> Result<Arc<dyn Storage>, Failure> {
    let message = format!("{} is not a layout: registries come next", escape(name));
    Err(Failure::usage(message).hint("name a folder (oci:DIR) or a tar file (oci-archive:FILE)"))
}

/// Tells paths from repositories: what is there, what begins as a path does, and what ends in `.tar`.
fn named(text: &str) -> Named<'_> {
    if let Some(path) = text.strip_prefix("oci-archive:") {
        return Named::File(path);
    }
    if let Some(path) = text.strip_prefix("oci:") {
        return Named::Folder(path);
    }
    let path = Path::new(text);
    let begins = |prefix: &&str| text.starts_with(*prefix);
    if path.is_file() || text.ends_with(".tar") {
        Named::File(text)
    } else if path.is_dir() || ["/", "./", "../"].iter().any(begins) {
        Named::Folder(text)
    } else {
        Named::Repository(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_repositories() {
        for (text, expected) in [
            ("oci:dir", Named::Folder("dir")),
            ("oci-archive:file", Named::File("file")),
            ("images.tar", Named::File("images.tar")),
            ("./images", Named::Folder("./images")),
            ("/srv/images", Named::Folder("/srv/images")),
            ("src", Named::Folder("src")),
            ("Cargo.toml", Named::File("Cargo.toml")),
            ("ghcr.io/a/b:v1", Named::Repository("ghcr.io/a/b:v1")),
            ("alpine", Named::Repository("alpine")),
        ] {
            assert_eq!(named(text), expected, "{text}");
        }
    }
}
