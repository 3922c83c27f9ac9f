//! The ways to be refused. Every variant is one, with the data that tells expected from found.

use stella_tlog::checkpoint::CheckpointError;
use stella_tlog::note::NoteError;
use stella_tlog::proof::ProofError;

use super::report::Check;
use crate::certificate::CertificateError;
use crate::chain::ChainError;
use crate::digest::{Digest, DigestAlgorithm};
use crate::entry::KindVersion;
use crate::identity::Compared;
use crate::json::JsonError;
use crate::key::KeyError;
use crate::sct::SctError;
use crate::statement::StatementError;
use crate::time::{UnixTime, Validity};
use crate::timestamp::TimestampError;

/// Why a bundle is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// No artifact was given, so nothing can be said about one.
    #[error("no artifact was given to compare with")]
    ArtifactNotCompared,
    /// The signature verifies no artifact of this digest algorithm.
    #[error("the signature needs a {needed:?} digest of the artifact, which was not given")]
    ArtifactDigestNeeded {
        /// Which.
        needed: DigestAlgorithm,
    },
    /// A signature over whole messages needs the artifact's bytes.
    #[error("this kind of key signs the whole artifact: give the file, not its digest")]
    ArtifactBytesNeeded,
    /// The bundle is signed with a certificate, the policy asks for a key.
    #[error("signed with a certificate, the policy asks for a key")]
    CertificateNotWanted,
    /// No path of trusted certificates leads to the leaf, or one of them did not allow it.
    #[error("certificate chain invalid: {0}")]
    Chain(#[from] ChainError),
    /// An entry of a known log is wrong.
    #[error("log entry {index}: {error}")]
    Entry {
        /// Which entry of the bundle, from 0.
        index: usize,
        /// What is wrong.
        error: EntryError,
    },
    /// Evidence claims to be from the future.
    #[error("the timestamp says {time}, the clock says {now}: check this machine's clock")]
    FromTheFuture {
        /// The evidence's time.
        time: UnixTime,
        /// The caller's clock.
        now: UnixTime,
    },
    /// The signer is none of those who may sign.
    #[error("identity mismatch: {}", describe(compared))]
    IdentityMismatch {
        /// The comparisons made, one list for each acceptable identity.
        compared: Vec<Vec<Compared>>,
    },
    /// The managed key was not valid when it signed.
    #[error("the key is valid {validity}, the signature is of {time}")]
    KeyNotValidAt {
        /// When the policy accepts the key.
        validity: Validity,
        /// The signing time, or the caller's clock when nothing tells it.
        time: UnixTime,
    },
    /// The bundle names another key.
    #[error("the bundle names the key {found:?}, none of the given keys has this name")]
    KeyHintMismatch {
        /// The hint.
        found: String,
    },
    /// A certificate of the bundle is malformed.
    #[error("certificate {index}: {error}")]
    MalformedCertificate {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        error: CertificateError,
    },
    /// The digest that the signer noted is not the artifact's.
    #[error("the bundle is about {noted}, the artifact is {artifact}")]
    MessageDigestMismatch {
        /// What the bundle notes.
        noted: Digest,
        /// What was given.
        artifact: Digest,
    },
    /// There is no certificate and no key was given.
    #[error("signed with a managed key: give it with --key")]
    NoCertificate,
    /// Nobody said who may sign.
    #[error("no identity was given, so nobody is verified as the signer")]
    NoIdentityGiven,
    /// The subjectAltName is not exactly one name that identifies a signer.
    #[error("certificate has {found} names, expected exactly one that identifies a signer")]
    NotOneName {
        /// How many there are.
        found: usize,
    },
    /// Fewer logs hold an entry that counts than the policy asks for.
    #[error("Rekor proof missing: {found} logs count, {wanted} needed{}", reasons_text(.reasons))]
    NotEnoughEntries {
        /// How many the policy asks for.
        wanted: usize,
        /// How many count.
        found: usize,
        /// Why others do not count.
        reasons: Vec<EntryError>,
    },
    /// No SCT by a known CT log is there.
    #[error("no SCT by a known CT log: {present} present, {known} by known logs")]
    NotEnoughScts {
        /// How many the certificate carries.
        present: usize,
        /// How many name a known log.
        known: usize,
    },
    /// Fewer authorities of the trusted root told the time than the policy asks for.
    #[error(
        "{found} known authorities tell the signing time, {wanted} needed; {unknown} timestamps are by unknown ones"
    )]
    NotEnoughTimes {
        /// How many the policy asks for.
        wanted: usize,
        /// How many count.
        found: usize,
        /// How many timestamps are of unknown authorities.
        unknown: usize,
    },
    /// Fewer timestamps by known authorities are there than the policy asks for.
    #[error("{found} timestamps by known authorities, {wanted} needed; {unknown} by unknown ones")]
    NotEnoughTimestamps {
        /// How many the policy asks for.
        wanted: usize,
        /// How many count.
        found: usize,
        /// How many are of unknown authorities.
        unknown: usize,
    },
    /// The envelope holds something that is no in-toto statement.
    #[error("payload type {found:?} is not that of an in-toto statement")]
    PayloadType {
        /// What stands there.
        found: String,
    },
    /// The bundle's chain contains a root: trust comes from the trusted root alone.
    #[error(
        "certificate {index} of the bundle is a root; the chain must end below the trusted root"
    )]
    RootInBundle {
        /// Which, from 0.
        index: usize,
    },
    /// An SCT of a known log is wrong.
    #[error("SCT: {0}")]
    Sct(#[from] SctError),
    /// An SCT's log was not in service.
    #[error("CT log was trusted {validity}, the SCT is of {time}")]
    SctLogNotValidAt {
        /// When the log is trusted.
        validity: Validity,
        /// The SCT's time.
        time: UnixTime,
    },
    /// The signature does not verify with the signer's key.
    #[error("{0}")]
    Signature(#[from] KeyError),
    /// The payload is not one of simple signing.
    #[error("not a simple signing payload of cosign: {0}")]
    SimpleSigning(JsonError),
    /// The payload is not a statement.
    #[error("{0}")]
    Statement(#[from] StatementError),
    /// The artifact is not among the subjects.
    #[error("the artifact {artifact} is not among the {subjects} subjects of the statement")]
    SubjectMismatch {
        /// The artifact's digest.
        artifact: String,
        /// How many subjects there are.
        subjects: usize,
    },
    /// A timestamp is malformed, or one of a known authority is wrong.
    #[error("timestamp {index}: {error}")]
    Timestamp {
        /// Which timestamp of the bundle, from 0.
        index: usize,
        /// What is wrong.
        error: TimestampError,
    },
    /// A timestamp's signer was not allowed to sign it.
    #[error("timestamp {index}: {error}")]
    TimestampChain {
        /// Which timestamp of the bundle, from 0.
        index: usize,
        /// What is wrong.
        error: ChainError,
    },
}

/// Why one log entry is wrong, or does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The log's promise does not verify.
    #[error("the log's promise (SET) for entry {index} does not verify")]
    BadPromise {
        /// The entry's index in the log.
        index: i64,
    },
    /// The recorded body does not read as its kind.
    #[error("entry body: {0}")]
    BodyMalformed(#[from] JsonError),
    /// The recorded body is about something else than this bundle.
    #[error("the entry is about another {part} than the bundle")]
    BodyMismatch {
        /// What differs.
        part: BodyPart,
    },
    /// The checkpoint's text is malformed.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The same entry was counted already.
    #[error("the same entry stands twice")]
    Duplicate,
    /// The key of this bundle cannot be in such an entry.
    #[error("this kind of key is not logged by Rekor v2")]
    KeyNotLogged,
    /// The log was not in service at the signing time.
    #[error("log was trusted {validity}, not at {time}")]
    LogNotValidAt {
        /// When the log is trusted.
        validity: Validity,
        /// The signing time.
        time: UnixTime,
    },
    /// The promised time is none at which a log can have been in service.
    #[error("integrated time {seconds} is impossible")]
    ImpossibleTime {
        /// Seconds since 1970.
        seconds: i64,
    },
    /// The message's digest is not known, so the entry cannot be rebuilt.
    #[error("without the artifact the entry cannot be rebuilt")]
    NoMessage,
    /// There is no inclusion proof.
    #[error("no inclusion proof")]
    NoProof,
    /// Fewer witnesses cosigned the checkpoint than the policy asks for.
    #[error("checkpoint is not cosigned by the quorum of witnesses")]
    NotWitnessed,
    /// The checkpoint's signatures are malformed, missing or bad.
    #[error("checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The checkpoint is of another log.
    #[error("checkpoint of {origin:?} is not of the log that the entry names")]
    OriginMismatch {
        /// The checkpoint's origin.
        origin: String,
    },
    /// The proof does not lead to the checkpoint's root.
    #[error("inclusion proof: {0}")]
    Proof(#[from] ProofError),
    /// A proof hash has another length than 32 bytes, or an index is negative.
    #[error("inclusion proof is malformed")]
    ProofMalformed,
    /// The trusted root knows no log of this id.
    #[error("log {id} is not in the trusted root")]
    UnknownLog {
        /// The id in hex.
        id: String,
    },
    /// The kind is none that is verified.
    #[error("entries of kind {0} are not verified")]
    UnsupportedKind(KindVersion),
}

/// What a log entry is about, for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPart {
    /// The digest of the artifact, or of what stands in for it.
    Digest,
    /// The certificate or key.
    Key,
    /// The kind and version that the body itself names.
    Kind,
    /// The envelope's payload.
    Payload,
    /// The envelope's payload type.
    PayloadType,
    /// The signature.
    Signature,
    /// One of signature, key and digest: bodies of Rekor v2 are rebuilt and compared as a whole.
    Whole,
}

impl std::fmt::Display for BodyPart {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Digest => "artifact",
            Self::Key => "certificate or key",
            Self::Kind => "kind of entry",
            Self::Payload => "payload",
            Self::PayloadType => "payload type",
            Self::Signature => "signature",
            Self::Whole => "signature, key or artifact",
        })
    }
}

impl VerifyError {
    /// Returns the check that this error is of.
    pub const fn check(&self) -> Check {
        match self {
            Self::ArtifactNotCompared
            | Self::SimpleSigning(_)
            | Self::SubjectMismatch { .. }
            | Self::Statement(_) => Check::Subject,
            Self::PayloadType { .. } => Check::Subject,
            Self::CertificateNotWanted
            | Self::Chain(_)
            | Self::MalformedCertificate { .. }
            | Self::NoCertificate
            | Self::NotOneName { .. }
            | Self::RootInBundle { .. }
            | Self::KeyHintMismatch { .. }
            | Self::KeyNotValidAt { .. } => Check::Certificate,
            Self::Entry { .. } | Self::NotEnoughEntries { .. } => Check::Log,
            Self::FromTheFuture { .. }
            | Self::NotEnoughTimes { .. }
            | Self::NotEnoughTimestamps { .. }
            | Self::Timestamp { .. }
            | Self::TimestampChain { .. } => Check::Time,
            Self::IdentityMismatch { .. } | Self::NoIdentityGiven => Check::Identity,
            Self::NotEnoughScts { .. } | Self::Sct(_) | Self::SctLogNotValidAt { .. } => Check::Sct,
            Self::ArtifactDigestNeeded { .. }
            | Self::ArtifactBytesNeeded
            | Self::MessageDigestMismatch { .. }
            | Self::Signature(_) => Check::Signature,
        }
    }
}

impl VerifyError {
    /// Returns the name of the page that says what this means and what to do (docs/errors).
    pub const fn page(&self) -> &'static str {
        match self {
            Self::ArtifactNotCompared
            | Self::ArtifactDigestNeeded { .. }
            | Self::ArtifactBytesNeeded => "artifact-needed",
            Self::CertificateNotWanted | Self::KeyHintMismatch { .. } | Self::NoCertificate => {
                "key-or-certificate"
            }
            Self::Chain(_) => "certificate-chain",
            Self::Entry { error, .. } => error.page(),
            Self::FromTheFuture { .. } => "from-the-future",
            Self::IdentityMismatch { .. } => "identity-mismatch",
            Self::KeyNotValidAt { .. } => "key-not-valid",
            Self::MalformedCertificate { .. }
            | Self::NotOneName { .. }
            | Self::RootInBundle { .. } => "malformed-certificate",
            Self::MessageDigestMismatch { .. } | Self::SubjectMismatch { .. } => "subject-mismatch",
            Self::NoIdentityGiven => "no-identity",
            Self::NotEnoughEntries { .. } => "rekor-proof-missing",
            Self::NotEnoughScts { .. } | Self::Sct(_) | Self::SctLogNotValidAt { .. } => "sct",
            Self::NotEnoughTimes { .. } | Self::NotEnoughTimestamps { .. } => "signing-time",
            Self::PayloadType { .. } | Self::SimpleSigning(_) | Self::Statement(_) => {
                "not-a-statement"
            }
            Self::Signature(_) => "bad-signature",
            Self::Timestamp { .. } | Self::TimestampChain { .. } => "bad-timestamp",
        }
    }
}

impl EntryError {
    /// Returns the name of the page that says what this means and what to do (docs/errors).
    pub const fn page(&self) -> &'static str {
        match self {
            Self::BadPromise { .. }
            | Self::Checkpoint(_)
            | Self::Note(_)
            | Self::OriginMismatch { .. }
            | Self::Proof(_)
            | Self::ProofMalformed => "log-proof",
            Self::BodyMalformed(_)
            | Self::BodyMismatch { .. }
            | Self::KeyNotLogged
            | Self::NoMessage
            | Self::UnsupportedKind(_) => "log-entry",
            Self::ImpossibleTime { .. } | Self::LogNotValidAt { .. } => "log-not-valid",
            Self::Duplicate | Self::NoProof | Self::UnknownLog { .. } => "rekor-proof-missing",
            Self::NotWitnessed => "not-witnessed",
        }
    }
}

fn describe(compared: &[Vec<Compared>]) -> String {
    let lines = compared.iter().map(|list| {
        let failed = list.iter().filter(|each| !each.agrees).map(|each| {
            let found = each
                .found
                .as_deref()
                .map_or("none".to_owned(), crate::identity::escape);
            format!(
                "{}: expected {}, found {found}",
                each.what,
                crate::identity::escape(&each.expected)
            )
        });
        failed.collect::<Vec<_>>().join("; ")
    });
    lines.collect::<Vec<_>>().join(" | ")
}

fn reasons_text(reasons: &[EntryError]) -> String {
    reasons.iter().map(|reason| format!("; {reason}")).collect()
}
