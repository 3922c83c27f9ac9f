//! RFC 3161 timestamps: the response, the token, what it says and whether its signer signed it.
//!
//! Which authority the signer belongs to is decided in [`crate::verify`]; tokens are made in [`crate::issue`].

use const_oid::ObjectIdentifier;

use crate::asn1::{self, Asn1Error, Tlv, tag};
use crate::certificate::Certificate;
use crate::cms::{
    self, CONTENT_TYPE, CmsError, MESSAGE_DIGEST, SignedData, SignerId, read_digest_algorithm,
};
use crate::digest::{Digest, DigestAlgorithm};
use crate::key::{Scheme, sha256};
use crate::time::UnixTime;

/// Tokens larger than this are refused; with a whole chain they have about 6 KiB.
pub const MAX_TIMESTAMP: usize = 64 * 1024;

/// id-ct-TSTInfo (RFC 3161 §2.4.2).
pub const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// id-aa-signingCertificate (RFC 2634 §5.4).
pub const SIGNING_CERTIFICATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
/// id-aa-signingCertificateV2 (RFC 5035 §3).
pub const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

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

impl From<CmsError> for TimestampError {
    fn from(error: CmsError) -> Self {
        match error {
            CmsError::Asn1(error) => error.into(),
            CmsError::SignerCount { found } => Self::SignerCount { found },
            CmsError::UnsupportedAlgorithm { algorithm } => {
                Self::UnsupportedAlgorithm { algorithm }
            }
            CmsError::WrongContent => Self::WrongContent,
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
    scheme: Scheme,
    signature: Vec<u8>,
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
        let data = SignedData::parse(token)?;
        let tst_info = data.content.filter(|_| data.content_type == TST_INFO);
        let tst_info = tst_info.ok_or(TimestampError::WrongContent)?;
        let missing = TimestampError::SignedAttribute {
            attribute: SignedAttribute::ContentType,
        };
        let info = TstInfo::parse(tst_info)?;
        let signer = data.signer;
        Ok(Self {
            imprint: info.imprint,
            time: info.time,
            nonce: info.nonce,
            serial: info.serial,
            signer: signer.id,
            certificates: data.certificates.into_iter().map(<[u8]>::to_vec).collect(),
            tst_info: tst_info.to_vec(),
            signed_attributes: signer.signed_attributes.ok_or(missing)?,
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
        signer
            .public_key()
            .verify_with(self.scheme, &self.signed_attributes, &self.signature)
            .map_err(|_| TimestampError::BadSignature)
    }

    fn require_attributes(&self, signer: &Certificate) -> Result<(), TimestampError> {
        let missing = |attribute| TimestampError::SignedAttribute { attribute };
        let wanted = [
            &CONTENT_TYPE,
            &MESSAGE_DIGEST,
            &SIGNING_CERTIFICATE_V2,
            &SIGNING_CERTIFICATE,
        ];
        let [content_type, digest, v2, v1] = cms::attributes(&self.signed_attributes, wanted)?;
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
