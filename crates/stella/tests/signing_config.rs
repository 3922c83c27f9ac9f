//! Where to sign and whom to believe, made of words: created, shown, checked, and signed and verified by.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod desk;

use std::fs;

use desk::{Desk, Said, digest, says};
use serde_json::{Value, json};
use stella_bundle::json::decode_base64;
use stella_bundle::pem;

const START: &str = "2026-01-01T00:00:00Z";

/// Returns the words of a service.
fn service(url: &str, version: u32, operator: &str) -> String {
    format!("url={url},api-version={version},start-time={START},operator={operator}")
}

/// Returns the flags of one service of each kind of an instance.
fn services_of(url: &str, operator: &str) -> Vec<String> {
    let tsa = format!("{url}/api/v1/timestamp");
    vec![
        format!("--fulcio={}", service(url, 1, operator)),
        format!("--oidc-provider={}", service(url, 1, operator)),
        format!("--rekor={}", service(url, 2, operator)),
        format!("--tsa={}", service(&tsa, 1, operator)),
    ]
}

/// Makes a signing config and returns what was said.
fn create(desk: &Desk, flags: &[&str]) -> Said {
    desk.run(["signing-config", "create"].iter().chain(flags))
}

fn bytes(value: &Value) -> Vec<u8> {
    decode_base64(value.as_str().unwrap()).unwrap()
}

/// Writes the certificates and keys of an instance as PEM, and returns the flags that tell of them.
fn authorities_of(desk: &Desk, instance: &Desk, name: &str) -> Vec<String> {
    let root = fs::read(instance.path("sigstore/trusted_root.json")).unwrap();
    let root: Value = serde_json::from_slice(&root).unwrap();
    let mut flags = Vec::new();
    for (part, flag) in [
        ("certificateAuthorities", "fulcio"),
        ("timestampAuthorities", "tsa"),
    ] {
        let entry = &root[part][0];
        let chain = entry["certChain"]["certificates"].as_array().unwrap();
        let block = |each: &Value| pem::encode("CERTIFICATE", &bytes(&each["rawBytes"]));
        let text: String = chain.iter().map(block).collect();
        let path = desk.write(&format!("{name}/{flag}.pem"), text);
        let url = entry["uri"].as_str().unwrap();
        flags.push(format!("--{flag}=url={url},certificate-chain={path}"));
    }
    for (part, flag, more) in [
        ("ctlogs", "ctfe", ""),
        ("tlogs", "rekor", ",origin=127.0.0.1"),
    ] {
        let entry = &root[part][0];
        let key = &entry["publicKey"];
        let text = pem::encode("PUBLIC KEY", &bytes(&key["rawBytes"]));
        let path = desk.write(&format!("{name}/{flag}.pub"), text);
        let url = entry["baseUrl"].as_str().unwrap();
        let start = key["validFor"]["start"].as_str().unwrap();
        flags.push(format!(
            "--{flag}=url={url},public-key={path},start-time={start}{more}"
        ));
    }
    flags
}

/// Joins both files into a client trust config.
fn client_trust_config(desk: &Desk) -> String {
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(desk.path(name)).unwrap()).unwrap()
    };
    let both = json!({
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": read("site/trusted_root.json"),
        "signingConfig": read("site/signing_config.json"),
    });
    desk.write("client.json", both.to_string())
}

#[test]
fn what_is_made_of_an_instances_files_signs_and_verifies() {
    let mut desk = Desk::new();
    desk.serve();
    fs::create_dir_all(desk.path("site")).unwrap();

    // 1. Where to sign.
    let services = services_of(&desk.url, "site.example");
    let mut flags: Vec<&str> = services.iter().map(String::as_str).collect();
    flags.extend(["--rekor-config=ANY", "--tsa-config=EXACT:1"]);
    flags.extend(["--output-file", "site/signing_config.json"]);
    let said = create(&desk, &flags).ended(0);
    assert_eq!(
        (said.out.as_str(), said.err.as_str()),
        ("", "wrote site/signing_config.json\n")
    );
    let said = desk
        .run(["signing-config", "check", "site/signing_config.json"])
        .ended(0);
    says(&said.out, &["0 errors, 0 warnings"]);

    // 2. Whom to believe.
    let authorities = authorities_of(&desk, &desk, "pem");
    let mut command = desk.command(["trusted-root", "create", "--out", "site/trusted_root.json"]);
    desk::finish(command.args(&authorities)).ended(0);
    let said = desk
        .run(["trust", "lint", "site/trusted_root.json"])
        .ended(0);
    says(&said.out, &["0 errors, 0 warnings"]);

    // 3. Signed and verified by both in one file, and by the folder of both.
    let config = client_trust_config(&desk);
    let artifact = digest("what is released");
    desk.sign(&artifact, &["--trust-config", &config]);
    desk.verify(&artifact, &["--trusted-root", "site/trusted_root.json"])
        .ended(0);
    desk.run(["trust", "use", "site"]).ended(0);
    let other = digest("what is released next");
    desk.sign(&other, &[]);
    desk.verify(&other, &["--require-rekor"]).ended(0);
    let said = desk.run(["signing-config", "show", "--json"]).ended(0);
    let shown = said.json();
    assert_eq!(shown["rekorTlogUrls"]["services"][0]["chosen"], true);
    assert_eq!(shown["tsaUrls"]["selection"], "EXACT:1");

    // 4. The instance's own trust files agree with those that were made.
    let own = desk.path("sigstore/trusted_root.json");
    let own = own.to_str().unwrap();
    desk.verify(&other, &["--trusted-root", own]).ended(0);
}

#[test]
fn two_operators_bear_witness_in_one_bundle() {
    let (mut desk, mut second) = (Desk::new(), Desk::new());
    desk.serve();
    second.serve();
    fs::create_dir_all(desk.path("site")).unwrap();
    // Two instances on one host have one origin and different keys; ports keep their addresses apart.
    let mut services = services_of(&desk.url, "first.example");
    services.extend(services_of(&second.url, "second.example").split_off(2));
    let mut flags: Vec<&str> = services.iter().map(String::as_str).collect();
    flags.extend(["--rekor-config=ALL", "--tsa-config=EXACT:2"]);
    flags.extend(["-o", "site/signing_config.json"]);
    create(&desk, &flags).ended(0);
    let mut authorities = authorities_of(&desk, &desk, "first");
    let mut command = desk.command(["trusted-root", "create", "-o", "first.json"]);
    desk::finish(command.args(&authorities)).ended(0);
    // The second site is added to the file of the first.
    authorities = authorities_of(&desk, &second, "second");
    let mut command = desk.command(["trusted-root", "create", "--base", "first.json"]);
    command.args(["--out", "site/trusted_root.json"]);
    desk::finish(command.args(&authorities)).ended(0);

    let config = client_trust_config(&desk);
    let artifact = digest("what is released");
    let bundle = desk.path("both.sigstore.json");
    let bundle = bundle.to_str().unwrap();
    desk.sign(&artifact, &["--trust-config", &config, "--bundle", bundle]);
    let signed: Value = serde_json::from_slice(&fs::read(bundle).unwrap()).unwrap();
    let material = &signed["verificationMaterial"];
    let entries = material["tlogEntries"].as_array().unwrap();
    let ids: Vec<&Value> = entries.iter().map(|entry| &entry["logId"]).collect();
    assert_eq!(entries.len(), 2);
    assert_ne!(ids[0], ids[1]);
    let stamps = &material["timestampVerificationData"]["rfc3161Timestamps"];
    assert_eq!(stamps.as_array().unwrap().len(), 2);
    let root = ["--bundle", bundle, "--trusted-root"];
    let verify = |trusted: &str| {
        let more = [root[0], root[1], root[2], trusted];
        desk.verify(&artifact, &more)
    };
    verify("site/trusted_root.json").ended(0);
    // Who knows only one of them sees one witness, which is enough.
    verify("first.json").ended(0);
    let said = desk
        .run(["signing-config", "show", &config, "--json"])
        .ended(0);
    let logs = &said.json()["rekorTlogUrls"]["services"];
    assert_eq!(
        (&logs[0]["chosen"], &logs[1]["chosen"]),
        (&json!(true), &json!(true))
    );
}

#[test]
fn each_mistake_in_the_words_is_a_usage_error_that_names_it() {
    let desk = Desk::new();
    let good = service("https://fulcio.example", 1, "example");
    let with = |text: &str| format!("--fulcio={good},{text}");
    let without = |key: &str| {
        let rest: Vec<&str> = good
            .split(',')
            .filter(|each| !each.starts_with(key))
            .collect();
        format!("--fulcio={}", rest.join(","))
    };
    let replaced = |from: &str, to: &str| format!("--fulcio={}", good.replace(from, to));
    for (flag, words) in [
        (
            with("end_time=x"),
            &["end_time", "api-version", "did you mean end-time?"][..],
        ),
        (without("url"), &["expected the key url,"]),
        (without("operator"), &["expected the key operator,"]),
        (replaced(START, "yesterday"), &["RFC 3339", "yesterday"]),
        (
            with("end-time=2001-01-01T00:00:00Z"),
            &["end-time after start-time"],
        ),
        (with("operator=b"), &["expected operator once"]),
        (replaced("version=1", "version=v1"), &["above zero", "v1"]),
        (replaced("https://", ""), &["https://host/path"]),
        (with("more"), &["expected key=value", "more"]),
    ] {
        let said = create(&desk, &[&flag]).ended(2);
        says(&said.err, words);
        assert_eq!(said.out, "");
    }
}

#[test]
fn what_nobody_could_sign_by_is_not_made() {
    let desk = Desk::new();
    let fulcio = format!("--fulcio={}", service("https://fulcio.example", 1, "a"));
    let rekor = format!("--rekor={}", service("https://rekor.example", 2, "a"));
    let other = format!("--rekor={}", service("https://other.example", 2, "a"));
    let tsa = format!("--tsa={}", service("https://tsa.example/stamp", 1, "a"));
    let [fulcio, rekor, other, tsa] = [&fulcio[..], &rekor, &other, &tsa];
    for (flags, words) in [
        (&[][..], "expected at least one service, found none"),
        (&[rekor], "--rekor-config"),
        (&[tsa], "--tsa-config"),
        (
            &[rekor, "--rekor-config=EXACT:0"],
            "EXACT:n with n above zero",
        ),
        (
            &[rekor, "--rekor-config=SOME"],
            "expected ANY, ALL or EXACT:n",
        ),
        (&[rekor, other, "--rekor-config=EXACT:2"], "EXACT 2"),
        (
            &[fulcio, rekor, "--rekor-config=ANY"],
            "no timestamp authority",
        ),
    ] {
        let said = create(&desk, flags).ended(2);
        says(&said.err, &[words]);
    }
    let said = create(&desk, &[fulcio]).ended(0);
    says(&said.err, &["warning: rekorTlogUrls is empty"]);
    says(&said.out, &["https://fulcio.example"]);
}

#[test]
fn a_signing_config_begins_with_another_or_with_the_public_services() {
    let desk = Desk::new();
    let said = create(&desk, &["--with-default-services", "--no-default-tsa"]).ended(0);
    let made = said.json();
    assert_eq!(made["caUrls"][0]["url"], "https://fulcio.sigstore.dev");
    assert_eq!(made["tsaUrls"], json!([]));
    says(&said.err, &["entries of Rekor v2 only"]);
    let base = desk.write("base.json", &said.out);
    let oidc = format!(
        "--oidc-provider={}",
        service("https://oidc.example", 1, "a")
    );
    let said = create(&desk, &["--base-config", &base, &oidc]).ended(0);
    let made = said.json();
    assert_eq!(made["oidcUrls"].as_array().unwrap().len(), 1);
    assert_eq!(made["oidcUrls"][0]["url"], "https://oidc.example");
    assert_eq!(made["caUrls"][0]["url"], "https://fulcio.sigstore.dev");
    create(&desk, &["--base-config", &base, "--with-default-services"]).ended(2);
    create(&desk, &["--base-config", "nothing.json"]).ended(2);
}

#[test]
fn a_signing_config_is_shown_and_checked() {
    let desk = Desk::new();
    let services = [
        service("https://old.example", 2, "a").replace("2026", "2025"),
        service("https://new.example", 2, "a"),
        service("https://v1.example", 1, "b"),
        format!(
            "{},end-time=2026-02-01T00:00:00Z",
            service("https://ended.example", 2, "c")
        ),
    ];
    let flags: Vec<String> = services
        .iter()
        .map(|each| format!("--rekor={each}"))
        .collect();
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    flags.extend(["--rekor-config=ALL", "--out", "signing.json"]);
    create(&desk, &flags).ended(0);
    let show = ["signing-config", "show", "signing.json"];
    let said = desk.run(show).ended(0);
    says(
        &said.out,
        &[
            "rekorTlogUrls: ALL",
            "  *  https://new.example    version 2  a  from 2026-01-01T00:00:00Z",
            "ended",
            "tsaUrls: none",
        ],
    );
    let said = desk.run(show.iter().chain(&["--json"])).ended(0).json();
    let rows = said["rekorTlogUrls"]["services"].as_array().unwrap();
    let chosen: Vec<_> = rows
        .iter()
        .map(|row| row["chosen"].as_bool().unwrap())
        .collect();
    assert_eq!(chosen, [false, true, false, false]);
    assert_eq!(rows[3]["state"], "ended");

    let check = ["signing-config", "check", "signing.json", "--json"];
    assert_eq!(desk.run(check).ended(0).json()["errors"], 0);
    let mut broken: Value =
        serde_json::from_slice(&fs::read(desk.path("signing.json")).unwrap()).unwrap();
    broken["rekorTlogConfig"] = json!({"selector": "EXACT", "count": 3});
    broken["note\u{1b}[31m"] = json!("x");
    desk.write("signing.json", broken.to_string());
    let said = desk.run(check).ended(2).json();
    assert_eq!(said["findings"][0]["name"], "notEnoughOperators");
    let said = desk
        .run(["signing-config", "check", "signing.json"])
        .ended(2);
    assert!(!said.out.contains('\u{1b}'), "{said:?}");
    desk.run(["signing-config", "check", &desk.write("none.json", "{}")])
        .ended(2);
    // Nothing was recorded.
    desk.run(["signing-config", "show"]).ended(2);
}

#[test]
fn each_mistake_about_an_authority_or_a_log_is_named() {
    let mut desk = Desk::new();
    desk.serve();
    desk.stop();
    let flags = authorities_of(&desk, &desk, "pem");
    let [fulcio, tsa, ctfe, rekor] = &flags[..] else {
        panic!("{flags:?}")
    };
    let create = |flags: &[&str]| desk.run(["trusted-root", "create"].iter().chain(flags));
    for (flag, words) in [
        (
            rekor.replace(",origin=127.0.0.1", ""),
            &["expected the key origin,"][..],
        ),
        (
            rekor.replace("origin=127.0.0.1", "origin=a.example"),
            &["expected the origin 127.0.0.1"],
        ),
        (format!("{ctfe},orgin=x"), &["did you mean origin?"]),
        (
            format!("{fulcio},public-key=x"),
            &["public-key", "certificate-chain"],
        ),
        (
            fulcio.replace("fulcio.pem", "tsa.pem"),
            &["expected a CA's certificate first"],
        ),
        (
            tsa.replace("tsa.pem", "fulcio.pem"),
            &["expected the certificate that signs timestamps"],
        ),
        (tsa.replace("tsa.pem", "nothing.pem"), &["cannot read"]),
        (tsa.replace("tsa.pem", "rekor.pub"), &["PUBLIC KEY"]),
        (
            format!("{fulcio},end-time=2001-01-01T00:00:00Z"),
            &["end-time after start-time"],
        ),
        (
            "--rekor=url=https://a.example,start-time=x".to_owned(),
            &["expected the key public-key,"],
        ),
    ] {
        let said = create(&[&flag]).ended(2);
        says(&said.err, words);
        assert_eq!(said.out, "");
    }
    create(&[]).ended(2);
    // The same log twice at one time: which key counts would be open.
    let said = create(&[rekor, rekor, tsa]).ended(2);
    says(&said.err, &["overlapping"]);
    let said = create(&["--with-default-services", ctfe]).ended(0);
    assert_eq!(said.json()["ctlogs"].as_array().unwrap().len(), 3);
}
