//! A device that fails, by the command: which code each failure has, that nothing is written, no PIN tried twice, and that no
//! other key signs instead.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic and speak"
)]

mod desk;
#[path = "../../stella-pkcs11/tests/faulty/mod.rs"]
mod faulty;
mod matrix;

use std::path::Path;

use desk::{Desk, STELLA, Said, says};
use faulty::Faulty;

const KEY: &str = "pkcs11:token=faulty;object=key";

/// A desk with the module; none where it cannot be used.
fn desk() -> Option<(Desk, Faulty)> {
    let faulty = Faulty::new()?;
    if !Path::new(STELLA).with_file_name("stella-pkcs11").exists() {
        let is_wanted = std::env::var("STELLA_FOREIGN").is_ok_and(|value| value == "1");
        assert!(!is_wanted, "stella-pkcs11 is not there");
        println!("skipped: stella-pkcs11 is not there");
        return None;
    }
    let desk = Desk::new();
    matrix::lay(&desk);
    Some((desk, faulty))
}

/// Runs a command whose device fails in some way.
fn run(desk: &Desk, faulty: &Faulty, fault: &str, arguments: &[&str]) -> Said {
    let mut command = desk.command(arguments);
    command
        .envs(faulty.environment(fault))
        .env("STELLA_PKCS11_MODULE", faulty.module())
        .env("STELLA_PKCS11_PIN", "1234");
    desk::finish(&mut command)
}

#[test]
fn each_failure_of_a_device_has_its_code_and_nothing_is_written() {
    let Some((desk, faulty)) = desk() else {
        return;
    };
    let rows: [(&str, i32, usize, &[&str]); 14] = [
        ("gone", 40, 1, &["the device failed", "DeviceRemoved"]),
        ("odd", 40, 1, &["the device failed", "63 bytes"]),
        ("crash", 40, 1, &["the module ended the process"]),
        ("wrong", 40, 1, &["its own public half does not verify"]),
        (
            "always-at-once",
            40,
            1,
            &["asks for the PIN before each signature"],
        ),
        ("always-pin-incorrect", 41, 1, &["the PIN is wrong"]),
        ("not-for-signing", 40, 1, &["not for signing"]),
        (
            "pin-incorrect",
            41,
            1,
            &["the PIN is wrong", "not tried again"],
        ),
        ("logged-out", 41, 1, &["UserNotLoggedIn"]),
        (
            "pin-locked",
            42,
            1,
            &["the PIN is locked", "its maker's tool"],
        ),
        ("pin-expired", 42, 1, &["PinExpired"]),
        ("locked", 42, 0, &["the PIN is locked: faulty"]),
        ("no-token", 43, 0, &["no token fits token=faulty"]),
        ("no-key", 43, 1, &["no private key object=key"]),
    ];
    let said = [
        "--predicate",
        "predicate.json",
        "--type",
        "https://example.com/ready",
    ];
    let attest = [&["attest-blob", "app", "--key", KEY], &said[..]].concat();
    for (fault, code, logins, words) in rows {
        for arguments in [&["sign-blob", "app", "--key", KEY][..], &attest] {
            let said = run(&desk, &faulty, fault, arguments).ended(code);
            says(&said.err, words);
            assert_eq!(said.out, "", "{fault}");
            assert_eq!(faulty.asked("login"), logins, "{fault}");
            assert_eq!(faulty.asked("sign 3"), 0, "{fault}");
            assert!(!desk.path("app.sigstore.json").exists(), "{fault}");
        }
    }
}

#[test]
fn a_device_that_is_taken_away_between_files_leaves_no_bundle_of_any() {
    let Some((desk, faulty)) = desk() else {
        return;
    };
    let files: Vec<String> = (0..8).map(|number| format!("file-{number}")).collect();
    for file in &files {
        desk.write(file, file);
    }
    let files = files.iter().map(String::as_str);
    let arguments: Vec<&str> = ["sign-blob", "--key", KEY]
        .into_iter()
        .chain(files.clone())
        .collect();
    run(&desk, &faulty, "removed", &arguments).ended(40);
    let is_written = |file| desk.path(&format!("{file}.sigstore.json")).exists();
    assert!(!files.clone().any(is_written));
    // One that asks for the PIN before each signature is no failure.
    for fault in ["", "always-asks"] {
        run(&desk, &faulty, fault, &arguments).ended(0);
        for file in files.clone() {
            assert!(is_written(file), "{fault}");
            std::fs::remove_file(desk.path(&format!("{file}.sigstore.json"))).unwrap();
        }
    }
    assert_eq!((faulty.asked("login"), faulty.asked("again")), (1, 8));
}

#[test]
fn a_token_that_cannot_be_written_to_signs() {
    let Some((desk, faulty)) = desk() else {
        return;
    };
    let name = "protected";
    matrix::sign(name, KEY, |arguments| {
        run(&desk, &faulty, "write-protected", arguments).ended(0);
        assert_eq!(faulty.asked("login"), 1);
    });
    matrix::is_verified(&desk, "ecdsa-p256", name);
}
