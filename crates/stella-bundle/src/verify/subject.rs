//! Steps 5 and 6: what was signed is this artifact, and who signed may.

use super::error::VerifyError;
use super::policy::{Artifact, IdentityRule};
use super::report::{Recorder, Standing};
use crate::bundle::{Bundle, Content};
use crate::certificate::Certificate;
use crate::digest::{Digest, DigestAlgorithm};
use crate::envelope::IN_TOTO;
use crate::identity::Identities;
use crate::legacy::SimpleSigning;
use crate::statement::Statement;

/// Requires the artifact to be what was signed.
pub(super) fn verify(
    bundle: &Bundle,
    artifact: &Artifact<'_>,
    record: &mut Recorder,
) -> Result<(), VerifyError> {
    let envelope = match &bundle.content {
        Content::Envelope(envelope) => envelope,
        // A message signature is over the artifact itself: step 4 compared it.
        Content::Message { .. } => {
            return match artifact {
                Artifact::NotCompared => Err(VerifyError::ArtifactNotCompared),
                _ => Ok(()),
            };
        }
        Content::SimpleSigning { payload, .. } => return verify_image(payload, artifact, record),
    };
    if envelope.payload_type != IN_TOTO {
        return Err(VerifyError::PayloadType {
            found: envelope.payload_type.clone(),
        });
    }
    let statement = Statement::parse(&envelope.payload)?;
    let digests = named_digests(&statement, artifact);
    let subjects = statement.subject.len();
    let speaks = statement.speaks_of(&digests);
    record.facts.statement = Some(statement);
    match artifact {
        Artifact::NotCompared => Err(VerifyError::ArtifactNotCompared),
        Artifact::AsSigned => Ok(()),
        _ if speaks => Ok(()),
        _ => {
            let artifact = digests
                .first()
                .map_or_else(|| "given".to_owned(), Digest::to_string);
            Err(VerifyError::SubjectMismatch { artifact, subjects })
        }
    }
}

/// Requires a simple signing payload to name the artifact as its image.
fn verify_image(
    payload: &[u8],
    artifact: &Artifact<'_>,
    record: &mut Recorder,
) -> Result<(), VerifyError> {
    let named = SimpleSigning::parse(payload).map_err(VerifyError::SimpleSigning)?;
    let is_named = Digest::parse(&named.digest)
        .is_some_and(|digest| artifact.digest(digest.algorithm()) == Some(digest));
    record.facts.image = Some(named);
    if matches!(artifact, Artifact::AsSigned) {
        return Ok(());
    }
    match artifact.digest(DigestAlgorithm::Sha256) {
        None => Err(VerifyError::ArtifactNotCompared),
        Some(_) if is_named => Ok(()),
        Some(digest) => Err(VerifyError::SubjectMismatch {
            artifact: digest.to_string(),
            subjects: 1,
        }),
    }
}

/// Returns the artifact's digests of those algorithms that the statement names, SHA-256 in any case.
fn named_digests(statement: &Statement, artifact: &Artifact<'_>) -> Vec<Digest> {
    let is_named = |algorithm: &DigestAlgorithm| {
        *algorithm == DigestAlgorithm::Sha256
            || statement
                .subject
                .iter()
                .any(|each| each.digest.contains_key(algorithm.name()))
    };
    let named = DigestAlgorithm::ALL.into_iter().filter(is_named);
    named
        .filter_map(|algorithm| artifact.digest(algorithm))
        .collect()
}

/// Requires the signer to be one of those who may sign, and notes all of the policy's identities that match.
pub(super) fn verify_identity(
    rule: &IdentityRule,
    leaf: &Certificate,
    record: &mut Recorder,
) -> Result<Standing, VerifyError> {
    let wanted = match rule {
        IdentityRule::Given(Identities::AnyOf(wanted)) => wanted,
        IdentityRule::Given(Identities::AnyoneUnsafe) => return Ok(Standing::Skipped),
        IdentityRule::NotGiven => return Err(VerifyError::NoIdentityGiven),
    };
    let mut compared = Vec::new();
    for (index, identity) in wanted.identities().iter().enumerate() {
        let comparisons = identity.compare(leaf);
        if !comparisons.iter().all(|each| each.agrees) {
            compared.push(comparisons);
            continue;
        }
        if record.facts.matched.is_empty() {
            record.facts.identity = comparisons;
        }
        record.facts.matched.push(index);
    }
    if record.facts.matched.is_empty() {
        return Err(VerifyError::IdentityMismatch { compared });
    }
    Ok(Standing::Holds)
}
