//! What strangers send to the services, and what services answer to our clients: the first byte chooses the word.
//!
//! Framing of HTTP itself is hyper's, and fuzzed there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stella_wire::csr::SigningRequest;
use stella_wire::problem::Problem;
use stella_wire::rekor::{self, AddEntry};
use stella_wire::tsa::TimestampRequest;
use stella_wire::{ct, fulcio, oidc};

fuzz_target!(|bytes: &[u8]| {
    let Some((&word, body)) = bytes.split_first() else {
        return;
    };
    match word % 14 {
        0 => drop(fulcio::SigningCertRequest::parse(body)),
        1 => drop(fulcio::LegacySigningCertRequest::parse(body)),
        2 => drop(fulcio::SigningCert::parse(body)),
        3 => drop(fulcio::TrustBundle::parse(body)),
        4 => drop(SigningRequest::parse(body).map(|request| request.verify().is_ok())),
        5 => drop(ct::AddChain::parse(body)),
        6 => drop(oidc::Discovery::parse(body)),
        7 => drop(oidc::Jwks::parse(body)),
        8 => drop(std::str::from_utf8(body).map(|token| oidc::Jwt::parse(token).is_ok())),
        9 => drop(TimestampRequest::from_json(body)),
        10 => drop(Problem::parse(body)),
        11 => drop(oidc::Claims::parse(body)),
        12 => drop(rekor::parse_entry(body)),
        _ => add_entry(body),
    }
});

/// An accepted entry is written and read again to the same value.
fn add_entry(body: &[u8]) {
    if let Ok(request) = AddEntry::parse(body) {
        assert_eq!(AddEntry::parse(&request.to_bytes()), Ok(request));
    }
}
