//! Where attestations are read from: the files that were named, else this machine's store.

use std::io;
use std::path::{Path, PathBuf};

use stella_attest::collect::{self, Attested, Wanted};
use stella_attest::file;
use stella_attest::image::Which;
use stella_attest::referrers::Look;
use stella_attest::shelf::{Shelf, ShelfError, Stored};
use stella_attest::verify::{Candidate, Source};
use stella_bundle::attestation_set;
use stella_bundle::bundle::MAX_BUNDLE;
use stella_bundle::digest::{Digest, DigestAlgorithm};

use crate::artifact::Artifact;
use crate::cli::gate::BUNDLE_ENDINGS;
use crate::exit::{self, Failure};
use crate::places;
use crate::registry::{Registries, RegistryFlags, WhichFlags, collect_failure, tell_gone};

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

/// What to look at, and where what speaks of it lies.
#[derive(Debug, clap::Args)]
pub(crate) struct LookFlags {
    /// A file, a digest as sha256:HEX, or an image: REGISTRY/REPO:TAG or REGISTRY/REPO@DIGEST
    artifact: String,

    #[command(flatten)]
    which: WhichFlags,

    #[command(flatten)]
    source: SourceFlags,

    #[command(flatten)]
    registry: RegistryFlags,
}

impl LookFlags {
    /// Finds everything about what was named.
    pub(crate) async fn find(&self) -> Result<Vec<Asked>, Failure> {
        let registries = self.registry.open()?;
        let which = self.which.which();
        self.source.find(&self.artifact, &which, &registries).await
    }
}

/// An artifact or image, and everything that may speak of it.
pub(crate) struct Asked {
    /// What it is called: what was typed, an image by its digest.
    pub(crate) name: String,
    /// Its digests.
    pub(crate) digests: Vec<Digest>,
    /// What was found.
    pub(crate) attested: Vec<Attested>,
}

impl SourceFlags {
    /// Finds everything about each thing that was named: a file or a digest by the files named or this machine's store, an
    /// image by its registry.
    pub(crate) async fn find(
        &self,
        given: &str,
        which: &Which,
        registries: &Registries,
    ) -> Result<Vec<Asked>, Failure> {
        let is_local = Digest::parse(given).is_some() || Path::new(given).exists();
        if is_local || !self.bundles.is_empty() {
            let artifact = Artifact::read(given)?;
            let alone = |candidate| Attested {
                candidate,
                manifest: None,
            };
            let candidates = self.candidates(&artifact)?;
            return Ok(vec![Asked {
                name: given.to_owned(),
                digests: artifact.digests,
                attested: candidates.into_iter().map(alone).collect(),
            }]);
        }
        let mut asked = Vec::new();
        for image in registries.resolve(given, which).await? {
            let repository = registries.attestations(&image.reference)?;
            let wanted = Wanted {
                look: Look::Thorough,
                cache: registries.cache(),
                ..Wanted::default()
            };
            let digest = image.descriptor.digest;
            let collected = collect::collect(&repository, &digest, wanted)
                .await
                .map_err(collect_failure)?;
            tell_gone(&image.reference, &collected);
            asked.push(Asked {
                name: image.reference.to_string(),
                digests: vec![digest],
                attested: collected.attested,
            });
        }
        Ok(asked)
    }

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
