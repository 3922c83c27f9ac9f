//! Archives as sources of attestations, and the anchor of the organisation whose word about them is taken.
//!
//! Without an anchor an archive only keeps attestations: they are judged as if they lay anywhere else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stella_archive::anchor::Anchor;
use stella_archive::history::History;
use stella_attest::archive::extract::{self, Extracted};
use stella_attest::archive::held::{Held, Holdings, JudgedArchive, RootOf};
use stella_attest::file;
use stella_attest::shelf::Stored;
use stella_attest::verify::{Candidate, Source};
use stella_bundle::attestation_set::AttestationSet;
use stella_bundle::bundle::MAX_BUNDLE;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_server::{Clock as _, SystemClock};
use tokio::runtime::Runtime;

use crate::cli::archive::{believed, place};
use crate::cli::mirror::place::Purpose;
use crate::cli::runtime;
use crate::exit::{self, Failure};
use crate::registry::RegistryFlags;
use crate::terminal;
use crate::trust::Acceptance;

/// Which archive is asked, and whose word about it counts.
#[derive(Debug, clap::Args)]
pub(crate) struct ArchiveFlags {
    /// Read attestations from the archives of this place: an OCI layout's folder or tar file, or a repository
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["bundles", "signature"])]
    archive: Option<String>,

    /// Believe what this organisation archived: its anchor. What an archive or a file of `stella archive extract` holds is then
    /// verified by the trusted root of its time, unless --trusted-root is given; who may have signed is asked as always
    #[arg(long, visible_alias = "org-key", value_name = "FILE")]
    anchor: Option<PathBuf>,
}

impl ArchiveFlags {
    /// Says whether an organisation's word is taken.
    pub(super) const fn is_anchored(&self) -> bool {
        self.anchor.is_some()
    }

    /// Reads the anchor; none where none was given.
    pub(super) fn believe<'a>(
        &self,
        by: RootOf,
        acceptance: &'a Acceptance,
    ) -> Result<Option<Believed<'a>>, Failure> {
        let anchor = self.anchor.as_deref().map(believed::read_anchor);
        Ok(anchor.transpose()?.map(|anchor| Believed {
            anchor,
            acceptance,
            by,
        }))
    }

    /// Opens the archives that were named; none where none were.
    pub(super) fn open(
        &self,
        registry: &RegistryFlags,
        believed: Option<&Believed<'_>>,
    ) -> Result<Option<Archives>, Failure> {
        let Some(name) = &self.archive else {
            return Ok(None);
        };
        let runtime = runtime()?;
        let storage = place::storage(name, Purpose::Read, registry)?;
        let holdings = runtime.block_on(Holdings::open(&storage));
        let holdings = holdings.map_err(place::failure)?;
        let judged = match believed {
            None => None,
            Some(believed) => {
                let past = runtime.block_on(holdings.history());
                let (history, roots) = past.map_err(place::failure)?;
                Some((believed.judge(history, &roots)?, believed.by))
            }
        };
        Ok(Some(Archives {
            runtime,
            holdings,
            judged,
        }))
    }

    /// Says whether the archives are in a registry.
    pub(super) fn needs_network(&self) -> bool {
        let place = self.archive.as_deref();
        place.is_some_and(|place| !place::is_folder(place))
    }
}

/// An organisation's word.
pub(super) struct Believed<'a> {
    anchor: Anchor,
    acceptance: &'a Acceptance,
    by: RootOf,
}

impl Believed<'_> {
    fn judge(&self, history: History, roots: &[Vec<u8>]) -> Result<Arc<JudgedArchive>, Failure> {
        let accepts = |digest: &[u8; 32], root: &_| self.acceptance.accepts_anchored(digest, root);
        let now = SystemClock.now();
        let judged = JudgedArchive::judge(history, roots, &self.anchor, accepts, now);
        let judged = judged.map_err(|error| place::failure(error.into()))?;
        Ok(Arc::new(judged))
    }

    /// Reads a file that was taken out of an archive, with the archive's word; none where it is something else.
    pub(super) fn candidates(&self, path: &Path) -> Result<Option<Vec<Candidate>>, Failure> {
        let bytes = file::read(path, MAX_BUNDLE).ok();
        let set = bytes.and_then(|bytes| AttestationSet::parse(&bytes).ok());
        // What is no such file is read, or refused, as every other one.
        let carried = set.map(extract::of_file).transpose();
        let Some(carried) = carried.map_err(place::failure)?.flatten() else {
            return Ok(None);
        };
        let archive = self.judge(carried.history, &carried.roots)?;
        let candidate = |(bytes, place): (Vec<u8>, Option<Extracted>)| {
            let held = place.map(|place| Held {
                archive: Arc::clone(&archive),
                place,
                by: self.by,
            });
            candidate(bytes, Source::File, held)
        };
        Ok(Some(
            carried.attestations.into_iter().map(candidate).collect(),
        ))
    }
}

/// Archives that were opened, judged where an anchor was given.
pub(super) struct Archives {
    runtime: Runtime,
    holdings: Holdings,
    judged: Option<(Arc<JudgedArchive>, RootOf)>,
}

impl Archives {
    /// Finds what speaks of an artifact.
    pub(super) fn about(&self, artifact: &[Digest]) -> Result<Vec<Candidate>, Failure> {
        let found = self.runtime.block_on(self.holdings.about(artifact));
        let mut candidates = Vec::new();
        for mut place in found.map_err(place::failure)? {
            let Some(bytes) = place.bundle.take() else {
                let index = place.proof.index;
                terminal::tell(&format!(
                    "note: the bytes of leaf {index} were let go after retention"
                ));
                continue;
            };
            let held = self.judged.as_ref().map(|(archive, by)| Held {
                archive: Arc::clone(archive),
                place,
                by: *by,
            });
            candidates.push(candidate(bytes, Source::Archive, held));
        }
        Ok(candidates)
    }
}

fn candidate(bytes: Vec<u8>, source: Source, held: Option<Held>) -> Candidate {
    let digest = DigestAlgorithm::Sha256.digest(&bytes);
    let bytes = Ok(bytes);
    Candidate {
        held,
        ..Candidate::stored(Stored { digest, bytes }, source)
    }
}

/// Requires that a trusted root was chosen for what no archive holds.
pub(super) fn require_all_held(candidates: &[Candidate]) -> Result<(), Failure> {
    match candidates.iter().all(|each| each.held.is_some()) {
        true => Ok(()),
        false => Err(Failure::usage(
            "no trust root was chosen, and the anchor speaks only for what an archive holds",
        )
        .hint("name the archive with --archive, or a file of `stella archive extract` with --bundle; else give --trusted-root FILE")
        .page("trust-root")),
    }
}

/// Says what `--bundle` and `--archive` cannot.
pub(super) fn network_needed() -> Failure {
    Failure::new(
        exit::NETWORK_NEEDED,
        "the archives are in a registry, and --offline forbids the network",
    )
    .hint("bring them along: `stella mirror save` makes one file of them")
    .page("network-needed")
}
