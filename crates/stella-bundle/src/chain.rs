//! Certification paths: who issued a certificate, and whether every link allowed it at a given time.
//!
//! Paths in this field have one to four certificates and explicit candidates, so the check is written out: time of
//! every certificate, CA, path length, key usage, purposes, name constraints, unknown critical extensions.

mod constraints;

use const_oid::ObjectIdentifier;

use crate::certificate::{self, ANY_PURPOSE, Certificate, TIME_STAMPING};
use crate::memo::Memo;
use crate::time::{UnixTime, Validity};

/// Longer paths than this are not searched for.
const MAX_PATH: usize = 8;

/// The ways in which a chain is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No certificate of a trusted authority issued it.
    #[error("issued by {issuer:?}, which no trusted authority signs for")]
    UnknownIssuer {
        /// The issuer's name as text.
        issuer: String,
    },
    /// A certificate of the path is not valid at the signing time.
    #[error("certificate {subject:?} is valid from {not_before} to {not_after}, not at {time}")]
    NotValidAt {
        /// The certificate's name as text.
        subject: String,
        /// First moment of validity.
        not_before: UnixTime,
        /// Last second of validity.
        not_after: UnixTime,
        /// The time in question.
        time: UnixTime,
    },
    /// The authority was not in service at the signing time.
    #[error("authority {authority:?} was trusted {validity}, not at {time}")]
    AuthorityNotValidAt {
        /// Its address.
        authority: String,
        /// When it is trusted.
        validity: Validity,
        /// The time in question.
        time: UnixTime,
    },
    /// An issuing certificate is not a CA's.
    #[error("certificate {subject:?} issues without being a CA")]
    NotCa {
        /// Its name as text.
        subject: String,
    },
    /// A leaf is a CA.
    #[error("signing certificate is a CA")]
    LeafIsCa,
    /// A path is longer than an issuing certificate allows.
    #[error("certificate {subject:?} allows {allowed} CAs below it, there are {found}")]
    PathLength {
        /// Its name as text.
        subject: String,
        /// pathLenConstraint.
        allowed: u64,
        /// CAs below.
        found: u64,
    },
    /// keyUsage is absent or forbids what the certificate does.
    #[error("certificate {subject:?} lacks the key usage {needed}")]
    KeyUsage {
        /// Its name as text.
        subject: String,
        /// `digitalSignature` or `keyCertSign`.
        needed: &'static str,
    },
    /// extKeyUsage is absent or does not list the purpose.
    #[error("certificate {subject:?} is not for {purpose}")]
    Purpose {
        /// Its name as text.
        subject: String,
        /// `codeSigning` or `timeStamping`.
        purpose: Purpose,
    },
    /// A critical extension is not understood (RFC 5280 §4.2).
    #[error("certificate {subject:?} has the unknown critical extension {id}")]
    UnknownCriticalExtension {
        /// Its name as text.
        subject: String,
        /// The extension's OID.
        id: String,
    },
    /// A name is outside of what an issuing certificate allows.
    #[error("name {name:?} is outside of the constraints of {subject:?}")]
    NameConstraint {
        /// The issuing certificate's name as text.
        subject: String,
        /// The name.
        name: String,
    },
    /// Name constraints are of a form that this crate does not evaluate.
    #[error("certificate {subject:?} has name constraints that cannot be evaluated")]
    UnsupportedConstraint {
        /// The issuing certificate's name as text.
        subject: String,
    },
}

/// What a leaf is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signing artifacts.
    CodeSigning,
    /// Signing timestamps.
    TimeStamping,
}

impl Purpose {
    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::CodeSigning => certificate::CODE_SIGNING,
            Self::TimeStamping => certificate::TIME_STAMPING,
        }
    }
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::CodeSigning => "codeSigning",
            Self::TimeStamping => "timeStamping",
        })
    }
}

/// A trusted chain: its certificates issue each other in order, the last one is the anchor.
#[derive(Clone, Debug)]
pub struct Authority {
    certificates: Vec<Certificate>,
    validity: Validity,
    uri: String,
}

/// A trusted chain does not hold together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// It has no certificate.
    #[error("chain is empty")]
    Empty,
    /// A certificate is not signed by the next one.
    #[error("certificate {index} of the chain is not signed by the next one")]
    BrokenLink {
        /// Which, from 0.
        index: usize,
    },
}

impl Authority {
    /// Returns the authority, once its chain is seen to hold together. This verifies one signature a link, once.
    ///
    /// # Errors
    /// `Empty`, `BrokenLink`.
    pub fn new(
        certificates: Vec<Certificate>,
        validity: Validity,
        uri: &str,
    ) -> Result<Self, AuthorityError> {
        if certificates.is_empty() {
            return Err(AuthorityError::Empty);
        }
        for (index, pair) in certificates.windows(2).enumerate() {
            let [child, parent] = pair else { continue };
            if !child.is_signed_by(parent, &Memo::default()) {
                return Err(AuthorityError::BrokenLink { index });
            }
        }
        Ok(Self {
            certificates,
            validity,
            uri: uri.to_owned(),
        })
    }

    /// Returns the certificates, the issuing one first.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Returns the address, for reports.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Returns the time in which the authority is trusted.
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Requires that the authority was in service at `time`.
    ///
    /// # Errors
    /// `AuthorityNotValidAt`.
    pub fn require_valid_at(&self, time: UnixTime) -> Result<(), ChainError> {
        if self.validity.contains(time) {
            return Ok(());
        }
        let authority = self.uri.clone();
        Err(ChainError::AuthorityNotValidAt {
            authority,
            validity: self.validity,
            time,
        })
    }
}

/// A path from a leaf to an anchor: every signature on it is verified. Times and purposes are asked separately.
#[derive(Clone, Debug)]
pub struct Path<'a> {
    leaf: &'a Certificate,
    /// The issuers in order, the anchor last.
    issuers: Vec<&'a Certificate>,
    authority: &'a Authority,
}

impl<'a> Path<'a> {
    /// Finds the path of `leaf` through `intermediates` (untrusted) into one of `authorities`.
    ///
    /// # Errors
    /// `UnknownIssuer`.
    pub fn find(
        leaf: &'a Certificate,
        intermediates: &'a [Certificate],
        authorities: &'a [Authority],
        memo: &Memo,
    ) -> Result<Self, ChainError> {
        for authority in authorities {
            // A timestamp authority's own leaf is listed as trusted.
            if let Some(at) = authority.certificates.iter().position(|each| each == leaf) {
                let issuers = authority.certificates[at + 1..].iter().collect();
                return Ok(Self {
                    leaf,
                    issuers,
                    authority,
                });
            }
            if let Some(issuers) = climb(leaf, intermediates, authority, memo) {
                return Ok(Self {
                    leaf,
                    issuers,
                    authority,
                });
            }
        }
        Err(ChainError::UnknownIssuer {
            issuer: leaf.issuer_text(),
        })
    }

    /// Returns the authority in which the path ends.
    pub const fn authority(&self) -> &'a Authority {
        self.authority
    }

    /// Returns the leaf's issuer: the certificate whose key SCTs name.
    pub fn issuer(&self) -> &'a Certificate {
        self.issuers.first().copied().unwrap_or(self.leaf)
    }

    /// Requires that leaf, issuers and authority were good at `time`, and that the path is one for `purpose`.
    ///
    /// # Errors
    /// Any [`ChainError`] but `UnknownIssuer`.
    pub fn require(&self, purpose: Purpose, time: UnixTime) -> Result<(), ChainError> {
        self.authority.require_valid_at(time)?;
        require_leaf(self.leaf, purpose, time)?;
        let anchor = self.issuers.len().saturating_sub(1);
        for (depth, issuer) in self.issuers.iter().enumerate() {
            require_time(issuer, time)?;
            require_known_extensions(issuer)?;
            require_ca(issuer, self.below(depth), depth == anchor)?;
            require_chained_purpose(issuer, purpose)?;
            for certificate in std::iter::once(&self.leaf).chain(&self.issuers[..depth]) {
                constraints::require(issuer, certificate)?;
            }
        }
        Ok(())
    }

    /// Requires that no issuer on the path was retired: one that the trusted root lists must be in service by some entry.
    ///
    /// Without this a retired intermediate could come back inside a bundle and climb to the root of its successor.
    ///
    /// # Errors
    /// `AuthorityNotValidAt`.
    pub fn require_none_retired(
        &self,
        authorities: &[Authority],
        time: UnixTime,
    ) -> Result<(), ChainError> {
        for issuer in &self.issuers {
            let listing = |each: &&Authority| each.certificates.contains(issuer);
            let mut lists = authorities.iter().filter(listing).peekable();
            let Some(first) = lists.peek().copied() else {
                continue;
            };
            if !lists.any(|each| each.validity.contains(time)) {
                first.require_valid_at(time)?;
            }
        }
        Ok(())
    }

    /// Counts the CAs below the issuer at `depth`; self-issued ones do not count (RFC 5280 §4.2.1.9).
    fn below(&self, depth: usize) -> u64 {
        self.issuers[..depth]
            .iter()
            .filter(|each| !each.is_self_issued())
            .count() as u64
    }
}

fn climb<'a>(
    leaf: &'a Certificate,
    intermediates: &'a [Certificate],
    authority: &'a Authority,
    memo: &Memo,
) -> Option<Vec<&'a Certificate>> {
    let mut path: Vec<&Certificate> = Vec::new();
    let mut current = leaf;
    while path.len() < MAX_PATH {
        let trusted = &authority.certificates;
        if let Some(at) = trusted
            .iter()
            .position(|issuer| current.is_signed_by(issuer, memo))
        {
            path.extend(&trusted[at..]);
            return Some(path);
        }
        let unused = |each: &&Certificate| !path.contains(each) && current.is_signed_by(each, memo);
        let next = intermediates.iter().find(unused)?;
        path.push(next);
        current = next;
    }
    None
}

fn require_leaf(leaf: &Certificate, purpose: Purpose, time: UnixTime) -> Result<(), ChainError> {
    require_time(leaf, time)?;
    require_known_extensions(leaf)?;
    if leaf
        .basic_constraints()
        .is_some_and(|constraints| constraints.is_ca)
    {
        return Err(ChainError::LeafIsCa);
    }
    let subject = || leaf.subject_text();
    // spec: RFC 3161 §2.3 asks for no keyUsage of a TSA; where it is there it must allow signatures.
    let signs = match (leaf.key_usage(), purpose) {
        (Some(usage), Purpose::CodeSigning) => usage.digital_signature,
        // spec: RFC 5280 §4.2.1.12: timeStamping goes with either.
        (Some(usage), Purpose::TimeStamping) => usage.digital_signature || usage.content_commitment,
        (None, Purpose::TimeStamping) => true,
        (None, Purpose::CodeSigning) => false,
    };
    if !signs {
        return Err(ChainError::KeyUsage {
            subject: subject(),
            needed: "digitalSignature",
        });
    }
    let listed = match (leaf.extended_key_usage(), purpose) {
        (Some(usage), Purpose::CodeSigning) => usage.has(&certificate::CODE_SIGNING),
        // spec: RFC 3161 §2.3: timeStamping, critical, and nothing else.
        (Some(usage), Purpose::TimeStamping) => {
            usage.critical && usage.purposes.len() == 1 && usage.has(&TIME_STAMPING)
        }
        (None, _) => false,
    };
    if listed {
        Ok(())
    } else {
        Err(ChainError::Purpose {
            subject: subject(),
            purpose,
        })
    }
}

fn require_time(certificate: &Certificate, time: UnixTime) -> Result<(), ChainError> {
    if certificate.is_valid_at(time) {
        return Ok(());
    }
    Err(ChainError::NotValidAt {
        subject: certificate.subject_text(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        time,
    })
}

fn require_known_extensions(certificate: &Certificate) -> Result<(), ChainError> {
    match certificate.unknown_critical_extension() {
        Some(id) => {
            let subject = certificate.subject_text();
            Err(ChainError::UnknownCriticalExtension { subject, id })
        }
        None => Ok(()),
    }
}

fn require_ca(issuer: &Certificate, below: u64, is_anchor: bool) -> Result<(), ChainError> {
    let subject = || issuer.subject_text();
    let Some(constraints) = issuer
        .basic_constraints()
        .filter(|constraints| constraints.is_ca)
    else {
        return Err(ChainError::NotCa { subject: subject() });
    };
    if let Some(allowed) = constraints.path_length.filter(|allowed| below > *allowed) {
        return Err(ChainError::PathLength {
            subject: subject(),
            allowed,
            found: below,
        });
    }
    match issuer.key_usage() {
        Some(usage) if usage.certificate_sign => Ok(()),
        // An anchor is trusted for its name and key (RFC 5280 §6.1.1); old roots have no keyUsage.
        None if is_anchor => Ok(()),
        _ => Err(ChainError::KeyUsage {
            subject: subject(),
            needed: "keyCertSign",
        }),
    }
}

/// Purposes on a CA narrow what is below it, as Go and the Sigstore specification have it.
fn require_chained_purpose(issuer: &Certificate, purpose: Purpose) -> Result<(), ChainError> {
    match issuer.extended_key_usage() {
        Some(usage) if !usage.has(&purpose.oid()) && !usage.has(&ANY_PURPOSE) => {
            Err(ChainError::Purpose {
                subject: issuer.subject_text(),
                purpose,
            })
        }
        _ => Ok(()),
    }
}
