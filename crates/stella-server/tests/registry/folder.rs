//! What the registry's folder must withstand: restarts, crashes, damage, many writers.

use super::*;

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
