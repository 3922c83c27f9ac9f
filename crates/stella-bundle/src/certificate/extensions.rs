//! Reads the extensions that this field asks for.

use super::{
    AlternativeName, BasicConstraints, CertificateError, ExtendedKeyUsage, Extension,
    FULCIO_USERNAME, KeyUsage, MAX_EXTENSIONS, dotted,
};
use crate::asn1::{self, Reader, Tlv, tag};

pub(super) fn read_extensions(wrapper: Tlv<'_>) -> Result<Vec<Extension<'_>>, CertificateError> {
    let mut list = asn1::only_sequence(wrapper.content)?;
    let mut extensions: Vec<Extension<'_>> = Vec::new();
    while !list.is_empty() {
        if extensions.len() == MAX_EXTENSIONS {
            return Err(CertificateError::TooManyExtensions);
        }
        let mut fields = list.sequence()?;
        let id = fields.expect(tag::OID)?.content;
        let critical = match fields.optional(tag::BOOLEAN)? {
            Some(flag) => flag.to_bool()?,
            None => false,
        };
        let value = fields.expect(tag::OCTET_STRING)?.content;
        fields.finish()?;
        if extensions.iter().any(|each| each.id == id) {
            return Err(CertificateError::DuplicateExtension { id: dotted(id) });
        }
        extensions.push(Extension {
            id,
            critical,
            value,
        });
    }
    Ok(extensions)
}

pub(super) fn read_names(
    extension: &Extension<'_>,
) -> Result<Vec<AlternativeName>, CertificateError> {
    let mut list = asn1::only_sequence(extension.value)?;
    let mut names = Vec::new();
    while !list.is_empty() {
        names.push(read_name(list.tlv()?)?);
    }
    Ok(names)
}

/// Reads one GeneralName (RFC 5280 §4.2.1.6).
pub(crate) fn read_name(element: Tlv<'_>) -> Result<AlternativeName, CertificateError> {
    let kind = element.tag & 0x1f;
    let text = || match std::str::from_utf8(element.content) {
        // The three kinds are IA5String.
        Ok(text) if text.is_ascii() && !text.is_empty() => Ok(text.to_owned()),
        _ => Err(CertificateError::MalformedName { kind }),
    };
    Ok(match element.tag {
        0xa0 => read_other_name(element)?,
        0x81 => AlternativeName::Email(text()?),
        0x82 => AlternativeName::Dns(text()?),
        0x86 => AlternativeName::Uri(text()?),
        _ => AlternativeName::Other(kind),
    })
}

pub(super) fn read_other_name(element: Tlv<'_>) -> Result<AlternativeName, CertificateError> {
    let mut fields = element.reader();
    let id = fields.expect(tag::OID)?.content;
    let value = fields.expect(tag::context(0))?;
    fields.finish()?;
    if id != FULCIO_USERNAME.as_bytes() {
        return Ok(AlternativeName::Other(0));
    }
    let mut inner = value.reader();
    let text = inner.expect(tag::UTF8_STRING)?.to_text()?;
    inner.finish()?;
    Ok(AlternativeName::Username(text.to_owned()))
}

pub(super) fn read_basic_constraints(
    extension: &Extension<'_>,
) -> Result<BasicConstraints, CertificateError> {
    let mut fields = asn1::only_sequence(extension.value)?;
    let is_ca = fields
        .optional(tag::BOOLEAN)?
        .map_or(Ok(false), |flag| flag.to_bool())?;
    let path_length = fields
        .optional(tag::INTEGER)?
        .map(|number| number.to_u64())
        .transpose()?;
    fields.finish()?;
    Ok(BasicConstraints { is_ca, path_length })
}

pub(super) fn read_key_usage(extension: &Extension<'_>) -> Result<KeyUsage, CertificateError> {
    let mut reader = Reader::new(extension.value);
    let bits = reader.expect(tag::BIT_STRING)?;
    reader.finish()?;
    // The first octet counts unused bits; bit 0 is the highest of the second.
    let first = bits.content.get(1).copied().unwrap_or(0);
    Ok(KeyUsage {
        digital_signature: first & 0x80 != 0,
        content_commitment: first & 0x40 != 0,
        certificate_sign: first & 0x04 != 0,
    })
}

pub(super) fn read_purposes(
    extension: &Extension<'_>,
) -> Result<ExtendedKeyUsage, CertificateError> {
    let mut list = asn1::only_sequence(extension.value)?;
    let mut purposes = Vec::new();
    while !list.is_empty() {
        purposes.push(list.expect(tag::OID)?.content.to_vec());
    }
    Ok(ExtendedKeyUsage {
        critical: extension.critical,
        purposes,
    })
}
