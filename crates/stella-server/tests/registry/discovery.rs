//! Content discovery: tags, repositories and referrers, in pages.

use super::*;

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
