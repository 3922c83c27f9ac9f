//! Signatures of tokens (RFC 7515, RFC 7518): an allow-list of algorithms, each with the kind of key that it needs.

use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use stella_wire::oidc::{Jwk, JwtHeader};

/// RSA moduli of 2048 to 4096 bits, in bytes: larger ones make verification costly for an attacker's benefit.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=512;

/// Why a token's signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("the algorithm {algorithm:?} is not allowed")]
    AlgorithmNotAllowed { algorithm: String },
    #[error("the signature does not verify")]
    BadSignature,
    #[error("the issuer's key cannot be used with {0:?}")]
    KeyUnusable(Algorithm),
    #[error("the issuer has no key {key_id:?} for this algorithm")]
    KeyUnknown { key_id: Option<String> },
}

impl SignatureError {
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::AlgorithmNotAllowed { .. } => "TOKEN_ALGORITHM_NOT_ALLOWED",
            Self::BadSignature => "TOKEN_SIGNATURE_WRONG",
            Self::KeyUnusable(_) | Self::KeyUnknown { .. } => "TOKEN_KEY_UNKNOWN",
        }
    }
}

/// The algorithms that count; `none` and those with shared secrets cannot even be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    EdDsa,
    Es256,
    Es384,
    Es512,
    Ps256,
    Ps384,
    Ps512,
    Rs256,
    Rs384,
    Rs512,
}

impl Algorithm {
    /// Reads the header's `alg`.
    pub(crate) fn of(header: &JwtHeader) -> Result<Self, SignatureError> {
        Ok(match header.alg.as_str() {
            "EdDSA" => Self::EdDsa,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            other => {
                return Err(SignatureError::AlgorithmNotAllowed {
                    algorithm: other.to_owned(),
                });
            }
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    /// Says whether a key of a set is meant for this algorithm.
    pub(crate) fn fits(self, jwk: &Jwk) -> bool {
        let curve = jwk.crv.as_deref();
        let kind = match self {
            Self::EdDsa => jwk.kty == "OKP" && curve == Some("Ed25519"),
            Self::Es256 => jwk.kty == "EC" && curve == Some("P-256"),
            Self::Es384 => jwk.kty == "EC" && curve == Some("P-384"),
            Self::Es512 => jwk.kty == "EC" && curve == Some("P-521"),
            _ => jwk.kty == "RSA",
        };
        let for_this = jwk.alg.as_deref().is_none_or(|alg| alg == self.name());
        kind && for_this && jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
    }

    /// Verifies a signature by a key of the issuer.
    pub(crate) fn verify(
        self,
        jwk: &Jwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if !self.fits(jwk) {
            return Err(SignatureError::KeyUnusable(self));
        }
        match self {
            Self::EdDsa => {
                let key = Jwk::bytes_of(jwk.x.as_ref()).ok_or(SignatureError::KeyUnusable(self))?;
                verify_with(&ED25519, &key, message, signature)
            }
            Self::Es256 => verify_with(
                &ECDSA_P256_SHA256_FIXED,
                &self.point(jwk, 32)?,
                message,
                signature,
            ),
            Self::Es384 => verify_with(
                &ECDSA_P384_SHA384_FIXED,
                &self.point(jwk, 48)?,
                message,
                signature,
            ),
            Self::Es512 => verify_with(
                &ECDSA_P521_SHA512_FIXED,
                &self.point(jwk, 66)?,
                message,
                signature,
            ),
            Self::Ps256 => self.verify_rsa(&RSA_PSS_2048_8192_SHA256, jwk, message, signature),
            Self::Ps384 => self.verify_rsa(&RSA_PSS_2048_8192_SHA384, jwk, message, signature),
            Self::Ps512 => self.verify_rsa(&RSA_PSS_2048_8192_SHA512, jwk, message, signature),
            Self::Rs256 => self.verify_rsa(&RSA_PKCS1_2048_8192_SHA256, jwk, message, signature),
            Self::Rs384 => self.verify_rsa(&RSA_PKCS1_2048_8192_SHA384, jwk, message, signature),
            Self::Rs512 => self.verify_rsa(&RSA_PKCS1_2048_8192_SHA512, jwk, message, signature),
        }
    }

    /// Returns the uncompressed curve point; coordinates have their full length (RFC 7518 §6.2.1.2).
    fn point(self, jwk: &Jwk, size: usize) -> Result<Vec<u8>, SignatureError> {
        let unusable = SignatureError::KeyUnusable(self);
        let coordinates = Jwk::bytes_of(jwk.x.as_ref()).zip(Jwk::bytes_of(jwk.y.as_ref()));
        let (x, y) = coordinates
            .filter(|(x, y)| x.len() == size && y.len() == size)
            .ok_or(unusable)?;
        Ok([[4].as_slice(), &x, &y].concat())
    }

    fn verify_rsa(
        self,
        parameters: &'static RsaParameters,
        jwk: &Jwk,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let numbers = Jwk::bytes_of(jwk.n.as_ref()).zip(Jwk::bytes_of(jwk.e.as_ref()));
        let (n, e) = numbers.ok_or(SignatureError::KeyUnusable(self))?;
        let n: Vec<u8> = n.into_iter().skip_while(|byte| *byte == 0).collect();
        if !RSA_MODULUS.contains(&n.len()) || e.len() > 4 {
            return Err(SignatureError::KeyUnusable(self));
        }
        RsaPublicKeyComponents { n, e }
            .verify(parameters, message, signature)
            .map_err(|_| SignatureError::BadSignature)
    }
}

fn verify_with(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let key = UnparsedPublicKey::new(algorithm, key);
    signature::UnparsedPublicKey::verify(&key, message, signature)
        .map_err(|_| SignatureError::BadSignature)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn algorithms_outside_of_the_list_cannot_be_named() {
        for algorithm in ["none", "None", "HS256", "HS512", "RSA1_5", "", "rs256"] {
            let refused = Algorithm::of(&JwtHeader::new(algorithm, "k"));
            let algorithm = algorithm.to_owned();
            assert_eq!(
                refused,
                Err(SignatureError::AlgorithmNotAllowed { algorithm })
            );
        }
    }

    #[test]
    fn the_example_of_rfc_7515_verifies_and_its_key_serves_no_other_algorithm() {
        // spec: RFC 7515 §A.3
        let jwk: Jwk = serde_json::from_str(
            r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        )
        .unwrap();
        let signed = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let signature = Jwk::bytes_of(Some(&signature.to_owned())).unwrap();
        assert_eq!(
            Algorithm::Es256.verify(&jwk, signed.as_bytes(), &signature),
            Ok(())
        );
        let bad = Algorithm::Es256.verify(&jwk, b"another", &signature);
        assert_eq!(bad, Err(SignatureError::BadSignature));
        let other = Algorithm::Rs256.verify(&jwk, signed.as_bytes(), &signature);
        assert_eq!(other, Err(SignatureError::KeyUnusable(Algorithm::Rs256)));
        let encrypts = Jwk {
            usage: Some("enc".to_owned()),
            ..jwk
        };
        let refused = Algorithm::Es256.verify(&encrypts, signed.as_bytes(), &signature);
        assert_eq!(refused, Err(SignatureError::KeyUnusable(Algorithm::Es256)));
    }
}
