//! What was verified already in one run over many bundles: certificates, signatures over them, checkpoints.
//!
//! Only what is true for ever is kept: that these bytes parse, that this key signed those bytes. Times, purposes and
//! identities are judged anew for every bundle. A memo belongs to one thread and one verifier.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::note::Note;

use crate::certificate::{Certificate, CertificateError};
use crate::key::sha256;
use crate::verify::EntryError;

/// A verified checkpoint with its signatures.
type Head = Arc<(Note, Checkpoint)>;

/// When a memo holds so many things of one sort it forgets them all: some 10 MiB of certificates.
const MOST: usize = 4096;

/// Remembers what cost a signature; [`Memo::default`] remembers nothing, for a single bundle.
#[derive(Default)]
pub struct Memo(Option<RefCell<Known>>);

/// What a good signature said. Certificates are named by SHA-256 of their DER, logs by their ids, 32 bytes each.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Fact {
    /// The issuer's key signed the certificate.
    Issued {
        certificate: [u8; 32],
        issuer: [u8; 32],
    },
    /// The CT log signed the certificate's SCT at `index`, counted from 0.
    Promised {
        certificate: [u8; 32],
        issuer: [u8; 32],
        log: [u8; 32],
        index: usize,
    },
}

#[derive(Default)]
struct Known {
    /// By the SHA-256 of their DER.
    certificates: HashMap<[u8; 32], Arc<Certificate>>,
    facts: HashSet<Fact>,
    /// By the log's id and the note's text.
    checkpoints: HashMap<Vec<u8>, HashMap<String, Head>>,
}

impl Memo {
    /// Returns a memo that remembers.
    pub fn remembering() -> Self {
        Self(Some(RefCell::default()))
    }

    /// Parses a certificate, once.
    pub(crate) fn certificate(&self, der: &[u8]) -> Result<Arc<Certificate>, CertificateError> {
        let Some(known) = &self.0 else {
            return Certificate::parse(der).map(Arc::new);
        };
        let fingerprint = sha256(der);
        if let Some(certificate) = known.borrow().certificates.get(&fingerprint) {
            return Ok(Arc::clone(certificate));
        }
        let certificate = Arc::new(Certificate::parse(der)?.prepared(fingerprint));
        let certificates = &mut known.borrow_mut().certificates;
        if certificates.len() >= MOST {
            certificates.clear();
        }
        certificates.insert(fingerprint, Arc::clone(&certificate));
        Ok(certificate)
    }

    /// Verifies what other bundles may rest on too, once. A failure is not remembered.
    ///
    /// # Errors
    /// Those of `verify`.
    pub(crate) fn once<E>(
        &self,
        fact: impl FnOnce() -> Fact,
        verify: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(known) = &self.0 else {
            return verify();
        };
        let fact = fact();
        if known.borrow().facts.contains(&fact) {
            return Ok(());
        }
        verify()?;
        let facts = &mut known.borrow_mut().facts;
        if facts.len() >= MOST {
            facts.clear();
        }
        facts.insert(fact);
        Ok(())
    }

    /// Verifies a checkpoint, once.
    pub(crate) fn checkpoint(
        &self,
        log_id: &[u8],
        envelope: &str,
        verify: impl FnOnce() -> Result<(Note, Checkpoint), EntryError>,
    ) -> Result<Head, EntryError> {
        let Some(known) = &self.0 else {
            return verify().map(Arc::new);
        };
        if let Some(head) = known
            .borrow()
            .checkpoints
            .get(log_id)
            .and_then(|log| log.get(envelope))
        {
            return Ok(Arc::clone(head));
        }
        let head = Arc::new(verify()?);
        let known = &mut *known.borrow_mut();
        let log = known.checkpoints.entry(log_id.to_vec()).or_default();
        if log.len() >= MOST {
            log.clear();
        }
        log.insert(envelope.to_owned(), Arc::clone(&head));
        Ok(head)
    }
}
