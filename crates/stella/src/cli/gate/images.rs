//! Images as artifacts: their attestations are collected from the registry before anything is judged.

use std::path::PathBuf;

use futures_util::stream::{self, StreamExt as _};
use stella_attest::collect::{self, Collected, MAX_ATTESTATIONS, Wanted};
use stella_attest::image::{Image, Which};
use stella_attest::referrers::Look;
use stella_attest::verify::Question;
use stella_policy::policy::Policy;
use stella_wire::registry::{Descriptor, Reference};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use super::from;
use crate::cli::runtime;
use crate::exit::{self, Failure};
use crate::registry::{self, Registries, RegistryFlags, WhichFlags};
use crate::terminal::Progress;

/// So many images are asked for at once.
const AT_ONCE: usize = 8;

/// Images to judge, and how closely to look.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageFlags {
    /// An image: REGISTRY/REPO:TAG or REGISTRY/REPO@DIGEST; its attestations are read from the registry. May be given more than once
    #[arg(long = "image", value_name = "REFERENCE")]
    images: Vec<String>,

    /// Judge every image that this file names: a Dockerfile, a compose file, Kubernetes manifests, or one image a line
    #[arg(long = "from", value_name = "FILE")]
    from: Vec<PathBuf>,

    #[command(flatten)]
    which: WhichFlags,

    /// Judge images by the attestations of this index, which must list them
    #[arg(long, value_name = "REFERENCE")]
    via_index: Option<String>,

    #[command(flatten)]
    registry: RegistryFlags,

    /// Look at every tag of a registry that keeps no list of referrers, instead of only where the index has too little
    #[arg(long)]
    thorough: bool,

    /// Refuse an image with more attestations than this
    #[arg(long, value_name = "COUNT", default_value_t = MAX_ATTESTATIONS)]
    max_attestations: usize,
}

impl ImageFlags {
    /// Returns how registries are reached.
    pub(super) const fn registry(&self) -> &RegistryFlags {
        &self.registry
    }

    /// Returns the images that were named: by flags, in files, among the artifacts (`NAME@sha256:…` is no file).
    pub(super) fn named(&self, given: &[String]) -> Result<Vec<String>, Failure> {
        let by_digest = given.iter().filter(|text| is_image(text));
        let mut named: Vec<String> = self.images.iter().chain(by_digest).cloned().collect();
        for path in &self.from {
            named.extend(from::images_in(path)?);
        }
        Ok(named)
    }
}

/// Says whether an artifact's name is an image's: by digest, and no file is called so.
pub(super) fn is_image(given: &str) -> bool {
    given.contains('@')
        && Reference::parse(given).is_ok_and(|reference| reference.digest().is_some())
        && !std::path::Path::new(given).exists()
}

/// An image on its way to the rules.
pub(super) struct Asked {
    /// What to call it in reports.
    pub(super) name: String,
    /// What is asked.
    pub(super) question: Result<Question, Failure>,
    /// The image whose registry may know more than was collected.
    pub(super) again: Option<Image>,
}

/// The registries, and what to look for in them.
pub(super) struct Images<'a> {
    flags: &'a ImageFlags,
    policy: &'a Policy,
    registries: Registries,
    /// The index of `--via-index` and everything in it, once it was asked for.
    index: OnceCell<Vec<Image>>,
    runtime: Runtime,
}

impl<'a> Images<'a> {
    /// Prepares to reach registries. Only a command that names an image comes here: files never open a socket.
    pub(super) fn open(flags: &'a ImageFlags, policy: &'a Policy) -> Result<Self, Failure> {
        Ok(Self {
            flags,
            policy,
            registries: flags.registry.open()?,
            index: OnceCell::new(),
            runtime: runtime()?,
        })
    }

    /// Finds what each name means and collects what speaks of it, several at once; what fails, fails for its own name.
    pub(super) fn ask(&self, names: &[String]) -> Vec<Asked> {
        self.runtime.block_on(async {
            let resolved = stream::iter(names).map(|name| async move {
                let images = self.resolve(name).await;
                images.map_err(|failure| (name.clone(), failure))
            });
            let resolved: Vec<_> = resolved.buffered(AT_ONCE).collect().await;
            let images: Vec<_> = resolved
                .into_iter()
                .flat_map(|found| match found {
                    Ok(images) => images.into_iter().map(Ok).collect(),
                    Err(failed) => vec![Err(failed)],
                })
                .collect();
            let progress = Progress::new("asked for", images.len());
            let asked = stream::iter(images)
                .map(|found| self.ask_one(found))
                .buffered(AT_ONCE)
                .inspect(|_| progress.step());
            let asked = asked.collect().await;
            progress.end();
            asked
        })
    }

    /// Finds what a name means. A digest is enough to collect and to judge: the image itself is not asked for.
    async fn resolve(&self, name: &str) -> Result<Vec<Image>, Failure> {
        let which = self.flags.which.which();
        let reference = registry::parse(name)?;
        match reference.digest() {
            Some(digest) if which == Which::Itself => Ok(vec![Image {
                descriptor: Descriptor::new("", digest.clone(), 0),
                reference: reference.with_digest(digest),
            }]),
            _ => self.registries.resolve(name, &which).await,
        }
    }

    async fn ask_one(&self, found: Result<Image, (String, Failure)>) -> Asked {
        let look = match self.flags.thorough {
            true => Look::Thorough,
            false => Look::Index,
        };
        let failed = |name, failure| Asked {
            name,
            question: Err(failure),
            again: None,
        };
        let image = match found {
            Ok(image) => image,
            Err((name, failure)) => return failed(name, failure),
        };
        let name = image.reference.to_string();
        match self.collect(&image, look).await {
            Ok((question, is_thorough)) => Asked {
                name,
                question: Ok(question),
                again: (!is_thorough).then_some(image),
            },
            Err(failure) => failed(name, failure),
        }
    }

    /// Looks more closely at an image that did not pass.
    pub(super) fn ask_again(&self, image: &Image) -> Result<Question, Failure> {
        let again = self.runtime.block_on(self.collect(image, Look::Thorough));
        again.map(|(question, _)| question)
    }

    /// Returns how many requests were sent and how many bytes came back.
    pub(super) fn traffic(&self) -> (u64, u64) {
        self.registries.traffic()
    }

    async fn collect(&self, image: &Image, look: Look) -> Result<(Question, bool), Failure> {
        let judged_by = self.judged_by(image).await?;
        let repository = self.registries.attestations(&judged_by.reference)?;
        let wanted = Wanted {
            matters: &|predicate_type| self.policy.may_weigh(predicate_type),
            look,
            most: self.flags.max_attestations,
            cache: self.registries.cache(),
        };
        let subject = &judged_by.descriptor.digest;
        let collected: Collected = collect::collect(&repository, subject, wanted)
            .await
            .map_err(registry::collect_failure)?;
        let is_thorough = collected.is_thorough;
        registry::tell_gone(&image.reference, &collected);
        let question = Question {
            artifact: vec![subject.clone()],
            content: None,
            candidates: collected.into_candidates(),
        };
        Ok((question, is_thorough))
    }

    /// Returns the image whose attestations decide: itself, or an index that lists it.
    async fn judged_by(&self, image: &Image) -> Result<Image, Failure> {
        let Some(index) = &self.flags.via_index else {
            return Ok(image.clone());
        };
        let resolve = || self.registries.resolve(index, &Which::All);
        let listed = self.index.get_or_try_init(resolve).await?;
        let is_listed = listed
            .iter()
            .any(|each| each.descriptor.digest == image.descriptor.digest);
        match listed.first() {
            Some(index) if is_listed => Ok(index.clone()),
            _ => Err(Failure::new(
                exit::NO_ATTESTATION,
                format!("{index} does not list {}", image.descriptor.digest),
            )
            .hint("name the index that this image was taken from, by its tag or digest")),
        }
    }
}
