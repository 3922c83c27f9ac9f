//! What every format goes through: the good signature is accepted, and nothing else passes for it.

use std::collections::BTreeSet;

use stella_bundle::key::PublicKey;
use stella_bundle::time::UnixTime;
use stella_foreign::{Asked, ForeignError, Format, Loggable, Native, Reason, Verified, detect};

use crate::tool::ARTIFACT;

/// 2026-01-01, when every tool that can be told the time signs.
pub(crate) const NOW: UnixTime = UnixTime::from_seconds(1_767_225_600);

/// A good signature.
#[derive(Clone)]
pub(crate) struct Trial {
    pub(crate) format: Format,
    pub(crate) signature: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) now: UnixTime,
}

impl Trial {
    pub(crate) fn new(format: Format, signature: &[u8], key: &[u8]) -> Self {
        Self {
            format,
            signature: signature.to_vec(),
            key: key.to_vec(),
            now: NOW,
        }
    }

    pub(crate) fn verify(&self) -> Result<Verified, ForeignError> {
        self.verify_over(&self.signature, &self.key, ARTIFACT)
    }

    fn verify_over(
        &self,
        signature: &[u8],
        key: &[u8],
        mut artifact: &[u8],
    ) -> Result<Verified, ForeignError> {
        let asked = Asked::at(self.now);
        stella_foreign::verify(self.format, signature, key, &mut artifact, &asked)
    }

    /// Goes through everything with a wrong key; returns the positions of the signature file's bytes that may change
    /// without changing anything that is reported.
    pub(crate) fn stand(&self, wrong_key: &[u8]) -> BTreeSet<usize> {
        let good = self.verify().unwrap();
        assert_eq!(detect(&self.signature, &self.key), Some(self.format));
        self.require_native_is_verifiable(&good);
        assert!(
            self.verify_over(&self.signature, wrong_key, ARTIFACT)
                .is_err()
        );
        self.refuse_other_artifacts();
        self.refuse_pieces(&good);
        self.flip_every_bit(&good)
    }

    /// A log verifies a native signature from its parts alone, and they lead back to the artifact.
    fn require_native_is_verifiable(&self, good: &Verified) {
        let Loggable::Native(native) = good.loggable() else {
            return;
        };
        let key = PublicKey::from_spki(&native.spki).unwrap();
        let scheme = native.key_details.scheme();
        key.require_kind_of(native.key_details).unwrap();
        key.verify_digest(scheme, &native.digest, &native.signature)
            .unwrap();
        let message = good.signed().message(ARTIFACT);
        assert_eq!(native.digest.algorithm().digest(&message), native.digest);
    }

    fn refuse_other_artifacts(&self) {
        let mut others: Vec<Vec<u8>> = (0..ARTIFACT.len())
            .map(|at| {
                let mut changed = ARTIFACT.to_vec();
                changed[at] ^= 1;
                changed
            })
            .collect();
        others.push(Vec::new());
        others.push(ARTIFACT[1..].to_vec());
        others.push([ARTIFACT, b"\n"].concat());
        // The same text with the line endings of another system.
        others.push(
            ARTIFACT
                .iter()
                .copied()
                .filter(|byte| *byte != b'\r')
                .collect(),
        );
        for other in others {
            let result = self.verify_over(&self.signature, &self.key, &other);
            assert!(result.is_err(), "accepted over {other:?}");
        }
    }

    /// Every beginning of signature and key is refused, or says the same: what was cut off were line ends.
    fn refuse_pieces(&self, good: &Verified) {
        for length in 0..self.signature.len() {
            let (piece, rest) = self.signature.split_at(length);
            if let Ok(found) = self.verify_over(piece, &self.key, ARTIFACT) {
                assert_eq!(found, *good);
                assert!(rest.trim_ascii().is_empty(), "accepted without {rest:?}");
            }
        }
        for length in 0..self.key.len() {
            let _ = self.verify_over(&self.signature, &self.key[..length], ARTIFACT);
        }
    }

    fn flip_every_bit(&self, good: &Verified) -> BTreeSet<usize> {
        let mut free = BTreeSet::new();
        for at in 0..self.signature.len() {
            for bit in 0..8 {
                let mut changed = self.signature.clone();
                changed[at] ^= 1 << bit;
                if let Ok(found) = self.verify_over(&changed, &self.key, ARTIFACT) {
                    assert_eq!(found, *good, "byte {at}, bit {bit}");
                    free.insert(at);
                }
            }
        }
        free
    }
}

/// Returns the native parts.
pub(crate) fn native(verified: &Verified) -> &Native {
    match verified.loggable() {
        Loggable::Native(native) => native,
        Loggable::CounterAttest(reason) => panic!("not native: {reason}"),
    }
}

/// Returns why a signature is not native.
pub(crate) fn reason(verified: &Verified) -> &Reason {
    match verified.loggable() {
        Loggable::Native(_) => panic!("native"),
        Loggable::CounterAttest(reason) => reason,
    }
}

/// Requires that the bytes at `positions` of armored text are outside of the base64, or only white space in it.
pub(crate) fn require_outside_of_base64(text: &[u8], positions: &BTreeSet<usize>) {
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let is_data = !line.starts_with(b"-") && !line.contains(&b':') && line != b"\n";
        for at in positions.range(start..start + line.len()) {
            assert!(!is_data || text[*at] == b'\n', "byte {at} of {line:?}");
        }
        start += line.len();
    }
}
