//! A trusted root made of words and PEM: the authorities and logs that were given, beside those of another file.
//!
//! Who reads the files that the words name is the caller; what is unwise in the result is said by [`super::lint`].

#[cfg(test)]
mod tests;

use super::lint::{self, Finding, Severity};
use super::{
    CertificateAuthority, CertificateChain, DistinguishedName, LogKey, MEDIA_TYPE, RawCertificate,
    TimeRange, TransparencyLog, TrustFileError, TrustedRoot,
};
use crate::asn1::{self, Asn1Error, tag};
use crate::certificate::{Certificate, CertificateError};
use crate::chain::{Authority, AuthorityError};
use crate::entry::LogId;
use crate::key::{KeyError, KeyKind, PublicKey};
use crate::pairs::{self, Pairs, PairsError};
use crate::pem::{self, PemError};
use crate::time::{UnixTime, Validity};
use crate::verify::TrustPart;

/// The key of an authority's file of certificates.
pub const CHAIN: &str = "certificate-chain";
/// The key of a log's file.
pub const PUBLIC_KEY: &str = "public-key";
/// The key of the name under which a log signs its checkpoints.
const ORIGIN: &str = "origin";
/// What an authority may be told to be.
pub const AUTHORITY_KEYS: &[&str] = &[pairs::URL, CHAIN, pairs::START, pairs::END];
/// What a log may be told to be.
pub const LOG_KEYS: &[&str] = &[pairs::URL, PUBLIC_KEY, pairs::START, pairs::END, ORIGIN];
/// The label of certificates in PEM.
const CERTIFICATE: &str = "CERTIFICATE";

/// The ways in which words and a file are no entry of a trusted root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The chain does not hold together.
    #[error("{0}; expected the issuing certificate first and the root last")]
    Authority(#[from] AuthorityError),
    /// A certificate is malformed.
    #[error("certificate {index} of the chain: {error}")]
    Certificate {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        error: CertificateError,
    },
    /// The chain of a certificate authority begins with somebody's leaf.
    #[error("expected a CA's certificate first, found one that may issue nothing")]
    FirstIsLeaf,
    /// The chain of a timestamp authority begins with a CA.
    #[error("expected the certificate that signs timestamps first, found a CA's")]
    FirstIsCa,
    /// The key cannot be read.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// No log signs with such a key.
    #[error("expected a key that a log signs with, found {0:?}")]
    KeyKind(KeyKind),
    /// A log whose id is made of its origin has none.
    #[error(
        "expected the key origin, found none: the id of a log with an Ed25519 key is made of its key and its origin"
    )]
    NoOrigin,
    /// An id of a key that is not made of an origin.
    #[error("expected no origin, found {found:?}: the id of this log is made of its key alone")]
    OriginUnused {
        /// What was given.
        found: String,
    },
    /// An origin under which clients do not look for the log.
    #[error("expected the origin {}, as the url has it, found {found:?}", expected.join(" or "))]
    OriginOfAnother {
        /// What was given.
        found: String,
        /// The origins that belong to the address.
        expected: Vec<String>,
    },
    /// The words are wrong.
    #[error(transparent)]
    Pairs(#[from] PairsError),
    /// The file is no PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Something else than a certificate is in the chain.
    #[error("expected {CERTIFICATE} blocks, found {found:?}")]
    UnexpectedPem {
        /// Its label.
        found: String,
    },
}

/// Makes an authority of its words and its chain in PEM: for a Fulcio the issuing certificate first, for a timestamp
/// authority the one that signs; the root last.
///
/// Where no start is said, it is the moment from which all certificates are valid.
///
/// # Errors
/// `Authority`, `Certificate`, `FirstIsLeaf`, `FirstIsCa`, `Pairs`, `Pem`, `UnexpectedPem`.
pub fn authority(
    part: TrustPart,
    pairs: &Pairs,
    chain: &str,
) -> Result<CertificateAuthority, CreateError> {
    let uri = pairs.url()?.to_owned();
    let certificates = certificates(chain)?;
    let is_tsa = part == TrustPart::TimestampAuthorities;
    match certificates.first() {
        Some(first) if is_tsa && first.is_ca() => return Err(CreateError::FirstIsCa),
        Some(first) if !is_tsa && !first.is_ca() => return Err(CreateError::FirstIsLeaf),
        _ => {}
    }
    let start = certificates.iter().map(Certificate::not_before).max();
    let range = pairs.range(start)?;
    let subject = certificates.last().map(subject);
    let raw = |each: &Certificate| RawCertificate {
        raw_bytes: each.der().to_vec(),
    };
    let cert_chain = CertificateChain {
        certificates: certificates.iter().map(raw).collect(),
    };
    // The links are verified now, by the one who knows the file, and not first by whoever gets it.
    Authority::new(certificates, Validity::default(), &uri)?;
    Ok(CertificateAuthority {
        subject,
        uri,
        cert_chain,
        valid_for: Some(range),
        operator: String::new(),
    })
}

fn certificates(chain: &str) -> Result<Vec<Certificate>, CreateError> {
    let mut certificates = Vec::new();
    for (index, block) in pem::decode_all(chain)?.into_iter().enumerate() {
        if block.label != CERTIFICATE {
            let found = block.label;
            return Err(CreateError::UnexpectedPem { found });
        }
        let certificate = Certificate::parse(&block.der);
        certificates.push(certificate.map_err(|error| CreateError::Certificate { index, error })?);
    }
    Ok(certificates)
}

/// Returns the certificate's name; sigstore-python wants one, be it empty.
fn subject(certificate: &Certificate) -> DistinguishedName {
    fn read(name: &[u8]) -> Result<DistinguishedName, Asn1Error> {
        let mut subject = DistinguishedName::default();
        let mut sets = asn1::only_sequence(name)?;
        while !sets.is_empty() {
            let mut attribute = sets.expect(tag::SET)?.reader().sequence()?;
            let id = attribute.expect(tag::OID)?.content;
            let value = String::from_utf8_lossy(attribute.tlv()?.content).into_owned();
            // spec: X.520: commonName is 2.5.4.3, organizationName 2.5.4.10.
            match id {
                [0x55, 0x04, 0x03] => subject.common_name = value,
                [0x55, 0x04, 0x0a] => subject.organization = value,
                _ => {}
            }
        }
        Ok(subject)
    }
    read(certificate.subject()).unwrap_or_default()
}

/// Makes a log of its words and its key in PEM. Its start must be said: unlike a certificate, a key has no dates.
///
/// # Errors
/// `Key`, `KeyKind`, `NoOrigin`, `OriginOfAnother`, `OriginUnused`, `Pairs`.
pub fn log(part: TrustPart, pairs: &Pairs, key: &str) -> Result<TransparencyLog, CreateError> {
    let base_url = pairs.url()?.to_owned();
    let key = PublicKey::from_pem(key)?;
    let details = key.details().ok_or(CreateError::KeyKind(key.kind()))?;
    let id = log_id(part, pairs.optional(ORIGIN), &base_url, &key)?;
    let range = pairs.range(None)?;
    Ok(TransparencyLog {
        base_url,
        hash_algorithm: "SHA2_256".to_owned(),
        public_key: LogKey {
            raw_bytes: key.spki().to_vec(),
            key_details: details.name().to_owned(),
            valid_for: Some(range),
        },
        log_id: LogId {
            key_id: id.to_vec(),
        },
        // sigstore-js takes a 4-byte id given here for the whole one, and then finds no log.
        checkpoint_key_id: None,
        operator: String::new(),
    })
}

/// Returns the id of a log, which for a checkpoint's key is also the id in the note, in full length.
fn log_id(
    part: TrustPart,
    origin: Option<&str>,
    url: &str,
    key: &PublicKey,
) -> Result<[u8; 32], CreateError> {
    let is_rekor = part == TrustPart::Tlogs;
    let is_ecdsa = matches!(
        key.kind(),
        KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::EcdsaP521
    );
    match (origin, key.kind()) {
        (None, KeyKind::Ed25519) if is_rekor => Err(CreateError::NoOrigin),
        // spec: RFC 6962 §3.2; Sigstore trust root: a CT log's, and an older Rekor's, is SHA-256 of its key.
        (None, _) => Ok(key.key_id()),
        (Some(origin), KeyKind::Ed25519) if is_rekor => {
            require_origin_of(url, origin)?;
            let other = || origin_of_another(url, origin);
            lint::note_id(origin, key).ok_or_else(other)
        }
        // spec: C2SP signed-note: the id of an ECDSA key is SHA-256 of the key, whatever the origin.
        (Some(origin), _) if is_ecdsa => {
            if is_rekor {
                require_origin_of(url, origin)?;
            }
            Ok(key.key_id())
        }
        (Some(found), _) => Err(CreateError::OriginUnused {
            found: found.to_owned(),
        }),
    }
}

/// Requires that clients find the log by its address, in which they look for the origin.
fn require_origin_of(url: &str, origin: &str) -> Result<(), CreateError> {
    if lint::origins(url).contains(&origin) {
        return Ok(());
    }
    Err(origin_of_another(url, origin))
}

fn origin_of_another(url: &str, origin: &str) -> CreateError {
    let mut expected: Vec<String> = lint::origins(url).map(str::to_owned).into();
    expected.dedup();
    CreateError::OriginOfAnother {
        found: origin.to_owned(),
        expected,
    }
}

/// The entries that are added to a trusted root, and what is taken out of it before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    /// Issuers of signing certificates.
    pub certificate_authorities: Vec<CertificateAuthority>,
    /// Logs of certificates.
    pub ctlogs: Vec<TransparencyLog>,
    /// Timestamp authorities.
    pub timestamp_authorities: Vec<CertificateAuthority>,
    /// Logs of signatures.
    pub tlogs: Vec<TransparencyLog>,
    /// The lists of the other file that are left out.
    pub without: Vec<TrustPart>,
}

/// A trusted root, and what was found in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The file.
    pub root: TrustedRoot,
    /// What is wrong or unwise in it, errors first.
    pub findings: Vec<Finding>,
    /// The errors among them that its base does not have: it is not to be handed out.
    pub refused: Vec<Finding>,
}

/// Adds entries to a trusted root, or to nothing; each list begins with what is oldest.
///
/// What stood there stays: signatures of before are verified by it.
///
/// # Errors
/// Any [`TrustFileError`], when the whole is too large.
pub fn create(
    base: Option<TrustedRoot>,
    additions: Additions,
    now: UnixTime,
) -> Result<Created, TrustFileError> {
    let empty = TrustedRoot {
        media_type: String::new(),
        tlogs: vec![],
        certificate_authorities: vec![],
        ctlogs: vec![],
        timestamp_authorities: vec![],
    };
    let mut root = base.unwrap_or(empty);
    MEDIA_TYPE.clone_into(&mut root.media_type);
    for part in additions.without {
        match part {
            TrustPart::CertificateAuthorities => root.certificate_authorities.clear(),
            TrustPart::Ctlogs => root.ctlogs.clear(),
            TrustPart::TimestampAuthorities => root.timestamp_authorities.clear(),
            TrustPart::Tlogs => root.tlogs.clear(),
        }
    }
    // Places shift when lists are sorted: what is new is found out before.
    let known = lint::lint(&root.to_json(), now)?;
    root.certificate_authorities
        .extend(additions.certificate_authorities);
    root.ctlogs.extend(additions.ctlogs);
    root.timestamp_authorities
        .extend(additions.timestamp_authorities);
    root.tlogs.extend(additions.tlogs);
    let refused = lint::lint(&root.to_json(), now)?;
    let refused = refused
        .into_iter()
        .filter(|each| each.severity() == Severity::Error && !known.contains(each))
        // With managed keys alone nobody needs to tell the time.
        .filter(|each| !matches!(each, Finding::NoTimestampAuthority { .. }))
        .collect();
    sort(&mut root);
    let findings = lint::lint(&root.to_json(), now)?;
    Ok(Created {
        root,
        findings,
        refused,
    })
}

fn sort(root: &mut TrustedRoot) {
    let start = |range: &Option<TimeRange>| {
        let validity = range.as_ref().and_then(TimeRange::to_validity);
        validity.and_then(|validity| validity.start)
    };
    for authorities in [
        &mut root.certificate_authorities,
        &mut root.timestamp_authorities,
    ] {
        authorities.sort_by_key(|each| start(&each.valid_for));
    }
    for logs in [&mut root.tlogs, &mut root.ctlogs] {
        logs.sort_by_key(|each| start(&each.public_key.valid_for));
    }
}
