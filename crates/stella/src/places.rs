//! Where things lie on this machine, by the XDG base directories; every place can be named instead.

use std::env;
use std::path::PathBuf;

use stella_client::registry::certificates::CertificateFolders;
use stella_client::registry::credentials::Credentials;

/// Returns the folder of attestations: `STELLA_STORE`, else below `XDG_DATA_HOME`.
pub(crate) fn store(given: Option<PathBuf>) -> PathBuf {
    given
        .or_else(|| variable("STELLA_STORE"))
        .unwrap_or_else(|| data().join("store"))
}

/// Returns the folder of the local instance: `STELLA_INSTANCE`, else below `XDG_DATA_HOME`.
pub(crate) fn instance(given: Option<PathBuf>) -> PathBuf {
    given
        .or_else(|| variable("STELLA_INSTANCE"))
        .unwrap_or_else(|| data().join("instance"))
}

/// Returns the folder in which the choice of a trust root is recorded.
pub(crate) fn trust() -> PathBuf {
    config().join("stella").join("trust")
}

/// Returns where credentials for registries are: in `given` only, else where docker and podman have them.
pub(crate) fn credentials(given: Option<PathBuf>) -> Credentials {
    let home = variable("HOME");
    let credentials = Credentials::new(&|name| env::var_os(name), home.as_deref());
    match given {
        Some(path) => credentials.with_auth_file(path),
        None => credentials,
    }
}

/// Returns where certificates for registries are: in `given` only, else where docker and podman have them.
pub(crate) fn certificates(given: Option<PathBuf>) -> CertificateFolders {
    match given {
        Some(folder) => CertificateFolders::Given(folder),
        None => CertificateFolders::Usual(vec![
            config().join("containers/certs.d"),
            PathBuf::from("/etc/containers/certs.d"),
            PathBuf::from("/etc/docker/certs.d"),
        ]),
    }
}

/// Returns the folder of what was read from registries: below `XDG_CACHE_HOME`.
pub(crate) fn cache() -> PathBuf {
    let cache = variable("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache"));
    cache.join("stella").join("registry")
}

fn config() -> PathBuf {
    variable("XDG_CONFIG_HOME").unwrap_or_else(|| home().join(".config"))
}

fn data() -> PathBuf {
    variable("XDG_DATA_HOME")
        .unwrap_or_else(|| home().join(".local/share"))
        .join("stella")
}

/// Returns the user's home, if they have one.
pub(crate) fn user_home() -> Option<PathBuf> {
    variable("HOME")
}

fn home() -> PathBuf {
    user_home().unwrap_or_else(|| PathBuf::from("/"))
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
