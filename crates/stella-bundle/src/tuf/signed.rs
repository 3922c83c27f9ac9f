//! One role's metadata outside of a walk: whose signatures under it are good, and over which bytes.
//!
//! Whether it is the newest is not known here; that is what the walk is for.

use serde::Deserialize;

use super::metadata::Document;
use super::{Role, Root, TufError, require_current};
use crate::json;
use crate::key::{PublicKey, Scheme};
use crate::time::UnixTime;

/// Metadata that enough of its role's keys signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRole {
    /// Whose it is.
    pub role: Role,
    /// Its version.
    pub version: u64,
    /// When it ends.
    pub expires: UnixTime,
    /// How many signatures it needs.
    pub threshold: usize,
    /// The bytes that the signatures are over: the canonical form of `signed`.
    pub message: Vec<u8>,
    /// The good signatures, one of a key, in the order of the file.
    pub signatures: Vec<RoleSignature>,
}

/// A good signature under metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSignature {
    /// The key's id in the root.
    pub key_id: String,
    /// The key.
    pub key: PublicKey,
    /// How it signs.
    pub scheme: Scheme,
    /// The signature.
    pub signature: Vec<u8>,
}

impl Root {
    /// Verifies metadata of whichever top-level role it says it is, and that it has not ended.
    ///
    /// # Errors
    /// `RoleUnknown`, `NotEnoughSignatures`, `Expired`, and whatever is wrong with it.
    pub fn verify_role(&self, bytes: &[u8], now: UnixTime) -> Result<SignedRole, TufError> {
        let role = role_of(bytes)?;
        let document = Document::parse(role, bytes)?;
        self.require_signed(&document, role)?;
        let (version, expires) = document.version_and_end()?;
        require_current(role, version, expires, now)?;
        let signature =
            |(key, signature): (&super::key::Key, &super::metadata::Signature)| RoleSignature {
                key_id: signature.key_id.clone(),
                key: key.public().clone(),
                scheme: key.scheme(),
                signature: signature.bytes.clone(),
            };
        let good = self.good_signatures(&document, role)?;
        Ok(SignedRole {
            role,
            version,
            expires,
            threshold: self.words.role(role)?.threshold,
            signatures: good.into_iter().map(signature).collect(),
            message: document.signed_bytes,
        })
    }
}

/// Reads which role metadata is of; everything else of it is read by the rules of that role.
fn role_of(bytes: &[u8]) -> Result<Role, TufError> {
    #[derive(Deserialize)]
    struct Words {
        signed: Signed,
    }
    #[derive(Deserialize)]
    struct Signed {
        #[serde(rename = "_type")]
        kind: String,
    }
    // The largest of the limits; the role's own is kept by the parser of its document.
    let role = Role::Targets;
    if bytes.len() > role.limit() {
        let (length, limit) = (bytes.len(), role.limit());
        return Err(TufError::TooLarge {
            role,
            length,
            limit,
        });
    }
    let words: Words = json::require_unambiguous(bytes)
        .and_then(|()| serde_json::from_slice(bytes))
        .map_err(|error| TufError::NotMetadata {
            error: error.into(),
        })?;
    let found = words.signed.kind;
    let known = [Role::Root, Role::Snapshot, Role::Targets, Role::Timestamp];
    let role = known.into_iter().find(|role| role.name() == found);
    role.ok_or(TufError::RoleUnknown { found })
}
