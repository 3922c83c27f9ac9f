//! A device that fails: each failure has its own name, no PIN is tried twice, no other key signs instead.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod faulty;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use faulty::Faulty;
use stella_keys::device::DeviceKey;
use stella_keys::device::uri::Uri;
use stella_keys::device::words::FailureKind;
use stella_keys::{Input, KeyError, Signer as _};
use zeroize::Zeroizing;

/// More than are on their way at once.
const MESSAGES: usize = 100;
/// Long enough to open the module, short enough to wait for one that hangs.
const PATIENCE: Duration = Duration::from_secs(3);

/// Writes the helper for one fault: a test cannot change its own environment.
fn helper(faulty: &Faulty, fault: &str) -> PathBuf {
    let path = faulty.module().with_file_name("helper");
    let variables = faulty.environment(fault);
    let variables = variables.map(|(name, value)| format!("{name}={value} "));
    let program = env!("CARGO_BIN_EXE_stella-pkcs11");
    let script = format!("#!/bin/sh\n{}exec {program} \"$@\"\n", variables.concat());
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn open(faulty: &Faulty, fault: &str) -> Result<DeviceKey, KeyError> {
    let helper = helper(faulty, fault);
    let mut open = Uri::parse("pkcs11:token=faulty;object=key").unwrap().open;
    open.module = faulty.module().display().to_string();
    open.pin = Some(Zeroizing::new("1234".to_owned()));
    DeviceKey::open_within(PATIENCE, &helper, open, false)
}

/// Opens the key and has it sign; returns it with the signatures.
fn sign(
    faulty: &Faulty,
    fault: &str,
    messages: &[&[u8]],
) -> Result<(DeviceKey, Vec<Vec<u8>>), KeyError> {
    let key = open(faulty, fault)?;
    let inputs: Vec<Input<'_>> = messages.iter().map(|each| Input::Message(each)).collect();
    let signatures = key.sign_many(&inputs)?;
    Ok((key, signatures))
}

#[test]
fn each_failure_of_a_device_has_a_name_and_nothing_is_tried_again() {
    let Some(faulty) = Faulty::new() else {
        return;
    };
    use FailureKind::{Absent, Device, Locked, Pin, Unsupported};
    // How often it was logged in, and signed by the key.
    for (fault, kind, logins, signatures) in [
        ("pin-incorrect", Pin, 1, 0),
        ("pin-locked", Locked, 1, 0),
        ("pin-expired", Locked, 1, 0),
        ("locked", Locked, 0, 0),
        ("no-token", Absent, 0, 0),
        ("no-key", Absent, 1, 0),
        ("always-pin-incorrect", Pin, 1, 0),
        ("always-at-once", Unsupported, 1, 0),
        ("not-for-signing", Unsupported, 1, 0),
        ("logged-out", Pin, 1, 1),
        ("gone", Device, 1, 1),
        ("odd", Device, 1, 1),
        ("empty", Device, 1, 1),
    ] {
        match sign(&faulty, fault, &[b"message"]).map(|_| ()) {
            Err(KeyError::Device { kind: found, .. }) => assert_eq!(found, kind, "{fault}"),
            other => panic!("{fault}: {other:?}"),
        }
        assert_eq!(faulty.asked("login"), logins, "{fault}");
        assert_eq!(faulty.asked("sign 1"), signatures, "{fault}");
        assert_eq!(faulty.asked("sign 3"), 0, "{fault}");
    }
}

#[test]
fn a_key_that_asks_before_each_signature_is_given_the_pin_each_time_and_a_wrong_one_once() {
    let Some(faulty) = Faulty::new() else {
        return;
    };
    let messages = [&b"message"[..]; MESSAGES];
    let (key, signatures) = sign(&faulty, "always-asks", &messages).unwrap();
    for signature in &signatures {
        key.public_key().verify(b"message", signature).unwrap();
    }
    assert_eq!(signatures.len(), MESSAGES);
    assert_eq!(faulty.asked("login"), 1);
    assert_eq!(faulty.asked("again"), MESSAGES);
    // Many were on their way when the first was refused; and whoever has the key may ask once more.
    let key = open(&faulty, "always-pin-incorrect").unwrap();
    for _ in 0..2 {
        let refused = key.sign_many(&messages.map(Input::Message)).unwrap_err();
        let kind = FailureKind::Pin;
        assert!(
            matches!(&refused, KeyError::Device { kind: found, .. } if *found == kind),
            "{refused}"
        );
    }
    assert_eq!(faulty.asked("again"), 1);
    assert_eq!(faulty.asked("sign"), 0);
}

#[test]
fn a_device_that_is_taken_away_between_signatures_gives_none() {
    let Some(faulty) = Faulty::new() else {
        return;
    };
    let removed = sign(&faulty, "removed", &[&b"message"[..]; MESSAGES]).map(|_| ());
    match removed.unwrap_err() {
        KeyError::Device { kind, message } => {
            assert_eq!(kind, FailureKind::Device);
            assert!(message.contains("DeviceRemoved"), "{message}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(faulty.asked("login"), 1);
    assert_eq!(faulty.asked("sign 3"), 0);
    // What was not sent yet is not sent any more.
    assert!(faulty.asked("sign 1") < MESSAGES);
}

#[test]
fn a_device_that_crashes_or_hangs_while_it_signs_is_ended() {
    let Some(faulty) = Faulty::new() else {
        return;
    };
    for (fault, words) in [
        ("crash", "the module ended the process: signal: 6"),
        ("hang", "the module gave no answer in 3s"),
    ] {
        let refused = sign(&faulty, fault, &[&b"message"[..]; 3]).map(|_| ());
        let said = refused.unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
        assert_eq!(faulty.asked("login"), 1, "{fault}");
        assert_eq!(faulty.asked("sign"), 1, "{fault}");
    }
}

#[test]
fn what_is_no_failure_is_none_and_a_wrong_signature_does_not_verify() {
    let Some(faulty) = Faulty::new() else {
        return;
    };
    // A token that cannot be written to signs all the same.
    for (fault, is_good) in [("", true), ("write-protected", true), ("wrong", false)] {
        let messages: Vec<[u8; 8]> = (0..MESSAGES as u64).map(u64::to_be_bytes).collect();
        let messages: Vec<&[u8]> = messages.iter().map(<[u8; 8]>::as_slice).collect();
        let (key, signatures) = sign(&faulty, fault, &messages).unwrap();
        for (message, signature) in messages.iter().zip(&signatures) {
            let verified = key.public_key().verify(message, signature);
            assert_eq!(verified.is_ok(), is_good, "{fault}");
        }
    }
}
