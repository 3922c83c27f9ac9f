//! Keys that people keep sign files: made here or brought along, verified here and by openssl, logged where that is asked.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;
mod matrix;

use std::fs;
use std::process::Command;

use desk::{Desk, Said, says};

/// A desk with a file to sign and a passphrase in another.
fn desk() -> Desk {
    let desk = Desk::new();
    matrix::lay(&desk);
    desk.write("passphrase", "open sesame\n");
    desk
}

fn make(desk: &Desk, algorithm: &str, name: &str) {
    let arguments = [
        "key",
        "generate",
        "--algorithm",
        algorithm,
        "--output",
        name,
    ];
    run(desk, &arguments).ended(0);
}

/// Runs a command that is told the passphrase.
fn run(desk: &Desk, arguments: &[&str]) -> Said {
    let told = ["--passphrase-file", "passphrase"];
    desk.run(arguments.iter().chain(&told))
}

fn openssl(desk: &Desk, arguments: &str) -> bool {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(desk.path("."))
        .output();
    output.unwrap().status.success()
}

fn has_openssl() -> bool {
    let is_here = Command::new("openssl").arg("version").output().is_ok();
    if !is_here {
        println!("openssl is not installed: what it says is left out");
    }
    is_here
}

#[test]
fn every_kind_of_key_signs_files_and_statements_that_are_verified_here_and_by_openssl() {
    let desk = desk();
    has_openssl();
    for algorithm in [
        "ecdsa-p256",
        "ecdsa-p384",
        "ecdsa-p521",
        "ed25519",
        "ml-dsa-65",
        "rsa-3072",
    ] {
        desk.key(algorithm, algorithm);
        let name = format!("a-{algorithm}");
        let private = format!("{algorithm}.key");
        matrix::sign(&name, &private, |arguments| {
            desk.run(arguments).ended(0);
        });
        matrix::is_verified(&desk, algorithm, &name);
        let (public, bundle) = (format!("{algorithm}.pub"), format!("{name}.blob.json"));
        let known = ["--key", &public, "--bundle", &bundle];
        desk.run(["verify-blob", "app"].iter().chain(&known))
            .ended(0);
        let other = desk.write("other", "another artifact");
        desk.run(["verify", &other].iter().chain(&known)).ended(12);
    }
}

#[test]
fn a_bundle_lies_beside_its_file_and_the_signature_where_that_was_asked_for() {
    let desk = desk();
    make(&desk, "ecdsa-p256", "release");
    let sign = ["sign-blob", "app", "--key", "release.key"];
    let more = ["--output-signature", "app.sig"];
    let said = run(&desk, &[&sign[..], &more].concat()).ended(0);
    says(&said.out, &["signed app", "app.sigstore.json"]);
    desk.run(["verify", "app", "--key", "release.pub"]).ended(0);
    if has_openssl() {
        openssl(&desk, "base64 -d -in app.sig -out app.raw -A");
        let verify = "dgst -sha256 -verify release.pub -signature app.raw app";
        assert!(openssl(&desk, verify));
    }
}

#[test]
fn a_file_larger_than_memory_is_signed_by_its_digest() {
    const SIZE: u64 = 200 << 20;
    const MEMORY: u64 = 100 << 20;
    let desk = desk();
    let large = fs::File::create(desk.path("large")).unwrap();
    large.set_len(SIZE).unwrap();
    desk.key("release", "ecdsa-p256");
    let sign = ["sign-blob", "large", "--key", "release.key"];
    let mut signing = desk.command(sign).spawn().unwrap();
    let mut peak = 0;
    while signing.try_wait().unwrap().is_none() {
        peak = desk::peak_memory(signing.id())
            .unwrap_or_default()
            .max(peak);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(signing.wait().unwrap().success());
    assert!((1..MEMORY).contains(&peak), "{peak}");
    desk.run(["verify", "large", "--key", "release.pub"])
        .ended(0);
}

#[test]
fn standard_input_is_signed_by_every_kind_of_key() {
    let desk = desk();
    for algorithm in ["ecdsa-p256", "ed25519"] {
        desk.key(algorithm, algorithm);
        let (private, public) = (format!("{algorithm}.key"), format!("{algorithm}.pub"));
        let sign = ["sign-blob", "-", "--bundle", "in.json", "--key", &private];
        let input = fs::File::open(desk.path("app")).unwrap();
        desk::finish(desk.command(sign).stdin(input)).ended(0);
        let verify = ["verify", "app", "--bundle", "in.json", "--key", &public];
        desk.run(verify).ended(0);
    }
}

#[test]
fn a_key_that_was_brought_along_signs_as_the_documents_say() {
    let desk = desk();
    if !has_openssl() {
        return;
    }
    for (make, name) in [
        ("genrsa -traditional -out key.pem 3072", "rsa"),
        (
            "ecparam -genkey -name prime256v1 -noout -out key.pem",
            "ecdsa",
        ),
        ("genpkey -algorithm ED25519 -out key.pem", "ed25519"),
    ] {
        assert!(openssl(&desk, make), "{name}");
        run(&desk, &["import-key-pair", "--key", "key.pem"]).ended(0);
        run(&desk, &["sign-blob", "--key", "import-cosign.key", "app"]).ended(0);
        desk.run(["verify-blob", "--key", "import-cosign.pub", "app"])
            .ended(0);
        // The public half is openssl's own.
        assert!(openssl(&desk, "pkey -in key.pem -pubout -out key.pub"));
        let read = |path: &str| fs::read(desk.path(path)).unwrap();
        assert_eq!(read("key.pub"), read("import-cosign.pub"), "{name}");
        for path in ["import-cosign.key", "import-cosign.pub"] {
            fs::remove_file(desk.path(path)).unwrap();
        }
    }
}

#[test]
fn what_cannot_sign_says_why_and_writes_nothing() {
    let desk = desk();
    make(&desk, "ecdsa-p256", "release");
    desk.write("wrong", "open barley");
    let wrong = ["--key", "release.key", "--passphrase-file", "wrong"];
    let rows: [(&[&str], i32, &[&str]); 7] = [
        (
            &wrong,
            41,
            &["passphrase of the key is wrong", "not tried again"],
        ),
        (&["--key", "release.key"], 41, &["--passphrase-file"]),
        (&["--key", "absent.key"], 43, &["no key file absent.key"]),
        (&["--key", "env:ABSENT"], 43, &["no variable ABSENT"]),
        (
            &["--key", "release.pub"],
            40,
            &["a public key where a private one"],
        ),
        (&["--key", "app"], 40, &["no private key"]),
        (&["--key", "colour:red"], 2, &["colour", "env:VARIABLE"]),
    ];
    for (arguments, code, words) in rows {
        let said = desk.run(["sign-blob", "app"].iter().chain(arguments));
        says(&said.ended(code).err, words);
    }
    assert!(!desk.path("app.sigstore.json").exists());
    // No key is overwritten.
    let before = fs::read(desk.path("release.key")).unwrap();
    let again = run(&desk, &["key", "generate", "--output", "release"]).ended(40);
    says(&again.err, &["is there already", "--output"]);
    assert_eq!(fs::read(desk.path("release.key")).unwrap(), before);
    // Neither is anything that is read.
    let over = run(
        &desk,
        &[
            "key",
            "public",
            "--key",
            "release.key",
            "--output",
            "release.key",
        ],
    );
    over.ended(40);
    let over = run(
        &desk,
        &[
            "sign-blob",
            "app",
            "--key",
            "release.key",
            "--bundle",
            "app",
        ],
    );
    says(&over.ended(2).err, &["would be written over"]);
    assert_eq!(fs::read(desk.path("release.key")).unwrap(), before);
    assert_eq!(fs::read(desk.path("app")).unwrap(), b"an artifact");
    // A passphrase that was not found protects nothing.
    desk.write("empty", "\n");
    let empty = [
        "key",
        "generate",
        "--output",
        "more",
        "--passphrase-file",
        "empty",
    ];
    says(
        &desk.run(empty).ended(2).err,
        &["is empty", "--insecure-no-passphrase"],
    );
    // Without a terminal nobody can be asked.
    let said = desk.run(["key", "generate", "--output", "more"]).ended(2);
    says(
        &said.err,
        &["--passphrase-file", "--insecure-no-passphrase"],
    );
    assert!(!desk.path("more.key").exists());
}

#[test]
fn a_statement_about_a_file_by_a_key_meets_a_policy() {
    let desk = desk();
    make(&desk, "ecdsa-p256", "release");
    desk.write("predicate.json", r#"{"ready": true}"#);
    let said = [
        "--predicate",
        "predicate.json",
        "--type",
        "https://example.com/ready",
    ];
    let attest = ["attest-blob", "app", "--key", "release.key"];
    run(&desk, &[&attest, &said[..]].concat()).ended(0);
    let verify = |condition: &str| {
        desk.run([
            "verify",
            "app",
            "--key",
            "release.pub",
            "--require",
            condition,
        ])
    };
    verify("https://example.com/ready:/ready=true").ended(0);
    verify("https://example.com/ready:/ready=false").ended(22);
    verify("https://example.com/other").ended(21);
}

#[test]
fn a_key_is_logged_and_stamped_where_that_is_asked_for() {
    let mut desk = Desk::serving();
    desk.write("app", "an artifact");
    desk.write("passphrase", "open sesame");
    for algorithm in ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048"] {
        make(&desk, algorithm, algorithm);
        let private = format!("{algorithm}.key");
        let said = run(
            &desk,
            &["sign-blob", "app", "--key", &private, "--log", "--json"],
        );
        let said = said.ended(0).json();
        assert!(said["signed"][0]["log"]["index"].is_u64(), "{said}");
        fs::rename(
            desk.path("app.sigstore.json"),
            desk.path(&format!("{algorithm}.json")),
        )
        .unwrap();
    }
    make(&desk, "ml-dsa-65", "ml-dsa-65");
    let said = run(
        &desk,
        &["sign-blob", "app", "--key", "ml-dsa-65.key", "--log"],
    )
    .ended(40);
    says(&said.err, &["cannot be logged", "without --log"]);
    desk.stop();
    for algorithm in ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048"] {
        let (public, bundle) = (format!("{algorithm}.pub"), format!("{algorithm}.json"));
        let verify = ["verify", "app", "--key", &public, "--bundle", &bundle];
        let asked = ["--require-rekor", "--require-timestamp"];
        desk.run(verify.iter().chain(&asked)).ended(0);
    }
}

#[test]
fn a_kept_key_under_an_identity_is_accepted_by_either() {
    let mut desk = Desk::serving();
    desk.write("app", "an artifact");
    desk.write("passphrase", "open sesame");
    let issuer = desk.url.clone();
    let identity = [
        "--certificate-identity",
        "repo:local/demo:ref:refs/heads/main",
    ];
    let issued = ["--certificate-oidc-issuer", &issuer];
    make(&desk, "ecdsa-p256", "stranger");
    for algorithm in ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-3072"] {
        let name = format!("release-{algorithm}");
        make(&desk, algorithm, &name);
        let (private, public) = (format!("{name}.key"), format!("{name}.pub"));
        let sign = ["sign-blob", "app", "--key", &private, "--identity"];
        let told = ["--passphrase-file", "passphrase"];
        let sign: Vec<&str> = sign.into_iter().chain(told).collect();
        desk.run_with_token(&desk.token(), sign).ended(0);
        let verify = |more: &[&str]| desk.run(["verify", "app"].iter().chain(more));
        verify(&[&identity[..], &issued].concat()).ended(0);
        verify(&["--key", &public, "--require-rekor"]).ended(0);
        // Neither is anyone else.
        verify(&["--key", "stranger.pub"]).ended(23);
        let nobody = ["--certificate-identity", "nobody"];
        verify(&[&nobody[..], &issued].concat()).ended(20);
        // Either of two is enough.
        verify(&[&nobody[..], &issued, &["--key", &public]].concat()).ended(0);
    }
    desk.stop();
    let public = ["verify", "app", "--key", "release-rsa-3072.pub"];
    desk.run(public).ended(0);
}

#[test]
fn called_cosign_it_does_what_cosign_is_asked_every_day() {
    let desk = desk();
    std::os::unix::fs::symlink(desk::STELLA, desk.path("cosign")).unwrap();
    let cosign = |arguments: &str| {
        let program = desk.path("cosign").display().to_string();
        let mut command = desk.wrapped(&program, arguments.split(' '));
        desk::finish(command.env("COSIGN_PASSWORD", "open sesame"))
    };
    cosign("generate-key-pair").ended(0);
    let sign = "sign-blob -y --key cosign.key --tlog-upload=false --bundle app.json app";
    let signed = cosign(sign).ended(0);
    let verify = "verify-blob --key cosign.pub --bundle app.json --insecure-ignore-tlog app";
    cosign(verify).ended(0);
    // As cosign does, it asks for the log unless told otherwise, by whichever spelling of no.
    cosign(&verify.replace("-tlog", "-tlog=False")).ended(2);
    // The signature alone is printed, and is enough.
    desk.write("app.sig", signed.out);
    cosign("verify-blob --key=cosign.pub --signature app.sig --insecure-ignore-tlog app").ended(0);
    desk.write("predicate.json", r#"{"ready": true}"#);
    let attest =
        "attest-blob --key cosign.key --tlog-upload=0 --predicate predicate.json --type custom app";
    cosign(attest).ended(0);
    let verify =
        "verify-blob-attestation --key cosign.pub --insecure-ignore-tlog --type custom app";
    cosign(verify).ended(0);
    cosign(&verify.replace("custom", "openvex")).ended(21);
    // A signature is no attestation, and the other way round.
    cosign("verify-blob-attestation --key cosign.pub --insecure-ignore-tlog --bundle app.json app")
        .ended(21);
    cosign("verify-blob --key cosign.pub --insecure-ignore-tlog app").ended(21);
    let public = cosign("public-key --key cosign.key").ended(0);
    assert_eq!(
        public.out,
        fs::read_to_string(desk.path("cosign.pub")).unwrap()
    );
    let refused = cosign("sign-blob --key cosign.key --output-certificate c app").ended(2);
    says(
        &refused.err,
        &["--output-certificate is not supported", "in the bundle"],
    );
    let refused = desk.run(["cosign", "triangulate", "x"]).ended(2);
    says(&refused.err, &["cosign triangulate is not supported"]);
}

#[test]
fn a_key_behind_a_program_signs_and_our_own_keys_are_behind_one_for_others() {
    let desk = desk();
    // stella is both sides: the program, and whoever starts it.
    fs::create_dir(desk.path("bin")).unwrap();
    std::os::unix::fs::symlink(desk::STELLA, desk.path("bin/sigstore-kms-stella")).unwrap();
    let path = format!(
        "{}:{}",
        desk.path("bin").display(),
        std::env::var("PATH").unwrap()
    );
    let run = |passphrase: &str, arguments: &[&str]| {
        let mut command = desk.command(arguments);
        command
            .env("PATH", &path)
            .env("COSIGN_PASSWORD", passphrase);
        desk::finish(&mut command)
    };
    for algorithm in [
        "ecdsa-p256",
        "ecdsa-p384",
        "ed25519",
        "ml-dsa-65",
        "rsa-3072",
    ] {
        match algorithm {
            "rsa-3072" => make(&desk, algorithm, algorithm),
            _ => desk.key(algorithm, algorithm),
        }
        let (key, name) = (
            format!("stella://{algorithm}.key"),
            format!("a-{algorithm}"),
        );
        matrix::sign(&name, &key, |arguments| {
            run("open sesame", arguments).ended(0);
        });
        matrix::is_verified(&desk, algorithm, &name);
        let read = |name: &str| fs::read_to_string(desk.path(&format!("{name}.pub"))).unwrap();
        assert_eq!(read(&name), read(algorithm));
    }
    let said = run(
        "open barley",
        &["sign-blob", "app", "--key", "stella://rsa-3072.key"],
    );
    says(&said.ended(40).err, &["passphrase of the key is wrong"]);
    let said = run("", &["sign-blob", "app", "--key", "absent://key"]).ended(40);
    says(
        &said.err,
        &["cannot run sigstore-kms-absent", "in the path"],
    );
    // A program that answers nonsense.
    fs::write(
        desk.path("bin/sigstore-kms-liar"),
        "#!/bin/sh\necho '{\"publicKey\":{\"publicKeyPEM\":\"AAAA\"}}'\n",
    )
    .unwrap();
    let chmod = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(desk.path("bin/sigstore-kms-liar"), chmod).unwrap();
    run("", &["sign-blob", "app", "--key", "liar://key"]).ended(40);
}

#[test]
fn a_key_that_the_configuration_names_signs_where_no_flag_says_otherwise() {
    let desk = desk();
    make(&desk, "ecdsa-p256", "release");
    let config = "signer:\n  signing:\n    mode: key\n    key: release.key\n";
    desk.write("signer.yaml", config);
    let configured = ["--config", "signer.yaml"];
    run(&desk, &[&configured[..], &["sign-blob", "app"]].concat()).ended(0);
    desk.run(["verify", "app", "--key", "release.pub"]).ended(0);
    let digest = format!("sha256:{}", "ab".repeat(32));
    let attest = [
        "attest",
        "sign",
        "--artifact",
        &digest,
        "--bundle",
        "b.json",
    ];
    run(&desk, &[&configured[..], &attest].concat()).ended(0);
    let verify = [
        "attest",
        "verify",
        "--artifact",
        &digest,
        "--bundle",
        "b.json",
    ];
    desk.run(verify.iter().chain(&["--key", "release.pub"]))
        .ended(0);
    // Without a key in it, and with --log alone, it is said what is missing.
    desk.write("signer.yaml", "signer:\n  signing:\n    mode: key\n");
    let said = desk
        .run(["--config", "signer.yaml", "sign-blob", "app"])
        .ended(2);
    says(&said.err, &["no key was named", "signer.signing.key"]);
    desk.run(["sign-blob", "app", "--log"]).ended(2);
    desk.run(["sign-blob", "app", "--keyless", "--log"])
        .ended(2);
}
