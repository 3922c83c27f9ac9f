//! Checkpoints: parse and print the text that a log signs.
//!
//! The signatures around it are a [`crate::note::Note`]; witnesses' signatures are in `cosignature`.

use std::fmt;

use crate::decimal;
use crate::hash::{Hash, HashError};
use crate::tree::TreeSize;

/// The greatest number of extension lines read; the specification recommends none, Rekor has used one.
pub const MAX_EXTENSIONS: usize = 16;

/// The head of a log: whose it is, how many leaves, and their root (C2SP tlog-checkpoint).
///
/// Its printed form is the note's text, ready to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The unique name of the log, as a schema-less URL.
    pub origin: String,
    /// The number of leaves.
    pub size: TreeSize,
    /// The Merkle tree hash of all leaves.
    pub root: Hash,
    /// Further lines, opaque; normally none.
    pub extensions: Vec<String>,
}

/// What is wrong with a text that should be a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// An extension line is empty.
    #[error("a checkpoint has an empty extension line")]
    ExtensionEmpty,
    /// There are fewer than three lines, or the last is not ended.
    #[error("a checkpoint is cut short")]
    Incomplete,
    /// The origin line is empty.
    #[error("a checkpoint has no origin")]
    OriginMissing,
    /// The third line is not a hash.
    #[error("a checkpoint's root: {0}")]
    Root(#[from] HashError),
    /// The second line is not a canonical decimal number.
    #[error("a checkpoint's size is not a decimal number")]
    Size,
    /// There are more extension lines than [`MAX_EXTENSIONS`].
    #[error("a checkpoint has more than {MAX_EXTENSIONS} extension lines")]
    TooManyExtensions,
}

impl Checkpoint {
    /// Parses a note's text.
    ///
    /// An origin with spaces is read, because Rekor v1 has such ones; no log of ours is given one.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`], by the first line that is wrong.
    // spec: C2SP tlog-checkpoint, "Note text".
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::Incomplete)?;
        let mut lines = text.split('\n');
        let mut line = || lines.next().ok_or(CheckpointError::Incomplete);
        let (origin, size, root) = (line()?, line()?, line()?);
        if origin.is_empty() {
            return Err(CheckpointError::OriginMissing);
        }
        let size = decimal::parse(size).ok_or(CheckpointError::Size)?;
        let root = Hash::parse(root)?;
        let extensions: Vec<String> = lines.take(MAX_EXTENSIONS + 1).map(str::to_owned).collect();
        if extensions.len() > MAX_EXTENSIONS {
            return Err(CheckpointError::TooManyExtensions);
        }
        if extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::ExtensionEmpty);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: TreeSize(size),
            root,
            extensions,
        })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)?;
        for line in &self.extensions {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const EXAMPLE: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_example_of_the_specification_is_read_and_printed() {
        let checkpoint = Checkpoint::parse(EXAMPLE).unwrap();
        assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
        assert_eq!(checkpoint.size, TreeSize(20_852_163));
        assert_eq!(checkpoint.to_string(), EXAMPLE);
    }

    #[test]
    fn extension_lines_are_kept() {
        let text = format!("{EXAMPLE}Timestamp: 1\nother\n");
        let checkpoint = Checkpoint::parse(&text).unwrap();
        assert_eq!(checkpoint.extensions, ["Timestamp: 1", "other"]);
        assert_eq!(checkpoint.to_string(), text);
    }

    fn refused(text: &str, expected: CheckpointError) {
        assert_eq!(Checkpoint::parse(text), Err(expected), "{text:?}");
    }

    #[test]
    fn a_text_that_is_no_checkpoint_is_refused_by_its_first_fault() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        refused("", CheckpointError::Incomplete);
        refused("o\n1\n", CheckpointError::Incomplete);
        refused(&format!("o\n1\n{root}"), CheckpointError::Incomplete);
        refused(&format!("\n1\n{root}\n"), CheckpointError::OriginMissing);
        for size in ["", "01", "+1", "-1", "1 ", "18446744073709551616", "٣"] {
            refused(&format!("o\n{size}\n{root}\n"), CheckpointError::Size);
        }
        refused(
            "o\n1\nAAAA\n",
            CheckpointError::Root(HashError::Length { found: 3 }),
        );
        refused(
            &format!("o\n1\n{root}\n\n"),
            CheckpointError::ExtensionEmpty,
        );
        let many = "x\n".repeat(MAX_EXTENSIONS + 1);
        refused(
            &format!("o\n1\n{root}\n{many}"),
            CheckpointError::TooManyExtensions,
        );
    }
}
