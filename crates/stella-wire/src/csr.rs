//! Certificate signing requests (PKCS#10, RFC 2986): a public key, and the proof that the sender holds its private half.
//!
//! Everything else in a request is ignored, as Fulcio does: names come from the identity token.

use stella_bundle::asn1::{self, Asn1Error, tag};
use stella_bundle::key::{
    ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ECDSA_WITH_SHA512, ED25519, KeyError, PublicKey, Scheme,
};
use stella_bundle::{digest::DigestAlgorithm, pem};

/// PEM labels of a request: the standard one and that of old Microsoft tools (RFC 7468 §7).
const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// The ways in which bytes are no usable signing request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// Not DER of the form of RFC 2986.
    #[error("the request is not PKCS#10: {0}")]
    Asn1(#[from] Asn1Error),
    /// The key or the signature algorithm is not supported, or the signature is not made by the key.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// Not PEM text.
    #[error("the request is not PEM")]
    NotPem,
    /// The PEM block is another thing.
    #[error("expected a PEM block CERTIFICATE REQUEST")]
    UnexpectedPem,
    /// Keys of this kind do not sign requests here.
    #[error("a request cannot be signed by {0:?}")]
    UnsupportedScheme(Scheme),
}

/// A request taken apart and not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningRequest {
    signed: Vec<u8>,
    public_key: PublicKey,
    scheme: Scheme,
    signature: Vec<u8>,
}

impl SigningRequest {
    /// Reads PEM text.
    ///
    /// # Errors
    /// Any [`CsrError`].
    pub fn parse(text: &[u8]) -> Result<Self, CsrError> {
        let text = std::str::from_utf8(text).map_err(|_| CsrError::NotPem)?;
        let blocks = pem::decode_all(text).map_err(|_| CsrError::NotPem)?;
        let [block] = blocks.as_slice() else {
            return Err(CsrError::UnexpectedPem);
        };
        if !LABELS.contains(&block.label.as_str()) {
            return Err(CsrError::UnexpectedPem);
        }
        Self::from_der(&block.der)
    }

    /// Reads DER.
    ///
    /// # Errors
    /// Any [`CsrError`] but those about PEM.
    pub fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        // spec: RFC 2986 §4.2
        let mut request = asn1::only_sequence(der)?;
        let info = request.expect(tag::SEQUENCE)?;
        let scheme = Scheme::from_algorithm_identifier(request.expect(tag::SEQUENCE)?)?;
        let signature = request
            .expect(tag::BIT_STRING)?
            .to_octets_of_bit_string()?
            .to_vec();
        request.finish()?;
        let mut fields = info.reader();
        fields.expect(tag::INTEGER)?;
        fields.sequence()?;
        let public_key = PublicKey::from_spki(fields.expect(tag::SEQUENCE)?.raw)?;
        Ok(Self {
            signed: info.raw.to_vec(),
            public_key,
            scheme,
            signature,
        })
    }

    /// Returns the key if the request is signed by it.
    ///
    /// # Errors
    /// [`CsrError::Key`].
    pub fn verify(&self) -> Result<&PublicKey, CsrError> {
        self.public_key
            .verify_with(self.scheme, &self.signed, &self.signature)?;
        Ok(&self.public_key)
    }

    /// Returns the key that the request claims.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Returns how the request is signed.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }
}

/// Returns CertificationRequestInfo for a key, with an empty subject: what its holder signs by the default scheme.
#[must_use]
pub fn to_be_signed(public_key: &PublicKey) -> Vec<u8> {
    let empty = asn1::sequence(&[]);
    let no_attributes = asn1::explicit(0, &[]);
    asn1::sequence(&[&asn1::small(0), &empty, public_key.spki(), &no_attributes])
}

/// Returns the finished request as PEM text.
///
/// # Errors
/// `UnsupportedScheme` for a scheme other than ECDSA and pure Ed25519.
pub fn assemble(to_be_signed: &[u8], scheme: Scheme, signature: &[u8]) -> Result<String, CsrError> {
    let algorithm = match scheme {
        Scheme::Ecdsa(DigestAlgorithm::Sha256) => ECDSA_WITH_SHA256,
        Scheme::Ecdsa(DigestAlgorithm::Sha384) => ECDSA_WITH_SHA384,
        Scheme::Ecdsa(DigestAlgorithm::Sha512) => ECDSA_WITH_SHA512,
        Scheme::Ed25519 => ED25519,
        other => return Err(CsrError::UnsupportedScheme(other)),
    };
    let algorithm = asn1::sequence(&[&asn1::oid(&algorithm)]);
    let request = asn1::sequence(&[to_be_signed, &algorithm, &asn1::bit_string(signature)]);
    Ok(pem::encode(LABELS[0], &request))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_request_is_refused() {
        assert_eq!(SigningRequest::parse(b"hello"), Err(CsrError::NotPem));
        assert_eq!(SigningRequest::parse(&[0xff]), Err(CsrError::NotPem));
        let certificate = pem::encode("CERTIFICATE", &[0x30, 0]);
        assert_eq!(
            SigningRequest::parse(certificate.as_bytes()),
            Err(CsrError::UnexpectedPem)
        );
        let empty = pem::encode("CERTIFICATE REQUEST", &[0x30, 0]);
        assert!(matches!(
            SigningRequest::parse(empty.as_bytes()),
            Err(CsrError::Asn1(_))
        ));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let key = [
            &[
                0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
            ][..],
            &[0x58; 32],
        ]
        .concat();
        let key = PublicKey::from_spki(&key).unwrap();
        let text = assemble(&to_be_signed(&key), Scheme::Ed25519, &[1; 64]).unwrap();
        let read = SigningRequest::parse(text.as_bytes()).unwrap();
        assert_eq!((read.public_key(), read.scheme()), (&key, Scheme::Ed25519));
        assert_eq!(read.verify(), Err(CsrError::Key(KeyError::BadSignature)));
    }
}
