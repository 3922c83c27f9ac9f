//! OpenPGP signatures beside a file (RFC 9580, RFC 4880): versions 4 and 6, RSA, ECDSA and Ed25519 over SHA-2.
//!
//! Webs of trust are not looked at: a key counts because the caller gave it. Text signatures, clear-signed messages and
//! messages that hold their content are refused by name.

mod armor;
mod certificate;
mod key;
mod packet;
mod signature;
mod subpackets;
#[cfg(test)]
mod tests;

use stella_bundle::time::UnixTime;

use crate::artifact::Artifact;
use crate::verified::{Found, Signed, Signer};
use crate::{ForeignError, Format};

use certificate::{Certificate, Place};
use packet::{Packet, kind};
use signature::{BINARY, Signature, TEXT};

const FORMAT: Format = Format::Pgp;

/// More signatures in a file are refused: a release file of a large distribution has three.
const MAX_SIGNATURES: usize = 32;

/// Verifies the first signature in the file that is by one of the given keys.
pub(crate) fn verify(
    signature: &[u8],
    key: &[u8],
    artifact: &mut Artifact<'_>,
    now: UnixTime,
) -> Result<Found, ForeignError> {
    // 1. Read both files.
    let signature = armor::to_binary(signature, armor::SIGNATURE)?;
    let signatures = read_signatures(&packet::read_all(&signature)?)?;
    let keys = armor::to_binary(key, armor::PUBLIC_KEY)?;
    let packets = packet::read_all(&keys)?;
    let certificates = certificate::read_all(&packets)?;
    // 2. Find the signature of a given key.
    let (signature, certificate, place) = find(&signatures, &certificates)?;
    require_binary(signature)?;
    let created = signature.created()?;
    // 3. The key may sign, then and now.
    let signer = certificate.signer(place, created, now)?;
    // 4. The signature has not ended.
    signature.require_current("the signature", now)?;
    // 5. It is over the artifact.
    let hash = signature.hash()?;
    let (before, after) = (signature.salt.to_vec(), signature.trailer());
    let digest = artifact.framed_digest(hash, &before, &after)?;
    let primitive = signature.primitive(signer.key, digest)?;
    let signed = if primitive.scheme.hash().is_some() {
        Signed::Framed { before, after }
    } else {
        Signed::FramedDigest {
            hash,
            before,
            after,
        }
    };
    Ok(Found {
        signer: Signer::OpenPgp {
            fingerprint: signer.key.fingerprint_text(),
            primary: certificate.primary.fingerprint_text(),
            user_ids: signer.user_ids,
        },
        signed,
        created: Some(created),
        proven: primitive.verify()?,
    })
}

/// Reads a file of signatures. Those of unknown versions are passed over when there are others (RFC 9580 §10.3).
fn read_signatures<'a>(packets: &[Packet<'a>]) -> Result<Vec<Signature<'a>>, ForeignError> {
    let (mut signatures, mut first_error) = (Vec::new(), None);
    for packet in packets {
        match packet.kind {
            kind::SIGNATURE => match Signature::parse(packet.body) {
                Ok(signature) => signatures.push(signature),
                Err(error) => first_error = first_error.or(Some(error)),
            },
            kind::MARKER | kind::PADDING => {}
            kind::COMPRESSED | kind::LITERAL | kind::ONE_PASS => {
                let feature = "a message that holds its content";
                return Err(ForeignError::unsupported(FORMAT, feature));
            }
            other => {
                let found = format!("a packet of type {other}");
                return Err(ForeignError::unexpected(FORMAT, "a signature", found));
            }
        }
    }
    if signatures.len() > MAX_SIGNATURES {
        return Err(ForeignError::TooLarge {
            what: "a list of signatures",
            length: signatures.len(),
            limit: MAX_SIGNATURES,
        });
    }
    match first_error {
        Some(error) if signatures.is_empty() => Err(error),
        _ if signatures.is_empty() => Err(ForeignError::unexpected(FORMAT, "a signature", "none")),
        _ => Ok(signatures),
    }
}

/// Finds the first signature that names a given key.
fn find<'a, 'k>(
    signatures: &'a [Signature<'a>],
    certificates: &'k [Certificate<'k>],
) -> Result<(&'a Signature<'a>, &'k Certificate<'k>, Place), ForeignError> {
    for signature in signatures {
        for certificate in certificates {
            if let Some(place) = certificate.place_of(signature) {
                return Ok((signature, certificate, place));
            }
        }
    }
    let named: Vec<String> = signatures.iter().map(Signature::issuer_text).collect();
    let primary = |each: &Certificate<'_>| each.primary.fingerprint_text();
    let given: Vec<String> = certificates
        .iter()
        .take(MAX_SIGNATURES)
        .map(primary)
        .collect();
    Err(ForeignError::WrongKey {
        expected: given.join(" or "),
        found: named.join(" and "),
    })
}

fn require_binary(signature: &Signature<'_>) -> Result<(), ForeignError> {
    match signature.kind {
        BINARY => Ok(()),
        TEXT => Err(ForeignError::unsupported(
            FORMAT,
            "a text signature (type 0x01)",
        )),
        other => {
            let found = format!("one of type {other:#04x}");
            Err(ForeignError::unexpected(
                FORMAT,
                "a signature over a file",
                found,
            ))
        }
    }
}
