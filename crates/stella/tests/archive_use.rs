//! How archives are used: proofs that they only grew.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;
mod office;

use std::fs;
use std::path::PathBuf;

use desk::{Desk, Said, says};
use office::{KEYS, Office};
use serde_json::{Value, json};

const ANCHOR: [&str; 2] = ["--anchor", "org.anchor"];

fn seal(office: &Office, release: &str) {
    let run = ["archive", "run", "--release", release];
    office.desk.run([&run[..], &KEYS].concat()).ended(0);
}

/// Returns an office with three periods, and the anchor as `org.anchor`.
fn three_periods() -> Office {
    let mut office = Office::open(3);
    seal(&office, "v1");
    office.sign();
    seal(&office, "v2");
    for _ in 0..3 {
        office.sign();
    }
    seal(&office, "v3");
    copy(&office.desk, "org/org.anchor", "org.anchor");
    office
}

fn copy(desk: &Desk, from: &str, to: &str) {
    let copied = desk.wrapped("cp", ["-r", from, to]).status().unwrap();
    assert!(copied.success());
}

fn prove(desk: &Desk, more: &[&str]) -> Said {
    desk.run([&["archive", "prove"], more].concat())
}

#[test]
fn that_an_archive_only_grew_is_proved_between_any_periods_and_checked_without_it() {
    let office = three_periods();
    let desk = &office.desk;
    for (from, to) in [("v1", "v2"), ("v1", "v3"), ("v2", "v3"), ("v2", "v2")] {
        let ends = ["--from", from, "--to", to];
        let said = prove(desk, &[&ends[..], &ANCHOR].concat()).ended(0);
        says(
            &said.out,
            &["archive.example.org only grew", from, to, "as http"],
        );
    }
    says(&prove(desk, &[]).ended(0).out, &["give --anchor"]);
    let told = prove(desk, &[&["--json"][..], &ANCHOR].concat())
        .ended(0)
        .json();
    assert_eq!(told["schema"], "stella.archive-growth/v1");
    assert_eq!(
        (&told["from"]["period"], &told["to"]["period"]),
        (&json!("v1"), &json!("v3"))
    );
    assert!(told["to"]["existed"]["time"].is_string());
    prove(desk, &["--from", "v3", "--to", "v1"]).ended(2);
    prove(desk, &["--from", "v9"]).ended(10);
    // The file and the anchor are enough.
    prove(desk, &["--output", "grown.json"]).ended(0);
    fs::remove_dir_all(desk.path("archive")).unwrap();
    let check = ["--check", "grown.json"];
    let said = prove(desk, &[&check[..], &ANCHOR].concat()).ended(0);
    says(&said.out, &["v1", "v3", "statement 2"]);
    prove(
        desk,
        &["--check", "grown.json", "--org-key", "classical.pub"],
    )
    .ended(0);
    prove(desk, &check).ended(2);
}

#[test]
fn a_changed_proof_and_another_s_anchor_are_refused() {
    let office = three_periods();
    let desk = &office.desk;
    prove(desk, &["--from", "v2", "--output", "good.json"]).ended(0);
    let good: Value = serde_json::from_slice(&fs::read(desk.path("good.json")).unwrap()).unwrap();
    let zeros = "A".repeat(43) + "=";
    let mut changes: Vec<Value> = Vec::new();
    for place in 0..good["path"].as_array().unwrap().len() {
        let mut bad = good.clone();
        bad["path"][place] = zeros.clone().into();
        changes.push(bad);
    }
    for end in ["from", "to"] {
        let text = good[end].as_str().unwrap();
        let root = text.lines().nth(2).unwrap();
        let mut bad = good.clone();
        bad[end] = text.replace(root, &zeros).into();
        changes.push(bad);
    }
    // Another statement, and one that is left out.
    let mut bad = good.clone();
    bad["archive"]["statements"][1]["bytes"] = good["archive"]["statements"][0]["bytes"].clone();
    changes.push(bad);
    let mut bad = good.clone();
    bad["archive"]["statements"].as_array_mut().unwrap().pop();
    changes.push(bad);
    let mut bad = good.clone();
    bad["trustedRoots"][0]["content"] = "e30=".into();
    changes.push(bad);
    assert!(changes.len() >= 6);
    for bad in changes {
        desk.write("bad.json", bad.to_string());
        let check = ["--check", "bad.json"];
        prove(desk, &[&check[..], &ANCHOR].concat()).ended(12);
    }
    let stranger = Office::open(0);
    let anchor = fs::read(stranger.desk.path("org/org.anchor")).unwrap();
    desk.write("stranger.anchor", anchor);
    let check = ["--check", "good.json", "--anchor", "stranger.anchor"];
    prove(desk, &check).ended(12);
    prove(desk, &["--anchor", "stranger.anchor"]).ended(12);
    // Hashes of the tree that were changed where they lie lead nowhere.
    prove(desk, &[]).ended(0);
    let hashes = layer(desk, "v3", "hashes/0");
    let good = fs::read(&hashes).unwrap();
    fs::write(&hashes, vec![0; good.len()]).unwrap();
    says(
        &prove(desk, &[]).ended(12).err,
        &["not proved to begin with"],
    );
}

/// Returns where a file of an archive lies.
fn layer(desk: &Desk, period: &str, title: &str) -> PathBuf {
    let blob = |digest: &Value| {
        let name = digest.as_str().unwrap().replace(':', "/");
        desk.path("archive/blobs").join(name)
    };
    let read =
        |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let is = |each: &&Value, key: &str, name: &str| {
        each["annotations"][format!("org.opencontainers.image.{key}")] == name
    };
    let index = read(desk.path("archive/index.json"));
    let mut manifests = index["manifests"].as_array().unwrap().iter();
    let manifest = manifests.find(|each| is(each, "ref.name", period)).unwrap();
    let manifest = read(blob(&manifest["digest"]));
    let mut layers = manifest["layers"].as_array().unwrap().iter();
    blob(&layers.find(|each| is(each, "title", title)).unwrap()["digest"])
}

#[test]
fn an_archive_that_was_rolled_back_is_noticed_by_whoever_kept_a_checkpoint() {
    let mut office = three_periods();
    copy(&office.desk, "archive", "older");
    office.sign();
    seal(&office, "v4");
    let desk = &office.desk;
    prove(desk, &["--output", "grown.json"]).ended(0);
    let grown: Value = serde_json::from_slice(&fs::read(desk.path("grown.json")).unwrap()).unwrap();
    desk.write("first.txt", grown["from"].as_str().unwrap());
    desk.write("newest.txt", grown["to"].as_str().unwrap());
    // What was kept is the beginning of what is there now, and of what the file proves.
    for place in ["archive", "older"] {
        let kept = [place, "--checkpoint", "first.txt"];
        says(
            &prove(desk, &[&kept[..], &ANCHOR].concat()).ended(0).out,
            &["v1"],
        );
    }
    let check = [
        "--check",
        "grown.json",
        "--anchor",
        "org.anchor",
        "--checkpoint",
    ];
    prove(desk, &[&check[..], &["first.txt"]].concat()).ended(0);
    says(
        &prove(desk, &[&check[..], &["newest.txt"]].concat())
            .ended(12)
            .err,
        &["that was kept"],
    );
    says(
        &prove(desk, &["older", "--checkpoint", "newest.txt"])
            .ended(12)
            .err,
        &["taken away"],
    );
    let other = grown["from"].as_str().unwrap().replace("\n4\n", "\n5\n");
    desk.write("other.txt", other);
    says(
        &prove(desk, &["archive", "--checkpoint", "other.txt"])
            .ended(12)
            .err,
        &["another one"],
    );
    desk.write("cut.txt", "archive.example.org\n4\n");
    prove(desk, &["archive", "--checkpoint", "cut.txt"]).ended(2);
}
