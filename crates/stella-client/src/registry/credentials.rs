//! Credentials for registries as users have them: the files of docker and podman, and credential helpers.
//!
//! **Which file.** The first file that has something for the registry wins:
//!
//! 1. the file that was named to the command (`--authfile`); no other is looked into then, as with podman;
//! 2. `$REGISTRY_AUTH_FILE`. It stands before docker's file, because somebody set it for this purpose, and because a
//!    login writes there;
//! 3. `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`;
//! 4. `$XDG_RUNTIME_DIR/containers/auth.json`, where podman and skopeo write;
//! 5. `$XDG_CONFIG_HOME/containers/auth.json`, else `~/.config/containers/auth.json`.
//!
//! The first two must exist once they are named: a typing error would else make a user anonymous. A file that cannot be
//! understood is an error, and so is a helper that fails; neither is passed over.
//!
//! **Which entry.** In one file: an entry for the repository, then for each namespace around it; then the helper of the
//! registry (`credHelpers`, else `credsStore`), as docker asks it before its own file; then the registry's entry.
//!
//! What is done with a credential is not here. No environment is read: variables and the home directory are handed in.

mod auth_file;
mod credential_helper;
mod error;
mod keys;
mod object;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use stella_bundle::json;
use zeroize::Zeroizing;

use self::auth_file::AuthFile;
use self::credential_helper::CredentialHelpers;
pub use self::error::{CredentialError, FileProblem, HelperProblem, Unstorable};
pub use self::object::ObjectError;

/// Who asks a registry. Forgotten when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nobody in particular.
    Anonymous,
    /// A name and a password, or a token that stands for one.
    Basic {
        /// The user's name; some token services want it empty.
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// A refresh token, for the token service (OAuth 2).
    IdentityToken(Zeroizing<String>),
    /// A bearer token, for the registry itself.
    RegistryToken(Zeroizing<String>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => formatter.write_str("Anonymous"),
            Self::Basic { user, .. } => write!(formatter, "Basic {{ user: {user:?}, .. }}"),
            Self::IdentityToken(_) => formatter.write_str("IdentityToken(hidden)"),
            Self::RegistryToken(_) => formatter.write_str("RegistryToken(hidden)"),
        }
    }
}

/// Where a secret was put, or was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keeper {
    /// A file, unencrypted.
    File(PathBuf),
    /// A credential helper.
    Helper {
        /// Its name, without `docker-credential-`.
        name: String,
        /// The file that names it.
        path: PathBuf,
    },
}

impl Keeper {
    /// Returns the file: the keeper itself, or the one that names the helper.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Helper { path, .. } => path,
        }
    }

    /// Returns the helper's name.
    #[must_use]
    pub fn helper(&self) -> Option<&str> {
        match self {
            Self::File(_) => None,
            Self::Helper { name, .. } => Some(name),
        }
    }
}

/// What was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// Whence.
    pub keeper: Keeper,
    /// Whether something was there. Most helpers do not tell; then they are taken at their word.
    pub was_there: bool,
}

/// A file of credentials, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The file.
    pub path: PathBuf,
    /// How many registries and namespaces have an entry.
    pub registries: usize,
    /// The helpers that it names, without `docker-credential-`.
    pub helpers: Vec<String>,
    /// Those of them whose program is not in the search path.
    pub missing: Vec<String>,
}

/// Where credentials are looked for, and kept.
///
/// Calls block: they read small files and may wait for a helper, at most for a minute. Inside of a task, call them from a
/// thread where that is allowed.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// In the order in which they are asked; the first is written to.
    places: Vec<Place>,
    helpers: CredentialHelpers,
}

#[derive(Debug, Clone)]
struct Place {
    path: PathBuf,
    naming: Naming,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// By somebody, for this purpose: it must be there.
    Explicit,
    /// By custom.
    Usual,
}

impl Credentials {
    /// Returns the places of a user. `variable` reads the environment, where an empty value counts as not set; it is asked
    /// for the variables above and for `PATH`, in which helpers are found.
    #[must_use]
    pub fn new(variable: &dyn Fn(&str) -> Option<OsString>, home: Option<&Path>) -> Self {
        let folder = |name| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let below_home = |path: &str| home.map(|home| home.join(path));
        let docker = folder("DOCKER_CONFIG").or_else(|| below_home(".docker"));
        let config = folder("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
        let usual = [
            docker.map(|folder| folder.join("config.json")),
            folder("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
            config.map(|folder| folder.join("containers/auth.json")),
        ];
        let explicit = folder("REGISTRY_AUTH_FILE").map(Place::explicit);
        let usual = usual.into_iter().flatten().map(Place::usual);
        Self {
            places: explicit.into_iter().chain(usual).collect(),
            helpers: CredentialHelpers::new(variable("PATH").unwrap_or_default()),
        }
    }

    /// Looks into one file only, and keeps credentials there.
    #[must_use]
    pub fn with_auth_file(mut self, path: PathBuf) -> Self {
        self.places = vec![Place::explicit(path)];
        self
    }

    /// Finds the credential for a repository of a registry; without a repository, for the registry as a whole.
    ///
    /// # Errors
    /// [`CredentialError`]: a file that cannot be read or understood, or a helper that fails. Nothing found is no error.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Credential, CredentialError> {
        let registry = keys::normalise(registry);
        for place in &self.places {
            let Some(file) = place.read()? else { continue };
            if let Some(credential) = self.find_in(&place.path, &file, &registry, repository)? {
                tracing::debug!(registry, path = %place.path.display(), ?credential, "credential");
                return Ok(credential);
            }
        }
        Ok(Credential::Anonymous)
    }

    fn find_in(
        &self,
        path: &Path,
        file: &AuthFile,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        // 1. What is only for this repository, or for a namespace around it.
        let narrow = file.credential(&keys::namespaces(registry, repository))?;
        if narrow.is_some() {
            return Ok(narrow);
        }
        // 2. Whoever keeps the registry's secret outside of the file.
        if let Some(name) = file.helper(registry)? {
            let found = self.helpers.find(&name, keys::written(registry));
            let found = found.map_err(helper_error(&name, path, registry))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        // 3. What the file says of the registry.
        file.credential(&[registry.to_owned()])
    }

    /// Keeps a password for a registry, in the file that docker or podman would read next, or with the helper that this
    /// file names. All else in the file stays; the file is replaced at once, synced, and readable only by its owner.
    ///
    /// # Errors
    /// [`CredentialError`]; then the old file is there as it was.
    pub fn store(
        &self,
        registry: &str,
        user: &str,
        password: &Zeroizing<String>,
    ) -> Result<Keeper, CredentialError> {
        require_storable(user, password)?;
        let registry = keys::normalise(registry);
        let path = self.written()?;
        let Some(name) = AuthFile::read_or_begin(&path)?.helper(&registry)? else {
            let plain = Zeroizing::new(format!("{user}:{}", **password));
            let auth = Zeroizing::new(json::encode_base64(plain.as_bytes()));
            auth_file::change(&path, |file| {
                file.with_entry(&registry, Some(&auth)).map(Some)
            })?;
            return Ok(Keeper::File(path));
        };
        let stored = self
            .helpers
            .store(&name, keys::written(&registry), user, password);
        stored.map_err(helper_error(&name, &path, &registry))?;
        // An entry without a secret says that there was a login; docker lists logins by it.
        auth_file::change(&path, |file| file.with_entry(&registry, None).map(Some))?;
        Ok(Keeper::Helper { name, path })
    }

    /// Forgets what [`Credentials::store`] kept for a registry. Entries for namespaces stay.
    ///
    /// # Errors
    /// [`CredentialError`]; nothing to forget is no error.
    pub fn erase(&self, registry: &str) -> Result<Erased, CredentialError> {
        let registry = keys::normalise(registry);
        let path = self.written()?;
        let Some(file) = AuthFile::read(&path)? else {
            let (keeper, was_there) = (Keeper::File(path), false);
            return Ok(Erased { keeper, was_there });
        };
        let helper = file.helper(&registry)?;
        let mut was_there = false;
        // The helper first: while the entry is there, a second try finds what the first left.
        if let Some(name) = &helper {
            let erased = self.helpers.erase(name, keys::written(&registry));
            was_there = erased.map_err(helper_error(name, &path, &registry))?;
        }
        was_there |= auth_file::change(&path, |file| file.without_entry(&registry))?;
        let keeper = match helper {
            Some(name) => Keeper::Helper { name, path },
            None => Keeper::File(path),
        };
        Ok(Erased { keeper, was_there })
    }

    /// Lists what has an entry in the file that is written to: registries, and namespaces as `REGISTRY/NAMESPACE`.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn registries(&self) -> Result<Vec<String>, CredentialError> {
        match AuthFile::read(&self.written()?)? {
            Some(file) => file.registries(),
            None => Ok(Vec::new()),
        }
    }

    /// Lists the other files that hold a credential for the whole registry themselves. Those that cannot be read are left
    /// out, for nothing depends on this list.
    #[must_use]
    pub fn elsewhere(&self, registry: &str) -> Vec<&Path> {
        let key = [keys::normalise(registry)];
        let holds = |place: &&Place| {
            let file = AuthFile::read(&place.path).ok().flatten();
            file.is_some_and(|file| matches!(file.credential(&key), Ok(Some(_))))
        };
        let others = self.places.iter().skip(1).filter(holds);
        others.map(|place| place.path.as_path()).collect()
    }

    /// Looks at every file that is there, and for the programs that it names; none of them is run.
    #[must_use]
    pub fn survey(&self) -> Vec<Result<Seen, CredentialError>> {
        let seen = |place: &Place| {
            let file = place.read().transpose()?;
            Some(file.and_then(|file| self.seen(place, &file)))
        };
        self.places.iter().filter_map(seen).collect()
    }

    fn seen(&self, place: &Place, file: &AuthFile) -> Result<Seen, CredentialError> {
        let (registries, helpers) = (file.registries()?, file.helpers()?);
        let is_missing = |name: &String| !self.helpers.is_installed(name);
        Ok(Seen {
            path: place.path.clone(),
            missing: helpers
                .iter()
                .filter(|each| is_missing(each))
                .cloned()
                .collect(),
            registries: registries.len(),
            helpers,
        })
    }

    /// Returns the file that is written to.
    ///
    /// # Errors
    /// [`CredentialError::NoPlace`].
    pub fn written(&self) -> Result<PathBuf, CredentialError> {
        let place = self.places.first().ok_or(CredentialError::NoPlace)?;
        Ok(place.path.clone())
    }
}

impl Place {
    const fn explicit(path: PathBuf) -> Self {
        let naming = Naming::Explicit;
        Self { path, naming }
    }

    const fn usual(path: PathBuf) -> Self {
        let naming = Naming::Usual;
        Self { path, naming }
    }

    fn read(&self) -> Result<Option<AuthFile>, CredentialError> {
        let file = AuthFile::read(&self.path)?;
        if file.is_none() && self.naming == Naming::Explicit {
            let absent = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(auth_file::failed("read", &self.path)(absent));
        }
        Ok(file)
    }
}

fn helper_error<'a>(
    name: &'a str,
    path: &'a Path,
    registry: &'a str,
) -> impl FnOnce(HelperProblem) -> CredentialError + 'a {
    move |problem| CredentialError::Helper {
        name: name.to_owned(),
        path: path.to_owned(),
        registry: registry.to_owned(),
        problem,
    }
}

// spec: RFC 7617 §2: a user's name holds no colon.
fn require_storable(user: &str, password: &str) -> Result<(), Unstorable> {
    if user.is_empty() {
        return Err(Unstorable::UserEmpty);
    }
    if user.contains(':') {
        return Err(Unstorable::UserColon);
    }
    if password.is_empty() {
        return Err(Unstorable::PasswordEmpty);
    }
    if password.ends_with('\0') {
        return Err(Unstorable::PasswordNul);
    }
    Ok(())
}
