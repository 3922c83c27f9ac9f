//! Keys in AWS KMS, as moto plays it on the loopback: signed by the command, verified here and by openssl.
//!
//! Runs when `cargo xtask foreign --prepare` has installed moto under `target/foreign`; else it says that it is skipped, and
//! fails when `STELLA_FOREIGN=1` demands it. What the drivers do with answers that lie is tested in `stella-client`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use desk::{Desk, Said, says};

/// moto takes whoever asks.
const CREDENTIALS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_REGION", "eu-west-1"),
];
const REGION: (&str, &str) = ("AWS_DEFAULT_REGION", "eu-west-1");

/// moto, serving; and a desk.
struct Moto {
    desk: Desk,
    port: u16,
    server: Child,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Moto {
    /// Starts it, or says why the test is skipped.
    fn serving() -> Option<Self> {
        let program = installed("moto_server")?;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let desk = Desk::new();
        let log = fs::File::create(desk.path("moto.log")).unwrap();
        let server = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let moto = Self { desk, port, server };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "moto is not ready"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        moto.desk.write("app", "an artifact");
        moto.desk.write("predicate.json", r#"{"ready": true}"#);
        Some(moto)
    }

    /// Makes keys with Amazon's own client; returns their ARNs.
    fn keys(&self, wishes: &[&str]) -> Vec<String> {
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/foreign/kms_keys.py");
        let output = Command::new(installed("python").unwrap())
            .arg(driver)
            .arg(format!("http://127.0.0.1:{}", self.port))
            .args(wishes)
            .envs(CREDENTIALS)
            .envs([REGION])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let arns = String::from_utf8(output.stdout).unwrap();
        arns.lines().map(str::to_owned).collect()
    }

    fn reference(&self, key: &str) -> String {
        format!("awskms://127.0.0.1:{}/{key}", self.port)
    }

    /// Runs the command as somebody who may ask.
    fn run(&self, arguments: &[&str]) -> Said {
        desk::finish(self.desk.command(arguments).envs(CREDENTIALS))
    }

    fn openssl(&self, arguments: &str) -> bool {
        let mut openssl = self.desk.wrapped("openssl", arguments.split_whitespace());
        openssl.output().unwrap().status.success()
    }
}

/// Returns a program of moto's environment, or says why there is none.
fn installed(program: &str) -> Option<PathBuf> {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let place = temporary.parent().unwrap().join("foreign/venv-moto");
    let wanted = std::env::var("STELLA_FOREIGN").unwrap_or_default();
    let is_here = place.join("prepared-from").exists();
    if wanted == "0" || (!is_here && wanted != "1") {
        println!("skipped: `cargo xtask foreign --prepare` installs moto");
        return None;
    }
    assert!(is_here, "moto is not there: cargo xtask foreign --prepare");
    Some(place.join("bin").join(program))
}

#[test]
fn keys_in_aws_kms_sign_files_and_statements() {
    let Some(moto) = Moto::serving() else { return };
    let kinds = [
        ("p256", "ECC_NIST_P256", "sha256"),
        ("p384", "ECC_NIST_P384", "sha384"),
        ("p521", "ECC_NIST_P521", "sha512"),
        ("rsa", "RSA_3072", "sha256"),
    ];
    for (name, spec, hash) in kinds {
        let arn = moto.keys(&[&format!("{name}={spec}")]).swap_remove(0);
        let public = format!("{name}.pub");
        for key in [&format!("alias/{name}"), &arn] {
            let key = moto.reference(key);
            moto.run(&["key", "public", "--key", &key, "--output", &public])
                .ended(0);
            let sign = [
                "sign-blob",
                "app",
                "--key",
                &key,
                "--output-signature",
                "app.sig",
            ];
            moto.run(&sign).ended(0);
            moto.desk.run(["verify", "app", "--key", &public]).ended(0);
            assert!(moto.openssl("base64 -d -in app.sig -out app.raw -A"));
            let verify = format!("dgst -{hash} -verify {public} -signature app.raw app");
            assert!(moto.openssl(&verify), "{name}");
            fs::remove_file(moto.desk.path(&public)).unwrap();
        }
        let key = moto.reference(&format!("alias/{name}"));
        moto.run(&["key", "public", "--key", &key, "--output", &public])
            .ended(0);
        let attest = [
            "attest-blob",
            "app",
            "--key",
            &key,
            "--predicate",
            "predicate.json",
        ];
        let kind = ["--type", "https://example.com/ready"];
        moto.run(&[attest.as_slice(), &kind].concat()).ended(0);
        let require = ["--require", "https://example.com/ready:/ready=true"];
        let verify = ["verify", "app", "--key", &public];
        moto.desk.run(verify.iter().chain(&require)).ended(0);
    }
}

#[test]
fn a_service_that_hashes_a_digest_again_is_found_out() {
    let Some(moto) = Moto::serving() else { return };
    moto.keys(&["release=ECC_NIST_P256"]);
    // More than the service takes whole: the digest is sent, and moto hashes what it gets whatever it is.
    moto.desk.write("large", vec![7; 5000]);
    let key = moto.reference("alias/release");
    let said = moto.run(&["sign-blob", "large", "--key", &key]).ended(40);
    says(&said.err, &["its own public half does not verify"]);
    assert!(!moto.desk.path("large.sigstore.json").exists());
}

#[test]
fn what_the_service_refuses_ends_with_its_own_code() {
    let Some(moto) = Moto::serving() else { return };
    let key = moto.reference("alias/none");
    let said = moto.run(&["sign-blob", "app", "--key", &key]).ended(43);
    says(&said.err, &["AWS KMS: there is no such key"]);
    let nobody = ["sign-blob", "app", "--key", &key];
    let mut nobody = moto.desk.command(nobody);
    nobody.envs([REGION, ("AWS_EC2_METADATA_DISABLED", "true")]);
    let said = desk::finish(&mut nobody).ended(40);
    says(&said.err, &["there are no credentials for it"]);
    let said = moto.run(&["sign-blob", "app", "--key", "awskms://alias"]);
    says(&said.ended(2).err, &["awskms://[ENDPOINT]/ID"]);
    // Nobody listens there.
    let closed = "awskms://127.0.0.1:1/alias/none";
    let said = moto.run(&["key", "public", "--key", closed]).ended(40);
    says(&said.err, &["it is not available"]);
}

#[test]
fn a_runners_token_is_changed_for_credentials() {
    let Some(moto) = Moto::serving() else { return };
    moto.keys(&["release=ECC_NIST_P256"]);
    let token = moto.desk.write("token", "a.web.token\n");
    let key = moto.reference("alias/release");
    let address = format!("http://127.0.0.1:{}", moto.port);
    let mut sign = moto.desk.command(["sign-blob", "app", "--key", &key]);
    sign.envs([
        REGION,
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/release"),
        ("AWS_ENDPOINT_URL_STS", &address),
    ]);
    desk::finish(&mut sign).ended(0);
    let log = fs::read_to_string(moto.desk.path("moto.log")).unwrap();
    assert!(log.matches("POST / HTTP/1.1").count() >= 3, "{log}");
}

#[test]
fn what_is_built_in_is_not_replaced_by_a_program_and_other_clients_reach_it_by_the_plugin_protocol()
{
    let Some(moto) = Moto::serving() else { return };
    moto.keys(&["release=ECC_NIST_P256"]);
    let key = moto.reference("alias/release");
    // 1. A program of that name is not asked.
    let evil = moto
        .desk
        .write("bin/sigstore-kms-awskms", "#!/bin/sh\ntouch asked\n");
    assert!(
        Command::new("chmod")
            .args(["+x", &evil])
            .status()
            .unwrap()
            .success()
    );
    let path = format!("{}:/usr/bin:/bin", moto.desk.path("bin").display());
    let mut sign = moto.desk.command(["sign-blob", "app", "--key", &key]);
    desk::finish(sign.envs(CREDENTIALS).env("PATH", path)).ended(0);
    assert!(!moto.desk.path("asked").exists());
    // 2. What cosign would ask of stella under another name.
    let plugin = moto.desk.path("bin/sigstore-kms-stella");
    std::os::unix::fs::symlink(desk::STELLA, &plugin).unwrap();
    let request = serde_json::json!({
        "initOptions": {"protocolVersion": "v1", "keyResourceID": key, "hashFunc": 5},
        "methodName": "signMessage", "signMessage": {},
    });
    for (input, words) in [("app", "signature"), ("large", "errorMessage")] {
        moto.desk.write("large", vec![7; 5000]);
        let mut ask = moto
            .desk
            .wrapped(plugin.to_str().unwrap(), ["v1", &request.to_string()]);
        ask.stdin(fs::File::open(moto.desk.path(input)).unwrap());
        let said = desk::finish(ask.envs(CREDENTIALS));
        says(&said.out, &[words]);
    }
}
