//! Rekor v2: takes hashedrekord entries, verifies their signature, logs them, and answers with the proof.
//!
//! A repeated request is answered like the first one. Signatures are verified on the caller's thread: a verification
//! costs less than handing it to another one, and the runtime's workers bound how many run at once. The tree's
//! durability is the engine's (`log`).

mod entry;

use std::sync::Arc;

use http::StatusCode;
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::entry::{
    CheckpointText, EntryVerifier, HashedRekord, InclusionProof, LogEntry, LogId,
};
use stella_bundle::key::KeyDetails;
use stella_keys::{EphemeralKey, KeyError, Signer as _};
use stella_tlog::hash;
use stella_tlog::tile::{MAX_ENTRY, TileKind};
use stella_tlog::tree::TreeSize;
use stella_wire::problem::Code;
use stella_wire::rekor::{self, AddEntry};
use stella_wire::{Request, Response};

use self::entry::EntryError;
use crate::answer;
use crate::log::{Appended, Entry, Log, LogError};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::reading;

/// The service.
pub(crate) struct Rekor {
    log: Log,
    log_id: [u8; 32],
    metrics: Arc<Metrics>,
}

impl Rekor {
    pub(crate) const fn new(log: Log, log_id: [u8; 32], metrics: Arc<Metrics>) -> Self {
        Self {
            log,
            log_id,
            metrics,
        }
    }

    pub(crate) const fn log(&self) -> &Log {
        &self.log
    }

    /// Writes the first leaf of an empty log, so that nobody's entry has index 0.
    ///
    /// sigstore-js leaves numbers that are 0 out of a bundle, and sigstore-python then refuses it.
    pub(crate) async fn write_genesis(&self, origin: &str) -> Result<(), GenesisError> {
        if self.log.size() != TreeSize::EMPTY {
            return Ok(());
        }
        let key = EphemeralKey::generate(KeyDetails::EcdsaP256Sha256)?;
        let message = format!("genesis of {origin}");
        let rekord = HashedRekord {
            digest: DigestAlgorithm::Sha256.digest(message.as_bytes()),
            signature: key.sign(message.as_bytes())?,
            verifier: EntryVerifier::PublicKey(key.public_key().spki().to_vec()),
            details: key.details(),
        };
        self.append(rekord.to_body()).await?;
        Ok(())
    }

    /// Answers `POST /api/v2/log/entries`.
    pub(crate) async fn add(&self, request: &Request) -> Result<Response, Problem> {
        // 1. Read the request.
        let asked = AddEntry::parse(request.body())
            .map_err(|error| Problem::invalid(error.to_string(), entry::reason_of(&error)))?;
        // 2. Does the signature verify?
        let rekord = match asked {
            AddEntry::HashedRekord(asked) => entry::of_hashed_rekord(asked),
            AddEntry::Dsse(asked) => entry::of_dsse(asked),
        };
        let body = rekord.map_err(Problem::from)?.to_body();
        if body.len() > MAX_ENTRY {
            return Err(EntryError::TooLarge { length: body.len() }.into());
        }
        // 3. Into the tree; the answer comes when it is durable.
        let leaf = hash::leaf(&body);
        let appended = self
            .append(body)
            .await
            .map_err(|error| Problem::of_log(error, "the entry could not be logged"))?;
        if appended.duplicate {
            self.metrics.duplicates.add();
        } else {
            self.metrics.entries.add();
        }
        let index = appended.index.0;
        tracing::info!(target: "stella::audit", event = "entry", index, leaf = %leaf, duplicate = appended.duplicate);
        // 4. The proof from memory.
        let entry = self.log_entry(&appended).ok_or_else(|| {
            Problem::new(
                Code::Internal,
                "the proof could not be made",
                "PROOF_FAILED",
            )
        })?;
        Ok(answer::json(
            StatusCode::CREATED,
            rekor::entry_to_bytes(&entry),
        ))
    }

    async fn append(&self, body: Vec<u8>) -> Result<Appended, LogError> {
        let leaf = hash::leaf(&body);
        let entry = Entry {
            data: body.into(),
            leaf,
        };
        self.log.append(Some(leaf), Box::new(move |_| entry)).await
    }

    fn log_entry(&self, appended: &Appended) -> Option<LogEntry> {
        let index = i64::try_from(appended.index.0).ok()?;
        let inclusion_proof = InclusionProof {
            log_index: index,
            root_hash: appended.root.as_bytes().to_vec(),
            tree_size: i64::try_from(appended.size.0).ok()?,
            hashes: appended
                .hashes
                .iter()
                .map(|hash| hash.as_bytes().to_vec())
                .collect(),
            checkpoint: CheckpointText {
                envelope: appended.checkpoint.to_string(),
            },
        };
        Some(LogEntry {
            log_index: index,
            log_id: LogId {
                key_id: self.log_id.to_vec(),
            },
            kind_version: HashedRekord::kind_version(),
            // spec: Rekor v2 gives no time of its own.
            integrated_time: 0,
            inclusion_promise: None,
            inclusion_proof: Some(inclusion_proof),
            canonicalized_body: appended.data.to_vec(),
        })
    }

    /// Answers reads below `/` and `/api/v2/`.
    pub(crate) fn read(&self, path: &str) -> Result<Response, Problem> {
        reading::answer(&self.log, TileKind::Entries, path)
    }
}

/// Why a new log got no first leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GenesisError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Log(#[from] LogError),
}
