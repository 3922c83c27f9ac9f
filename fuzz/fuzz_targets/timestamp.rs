//! RFC 3161 tokens as they lie in bundles, and requests for them as they reach the authority.
//!
//! An accepted request is written and read again to the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stella_bundle::timestamp::{self, SignedTimestamp};
use stella_wire::tsa::TimestampRequest;

fuzz_target!(|bytes: &[u8]| {
    let _ = timestamp::short_name(bytes);
    if let Ok(token) = SignedTimestamp::parse(bytes) {
        let _ = token.require_message(b"another message");
    }
    if let Ok(request) = TimestampRequest::from_der(bytes) {
        assert_eq!(TimestampRequest::from_der(&request.to_der()), Ok(request));
    }
});
