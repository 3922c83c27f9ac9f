//! The key that a certificate is asked for: which kinds are good enough, and the proof that its sender holds it.

use stella_bundle::asn1;
use stella_bundle::key::{KeyKind, PublicKey, Scheme};
use stella_wire::csr::{CsrError, SigningRequest};
use stella_wire::fulcio::{PublicKeyRequest, SigningCertRequest};

use crate::problem::Problem;

/// Why a key is not certified. The sentences are Fulcio's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SubmittedError {
    #[error("signing algorithm not permitted: {0:?}")]
    AlgorithmNotPermitted(Scheme),
    #[error("The certificate signing request could not be parsed")]
    CsrMalformed,
    #[error("The public key supplied in the request is insecure")]
    KeyInsecure,
    #[error("The public key supplied in the request could not be parsed")]
    KeyMalformed,
    #[error("The signature supplied in the request could not be verified")]
    ProofWrong,
}

impl SubmittedError {
    const fn reason(&self) -> &'static str {
        match self {
            Self::AlgorithmNotPermitted(_) => "ALGORITHM_NOT_PERMITTED",
            Self::CsrMalformed => "CSR_MALFORMED",
            Self::KeyInsecure => "PUBLIC_KEY_INSECURE",
            Self::KeyMalformed => "PUBLIC_KEY_MALFORMED",
            Self::ProofWrong => "PROOF_OF_POSSESSION_WRONG",
        }
    }
}

impl From<SubmittedError> for Problem {
    fn from(error: SubmittedError) -> Self {
        Self::invalid(error.to_string(), error.reason())
    }
}

/// Returns the key to be certified; `proofs` are the texts of which one must be signed (a CSR signs itself).
pub(super) fn accept(
    request: &SigningCertRequest,
    proofs: &[String],
) -> Result<PublicKey, SubmittedError> {
    if !request.certificate_signing_request.is_empty() {
        return accept_csr(&request.certificate_signing_request);
    }
    let submitted = request
        .public_key_request
        .as_ref()
        .ok_or(SubmittedError::KeyMalformed)?;
    accept_key(submitted, proofs)
}

fn accept_csr(csr: &[u8]) -> Result<PublicKey, SubmittedError> {
    let request = SigningRequest::parse(csr).map_err(|error| match error {
        // An RSA key below 2048 bits is found out while reading.
        CsrError::Key(_) => SubmittedError::KeyMalformed,
        _ => SubmittedError::CsrMalformed,
    })?;
    let key = require_good(request.public_key().clone())?;
    request.verify().map_err(|_| SubmittedError::ProofWrong)?;
    // A certificate's key signs by one hash only: P-256 with SHA-384 would leave verifiers to guess.
    if request.scheme() != key.default_scheme() {
        return Err(SubmittedError::AlgorithmNotPermitted(request.scheme()));
    }
    Ok(key)
}

fn accept_key(
    submitted: &PublicKeyRequest,
    proofs: &[String],
) -> Result<PublicKey, SubmittedError> {
    let key = PublicKey::from_pem(&submitted.public_key.content)
        .map_err(|_| SubmittedError::KeyMalformed)?;
    let key = require_good(key)?;
    let signature = &submitted.proof_of_possession;
    let proved = proofs
        .iter()
        .any(|proof| key.verify(proof.as_bytes(), signature).is_ok());
    if !proved {
        return Err(SubmittedError::ProofWrong);
    }
    Ok(key)
}

/// Requires a key of Fulcio's allow-list that is not weak by its own numbers.
fn require_good(key: PublicKey) -> Result<PublicKey, SubmittedError> {
    match key.kind() {
        KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::EcdsaP521 | KeyKind::Ed25519 => Ok(key),
        KeyKind::Rsa {
            bits: 2048 | 3072 | 4096,
        } if is_good_rsa(key.bits()) => Ok(key),
        KeyKind::Rsa { .. } => Err(SubmittedError::KeyInsecure),
        _ => Err(SubmittedError::AlgorithmNotPermitted(key.default_scheme())),
    }
}

/// Says whether an RSAPublicKey has the usual exponent and a modulus without small factors.
fn is_good_rsa(rsa: &[u8]) -> bool {
    /// 65537, the only exponent that public authorities take.
    const EXPONENT: [u8; 3] = [1, 0, 1];
    /// Smooth enough to find a careless modulus, short enough to cost nothing.
    const SMALL_PRIMES: [u32; 24] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    ];
    let numbers = || -> Result<(&[u8], &[u8]), asn1::Asn1Error> {
        let mut reader = asn1::only_sequence(rsa)?;
        Ok((reader.tlv()?.to_unsigned()?, reader.tlv()?.to_unsigned()?))
    };
    let Ok((modulus, exponent)) = numbers() else {
        return false;
    };
    let remainder = |prime: u32| {
        modulus
            .iter()
            .fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % prime)
    };
    let is_odd = modulus.last().is_some_and(|byte| byte % 2 == 1);
    exponent == EXPONENT && is_odd && SMALL_PRIMES.iter().all(|prime| remainder(*prime) != 0)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_bundle::digest::DigestAlgorithm;
    use stella_bundle::key::KeyDetails;
    use stella_keys::{EphemeralKey, Signer as _};
    use stella_wire::csr;
    use stella_wire::fulcio::SubmittedKey;

    use super::*;

    const SUBJECT: &str = "repo:o/r:ref:refs/heads/main";

    fn with_proof(details: KeyDetails, signed: &str) -> Result<PublicKey, SubmittedError> {
        let key = EphemeralKey::generate(details).unwrap();
        let request = PublicKeyRequest {
            public_key: SubmittedKey {
                content: key.public_key().to_pem(),
            },
            proof_of_possession: key.sign(signed.as_bytes()).unwrap(),
        };
        accept_key(
            &request,
            &["someone@example.com".to_owned(), SUBJECT.to_owned()],
        )
    }

    fn with_csr(details: KeyDetails, scheme: Scheme) -> Result<PublicKey, SubmittedError> {
        let key = EphemeralKey::generate(details).unwrap();
        let signed = csr::to_be_signed(key.public_key());
        let text = csr::assemble(&signed, scheme, &key.sign(&signed).unwrap()).unwrap();
        accept_csr(text.as_bytes())
    }

    #[test]
    fn a_proof_over_any_of_the_tokens_names_binds_the_key() {
        for details in [
            KeyDetails::EcdsaP256Sha256,
            KeyDetails::EcdsaP384Sha384,
            KeyDetails::EcdsaP521Sha512,
            KeyDetails::Ed25519,
            KeyDetails::RsaPkcs1v15_2048Sha256,
        ] {
            with_proof(details, SUBJECT).unwrap();
            with_proof(details, "someone@example.com").unwrap();
            assert_eq!(
                with_proof(details, "another"),
                Err(SubmittedError::ProofWrong),
                "{details:?}"
            );
        }
    }

    #[test]
    fn a_request_is_signed_by_its_key_with_the_one_permitted_hash() {
        with_csr(
            KeyDetails::EcdsaP256Sha256,
            Scheme::Ecdsa(DigestAlgorithm::Sha256),
        )
        .unwrap();
        with_csr(KeyDetails::Ed25519, Scheme::Ed25519).unwrap();
        // Said to be SHA-384 while it is SHA-256: the signature does not verify.
        let lied = with_csr(
            KeyDetails::EcdsaP256Sha256,
            Scheme::Ecdsa(DigestAlgorithm::Sha384),
        );
        assert_eq!(lied, Err(SubmittedError::ProofWrong));
    }

    #[test]
    fn text_that_is_no_key_and_requests_without_one_are_refused() {
        let empty = SigningCertRequest::default();
        assert_eq!(accept(&empty, &[]), Err(SubmittedError::KeyMalformed));
        assert_eq!(accept_csr(b"hello"), Err(SubmittedError::CsrMalformed));
        let request = PublicKeyRequest::default();
        assert_eq!(accept_key(&request, &[]), Err(SubmittedError::KeyMalformed));
    }

    #[test]
    fn moduli_with_small_factors_and_odd_exponents_are_insecure() {
        let rsa = |modulus: &[u8], exponent: u64| {
            asn1::sequence(&[&asn1::unsigned(modulus), &asn1::small(exponent)])
        };
        let mut modulus = vec![0xff; 256];
        assert!(
            !is_good_rsa(&rsa(&modulus, 65537)),
            "2^2048 - 1 is divisible by 3"
        );
        modulus[255] = 0xfe;
        assert!(!is_good_rsa(&rsa(&modulus, 65537)), "even");
        let key = EphemeralKey::generate(KeyDetails::RsaPkcs1v15_2048Sha256).unwrap();
        assert!(is_good_rsa(key.public_key().bits()));
        let mut reader = asn1::only_sequence(key.public_key().bits()).unwrap();
        let modulus = reader.tlv().unwrap().to_unsigned().unwrap();
        assert!(!is_good_rsa(&rsa(modulus, 3)), "exponent 3");
    }
}
