//! Push: blobs in every way in which they come, and manifests that name only what is there.

use super::*;

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
