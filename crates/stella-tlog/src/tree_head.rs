//! RFC 6962 tree heads as note signatures: what is to be signed, and its check.
//!
//! The form of checkpoints of certificate transparency logs (C2SP static-ct-api); other logs sign the text itself.

use crate::checkpoint::Checkpoint;
use crate::vkey::VerifierKey;

/// RFC 5246 §7.4.1.4.1: SHA-256 with ECDSA, the only pair used here.
const SHA256_ECDSA: [u8; 2] = [4, 3];

/// RFC 6962 §3.5: version 1, signature type `tree_hash`.
const TREE_HASH: [u8; 2] = [0, 1];

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds (RFC 6962 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

/// Returns the bytes that the log signs with ECDSA P-256 and SHA-256.
///
/// Extension lines are not covered; a checkpoint with some must not be signed so.
// spec: RFC 6962 §3.5, TreeHeadSignature.
#[must_use]
pub fn to_be_signed(time: UnixMillis, checkpoint: &Checkpoint) -> Vec<u8> {
    [
        TREE_HASH.as_slice(),
        &time.0.to_be_bytes(),
        &checkpoint.size.0.to_be_bytes(),
        checkpoint.root.as_bytes(),
    ]
    .concat()
}

/// Returns the note signature made of the time and the signature (DER, at most 65 535 bytes; here 72).
// spec: C2SP static-ct-api, RFC6962NoteSignature.
#[must_use]
pub fn note_signature(time: UnixMillis, signature: &[u8]) -> Vec<u8> {
    let length = u16::try_from(signature.len()).unwrap_or(u16::MAX);
    [
        time.0.to_be_bytes().as_slice(),
        &SHA256_ECDSA,
        &length.to_be_bytes(),
        signature,
    ]
    .concat()
}

/// Says whether the note signature is good for the text.
pub(crate) fn accepts(key: &VerifierKey, text: &str, note_signature: &[u8]) -> bool {
    let Some((time, signature)) = parse(note_signature) else {
        return false;
    };
    // spec: C2SP static-ct-api: "MUST NOT include any extension lines".
    let checkpoint = Checkpoint::parse(text).ok();
    let Some(checkpoint) = checkpoint.filter(|found| found.extensions.is_empty()) else {
        return false;
    };
    key.verifies(&to_be_signed(time, &checkpoint), signature)
}

fn parse(note_signature: &[u8]) -> Option<(UnixMillis, &[u8])> {
    let (time, rest) = note_signature.split_first_chunk::<8>()?;
    let rest = rest.strip_prefix(&SHA256_ECDSA)?;
    let (length, signature) = rest.split_first_chunk::<2>()?;
    let is_whole = usize::from(u16::from_be_bytes(*length)) == signature.len();
    is_whole.then_some((UnixMillis(u64::from_be_bytes(*time)), signature))
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic and make keys"
)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;
    use crate::hash::Hash;
    use crate::note::{KeyName, Note, NoteError, NoteSignature, SignatureType};
    use crate::tree::TreeSize;

    #[test]
    fn a_tree_head_verifies_and_an_extension_line_or_another_time_breaks_it() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki = pair.public_key().as_der().unwrap();
        let name = KeyName::new("ct.example.com").unwrap();
        let key = VerifierKey::new(name, SignatureType::TreeHead, spki.as_ref()).unwrap();
        assert_eq!(VerifierKey::parse(&key.to_string()).unwrap(), key);
        let checkpoint = Checkpoint {
            origin: "ct.example.com".to_owned(),
            size: TreeSize(3),
            root: Hash::EMPTY_ROOT,
            extensions: Vec::new(),
        };
        let time = UnixMillis(1_700_000_000_123);
        let signature = pair
            .sign(&SystemRandom::new(), &to_be_signed(time, &checkpoint))
            .unwrap();
        let signed = |text: String, blob| Note {
            text,
            signatures: vec![NoteSignature::new(&key, blob)],
        };
        let bad = Err(NoteError::BadSignature {
            name: key.name().clone(),
            key_id: key.key_id(),
        });

        let good = signed(
            checkpoint.to_string(),
            note_signature(time, signature.as_ref()),
        );
        assert_eq!(good.verify(&key), Ok(()));
        let late = note_signature(UnixMillis(time.0 + 1), signature.as_ref());
        assert_eq!(signed(checkpoint.to_string(), late).verify(&key), bad);
        let extended = format!("{checkpoint}more\n");
        let blob = note_signature(time, signature.as_ref());
        assert_eq!(signed(extended, blob).verify(&key), bad);
    }
}
