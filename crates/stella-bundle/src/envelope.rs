//! DSSE: an envelope around a payload, and the bytes that its signatures cover.

use serde::{Deserialize, Serialize};

use crate::json;

/// Payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// More signatures in one envelope than this are refused; Sigstore's have one.
pub const MAX_SIGNATURES: usize = 16;

/// Returns the pre-authentication encoding (DSSE v1.0.2, protocol.md): what a signature covers.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    let mut out = Vec::with_capacity(head.len() + payload.len());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(payload);
    out
}

/// A DSSE envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// The signed bytes.
    #[serde(with = "json::base64_bytes", default)]
    pub payload: Vec<u8>,
    /// What the payload is.
    #[serde(alias = "payload_type", default)]
    pub payload_type: String,
    /// The signatures; a Sigstore bundle has exactly one.
    #[serde(deserialize_with = "json::at_most::<MAX_SIGNATURES, _, _>", default)]
    pub signatures: Vec<EnvelopeSignature>,
}

impl Envelope {
    /// Returns the bytes that a signature of this envelope covers.
    pub fn to_be_signed(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }
}

/// One signature of an envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// The signature.
    #[serde(with = "json::base64_bytes", default)]
    pub sig: Vec<u8>,
    /// A hint at the key; never trusted.
    #[serde(
        deserialize_with = "json::or_default",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub keyid: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pae_is_that_of_the_specification() {
        // DSSE protocol.md, "Test vectors".
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            expected
        );
    }
}
