//! Attestations beside an image in a registry that keeps no list of referrers: many writers at once lose nothing, also
//! with a writer of another make among them, and garbage collection takes nothing.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

use std::sync::Arc;

use bytes::Bytes;
use stella_attest::collect::{self, Attested, Wanted};
use stella_attest::referrers::{self, Look};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_client::network::{Network, PlainHttp};
use stella_client::registry::credentials::Credential;
use stella_client::registry::{Registry, Repository};
use stella_client::retry::{RetryPolicy, Retrying};
use stella_testkit::docker_registry::DockerRegistry;
use stella_testkit::image::Image;
use stella_wire::registry::attachment::{self, Attachment, fallback_tag};
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, Manifest, RawManifest};

const WRITERS: usize = 16;

/// How often the race is run: a hundred times with `STELLA_RACES=100`.
fn races() -> usize {
    let asked = std::env::var("STELLA_RACES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(3)
}

fn repository(host: &str, name: &str) -> Repository {
    let network = Arc::new(Network::default());
    let policy = RetryPolicy {
        retries: 8,
        first_pause: std::time::Duration::from_millis(20),
        ..RetryPolicy::default()
    };
    let transport = Arc::new(Retrying::new(network, policy));
    let registry = Registry::new(
        transport,
        host,
        PlainHttp::LoopbackOnly,
        Credential::Anonymous,
    );
    Repository::new(Arc::new(registry), name)
}

async fn put_image(repository: &Repository) -> Descriptor {
    let image = Image::new(repository.name(), "amd64");
    image.push(repository, "v1").await.unwrap();
    put_blob(repository, attachment::EMPTY_CONFIG).await;
    image.manifest.descriptor()
}

async fn put_blob(repository: &Repository, bytes: &[u8]) {
    let digest = stella_bundle::digest::DigestAlgorithm::Sha256.digest(bytes);
    let put = repository.put_blob(&digest, Bytes::copy_from_slice(bytes));
    put.await.unwrap();
}

async fn attestation(repository: &Repository, subject: &Descriptor, number: usize) -> RawManifest {
    let bundle = format!("bundle {number}");
    put_blob(repository, bundle.as_bytes()).await;
    let attachment = Attachment::new(
        subject,
        bundle.as_bytes(),
        "https://e.x/p",
        "2026-01-01T00:00:00Z",
    );
    RawManifest::new(media::MANIFEST, attachment.manifest.into())
}

async fn attach(repository: Repository, subject: Descriptor, number: usize) {
    let manifest = attestation(&repository, &subject, number).await;
    let attached = referrers::attach(&repository, &subject.digest, &manifest);
    attached.await.unwrap();
}

/// Attaches as go-containerregistry does: read the index, add one, write it back, look no more.
async fn attach_without_looking(repository: Repository, subject: Descriptor, number: usize) {
    let manifest = attestation(&repository, &subject, number).await;
    let digest = manifest.digest.to_string();
    let put = repository.put_manifest(&digest, &manifest.media_type, manifest.bytes.clone());
    put.await.unwrap();
    let tag = fallback_tag(&subject.digest);
    let index = repository.manifest(&tag).await.unwrap();
    let mut listed = index.map_or(Vec::new(), |raw| raw.parse().unwrap().manifests().to_vec());
    listed.push(manifest.descriptor());
    let index = Manifest::index(media::INDEX.into(), listed).to_bytes();
    let put = repository.put_manifest(&tag, media::INDEX, index.into());
    put.await.unwrap();
}

/// Requires that every bundle that our writers attached is found.
async fn require_all(repository: &Repository, subject: &Digest, look: Look) {
    let wanted = Wanted {
        look,
        ..Wanted::default()
    };
    let collected = collect::collect(repository, subject, wanted).await.unwrap();
    for number in 0..WRITERS {
        let digest = DigestAlgorithm::Sha256.digest(format!("bundle {number}").as_bytes());
        let is_it = |each: &Attested| each.candidate.digest == digest;
        let found = collected.attested.iter().any(is_it);
        assert!(found, "{repository}: bundle {number} by {look:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_at_once_lose_nothing_and_neither_does_garbage_collection() {
    let folder = tempfile::tempdir().unwrap();
    let Some(registry) = DockerRegistry::start(folder.path()).unwrap() else {
        println!("skipped: docker-registry is not installed");
        return;
    };
    let mut subjects = Vec::new();
    for race in 0..races() {
        let repository = repository(registry.host(), &format!("race/{race}"));
        let subject = put_image(&repository).await;
        let mut writers = tokio::task::JoinSet::new();
        for number in 0..WRITERS {
            writers.spawn(attach(repository.clone(), subject.clone(), number));
            if number % 4 == 0 {
                let (repository, subject) = (repository.clone(), subject.clone());
                writers.spawn(attach_without_looking(repository, subject, 100 + number));
            }
        }
        while let Some(done) = writers.join_next().await {
            done.unwrap();
        }
        require_all(&repository, &subject.digest, Look::Thorough).await;
        // Whoever writes next heals the index for those who read nothing else.
        referrers::repair(&repository, &subject.digest)
            .await
            .unwrap();
        require_all(&repository, &subject.digest, Look::Index).await;
        subjects.push((repository.name().to_owned(), subject.digest));
    }
    registry.stop_and_collect_garbage().unwrap();
    let registry = DockerRegistry::start(folder.path()).unwrap().unwrap();
    for (name, subject) in subjects {
        let repository = repository(registry.host(), &name);
        require_all(&repository, &subject, Look::Thorough).await;
        // What the other's writers left in the index alone is gone; it is named, and repaired away.
        referrers::repair(&repository, &subject).await.unwrap();
        require_all(&repository, &subject, Look::Index).await;
    }
}
