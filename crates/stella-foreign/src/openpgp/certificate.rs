//! Transferable public keys (RFC 9580 §10.1): a primary key, its names and subkeys, and whether one of them may sign.
//!
//! Signatures by others are passed over, also those of designated revokers: only what the primary key says counts.

use stella_bundle::time::UnixTime;

use super::FORMAT;
use super::key::Key;
use super::packet::{Packet, kind};
use super::signature::Signature;
use crate::ForeignError;

/// More signatures by the primary key under one part are refused: each costs a verification, and keys that were renewed
/// every year for decades have some dozens.
const MAX_OWN_SIGNATURES: usize = 256;

const DIRECT: u8 = 0x1f;
const CERTIFICATIONS: std::ops::RangeInclusive<u8> = 0x10..=0x13;
const SUBKEY_BINDING: u8 = 0x18;
const PRIMARY_BINDING: u8 = 0x19;
const KEY_REVOCATION: u8 = 0x20;
const SUBKEY_REVOCATION: u8 = 0x28;

/// A part of a certificate with the signatures that stand after it.
struct Part<'a> {
    /// What is hashed of a name under a certification.
    hashed: Vec<u8>,
    /// The name, where it is a user id in UTF-8.
    name: Option<&'a str>,
    signatures: Vec<Signature<'a>>,
}

struct Subkey<'a> {
    key: Key<'a>,
    signatures: Vec<Signature<'a>>,
}

/// A primary key with what belongs to it.
pub(super) struct Certificate<'a> {
    pub(super) primary: Key<'a>,
    direct: Vec<Signature<'a>>,
    names: Vec<Part<'a>>,
    subkeys: Vec<Subkey<'a>>,
    last: Last,
}

/// Which key of a certificate.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Primary,
    /// Counted from 0.
    Subkey(usize),
}

/// A key that may sign, and the names that its primary key signed.
pub(super) struct SigningKey<'a> {
    pub(super) key: &'a Key<'a>,
    pub(super) user_ids: Vec<String>,
}

/// What the packet before was, to which signatures belong.
#[derive(Clone, Copy)]
enum Last {
    Primary,
    Name,
    Subkey,
    /// A subkey of an unknown version.
    Unknown,
}

/// Reads one certificate after the other. Those of unknown versions are passed over when there are others (RFC 9580
/// §10.3).
pub(super) fn read_all<'a>(packets: &[Packet<'a>]) -> Result<Vec<Certificate<'a>>, ForeignError> {
    let mut list: Vec<Certificate<'a>> = Vec::new();
    let mut first_error = None;
    // The certificate that parts belong to; none after one that is passed over.
    let mut current: Option<Certificate<'a>> = None;
    for packet in packets {
        match packet.kind {
            kind::MARKER | kind::PADDING | kind::TRUST => {}
            kind::SECRET_KEY => {
                return Err(ForeignError::unsupported(FORMAT, "a private key"));
            }
            kind::PUBLIC_KEY => {
                list.extend(current.take());
                match Key::parse(packet.body) {
                    Ok(primary) => current = Some(Certificate::of(primary)),
                    Err(error) => first_error = first_error.or(Some(error)),
                }
            }
            other => match &mut current {
                Some(certificate) => certificate.take(packet)?,
                None if first_error.is_some() => {}
                None => {
                    let found = format!("a packet of type {other}");
                    return Err(ForeignError::unexpected(FORMAT, "a public key", found));
                }
            },
        }
    }
    list.extend(current);
    match first_error {
        Some(error) if list.is_empty() => Err(error),
        None if list.is_empty() => Err(ForeignError::unexpected(FORMAT, "a public key", "none")),
        _ => Ok(list),
    }
}

impl<'a> Certificate<'a> {
    const fn of(primary: Key<'a>) -> Self {
        Self {
            primary,
            direct: Vec::new(),
            names: Vec::new(),
            subkeys: Vec::new(),
            last: Last::Primary,
        }
    }

    fn take(&mut self, packet: &Packet<'a>) -> Result<(), ForeignError> {
        match packet.kind {
            kind::USER_ID | kind::USER_ATTRIBUTE => {
                self.names.push(Part::of(packet));
                self.last = Last::Name;
            }
            kind::PUBLIC_SUBKEY => match Key::parse(packet.body) {
                Ok(key) => {
                    let signatures = Vec::new();
                    self.subkeys.push(Subkey { key, signatures });
                    self.last = Last::Subkey;
                }
                Err(_) => self.last = Last::Unknown,
            },
            kind::SIGNATURE => {
                // Others' signatures may be of any version and form; they are nothing here.
                if let Ok(signature) = Signature::parse(packet.body) {
                    self.take_signature(signature);
                }
            }
            other => {
                let found = format!("a packet of type {other}");
                let expected = "a part of a public key";
                return Err(ForeignError::unexpected(FORMAT, expected, found));
            }
        }
        Ok(())
    }

    /// Puts a signature to what it stands after.
    fn take_signature(&mut self, signature: Signature<'a>) {
        let signatures = match self.last {
            Last::Primary => Some(&mut self.direct),
            Last::Name => self.names.last_mut().map(|name| &mut name.signatures),
            Last::Subkey => self.subkeys.last_mut().map(|subkey| &mut subkey.signatures),
            Last::Unknown => None,
        };
        if let Some(signatures) = signatures {
            signatures.push(signature);
        }
    }

    /// Finds the key that a signature names.
    pub(super) fn place_of(&self, signature: &Signature<'_>) -> Option<Place> {
        if self.primary.is_named_by(signature) {
            return Some(Place::Primary);
        }
        let named = |subkey: &Subkey<'_>| subkey.key.is_named_by(signature);
        self.subkeys.iter().position(named).map(Place::Subkey)
    }

    /// Requires that a key may sign, both when it says it signed and now.
    ///
    /// # Errors
    /// `KeyRevoked`, `NoSelfSignature`, `KeyExpired`, `FromTheFuture`, `NotBound`, `KeyUse`, and `WeakHash` or
    /// `Unsupported` where a revocation cannot be checked.
    pub(super) fn signer(
        &'a self,
        place: Place,
        signed: UnixTime,
        now: UnixTime,
    ) -> Result<SigningKey<'a>, ForeignError> {
        let primary = &self.primary;
        // What cannot be verified here is said by its name, not as a signature that is missing.
        primary.public_key()?;
        // 1. The primary key is not revoked and says how long it lives.
        self.require_unrevoked(primary, &self.direct, KEY_REVOCATION, &[&primary.hashed()])?;
        let direct = self.newest(&self.direct, DIRECT..=DIRECT, &[&primary.hashed()], now)?;
        let (named, user_ids) = self.named(now)?;
        let own: Vec<&Signature<'_>> = direct.into_iter().chain(named).collect();
        if own.is_empty() {
            let key = primary.fingerprint_text();
            return Err(ForeignError::NoSelfSignature { key });
        }
        require_alive(primary, &own, signed, now)?;
        // 2. It signs itself, or says that a subkey does.
        let key = match place {
            Place::Primary => {
                require_use(
                    primary,
                    own.iter().all(|each| each.said.may_sign != Some(false)),
                )?;
                primary
            }
            Place::Subkey(index) => self.bound(index, signed, now)?,
        };
        Ok(SigningKey { key, user_ids })
    }

    /// Finds the newest certification of any name, and the names that have one.
    fn named(
        &'a self,
        now: UnixTime,
    ) -> Result<(Option<&'a Signature<'a>>, Vec<String>), ForeignError> {
        let (mut newest, mut user_ids) = (None, Vec::new());
        for part in &self.names {
            let hashed = [&self.primary.hashed()[..], &part.hashed];
            let found = self.newest(&part.signatures, CERTIFICATIONS, &hashed, now)?;
            if found.is_some() {
                user_ids.extend(part.name.map(str::to_owned));
            }
            newest = newer(newest, found);
        }
        Ok((newest, user_ids))
    }

    /// Requires that a subkey is bound by a signature of the primary key and one of its own (RFC 9580 §10.1.5).
    fn bound(
        &'a self,
        index: usize,
        signed: UnixTime,
        now: UnixTime,
    ) -> Result<&'a Key<'a>, ForeignError> {
        let subkey = self.subkeys.get(index).ok_or(ForeignError::BadSignature)?;
        let (key, signatures) = (&subkey.key, &subkey.signatures);
        let hashed = [self.primary.hashed(), key.hashed()];
        let hashed = [&hashed[0][..], &hashed[1][..]];
        self.require_unrevoked(key, signatures, SUBKEY_REVOCATION, &hashed)?;
        let not_bound = |missing| ForeignError::NotBound {
            key: key.fingerprint_text(),
            missing,
        };
        let binding = self.newest(signatures, SUBKEY_BINDING..=SUBKEY_BINDING, &hashed, now)?;
        let binding = binding.ok_or_else(|| not_bound("the primary key's signature"))?;
        require_use(key, binding.said.may_sign == Some(true))?;
        require_alive(key, &[binding], signed, now)?;
        let is_back_signature = |body: &&[u8]| {
            Signature::parse(body).is_ok_and(|back| {
                back.kind == PRIMARY_BINDING
                    && back.require_current("a back signature", now).is_ok()
                    && back.verify(key, &hashed).is_ok()
            })
        };
        if !binding.said.embedded.iter().any(is_back_signature) {
            return Err(not_bound("the subkey's own signature"));
        }
        Ok(key)
    }

    /// Requires that the primary key did not revoke `key`. One that it cannot be seen to have made or not made counts.
    fn require_unrevoked(
        &self,
        key: &Key<'_>,
        signatures: &[Signature<'_>],
        kind: u8,
        hashed: &[&[u8]],
    ) -> Result<(), ForeignError> {
        for revocation in self.own(signatures, kind..=kind)? {
            match revocation.verify(&self.primary, hashed) {
                Ok(()) => {
                    return Err(ForeignError::KeyRevoked {
                        key: key.fingerprint_text(),
                        reason: reason(revocation.said.reason),
                    });
                }
                Err(ForeignError::BadSignature) => {}
                Err(unchecked) => return Err(unchecked),
            }
        }
        Ok(())
    }

    /// Finds the newest good signature by the primary key that has not ended.
    fn newest<'s>(
        &self,
        signatures: &'s [Signature<'a>],
        kinds: std::ops::RangeInclusive<u8>,
        hashed: &[&[u8]],
        now: UnixTime,
    ) -> Result<Option<&'s Signature<'a>>, ForeignError> {
        let is_good = |each: &&Signature<'_>| {
            each.require_current("a self-signature", now).is_ok()
                && each.verify(&self.primary, hashed).is_ok()
        };
        let own = self.own(signatures, kinds)?;
        Ok(own
            .into_iter()
            .filter(is_good)
            .fold(None, |newest, each| newer(newest, Some(each))))
    }

    /// Returns the signatures of these types that name the primary key as their issuer.
    fn own<'s>(
        &self,
        signatures: &'s [Signature<'a>],
        kinds: std::ops::RangeInclusive<u8>,
    ) -> Result<Vec<&'s Signature<'a>>, ForeignError> {
        let is_own =
            |each: &&Signature<'_>| kinds.contains(&each.kind) && self.primary.is_named_by(each);
        let own: Vec<_> = signatures.iter().filter(is_own).collect();
        if own.len() > MAX_OWN_SIGNATURES {
            return Err(ForeignError::TooLarge {
                what: "a list of self-signatures",
                length: own.len(),
                limit: MAX_OWN_SIGNATURES,
            });
        }
        Ok(own)
    }
}

impl<'a> Part<'a> {
    fn of(packet: &Packet<'a>) -> Self {
        // spec: RFC 9580 §5.2.4: a mark and four octets of length stand before a name.
        let mark = if packet.kind == kind::USER_ID {
            0xb4
        } else {
            0xd1
        };
        let length = packet.body.len() as u32;
        let name = std::str::from_utf8(packet.body).ok();
        Self {
            hashed: [&[mark][..], &length.to_be_bytes(), packet.body].concat(),
            name: name.filter(|_| packet.kind == kind::USER_ID),
            signatures: Vec::new(),
        }
    }
}

/// Returns the newer of two signatures.
fn newer<'s, 'a>(
    one: Option<&'s Signature<'a>>,
    other: Option<&'s Signature<'a>>,
) -> Option<&'s Signature<'a>> {
    let created = |each: &&Signature<'_>| each.said.created;
    one.into_iter().chain(other).max_by_key(created)
}

/// Requires that a key existed when it signed and has not ended now. Where two signatures name an end, the earlier
/// counts.
fn require_alive(
    key: &Key<'_>,
    own: &[&Signature<'_>],
    signed: UnixTime,
    now: UnixTime,
) -> Result<(), ForeignError> {
    if key.created > signed {
        return Err(ForeignError::FromTheFuture {
            what: format!("key {}", key.fingerprint_text()),
            created: key.created,
            now: signed,
        });
    }
    let ends = own
        .iter()
        .filter_map(|each| key.end(each.said.key_expires_after));
    match ends.min() {
        Some(expired) if expired <= now || expired <= signed => Err(ForeignError::KeyExpired {
            key: key.fingerprint_text(),
            expired,
        }),
        _ => Ok(()),
    }
}

fn require_use(key: &Key<'_>, may_sign: bool) -> Result<(), ForeignError> {
    if may_sign {
        return Ok(());
    }
    Err(ForeignError::KeyUse {
        key: key.fingerprint_text(),
    })
}

/// Returns the words of RFC 9580 §5.2.3.31.
const fn reason(code: Option<u8>) -> &'static str {
    match code {
        Some(1) => "key is superseded",
        Some(2) => "key material has been compromised",
        Some(3) => "key is retired and no longer used",
        _ => "no reason specified",
    }
}
