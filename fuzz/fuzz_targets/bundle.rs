//! Bundles of every version, sets of them, and what their payloads say.
//!
//! What is accepted is written as v0.3 and read again to the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stella_bundle::attestation_set;
use stella_bundle::bundle::{Bundle, Content};
use stella_bundle::legacy::{self, SimpleSigning};
use stella_bundle::statement::Statement;

fuzz_target!(|bytes: &[u8]| {
    let _ = attestation_set::bundles_in(bytes);
    let _ = legacy::read(bytes);
    let _ = legacy::read_rekor_bundle(bytes);
    let _ = SimpleSigning::parse(bytes);
    let Ok(bundle) = Bundle::parse(bytes) else {
        return;
    };
    if let Content::Envelope(envelope) = &bundle.content
        && let Ok(statement) = Statement::parse(&envelope.payload)
    {
        assert_eq!(Statement::parse(&statement.to_bytes()), Ok(statement));
    }
    // A chain of several certificates has no place in v0.3 and is refused by the writer.
    if let Ok(written) = bundle.to_json() {
        let again = Bundle::parse(&written).expect("what we write we read");
        assert_eq!((again.key, again.content), (bundle.key, bundle.content));
        assert_eq!(
            (again.entries, again.timestamps),
            (bundle.entries, bundle.timestamps)
        );
    }
});
