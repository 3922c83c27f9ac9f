//! Keys in SoftHSM, by the command: named, used, refused; and no secret of any key where others could see it.
//!
//! Runs where softhsm2, opensc and the program stella-pkcs11 are; else it says that it is skipped, and fails when
//! `STELLA_FOREIGN=1` demands them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;
mod matrix;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use desk::{Desk, STELLA, Said, says};

const PIN: &str = "74391";
const PASSPHRASE: &str = "open-sesame-77";
const MODULES: [&str; 2] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
];

/// A desk with a token that has one key.
struct Vault {
    desk: Desk,
    module: &'static str,
}

impl Vault {
    fn open() -> Option<Self> {
        let module = MODULES.iter().find(|path| Path::new(path).exists());
        let helper = Path::new(STELLA).with_file_name("stella-pkcs11");
        let has_tool = Command::new("pkcs11-tool").arg("--help").output().is_ok();
        let is_wanted = std::env::var("STELLA_FOREIGN").is_ok_and(|value| value == "1");
        let Some(module) = module.filter(|_| has_tool && helper.exists()) else {
            assert!(!is_wanted, "softhsm2, opensc or stella-pkcs11 is not there");
            println!("skipped: softhsm2, opensc or stella-pkcs11 is not there");
            return None;
        };
        let vault = Self {
            desk: Desk::new(),
            module,
        };
        std::fs::create_dir(vault.desk.path("tokens")).unwrap();
        let text = format!(
            "directories.tokendir = {}\n",
            vault.desk.path("tokens").display()
        );
        vault.desk.write("softhsm2.conf", text);
        vault.tool(
            "softhsm2-util",
            &format!("--init-token --free --label vault --pin {PIN} --so-pin 5678"),
        );
        vault.tool(
            "pkcs11-tool",
            &format!("--module {module} --login --pin {PIN} --keypairgen --key-type EC:prime256v1 --label org --id 01"),
        );
        matrix::lay(&vault.desk);
        Some(vault)
    }

    fn tool(&self, program: &str, arguments: &str) {
        let mut command = self.desk.wrapped(program, arguments.split_whitespace());
        let said = desk::finish(command.env("SOFTHSM2_CONF", self.desk.path("softhsm2.conf")));
        assert_eq!(said.code, 0, "{program}: {said:?}");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.desk.command(arguments);
        command.env("SOFTHSM2_CONF", self.desk.path("softhsm2.conf"));
        command.env("STELLA_PKCS11_MODULE", self.module);
        command
    }

    /// Runs a command with the PIN in the environment.
    fn run(&self, pin: &str, arguments: &[&str]) -> Said {
        desk::finish(self.command(arguments).env("STELLA_PKCS11_PIN", pin))
    }
}

const KEY: &str = "pkcs11:token=vault;object=org";

/// Signs a verdict about one more artifact, into the store.
fn attest(vault: &Vault, name: &str) {
    let (artifact, verdict) = (
        vault.desk.write(name, name),
        vault.desk.write("verdict.json", "{}"),
    );
    let sign = [
        "attest",
        "sign",
        "--keyless",
        "--artifact",
        &artifact,
        "--predicate",
        &verdict,
    ];
    let sign = [&sign[..], &["--type", "https://example.com/verdict/v1"]].concat();
    vault
        .desk
        .run_with_token(&vault.desk.token(), sign)
        .ended(0);
}

#[test]
fn a_key_in_the_device_seals_three_periods_that_verify_when_all_else_is_gone() {
    let Some(mut vault) = Vault::open() else {
        return;
    };
    vault.desk.serve();
    let url = vault.desk.url.clone();
    vault.desk.run(["trust", "use", &url]).ended(0);
    // 1. The organisation: its classical key never leaves the device.
    for (name, algorithm) in [("pq", "ml-dsa-65"), ("recovery", "ed25519")] {
        vault.desk.key(name, algorithm);
    }
    let attested = vault
        .run(PIN, &["key", "attest", "--key", KEY, "--json"])
        .ended(0)
        .json();
    assert_eq!(attested["madeInDevice"], true);
    assert_eq!(attested["extractable"], false);
    assert_eq!(attested["device"]["label"], "vault");
    let create = [
        "archive",
        "keyset",
        "create",
        "--origin",
        "archive.example.org",
    ];
    let keys = [
        "--key",
        KEY,
        "--pq-key",
        "pq.key",
        "--recovery-key",
        "recovery.key",
    ];
    let create = [&create[..], &keys, &["--reason", "founded"]].concat();
    vault.run("99999", &create).ended(41);
    vault.run(PIN, &create).ended(0);
    // 2. Three periods; between them the keys are prolonged.
    let both = ["--key", KEY, "--pq-key", "pq.key"];
    for (number, period) in ["january", "february", "march"].iter().enumerate() {
        attest(&vault, &format!("app{number}"));
        let run = ["archive", "run", "--release", period];
        let said = vault.run(PIN, &[&run[..], &both].concat()).ended(0);
        says(&said.out, &[&format!("{period}: 1 attestations")]);
        if number == 1 {
            let extend = [
                "archive", "keyset", "extend", "--years", "5", "--reason", "a test",
            ];
            vault
                .run(
                    PIN,
                    &[&extend[..], &["--key", KEY, "--key", "pq.key"]].concat(),
                )
                .ended(0);
        }
    }
    // 3. Instance, keys and device are gone; the anchor of the first day is left.
    vault.desk.stop();
    let anchor = std::fs::read(vault.desk.path("org/org.anchor")).unwrap();
    for name in ["sigstore", "tokens", "org", "archive.work"] {
        std::fs::remove_dir_all(vault.desk.path(name)).unwrap();
    }
    vault.desk.write("org.anchor", anchor);
    for period in ["january", "february", "march"] {
        let verify = [
            "archive",
            "verify",
            "archive",
            "--anchor",
            "org.anchor",
            "--period",
            period,
        ];
        let said = vault.desk.run(verify).ended(0);
        says(
            &said.out,
            &["statement 2", "L0 archived: 1", "L1 verified again: 1"],
        );
    }
}

#[test]
fn every_kind_of_key_in_a_device_signs_files_and_statements() {
    let Some(vault) = Vault::open() else {
        return;
    };
    for (kind, algorithm, id) in [
        ("EC:prime256v1", "ecdsa-p256", "11"),
        ("EC:secp384r1", "ecdsa-p384", "12"),
        ("EC:secp521r1", "ecdsa-p521", "13"),
        ("rsa:3072", "rsa-3072", "14"),
        ("EC:edwards25519", "ed25519", "15"),
    ] {
        let module = vault.module;
        let generate = format!(
            "--module {module} --login --pin {PIN} --keypairgen --key-type {kind} --label {algorithm} --id {id}"
        );
        vault.tool("pkcs11-tool", &generate);
        let key = format!("pkcs11:token=vault;object={algorithm}");
        matrix::sign(algorithm, &key, |arguments| {
            vault.run(PIN, arguments).ended(0);
        });
        matrix::is_verified(&vault.desk, algorithm, algorithm);
    }
}

#[test]
fn a_key_in_a_device_signs_and_is_told_about() {
    let Some(vault) = Vault::open() else {
        return;
    };
    let desk = &vault.desk;
    vault
        .run(PIN, &["key", "public", "--key", KEY, "--output", "org.pub"])
        .ended(0);
    vault.run(PIN, &["sign-blob", "app", "--key", KEY]).ended(0);
    desk.run(["verify", "app", "--key", "org.pub"]).ended(0);
    // By a file that the URI names, and the module by the URI too.
    let pin = desk.write("pin", format!("{PIN}\n"));
    let uri = format!("{KEY}?module-path={}&pin-source=file:{pin}", vault.module);
    let mut plain = desk.command(["sign-blob", "app", "--key", &uri]);
    let said = desk::finish(plain.env("SOFTHSM2_CONF", desk.path("softhsm2.conf")));
    said.ended(0);
    let listed = vault.run(PIN, &["key", "list"]).ended(0);
    says(&listed.out, &["pkcs11:token=vault;object=org;id=%01"]);
    let rows: [(&str, &str, i32, &[&str]); 6] = [
        ("99999", KEY, 41, &["the PIN is wrong", "not tried again"]),
        (
            PIN,
            "pkcs11:token=vault;object=other",
            43,
            &["no private key object=other", "key list"],
        ),
        (
            PIN,
            "pkcs11:token=other;object=org",
            43,
            &["no token fits token=other"],
        ),
        (PIN, "pkcs11:token=vault", 2, &["object=LABEL"]),
        (
            PIN,
            "pkcs11:object=org?pin-value=1",
            2,
            &["pin-source=file:PATH"],
        ),
        (
            PIN,
            "pkcs11:object=org?module-path=/absent.so",
            40,
            &["/absent.so"],
        ),
    ];
    for (pin, uri, code, words) in rows {
        let said = vault.run(pin, &["sign-blob", "app", "--key", uri]);
        says(&said.ended(code).err, words);
    }
    let taken = vault.run(PIN, &["key", "import", "--key", KEY]).ended(2);
    says(&taken.err, &["cannot be taken out"]);
}

/// An instance that does not outlive its test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_keys_of_an_instance_stay_in_their_device() {
    let Some(vault) = Vault::open() else {
        return;
    };
    let module = vault.module;
    for (kind, label, id) in [("EC:edwards25519", "log", "21"), ("rsa:3072", "oidc", "22")] {
        let generate = format!(
            "--module {module} --login --pin {PIN} --keypairgen --key-type {kind} --label {label} --id {id}"
        );
        vault.tool("pkcs11-tool", &generate);
    }
    let address = vault.desk.url.trim_start_matches("http://").to_owned();
    let serve = ["serve", "--dir", "sigstore", "--listen", &address];
    let keys = ["--ca-key", KEY, "--ct-key", KEY, "--tsa-key", KEY];
    let log = ["--log-key", "pkcs11:token=vault;object=log"];
    let oidc = ["--oidc-key", "pkcs11:token=vault;object=oidc"];
    let serve = [&serve[..], &keys, &log, &oidc].concat();
    // 1. Made and served with the keys, and served again; the PIN is the environment's.
    let desk = &vault.desk;
    let artifacts = ["ab", "cd"].map(|byte| format!("sha256:{}", byte.repeat(32)));
    for artifact in &artifacts {
        let mut command = vault.command(&serve);
        command.env("STELLA_PKCS11_PIN", PIN).stderr(Stdio::piped());
        let mut server = Server(command.spawn().unwrap());
        let mut lines = BufReader::new(server.0.stderr.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        assert!(first.starts_with("serving "), "{first}");
        std::thread::spawn(move || lines.for_each(drop));
        desk.run(["trust", "use", &desk.url]).ended(0);
        desk.sign(artifact, &[]);
        let id = server.0.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(server.0.wait().unwrap().success());
    }
    // 2. Verified without the device; the keys' names are recorded, and no secret.
    for artifact in &artifacts {
        desk.verify(artifact, &["--offline"]).ended(0);
    }
    desk.run(["log", "fsck", "--dir", "sigstore"]).ended(0);
    let recorded = std::fs::read_to_string(desk.path("sigstore/instance.json")).unwrap();
    assert!(
        recorded.contains(KEY) && !recorded.contains(PIN),
        "{recorded}"
    );
    let mut kept: Vec<String> = std::fs::read_dir(desk.path("sigstore/keys"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    assert_eq!(kept, ["ct.pub", "oidc.pub", "rekor.pub"]);
    // 3. A wrong PIN, none, or a key that is gone: it does not start.
    vault.run("99999", &serve).ended(41);
    desk::finish(&mut vault.command(&serve)).ended(41);
    let gone =
        format!("--module {module} --login --pin {PIN} --delete-object --type privkey --label org");
    vault.tool("pkcs11-tool", &gone);
    let said = vault.run(PIN, &serve).ended(43);
    says(&said.err, &["object=org"]);
    let again = format!(
        "--module {module} --login --pin {PIN} --keypairgen --key-type EC:prime256v1 --label org --id 02"
    );
    let public =
        format!("--module {module} --login --pin {PIN} --delete-object --type pubkey --label org");
    vault.tool("pkcs11-tool", &public);
    vault.tool("pkcs11-tool", &again);
    let said = vault.run(PIN, &serve).ended(40);
    says(&said.err, &["now another key"]);
}

#[test]
fn no_secret_is_printed_logged_or_on_a_command_line() {
    let Some(vault) = Vault::open() else {
        return;
    };
    let desk = &vault.desk;
    desk.write("passphrase", PASSPHRASE);
    let made = [
        "key",
        "generate",
        "--output",
        "soft",
        "--passphrase-file",
        "passphrase",
    ];
    desk.run(made).ended(0);
    let soft = std::fs::read_to_string(desk.path("soft.key")).unwrap();
    let mut lines = soft.lines();
    let secret_line = lines.nth(1).unwrap();
    for key in [KEY, "soft.key"] {
        for pin in [PIN, "00000"] {
            let passphrase = if pin == PIN {
                PASSPHRASE
            } else {
                "open-barley-88"
            };
            let child = vault
                .command(&["sign-blob", "app", "--key", key])
                .env("STELLAOPS_LOG_LEVEL", "trace")
                .env("STELLA_PKCS11_PIN", pin)
                .env("STELLA_KEY_PASSPHRASE", passphrase)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let process = child.id();
            let lines = std::thread::spawn(move || command_lines(process));
            let output = child.wait_with_output().unwrap();
            let said = [output.stdout, output.stderr, lines.join().unwrap()].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            for secret in [pin, passphrase, secret_line] {
                assert!(!said.contains(secret), "{key}: {said}");
            }
        }
    }
    let bundle = std::fs::read_to_string(desk.path("app.sigstore.json")).unwrap();
    assert!(!bundle.contains(PIN) && !bundle.contains(PASSPHRASE));
}

/// Collects the command lines of a process and of its children, as anyone sees them, until it ends.
fn command_lines(process: u32) -> Vec<u8> {
    let mut seen = Vec::new();
    for _ in 0..200 {
        let Ok(line) = std::fs::read(format!("/proc/{process}/cmdline")) else {
            break;
        };
        if line.is_empty() {
            break;
        }
        seen.extend(line);
        let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            seen.extend(std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    seen
}
