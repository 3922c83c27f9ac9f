//! Witnesses of an archive: they cosign its checkpoint where its tree only grew, and verifiers ask for that.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;
mod office;
mod witness;

use std::fs;

use desk::{Said, says};
use office::{KEYS, Office};
use serde_json::Value;
use stella_bundle::digest::DigestAlgorithm;
use stella_tlog::hash;
use stella_tlog::tlog_proof::TlogProof;
use witness::Witness;

const REASON: [&str; 2] = ["--reason", "witnesses cosign"];

/// Returns an office whose organisation has a checkpoint key, and the policy that asks for both witnesses.
fn witnessed(witnesses: &[Witness; 2]) -> Office {
    let office = Office::open(1);
    office.desk.key("checkpoint", "ed25519");
    let add = ["archive", "keyset", "add", "--role", "checkpoint"];
    let signers = ["--key", "classical.key", "--key", "pq.key"];
    let new = ["--new", "checkpoint.key"];
    let said = office
        .desk
        .run([&add[..], &new, &signers, &REASON].concat());
    said.ended(0);
    // What witnesses are told.
    let show = ["archive", "keyset", "show", "--json"];
    let told = office.desk.run(show).ended(0).json();
    let key = told["checkpointKeys"][0].as_str().unwrap();
    for witness in witnesses {
        witness.know(key);
    }
    let [one, two] = witnesses;
    let both = format!(
        "{}{}group both 2 one two\nquorum both\n",
        one.line("one"),
        two.line("two")
    );
    office.desk.write("both.txt", both);
    let any = format!(
        "{}{}group any 1 one two\nquorum any\n",
        one.line("one"),
        two.line("two")
    );
    office.desk.write("any.txt", any);
    office
}

fn flags(policy: &'static str) -> [&'static str; 4] {
    [
        "--checkpoint-key",
        "checkpoint.key",
        "--witness-policy",
        policy,
    ]
}

fn run(office: &Office, release: &str, policy: &'static str) -> Said {
    let run = ["archive", "run", "--release", release];
    let flags = flags(policy);
    office.desk.run([&run[..], &KEYS, &flags].concat())
}

fn cosign(office: &Office, policy: &'static str) -> Said {
    let flags = flags(policy);
    office
        .desk
        .run([&["archive", "cosign"][..], &flags].concat())
}

fn verify(office: &Office, policy: &str, more: &[&str]) -> Said {
    let verify = ["archive", "verify", "archive", "--anchor", "org/org.anchor"];
    office
        .desk
        .run([&verify[..], &["--witness-policy", policy], more].concat())
}

#[test]
fn witnesses_cosign_what_only_grew_and_verifiers_see_it() {
    let witnesses = [Witness::new(), Witness::new()];
    let mut office = witnessed(&witnesses);

    // Both cosign the first tree.
    let said = run(&office, "v1", "both.txt").ended(0);
    says(
        &said.out,
        &[
            "v1: 1 attestations archived",
            "cosigned by one",
            "cosigned by two",
        ],
    );
    // One is away for the second tree: that is not enough where both are asked for, and the archive is there all the same.
    witnesses[1].leave();
    office.sign();
    let said = run(&office, "v2", "both.txt").ended(24);
    says(&said.out, &["v2: 1 attestations archived"]);
    says(&said.err, &["two", "archive cosign"]);
    verify(&office, "both.txt", &[]).ended(24);
    verify(&office, "both.txt", &["--period", "v1"]).ended(0);
    // What becomes of the keys meanwhile changes nothing about what was sealed.
    let extend = ["archive", "keyset", "extend"];
    let signers = ["--key", "classical.key", "--key", "pq.key"];
    let said = office.desk.run([&extend[..], &signers, &REASON].concat());
    said.ended(0);
    // It is where one is.
    let said = cosign(&office, "any.txt").ended(0);
    says(&said.out, &["v2:", "cosigned by one"]);
    says(&said.err, &["two did not cosign"]);
    verify(&office, "any.txt", &[]).ended(0);
    // Back again it cosigns the third tree, by a proof from the first; and so does the other from the second.
    witnesses[1].come_back();
    office.sign();
    let said = run(&office, "v3", "both.txt").ended(0);
    says(&said.out, &["cosigned by one", "cosigned by two"]);
    let asked = [witnesses[0].asked(), witnesses[1].asked()];

    // Whoever has cosigned is not asked again.
    cosign(&office, "both.txt").ended(0);
    assert_eq!([witnesses[0].asked(), witnesses[1].asked()], asked);

    // Verifiers see it, and may be stricter than the organisation.
    says(
        &verify(&office, "both.txt", &[]).ended(0).out,
        &["cosigned by one at 20", "cosigned by two at 20"],
    );
    let told = verify(&office, "both.txt", &["--json"]).ended(0).json();
    assert_eq!(told["cosigned"].as_array().unwrap().len(), 2);
    let stranger = Witness::new();
    let stranger = format!("{}quorum stranger\n", stranger.line("stranger"));
    office.desk.write("stranger.txt", stranger);
    let said = verify(&office, "stranger.txt", &[]).ended(24);
    says(&said.err, &["quorum is not reached"]);

    // A renewal adds nothing: it has the same tree, which they cosign anew.
    let renew = ["archive", "renew"];
    let flags = flags("both.txt");
    let said = office.desk.run([&renew[..], &KEYS, &flags].concat());
    says(
        &said.ended(0).out,
        &["0 attestations", "cosigned by one", "cosigned by two"],
    );
}

#[test]
fn one_attestation_is_proved_to_be_in_the_tree_that_was_cosigned() {
    let witnesses = [Witness::new(), Witness::new()];
    let mut office = witnessed(&witnesses);
    run(&office, "v1", "both.txt").ended(0);
    for _ in 0..4 {
        office.sign();
    }
    run(&office, "v2", "both.txt").ended(0);
    let artifact = office.artifacts[2].clone();
    let extract = ["archive", "extract", "archive", &artifact];
    let files = ["--bundle", "one.sigstore.json", "--proof", "one.tlog-proof"];
    let said = office.desk.run([&extract[..], &files].concat()).ended(0);
    says(
        &said.out,
        &[
            "one.sigstore.json",
            "one.tlog-proof",
            "the note as it is kept",
        ],
    );

    let text = fs::read_to_string(office.desk.path("one.tlog-proof")).unwrap();
    let proof = TlogProof::parse(&text).unwrap();
    let leaf = proof.extra.clone().unwrap();
    let checkpoint = proof.checkpoint_of(&hash::leaf(&leaf)).unwrap();
    assert_eq!(checkpoint.origin, "archive.example.org");
    let policy = fs::read_to_string(office.desk.path("both.txt")).unwrap();
    let policy = stella_tlog::quorum::Policy::parse(&policy).unwrap();
    assert_eq!(policy.satisfied_by(&proof.note).unwrap().len(), 2);
    // The leaf names the very bytes.
    let bundle = fs::read(office.desk.path("one.sigstore.json")).unwrap();
    let digest = stella_bundle::key::sha256(&bundle);
    assert!(
        String::from_utf8(leaf)
            .unwrap()
            .contains(&hex::encode(digest))
    );

    // What nobody cosigned is not proved so.
    office.sign();
    let last = ["archive", "run", "--release", "v3"];
    office.desk.run([&last[..], &KEYS].concat()).ended(0);
    let artifact = office.artifacts.last().unwrap().clone();
    let extract = ["archive", "extract", "archive", &artifact];
    let said = office.desk.run([&extract[..], &files].concat()).ended(24);
    says(&said.err, &["no note of witnesses", "archive cosign"]);
}

/// Puts another text in the place of the note that is kept.
fn put_note(office: &Office, change: impl FnOnce(&str) -> String) {
    let index = fs::read_to_string(office.desk.path("archive/index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let blob = |digest: &Value| {
        let digest = digest.as_str().unwrap().replace(':', "/");
        office.desk.path(&format!("archive/blobs/{digest}"))
    };
    let manifests = index["manifests"].as_array().unwrap();
    let is_note =
        |each: &&Value| each["annotations"]["org.opencontainers.image.ref.name"] == "note-v1";
    let manifest = blob(&manifests.iter().find(is_note).unwrap()["digest"]);
    let text = fs::read_to_string(&manifest).unwrap();
    let parsed: Value = serde_json::from_str(&text).unwrap();
    let layer = &parsed["layers"][0];
    let note = change(&fs::read_to_string(blob(&layer["digest"])).unwrap());
    let digest = DigestAlgorithm::Sha256.digest(note.as_bytes()).to_string();
    fs::write(blob(&digest.clone().into()), &note).unwrap();
    let text = text.replace(layer["digest"].as_str().unwrap(), &digest);
    let text = text.replace(
        &format!("\"size\":{}", layer["size"]),
        &format!("\"size\":{}", note.len()),
    );
    let changed = DigestAlgorithm::Sha256.digest(text.as_bytes()).to_string();
    fs::write(blob(&changed.clone().into()), &text).unwrap();
    let old = manifests.iter().find(is_note).unwrap();
    let index = serde_json::to_string(&index).unwrap();
    let index = index.replace(old["digest"].as_str().unwrap(), &changed);
    let index = index.replace(
        &format!("\"size\":{}", old["size"]),
        &format!("\"size\":{}", text.len()),
    );
    fs::write(office.desk.path("archive/index.json"), index).unwrap();
}

#[test]
fn a_note_that_somebody_changed_is_refused_and_made_anew() {
    let witnesses = [Witness::new(), Witness::new()];
    let office = witnessed(&witnesses);
    run(&office, "v1", "both.txt").ended(0);
    verify(&office, "both.txt", &[]).ended(0);
    let damaged = |note: &str| {
        let last = note.trim_end().rfind(' ').unwrap() + 20;
        let other = if &note[last..=last] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &note[..last], &note[last + 1..])
    };
    for change in [
        &damaged as &dyn Fn(&str) -> String,
        &|note: &str| note.replacen("\n3\n", "\n4\n", 1),
        &|_: &str| "no note".to_owned(),
        &|note: &str| {
            note.lines()
                .take(5)
                .map(|line| format!("{line}\n"))
                .collect()
        },
    ] {
        put_note(&office, change);
        let said = verify(&office, "both.txt", &[]);
        assert!([12, 24].contains(&said.code), "{said:?}");
        cosign(&office, "both.txt").ended(0);
        verify(&office, "both.txt", &[]).ended(0);
    }

    // Its name is nobody else's.
    run(&office, "note-v1", "both.txt").ended(2);
    // What was asked for wrongly is said before anything is done.
    office.desk.write("wrong.txt", "quorum nobody\n");
    let said = run(&office, "v2", "wrong.txt").ended(2);
    says(&said.err, &["wrong.txt", "tlog-policy"]);
    assert!(!said.out.contains("archived"));
    // Keys that sign statements are put in each other's places.
    office.desk.key("second", "ecdsa-p256");
    let add = ["archive", "keyset", "add", "--role", "classical"];
    let signers = ["--key", "classical.key", "--key", "pq.key"];
    let new = ["--new", "second.key"];
    let said = office
        .desk
        .run([&add[..], &new, &signers, &REASON].concat());
    says(&said.ended(2).err, &["key rotate"]);
}

#[test]
fn another_past_is_not_cosigned_and_other_keys_sign_no_checkpoint() {
    let witnesses = [Witness::new(), Witness::new()];
    let mut office = witnessed(&witnesses);
    run(&office, "v1", "both.txt").ended(0);

    // The archive is lost and made anew. The same set gives the same tree, which the witnesses have seen; another does not.
    for gone in ["archive", "archive.work"] {
        fs::remove_dir_all(office.desk.path(gone)).unwrap();
    }
    fs::remove_file(office.desk.path("org/head.json")).unwrap();
    office.sign();
    let said = run(&office, "other", "any.txt").ended(24);
    says(
        &said.err,
        &[
            "quorum is not reached",
            "one saw a tree of 3 leaves",
            "its past is another one",
        ],
    );

    // Neither a key that the keyset does not name, nor one of another role.
    office.desk.key("foreign", "ed25519");
    let policy = ["--witness-policy", "any.txt"];
    for (key, code) in [("foreign.key", 40), ("classical.key", 40)] {
        let cosign = ["archive", "cosign", "--checkpoint-key", key];
        office.desk.run([&cosign[..], &policy].concat()).ended(code);
    }

    // It has no say in what becomes of the keys.
    let extend = ["archive", "keyset", "extend"];
    let signers = ["--key", "classical.key", "--key", "checkpoint.key"];
    let said = office.desk.run([&extend[..], &signers, &REASON].concat());
    says(&said.ended(40).err, &["nothing was changed"]);
}
