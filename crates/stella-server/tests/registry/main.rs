//! The registry, by the categories of the distribution spec's conformance: pull, push, content discovery, content
//! management; and what its folder must withstand. In process, through `Transport`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod discovery;
mod folder;
mod management;
mod pull;
mod push;

use std::path::Path;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_server::{
    InitOptions, Options, OwnRegistry, Registry, RegistryError, RegistryOptions, Sigstore,
};
use stella_wire::registry::attachment::{Attachment, BUNDLE, EMPTY_CONFIG, fallback_tag};
use stella_wire::registry::manifest::media;
use stella_wire::registry::{
    DOCKER_CONTENT_DIGEST, Descriptor, MAX_MANIFEST, Manifest, OCI_FILTERS_APPLIED, OCI_SUBJECT,
    Refusal, RefusalCode, TagList, blob_path, manifest_path, next_page, referrers_path, tags_path,
    uploads_path,
};
use stella_wire::{Request, Response, Transport};
use tempfile::TempDir;

const REPOSITORY: &str = "team/app";

struct World {
    registry: Registry,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self::with_pages_of(RegistryOptions::default().page)
    }

    fn with_pages_of(page: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(folder.path(), RegistryOptions { page }).unwrap();
        Self { registry, folder }
    }

    fn reopened(self) -> Self {
        let Self { registry, folder } = self;
        drop(registry);
        let registry = Registry::open(folder.path(), RegistryOptions::default()).unwrap();
        Self { registry, folder }
    }

    async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path, &[], b"").await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        ask(&self.registry, method, path, headers, body).await
    }

    async fn push_blob(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = DigestAlgorithm::Sha256.digest(content);
        let path = format!("{}?digest={digest}", uploads_path(repository));
        let answer = self.ask(Method::POST, &path, &[], content).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{:?}", answer.body());
        digest
    }

    async fn put(&self, name: &str, media_type: &str, bytes: &[u8]) -> Response {
        let path = manifest_path(REPOSITORY, name);
        let headers = [("content-type", media_type)];
        self.ask(Method::PUT, &path, &headers, bytes).await
    }

    /// Pushes an image of one layer, under a tag.
    async fn push_image(&self, tag: &str, layer: &[u8]) -> (Descriptor, Vec<u8>) {
        let layers = vec![describe("application/x-layer", layer)];
        let config = describe(media::EMPTY, EMPTY_CONFIG);
        self.push_blob(REPOSITORY, layer).await;
        self.push_blob(REPOSITORY, EMPTY_CONFIG).await;
        let bytes = image(config, layers, None);
        let answer = self.put(tag, media::MANIFEST, &bytes).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{:?}", answer.body());
        (describe(media::MANIFEST, &bytes), bytes)
    }

    /// Attaches a bundle to a subject.
    async fn attach(&self, subject: &Descriptor, bundle: &[u8]) -> Descriptor {
        let attachment = Attachment::new(subject, bundle, "https://e.x/p", "2026-01-02T03:04:05Z");
        self.push_blob(REPOSITORY, bundle).await;
        self.push_blob(REPOSITORY, EMPTY_CONFIG).await;
        let name = attachment.descriptor.digest.to_string();
        let answer = self.put(&name, media::MANIFEST, &attachment.manifest).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{:?}", answer.body());
        assert_eq!(text(&answer, OCI_SUBJECT), subject.digest.to_string());
        attachment.descriptor
    }

    /// Lists referrers, page after page; returns them and the number of pages.
    async fn referrers(&self, subject: &Digest, query: &str) -> (Vec<Descriptor>, usize) {
        let mut path = format!("{}{query}", referrers_path(REPOSITORY, subject));
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let answer = self.get(&path).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(text(&answer, "content-type"), media::INDEX);
            let page = Manifest::parse(answer.body(), media::INDEX).unwrap();
            found.extend_from_slice(page.manifests());
            pages += 1;
            match next_page(text(&answer, "link")) {
                Some(next) => path = next.to_owned(),
                None => return (found, pages),
            }
        }
    }

    async fn tags(&self, query: &str) -> (Vec<String>, String) {
        let path = format!("{}{query}", tags_path(REPOSITORY));
        let answer = self.get(&path).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let next = next_page(text(&answer, "link")).unwrap_or_default();
        (TagList::parse(answer.body()).unwrap().tags, next.to_owned())
    }

    async fn begin(&self) -> String {
        let path = uploads_path(REPOSITORY);
        let answer = self.ask(Method::POST, &path, &[], b"").await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        text(&answer, "location").to_owned()
    }
}

async fn ask(
    transport: &dyn Transport,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("http://registry.example{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request: Request = request.body(Bytes::copy_from_slice(body)).unwrap();
    let answer = transport.send(request).await.unwrap();
    assert_eq!(
        text(&answer, "docker-distribution-api-version"),
        "registry/2.0"
    );
    answer
}

fn text<'a>(answer: &'a Response, header: &str) -> &'a str {
    let value = answer.headers().get(header);
    value.map_or("", |value| value.to_str().unwrap())
}

fn describe(media_type: &str, content: &[u8]) -> Descriptor {
    let digest = DigestAlgorithm::Sha256.digest(content);
    Descriptor::new(media_type, digest, content.len() as u64)
}

fn image(config: Descriptor, layers: Vec<Descriptor>, subject: Option<Descriptor>) -> Vec<u8> {
    let manifest = Manifest {
        media_type: media::MANIFEST.into(),
        artifact_type: None,
        kind: stella_wire::registry::ManifestKind::Image { config, layers },
        subject,
        annotations: std::collections::BTreeMap::new(),
    };
    manifest.to_bytes()
}

fn require_refusal(answer: &Response, status: StatusCode, code: RefusalCode) {
    assert_eq!(answer.status(), status, "{:?}", answer.body());
    let refusal = Refusal::parse(answer.body()).unwrap();
    assert!(refusal.has(code), "{:?}", answer.body());
    assert_eq!(text(answer, "content-type"), "application/json");
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}
