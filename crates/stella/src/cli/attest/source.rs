//! Where attestations are read from: the files that were named, else this machine's store.

use std::io;
use std::path::PathBuf;

use stella_attest::file;
use stella_attest::shelf::{Shelf, ShelfError, Stored};
use stella_attest::verify::{Candidate, Source};
use stella_bundle::attestation_set;
use stella_bundle::bundle::MAX_BUNDLE;
use stella_bundle::digest::{Digest, DigestAlgorithm};

use crate::artifact::Artifact;
use crate::cli::gate::BUNDLE_ENDINGS;
use crate::exit::{self, Failure};
use crate::places;

/// Where to read attestations.
#[derive(Debug, clap::Args)]
pub(crate) struct SourceFlags {
    /// Read attestations from this file: a bundle, an exported set, or bundles line by line; by default from
    /// FILE.sigstore.json or FILE.sigstore beside the artifact, else from the store
    #[arg(long = "bundle", value_name = "FILE")]
    bundles: Vec<PathBuf>,

    /// The folder of attestations on this machine
    #[arg(long, value_name = "DIR", env = "STELLA_STORE")]
    store: Option<PathBuf>,
}

impl SourceFlags {
    /// Returns everything that may speak of the artifact.
    pub(crate) fn candidates(&self, artifact: &Artifact) -> Result<Vec<Candidate>, Failure> {
        let beside = beside(&artifact.given);
        let named = match (self.bundles.as_slice(), &beside) {
            ([], Some(beside)) => std::slice::from_ref(beside),
            ([], None) => return self.on_shelf(&artifact.digests),
            (named, _) => named,
        };
        candidates_in(named)
    }

    fn on_shelf(&self, subjects: &[Digest]) -> Result<Vec<Candidate>, Failure> {
        let shelf = self.shelf();
        let mut candidates: Vec<Candidate> = Vec::new();
        for subject in subjects {
            for stored in shelf.list(subject).map_err(|error| shelf_failure(&error))? {
                if candidates.iter().all(|each| each.digest != stored.digest) {
                    candidates.push(Candidate::stored(stored, Source::Shelf));
                }
            }
        }
        Ok(candidates)
    }

    /// Returns the files that were named.
    pub(crate) fn named(&self) -> &[PathBuf] {
        &self.bundles
    }

    /// Returns the shelf of this machine.
    pub(crate) fn shelf(&self) -> Shelf {
        Shelf::new(places::store(self.store.clone()))
    }
}

/// Reads every bundle of these files.
pub(crate) fn candidates_in(paths: &[PathBuf]) -> Result<Vec<Candidate>, Failure> {
    let mut candidates = Vec::new();
    for path in paths {
        let bytes = file::read(path, MAX_BUNDLE).map_err(|error| {
            let code = match error.kind() {
                io::ErrorKind::FileTooLarge => exit::SIGNATURE,
                _ => exit::USAGE,
            };
            let path = path.display();
            Failure::new(code, format!("cannot read the bundle {path}: {error}"))
        })?;
        let bundles = attestation_set::bundles_in(&bytes).map_err(|error| {
            Failure::new(exit::SIGNATURE, format!("{}: {error}", path.display()))
        })?;
        candidates.extend(bundles.into_iter().map(|bytes| {
            let digest = DigestAlgorithm::Sha256.digest(&bytes);
            let bytes = Ok(bytes);
            Candidate::stored(Stored { digest, bytes }, Source::File)
        }));
    }
    Ok(candidates)
}

/// Returns the bundle that lies beside a file, under the first of its usual names that is there.
fn beside(artifact: &str) -> Option<PathBuf> {
    let named = BUNDLE_ENDINGS.map(|ending| PathBuf::from(format!("{artifact}{ending}")));
    named.into_iter().find(|path| path.is_file())
}

/// Says what to do about a shelf that cannot be used.
pub(crate) fn shelf_failure(error: &ShelfError) -> Failure {
    Failure::new(exit::INTERNAL, error.to_string())
        .hint("choose another folder with --store or STELLA_STORE")
}
