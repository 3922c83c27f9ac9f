//! Certificates to be signed: the authorities' own and the ten-minute ones (RFC 5280, Fulcio's certificate
//! specification).
//!
//! A template keeps each extension as DER, so that the precertificate, what the CT log signs and the final certificate
//! are the same bytes but for one extension. Who may have which name is decided by `stella_server::fulcio`.

use aws_lc_rs::digest;
use const_oid::ObjectIdentifier;

use super::{IssueError, signature_algorithm};
use crate::asn1::{self, Asn1Error, Reader, tag};
use crate::certificate::{
    AUTHORITY_KEY_IDENTIFIER, AlternativeName, BASIC_CONSTRAINTS, CODE_SIGNING, CT_POISON,
    Certificate, Claim, EXTENDED_KEY_USAGE, FULCIO_USERNAME, KEY_USAGE, SCT_LIST,
    SUBJECT_ALTERNATIVE_NAME, SUBJECT_KEY_IDENTIFIER, TIME_STAMPING,
};
use crate::key::KeyDetails;
use crate::sct::{self, Sct};
use crate::time::UnixTime;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");

/// GitLab's claim `ref_protected` as an extension of our own, DER UTF8String `true` or `false`; OID
/// 2.25.187917740868143792458722437809923390037.1, in content octets.
///
/// Fulcio's arc has no place for it. The arc is that of the UUID 8d5fa3f2-b17c-4e0a-9c4e-62d10fb37a55 (X.667): nobody has to register it.
pub const REF_PROTECTED: [u8; 21] = [
    0x69, 0x82, 0x9a, 0xdf, 0xd1, 0xfc, 0xd6, 0x97, 0xe2, 0xb8, 0x95, 0x9c, 0xa7, 0x98, 0xda, 0x90,
    0xfd, 0xcd, 0xf4, 0x55, 0x01,
];

/// A certificate's serial number: 20 octets, positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Serial([u8; 20]);

impl Serial {
    /// Makes a serial number from random bytes; 158 of the 160 bits stay random.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 20]) -> Self {
        // spec: RFC 5280 §4.1.2.2: positive, and at most 20 octets with the sign bit.
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Self(bytes)
    }

    /// Returns the 20 octets, big-endian.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

/// A distinguished name in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(Vec<u8>);

impl Name {
    /// Returns the empty name: who a ten-minute certificate is for stands in its SAN.
    #[must_use]
    pub fn empty() -> Self {
        Self(asn1::sequence(&[]))
    }

    /// Makes `O=organization, CN=common_name`.
    #[must_use]
    pub fn new(organization: &str, common_name: &str) -> Self {
        let part = |kind: &ObjectIdentifier, text: &str| {
            asn1::set_of(vec![asn1::sequence(&[
                &asn1::oid(kind),
                &asn1::utf8_string(text),
            ])])
        };
        Self(asn1::sequence(&[
            &part(&ORGANIZATION, organization),
            &part(&COMMON_NAME, common_name),
        ]))
    }

    /// Returns the name under which a certificate issues.
    #[must_use]
    pub fn of(certificate: &Certificate) -> Self {
        Self(certificate.subject().to_vec())
    }

    /// Returns the DER of the name.
    #[must_use]
    pub fn to_der(&self) -> &[u8] {
        &self.0
    }
}

/// Returns the GeneralName of a signer, or the refusal of a name that no certificate may carry.
fn general_name(name: &AlternativeName) -> Result<Vec<u8>, IssueError> {
    let text = name.identity().unwrap_or_default();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(IssueError::NameNotPrintable);
    }
    match name {
        AlternativeName::Email(name) => Ok(asn1::tlv(tag::context_primitive(1), name.as_bytes())),
        AlternativeName::Uri(name) => Ok(asn1::tlv(tag::context_primitive(6), name.as_bytes())),
        AlternativeName::Username(name) => {
            let value = asn1::explicit(0, &asn1::utf8_string(name));
            Ok(asn1::tlv(
                tag::context(0),
                &[asn1::oid(&FULCIO_USERNAME), value].concat(),
            ))
        }
        AlternativeName::Dns(_) | AlternativeName::Other(_) => Err(IssueError::NameNotPrintable),
    }
}

/// One extension in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension(Vec<u8>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Critical {
    Yes,
    No,
}

impl Extension {
    fn new(id: &ObjectIdentifier, critical: Critical, value: &[u8]) -> Self {
        Self::with_id(id.as_bytes(), critical, value)
    }

    fn with_id(id: &[u8], critical: Critical, value: &[u8]) -> Self {
        let value = asn1::octet_string(value);
        // spec: X.690 §11.5: the default (not critical) is left out.
        let critical = match critical {
            Critical::Yes => asn1::boolean(true),
            Critical::No => Vec::new(),
        };
        Self(asn1::sequence(&[
            &asn1::tlv(tag::OID, id),
            &critical,
            &value,
        ]))
    }

    /// Makes one of Fulcio's extensions (not critical).
    #[must_use]
    pub fn claim(claim: Claim, value: &str) -> Self {
        // spec: Fulcio docs, oid-info.md: .1 to .6 hold bare text, later ones a DER UTF8String.
        if claim.is_raw() {
            return Self::with_id(&claim.id(), Critical::No, value.as_bytes());
        }
        Self::with_id(&claim.id(), Critical::No, &asn1::utf8_string(value))
    }

    /// Makes the extension [`REF_PROTECTED`] (not critical).
    #[must_use]
    pub fn ref_protected(value: &str) -> Self {
        Self::with_id(&REF_PROTECTED, Critical::No, &asn1::utf8_string(value))
    }

    /// Makes the critical extension that no verifier accepts: the certificate is only for the CT log (RFC 6962 §3.1).
    #[must_use]
    pub fn poison() -> Self {
        Self::new(&CT_POISON, Critical::Yes, &asn1::null())
    }

    /// Makes the list of embedded SCTs (RFC 6962 §3.3).
    #[must_use]
    pub fn sct_list(scts: &[Sct]) -> Self {
        Self::new(
            &SCT_LIST,
            Critical::No,
            &asn1::octet_string(&sct::list_to_bytes(scts)),
        )
    }

    fn key_usage(bits: &[u8]) -> Self {
        Self::new(&KEY_USAGE, Critical::Yes, &asn1::tlv(tag::BIT_STRING, bits))
    }

    fn certificate_authority(path_length: Option<u64>) -> Self {
        let path_length = path_length.map(asn1::small).unwrap_or_default();
        let value = asn1::sequence(&[&asn1::boolean(true), &path_length]);
        Self::new(&BASIC_CONSTRAINTS, Critical::Yes, &value)
    }

    fn extended_key_usage(usage: &ObjectIdentifier, critical: Critical) -> Self {
        Self::new(
            &EXTENDED_KEY_USAGE,
            critical,
            &asn1::sequence(&[&asn1::oid(usage)]),
        )
    }

    fn subject_key(identifier: &[u8]) -> Self {
        Self::new(
            &SUBJECT_KEY_IDENTIFIER,
            Critical::No,
            &asn1::octet_string(identifier),
        )
    }

    fn authority_key(identifier: &[u8]) -> Self {
        let value = asn1::sequence(&[&asn1::tlv(tag::context_primitive(0), identifier)]);
        Self::new(&AUTHORITY_KEY_IDENTIFIER, Critical::No, &value)
    }

    fn subject_name(name: &AlternativeName) -> Result<Self, IssueError> {
        // spec: RFC 5280 §4.2.1.6: critical, because the subject is empty.
        Ok(Self::new(
            &SUBJECT_ALTERNATIVE_NAME,
            Critical::Yes,
            &asn1::sequence(&[&general_name(name)?]),
        ))
    }
}

/// KeyUsage digitalSignature, DER content of the BIT STRING.
const DIGITAL_SIGNATURE: [u8; 2] = [0x07, 0x80];
/// KeyUsage keyCertSign and cRLSign.
const CERT_AND_CRL_SIGN: [u8; 2] = [0x01, 0x06];

/// The authority above a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its distinguished name.
    pub name: Name,
    /// Its SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// How its key signs.
    pub details: KeyDetails,
}

/// What every certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Number, unique below its authority.
    pub serial: Serial,
    /// Distinguished name.
    pub name: Name,
    /// SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
    /// First second of validity.
    pub not_before: UnixTime,
    /// Last second of validity.
    pub not_after: UnixTime,
}

/// A certificate before its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateTemplate {
    algorithm: Vec<u8>,
    issuer: Name,
    subject: Subject,
    extensions: Vec<Extension>,
}

impl CertificateTemplate {
    /// Makes a self-signed root: keyCertSign and cRLSign, CA, no extended usage.
    ///
    /// # Errors
    /// `UnsupportedSignature`, `CertificateMalformed` for a key that is no SubjectPublicKeyInfo.
    pub fn root(subject: Subject, details: KeyDetails) -> Result<Self, IssueError> {
        let extensions = vec![
            Extension::key_usage(&CERT_AND_CRL_SIGN),
            Extension::certificate_authority(None),
            Extension::subject_key(&key_identifier(&subject.public_key)?),
        ];
        Ok(Self {
            algorithm: signature_algorithm(details)?,
            issuer: subject.name.clone(),
            subject,
            extensions,
        })
    }

    /// Makes an intermediate that issues code-signing certificates and no authorities (path length 0).
    ///
    /// # Errors
    /// As [`CertificateTemplate::root`].
    pub fn intermediate(subject: Subject, authority: &Authority) -> Result<Self, IssueError> {
        let extensions = vec![
            Extension::key_usage(&CERT_AND_CRL_SIGN),
            // sigstore-python refuses a critical one; Go chains usages, so it must be there.
            Extension::extended_key_usage(&CODE_SIGNING, Critical::No),
            Extension::certificate_authority(Some(0)),
            Extension::subject_key(&key_identifier(&subject.public_key)?),
            Extension::authority_key(&key_identifier(&authority.public_key)?),
        ];
        Self::below(authority, subject, extensions)
    }

    /// Makes a timestamp authority's certificate: timeStamping only, critical, not an authority.
    ///
    /// # Errors
    /// As [`CertificateTemplate::root`].
    pub fn timestamping(subject: Subject, authority: &Authority) -> Result<Self, IssueError> {
        let extensions = vec![
            Extension::key_usage(&DIGITAL_SIGNATURE),
            // spec: RFC 3161 §2.3: one extended key usage, critical.
            Extension::extended_key_usage(&TIME_STAMPING, Critical::Yes),
            Extension::subject_key(&key_identifier(&subject.public_key)?),
            Extension::authority_key(&key_identifier(&authority.public_key)?),
        ];
        Self::below(authority, subject, extensions)
    }

    /// Makes a signer's certificate: empty subject, one critical SAN, codeSigning, then Fulcio's extensions.
    ///
    /// # Errors
    /// As [`CertificateTemplate::root`], and `NameNotPrintable`.
    pub fn signer(
        subject: Subject,
        name: &AlternativeName,
        claims: Vec<Extension>,
        authority: &Authority,
    ) -> Result<Self, IssueError> {
        let mut extensions = vec![
            Extension::key_usage(&DIGITAL_SIGNATURE),
            Extension::extended_key_usage(&CODE_SIGNING, Critical::No),
            Extension::subject_key(&key_identifier(&subject.public_key)?),
            Extension::authority_key(&key_identifier(&authority.public_key)?),
            Extension::subject_name(name)?,
        ];
        extensions.extend(claims);
        Self::below(
            authority,
            Subject {
                name: Name::empty(),
                ..subject
            },
            extensions,
        )
    }

    fn below(
        authority: &Authority,
        subject: Subject,
        extensions: Vec<Extension>,
    ) -> Result<Self, IssueError> {
        let algorithm = signature_algorithm(authority.details)?;
        Ok(Self {
            algorithm,
            issuer: authority.name.clone(),
            subject,
            extensions,
        })
    }

    /// Returns the same certificate with one more extension at the end.
    #[must_use]
    pub fn with(&self, extension: Extension) -> Self {
        let mut longer = self.clone();
        longer.extensions.push(extension);
        longer
    }

    /// Returns the TBSCertificate: what the authority signs (RFC 5280 §4.1.2).
    #[must_use]
    pub fn to_be_signed(&self) -> Vec<u8> {
        let version_3 = asn1::explicit(0, &asn1::small(2));
        let not_before = asn1::x509_time(self.subject.not_before);
        let not_after = asn1::x509_time(self.subject.not_after);
        let extensions: Vec<&[u8]> = self
            .extensions
            .iter()
            .map(|extension| extension.0.as_slice())
            .collect();
        asn1::sequence(&[
            &version_3,
            &asn1::unsigned(self.subject.serial.as_bytes()),
            &self.algorithm,
            self.issuer.to_der(),
            &asn1::sequence(&[&not_before, &not_after]),
            self.subject.name.to_der(),
            &self.subject.public_key,
            &asn1::explicit(3, &asn1::sequence(&extensions)),
        ])
    }

    /// Returns the certificate with its authority's signature over [`CertificateTemplate::to_be_signed`].
    #[must_use]
    pub fn assemble(&self, signature: &[u8]) -> Vec<u8> {
        asn1::sequence(&[
            &self.to_be_signed(),
            &self.algorithm,
            &asn1::bit_string(signature),
        ])
    }
}

/// Returns the key identifier: SHA-1 of the key's bits (RFC 5280 §4.2.1.2, method 1). A name, not a protection.
fn key_identifier(spki: &[u8]) -> Result<Vec<u8>, IssueError> {
    let bits = || -> Result<&[u8], Asn1Error> {
        let mut fields: Reader<'_> = asn1::only_sequence(spki)?;
        fields.sequence()?;
        fields.expect(tag::BIT_STRING)?.to_octets_of_bit_string()
    };
    let bits = bits().map_err(IssueError::CertificateMalformed)?;
    Ok(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bits)
        .as_ref()
        .to_vec())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn spki() -> Vec<u8> {
        let ec = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
        let p256 = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
        let algorithm = asn1::sequence(&[&asn1::oid(&ec), &asn1::oid(&p256)]);
        asn1::sequence(&[&algorithm, &asn1::bit_string(&[4; 65])])
    }

    fn template(name: &AlternativeName) -> Result<CertificateTemplate, IssueError> {
        let subject = Subject {
            serial: Serial::from_random([0xff; 20]),
            name: Name::empty(),
            public_key: spki(),
            not_before: UnixTime::from_seconds(1_700_000_000),
            not_after: UnixTime::from_seconds(1_700_000_600),
        };
        let authority = Authority {
            name: Name::new("stella", "intermediate"),
            public_key: spki(),
            details: KeyDetails::EcdsaP256Sha256,
        };
        CertificateTemplate::signer(subject, name, Vec::new(), &authority)
    }

    #[test]
    fn precertificate_and_certificate_differ_in_one_extension_only() {
        let plain = template(&AlternativeName::Uri("https://ci.example/x".into())).unwrap();
        let poisoned = plain.with(Extension::poison());
        let last = |template: &CertificateTemplate| {
            template
                .extensions
                .split_last()
                .map(|(_, rest)| rest.to_vec())
        };
        assert_eq!(last(&poisoned).unwrap(), plain.extensions);
        let finished = plain.with(Extension::sct_list(&[]));
        assert_eq!(last(&finished).unwrap(), plain.extensions);
    }

    #[test]
    fn names_that_no_certificate_may_carry_are_refused() {
        for name in ["", "https://x/ y", "https://x/\u{0}", "https://x/ü", "a\nb"] {
            let refused = template(&AlternativeName::Uri(name.to_owned()));
            assert_eq!(
                refused.map(|_| ()),
                Err(IssueError::NameNotPrintable),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_serial_number_is_positive_and_has_twenty_octets() {
        assert_eq!(Serial::from_random([0xff; 20]).as_bytes()[0], 0x7f);
        assert_eq!(Serial::from_random([0; 20]).as_bytes()[0], 0x40);
    }
}
