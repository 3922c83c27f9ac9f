//! Step 4: the signature over envelope or artifact.

use super::error::VerifyError;
use super::policy::Artifact;
use super::{Case, Signer, body};
use crate::bundle::{Bundle, Content};
use crate::digest::{Digest, DigestAlgorithm};
use crate::key::{KeyKind, Scheme};

/// What was signed, as far as it is known.
pub(super) enum Message {
    /// The whole message: the envelope's pre-authentication encoding.
    Whole(Vec<u8>),
    /// Its digest by the signer's scheme.
    Digest(Digest),
    /// Neither artifact nor digest of the right kind is known.
    Unknown,
}

impl Message {
    /// Returns the digest that a log entry of `scheme` records.
    pub(super) fn digest(&self, scheme: Scheme) -> Option<Digest> {
        self.digest_by(scheme.hash()?)
    }

    /// Returns the digest by this algorithm, as far as it is known.
    pub(super) fn digest_by(&self, algorithm: DigestAlgorithm) -> Option<Digest> {
        match self {
            Self::Whole(bytes) => Some(algorithm.digest(bytes)),
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
        Content::Envelope(envelope) => Message::Whole(envelope.to_be_signed()),
        Content::SimpleSigning { payload, .. } => Message::Whole(payload.clone()),
        Content::Message { digest: noted, .. } => {
            let algorithm = scheme(bundle, signer).hash();
            let given = algorithm.and_then(|algorithm| artifact.digest(algorithm));
            // Without an artifact the signer's own note serves to look at the bundle; step 5 still refuses it.
            let hint = || match artifact {
                Artifact::NotCompared => noted.clone(),
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
        Message::Whole(bytes) => Ok(key.verify_with(scheme, bytes, signature)?),
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
