//! Signature subpackets (RFC 9580 §5.2.3): what a signature says besides being one.
//!
//! Only the hashed ones are signed. Of the others three count: two hints at the issuer, and the signature of a subkey,
//! which is verified by itself.

use super::FORMAT;
use crate::ForeignError;
use crate::cursor::Cursor;

/// More subpackets than this in one area are refused; tools write about a dozen.
const MAX_SUBPACKETS: usize = 256;

/// The flag "may sign data" (RFC 9580 §5.2.3.29).
const MAY_SIGN: u8 = 0x02;

/// The bit of a subpacket that must be understood (RFC 9580 §5.2.3.7).
const CRITICAL: u8 = 0x80;

/// Types of subpackets (RFC 9580 §5.2.3.7).
mod kind {
    pub(super) const CREATED: u8 = 2;
    pub(super) const EXPIRES: u8 = 3;
    pub(super) const KEY_EXPIRES: u8 = 9;
    pub(super) const ISSUER: u8 = 16;
    pub(super) const KEY_FLAGS: u8 = 27;
    pub(super) const REASON: u8 = 29;
    pub(super) const EMBEDDED: u8 = 32;
    pub(super) const FINGERPRINT: u8 = 33;
    /// What else may be marked as critical and changes nothing of what is asked here: trust and its bounds,
    /// preferences, features, who may revoke, intended recipients, the target.
    pub(super) const HARMLESS: [u8; 16] =
        [4, 5, 6, 7, 11, 12, 21, 22, 23, 24, 25, 26, 28, 30, 31, 34];
}

/// What the subpackets of a signature say.
#[derive(Clone, Default)]
pub(super) struct Subpackets<'a> {
    /// Seconds since 1970.
    pub(super) created: Option<u32>,
    /// Seconds after creation; 0 is never.
    pub(super) expires_after: u32,
    /// Seconds after the key's creation; 0 is never.
    pub(super) key_expires_after: u32,
    /// Whether the key may sign data, where the signature says what the key is for.
    pub(super) may_sign: Option<bool>,
    /// Why a key is revoked (RFC 9580 §5.2.3.31).
    pub(super) reason: Option<u8>,
    /// Bodies of signatures inside.
    pub(super) embedded: Vec<&'a [u8]>,
    /// Key ids of the issuer.
    pub(super) issuers: Vec<[u8; 8]>,
    /// Fingerprints of the issuer, 20 or 32 bytes.
    pub(super) fingerprints: Vec<&'a [u8]>,
    /// The first critical subpacket that is not understood; a signature with one is no good.
    pub(super) unknown_critical: Option<u8>,
}

impl<'a> Subpackets<'a> {
    /// Reads both areas.
    pub(super) fn parse(hashed: &'a [u8], unhashed: &'a [u8]) -> Result<Self, ForeignError> {
        let mut found = Self::default();
        for (kind, body) in split(hashed)? {
            found.take_hashed(kind, body)?;
        }
        for (kind, body) in split(unhashed)? {
            found.take_unhashed(kind & !CRITICAL, body)?;
        }
        Ok(found)
    }

    fn take_hashed(&mut self, marked: u8, body: &'a [u8]) -> Result<(), ForeignError> {
        let (kind, critical) = (marked & !CRITICAL, marked & CRITICAL != 0);
        let mut cursor = Cursor::new(FORMAT, body);
        match kind {
            kind::CREATED => self.created = Some(cursor.u32("a time")?),
            kind::EXPIRES => self.expires_after = cursor.u32("a duration")?,
            kind::KEY_EXPIRES => self.key_expires_after = cursor.u32("a duration")?,
            kind::KEY_FLAGS => {
                let flags = body.first().copied().unwrap_or(0);
                self.may_sign = Some(flags & MAY_SIGN != 0);
                cursor.take_rest();
            }
            kind::REASON => {
                self.reason = Some(cursor.u8("a reason")?);
                cursor.take_rest();
            }
            kind::ISSUER | kind::EMBEDDED | kind::FINGERPRINT => {
                return self.take_unhashed(kind, body);
            }
            _ => {
                // A notation (20) is none of these: what it means is between two people.
                if critical && !kind::HARMLESS.contains(&kind) {
                    self.unknown_critical = self.unknown_critical.or(Some(kind));
                }
                cursor.take_rest();
            }
        }
        cursor.finish()
    }

    fn take_unhashed(&mut self, kind: u8, body: &'a [u8]) -> Result<(), ForeignError> {
        let mut cursor = Cursor::new(FORMAT, body);
        match kind {
            kind::ISSUER => self.issuers.push(cursor.array("a key id")?),
            kind::EMBEDDED => self.embedded.push(cursor.take_rest()),
            kind::FINGERPRINT => {
                cursor.u8("a key version")?;
                self.fingerprints.push(cursor.take_rest());
            }
            _ => {
                cursor.take_rest();
            }
        }
        cursor.finish()
    }
}

/// Splits an area into types, still with their critical bit, and bodies.
fn split(area: &[u8]) -> Result<Vec<(u8, &[u8])>, ForeignError> {
    let (mut cursor, mut list) = (Cursor::new(FORMAT, area), Vec::new());
    while !cursor.is_empty() {
        if list.len() == MAX_SUBPACKETS {
            return Err(ForeignError::TooLarge {
                what: "a list of subpackets",
                length: MAX_SUBPACKETS + 1,
                limit: MAX_SUBPACKETS,
            });
        }
        let length = match cursor.u8("a length")? {
            0xff => cursor.u32("a length")?,
            // spec: RFC 9580 §5.2.3.7: up to 254 begins a length of two octets; subpackets have no parts.
            first @ 0xc0.. => {
                let second = cursor.u8("a length")?;
                (u32::from(first - 0xc0) << 8) + u32::from(second) + 192
            }
            first => u32::from(first),
        };
        let body = cursor.take(usize::try_from(length).unwrap_or(usize::MAX), "a subpacket")?;
        match body {
            [kind, body @ ..] => list.push((*kind, body)),
            [] => {
                let expected = "the type of a subpacket";
                return Err(ForeignError::unexpected(FORMAT, expected, "the end"));
            }
        }
    }
    Ok(list)
}
