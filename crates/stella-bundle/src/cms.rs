//! CMS signed data (RFC 5652) with one signer: the frame of timestamp tokens and of detached PKCS#7 signatures.
//!
//! What must stand in the frame, and whose signature counts, is said in [`crate::timestamp`] and in stella-foreign.

use const_oid::ObjectIdentifier;

use crate::asn1::{self, Asn1Error, Reader, Tlv, tag};
use crate::certificate::Certificate;
use crate::digest::DigestAlgorithm;
use crate::key::{KeyError, RSA_ENCRYPTION, Scheme};

/// More certificates inside signed data than this are not looked at.
pub const MAX_CERTIFICATES: usize = 10;

/// id-data (RFC 5652 §4).
pub const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// id-signedData (RFC 5652 §5.1).
pub const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// id-contentType (RFC 5652 §11.1).
pub const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// id-messageDigest (RFC 5652 §11.2).
pub const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// id-signingTime (RFC 5652 §11.3).
pub const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// The ways in which bytes are not signed data by one signer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CmsError {
    /// The bytes are not DER of the right shape.
    #[error("signed data is not DER: {0}")]
    Asn1(#[from] Asn1Error),
    /// Another number of signers than one.
    #[error("signed data has {found} signers, expected 1")]
    SignerCount {
        /// How many.
        found: usize,
    },
    /// A hash or signature algorithm is none that is supported.
    #[error("signed data uses the unsupported algorithm {algorithm}")]
    UnsupportedAlgorithm {
        /// Its OID.
        algorithm: ObjectIdentifier,
    },
    /// The content type is not signed data.
    #[error("not CMS signed data")]
    WrongContent,
}

/// How signed data names its signer's certificate (RFC 5652 §5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerId {
    /// Issuer's name in DER and the serial number's content octets.
    IssuerAndSerial(Vec<u8>, Vec<u8>),
    /// subjectKeyIdentifier.
    KeyId(Vec<u8>),
}

impl SignerId {
    /// Says whether this names `certificate`.
    pub fn names(&self, certificate: &Certificate) -> bool {
        match self {
            Self::IssuerAndSerial(issuer, serial) => {
                certificate.issuer() == issuer && certificate.serial() == serial
            }
            Self::KeyId(id) => certificate.subject_key_id() == Some(id),
        }
    }
}

/// Signed data by one signer, unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedData<'a> {
    /// What the content is.
    pub content_type: ObjectIdentifier,
    /// The content's octets; none where the signature is detached.
    pub content: Option<&'a [u8]>,
    /// The certificates beside it, in DER as they came.
    pub certificates: Vec<&'a [u8]>,
    /// The only signer.
    pub signer: SignerInfo,
}

impl<'a> SignedData<'a> {
    /// Reads a ContentInfo that holds signed data.
    ///
    /// # Errors
    /// Any [`CmsError`].
    pub fn parse(content_info: Tlv<'a>) -> Result<Self, CmsError> {
        let mut fields = content_info.reader();
        if fields.expect(tag::OID)?.to_oid()? != SIGNED_DATA {
            return Err(CmsError::WrongContent);
        }
        let wrapper = fields.expect(tag::context(0))?;
        fields.finish()?;

        // spec: RFC 5652 §5.1 SignedData.
        let mut data = asn1::only_sequence(wrapper.content)?;
        data.expect(tag::INTEGER)?;
        data.expect(tag::SET)?;
        let (content_type, content) = read_encapsulated(&mut data)?;
        let certificates = match data.optional(tag::context(0))? {
            Some(set) => read_certificates(set)?,
            None => Vec::new(),
        };
        data.optional(tag::context(1))?; // revocation lists: not used
        let mut signers = data.expect(tag::SET)?.reader();
        data.finish()?;
        let signer = signers.expect(tag::SEQUENCE)?;
        if !signers.is_empty() {
            return Err(CmsError::SignerCount { found: 2 });
        }
        Ok(Self {
            content_type,
            content,
            certificates,
            signer: SignerInfo::parse(signer)?,
        })
    }
}

/// What one signer signed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerInfo {
    /// Who.
    pub id: SignerId,
    /// The hash over the content.
    pub digest: DigestAlgorithm,
    /// DER of the signed attributes with the tag of a SET, as they are signed; none where the content itself is.
    pub signed_attributes: Option<Vec<u8>>,
    /// The signature's scheme.
    pub scheme: Scheme,
    /// The signature.
    pub signature: Vec<u8>,
}

impl SignerInfo {
    /// Reads SignerInfo (RFC 5652 §5.3).
    fn parse(element: Tlv<'_>) -> Result<Self, CmsError> {
        let mut fields = element.reader();
        fields.expect(tag::INTEGER)?;
        let id = match fields.optional(tag::context_primitive(0))? {
            Some(key_id) => SignerId::KeyId(key_id.content.to_vec()),
            None => {
                let mut pair = fields.sequence()?;
                let issuer = pair.expect(tag::SEQUENCE)?.raw.to_vec();
                let serial = pair.expect(tag::INTEGER)?.content.to_vec();
                pair.finish()?;
                SignerId::IssuerAndSerial(issuer, serial)
            }
        };
        let digest = read_digest_algorithm(fields.expect(tag::SEQUENCE)?)?;
        let attributes = fields.optional(tag::context(0))?;
        let scheme = read_scheme(fields.expect(tag::SEQUENCE)?, digest)?;
        let signature = fields.expect(tag::OCTET_STRING)?.content.to_vec();
        fields.optional(tag::context(1))?; // unsigned attributes
        fields.finish()?;
        // spec: RFC 5652 §5.4: what is signed has the tag of a SET in place of [0].
        let signed_attributes = attributes.map(|found| asn1::tlv(tag::SET, found.content));
        Ok(Self {
            id,
            digest,
            signed_attributes,
            scheme,
            signature,
        })
    }
}

/// Finds the only value of each signed attribute; one that stands twice is as good as missing.
///
/// # Errors
/// The bytes are not a SET OF Attribute.
pub fn attributes<'a, const N: usize>(
    signed_attributes: &'a [u8],
    wanted: [&ObjectIdentifier; N],
) -> Result<[Option<Tlv<'a>>; N], Asn1Error> {
    let mut list = Reader::new(signed_attributes).expect(tag::SET)?.reader();
    let mut values = [None; N];
    let mut seen = [false; N];
    while !list.is_empty() {
        let mut attribute = list.sequence()?;
        let id = attribute.expect(tag::OID)?.content;
        let mut held = attribute.expect(tag::SET)?.reader();
        let value = held.tlv()?;
        if let Some(at) = wanted.iter().position(|each| each.as_bytes() == id) {
            let is_only = held.is_empty() && !seen[at];
            values[at] = is_only.then_some(value);
            seen[at] = true;
        }
    }
    Ok(values)
}

/// Reads the AlgorithmIdentifier of a hash; SHA-1 and weaker are not in the family.
///
/// # Errors
/// `Asn1`, `UnsupportedAlgorithm`.
pub fn read_digest_algorithm(element: Tlv<'_>) -> Result<DigestAlgorithm, CmsError> {
    match element.reader().tlv()?.to_oid()? {
        SHA256 => Ok(DigestAlgorithm::Sha256),
        SHA384 => Ok(DigestAlgorithm::Sha384),
        SHA512 => Ok(DigestAlgorithm::Sha512),
        algorithm => Err(CmsError::UnsupportedAlgorithm { algorithm }),
    }
}

/// Returns the OID of a hash (RFC 5754).
pub const fn digest_oid(algorithm: DigestAlgorithm) -> ObjectIdentifier {
    match algorithm {
        DigestAlgorithm::Sha256 => SHA256,
        DigestAlgorithm::Sha384 => SHA384,
        DigestAlgorithm::Sha512 => SHA512,
    }
}

/// Reads EncapsulatedContentInfo (RFC 5652 §5.2).
fn read_encapsulated<'a>(
    data: &mut Reader<'a>,
) -> Result<(ObjectIdentifier, Option<&'a [u8]>), CmsError> {
    let mut encapsulated = data.sequence()?;
    let content_type = encapsulated.expect(tag::OID)?.to_oid()?;
    let wrapper = encapsulated.optional(tag::context(0))?;
    encapsulated.finish()?;
    let Some(wrapper) = wrapper else {
        return Ok((content_type, None));
    };
    let mut wrapper = wrapper.reader();
    let content = wrapper.expect(tag::OCTET_STRING)?.content;
    wrapper.finish()?;
    Ok((content_type, Some(content)))
}

/// Takes the certificates beside the signature, unread.
fn read_certificates(set: Tlv<'_>) -> Result<Vec<&[u8]>, CmsError> {
    let mut list = set.reader();
    let mut certificates = Vec::new();
    while !list.is_empty() && certificates.len() < MAX_CERTIFICATES {
        certificates.push(list.tlv()?.raw);
    }
    Ok(certificates)
}

/// Reads a signature algorithm; `rsaEncryption` leaves the hash to the digest algorithm (RFC 3370 §3.2).
fn read_scheme(element: Tlv<'_>, digest: DigestAlgorithm) -> Result<Scheme, CmsError> {
    let algorithm = element.reader().tlv()?.to_oid()?;
    if algorithm == RSA_ENCRYPTION {
        return Ok(Scheme::RsaPkcs1(digest));
    }
    match Scheme::from_algorithm_identifier(element) {
        Ok(scheme) => Ok(scheme),
        Err(KeyError::Asn1(error)) => Err(error.into()),
        Err(_) => Err(CmsError::UnsupportedAlgorithm { algorithm }),
    }
}
