//! X.509 certificates as Sigstore uses them: fields, extensions, the claims that Fulcio writes.
//!
//! Parsing keeps the signed bytes as they came. Whether a certificate is *trusted* is decided in [`crate::chain`] and
//! [`crate::verify`].

mod claim;
mod extensions;

pub use claim::Claim;

use std::ops::Range;
use std::sync::OnceLock;

use const_oid::ObjectIdentifier;

use crate::asn1::{self, Asn1Error, Reader, tag};
use crate::key::{KeyError, PublicKey, Scheme, sha256};
use crate::memo::{Fact, Memo};
use crate::time::UnixTime;

/// Certificates larger than this are refused; Fulcio's are about 2 KiB.
pub const MAX_CERTIFICATE: usize = 64 * 1024;
/// More extensions than this are refused; Fulcio's certificates carry about 30.
const MAX_EXTENSIONS: usize = 100;

/// basicConstraints.
pub const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
/// keyUsage.
pub const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
/// extKeyUsage.
pub const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
/// subjectAltName.
pub const SUBJECT_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// subjectKeyIdentifier.
pub const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
/// authorityKeyIdentifier.
pub const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
/// nameConstraints.
pub const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
/// The list of embedded SCTs (RFC 6962 §3.3).
pub const SCT_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");
/// The poison of a precertificate (RFC 6962 §3.1).
pub const CT_POISON: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.3");
/// id-kp-codeSigning.
pub const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
/// id-kp-timeStamping.
pub const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
/// anyExtendedKeyUsage.
pub const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
/// The arc of Fulcio's claims; a claim's number follows.
pub const FULCIO_ARC: &str = "1.3.6.1.4.1.57264.1";
/// The user name inside an otherName (Fulcio `docs/oid-info.md`, .7).
pub const FULCIO_USERNAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");

/// The ways in which bytes are not a certificate of this field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The bytes are not DER of the right shape.
    #[error("certificate is not DER: {0}")]
    Asn1(#[from] Asn1Error),
    /// An extension stands twice (RFC 5280 §4.2).
    #[error("certificate extension {id} appears twice")]
    DuplicateExtension {
        /// Its OID in dotted form.
        id: String,
    },
    /// A name holds other characters than its type allows.
    #[error("certificate name of type {kind} is malformed")]
    MalformedName {
        /// The GeneralName's tag number.
        kind: u8,
    },
    /// The key is none that Sigstore uses.
    #[error("certificate key: {0}")]
    Key(#[from] KeyError),
    /// The signature algorithm inside differs from the one outside (RFC 5280 §4.1.1.2).
    #[error("certificate names two different signature algorithms")]
    SignatureAlgorithmMismatch,
    /// The certificate is larger than [`MAX_CERTIFICATE`].
    #[error("certificate of {length} bytes is larger than {MAX_CERTIFICATE}")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
    },
    /// It carries more extensions than any certificate of this field.
    #[error("certificate has more than {MAX_EXTENSIONS} extensions")]
    TooManyExtensions,
    /// The version is not 3.
    #[error("certificate is not of version 3")]
    Version,
}

/// A name in subjectAltName.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlternativeName {
    /// dNSName.
    Dns(String),
    /// rfc822Name.
    Email(String),
    /// A name of another type, by its tag number.
    Other(u8),
    /// uniformResourceIdentifier.
    Uri(String),
    /// Fulcio's user name in an otherName: `user!domain`.
    Username(String),
}

impl AlternativeName {
    /// Returns the text that an identity is compared with, none for types that name no Sigstore identity.
    pub fn identity(&self) -> Option<&str> {
        match self {
            Self::Email(text) | Self::Uri(text) | Self::Username(text) => Some(text),
            Self::Dns(_) | Self::Other(_) => None,
        }
    }
}

/// What keyUsage allows; only the bits that this field asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    /// Bit 0.
    pub digital_signature: bool,
    /// Bit 1, once called nonRepudiation.
    pub content_commitment: bool,
    /// Bit 5.
    pub certificate_sign: bool,
}

/// What basicConstraints says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// cA.
    pub is_ca: bool,
    /// pathLenConstraint.
    pub path_length: Option<u64>,
}

/// What extKeyUsage allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedKeyUsage {
    /// Whether the extension is critical.
    pub critical: bool,
    /// The purposes, as content octets of their OIDs.
    pub purposes: Vec<Vec<u8>>,
}

impl ExtendedKeyUsage {
    /// Says whether this purpose is listed.
    pub fn has(&self, purpose: &ObjectIdentifier) -> bool {
        self.purposes
            .iter()
            .any(|listed| listed == purpose.as_bytes())
    }
}

/// An extension as it stands in the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Content octets of its OID.
    pub id: &'a [u8],
    /// Whether a verifier that does not know it must refuse the certificate.
    pub critical: bool,
    /// What the OCTET STRING holds.
    pub value: &'a [u8],
}

/// Where an extension stands in the certificate's DER.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    id: Range<usize>,
    critical: bool,
    value: Range<usize>,
}

/// A parsed certificate. It is well-formed; that says nothing about trust.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    /// SHA-256 of `der`, once someone asked.
    fingerprint: OnceLock<[u8; 32]>,
    tbs: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    serial: Range<usize>,
    not_before: UnixTime,
    not_after: UnixTime,
    public_key: PublicKey,
    /// An anchor is trusted for its name and key: that its own signature is of a forgotten scheme does no harm.
    scheme: Result<Scheme, KeyError>,
    signature: Range<usize>,
    extensions: Vec<Place>,
    names: Vec<AlternativeName>,
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<ExtendedKeyUsage>,
}

impl PartialEq for Certificate {
    /// Everything else is read from these bytes.
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl Certificate {
    /// Reads one DER certificate.
    ///
    /// # Errors
    /// Any [`CertificateError`].
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE {
            return Err(CertificateError::TooLarge { length: der.len() });
        }
        let mut outer = asn1::only_sequence(der)?;
        let tbs = outer.expect(tag::SEQUENCE)?;
        let algorithm = outer.expect(tag::SEQUENCE)?;
        let signature = outer.expect(tag::BIT_STRING)?.to_octets_of_bit_string()?;
        outer.finish()?;

        let mut fields = tbs.reader();
        let version = fields
            .optional(tag::context(0))?
            .ok_or(CertificateError::Version)?;
        if version.reader().tlv()?.to_u64()? != 2 {
            return Err(CertificateError::Version);
        }
        let serial = fields.expect(tag::INTEGER)?.content;
        if fields.expect(tag::SEQUENCE)?.raw != algorithm.raw {
            return Err(CertificateError::SignatureAlgorithmMismatch);
        }
        let issuer = fields.expect(tag::SEQUENCE)?.raw;
        let mut validity = fields.sequence()?;
        let (not_before, not_after) = (validity.tlv()?.to_time()?, validity.tlv()?.to_time()?);
        validity.finish()?;
        let subject = fields.expect(tag::SEQUENCE)?.raw;
        let public_key = PublicKey::from_spki(fields.expect(tag::SEQUENCE)?.raw)?;
        // issuerUniqueID and subjectUniqueID: RFC 5280 §4.1.2.8 forbids them to conforming CAs.
        let extensions = match fields.optional(tag::context(3))? {
            Some(wrapper) => extensions::read_extensions(wrapper)?,
            None => Vec::new(),
        };
        fields.finish()?;

        let place = |part: &[u8]| {
            let start = part.as_ptr() as usize - der.as_ptr() as usize;
            start..start + part.len()
        };
        let find = |id: &ObjectIdentifier| extensions.iter().find(|each| each.id == id.as_bytes());
        Ok(Self {
            tbs: place(tbs.raw),
            issuer: place(issuer),
            subject: place(subject),
            serial: place(serial),
            not_before,
            not_after,
            public_key,
            scheme: Scheme::from_algorithm_identifier(algorithm),
            signature: place(signature),
            names: find(&SUBJECT_ALTERNATIVE_NAME)
                .map_or(Ok(Vec::new()), extensions::read_names)?,
            basic_constraints: find(&BASIC_CONSTRAINTS)
                .map(extensions::read_basic_constraints)
                .transpose()?,
            key_usage: find(&KEY_USAGE)
                .map(extensions::read_key_usage)
                .transpose()?,
            extended_key_usage: find(&EXTENDED_KEY_USAGE)
                .map(extensions::read_purposes)
                .transpose()?,
            extensions: extensions
                .iter()
                .map(|each| Place {
                    id: place(each.id),
                    critical: each.critical,
                    value: place(each.value),
                })
                .collect(),
            der: der.to_vec(),
            fingerprint: OnceLock::new(),
        })
    }

    /// Returns the DER bytes as they were given.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns SHA-256 of the DER bytes, 32 bytes.
    pub fn fingerprint(&self) -> &[u8; 32] {
        self.fingerprint.get_or_init(|| sha256(&self.der))
    }

    /// Returns the signed part, DER of TBSCertificate.
    pub fn to_be_signed(&self) -> &[u8] {
        &self.der[self.tbs.clone()]
    }

    /// Returns the DER of the issuer's name.
    pub fn issuer(&self) -> &[u8] {
        &self.der[self.issuer.clone()]
    }

    /// Returns the DER of the subject's name.
    pub fn subject(&self) -> &[u8] {
        &self.der[self.subject.clone()]
    }

    /// Returns the content octets of the serial number.
    pub fn serial(&self) -> &[u8] {
        &self.der[self.serial.clone()]
    }

    /// Returns the first moment of validity.
    pub const fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// Returns the last second of validity.
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Says whether `time` lies in the validity, both ends included.
    ///
    /// The last second counts to its end: notAfter has whole seconds, a timestamp may have a fraction.
    pub fn is_valid_at(&self, time: UnixTime) -> bool {
        self.not_before <= time && time.floor_seconds() <= self.not_after
    }

    /// Returns the certified key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Makes the certificate ready for many questions: its key for many signatures, its name, which is SHA-256 of its
    /// DER, for being looked up.
    pub(crate) fn prepared(mut self, fingerprint: [u8; 32]) -> Self {
        self.public_key.prepare();
        self.fingerprint = fingerprint.into();
        self
    }

    /// Returns the subjectAltName's entries in order.
    pub fn names(&self) -> &[AlternativeName] {
        &self.names
    }

    /// Returns basicConstraints.
    pub const fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.basic_constraints
    }

    /// Returns keyUsage.
    pub const fn key_usage(&self) -> Option<KeyUsage> {
        self.key_usage
    }

    /// Returns extKeyUsage.
    pub const fn extended_key_usage(&self) -> Option<&ExtendedKeyUsage> {
        self.extended_key_usage.as_ref()
    }

    /// Returns all extensions in order.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'_>> {
        self.extensions.iter().map(|place| Extension {
            id: &self.der[place.id.clone()],
            critical: place.critical,
            value: &self.der[place.value.clone()],
        })
    }

    /// Finds an extension.
    pub fn extension(&self, id: &ObjectIdentifier) -> Option<Extension<'_>> {
        self.extensions().find(|each| each.id == id.as_bytes())
    }

    /// Returns the dotted OID of a critical extension that this crate does not understand.
    pub fn unknown_critical_extension(&self) -> Option<String> {
        const KNOWN: [ObjectIdentifier; 7] = [
            BASIC_CONSTRAINTS,
            KEY_USAGE,
            EXTENDED_KEY_USAGE,
            SUBJECT_ALTERNATIVE_NAME,
            SUBJECT_KEY_IDENTIFIER,
            AUTHORITY_KEY_IDENTIFIER,
            NAME_CONSTRAINTS,
        ];
        let unknown = |each: &Extension<'_>| {
            each.critical && !KNOWN.iter().any(|known| each.id == known.as_bytes())
        };
        self.extensions().find(unknown).map(|each| dotted(each.id))
    }

    /// Returns the subjectKeyIdentifier's octets.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        let value = self.extension(&SUBJECT_KEY_IDENTIFIER)?.value;
        Some(Reader::new(value).expect(tag::OCTET_STRING).ok()?.content)
    }

    /// Returns the keyIdentifier of authorityKeyIdentifier.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        let value = self.extension(&AUTHORITY_KEY_IDENTIFIER)?.value;
        let mut fields = asn1::only_sequence(value).ok()?;
        Some(fields.optional(tag::context_primitive(0)).ok()??.content)
    }

    /// Says whether basicConstraints make this the certificate of a CA.
    pub fn is_ca(&self) -> bool {
        self.basic_constraints.is_some_and(|each| each.is_ca)
    }

    /// Says whether subject and issuer are the same name.
    pub fn is_self_issued(&self) -> bool {
        self.issuer() == self.subject()
    }

    /// Says whether `issuer` signed this certificate: names, key identifiers and the signature agree.
    pub fn is_signed_by(&self, issuer: &Self, memo: &Memo) -> bool {
        let issued = || Fact::Issued {
            certificate: *self.fingerprint(),
            issuer: *issuer.fingerprint(),
        };
        let verify = || self.verify_signature(issuer.public_key());
        self.may_be_issued_by(issuer) && memo.once(issued, verify).is_ok()
    }

    /// Says whether names and key identifiers let `issuer` be the issuer.
    pub fn may_be_issued_by(&self, issuer: &Self) -> bool {
        let identifiers_agree = match (self.authority_key_id(), issuer.subject_key_id()) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        self.issuer() == issuer.subject() && identifiers_agree
    }

    /// Verifies the signature with the issuer's key.
    ///
    /// # Errors
    /// `UnsupportedSignature`, `SchemeMismatch`, `BadSignature`.
    pub fn verify_signature(&self, issuer_key: &PublicKey) -> Result<(), KeyError> {
        let signature = &self.der[self.signature.clone()];
        issuer_key.verify_with(self.scheme.clone()?, self.to_be_signed(), signature)
    }

    /// Returns what Fulcio wrote for `claim`, none where it is absent or not text.
    pub fn claim(&self, claim: Claim) -> Option<&str> {
        let id = claim.id();
        let extension = self.extensions().find(|each| each.id == id)?;
        if claim.is_raw() {
            return std::str::from_utf8(extension.value).ok();
        }
        let mut reader = Reader::new(extension.value);
        let text = reader.expect(tag::UTF8_STRING).ok()?;
        reader.finish().ok()?;
        std::str::from_utf8(text.content).ok()
    }

    /// Returns the OIDC issuer that Fulcio wrote: the current extension (.8), else the older one (.1).
    pub fn oidc_issuer(&self) -> Option<&str> {
        self.claim(Claim::Issuer)
            .or_else(|| self.claim(Claim::IssuerV1))
    }

    /// Returns the names' DER as text for people: `CN=…, O=…`.
    pub fn subject_text(&self) -> String {
        name_text(self.subject())
    }

    /// Returns the issuer's name as text for people.
    pub fn issuer_text(&self) -> String {
        name_text(self.issuer())
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Certificate")
            .field("serial", &hex::encode(self.serial()))
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// Prints the content octets of an OID in dotted form, whatever the size of its arcs.
pub fn dotted(id: &[u8]) -> String {
    let mut arcs: Vec<String> = Vec::new();
    let mut arc: u128 = 0;
    for byte in id {
        arc = arc.checked_shl(7).unwrap_or(u128::MAX) | u128::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if arcs.is_empty() {
            let first = (arc / 40).min(2);
            arcs.push(first.to_string());
            arcs.push((arc - first * 40).to_string());
        } else {
            arcs.push(arc.to_string());
        }
        arc = 0;
    }
    arcs.join(".")
}

/// Prints a Name's attributes that people use; the rest by OID.
fn name_text(der: &[u8]) -> String {
    fn attributes(der: &[u8]) -> Result<Vec<String>, Asn1Error> {
        let mut out = Vec::new();
        let mut sets = asn1::only_sequence(der)?;
        while !sets.is_empty() {
            let mut attribute = sets.expect(tag::SET)?.reader().sequence()?;
            let id = attribute.expect(tag::OID)?.content;
            let value = attribute.tlv()?;
            let name = match id {
                [0x55, 0x04, 0x03] => "CN".to_owned(),
                [0x55, 0x04, 0x06] => "C".to_owned(),
                [0x55, 0x04, 0x0a] => "O".to_owned(),
                [0x55, 0x04, 0x0b] => "OU".to_owned(),
                other => dotted(other),
            };
            out.push(format!("{name}={}", String::from_utf8_lossy(value.content)));
        }
        Ok(out)
    }
    attributes(der).unwrap_or_default().join(", ")
}
