//! Keysets: which keys may sign for the organisation, whose clocks count, and what is known to have fallen.
//!
//! A keyset is one file; the next one follows it by an event that keys of this one sign ([`crate::statement`]). Whether
//! enough of them signed in time is judged in [`crate::history`]; here is what a file may say, and what may follow it.

mod role;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stella_bundle::json;
use stella_bundle::key::PublicKey;
use stella_bundle::time::UnixTime;

use crate::date;
use crate::fingerprint::{Fingerprint, hex32};

pub use role::Role;

/// The first member of a keyset's file.
const KIND: &str = "stella.keyset/v1";
/// Bytes of a keyset's file.
pub const MAX_KEYSET: usize = 1 << 20;
/// Entries of each list of a keyset.
const MAX_ENTRIES: usize = 1000;
/// How long a key lasts after it was retired.
const LAST_MONTH: Duration = Duration::from_secs(31 * 86_400);
/// Bytes of an origin, a reason, a remark.
const MAX_TEXT: usize = 500;

/// The ways in which a file is no keyset, or cannot follow another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysetError {
    /// The text is not JSON of this file.
    #[error("not a keyset: {0}")]
    Json(json::JsonError),
    /// The file or one of its lists is too long, or a text is.
    #[error("a keyset whose {what} is too long")]
    TooLong {
        /// What.
        what: &'static str,
    },
    /// The first member names another kind of file.
    #[error("a keyset is of the type {KIND:?}, this is {found:?}")]
    UnknownType {
        /// What stands there.
        found: String,
    },
    /// A key is none, or is not what its role asks for.
    #[error("key {key_id} of the keyset cannot be {role}")]
    Key {
        /// Its id as the file gives it.
        key_id: String,
        /// Its role.
        role: &'static str,
    },
    /// A key stands there twice.
    #[error("key {key_id} stands in the keyset twice")]
    KeyTwice {
        /// Its id.
        key_id: String,
    },
    /// No key is left that may sign statements in this role.
    #[error("the keyset has no active {role} key")]
    NoKey {
        /// Which role.
        role: &'static str,
    },
    /// Fewer keys are active than must sign, or none must.
    #[error("{threshold} keys must sign an event of the keyset, and {active} are active")]
    Threshold {
        /// How many must sign.
        threshold: usize,
        /// How many can.
        active: usize,
    },
    /// It says something else than its predecessor about what never changes.
    #[error("keyset {version} cannot follow keyset {earlier}: {what}")]
    DoesNotFollow {
        /// Its version.
        version: u64,
        /// The other's.
        earlier: u64,
        /// What is wrong.
        what: Breach,
    },
}

/// What a keyset may not do to its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// An authority is gone from the list.
    #[error("an authority is gone")]
    AuthorityGone,
    /// A compromise or a sunset is gone, or became later.
    #[error("a compromise or a sunset is gone or became later")]
    FallUndone,
    /// A key is gone, or another stands under its id.
    #[error("a key is gone or was changed")]
    KeyChanged,
    /// A key that was retired is active again, or lasts longer.
    #[error("a key that was retired is active again or lasts longer")]
    KeyRevived,
    /// The origin is another.
    #[error("it is of another origin")]
    Origin,
    /// It does not name its predecessor's bytes.
    #[error("it does not name its predecessor's digests")]
    Predecessor,
    /// It is not the next version.
    #[error("it is not the next version")]
    Version,
}

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It signs.
    Active,
    /// Others may have it: `compromised` says since when.
    Compromised,
    /// It exists no longer.
    Destroyed,
    /// It signs no more.
    Retired,
}

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A key comes besides.
    Add,
    /// Other timestamp authorities count too.
    Authorities,
    /// A key, of the organisation or of others, was compromised.
    Compromise,
    /// The first keyset.
    Create,
    /// A key exists no longer.
    Destroy,
    /// Keys last longer.
    Extend,
    /// A key signs no more.
    Retire,
    /// A key takes another's place.
    Rotate,
    /// An algorithm no longer counts from a day on.
    Sunset,
}

/// A key of the organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrgKeyEntry {
    /// SHA-256 of the SubjectPublicKeyInfo.
    #[serde(with = "hex32")]
    pub key_id: [u8; 32],
    /// What it is for.
    pub role: Role,
    /// SubjectPublicKeyInfo in DER.
    #[serde(with = "json::base64_bytes")]
    pub public_key: Vec<u8>,
    /// Since when it signs.
    #[serde(with = "date")]
    pub from: UnixTime,
    /// What it signed counts if it provably existed before this time.
    #[serde(with = "date")]
    pub until: UnixTime,
    /// How it stands.
    pub status: Status,
}

impl OrgKeyEntry {
    /// Returns the entry of a new key.
    #[must_use]
    pub fn new(key: &PublicKey, role: Role, from: UnixTime, until: UnixTime) -> Self {
        Self {
            key_id: key.key_id(),
            role,
            public_key: key.spki().to_vec(),
            from: from.floor_seconds(),
            until: until.floor_seconds(),
            status: Status::Active,
        }
    }

    /// Says whether it signs.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// Returns the key.
    ///
    /// # Errors
    /// `Key`.
    pub fn key(&self) -> Result<PublicKey, KeysetError> {
        let key = PublicKey::from_spki(&self.public_key).ok();
        let key = key.filter(|key| key.key_id() == self.key_id && self.role.takes(key.kind()));
        key.ok_or_else(|| KeysetError::Key {
            key_id: hex::encode(self.key_id),
            role: self.role.name(),
        })
    }
}

/// A key that others may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compromise {
    /// SHA-256 of its SubjectPublicKeyInfo.
    #[serde(with = "hex32")]
    pub key: [u8; 32],
    /// What it signed counts if it provably existed before this time.
    #[serde(with = "date")]
    pub since: UnixTime,
    /// Whose it is, for people.
    pub what: String,
}

/// An algorithm that is no longer believed from a day on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sunset {
    /// Its name, as [`crate::fall::algorithm`] gives it.
    pub algorithm: String,
    /// The day.
    #[serde(with = "date")]
    pub on: UnixTime,
}

/// A keyset's predecessor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predecessor {
    /// Of its file.
    pub file: Fingerprint,
    /// Of the bundles of its event, sorted.
    pub evidence: Vec<Fingerprint>,
}

/// Who may sign for the organisation from one event to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyset {
    /// [`KIND`].
    #[serde(rename = "type")]
    kind: String,
    /// Whose it is: the origin of the archive's checkpoints.
    pub origin: String,
    /// Its number, from 1.
    pub version: u64,
    /// When it was made.
    #[serde(with = "date")]
    pub created: UnixTime,
    /// The one before it; none for the first.
    pub previous: Option<Predecessor>,
    /// What the event does.
    pub action: Action,
    /// Why, for people.
    pub reason: String,
    /// How many keys must sign the next event.
    pub threshold: usize,
    /// The organisation's keys, also those that sign no more.
    pub keys: Vec<OrgKeyEntry>,
    /// The timestamp authorities whose time counts: SHA-256 of the topmost certificate of each chain, in DER.
    #[serde(with = "hex_list")]
    pub authorities: Vec<[u8; 32]>,
    /// Keys that others may have, of anybody.
    pub compromised: Vec<Compromise>,
    /// Algorithms that are no longer believed.
    pub sunsets: Vec<Sunset>,
}

impl Keyset {
    /// Returns the first keyset of an archive.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn create(
        origin: &str,
        created: UnixTime,
        reason: &str,
        threshold: usize,
        keys: Vec<OrgKeyEntry>,
        authorities: Vec<[u8; 32]>,
    ) -> Result<Self, KeysetError> {
        let keyset = Self {
            kind: KIND.to_owned(),
            origin: origin.to_owned(),
            version: 1,
            created: created.floor_seconds(),
            previous: None,
            action: Action::Create,
            reason: reason.to_owned(),
            threshold,
            keys,
            authorities,
            compromised: Vec::new(),
            sunsets: Vec::new(),
        };
        keyset.require_sound()?;
        Ok(keyset)
    }

    /// Returns the next keyset as a copy of this one, to be changed by an event.
    #[must_use]
    pub fn next(
        &self,
        previous: Predecessor,
        created: UnixTime,
        action: Action,
        reason: &str,
    ) -> Self {
        Self {
            version: self.version + 1,
            created: created.floor_seconds(),
            previous: Some(previous),
            action,
            reason: reason.to_owned(),
            ..self.clone()
        }
    }

    /// Reads a keyset's file.
    ///
    /// # Errors
    /// Any [`KeysetError`] but `DoesNotFollow`.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeysetError> {
        if bytes.len() > MAX_KEYSET {
            return Err(KeysetError::TooLong { what: "file" });
        }
        let read = json::require_unambiguous(bytes).and_then(|()| serde_json::from_slice(bytes));
        let keyset: Self = read.map_err(|error| KeysetError::Json(error.into()))?;
        keyset.require_sound()?;
        Ok(keyset)
    }

    /// Writes the file: indented JSON with a final newline.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising plain structs into memory cannot fail.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Takes a key out of service. It lasts a month more at most, so that what it signs of this very event counts.
    pub fn retire(&mut self, key_id: &[u8; 32], status: Status) {
        let last = self.created.plus(LAST_MONTH).floor_seconds();
        for each in self.keys.iter_mut().filter(|each| each.key_id == *key_id) {
            each.status = status;
            each.until = last.min(each.until);
        }
    }

    /// Notes that others may have a key since some time, and takes it out of service if it is the organisation's.
    pub fn compromise(&mut self, key: [u8; 32], since: UnixTime, what: &str) {
        self.retire(&key, Status::Compromised);
        self.compromised.push(Compromise {
            key,
            since: since.floor_seconds(),
            what: what.to_owned(),
        });
    }

    /// Has all active keys last longer.
    pub fn extend(&mut self, until: UnixTime) {
        for each in self.keys.iter_mut().filter(|each| each.is_active()) {
            each.until = until.floor_seconds().max(each.until);
        }
    }

    /// Returns the keys that must sign a statement: those that are active for it.
    pub fn signers(&self) -> impl Iterator<Item = &OrgKeyEntry> {
        let keys = self.keys.iter();
        keys.filter(|each| each.is_active() && each.role.signs_statements())
    }

    /// Returns the keys that have a say in the next event: those that are active for it.
    pub fn deciders(&self) -> impl Iterator<Item = &OrgKeyEntry> {
        let keys = self.keys.iter();
        keys.filter(|each| each.is_active() && each.role.decides())
    }

    /// Returns the keys that sign the checkpoint as a note.
    pub fn checkpoint_keys(&self) -> impl Iterator<Item = &OrgKeyEntry> {
        let keys = self.keys.iter();
        keys.filter(|each| each.is_active() && each.role == Role::Checkpoint)
    }

    /// Returns the entry of a key.
    #[must_use]
    pub fn entry(&self, key_id: &[u8; 32]) -> Option<&OrgKeyEntry> {
        self.keys.iter().find(|each| each.key_id == *key_id)
    }

    /// Requires what holds for every keyset by itself.
    ///
    /// # Errors
    /// Any [`KeysetError`] but `Json` and `DoesNotFollow`.
    pub fn require_sound(&self) -> Result<(), KeysetError> {
        if self.kind != KIND {
            let found = self.kind.clone();
            return Err(KeysetError::UnknownType { found });
        }
        self.require_bounded()?;
        for (at, entry) in self.keys.iter().enumerate() {
            entry.key()?;
            if self.keys[..at]
                .iter()
                .any(|each| each.key_id == entry.key_id)
            {
                let key_id = hex::encode(entry.key_id);
                return Err(KeysetError::KeyTwice { key_id });
            }
        }
        for role in [Role::Classical, Role::PostQuantum] {
            if !self.signers().any(|each| each.role == role) {
                return Err(KeysetError::NoKey { role: role.name() });
            }
        }
        let active = self.deciders().count();
        match (1..=active).contains(&self.threshold) {
            true => Ok(()),
            false => Err(KeysetError::Threshold {
                threshold: self.threshold,
                active,
            }),
        }
    }

    fn require_bounded(&self) -> Result<(), KeysetError> {
        let remarks = self.compromised.iter().map(|each| &each.what);
        let names = self.sunsets.iter().map(|each| &each.algorithm);
        let mut texts = [&self.origin, &self.reason]
            .into_iter()
            .chain(remarks)
            .chain(names);
        let evidence = self.previous.as_ref().map_or(0, |each| each.evidence.len());
        for (what, is_long) in [
            ("list of keys", self.keys.len() > MAX_ENTRIES),
            ("list of authorities", self.authorities.len() > MAX_ENTRIES),
            ("list of compromises", self.compromised.len() > MAX_ENTRIES),
            ("list of sunsets", self.sunsets.len() > MAX_ENTRIES),
            ("evidence", evidence > MAX_ENTRIES),
            ("text", texts.any(|text| text.len() > MAX_TEXT)),
        ] {
            if is_long {
                return Err(KeysetError::TooLong { what });
            }
        }
        Ok(())
    }

    /// Requires that this keyset has none before it.
    ///
    /// # Errors
    /// `DoesNotFollow`.
    pub fn require_first(&self) -> Result<(), KeysetError> {
        let breach = match (self.version, &self.previous) {
            (1, None) => return Ok(()),
            (1, Some(_)) => Breach::Predecessor,
            _ => Breach::Version,
        };
        Err(KeysetError::DoesNotFollow {
            version: self.version,
            earlier: 0,
            what: breach,
        })
    }

    /// Requires that this keyset may follow `earlier`, whose file and evidence are `predecessor`: lists only grow, keys
    /// never come back, what fell stays fallen.
    ///
    /// # Errors
    /// `DoesNotFollow`.
    pub fn require_follows(
        &self,
        earlier: &Self,
        predecessor: &Predecessor,
    ) -> Result<(), KeysetError> {
        let breach = self.breach(earlier, predecessor);
        breach.map_or(Ok(()), |what| {
            Err(KeysetError::DoesNotFollow {
                version: self.version,
                earlier: earlier.version,
                what,
            })
        })
    }

    fn breach(&self, earlier: &Self, predecessor: &Predecessor) -> Option<Breach> {
        let key_breach = |old: &OrgKeyEntry| match self.entry(&old.key_id) {
            None => Some(Breach::KeyChanged),
            Some(new) if new.role != old.role || new.from != old.from => Some(Breach::KeyChanged),
            Some(new) if old.is_active() || (!new.is_active() && new.until <= old.until) => None,
            Some(_) => Some(Breach::KeyRevived),
        };
        let is_kept = |old: &Compromise| {
            let mut same = self.compromised.iter().filter(|new| new.key == old.key);
            same.any(|new| new.since <= old.since)
        };
        let is_sunset = |old: &Sunset| {
            let mut same = self
                .sunsets
                .iter()
                .filter(|new| new.algorithm == old.algorithm);
            same.any(|new| new.on <= old.on)
        };
        if self.origin != earlier.origin {
            return Some(Breach::Origin);
        }
        if Some(self.version) != earlier.version.checked_add(1) {
            return Some(Breach::Version);
        }
        if self.previous.as_ref() != Some(predecessor) {
            return Some(Breach::Predecessor);
        }
        if !earlier.compromised.iter().all(is_kept) || !earlier.sunsets.iter().all(is_sunset) {
            return Some(Breach::FallUndone);
        }
        if !earlier
            .authorities
            .iter()
            .all(|old| self.authorities.contains(old))
        {
            return Some(Breach::AuthorityGone);
        }
        earlier.keys.iter().find_map(key_breach)
    }
}

/// A list of 32 bytes each as hex.
mod hex_list {
    use serde::ser::SerializeSeq as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::hex32;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct One(#[serde(with = "hex32")] [u8; 32]);

    pub(super) fn serialize<S: Serializer>(
        list: &[[u8; 32]],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(list.len()))?;
        for each in list {
            sequence.serialize_element(&One(*each))?;
        }
        sequence.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<[u8; 32]>, D::Error> {
        let list = Vec::<One>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|each| each.0).collect())
    }
}

#[cfg(test)]
pub(crate) mod tests;
