//! Where a job's attestations come from, and who may have signed them.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream;
use stella_attest::archive::{ArchiveError, Arrival, Incoming, source};
use stella_attest::collect::{self, Wanted};
use stella_attest::image::Which;
use stella_attest::referrers::Look;
use stella_attest::shelf::Shelf;
use stella_attest::verify::Found;
use stella_bundle::identity::Identities;
use stella_bundle::key::{PublicKey, sha256};
use stella_bundle::verify::{IdentityRule, KeyRule, ManagedKey, Policy};

use crate::cli::gate::read_policy_files;
use crate::exit::{self, Failure};
use crate::registry::{RegistryFlags, collect_failure};
use crate::terminal::Estimate;
use crate::{places, terminal};

/// Where attestations come from, and who may have signed them.
#[derive(Debug, clap::Args)]
pub(super) struct SourceFlags {
    /// Collect from this store of attestations
    #[arg(long, value_name = "DIR", env = "STELLA_STORE")]
    store: Option<PathBuf>,

    /// Collect from this file, or from every file in this folder that ends in .json or .jsonl
    #[arg(long, value_name = "PATH")]
    from: Vec<PathBuf>,

    /// Collect what is attached to this image
    #[arg(long, value_name = "IMAGE")]
    image: Vec<String>,

    /// Accept attestations by this kept key too
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,

    /// Accept attestations by the signers of this policy alone, with the evidence it asks for; others are kept apart as refused. Without
    /// it whoever signed is accepted: who may have is asked when an attestation is used
    #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
    policy: Option<PathBuf>,
}

/// What could not be read, with the reason.
pub(super) type Gone = Rc<RefCell<Vec<String>>>;

impl SourceFlags {
    /// Says whether a source is named.
    pub(super) fn is_named(&self) -> bool {
        self.store.is_some() || !self.from.is_empty() || !self.image.is_empty()
    }

    /// Returns who may have signed.
    pub(super) fn rule(&self) -> Result<Rule, Failure> {
        let Some(path) = &self.policy else {
            let mut policy =
                Policy::for_certificates(IdentityRule::Given(Identities::AnyoneUnsafe));
            policy.keys = kept_keys(&self.public_key)?;
            return Ok(Rule {
                policy,
                digest: None,
            });
        };
        let files = read_policy_files(path)?;
        if files.policy.signers.is_empty() {
            return Err(
                Failure::usage(format!("{} names no signer", path.display()))
                    .hint("`stella policy schema` shows how signers are named"),
            );
        }
        Ok(Rule {
            policy: files.policy.to_verification(),
            digest: Some(sha256(&files.bytes)),
        })
    }

    /// Returns the attestations of every source that was named, else those of this machine's store.
    pub(super) async fn incoming(
        &self,
        registry: &RegistryFlags,
        gone: &Gone,
    ) -> Result<(Incoming<'static>, Load), Failure> {
        let mut files = Vec::new();
        for path in &self.from {
            files.extend(files_of(path)?);
        }
        let mut attached = Vec::new();
        for image in &self.image {
            attached.extend(attached_to(image, registry, gone).await?);
        }
        let sizes = files.iter().filter_map(|path| fs::metadata(path).ok());
        let sizes = sizes.map(|each| each.len());
        let mut total = sum(sizes.chain(attached.iter().map(|each| each.len() as u64)));
        let is_named = !files.is_empty() || !self.image.is_empty();
        let named = files.into_iter().flat_map(|path| source::bundles(&path));
        let named = named.chain(attached.into_iter().map(Ok));
        if is_named && self.store.is_none() {
            return Ok(Load::of(named, total));
        }
        let shelf = Shelf::new(places::store(self.store.clone()));
        let digests = shelf.digests();
        let digests = digests.map_err(|error| Failure::new(exit::INTERNAL, error.to_string()))?;
        total += sum(digests.iter().filter_map(|each| shelf.size(each)));
        let gone = Rc::clone(gone);
        let stored = digests
            .into_iter()
            .filter_map(move |digest| match shelf.read(&digest) {
                Ok(bytes) => Some(Ok(bytes)),
                Err(damage) => {
                    gone.borrow_mut().push(damage.to_string());
                    None
                }
            });
        Ok(Load::of(named.chain(stored), total))
    }
}

/// Returns what is attached to an image, and to each of its platforms.
async fn attached_to(
    image: &str,
    registry: &RegistryFlags,
    gone: &Gone,
) -> Result<Vec<Vec<u8>>, Failure> {
    let registries = registry.open()?;
    let mut attached = Vec::new();
    for found in registries.resolve(image, &Which::All).await? {
        let repository = registries.attestations(&found.reference)?;
        let wanted = Wanted {
            look: Look::Thorough,
            ..Wanted::default()
        };
        let digest = &found.descriptor.digest;
        let collected = collect::collect(&repository, digest, wanted)
            .await
            .map_err(collect_failure)?;
        let missing = collected
            .gone
            .iter()
            .map(|digest| format!("{digest} is listed and not there"));
        gone.borrow_mut().extend(missing);
        for candidate in collected.into_candidates() {
            match candidate.found {
                Found::Bytes(Ok(bytes)) => attached.push(bytes),
                Found::Bytes(Err(damage)) => gone.borrow_mut().push(damage.to_string()),
                // Pieces of before bundles have no bytes of their own to be kept.
                Found::Pieces(_) => {
                    let digest = candidate.digest;
                    let what = format!(
                        "{digest} is an attestation in the form of before bundles, which is not archived"
                    );
                    gone.borrow_mut().push(what);
                }
            }
        }
    }
    Ok(attached)
}

/// Returns the rule for attestations by these kept keys; none where there is no key.
pub(super) fn kept_keys(paths: &[PathBuf]) -> Result<Option<KeyRule>, Failure> {
    let mut keys: Vec<ManagedKey> = Vec::new();
    for path in paths {
        let text = fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
        let key = PublicKey::from_pem(&text);
        let key = key.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        keys.push(key.into());
    }
    Ok((!keys.is_empty()).then(|| KeyRule::strict(keys)))
}

/// Who may have signed attestations.
pub(super) struct Rule {
    pub(super) policy: Policy,
    /// SHA-256 of the policy's file.
    pub(super) digest: Option<[u8; 32]>,
}

impl Rule {
    /// Nothing comes in.
    pub(super) fn none() -> Self {
        let policy = Policy::for_certificates(IdentityRule::NotGiven);
        Self {
            policy,
            digest: None,
        }
    }
}

/// How much comes in, and how much of it was taken.
pub(super) struct Load {
    /// Bytes; 0 where nobody wants to know.
    total: u64,
    taken: Arc<AtomicU64>,
    estimate: Estimate,
}

/// Sums up sizes where somebody looks: a store has many, and nobody else wants to know.
fn sum(sizes: impl Iterator<Item = u64>) -> u64 {
    match terminal::is_watched() {
        true => sizes.sum(),
        false => 0,
    }
}

impl Load {
    /// Nothing comes in.
    pub(super) fn none() -> Self {
        Self::new(0)
    }

    /// Returns it with that nothing.
    pub(super) fn with_nothing(self) -> (Incoming<'static>, Self) {
        (Box::pin(stream::empty()), self)
    }

    fn new(total: u64) -> Self {
        Self {
            total,
            taken: Arc::default(),
            estimate: Estimate::new(),
        }
    }

    fn of(
        attestations: impl Iterator<Item = Result<Vec<u8>, ArchiveError>> + 'static,
        total: u64,
    ) -> (Incoming<'static>, Self) {
        let load = Self::new(total);
        let taken = Arc::clone(&load.taken);
        let counted = attestations.inspect(move |each| {
            let bytes = each.as_ref().map_or(0, Vec::len) as u64;
            taken.fetch_add(bytes, Ordering::Relaxed);
        });
        (
            Box::pin(stream::iter(counted.map(|each| each.map(Arrival::from)))),
            load,
        )
    }

    pub(super) fn left(&self) -> String {
        let taken = self.taken.load(Ordering::Relaxed);
        self.estimate.left(taken, self.total)
    }
}

/// Returns the files of a folder that may be attestations, or the file itself.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| Failure::io("read", path, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| Failure::io("read", path, &error))?
            .path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_file() && matches!(ending, Some("json" | "jsonl")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
