//! From a request to an entry: which keys and digests are taken, and whether the signature verifies.
//!
//! The chain, validity and SCTs of a certificate are not looked at: any certificate may be logged, verifiers judge it.

use stella_bundle::certificate::{Certificate, CertificateError};
use stella_bundle::digest::Digest;
use stella_bundle::entry::{EntryVerifier, HashedRekord};
use stella_bundle::key::{KeyDetails, KeyError, KeyKind, PublicKey};
use stella_tlog::tile::MAX_ENTRY;
use stella_wire::rekor::{DsseRequest, HashedRekordRequest, RekorError, Verifier};

use crate::problem::Problem;

/// What may be logged (rekor-tiles, `internal/algorithmregistry`).
const ALLOWED: [KeyDetails; 7] = [
    KeyDetails::EcdsaP256Sha256,
    KeyDetails::EcdsaP384Sha384,
    KeyDetails::EcdsaP521Sha512,
    KeyDetails::Ed25519Ph,
    KeyDetails::RsaPkcs1v15_2048Sha256,
    KeyDetails::RsaPkcs1v15_3072Sha256,
    KeyDetails::RsaPkcs1v15_4096Sha256,
];

/// Why a request is not logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum EntryError {
    #[error("keyDetails {} is not accepted by this log", .0.name())]
    AlgorithmNotAllowed(KeyDetails),
    #[error("the signature does not verify over the digest")]
    BadSignature,
    #[error("the certificate cannot be read: {0}")]
    Certificate(CertificateError),
    #[error("the digest has {found} bytes, {} needs {wanted}", details.name())]
    DigestLength {
        details: KeyDetails,
        found: usize,
        wanted: usize,
    },
    #[error("the public key cannot be read: {0}")]
    Key(KeyError),
    #[error("the key is {found:?}, keyDetails says {}", details.name())]
    KeyDiffers { found: KeyKind, details: KeyDetails },
    #[error(
        "an envelope with {signatures} signatures and {verifiers} verifiers: exactly one of each can be logged"
    )]
    NotOneSignature { signatures: usize, verifiers: usize },
    #[error("the entry of {length} bytes is larger than {MAX_ENTRY}")]
    TooLarge { length: usize },
}

impl EntryError {
    const fn reason(&self) -> &'static str {
        match self {
            Self::AlgorithmNotAllowed(_) => "ALGORITHM_NOT_ALLOWED",
            Self::BadSignature => "SIGNATURE_WRONG",
            Self::Certificate(_) => "CERTIFICATE_MALFORMED",
            Self::DigestLength { .. } => "DIGEST_LENGTH_WRONG",
            Self::Key(_) => "PUBLIC_KEY_MALFORMED",
            Self::KeyDiffers { .. } => "KEY_DETAILS_WRONG",
            Self::NotOneSignature { .. } => "NOT_ONE_SIGNATURE",
            Self::TooLarge { .. } => "ENTRY_TOO_LARGE",
        }
    }
}

impl From<EntryError> for Problem {
    fn from(error: EntryError) -> Self {
        // Upstream says "invalid hashedrekord request" for all of these; who debugs a pipeline needs to know which.
        Self::invalid(
            format!("invalid hashedrekord request: {error}"),
            error.reason(),
        )
    }
}

/// Returns the machine-readable reason for a request that cannot be read.
pub(super) const fn reason_of(error: &RekorError) -> &'static str {
    match error {
        RekorError::FieldMissing { .. } => "FIELD_MISSING",
        RekorError::KeyDetailsUnknown { .. } => "KEY_DETAILS_UNKNOWN",
        RekorError::TooLarge { .. } | RekorError::TooManySignatures { .. } => "REQUEST_TOO_LARGE",
        _ => "REQUEST_MALFORMED",
    }
}

/// Checks a request for a digest.
pub(super) fn of_hashed_rekord(request: HashedRekordRequest) -> Result<HashedRekord, EntryError> {
    let HashedRekordRequest {
        digest,
        signature,
        verifier,
    } = request;
    let key = read_key(&verifier)?;
    let details = verifier.details;
    let algorithm = details
        .hash()
        .ok_or(EntryError::AlgorithmNotAllowed(details))?;
    let (found, wanted) = (digest.len(), algorithm.size());
    let digest = Digest::new(algorithm, &digest).ok_or(EntryError::DigestLength {
        details,
        found,
        wanted,
    })?;
    key.verify_digest(details.scheme(), &digest, &signature)
        .map_err(|_| EntryError::BadSignature)?;
    Ok(HashedRekord {
        digest,
        signature,
        verifier: verifier.key,
        details,
    })
}

/// Checks a request for an envelope: what is logged is the digest of what its signature covers.
pub(super) fn of_dsse(request: DsseRequest) -> Result<HashedRekord, EntryError> {
    let DsseRequest {
        envelope,
        verifiers,
    } = request;
    let ([signature], [verifier]) = (envelope.signatures.as_slice(), verifiers.as_slice()) else {
        let (signatures, verifiers) = (envelope.signatures.len(), verifiers.len());
        return Err(EntryError::NotOneSignature {
            signatures,
            verifiers,
        });
    };
    let details = verifier.details;
    let algorithm = details
        .hash()
        .ok_or(EntryError::AlgorithmNotAllowed(details))?;
    let digest = algorithm.digest(&envelope.to_be_signed()).bytes().to_vec();
    of_hashed_rekord(HashedRekordRequest {
        digest,
        signature: signature.sig.clone(),
        verifier: verifier.clone(),
    })
}

fn read_key(verifier: &Verifier) -> Result<PublicKey, EntryError> {
    let details = verifier.details;
    let key = match &verifier.key {
        EntryVerifier::Certificate(der) => Certificate::parse(der)
            .map_err(EntryError::Certificate)?
            .public_key()
            .clone(),
        EntryVerifier::PublicKey(der) => PublicKey::from_spki(der).map_err(EntryError::Key)?,
    };
    if !ALLOWED.contains(&details) {
        return Err(EntryError::AlgorithmNotAllowed(details));
    }
    if key.kind() != details.kind() {
        return Err(EntryError::KeyDiffers {
            found: key.kind(),
            details,
        });
    }
    Ok(key)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use stella_bundle::envelope::{Envelope, EnvelopeSignature};
    use stella_keys::{EphemeralKey, Signer as _};

    use super::*;

    fn request(details: KeyDetails) -> HashedRekordRequest {
        let key = EphemeralKey::generate(details).unwrap();
        HashedRekordRequest {
            digest: details.hash().unwrap().digest(b"message").bytes().to_vec(),
            signature: key.sign(b"message").unwrap(),
            verifier: Verifier {
                key: EntryVerifier::PublicKey(key.public_key().spki().to_vec()),
                details,
            },
        }
    }

    #[test]
    fn every_allowed_algorithm_is_logged() {
        for details in [
            KeyDetails::EcdsaP256Sha256,
            KeyDetails::EcdsaP384Sha384,
            KeyDetails::EcdsaP521Sha512,
            KeyDetails::Ed25519Ph,
            KeyDetails::RsaPkcs1v15_2048Sha256,
        ] {
            let rekord = of_hashed_rekord(request(details)).unwrap();
            assert_eq!(rekord.details, details);
        }
    }

    #[test]
    fn wrong_requests_are_refused_each_for_its_reason() {
        let good = || request(KeyDetails::EcdsaP256Sha256);
        let details = KeyDetails::EcdsaP384Sha384;
        let with_details = |details| {
            let mut request = good();
            request.verifier.details = details;
            of_hashed_rekord(request).unwrap_err()
        };
        let found = KeyKind::EcdsaP256;
        assert_eq!(
            with_details(details),
            EntryError::KeyDiffers { found, details }
        );
        // Pure Ed25519 signs no digest; PSS is not in upstream's list.
        assert_eq!(
            with_details(KeyDetails::Ed25519),
            EntryError::AlgorithmNotAllowed(KeyDetails::Ed25519)
        );
        let pss = KeyDetails::RsaPss2048Sha256;
        assert_eq!(with_details(pss), EntryError::AlgorithmNotAllowed(pss));

        let details = KeyDetails::EcdsaP256Sha256;
        let short = HashedRekordRequest {
            digest: vec![0; 20],
            ..good()
        };
        assert_eq!(
            of_hashed_rekord(short),
            Err(EntryError::DigestLength {
                details,
                found: 20,
                wanted: 32
            })
        );
        let another = HashedRekordRequest {
            digest: vec![0; 32],
            ..good()
        };
        assert_eq!(of_hashed_rekord(another), Err(EntryError::BadSignature));
        let mut garbled = good();
        garbled.verifier.key = EntryVerifier::Certificate(vec![0x30, 0]);
        assert!(matches!(
            of_hashed_rekord(garbled),
            Err(EntryError::Certificate(_))
        ));
        let mut garbled = good();
        garbled.verifier.key = EntryVerifier::PublicKey(vec![0x30, 0]);
        assert!(matches!(of_hashed_rekord(garbled), Err(EntryError::Key(_))));
    }

    #[test]
    fn an_envelope_is_logged_by_the_digest_of_what_it_signs() {
        let details = KeyDetails::EcdsaP256Sha256;
        let key = EphemeralKey::generate(details).unwrap();
        let mut envelope = Envelope {
            payload: b"{}".to_vec(),
            payload_type: "application/vnd.in-toto+json".to_owned(),
            signatures: Vec::new(),
        };
        let sig = key.sign(&envelope.to_be_signed()).unwrap();
        envelope.signatures.push(EnvelopeSignature {
            sig,
            keyid: String::new(),
        });
        let verifier = Verifier {
            key: EntryVerifier::PublicKey(key.public_key().spki().to_vec()),
            details,
        };
        let request = DsseRequest {
            envelope: envelope.clone(),
            verifiers: vec![verifier.clone()],
        };
        let rekord = of_dsse(request).unwrap();
        assert_eq!(
            rekord.digest,
            details.hash().unwrap().digest(&envelope.to_be_signed())
        );
        let request = DsseRequest {
            envelope,
            verifiers: vec![verifier.clone(), verifier],
        };
        assert_eq!(
            of_dsse(request),
            Err(EntryError::NotOneSignature {
                signatures: 1,
                verifiers: 2
            })
        );
    }
}
