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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};
    use sha2::Digest as _;
    use stella_bundle::key::KeyDetails;

    use super::*;
    use crate::public_key;
    use crate::{Loggable, Reason};

    const ARTIFACT: &[u8] = b"a file";

    fn verify_ed25519(signature: &[u8], mut artifact: &[u8]) -> Result<Loggable, ForeignError> {
        let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
        let pem = public_key::ed25519(key.as_bytes()).unwrap().to_pem();
        let mut artifact = Artifact::new(&mut artifact);
        let found = verify(signature, pem.as_bytes(), &mut artifact)?;
        Ok(found.proven.loggable)
    }

    #[test]
    fn ed25519ph_is_native_and_pure_ed25519_is_not() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let hash = sha2::Sha512::new_with_prefix(ARTIFACT);
        let prehashed = key.sign_prehashed(hash, None).unwrap().to_bytes();
        match verify_ed25519(&prehashed, ARTIFACT).unwrap() {
            Loggable::Native(native) => assert_eq!(native.key_details, KeyDetails::Ed25519Ph),
            Loggable::CounterAttest(reason) => panic!("{reason}"),
        }
        let pure = key.sign(ARTIFACT).to_bytes();
        let anew = Loggable::CounterAttest(Reason::PureEd25519);
        assert_eq!(verify_ed25519(&pure, ARTIFACT), Ok(anew));
        for signature in [prehashed, pure] {
            let result = verify_ed25519(&signature, b"another");
            assert_eq!(result, Err(ForeignError::BadSignature));
        }
    }

    #[test]
    fn nothing_and_far_too_much_are_no_signature() {
        for signature in [&b""[..], &[0; MAX_SIGNATURE + 1]] {
            let result = verify_ed25519(signature, ARTIFACT);
            assert!(matches!(result, Err(ForeignError::Unexpected { .. })));
        }
    }
}
