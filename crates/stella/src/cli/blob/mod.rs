//! `stella sign-blob` and `stella attest-blob`: files are signed, and each bundle lies beside its file.

pub(super) mod attest;
pub(super) mod sign;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use stella_attest::sign::{Message, Signed};
use stella_bundle::digest::{Digest, DigestAlgorithm};

use crate::artifact::{Keep, STDIN, digests_of};
use crate::exit::{self, Failure};
use crate::terminal;

/// Larger files are not signed by a key that signs whole messages, for those are held in memory.
const MAX_WHOLE: usize = 4 << 30;

/// What a bundle's name ends in, beside its file.
const ENDING: &str = ".sigstore.json";

/// Returns where the bundle of a file goes: where it was said, or beside the file.
fn bundle_path(file: &str, given: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    match given {
        Some(path) => Ok(path.clone()),
        None if file == STDIN => Err(Failure::usage(
            "what is read from standard input has no place beside it",
        )
        .hint("name a file for the bundle with --bundle FILE")),
        None => Ok(PathBuf::from(format!("{file}{ENDING}"))),
    }
}

/// Returns where the bundle of each file goes. All of it is known before anything is signed, and no file that is read is
/// written over.
fn bundle_paths(files: &[String], given: Option<&PathBuf>) -> Result<Vec<PathBuf>, Failure> {
    let paths = files.iter().map(|file| bundle_path(file, given));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    for path in &paths {
        require_other(files, path)?;
    }
    Ok(paths)
}

/// Requires that what is written is none of what is read.
fn require_other(files: &[String], path: &Path) -> Result<(), Failure> {
    let same = |file: &&String| {
        let paths = (fs::canonicalize(file), fs::canonicalize(path));
        matches!(paths, (Ok(file), Ok(path)) if file == path)
    };
    match files.iter().find(same) {
        None => Ok(()),
        Some(file) => Err(Failure::usage(format!(
            "{file} would be written over by what signs it"
        ))),
    }
}

/// Requires that `--bundle` names the bundle of one file.
fn require_one(files: &[String], bundle: Option<&PathBuf>) -> Result<(), Failure> {
    if bundle.is_some() && files.len() > 1 {
        return Err(
            Failure::usage("--bundle names one file, and several are to be signed").hint(format!(
                "leave it out: each bundle goes beside its file as FILE{ENDING}"
            )),
        );
    }
    Ok(())
}

fn write(path: &Path, signed: &Signed) -> Result<(), Failure> {
    if path.exists() {
        terminal::tell(&format!(
            "note: {} was there and is replaced",
            path.display()
        ));
    }
    fs::write(path, &signed.bytes).map_err(|error| Failure::io("write", path, &error))
}

/// A file that is to be signed: by its digests, and its bytes where the key asks for them.
struct Blob<'a> {
    file: &'a str,
    /// SHA-256 first.
    digests: Vec<Digest>,
    content: Option<Vec<u8>>,
}

impl<'a> Blob<'a> {
    /// Takes the digests of a file, which may be larger than memory. Standard input comes once, so that it is kept.
    fn read(file: &'a str) -> Result<Self, Failure> {
        let read = match file {
            STDIN => digests_of(io::stdin().lock(), Keep::Content),
            _ => File::open(file).and_then(|open| digests_of(open, Keep::Digests)),
        };
        let (digests, content) = read.map_err(|error| unreadable(file, &error))?;
        Ok(Self {
            file,
            digests,
            content,
        })
    }

    /// Takes the bytes too: some keys sign whole messages.
    fn load(&mut self) -> Result<(), Failure> {
        if self.content.is_some() {
            return Ok(());
        }
        let read = match self.file {
            STDIN => Err(io::ErrorKind::FileTooLarge.into()),
            _ => stella_attest::file::read(Path::new(self.file), MAX_WHOLE),
        };
        let content = read.map_err(|error| {
            let failure = unreadable(self.file, &error);
            match error.kind() {
                io::ErrorKind::FileTooLarge => failure.hint(
                    "this key signs whole messages, which are held in memory: sign with an ECDSA or RSA key, or with --log",
                ),
                _ => failure,
            }
        })?;
        if self.digests.first() != Some(&DigestAlgorithm::Sha256.digest(&content)) {
            let error = io::Error::other("it changed while it was read");
            return Err(unreadable(self.file, &error));
        }
        self.content = Some(content);
        Ok(())
    }

    /// Returns what is signed: the bytes where they were loaded.
    fn message(&self) -> Message<'_> {
        match &self.content {
            Some(content) => Message::Artifact(content),
            None => Message::Digests(&self.digests),
        }
    }
}

fn unreadable(file: &str, error: &io::Error) -> Failure {
    Failure::new(exit::NO_ARTIFACT, format!("cannot read {file}: {error}")).page("no-artifact")
}
