//! A credential file: docker's `config.json`, podman's `auth.json`. Read within a bound, looked into, and replaced at once
//! with everything kept that is not about the registry.
//!
//! Which of the files is asked is not decided here, and no helper is run.
//!
//! spec: docker-config-json, "auths", "credsStore", "credHelpers"; containers-auth.json(5)

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use stella_bundle::json;
use zeroize::Zeroizing;

use super::error::{CredentialError, FileProblem};
use super::object::{Object, quoted, unquoted};
use super::{Credential, credential_helper, keys};

/// Bytes of a file; real ones have a few thousand.
pub(super) const MAX_FILE: usize = 1 << 20;

/// The members of an entry that are credentials; all others are left alone.
const SECRETS: [&str; 5] = [
    "auth",
    "identitytoken",
    "password",
    "registrytoken",
    "username",
];

/// A file as it was read; absent and empty ones are an empty object.
pub(super) struct AuthFile {
    path: PathBuf,
    text: Zeroizing<String>,
}

impl AuthFile {
    /// Reads a file; `None` when there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, CredentialError> {
        let bytes = match read_bounded(path) {
            Ok(bytes) => bytes,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(failed("read", path)(error)),
        };
        let text = std::str::from_utf8(&bytes).map(str::to_owned);
        let path = path.to_owned();
        match text {
            Ok(text) => Ok(Some(Self {
                path,
                text: Zeroizing::new(text),
            })),
            Err(_) => Err(CredentialError::Malformed {
                path,
                problem: FileProblem::NotUtf8,
            }),
        }
    }

    /// Reads a file that is about to be written.
    pub(super) fn read_or_begin(path: &Path) -> Result<Self, CredentialError> {
        let begin = || Self {
            path: path.to_owned(),
            text: Zeroizing::default(),
        };
        Ok(Self::read(path)?.unwrap_or_else(begin))
    }

    /// Finds the first of these keys for which the file holds a credential.
    pub(super) fn credential(
        &self,
        keys: &[String],
    ) -> Result<Option<Credential>, CredentialError> {
        self.meant(credential(&self.text, keys))
    }

    /// Names the helper that stands for a registry: its own, else the one for all.
    pub(super) fn helper(&self, registry: &str) -> Result<Option<String>, CredentialError> {
        self.meant(helper(&self.text, registry))
    }

    /// Lists the helpers that stand for any registry.
    pub(super) fn helpers(&self) -> Result<Vec<String>, CredentialError> {
        let list = || {
            let file = whole(&self.text)?;
            let own = inner(&file, "credHelpers")?;
            let own = own.members().map(|(key, _)| word(&own, key, "credHelpers"));
            let named = own.chain([word(&file, "credsStore", "the file")]);
            let named: Vec<_> = named.collect::<Result<_, _>>()?;
            let mut found: Vec<String> = named
                .into_iter()
                .flatten()
                .map(|name| (*name).clone())
                .collect();
            found.sort();
            found.dedup();
            Ok(found)
        };
        self.meant(list())
    }

    /// Lists the registries with an entry.
    pub(super) fn registries(&self) -> Result<Vec<String>, CredentialError> {
        let list = || {
            let file = whole(&self.text)?;
            let auths = inner(&file, "auths")?;
            let mut found: Vec<String> = auths
                .members()
                .map(|(key, _)| keys::normalise(key))
                .collect();
            found.sort();
            found.dedup();
            Ok(found)
        };
        self.meant(list())
    }

    /// Returns the file with an entry for a registry; without `auth` a helper keeps its secret.
    pub(super) fn with_entry(
        &self,
        registry: &str,
        auth: Option<&str>,
    ) -> Result<Zeroizing<String>, CredentialError> {
        self.meant(with_entry(&self.text, registry, auth))
    }

    /// Returns the file without a registry's entries; `None` when it has none.
    pub(super) fn without_entry(
        &self,
        registry: &str,
    ) -> Result<Option<Zeroizing<String>>, CredentialError> {
        let erase = || {
            let mut file = whole(&self.text)?;
            let mut auths = inner(&file, "auths")?;
            if !auths.retain(|key| keys::normalise(key) != registry) {
                return Ok(None);
            }
            let auths = auths.to_json(1);
            file.set("auths", auths);
            Ok(Some(file.to_json(0)))
        };
        self.meant(erase())
    }

    fn meant<T>(&self, result: Result<T, FileProblem>) -> Result<T, CredentialError> {
        result.map_err(|problem| CredentialError::Malformed {
            path: self.path.clone(),
            problem,
        })
    }
}

/// Replaces a file by what `change` makes of it, unless that is nothing. One process at a time, so that two that log in
/// at once both stay logged in.
pub(super) fn change(
    path: &Path,
    change: impl FnOnce(&AuthFile) -> Result<Option<Zeroizing<String>>, CredentialError>,
) -> Result<bool, CredentialError> {
    // Dotfiles are often links; the link stays.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    create_folder(folder).map_err(failed("create", folder))?;
    // Some file systems of networks lock no folders; there each writer still leaves a whole file.
    let held = File::open(folder).map_err(failed("open", folder))?;
    let _ = held.lock();
    let Some(text) = change(&AuthFile::read_or_begin(path)?)? else {
        return Ok(false);
    };
    replace(path, folder, text.as_bytes()).map_err(failed("write", path))?;
    Ok(true)
}

/// Puts a new file, which only its owner reads, in the place of the old one. After a crash one of them is there.
fn replace(path: &Path, folder: &Path, bytes: &[u8]) -> io::Result<()> {
    // In the place of a device no file is put.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".stella-partial");
    let temporary = folder.join(name);
    // What an earlier crash left; whoever holds the folder is alone with it.
    let _ = fs::remove_file(&temporary);
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&temporary)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // No secret stays behind; the first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_folder(folder)
}

fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)?;
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => Ok(()),
    }
}

/// Makes a new name last: without this a crash may take the rename back.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        return File::open(folder)?.sync_all();
    }
    Ok(())
}

fn read_bounded(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    // Room at once, so that no copies of secrets are left behind by a buffer that grows.
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let room = usize::try_from(length).unwrap_or(MAX_FILE).min(MAX_FILE) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Makes the error of a file.
pub(super) fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> CredentialError + 'a {
    move |error| CredentialError::File {
        action,
        path: path.to_owned(),
        kind: error.kind(),
        number: error.raw_os_error(),
    }
}

/// Reads the whole file. Empty ones are what `mktemp` makes; docker takes them too.
fn whole(text: &str) -> Result<Object<'_>, FileProblem> {
    if text.trim().is_empty() {
        return Ok(Object::default());
    }
    Object::parse(text).map_err(FileProblem::Object)
}

/// Reads a member that is an object; an absent one is empty.
fn inner<'a>(object: &Object<'a>, name: &str) -> Result<Object<'a>, FileProblem> {
    let Some(text) = object.member(name) else {
        return Ok(Object::default());
    };
    Object::parse(text).map_err(|problem| FileProblem::Member {
        member: name.to_owned(),
        problem,
    })
}

fn credential(text: &str, wanted: &[String]) -> Result<Option<Credential>, FileProblem> {
    let file = whole(text)?;
    let auths = inner(&file, "auths")?;
    let mut found: Vec<(usize, bool, &str)> = Vec::new();
    for (key, _) in auths.members() {
        let name = keys::normalise(key);
        if let Some(rank) = wanted.iter().position(|each| *each == name) {
            found.push((rank, keys::written(&name) != key, key));
        }
    }
    // The most specific first; of several spellings the usual one.
    found.sort_by_key(|(rank, is_unusual, _)| (*rank, *is_unusual));
    for (_, _, key) in found {
        if let Some(credential) = of_entry(key, &inner(&auths, key)?)? {
            return Ok(Some(credential));
        }
    }
    Ok(None)
}

/// Reads an entry; an empty one says that a helper knows.
fn of_entry(key: &str, entry: &Object<'_>) -> Result<Option<Credential>, FileProblem> {
    let word = |member: &str| word(entry, member, key);
    if let Some(token) = word("registrytoken")? {
        return Ok(Some(Credential::RegistryToken(token)));
    }
    if let Some(token) = word("identitytoken")? {
        return Ok(Some(Credential::IdentityToken(token)));
    }
    if let Some(auth) = word("auth")? {
        let key = key.to_owned();
        return decode(&auth).map(Some).ok_or(FileProblem::Auth { key });
    }
    let user = word("username")?;
    let password = word("password")?.unwrap_or_default();
    Ok(user.map(|user| Credential::Basic {
        user: (*user).clone(),
        password,
    }))
}

/// Returns a member's text; `None` when it is absent or empty.
fn word(
    object: &Object<'_>,
    member: &str,
    key: &str,
) -> Result<Option<Zeroizing<String>>, FileProblem> {
    let Some(text) = object.member(member) else {
        return Ok(None);
    };
    let text = unquoted(text).ok_or_else(|| FileProblem::NotText {
        member: member.to_owned(),
        key: key.to_owned(),
    })?;
    Ok((!text.is_empty()).then_some(text))
}

/// Reads `auth`: base64 of `USER:PASSWORD`, the password perhaps filled up with NUL.
fn decode(auth: &str) -> Option<Credential> {
    let bytes = Zeroizing::new(json::decode_base64(auth.trim())?);
    let (user, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    (!user.is_empty()).then(|| Credential::Basic {
        user: user.to_owned(),
        password: Zeroizing::new(password.trim_end_matches('\0').to_owned()),
    })
}

fn helper(text: &str, registry: &str) -> Result<Option<String>, FileProblem> {
    let file = whole(text)?;
    let helpers = inner(&file, "credHelpers")?;
    let own = helpers
        .members()
        .find(|(key, _)| keys::normalise(key) == registry);
    let name = match own {
        // An empty name says that this registry's secret is in the file, whatever stands for the others.
        Some((key, _)) => word(&helpers, key, "credHelpers")?,
        None => word(&file, "credsStore", "the file")?,
    };
    match name {
        Some(name) if !credential_helper::is_name(&name) => Err(FileProblem::HelperName {
            name: (*name).clone(),
        }),
        name => Ok(name.map(|name| (*name).clone())),
    }
}

fn with_entry(
    text: &str,
    registry: &str,
    auth: Option<&str>,
) -> Result<Zeroizing<String>, FileProblem> {
    let mut file = whole(text)?;
    let mut auths = inner(&file, "auths")?;
    // 1. What the entry says beside its secrets stays; other spellings of the registry would contradict it.
    let key = keys::written(registry);
    let mut entry = inner(&auths, key)?;
    entry.retain(|member| !SECRETS.contains(&member));
    auths.retain(|each| each == key || keys::normalise(each) != registry);
    // 2. From the inside outwards.
    if let Some(auth) = auth {
        entry.set("auth", Zeroizing::new(quoted(auth)));
    }
    auths.set(key, entry.to_json(2));
    file.set("auths", auths.to_json(1));
    Ok(file.to_json(0))
}
