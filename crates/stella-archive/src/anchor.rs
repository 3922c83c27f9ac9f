//! The anchor: what a verifier has beforehand, and all that it needs besides the archive.

use std::fmt::Write as _;

use stella_bundle::key::PublicKey;
use stella_bundle::pem;

use crate::fingerprint::hex32;
use crate::keyset::{Keyset, Role};

/// The first line.
const KIND: &str = "stella-org-anchor/v1";
/// Bytes of an anchor.
pub const MAX_ANCHOR: usize = 64 << 10;

/// Whom a verifier believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// One key alone: `org.pub`. It shows who signs the newest statement and nothing of what happened to keys.
    Key(PublicKey),
    /// An organisation by one of its keysets: `org.anchor`.
    Organisation(OrgAnchor),
}

/// An organisation by one of its keysets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgAnchor {
    /// The origin of its archive.
    pub origin: String,
    /// SHA-256 of the keyset's file.
    pub keyset: [u8; 32],
    /// A classical key of that keyset.
    pub classical: PublicKey,
    /// A post-quantum key of that keyset.
    pub post_quantum: PublicKey,
}

/// A text is no anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an org anchor ({KIND}, origin:, keyset: and two PUBLIC KEY blocks) or a public key in PEM"
)]
pub struct AnchorError;

impl Anchor {
    /// Reads an anchor or a public key.
    ///
    /// # Errors
    /// [`AnchorError`].
    pub fn parse(text: &str) -> Result<Self, AnchorError> {
        if text.len() > MAX_ANCHOR {
            return Err(AnchorError);
        }
        let text = text.trim_start();
        if text.starts_with(KIND) {
            return OrgAnchor::parse(text).map(Self::Organisation);
        }
        // Only a block by itself is a lone key: an anchor of a later version is not one.
        let is_lone = text.starts_with("-----BEGIN") && text.matches("-----BEGIN").count() == 1;
        let key = PublicKey::from_pem(text).ok().filter(|_| is_lone);
        key.map(Self::Key).ok_or(AnchorError)
    }
}

impl OrgAnchor {
    /// Returns the anchor of a keyset whose file has this SHA-256; none when it has no active key of both kinds.
    #[must_use]
    pub fn of(keyset: &Keyset, sha256: [u8; 32]) -> Option<Self> {
        let first = |role| keyset.signers().find(|each| each.role == role)?.key().ok();
        Some(Self {
            origin: keyset.origin.clone(),
            keyset: sha256,
            classical: first(Role::Classical)?,
            post_quantum: first(Role::PostQuantum)?,
        })
    }

    fn parse(text: &str) -> Result<Self, AnchorError> {
        let mut lines = text.trim_start().lines();
        let mut after = |prefix| lines.next().and_then(|line| line.strip_prefix(prefix));
        let kind = after(KIND);
        let (origin, keyset) = (after("origin: "), after("keyset: sha256:"));
        kind.filter(|rest| rest.trim_end().is_empty())
            .ok_or(AnchorError)?;
        let keyset = keyset.and_then(|digits| hex32::parse(digits.trim_end()));
        let blocks = pem::decode_all(text).map_err(|_| AnchorError)?;
        let [classical, post_quantum] = blocks.as_slice() else {
            return Err(AnchorError);
        };
        let key = |block: &pem::Block, role: Role| {
            let key = PublicKey::from_spki(&block.der).ok();
            let key = key.filter(|key| block.label == "PUBLIC KEY" && role.takes(key.kind()));
            key.ok_or(AnchorError)
        };
        Ok(Self {
            origin: origin.map(str::trim_end).ok_or(AnchorError)?.to_owned(),
            keyset: keyset.ok_or(AnchorError)?,
            classical: key(classical, Role::Classical)?,
            post_quantum: key(post_quantum, Role::PostQuantum)?,
        })
    }

    /// Writes the text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{KIND}\norigin: {}\n", self.origin);
        let _ = writeln!(text, "keyset: sha256:{}", hex::encode(self.keyset));
        text.push_str(&self.classical.to_pem());
        text.push_str(&self.post_quantum.to_pem());
        text
    }

    /// Says whether this is the anchor of a keyset whose file has this SHA-256.
    #[must_use]
    pub fn is_of(&self, keyset: &Keyset, sha256: &[u8; 32]) -> bool {
        let has = |key: &PublicKey, role| {
            let entry = keyset.entry(&key.key_id());
            entry.is_some_and(|entry| entry.role == role && entry.public_key == key.spki())
        };
        self.keyset == *sha256
            && self.origin == keyset.origin
            && has(&self.classical, Role::Classical)
            && has(&self.post_quantum, Role::PostQuantum)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::fingerprint::Fingerprint;
    use crate::keyset::tests::first;

    #[test]
    fn an_anchor_is_read_as_it_was_written() {
        let keyset = first();
        let digest = Fingerprint::of(&keyset.to_bytes()).sha256;
        let anchor = OrgAnchor::of(&keyset, digest).unwrap();
        assert!(anchor.is_of(&keyset, &digest));
        let text = anchor.to_text();
        let read = Anchor::parse(&text).unwrap();
        assert_eq!(read, Anchor::Organisation(anchor.clone()));
        assert_eq!(Anchor::parse(&text.replace('\n', "\r\n")).unwrap(), read);
        let lone = Anchor::parse(&anchor.classical.to_pem()).unwrap();
        assert_eq!(lone, Anchor::Key(anchor.classical.clone()));
        let mut other = keyset;
        other.origin.push('x');
        assert!(!anchor.is_of(&other, &digest));
    }

    #[test]
    fn what_is_cut_or_mixed_up_is_refused() {
        let keyset = first();
        let anchor = OrgAnchor::of(&keyset, [7; 32]).unwrap();
        let text = anchor.to_text();
        let (classical, post_quantum) = (anchor.classical.to_pem(), anchor.post_quantum.to_pem());
        for wrong in [
            text.replace("/v1", "/v2"),
            text.replace("origin: ", "name: "),
            text.replace("sha256:07", "sha256:"),
            text.replace(&classical, ""),
            text.replace(&post_quantum, &classical),
            format!("{text}{classical}"),
            String::new(),
        ] {
            assert_eq!(Anchor::parse(&wrong), Err(AnchorError), "{wrong}");
        }
    }
}
