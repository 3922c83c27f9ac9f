//! How a trusted root was published: the metadata of the TUF repository that it came from.
//!
//! It says that the repository's owner published exactly this root, to whoever has a root of the repository from elsewhere. Nothing
//! in an archive depends on it.

use stella_bundle::time::UnixTime;
use stella_bundle::tuf::{Role, Root, TufError};

/// The name under which repositories publish trusted roots.
pub const TARGET: &str = "trusted_root.json";

/// The metadata of a repository, as exact bytes (TUF §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TufMetadata {
    /// `root.json`, in whatever version.
    pub root: Vec<u8>,
    /// `timestamp.json`.
    pub timestamp: Vec<u8>,
    /// The snapshot that the timestamp names.
    pub snapshot: Vec<u8>,
    /// The targets metadata that the snapshot names.
    pub targets: Vec<u8>,
}

impl From<[Vec<u8>; 4]> for TufMetadata {
    /// Takes the metadata in the order of [`TufMetadata::ROLES`].
    fn from([root, timestamp, snapshot, targets]: [Vec<u8>; 4]) -> Self {
        Self {
            root,
            timestamp,
            snapshot,
            targets,
        }
    }
}

impl TufMetadata {
    /// The roles whose metadata it has.
    pub const ROLES: [Role; 4] = [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets];

    /// Returns the name in an archive of the metadata of a trusted root with this SHA-256.
    #[must_use]
    pub fn file_name(trusted_root: &[u8; 32], role: Role) -> String {
        format!("tuf/{}/{}.json", hex::encode(trusted_root), role.name())
    }

    /// Returns the metadata of a role.
    #[must_use]
    pub fn of(&self, role: Role) -> &[u8] {
        match role {
            Role::Root => &self.root,
            Role::Timestamp => &self.timestamp,
            Role::Snapshot => &self.snapshot,
            Role::Targets => &self.targets,
        }
    }

    /// Requires that these bytes were published as the trusted root when `at` was; returns the repository's root, which the caller
    /// must know from elsewhere.
    ///
    /// # Errors
    /// Any [`TufError`].
    pub fn publisher_of(&self, trusted_root: &[u8], at: UnixTime) -> Result<Root, TufError> {
        let root = Root::trust(&self.root)?;
        root.require_current(at)?;
        let timestamp = root.timestamp(&self.timestamp, None, at)?;
        let snapshot = root.snapshot(&self.snapshot, &timestamp, None, at)?;
        let targets = root.targets(&self.targets, &snapshot, at)?;
        targets.find(TARGET)?.require(TARGET, trusted_root)?;
        Ok(root)
    }
}
