//! RFC 3161 timestamps: the response, the token, what it says and whether its signer signed it.
//!
//! Which authority the signer belongs to is decided in [`crate::verify`]; tokens are made in [`crate::issue`].

use const_oid::ObjectIdentifier;

use crate::asn1::{self, Asn1Error, Reader, Tlv, tag};
use crate::certificate::Certificate;
use crate::digest::{Digest, DigestAlgorithm};
use crate::key::{KeyError, Scheme, sha256};
use crate::time::UnixTime;

/// Tokens larger than this are refused; with a whole chain they have about 6 KiB.
pub const MAX_TIMESTAMP: usize = 64 * 1024;
/// More certificates inside a token than this are not looked at.
const MAX_CERTIFICATES: usize = 10;

/// id-signedData (RFC 5652 §5.1).
pub const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// id-ct-TSTInfo (RFC 3161 §2.4.2).
pub const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// id-contentType (RFC 5652 §11.1).
pub const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// id-messageDigest (RFC 5652 §11.2).
pub const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// id-signingTime (RFC 5652 §11.3).
pub const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
/// id-aa-signingCertificate (RFC 2634 §5.4).
pub const SIGNING_CERTIFICATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
/// id-aa-signingCertificateV2 (RFC 5035 §3).
pub const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const RSA_ENCRYPTION: ObjectIdentifier = crate::key::RSA_ENCRYPTION;

/// The ways in which a timestamp is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// The bytes are not DER of the right shape.
    #[error("timestamp is not DER: {0}")]
    Asn1(#[from] Asn1Error),
    /// The signature does not verify with the authority's key.
    #[error("timestamp signature does not verify")]
    BadSignature,
    /// genTime is not a time of RFC 3161.
    #[error("timestamp has a malformed genTime")]
    GenTime,
    /// The imprint is of another message.
    #[error("timestamp is over another message")]
    ImprintMismatch,
    /// A signed attribute is missing, doubled or names something else.
    #[error("timestamp's signed attribute {attribute} is missing or wrong")]
    SignedAttribute {
        /// Which.
        attribute: SignedAttribute,
    },
    /// The response says that no timestamp was granted.
    #[error("timestamp was not granted: status {status}")]
    NotGranted {
        /// PKIStatus.
        status: u64,
    },
    /// The token has another number of signers than one (RFC 3161 §2.4.2).
    #[error("timestamp has {found} signers, expected 1")]
    SignerCount {
        /// How many.
        found: usize,
    },
    /// The response is larger than [`MAX_TIMESTAMP`].
    #[error("timestamp is larger than any honest one")]
    TooLarge,
    /// A hash or signature algorithm is none that is supported.
    #[error("timestamp uses the unsupported algorithm {algorithm}")]
    UnsupportedAlgorithm {
        /// Its OID.
        algorithm: ObjectIdentifier,
    },
    /// Its version or content type is another.
    #[error("not a timestamp token")]
    WrongContent,
}

/// Signed attributes that a token must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the attributes")]
pub enum SignedAttribute {
    ContentType,
    MessageDigest,
    SigningCertificate,
}

impl std::fmt::Display for SignedAttribute {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::ContentType => "contentType",
            Self::MessageDigest => "messageDigest",
            Self::SigningCertificate => "signingCertificate",
        })
    }
}

/// How a token names its signer's certificate (RFC 5652 §5.3).
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

/// A parsed token. It is well-formed and complete; its signature is checked by [`SignedTimestamp::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTimestamp {
    /// Digest of the stamped message.
    pub imprint: Digest,
    /// When.
    pub time: UnixTime,
    /// The nonce's magnitude, when the request had one.
    pub nonce: Option<Vec<u8>>,
    /// The authority's serial number of this token, content octets.
    pub serial: Vec<u8>,
    /// Who signed.
    pub signer: SignerId,
    /// Certificates that the token carries, in DER as they came.
    pub certificates: Vec<Vec<u8>>,
    tst_info: Vec<u8>,
    /// DER of the signed attributes with the tag of a SET, as they are signed.
    signed_attributes: Vec<u8>,
    digest: DigestAlgorithm,
    scheme: TokenScheme,
    signature: Vec<u8>,
}

/// The token's signature algorithm; `rsaEncryption` leaves the hash to the digest algorithm (RFC 3370 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenScheme {
    Named(Scheme),
    RsaOverDigest,
}

impl SignedTimestamp {
    /// Reads a TimeStampResp whose status is granted.
    ///
    /// # Errors
    /// Any [`TimestampError`] but `BadSignature` and `ImprintMismatch`.
    pub fn parse(response: &[u8]) -> Result<Self, TimestampError> {
        if response.len() > MAX_TIMESTAMP {
            return Err(TimestampError::TooLarge);
        }
        // spec: RFC 3161 §2.4.2: TimeStampResp ::= SEQUENCE { status PKIStatusInfo, timeStampToken OPTIONAL }
        let mut outer = asn1::only_sequence(response)?;
        let status = outer.sequence()?.tlv()?.to_u64()?;
        // 0 granted, 1 grantedWithMods.
        if status > 1 {
            return Err(TimestampError::NotGranted { status });
        }
        let token = outer.expect(tag::SEQUENCE)?;
        outer.finish()?;
        Self::parse_token(token)
    }

    fn parse_token(token: Tlv<'_>) -> Result<Self, TimestampError> {
        let mut content_info = token.reader();
        require_oid(&mut content_info, &SIGNED_DATA)?;
        let wrapper = content_info.expect(tag::context(0))?;
        content_info.finish()?;

        // spec: RFC 5652 §5.1 SignedData.
        let mut data = asn1::only_sequence(wrapper.content)?;
        data.expect(tag::INTEGER)?;
        data.expect(tag::SET)?;
        let tst_info = read_encapsulated(&mut data)?;
        let certificates = match data.optional(tag::context(0))? {
            Some(set) => read_certificates(set)?,
            None => Vec::new(),
        };
        data.optional(tag::context(1))?; // revocation lists: not used
        let mut signers = data.expect(tag::SET)?.reader();
        data.finish()?;
        let signer = signers.expect(tag::SEQUENCE)?;
        if !signers.is_empty() {
            return Err(TimestampError::SignerCount { found: 2 });
        }
        let info = TstInfo::parse(tst_info)?;
        let signer = SignerInfo::parse(signer)?;
        Ok(Self {
            imprint: info.imprint,
            time: info.time,
            nonce: info.nonce,
            serial: info.serial,
            signer: signer.id,
            certificates,
            tst_info: tst_info.to_vec(),
            signed_attributes: signer.signed_attributes,
            digest: signer.digest,
            scheme: signer.scheme,
            signature: signer.signature,
        })
    }

    /// Parses the certificates that the token carries. They are only candidates that nobody trusts yet: one that this
    /// crate cannot read is left out.
    pub fn carried(&self) -> Vec<Certificate> {
        let parse = |der: &Vec<u8>| Certificate::parse(der).ok();
        self.certificates.iter().filter_map(parse).collect()
    }

    /// Requires that the token stamps `message`.
    ///
    /// # Errors
    /// `ImprintMismatch`.
    pub fn require_message(&self, message: &[u8]) -> Result<(), TimestampError> {
        if self.imprint.algorithm().digest(message) == self.imprint {
            return Ok(());
        }
        Err(TimestampError::ImprintMismatch)
    }

    /// Verifies that `signer` signed this token and that the token says so.
    ///
    /// # Errors
    /// `SignedAttribute`, `UnsupportedAlgorithm`, `BadSignature`.
    pub fn verify(&self, signer: &Certificate) -> Result<(), TimestampError> {
        self.require_attributes(signer)?;
        let scheme = match self.scheme {
            TokenScheme::Named(scheme) => scheme,
            TokenScheme::RsaOverDigest => Scheme::RsaPkcs1(self.digest),
        };
        signer
            .public_key()
            .verify_with(scheme, &self.signed_attributes, &self.signature)
            .map_err(|_| TimestampError::BadSignature)
    }

    fn require_attributes(&self, signer: &Certificate) -> Result<(), TimestampError> {
        let missing = |attribute| TimestampError::SignedAttribute { attribute };
        let [content_type, digest, v2, v1] = self.attributes([
            &CONTENT_TYPE,
            &MESSAGE_DIGEST,
            &SIGNING_CERTIFICATE_V2,
            &SIGNING_CERTIFICATE,
        ])?;
        if content_type.and_then(|value| value.to_oid().ok()) != Some(TST_INFO) {
            return Err(missing(SignedAttribute::ContentType));
        }
        let digest = digest.filter(|value| value.tag == tag::OCTET_STRING);
        if digest.map(|value| value.content) != Some(self.digest.digest(&self.tst_info).bytes()) {
            return Err(missing(SignedAttribute::MessageDigest));
        }
        // spec: RFC 3161 §2.4.2 and RFC 5816 §2.2.1: the token names its signer's certificate by hash.
        let named = match (v2, v1) {
            (Some(value), _) => names_certificate_v2(value, signer)?,
            (None, Some(value)) => names_certificate_v1(value, signer)?,
            (None, None) => false,
        };
        if named {
            Ok(())
        } else {
            Err(missing(SignedAttribute::SigningCertificate))
        }
    }

    /// Finds the only value of each signed attribute; one that stands twice is as good as missing.
    fn attributes<const N: usize>(
        &self,
        wanted: [&ObjectIdentifier; N],
    ) -> Result<[Option<Tlv<'_>>; N], Asn1Error> {
        let mut list = Reader::new(&self.signed_attributes)
            .expect(tag::SET)?
            .reader();
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
}

struct TstInfo {
    imprint: Digest,
    serial: Vec<u8>,
    time: UnixTime,
    nonce: Option<Vec<u8>>,
}

impl TstInfo {
    /// Reads TSTInfo (RFC 3161 §2.4.2).
    fn parse(bytes: &[u8]) -> Result<Self, TimestampError> {
        let mut fields = asn1::only_sequence(bytes)?;
        if fields.tlv()?.to_u64()? != 1 {
            return Err(TimestampError::WrongContent);
        }
        fields.expect(tag::OID)?; // policy
        let mut imprint = fields.sequence()?;
        let algorithm = read_digest_algorithm(imprint.expect(tag::SEQUENCE)?)?;
        let hash = imprint.expect(tag::OCTET_STRING)?.content;
        imprint.finish()?;
        let imprint = Digest::new(algorithm, hash).ok_or(TimestampError::ImprintMismatch)?;
        let serial = fields.expect(tag::INTEGER)?.content.to_vec();
        let time = read_gen_time(fields.expect(tag::GENERALIZED_TIME)?.content)?;
        fields.optional(tag::SEQUENCE)?; // accuracy
        fields.optional(tag::BOOLEAN)?; // ordering
        let nonce = fields
            .optional(tag::INTEGER)?
            .map(|nonce| nonce.content.to_vec());
        fields.optional(tag::context(0))?; // tsa
        fields.optional(tag::context(1))?; // extensions
        fields.finish()?;
        Ok(Self {
            imprint,
            serial,
            time,
            nonce,
        })
    }
}

struct SignerInfo {
    id: SignerId,
    digest: DigestAlgorithm,
    signed_attributes: Vec<u8>,
    scheme: TokenScheme,
    signature: Vec<u8>,
}

impl SignerInfo {
    /// Reads SignerInfo (RFC 5652 §5.3).
    fn parse(element: Tlv<'_>) -> Result<Self, TimestampError> {
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
        let attributes = fields.expect(tag::context(0))?;
        let scheme = read_scheme(fields.expect(tag::SEQUENCE)?)?;
        let signature = fields.expect(tag::OCTET_STRING)?.content.to_vec();
        fields.optional(tag::context(1))?; // unsigned attributes
        fields.finish()?;
        // spec: RFC 5652 §5.4: what is signed has the tag of a SET in place of [0].
        let signed_attributes = asn1::tlv(tag::SET, attributes.content);
        Ok(Self {
            id,
            digest,
            signed_attributes,
            scheme,
            signature,
        })
    }
}

fn require_oid(reader: &mut Reader<'_>, wanted: &ObjectIdentifier) -> Result<(), TimestampError> {
    if reader.expect(tag::OID)?.content == wanted.as_bytes() {
        return Ok(());
    }
    Err(TimestampError::WrongContent)
}

fn read_encapsulated<'a>(data: &mut Reader<'a>) -> Result<&'a [u8], TimestampError> {
    let mut encapsulated = data.sequence()?;
    require_oid(&mut encapsulated, &TST_INFO)?;
    let mut wrapper = encapsulated.expect(tag::context(0))?.reader();
    encapsulated.finish()?;
    let content = wrapper.expect(tag::OCTET_STRING)?.content;
    wrapper.finish()?;
    Ok(content)
}

/// Takes the certificates beside the token, unread.
fn read_certificates(set: Tlv<'_>) -> Result<Vec<Vec<u8>>, TimestampError> {
    let mut list = set.reader();
    let mut certificates = Vec::new();
    while !list.is_empty() && certificates.len() < MAX_CERTIFICATES {
        certificates.push(list.tlv()?.raw.to_vec());
    }
    Ok(certificates)
}

fn read_scheme(element: Tlv<'_>) -> Result<TokenScheme, TimestampError> {
    let algorithm = element.reader().tlv()?.to_oid()?;
    if algorithm == RSA_ENCRYPTION {
        return Ok(TokenScheme::RsaOverDigest);
    }
    match Scheme::from_algorithm_identifier(element) {
        Ok(scheme) => Ok(TokenScheme::Named(scheme)),
        Err(KeyError::Asn1(error)) => Err(error.into()),
        Err(_) => Err(TimestampError::UnsupportedAlgorithm { algorithm }),
    }
}

/// Reads the AlgorithmIdentifier of a hash; SHA-1 and weaker are not in the family.
pub fn read_digest_algorithm(element: Tlv<'_>) -> Result<DigestAlgorithm, TimestampError> {
    match element.reader().tlv()?.to_oid()? {
        SHA256 => Ok(DigestAlgorithm::Sha256),
        SHA384 => Ok(DigestAlgorithm::Sha384),
        SHA512 => Ok(DigestAlgorithm::Sha512),
        algorithm => Err(TimestampError::UnsupportedAlgorithm { algorithm }),
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

/// Reads `YYYYMMDDhhmmss[.f…]Z` (RFC 3161 §2.4.2: no trailing zeros, no empty fraction).
fn read_gen_time(content: &[u8]) -> Result<UnixTime, TimestampError> {
    let malformed = TimestampError::GenTime;
    let Some((b'Z', text)) = content.split_last() else {
        return Err(malformed);
    };
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&text[..dot], Some(&text[dot + 1..])),
        None => (text, None),
    };
    let (year, rest) = whole.split_at_checked(4).ok_or(malformed.clone())?;
    let year = asn1::decimal(year).ok_or(malformed.clone())?;
    let time = asn1::civil_time(year, rest).ok_or(malformed.clone())?;
    let Some(fraction) = fraction else {
        return Ok(time);
    };
    let well_formed = (1..=9).contains(&fraction.len())
        && fraction.iter().all(u8::is_ascii_digit)
        && fraction.last() != Some(&b'0');
    if !well_formed {
        return Err(malformed);
    }
    let mut micros = [b'0'; 6];
    let kept = fraction.len().min(6);
    micros[..kept].copy_from_slice(&fraction[..kept]);
    let micros = asn1::decimal(&micros).ok_or(malformed)?;
    Ok(UnixTime::from_micros(time.micros() + micros))
}

/// Says whether the first ESSCertIDv2 is the hash of `certificate` (RFC 5035 §4).
fn names_certificate_v2(value: Tlv<'_>, certificate: &Certificate) -> Result<bool, TimestampError> {
    let mut id = value.reader().sequence()?.sequence()?;
    let algorithm = match id.optional(tag::SEQUENCE)? {
        Some(element) => read_digest_algorithm(element)?,
        None => DigestAlgorithm::Sha256,
    };
    let hash = id.expect(tag::OCTET_STRING)?.content;
    Ok(match algorithm {
        DigestAlgorithm::Sha256 => certificate.fingerprint() == hash,
        other => other.digest(certificate.der()).bytes() == hash,
    })
}

/// Says whether the first ESSCertID is the SHA-1 of `certificate` (RFC 2634 §5.4.1).
fn names_certificate_v1(value: Tlv<'_>, certificate: &Certificate) -> Result<bool, TimestampError> {
    let mut id = value.reader().sequence()?.sequence()?;
    let hash = id.expect(tag::OCTET_STRING)?.content;
    let sha1 = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
    Ok(aws_lc_rs::digest::digest(sha1, certificate.der()).as_ref() == hash)
}

/// Returns a short name of a token for reports: the first bytes of its hash.
pub fn short_name(response: &[u8]) -> String {
    hex::encode(&sha256(response)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gen_time_is_read_with_and_without_fraction() {
        let whole = UnixTime::from_civil(2025, 5, 6, 7, 8, 9);
        assert_eq!(read_gen_time(b"20250506070809Z").ok(), whole);
        let micros = whole.map(|time| UnixTime::from_micros(time.micros() + 120_000));
        assert_eq!(read_gen_time(b"20250506070809.12Z").ok(), micros);
    }

    #[test]
    fn gen_time_of_another_form_is_refused() {
        let forms: [&[u8]; 6] = [
            b"20250506070809.Z",
            b"20250506070809.10Z",
            b"20250506070809",
            b"202505060708Z",
            b"20250506070860Z",
            b"20250506070809+0000",
        ];
        for form in forms {
            assert_eq!(
                read_gen_time(form),
                Err(TimestampError::GenTime),
                "{form:?}"
            );
        }
    }
}
