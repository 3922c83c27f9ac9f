//! Public keys of issuers as JSON (RFC 7517). How they verify is `stella_server::issuers`' business.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use stella_bundle::asn1;
use stella_bundle::key::PublicKey;

use super::{MAX_KEYS, OidcError, TokenAlgorithm, document};

/// A JSON Web Key (RFC 7517): the public part of RSA, EC or OKP keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Jwk {
    /// `RSA`, `EC` or `OKP`.
    pub kty: String,
    /// Name of the key inside its set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Algorithm that the key is meant for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig`, or `enc` for keys that verify nothing.
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// Curve of EC and OKP keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// RSA modulus, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// RSA exponent, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// EC x coordinate or OKP key, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// EC y coordinate, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
}

impl Jwk {
    /// Makes the key of a public half, for the algorithm by which it verifies tokens.
    ///
    /// # Errors
    /// [`OidcError::KeyUnusable`] for keys that sign none.
    pub fn of(kid: &str, key: &PublicKey) -> Result<Self, OidcError> {
        let algorithm = TokenAlgorithm::of(key.kind()).ok_or(OidcError::KeyUnusable)?;
        let common = Self {
            kid: Some(kid.to_owned()),
            alg: Some(algorithm.name().to_owned()),
            usage: Some("sig".to_owned()),
            ..Self::default()
        };
        let encoded = |number: &[u8]| Some(URL_SAFE_NO_PAD.encode(number));
        let on_curve = |curve: &str| {
            // SEC 1 §2.3.3: 4, then the two coordinates of the curve's length.
            let point = key.bits().get(1..).unwrap_or_default();
            let (x, y) = point.split_at(point.len() / 2);
            Self {
                kty: "EC".to_owned(),
                crv: Some(curve.to_owned()),
                x: encoded(x),
                y: encoded(y),
                ..common.clone()
            }
        };
        Ok(match algorithm {
            TokenAlgorithm::Es256 => on_curve("P-256"),
            TokenAlgorithm::Es384 => on_curve("P-384"),
            TokenAlgorithm::Rs256 => {
                let (n, e) = rsa_numbers(key.bits()).map_err(|_| OidcError::KeyUnusable)?;
                Self {
                    kty: "RSA".to_owned(),
                    n: encoded(n),
                    e: encoded(e),
                    ..common
                }
            }
        })
    }

    /// Returns the bytes of a parameter (`n`, `e`, `x`, `y`), big-endian, as they were written.
    #[must_use]
    pub fn bytes_of(parameter: Option<&String>) -> Option<Vec<u8>> {
        // Some issuers pad; RFC 7515 §2 forbids it, and nothing depends on it.
        URL_SAFE_NO_PAD
            .decode(parameter?.trim_end_matches('='))
            .ok()
    }
}

/// Reads modulus and exponent from `SEQUENCE { n, e }` (RFC 8017 §A.1.1).
fn rsa_numbers(key: &[u8]) -> Result<(&[u8], &[u8]), asn1::Asn1Error> {
    let mut numbers = asn1::only_sequence(key)?;
    Ok((numbers.tlv()?.to_unsigned()?, numbers.tlv()?.to_unsigned()?))
}

/// A JSON Web Key Set (RFC 7517 §5), at most [`MAX_KEYS`] keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

impl Jwks {
    /// Reads a key set.
    ///
    /// # Errors
    /// `DocumentMalformed`, `TooManyKeys`.
    pub fn parse(json: &[u8]) -> Result<Self, OidcError> {
        let set: Self = document(json)?;
        if set.keys.len() > MAX_KEYS {
            return Err(OidcError::TooManyKeys {
                count: set.keys.len(),
            });
        }
        Ok(set)
    }

    /// Writes the JSON document.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_set_is_bounded() {
        let keys = vec![
            Jwk {
                kty: "RSA".to_owned(),
                ..Jwk::default()
            };
            MAX_KEYS + 1
        ];
        let count = keys.len();
        assert_eq!(
            Jwks::parse(&Jwks { keys }.to_bytes()),
            Err(OidcError::TooManyKeys { count })
        );
    }
}
