//! A trusted root made ready: keys parsed, chains linked, once. What cannot be used is set aside and said so.

use std::sync::{Arc, OnceLock};

use stella_tlog::note::VerifierKey;

use crate::certificate::{Certificate, CertificateError};
use crate::chain::{Authority, AuthorityError};
use crate::key::{KeyError, PublicKey, sha256};
use crate::time::Validity;
use crate::trusted_root::{
    CertificateAuthority, RawCertificate, TimeRange, TransparencyLog, TrustedRoot,
};

/// Whom a verifier believes.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    authorities: Vec<Authority>,
    timestamp_authorities: Vec<Authority>,
    ct_logs: Vec<CtLog>,
    logs: Vec<Log>,
    unusable: Vec<Unusable>,
}

/// A log of certificates.
#[derive(Clone, Debug)]
pub struct CtLog {
    /// SHA-256 of the key.
    pub id: [u8; 32],
    /// The key.
    pub key: PublicKey,
    /// When it signs.
    pub validity: Validity,
    /// Its address, for reports.
    pub url: String,
}

/// A log of signatures.
#[derive(Clone, Debug)]
pub struct Log {
    /// Its id, 32 bytes.
    pub id: Vec<u8>,
    /// The key.
    pub key: PublicKey,
    /// When it signs.
    pub validity: Validity,
    /// Its address, for reports and for the origin of ECDSA logs.
    pub url: String,
    /// The key under the name of its checkpoints, once one was seen.
    pub(super) checkpoint_key: OnceLock<Arc<VerifierKey>>,
}

/// An entry of the trusted root that cannot be used; the rest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Which list.
    pub part: TrustPart,
    /// Which entry, from 0.
    pub index: usize,
    /// Why.
    pub reason: UnusableReason,
}

/// A list of a trusted root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the file's own")]
pub enum TrustPart {
    CertificateAuthorities,
    Ctlogs,
    TimestampAuthorities,
    Tlogs,
}

/// Why an entry cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableReason {
    /// The chain does not hold together.
    #[error("{0}")]
    Authority(#[from] AuthorityError),
    /// A certificate is malformed.
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    /// The key is of an unsupported kind.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// The log id is not 32 bytes long.
    #[error("log id has {length} bytes, expected 32")]
    LogId {
        /// Its length.
        length: usize,
    },
    /// Without a start, a stolen key could sign the past.
    #[error("validFor.start is missing or malformed")]
    NoStart,
}

impl Trust {
    /// Prepares a trusted root. Links of chains are verified here, once, and never again for a bundle.
    pub fn new(root: &TrustedRoot) -> Self {
        let mut trust = Self::default();
        for (index, entry) in root.certificate_authorities.iter().enumerate() {
            match authority(entry) {
                Ok(authority) => trust.authorities.push(authority),
                Err(reason) => trust.set_aside(TrustPart::CertificateAuthorities, index, reason),
            }
        }
        for (index, entry) in root.timestamp_authorities.iter().enumerate() {
            match authority(entry) {
                Ok(authority) => trust.timestamp_authorities.push(authority),
                Err(reason) => trust.set_aside(TrustPart::TimestampAuthorities, index, reason),
            }
        }
        for (index, entry) in root.ctlogs.iter().enumerate() {
            match log_key(entry) {
                Ok((key, validity)) => {
                    let (id, url) = (key.key_id(), entry.base_url.clone());
                    trust.ct_logs.push(CtLog {
                        id,
                        key,
                        validity,
                        url,
                    });
                }
                Err(reason) => trust.set_aside(TrustPart::Ctlogs, index, reason),
            }
        }
        for (index, entry) in root.tlogs.iter().enumerate() {
            match log(entry) {
                Ok(log) => trust.logs.push(log),
                Err(reason) => trust.set_aside(TrustPart::Tlogs, index, reason),
            }
        }
        trust
    }

    /// Returns the issuers of signing certificates.
    pub fn authorities(&self) -> &[Authority] {
        &self.authorities
    }

    /// Returns the timestamp authorities.
    pub fn timestamp_authorities(&self) -> &[Authority] {
        &self.timestamp_authorities
    }

    /// Returns the logs of certificates.
    pub fn ct_logs(&self) -> &[CtLog] {
        &self.ct_logs
    }

    /// Returns the logs of signatures.
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// Returns what was set aside.
    pub fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    fn set_aside(&mut self, part: TrustPart, index: usize, reason: UnusableReason) {
        self.unusable.push(Unusable {
            part,
            index,
            reason,
        });
    }
}

fn validity(range: Option<&TimeRange>) -> Result<Validity, UnusableReason> {
    let validity = range
        .and_then(TimeRange::to_validity)
        .ok_or(UnusableReason::NoStart)?;
    if validity.start.is_some() {
        Ok(validity)
    } else {
        Err(UnusableReason::NoStart)
    }
}

fn authority(entry: &CertificateAuthority) -> Result<Authority, UnusableReason> {
    let validity = validity(entry.valid_for.as_ref())?;
    let parse = |raw: &RawCertificate| {
        let certificate = Certificate::parse(&raw.raw_bytes)?;
        Ok::<_, CertificateError>(certificate.prepared(sha256(&raw.raw_bytes)))
    };
    let certificates: Result<Vec<_>, _> = entry.cert_chain.certificates.iter().map(parse).collect();
    Ok(Authority::new(certificates?, validity, &entry.uri)?)
}

fn log_key(entry: &TransparencyLog) -> Result<(PublicKey, Validity), UnusableReason> {
    let validity = validity(entry.public_key.valid_for.as_ref())?;
    let raw = &entry.public_key.raw_bytes;
    // Old files hold PKCS#1 for RSA, and say so by this name, or by its number.
    let mut key = match entry.public_key.key_details.as_str() {
        "PKCS1_RSA_PKCS1V5" | "PKCS1_RSA_PSS" | "1" | "2" => PublicKey::from_pkcs1(raw)?,
        _ => PublicKey::from_spki(raw)?,
    };
    key.prepare();
    Ok((key, validity))
}

fn log(entry: &TransparencyLog) -> Result<Log, UnusableReason> {
    let (key, validity) = log_key(entry)?;
    let id = entry.log_id.key_id.clone();
    if id.len() != 32 {
        return Err(UnusableReason::LogId { length: id.len() });
    }
    Ok(Log {
        id,
        key,
        validity,
        url: entry.base_url.clone(),
        checkpoint_key: OnceLock::new(),
    })
}
