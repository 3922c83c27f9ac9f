//! Keys in SoftHSM, made by OpenSC's pkcs11-tool: opened, used, and verified by openssl; and everything that goes wrong with
//! tokens, PINs and modules.
//!
//! Runs where softhsm2 and opensc are installed; else it says that it is skipped, and fails when `STELLA_FOREIGN=1` demands
//! them. `STELLA_SIGNATURES=10000` is the long form of the endurance test.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stella_bundle::key::KeyDetails;
use stella_keys::device::uri::Uri;
use stella_keys::device::words::{FailureKind, Open};
use stella_keys::device::{self, DeviceKey};
use stella_keys::{Input, KeyError, Signer as _};
use zeroize::Zeroizing;

const PIN: &str = "1234";

const MODULES: [&str; 2] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
];

/// A token in a folder.
struct Token {
    folder: tempfile::TempDir,
    module: String,
}

impl Token {
    /// Returns none where softhsm2 or opensc is not installed.
    fn new() -> Option<Self> {
        let module = MODULES.iter().find(|path| Path::new(path).exists());
        let has_tool = Command::new("pkcs11-tool").arg("--help").output().is_ok();
        let is_wanted = std::env::var("STELLA_FOREIGN").is_ok_and(|value| value == "1");
        let Some(module) = module.filter(|_| has_tool) else {
            assert!(!is_wanted, "softhsm2 or opensc is not installed");
            println!("skipped: softhsm2 or opensc is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tokens")).unwrap();
        let configuration = format!(
            "directories.tokendir = {}/tokens\n",
            folder.path().display()
        );
        fs::write(folder.path().join("softhsm2.conf"), configuration).unwrap();
        let token = Self {
            folder,
            module: (*module).to_owned(),
        };
        token.write_helper();
        token.run(
            "softhsm2-util",
            "--init-token --free --label stella --pin 1234 --so-pin 5678",
        );
        Some(token)
    }

    /// The module finds its configuration by the environment, which a test cannot change for itself.
    fn write_helper(&self) {
        let script = format!(
            "#!/bin/sh\nSOFTHSM2_CONF={}/softhsm2.conf exec {} \"$@\"\n",
            self.folder.path().display(),
            env!("CARGO_BIN_EXE_stella-pkcs11"),
        );
        fs::write(self.helper(), script).unwrap();
        fs::set_permissions(self.helper(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn helper(&self) -> PathBuf {
        self.folder.path().join("helper")
    }

    fn run(&self, program: &str, arguments: &str) {
        let output = Command::new(program)
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .env("SOFTHSM2_CONF", self.folder.path().join("softhsm2.conf"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments}: {said}");
    }

    fn make(&self, kind: &str, label: &str, id: &str) {
        let arguments = format!(
            "--module {} --token-label stella --login --pin {PIN} --keypairgen --key-type {kind} --label {label} --id {id}",
            self.module
        );
        self.run("pkcs11-tool", &arguments);
    }

    fn reach(&self, uri: &str) -> Open {
        let mut open = Uri::parse(uri).unwrap().open;
        open.module.clone_from(&self.module);
        open.pin = Some(Zeroizing::new(PIN.to_owned()));
        open
    }

    fn open(&self, uri: &str) -> Result<DeviceKey, KeyError> {
        DeviceKey::open(&self.helper(), self.reach(uri), false)
    }
}

fn kind_of(error: KeyError) -> FailureKind {
    match error {
        KeyError::Device { kind, .. } => kind,
        other => panic!("{other}"),
    }
}

#[test]
fn keys_of_every_kind_sign_and_openssl_verifies() {
    let Some(token) = Token::new() else {
        return;
    };
    for (kind, label, id, details) in [
        ("EC:prime256v1", "p256", "01", KeyDetails::EcdsaP256Sha256),
        ("EC:secp384r1", "p384", "02", KeyDetails::EcdsaP384Sha384),
        ("EC:secp521r1", "p521", "03", KeyDetails::EcdsaP521Sha512),
        ("rsa:3072", "rsa", "04", KeyDetails::RsaPkcs1v15_3072Sha256),
        ("EC:edwards25519", "ed25519", "05", KeyDetails::Ed25519),
    ] {
        token.make(kind, label, id);
        let key = token
            .open(&format!("pkcs11:token=stella;object={label}"))
            .unwrap();
        assert_eq!(key.details(), details);
        // Often enough that numbers with zeros before them are among them.
        for number in 0..40 {
            let message = format!("message {number}");
            let signature = key.sign(message.as_bytes()).unwrap();
            let public = key.public_key();
            public
                .verify_as(details, message.as_bytes(), &signature)
                .unwrap();
        }
        // Where the digest is enough it does the same.
        if let Some(hash) = key.prehash() {
            let signature = key.sign_digest(&hash.digest(b"message")).unwrap();
            let verified = key.public_key().verify_as(details, b"message", &signature);
            verified.unwrap();
        }
        let signature = key.sign(b"message").unwrap();
        let write = |name: &str, bytes: &[u8]| {
            fs::write(token.folder.path().join(name), bytes).unwrap();
        };
        write("public", key.public_key().to_pem().as_bytes());
        write("signature", &signature);
        write("message", b"message");
        let hash = match details {
            KeyDetails::EcdsaP384Sha384 => "sha384",
            KeyDetails::EcdsaP521Sha512 => "sha512",
            _ => "sha256",
        };
        token.run(
            "openssl",
            &match details {
                KeyDetails::Ed25519 => {
                    "pkeyutl -verify -pubin -inkey public -rawin -in message -sigfile signature"
                        .to_owned()
                }
                _ => format!("dgst -{hash} -verify public -signature signature message"),
            },
        );
    }
    let listed = device::list(&token.helper(), token.reach("pkcs11:token=stella")).unwrap();
    let mut labels: Vec<&str> = listed.iter().map(|key| key.object.as_str()).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["ed25519", "p256", "p384", "p521", "rsa"]);
}

#[test]
fn what_fits_no_key_or_several_is_refused_and_a_wrong_pin_is_tried_once() {
    let Some(token) = Token::new() else {
        return;
    };
    token.make("EC:prime256v1", "twice", "01");
    token.make("EC:prime256v1", "twice", "02");
    token.run(
        "softhsm2-util",
        "--init-token --free --label other --pin 1234 --so-pin 5678",
    );
    let refused = |uri: &str| kind_of(token.open(uri).map(|_| ()).unwrap_err());
    assert_eq!(
        refused("pkcs11:token=stella;object=twice"),
        FailureKind::Ambiguous
    );
    assert_eq!(
        refused("pkcs11:token=stella;object=absent"),
        FailureKind::Absent
    );
    assert_eq!(
        refused("pkcs11:token=absent;object=twice"),
        FailureKind::Absent
    );
    assert_eq!(refused("pkcs11:object=twice"), FailureKind::Ambiguous);
    assert_eq!(
        refused("pkcs11:token=other;object=twice"),
        FailureKind::Absent
    );
    // A PIN is not tried on tokens that it may not belong to.
    let listed = device::list(&token.helper(), token.reach("pkcs11:")).map(|_| ());
    assert_eq!(kind_of(listed.unwrap_err()), FailureKind::Ambiguous);
    token
        .open("pkcs11:token=stella;object=twice;id=%02")
        .unwrap();
    token.open("pkcs11:token=stella;id=%01").unwrap();
    let with_pin = |pin: Option<&str>| {
        let mut open = token.reach("pkcs11:token=stella;id=%01");
        open.pin = pin.map(|pin| Zeroizing::new(pin.to_owned()));
        DeviceKey::open(&token.helper(), open, false).map(|_| ())
    };
    let wrong = with_pin(Some("9999")).unwrap_err();
    assert!(!wrong.to_string().contains("9999"), "{wrong}");
    assert_eq!(kind_of(wrong), FailureKind::Pin);
    assert_eq!(kind_of(with_pin(None).unwrap_err()), FailureKind::Pin);
    with_pin(Some(PIN)).unwrap();
    // Logs need a digest, which devices do not sign with Ed25519.
    token.make("EC:edwards25519", "ed25519", "03");
    let open = token.reach("pkcs11:token=stella;object=ed25519");
    let logged = DeviceKey::open(&token.helper(), open, true).map(|_| ());
    assert_eq!(logged, Err(KeyError::Unsupported(KeyDetails::Ed25519Ph)));
}

#[test]
fn a_key_that_asks_before_each_signature_is_refused_by_name_where_the_module_signs_no_parts() {
    let Some(token) = Token::new() else {
        return;
    };
    token.make("EC:prime256v1", "asks --always-auth", "01");
    let key = token.open("pkcs11:token=stella;object=asks").unwrap();
    let refused = kind_of(key.sign(b"message").unwrap_err());
    assert_eq!(refused, FailureKind::Unsupported);
    // It was given the right PIN, which counts nothing.
    token.make("EC:prime256v1", "plain", "02");
    let key = token.open("pkcs11:token=stella;object=plain").unwrap();
    key.sign(b"message").unwrap();
}

/// Compiles a module that does something to whoever loads it.
fn module(folder: &Path, name: &str, body: &str) -> Option<String> {
    let (source, module) = (
        folder.join(name).with_extension("c"),
        folder.join(name).with_extension("so"),
    );
    let text = format!(
        "#include <stdlib.h>\n#include <unistd.h>\nint C_GetFunctionList(void **list) {{ {body} }}\n"
    );
    fs::write(&source, text).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&module, &source])
        .output();
    built
        .is_ok_and(|output| output.status.success())
        .then(|| module.display().to_string())
}

#[test]
fn a_module_that_crashes_hangs_or_is_none_takes_nobody_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let helper = PathBuf::from(env!("CARGO_BIN_EXE_stella-pkcs11"));
    let open = |module: String| {
        let open = Open {
            module,
            object: Some("any".to_owned()),
            ..Open::default()
        };
        DeviceKey::open_within(Duration::from_secs(2), &helper, open, false).map(|_| ())
    };
    let none = folder.path().join("none.so");
    fs::write(&none, "no module").unwrap();
    for path in [none.display().to_string(), "/absent.so".to_owned()] {
        assert_eq!(kind_of(open(path).unwrap_err()), FailureKind::Device);
    }
    let Some(crashing) = module(folder.path(), "crash", "abort();") else {
        println!("skipped: there is no C compiler");
        return;
    };
    let said = open(crashing).unwrap_err().to_string();
    assert!(
        said.contains("the module ended the process: signal: 6"),
        "{said}"
    );
    let hanging = module(folder.path(), "hang", "sleep(600); return 0;").unwrap();
    let start = Instant::now();
    let said = open(hanging).unwrap_err().to_string();
    assert!(said.contains("gave no answer in 2s"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(60));
    let absent = Path::new("/absent/stella-pkcs11");
    let said = DeviceKey::open(absent, Open::default(), false)
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(said, KeyError::Helper { .. }), "{said}");
}

#[test]
fn thousands_of_signatures_leave_nothing_behind() {
    let Some(token) = Token::new() else {
        return;
    };
    let count = std::env::var("STELLA_SIGNATURES").ok();
    let count: usize = count.and_then(|text| text.parse().ok()).unwrap_or(600);
    token.make("EC:prime256v1", "p256", "01");
    let key = token.open("pkcs11:token=stella;object=p256").unwrap();
    let sign = |many: usize| {
        let messages: Vec<[u8; 8]> = (0..many as u64).map(u64::to_be_bytes).collect();
        let messages: Vec<&[u8]> = messages.iter().map(<[u8; 8]>::as_slice).collect();
        let inputs: Vec<Input<'_>> = messages.iter().map(|each| Input::Message(each)).collect();
        let signatures = key.sign_many(&inputs).unwrap();
        // Each is the answer to its own request.
        for (message, signature) in messages.iter().zip(&signatures).step_by(97) {
            key.public_key().verify(message, signature).unwrap();
        }
    };
    sign(count / 10);
    let (before, files) = (memory(key.process()), files(key.process()));
    let start = Instant::now();
    sign(count);
    let rate = count as f64 / start.elapsed().as_secs_f64();
    println!("{count} signatures, {rate:.0} a second");
    let after = memory(key.process());
    assert!(after < before + (1 << 20), "{before} {after}");
    assert_eq!(self::files(key.process()), files);
}

/// Returns the resident memory of a process in bytes. A process that protects its memory shows this all the same.
fn memory(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Counts the open files of a process; zero where it does not let us see them.
fn files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

#[test]
fn nobody_may_dump_the_process_or_look_into_it() {
    // As another user, whose own processes are open to that user unless they close themselves.
    let started = Command::new("setpriv")
        .args(["--reuid", "65534", "--clear-groups"])
        .args([env!("CARGO_BIN_EXE_stella-pkcs11"), "serve"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        println!("skipped: there is no setpriv");
        return;
    };
    let mut input = child.stdin.take().unwrap();
    let _ = input.write_all(b"nonsense\n");
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let owner = fs::metadata(format!("/proc/{}/mem", child.id())).map(|file| file.uid());
    drop(input);
    let ended = child.wait().unwrap();
    if line.is_empty() {
        println!("skipped: no other user's process can be started here: {ended}");
        return;
    }
    assert_eq!(owner.unwrap(), 0);
}
