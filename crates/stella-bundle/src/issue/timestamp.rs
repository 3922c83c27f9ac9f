//! RFC 3161 timestamps to be signed: TSTInfo, the signed attributes over it, the token and the answer around it.
//!
//! The profile is the one that every released client accepts: whole seconds, issuer and serial number as signer
//! identifier, ESSCertIDv2, the key's own hash, accuracy one second. Whether a request is granted is decided by `stella_server::tsa`.

use const_oid::ObjectIdentifier;

use super::{IssueError, signature_algorithm};
use crate::asn1::{self, Asn1Error, tag};
use crate::cms::{CONTENT_TYPE, MESSAGE_DIGEST, SIGNED_DATA, SIGNING_TIME, digest_oid};
use crate::digest::DigestAlgorithm;
use crate::key::KeyDetails;
use crate::time::UnixTime;
use crate::timestamp::{SIGNING_CERTIFICATE_V2, TST_INFO};

/// What is certified: these bytes existed at this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampInfo {
    /// Under which policy.
    pub policy: ObjectIdentifier,
    /// MessageImprint in DER, copied from the request.
    pub imprint: Vec<u8>,
    /// Unique number, big-endian magnitude.
    pub serial: [u8; 16],
    /// When; the fraction of a second is dropped, because sigstore-js refuses most of them.
    pub time: UnixTime,
    /// Echo of the request's nonce, big-endian magnitude.
    pub nonce: Option<Vec<u8>>,
}

impl TimestampInfo {
    /// Returns TSTInfo in DER (RFC 3161 §2.4.2).
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let accuracy_one_second = asn1::sequence(&[&asn1::small(1)]);
        let nonce = self
            .nonce
            .as_deref()
            .map(asn1::unsigned)
            .unwrap_or_default();
        asn1::sequence(&[
            &asn1::small(1),
            &asn1::oid(&self.policy),
            &self.imprint,
            &asn1::unsigned(&self.serial),
            &asn1::generalized_time(self.time),
            &accuracy_one_second,
            &nonce,
        ])
    }
}

/// A timestamp before its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampTemplate {
    info: Vec<u8>,
    attributes: Vec<u8>,
    signer: Vec<u8>,
    hash: DigestAlgorithm,
    algorithm: Vec<u8>,
}

impl TimestampTemplate {
    /// Lays out what the authority whose certificate is `certificate` (DER) signs with a key of `details`.
    ///
    /// # Errors
    /// `CertificateMalformed`, `UnsupportedSignature`.
    pub fn new(
        info: &TimestampInfo,
        certificate: &[u8],
        details: KeyDetails,
    ) -> Result<Self, IssueError> {
        let content = info.to_der();
        let signer = issuer_and_serial(certificate).map_err(IssueError::CertificateMalformed)?;
        // spec: RFC 5652 §5.4: the signed attributes are hashed as the content is, so that is the signature's hash.
        let hash = details.hash();
        let hash = hash.ok_or(IssueError::UnsupportedSignature(details))?;
        let attributes = signed_attributes(&content, hash, info.time, certificate);
        Ok(Self {
            info: content,
            attributes,
            signer,
            hash,
            algorithm: signature_algorithm(details)?,
        })
    }

    /// Returns what is signed: the signed attributes as a SET (RFC 5652 §5.4).
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        &self.attributes
    }

    /// Returns the token (ContentInfo with SignedData), with the certificates to send along, each in DER.
    #[must_use]
    pub fn assemble(&self, signature: &[u8], certificates: &[Vec<u8>]) -> Vec<u8> {
        let hash = asn1::sequence(&[&asn1::oid(&digest_oid(self.hash))]);
        let content = asn1::explicit(0, &asn1::octet_string(&self.info));
        // spec: RFC 5652 §5.3: [0] IMPLICIT inside, SET when signed: only the tag differs.
        let mut attributes = self.attributes.clone();
        if let Some(first) = attributes.first_mut() {
            *first = tag::context(0);
        }
        let signer = asn1::sequence(&[
            &asn1::small(1),
            &self.signer,
            &hash,
            &attributes,
            &self.algorithm,
            &asn1::octet_string(signature),
        ]);
        let certificates = match certificates {
            [] => Vec::new(),
            some => {
                let mut sorted = some.to_vec();
                sorted.sort();
                asn1::tlv(tag::context(0), &sorted.concat())
            }
        };
        let signed_data = asn1::sequence(&[
            &asn1::small(3),
            &asn1::set_of(vec![hash.clone()]),
            &asn1::sequence(&[&asn1::oid(&TST_INFO), &content]),
            &certificates,
            &asn1::set_of(vec![signer]),
        ]);
        asn1::sequence(&[&asn1::oid(&SIGNED_DATA), &asn1::explicit(0, &signed_data)])
    }
}

/// Returns the answer that grants: TimeStampResp with status 0 (RFC 3161 §2.4.2).
#[must_use]
pub fn granted(token: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::sequence(&[&asn1::small(0)]), token])
}

/// Why a request is refused (RFC 3161 §2.4.2, PKIFailureInfo); the number is the bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimestampFailure {
    /// The hash algorithm is not accepted.
    BadAlg = 0,
    /// The request is not permitted or supported.
    BadRequest = 2,
    /// The request has the wrong form.
    BadDataFormat = 5,
    /// The clock is not to be trusted now.
    TimeNotAvailable = 14,
    /// The policy is not one of this authority.
    UnacceptedPolicy = 15,
    /// An extension is not supported.
    UnacceptedExtension = 16,
    /// The service failed.
    SystemFailure = 25,
}

/// Returns the answer that refuses: TimeStampResp with status 2 (rejection) and the reason.
#[must_use]
pub fn rejected(failure: TimestampFailure) -> Vec<u8> {
    let bit = failure as usize;
    let mut bits = vec![0_u8; bit / 8 + 2];
    // spec: X.690 §11.2.2: a named bit list ends with its last one bit; the first octet counts the unused bits.
    bits[0] = u8::try_from(7 - bit % 8).unwrap_or(0);
    bits[bit / 8 + 1] = 0x80 >> (bit % 8);
    asn1::sequence(&[&asn1::sequence(&[
        &asn1::small(2),
        &asn1::tlv(tag::BIT_STRING, &bits),
    ])])
}

/// Returns MessageImprint in DER for a request that came without one (the JSON form).
#[must_use]
pub fn message_imprint(algorithm: DigestAlgorithm, digest: &[u8]) -> Vec<u8> {
    let algorithm = asn1::sequence(&[&asn1::oid(&digest_oid(algorithm)), &asn1::null()]);
    asn1::sequence(&[&algorithm, &asn1::octet_string(digest)])
}

/// contentType, messageDigest, signingTime and signingCertificateV2 (RFC 5652 §11, RFC 5035 §3).
fn signed_attributes(
    content: &[u8],
    hash: DigestAlgorithm,
    time: UnixTime,
    certificate: &[u8],
) -> Vec<u8> {
    let attribute = |kind: &ObjectIdentifier, value: Vec<u8>| {
        asn1::sequence(&[&asn1::oid(kind), &asn1::set_of(vec![value])])
    };
    let digest = hash.digest(content);
    let hash_of_certificate = DigestAlgorithm::Sha256.digest(certificate);
    // spec: RFC 5035 §4: SHA-256 is the default and is left out.
    let ess_cert_id = asn1::sequence(&[&asn1::octet_string(hash_of_certificate.bytes())]);
    let signing_certificate = asn1::sequence(&[&asn1::sequence(&[&ess_cert_id])]);
    asn1::set_of(vec![
        attribute(&CONTENT_TYPE, asn1::oid(&TST_INFO)),
        attribute(&MESSAGE_DIGEST, asn1::octet_string(digest.bytes())),
        attribute(&SIGNING_TIME, asn1::x509_time(time)),
        attribute(&SIGNING_CERTIFICATE_V2, signing_certificate),
    ])
}

/// Reads IssuerAndSerialNumber (RFC 5652 §10.2.4) off a certificate.
fn issuer_and_serial(certificate: &[u8]) -> Result<Vec<u8>, Asn1Error> {
    let mut tbs = asn1::only_sequence(certificate)?.sequence()?;
    tbs.optional(tag::context(0))?;
    let serial = tbs.expect(tag::INTEGER)?;
    tbs.sequence()?;
    let issuer = tbs.expect(tag::SEQUENCE)?;
    Ok(asn1::sequence(&[issuer.raw, serial.raw]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_bit() {
        // openssl prints these as "Failure info: unrecognized or unsupported hash algorithm" and so on.
        assert_eq!(
            rejected(TimestampFailure::BadAlg)[7..],
            [0x03, 0x02, 0x07, 0x80]
        );
        assert_eq!(
            rejected(TimestampFailure::UnacceptedPolicy)[7..],
            [0x03, 0x03, 0x00, 0x00, 0x01]
        );
    }

    #[test]
    fn the_time_has_no_fraction() {
        let info = TimestampInfo {
            policy: ObjectIdentifier::new_unwrap("1.2.3"),
            imprint: message_imprint(DigestAlgorithm::Sha256, &[0; 32]),
            serial: [1; 16],
            time: UnixTime::from_millis(1_700_000_000_999),
            nonce: None,
        };
        let text = b"20231114221320Z";
        assert!(
            info.to_der()
                .windows(text.len())
                .any(|window| window == text)
        );
    }
}
