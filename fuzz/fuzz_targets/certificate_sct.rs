//! Certificates, the SCTs embedded in them, and SCT lists alone.
//!
//! An accepted SCT list re-encodes to what it was read as: SCTs of later versions are left out, every other byte has no
//! choice (RFC 6962).
#![no_main]

use libfuzzer_sys::fuzz_target;
use stella_bundle::certificate::Certificate;
use stella_bundle::memo::Memo;
use stella_bundle::{pem, sct};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        for block in pem::decode_all(text).unwrap_or_default() {
            look_at(&block.der);
        }
    }
    look_at(bytes);
    if let Ok(list) = sct::parse_list(bytes) {
        let again = sct::list_to_bytes(&list);
        assert_eq!(sct::parse_list(&again).as_deref(), Ok(list.as_slice()));
        assert!(again == bytes || again.len() < bytes.len());
    }
});

fn look_at(der: &[u8]) {
    let Ok(certificate) = Certificate::parse(der) else {
        return;
    };
    assert_eq!(certificate.der(), der);
    let _ = sct::embedded(&certificate);
    let _ = sct::tbs_without_scts(&certificate);
    let _ = certificate.is_signed_by(&certificate, &Memo::default());
    let _ = (
        certificate.subject_text(),
        certificate.issuer_text(),
        certificate.oidc_issuer(),
    );
}
