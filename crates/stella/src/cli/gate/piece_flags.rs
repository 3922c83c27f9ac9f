//! What cosign wrote before bundles, as files of their own: a signature, its certificate, what it is over.

use std::path::{Path, PathBuf};

use stella_attest::file;
use stella_attest::verify::{Candidate, Found, Source};
use stella_bundle::bundle::MAX_BUNDLE;
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::legacy::{self, LegacyError, Pieces};

use crate::exit::{self, Failure};

/// A detached signature and what belongs to it.
#[derive(Debug, clap::Args)]
pub(crate) struct PieceFlags {
    /// Verify this detached signature, base64 or bytes, as older cosign wrote it
    #[arg(long, value_name = "FILE", conflicts_with = "bundles")]
    signature: Option<PathBuf>,

    /// The certificate of the detached signature, PEM, the leaf first
    #[arg(long, value_name = "FILE", requires = "signature")]
    certificate: Option<PathBuf>,

    /// The simple signing payload that the detached signature is over, for an image
    #[arg(long, value_name = "FILE", requires = "signature")]
    payload: Option<PathBuf>,

    /// The log's promise about the detached signature, as older cosign wrote it
    #[arg(long, value_name = "FILE", requires = "signature")]
    rekor_bundle: Option<PathBuf>,

    /// The timestamp of the detached signature, TimeStampResp in DER
    #[arg(long, value_name = "FILE", requires = "signature")]
    rfc3161_timestamp: Option<PathBuf>,
}

impl PieceFlags {
    /// Says whether there is a detached signature.
    pub(super) const fn is_given(&self) -> bool {
        self.signature.is_some()
    }

    /// Puts the pieces together; none when there is no detached signature.
    pub(super) fn candidate(&self) -> Result<Option<Candidate>, Failure> {
        let Some(signature) = &self.signature else {
            return Ok(None);
        };
        let optional = |path: &Option<PathBuf>| path.as_deref().map(read_piece).transpose();
        let signature = read_piece(signature)?;
        let (certificate, payload) = (optional(&self.certificate)?, optional(&self.payload)?);
        let timestamp = optional(&self.rfc3161_timestamp)?;
        let refuse = |error: LegacyError| Failure::new(exit::SIGNATURE, error.to_string());
        let entry = optional(&self.rekor_bundle)?
            .map(|bytes| legacy::read_rekor_bundle(&bytes))
            .transpose()
            .map_err(refuse)?;
        let pieces = Pieces {
            signature: &signature,
            certificate: certificate.as_deref(),
            payload: payload.as_deref(),
            timestamp: timestamp.as_deref(),
            entry,
        };
        Ok(Some(Candidate {
            digest: DigestAlgorithm::Sha256.digest(&signature),
            source: Source::File,
            found: Found::Pieces(Ok(Box::new(pieces.to_bundle().map_err(refuse)?))),
            held: None,
        }))
    }
}

fn read_piece(path: &Path) -> Result<Vec<u8>, Failure> {
    file::read(path, MAX_BUNDLE)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
}
