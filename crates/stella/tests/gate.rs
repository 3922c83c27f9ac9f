//! What the gate says where there is nothing to judge, and how far it reads.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;

use std::fs;

use desk::{Desk, digest, says};

#[test]
fn a_file_without_end_is_left_at_its_bound() {
    let desk = Desk::serving();
    let artifact = digest("a");
    desk.verify(&artifact, &["--bundle", "/dev/zero"]).ended(12);
    desk.verify(&artifact, &["--trusted-root", "/dev/zero"])
        .ended(2);
    desk.run(["--config", "/dev/zero", "config", "show"])
        .ended(2);
    let json = desk.sign(&artifact, &["--json"]).json();
    let blob = json["attestations"][0]["bundle"]
        .as_str()
        .unwrap()
        .replace("sha256:", "");
    let path = desk.path(&format!(".local/share/stella/store/blobs/sha256/{blob}"));
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    says(&desk.verify(&artifact, &[]).ended(1).err, &[&blob]);
}

#[test]
fn json_is_printed_for_what_could_not_even_be_judged() {
    let desk = Desk::serving();
    let artifact = digest("a");
    desk.write("broken.json", "{");
    let refused = |said: desk::Said, code: i32| {
        let json = said.ended(code).json();
        assert_eq!(json["schema"], "stella.verify/v1");
        assert_eq!(json["result"], "deny");
        assert_eq!(json["code"], code);
        assert_eq!(json["errors"][0]["code"], code);
    };
    refused(desk.verify("no-such-file", &["--json"]), 11);
    refused(desk.verify(&artifact, &["--json", "--bundle", "none"]), 2);
    let broken = ["--json", "--bundle", "broken.json"];
    refused(desk.verify(&artifact, &broken), 12);
    let nobody = ["--json", "--trusted-root", "none"];
    refused(desk.verify(&artifact, &nobody), 2);
    let identity = ["--json", "--certificate-identity", ".*"];
    refused(desk.verify(&artifact, &identity), 2);
    // What was judged says how, on success too.
    desk.sign(&artifact, &[]);
    let json = desk.verify(&artifact, &["--json"]).ended(0).json();
    assert_eq!(json["trustRoot"]["kind"], "url");
    assert_eq!(json["attestations"][0]["format"], "bundle-v0.3");
    let checks = json["attestations"][0]["checks"].as_array().unwrap();
    let log = checks.iter().find(|each| each["name"] == "tlog").unwrap();
    says(log["detail"].as_str().unwrap(), &["index 1"]);
    let inspect = ["attest", "inspect", "--artifact", &artifact, "--json"];
    let json = desk.run(inspect).ended(0).json();
    let checks = json["attestations"][0]["checks"].as_array().unwrap();
    let who = checks.iter().find(|each| each["name"] == "identity");
    assert_eq!(who.unwrap()["status"], "skipped");
}

#[test]
fn one_file_of_bundles_serves_many_artifacts_and_each_is_asked_about_its_own() {
    let desk = Desk::serving();
    let artifacts = ["a", "b", "c"].map(digest);
    let mut lines = String::new();
    for artifact in &artifacts {
        desk.sign(artifact, &["--bundle", "one.json"]).ended(0);
        lines += &fs::read_to_string(desk.path("one.json")).unwrap();
        lines.push('\n');
    }
    desk.write("all.jsonl", lines);
    let identity = ["--certificate-identity", "repo:local/demo:.*"];
    let mut arguments = vec!["verify", "--bundle", "all.jsonl", "--json"];
    arguments.extend(identity);
    arguments.extend(["--certificate-oidc-issuer", desk.url.as_str()]);
    arguments.extend(artifacts.iter().map(String::as_str));
    let set = desk.run(&arguments).ended(0).json();
    for result in set["results"].as_array().unwrap() {
        assert_eq!(result["attestations"].as_array().unwrap().len(), 1);
    }
    // Where none speaks of the artifact, the refusal says what all of them speak of.
    let stranger = digest("d");
    arguments.push(&stranger);
    let set = desk.run(&arguments).ended(12).json();
    let last = set["results"].as_array().unwrap().last().unwrap();
    assert_eq!(last["attestations"].as_array().unwrap().len(), 3);
}
