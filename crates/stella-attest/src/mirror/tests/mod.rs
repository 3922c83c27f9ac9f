//! Copies between memory, folders and files: complete, resumable, and nothing twice.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod place;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use stella_bundle::digest::{Digest, DigestAlgorithm, DigestStream};
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, Manifest, ManifestError, attachment};

use super::*;
use crate::layout::{Layout, LayoutError};
use crate::storage::{PART, StorageError};
use place::{Around, Lie, Memory};

#[test]
fn a_repository_gets_tags_and_no_whole_names() {
    let digest = DigestAlgorithm::Sha256.digest(b"").to_string();
    for (name, tag) in [
        ("v1", Some("v1")),
        ("ghcr.io/a/b:v1", Some("v1")),
        ("ghcr.io/a/b", None),
        (&digest, None),
    ] {
        let item = Item::in_repository(name);
        assert_eq!((item.source.as_str(), item.tag.as_deref()), (name, tag));
    }
}

async fn items(source: &Arc<impl Storage + ?Sized>) -> Vec<Item> {
    let images = source.images().await.unwrap();
    images.iter().map(|name| Item::same(name)).collect()
}

async fn copy(
    source: &Arc<impl Storage + 'static>,
    destination: &Arc<impl Storage + 'static>,
) -> Result<Summary, MirrorError> {
    let options = Options {
        parallel: 1,
        watcher: None,
    };
    let items = items(source).await;
    sync(source.clone(), destination.clone(), &items, &options).await
}

/// Copies twice; the second time nothing is transferred.
async fn copy_twice(
    source: &Arc<impl Storage + 'static>,
    destination: &Arc<impl Storage + 'static>,
) -> Summary {
    let first = copy(source, destination).await.unwrap();
    let second = copy(source, destination).await.unwrap();
    let transfers = |count: Count| count.copied;
    assert_eq!(transfers(second.blobs), 0);
    assert_eq!(transfers(second.manifests), 0);
    assert_eq!(transfers(second.tags), 0);
    assert_eq!(second.bytes, 0);
    let (items, options) = (items(source).await, Options::default());
    let lacks = diff(source.clone(), destination.clone(), &items, &options).await;
    assert_eq!(lacks.unwrap(), []);
    first
}

fn folder(path: &Path) -> Arc<Layout> {
    Arc::new(Layout::create_folder(path).unwrap())
}

fn tar(path: &Path) -> Arc<Layout> {
    Arc::new(Layout::create_tar(path).unwrap())
}

fn open(path: &Path) -> Arc<Layout> {
    Arc::new(Layout::open(path).unwrap())
}

#[tokio::test]
async fn an_image_crosses_with_all_that_belongs_to_it_and_only_once() {
    let home = tempfile::tempdir().unwrap();
    let source = Memory::example();
    let first = copy_twice(&source, &folder(&home.path().join("folder"))).await;
    assert_eq!(first.images, 1);
    assert_eq!(first.manifests.copied, 7);
    assert_eq!(first.blobs.copied, 9);
    assert_eq!(first.tags.copied, 2);
    assert_eq!(first.bytes, first.bytes_expected);
    let saved = open(&home.path().join("folder"));
    copy_twice(&saved, &tar(&home.path().join("file.tar"))).await;
    let loaded = Arc::new(Memory::default());
    copy_twice(&open(&home.path().join("file.tar")), &loaded).await;
    assert_eq!(loaded.digests(), source.digests());
    assert_eq!(*loaded.tags.lock().unwrap(), *source.tags.lock().unwrap());
    assert!(!home.path().join("file.tar.partial").exists());
}

#[tokio::test]
async fn what_is_new_at_the_source_is_added_to_what_is_there() {
    let home = tempfile::tempdir().unwrap();
    let source = Memory::example();
    let (place, file) = (home.path().join("folder"), home.path().join("file.tar"));
    copy_twice(&source, &folder(&place)).await;
    copy_twice(&source, &tar(&file)).await;
    let other = source.add_image(&["shared", "other"], None);
    source.add_image(&["about the other"], Some(&other));
    source.tag("v2", &other);
    for destination in [folder(&place), tar(&file)] {
        let second = copy_twice(&source, &destination).await;
        assert_eq!((second.blobs.copied, second.manifests.copied), (2, 2));
    }
    for path in [&place, &file] {
        let loaded = Arc::new(Memory::default());
        copy(&open(path), &loaded).await.unwrap();
        assert_eq!(loaded.digests(), source.digests());
    }
}

#[tokio::test]
async fn a_tag_that_moved_is_told_and_moved() {
    let home = tempfile::tempdir().unwrap();
    let (source, destination) = (Memory::example(), folder(home.path()));
    copy(&source, &destination).await.unwrap();
    let old = source.tags.lock().unwrap()["v1"].clone();
    let new = source.add_image(&["new"], None);
    source.tag("v1", &new);
    let items = [Item::same("v1")];
    let options = Options::default();
    let lacks = diff(source.clone(), destination.clone(), &items, &options)
        .await
        .unwrap();
    let moved = Lack::Tag {
        tag: "v1".into(),
        expected: new.digest.clone(),
        found: Some(old),
    };
    assert_eq!(lacks.last().unwrap().what, moved);
    copy_twice(&source, &destination).await;
    let found = open(home.path()).manifest("v1").await.unwrap().unwrap();
    assert_eq!(found.digest, new.digest);
}

#[tokio::test]
async fn an_image_without_a_tag_is_found_again() {
    let home = tempfile::tempdir().unwrap();
    let source = Arc::new(Memory::default());
    let image = source.add_image(&["one"], None);
    source.add_image(&["about one"], Some(&image));
    let items = [Item::same(&image.digest.to_string())];
    let options = Options::default();
    let destination = folder(home.path());
    sync(source.clone(), destination, &items, &options)
        .await
        .unwrap();
    assert_eq!(
        open(home.path()).images().await.unwrap(),
        [image.digest.to_string()]
    );
    let loaded = Arc::new(Memory::default());
    copy(&open(home.path()), &loaded).await.unwrap();
    assert_eq!(loaded.digests(), source.digests());
}

#[tokio::test]
async fn a_copy_that_dies_at_any_write_leaves_a_layout_that_the_next_run_completes() {
    let source = Memory::example();
    for is_file in [false, true] {
        let home = tempfile::tempdir().unwrap();
        for writes in 0.. {
            let path = home.path().join(writes.to_string());
            let create = || if is_file { tar(&path) } else { folder(&path) };
            let dying = Arc::new(Around::new(create(), writes));
            let has_died = copy(&source, &dying).await.is_err();
            drop(dying);
            if has_died && is_file {
                assert!(
                    !path.exists(),
                    "what is not whole has the name of the whole"
                );
            } else {
                Layout::open(&path).unwrap();
            }
            let second = copy_twice(&source, &create()).await;
            let loaded = Arc::new(Memory::default());
            copy(&open(&path), &loaded).await.unwrap();
            assert_eq!(loaded.digests(), source.digests());
            if !has_died {
                assert_eq!(second.blobs.copied, 0);
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_a_killed_run_left_of_a_blob_is_continued_or_written_anew() {
    let source = Arc::new(Memory::default());
    let content = "what a layer is made of";
    let image = source.add_image(&[content], None);
    source.tag("v1", &image);
    let digest = DigestAlgorithm::Sha256.digest(content.as_bytes());
    let check = async |left: &[u8], expected: u64| {
        let home = tempfile::tempdir().unwrap();
        let destination = folder(home.path());
        let blobs = home.path().join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!(".{}.partial", digest.hex())), left).unwrap();
        let summary = copy(&source, &destination).await.unwrap();
        // The configuration has two bytes.
        assert_eq!(summary.bytes, 2 + expected);
        assert_eq!(
            fs::read(blobs.join(digest.hex())).unwrap(),
            content.as_bytes()
        );
        assert_eq!(fs::read_dir(&blobs).unwrap().count(), 3);
    };
    let length = content.len();
    for left in 0..=length {
        check(&content.as_bytes()[..left], (length - left) as u64).await;
    }
    let zeros = vec![0; length + 1];
    check(&zeros[..3], (length - 3 + length) as u64).await;
    check(&zeros[..length], length as u64).await;
    check(&zeros, length as u64).await;
}

#[tokio::test]
async fn a_file_that_is_cut_off_or_damaged_anywhere_is_continued() {
    let home = tempfile::tempdir().unwrap();
    let source = Memory::example();
    let whole = home.path().join("whole.tar");
    copy(&source, &tar(&whole)).await.unwrap();
    let whole = fs::read(whole).unwrap();
    let path = home.path().join("file.tar");
    let check = async |left: &[u8]| {
        let _ = fs::remove_file(&path);
        fs::write(home.path().join("file.tar.partial"), left).unwrap();
        copy(&source, &tar(&path)).await.unwrap();
        let loaded = Arc::new(Memory::default());
        copy(&open(&path), &loaded).await.unwrap();
        assert_eq!(loaded.digests(), source.digests());
    };
    for block in (0..whole.len()).step_by(512) {
        for at in [block, block + 1, block + 300] {
            check(&whole[..at]).await;
        }
        if block > 512 {
            let mut damaged = whole.clone();
            damaged[block] ^= 1;
            check(&damaged).await;
        }
    }
    check(&whole).await;
}

#[tokio::test]
async fn sources_that_lie_are_refused_by_name() {
    let check = async |lie, is_expected: fn(&MirrorError) -> bool| {
        let mut source = Arc::into_inner(Memory::example()).unwrap();
        source.lie = Some(lie);
        let home = tempfile::tempdir().unwrap();
        let destination = folder(home.path());
        let error = copy(&Arc::new(source), &destination).await.unwrap_err();
        assert!(is_expected(&error), "{error}");
        assert_eq!(open(home.path()).tags().await.unwrap(), [""; 0]);
    };
    check(Lie::EmptyParts, |error| {
        matches!(error, MirrorError::BadPart { found: 0, .. })
    })
    .await;
    check(Lie::LongParts, |error| {
        matches!(error, MirrorError::BadPart { .. })
    })
    .await;
    check(Lie::OtherBlobs, |error| {
        matches!(error, MirrorError::WrongDigest { .. })
    })
    .await;
    check(Lie::OtherManifests, |error| {
        matches!(error, MirrorError::WrongDigest { .. })
    })
    .await;
}

#[tokio::test]
async fn wrong_sizes_absent_children_and_things_that_are_no_manifests_are_refused() {
    let check = async |build: fn(&Memory) -> Descriptor, is_expected: fn(&MirrorError) -> bool| {
        let source = Arc::new(Memory::default());
        let image = build(&source);
        source.tag("v1", &image);
        let error = copy(&source, &Arc::new(Memory::default()))
            .await
            .unwrap_err();
        assert!(is_expected(&error), "{error}");
    };
    check(
        |source| {
            let mut child = source.add_image(&["one"], None);
            child.size += 1;
            source.add_index(vec![child])
        },
        |error| matches!(error, MirrorError::WrongSize { .. }),
    )
    .await;
    check(
        |source| {
            let absent = DigestAlgorithm::Sha256.digest(b"absent");
            source.add_index(vec![Descriptor::new(media::MANIFEST, absent, 6)])
        },
        |error| matches!(error, MirrorError::NotFound { .. }),
    )
    .await;
    check(
        |source| {
            let mut nothing = Manifest::index(media::INDEX.into(), Vec::new());
            nothing.media_type = "text/html".into();
            source.add(&nothing)
        },
        |error| {
            let unknown =
                |error: &ManifestError| matches!(error, ManifestError::UnknownMediaType { .. });
            matches!(error, MirrorError::Manifest { error, .. } if unknown(error))
        },
    )
    .await;
}

#[tokio::test]
async fn bombs_of_manifests_are_refused() {
    let source = Arc::new(Memory::default());
    let mut deep = source.add_image(&["deep"], None);
    for _ in 0..20 {
        deep = source.add_index(vec![deep]);
    }
    source.tag("deep", &deep);
    let error = copy(&source, &Arc::new(Memory::default()))
        .await
        .unwrap_err();
    assert!(matches!(error, MirrorError::TooDeep { .. }), "{error}");

    let source = Arc::new(Memory::default());
    let absent = |place: usize| {
        let digest = DigestAlgorithm::Sha256.digest(&place.to_be_bytes());
        Descriptor::new(media::MANIFEST, digest, 1)
    };
    let wide = (0..12)
        .map(|part| source.add_index((part * 1000..(part + 1) * 1000).map(absent).collect()));
    let wide = source.add_index(wide.collect());
    source.tag("wide", &wide);
    let error = copy(&source, &Arc::new(Memory::default()))
        .await
        .unwrap_err();
    assert!(matches!(error, MirrorError::TooMany { .. }), "{error}");
}

#[tokio::test]
async fn an_index_that_is_attached_to_its_own_child_ends() {
    let source = Arc::new(Memory::default());
    let child = source.add_image(&["child"], None);
    let mut index = Manifest::index(media::INDEX.into(), vec![child.clone(), child.clone()]);
    index.subject = Some(child.clone());
    let index = source.add(&index);
    source.tag("v1", &child);
    source.tag("v2", &index);
    let loaded = Arc::new(Memory::default());
    copy_twice(&source, &loaded).await;
    assert_eq!(loaded.digests(), source.digests());
}

#[tokio::test]
async fn what_is_listed_and_absent_or_about_something_else_is_told_and_left() {
    let source = Memory::example();
    let stranger = source.add_image(&["about nothing"], None);
    let absent = DigestAlgorithm::Sha256.digest(b"absent");
    let absent = Descriptor::new(media::MANIFEST, absent, 6);
    *source.strangers.lock().unwrap() = vec![stranger.clone(), absent.clone()];
    let loaded = Arc::new(Memory::default());
    let summary = copy(&source, &loaded).await.unwrap();
    assert_eq!(
        summary.ignored,
        BTreeSet::from([stranger.digest, absent.digest])
    );
}

#[tokio::test]
async fn a_destination_that_forgets_is_noticed() {
    let destination = Memory {
        is_forgetful: true,
        ..Memory::default()
    };
    let source = Arc::new(Memory::default());
    let image = source.add_image(&["one"], None);
    source.tag("v1", &image);
    let error = copy(&source, &Arc::new(destination)).await.unwrap_err();
    assert!(matches!(error, MirrorError::Incomplete { .. }), "{error}");
}

#[tokio::test]
async fn layers_that_lie_elsewhere_and_caches_of_builders_are_no_obstacle() {
    let source = Arc::new(Memory::default());
    let digest = DigestAlgorithm::Sha256.digest(b"elsewhere");
    let mut elsewhere = Descriptor::new(
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        digest,
        9,
    );
    elsewhere
        .rest
        .insert("urls".into(), vec!["https://e.x/"].into());
    let raw = source.add_image(&["one"], None);
    let raw = source.manifests.lock().unwrap()[&raw.digest].clone();
    let mut manifest = raw.parse().unwrap();
    if let stella_wire::registry::ManifestKind::Image { layers, .. } = &mut manifest.kind {
        layers.push(elsewhere);
    }
    source.tag("windows", &source.add(&manifest));
    source.tag(
        "cache",
        &source.add_index(vec![source.add_blob(b"cached layer")]),
    );
    let home = tempfile::tempdir().unwrap();
    let summary = copy_twice(&source, &folder(home.path())).await;
    assert_eq!((summary.images, summary.blobs.copied), (2, 3));
}

#[tokio::test]
async fn many_images_cross_at_once_and_share_what_they_have_in_common() {
    let source = Arc::new(Memory::default());
    for number in 0..100 {
        let own = format!("layer {number}");
        let image = source.add_image(&["shared", &own], None);
        source.tag(&format!("v{number}"), &image);
        source.add_image(&[&format!("about {number}")], Some(&image));
    }
    let home = tempfile::tempdir().unwrap();
    for destination in [
        folder(&home.path().join("folder")),
        tar(&home.path().join("file")),
    ] {
        let told = Arc::new(std::sync::Mutex::new(Summary::default()));
        let options = Options {
            watcher: Some({
                let told = Arc::clone(&told);
                Arc::new(move |now| *told.lock().unwrap() = now.clone())
            }),
            ..Options::default()
        };
        let items = items(&source).await;
        let summary = sync(source.clone(), destination, &items, &options)
            .await
            .unwrap();
        assert_eq!(summary.blobs.copied, 202);
        assert_eq!(summary.bytes, summary.bytes_expected);
        assert_eq!(told.lock().unwrap().images, 100);
    }
    let loaded = Arc::new(Memory::default());
    copy(&open(&home.path().join("folder")), &loaded)
        .await
        .unwrap();
    assert_eq!(loaded.digests(), source.digests());
}

#[tokio::test]
async fn a_big_blob_takes_no_more_memory_than_its_parts() {
    const SIZE: u64 = 200 << 20;
    let home = tempfile::tempdir().unwrap();
    let mut stream = DigestStream::new(DigestAlgorithm::Sha256);
    (0..SIZE >> 20).for_each(|_| stream.update(&[0; 1 << 20]));
    let digest = stream.finish();
    let source = home.path().join("source");
    let image = Manifest {
        media_type: media::MANIFEST.into(),
        artifact_type: None,
        kind: stella_wire::registry::ManifestKind::Image {
            config: Descriptor::new("application/octet-stream", digest.clone(), SIZE),
            layers: Vec::new(),
        },
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    };
    let raw = stella_wire::registry::RawManifest::new(media::MANIFEST, image.to_bytes().into());
    let layout = folder(&source);
    layout.put_manifest("v1", &raw).await.unwrap();
    layout.finish().await.unwrap();
    let sparse = fs::File::create(source.join("blobs/sha256").join(digest.hex())).unwrap();
    sparse.set_len(SIZE).unwrap();
    for destination in [
        folder(&home.path().join("folder")),
        tar(&home.path().join("file")),
    ] {
        let watched = Arc::new(Around::new(open(&source), usize::MAX));
        let items = [Item::same("v1")];
        let options = Options::default();
        let summary = sync(watched.clone(), destination, &items, &options)
            .await
            .unwrap();
        assert_eq!(summary.bytes, SIZE);
        assert!(watched.most.load(Ordering::SeqCst) <= 2 * PART);
        assert_eq!(watched.held.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_file_that_is_only_read_or_that_another_writes_is_not_written() {
    let home = tempfile::tempdir().unwrap();
    let source = Memory::example();
    let path = home.path().join("file");
    copy(&source, &tar(&path)).await.unwrap();
    source.tag("v2", &source.add_image(&["two"], None));
    let is_layout = |error: MirrorError, is_it: fn(&LayoutError) -> bool| {
        assert!(
            matches!(&error, MirrorError::Storage(StorageError::Layout(error)) if is_it(error)),
            "{error}"
        );
    };
    let error = copy(&source, &open(&path)).await.unwrap_err();
    is_layout(error, |error| matches!(error, LayoutError::ReadOnly { .. }));
    let (one, other) = (tar(&path), tar(&path));
    let blob = source.add_blob(b"blob");
    let mut writer = one.begin_blob(&blob).await.unwrap();
    writer
        .write(bytes::Bytes::from_static(b"blob"))
        .await
        .unwrap();
    writer.finish().await.unwrap();
    let error = copy(&source, &other).await.unwrap_err();
    is_layout(error, |error| matches!(error, LayoutError::Busy { .. }));
    assert!(matches!(
        Layout::create_tar(&path),
        Err(LayoutError::Busy { .. })
    ));
}

/// What to add to a repository: an image, an index, an attestation, an old signature, a tag.
type Step = (u8, usize, usize);

fn build(steps: &[Step]) -> Arc<Memory> {
    let place = Arc::new(Memory::default());
    let mut known = vec![place.add_image(&["first"], None)];
    for (number, (kind, one, other)) in steps.iter().enumerate() {
        let (one, other) = (
            &known[one % known.len()].clone(),
            &known[other % known.len()].clone(),
        );
        let layers = [format!("layer {}", one.size % 3), format!("layer {number}")];
        let layers = [layers[0].as_str(), layers[1].as_str()];
        let new = match kind {
            0 => place.add_image(&layers, None),
            1 => place.add_index(vec![one.clone(), other.clone()]),
            2 => place.add_image(&layers, Some(one)),
            3 => {
                let signature = place.add_image(&layers, None);
                place.tag(
                    &attachment::legacy_tags(&one.digest)[number % 3],
                    &signature,
                );
                signature
            }
            _ => {
                place.tag(&format!("tag{number}"), one);
                continue;
            }
        };
        known.push(new);
    }
    place.tag("last", &known[known.len() - 1]);
    place
}

/// Everything that a place says it has.
fn all(place: &Memory) -> BTreeSet<Digest> {
    place.digests()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_images_arrive_the_same_by_every_way_and_only_once(
        steps in proptest::collection::vec((0_u8..5, 0_usize..16, 0_usize..16), 0..12)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let home = tempfile::tempdir().unwrap();
            let source = build(&steps);
            let straight = Arc::new(Memory::default());
            copy_twice(&source, &straight).await;
            let (place, file) = (home.path().join("folder"), home.path().join("file"));
            copy_twice(&source, &folder(&place)).await;
            copy_twice(&open(&place), &tar(&file)).await;
            let around = Arc::new(Memory::default());
            copy_twice(&open(&file), &around).await;
            assert_eq!(all(&around), all(&straight));
            assert_eq!(*around.tags.lock().unwrap(), *straight.tags.lock().unwrap());
        });
    }
}
