//! Layouts as other tools write them, layouts that are damaged, and tar files that play tricks.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use stella_bundle::digest::{Digest, DigestAlgorithm};
use stella_wire::registry::manifest::media;
use stella_wire::registry::{
    Descriptor, MAX_MANIFEST, Manifest, ManifestKind, RawManifest, attachment,
};
use tempfile::TempDir;

use super::*;

/// A layout's files, to be written as a folder or as a tar file.
#[derive(Clone)]
struct Pieces(BTreeMap<String, Vec<u8>>, Vec<Descriptor>);

impl Pieces {
    fn new() -> Self {
        let version = (folder::OCI_LAYOUT.to_owned(), folder::VERSION.to_vec());
        Self(BTreeMap::from([version]), Vec::new())
    }

    fn blob(&mut self, content: &[u8]) -> Descriptor {
        self.blob_by(DigestAlgorithm::Sha256, content)
    }

    fn blob_by(&mut self, algorithm: DigestAlgorithm, content: &[u8]) -> Descriptor {
        let digest = algorithm.digest(content);
        self.0.insert(blob_name(&digest), content.to_vec());
        Descriptor::new("application/octet-stream", digest, content.len() as u64)
    }

    fn image(&mut self, layer: &str, subject: Option<&Descriptor>) -> Descriptor {
        let image = Manifest {
            media_type: media::MANIFEST.into(),
            artifact_type: Some("application/x".into()),
            kind: ManifestKind::Image {
                config: self.blob(b"{}"),
                layers: vec![self.blob(layer.as_bytes())],
            },
            subject: subject.cloned(),
            annotations: BTreeMap::from([("note".into(), layer.into())]),
        };
        self.manifest(&image)
    }

    fn index(&mut self, manifests: Vec<Descriptor>) -> Descriptor {
        self.manifest(&Manifest::index(media::INDEX.into(), manifests))
    }

    fn manifest(&mut self, manifest: &Manifest) -> Descriptor {
        let blob = self.blob(&manifest.to_bytes());
        Descriptor::new(&manifest.media_type, blob.digest, blob.size)
    }

    /// Adds an entry to `index.json`.
    fn entry(&mut self, descriptor: &Descriptor, annotations: &[(&str, &str)]) {
        let mut entry = descriptor.clone();
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        entry.annotations = annotations.iter().map(owned).collect();
        self.1.push(entry);
        // Some tools write no media type here.
        let manifests = serde_json::to_string(&self.1).unwrap();
        let index = format!(r#"{{"schemaVersion":2,"manifests":{manifests}}}"#);
        self.0.insert(folder::INDEX.into(), index.into_bytes());
    }

    fn folder(&self) -> (TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("layout");
        for (name, content) in &self.0 {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        (home, root)
    }

    fn tar(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in &self.0 {
            bytes.extend(tar::entry(&format!("./{name}"), content, b'0'));
        }
        bytes.extend([0; 1024]);
        bytes
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

const REF_NAME: &str = "org.opencontainers.image.ref.name";

fn open_tar(bytes: &[u8]) -> Result<(TempDir, Layout), LayoutError> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file.tar");
    fs::write(&path, bytes).unwrap();
    Ok((home, Layout::open(&path)?))
}

/// Opens the same layout as a folder and as a file.
fn open_both(pieces: &Pieces) -> [(TempDir, Layout); 2] {
    let (home, root) = pieces.folder();
    [
        (home, Layout::open(&root).unwrap()),
        open_tar(&pieces.tar()).unwrap(),
    ]
}

#[tokio::test]
async fn manifests_blobs_and_referrers_are_found_in_a_folder_and_in_a_file() {
    let mut pieces = Pieces::new();
    let one = pieces.image("one", None);
    let index = pieces.index(vec![one.clone()]);
    let about = pieces.image("about one", Some(&one));
    let further = pieces.image("about the attestation", Some(&about));
    // As oras does: what is attached stands in index.json without a name.
    pieces.entry(&index, &[(REF_NAME, "v1")]);
    pieces.entry(&about, &[]);
    pieces.entry(&further, &[]);
    for (_home, layout) in open_both(&pieces) {
        let raw = layout.manifest("v1").await.unwrap().unwrap();
        assert_eq!(raw.descriptor(), index);
        let child = layout
            .manifest(&one.digest.to_string())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(child.media_type, media::MANIFEST);
        let listed = layout.referrers(&one.digest).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].digest, about.digest);
        assert_eq!(listed[0].artifact_type.as_deref(), Some("application/x"));
        assert_eq!(listed[0].annotations["note"], "about one");
        assert_eq!(
            layout.referrers(&about.digest).await.unwrap()[0].digest,
            further.digest
        );
        assert_eq!(layout.images().await.unwrap(), ["v1"]);
        assert!(layout.manifest("v2").await.unwrap().is_none());
        let layer = pieces.clone().blob(b"one");
        assert!(layout.has_blob(&layer).await.unwrap());
        assert_eq!(
            layout.blob_part(&layer, 1).await.unwrap(),
            Bytes::from_static(b"ne")
        );
    }
}

#[tokio::test]
async fn attestations_that_only_tags_tell_are_found() {
    let mut pieces = Pieces::new();
    let image = pieces.image("image", None);
    let (listed, own) = (
        pieces.image("a", Some(&image)),
        pieces.image("b", Some(&image)),
    );
    let fallback = pieces.index(vec![listed.clone()]);
    pieces.entry(&image, &[(REF_NAME, "v1")]);
    pieces.entry(
        &fallback,
        &[(REF_NAME, &attachment::fallback_tag(&image.digest))],
    );
    pieces.entry(
        &own,
        &[(REF_NAME, &attachment::own_tag(&image.digest, &own.digest))],
    );
    for (_home, layout) in open_both(&pieces) {
        let mut found: Vec<Digest> = Vec::new();
        for each in layout.referrers(&image.digest).await.unwrap() {
            found.push(each.digest);
        }
        let mut expected = [listed.digest.clone(), own.digest.clone()];
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(layout.images().await.unwrap(), ["v1"]);
    }
}

#[tokio::test]
async fn what_cosign_saved_is_found_under_its_tags() {
    let mut pieces = Pieces::new();
    let (image, signatures) = (
        pieces.image("image", None),
        pieces.image("signatures", None),
    );
    let attestations = pieces.image("attestations", None);
    pieces.entry(&image, &[("kind", "dev.cosignproject.cosign/image")]);
    pieces.entry(&signatures, &[("kind", "dev.cosignproject.cosign/sigs")]);
    pieces.entry(&attestations, &[("kind", "dev.cosignproject.cosign/atts")]);
    let [sig, att, sbom] = attachment::legacy_tags(&image.digest);
    for (_home, layout) in open_both(&pieces) {
        assert_eq!(layout.images().await.unwrap(), [image.digest.to_string()]);
        assert_eq!(
            layout.manifest(&sig).await.unwrap().unwrap().digest,
            signatures.digest
        );
        assert_eq!(
            layout.manifest(&att).await.unwrap().unwrap().digest,
            attestations.digest
        );
        assert!(layout.manifest(&sbom).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn layers_are_never_read_for_manifests_and_indexes_may_be_kept_for_one_platform() {
    let mut pieces = Pieces::new();
    let here = pieces.image("here", None);
    let away = Pieces::new().image("away", None);
    let index = pieces.index(vec![here.clone(), away.clone()]);
    pieces.entry(&index, &[(REF_NAME, "v1")]);
    let (_home, root) = pieces.folder();
    // A layer that is longer than any manifest, and is no JSON.
    let layer = pieces.blob(b"here");
    fs::write(
        root.join(blob_name(&layer.digest)),
        vec![0; MAX_MANIFEST + 1],
    )
    .unwrap();
    let layout = Layout::open(&root).unwrap();
    assert!(
        layout
            .manifest(&here.digest.to_string())
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        layout
            .manifest(&away.digest.to_string())
            .await
            .unwrap()
            .is_none()
    );
    assert!(!layout.has_blob(&layer).await.unwrap());
    assert!(matches!(
        layout.blob_part(&layer, 0).await,
        Err(StorageError::Layout(LayoutError::WrongSize { .. }))
    ));
}

#[tokio::test]
async fn a_name_of_two_images_is_refused_only_when_it_is_asked_for() {
    let mut pieces = Pieces::new();
    let (one, two) = (pieces.image("one", None), pieces.image("two", None));
    for image in [&one, &two] {
        pieces.entry(image, &[(REF_NAME, "v1")]);
    }
    let (_home, root) = pieces.folder();
    let layout = Layout::open(&root).unwrap();
    assert!(
        layout
            .manifest(&one.digest.to_string())
            .await
            .unwrap()
            .is_some()
    );
    assert!(matches!(
        layout.manifest("v1").await,
        Err(StorageError::Layout(LayoutError::Ambiguous { .. }))
    ));
}

#[test]
fn damaged_layouts_are_refused_by_name() {
    let check = |change: fn(&mut Pieces, &Descriptor), is_expected: fn(&LayoutError) -> bool| {
        let mut pieces = Pieces::new();
        let image = pieces.image("image", None);
        pieces.entry(&image, &[(REF_NAME, "v1")]);
        change(&mut pieces, &image);
        let (_home, root) = pieces.folder();
        let from_folder = Layout::open(&root).map(|_| ()).unwrap_err();
        assert!(is_expected(&from_folder), "{from_folder}");
        let from_file = open_tar(&pieces.tar()).map(|_| ()).unwrap_err();
        assert!(is_expected(&from_file), "{from_file}");
    };
    check(
        |pieces, image| {
            let content = pieces.0.get_mut(&blob_name(&image.digest)).unwrap();
            content[10] ^= 1;
        },
        |error| matches!(error, LayoutError::WrongDigest { .. }),
    );
    check(
        |pieces, image| {
            pieces
                .0
                .get_mut(&blob_name(&image.digest))
                .unwrap()
                .push(b' ')
        },
        |error| matches!(error, LayoutError::WrongSize { .. }),
    );
    check(
        |pieces, _| {
            let image = pieces.blob(br#"{"schemaVersion":2}"#);
            pieces.entry(
                &Descriptor::new(media::MANIFEST, image.digest, image.size),
                &[],
            );
        },
        |error| matches!(error, LayoutError::Manifest { .. }),
    );
    check(
        |pieces, image| {
            let mut deep = image.clone();
            for _ in 0..10 {
                deep = pieces.index(vec![deep]);
            }
            pieces.entry(&deep, &[]);
        },
        |error| matches!(error, LayoutError::TooDeep { .. }),
    );
    check(
        |pieces, _| {
            let bomb = vec![b' '; MAX_MANIFEST + 1];
            let bomb = pieces.blob(&bomb);
            pieces.entry(&Descriptor::new(media::INDEX, bomb.digest, bomb.size), &[]);
        },
        |error| matches!(error, LayoutError::Manifest { .. }),
    );
    check(
        |pieces, _| drop(pieces.0.remove(folder::INDEX)),
        |error| {
            matches!(
                error,
                LayoutError::NotALayout {
                    missing: folder::INDEX,
                    ..
                }
            )
        },
    );
    check(
        |pieces, _| drop(pieces.0.remove(folder::OCI_LAYOUT)),
        |error| {
            matches!(
                error,
                LayoutError::NotALayout {
                    missing: folder::OCI_LAYOUT,
                    ..
                }
            )
        },
    );
    check(
        |pieces, _| drop(pieces.0.insert(folder::INDEX.into(), b"[]".to_vec())),
        |error| {
            matches!(
                error,
                LayoutError::Json {
                    name: folder::INDEX,
                    ..
                }
            )
        },
    );
    check(
        |pieces, _| {
            let version = br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec();
            pieces.0.insert(folder::OCI_LAYOUT.into(), version);
        },
        |error| matches!(error, LayoutError::Version { .. }),
    );
}

#[test]
fn a_folder_with_other_things_in_it_is_not_written_to() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("notes.txt"), "mine").unwrap();
    let refused = Layout::create_folder(home.path());
    assert!(matches!(refused, Err(LayoutError::NotEmpty { .. })));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn two_writers_of_one_folder_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    let layouts: Vec<Layout> = (0..8)
        .map(|_| Layout::create_folder(path).unwrap())
        .collect();
    let mut tasks = tokio::task::JoinSet::new();
    for (number, layout) in layouts.into_iter().enumerate() {
        tasks.spawn(async move {
            let manifest = Manifest::index(media::INDEX.into(), Vec::new());
            let mut text = manifest.to_bytes();
            text.extend(vec![b' '; number]);
            let raw = RawManifest::new(media::INDEX, text.into());
            layout
                .put_manifest(&format!("v{number}"), &raw)
                .await
                .unwrap();
            let shared = Descriptor::new("", DigestAlgorithm::Sha256.digest(b"shared"), 6);
            let mut writer = layout.begin_blob(&shared).await.unwrap();
            if writer.written() == 0 {
                tokio::task::yield_now().await;
                writer.write(Bytes::from_static(b"shared")).await.unwrap();
            }
            writer.finish().await.unwrap();
            layout.finish().await.unwrap();
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(Layout::open(path).unwrap().tags().await.unwrap().len(), 8);
}

#[tokio::test]
async fn other_digests_and_long_names_survive_a_file() {
    let mut pieces = Pieces::new();
    let blob = pieces.blob_by(DigestAlgorithm::Sha512, b"long name");
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file.tar");
    let layout = Layout::create_tar(&path).unwrap();
    let mut writer = layout.begin_blob(&blob).await.unwrap();
    writer
        .write(Bytes::from_static(b"long name"))
        .await
        .unwrap();
    writer.finish().await.unwrap();
    layout.finish().await.unwrap();
    let layout = Layout::open(&path).unwrap();
    assert_eq!(
        layout.blob_part(&blob, 5).await.unwrap(),
        Bytes::from_static(b"name")
    );
}

#[test]
fn tar_files_that_play_tricks_are_refused() {
    let mut pieces = Pieces::new();
    let image = pieces.image("image", None);
    pieces.entry(&image, &[(REF_NAME, "v1")]);
    let honest = pieces.tar();
    let with = |extra: Vec<u8>| [extra, honest.clone()].concat();
    let check = |bytes: &[u8], expected: &EntryProblem| match open_tar(bytes).map(|_| ()) {
        Err(LayoutError::Entry { problem, .. }) => assert_eq!(problem, *expected),
        other => panic!("{expected:?}: {other:?}"),
    };
    for name in [
        "/etc/passwd",
        "../index.json",
        "blobs/../x",
        "a//b",
        "./../x",
        "a\\..\\b",
    ] {
        check(&with(tar::entry(name, b"x", b'0')), &EntryProblem::Name);
    }
    for kind in *b"123467SZ" {
        if kind != b'7' {
            check(
                &with(tar::entry("blobs", b"", kind)),
                &EntryProblem::Kind(kind),
            );
        }
    }
    let twice = with(tar::entry("index.json", b"{}", b'0'));
    check(&twice, &EntryProblem::Duplicate);
    let twice = with(tar::entry(&blob_name(&image.digest), b"{}", b'0'));
    check(&twice, &EntryProblem::Duplicate);
    let torn = EntryProblem::Torn {
        expected: 1 << 40,
        found: 512 + honest.len() as u64,
    };
    let mut long = tar::header_of("blobs/sha256/x", 1 << 40);
    long.extend([0; 512]);
    check(&with(long), &torn);
    check(
        &with(tar::entry("path", b"9 path=/x\n", b'g')),
        &EntryProblem::Extension,
    );
    check(
        &with(tar::entry("x", &vec![b' '; 70_000], b'x')),
        &EntryProblem::Extension,
    );
    check(
        &with(tar::entry("oci-layout", &[b' '; 5000], b'0')),
        &EntryProblem::TooLarge {
            limit: folder::MAX_VERSION,
        },
    );
    check(&[b'x'; 1024], &EntryProblem::Checksum);
    // What a pax header says of the next entry counts.
    let escape = [
        tar::entry("x", b"13 path=../x\n", b'x'),
        tar::entry("fine", b"", b'0'),
    ];
    check(&with(escape.concat()), &EntryProblem::Name);
    let harmless = with(
        [
            tar::entry("README", b"x", b'0'),
            tar::entry("./", b"", b'5'),
        ]
        .concat(),
    );
    open_tar(&harmless).unwrap();
    let same = pieces.0["index.json"].clone();
    open_tar(&with(tar::entry("index.json", &same, b'0'))).unwrap();
}

#[test]
fn files_that_are_something_else_are_told_apart() {
    let docker = [
        tar::entry("a/layer.tar", b"", b'2'),
        tar::entry("manifest.json", b"[]", b'0'),
        vec![0; 1024],
    ];
    let docker = docker.concat();
    type Row<'a> = (&'a [u8], fn(&LayoutError) -> bool);
    let rows: [Row<'_>; 4] = [
        (&[0x1f, 0x8b, 8, 0], |error| {
            matches!(error, LayoutError::Compressed { .. })
        }),
        (&docker, |error| {
            matches!(error, LayoutError::DockerArchive { .. })
        }),
        (&[0; 1024], |error| {
            matches!(error, LayoutError::NotALayout { .. })
        }),
        (b"", |error| matches!(error, LayoutError::NotALayout { .. })),
    ];
    for (bytes, is_expected) in rows {
        let error = open_tar(bytes).map(|_| ()).unwrap_err();
        assert!(is_expected(&error), "{error}");
    }
    let absent = Layout::open(Path::new("/nowhere/at/all")).map(|_| ());
    assert!(matches!(absent, Err(LayoutError::Io { .. })));
}

#[test]
fn a_file_cut_off_at_any_block_is_refused_or_lacks_only_its_end() {
    let mut pieces = Pieces::new();
    let image = pieces.image("image", None);
    pieces.entry(&image, &[(REF_NAME, "v1")]);
    let whole = pieces.tar();
    for length in 0..whole.len() - 1024 {
        assert!(open_tar(&whole[..length]).is_err(), "{length}");
    }
    open_tar(&whole[..whole.len() - 1024]).unwrap();
}
