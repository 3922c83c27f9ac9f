//! Other people's client against `stella serve --with registry`: skopeo pushes an image, reads it, copies it, pulls it
//! back, and deletes it.
//!
//! Runs where skopeo is installed; else it says that it is skipped, and fails when `STELLA_FOREIGN=1` demands it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use desk::Desk;
use serde_json::json;
use stella_bundle::digest::DigestAlgorithm;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Bytes of the image's large layer, and the most memory that the instance may need for it.
const LARGE: usize = 192 << 20;
const MEMORY: u64 = 128 << 20;

/// How long any one call may take, in seconds; `timeout` ends it then.
const PATIENCE: &str = "120";

#[test]
fn skopeo_pushes_an_image_and_pulls_the_same() {
    if !desk::is_wanted("skopeo") {
        return;
    }
    let mut desk = Desk::new();
    desk.serve_with(&["--with", "registry"]);
    let host = desk.url.trim_start_matches("http://").to_owned();
    let image = format!("docker://{host}/team/app:v1");
    let layout = desk.path("layout");
    let manifest = write_layout(&layout);

    // 1. Push: blobs as streams of unknown length, the manifest as it is.
    let from = format!("oci:{}:v1", layout.display());
    let copy = ["copy", "--preserve-digests"];
    let plain_to = "--dest-tls-verify=false";
    let plain_from = "--src-tls-verify=false";
    skopeo(&desk, &[copy[0], copy[1], plain_to, &from, &image]);
    // 2. Look at it.
    let raw = skopeo(&desk, &["inspect", "--raw", "--tls-verify=false", &image]);
    assert_eq!(raw.stdout, manifest);
    let tags = ["list-tags", "--tls-verify=false", &image[..image.len() - 3]];
    let tags: serde_json::Value = serde_json::from_slice(&skopeo(&desk, &tags).stdout).unwrap();
    assert_eq!(tags["Tags"], json!(["v1"]));
    // 3. Copy it to another repository, where its blobs can be mounted.
    let other = format!("docker://{host}/other/app:v2");
    let across = [copy[0], copy[1], plain_from, plain_to, &image, &other];
    skopeo(&desk, &across);
    // 4. Pull both, after a restart: the same bytes.
    assert!(desk.peak_memory() < MEMORY, "{} bytes", desk.peak_memory());
    desk.stop();
    desk.serve_with(&["--with", "registry"]);
    for (image, folder) in [(&image, "back"), (&other, "back-too")] {
        let back = format!("oci:{}:v1", desk.path(folder).display());
        skopeo(&desk, &[copy[0], copy[1], plain_from, image, &back]);
        assert!(blobs(&layout) == blobs(&desk.path(folder)), "{folder}");
    }
    assert!(desk.peak_memory() < MEMORY, "{} bytes", desk.peak_memory());
    // 5. Delete one; the other stays.
    skopeo(&desk, &["delete", "--tls-verify=false", &image]);
    let gone = ["inspect", "--raw", "--tls-verify=false", &image];
    assert!(!ask(&desk, &gone).status.success());
    let stays = ["inspect", "--raw", "--tls-verify=false", &other];
    assert_eq!(skopeo(&desk, &stays).stdout, manifest);
    desk.stop();
}

/// Writes an image of two layers as an OCI layout; returns its manifest.
fn write_layout(folder: &Path) -> Vec<u8> {
    let put = |media_type: &str, content: &[u8]| {
        let digest = DigestAlgorithm::Sha256.digest(content);
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(digest.hex()), content).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": content.len()})
    };
    // A gzip stream of no bytes, and one that goes on: nobody looks into layers on the way.
    let empty = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3][..], &[0; 9]].concat();
    let mut large = empty.clone();
    let mut state = 1_u32;
    large.resize_with(LARGE, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let layers = [put(LAYER, &empty), put(LAYER, &large)];
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [&layers[0]["digest"], &layers[1]["digest"]]},
    });
    let config = put(CONFIG, config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        "annotations": {"org.example.note": "kept as it is"},
    });
    let manifest = manifest.to_string().into_bytes();
    let mut named = put(MANIFEST, &manifest);
    named["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    let index = json!({"schemaVersion": 2, "manifests": [named]});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    fs::write(
        folder.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    manifest
}

fn blobs(layout: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(layout.join("blobs/sha256")).unwrap();
    let blob = |file: fs::DirEntry| {
        let name = file.file_name().into_string().unwrap();
        (name, fs::read(file.path()).unwrap())
    };
    files.map(|file| blob(file.unwrap())).collect()
}

fn skopeo(desk: &Desk, arguments: &[&str]) -> Output {
    let output = ask(desk, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    output
}

fn ask(desk: &Desk, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args([PATIENCE, "skopeo", "--insecure-policy"]);
    command.args(arguments).stdin(Stdio::null()).env_clear();
    command
        .env("HOME", desk.path("."))
        .env("TMPDIR", desk.path("."))
        .env("PATH", std::env::var("PATH").unwrap_or_default());
    command.output().unwrap()
}
