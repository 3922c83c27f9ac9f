//! Whence a trust root is taken: the public-good Sigstore, a file, a folder, an instance's address, a TUF repository.
//!
//! Recording it is the caller's, and so is the question whether it may be believed where only a comparison was asked.

use std::path::{Path, PathBuf};

use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::signing_config::SigningConfig;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::MAX_TRUSTED_ROOT;
use stella_bundle::tuf::{Root, TufError};
use stella_client::error::{ClientError, TrustProblem};
use stella_client::network::{Network, NetworkOptions};
use stella_client::{trust, tuf};

use super::{Lock, PUBLIC, Record, TrustKind, TrustMaterial, Walked, read_bounded};
use crate::exit::{self, Failure};

/// The word for the public-good Sigstore.
const PUBLIC_NAME: &str = "public";
/// The files of a folder, the first that is there counts.
const ROOT_FILE: &str = "trusted_root.json";
const CONFIG_FILE: &str = "trust_config.json";
const SIGNING_FILES: [&str; 2] = [SIGNING_TARGET, "signing_config.json"];
/// The signing config's name in TUF repositories, which may hold older versions under another.
const SIGNING_TARGET: &str = "signing_config.v0.2.json";

/// Whence to take a trust root.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// A folder of trust files.
    Directory(PathBuf),
    /// A client trust config or a trusted root.
    File(PathBuf),
    /// The public-good Sigstore.
    Public,
    /// A TUF repository, with the root that its owner handed over.
    Tuf {
        /// Its address.
        address: String,
        /// The first root; none where the walk goes on from what was believed.
        root: Option<PathBuf>,
    },
    /// The address of an instance.
    Url(String),
}

impl Choice {
    /// Gives the argument of `stella trust use` its meaning.
    pub(crate) fn parse(source: &str) -> Self {
        if source == PUBLIC_NAME {
            return Self::Public;
        }
        if source.contains("://") {
            return Self::Url(source.to_owned());
        }
        // A later update starts elsewhere, and must find the same file.
        let path = std::path::absolute(source).unwrap_or_else(|_| PathBuf::from(source));
        if path.is_dir() {
            Self::Directory(path)
        } else {
            Self::File(path)
        }
    }

    /// Returns the choice that was recorded.
    pub(crate) fn of_record(record: &Record) -> Self {
        let source = || record.source.clone();
        match record.kind {
            TrustKind::Directory => Self::Directory(source().into()),
            TrustKind::File | TrustKind::Instance => Self::File(source().into()),
            TrustKind::Public => Self::Public,
            TrustKind::Tuf => Self::Tuf {
                address: source(),
                root: None,
            },
            TrustKind::Url => Self::Url(source()),
        }
    }

    /// Returns whence it is, as the record has it.
    pub(crate) fn source(&self) -> String {
        match self {
            Self::Directory(path) | Self::File(path) => path.display().to_string(),
            Self::Public => PUBLIC_NAME.to_owned(),
            Self::Tuf { address, .. } | Self::Url(address) => address.clone(),
        }
    }
}

/// Whether what is fetched from an address may be believed, or is only looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose<'a> {
    /// It is believed, off the loopback by this fingerprint only.
    Believe(Option<&'a Digest>),
    /// It is compared with what is believed.
    Compare,
}

/// Reads or fetches a trust root. What was believed of a TUF repository is kept also when a later step fails.
pub(crate) async fn obtain(
    choice: &Choice,
    purpose: Purpose<'_>,
    lock: &Lock,
    now: UnixTime,
) -> Result<TrustMaterial, Failure> {
    match choice {
        Choice::Directory(path) => of_directory(path),
        Choice::File(path) => TrustMaterial::read(path),
        Choice::Public => {
            let walked = public_walked(lock)?;
            of_repository(TrustKind::Public, walked, lock, now).await
        }
        Choice::Tuf { address, root } => {
            let walked = match root {
                Some(root) => first_walk(address, root, lock)?,
                None => lock.folder().last_walk(address)?.ok_or_else(|| {
                    Failure::usage(format!("nothing is known of the TUF repository {address}"))
                        .hint("begin with `stella trust use --tuf URL --root FILE`")
                })?,
            };
            of_repository(TrustKind::Tuf, walked, lock, now).await
        }
        Choice::Url(address) => {
            let network = Network::new(NetworkOptions::default());
            let fetched = match purpose {
                Purpose::Believe(fingerprint) => trust::fetch(&network, address, fingerprint).await,
                Purpose::Compare => trust::fetch_to_compare(&network, address).await,
            };
            let config = fetched.map_err(failure)?.config;
            let source = address.clone();
            Ok(TrustMaterial::of_config(config, source, TrustKind::Url))
        }
    }
}

/// Reads a folder: a trusted root with or without a signing config, else a client trust config.
fn of_directory(folder: &Path) -> Result<TrustMaterial, Failure> {
    let root = folder.join(ROOT_FILE);
    let path = if root.exists() {
        root
    } else {
        folder.join(CONFIG_FILE)
    };
    if !path.exists() {
        return Err(Failure::usage(format!(
            "{} holds neither {ROOT_FILE} nor {CONFIG_FILE}",
            folder.display()
        )));
    }
    let source = folder.display().to_string();
    let mut material = TrustMaterial::parse(read_bounded(&path)?, source, TrustKind::Directory)?;
    let signing = SIGNING_FILES.map(|name| folder.join(name));
    if let Some(path) = signing.iter().find(|path| path.exists())
        && material.signing.is_none()
    {
        let config = SigningConfig::parse(&read_bounded(path)?)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        material.signing = Some(config);
    }
    Ok(material)
}

/// Returns where the walk over the public repository begins: at what was believed, or at the root that is built in,
/// whichever is newer.
fn public_walked(lock: &Lock) -> Result<Walked, Failure> {
    let address = PUBLIC.repository;
    let built_in = PUBLIC.tuf_root.to_vec();
    let Some(mut walked) = lock.folder().last_walk(address)? else {
        return Ok(Walked {
            repository: address.to_owned(),
            began: DigestAlgorithm::Sha256.digest(&built_in),
            believed: tuf::Believed::from_root(built_in),
        });
    };
    let version = |bytes: &[u8]| Root::trust(bytes).map(|root| root.version()).ok();
    if version(&built_in) > version(&walked.believed.root) {
        walked.believed.root = built_in;
    }
    Ok(walked)
}

/// Returns where the walk over a repository begins: at the root that was handed over, or at what was believed since.
fn first_walk(address: &str, root: &Path, lock: &Lock) -> Result<Walked, Failure> {
    let bytes = stella_attest::file::read(root, MAX_TRUSTED_ROOT).map_err(|error| {
        Failure::usage(format!("cannot read the root {}: {error}", root.display()))
    })?;
    let began = DigestAlgorithm::Sha256.digest(&bytes);
    // The same root again is no reason to forget; another one is a new beginning.
    let known = lock.folder().last_walk(address)?;
    if let Some(walked) = known.filter(|walked| walked.began == began) {
        return Ok(walked);
    }
    Ok(Walked {
        repository: address.to_owned(),
        began,
        believed: tuf::Believed::from_root(bytes),
    })
}

async fn of_repository(
    kind: TrustKind,
    mut walked: Walked,
    lock: &Lock,
    now: UnixTime,
) -> Result<TrustMaterial, Failure> {
    let network = Network::new(NetworkOptions::default());
    let address = walked.repository.clone();
    // 1. The metadata. What is believed is kept before anything else, so that it never goes back.
    let before = walked.believed.clone();
    let repository = tuf::walk(&network, &address, &mut walked.believed, now).await;
    if repository.is_ok() || walked.believed != before {
        lock.keep(&walked)?;
    }
    let repository = repository.map_err(failure)?;
    // 2. The files.
    let root = repository.fetch(&network, ROOT_FILE).await;
    let root = root.map_err(failure)?.ok_or_else(|| {
        Failure::usage(format!(
            "the TUF repository {address} publishes no {ROOT_FILE}"
        ))
    })?;
    let signing = repository.fetch(&network, SIGNING_TARGET).await;
    let signing = signing.map_err(failure)?;
    // 3. What they say.
    let mut material = TrustMaterial::parse(root.to_vec(), address, kind)?;
    material.signing = match signing {
        Some(bytes) => Some(
            SigningConfig::parse(&bytes)
                .map_err(|error| Failure::usage(format!("{SIGNING_TARGET}: {error}")))?,
        ),
        None => None,
    };
    Ok(material)
}

fn failure(error: ClientError) -> Failure {
    let hint = match &error {
        ClientError::Trust(TrustProblem::Tuf(TufError::Expired { .. })) => {
            "what was recorded stays; somebody holds newer metadata back, or its owners let it lapse: ask them, and check this machine's clock"
        }
        ClientError::Trust(TrustProblem::Tuf(_)) => {
            "what was recorded stays; this is not what the owners of that root signed: ask them"
        }
        ClientError::Unavailable { .. } => "what was recorded stays: try again later",
        _ => return error.into(),
    };
    let failure: Failure = error.into();
    debug_assert!(matches!(failure.code, exit::USAGE | exit::UNAVAILABLE));
    failure.hint(hint)
}
