//! Images are carried in a file, and arrive with what is attached to them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;

use std::fs;

use desk::{Desk, says};
use stella_attest::layout::Layout;
use stella_attest::storage::Storage;
use stella_bundle::digest::DigestAlgorithm;
use stella_wire::registry::manifest::media;
use stella_wire::registry::{Descriptor, Manifest, ManifestKind, RawManifest, attachment};

/// Makes a layout with one image that has one attestation and a configuration of these bytes.
fn layout_of(desk: &Desk, content: &[u8]) -> Descriptor {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let layout = Layout::create_folder(&desk.path("images")).unwrap();
        let digest = DigestAlgorithm::Sha256.digest(content);
        let config = Descriptor::new(media::EMPTY, digest, content.len() as u64);
        let mut writer = layout.begin_blob(&config).await.unwrap();
        writer.write(content.to_vec().into()).await.unwrap();
        writer.finish().await.unwrap();
        let manifest = |subject| {
            let manifest = Manifest {
                media_type: media::MANIFEST.into(),
                artifact_type: None,
                kind: ManifestKind::Image {
                    config: config.clone(),
                    layers: Vec::new(),
                },
                subject,
                annotations: std::collections::BTreeMap::new(),
            };
            RawManifest::new(media::MANIFEST, manifest.to_bytes().into())
        };
        let image = manifest(None);
        layout.put_manifest("v1", &image).await.unwrap();
        let attestation = manifest(Some(image.descriptor()));
        layout.attach(&attestation).await.unwrap();
        layout.finish().await.unwrap();
        image.descriptor()
    })
}

fn layout(desk: &Desk) -> Descriptor {
    layout_of(desk, attachment::EMPTY_CONFIG)
}

#[test]
fn images_are_saved_compared_and_loaded() {
    let desk = Desk::new();
    let image = layout(&desk);
    let said = desk
        .run(["mirror", "save", "./images", "--output", "images.tar"])
        .ended(0);
    says(&said.out, &["1 images", "2 manifests", "1 blobs"]);
    let again = ["mirror", "save", "./images", "-o", "images.tar", "--json"];
    let again = desk.run(again).ended(0).json();
    assert_eq!(
        again["manifests"],
        serde_json::json!({"copied": 0, "skipped": 2})
    );
    assert_eq!(again["bytes"], 0);
    desk.run(["mirror", "load", "images.tar", "oci:carried"])
        .ended(0);
    let same = desk
        .run(["mirror", "diff", "images.tar", "oci:carried"])
        .ended(0);
    says(&same.out, &["nothing is missing"]);
    let blob = format!("carried/blobs/sha256/{}", image.digest.hex());
    fs::remove_file(desk.path(&blob)).unwrap();
    let less = desk
        .run(["mirror", "diff", "images", "carried", "--json"])
        .ended(11)
        .json();
    assert_eq!(less["missing"][0]["digest"], image.digest.to_string());
    desk.run(["mirror", "sync", "images", "carried"]).ended(0);
    desk.run(["mirror", "diff", "images", "carried"]).ended(0);
}

#[test]
fn what_cannot_be_mirrored_is_named() {
    let desk = Desk::new();
    layout(&desk);
    desk.write("notes/mine.txt", "mine");
    desk.write("some.tar.gz", [0x1f, 0x8b, 8, 0]);
    let rows: [(&[&str], i32, &[&str]); 6] = [
        (
            &["sync", "images", "notes"],
            2,
            &["neither empty nor an OCI layout"],
        ),
        (&["load", "some.tar.gz", "oci:new"], 2, &["compressed"]),
        (
            &["load", "notes", "oci:new"],
            2,
            &["not an OCI layout", "oci-layout"],
        ),
        (&["load", "none.tar", "oci:new"], 11, &["none.tar"]),
        (
            &["sync", "images", "new.tar", "--image", "v2"],
            11,
            &["no v2"],
        ),
        (
            &["sync", "images", "127.0.0.1:9/a/b"],
            30,
            &["127.0.0.1:9", "hint: "],
        ),
    ];
    for (arguments, code, words) in rows {
        let arguments = [&["mirror"], arguments].concat();
        says(&desk.run(arguments).ended(code).err, words);
    }
    assert!(!desk.path("new.tar").exists());
    let digest = DigestAlgorithm::Sha256.digest(b"mine");
    let found = fs::read(desk.path("notes/mine.txt")).unwrap();
    assert_eq!(DigestAlgorithm::Sha256.digest(&found), digest);
}

/// Runs a script that may mount, in which `$STELLA` is the command; none where that needs more rights.
fn apart(desk: &Desk, script: &str) -> Option<desk::Said> {
    let mount = "mkdir -p small && mount -t tmpfs -o size=1m small small";
    let try_it = ["--map-root-user", "--mount", "sh", "-ec", mount];
    if desk::finish(&mut desk.wrapped("unshare", try_it)).code != 0 {
        println!("skipped: a file system of its own needs more rights");
        return None;
    }
    let script = format!("{mount}\n{script}");
    let arguments = ["--map-root-user", "--mount", "sh", "-c", &script];
    let mut command = desk.wrapped("unshare", arguments);
    Some(desk::finish(command.env("STELLA", desk::STELLA)))
}

#[test]
fn a_disk_that_is_full_is_told_and_with_more_room_the_copy_goes_on() {
    let desk = Desk::new();
    layout_of(&desk, &vec![b'x'; 3 << 20]);
    desk.run(["mirror", "save", "images", "-o", "images.tar"])
        .ended(0);
    for to in ["oci:small/to", "oci-archive:small/to.tar"] {
        let script = format!(
            "$STELLA mirror load images.tar {to}; echo \"first $?\"
            $STELLA mirror diff images.tar {to}; echo \"lacks $?\"
            mount -o remount,size=9m small
            $STELLA mirror load images.tar {to} && $STELLA mirror diff images.tar {to}; echo \"then $?\""
        );
        let Some(said) = apart(&desk, &script) else {
            return;
        };
        says(&said.out, &["first 1\n", "lacks 11\n", "then 0\n"]);
        says(
            &said.err,
            &["No space left on device", "run the same command again"],
        );
    }
}
