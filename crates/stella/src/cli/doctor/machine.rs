//! The doctor's look at the machine: the program, what other programs left for it, and room to keep attestations.

use std::path::{Path, PathBuf};

use super::Finding;
use crate::exit::{self, Failure};
use crate::{key, places};

/// Below this the store fills within a day of a busy pipeline: an attestation takes some ten KiB.
const LITTLE_SPACE: u64 = 100 << 20;

/// Says which program this is.
pub(super) fn version() -> Finding {
    let (os, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    let version = env!("CARGO_PKG_VERSION");
    Finding::good("version", format!("stella {version}, {os} {processor}"))
}

/// Looks at the files of registry credentials, and for the programs that they name.
pub(super) fn credentials() -> Vec<Finding> {
    const CHECK: &str = "credentials";
    let seen = places::credentials(None).survey();
    if seen.is_empty() {
        let found = "no file of registry credentials: registries are asked anonymously";
        return vec![Finding::good(CHECK, found)];
    }
    let finding = |seen| match seen {
        Err(error) => Finding::failure(CHECK, Failure::from(error)),
        Ok(seen) => {
            let stella_client::registry::credentials::Seen {
                path,
                registries,
                helpers,
                missing,
            } = seen;
            let path = path.display();
            if !missing.is_empty() {
                let programs =
                    format!("docker-credential-{}", missing.join(", docker-credential-"));
                return Finding::warning(
                    CHECK,
                    format!("{path} names programs that are not in the path: {programs}"),
                    format!("install them, or take them out of {path}"),
                );
            }
            let through = match helpers.as_slice() {
                [] => String::new(),
                names => format!(", through {}", names.join(", ")),
            };
            Finding::good(CHECK, format!("{path}: {registries} entries{through}"))
        }
    };
    seen.into_iter().map(finding).collect()
}

/// Looks for the program in which PKCS#11 modules run. A configured key that needs it is looked at by itself.
pub(super) fn helper() -> Finding {
    const CHECK: &str = "pkcs11";
    match key::helper_found() {
        Some(path) => Finding::good(CHECK, path.display().to_string()),
        None => Finding::good(
            CHECK,
            "no stella-pkcs11 beside stella: only keys in devices need it",
        ),
    }
}

/// Looks whether attestations can be kept.
pub(super) fn store() -> Finding {
    const CHECK: &str = "store";
    let store = places::store(None);
    let (found, Some(folder)) = (store.display(), existing(&store)) else {
        let message = format!("there is no place for {}", store.display());
        return Finding::failure(CHECK, Failure::new(exit::INTERNAL, message));
    };
    let other = "name another folder with STELLA_STORE";
    if !is_writable(&folder) {
        let message = format!(
            "{found} cannot be written: {} is not ours",
            folder.display()
        );
        return Finding::failure(CHECK, Failure::new(exit::INTERNAL, message).hint(other));
    }
    match free_space(&folder) {
        Some(free) if free < LITTLE_SPACE => {
            Finding::warning(CHECK, format!("{found}, {} MiB free", free >> 20), other)
        }
        Some(free) => Finding::good(CHECK, format!("{found}, {} MiB free", free >> 20)),
        None => Finding::good(CHECK, found.to_string()),
    }
}

/// Returns the folder itself, else the one in which it would be made.
fn existing(folder: &Path) -> Option<PathBuf> {
    let there = folder.ancestors().find(|folder| folder.exists())?;
    // A relative path's last ancestor is the empty one.
    Some(match there.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => there.to_owned(),
    })
}

#[cfg(unix)]
fn is_writable(folder: &Path) -> bool {
    use rustix::fs::{Access, access};
    folder.is_dir() && access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn is_writable(folder: &Path) -> bool {
    folder.is_dir()
}

/// Returns the bytes that a user like this one may still write; none where nobody says so.
#[cfg(unix)]
fn free_space(folder: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(folder).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

#[cfg(not(unix))]
const fn free_space(_: &Path) -> Option<u64> {
    None
}
