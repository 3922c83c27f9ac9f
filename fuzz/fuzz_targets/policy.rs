//! Policy files: never a panic, and what is read prints as a policy that reads the same.
#![no_main]

use std::io::ErrorKind;

use libfuzzer_sys::fuzz_target;
use stella_policy::file;

fuzz_target!(|text: &str| {
    let nothing = |_: &str| Err(ErrorKind::NotFound);
    let Ok(policy) = file::parse(text, &nothing) else {
        return;
    };
    let printed = file::to_yaml(&policy);
    assert_eq!(file::parse(&printed, &nothing).ok(), Some(policy));
});
