//! What `--artifact` names: a digest, or a file whose digests are taken.

use std::fs::File;
use std::io;
use std::path::Path;

use stella_bundle::digest::{Digest, DigestAlgorithm, DigestStream};

use crate::exit::{self, Failure};

/// How much of a file is read at once.
const PIECE: usize = 256 * 1024;

/// An artifact, by its digests.
#[derive(Clone, Debug)]
pub(crate) struct Artifact {
    /// The name for people: the file's name, none for a digest.
    pub(crate) name: Option<String>,
    /// What was typed.
    pub(crate) given: String,
    /// Its digests; SHA-256 is the first when a file was given.
    pub(crate) digests: Vec<Digest>,
    /// Its bytes, where they were asked for.
    pub(crate) content: Option<Vec<u8>>,
}

/// Whether an artifact's bytes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The bytes: some keys sign whole messages.
    Content,
    /// The digests alone.
    Digests,
}

/// Larger artifacts are not kept in memory; a key that signs whole messages cannot verify them.
const MAX_CONTENT: u64 = 1 << 30;

/// What is typed for standard input.
pub(crate) const STDIN: &str = "-";

impl Artifact {
    /// Reads `sha256:HEX`, the path of a file, or standard input.
    pub(crate) fn read(given: &str) -> Result<Self, Failure> {
        Self::read_and_keep(given, Keep::Digests)
    }

    /// Reads as above, and keeps the bytes of a file or of standard input where asked.
    pub(crate) fn read_and_keep(given: &str, keep: Keep) -> Result<Self, Failure> {
        let artifact = |name, (digests, content)| Self {
            name,
            given: given.to_owned(),
            digests,
            content,
        };
        if let Some(digest) = Digest::parse(given) {
            return Ok(artifact(None, (vec![digest], None)));
        }
        let path = Path::new(given);
        let looks_like_a_digest = given
            .split_once(':')
            .is_some_and(|(name, _)| DigestAlgorithm::from_name(name).is_some());
        if looks_like_a_digest && !path.exists() {
            return Err(Failure::usage(format!(
                "{given:?} is not a digest: expected sha256: and 64 hex digits in lower case"
            )));
        }
        let read = if given == STDIN {
            digests_of(io::stdin().lock(), keep)
        } else {
            File::open(path).and_then(|file| digests_of(file, keep))
        };
        let read = read.map_err(|error| {
            Failure::new(
                exit::NO_ARTIFACT,
                format!("cannot read the artifact {given}: {error}"),
            )
            .hint("give the path of a file, or its digest as sha256:<hex>")
            .page("no-artifact")
        })?;
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        Ok(artifact(name, read))
    }

    /// Returns the digest that a statement names.
    pub(crate) fn digest(&self) -> Result<&Digest, Failure> {
        self.digests
            .first()
            .ok_or_else(|| Failure::usage("no artifact was given"))
    }
}

/// Takes all digests in one reading, SHA-256 first, and the bytes where they are kept and are not too many.
///
/// # Errors
/// What the system says.
pub(crate) fn digests_of(
    mut source: impl io::Read,
    keep: Keep,
) -> io::Result<(Vec<Digest>, Option<Vec<u8>>)> {
    let mut streams = DigestAlgorithm::ALL.map(DigestStream::new);
    let mut piece = vec![0; PIECE];
    let mut content = (keep == Keep::Content).then(Vec::new);
    loop {
        let length = source.read(&mut piece)?;
        if length == 0 {
            break;
        }
        for stream in &mut streams {
            stream.update(&piece[..length]);
        }
        let fits = |content: &Vec<u8>| (content.len() + length) as u64 <= MAX_CONTENT;
        content = content.filter(fits);
        if let Some(content) = &mut content {
            content.extend_from_slice(&piece[..length]);
        }
    }
    let digests = streams.into_iter().map(DigestStream::finish).collect();
    Ok((digests, content))
}
