//! TUF metadata: roots, and what they would sign, read as each role. Nothing panics, and what is believed expires.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stella_bundle::time::UnixTime;
use stella_bundle::tuf::Root;

/// A root that is good: the public-good instance's.
const PUBLIC: &[u8] = include_bytes!("../../crates/stella/trust/public/root.json");

fuzz_target!(|bytes: &[u8]| {
    if let Ok(root) = Root::trust(bytes) {
        assert_eq!(root.bytes(), bytes);
        let _ = root.require_current(UnixTime::from_seconds(1_800_000_000));
    }
    let mut root = Root::trust(PUBLIC).expect("the root that is built in");
    assert!(root.advance(bytes).is_err() || root.version() == 16);
    let _ = root.remembered_timestamp(bytes);
    let _ = root.remembered_snapshot(bytes);
});
