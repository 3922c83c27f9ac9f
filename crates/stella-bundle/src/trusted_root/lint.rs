//! What is wrong or unwise in a trusted root, before somebody trusts it: each finding is data.
//!
//! An error is a lie or a gap that breaks verification; a warning is what works here and not with every released client,
//! or what is missing for some use. Nothing here decides what verification accepts.

pub(crate) mod shape;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;
use stella_tlog::note::{KeyName, SignatureType, VerifierKey};

use super::inventory::{self, EntryState, Place};
use super::{
    CertificateAuthority, MEDIA_TYPE, TimeRange, TransparencyLog, TrustFile, TrustFileError,
    TrustedRoot,
};
use crate::certificate::Certificate;
use crate::chain::{Authority, ChainError, Path, Purpose};
use crate::key::{KeyDetails, KeyKind, PublicKey};
use crate::memo::Memo;
use crate::time::{UnixTime, Validity};
use crate::verify::{TrustPart, UnusableReason};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something does not do what it says.
    Error,
    /// Something is missing for some use, or refused by some client.
    Warning,
}

impl Severity {
    /// Returns the word for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// Every entry of a list has ended: what is old verifies, nothing new does.
    #[error("every entry of {} has ended", inventory::field(*part))]
    AllEnded {
        /// Which list.
        part: TrustPart,
    },
    /// The chain would not pass when it is used.
    #[error("{place}: {error}")]
    Chain {
        /// Where.
        place: Place,
        /// Why.
        error: ChainError,
    },
    /// CT logs sign no checkpoints for Sigstore's clients; an id here replaces the log id in some tools.
    #[error("{place} has a checkpointKeyId, which a CT log does not need")]
    CheckpointKeyId {
        /// Where.
        place: Place,
    },
    /// A field without which released clients refuse the file.
    #[error("{path} is absent, and sigstore-python refuses the file")]
    FieldAbsent {
        /// Which field.
        path: String,
    },
    /// A tree hash that released clients refuse.
    #[error("{place} has the hash algorithm {found:?}, clients expect SHA2_256")]
    HashAlgorithm {
        /// Where.
        place: Place,
        /// What stands there.
        found: String,
    },
    /// The key is of another kind than the file says.
    #[error("{place} says {found:?} of a key that is {kind:?}")]
    KeyDetails {
        /// Where.
        place: Place,
        /// What stands there.
        found: String,
        /// What the key is.
        kind: KeyKind,
    },
    /// The id by which entries and SCTs name the log is another.
    #[error("{place} has the log id {found}, its key has {expected}")]
    LogId {
        /// Where.
        place: Place,
        /// Hex of the hash that it should be.
        expected: String,
        /// Hex of what stands there.
        found: String,
    },
    /// Two entries claim one id at one time: which key counts is open.
    #[error("{place} has the log id of {other}, at overlapping times")]
    LogIdOverlaps {
        /// Where.
        place: Place,
        /// The earlier entry.
        other: Place,
    },
    /// Two entries have one id, one after the other.
    #[error("{place} has the log id of {other}")]
    LogIdTwice {
        /// Where.
        place: Place,
        /// The earlier entry.
        other: Place,
    },
    /// A media type that this verifier reads and released clients refuse.
    #[error("released clients refuse the media type {found:?}, they read {MEDIA_TYPE:?}")]
    MediaType {
        /// What stands there.
        found: String,
    },
    /// A log without address.
    #[error("{place} has no address")]
    NoAddress {
        /// Where.
        place: Place,
    },
    /// Logs that date nothing, and nobody else who does.
    #[error(
        "{place} is a log of Rekor v2, which dates no entry, and there is no timestamp authority"
    )]
    NoTimestampAuthority {
        /// The first such log.
        place: Place,
    },
    /// A certificate that is to issue others is none of a CA.
    #[error("{place}: certificate {certificate} is not a CA's")]
    NotACa {
        /// Where.
        place: Place,
        /// Which certificate of the chain, from 0.
        certificate: usize,
    },
    /// A list without entries.
    #[error("{} is empty: {}", inventory::field(*part), without(*part))]
    PartEmpty {
        /// Which list.
        part: TrustPart,
    },
    /// A name that the format does not know.
    #[error(
        "{path} is no field of a trusted root: sigstore-go and sigstore-python refuse the file"
    )]
    UnknownField {
        /// Which field.
        path: String,
    },
    /// An entry that is set aside; the rest is used.
    #[error("{place} cannot be used: {reason}")]
    Unusable {
        /// Where.
        place: Place,
        /// Why.
        reason: UnusableReason,
    },
    /// A window that promises more than the certificates keep.
    #[error("{place} is trusted {window}, its certificates are valid {certificates}")]
    WindowBeyondCertificates {
        /// Where.
        place: Place,
        /// When the entry is trusted.
        window: Validity,
        /// When all certificates of the chain are valid.
        certificates: Validity,
    },
}

impl Finding {
    /// Returns how much it matters.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Chain { .. }
            | Self::KeyDetails { .. }
            | Self::LogId { .. }
            | Self::LogIdOverlaps { .. }
            | Self::NoTimestampAuthority { .. }
            | Self::NotACa { .. }
            | Self::Unusable { .. } => Severity::Error,
            Self::AllEnded { .. }
            | Self::CheckpointKeyId { .. }
            | Self::FieldAbsent { .. }
            | Self::HashAlgorithm { .. }
            | Self::LogIdTwice { .. }
            | Self::MediaType { .. }
            | Self::NoAddress { .. }
            | Self::PartEmpty { .. }
            | Self::UnknownField { .. }
            | Self::WindowBeyondCertificates { .. } => Severity::Warning,
        }
    }

    /// Returns the name for machines.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AllEnded { .. } => "allEnded",
            Self::Chain { .. } => "chain",
            Self::CheckpointKeyId { .. } => "checkpointKeyId",
            Self::FieldAbsent { .. } => "fieldAbsent",
            Self::HashAlgorithm { .. } => "hashAlgorithm",
            Self::KeyDetails { .. } => "keyDetails",
            Self::LogId { .. } => "logId",
            Self::LogIdOverlaps { .. } => "logIdOverlaps",
            Self::LogIdTwice { .. } => "logIdTwice",
            Self::MediaType { .. } => "mediaType",
            Self::NoAddress { .. } => "noAddress",
            Self::NoTimestampAuthority { .. } => "noTimestampAuthority",
            Self::NotACa { .. } => "notACa",
            Self::PartEmpty { .. } => "partEmpty",
            Self::UnknownField { .. } => "unknownField",
            Self::Unusable { .. } => "unusable",
            Self::WindowBeyondCertificates { .. } => "windowBeyondCertificates",
        }
    }
}

const fn without(part: TrustPart) -> &'static str {
    match part {
        TrustPart::CertificateAuthorities => "no certificate is believed",
        TrustPart::Ctlogs => "a certificate counts only with the SCT of a CT log",
        TrustPart::TimestampAuthorities => "no timestamp is believed",
        TrustPart::Tlogs => "log inclusion cannot be shown, and sigstore-python refuses the file",
    }
}

/// Reads a trusted root, or the one in a client trust config, and lists what is wrong with it at `now`, errors first.
///
/// # Errors
/// Any [`TrustFileError`], when it is no such file at all.
pub fn lint(bytes: &[u8], now: UnixTime) -> Result<Vec<Finding>, TrustFileError> {
    let mut file: Value = super::read(TrustFile::TrustedRoot, bytes)?;
    for name in ["trustedRoot", "trusted_root"] {
        if let Some(inner) = file.get_mut(name) {
            file = inner.take();
            break;
        }
    }
    let root = TrustedRoot::parse(&super::to_json(&file))?;
    let mut findings = shape::findings(&file);
    if root.media_type != MEDIA_TYPE {
        let found = root.media_type.clone();
        findings.push(Finding::MediaType { found });
    }
    entries(&root, now, &mut findings);
    let part = TrustPart::CertificateAuthorities;
    for (index, each) in root.certificate_authorities.iter().enumerate() {
        authority(Place { part, index }, each, &mut findings);
    }
    let part = TrustPart::TimestampAuthorities;
    for (index, each) in root.timestamp_authorities.iter().enumerate() {
        authority(Place { part, index }, each, &mut findings);
    }
    logs(TrustPart::Tlogs, &root.tlogs, &mut findings);
    logs(TrustPart::Ctlogs, &root.ctlogs, &mut findings);
    undated_log(&root, &mut findings);
    findings.sort_by_key(Finding::severity);
    Ok(findings)
}

/// Finds what cannot be used, and lists in which nothing is.
fn entries(root: &TrustedRoot, now: UnixTime, findings: &mut Vec<Finding>) {
    let entries = inventory::list(root);
    for entry in &entries {
        if let Some(reason) = entry.unusable.clone() {
            let place = entry.place;
            findings.push(Finding::Unusable { place, reason });
        }
    }
    let parts = [
        TrustPart::CertificateAuthorities,
        TrustPart::TimestampAuthorities,
        TrustPart::Tlogs,
        TrustPart::Ctlogs,
    ];
    for part in parts {
        let mut of_part = entries
            .iter()
            .filter(|entry| entry.place.part == part)
            .peekable();
        if of_part.peek().is_none() {
            findings.push(Finding::PartEmpty { part });
        } else if of_part.all(|entry| entry.state(now) == EntryState::Ended) {
            findings.push(Finding::AllEnded { part });
        }
    }
}

fn authority(place: Place, entry: &CertificateAuthority, findings: &mut Vec<Finding>) {
    if entry.subject.is_none() {
        let path = format!("{place}.subject");
        findings.push(Finding::FieldAbsent { path });
    }
    let certificates: Vec<Certificate> = entry
        .cert_chain
        .certificates
        .iter()
        .filter_map(|each| Certificate::parse(&each.raw_bytes).ok())
        .collect();
    let window = entry.valid_for.as_ref().and_then(TimeRange::to_validity);
    let (Some(first), Some(window)) = (certificates.first(), window) else {
        return;
    };
    let (is_tsa, has_leaf) = (
        place.part == TrustPart::TimestampAuthorities,
        !first.is_ca(),
    );
    // The leaf of a timestamp authority stands in the chain and issues nothing.
    let leaves = usize::from(is_tsa && has_leaf);
    for (certificate, each) in certificates.iter().enumerate().skip(leaves) {
        if !each.is_ca() {
            findings.push(Finding::NotACa { place, certificate });
        }
    }
    window_of(place, window, &certificates, findings);
    if is_tsa && has_leaf {
        timestamp_leaf(place, window, certificates, findings);
    }
}

/// Finds a window beyond what all certificates are valid for; an open end promises nothing.
fn window_of(
    place: Place,
    window: Validity,
    certificates: &[Certificate],
    findings: &mut Vec<Finding>,
) {
    // Dates of certificates are whole seconds; the last one belongs to its window.
    let start = certificates.iter().map(Certificate::not_before).max();
    let end = certificates.iter().map(Certificate::not_after).min();
    let is_early = window.start < start;
    let is_late = match (window.end, end) {
        (Some(window), Some(end)) => window.floor_seconds() > end,
        _ => false,
    };
    if is_early || is_late {
        let certificates = Validity { start, end };
        findings.push(Finding::WindowBeyondCertificates {
            place,
            window,
            certificates,
        });
    }
}

/// Tries a timestamp authority's own leaf at the beginning of its time.
fn timestamp_leaf(
    place: Place,
    window: Validity,
    certificates: Vec<Certificate>,
    findings: &mut Vec<Finding>,
) {
    let leaf = certificates[0].clone();
    let Ok(authority) = Authority::new(certificates, window, "") else {
        return; // Said already: it cannot be used.
    };
    let time = window
        .start
        .map_or(leaf.not_before(), |start| start.max(leaf.not_before()));
    let authorities = [authority];
    let memo = Memo::default();
    let path = Path::find(&leaf, &[], &authorities, &memo);
    if let Err(error) = path.and_then(|path| path.require(Purpose::TimeStamping, time)) {
        findings.push(Finding::Chain { place, error });
    }
}

fn logs(part: TrustPart, logs: &[TransparencyLog], findings: &mut Vec<Finding>) {
    for (index, log) in logs.iter().enumerate() {
        let place = Place { part, index };
        if log.base_url.is_empty() {
            findings.push(Finding::NoAddress { place });
        }
        if log.hash_algorithm != "SHA2_256" {
            let found = log.hash_algorithm.clone();
            findings.push(Finding::HashAlgorithm { place, found });
        }
        if part == TrustPart::Ctlogs && log.checkpoint_key_id.is_some() {
            findings.push(Finding::CheckpointKeyId { place });
        }
        log_key(place, log, findings);
        let earlier = logs[..index].iter().enumerate();
        let mut same = earlier.filter(|(_, each)| each.log_id == log.log_id);
        if let Some((other, each)) = same.next() {
            let other = Place { part, index: other };
            findings.push(if overlap(each, log) {
                Finding::LogIdOverlaps { place, other }
            } else {
                Finding::LogIdTwice { place, other }
            });
        }
    }
}

fn overlap(one: &TransparencyLog, other: &TransparencyLog) -> bool {
    let window = |log: &TransparencyLog| {
        let range = log.public_key.valid_for.as_ref();
        range.and_then(TimeRange::to_validity).unwrap_or_default()
    };
    let (one, other) = (window(one), window(other));
    let begins_before_end = |one: Validity, other: Validity| match (one.start, other.end) {
        (Some(start), Some(end)) => start < end,
        _ => true,
    };
    begins_before_end(one, other) && begins_before_end(other, one)
}

fn log_key(place: Place, log: &TransparencyLog, findings: &mut Vec<Finding>) {
    let Ok(key) = PublicKey::from_spki(&log.public_key.raw_bytes) else {
        return; // PKCS#1, which is old and right, or said already: it cannot be used.
    };
    let details = &log.public_key.key_details;
    let kind = KeyDetails::from_name_or_number(details).map(KeyDetails::kind);
    if kind.is_some_and(|kind| kind != key.kind()) {
        findings.push(Finding::KeyDetails {
            place,
            found: details.clone(),
            kind: key.kind(),
        });
    }
    let found = &log.log_id.key_id;
    let ids = log_ids(place.part, &log.base_url, &key);
    if let Some(first) = ids.first()
        && !ids.iter().any(|id| id == found.as_slice())
    {
        findings.push(Finding::LogId {
            place,
            expected: hex::encode(first),
            found: hex::encode(found),
        });
    }
}

/// Returns the ids that a log may have, the usual one first; none where its origin is not known.
fn log_ids(part: TrustPart, address: &str, key: &PublicKey) -> Vec<[u8; 32]> {
    // spec: RFC 6962 §3.2; Sigstore trust root: a CT log's and an ECDSA log's id is SHA-256 of its key.
    if part == TrustPart::Ctlogs || key.kind() != KeyKind::Ed25519 {
        return vec![key.key_id()];
    }
    let id = |origin: &str| note_id(origin, key);
    origins(address).into_iter().filter_map(id).collect()
}

/// Returns the id of an Ed25519 log with this origin, 32 bytes; none where the origin cannot stand in a note.
pub(super) fn note_id(origin: &str, key: &PublicKey) -> Option<[u8; 32]> {
    // spec: C2SP signed-note: SHA-256(origin || 0x0A || 0x01 || key).
    let name = KeyName::new(origin).ok()?;
    let vkey = VerifierKey::new(name, SignatureType::Ed25519, key.bits()).ok()?;
    Some(vkey.log_id())
}

/// Returns the origins that a log at an address may have: the host, the host with its port, all of the address.
pub(super) fn origins(address: &str) -> [&str; 3] {
    let whole = address.split_once("://").map_or(address, |(_, rest)| rest);
    let whole = whole.trim_end_matches('/');
    let with_port = whole.split('/').next().unwrap_or_default();
    let host = with_port
        .rsplit_once(':')
        .map_or(with_port, |(host, _)| host);
    [host, with_port, whole]
}

/// Finds a log of Rekor v2 where nobody dates what it holds.
fn undated_log(root: &TrustedRoot, findings: &mut Vec<Finding>) {
    if !root.timestamp_authorities.is_empty() {
        return;
    }
    let is_v2 = |log: &TransparencyLog| {
        PublicKey::from_spki(&log.public_key.raw_bytes)
            .is_ok_and(|key| key.kind() == KeyKind::Ed25519)
    };
    if let Some(index) = root.tlogs.iter().position(is_v2) {
        let part = TrustPart::Tlogs;
        let place = Place { part, index };
        findings.push(Finding::NoTimestampAuthority { place });
    }
}
