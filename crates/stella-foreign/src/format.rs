//! The formats by name, and how one is told from the bytes. Reading them is each format's own file.

use std::fmt;

use const_oid::ObjectIdentifier;
use stella_bundle::cms::SIGNED_DATA;

/// How many bytes into a DER file the OID of signed data begins at most: after a header of up to five bytes.
const MAX_HEADER: usize = 6;

/// A format of detached signatures, by its name in `--pki-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// minisign and signify's successor files.
    Minisign,
    /// OpenPGP (RFC 9580, RFC 4880).
    Pgp,
    /// PKCS#7, since named CMS (RFC 5652).
    Pkcs7,
    /// What `ssh-keygen -Y sign` writes.
    Ssh,
    /// Metadata of a TUF repository.
    Tuf,
    /// A bare signature with a public key or certificate.
    X509,
}

impl Format {
    /// All formats, in the order of their help.
    pub const ALL: [Self; 6] = [
        Self::Pgp,
        Self::Minisign,
        Self::Ssh,
        Self::Pkcs7,
        Self::X509,
        Self::Tuf,
    ];

    /// Returns the name: `pgp`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minisign => "minisign",
            Self::Pgp => "pgp",
            Self::Pkcs7 => "pkcs7",
            Self::Ssh => "ssh",
            Self::Tuf => "tuf",
            Self::X509 => "x509",
        }
    }

    /// Finds the format of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Tells the format from the first bytes of signature and key, none when they look like nothing known.
///
/// For TUF, whose signatures lie inside the metadata, `signature` is the metadata itself.
pub fn detect(signature: &[u8], key: &[u8]) -> Option<Format> {
    let begins = |marks: &[&str]| marks.iter().any(|mark| has_line(signature, mark));
    if begins(&["-----BEGIN PGP "]) {
        return Some(Format::Pgp);
    }
    if begins(&["-----BEGIN SSH SIGNATURE-----"]) {
        return Some(Format::Ssh);
    }
    if begins(&["-----BEGIN PKCS7-----", "-----BEGIN CMS-----"]) || is_signed_data(signature) {
        return Some(Format::Pkcs7);
    }
    if signature.starts_with(b"untrusted comment:") {
        return Some(Format::Minisign);
    }
    let key_is_json = key.trim_ascii_start().starts_with(b"{");
    if key_is_json && signature.trim_ascii_start().starts_with(b"{") {
        return Some(Format::Tuf);
    }
    // A bare signature may begin with any byte: only the key tells.
    let marks = [
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN RSA PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
    ];
    if marks.iter().any(|mark| has_line(key, mark)) {
        return Some(Format::X509);
    }
    is_signature_packet(signature).then_some(Format::Pgp)
}

/// Says whether a line of the text begins with `mark`.
fn has_line(text: &[u8], mark: &str) -> bool {
    text.split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(mark.as_bytes()))
}

/// Says whether a DER file names signed data as its content (RFC 5652 §3).
fn is_signed_data(bytes: &[u8]) -> bool {
    let oid: ObjectIdentifier = SIGNED_DATA;
    let oid = oid.as_bytes();
    bytes.first() == Some(&0x30)
        && (4..=MAX_HEADER + 2).any(|at| bytes.get(at..at + oid.len()) == Some(oid))
}

/// Says whether binary bytes begin with the header of a signature packet (RFC 9580 §4.2).
fn is_signature_packet(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(0x88..=0x8a | 0xc2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_flag() {
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(format));
        }
        assert_eq!(Format::from_name("gpg"), None);
    }

    #[test]
    fn a_format_is_told_from_the_first_bytes() {
        let pem: &[u8] = b"-----BEGIN PUBLIC KEY-----\n";
        let cases: [(&[u8], &[u8], Option<Format>); 9] = [
            (b"-----BEGIN PGP SIGNATURE-----\n", b"", Some(Format::Pgp)),
            (b"\x88\x75\x04", b"\x99", Some(Format::Pgp)),
            (b"\x88\x75\x04", pem, Some(Format::X509)),
            (b"untrusted comment: x\n", b"", Some(Format::Minisign)),
            (b"-----BEGIN SSH SIGNATURE-----\n", b"", Some(Format::Ssh)),
            (b"-----BEGIN PKCS7-----\n", pem, Some(Format::Pkcs7)),
            (b"{\"signed\":{}}", b" {}", Some(Format::Tuf)),
            (b"MEUC", pem, Some(Format::X509)),
            (b"MEUC", b"?", None),
        ];
        for (signature, key, expected) in cases {
            assert_eq!(detect(signature, key), expected, "{signature:?}");
        }
    }

    #[test]
    fn signed_data_in_der_is_told_from_a_bare_signature_in_der() {
        let oid = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
        for header in [
            &[0x30, 0x20][..],
            &[0x30, 0x82, 1, 0],
            &[0x30, 0x83, 1, 0, 0],
        ] {
            assert!(is_signed_data(&[header, &oid].concat()), "{header:?}");
        }
        assert!(!is_signed_data(&[0x30, 0x45, 2, 0x20, 1, 2, 3]));
    }
}
