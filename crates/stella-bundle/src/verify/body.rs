//! Step 3, first half: is this log entry about this bundle? Rekor v2's bodies are rebuilt, Rekor v1's compared by field.
//!
//! Without this a good entry of another signature would lend its time and its inclusion to a stolen one.

use std::borrow::Cow;

use serde::Deserialize;

use super::error::{BodyPart, EntryError};
use super::signature;
use super::{Case, Signer};
use crate::bundle::Content;
use crate::digest::{Digest, DigestAlgorithm};
use crate::entry::recorded::{self, Body, Dsse, HashWords, IntotoV1, IntotoV2, Rekord};
use crate::entry::{self, EntryVerifier, HashedRekord, KindVersion, LogEntry};
use crate::envelope::Envelope;
use crate::json;
use crate::key::{KeyDetails, PublicKey};
use crate::pem;

/// Returns the leaf's bytes once they are seen to be about this bundle.
pub(super) fn of<'a>(case: &Case<'a>, entry: &'a LogEntry) -> Result<Cow<'a, [u8]>, EntryError> {
    let kind = &entry.kind_version;
    match (kind.kind.as_str(), kind.version.as_str()) {
        ("dsse", "0.0.1") => read(entry).and_then(|words| compare_dsse(case, &words)),
        ("dsse", "0.0.2") => return rebuilt(entry, dsse_v2(case)?),
        ("hashedrekord", "0.0.1") => read(entry).and_then(|words| compare_rekord(case, &words)),
        ("hashedrekord", "0.0.2") => return rebuilt(entry, hashed_rekord_v2(case)?),
        ("intoto", "0.0.1") => read(entry).and_then(|words| compare_intoto_v1(case, &words)),
        ("intoto", "0.0.2") => read(entry).and_then(|words| compare_intoto_v2(case, &words)),
        ("rekord", "0.0.1") => read(entry).and_then(|words| compare_rekord(case, &words)),
        _ => Err(EntryError::UnsupportedKind(kind.clone())),
    }?;
    Ok(Cow::Borrowed(&entry.canonicalized_body))
}

/// Takes the rebuilt body; what the bundle carries may be left out, but never be another one.
fn rebuilt(entry: &LogEntry, body: Vec<u8>) -> Result<Cow<'_, [u8]>, EntryError> {
    if entry.canonicalized_body.is_empty() || entry.canonicalized_body == body {
        return Ok(Cow::Owned(body));
    }
    Err(differs(BodyPart::Whole))
}

/// Makes the body that this bundle's signature has in a Rekor v2 log.
fn hashed_rekord_v2(case: &Case<'_>) -> Result<Vec<u8>, EntryError> {
    let (verifier, details) = logged_key(case)?;
    let scheme = signature::scheme(case.bundle, case.signer);
    let digest = case.message.digest(scheme).ok_or(EntryError::NoMessage)?;
    Ok(HashedRekord {
        digest,
        signature: case.bundle.content.signature().to_vec(),
        verifier,
        details,
    }
    .to_body())
}

/// Makes the body that this envelope had in a Rekor v2 log before `dsse` was given up there.
fn dsse_v2(case: &Case<'_>) -> Result<Vec<u8>, EntryError> {
    let envelope = envelope(case)?;
    let (verifier, details) = logged_key(case)?;
    let signature = case.bundle.content.signature();
    Ok(recorded::dsse_v2_body(
        &envelope.payload,
        signature,
        &verifier,
        details,
    ))
}

fn logged_key(case: &Case<'_>) -> Result<(EntryVerifier, KeyDetails), EntryError> {
    let scheme = signature::scheme(case.bundle, case.signer);
    let details = entry::logged_details(case.signer.key())
        .filter(|details| details.scheme() == scheme)
        .ok_or(EntryError::KeyNotLogged)?;
    let verifier = match case.signer {
        Signer::Certificate { leaf, .. }
        | Signer::Key {
            certificate: Some(leaf),
            ..
        } => EntryVerifier::Certificate(leaf.der().to_vec()),
        Signer::Key { key, .. } => EntryVerifier::PublicKey(key.key.spki().to_vec()),
    };
    Ok((verifier, details))
}

/// Reads a recorded body of the kind that the entry names.
fn read<'a, S: Deserialize<'a>>(entry: &'a LogEntry) -> Result<S, EntryError> {
    let body = Body::<S>::parse(&entry.canonicalized_body)?;
    let KindVersion { kind, version } = &entry.kind_version;
    if body.kind != kind.as_str() || body.api_version != version.as_str() {
        return Err(differs(BodyPart::Kind));
    }
    Ok(body.spec)
}

fn compare_rekord(case: &Case<'_>, words: &Rekord) -> Result<(), EntryError> {
    require_digest(case, &words.data.hash)?;
    // A `rekord` of PGP, minisign or SSH is no signature of a bundle.
    if !matches!(words.signature.format.as_deref(), None | Some("x509")) {
        return Err(differs(BodyPart::Signature));
    }
    require_signature(case, &words.signature.content)?;
    require_key(case, &words.signature.public_key.content)
}

/// Rekor also hashes the envelope as the client sent it; those bytes are in no bundle. Payload, signature and key are.
fn compare_dsse(case: &Case<'_>, words: &Dsse) -> Result<(), EntryError> {
    require_payload(envelope(case)?, &words.payload_hash)?;
    let [only] = words.signatures.as_slice() else {
        return Err(differs(BodyPart::Signature));
    };
    require_signature(case, &only.signature)?;
    require_key(case, &only.verifier)
}

/// This kind records payload and key, no signature; the envelope's hash counts where the payload's is not there.
fn compare_intoto_v1(case: &Case<'_>, words: &IntotoV1) -> Result<(), EntryError> {
    let envelope = envelope(case)?;
    match &words.content.payload_hash {
        Some(hash) => require_payload(envelope, hash)?,
        None => {
            let sent = DigestAlgorithm::Sha256.digest(&as_go_writes(envelope));
            if words.content.hash.to_digest() != Some(sent) {
                return Err(differs(BodyPart::Payload));
            }
        }
    }
    require_key(case, &words.public_key)
}

fn compare_intoto_v2(case: &Case<'_>, words: &IntotoV2) -> Result<(), EntryError> {
    let envelope = envelope(case)?;
    require_payload(envelope, &words.content.payload_hash)?;
    if words.content.envelope.payload_type != envelope.payload_type {
        return Err(differs(BodyPart::PayloadType));
    }
    let [only] = words.content.envelope.signatures.as_slice() else {
        return Err(differs(BodyPart::Signature));
    };
    // The envelope's own base64 is encoded once more here.
    let signature = std::str::from_utf8(&only.sig)
        .ok()
        .and_then(json::decode_base64);
    require_signature(case, signature.as_deref().unwrap_or(&only.sig))?;
    require_key(case, &only.public_key)
}

/// Returns the envelope; entries that record one are about no other content.
fn envelope<'a>(case: &Case<'a>) -> Result<&'a Envelope, EntryError> {
    match &case.bundle.content {
        Content::Envelope(envelope) => Ok(envelope),
        Content::Message { .. } | Content::SimpleSigning { .. } => Err(differs(BodyPart::Payload)),
    }
}

fn require_payload(envelope: &Envelope, recorded: &HashWords) -> Result<(), EntryError> {
    match recorded.to_digest() {
        Some(digest) if digest.algorithm().digest(&envelope.payload) == digest => Ok(()),
        _ => Err(differs(BodyPart::Payload)),
    }
}

fn require_digest(case: &Case<'_>, recorded: &HashWords) -> Result<(), EntryError> {
    let recorded: Digest = recorded
        .to_digest()
        .ok_or_else(|| differs(BodyPart::Digest))?;
    let found = case
        .message
        .digest_by(recorded.algorithm())
        .or_else(|| case.artifact.digest(recorded.algorithm()))
        .ok_or(EntryError::NoMessage)?;
    if found == recorded {
        return Ok(());
    }
    Err(differs(BodyPart::Digest))
}

fn require_signature(case: &Case<'_>, recorded: &[u8]) -> Result<(), EntryError> {
    if recorded == case.bundle.content.signature() {
        return Ok(());
    }
    Err(differs(BodyPart::Signature))
}

/// Requires the recorded PEM to be the signer's certificate, or the managed key.
fn require_key(case: &Case<'_>, recorded: &[u8]) -> Result<(), EntryError> {
    let block = std::str::from_utf8(recorded)
        .ok()
        .and_then(|text| pem::decode_all(text).ok())
        .map(|mut blocks| blocks.swap_remove(0));
    let is_same = match (case.signer, block) {
        (
            Signer::Certificate { leaf, .. }
            | Signer::Key {
                certificate: Some(leaf),
                ..
            },
            Some(block),
        ) => block.label == "CERTIFICATE" && block.der == leaf.der(),
        (Signer::Key { key, .. }, Some(block)) => match block.label.as_str() {
            "PUBLIC KEY" => block.der == key.key.spki(),
            "RSA PUBLIC KEY" => PublicKey::from_pkcs1(&block.der).is_ok_and(|rsa| rsa == key.key),
            _ => false,
        },
        (_, None) => false,
    };
    if is_same {
        return Ok(());
    }
    Err(differs(BodyPart::Key))
}

/// Returns the envelope as Go's encoder writes it: the text that early clients sent.
fn as_go_writes(envelope: &Envelope) -> Vec<u8> {
    let signature = envelope.signatures.first();
    let (keyid, sig) = signature.map_or(("", &[][..]), |first| (&first.keyid, &first.sig));
    format!(
        r#"{{"payloadType":"{}","payload":"{}","signatures":[{{"keyid":"{keyid}","sig":"{}"}}]}}"#,
        envelope.payload_type,
        json::encode_base64(&envelope.payload),
        json::encode_base64(sig),
    )
    .into_bytes()
}

const fn differs(part: BodyPart) -> EntryError {
    EntryError::BodyMismatch { part }
}

/// Says whether an entry is one of those whose Ed25519 signatures are made over SHA-512.
pub(super) fn is_prehashed(entry: &LogEntry) -> bool {
    let kind = &entry.kind_version;
    // Rekor v1 takes Ed25519 into a hashedrekord as Ed25519ph only, and records SHA-512.
    (kind.kind == "hashedrekord" && kind.version == "0.0.2")
        || recorded_hash(entry) == Some(DigestAlgorithm::Sha512)
}

/// Says whether Rekor v1 verified the entry's signature over a SHA-256 digest.
pub(super) fn is_hashed_by_sha256(entry: &LogEntry) -> bool {
    recorded_hash(entry) == Some(DigestAlgorithm::Sha256)
}

/// Returns the hash by which a hashedrekord of Rekor v1 names what was signed.
fn recorded_hash(entry: &LogEntry) -> Option<DigestAlgorithm> {
    let kind = &entry.kind_version;
    if kind.kind != "hashedrekord" || kind.version != "0.0.1" {
        return None;
    }
    let body = Body::<Rekord>::parse(&entry.canonicalized_body).ok()?;
    Some(body.spec.data.hash.to_digest()?.algorithm())
}
