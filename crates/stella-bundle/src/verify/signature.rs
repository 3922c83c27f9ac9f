//! Step 4: the signature over envelope or artifact.

use std::cell::OnceCell;

use super::error::VerifyError;
use super::policy::Artifact;
use super::{Case, Signer, body};
use crate::bundle::{Bundle, Content};
use crate::digest::{Digest, DigestAlgorithm};
use crate::key::{KeyError, KeyKind, PublicKey, Scheme};

/// What was signed, as far as it is known.
pub(super) enum Message {
    /// The whole message: the envelope's pre-authentication encoding.
    Whole(Whole),
    /// Its digest by the signer's scheme.
    Digest(Digest),
    /// Neither artifact nor digest of the right kind is known.
    Unknown,
}

/// A message and its digest, which log entry and signature ask for.
pub(super) struct Whole {
    bytes: Vec<u8>,
    digest: OnceCell<Digest>,
}

impl From<Vec<u8>> for Whole {
    fn from(bytes: Vec<u8>) -> Self {
        let digest = OnceCell::new();
        Self { bytes, digest }
    }
}

impl Whole {
    /// Returns the digest; the first algorithm asked for is the scheme's, nearly always.
    fn digest(&self, algorithm: DigestAlgorithm) -> Digest {
        let compute = || algorithm.digest(&self.bytes);
        let first = self.digest.get_or_init(compute);
        if first.algorithm() == algorithm {
            first.clone()
        } else {
            compute()
        }
    }

    fn verify(&self, key: &PublicKey, scheme: Scheme, signature: &[u8]) -> Result<(), KeyError> {
        match scheme.hash() {
            Some(hash) => key.verify_digest(scheme, &self.digest(hash), signature),
            None => key.verify_with(scheme, &self.bytes, signature),
        }
    }
}

impl Message {
    /// Returns the digest that a log entry of `scheme` records.
    pub(super) fn digest(&self, scheme: Scheme) -> Option<Digest> {
        self.digest_by(scheme.hash()?)
    }

    /// Returns the digest by this algorithm, as far as it is known.
    pub(super) fn digest_by(&self, algorithm: DigestAlgorithm) -> Option<Digest> {
        match self {
            Self::Whole(whole) => Some(whole.digest(algorithm)),
            Self::Digest(digest) if digest.algorithm() == algorithm => Some(digest.clone()),
            Self::Digest(_) | Self::Unknown => None,
        }
    }
}

/// Returns the scheme of the bundle's signature: the managed key's own, or its kind's.
///
/// Ed25519 keys that are logged as hashed records sign the prehashed form; a bundle without such an entry holds the
/// pure form. The two are never confused: a signature of one does not verify as the other. Keys on P-384 and P-521 signed
/// over SHA-256 in clients of before 2024; the hash under which Rekor v1 verified the signature says so.
pub(super) fn scheme(bundle: &Bundle, signer: &Signer<'_>) -> Scheme {
    if let Signer::Key { key, .. } = signer
        && let Some(scheme) = key.scheme
    {
        return scheme;
    }
    match signer.key().kind() {
        KeyKind::Ed25519 if bundle.entries.iter().any(body::is_prehashed) => Scheme::Ed25519Ph,
        // spec: sigstore_common.proto, PKIX_ECDSA_P384_SHA_256 and PKIX_ECDSA_P521_SHA_256: deprecated, not forbidden.
        KeyKind::EcdsaP384 | KeyKind::EcdsaP521
            if bundle.entries.iter().any(body::is_hashed_by_sha256) =>
        {
            Scheme::Ecdsa(DigestAlgorithm::Sha256)
        }
        _ => signer.key().default_scheme(),
    }
}

/// Returns what the signature covers.
pub(super) fn message(bundle: &Bundle, artifact: &Artifact<'_>, signer: &Signer<'_>) -> Message {
    match &bundle.content {
        Content::Envelope(envelope) => Message::Whole(envelope.to_be_signed().into()),
        Content::SimpleSigning { payload, .. } => Message::Whole(payload.clone().into()),
        Content::Message { digest: noted, .. } => {
            let algorithm = scheme(bundle, signer).hash();
            let given = algorithm.and_then(|algorithm| artifact.digest(algorithm));
            // Without an artifact the signer's own note serves to look at the bundle; step 5 still refuses it.
            let hint = || match artifact {
                Artifact::AsSigned | Artifact::NotCompared => noted.clone(),
                _ => None,
            };
            given
                .or_else(hint)
                .map_or(Message::Unknown, Message::Digest)
        }
    }
}

/// Verifies the signature with the signer's key.
pub(super) fn verify(case: &Case<'_>) -> Result<(), VerifyError> {
    let scheme = scheme(case.bundle, case.signer);
    let (key, signature) = (case.signer.key(), case.bundle.content.signature());
    if let Content::Message {
        digest: Some(noted),
        ..
    } = &case.bundle.content
    {
        require_noted(noted, case.artifact)?;
    }
    match case.message {
        Message::Whole(whole) => Ok(whole.verify(key, scheme, signature)?),
        Message::Digest(digest) => Ok(key.verify_digest(scheme, digest, signature)?),
        Message::Unknown => match (case.artifact, scheme.hash()) {
            (Artifact::Bytes(bytes), _) => Ok(key.verify_with(scheme, bytes, signature)?),
            (_, Some(needed)) => Err(VerifyError::ArtifactDigestNeeded { needed }),
            (_, None) => Err(VerifyError::ArtifactBytesNeeded),
        },
    }
}

/// A digest noted by the signer that is another artifact's says that bundle and artifact do not belong together.
fn require_noted(noted: &Digest, artifact: &Artifact<'_>) -> Result<(), VerifyError> {
    match artifact.digest(noted.algorithm()) {
        Some(found) if found != *noted => Err(VerifyError::MessageDigestMismatch {
            noted: noted.clone(),
            artifact: found,
        }),
        _ => Ok(()),
    }
}
