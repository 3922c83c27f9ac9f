//! Other people's clients against a private instance: sigstore-python and the sigstore-js libraries sign, verify and
//! refuse, next to stella.
//!
//! Runs when `cargo xtask foreign --prepare` has installed them under `target/foreign`; else it says that it is
//! skipped, and fails when `STELLA_FOREIGN=1` demands it. The drivers are in `tests/foreign/`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may panic and talk"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The command under test.
const STELLA: &str = env!("CARGO_BIN_EXE_stella");

/// A type of predicate that nobody knows: any URI is taken as it is.
const PREDICATE_TYPE: &str = "https://example.com/checked/v1";

/// How long any one call of a client may take, in seconds; `timeout` ends it then.
const PATIENCE: &str = "120";

/// Who signs and who verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Javascript,
    Python,
    Stella,
}

/// What is signed: the file itself, or a statement about it in a DSSE envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Message,
    Statement,
}

/// What a verifier said.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Accepted,
    Refused,
}

const CLIENTS: [Client; 3] = [Client::Javascript, Client::Python, Client::Stella];

/// What each client signs. Stella always signs statements: a verdict is about something.
const SIGNINGS: [(Client, Form); 5] = [
    (Client::Javascript, Form::Message),
    (Client::Javascript, Form::Statement),
    (Client::Python, Form::Message),
    (Client::Python, Form::Statement),
    (Client::Stella, Form::Statement),
];

#[test]
fn every_client_verifies_what_every_other_signs_and_refuses_what_is_not_so() {
    let Some(world) = World::prepared("foreign", &[]) else {
        return;
    };
    let other = world.other();
    for (signer, form) in SIGNINGS {
        let bundle = world.sign(signer, form);
        let identity = world.identity(&bundle);
        for verifier in CLIENTS {
            let ask = |artifact: &Path, identity: &str, issuer: &str| {
                world.verify(verifier, &bundle, artifact, identity, issuer)
            };
            let told = format!("signed by {signer:?} as {form:?}, verified by {verifier:?}");
            assert_eq!(
                ask(&world.artifact(), &identity, &world.url),
                Answer::Accepted,
                "{told}"
            );
            assert_eq!(
                ask(&other, &identity, &world.url),
                Answer::Refused,
                "{told}: one byte changed"
            );
            let stranger = format!("{identity}x");
            assert_eq!(
                ask(&world.artifact(), &stranger, &world.url),
                Answer::Refused,
                "{told}: another identity"
            );
            let elsewhere = format!("{}x", world.url);
            assert_eq!(
                ask(&world.artifact(), &identity, &elsewhere),
                Answer::Refused,
                "{told}: another issuer"
            );
        }
        eprintln!(
            "foreign: {signer:?} {form:?} verified, and refused where it must be, by {CLIENTS:?}"
        );
    }
}

#[test]
fn every_client_verifies_by_an_instance_whose_keys_are_kept_elsewhere() {
    // What the own keys of an instance are not: every key is one of ECDSA.
    let keys = [
        ("ca", "ecdsa-p384"),
        ("ct", "ecdsa-p256"),
        ("log", "ecdsa-p256"),
        ("oidc", "ecdsa-p256"),
        ("tsa", "ecdsa-p384"),
    ];
    let Some(world) = World::prepared("foreign-held", &keys) else {
        return;
    };
    let other = world.other();
    for (signer, form) in [
        (Client::Javascript, Form::Message),
        (Client::Python, Form::Message),
        (Client::Stella, Form::Statement),
    ] {
        let bundle = world.sign(signer, form);
        let identity = world.identity(&bundle);
        for verifier in CLIENTS {
            for (artifact, expected) in [
                (world.artifact(), Answer::Accepted),
                (other.clone(), Answer::Refused),
            ] {
                let said = world.verify(verifier, &bundle, &artifact, &identity, &world.url);
                assert_eq!(said, expected, "{signer:?}, verified by {verifier:?}");
            }
        }
        eprintln!("foreign: {signer:?} verified by {CLIENTS:?}: keys kept elsewhere");
    }
}

/// A private instance that serves, a folder to work in, and where the clients are.
struct World {
    /// The drivers of the clients.
    drivers: PathBuf,
    /// Where the clients are installed.
    clients: PathBuf,
    /// Everything that this run writes.
    folder: PathBuf,
    /// The instance's base URL, which is its issuer too.
    url: String,
    /// Serves until the world ends.
    server: Child,
}

impl World {
    /// Starts an instance in a folder of its own, with these keys of its own or kept elsewhere, or says why the test is
    /// skipped.
    fn prepared(name: &str, keys: &[(&str, &str)]) -> Option<Self> {
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let clients = temporary.parent().unwrap().join("foreign");
        let wanted = std::env::var("STELLA_FOREIGN").unwrap_or_default();
        let installed = ["venv", "node"]
            .iter()
            .all(|client| clients.join(client).join("prepared-from").exists());
        if wanted == "0" || (!installed && wanted != "1") {
            eprintln!(
                "foreign: skipped: `cargo xtask foreign` installs sigstore-python and sigstore-js and runs this"
            );
            return None;
        }
        assert!(
            installed,
            "STELLA_FOREIGN=1, but nothing is installed: cargo xtask foreign --prepare"
        );

        let folder = temporary.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("artifact.bin"), b"what the verdict is about\n").unwrap();
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let mut serve = at_home(Command::new(STELLA), &folder);
        serve
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--dir"])
            .arg(folder.join("instance"));
        for (purpose, algorithm) in keys {
            let mut generate = stella(&folder);
            generate.args(["key", "generate", "--algorithm", algorithm]);
            succeed(generate.args(["--output", purpose, "--insecure-no-passphrase"]));
            serve.args([format!("--{purpose}-key"), format!("{purpose}.key")]);
        }
        let log = fs::File::create(folder.join("serve.log")).unwrap();
        serve
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let server = serve.spawn().unwrap();
        let drivers = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/foreign")
            .canonicalize()
            .unwrap();
        let world = Self {
            drivers,
            clients,
            folder,
            url,
            server,
        };
        world.begin();
        Some(world)
    }

    /// Waits until the instance is ready, takes its trust files, and records that it is to be trusted.
    fn begin(&self) {
        let begun = Instant::now();
        while self.fetch("/readyz").is_none() {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "not ready: see {}",
                self.path("serve.log").display()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        for (name, file) in [
            ("trusted_root.json", "trusted_root.json"),
            ("client-trust-config.json", "trust_config.json"),
        ] {
            let body = self
                .fetch(&format!("/.well-known/stella/{name}"))
                .expect("a trust file");
            fs::write(self.path(file), body).unwrap();
        }
        let mut trust = stella(&self.folder);
        succeed(trust.args(["trust", "use", &self.url]));
    }

    /// Signs the artifact and returns where the bundle is.
    fn sign(&self, signer: Client, form: Form) -> PathBuf {
        let bundle = self.path(&format!("{signer:?}-{form:?}.sigstore.json").to_lowercase());
        let statement = self.path("statement.json");
        fs::write(&statement, self.statement()).unwrap();
        let what = match form {
            Form::Message => vec![self.artifact()],
            Form::Statement => vec![PathBuf::from("--statement"), statement],
        };
        let mut command = match signer {
            Client::Javascript => self.javascript("sign.mjs"),
            Client::Python => self.python("sign.py"),
            Client::Stella => {
                let mut sign = stella(&self.folder);
                let predicate = self.path("predicate.json");
                fs::write(&predicate, r#"{"checked": true}"#).unwrap();
                sign.args(["attest", "sign", "--keyless", "--artifact"])
                    .arg(self.artifact())
                    .args(["--type", PREDICATE_TYPE, "--predicate"])
                    .arg(predicate)
                    .arg("--bundle")
                    .arg(&bundle);
                succeed(sign.env("STELLAOPS_OIDC_TOKEN", self.token()));
                return bundle;
            }
        };
        command
            .arg(self.path("trust_config.json"))
            .arg(&bundle)
            .args(what);
        succeed(command.env("FOREIGN_TOKEN", self.token()));
        bundle
    }

    /// Asks one client about a bundle.
    fn verify(
        &self,
        verifier: Client,
        bundle: &Path,
        artifact: &Path,
        identity: &str,
        issuer: &str,
    ) -> Answer {
        let mut command = match verifier {
            Client::Javascript => self.javascript("verify.mjs"),
            Client::Python => self.python("verify.py"),
            Client::Stella => {
                let mut verify = stella(&self.folder);
                verify
                    .args(["attest", "verify", "--offline", "--bundle"])
                    .arg(bundle)
                    .arg("--artifact")
                    .arg(artifact);
                verify.args([
                    "--certificate-identity",
                    identity,
                    "--certificate-oidc-issuer",
                    issuer,
                ]);
                // 10 to 25 are the refusals; anything else is a mistake of this test.
                return answer(&mut verify, |code| (10..=25).contains(&code));
            }
        };
        command
            .arg(self.path("trusted_root.json"))
            .arg(bundle)
            .arg(artifact)
            .args([identity, issuer]);
        answer(&mut command, |code| code == 1)
    }

    /// Returns the subject alternative name in a bundle's certificate: what the foreign clients call the identity.
    fn identity(&self, bundle: &Path) -> String {
        let mut inspect = stella(&self.folder);
        inspect
            .args(["attest", "inspect", "--json", "--bundle"])
            .arg(bundle)
            .arg("--artifact")
            .arg(self.artifact());
        let report: serde_json::Value =
            serde_json::from_slice(&succeed(&mut inspect).stdout).unwrap();
        report["attestations"][0]["signer"]["san"]
            .as_str()
            .expect("a subject alternative name")
            .to_owned()
    }

    /// Returns a fresh token of the instance's own issuer.
    fn token(&self) -> String {
        let mut token = stella(&self.folder);
        token
            .args(["identity", "token", "--dir"])
            .arg(self.path("instance"));
        String::from_utf8(succeed(&mut token).stdout)
            .unwrap()
            .trim()
            .to_owned()
    }

    fn statement(&self) -> String {
        let digest = Command::new("sha256sum")
            .arg(self.artifact())
            .output()
            .unwrap()
            .stdout;
        let digest = String::from_utf8(digest).unwrap();
        serde_json::json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "artifact.bin", "digest": {"sha256": &digest[..64]}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {"checked": true},
        })
        .to_string()
    }

    fn python(&self, driver: &str) -> Command {
        let mut command = patiently(&self.clients.join("venv/bin/python"));
        command.arg(self.drivers.join(driver));
        command
    }

    fn javascript(&self, driver: &str) -> Command {
        let folder = self.clients.join("node");
        let machine = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "x64"
        };
        let mut command =
            patiently(&folder.join(format!("node_modules/node-linux-{machine}/bin/node")));
        command.arg(self.drivers.join(driver)).current_dir(folder);
        command
    }

    /// Fetches a path of the instance; none unless it answers 200.
    fn fetch(&self, path: &str) -> Option<Vec<u8>> {
        let host = self.url.strip_prefix("http://")?;
        let mut stream = TcpStream::connect(host).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
        answer
            .starts_with(b"HTTP/1.1 200")
            .then(|| answer.split_off(head + 4))
    }

    fn artifact(&self) -> PathBuf {
        self.path("artifact.bin")
    }

    /// Writes the artifact with one byte changed.
    fn other(&self) -> PathBuf {
        let other = self.path("other.bin");
        let artifact = fs::read(self.artifact()).unwrap();
        fs::write(&other, changed_by_one_byte(&artifact)).unwrap();
        other
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Returns the command under test, ended when it takes too long.
fn stella(folder: &Path) -> Command {
    at_home(patiently(Path::new(STELLA)), folder)
}

/// Gives a program a home of its own, so that nothing of the machine's counts.
fn at_home(mut command: Command, folder: &Path) -> Command {
    command.env_clear().env("HOME", folder).current_dir(folder);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_DATA_HOME", folder.join("data"));
    command
}

/// A program that is ended when it takes too long, so that no client can hang the tests.
fn patiently(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg(PATIENCE).arg(program);
    command
}

fn succeed(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}\nended with {}:\n{said}",
        output.status
    );
    output
}

fn answer(command: &mut Command, is_refusal: impl Fn(i32) -> bool) -> Answer {
    let output = command.stdin(Stdio::null()).output().unwrap();
    match output.status.code() {
        Some(0) => Answer::Accepted,
        Some(code) if is_refusal(code) => Answer::Refused,
        _ => panic!(
            "{command:?}\nended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

fn changed_by_one_byte(content: &[u8]) -> Vec<u8> {
    let mut changed = content.to_vec();
    changed[0] ^= 1;
    changed
}

/// Returns a port that was free a moment ago: an instance's URL is fixed before it listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
