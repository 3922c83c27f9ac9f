//! The folders of certificates that docker and podman have for registries: `HOST[:PORT]/*.crt` are authorities, `*.cert`
//! with a `*.key` of the same name is what is shown to the registry.
//!
//! spec: containers-certs.d(5)

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::network::{Certificates, CertificatesError};

/// Bytes of a file; a bundle of all public authorities has a quarter of it.
const MAX_FILE: u64 = 1 << 20;

/// Where certificates for registries are looked for.
#[derive(Debug, Clone)]
pub enum CertificateFolders {
    /// In this folder, whichever the registry is.
    Given(PathBuf),
    /// In the folder of the registry's name in the first of these that has one.
    Usual(Vec<PathBuf>),
}

/// A folder's certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFolderError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A certificate without its key, or the other way round.
    #[error("{} has no {} beside it", path.display(), missing.display())]
    Alone {
        /// The file that is there.
        path: PathBuf,
        /// The one that is not.
        missing: PathBuf,
    },
    /// A file is not what its name says.
    #[error("cannot use {}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: CertificatesError,
    },
}

impl CertificateFolders {
    /// Finds the certificates for a registry (`HOST[:PORT]`); none where no folder is about it.
    ///
    /// # Errors
    /// Any [`CertificateFolderError`].
    pub fn find(&self, host: &str) -> Result<Option<Certificates>, CertificateFolderError> {
        match self {
            Self::Given(folder) => read(folder).map(Some),
            Self::Usual(bases) => {
                let mut folders = bases.iter().map(|base| base.join(host));
                let folder = folders.find(|folder| folder.is_dir());
                folder.map(|folder| read(&folder)).transpose()
            }
        }
    }
}

fn read(folder: &Path) -> Result<Certificates, CertificateFolderError> {
    let mut certificates = Certificates::default();
    for path in files(folder)? {
        let malformed = |problem| CertificateFolderError::Malformed {
            path: path.clone(),
            problem,
        };
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("crt") => certificates
                .believe(&read_file(&path)?)
                .map_err(malformed)?,
            Some("cert") => {
                let key = beside(&path, "key")?;
                certificates
                    .show(&read_file(&path)?, &read_file(&key)?)
                    .map_err(malformed)?;
            }
            Some("key") => {
                beside(&path, "cert")?;
            }
            _ => {}
        }
    }
    Ok(certificates)
}

/// Returns the files of a folder in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, CertificateFolderError> {
    let failed = |error| CertificateFolderError::File {
        path: folder.to_owned(),
        error,
    };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

/// Returns the path of the file of the same name with another ending, which must be there.
fn beside(path: &Path, ending: &str) -> Result<PathBuf, CertificateFolderError> {
    let other = path.with_extension(ending);
    if other.is_file() {
        return Ok(other);
    }
    Err(CertificateFolderError::Alone {
        path: path.to_owned(),
        missing: other,
    })
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateFolderError> {
    let failed = |error| CertificateFolderError::File {
        path: path.to_owned(),
        error,
    };
    // Made at once: a buffer that grows leaves its beginnings behind.
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > MAX_FILE {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    bytes.reserve_exact(usize::try_from(length).unwrap_or_default() + 1);
    file.take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_folder_of_a_registry_is_read_and_what_is_wrong_in_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let base = |name: &str| folder.path().join(name);
        let folders = CertificateFolders::Usual(vec![base("first"), base("second")]);
        let write = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "no PEM").unwrap();
        };
        assert!(folders.find("registry.example:5000").unwrap().is_none());
        write("second/registry.example:5000/ca.crt");
        let refused = folders.find("registry.example:5000").unwrap_err();
        assert!(
            refused.to_string().contains("BEGIN CERTIFICATE"),
            "{refused}"
        );
        write("first/registry.example:5000/notes.txt");
        assert!(folders.find("registry.example:5000").unwrap().is_some());
        write("first/registry.example:5000/me.key");
        let refused = folders.find("registry.example:5000").unwrap_err();
        assert!(refused.to_string().contains("me.cert"), "{refused}");
        write("first/registry.example:5000/me.cert");
        let refused = folders.find("registry.example:5000").unwrap_err();
        assert!(refused.to_string().contains("PRIVATE KEY"), "{refused}");
        let given = CertificateFolders::Given(base("absent"));
        assert!(given.find("any").is_err());
    }
}
