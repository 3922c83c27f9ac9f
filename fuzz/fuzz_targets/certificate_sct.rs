//! Certificates, the SCTs embedded in them, and SCT lists alone.
//!
//! An accepted SCT list re-encodes to the same bytes: RFC 6962 leaves no choice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stella_bundle::certificate::Certificate;
use stella_bundle::{pem, sct};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        for block in pem::decode_all(text).unwrap_or_default() {
            look_at(&block.der);
        }
    }
    look_at(bytes);
    if let Ok(list) = sct::parse_list(bytes) {
        assert_eq!(sct::list_to_bytes(&list), bytes);
    }
});

fn look_at(der: &[u8]) {
    let Ok(certificate) = Certificate::parse(der) else {
        return;
    };
    assert_eq!(certificate.der(), der);
    let _ = sct::embedded(&certificate);
    let _ = sct::tbs_without_scts(&certificate);
    let _ = certificate.is_signed_by(&certificate);
    let _ = (
        certificate.subject_text(),
        certificate.issuer_text(),
        certificate.oidc_issuer(),
    );
}
