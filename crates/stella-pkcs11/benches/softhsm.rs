//! Signatures by SoftHSM: asked of the module directly, and through the process that stella puts around it.
//!
//!     cargo bench --package stella-pkcs11 --bench softhsm
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may panic and speak"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use stella_bundle::digest::DigestAlgorithm;
use stella_keys::device::DeviceKey;
use stella_keys::device::words::Open;
use stella_keys::{Input, Signer as _};
use zeroize::Zeroizing;

const CONFIGURATION: &str = "SOFTHSM2_CONF";
const PIN: &str = "1234";
const COUNT: usize = 10_000;
const ROUNDS: usize = 5;
const MODULES: [&str; 2] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
];

fn main() {
    let Some(module) = MODULES.iter().find(|path| Path::new(path).exists()) else {
        println!("skipped: softhsm2 is not installed");
        return;
    };
    // The module finds its tokens by the environment, so the measuring process is started with it.
    if std::env::var_os(CONFIGURATION).is_some() {
        measure(module);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tokens")).unwrap();
    let configuration = folder.path().join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}/tokens\n",
        folder.path().display()
    );
    fs::write(&configuration, text).unwrap();
    let run = |program: &str, arguments: &str| {
        let status = Command::new(program)
            .args(arguments.split_whitespace())
            .env(CONFIGURATION, &configuration)
            .output();
        assert!(status.unwrap().status.success(), "{program} {arguments}");
    };
    run(
        "softhsm2-util",
        "--init-token --free --label stella --pin 1234 --so-pin 5678",
    );
    run(
        "pkcs11-tool",
        &format!(
            "--module {module} --login --pin {PIN} --keypairgen --key-type EC:prime256v1 --label key --id 01"
        ),
    );
    let own = std::env::current_exe().unwrap();
    let status = Command::new(own)
        .env(CONFIGURATION, &configuration)
        .status();
    assert!(status.unwrap().success());
}

fn measure(module: &str) {
    let helper = Path::new(env!("CARGO_BIN_EXE_stella-pkcs11"));
    let open = Open {
        module: module.to_owned(),
        object: Some("key".to_owned()),
        pin: Some(Zeroizing::new(PIN.to_owned())),
        ..Open::default()
    };
    let key = DeviceKey::open(helper, open, false).unwrap();
    let pkcs11 = Pkcs11::new(module).unwrap();
    let flags = CInitializeFlags::OS_LOCKING_OK;
    pkcs11.initialize(CInitializeArgs::new(flags)).unwrap();
    let slots = pkcs11.get_slots_with_token().unwrap();
    let session = pkcs11.open_ro_session(slots[0]).unwrap();
    session
        .login(UserType::User, Some(&AuthPin::from(PIN)))
        .unwrap();
    let handle = session
        .find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])
        .unwrap()[0];
    // In turns, so that whatever else the machine does meets both.
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for number in 0..COUNT {
            let digest = DigestAlgorithm::Sha256.digest(&number.to_be_bytes());
            session
                .sign(&Mechanism::Ecdsa, handle, digest.bytes())
                .unwrap();
        }
        let direct = start.elapsed();
        let messages: Vec<[u8; 8]> = (0..COUNT as u64).map(u64::to_be_bytes).collect();
        let messages: Vec<&[u8]> = messages.iter().map(<[u8; 8]>::as_slice).collect();
        let start = Instant::now();
        let inputs: Vec<Input<'_>> = messages.iter().map(|each| Input::Message(each)).collect();
        assert_eq!(key.sign_many(&inputs).unwrap().len(), COUNT);
        let through = start.elapsed();
        let start = Instant::now();
        for message in &messages[..COUNT / 10] {
            key.sign(message).unwrap();
        }
        let alone = start.elapsed() * 10;
        let rate = |time: std::time::Duration| COUNT as f64 / time.as_secs_f64();
        println!(
            "the module {:.0} a second, through the process {:.0}, one by one {:.0}",
            rate(direct),
            rate(through),
            rate(alone)
        );
        ratios.push(through.as_secs_f64() / direct.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!("ratio {:.2} (median of {ROUNDS})", ratios[ROUNDS / 2]);
}
