//! The archive, by the command: sealed with the organisation's keys, verified by its anchor alone when everything else is gone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;
mod office;

use std::fs;

use desk::{Said, says};
use office::{KEYS, Office};

impl Office {
    fn run(&self, release: &str) -> Said {
        let run = ["archive", "run", "--release", release];
        self.desk.run([&run[..], &KEYS].concat())
    }

    fn verify(&self, more: &[&str]) -> Said {
        let verify = ["archive", "verify"];
        let anchor = ["--anchor", "org/org.anchor"];
        self.desk.run([&verify[..], more, &anchor].concat())
    }
}

#[test]
fn what_was_sealed_verifies_when_everything_else_is_gone() {
    let mut office = Office::open(3);
    let said = office.run("v1").ended(0);
    says(
        &said.out,
        &["v1: 3 attestations archived in archive", "tree of 4 leaves"],
    );
    // Nothing is sealed twice, and what was sealed stays where it is.
    says(&office.run("v1").ended(0).out, &["v1: 3 attestations"]);
    office.sign();
    let said = office.run("v2").ended(0);
    says(
        &said.out,
        &[
            "v2: 1 attestations",
            "tree of 5 leaves",
            "left out: 3 archived in an earlier period",
        ],
    );
    // The same tree, signed anew: an archive of its own, with nothing in it.
    let renew = ["archive", "renew"];
    let said = office.desk.run([&renew[..], &KEYS].concat()).ended(0);
    says(
        &said.out,
        &[
            "renewal-",
            "0 attestations",
            "tree of 5 leaves, statement 2",
        ],
    );
    // What an archive says of itself.
    let show = ["archive", "show", "archive", "--period", "v2"];
    says(
        &office.desk.run(show).ended(0).out,
        &[
            "archive.example.org v2, statement 1",
            "1 attestations verified, 0 refused",
            "leaves 4 to 5 of a tree of 5",
        ],
    );
    let said = office
        .desk
        .run([&show[..], &["--json"]].concat())
        .ended(0)
        .json();
    assert_eq!(said["manifest"]["range"]["start"], 4);
    // Found by what they say.
    let search = ["archive", "search", "archive"];
    let found = |more: &[&str]| office.desk.run([&search[..], more, &["--json"]].concat());
    let count = |said: Said| said.json()["attestations"].as_array().unwrap().len();
    assert_eq!(count(found(&[]).ended(0)), 4);
    assert_eq!(
        count(found(&["--artifact", &office.artifacts[3]]).ended(0)),
        1
    );
    assert_eq!(
        count(found(&["--type", "verdict", "--signer", "local/demo"]).ended(0)),
        4
    );
    assert_eq!(count(found(&["--type", "reachability"]).ended(10)), 0);
    assert_eq!(
        count(found(&["--until", "2020-01-01T00:00:00Z"]).ended(10)),
        0
    );
    // Taken out before all is gone.
    let artifact = office.artifacts[1].clone();
    let extract = ["archive", "extract", "archive", &artifact, "--period", "v1"];
    office
        .desk
        .run([&extract[..], &["--output", "evidence.json"]].concat())
        .ended(0);
    office
        .desk
        .run([&extract[..], &["--bundle", "one.json"]].concat())
        .ended(0);

    // The instance, its trust, the store, the keys: all gone.
    office.desk.stop();
    for name in ["sigstore", "classical.key", "pq.key", "home"] {
        let path = office.desk.path(name);
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
    }
    let said = office.verify(&["archive"]).ended(0);
    says(
        &said.out,
        &["good: archive.example.org renewal-", "L1 verified again: 0"],
    );
    let said = office.verify(&["archive", "--period", "v1"]).ended(0);
    says(
        &said.out,
        &[
            "statement 2",
            "period v1",
            "L0 archived: 3 attestations",
            "L1 verified again: 3",
            "classical key",
            "post-quantum key",
        ],
    );
    // A file that was taken out, by itself, in twenty years.
    let later = ["evidence.json", "--at", "2046-01-01T00:00:00Z"];
    office.verify(&later).ended(0);
    // The instance's only clock is on P-256. Who does not believe that any longer knows no date, and the keys have an end.
    let broken = ["--sunset", "P-256=2040-01-01T00:00:00Z"];
    let said = office.verify(&[&later[..], &broken].concat()).ended(12);
    says(&said.err, &["no signature of the newest statement counts"]);
    let other = office.artifacts[0].clone();
    let said = office
        .verify(&["evidence.json", "--artifact", &other])
        .ended(12);
    says(&said.out, &["L1 verified again  refused"]);
    // As JSON.
    let json = office
        .verify(&["archive", "--period", "v1", "--json"])
        .ended(0)
        .json();
    assert_eq!(
        (json["present"].as_u64(), json["reverified"].as_u64()),
        (Some(3), Some(3))
    );
    assert_eq!(
        (
            json["period"].as_str(),
            json["manifest"]["sequence"].as_u64(),
            json["newest"].as_u64()
        ),
        (Some("v1"), Some(0), Some(2))
    );
}

#[test]
fn what_is_no_attestation_is_kept_apart_and_named() {
    let office = Office::open(1);
    fs::create_dir(office.desk.path("dist")).unwrap();
    office.desk.write("dist/broken.json", "{}");
    let run = [
        "archive",
        "run",
        "--release",
        "v1",
        "--from",
        "dist",
        "--store",
        "none",
    ];
    let said = office.desk.run([&run[..], &KEYS].concat()).ended(12);
    says(
        &said.out,
        &["v1: 0 attestations", "refused: 1 (not-a-bundle)"],
    );
    let said = office.verify(&["archive"]).ended(0);
    says(&said.out, &["L0 archived: 1 attestations"]);
}

#[test]
fn other_keys_seal_nothing_and_a_stranger_s_anchor_believes_nothing() {
    let office = Office::open(1);
    let run = [
        "archive",
        "run",
        "--release",
        "v1",
        "--key",
        "recovery.key",
        "--pq-key",
        "pq.key",
    ];
    says(
        &office.desk.run(run).ended(40).err,
        &["exactly these keys: classical", "post-quantum"],
    );
    assert!(!office.desk.path("archive/index.json").exists());
    office.run("v1").ended(0);
    let stranger = Office::open(0);
    let anchor = fs::read(stranger.desk.path("org/org.anchor")).unwrap();
    office.desk.write("stranger.anchor", anchor);
    let verify = [
        "archive",
        "verify",
        "archive",
        "--anchor",
        "stranger.anchor",
    ];
    says(
        &office.desk.run(verify).ended(12).err,
        &["the one that the anchor names"],
    );
    // One public key alone shows who signed.
    let verify = ["archive", "verify", "archive", "--anchor", "classical.pub"];
    office.desk.run(verify).ended(12);
    let archived = [&verify[..], &["--level", "archived"]].concat();
    let said = office.desk.run(archived).ended(0);
    says(&said.out, &["classical key"]);
    assert!(!said.out.contains("post-quantum"));
}

#[test]
fn a_changed_archive_is_refused_wherever_it_was_changed() {
    let office = Office::open(2);
    office.run("v1").ended(0);
    office.verify(&["archive"]).ended(0);
    let blobs = office.desk.path("archive/blobs/sha256");
    let mut changed = 0;
    for entry in fs::read_dir(&blobs).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(&path, &bad).unwrap();
        let said = office.verify(&["archive"]);
        fs::write(&path, &good).unwrap();
        // The empty configuration says nothing.
        assert!(
            said.code != 0 || good == b"{}",
            "{}: {said:?}",
            path.display()
        );
        changed += usize::from(said.code != 0);
    }
    assert!(changed >= 4, "{changed}");
    office.verify(&["archive"]).ended(0);
}

#[test]
fn an_entry_of_the_own_log_without_its_attestation_is_named() {
    let mut office = Office::open(2);
    let reconcile = |office: &Office, release: &str| {
        let run = ["archive", "run", "--reconcile", "--release", release];
        office.desk.run([&run[..], &KEYS].concat())
    };
    says(
        &reconcile(&office, "v1").ended(0).out,
        &["of entries 1 to 3, 2 archived, 0 missing"],
    );
    // The statement itself is the log's next entry, and not missing. One attestation is lost before it is archived.
    office.sign();
    let blobs = office
        .desk
        .path("home/.local/share/stella/store/blobs/sha256");
    let blobs = if blobs.exists() {
        blobs
    } else {
        office.desk.path(".local/share/stella/store/blobs/sha256")
    };
    let newest = fs::read_dir(&blobs)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let newest = newest.max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    fs::remove_file(newest.unwrap()).unwrap();
    office.sign();
    let said = reconcile(&office, "v2").ended(24);
    says(
        &said.out,
        &[
            "of entries 3 to 6, 1 archived, 1 missing",
            "missing of",
            "4 …",
        ],
    );
    // What was named once is not named again; a statement alone adds nothing.
    says(
        &reconcile(&office, "v3").ended(0).out,
        &["of entries 6 to 6, 0 archived, 0 missing"],
    );
}

#[test]
fn a_file_with_something_left_out_proves_nothing_about_an_artifact() {
    let office = Office::open(2);
    office.run("v1").ended(0);
    let extract = [
        "archive",
        "extract",
        "archive",
        &office.artifacts[0],
        "--output",
        "good.json",
    ];
    office.desk.run(extract).ended(0);
    let other = office.artifacts[1].clone();
    let good = fs::read_to_string(office.desk.path("good.json")).unwrap();
    let good: serde_json::Value = serde_json::from_str(&good).unwrap();
    office
        .verify(&["good.json", "--artifact", &office.artifacts[0]])
        .ended(0);
    office
        .verify(&["good.json", "--artifact", &other])
        .ended(12);
    // Neither without the bytes nor without the root by which they were verified.
    let mut without_bytes = good.clone();
    without_bytes["attestations"][0]["bundle"] = "".into();
    office.desk.write("bytes.json", without_bytes.to_string());
    let mut without_roots = good.clone();
    without_roots["trustedRoots"] = serde_json::json!([]);
    office.desk.write("roots.json", without_roots.to_string());
    for file in ["bytes.json", "roots.json"] {
        office.verify(&[file, "--artifact", &other]).ended(12);
        office.verify(&[file]).ended(12);
    }
    // That it was archived is another question, and it compares no artifact.
    office
        .verify(&["bytes.json", "--level", "archived"])
        .ended(0);
    office
        .verify(&["bytes.json", "--level", "archived", "--artifact", &other])
        .ended(2);
    office.verify(&["archive", "--artifact", &other]).ended(2);
    // By the verifier's own root, which the instance's is.
    office.desk.run(["trusted-root", "--help"]).ended(0);
    let early = ["good.json", "--at", "2026-01-01T00:00:00Z"];
    office.verify(&early).ended(12);
    let early = ["archive", "--at", "2026-01-01T00:00:00Z"];
    says(&office.verify(&early).ended(12).err, &["after the time"]);
}

#[test]
fn what_others_know_later_counts() {
    let office = Office::open(1);
    office.run("v1").ended(0);
    office.verify(&["archive"]).ended(0);
    // The instance's certificate authority was in other hands from the beginning, as a verifier knows.
    let root = fs::read_dir(office.desk.path("org/trust"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let root: serde_json::Value = serde_json::from_slice(&fs::read(root).unwrap()).unwrap();
    let chain = &root["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"];
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        chain.as_str().unwrap()
    );
    office.desk.write("ca.pem", pem);
    let stolen = ["archive", "--compromised", "ca.pem=2026-01-01T00:00:00Z"];
    let said = office.verify(&stolen).ended(12);
    says(
        &said.out,
        &["L0 archived: 1", "L1 verified again: 0", "refused: leaf 0"],
    );
    let later = ["archive", "--compromised", "ca.pem=2040-01-01T00:00:00Z"];
    office.verify(&later).ended(0);
    office
        .verify(&["archive", "--compromised", "nothing=2040-01-01T00:00:00Z"])
        .ended(2);
}

#[test]
fn a_release_is_named_as_a_tag_can_be() {
    let office = Office::open(0);
    for name in ["..", ".", "-x", ".x", "a/b", "2026-11", "renewal-1", ""] {
        says(&office.run(name).ended(2).err, &["release"][..0]);
    }
}

#[test]
fn a_policy_says_whose_attestations_are_sealed_and_the_statement_names_it() {
    let office = Office::open(2);
    let policy = office.desk.write("policy.yaml", desk::OTHERS);
    let run = [
        "archive",
        "run",
        "--release",
        "v1",
        "--policy",
        &policy,
        "--json",
    ];
    let said = office.desk.run([&run[..], &KEYS].concat()).ended(12).json();
    let counts = &said["manifest"]["counts"];
    assert_eq!(
        (&counts["verified"], &counts["rejected"]),
        (&0.into(), &2.into())
    );
    assert_eq!(said["refused"], serde_json::json!({"identity-mismatch": 2}));
    let named = &said["manifest"]["profiles"][0]["policy"];
    assert_eq!(
        *named,
        desk::digest(desk::OTHERS).trim_start_matches("sha256:")
    );
    // What was refused is still taken once somebody accepts it.
    let said = office.run("v2").ended(0);
    says(&said.out, &["v2: 2 attestations"]);
}
