//! Keys in files: plain PKCS#8 in PEM, readable by their owner only.
//!
//! The private instance keeps its keys so; people's long-lived keys belong into hardware or behind a passphrase.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use stella_bundle::key::{KeyDetails, PublicKey};
use stella_bundle::pem;
use zeroize::{Zeroize as _, Zeroizing};

use crate::private::PrivateKey;
use crate::signer::{KeyError, Signer};

/// PEM label of an unencrypted key (RFC 5958 §5).
const LABEL: &str = "PRIVATE KEY";

/// Larger files are refused: RSA 4096 needs 3.3 KiB.
const MAX_FILE: u64 = 16 << 10;

/// A key that rests in a file.
#[derive(Debug)]
pub struct FileKey(PrivateKey);

impl FileKey {
    /// Makes a key and writes it to a new file of mode 0600, synced with its directory.
    ///
    /// # Errors
    /// `Exists` rather than overwriting; `File`; `Unsupported` and `Library` as for ephemeral keys.
    pub fn create(path: &Path, details: KeyDetails) -> Result<Self, KeyError> {
        let key = PrivateKey::generate(details)?;
        let text = Zeroizing::new(pem::encode(LABEL, &key.to_pkcs8()?));
        write_new(path, text.as_bytes()).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists {
                path: path.to_owned(),
            },
            kind => KeyError::File {
                path: path.to_owned(),
                kind,
            },
        })?;
        Ok(Self(key))
    }

    /// Reads a key for `details`.
    ///
    /// # Errors
    /// `Permissions` when others may read it; `File`; `Malformed`; `Unsupported` when it is a key of another kind.
    pub fn load(path: &Path, details: KeyDetails) -> Result<Self, KeyError> {
        let failed = |error: io::Error| KeyError::File {
            path: path.to_owned(),
            kind: error.kind(),
        };
        let malformed = || KeyError::Malformed {
            path: path.to_owned(),
        };
        let file = File::open(path).map_err(failed)?;
        require_private(path, &file)?;
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE + 1)
            .read_to_string(&mut text)
            .map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => malformed(),
                _ => failed(error),
            })?;
        if text.len() as u64 > MAX_FILE {
            return Err(malformed());
        }
        let mut blocks = pem::decode_all(&text).map_err(|_| malformed())?;
        let key = match blocks.as_slice() {
            [block] if block.label == LABEL => PrivateKey::from_pkcs8(&block.der, details),
            _ => Err(malformed()),
        };
        blocks.iter_mut().for_each(|block| block.der.zeroize());
        key.map(Self)
    }
}

impl Signer for FileKey {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn details(&self) -> KeyDetails {
        self.0.details()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.0.sign(message)
    }

    fn prove_possession(&self, challenge: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.0.prove_possession(challenge)
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // The name is durable only when its directory is.
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn require_private(path: &Path, file: &File) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata().map_err(|error| KeyError::File {
        path: path.to_owned(),
        kind: error.kind(),
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn require_private(_: &Path, _: &File) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const P256: KeyDetails = KeyDetails::EcdsaP256Sha256;

    #[test]
    fn a_key_is_the_same_after_it_was_read_back() {
        let directory = tempfile::tempdir().unwrap();
        for details in [
            P256,
            KeyDetails::EcdsaP384Sha384,
            KeyDetails::Ed25519,
            KeyDetails::RsaPkcs1v15_2048Sha256,
        ] {
            let path = directory.path().join(details.name());
            let created = FileKey::create(&path, details).unwrap();
            let loaded = FileKey::load(&path, details).unwrap();
            assert!(created.public_key() == loaded.public_key());
            let signature = loaded.sign(b"message").unwrap();
            created
                .public_key()
                .verify_as(details, b"message", &signature)
                .unwrap();
        }
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        FileKey::create(&path, P256).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert_eq!(
            FileKey::create(&path, P256).map(|_| ()),
            Err(KeyError::Exists { path: path.clone() })
        );
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        FileKey::create(&path, P256).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = FileKey::load(&path, P256).map(|_| ());
        assert_eq!(refused, Err(KeyError::Permissions { path, mode: 0o640 }));
    }

    #[test]
    fn another_file_or_another_kind_of_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        FileKey::create(&path, P256).unwrap();
        let ed25519 = KeyDetails::Ed25519;
        assert_eq!(
            FileKey::load(&path, ed25519).map(|_| ()),
            Err(KeyError::Unsupported(ed25519))
        );
        std::fs::write(
            &path,
            "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        )
        .unwrap();
        assert_eq!(
            FileKey::load(&path, P256).map(|_| ()),
            Err(KeyError::Malformed { path: path.clone() })
        );
        let absent = directory.path().join("absent");
        let kind = io::ErrorKind::NotFound;
        assert_eq!(
            FileKey::load(&absent, P256).map(|_| ()),
            Err(KeyError::File { path: absent, kind })
        );
    }
}
