//! The ways in which a layout is of no use, each with the file that it is about.

use std::io;
use std::path::{Path, PathBuf};

use stella_bundle::digest::Digest;
use stella_bundle::json::JsonError;
use stella_wire::registry::ManifestError;

use super::tar::EntryProblem;

/// Why a layout cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Two images have the same name.
    #[error("{} gives the name {name:?} to two images, {first} and {second}: ask for one of them by digest", path.display())]
    Ambiguous {
        /// The layout.
        path: PathBuf,
        /// The name.
        name: String,
        /// One of the images.
        first: Digest,
        /// Another.
        second: Digest,
    },
    /// Another process writes the file.
    #[error("{} is being written by another process: wait until it has ended", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A compressed tar file, which has no offsets to read at.
    #[error("{} is compressed: expected an uncompressed tar file, decompress it first", path.display())]
    Compressed {
        /// The file.
        path: PathBuf,
    },
    /// What `docker save` wrote before Docker 25.
    #[error("{} is of docker save's old form: expected an OCI layout, such as `skopeo copy docker-archive:FILE oci-archive:NEW` makes of it", path.display())]
    DockerArchive {
        /// The file.
        path: PathBuf,
    },
    /// An entry of a tar file.
    #[error("{}: entry {entry:?} {problem}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry's name, as far as it could be read.
        entry: String,
        /// What is wrong with it.
        problem: EntryProblem,
    },
    /// Nothing is taken out of a tar file.
    #[error("{} is a tar file, which nothing is taken out of: copy what is to stay to another one", path.display())]
    NeverShorter {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What it answered.
        error: io::Error,
    },
    /// `oci-layout` or `index.json` is not such JSON.
    #[error("{} of {} is unusable: {error}", name, path.display())]
    Json {
        /// The layout.
        path: PathBuf,
        /// Which of both.
        name: &'static str,
        /// What is wrong with it.
        error: JsonError,
    },
    /// A manifest is unusable.
    #[error("manifest {digest} in {}: {error}", path.display())]
    Manifest {
        /// The layout.
        path: PathBuf,
        /// The manifest.
        digest: Digest,
        /// What is wrong with it.
        error: ManifestError,
    },
    /// A blob that was there is gone.
    #[error("blob {digest} is not in {}", path.display())]
    NoBlob {
        /// The layout.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// There is no layout.
    #[error("{} is not an OCI layout: {missing} is missing at its top", path.display())]
    NotALayout {
        /// The folder or file.
        path: PathBuf,
        /// Which file was looked for.
        missing: &'static str,
    },
    /// A folder with other things in it is not written to.
    #[error("{} is neither empty nor an OCI layout: name a new folder", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// It was opened for reading.
    #[error("{} was opened for reading only", path.display())]
    ReadOnly {
        /// The layout.
        path: PathBuf,
    },
    /// Indexes name indexes without end.
    #[error("{}: manifest {digest} lies deeper than {limit} indexes", path.display())]
    TooDeep {
        /// The layout.
        path: PathBuf,
        /// The manifest.
        digest: Digest,
        /// How deep is allowed.
        limit: usize,
    },
    /// It has more of something than is read.
    #[error("{} has more than {limit} {what}", path.display())]
    TooMany {
        /// The layout.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// A layout of another version.
    #[error("{} is a layout of version {found:?}, expected 1.0.0", path.display())]
    Version {
        /// The layout.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// Content that is not what its name says.
    #[error("blob {expected} in {} has the digest {found}: it is damaged, or its source lied", path.display())]
    WrongDigest {
        /// The layout.
        path: PathBuf,
        /// What its name says.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// Content of another length than its descriptor says.
    #[error("blob {digest} in {} has {found} bytes, expected {expected}", path.display())]
    WrongSize {
        /// The layout.
        path: PathBuf,
        /// The blob.
        digest: Digest,
        /// What its descriptor says, in bytes.
        expected: u64,
        /// What is there, in bytes.
        found: u64,
    },
}

/// Makes an error of what the system answered.
pub(super) fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> LayoutError + 'a {
    move |error| LayoutError::Io {
        action,
        path: path.to_owned(),
        error,
    }
}
