//! An air-gap kit: a folder of files to be carried, named by one digest.
//!
//! `SHA256SUMS` lists every other file in the form of sha256sum(1), so that a machine without stella can check a kit too;
//! its own SHA-256 is the kit's digest, which must come another way than the kit, unless the organisation signs it. It is
//! written last: a folder without it is no kit. `kit.json` says what the files are.

mod error;
mod signature;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use stella_archive::anchor::Anchor;
use stella_archive::history::JudgedKit;
use stella_bundle::digest::{Digest, DigestAlgorithm, DigestStream};
use stella_bundle::time::UnixTime;

use crate::file;
pub use error::KitError;
pub use signature::{ORGANISATION, Signers};

/// The file that lists all others.
pub const SUMS: &str = "SHA256SUMS";
/// The file that says what the others are.
pub const CONTENTS: &str = "kit.json";

/// The first member of `kit.json`.
const KIND: &str = "stella.kit/v1";
/// `kit.json` of a kit that is not finished.
const BEGUN: &[u8] = b"{}\n";
/// Bytes of `SHA256SUMS` and of `kit.json`.
const MAX_LIST: usize = 16 << 20;
/// Bytes that are hashed at once.
const PIECE: usize = 1 << 18;

/// What a kit holds; paths are relative, with `/` between names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contents {
    kind: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The version of stella that made it.
    pub made_by: String,
    /// The images.
    pub sets: Vec<ImageSet>,
    /// The policy file; what it names lies beside it.
    pub policy: String,
    /// The trusted root; none where keys alone decide.
    pub trusted_root: Option<String>,
    /// Programs.
    pub programs: Vec<String>,
}

/// The images of one repository, with what is attached to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageSet {
    /// An OCI layout in a tar file.
    pub file: String,
    /// Where the images come from, for people.
    pub source: String,
    /// What the repository is called below a registry: `org/app`.
    pub repository: String,
    /// The images.
    pub images: Vec<KitImage>,
}

/// An image of a kit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KitImage {
    /// What it is called in the set: a tag, or its digest.
    pub name: String,
    /// The digest of its manifest or index.
    pub digest: String,
}

/// By what a verifier knows a kit; it came another way than the kit.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// By the digest of its list.
    Digest(&'a Digest),
    /// By the organisation that signed its list.
    Signed {
        /// Whom the verifier believes.
        anchor: &'a Anchor,
        /// The verifier's own time.
        now: UnixTime,
    },
}

/// A kit that is the one that is meant, whole.
#[derive(Clone, Debug)]
pub struct Whole {
    /// What it holds.
    pub contents: Contents,
    /// Who signed it, where that was asked.
    pub signed: Option<JudgedKit>,
}

/// The list of a kit's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List(Vec<u8>);

/// Is called with the bytes hashed so far.
pub type Watcher<'a> = &'a dyn Fn(u64);

impl Contents {
    /// Returns the contents of a kit with a policy and nothing else yet.
    #[must_use]
    pub fn new(created: String, made_by: String, policy: String) -> Self {
        Self {
            kind: KIND.to_owned(),
            created,
            made_by,
            sets: Vec::new(),
            policy,
            trusted_root: None,
            programs: Vec::new(),
        }
    }
}

/// Prepares a folder for a new kit, or for the next one in its place: its list goes, so that nobody takes it for whole.
///
/// # Errors
/// `NotEmpty`, `Io`.
pub fn begin(folder: &Path) -> Result<(), KitError> {
    fs::create_dir_all(folder).map_err(failed("create", folder))?;
    let mut entries = fs::read_dir(folder).map_err(failed("read", folder))?;
    let is_ours = is_ours(folder);
    if entries.next().is_some() && !is_ours {
        let path = folder.to_owned();
        return Err(KitError::NotEmpty { path });
    }
    // The contents stay as a sign that the folder is ours, should this be interrupted.
    if !is_ours {
        put(folder, CONTENTS, BEGUN)?;
    }
    // The list goes first.
    let names = [SUMS.to_owned()].into_iter();
    for name in names.chain(signature::signatures(folder)?) {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &path)(error));
            }
            _ => {}
        }
    }
    file::sync_folder(folder).map_err(failed("write", folder))
}

/// Says whether a folder is a kit, or was begun as one. Other people have lists of digests too.
fn is_ours(folder: &Path) -> bool {
    let contents = file::read(&folder.join(CONTENTS), MAX_LIST);
    contents.is_ok_and(|bytes| {
        let is_kit = |contents: Contents| contents.kind == KIND;
        bytes == BEGUN || serde_json::from_slice(&bytes).is_ok_and(is_kit)
    })
}

/// Writes a file of a kit, durably.
///
/// # Errors
/// `Io`, `Strange` for a path that no list can hold.
pub fn put(folder: &Path, path: &str, bytes: &[u8]) -> Result<(), KitError> {
    put_from(folder, path, bytes)
}

/// As [`put`], from whatever can be read.
///
/// # Errors
/// As [`put`].
pub fn put_from(folder: &Path, path: &str, mut source: impl io::Read) -> Result<(), KitError> {
    let to = folder.join(require_path(path)?);
    let failed = || failed("write", &to);
    let parent = to.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(failed())?;
    let mut file = File::create(&to).map_err(failed())?;
    io::copy(&mut source, &mut file).map_err(failed())?;
    file.sync_all().map_err(failed())?;
    file::sync_folder(parent).map_err(failed())
}

/// Writes the contents of a kit, hashes every file and returns their list.
///
/// # Errors
/// `Unlisted` for a file that is none of the kit, `Missing` for one that should be; `Io`, `Strange`.
pub fn list(
    folder: &Path,
    contents: &Contents,
    files: &[String],
    watcher: Watcher<'_>,
) -> Result<List, KitError> {
    let json = serde_json::to_vec_pretty(contents).unwrap_or_default();
    put(folder, CONTENTS, &json)?;
    let found = files_below(folder)?;
    let is_ours = |path: &String| path == CONTENTS || files.contains(path);
    if let Some(path) = found.iter().find(|path| !is_ours(path)) {
        let path = path.clone();
        return Err(KitError::Unlisted { path });
    }
    if let Some(path) = files.iter().find(|path| !found.contains(path)) {
        let path = path.clone();
        return Err(KitError::Missing { path });
    }
    let (mut text, mut done) = (String::new(), 0);
    for path in &found {
        let digest = hash(&folder.join(path), &mut done, watcher)?;
        let _ = writeln!(text, "{}  {path}", digest.hex());
    }
    Ok(List(text.into_bytes()))
}

/// Finishes a kit: writes the bundles beside its list, and at last the list.
///
/// # Errors
/// `Io`.
pub fn seal(folder: &Path, list: &List, signatures: &[(String, Vec<u8>)]) -> Result<(), KitError> {
    for (name, bytes) in signatures {
        put(folder, name, bytes)?;
    }
    // Whoever sees the list sees all of it.
    let partial = format!("{SUMS}.partial");
    put(folder, &partial, &list.0)?;
    let (from, to) = (folder.join(partial), folder.join(SUMS));
    fs::rename(&from, &to).map_err(failed("write", &to))?;
    file::sync_folder(folder).map_err(failed("write", &to))
}

/// Checks that a folder is the kit that the verifier knows, whole, with nothing beside.
///
/// # Errors
/// Any [`KitError`] but `NotEmpty` and `Sign`.
pub fn check(folder: &Path, known: Known<'_>, watcher: Watcher<'_>) -> Result<Whole, KitError> {
    // 1. The list is the one that was meant.
    let list = List::read(folder)?;
    let signed = match known {
        Known::Digest(expected) => {
            list.require_digest(expected)?;
            None
        }
        Known::Signed { anchor, now } => {
            Some(signature::require_signed(folder, &list, anchor, now)?)
        }
    };
    // 2. The files are those of the list, and besides them there are but signatures of it.
    let listed = parse(&list.0)?;
    let there = files_below(folder)?;
    let is_known =
        |path: &str| path == SUMS || listed.contains_key(path) || signature::is_signature(path);
    if let Some(path) = there.iter().find(|path| !is_known(path)) {
        let path = path.clone();
        return Err(KitError::Unlisted { path });
    }
    let mut done = 0;
    for (path, expected) in listed {
        if !there.contains(&path) {
            return Err(KitError::Missing { path });
        }
        let found = hash(&folder.join(&path), &mut done, watcher)?;
        if found != expected {
            return Err(KitError::Changed {
                path,
                expected,
                found,
            });
        }
    }
    // 3. What they are.
    let contents = read_contents(folder)?;
    Ok(Whole { contents, signed })
}

impl List {
    fn read(folder: &Path) -> Result<Self, KitError> {
        let sums = folder.join(SUMS);
        match file::read(&sums, MAX_LIST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let path = folder.to_owned();
                Err(KitError::Unfinished { path })
            }
            read => read.map(Self).map_err(failed("read", &sums)),
        }
    }

    /// Returns the bytes of `SHA256SUMS`.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the kit's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        DigestAlgorithm::Sha256.digest(&self.0)
    }

    fn require_digest(&self, expected: &Digest) -> Result<(), KitError> {
        let found = self.digest();
        if found != *expected {
            let expected = expected.clone();
            return Err(KitError::WrongKit { expected, found });
        }
        Ok(())
    }
}

fn read_contents(folder: &Path) -> Result<Contents, KitError> {
    let path = folder.join(CONTENTS);
    let bytes = file::read(&path, MAX_LIST).map_err(failed("read", &path))?;
    let contents: Contents =
        serde_json::from_slice(&bytes).map_err(|error| KitError::Contents(error.to_string()))?;
    if contents.kind != KIND {
        let message = format!("expected the kind {KIND}, found {:?}", contents.kind);
        return Err(KitError::Contents(message));
    }
    let sets = contents.sets.iter().map(|set| &set.file);
    for path in sets.chain([&contents.policy]).chain(&contents.trusted_root) {
        require_path(path)?;
    }
    Ok(contents)
}

/// Reads the lines of `SHA256SUMS`.
fn parse(text: &[u8]) -> Result<BTreeMap<String, Digest>, KitError> {
    let mut listed = BTreeMap::new();
    let text = String::from_utf8_lossy(text);
    for (index, line) in text.lines().enumerate() {
        let read = line.split_once("  ").and_then(|(digits, path)| {
            let digest = Digest::from_hex(DigestAlgorithm::Sha256, digits)?;
            Some((require_path(path).ok()?.to_owned(), digest))
        });
        let line = index + 1;
        let (path, digest) = read.ok_or(KitError::Line { line })?;
        if listed.insert(path, digest).is_some() {
            return Err(KitError::Line { line });
        }
    }
    Ok(listed)
}

/// Requires a relative path without steps upwards that fits on one line of the list, without sha256sum's escapes.
fn require_path(path: &str) -> Result<&str, KitError> {
    let is_plain = |each: Component<'_>| matches!(each, Component::Normal(_));
    let is_fine = !path.is_empty()
        && Path::new(path).components().all(is_plain)
        && !path.split('/').any(|name| name.is_empty() || name == ".")
        && !path.chars().any(|each| each.is_control() || each == '\\');
    match is_fine {
        true => Ok(path),
        false => Err(KitError::Strange {
            path: stella_bundle::identity::escape(path),
        }),
    }
}

/// Returns the paths of all files below a folder, sorted; whatever is neither file nor folder is refused.
fn files_below(folder: &Path) -> Result<Vec<String>, KitError> {
    let mut files = Vec::new();
    let mut open = vec![String::new()];
    while let Some(below) = open.pop() {
        let path = folder.join(&below);
        for entry in fs::read_dir(&path).map_err(failed("read", &path))? {
            let entry = entry.map_err(failed("read", &path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = match below.is_empty() {
                true => name,
                false => format!("{below}/{name}"),
            };
            // A link is neither, whatever it leads to.
            let kind = entry.file_type().map_err(failed("read", &entry.path()))?;
            require_path(&path)?;
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                files.push(path);
            } else {
                return Err(KitError::Strange { path });
            }
        }
    }
    files.sort();
    Ok(files)
}

fn hash(path: &Path, done: &mut u64, watcher: Watcher<'_>) -> Result<Digest, KitError> {
    let mut file = File::open(path).map_err(failed("read", path))?;
    let mut hasher = DigestStream::new(DigestAlgorithm::Sha256);
    let mut piece = vec![0; PIECE];
    loop {
        let length = file.read(&mut piece).map_err(failed("read", path))?;
        if length == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&piece[..length]);
        *done += length as u64;
        watcher(*done);
    }
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> KitError + 'a {
    move |error| KitError::Io {
        action,
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const NOBODY: Watcher<'static> = &|_| {};

    /// Makes a kit of two files; returns its folder and its digest.
    fn kit() -> (tempfile::TempDir, Digest) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        begin(path).unwrap();
        put(path, "policy/policy.yaml", b"policy").unwrap();
        put(path, "images/org/app.tar", b"images").unwrap();
        let files = ["policy/policy.yaml", "images/org/app.tar"].map(str::to_owned);
        let contents = Contents::new("2026-01-02T03:04:05Z".into(), "0".into(), files[0].clone());
        let list = list(path, &contents, &files, NOBODY).unwrap();
        seal(path, &list, &[]).unwrap();
        (folder, list.digest())
    }

    #[test]
    fn a_kit_is_whole_only_under_its_own_digest() {
        let (folder, digest) = kit();
        let whole = check(folder.path(), Known::Digest(&digest), NOBODY).unwrap();
        assert_eq!(whole.contents.policy, "policy/policy.yaml");
        // A signature that nobody asked for is no harm.
        let signature = format!("{SUMS}.01abcdef.sigstore.json");
        put(folder.path(), &signature, b"{}").unwrap();
        check(folder.path(), Known::Digest(&digest), NOBODY).unwrap();
        let other = DigestAlgorithm::Sha256.digest(b"");
        let refused = check(folder.path(), Known::Digest(&other), NOBODY).unwrap_err();
        assert!(matches!(refused, KitError::WrongKit { .. }), "{refused}");
    }

    #[test]
    fn whatever_was_changed_added_or_taken_away_is_named() {
        type Change = (&'static str, fn(&Path), &'static str);
        let changes: [Change; 9] = [
            (
                "a byte",
                |kit| fs::write(kit.join("images/org/app.tar"), "imaged").unwrap(),
                "images/org/app.tar has the digest",
            ),
            (
                "the contents",
                |kit| fs::write(kit.join(CONTENTS), "{}").unwrap(),
                "kit.json has the digest",
            ),
            (
                "the list",
                |kit| fs::write(kit.join(SUMS), "").unwrap(),
                "the kit has the digest",
            ),
            (
                "no list",
                |kit| fs::remove_file(kit.join(SUMS)).unwrap(),
                "not finished",
            ),
            (
                "one less",
                |kit| fs::remove_file(kit.join("policy/policy.yaml")).unwrap(),
                "listed and not there",
            ),
            (
                "one more",
                |kit| fs::write(kit.join("images/more.tar"), "").unwrap(),
                "images/more.tar is there and not listed",
            ),
            (
                "one that is hidden",
                |kit| fs::write(kit.join(".more"), "").unwrap(),
                ".more is there and not listed",
            ),
            (
                "a link",
                |kit| {
                    fs::remove_file(kit.join("images/org/app.tar")).unwrap();
                    std::os::unix::fs::symlink("/etc/hostname", kit.join("images/org/app.tar"))
                        .unwrap();
                },
                "neither a file nor a folder",
            ),
            (
                "a name of two lines",
                |kit| fs::write(kit.join("a\nb"), "").unwrap(),
                "a name that no list can hold",
            ),
        ];
        for (name, change, words) in changes {
            let (folder, digest) = kit();
            change(folder.path());
            let refused = check(folder.path(), Known::Digest(&digest), NOBODY)
                .unwrap_err()
                .to_string();
            assert!(refused.contains(words), "{name}: {refused}");
        }
    }

    #[test]
    fn a_folder_of_something_else_is_left_alone_and_a_kit_can_be_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "").unwrap();
        for name in ["mine", SUMS, CONTENTS] {
            fs::write(folder.path().join(name), "mine").unwrap();
            let refused = begin(folder.path()).unwrap_err();
            assert!(matches!(refused, KitError::NotEmpty { .. }), "{refused}");
            assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"mine");
        }
        let (folder, digest) = kit();
        let signature = format!("{SUMS}.01abcdef.sigstore.json");
        put(folder.path(), &signature, b"{}").unwrap();
        begin(folder.path()).unwrap();
        assert!(!folder.path().join(signature).exists());
        let refused = check(folder.path(), Known::Digest(&digest), NOBODY).unwrap_err();
        assert!(matches!(refused, KitError::Unfinished { .. }), "{refused}");
        // What an earlier kit had and this one has not must go first.
        let contents = Contents::new("".into(), "".into(), "policy/policy.yaml".into());
        let files = ["policy/policy.yaml".to_owned()];
        let refused = list(folder.path(), &contents, &files, NOBODY).unwrap_err();
        assert!(matches!(refused, KitError::Unlisted { .. }), "{refused}");
    }

    #[test]
    fn lines_and_paths_that_lead_elsewhere_are_refused() {
        let digits = "00".repeat(32);
        let fine = parse(format!("{digits}  a/b c\n").as_bytes()).unwrap();
        assert_eq!(fine.keys().collect::<Vec<_>>(), ["a/b c"]);
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "./a",
            "a/",
            "a\\b",
        ] {
            let line = format!("{digits}  {path}\n");
            let refused = parse(line.as_bytes()).unwrap_err();
            assert!(matches!(refused, KitError::Line { line: 1 }), "{path}");
        }
        for text in [
            "x  a",
            "",
            "\n",
            &format!("{digits} *a"),
            &format!("{digits}  a\n{digits}  a"),
        ] {
            let refused = parse(text.as_bytes()).is_err() || text.is_empty();
            assert!(refused, "{text}");
        }
    }
}
