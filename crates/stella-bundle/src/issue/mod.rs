//! The bytes that an authority signs, next to the code that reads them: certificates, SCTs, timestamps.
//!
//! No private key comes here: each room gives `to_be_signed()` and takes the signature.

pub mod certificate;
pub mod sct;
pub mod timestamp;

use crate::asn1;
use crate::key::{ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, KeyDetails};

/// The ways in which something cannot be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A certificate handed in is not DER of its form.
    #[error("the authority's own certificate cannot be read: {0}")]
    CertificateMalformed(asn1::Asn1Error),
    /// A name holds what no certificate may carry: nothing, control characters, spaces, or letters outside ASCII.
    #[error("the name cannot stand in a certificate: it must be printable ASCII without spaces")]
    NameNotPrintable,
    /// Authorities here sign with ECDSA on P-256 or P-384; Ed25519 is refused by released clients.
    #[error("authorities do not sign with {}", .0.name())]
    UnsupportedSignature(KeyDetails),
}

/// Returns the AlgorithmIdentifier of a signature by an authority's key.
fn signature_algorithm(details: KeyDetails) -> Result<Vec<u8>, IssueError> {
    // spec: RFC 5758 §3.2: parameters are absent.
    match details {
        KeyDetails::EcdsaP256Sha256 => Ok(asn1::sequence(&[&asn1::oid(&ECDSA_WITH_SHA256)])),
        KeyDetails::EcdsaP384Sha384 => Ok(asn1::sequence(&[&asn1::oid(&ECDSA_WITH_SHA384)])),
        other => Err(IssueError::UnsupportedSignature(other)),
    }
}
