//! What was verified already in one run over many bundles: certificates, signatures over them, checkpoints.
//!
//! Only what is true for ever is kept: that these bytes parse, that this key signed those bytes. Times, purposes and
//! identities are judged anew for every bundle. A memo belongs to one thread and one verifier.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_lc_rs::digest;
use stella_tlog::checkpoint::Checkpoint;
use stella_tlog::note::Note;

use crate::certificate::{Certificate, CertificateError};
use crate::key::{KeyError, PublicKey, Scheme};
use crate::verify::EntryError;

/// A verified checkpoint with its signatures.
type Head = Arc<(Note, Checkpoint)>;

/// When a memo holds so many things of one sort it forgets them all: some 10 MiB of certificates.
const MOST: usize = 4096;

/// Remembers what cost a signature; [`Memo::default`] remembers nothing, for a single bundle.
#[derive(Default)]
pub struct Memo(Option<RefCell<Known>>);

#[derive(Default)]
struct Known {
    certificates: HashMap<Vec<u8>, Arc<Certificate>>,
    /// SHA-256 of key, scheme, message and signature of each good signature.
    signatures: HashSet<[u8; 32]>,
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
        if let Some(certificate) = known.borrow().certificates.get(der) {
            return Ok(Arc::clone(certificate));
        }
        let certificate = Arc::new(Certificate::parse(der)?.prepared());
        let certificates = &mut known.borrow_mut().certificates;
        if certificates.len() >= MOST {
            certificates.clear();
        }
        certificates.insert(der.to_vec(), Arc::clone(&certificate));
        Ok(certificate)
    }

    /// Verifies a signature that other bundles may carry too, once.
    ///
    /// # Errors
    /// As [`PublicKey::verify_with`].
    pub(crate) fn verify(
        &self,
        key: &PublicKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyError> {
        let Some(known) = &self.0 else {
            return key.verify_with(scheme, message, signature);
        };
        let name = name_of(key, scheme, message, signature);
        if known.borrow().signatures.contains(&name) {
            return Ok(());
        }
        key.verify_with(scheme, message, signature)?;
        let signatures = &mut known.borrow_mut().signatures;
        if signatures.len() >= MOST {
            signatures.clear();
        }
        signatures.insert(name);
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

/// Names a signature: each part is preceded by its length, so that no two triples have one name.
fn name_of(key: &PublicKey, scheme: Scheme, message: &[u8], signature: &[u8]) -> [u8; 32] {
    let mut name = digest::Context::new(&digest::SHA256);
    name.update(format!("{scheme:?}\n").as_bytes());
    for part in [key.spki(), message, signature] {
        name.update(&(part.len() as u64).to_be_bytes());
        name.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(name.finish().as_ref());
    out
}
