//! That an archive only grew: the tree of one checkpoint is the beginning of the tree of another (RFC 6962 §2.1.2).
//!
//! The proof stands between two checkpoints by itself. That the organisation signed them is asked of its statements; by whom
//! the file of a proof was made says nothing.

use serde::{Deserialize, Serialize};
use stella_bundle::attestation_set::TrustedRootCopy;
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::json;
use stella_tlog::checkpoint::{Checkpoint, CheckpointError};
use stella_tlog::hash::{Hash, HashError};
use stella_tlog::proof::{self, ProofError};
use stella_tlog::tree::TreeSize;

use crate::history::{History, JudgedStatement, Judgement};

/// The media type of the file.
pub const MEDIA_TYPE: &str = "application/vnd.stella-ops.archive-growth.v1+json";
/// Bytes of the file: a past of decades with its signatures.
pub const MAX_GROWTH: usize = 128 << 20;
/// Hashes of a proof: one a level of the greatest tree, and where the older tree ends.
const MAX_PATH: usize = 65;
/// Trusted roots beside a proof.
const MAX_ROOTS: usize = 200;

/// The proof that one tree is the beginning of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The older tree.
    pub from: Checkpoint,
    /// The newer tree.
    pub to: Checkpoint,
    /// The consistency proof.
    pub path: Vec<Hash>,
}

/// The ways in which a proof proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrowthError {
    /// A text is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A part of the proof is no hash.
    #[error("the proof: {0}")]
    Hash(#[from] HashError),
    /// The file is not one of this kind.
    #[error("not a proof that an archive grew: {0}")]
    Json(json::JsonError),
    /// The file says of itself that it is something else.
    #[error("expected a file of media type {MEDIA_TYPE}, found {found:?}")]
    MediaType {
        /// What stands there.
        found: String,
    },
    /// The organisation signed no such tree.
    #[error("no statement of {origin} commits to the tree of {size} leaves with the root {root}")]
    NoStatement {
        /// Whose.
        origin: String,
        /// The size.
        size: TreeSize,
        /// The root.
        root: Hash,
    },
    /// The trees are of two archives.
    #[error("the older tree is that of {from}, the newer that of {to}")]
    Origins {
        /// Of the older tree.
        from: String,
        /// Of the newer tree.
        to: String,
    },
    /// The newer tree does not begin with the older one.
    #[error("the tree of {to} leaves is not proved to begin with that of {from}: {error}")]
    Proof {
        /// The size of the older tree.
        from: TreeSize,
        /// The size of the newer tree.
        to: TreeSize,
        /// What is wrong.
        error: ProofError,
    },
    /// There is more than any proof has.
    #[error("more {what} than a proof has")]
    TooMany {
        /// Of what.
        what: &'static str,
    },
    /// A trusted root's bytes are others than the digest beside them says.
    #[error("trusted root {index} does not have the digest noted for it")]
    TrustedRootDigest {
        /// Which, from 0.
        index: usize,
    },
}

impl Growth {
    /// Verifies that the newer tree begins with the older one, whoever signed them.
    ///
    /// # Errors
    /// `Origins`, `Proof`.
    pub fn verify(&self) -> Result<(), GrowthError> {
        let (from, to) = (&self.from, &self.to);
        if from.origin != to.origin {
            return Err(GrowthError::Origins {
                from: from.origin.clone(),
                to: to.origin.clone(),
            });
        }
        let consistent =
            proof::verify_consistency(from.size, &from.root, to.size, &to.root, &self.path);
        consistent.map_err(|error| GrowthError::Proof {
            from: from.size,
            to: to.size,
            error,
        })
    }

    /// Finds the statements that commit to the two trees: of several, such as renewals, the oldest.
    ///
    /// # Errors
    /// `NoStatement`.
    pub fn statements<'a>(
        &self,
        judgement: &'a Judgement,
    ) -> Result<[&'a JudgedStatement; 2], GrowthError> {
        let find = |tree: &Checkpoint| {
            let mut statements = judgement.statements.iter();
            let found = statements.find(|each| each.manifest.checkpoint() == *tree);
            found.ok_or_else(|| GrowthError::NoStatement {
                origin: tree.origin.clone(),
                size: tree.size,
                root: tree.root,
            })
        };
        Ok([find(&self.from)?, find(&self.to)?])
    }
}

/// A proof as a file that is verified by the organisation's anchor alone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrowthFile {
    /// [`MEDIA_TYPE`].
    media_type: String,
    /// The older tree: exactly the text that is the subject of its statement.
    from: String,
    /// The newer tree, likewise.
    to: String,
    /// The consistency proof, base64 each.
    path: Vec<String>,
    /// The past, in which both statements are.
    archive: History,
    /// The trusted roots in which timestamp authorities are looked up.
    trusted_roots: Vec<TrustedRootCopy>,
}

impl GrowthFile {
    /// Makes the file of a proof, of the past that has both statements and of trusted roots.
    #[must_use]
    pub fn new(growth: &Growth, archive: History, roots: Vec<Vec<u8>>) -> Self {
        Self {
            media_type: MEDIA_TYPE.to_owned(),
            from: growth.from.to_string(),
            to: growth.to.to_string(),
            path: growth.path.iter().map(ToString::to_string).collect(),
            archive,
            trusted_roots: roots.into_iter().map(TrustedRootCopy::new).collect(),
        }
    }

    /// Reads the file: the proof, the past with nothing judged yet, and the bytes of trusted roots.
    ///
    /// # Errors
    /// `Checkpoint`, `Hash`, `Json`, `MediaType`, `TooMany`, `TrustedRootDigest`.
    pub fn read(bytes: &[u8]) -> Result<(Growth, History, Vec<Vec<u8>>), GrowthError> {
        if bytes.len() > MAX_GROWTH {
            return Err(GrowthError::TooMany { what: "bytes" });
        }
        let read = json::require_unambiguous(bytes).and_then(|()| serde_json::from_slice(bytes));
        let file: Self = read.map_err(|error| GrowthError::Json(error.into()))?;
        if file.media_type != MEDIA_TYPE {
            let found = file.media_type;
            return Err(GrowthError::MediaType { found });
        }
        if file.path.len() > MAX_PATH {
            return Err(GrowthError::TooMany { what: "hashes" });
        }
        if file.trusted_roots.len() > MAX_ROOTS {
            return Err(GrowthError::TooMany {
                what: "trusted roots",
            });
        }
        let has_digest = |copy: &TrustedRootCopy| {
            DigestAlgorithm::Sha256.digest(&copy.content).to_string() == copy.digest
        };
        let mut copies = file.trusted_roots.iter();
        if let Some(index) = copies.position(|copy| !has_digest(copy)) {
            return Err(GrowthError::TrustedRootDigest { index });
        }
        let path = file.path.iter().map(|text| Hash::parse(text));
        let growth = Growth {
            from: Checkpoint::parse(&file.from)?,
            to: Checkpoint::parse(&file.to)?,
            path: path.collect::<Result<_, _>>()?,
        };
        let roots = file.trusted_roots.into_iter().map(|copy| copy.content);
        Ok((growth, file.archive, roots.collect()))
    }

    /// Writes the file: one line of JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising plain structs into memory cannot fail.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_tlog::hash;
    use stella_tlog::tree::Frontier;

    use super::*;

    fn tree(leaves: u64) -> Checkpoint {
        let mut tree = Frontier::new();
        for index in 0..leaves {
            tree.append(hash::leaf(&index.to_be_bytes()), |_, _, _| ());
        }
        Checkpoint {
            origin: "archive.example.org".to_owned(),
            size: tree.size(),
            root: tree.root(),
            extensions: Vec::new(),
        }
    }

    /// From 2 leaves to 3: the hash of the third is all that is missing.
    fn growth() -> Growth {
        Growth {
            from: tree(2),
            to: tree(3),
            path: vec![hash::leaf(&2_u64.to_be_bytes())],
        }
    }

    fn written(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let file = GrowthFile::new(&growth(), History::default(), vec![b"{}".to_vec()]);
        let mut value = serde_json::to_value(file).unwrap();
        change(&mut value);
        serde_json::to_vec(&value).unwrap()
    }

    #[test]
    fn a_proof_comes_out_of_its_file_as_it_went_in() {
        let (read, _, roots) = GrowthFile::read(&written(|_| ())).unwrap();
        assert_eq!((read, roots), (growth(), vec![b"{}".to_vec()]));
        growth().verify().unwrap();
    }

    #[test]
    fn a_proof_of_other_trees_proves_nothing() {
        let mut other_root = growth();
        other_root.to.root = tree(4).root;
        let mut other_path = growth();
        other_path.path = vec![hash::leaf(b"another")];
        let mut longer = growth();
        longer.path.push(hash::leaf(b"another"));
        let mut reversed = growth();
        std::mem::swap(&mut reversed.from, &mut reversed.to);
        for wrong in [other_root, other_path, longer, reversed] {
            assert!(matches!(wrong.verify(), Err(GrowthError::Proof { .. })));
        }
        let mut stranger = growth();
        stranger.from.origin = "archive.example.com".to_owned();
        assert!(matches!(
            stranger.verify(),
            Err(GrowthError::Origins { .. })
        ));
    }

    #[test]
    fn a_changed_file_is_refused_by_what_is_wrong() {
        let read = |change: fn(&mut serde_json::Value)| GrowthFile::read(&written(change));
        let kind = |file: &mut serde_json::Value| file["mediaType"] = "text/plain".into();
        assert!(matches!(read(kind), Err(GrowthError::MediaType { .. })));
        let more = |file: &mut serde_json::Value| file["more"] = 1.into();
        assert!(matches!(read(more), Err(GrowthError::Json(_))));
        let cut = |file: &mut serde_json::Value| file["from"] = "archive.example.org\n2\n".into();
        assert!(matches!(read(cut), Err(GrowthError::Checkpoint(_))));
        let short = |file: &mut serde_json::Value| file["path"][0] = "AA==".into();
        assert!(matches!(read(short), Err(GrowthError::Hash(_))));
        let long = |file: &mut serde_json::Value| file["path"] = vec![""; 66].into();
        let long = read(long);
        assert!(matches!(long, Err(GrowthError::TooMany { what: "hashes" })));
        let root =
            |file: &mut serde_json::Value| file["trustedRoots"][0]["content"] = "W10=".into();
        let root = read(root);
        assert!(matches!(
            root,
            Err(GrowthError::TrustedRootDigest { index: 0 })
        ));
    }
}
