//! The certificate transparency log: a promise (SCT) only for what is in the tree already, read as tiles (C2SP
//! static-ct-api).
//!
//! Fulcio appends in process; nobody else may. The tree's durability is the engine's (`log`).

use std::sync::Arc;

use stella_bundle::issue::sct::{self, SctTemplate};
use stella_bundle::sct::Sct;
use stella_bundle::time::UnixTime;
use stella_keys::KeyError;
use stella_tlog::hash;
use stella_tlog::tile::TileKind;
use stella_wire::Response;

use crate::answer;
use crate::instance::Instance;
use crate::log::{Entry, Log, LogError};
use crate::problem::Problem;
use crate::reading;

/// Path below the public URL; `host/ct` is the log's origin.
pub(crate) const PREFIX: &str = "/ct";

/// Why there is no promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CtError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A precertificate on its way into the log.
pub(crate) struct Precertificate {
    /// TBSCertificate without the poison.
    pub(crate) tbs_certificate: Vec<u8>,
    /// The signed precertificate.
    pub(crate) der: Vec<u8>,
}

/// The service.
pub(crate) struct CtLog {
    instance: Arc<Instance>,
    log: Log,
}

impl CtLog {
    pub(crate) const fn new(instance: Arc<Instance>, log: Log) -> Self {
        Self { instance, log }
    }

    pub(crate) const fn log(&self) -> &Log {
        &self.log
    }

    /// Logs a precertificate of our intermediate, then signs the SCT that names its place.
    pub(crate) async fn promise(
        &self,
        precertificate: Precertificate,
        now: UnixTime,
    ) -> Result<Sct, CtError> {
        let issuer = &self.instance.intermediate;
        let template = SctTemplate {
            timestamp: now,
            issuer_key_hash: issuer.certificate.public_key().key_id(),
            tbs_certificate: precertificate.tbs_certificate,
            extensions: Vec::new(),
        };
        let chain = [
            fingerprint(issuer.certificate.der()),
            fingerprint(issuer.root.der()),
        ];
        let at = template.clone();
        let build = move |index: stella_tlog::tree::LeafIndex| {
            let placed = SctTemplate {
                extensions: sct::leaf_index(index.0),
                ..at
            };
            let data = placed.tile_leaf(&precertificate.der, &chain).into();
            // spec: RFC 6962 §3.4: the leaf is the MerkleTreeLeaf, which has the bytes that the SCT signs.
            Entry {
                data,
                leaf: hash::leaf(&placed.to_be_signed()),
            }
        };
        let appended = self.log.append(None, Box::new(build)).await?;
        // spec: static-ct-api: no SCT before the entry is sequenced; here not before it is durable either.
        let placed = SctTemplate {
            extensions: sct::leaf_index(appended.index.0),
            ..template
        };
        let signature = self.instance.ct.sign(&placed.to_be_signed())?;
        Ok(placed.assemble(self.instance.ct.public_key().key_id(), signature))
    }

    /// Answers reads below `/ct/`.
    pub(crate) fn read(&self, path: &str) -> Result<Response, Problem> {
        let Some(wanted) = path.strip_prefix("issuer/") else {
            return reading::answer(&self.log, TileKind::Data, path);
        };
        let issuer = &self.instance.intermediate;
        let known = [&issuer.certificate, &issuer.root];
        let found = known
            .iter()
            .find(|certificate| hex::encode(fingerprint(certificate.der())) == wanted);
        match found {
            Some(certificate) => Ok(answer::immutable(certificate.der().to_vec())),
            None => Err(reading::not_found()),
        }
    }
}

fn fingerprint(der: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}
