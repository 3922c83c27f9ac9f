//! Bare signatures over a file, binary or in base64, with a public key or certificate in PEM.
//!
//! Nothing in such a signature names its scheme: every one that the key has is tried.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stella_bundle::certificate::Certificate;
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::key::{KeyKind, PublicKey, Scheme};

use crate::artifact::Artifact;
use crate::given::{Given, require_signer};
use crate::primitive::{Message, Primitive, Proven};
use crate::verified::{Found, Signed, Signer};
use crate::{ForeignError, Format};

/// Signature files larger than this are refused: the longest signature, by ML-DSA-87, has 4627 bytes.
const MAX_SIGNATURE: usize = 16 * 1024;

/// Verifies a bare signature.
pub(crate) fn verify(
    signature: &[u8],
    key: &[u8],
    artifact: &mut Artifact<'_>,
) -> Result<Found, ForeignError> {
    let signature = decode(signature)?;
    let (key, certificate) = match Given::parse(Format::X509, key)? {
        Given::Key(key) => (key, None),
        // The first is the signer's, as in every file that holds a chain.
        Given::Certificates(list) => {
            let certificate = list.into_iter().next();
            let certificate = certificate.ok_or(ForeignError::BadSignature)?;
            require_signer(&certificate)?;
            (certificate.public_key().clone(), Some(certificate))
        }
    };
    let signer = match &certificate {
        Some(certificate) => Signer::of_certificate(certificate),
        None => Signer::of_key(&key),
    };
    Ok(Found {
        signer,
        signed: Signed::Artifact,
        created: None,
        proven: try_all(&key, certificate.as_ref(), &signature, artifact)?,
    })
}

/// Reads base64 text in lines of any length; everything else is a binary signature.
fn decode(file: &[u8]) -> Result<Vec<u8>, ForeignError> {
    if file.is_empty() || file.len() > MAX_SIGNATURE {
        let found = format!("{} bytes", file.len());
        let expected = "a signature of 1 to 16384 bytes";
        return Err(ForeignError::unexpected(Format::X509, expected, found));
    }
    let mut compact = file.to_vec();
    compact.retain(|byte| !byte.is_ascii_whitespace());
    Ok(STANDARD.decode(&compact).unwrap_or_else(|_| file.to_vec()))
}

/// Tries the schemes of a key, those that a log takes first.
fn try_all(
    key: &PublicKey,
    certificate: Option<&Certificate>,
    signature: &[u8],
    artifact: &mut Artifact<'_>,
) -> Result<Proven, ForeignError> {
    for (scheme, message) in messages(key.kind(), artifact)? {
        let primitive = Primitive {
            key: key.clone(),
            certificate: certificate.cloned(),
            scheme,
            message,
            signature: signature.to_vec(),
        };
        match primitive.verify() {
            Err(ForeignError::BadSignature) => {}
            done => return done,
        }
    }
    Err(ForeignError::BadSignature)
}

/// Reads the artifact once, in the forms that the schemes of this kind of key take.
fn messages(
    kind: KeyKind,
    artifact: &mut Artifact<'_>,
) -> Result<Vec<(Scheme, Message)>, ForeignError> {
    let schemes: &[fn(DigestAlgorithm) -> Scheme] = match kind {
        KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::EcdsaP521 => &[Scheme::Ecdsa],
        KeyKind::Rsa { .. } => &[Scheme::RsaPkcs1, Scheme::RsaPss],
        KeyKind::Ed25519 => {
            let whole = artifact.whole()?;
            let prehashed = Message::whole_for(Scheme::Ed25519Ph, &whole);
            let pure = (Scheme::Ed25519, Message::Whole(whole));
            return Ok(vec![(Scheme::Ed25519Ph, prehashed), pure]);
        }
        KeyKind::MlDsa44 | KeyKind::MlDsa65 | KeyKind::MlDsa87 => {
            return Ok(vec![(Scheme::MlDsa, Message::Whole(artifact.whole()?))]);
        }
    };
    let digests = artifact.all_digests()?;
    let each = |scheme: &fn(DigestAlgorithm) -> Scheme| {
        digests
            .clone()
            .map(|digest| (scheme(digest.algorithm()), Message::Digest(digest)))
    };
    Ok(schemes.iter().flat_map(each).collect())
}
