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

/// Starts a TPM and its resource manager on a bus of its own, makes three keys, and signs with each. Ends with 77 where the
/// manager cannot be started.
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
for kind in ecc256 ecc384 rsa2048; do
    tpm2_ptool addkey --algorithm=$kind --label=tpm --key-label=$kind --userpin=1234 >> ptool.log 2>&1
    key="pkcs11:token=tpm;object=$kind"
    "$STELLA" key public --key "$key" --output $kind.pub
    "$STELLA" sign-blob app --key "$key" --output-signature app.sig
    "$STELLA" verify app --key $kind.pub > /dev/null
    "$STELLA" attest-blob app --key "$key" --predicate predicate.json --type https://example.com/ready
    "$STELLA" verify app --key $kind.pub --require https://example.com/ready:/ready=true > /dev/null
    base64 -d app.sig > app.raw
    case $kind in ecc384) hash=sha384 ;; *) hash=sha256 ;; esac
    openssl dgst -$hash -verify $kind.pub -signature app.raw app
done
code=0
STELLA_PKCS11_PIN=9999 "$STELLA" sign-blob app --key "$key" || code=$?
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
    desk.write("app", "an artifact");
    desk.write("predicate.json", r#"{"ready": true}"#);
    desk.write("state/.keep", "");
    desk.write("store/.keep", "");
    let port = desk.url.rsplit(':').next().unwrap_or_default().to_owned();
    let mut command = desk.wrapped(
        "timeout",
        ["120", "dbus-run-session", "--", "bash", "-c", WALK],
    );
    command
        .env("STELLA", STELLA)
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
    assert_eq!(said.out.matches("Verified OK").count(), 3, "{said:?}");
    says(&said.err, &["the PIN is wrong"]);
}
