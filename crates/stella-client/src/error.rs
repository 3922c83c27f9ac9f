//! The ways in which a service, or what it answered, is of no use.
//!
//! *Refused* and *unavailable* never mix: whether a gate may fail open depends on it. What a person can do about an
//! error is said by the command, from the data here.

use std::fmt;

use http::StatusCode;
use stella_bundle::certificate::CertificateError;
use stella_bundle::chain::ChainError;
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_bundle::timestamp::TimestampError;
use stella_bundle::trusted_root::TrustFileError;
use stella_bundle::tuf::TufError;
use stella_bundle::verify::{Check, EntryError, VerifyError};
use stella_keys::KeyError;
use stella_wire::fulcio::FulcioError;
use stella_wire::oidc::OidcError;
use stella_wire::rekor::RekorError;
use stella_wire::transport::TransportError;

use crate::oidc::{ProviderError, TokenError};
use crate::registry::RegistryProblem;
use crate::retry;
use crate::witness::WitnessProblem;

/// Who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Service {
    /// Whoever holds an artifact.
    Artifact,
    /// The certificate authority.
    Fulcio,
    /// The token endpoint of a CI runner, or an issuer.
    OidcProvider,
    /// The registry of images.
    Registry,
    /// The transparency log.
    Rekor,
    /// Where trust files are fetched.
    Trust,
    /// The timestamp authority.
    Tsa,
    /// A witness of trees.
    Witness,
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Artifact => "the artifact's server",
            Self::Fulcio => "the certificate authority (Fulcio)",
            Self::OidcProvider => "the OIDC provider",
            Self::Registry => "the registry",
            Self::Rekor => "the transparency log (Rekor)",
            Self::Trust => "the trust configuration's server",
            Self::Tsa => "the timestamp authority",
            Self::Witness => "the witness",
        })
    }
}

/// Everything that can go wrong between a request and an answer that may be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The service does not know who asks, or does not let them.
    #[error("{service} at {address} refused access: {}", said(*status, message, reason.as_deref()))]
    AccessRefused {
        /// Who was asked.
        service: Service,
        /// Where.
        address: String,
        /// 401 or 403.
        status: u16,
        /// What the service says, for people; shown escaped.
        message: String,
        /// What it says for machines, such as `SECRET_WRONG`.
        reason: Option<String>,
    },
    /// The address of a service is not one.
    #[error("{address:?} is not an address for {service}")]
    Address {
        /// Who was to be asked.
        service: Service,
        /// What was configured.
        address: String,
    },
    /// The answer is not what the protocol says, or not about what was asked.
    #[error("unusable answer of {service}: {problem}")]
    Answer {
        /// Who answered.
        service: Service,
        /// What is wrong with it.
        #[source]
        problem: AnswerProblem,
    },
    /// The certificate that came back is not the one that was asked for, or not to be trusted.
    #[error(transparent)]
    Certificate(#[from] CertificateProblem),
    /// The log's answer proves nothing.
    #[error(transparent)]
    Entry(#[from] EntryProblem),
    /// Our own key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No token was given, and no provider is configured here.
    #[error("no identity token: none was given and no CI runner offers one")]
    NoToken,
    /// The provider that is configured gives no token.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The service understood and said no.
    #[error("{service} at {address} refused the request: {}", said(*status, message, reason.as_deref()))]
    Refused {
        /// Who was asked.
        service: Service,
        /// Where.
        address: String,
        /// HTTP status.
        status: u16,
        /// What the service says, for people; shown escaped.
        message: String,
        /// What it says for machines, such as `TOKEN_EXPIRED`.
        reason: Option<String>,
    },
    /// The timestamp is not about what was sent, or not to be trusted.
    #[error(transparent)]
    Timestamp(#[from] TimestampProblem),
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The trust configuration cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustProblem),
    /// Nobody answered, or the service says that it cannot now.
    #[error("{service} at {address} is unavailable: {problem}")]
    Unavailable {
        /// Who was asked.
        service: Service,
        /// Where.
        address: String,
        /// What happened last.
        #[source]
        problem: Unavailability,
    },
    /// The cosignature is not what was asked for.
    #[error(transparent)]
    Witness(#[from] WitnessProblem),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailability {
    /// No answer came.
    #[error("{0}")]
    NoAnswer(#[from] TransportError),
    /// The answer says: not now.
    #[error("HTTP {status}{}", if message.is_empty() { String::new() } else { format!(": {message:?}") })]
    Status {
        /// HTTP status: 408, 429 or 5xx.
        status: u16,
        /// What the service says, for people; shown escaped.
        message: String,
    },
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerProblem {
    /// Not Fulcio's words.
    #[error("{0}")]
    Fulcio(FulcioError),
    /// The Workload API names no JWT-SVID.
    #[error("the Workload API's answer holds no JWT-SVID")]
    NoJwtSvid,
    /// Somebody else has the address of Google's metadata server.
    #[error("what answers is not Google's metadata server (no header Metadata-Flavor: Google)")]
    NotMetadataServer,
    /// Not OpenID Connect's words.
    #[error("{0}")]
    Oidc(OidcError),
    /// Not a registry's words, or not about what was asked.
    #[error("{0}")]
    Registry(RegistryProblem),
    /// Not Rekor's words.
    #[error("{0}")]
    Rekor(RekorError),
    /// A status that the protocol does not know.
    #[error("HTTP {status} was not expected")]
    Status {
        /// HTTP status.
        status: u16,
    },
    /// Larger than any honest answer.
    #[error("the answer of {length} bytes is larger than {limit}")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Why a certificate is not the one that was asked for, or not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// The chain does not end in the root bundle that narrows the trusted root.
    #[error("the certificate's chain ends in {anchor:?}, which the root bundle does not hold")]
    AnchorNotInRootBundle {
        /// The anchor's name as text.
        anchor: String,
    },
    /// The chain leads nowhere trusted, or does not allow signing now.
    #[error("{0}")]
    Chain(#[from] ChainError),
    /// The certificate is for somebody else.
    #[error("the certificate is for {part} {found:?}, the token for {expected:?}")]
    IdentityMismatch {
        /// Which part differs.
        part: IdentityPart,
        /// What the token says.
        expected: String,
        /// What the certificate says; empty where it says nothing.
        found: String,
    },
    /// The certificate certifies another key.
    #[error("the certificate is for another key than the one that was sent")]
    KeyMismatch,
    /// A certificate of the answer is not one.
    #[error("certificate {index} of the answer: {problem}")]
    Malformed {
        /// Its place, from 0, the leaf.
        index: usize,
        /// What is wrong with it.
        problem: CertificateError,
    },
    /// The certificate is not valid now, even by a clock that is a minute off.
    #[error(
        "the certificate is valid from {not_before} to {not_after}, now is {now}: check this machine's clock"
    )]
    NotValidNow {
        /// First moment of validity.
        not_before: UnixTime,
        /// Last second of validity.
        not_after: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// Another check of a verifier fails, such as that for an SCT of a trusted log.
    #[error("{0}")]
    Untrusted(VerifyError),
}

impl From<VerifyError> for CertificateProblem {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Chain(problem) => Self::Chain(problem),
            other => Self::Untrusted(other),
        }
    }
}

/// Why a log's answer proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryProblem {
    /// This kind of key cannot be logged.
    #[error("{} is not logged by Rekor v2", details.name())]
    KeyNotLogged {
        /// How the key signs.
        details: KeyDetails,
    },
    /// The entries that a log shows are not those that it signed.
    #[error("the entries that the log shows are not the tree that it signed")]
    NotTheTree,
    /// There is no inclusion proof.
    #[error("the entry with index {index} came without an inclusion proof")]
    ProofMissing {
        /// The entry's index, as the log says.
        index: i64,
    },
    /// The entry does not hold.
    #[error("the log's answer does not hold: {0}")]
    Untrusted(EntryError),
}

/// Why a timestamp is not to be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampProblem {
    /// Not a token.
    #[error("{0}")]
    Malformed(#[from] TimestampError),
    /// The answer repeats another number than was sent: it may be an old one.
    #[error("the timestamp does not repeat our nonce")]
    NonceMismatch,
    /// Its time is not now, even by a clock that is five minutes off.
    #[error("the timestamp says {time}, now is {now}: check this machine's clock")]
    NotNow {
        /// What the token says.
        time: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// No timestamp authority of the trusted root signed it.
    #[error("the timestamp is by an authority that the trusted root does not know")]
    UnknownAuthority,
    /// Its signature, imprint or chain is wrong.
    #[error("{0}")]
    Untrusted(VerifyError),
}

/// Parts of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityPart {
    /// The alternative name, for e-mail identities.
    AlternativeName,
    /// The issuer extension (…57264.1.8).
    Issuer,
    /// The Token Subject extension (…57264.1.24).
    TokenSubject,
}

impl fmt::Display for IdentityPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::AlternativeName => "the alternative name",
            Self::Issuer => "the issuer",
            Self::TokenSubject => "the token subject",
        })
    }
}

/// Why a trust configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustProblem {
    /// The file is not one.
    #[error("{0}")]
    File(#[from] TrustFileError),
    /// The fingerprint is another.
    #[error("the trusted root has the digest {found}, expected {expected}")]
    Fingerprint {
        /// What was given.
        expected: String,
        /// What was fetched.
        found: String,
    },
    /// A root from elsewhere needs a fingerprint that came another way.
    #[error("a trusted root from {address} needs its fingerprint, told another way")]
    FingerprintMissing {
        /// Whence.
        address: String,
    },
    /// A root from elsewhere needs https.
    #[error("a trusted root is fetched by https, but for the loopback: {address}")]
    NotHttps {
        /// Whence.
        address: String,
    },
    /// The metadata of a TUF repository, or a file that it publishes, is not to be believed.
    #[error("{0}")]
    Tuf(#[from] TufError),
}

/// What an error means to a gate and to an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// 31: the caller is not known or not allowed.
    Access,
    /// 23: a certificate, its chain or a timestamp is not to be trusted.
    Chain,
    /// 20: another identity than asked for.
    Identity,
    /// 40: our own key.
    Key,
    /// 24: proof, checkpoint, entry or SCT missing or bad.
    Log,
    /// 1: an answer or a refusal that fits nothing else.
    Refused,
    /// 32: the token is expired, or for somebody else.
    Token,
    /// 30: the service cannot be reached, or cannot now.
    Unavailable,
    /// 2: what was configured cannot be used.
    Usage,
}

impl ClientError {
    /// Makes the error of an answer that is not to be used.
    pub const fn answer(service: Service, problem: AnswerProblem) -> Self {
        Self::Answer { service, problem }
    }

    /// Says whether the same request may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let Self::Unavailable { problem, .. } = self else {
            return false;
        };
        match problem {
            Unavailability::NoAnswer(error) => error.is_transient(),
            Unavailability::Status { status, .. } => {
                StatusCode::from_u16(*status).is_ok_and(retry::is_transient_status)
            }
        }
    }

    /// Says what the error means to a gate.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::AccessRefused { .. } | Self::Provider(_) => ErrorClass::Access,
            Self::Address { .. } | Self::Trust(_) | Self::NoToken => ErrorClass::Usage,
            Self::Answer { .. } => ErrorClass::Refused,
            Self::Certificate(problem) => match problem {
                CertificateProblem::IdentityMismatch { .. } => ErrorClass::Identity,
                CertificateProblem::Untrusted(error) if error.check() == Check::Sct => {
                    ErrorClass::Log
                }
                _ => ErrorClass::Chain,
            },
            Self::Entry(_) => ErrorClass::Log,
            Self::Key(_) => ErrorClass::Key,
            // The instance's own issuer names the request for a token, not the token.
            Self::Refused {
                reason: Some(reason),
                ..
            } if reason == "TOKEN_REQUEST_INVALID" => ErrorClass::Usage,
            // spec: Fulcio answers 400 to a bad token; ours says which way it is bad.
            Self::Refused {
                reason: Some(reason),
                ..
            } if reason.starts_with("TOKEN_") => ErrorClass::Token,
            Self::Refused { .. } => ErrorClass::Refused,
            Self::Timestamp(_) => ErrorClass::Chain,
            Self::Token(_) => ErrorClass::Token,
            Self::Unavailable { .. } => ErrorClass::Unavailable,
            Self::Witness(_) => ErrorClass::Log,
        }
    }
}

fn said(status: u16, message: &str, reason: Option<&str>) -> String {
    let reason = reason.map_or_else(String::new, |reason| format!(" [{reason}]"));
    if message.is_empty() {
        return format!("HTTP {status}{reason}");
    }
    // Escaped: the text is the service's, and may hold anything.
    format!("{message:?}{reason} (HTTP {status})")
}
