//! Content management: what is deleted is gone from every list, and nothing else is.

use super::*;

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
    let (left, _) = world.referrers(&subject.digest, "").await;
    assert_eq!(left, std::slice::from_ref(&kept));
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
