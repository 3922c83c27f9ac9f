//! Each exit code that a verification can give, by a real command on the committed evidence; and what modes make of it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;

use desk::{Desk, Said, says};

const ROOT: &str = include_str!("../../../testdata/keyless/trusted_root.json");
const BUNDLE: &str = include_str!("../../../testdata/keyless/bundle.sigstore.json");
const ARTIFACT: &str = include_str!("../../../testdata/keyless/artifact.txt");
const CODES: &str = include_str!("../../../docs/reference/exit-codes.md");
/// The instance that signed the committed evidence.
const ISSUER: &str = "http://127.0.0.1:8470";
/// SHA-256 of the committed trusted root.
const FINGERPRINT: &str = "sha256:4ae2addbc79dd2dc995617e5a0b9273bb85e153dbf0d5315b7399f4e83c95aec";

/// Returns a desk with the committed evidence in it, and some that was spoiled.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("root.json", ROOT);
    desk.write("app", ARTIFACT);
    desk.write("app.sigstore.json", BUNDLE);
    desk.write("lonely", "nobody signed this");
    desk.write("other", "another artifact");
    desk.write("other.sigstore.json", BUNDLE);
    desk.write("broken.json", "{}");
    let mut bundle: serde_json::Value = serde_json::from_str(BUNDLE).unwrap();
    bundle["verificationMaterial"]["tlogEntries"] = serde_json::json!([]);
    desk.write("unlogged.json", bundle.to_string());
    let mut bundle: serde_json::Value = serde_json::from_str(BUNDLE).unwrap();
    let material = bundle["verificationMaterial"].as_object_mut().unwrap();
    material.remove("certificate");
    material.insert("publicKey".to_owned(), serde_json::json!({"hint": "k"}));
    desk.write("keyed.json", bundle.to_string());
    let mut root: serde_json::Value = serde_json::from_str(ROOT).unwrap();
    root["certificateAuthorities"] = serde_json::json!([]);
    desk.write("rootless.json", root.to_string());
    desk
}

/// Asks by the identity that signed.
fn verify(desk: &Desk, more: &[&str]) -> Said {
    let mut arguments = vec!["verify"];
    arguments.extend_from_slice(more);
    if !more.contains(&"--trusted-root") {
        arguments.extend(["--trusted-root", "root.json"]);
    }
    if !more
        .iter()
        .any(|each| each.starts_with("--certificate") || *each == "--policy")
    {
        arguments.extend([
            "--certificate-identity",
            "repo:local/demo:ref:refs/heads/main",
        ]);
        arguments.extend(["--certificate-oidc-issuer", ISSUER]);
    }
    desk.run(arguments)
}

/// Every code that verification gives, with flags that give it.
const TABLE: [(i32, &[&str]); 18] = [
    (0, &["app"]),
    (2, &["app", "--mode", "strict"]),
    (2, &["app", "--trusted-root", "none"]),
    (10, &["lonely"]),
    (11, &["nothing-here"]),
    (12, &["other"]),
    (12, &["app", "--bundle", "broken.json"]),
    (13, &["app", "--bundle", "keyed.json"]),
    (
        20,
        &[
            "app",
            "--certificate-identity",
            "repo:o/r:.*",
            "--certificate-oidc-issuer",
            ISSUER,
        ],
    ),
    (
        20,
        &[
            "app",
            "--certificate-identity",
            "repo:local/demo:.*",
            "--certificate-oidc-issuer",
            "https://other",
        ],
    ),
    (21, &["app", "--type", "sbom-delta"]),
    (21, &["app", "--type", "verdict", "--min-count", "2"]),
    (22, &["app", "--require", "verdict:/result=warn"]),
    (22, &["app", "--require", "verdict:/mode=enforce"]),
    (23, &["app", "--trusted-root", "rootless.json"]),
    (24, &["app", "--bundle", "unlogged.json"]),
    (24, &["app", "--require-rekor", "--bundle", "unlogged.json"]),
    (25, &["app", "--max-age", "1s"]),
];

#[test]
fn each_code_of_the_reference_is_given_by_a_command() {
    let desk = desk();
    for (code, arguments) in TABLE {
        let said = verify(&desk, arguments).ended(code);
        assert!(code == 0 || said.err.contains("error:"), "{said:?}");
        // The number is in the reference, and the same in the report.
        assert!(CODES.contains(&format!("| {code} |")), "{code}");
        let with_json = [arguments, &["--json"]].concat();
        let json = verify(&desk, &with_json).ended(code).json();
        assert_eq!(json["code"], code, "{json}");
        assert_eq!(json["result"], if code == 0 { "allow" } else { "deny" });
        assert_eq!(json["allowedBy"], serde_json::Value::Null);
        if matches!(code, 10..=25) {
            let docs = json["errors"][0]["docs"].as_str().unwrap();
            assert!(docs.contains("/docs/errors/"), "{docs}");
            says(&said.err, &["see: ", docs]);
        }
    }
    let mut nobody = vec!["verify", "app", "--trusted-root", "root.json"];
    says(&desk.run(&nobody).ended(20).err, &["no identity was given"]);
    nobody.push("--insecure-any-identity");
    desk.run(&nobody).ended(0);
}

#[test]
fn modes_let_refusals_pass_and_nothing_else() {
    let desk = desk();
    for (code, arguments) in TABLE {
        if arguments.contains(&"--mode") {
            continue;
        }
        let is_beyond_discussion = arguments.contains(&"--require-rekor");
        let passes = code == 0 || (matches!(code, 10..=25) && !is_beyond_discussion);
        for mode in ["warn", "audit"] {
            let said = verify(&desk, &[arguments, &["--mode", mode]].concat());
            let said = said.ended(if passes { 0 } else { code });
            let is_told = said.err.contains("WARNING");
            assert_eq!(is_told, mode == "warn" && passes && code != 0, "{said:?}");
            let json = verify(&desk, &[arguments, &["--mode", mode, "--json"]].concat()).json();
            assert_eq!(json["code"], code);
            let by = if passes && code != 0 {
                mode.into()
            } else {
                serde_json::Value::Null
            };
            assert_eq!(json["allowedBy"], by, "{arguments:?} {json}");
        }
    }
}

#[test]
fn many_artifacts_end_with_the_code_of_the_first_that_does_not_pass() {
    let desk = desk();
    let said = verify(&desk, &["app", "lonely", "nothing-here"]).ended(10);
    says(
        &said.out,
        &[
            "ok    app",
            "fail  lonely  10",
            "fail  nothing-here  11",
            "1 of 3",
        ],
    );
    verify(&desk, &["nothing-here", "lonely"]).ended(11);
    let json = verify(&desk, &["app", "other", "--json"]).ended(12).json();
    assert_eq!(json["schema"], "stella.verify-set/v1");
    assert_eq!(json["code"], 12);
    assert_eq!(json["results"][0]["schema"], "stella.verify/v1");
    assert_eq!(json["results"][1]["code"], 12);
    // A folder is every file below it but the bundles.
    desk.write("dist/app", ARTIFACT);
    desk.write("dist/app.sigstore.json", BUNDLE);
    desk.write("dist/deep/app", ARTIFACT);
    desk.write("dist/deep/app.sigstore", BUNDLE);
    says(
        &verify(&desk, &["dist"]).ended(0).out,
        &["2 of 2 artifacts pass"],
    );
    desk.write("empty/app.sigstore", BUNDLE);
    verify(&desk, &["empty"]).ended(11);
    verify(&desk, &["-"]).ended(10);
}

#[test]
fn reports_go_where_they_were_asked_to_go() {
    let desk = desk();
    desk.write("a&b", "unsigned");
    let many = [
        "app",
        "a&b",
        "-o",
        "github",
        "-o",
        "junit=report.xml",
        "-o",
        "json=report.json",
    ];
    let said = verify(&desk, &many).ended(10);
    says(
        &said.out,
        &[
            "::notice title=stella verify::app is attested",
            "::error title=stella verify::a&b: no attestation",
            "%0A",
        ],
    );
    let junit = std::fs::read_to_string(desk.path("report.xml")).unwrap();
    says(
        &junit,
        &[
            "tests=\"2\" failures=\"1\"",
            "name=\"a&amp;b\"",
            "<failure type=\"10\"",
        ],
    );
    let json = std::fs::read_to_string(desk.path("report.json")).unwrap();
    says(&json, &["stella.verify-set/v1"]);
    verify(&desk, &["app", "-o", "sarif"]).ended(2);
    verify(&desk, &["app", "-o", "json", "-o", "github"]).ended(2);
    verify(&desk, &["app", "-o", "junit="]).ended(2);
}

const POLICY: &str = "\
policy: stella.policy/v1
trust: [TRUST]
signers:
  release:
    identity: repo:local/demo:ref:refs/heads/main
    issuer: http://127.0.0.1:8470
require:
  - type: verdict
    where: {/result: allow}
    signers: [release]
";

fn policy() -> String {
    POLICY.replace("TRUST", FINGERPRINT)
}

#[test]
fn a_policy_file_decides_and_flags_only_make_it_stricter() {
    let desk = desk();
    desk.write("policy.yaml", policy());
    let by = |more: &[&str]| verify(&desk, &[&["app", "--policy", "policy.yaml"], more].concat());
    by(&[]).ended(0);
    by(&["--require-timestamp"]).ended(0);
    by(&["--trust-fingerprint", FINGERPRINT]).ended(0);
    by(&["--max-age", "1s"]).ended(25);
    by(&["--min-count", "2"]).ended(21);
    by(&["--type", "sbom-delta"]).ended(21);
    by(&["--require", "verdict:/policy/name=release"]).ended(0);
    by(&["--require", "verdict:/policy/name=other"]).ended(22);
    for looser in [
        &["--insecure-ignore-log"][..],
        &["--insecure-ignore-sct"],
        &["--insecure-any-identity"],
        &["--mode", "warn"],
        &["--identity", "issuer=i,san=s"],
        &[
            "--trust-fingerprint",
            "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ],
    ] {
        let said = by(looser).ended(2);
        says(&said.err, &["error:", "hint:"]);
    }
    desk.write("warn.yaml", policy().replace("trust", "mode: warn\ntrust"));
    verify(
        &desk,
        &["app", "--policy", "warn.yaml", "--mode", "enforce"],
    )
    .ended(0);
    verify(&desk, &["lonely", "--policy", "warn.yaml"]).ended(0);
    verify(
        &desk,
        &["lonely", "--policy", "warn.yaml", "--mode", "enforce"],
    )
    .ended(10);
}

#[test]
fn a_policy_that_enforces_believes_no_local_instance_unless_it_names_it() {
    let desk = desk();
    desk.write(
        "policy.yaml",
        policy().replace(&format!("trust: [{FINGERPRINT}]\n"), ""),
    );
    let said = verify(&desk, &["app", "--policy", "policy.yaml"]).ended(2);
    says(&said.err, &["local instance", FINGERPRINT]);
    verify(
        &desk,
        &[
            "app",
            "--policy",
            "policy.yaml",
            "--trust-fingerprint",
            FINGERPRINT,
        ],
    )
    .ended(0);
    desk.write("other.yaml", policy().replace("4ae2", "0000"));
    verify(&desk, &["app", "--policy", "other.yaml"]).ended(2);
}

#[test]
fn policies_are_checked_explained_and_tested() {
    let desk = desk();
    desk.write("policy.yaml", policy());
    let said = desk.run(["policy", "check", "policy.yaml"]).ended(0);
    says(&said.out, &["policy: stella.policy/v1", "mode: enforce"]);
    says(&said.err, &["advice: policy-result has no max-age"]);
    let json = desk
        .run(["policy", "check", "policy.yaml", "--json"])
        .ended(0)
        .json();
    assert_eq!(json["policy"]["mode"], "enforce");
    desk.write("bad.yaml", "policy: stella.policy/v1\nsinger: {}\n");
    says(
        &desk.run(["policy", "check", "bad.yaml"]).ended(2).err,
        &["bad.yaml: line 2", "did you mean signers?"],
    );
    desk.run(["policy", "check", "bad.yaml", "--json"])
        .ended(2)
        .json();
    says(
        &desk.run(["policy", "schema"]).ended(0).out,
        &["stella.policy/v1"],
    );

    let explain = [
        "policy",
        "explain",
        "--policy",
        "policy.yaml",
        "--trusted-root",
        "root.json",
        "--artifact",
    ];
    let of = |more: &[&str]| desk.run([&explain, more].concat());
    says(
        &of(&["app"]).ended(0).out,
        &[
            "is by release",
            "token-subject agrees",
            "requirement policy-result holds",
            "passes",
        ],
    );
    says(
        &of(&["other"]).ended(12).out,
        &["refused: ", "refused with code 12"],
    );
    let json = of(&["app", "--json"]).ended(0).json();
    assert_eq!(json["explanations"][0]["explanation"]["passes"], true);

    let cases = "cases:\n  - {name: good, artifact: app, bundles: [app.sigstore.json], trusted-root: root.json, expect: allow}\n  - {name: unsigned, artifact: lonely, trusted-root: root.json, expect: 10}\n  - {name: gone, artifact: nothing, trusted-root: root.json, at: 2026-11-22T00:00:00Z, expect: 11}\n";
    desk.write("cases.yaml", cases);
    let said = desk
        .run(["policy", "test", "policy.yaml", "--cases", "cases.yaml"])
        .ended(0);
    says(&said.out, &["3 of 3 cases end as expected"]);
    desk.write(
        "cases/a.yaml",
        cases
            .replace("expect: 10", "expect: allow")
            .replace("root.json", "../root.json")
            .replace("app", "../app")
            .replace("lonely", "../lonely"),
    );
    let said = desk
        .run(["policy", "test", "policy.yaml", "--cases", "cases"])
        .ended(1);
    says(&said.out, &["differs", "2 of 3"]);
    desk.run(["policy", "test", "policy.yaml", "--cases", "bad.yaml"])
        .ended(2);
}
