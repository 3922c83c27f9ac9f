//! Signed notes: parse, print, and the rule by which a key's signature counts.
//!
//! What a text says is for others (`checkpoint`); who signs lives where private keys live.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use crate::vkey::{KeyId, KeyName, SignatureType, VerifierKey, VerifierKeyError};

/// The greatest note in bytes: a checkpoint and 16 ML-DSA-44 cosignatures take 55 KiB.
pub const MAX_NOTE: usize = 64 * 1024;

/// The greatest number of signature lines; the specification asks for at least 16.
pub const MAX_SIGNATURES: usize = 100;

/// What each signature line begins with: an em dash and a space.
const SIGNATURE_START: &str = "\u{2014} ";

/// A text and the signatures under it (C2SP signed-note).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The signed text, with its last newline and without the blank line.
    pub text: String,
    /// The signatures, in their order.
    pub signatures: Vec<NoteSignature>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: KeyName,
    /// The id of the key.
    pub key_id: KeyId,
    /// The signature's bytes, in the form of the key's signature type; never empty.
    pub signature: Vec<u8>,
}

/// Why a note is not read, or not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// A signature that bears the key's name and id is not good; the whole note is refused.
    #[error("the signature of {name} ({key_id}) is not good")]
    BadSignature {
        /// The name of the key.
        name: KeyName,
        /// The id of the key.
        key_id: KeyId,
    },
    /// There is a control character other than newline.
    #[error("a note has a control character")]
    ControlCharacter,
    /// No signature bears the key's name and id.
    #[error("the note is not signed by {name} ({key_id})")]
    NotSigned {
        /// The name of the key.
        name: KeyName,
        /// The id of the key.
        key_id: KeyId,
    },
    /// A line under the text is not a signature line.
    #[error("signature line {line} of a note cannot be read")]
    SignatureLine {
        /// The line, counted from 1 after the blank line.
        line: usize,
    },
    /// There is no blank line with signature lines after it.
    #[error("a note has no signatures")]
    SignaturesMissing,
    /// The note is longer than [`MAX_NOTE`].
    #[error("a note of {found} bytes is longer than {MAX_NOTE}")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// There are more signature lines than [`MAX_SIGNATURES`].
    #[error("a note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
}

impl Note {
    /// Parses a signed note.
    ///
    /// # Errors
    ///
    /// [`NoteError`], but for the two of [`Note::verify`].
    // spec: C2SP signed-note, "Format".
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::TooLong { found: note.len() });
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::ControlCharacter);
        }
        // The text may have empty lines itself: the last one separates.
        let blank = note.rfind("\n\n").ok_or(NoteError::SignaturesMissing)?;
        let (text, lines) = (&note[..=blank], &note[blank + 2..]);
        let lines = lines
            .strip_suffix('\n')
            .ok_or(NoteError::SignaturesMissing)?;
        let mut signatures = Vec::new();
        for (at, line) in lines.split('\n').enumerate() {
            if at == MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            let signature = NoteSignature::parse(line);
            signatures.push(signature.ok_or(NoteError::SignatureLine { line: at + 1 })?);
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// Verifies that the key signed the text.
    ///
    /// Signatures of other names or ids are ignored. All those of the key's name and id must be good.
    ///
    /// # Errors
    ///
    /// [`NoteError::BadSignature`], [`NoteError::NotSigned`].
    // spec: C2SP signed-note, "Signatures".
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        let mut is_signed = false;
        for signature in self.signatures_of(key) {
            if !key.accepts(&self.text, signature) {
                return Err(NoteError::BadSignature {
                    name: key.name().clone(),
                    key_id: key.key_id(),
                });
            }
            is_signed = true;
        }
        if !is_signed {
            return Err(NoteError::NotSigned {
                name: key.name().clone(),
                key_id: key.key_id(),
            });
        }
        Ok(())
    }

    /// Returns the signatures that claim the key's name and id, unverified.
    pub fn signatures_of(&self, key: &VerifierKey) -> impl Iterator<Item = &[u8]> {
        let key_id = key.key_id();
        self.signatures
            .iter()
            .filter(move |line| line.key_id == key_id && line.name == *key.name())
            .map(|line| line.signature.as_slice())
    }
}

impl NoteSignature {
    /// Puts a key's name and id before a signature that it made.
    #[must_use]
    pub fn new(key: &VerifierKey, signature: Vec<u8>) -> Self {
        Self {
            name: key.name().clone(),
            key_id: key.key_id(),
            signature,
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, blob) = line.strip_prefix(SIGNATURE_START)?.split_once(' ')?;
        let name = KeyName::new(name).ok()?;
        let blob = STANDARD.decode(blob).ok()?;
        let (key_id, signature) = blob.split_first_chunk::<4>()?;
        if signature.is_empty() {
            return None;
        }
        Some(Self {
            name,
            key_id: KeyId(*key_id),
            signature: signature.to_vec(),
        })
    }
}

/// Returns the line, with its newline, that adds a key's signature to a note.
#[must_use]
pub fn signature_line(key: &VerifierKey, signature: &[u8]) -> String {
    format!("{}\n", NoteSignature::new(key, signature.to_vec()))
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            writeln!(f, "{signature}")?;
        }
        Ok(())
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&self.key_id.0, self.signature.as_slice()].concat();
        let blob = STANDARD.encode(blob);
        write!(f, "{SIGNATURE_START}{} {blob}", self.name)
    }
}

#[cfg(test)]
mod tests;
