//! How archives are used: proofs that they only grew, and what they hold as sources of the gate.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;
mod office;
#[expect(dead_code, reason = "not every test uses all of it")]
mod repository;

use std::fs;
use std::path::PathBuf;

use desk::{Desk, Said, says};
use office::{KEYS, Office};
use repository::{Owners, Site};
use serde_json::{Value, json};

const ANCHOR: [&str; 2] = ["--anchor", "org.anchor"];
const SIGNER: [&str; 2] = ["--certificate-identity", "repo:local/demo:.*"];

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
fn hashes_of_many_archives_make_one_proof() {
    let office = Office::open(0);
    let desk = &office.desk;
    for release in ["v1", "v2", "v3"] {
        // What is no attestation is refused, and a leaf all the same.
        let lines = (0..300).map(|each| format!("[\"{release}\",{each}]\n"));
        let lines = desk.write("many.jsonl", lines.collect::<String>());
        let run = ["archive", "run", "--release", release, "--from", &lines];
        desk.run([&run[..], &KEYS].concat()).ended(12);
    }
    copy(desk, "org/org.anchor", "org.anchor");
    for (from, to, sizes) in [
        ("v1", "v2", "from 301 leaves to 601"),
        ("v1", "v3", "from 301 leaves to 901"),
        ("v2", "v3", "from 601 leaves to 901"),
    ] {
        let ends = ["--from", from, "--to", to];
        let said = prove(desk, &[&ends[..], &ANCHOR].concat()).ended(0);
        says(&said.out, &[sizes]);
    }
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

/// An island: another machine, on which nobody was chosen, with an archive, a file taken out of it, and the anchor.
struct Island {
    desk: Desk,
    issuer: String,
}

impl Island {
    fn reach() -> Self {
        let mut office = Office::open(2);
        seal(&office, "v1");
        let extract = [
            "archive",
            "extract",
            "archive",
            "app0",
            "--output",
            "evidence.json",
        ];
        office.desk.run(extract).ended(0);
        office.desk.stop();
        let desk = Desk::new();
        let root = fs::read_dir(office.desk.path("org/trust"))
            .unwrap()
            .next()
            .unwrap();
        let root = root.unwrap().path();
        for from in [
            "archive",
            "evidence.json",
            "app0",
            "app1",
            "org/org.anchor",
            "classical.pub",
        ] {
            let from = office.desk.path(from);
            let (from, to) = (from.to_str().unwrap(), desk.path("."));
            copy(&desk, from, to.to_str().unwrap());
        }
        copy(&desk, root.to_str().unwrap(), "root.json");
        let issuer = office.desk.url.clone();
        Self { desk, issuer }
    }

    /// Asks the gate, of the signer that signed.
    fn verify(&self, more: &[&str]) -> Said {
        let signer = [&SIGNER[..], &["--certificate-oidc-issuer", &self.issuer]].concat();
        self.desk.run([&["verify"], more, &signer].concat())
    }
}

#[test]
fn what_an_archive_holds_passes_the_gate_by_the_anchor_when_nobody_else_was_chosen() {
    let island = Island::reach();
    for source in [["--bundle", "evidence.json"], ["--archive", "archive"]] {
        let asked = [&["app0"][..], &source, &ANCHOR].concat();
        let said = island.verify(&asked).ended(0);
        says(
            &said.out,
            &[
                "in v1 of archive.example.org, by 20",
                "as http",
                "L1: verified again",
            ],
        );
        let told = island
            .verify(&[&asked[..], &["--json"]].concat())
            .ended(0)
            .json();
        assert_eq!(told["trustRoot"], Value::Null);
        let archive = &told["attestations"][0]["archive"];
        assert_eq!(archive["level"], "reverified");
        assert!(archive["leaf"].is_u64());
        assert!(archive["existed"]["authority"].is_string());
        // Without the anchor the ordinary rules hold: nobody was chosen, so nobody is believed.
        island.verify(&[&["app0"][..], &source].concat()).ended(2);
        let own = ["--trusted-root", "root.json"];
        let said = island
            .verify(&[&["app0"][..], &source, &own].concat())
            .ended(0);
        assert!(!said.out.contains("archive.example.org"));
        // The own root is asked where there is one.
        let said = island.verify(&[&asked[..], &own].concat()).ended(0);
        says(
            &said.out,
            &["in v1 of archive.example.org", "L2: verified by your own"],
        );
        // Who may have signed is asked as always.
        let anyone = [&["verify"][..], &asked].concat();
        island.desk.run(&anyone).ended(20);
        let stranger = ["--certificate-identity", "repo:someone/else:.*"];
        let stranger = [
            &anyone[..],
            &stranger,
            &["--certificate-oidc-issuer", &island.issuer],
        ];
        island.desk.run(stranger.concat()).ended(20);
        // So is what they say.
        island
            .verify(&[&asked[..], &["--require", "sbom-delta"]].concat())
            .ended(21);
    }
    let other = ["app1", "--bundle", "evidence.json"];
    island.verify(&[&other[..], &ANCHOR].concat()).ended(12);
    let other = ["app1", "--archive", "archive"];
    island.verify(&[&other[..], &ANCHOR].concat()).ended(0);
    island.desk.write("unknown", "unknown");
    let unknown = ["unknown", "--archive", "archive"];
    island.verify(&[&unknown[..], &ANCHOR].concat()).ended(10);
    // One key says nothing of roots; with a root of one's own it says who archived.
    let key = [
        "app0",
        "--bundle",
        "evidence.json",
        "--org-key",
        "classical.pub",
    ];
    says(
        &island.verify(&key).ended(12).err,
        &["bring the organisation's anchor"],
    );
    island
        .verify(&[&key[..], &["--trusted-root", "root.json"]].concat())
        .ended(0);
    // The words of `attest verify` are the same.
    let attest = [
        "attest",
        "verify",
        "--offline",
        "--artifact",
        "app0",
        "--bundle",
        "evidence.json",
    ];
    let signer = [&SIGNER[..], &["--certificate-oidc-issuer", &island.issuer]].concat();
    island
        .desk
        .run([&attest[..], &ANCHOR, &signer].concat())
        .ended(0);
    let away = [
        "app0",
        "--offline",
        "--archive",
        "registry.example/org/archive",
    ];
    island.verify(&[&away[..], &ANCHOR].concat()).ended(50);
}

#[test]
fn an_anchor_lets_no_trusted_root_count_that_the_policy_does_not_accept() {
    let island = Island::reach();
    let asked = [
        "app0",
        "--bundle",
        "evidence.json",
        "--anchor",
        "org.anchor",
    ];
    let wrong = format!("sha256:{}", "0".repeat(64));
    let wrong = ["--trust-fingerprint", &wrong];
    says(
        &island.verify(&[&asked[..], &wrong].concat()).ended(12).err,
        &["none that is accepted here"],
    );
    let told = island
        .verify(&[&asked[..], &["--json"]].concat())
        .ended(0)
        .json();
    let root = told["attestations"][0]["archive"]["trustedRoot"]
        .as_str()
        .unwrap()
        .to_owned();
    // A policy file that enforces believes no local instance unasked, an anchor or not.
    let policy = format!(
        "policy: stella.policy/v1\nmode: enforce\nsigners:\n  ci:\n    identity: repo:local/demo:ref:refs/heads/main\n    issuer: {}\n",
        island.issuer
    );
    let named = format!("{policy}trust: [\"{root}\"]\n");
    for (text, code) in [(policy, 12), (named, 0)] {
        island.desk.write("policy.yaml", text);
        let verify = [&["verify"][..], &asked, &["--policy", "policy.yaml"]].concat();
        island.desk.run(verify).ended(code);
    }
    let right = ["--trust-fingerprint", &root];
    island.verify(&[&asked[..], &right].concat()).ended(0);
}

#[test]
fn a_changed_extract_and_another_s_anchor_do_not_pass_the_gate() {
    let island = Island::reach();
    let good: Value =
        serde_json::from_slice(&fs::read(island.desk.path("evidence.json")).unwrap()).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut bad = good.clone();
        change(&mut bad);
        assert_ne!(bad, good);
        island.desk.write("bad.json", bad.to_string());
        let asked = ["app0", "--bundle", "bad.json", "--anchor", "org.anchor"];
        island.verify(&asked).ended(12)
    };
    let said = changed(&|file| file["attestations"][0]["archive"]["index"] = 2.into());
    says(&said.err, &["the archive does not prove it"]);
    changed(&|file| file["attestations"][0]["archive"]["path"][0] = ("A".repeat(43) + "=").into());
    changed(&|file| {
        let line = file["attestations"][0]["archive"]["leaf"].as_str().unwrap();
        let line = line.replace("\"profile\":0", "\"profile\":1");
        file["attestations"][0]["archive"]["leaf"] = line.into();
    });
    changed(&|file| {
        let bundle = file["attestations"][0]["bundle"].as_str().unwrap();
        let (first, rest) = bundle.split_at(200);
        let other = if rest.starts_with('A') { "B" } else { "A" };
        file["attestations"][0]["bundle"] = format!("{first}{other}{}", &rest[1..]).into();
    });
    let said = changed(&|file| file["trustedRoots"] = json!([]));
    says(&said.err, &["trusted root"]);
    changed(&|file| {
        let keysets = file["archive"]["keysets"][0]["bytes"].clone();
        file["archive"]["statements"][0]["bytes"] = keysets;
    });
    changed(&|file| {
        file["archive"]["statements"][0]["bundles"]
            .as_array_mut()
            .unwrap()
            .pop();
    });
    let stranger = Office::open(0);
    let anchor = fs::read(stranger.desk.path("org/org.anchor")).unwrap();
    island.desk.write("stranger.anchor", anchor);
    for source in [["--bundle", "evidence.json"], ["--archive", "archive"]] {
        let asked = [&["app0"][..], &source, &["--anchor", "stranger.anchor"]].concat();
        says(
            &island.verify(&asked).ended(12).err,
            &["the one that the anchor names"],
        );
    }
}

#[test]
fn how_a_trusted_root_was_published_is_in_the_archive_and_nothing_depends_on_it() {
    let mut office = Office::open(1);
    let file = |office: &Office, name: &str| {
        fs::read(office.desk.path(&format!("sigstore/{name}"))).unwrap()
    };
    let (root, config) = (
        file(&office, "trusted_root.json"),
        file(&office, "signing_config.json"),
    );
    let (site, owners) = (Site::new(), Owners::new());
    owners.publish(
        &site,
        1,
        &[
            ("trusted_root.json", &root),
            ("signing_config.v0.2.json", &config),
        ],
    );
    let first = office.desk.write("root.json", owners.root(1));
    let choose = ["trust", "use", "--tuf", &site.url, "--root", &first];
    office.desk.run(choose).ended(0);
    seal(&office, "v1");
    let show = ["archive", "show", "archive"];
    let said = office
        .desk
        .run([&show[..], &["--json"]].concat())
        .ended(0)
        .json();
    let published = &said["published"][0];
    assert_eq!(published["version"], 1);
    let digest = stella_bundle::key::sha256(&fs::read(&first).unwrap());
    assert_eq!(published["repositoryRoot"], hex::encode(digest));
    assert_eq!(
        published["trustedRoot"],
        hex::encode(stella_bundle::key::sha256(&root))
    );
    let said = office.desk.run(show).ended(0);
    says(
        &said.out,
        &["published by the TUF repository whose root has version 1"],
    );
    let verify = ["archive", "verify", "archive", "--anchor", "org/org.anchor"];
    office.desk.run(verify).ended(0);

    // The same root from elsewhere: nobody knows how it was published.
    let direct = office.desk.url.clone();
    office.desk.run(["trust", "use", &direct]).ended(0);
    office.sign();
    seal(&office, "v2");
    let said = office
        .desk
        .run([&show[..], &["--json"]].concat())
        .ended(0)
        .json();
    assert_eq!(said["published"], json!([]));
}
