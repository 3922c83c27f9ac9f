//! An instance's directory: its description, lock, keys, certificates and secret.
//!
//! ```text
//! DIR/instance.json       schema, public URL, time of creation; written last, so its presence says "complete"
//! DIR/lock                held by the one process that serves or signs
//! DIR/keys/*.pem          private keys, mode 0600; those that are kept elsewhere are named in instance.json, and here
//!                         is the public half, *.pub, of those without a certificate
//! DIR/certificates/*.pem  the authorities' certificates
//! DIR/issuer.secret       bearer secret of the token endpoint, mode 0600
//! DIR/issuer.json         subjects for which the local issuer mints tokens
//! DIR/issuers.yaml        further trusted issuers, by the operator (optional)
//! DIR/{ct,rekor}/         the logs
//! DIR/registry/           images and what is attached to them (optional)
//! DIR/{trusted_root,signing_config,client_trust_config}.json
//! ```
//!
//! What the services do with all this is in their own rooms.

mod maker;

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stella_bundle::certificate::Certificate;
use stella_bundle::issue::IssueError;
use stella_bundle::issue::certificate::{Authority, CertificateTemplate, Name};
use stella_bundle::key::{KeyDetails, PublicKey};
use stella_bundle::pem;
use stella_bundle::time::UnixTime;
use stella_keys::{FileKey, KeyError, Signer};
use stella_wire::oidc::OidcError;
use url::{Host, Url};
use zeroize::Zeroizing;

use self::maker::Maker;
use crate::directory::{self, Claimed, FileError, Readable};
use crate::held::{self, HeldKeys, KeyPurpose, KeyReferences};
use crate::random;

/// Version of the directory's layout.
const SCHEMA: u32 = 1;

/// Name of the description inside the directory.
pub const DESCRIPTION: &str = "instance.json";
/// Name of the token endpoint's bearer secret inside the directory.
pub const SECRET: &str = "issuer.secret";

const LOCK: &str = "lock";
const MAX_SMALL_FILE: u64 = 64 << 10;

/// The form of `issuer.json`.
const SUBJECTS_FORM: &str = r#"{"issuer_subjects": ["repo:OWNER/NAME:.*"]}"#;

/// The ways in which a directory is no usable instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// `init` where an instance is already.
    #[error("{} holds an instance already", directory.display())]
    AlreadyInitialised {
        /// Where.
        directory: PathBuf,
    },
    /// A certificate does not parse.
    #[error("{} is not the certificate that was written there", path.display())]
    CertificateMalformed {
        /// Where.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A certificate of the instance's own could not be laid out.
    #[error("cannot make the instance's certificates: {0}")]
    Issue(#[from] IssueError),
    /// The local issuer's key is none that its tokens can name.
    #[error("cannot use the local issuer's key: {0}")]
    IssuerKey(#[from] OidcError),
    /// A key could not be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key is kept elsewhere, and was not opened.
    #[error("this instance signs with {reference}, and that key was not opened")]
    KeyElsewhere {
        /// How it is named.
        reference: String,
    },
    /// A key that is kept elsewhere is not the one with which the instance was made.
    #[error("{reference} is now another key than the one with which this instance was made")]
    KeyMismatch {
        /// How it is named.
        reference: String,
    },
    /// A key is of a kind that the format of what it signs does not have, or that not every client verifies.
    #[error("{reference} is a key for {}; the {} signs with {}", found.name(), purpose.owner(), purpose.suitable_words())]
    KeyUnsuitable {
        /// What it is to be for.
        purpose: KeyPurpose,
        /// How it is named.
        reference: String,
        /// How it signs.
        found: KeyDetails,
    },
    /// Another process has the instance.
    #[error("another process is using {}: stop it, or ask it at its URL", directory.display())]
    Locked {
        /// Where.
        directory: PathBuf,
    },
    /// `instance.json` does not parse.
    #[error("{} is malformed at line {line}, column {column}", path.display())]
    Malformed {
        /// Where.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// `init` in a directory that holds other things, or a half-made instance.
    #[error("{} is not empty (found {found}) and holds no complete instance", directory.display())]
    NotEmpty {
        /// Where.
        directory: PathBuf,
        /// One of the names in it.
        found: String,
    },
    /// There is no instance here.
    #[error("{} holds no instance", directory.display())]
    NotInitialised {
        /// Where.
        directory: PathBuf,
    },
    /// `init` in another user's directory.
    #[error("{} belongs to another user", directory.display())]
    NotOwned {
        /// Where.
        directory: PathBuf,
    },
    /// The recorded public half of a key that is kept elsewhere does not parse.
    #[error("{} is not the public key that was written there", path.display())]
    PublicKeyMalformed {
        /// Where.
        path: PathBuf,
    },
    /// The secret is readable by others, or too short.
    #[error("{} must hold at least 32 characters and be readable by its owner only (chmod 600)", path.display())]
    SecretExposed {
        /// Where.
        path: PathBuf,
    },
    /// `issuer.json` is no list of subjects.
    #[error(
        "{} must have the form {SUBJECTS_FORM}, and departs from it at line {line}, column {column}", path.display()
    )]
    SubjectsMalformed {
        /// Where.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A subject of `issuer.json` stands for every name, or for none.
    #[error("{}: the subject {subject:?} must begin with literal text, as repo:OWNER/NAME:.* does", path.display())]
    SubjectUnbounded {
        /// Where.
        path: PathBuf,
        /// The subject.
        subject: String,
    },
    /// A later version made the directory.
    #[error("{} has layout {found}; this program knows {SCHEMA}", directory.display())]
    SchemaUnknown {
        /// Where.
        directory: PathBuf,
        /// The version found.
        found: u32,
    },
    /// The public URL is not `http(s)://host[:port]`, or its host is `0.0.0.0` or `[::]`, which nobody can ask.
    #[error(
        "{url} cannot be an instance's URL: http or https, a host that clients reach, and nothing behind it"
    )]
    UrlUnusable {
        /// The URL.
        url: String,
    },
}

/// What `instance.json` says; clients read it to find the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Version of the directory's layout.
    pub schema: u32,
    /// Public URL, without a slash at the end; fixed for the instance's life.
    pub url: String,
    /// RFC 3339 time of creation.
    pub created: String,
    /// Keys that are kept elsewhere, by name.
    #[serde(default, skip_serializing_if = "KeyReferences::is_empty")]
    pub keys: KeyReferences,
}

impl Description {
    /// Reads the description of the instance in `directory`, whoever holds it.
    ///
    /// # Errors
    /// `NotInitialised`, `Malformed`, `SchemaUnknown`, `File`.
    pub fn read(directory: &Path) -> Result<Self, InstanceError> {
        let path = directory.join(DESCRIPTION);
        let bytes = directory::read_optional(&path, MAX_SMALL_FILE)?;
        let bytes = bytes.ok_or_else(|| InstanceError::NotInitialised {
            directory: directory.to_owned(),
        })?;
        let description: Self = parse_json(&path, &bytes)?;
        if description.schema != SCHEMA {
            let directory = directory.to_owned();
            return Err(InstanceError::SchemaUnknown {
                directory,
                found: description.schema,
            });
        }
        Ok(description)
    }
}

/// Reads the bearer secret of the token endpoint.
///
/// # Errors
/// `File`, `SecretExposed`.
pub fn read_secret(directory: &Path) -> Result<Zeroizing<String>, InstanceError> {
    let path = directory.join(SECRET);
    let bytes = Zeroizing::new(directory::read(&path, MAX_SMALL_FILE)?);
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    if text.len() < 32
        || !text.bytes().all(|byte| byte.is_ascii_graphic())
        || !directory::is_private(&path)?
    {
        return Err(InstanceError::SecretExposed { path });
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Says whether another process holds the instance now.
///
/// # Errors
/// `File`.
pub fn is_held(directory: &Path) -> Result<bool, InstanceError> {
    match lock(directory) {
        Ok(_) => Ok(false),
        Err(InstanceError::Locked { .. }) => Ok(true),
        Err(other) => Err(other),
    }
}

pub(crate) fn parse_json<'a, T: Deserialize<'a>>(
    path: &Path,
    bytes: &'a [u8],
) -> Result<T, InstanceError> {
    serde_json::from_slice(bytes).map_err(|error| InstanceError::Malformed {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
    })
}

/// A key with the certificate over it.
pub(crate) struct Certified {
    pub(crate) key: Arc<dyn Signer>,
    pub(crate) certificate: Certificate,
    pub(crate) root: Certificate,
}

impl Certified {
    /// Returns the authority that this key is for certificates below it.
    pub(crate) fn authority(&self) -> Authority {
        authority(self.key.as_ref(), &self.certificate)
    }
}

fn authority(key: &dyn Signer, certificate: &Certificate) -> Authority {
    Authority {
        name: Name::of(certificate),
        public_key: key.public_key().spki().to_vec(),
        details: key.details(),
    }
}

/// An open instance; the lock is held for as long as it lives.
pub(crate) struct Instance {
    pub(crate) directory: PathBuf,
    pub(crate) description: Description,
    pub(crate) created: UnixTime,
    pub(crate) intermediate: Certified,
    pub(crate) timestamping: Certified,
    pub(crate) ct: Arc<dyn Signer>,
    pub(crate) rekor: Arc<dyn Signer>,
    pub(crate) oidc: Arc<dyn Signer>,
    pub(crate) secret: Zeroizing<String>,
    _lock: File,
}

/// Names of the roots above the authorities.
const ROOT: &str = "root";
const TSA_ROOT: &str = "tsa-root";

impl KeyPurpose {
    /// Returns the name of the files of such a key, and how it signs when the instance makes it.
    const fn own(self) -> (&'static str, KeyDetails) {
        match self {
            Self::Ca => ("intermediate", KeyDetails::EcdsaP256Sha256),
            Self::Ct => ("ct", KeyDetails::EcdsaP256Sha256),
            Self::Log => ("rekor", KeyDetails::Ed25519),
            Self::Oidc => ("oidc", KeyDetails::RsaPkcs1v15_2048Sha256),
            Self::Tsa => ("tsa", KeyDetails::EcdsaP256Sha256),
        }
    }
}

impl Instance {
    /// Makes keys, certificates and secret in a new directory, or in an empty one of the same user.
    pub(crate) fn create(
        directory: &Path,
        url: &Url,
        now: UnixTime,
        held: &HeldKeys,
    ) -> Result<(), InstanceError> {
        let url = public_url(url)?;
        held::require_suitable(held)?;
        // Looked at before anything is touched: a directory with other things in it stays as it is.
        require_free(directory)?;
        if directory::claim(directory)? == Claimed::Refused {
            let directory = directory.to_owned();
            return Err(InstanceError::NotOwned { directory });
        }
        let _lock = lock(directory)?;
        require_empty(directory)?;
        directory::create_directory(&directory.join("keys"), Readable::ByOwner)?;
        directory::create_directory(&directory.join("certificates"), Readable::ByAll)?;
        let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
        // spec: RFC 5280 §A.1: an organization's name has at most 64 characters.
        let maker = Maker {
            directory,
            organization: host.get(..64).unwrap_or(host),
            now,
            held,
        };
        // 1. The keys that need no certificate.
        for purpose in [KeyPurpose::Ct, KeyPurpose::Log, KeyPurpose::Oidc] {
            maker.bare(purpose)?;
        }
        // 2. Two roots with one certificate each below them.
        let root = maker.root(KeyPurpose::Ca, ROOT, "stella root")?;
        maker.below(
            &root,
            KeyPurpose::Ca,
            "stella intermediate",
            CertificateTemplate::intermediate,
        )?;
        let root = maker.root(KeyPurpose::Tsa, TSA_ROOT, "stella timestamp root")?;
        maker.below(
            &root,
            KeyPurpose::Tsa,
            "stella timestamp authority",
            CertificateTemplate::timestamping,
        )?;
        // 3. The secret of the token endpoint.
        let secret = Zeroizing::new(hex::encode(random::bytes::<32>()?));
        directory::write_new(
            &directory.join(SECRET),
            secret.as_bytes(),
            Readable::ByOwner,
        )?;
        // 4. The description comes last: without it nothing here was ever served.
        let description = Description {
            schema: SCHEMA,
            url,
            created: now.to_string(),
            keys: held::references(held),
        };
        let json = serde_json::to_vec_pretty(&description).unwrap_or_default();
        directory::write_new(&directory.join(DESCRIPTION), &json, Readable::ByAll)?;
        Ok(())
    }

    /// Takes the lock and reads everything; keys that are kept elsewhere must have been opened.
    pub(crate) fn open(directory: &Path, held: &HeldKeys) -> Result<Self, InstanceError> {
        Self::open_with(directory, |purpose, reference, public| {
            held::require(reference, held.get(&purpose), &public)
        })
    }

    /// As [`Instance::open`], for those who sign nothing with keys that are kept elsewhere.
    pub(crate) fn open_to_read(directory: &Path) -> Result<Self, InstanceError> {
        Self::open_with(directory, |_, _, public| held::closed(public))
    }

    fn open_with(
        directory: &Path,
        elsewhere: impl Fn(KeyPurpose, &str, PublicKey) -> Result<Arc<dyn Signer>, InstanceError>,
    ) -> Result<Self, InstanceError> {
        let description = Description::read(directory)?;
        let lock = lock(directory)?;
        let key = |purpose: KeyPurpose, certificate: Option<&Certificate>| {
            let (name, details) = purpose.own();
            let Some(reference) = description.keys.get(&purpose) else {
                let key = FileKey::load(&key_path(directory, name), details)?;
                return Ok::<Arc<dyn Signer>, InstanceError>(Arc::new(key));
            };
            let public = match certificate {
                Some(certificate) => certificate.public_key().clone(),
                None => read_public_key(directory, name)?,
            };
            elsewhere(purpose, reference, public)
        };
        let certified = |purpose: KeyPurpose, root: &str| {
            let certificate = read_certificate(directory, purpose.own().0)?;
            let root = read_certificate(directory, root)?;
            Ok::<_, InstanceError>(Certified {
                key: key(purpose, Some(&certificate))?,
                certificate,
                root,
            })
        };
        let malformed = || InstanceError::Malformed {
            path: directory.join(DESCRIPTION),
            line: 0,
            column: 0,
        };
        Ok(Self {
            created: UnixTime::parse_rfc3339(&description.created).ok_or_else(malformed)?,
            intermediate: certified(KeyPurpose::Ca, ROOT)?,
            timestamping: certified(KeyPurpose::Tsa, TSA_ROOT)?,
            ct: key(KeyPurpose::Ct, None)?,
            rekor: key(KeyPurpose::Log, None)?,
            oidc: key(KeyPurpose::Oidc, None)?,
            secret: read_secret(directory)?,
            directory: directory.to_owned(),
            description,
            _lock: lock,
        })
    }

    /// Returns the public URL, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.description.url
    }

    /// Returns the Rekor log's origin: the host of the public URL, without its port.
    ///
    /// sigstore-go looks for a checkpoint's signature under `url.Hostname()` of the trusted root's base URL, and cosign
    /// with it; other clients accept any name that the base URL contains. Two instances on one host differ in their keys.
    pub(crate) fn origin(&self) -> &str {
        let host = self.host();
        match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => host.split(':').next().unwrap_or(host),
        }
    }

    /// Returns `host[:port]` of the public URL: what the Host header must say.
    pub(crate) fn host(&self) -> &str {
        self.description
            .url
            .split_once("://")
            .map_or("", |(_, host)| host)
    }
}

impl fmt::Debug for Instance {
    /// Prints neither keys nor secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Instance")
            .field("directory", &self.directory)
            .field("url", &self.description.url)
            .finish_non_exhaustive()
    }
}

fn key_path(directory: &Path, name: &str) -> PathBuf {
    directory.join("keys").join(format!("{name}.pem"))
}

fn public_key_path(directory: &Path, name: &str) -> PathBuf {
    directory.join("keys").join(format!("{name}.pub"))
}

fn certificate_path(directory: &Path, name: &str) -> PathBuf {
    directory.join("certificates").join(format!("{name}.pem"))
}

fn read_certificate(directory: &Path, name: &str) -> Result<Certificate, InstanceError> {
    let path = certificate_path(directory, name);
    let bytes = directory::read(&path, MAX_SMALL_FILE)?;
    let blocks = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| pem::decode_all(text).ok())
        .unwrap_or_default();
    let certificate = blocks
        .first()
        .and_then(|block| Certificate::parse(&block.der).ok());
    certificate.ok_or(InstanceError::CertificateMalformed { path })
}

fn read_public_key(directory: &Path, name: &str) -> Result<PublicKey, InstanceError> {
    let path = public_key_path(directory, name);
    let bytes = directory::read(&path, MAX_SMALL_FILE)?;
    let text = std::str::from_utf8(&bytes).ok();
    let key = text.and_then(|text| PublicKey::from_pem(text).ok());
    key.ok_or(InstanceError::PublicKeyMalformed { path })
}

/// Takes the lock of a directory, or says that another process has it.
fn lock(directory: &Path) -> Result<File, InstanceError> {
    let path = directory.join(LOCK);
    let failed = |kind| FileError {
        action: "lock",
        path: path.clone(),
        kind,
    };
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| failed(error.kind()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(InstanceError::Locked {
            directory: directory.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(failed(error.kind()).into()),
    }
}

/// Requires a directory that is absent or empty, or being made into an instance by nobody else; changes nothing.
fn require_free(directory: &Path) -> Result<(), InstanceError> {
    match require_empty(directory) {
        // Half an instance whose lock is held is being made right now: this caller may wait for it.
        Err(InstanceError::NotEmpty { .. }) if directory.join(LOCK).is_file() => {
            match lock(directory) {
                Err(locked @ InstanceError::Locked { .. }) => Err(locked),
                // The lock, if it could be had, is held while looking again: the instance may be complete by now.
                _lock => require_empty(directory),
            }
        }
        looked => looked,
    }
}

fn require_empty(directory: &Path) -> Result<(), InstanceError> {
    /// What an operator may lay down before `init`.
    const WELCOME: [&str; 3] = [LOCK, "issuers.yaml", "issuer.json"];
    let names = directory::names(directory)?;
    if names.iter().any(|name| name == DESCRIPTION) {
        return Err(InstanceError::AlreadyInitialised {
            directory: directory.to_owned(),
        });
    }
    match names
        .into_iter()
        .find(|name| !WELCOME.contains(&name.as_str()))
    {
        Some(found) => Err(InstanceError::NotEmpty {
            directory: directory.to_owned(),
            found,
        }),
        None => Ok(()),
    }
}

/// Returns `scheme://host[:port]`: every path below it is the instance's own.
fn public_url(url: &Url) -> Result<String, InstanceError> {
    let bare = matches!(url.scheme(), "http" | "https")
        && url.host().is_some_and(|host| is_reachable(&host))
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !bare {
        return Err(InstanceError::UrlUnusable {
            url: url.to_string(),
        });
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Says whether a host can be asked: an unspecified address is one to listen on, and stands for no machine.
fn is_reachable(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => !name.is_empty(),
        Host::Ipv4(address) => !address.is_unspecified(),
        Host::Ipv6(address) => !address.to_canonical().is_unspecified(),
    }
}
