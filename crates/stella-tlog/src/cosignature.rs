//! Cosignatures: what a witness signs, the time in it, and its check.
//!
//! Whether to cosign at all is decided in `witness`; how many are enough, in `quorum`.

use crate::checkpoint::Checkpoint;
use crate::note::NoteError;
use crate::vkey::{KeyName, SignatureType, VerifierKey};

/// Domain separation of ML-DSA-44 cosignatures.
const SUBTREE_LABEL: &[u8; 12] = b"subtree/v1\n\0";

/// The greatest time, so that it fits signed integers too.
// spec: C2SP tlog-cosignature, "Format".
const MAX_TIME: u64 = i64::MAX as u64;

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds (POSIX.1-2024 §4.19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub u64);

/// Why nothing can be cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CosignatureError {
    /// The text is not a checkpoint.
    #[error("cannot cosign: {0}")]
    Checkpoint(#[from] crate::checkpoint::CheckpointError),
    /// A name longer than 255 bytes has no place in the signed message.
    #[error("a name of {found} bytes is longer than 255")]
    NameTooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// The key is no cosigner's.
    #[error("the key's signature type is not a cosignature")]
    NotACosigner,
}

/// Returns the bytes that the cosigner signs for a checkpoint's text at a time.
///
/// # Errors
///
/// [`CosignatureError`].
// spec: C2SP tlog-cosignature, "Ed25519 signed message", "ML-DSA-44 signed message".
pub fn to_be_signed(
    key: &VerifierKey,
    time: UnixSeconds,
    text: &str,
) -> Result<Vec<u8>, CosignatureError> {
    let checkpoint = Checkpoint::parse(text)?;
    match key.signature_type() {
        SignatureType::CosignatureEd25519 => {
            Ok(format!("cosignature/v1\ntime {}\n{text}", time.0).into_bytes())
        }
        SignatureType::CosignatureMlDsa44 => subtree_message(key.name(), time, &checkpoint),
        _ => Err(CosignatureError::NotACosigner),
    }
}

fn subtree_message(
    cosigner: &KeyName,
    time: UnixSeconds,
    checkpoint: &Checkpoint,
) -> Result<Vec<u8>, CosignatureError> {
    let too_long = |found| CosignatureError::NameTooLong { found };
    let length = |name: &str| u8::try_from(name.len()).map_err(|_| too_long(name.len()));
    let (cosigner, origin) = (cosigner.as_str(), checkpoint.origin.as_str());
    let start_of_tree = 0_u64;
    Ok([
        SUBTREE_LABEL.as_slice(),
        &[length(cosigner)?],
        cosigner.as_bytes(),
        &time.0.to_be_bytes(),
        &[length(origin)?],
        origin.as_bytes(),
        &start_of_tree.to_be_bytes(),
        &checkpoint.size.0.to_be_bytes(),
        checkpoint.root.as_bytes(),
    ]
    .concat())
}

/// Returns the note signature made of the time and the signature.
// spec: C2SP tlog-cosignature, timestamped_signature.
#[must_use]
pub fn note_signature(time: UnixSeconds, signature: &[u8]) -> Vec<u8> {
    [time.0.to_be_bytes().as_slice(), signature].concat()
}

/// Returns the time inside a note signature of a cosigner; says nothing of its being good.
#[must_use]
pub fn time(note_signature: &[u8]) -> Option<UnixSeconds> {
    Some(parse(note_signature)?.0)
}

/// Verifies that the cosigner signed the note, and returns the latest time at which it did.
///
/// # Errors
///
/// As [`crate::note::Note::verify`].
pub fn verify(note: &crate::note::Note, key: &VerifierKey) -> Result<UnixSeconds, NoteError> {
    note.verify(key)?;
    let latest = note.signatures_of(key).filter_map(time).max();
    latest.ok_or_else(|| NoteError::NotSigned {
        name: key.name().clone(),
        key_id: key.key_id(),
    })
}

/// Says whether the note signature is good for the text.
pub(crate) fn accepts(key: &VerifierKey, text: &str, note_signature: &[u8]) -> bool {
    let Some((time, signature)) = parse(note_signature) else {
        return false;
    };
    to_be_signed(key, time, text).is_ok_and(|message| key.verifies(&message, signature))
}

fn parse(note_signature: &[u8]) -> Option<(UnixSeconds, &[u8])> {
    let (time, signature) = note_signature.split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    (time <= MAX_TIME).then_some((UnixSeconds(time), signature))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, ML_DSA_44_SIGNING, PqdsaKeyPair};

    use super::*;
    use crate::note::{Note, NoteSignature};

    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn cosigned(key: &VerifierKey, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Note {
        let time = UnixSeconds(1_679_315_147);
        let message = to_be_signed(key, time, TEXT).unwrap();
        let blob = note_signature(time, &sign(&message));
        Note {
            text: TEXT.to_owned(),
            signatures: vec![NoteSignature::new(key, blob)],
        }
    }

    fn check(key: &VerifierKey, mut note: Note) {
        assert_eq!(verify(&note, key), Ok(UnixSeconds(1_679_315_147)));
        assert_eq!(VerifierKey::parse(&key.to_string()).unwrap(), *key);
        // The time is signed as well.
        note.signatures[0].signature[7] ^= 1;
        let bad = NoteError::BadSignature {
            name: key.name().clone(),
            key_id: key.key_id(),
        };
        assert_eq!(verify(&note, key), Err(bad));
    }

    #[test]
    fn an_ed25519_cosignature_verifies_and_not_at_another_time() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let name = KeyName::new("witness.example.com/w1").unwrap();
        let public = pair.public_key().as_ref();
        let key = VerifierKey::new(name, SignatureType::CosignatureEd25519, public).unwrap();
        let message = to_be_signed(&key, UnixSeconds(7), TEXT).unwrap();
        assert!(message.starts_with(b"cosignature/v1\ntime 7\nexample.com/"));
        check(
            &key,
            cosigned(&key, |message| pair.sign(message).as_ref().to_vec()),
        );
    }

    #[test]
    fn an_ml_dsa_44_cosignature_verifies_and_not_at_another_time() {
        let pair = PqdsaKeyPair::generate(&ML_DSA_44_SIGNING).unwrap();
        let name = KeyName::new("witness.example.com/w1").unwrap();
        let public = pair.public_key().as_ref();
        let key = VerifierKey::new(name, SignatureType::CosignatureMlDsa44, public).unwrap();
        let message = to_be_signed(&key, UnixSeconds(7), TEXT).unwrap();
        assert_eq!(message.len(), 12 + 1 + 22 + 8 + 1 + 27 + 8 + 8 + 32);
        let sign = |message: &[u8]| {
            let mut signature = vec![0; ML_DSA_44_SIGNING.signature_len()];
            let length = pair.sign(message, &mut signature).unwrap();
            signature.truncate(length);
            signature
        };
        check(&key, cosigned(&key, sign));
    }

    #[test]
    fn what_cannot_be_cosigned_says_why() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let name = KeyName::new("log").unwrap();
        let public = pair.public_key().as_ref();
        let key = VerifierKey::new(name, SignatureType::Ed25519, public).unwrap();
        let refused = to_be_signed(&key, UnixSeconds(0), TEXT);
        assert_eq!(refused, Err(CosignatureError::NotACosigner));
        let refused = to_be_signed(&key, UnixSeconds(0), "no checkpoint\n");
        assert!(matches!(refused, Err(CosignatureError::Checkpoint(_))));
        assert_eq!(time(&[0; 7]), None);
        assert_eq!(time(&[0xff; 72]), None);
    }
}
