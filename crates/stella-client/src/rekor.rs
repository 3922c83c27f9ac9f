//! Rekor v2: a signature goes in, an entry with its proof comes out, verified before anybody uses it.
//!
//! Reading the log (tiles, checkpoints) is `rekor_read.rs`.

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use stella_bundle::entry::{HashedRekord, LogEntry};
use stella_bundle::key::KeyDetails;
use stella_bundle::time::UnixTime;
use stella_bundle::verify::{BodyPart, EntryError, Trust, answer};
use stella_wire::limits;
use stella_wire::rekor::{self, AddEntry, ENTRIES_PATH, HashedRekordRequest, Verifier};
use stella_wire::transport::Transport;

use crate::error::{AnswerProblem, ClientError, EntryProblem, Service};
use crate::exchange;

/// A transparency log that speaks Rekor's API v2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekor {
    base: String,
}

impl Rekor {
    /// Names the log by its base URL.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
        }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Logs a record, and verifies the proof of it: up to a checkpoint that a log of `trust`, in service at `now`, signed.
    ///
    /// For an envelope the record's digest is that of its PAE; its algorithm is the one that the details name.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Refused`, `Answer`, and `Entry` for an answer that proves nothing.
    pub async fn add(
        &self,
        transport: &dyn Transport,
        record: &HashedRekord,
        trust: &Trust,
        now: UnixTime,
    ) -> Result<LogEntry, ClientError> {
        // spec: rekor-tiles algorithm registry: pure Ed25519 has no digest to verify by.
        if record.details == KeyDetails::Ed25519 || record.details.hash().is_none() {
            let details = record.details;
            return Err(EntryProblem::KeyNotLogged { details }.into());
        }
        let body = AddEntry::HashedRekord(HashedRekordRequest {
            digest: record.digest.bytes().to_vec(),
            signature: record.signature.clone(),
            verifier: Verifier {
                key: record.verifier.clone(),
                details: record.details,
            },
        });
        let service = Service::Rekor;
        let address = exchange::join(&self.base, ENTRIES_PATH);
        let bytes = Bytes::from(body.to_bytes());
        let mut request = exchange::request(service, Method::POST, &address, bytes)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        request.headers_mut().insert(ACCEPT, json);
        let answer = exchange::send(transport, service, request, limits::REKOR_ANSWER).await?;
        let entry = rekor::parse_entry(answer.body())
            .map_err(|problem| ClientError::answer(service, AnswerProblem::Rekor(problem)))?;
        let index = entry.log_index;
        // Other verifiers read the body from the bundle: an entry without it is of no use to them.
        if entry.canonicalized_body != record.to_body() {
            return Err(EntryProblem::Untrusted(EntryError::BodyMismatch {
                part: BodyPart::Whole,
            })
            .into());
        }
        answer::log_entry(trust, &entry, record, now).map_err(|problem| match problem {
            EntryError::NoProof => EntryProblem::ProofMissing { index },
            other => EntryProblem::Untrusted(other),
        })?;
        Ok(entry)
    }
}
