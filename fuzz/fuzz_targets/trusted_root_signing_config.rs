//! The three files that say whom to trust and whom to ask.
//!
//! What is accepted is written and read again to the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stella_bundle::signing_config::{ClientTrustConfig, SigningConfig};
use stella_bundle::trusted_root::TrustedRoot;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(root) = TrustedRoot::parse(bytes) {
        assert_eq!(TrustedRoot::parse(&root.to_json()), Ok(root));
    }
    if let Ok(config) = SigningConfig::parse(bytes) {
        assert_eq!(SigningConfig::parse(&config.to_json()), Ok(config));
    }
    if let Ok(config) = ClientTrustConfig::parse(bytes) {
        assert_eq!(ClientTrustConfig::parse(&config.to_json()), Ok(config));
    }
});
