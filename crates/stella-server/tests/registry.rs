//! The registry, by the categories of the distribution spec's conformance: pull, push, content discovery, content
//! management; and what its folder must withstand. In process, through `Transport`.
// tidy: long because the categories of the specification stand together.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

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

// Pull.

#[tokio::test]
async fn the_base_says_which_protocol_is_spoken() {
    let world = World::new();
    assert_eq!(world.get("/v2/").await.status(), StatusCode::OK);
    assert_eq!(world.get("/v2").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_manifest_is_pulled_by_tag_and_by_digest_byte_for_byte() {
    let world = World::new();
    let (image, bytes) = world.push_image("v1", b"layer").await;
    for name in ["v1".to_owned(), image.digest.to_string()] {
        let path = manifest_path(REPOSITORY, &name);
        let answer = world.get(&path).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.body(), &bytes);
        assert_eq!(text(&answer, "content-type"), media::MANIFEST);
        let head = world.ask(Method::HEAD, &path, &[], b"").await;
        assert_eq!(head.status(), StatusCode::OK);
        assert!(head.body().is_empty());
        for answer in [answer, head] {
            assert_eq!(text(&answer, "content-length"), bytes.len().to_string());
            assert_eq!(
                text(&answer, DOCKER_CONTENT_DIGEST),
                image.digest.to_string()
            );
        }
    }
}

#[tokio::test]
async fn a_blob_is_pulled_whole_and_in_parts() {
    let world = World::new();
    let digest = world.push_blob(REPOSITORY, b"0123456789").await;
    let path = blob_path(REPOSITORY, &digest);
    let whole = world.get(&path).await;
    assert_eq!(
        (whole.status(), &whole.body()[..]),
        (StatusCode::OK, &b"0123456789"[..])
    );
    assert_eq!(text(&whole, "accept-ranges"), "bytes");
    let head = world.ask(Method::HEAD, &path, &[], b"").await;
    assert_eq!(text(&head, "content-length"), "10");
    assert!(head.body().is_empty());

    let part = world
        .ask(Method::GET, &path, &[("range", "bytes=2-4")], b"")
        .await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(&part.body()[..], b"234");
    assert_eq!(text(&part, "content-range"), "bytes 2-4/10");
    assert_eq!(text(&part, "content-length"), "3");
    let beyond = world
        .ask(Method::GET, &path, &[("range", "bytes=10-")], b"")
        .await;
    require_refusal(
        &beyond,
        StatusCode::RANGE_NOT_SATISFIABLE,
        RefusalCode::SizeInvalid,
    );
    assert_eq!(text(&beyond, "content-range"), "bytes */10");
}

#[tokio::test]
async fn what_is_not_there_is_404_with_the_codes_of_the_specification() {
    let world = World::new();
    world.push_image("v1", b"layer").await;
    let stranger = DigestAlgorithm::Sha256.digest(b"stranger");
    for method in [Method::GET, Method::HEAD, Method::DELETE] {
        for (path, code) in [
            (blob_path(REPOSITORY, &stranger), RefusalCode::BlobUnknown),
            (
                manifest_path(REPOSITORY, &stranger.to_string()),
                RefusalCode::ManifestUnknown,
            ),
            (
                manifest_path(REPOSITORY, "v2"),
                RefusalCode::ManifestUnknown,
            ),
            (
                manifest_path(REPOSITORY, ".no-tag"),
                RefusalCode::ManifestUnknown,
            ),
            (manifest_path("other", "v1"), RefusalCode::ManifestUnknown),
        ] {
            let answer = world.ask(method.clone(), &path, &[], b"").await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{method} {path}");
            if method != Method::HEAD {
                require_refusal(&answer, StatusCode::NOT_FOUND, code);
            }
        }
    }
    let unknown = world.get(&tags_path("other")).await;
    require_refusal(&unknown, StatusCode::NOT_FOUND, RefusalCode::NameUnknown);
    let name = world.get(&tags_path("Other")).await;
    require_refusal(&name, StatusCode::BAD_REQUEST, RefusalCode::NameInvalid);
    let digest = world.get("/v2/a/blobs/sha256:00").await;
    require_refusal(&digest, StatusCode::BAD_REQUEST, RefusalCode::DigestInvalid);
}

// Push.

#[tokio::test]
async fn a_blob_is_pushed_by_post_then_put() {
    let world = World::new();
    let upload = world.begin().await;
    let digest = DigestAlgorithm::Sha256.digest(b"whole");
    let path = format!("{upload}?digest={digest}");
    let answer = world.ask(Method::PUT, &path, &[], b"whole").await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(text(&answer, "location"), blob_path(REPOSITORY, &digest));
    let pulled = world.get(text(&answer, "location")).await;
    assert_eq!(&pulled.body()[..], b"whole");
    let gone = world.get(&upload).await;
    require_refusal(&gone, StatusCode::NOT_FOUND, RefusalCode::BlobUploadUnknown);
}

#[tokio::test]
async fn a_blob_is_pushed_in_chunks_that_must_come_in_order() {
    let world = World::new();
    let upload = world.begin().await;
    let chunk = |range: &'static str| vec![("content-range", range)];
    let early = world
        .ask(Method::PATCH, &upload, &chunk("3-5"), b"def")
        .await;
    assert_eq!(early.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(text(&early, "range"), "0-0");
    let first = world
        .ask(Method::PATCH, &upload, &chunk("0-2"), b"abc")
        .await;
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    assert_eq!(text(&first, "range"), "0-2");
    for (range, body) in [("0-2", b"abc"), ("4-6", b"efg")] {
        let wrong = world.ask(Method::PATCH, &upload, &chunk(range), body).await;
        assert_eq!(wrong.status(), StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(text(&wrong, "range"), "0-2");
        assert_eq!(text(&wrong, "location"), upload);
    }
    let bad = world
        .ask(Method::PATCH, &upload, &chunk("bytes 3-5/9"), b"def")
        .await;
    assert_eq!(bad.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let status = world.get(&upload).await;
    assert_eq!(status.status(), StatusCode::NO_CONTENT);
    assert_eq!(text(&status, "range"), "0-2");
    let second = world.ask(Method::PATCH, &upload, &[], b"def").await;
    assert_eq!(second.status(), StatusCode::ACCEPTED);
    let digest = DigestAlgorithm::Sha256.digest(b"abcdefghi");
    let path = format!("{upload}?digest={digest}");
    let last = world.ask(Method::PUT, &path, &chunk("6-8"), b"ghi").await;
    assert_eq!(last.status(), StatusCode::CREATED, "{:?}", last.body());
    let pulled = world.get(&blob_path(REPOSITORY, &digest)).await;
    assert_eq!(&pulled.body()[..], b"abcdefghi");
}

#[tokio::test]
async fn a_chunk_that_is_not_as_long_as_it_says_leaves_nothing() {
    let world = World::new();
    let upload = world.begin().await;
    world.ask(Method::PATCH, &upload, &[], b"abc").await;
    let short = world
        .ask(Method::PATCH, &upload, &[("content-range", "3-9")], b"xyz")
        .await;
    require_refusal(&short, StatusCode::BAD_REQUEST, RefusalCode::SizeInvalid);
    assert_eq!(text(&world.get(&upload).await, "range"), "0-2");
    // What was taken back is in no digest, by no algorithm.
    for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512] {
        let digest = algorithm.digest(b"abcd");
        let upload = world.begin().await;
        world.ask(Method::PATCH, &upload, &[], b"abc").await;
        world
            .ask(Method::PATCH, &upload, &[("content-range", "3-9")], b"xyz")
            .await;
        let path = format!("{upload}?digest={digest}");
        let answer = world.ask(Method::PUT, &path, &[], b"d").await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{:?}", answer.body());
    }
}

#[tokio::test]
async fn a_blob_of_another_digest_is_refused_and_gone() {
    let world = World::new();
    let upload = world.begin().await;
    let digest = DigestAlgorithm::Sha256.digest(b"said");
    let answer = world.ask(Method::PUT, &upload, &[], b"sent").await;
    require_refusal(&answer, StatusCode::BAD_REQUEST, RefusalCode::DigestInvalid);
    let path = format!("{upload}?digest={digest}");
    let answer = world.ask(Method::PUT, &path, &[], b"sent").await;
    require_refusal(&answer, StatusCode::BAD_REQUEST, RefusalCode::DigestInvalid);
    let blob = world.get(&blob_path(REPOSITORY, &digest)).await;
    assert_eq!(blob.status(), StatusCode::NOT_FOUND);
    assert_eq!(world.get(&upload).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(files(&world.folder.path().join("temporary")), 0);
}

#[tokio::test]
async fn an_upload_is_given_up_and_belongs_to_its_repository() {
    let world = World::new();
    let upload = world.begin().await;
    let elsewhere = upload.replace(REPOSITORY, "other");
    let answer = world.ask(Method::PATCH, &elsewhere, &[], b"x").await;
    require_refusal(
        &answer,
        StatusCode::NOT_FOUND,
        RefusalCode::BlobUploadUnknown,
    );
    let given_up = world.ask(Method::DELETE, &upload, &[], b"").await;
    assert_eq!(given_up.status(), StatusCode::NO_CONTENT);
    let answer = world.ask(Method::PATCH, &upload, &[], b"x").await;
    require_refusal(
        &answer,
        StatusCode::NOT_FOUND,
        RefusalCode::BlobUploadUnknown,
    );
    assert_eq!(files(&world.folder.path().join("temporary")), 0);
}

#[tokio::test]
async fn a_blob_is_mounted_from_where_it_is_and_else_uploaded() {
    let world = World::new();
    let digest = world.push_blob("other/app", b"shared").await;
    let absent = world.get(&blob_path(REPOSITORY, &digest)).await;
    assert_eq!(absent.status(), StatusCode::NOT_FOUND);
    let mount = |from: &str, digest: &Digest| {
        format!("{}?mount={digest}&from={from}", uploads_path(REPOSITORY))
    };
    let mounted = world
        .ask(Method::POST, &mount("other/app", &digest), &[], b"")
        .await;
    assert_eq!(mounted.status(), StatusCode::CREATED);
    assert_eq!(text(&mounted, "location"), blob_path(REPOSITORY, &digest));
    let pulled = world.get(&blob_path(REPOSITORY, &digest)).await;
    assert_eq!(&pulled.body()[..], b"shared");
    assert_eq!(files(&world.folder.path().join("blobs/sha256")), 1);
    let stranger = DigestAlgorithm::Sha256.digest(b"stranger");
    for (from, digest) in [
        ("other/app", &stranger),
        ("nobody", &digest),
        ("../x", &digest),
    ] {
        let path = mount(from, digest);
        let answer = world.ask(Method::POST, &path, &[], b"").await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{from} {digest}");
        assert!(text(&answer, "location").starts_with(&uploads_path(REPOSITORY)));
    }
}

#[tokio::test]
async fn a_manifest_needs_what_it_names_but_not_its_subject() {
    let world = World::new();
    let config = describe(media::EMPTY, EMPTY_CONFIG);
    let layer = describe("application/x-layer", b"layer");
    let stranger = describe(media::MANIFEST, b"stranger");
    world.push_blob(REPOSITORY, EMPTY_CONFIG).await;
    let missing = image(config.clone(), vec![layer], None);
    let answer = world.put("v1", media::MANIFEST, &missing).await;
    require_refusal(
        &answer,
        StatusCode::BAD_REQUEST,
        RefusalCode::ManifestBlobUnknown,
    );
    let index = Manifest::index(media::INDEX.into(), vec![stranger.clone()]);
    let answer = world.put("v1", media::INDEX, &index.to_bytes()).await;
    require_refusal(
        &answer,
        StatusCode::BAD_REQUEST,
        RefusalCode::ManifestBlobUnknown,
    );
    let attached = image(config, vec![], Some(stranger.clone()));
    let answer = world.put("v1", media::MANIFEST, &attached).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(text(&answer, OCI_SUBJECT), stranger.digest.to_string());
}

#[tokio::test]
async fn a_manifest_that_is_none_or_not_as_it_says_is_refused() {
    let world = World::new();
    let (image, bytes) = world.push_image("v1", b"layer").await;
    let (bad, invalid) = (StatusCode::BAD_REQUEST, RefusalCode::ManifestInvalid);
    for (media_type, body) in [
        (media::MANIFEST, &b"no JSON"[..]),
        (media::MANIFEST, b"{}"),
        (media::INDEX, &bytes),
        ("text/plain", &bytes),
    ] {
        let answer = world.put("v2", media_type, body).await;
        require_refusal(&answer, bad, invalid);
    }
    let answer = world.put(".v2", media::MANIFEST, &bytes).await;
    require_refusal(&answer, bad, invalid);
    let other = DigestAlgorithm::Sha256.digest(b"other").to_string();
    let answer = world.put(&other, media::MANIFEST, &bytes).await;
    require_refusal(&answer, bad, RefusalCode::DigestInvalid);
    let answer = world
        .put("v2", media::MANIFEST, &vec![b' '; MAX_MANIFEST + 1])
        .await;
    require_refusal(
        &answer,
        StatusCode::PAYLOAD_TOO_LARGE,
        RefusalCode::SizeInvalid,
    );
    assert_eq!(world.tags("").await.0, ["v1"]);
    let longer = DigestAlgorithm::Sha512.digest(&bytes).to_string();
    let answer = world.put(&longer, media::MANIFEST, &bytes).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(text(&answer, DOCKER_CONTENT_DIGEST), longer);
    let pulled = world.get(&manifest_path(REPOSITORY, &longer)).await;
    assert_eq!(pulled.body().len() as u64, image.size);
}

#[tokio::test]
async fn layers_that_are_to_be_had_elsewhere_need_not_be_here() {
    let world = World::new();
    world.push_blob(REPOSITORY, EMPTY_CONFIG).await;
    let mut layer = describe("application/x-foreign", b"elsewhere");
    let urls = serde_json::json!(["https://example.com/layer"]);
    layer.rest.insert("urls".into(), urls);
    let bytes = image(describe(media::EMPTY, EMPTY_CONFIG), vec![layer], None);
    let answer = world.put("v1", media::MANIFEST, &bytes).await;
    assert_eq!(answer.status(), StatusCode::CREATED, "{:?}", answer.body());
}

#[tokio::test]
async fn pages_in_a_browser_may_not_write() {
    let world = World::new();
    let headers = [("origin", "https://evil.example")];
    let answer = world
        .ask(Method::POST, &uploads_path(REPOSITORY), &headers, b"")
        .await;
    require_refusal(&answer, StatusCode::FORBIDDEN, RefusalCode::Denied);
    let answer = world.ask(Method::POST, "/v2/", &[], b"").await;
    require_refusal(
        &answer,
        StatusCode::METHOD_NOT_ALLOWED,
        RefusalCode::Unsupported,
    );
}

// Content discovery.

#[tokio::test]
async fn tags_are_sorted_and_come_in_pages() {
    let world = World::new();
    for tag in ["v3", "V1", "v1", "a", "v2"] {
        world.push_image(tag, b"layer").await;
    }
    let all = ["V1", "a", "v1", "v2", "v3"];
    assert_eq!(
        world.tags("").await,
        (all.map(str::to_owned).to_vec(), String::new())
    );
    let (first, next) = world.tags("?n=2").await;
    assert_eq!(first, all[..2]);
    let query = next.strip_prefix(&tags_path(REPOSITORY)).unwrap();
    let (second, next) = world.tags(query).await;
    assert_eq!(second, all[2..4]);
    let query = next.strip_prefix(&tags_path(REPOSITORY)).unwrap();
    let (third, next) = world.tags(query).await;
    assert_eq!(
        (third.as_slice(), next.as_str()),
        (&["v3".to_owned()][..], "")
    );
    assert_eq!(world.tags("?n=5").await.1, "");
    assert_eq!(world.tags("?n=0").await, (vec![], String::new()));
    assert_eq!(world.tags("?last=v1").await.0, all[3..]);
    assert_eq!(world.tags("?last=b").await.0, all[2..]);
    let answer = world.get(&format!("{}?n=x", tags_path(REPOSITORY))).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn repositories_are_listed_in_pages() {
    let world = World::new();
    for repository in ["b/c", "a", "b"] {
        world.push_blob(repository, EMPTY_CONFIG).await;
        let bytes = image(describe(media::EMPTY, EMPTY_CONFIG), vec![], None);
        let headers = [("content-type", media::MANIFEST)];
        let path = manifest_path(repository, "v1");
        world.ask(Method::PUT, &path, &headers, &bytes).await;
    }
    world.push_blob("only/blobs", b"x").await;
    let answer = world.get("/v2/_catalog?n=2").await;
    assert_eq!(&answer.body()[..], br#"{"repositories":["a","b"]}"#);
    let next = next_page(text(&answer, "link")).unwrap();
    let answer = world.get(next).await;
    assert_eq!(&answer.body()[..], br#"{"repositories":["b/c"]}"#);
    assert_eq!(text(&answer, "link"), "");
}

#[tokio::test]
async fn referrers_of_an_unknown_subject_are_an_empty_index() {
    let world = World::new();
    let stranger = DigestAlgorithm::Sha256.digest(b"stranger");
    assert_eq!(world.referrers(&stranger, "").await, (vec![], 1));
    let answer = world.get("/v2/a/referrers/sha256:00").await;
    require_refusal(&answer, StatusCode::BAD_REQUEST, RefusalCode::DigestInvalid);
}

#[tokio::test]
async fn referrers_carry_type_and_annotations_and_are_filtered() {
    let world = World::new();
    let (subject, _) = world.push_image("v1", b"layer").await;
    let attached = world.attach(&subject, b"bundle").await;
    let config = describe(media::EMPTY, EMPTY_CONFIG);
    let other = image(config, vec![], Some(subject.clone()));
    world.put("other", media::MANIFEST, &other).await;

    let (all, _) = world.referrers(&subject.digest, "").await;
    assert_eq!(all.len(), 2);
    assert!(all.contains(&attached));
    let of_config = all.iter().find(|one| **one != attached).unwrap();
    assert_eq!(of_config.artifact_type.as_deref(), Some(media::EMPTY));
    for encoded in [BUNDLE.to_owned(), BUNDLE.replace('+', "%2B")] {
        let query = format!("?artifactType={encoded}");
        let (found, _) = world.referrers(&subject.digest, &query).await;
        assert_eq!(found, std::slice::from_ref(&attached), "{query}");
        let path = format!("{}{query}", referrers_path(REPOSITORY, &subject.digest));
        let answer = world.get(&path).await;
        assert_eq!(text(&answer, OCI_FILTERS_APPLIED), "artifactType");
    }
    let (none, _) = world.referrers(&subject.digest, "?artifactType=a/b").await;
    assert_eq!(none, []);
}

#[tokio::test]
async fn referrers_come_in_bounded_pages_none_lost_and_none_twice() {
    let world = World::with_pages_of(3);
    let (subject, _) = world.push_image("v1", b"layer").await;
    let mut attached = Vec::new();
    for number in 0..7_u8 {
        attached.push(world.attach(&subject, &[number]).await);
    }
    attached.sort_by(|one, other| one.digest.cmp(&other.digest));
    let expected = (attached.clone(), 3);
    assert_eq!(world.referrers(&subject.digest, "").await, expected);
    let query = format!("?artifactType={BUNDLE}");
    assert_eq!(world.referrers(&subject.digest, &query).await, expected);
    assert_eq!(world.referrers(&subject.digest, "?n=100").await, expected);
}

#[tokio::test]
async fn a_pages_bytes_are_bounded_too() {
    let world = World::new();
    let (subject, _) = world.push_image("v1", b"layer").await;
    let mut attached = 0;
    for number in 0..8_u8 {
        let config = describe(media::EMPTY, EMPTY_CONFIG);
        let bytes = image(config, vec![], Some(subject.clone()));
        let mut manifest = Manifest::parse(&bytes, "").unwrap();
        // The last one alone would be more than a page: it is listed without its annotations.
        let length = if number == 7 { 3 << 20 } else { 400 << 10 };
        let note = (char::from(b'a' + number)).to_string().repeat(length);
        manifest.annotations.insert("note".into(), note);
        let answer = world
            .put(&format!("t{number}"), media::MANIFEST, &manifest.to_bytes())
            .await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        attached += 1;
    }
    let (found, pages) = world.referrers(&subject.digest, "").await;
    assert_eq!((found.len(), pages), (attached, 2));
    let bare = found.iter().filter(|one| one.annotations.is_empty());
    assert_eq!(bare.count(), 1);
}

#[tokio::test]
async fn what_a_fallback_tag_lists_counts_once() {
    let world = World::new();
    let (subject, _) = world.push_image("v1", b"layer").await;
    let attached = world.attach(&subject, b"bundle").await;
    // One that names no subject, but that a client listed under the fallback tag.
    let (listed, _) = world.push_image("listed", b"statement").await;
    let index = Manifest::index(media::INDEX.into(), vec![attached.clone(), listed.clone()]);
    let tag = fallback_tag(&subject.digest);
    let answer = world.put(&tag, media::INDEX, &index.to_bytes()).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let (found, _) = world.referrers(&subject.digest, "").await;
    assert_eq!(found.len(), 2);
    assert!(found.contains(&attached));
    assert!(found.iter().any(|one| one.digest == listed.digest));
}

// Content management.

#[tokio::test]
async fn a_deleted_tag_leaves_its_manifest() {
    let world = World::new();
    let (image, _) = world.push_image("v1", b"layer").await;
    world.push_image("v2", b"layer").await;
    let path = manifest_path(REPOSITORY, "v1");
    let deleted = world.ask(Method::DELETE, &path, &[], b"").await;
    assert_eq!(deleted.status(), StatusCode::ACCEPTED);
    assert_eq!(world.get(&path).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(world.tags("").await.0, ["v2"]);
    let path = manifest_path(REPOSITORY, &image.digest.to_string());
    assert_eq!(world.get(&path).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_deleted_manifest_is_in_no_list_any_more() {
    let world = World::new();
    let (subject, _) = world.push_image("v1", b"layer").await;
    let attached = world.attach(&subject, b"bundle").await;
    let kept = world.attach(&subject, b"kept").await;
    let path = manifest_path(REPOSITORY, &attached.digest.to_string());
    for expected in [StatusCode::ACCEPTED, StatusCode::NOT_FOUND] {
        let answer = world.ask(Method::DELETE, &path, &[], b"").await;
        assert_eq!(answer.status(), expected);
    }
    let listed = world.referrers(&subject.digest, "").await.0;
    assert_eq!(listed, std::slice::from_ref(&kept));
    let path = manifest_path(REPOSITORY, &subject.digest.to_string());
    world.ask(Method::DELETE, &path, &[], b"").await;
    assert_eq!(world.tags("").await.0, Vec::<String>::new());
    let answer = world.get(&manifest_path(REPOSITORY, "v1")).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    // What is attached to it is somebody else's, and stays.
    assert_eq!(world.referrers(&subject.digest, "").await.0, [kept]);
}

#[tokio::test]
async fn a_deleted_blob_goes_from_its_repository_only() {
    let world = World::new();
    let digest = world.push_blob("a", b"shared").await;
    world.push_blob("b", b"shared").await;
    let path = blob_path("a", &digest);
    for expected in [StatusCode::ACCEPTED, StatusCode::NOT_FOUND] {
        let answer = world.ask(Method::DELETE, &path, &[], b"").await;
        assert_eq!(answer.status(), expected);
    }
    assert_eq!(world.get(&path).await.status(), StatusCode::NOT_FOUND);
    let world = world.reopened();
    let pulled = world.get(&blob_path("b", &digest)).await;
    assert_eq!(&pulled.body()[..], b"shared");
    world
        .ask(Method::DELETE, &blob_path("b", &digest), &[], b"")
        .await;
    let world = world.reopened();
    assert_eq!(files(&world.folder.path().join("blobs/sha256")), 0);
}

// The folder.

#[tokio::test]
async fn everything_is_there_again_after_a_restart() {
    let world = World::new();
    let (subject, bytes) = world.push_image("v1", b"layer").await;
    let attached = world.attach(&subject, b"bundle").await;
    let world = world.reopened();
    let pulled = world.get(&manifest_path(REPOSITORY, "v1")).await;
    assert_eq!(pulled.body(), &bytes);
    assert_eq!(world.referrers(&subject.digest, "").await.0, [attached]);
    let layer = DigestAlgorithm::Sha256.digest(b"layer");
    let pulled = world.get(&blob_path(REPOSITORY, &layer)).await;
    assert_eq!(&pulled.body()[..], b"layer");
}

#[tokio::test]
async fn what_a_crash_left_unfinished_goes_at_the_next_open() {
    let world = World::new();
    let (subject, _) = world.push_image("v1", b"layer").await;
    let upload = world.begin().await;
    world.ask(Method::PATCH, &upload, &[], b"half").await;
    let folder = world.folder.path().to_owned();
    std::fs::write(folder.join("temporary/99"), b"half").unwrap();
    let stranger = DigestAlgorithm::Sha256.digest(b"nobody has it").hex();
    let blobs = folder.join("blobs/sha256");
    std::fs::write(blobs.join(stranger), b"nobody has it").unwrap();
    let before = files(&blobs);
    let world = world.reopened();
    assert_eq!(files(&folder.join("temporary")), 0);
    assert_eq!(files(&blobs), before - 1);
    let path = manifest_path(REPOSITORY, &subject.digest.to_string());
    assert_eq!(world.get(&path).await.status(), StatusCode::OK);
    let gone = world.ask(Method::PATCH, &upload, &[], b"more").await;
    require_refusal(&gone, StatusCode::NOT_FOUND, RefusalCode::BlobUploadUnknown);
}

#[tokio::test]
async fn a_damaged_manifest_is_never_served_and_can_be_pushed_again() {
    let world = World::new();
    let (image, bytes) = world.push_image("v1", b"layer").await;
    let content = world
        .folder
        .path()
        .join("blobs/sha256")
        .join(image.digest.hex());
    std::fs::write(&content, b"damaged").unwrap();
    let path = manifest_path(REPOSITORY, "v1");
    let answer = world.get(&path).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    world.put("v1", media::MANIFEST, &bytes).await;
    assert_eq!(world.get(&path).await.body(), &bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_writers_at_once_lose_nothing() {
    let world = World::new();
    let (subject, _) = world.push_image("v1", b"layer").await;
    let world = std::sync::Arc::new(world);
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..16_u8 {
        let (world, subject) = (std::sync::Arc::clone(&world), subject.clone());
        writers.spawn(async move {
            for round in 0..4_u8 {
                world.attach(&subject, &[number, round]).await;
            }
            world.push_image(&format!("t{number}"), &[number]).await;
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let (found, _) = world.referrers(&subject.digest, "").await;
    assert_eq!(found.len(), 64);
    assert_eq!(world.tags("").await.0.len(), 17);
}

#[tokio::test]
async fn a_folder_has_one_registry_at_a_time() {
    let world = World::new();
    let again = Registry::open(world.folder.path(), RegistryOptions::default());
    assert!(matches!(again, Err(RegistryError::Locked { .. })));
}

#[tokio::test]
async fn an_instance_has_a_registry_when_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("instance");
    let options = InitOptions {
        url: "http://127.0.0.1:8123".parse().unwrap(),
        now: stella_bundle::time::UnixTime::from_millis(1_795_176_000_123),
    };
    Sigstore::init(&directory, &options).unwrap();
    let open = |own_registry| {
        let options = Options {
            own_registry,
            ..Options::default()
        };
        Sigstore::open(&directory, options)
    };
    let sigstore = open(OwnRegistry::Offer).await.unwrap();
    let digest = DigestAlgorithm::Sha256.digest(b"blob");
    let path = format!("{}?digest={digest}", uploads_path("a"));
    let answer = ask(&sigstore, Method::POST, &path, &[], b"blob").await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert!(directory.join("registry/blobs/sha256").is_dir());
    sigstore.close();
    drop(sigstore);
    let sigstore = open(OwnRegistry::Withhold).await.unwrap();
    let request = http::Request::get("http://127.0.0.1:8123/v2/");
    let answer = sigstore.send(request.body(Bytes::new()).unwrap()).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(!answer.headers().contains_key(header::LINK));
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}
