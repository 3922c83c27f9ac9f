//! Pull: manifests and blobs are read by name, whole and in part.

use super::*;

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
