//! Where the choice of `stella trust use` rests: the record, the files that were chosen, the pin, and what was believed
//! of a TUF repository.
//!
//! Files that belong together carry their digest in their name and are named by one record, which is replaced at once:
//! a reader sees the old choice or the new one, also after a crash.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stella_archive::tuf::TufMetadata;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_bundle::json;
use stella_bundle::signing_config::SigningConfig;
use stella_bundle::time::UnixTime;
use stella_bundle::tuf::{Root, Timestamp};
use stella_client::tuf::Believed;

use super::{PUBLIC, TrustKind, TrustMaterial, read_bounded};
use crate::exit::Failure;
use crate::places;

const RECORD: &str = "trust.json";
const PIN: &str = "pin.json";
const WALKED: &str = "tuf.json";
const LOCK: &str = "lock";
/// How the names of the chosen files begin; the digest follows.
const ROOT: &str = "trusted_root.";
const SIGNING: &str = "signing_config.";

/// What `trust.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// What was chosen.
    pub(crate) kind: TrustKind,
    /// Whence it came: a path, a URL, or `public`.
    pub(crate) source: String,
    /// SHA-256 of the trusted root.
    pub(crate) digest: String,
    /// SHA-256 of the signing config, when there is one.
    #[serde(rename = "signingConfig", default)]
    pub(crate) signing: Option<String>,
    /// When, RFC 3339.
    pub(crate) recorded: String,
}

/// What `pin.json` says: the only trusted root that may be recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    /// SHA-256 of the trusted root.
    pub(crate) digest: String,
    /// Since when, RFC 3339.
    pub(crate) pinned: String,
}

/// What was believed of a TUF repository, and where the walk over it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// The repository's address.
    pub(crate) repository: String,
    /// SHA-256 of the root with which it began.
    pub(crate) began: Digest,
    /// The metadata.
    pub(crate) believed: Believed,
}

/// What is known of a TUF repository.
pub(crate) struct Metadata {
    pub(crate) root: Root,
    pub(crate) timestamp: Option<Timestamp>,
}

/// The folder of the recorded choice.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// The folder while one process alone writes to it.
#[derive(Debug)]
pub(crate) struct Lock {
    folder: Folder,
    /// Closing it lets the next one in.
    _held: File,
}

impl Folder {
    /// Returns the folder of this user.
    pub(crate) fn usual() -> Self {
        Self(places::trust())
    }

    /// Reads the recorded choice, and holds it to its digest and to the pin.
    pub(crate) fn recorded(&self) -> Result<Option<TrustMaterial>, Failure> {
        let Some(record) = self.record()? else {
            return Ok(None);
        };
        let material = self.chosen(&record)?;
        if let Some(pin) = self.pin()?.filter(|pin| pin.digest != record.digest) {
            return Err(Failure::usage(format!(
                "the recorded trust root is not the pinned one: expected {}, found {}",
                pin.digest, record.digest
            ))
            .hint("take the pinned one with `stella trust update`, or look at both with `stella trust show`"));
        }
        Ok(Some(material))
    }

    /// Reads the files of a record, whatever is pinned.
    pub(crate) fn chosen(&self, record: &Record) -> Result<TrustMaterial, Failure> {
        let source = format!("{} (recorded {})", record.source, record.recorded);
        let bytes = self.file(ROOT, &record.digest, "trust root")?;
        let mut material = TrustMaterial::parse(bytes, source, record.kind)?;
        if let Some(digest) = &record.signing {
            let bytes = self.file(SIGNING, digest, "signing config")?;
            let config = SigningConfig::parse(&bytes);
            material.signing = Some(config.map_err(|error| Failure::usage(error.to_string()))?);
        }
        Ok(material)
    }

    fn file(&self, kind: &str, digest: &str, what: &str) -> Result<Vec<u8>, Failure> {
        let again = "record it again with `stella trust use`";
        let Some(expected) = Digest::parse(digest) else {
            let message = format!("the record of the {what} names no digest: {digest:?}");
            return Err(Failure::usage(message).hint(again));
        };
        let bytes = read_bounded(&self.0.join(file_name(kind, &expected)))?;
        let found = DigestAlgorithm::Sha256.digest(&bytes);
        if found == expected {
            return Ok(bytes);
        }
        let message =
            format!("the recorded {what} was changed: expected {expected}, found {found}");
        Err(Failure::usage(message).hint(again))
    }

    /// Reads `trust.json`.
    pub(crate) fn record(&self) -> Result<Option<Record>, Failure> {
        self.read(RECORD, "record the choice again with `stella trust use`")
    }

    /// Reads the pin.
    pub(crate) fn pin(&self) -> Result<Option<Pin>, Failure> {
        self.read(PIN, "pin again with `stella trust pin DIGEST`")
    }

    /// Reads what was believed of the repository at `address`, when that was the last one.
    pub(crate) fn last_walk(&self, address: &str) -> Result<Option<Walked>, Failure> {
        let hint = "remove it, and begin anew with `stella trust use`";
        let Some(words) = self.read::<WalkedWords>(WALKED, hint)? else {
            return Ok(None);
        };
        let walked = words.meant().ok_or_else(|| {
            let path = self.0.join(WALKED);
            Failure::usage(format!("cannot read {}", path.display())).hint(hint)
        })?;
        Ok(Some(walked).filter(|walked| walked.repository == address))
    }

    /// Returns the walk over the repository from which such a trust root came; none where it came from elsewhere.
    fn walk_behind(&self, kind: TrustKind, source: &str) -> Result<Option<Walked>, Failure> {
        match kind {
            TrustKind::Public => self.last_walk(PUBLIC.repository),
            TrustKind::Tuf => self.last_walk(source),
            _ => Ok(None),
        }
    }

    /// Returns what is known of the TUF repository that a record names; none where it names none.
    pub(crate) fn metadata(&self, record: &Record) -> Result<Option<Metadata>, Failure> {
        let walked = self.walk_behind(record.kind, &record.source)?;
        Ok(walked.and_then(|walked| {
            let root = Root::trust(&walked.believed.root).ok()?;
            let bytes = walked.believed.timestamp.as_deref();
            let timestamp = bytes.and_then(|bytes| root.remembered_timestamp(bytes).ok());
            Some(Metadata { root, timestamp })
        }))
    }

    /// Returns how a trusted root was published, where it came from a TUF repository that publishes it now as far as is known here.
    pub(crate) fn tuf_metadata(
        &self,
        material: &TrustMaterial,
        now: UnixTime,
    ) -> Option<TufMetadata> {
        let record = self.record().ok().flatten();
        let source = record.map(|record| record.source).unwrap_or_default();
        let walked = self.walk_behind(material.kind, &source);
        let believed = walked.ok().flatten()?.believed;
        let metadata = TufMetadata {
            root: believed.root,
            timestamp: believed.timestamp?,
            snapshot: believed.snapshot?,
            targets: believed.targets?,
        };
        let publisher = metadata.publisher_of(&material.root_bytes, now);
        publisher.is_ok().then_some(metadata)
    }

    fn read<T: for<'a> Deserialize<'a>>(
        &self,
        name: &str,
        hint: &str,
    ) -> Result<Option<T>, Failure> {
        let path = self.0.join(name);
        if !path.exists() {
            return Ok(None);
        }
        serde_json::from_slice(&read_bounded(&path)?)
            .map(Some)
            .map_err(|error| {
                Failure::usage(format!("cannot read {}: {error}", path.display())).hint(hint)
            })
    }

    /// Waits until no other process writes here.
    pub(crate) fn lock(self) -> Result<Lock, Failure> {
        fs::create_dir_all(&self.0).map_err(|error| Failure::io("create", &self.0, &error))?;
        let path = self.0.join(LOCK);
        let held = File::create(&path).and_then(|file| file.lock().map(|()| file));
        let held = held.map_err(|error| Failure::io("lock", &path, &error))?;
        Ok(Lock {
            folder: self,
            _held: held,
        })
    }
}

impl Lock {
    /// Returns the folder, to read from.
    pub(crate) const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Records a choice.
    pub(crate) fn remember(
        &self,
        material: &TrustMaterial,
        source: &str,
        now: &str,
    ) -> Result<Record, Failure> {
        let before = self.folder.record().unwrap_or_default();
        // 1. The files, under names that nothing refers to yet.
        let digest = self.put(ROOT, &material.root_bytes)?;
        let signing = material.signing.as_ref();
        let signing = signing.map(|config| self.put(SIGNING, &config.to_json()));
        // 2. The record: from here on the choice is another.
        let record = Record {
            kind: material.kind,
            source: source.to_owned(),
            digest,
            signing: signing.transpose()?,
            recorded: now.to_owned(),
        };
        self.write(RECORD, &to_json(&record))?;
        // 3. What is older than the last choice; that one may still be open elsewhere.
        self.sweep(&[Some(&record), before.as_ref()]);
        Ok(record)
    }

    /// Pins the trusted root of this digest.
    pub(crate) fn set_pin(&self, digest: &Digest, now: &str) -> Result<(), Failure> {
        let pin = Pin {
            digest: digest.to_string(),
            pinned: now.to_owned(),
        };
        self.write(PIN, &to_json(&pin))
    }

    /// Removes the pin, and says whether there was one.
    pub(crate) fn remove_pin(&self) -> Result<bool, Failure> {
        let path = self.folder.0.join(PIN);
        match fs::remove_file(&path).and_then(|()| sync_folder(&self.folder.0)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Failure::io("remove", &path, &error)),
        }
    }

    /// Keeps what was believed of a repository: one file, so that its parts never mix and the root never goes back.
    pub(crate) fn keep(&self, walked: &Walked) -> Result<(), Failure> {
        let words = WalkedWords::of(walked);
        if matches!(self.folder.read::<WalkedWords>(WALKED, ""), Ok(Some(old)) if old == words) {
            return Ok(());
        }
        self.write(WALKED, &to_json(&words))
    }

    fn put(&self, kind: &str, bytes: &[u8]) -> Result<String, Failure> {
        let digest = DigestAlgorithm::Sha256.digest(bytes);
        self.write(&file_name(kind, &digest), bytes)?;
        Ok(digest.to_string())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.folder.0.join(name);
        let temporary = self.folder.0.join(format!("{name}.partial"));
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| sync_folder(&self.folder.0));
        written.map_err(|error| Failure::io("write", &path, &error))
    }

    /// Removes chosen files that none of these records names. What cannot be removed harms nobody.
    fn sweep(&self, records: &[Option<&Record>]) {
        let named: Vec<String> = records
            .iter()
            .flatten()
            .flat_map(|record| {
                let root = Digest::parse(&record.digest).map(|each| file_name(ROOT, &each));
                let signing = record.signing.as_deref().and_then(Digest::parse);
                root.into_iter()
                    .chain(signing.map(|each| file_name(SIGNING, &each)))
            })
            .collect();
        for entry in fs::read_dir(&self.folder.0).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_chosen = name.starts_with(ROOT) || name.starts_with(SIGNING);
            if is_chosen && !named.contains(&name) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn file_name(kind: &str, digest: &Digest) -> String {
    format!("{kind}{}.json", digest.hex())
}

/// Makes a new name last: without this a crash may take the rename back.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        return File::open(folder)?.sync_all();
    }
    Ok(())
}

fn to_json<T: Serialize>(words: &T) -> Vec<u8> {
    // Serialising plain structs into memory cannot fail.
    let mut out = serde_json::to_vec_pretty(words).unwrap_or_default();
    out.push(b'\n');
    out
}

/// [`Walked`] as `tuf.json` has it: metadata in base64, for its signatures are over exact bytes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WalkedWords {
    repository: String,
    began: String,
    root: String,
    timestamp: Option<String>,
    snapshot: Option<String>,
    targets: Option<String>,
}

impl WalkedWords {
    fn of(walked: &Walked) -> Self {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(json::encode_base64);
        let believed = &walked.believed;
        Self {
            repository: walked.repository.clone(),
            began: walked.began.to_string(),
            root: json::encode_base64(&believed.root),
            timestamp: text(&believed.timestamp),
            snapshot: text(&believed.snapshot),
            targets: text(&believed.targets),
        }
    }

    fn meant(&self) -> Option<Walked> {
        let bytes = |text: &Option<String>| match text {
            Some(text) => json::decode_base64(text).map(Some),
            None => Some(None),
        };
        Some(Walked {
            repository: self.repository.clone(),
            began: Digest::parse(&self.began)?,
            believed: Believed {
                root: json::decode_base64(&self.root)?,
                timestamp: bytes(&self.timestamp)?,
                snapshot: bytes(&self.snapshot)?,
                targets: bytes(&self.targets)?,
            },
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const ROOT_TEXT: &str =
        r#"{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;

    /// A trusted root that differs from others by its blanks.
    fn material(blanks: usize) -> TrustMaterial {
        let bytes = format!("{ROOT_TEXT}{}", " ".repeat(blanks)).into_bytes();
        TrustMaterial::parse(bytes, String::new(), TrustKind::File).unwrap()
    }

    fn names(folder: &Path) -> usize {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let is_root = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(ROOT);
        entries.filter(is_root).count()
    }

    #[test]
    fn whoever_read_the_record_before_still_finds_its_files() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder(temporary.path().to_owned());
        let lock = folder.clone().lock().unwrap();
        let first = lock.remember(&material(0), "a", "now").unwrap();
        let second = lock.remember(&material(1), "a", "now").unwrap();
        for record in [&first, &second] {
            let found = folder.chosen(record).unwrap().digest().to_string();
            assert_eq!(found, record.digest);
        }
        lock.remember(&material(2), "a", "now").unwrap();
        folder.chosen(&first).unwrap_err();
        folder.chosen(&second).unwrap();
        assert_eq!(names(temporary.path()), 2);
        // The same again keeps its file.
        lock.remember(&material(2), "a", "now").unwrap();
        assert_eq!(
            folder.recorded().unwrap().unwrap().digest(),
            material(2).digest()
        );
    }

    #[test]
    fn what_was_believed_of_a_repository_is_kept_to_the_byte() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder(temporary.path().to_owned());
        let lock = folder.clone().lock().unwrap();
        let mut walked = Walked {
            repository: "https://tuf.example".to_owned(),
            began: DigestAlgorithm::Sha256.digest(b"root"),
            believed: Believed::from_root(b" {}\r\n".to_vec()),
        };
        walked.believed.timestamp = Some(vec![0, 255]);
        lock.keep(&walked).unwrap();
        assert_eq!(
            folder.last_walk("https://tuf.example").unwrap(),
            Some(walked)
        );
        assert_eq!(folder.last_walk("https://other.example").unwrap(), None);
        fs::write(temporary.path().join(WALKED), "{}").unwrap();
        folder.last_walk("https://tuf.example").unwrap_err();
    }
}
