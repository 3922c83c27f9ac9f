//! PEM (RFC 7468): labels around base64 of DER.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// PEM text larger than this is refused: no chain or key file comes near it.
pub const MAX_TEXT: usize = 1 << 20;

/// The ways in which text is not PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// No `-----BEGIN` line is there.
    #[error("no PEM block found")]
    NoBlock,
    /// A block does not end with the label that it began with.
    #[error("PEM block {index} has no matching END line")]
    NoEnd {
        /// Which block, from 0.
        index: usize,
    },
    /// The text between the lines is not base64.
    #[error("PEM block {index} is not base64")]
    NotBase64 {
        /// Which block, from 0.
        index: usize,
    },
    /// The text is longer than [`MAX_TEXT`].
    #[error("PEM text of {length} bytes is larger than {MAX_TEXT}")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
    },
}

/// A labelled block of DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What stands after `BEGIN`: `CERTIFICATE`, `PUBLIC KEY` …
    pub label: String,
    /// The bytes.
    pub der: Vec<u8>,
}

/// Writes one block with lines of 64 characters and a final newline.
pub fn encode(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for start in (0..body.len()).step_by(64) {
        out.push_str(&body[start..body.len().min(start + 64)]);
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// Reads every block of a text; what stands outside of blocks is ignored (RFC 7468 §2).
///
/// # Errors
/// `NoBlock`, `NoEnd`, `NotBase64`, `TooLarge`.
pub fn decode_all(text: &str) -> Result<Vec<Block>, PemError> {
    if text.len() > MAX_TEXT {
        return Err(PemError::TooLarge { length: text.len() });
    }
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let index = blocks.len();
        let (label, after) = after.split_once("-----").ok_or(PemError::NoEnd { index })?;
        let end = format!("-----END {label}-----");
        let (body, after) = after.split_once(&end).ok_or(PemError::NoEnd { index })?;
        let mut compact = String::with_capacity(body.len());
        compact.extend(body.split_ascii_whitespace());
        let der = STANDARD
            .decode(compact)
            .map_err(|_| PemError::NotBase64 { index })?;
        blocks.push(Block {
            label: label.to_owned(),
            der,
        });
        rest = after;
    }
    if blocks.is_empty() {
        Err(PemError::NoBlock)
    } else {
        Ok(blocks)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn blocks_round_trip_and_text_around_them_is_ignored() {
        let text = format!(
            "subject=x\n{}\n{}",
            encode("A", &[7; 100]),
            encode("B C", &[])
        );
        let blocks = decode_all(&text).unwrap();
        assert_eq!(blocks.len(), 2);
        assert_eq!(
            blocks[0],
            Block {
                label: "A".into(),
                der: vec![7; 100]
            }
        );
        assert_eq!(blocks[1].label, "B C");
    }

    #[test]
    fn unfinished_and_foreign_text_is_refused() {
        assert_eq!(decode_all("hello"), Err(PemError::NoBlock));
        assert_eq!(
            decode_all("-----BEGIN A-----\nAA=="),
            Err(PemError::NoEnd { index: 0 })
        );
        assert_eq!(
            decode_all("-----BEGIN A-----\n!!\n-----END A-----"),
            Err(PemError::NotBase64 { index: 0 })
        );
    }
}
