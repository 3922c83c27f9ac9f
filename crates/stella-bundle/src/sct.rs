//! Signed certificate timestamps (RFC 6962 §3): parse, print, and what a CT log signs. Who signs lives elsewhere.

use crate::asn1::{self, Asn1Error, Reader, tag};
use crate::certificate::{Certificate, SCT_LIST};
use crate::digest::DigestAlgorithm;
use crate::key::{KeyError, PublicKey, Scheme, sha256};
use crate::time::UnixTime;

/// More SCTs in one certificate than this are refused; browsers ask for two or three, Sigstore for one.
const MAX_SCTS: usize = 32;

/// The ways in which an SCT is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SctError {
    /// The certificate's structure could not be rebuilt without its SCTs.
    #[error("certificate is not DER: {0}")]
    Asn1(#[from] Asn1Error),
    /// The signature is by another key or over another certificate.
    #[error("SCT signature does not verify")]
    BadSignature,
    /// The bytes are not an SCT or a list of them.
    #[error("SCT list is malformed")]
    Malformed,
    /// There are more than anyone embeds.
    #[error("more than {MAX_SCTS} SCTs in one certificate")]
    TooMany,
    /// Its hash and signature algorithm are none that CT logs use (RFC 5246 §7.4.1.4.1).
    #[error("SCT uses hash {hash} with signature {signature}, which is not supported")]
    UnsupportedAlgorithm {
        /// Hash octet.
        hash: u8,
        /// Signature octet.
        signature: u8,
    },
    /// Its version is not 1.
    #[error("SCT is of version {found}, expected 0 (v1)")]
    Version {
        /// Version octet.
        found: u8,
    },
}

/// One SCT of version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sct {
    /// SHA-256 of the log's SubjectPublicKeyInfo.
    pub log_id: [u8; 32],
    /// When the log took the certificate; whole milliseconds.
    pub timestamp: UnixTime,
    /// CtExtensions; static-ct logs put the leaf's index there.
    pub extensions: Vec<u8>,
    /// Hash octet (4 is SHA-256).
    pub hash: u8,
    /// Signature octet (1 is RSA, 3 is ECDSA).
    pub algorithm: u8,
    /// The signature.
    pub signature: Vec<u8>,
}

impl Sct {
    /// Reads a SignedCertificateTimestamp.
    ///
    /// # Errors
    /// `Version`, `Malformed`.
    pub fn parse(bytes: &[u8]) -> Result<Self, SctError> {
        let mut rest = bytes;
        let version = take(&mut rest, 1)?[0];
        if version != 0 {
            return Err(SctError::Version { found: version });
        }
        let log_id = take(&mut rest, 32)?
            .try_into()
            .map_err(|_| SctError::Malformed)?;
        let millis = take(&mut rest, 8)?
            .try_into()
            .map_err(|_| SctError::Malformed)?;
        let millis = i64::try_from(u64::from_be_bytes(millis)).map_err(|_| SctError::Malformed)?;
        let extensions = take_vector(&mut rest)?.to_vec();
        let algorithms = take(&mut rest, 2)?;
        let (hash, algorithm) = (algorithms[0], algorithms[1]);
        let signature = take_vector(&mut rest)?.to_vec();
        if !rest.is_empty() {
            return Err(SctError::Malformed);
        }
        let timestamp = UnixTime::from_millis(millis);
        Ok(Self {
            log_id,
            timestamp,
            extensions,
            hash,
            algorithm,
            signature,
        })
    }

    /// Writes a SignedCertificateTimestamp.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0];
        out.extend_from_slice(&self.log_id);
        out.extend_from_slice(&self.timestamp.millis().to_be_bytes());
        push_vector(&mut out, &self.extensions);
        out.extend_from_slice(&[self.hash, self.algorithm]);
        push_vector(&mut out, &self.signature);
        out
    }

    /// Verifies the log's signature over the precertificate that `certificate` came from.
    ///
    /// # Errors
    /// `UnsupportedAlgorithm`, `BadSignature`, `Asn1`.
    pub fn verify(
        &self,
        log_key: &PublicKey,
        certificate: &Certificate,
        issuer_key: &PublicKey,
    ) -> Result<(), SctError> {
        let scheme = self.scheme()?;
        let tbs = tbs_without_scts(certificate)?;
        let issuer = sha256(issuer_key.spki());
        let signed = signed_data(self.timestamp, &issuer, &tbs, &self.extensions);
        log_key
            .verify_with(scheme, &signed, &self.signature)
            .map_err(|error| match error {
                KeyError::SchemeMismatch { .. } => SctError::UnsupportedAlgorithm {
                    hash: self.hash,
                    signature: self.algorithm,
                },
                _ => SctError::BadSignature,
            })
    }

    fn scheme(&self) -> Result<Scheme, SctError> {
        let hash = match self.hash {
            4 => DigestAlgorithm::Sha256,
            5 => DigestAlgorithm::Sha384,
            6 => DigestAlgorithm::Sha512,
            hash => {
                return Err(SctError::UnsupportedAlgorithm {
                    hash,
                    signature: self.algorithm,
                });
            }
        };
        match self.algorithm {
            1 => Ok(Scheme::RsaPkcs1(hash)),
            3 => Ok(Scheme::Ecdsa(hash)),
            signature => Err(SctError::UnsupportedAlgorithm {
                hash: self.hash,
                signature,
            }),
        }
    }
}

/// Returns the SCTs embedded in a certificate, none where the extension is absent.
///
/// # Errors
/// `Malformed`, `TooMany`, `Version`, `Asn1`.
pub fn embedded(certificate: &Certificate) -> Result<Vec<Sct>, SctError> {
    let Some(extension) = certificate.extension(&SCT_LIST) else {
        return Ok(Vec::new());
    };
    let mut reader = Reader::new(extension.value);
    let list = reader.expect(tag::OCTET_STRING)?.content;
    reader.finish()?;
    parse_list(list)
}

/// Reads a SignedCertificateTimestampList (RFC 6962 §3.3); SCTs of later versions are left out.
///
/// # Errors
/// `Malformed`, `TooMany`.
pub fn parse_list(bytes: &[u8]) -> Result<Vec<Sct>, SctError> {
    let mut rest = bytes;
    let mut list = take_vector(&mut rest)?;
    if !rest.is_empty() {
        return Err(SctError::Malformed);
    }
    let mut scts = Vec::new();
    let mut unknown = 0;
    while !list.is_empty() {
        if scts.len() + unknown == MAX_SCTS {
            return Err(SctError::TooMany);
        }
        match Sct::parse(take_vector(&mut list)?) {
            Ok(sct) => scts.push(sct),
            // spec: RFC 6962 §3.3: a client that does not know a version must not fail for it.
            Err(SctError::Version { .. }) => unknown += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(scts)
}

/// Writes a SignedCertificateTimestampList.
pub fn list_to_bytes(scts: &[Sct]) -> Vec<u8> {
    let mut list = Vec::new();
    for sct in scts {
        push_vector(&mut list, &sct.to_bytes());
    }
    let mut out = Vec::new();
    push_vector(&mut out, &list);
    out
}

/// Returns what a log signs for a precertificate (RFC 6962 §3.2).
///
/// `tbs` is the TBSCertificate without poison and without SCTs; `issuer_key_hash` is SHA-256 of the issuer's
/// SubjectPublicKeyInfo.
pub fn signed_data(
    timestamp: UnixTime,
    issuer_key_hash: &[u8; 32],
    tbs: &[u8],
    extensions: &[u8],
) -> Vec<u8> {
    let mut out = vec![0, 0]; // version v1, signature_type certificate_timestamp
    out.extend_from_slice(&timestamped_entry(
        timestamp,
        issuer_key_hash,
        tbs,
        extensions,
    ));
    out
}

/// Returns the TimestampedEntry of a precertificate (RFC 6962 §3.4): also the body of the log's leaf.
pub fn timestamped_entry(
    timestamp: UnixTime,
    issuer_key_hash: &[u8; 32],
    tbs: &[u8],
    extensions: &[u8],
) -> Vec<u8> {
    let mut out = timestamp.millis().to_be_bytes().to_vec();
    out.extend_from_slice(&[0, 1]); // entry_type precert_entry
    out.extend_from_slice(issuer_key_hash);
    // The length has 24 bits; certificates are bounded far below.
    out.extend_from_slice(&(tbs.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(tbs);
    push_vector(&mut out, extensions);
    out
}

/// Returns the TBSCertificate with the SCT list left out, every other byte as it is.
///
/// # Errors
/// `Malformed` DER, which a parsed certificate never has.
pub fn tbs_without_scts(certificate: &Certificate) -> Result<Vec<u8>, Asn1Error> {
    let mut fields = asn1::only_sequence(certificate.to_be_signed())?;
    let mut out: Vec<u8> = Vec::with_capacity(certificate.to_be_signed().len());
    while !fields.is_empty() {
        let field = fields.tlv()?;
        if field.tag != tag::context(3) {
            out.extend_from_slice(field.raw);
            continue;
        }
        let mut list = asn1::only_sequence(field.content)?;
        let mut kept: Vec<&[u8]> = Vec::new();
        while !list.is_empty() {
            let extension = list.expect(tag::SEQUENCE)?;
            if extension.reader().expect(tag::OID)?.content != SCT_LIST.as_bytes() {
                kept.push(extension.raw);
            }
        }
        out.extend_from_slice(&asn1::explicit(3, &asn1::sequence(&kept)));
    }
    Ok(asn1::tlv(tag::SEQUENCE, &out))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], SctError> {
    let (head, tail) = rest.split_at_checked(count).ok_or(SctError::Malformed)?;
    *rest = tail;
    Ok(head)
}

/// Takes a vector with a 16-bit length (RFC 5246 §4.3).
fn take_vector<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], SctError> {
    let length = take(rest, 2)?;
    take(
        rest,
        usize::from(u16::from_be_bytes([length[0], length[1]])),
    )
}

fn push_vector(out: &mut Vec<u8>, content: &[u8]) {
    // Callers hold SCT parts, which are far below 64 KiB.
    out.extend_from_slice(&(content.len() as u16).to_be_bytes());
    out.extend_from_slice(content);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn sample() -> Sct {
        Sct {
            log_id: [9; 32],
            timestamp: UnixTime::from_millis(1_700_000_000_123),
            extensions: vec![0, 0, 5, 0, 0, 0, 0, 7],
            hash: 4,
            algorithm: 3,
            signature: vec![1, 2, 3],
        }
    }

    #[test]
    fn an_sct_list_round_trips() {
        let list = vec![
            sample(),
            Sct {
                extensions: vec![],
                ..sample()
            },
        ];
        assert_eq!(parse_list(&list_to_bytes(&list)).unwrap(), list);
    }

    #[test]
    fn an_sct_cut_short_or_with_a_tail_is_refused() {
        let bytes = sample().to_bytes();
        for length in 0..bytes.len() {
            assert!(Sct::parse(&bytes[..length]).is_err(), "{length}");
        }
        assert_eq!(
            Sct::parse(&[&bytes[..], &[0]].concat()),
            Err(SctError::Malformed)
        );
    }

    #[test]
    fn another_version_is_refused() {
        let mut bytes = sample().to_bytes();
        bytes[0] = 1;
        assert_eq!(Sct::parse(&bytes), Err(SctError::Version { found: 1 }));
    }
}
