//! How a key is kept: what its token says of itself and of the key, and the certificates beside it.

use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use stella_bundle::certificate::Certificate;
use stella_keys::device::words::{Attested, Open, Token};

use crate::token::{Key, Problem};

/// Certificates that are looked at.
const MAX_CERTIFICATES: usize = 64;
/// In labels of the certificates by which makers attest keys (YubiKey: "X.509 Certificate for PIV Attestation").
const ATTESTATION: &str = "Attestation";

/// Opens a key and says how it is kept.
pub(crate) fn attest(open: Open) -> Result<Attested, Problem> {
    let key = Key::open(open)?;
    let info = &key.info;
    let version =
        |version: cryptoki::types::Version| format!("{}.{}", version.major(), version.minor());
    let mut attested = Attested {
        public_key: key.spki().to_vec(),
        token: Token {
            label: Some(info.label().to_owned()),
            manufacturer: Some(info.manufacturer_id().to_owned()),
            model: Some(info.model().to_owned()),
            serial: Some(info.serial_number().to_owned()),
            slot: None,
        },
        hardware: version(info.hardware_version()),
        firmware: version(info.firmware_version()),
        certificates: certificates(&key)?,
        ..Attested::default()
    };
    let wanted = [
        AttributeType::Extractable,
        AttributeType::NeverExtractable,
        AttributeType::Sensitive,
        AttributeType::AlwaysSensitive,
        AttributeType::Local,
    ];
    for attribute in key.session.get_attributes(key.handle, &wanted)? {
        match attribute {
            Attribute::Extractable(value) => attested.extractable = Some(value),
            Attribute::NeverExtractable(value) => attested.never_extractable = Some(value),
            Attribute::Sensitive(value) => attested.sensitive = Some(value),
            Attribute::AlwaysSensitive(value) => attested.always_sensitive = Some(value),
            Attribute::Local(value) => attested.local = Some(value),
            _ => {}
        }
    }
    Ok(attested)
}

fn certificates(key: &Key) -> Result<Vec<Vec<u8>>, Problem> {
    let class = [Attribute::Class(ObjectClass::CERTIFICATE)];
    let mut certificates = Vec::new();
    for handle in key
        .session
        .find_objects(&class)?
        .into_iter()
        .take(MAX_CERTIFICATES)
    {
        let wanted = [AttributeType::Value, AttributeType::Label];
        let (mut der, mut is_makers) = (Vec::new(), false);
        for attribute in key.session.get_attributes(handle, &wanted)? {
            match attribute {
                Attribute::Value(value) => der = value,
                Attribute::Label(label) => {
                    is_makers = String::from_utf8_lossy(&label).contains(ATTESTATION);
                }
                _ => {}
            }
        }
        let certificate = Certificate::parse(&der);
        let is_own = certificate.is_ok_and(|each| each.public_key().spki() == key.spki());
        if is_makers || is_own {
            certificates.push(der);
        }
    }
    Ok(certificates)
}
