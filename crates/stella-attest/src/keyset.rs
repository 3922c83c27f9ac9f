//! Key ceremonies: the organisation's keysets in a folder, and the event that leads from one to the next.
//!
//! `keysets/N.json` is a keyset, `keysets/N.<8 hex of a key's id>.sigstore.json` a signature of its event, `trust/<SHA-256>.json` a
//! trusted root with the authorities that stamped it, `org.anchor` what verifiers get. The keyset's file comes last: without it
//! an event did not happen. Beside them lie `head.json` and `holds/`, which have files of their own here.

mod head;
mod holds;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use stella_archive::anchor::OrgAnchor;
use stella_archive::fall::Falls;
use stella_archive::fingerprint::Fingerprint;
use stella_archive::history::{self, Document, Existence, History, HistoryError};
use stella_archive::keyset::{Action, Keyset, KeysetError, MAX_KEYSET, Predecessor};
use stella_archive::retention::RetentionError;
use stella_archive::statement::OrgStatement;
use stella_bundle::time::UnixTime;
use stella_bundle::trusted_root::{MAX_TRUSTED_ROOT, TrustedRoot};
use stella_keys::OrgKey;

use crate::file;
use crate::org;
use crate::session::Session;
use crate::sign::SignError;

pub use head::Head;

/// The anchor's file.
pub const ANCHOR: &str = "org.anchor";
/// Keysets of one folder.
const MAX_KEYSETS: u64 = 1000;

/// The ways in which a ceremony ends without a new keyset.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The folder has a keyset already.
    #[error("{} has keysets already", .0.display())]
    Exists(PathBuf),
    /// The folder has no keyset.
    #[error("{} has no keysets/1.json", .0.display())]
    Empty(PathBuf),
    /// A hold does not fit those before it.
    #[error(transparent)]
    Hold(#[from] RetentionError),
    /// The past in the folder is not one.
    #[error("the keysets in {} are not good: {error}", folder.display())]
    History {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        error: HistoryError,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was to be done, such as `read`.
        action: &'static str,
        /// Its path.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The new keyset cannot be.
    #[error(transparent)]
    Keyset(#[from] KeysetError),
    /// The keys that signed are not those that must.
    #[error("nothing was changed: {0}")]
    NotEnough(HistoryError),
    /// The event could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The authorities that stamped the event are none that the keyset before it pins.
    #[error(
        "nothing was changed: no authority that stamped this is one that the keyset in force pins"
    )]
    Undated,
    /// A file is missing, or is not what was written there.
    #[error("{} is missing, or not what was written there", .0.display())]
    Unreadable(PathBuf),
}

/// The organisation's keysets in a folder.
#[derive(Debug)]
pub struct KeysetFolder {
    path: PathBuf,
    /// The documents with the bytes of the trusted roots beside them.
    documents: Vec<Document>,
    keysets: Vec<Keyset>,
    roots: Vec<Vec<u8>>,
}

impl KeysetFolder {
    /// Reads the folder's keysets; there must be one at least. Whether they are good is [`Self::judge`]'s question.
    ///
    /// # Errors
    /// `Empty`, `Io`, `Keyset`.
    pub fn read(path: &Path) -> Result<Self, CeremonyError> {
        let folder = Self::read_any(path)?;
        match folder.keysets.is_empty() {
            true => Err(CeremonyError::Empty(path.to_owned())),
            false => Ok(folder),
        }
    }

    fn read_any(path: &Path) -> Result<Self, CeremonyError> {
        let mut folder = Self {
            path: path.to_owned(),
            documents: Vec::new(),
            keysets: Vec::new(),
            roots: Vec::new(),
        };
        let bundles = folder.bundles()?;
        for version in 1..=MAX_KEYSETS {
            let path = folder.keyset_path(version);
            let bytes = match file::read(&path, MAX_KEYSET) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                read => read.map_err(|error| io_error("read", &path, error))?,
            };
            folder.keysets.push(Keyset::parse(&bytes)?);
            folder.documents.push(Document {
                bytes,
                bundles: bundles.get(&version).cloned().unwrap_or_default(),
            });
        }
        for path in files_in(&folder.path.join("trust"))? {
            let bytes = file::read(&path, MAX_TRUSTED_ROOT);
            let bytes = bytes.map_err(|error| io_error("read", &path, error))?;
            folder.roots.push(bytes);
        }
        Ok(folder)
    }

    /// Reads the bundles of every version, each version's in the order of their names.
    fn bundles(&self) -> Result<BTreeMap<u64, Vec<Vec<u8>>>, CeremonyError> {
        let mut bundles: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
        for path in files_in(&self.path.join("keysets"))? {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let version = name.strip_suffix(".sigstore.json").and_then(|stem| {
                let (version, _) = stem.split_once('.')?;
                version.parse().ok()
            });
            if let Some(version) = version {
                let bytes = file::read(&path, MAX_KEYSET);
                let bytes = bytes.map_err(|error| io_error("read", &path, error))?;
                bundles.entry(version).or_default().push(bytes);
            }
        }
        Ok(bundles)
    }

    /// Returns every keyset with the bundles of its event, oldest first.
    #[must_use]
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// Returns the keysets, oldest first.
    #[must_use]
    pub fn keysets(&self) -> &[Keyset] {
        &self.keysets
    }

    /// Returns the bytes of the trusted roots beside them.
    #[must_use]
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// Returns what is to be judged of them.
    #[must_use]
    pub fn history(&self) -> History {
        self.history_of(&self.documents)
    }

    fn history_of(&self, documents: &[Document]) -> History {
        let roots = self.roots.iter();
        History {
            keysets: documents.to_vec(),
            statements: Vec::new(),
            roots: { roots }
                .filter_map(|bytes| TrustedRoot::parse(bytes).ok())
                .collect(),
        }
    }

    /// Returns the folder's files, each with its path in it: keysets, signatures, trusted roots.
    ///
    /// # Errors
    /// `Io`.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, CeremonyError> {
        let mut files = Vec::new();
        for folder in ["keysets", "trust"] {
            for path in files_in(&self.path.join(folder))? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let bytes = file::read(&path, MAX_TRUSTED_ROOT);
                let bytes = bytes.map_err(|error| io_error("read", &path, error))?;
                files.push((format!("{folder}/{name}"), bytes));
            }
        }
        Ok(files)
    }

    /// Returns the keyset in force.
    ///
    /// # Errors
    /// `Empty`.
    pub fn newest(&self) -> Result<&Keyset, CeremonyError> {
        let newest = self.keysets.last();
        newest.ok_or_else(|| CeremonyError::Empty(self.path.clone()))
    }

    /// Returns the anchor of the keyset in force, or of another version.
    #[must_use]
    pub fn anchor(&self, version: Option<u64>) -> Option<OrgAnchor> {
        let at = match version {
            Some(version) => usize::try_from(version.checked_sub(1)?).ok()?,
            None => self.keysets.len().checked_sub(1)?,
        };
        let digest = Fingerprint::of(&self.documents.get(at)?.bytes).sha256;
        OrgAnchor::of(self.keysets.get(at)?, digest)
    }

    /// Judges the keysets from the first on: each must follow from the one before. Returns what hinders the first anchor from
    /// reaching the newest keyset, where all that should have signed did, and time has passed over it.
    ///
    /// # Errors
    /// `History`.
    pub fn judge(&self, now: UnixTime) -> Result<Option<HistoryError>, CeremonyError> {
        match self.judge_from(&self.documents, 0, now) {
            Ok(_) => Ok(None),
            Err(HistoryError::KeysetNotSigned {
                version,
                wanted,
                found,
                signed,
            }) if signed >= wanted => Ok(Some(HistoryError::KeysetNotSigned {
                version,
                wanted,
                found,
                signed,
            })),
            Err(error) => Err(CeremonyError::History {
                folder: self.path.clone(),
                error,
            }),
        }
    }

    /// Judges documents from the keyset at `start` on; returns by when each event after it was.
    fn judge_from(
        &self,
        documents: &[Document],
        start: usize,
        now: UnixTime,
    ) -> Result<Vec<Existence>, HistoryError> {
        let history = self.history_of(documents);
        let digest = documents
            .get(start)
            .map(|each| Fingerprint::of(&each.bytes).sha256);
        let anchor = digest.zip(self.keysets.get(start));
        let anchor = anchor.and_then(|(digest, keyset)| OrgAnchor::of(keyset, digest));
        let anchor = anchor.ok_or(HistoryError::Anchor)?;
        history::judge_keysets(&history, &anchor, &Falls::default(), now)
    }

    /// Writes an event: signatures, the trusted root that knows their authorities, and at last the keyset.
    fn write(
        &self,
        keyset: &Keyset,
        document: &Document,
        keys: &[OrgKey],
        root: Option<&[u8]>,
    ) -> Result<(), CeremonyError> {
        let keysets = self.path.join("keysets");
        fs::create_dir_all(&keysets).map_err(|error| io_error("make", &keysets, error))?;
        if let Some(root) = root {
            let trust = self.path.join("trust");
            fs::create_dir_all(&trust).map_err(|error| io_error("make", &trust, error))?;
            let name = format!("{}.json", hex::encode(Fingerprint::of(root).sha256));
            let path = trust.join(name);
            if !path.exists() {
                write_new(&path, root)?;
            }
        }
        // An event that did not happen may have left signatures, by other keys.
        let stale = format!("{}.", keyset.version);
        for path in files_in(&keysets)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&stale) && name.ends_with(".sigstore.json") {
                fs::remove_file(&path).map_err(|error| io_error("remove", &path, error))?;
            }
        }
        for (key, bundle) in keys.iter().zip(&document.bundles) {
            let id = hex::encode(&key.public_key().key_id()[..4]);
            write_new(
                &keysets.join(format!("{}.{id}.sigstore.json", keyset.version)),
                bundle,
            )?;
        }
        write_new(&self.keyset_path(keyset.version), &document.bytes)?;
        let durable = file::sync_folder(&keysets).and_then(|()| file::sync_folder(&self.path));
        durable.map_err(|error| io_error("write", &keysets, error))
    }

    fn keyset_path(&self, version: u64) -> PathBuf {
        self.path.join("keysets").join(format!("{version}.json"))
    }
}

/// Founds an organisation: its first keyset, signed by every key in it.
///
/// `root` is the trusted root that knows the authorities of the session.
///
/// # Errors
/// Any [`CeremonyError`] but `History`.
pub async fn found(
    session: &Session<'_>,
    folder: &Path,
    keyset: &Keyset,
    keys: &[OrgKey],
    root: Option<&[u8]>,
) -> Result<KeysetFolder, CeremonyError> {
    if !KeysetFolder::read_any(folder)?.keysets.is_empty() {
        return Err(CeremonyError::Exists(folder.to_owned()));
    }
    let empty = KeysetFolder {
        path: folder.to_owned(),
        documents: Vec::new(),
        keysets: Vec::new(),
        roots: Vec::new(),
    };
    let file = keyset.to_bytes();
    let event = OrgStatement::of_keyset(keyset, &file);
    let document = org::sign_document(session, keys, &event, file).await?;
    let anchor = OrgAnchor::of(keyset, Fingerprint::of(&document.bytes).sha256);
    empty.write(keyset, &document, keys, root)?;
    if let Some(anchor) = anchor {
        write_new(&folder.join(ANCHOR), anchor.to_text().as_bytes())?;
    }
    KeysetFolder::read(folder)
}

/// Holds an event: the next keyset, signed by these keys. It is judged as strangers will judge it before it is written.
///
/// # Errors
/// Any [`CeremonyError`] but `Exists`.
pub async fn hold(
    session: &Session<'_>,
    folder: &KeysetFolder,
    keyset: &Keyset,
    keys: &[OrgKey],
    root: Option<&[u8]>,
) -> Result<KeysetFolder, CeremonyError> {
    // 1. What is there is good.
    folder.judge((session.now)())?;
    keyset.require_sound()?;
    // 2. The keys sign, and enough of those that sign now do: time passes over older events, not over this one.
    let file = keyset.to_bytes();
    let event = OrgStatement::of_keyset(keyset, &file);
    let document = org::sign_document(session, keys, &event, file).await?;
    let mut documents = folder.documents.clone();
    documents.push(document.clone());
    let start = folder.documents.len().saturating_sub(1);
    let judged = folder.judge_from(&documents, start, (session.now)());
    let existences = judged.map_err(CeremonyError::NotEnough)?;
    let is_dated = matches!(existences.last(), Some(Existence::At { .. }));
    if !is_dated && !session.services.timestamp_authorities.is_empty() {
        return Err(CeremonyError::Undated);
    }
    // 3. It has happened.
    folder.write(keyset, &document, keys, root)?;
    let held = KeysetFolder::read(&folder.path)?;
    held.judge((session.now)())?;
    Ok(held)
}

/// Returns the keyset that follows the one in force, to be changed.
///
/// # Errors
/// `Empty`.
pub fn next(
    folder: &KeysetFolder,
    created: UnixTime,
    action: Action,
    reason: &str,
) -> Result<Keyset, CeremonyError> {
    let last = folder.documents.last();
    let last = last.ok_or_else(|| CeremonyError::Empty(folder.path.clone()))?;
    let previous = Predecessor {
        file: Fingerprint::of(&last.bytes),
        evidence: last.evidence(),
    };
    Ok(folder.newest()?.next(previous, created, action, reason))
}

/// Returns the files of a folder by name; none when it is not there.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, CeremonyError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| io_error("read", folder, error))?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: io::Result<Vec<_>> = paths.collect();
    let mut paths = paths.map_err(|error| io_error("read", folder, error))?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    Ok(paths)
}

/// Writes a file: whole, or not at all; durable on return.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), CeremonyError> {
    let (path, partial) = (folder.join(name), folder.join(format!(".{name}.partial")));
    let mut options = OpenOptions::new();
    write(
        &partial,
        bytes,
        options.write(true).create(true).truncate(true),
    )?;
    let renamed = fs::rename(&partial, &path).and_then(|()| file::sync_folder(folder));
    renamed.map_err(|error| io_error("write", &path, error))
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), CeremonyError> {
    write(path, bytes, OpenOptions::new().write(true).create_new(true))
}

fn write(path: &Path, bytes: &[u8], options: &OpenOptions) -> Result<(), CeremonyError> {
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| io_error("write", path, error))
}

fn io_error(action: &'static str, path: &Path, error: io::Error) -> CeremonyError {
    let path = path.to_owned();
    CeremonyError::Io {
        action,
        path,
        error,
    }
}
