//! Keys in a TPM: swtpm behind tpm2-abrmd, by the PKCS#11 module of tpm2-pkcs11. Signed by the command, verified by openssl.
//!
//! Runs where all of them are installed and a resource manager can be started; else it says that it is skipped.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;
mod matrix;

use std::path::Path;
use std::process::Command;

use desk::{Desk, STELLA, says};

const MODULES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1",
    "/usr/lib/aarch64-linux-gnu/libtpm2_pkcs11.so.1",
];
const TOOLS: [&str; 5] = [
    "swtpm",
    "tpm2-abrmd",
    "tpm2_ptool",
    "dbus-run-session",
    "openssl",
];

/// The kinds of key that a TPM has, as tpm2-pkcs11 and stella call them; those that ask for the PIN before each signature
/// besides.
const KINDS: [(&str, &str); 5] = [
    ("ecc256", "ecdsa-p256"),
    ("ecc384", "ecdsa-p384"),
    ("rsa3072", "rsa-3072"),
    ("asking-ecc256", "ecdsa-p256"),
    ("asking-rsa3072", "rsa-3072"),
];

/// Starts a TPM and its resource manager on a bus of its own, makes a key of each kind, and signs with each by the commands in
/// `KIND.sh`. Ends with 77 where the manager cannot be started.
const WALK: &str = r#"
set -u
# The client looks for the control port there.
CONTROL=$((PORT + 1))
swtpm socket --tpm2 --tpmstate dir=state --ctrl type=tcp,port=$CONTROL --server type=tcp,port=$PORT \
    --flags not-need-init,startup-clear > swtpm.log 2>&1 &
TPM=$!
trap 'kill $TPM $MANAGER 2>/dev/null' EXIT
MANAGER=
sleep 0.5
tpm2-abrmd --session --allow-root --tcti=swtpm:host=127.0.0.1,port=$PORT > manager.log 2>&1 &
MANAGER=$!
sleep 1
kill -0 $MANAGER || { cat swtpm.log manager.log >&2; exit 77; }
export TPM2_PKCS11_TCTI=tabrmd:bus_type=session TPM2TOOLS_TCTI=tabrmd:bus_type=session TPM2_PKCS11_STORE=$PWD/store
tpm2_ptool init > ptool.log 2>&1 || { cat ptool.log manager.log >&2; exit 77; }
set -e
tpm2_ptool addtoken --pid=1 --label=tpm --sopin=5678 --userpin=1234 >> ptool.log 2>&1
for kind in $KINDS; do
    asking=
    case $kind in asking-*) asking=--attr-always-authenticate;; esac
    tpm2_ptool addkey --algorithm=${kind#asking-} $asking --label=tpm --key-label=$kind --userpin=1234 >> ptool.log 2>&1
    . ./$kind.sh
done
code=0
STELLA_PKCS11_PIN=9999 "$STELLA" sign-blob app --key "pkcs11:token=tpm;object=ecc256" || code=$?
test $code -eq 41
"#;

#[test]
fn keys_in_a_tpm_sign_and_openssl_verifies() {
    let is_here = |tool: &&str| {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {tool}")])
            .output();
        found.is_ok_and(|output| output.status.success())
    };
    let module = MODULES.iter().find(|path| Path::new(path).exists());
    let helper = Path::new(STELLA).with_file_name("stella-pkcs11");
    let Some(module) = module.filter(|_| TOOLS.iter().all(is_here) && helper.exists()) else {
        println!("skipped: swtpm, tpm2-abrmd, tpm2-pkcs11 or stella-pkcs11 is not there");
        return;
    };
    let desk = Desk::new();
    matrix::lay(&desk);
    desk.write("state/.keep", "");
    desk.write("store/.keep", "");
    for (kind, _) in KINDS {
        let key = format!("pkcs11:token=tpm;object={kind}");
        let mut script = String::new();
        matrix::sign(kind, &key, |arguments| {
            let quoted = arguments.iter().map(|each| format!(" '{each}'"));
            script += &format!("\"$STELLA\"{}\n", quoted.collect::<String>());
        });
        desk.write(&format!("{kind}.sh"), script);
    }
    let port = desk.url.rsplit(':').next().unwrap_or_default().to_owned();
    let mut command = desk.wrapped(
        "timeout",
        ["120", "dbus-run-session", "--", "bash", "-c", WALK],
    );
    command
        .env("STELLA", STELLA)
        .env("KINDS", KINDS.map(|(kind, _)| kind).join(" "))
        .env("STELLA_PKCS11_MODULE", module)
        .env("STELLA_PKCS11_PIN", "1234")
        .env("PORT", port);
    let said = desk::finish(&mut command);
    if said.code == 77 {
        println!(
            "skipped: the resource manager cannot be started here: {}",
            said.err
        );
        return;
    }
    assert_eq!(said.code, 0, "{said:?}");
    for (kind, algorithm) in KINDS {
        matrix::is_verified(&desk, algorithm, kind);
    }
    says(&said.err, &["the PIN is wrong"]);
}
