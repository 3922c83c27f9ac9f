//! The key file of PKCS#7 and bare signatures: PEM with certificates or with one public key (RFC 7468).

use stella_bundle::certificate::{Certificate, MAX_CERTIFICATE};
use stella_bundle::key::PublicKey;
use stella_bundle::pem::{self, Block};

use crate::{ForeignError, Format};

/// More certificates than this in a key file are refused: it is one signer's, not a trust store.
const MAX_GIVEN: usize = 16;

/// What the caller believes.
pub(crate) enum Given {
    /// Certificates, one at least.
    Certificates(Vec<Certificate>),
    /// A key without a name.
    Key(PublicKey),
}

impl Given {
    /// Reads a key file.
    ///
    /// # Errors
    /// `Pem`, `Key`, `Certificate`, `TooLarge`, `Unsupported` for private keys, `Unexpected` for anything else.
    pub(crate) fn parse(format: Format, bytes: &[u8]) -> Result<Self, ForeignError> {
        let expected = "a PEM block CERTIFICATE or PUBLIC KEY";
        let text = std::str::from_utf8(bytes)
            .map_err(|_| ForeignError::unexpected(format, expected, "bytes that are no text"))?;
        let blocks = pem::decode_all(text)?;
        let [first, rest @ ..] = blocks.as_slice() else {
            return Err(ForeignError::unexpected(format, expected, "nothing"));
        };
        if blocks.len() > MAX_GIVEN {
            return Err(ForeignError::TooLarge {
                what: "a list of certificates",
                length: blocks.len(),
                limit: MAX_GIVEN,
            });
        }
        match first.label.as_str() {
            "PUBLIC KEY" | "RSA PUBLIC KEY" if !rest.is_empty() => Err(ForeignError::unexpected(
                format,
                "one public key",
                format!("{} PEM blocks", blocks.len()),
            )),
            "PUBLIC KEY" => Ok(Self::Key(PublicKey::from_spki(&first.der)?)),
            "RSA PUBLIC KEY" => Ok(Self::Key(PublicKey::from_pkcs1(&first.der)?)),
            "CERTIFICATE" => blocks
                .iter()
                .map(|each| certificate(format, each))
                .collect(),
            label if label.ends_with("PRIVATE KEY") => {
                Err(ForeignError::unsupported(format, "a private key"))
            }
            label => Err(ForeignError::unexpected(format, expected, label)),
        }
    }
}

impl FromIterator<Certificate> for Given {
    fn from_iter<I: IntoIterator<Item = Certificate>>(list: I) -> Self {
        Self::Certificates(list.into_iter().collect())
    }
}

fn certificate(format: Format, block: &Block) -> Result<Certificate, ForeignError> {
    if block.label != "CERTIFICATE" || block.der.len() > MAX_CERTIFICATE {
        let found = format!("{} of {} bytes", block.label, block.der.len());
        return Err(ForeignError::unexpected(format, "a certificate", found));
    }
    Ok(Certificate::parse(&block.der)?)
}

/// Requires that a certificate lets its key sign: keyUsage is absent or names one of the two uses (RFC 5280 §4.2.1.3).
///
/// # Errors
/// `CertificateUse`.
pub(crate) fn require_signer(certificate: &Certificate) -> Result<(), ForeignError> {
    let signs = certificate
        .key_usage()
        .is_none_or(|usage| usage.digital_signature || usage.content_commitment);
    if signs {
        return Ok(());
    }
    Err(ForeignError::CertificateUse {
        subject: certificate.subject_text(),
    })
}
