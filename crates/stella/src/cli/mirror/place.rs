//! What an argument of `stella mirror` names: a layout's folder, a layout's file, or a repository.

use std::path::Path;
use std::sync::Arc;

use stella_attest::layout::Layout;
use stella_attest::storage::Storage;

use super::of_layout;
use crate::exit::Failure;
use crate::registry::{self, Registries};

/// What is to be done with a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Purpose {
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

/// A place that was opened, and the one image that its name means, if any.
pub(in crate::cli) struct Place {
    pub(in crate::cli) storage: Arc<dyn Storage>,
    pub(in crate::cli) image: Option<String>,
    /// Whether names are tags there, and not whole references.
    pub(in crate::cli) is_repository: bool,
}

/// Opens what a text names: `oci:DIR`, `oci-archive:FILE`, a path, or a repository, with a tag or digest or without.
pub(in crate::cli) fn open(
    text: &str,
    purpose: Purpose,
    registries: &Registries,
) -> Result<Place, Failure> {
    let layout = match (named(text), purpose) {
        (Named::Repository(name), _) => return open_repository(name, registries),
        (Named::Folder(path) | Named::File(path), Purpose::Read) => Layout::open(Path::new(path)),
        (Named::Folder(path), Purpose::Write) => Layout::create_folder(Path::new(path)),
        (Named::File(path), Purpose::Write) => Layout::create_tar(Path::new(path)),
    };
    Ok(Place {
        storage: Arc::new(layout.map_err(|error| of_layout(&error))?),
        image: None,
        is_repository: false,
    })
}

fn open_repository(name: &str, registries: &Registries) -> Result<Place, Failure> {
    let reference = registry::parse(name)?;
    let is_whole = reference.tag().is_none() && reference.digest().is_none();
    Ok(Place {
        storage: Arc::new(registries.repository(&reference)?),
        image: (!is_whole).then(|| reference.manifest()),
        is_repository: true,
    })
}

/// Says whether a text names a layout on this machine.
pub(in crate::cli) fn is_path(text: &str) -> bool {
    !matches!(named(text), Named::Repository(_))
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
