//! Public keys of issuers as JSON (RFC 7517). How they verify is `stella_server::issuers`' business.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use stella_bundle::asn1;

use super::{MAX_KEYS, OidcError, document};

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
    /// Makes the RS256 key of an RSA SubjectPublicKeyInfo (DER).
    ///
    /// # Errors
    /// [`OidcError::KeyMalformed`] for any other key.
    pub fn rs256(kid: &str, spki: &[u8]) -> Result<Self, OidcError> {
        let (n, e) = rsa_numbers(spki).map_err(|_| OidcError::KeyMalformed)?;
        Ok(Self {
            kty: "RSA".to_owned(),
            kid: Some(kid.to_owned()),
            alg: Some("RS256".to_owned()),
            usage: Some("sig".to_owned()),
            n: Some(URL_SAFE_NO_PAD.encode(n)),
            e: Some(URL_SAFE_NO_PAD.encode(e)),
            ..Self::default()
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

/// Reads modulus and exponent from `SEQUENCE { algorithm, BIT STRING { SEQUENCE { n, e } } }` (RFC 8017 §A.1.1).
fn rsa_numbers(spki: &[u8]) -> Result<(Vec<u8>, Vec<u8>), asn1::Asn1Error> {
    let mut outer = asn1::only_sequence(spki)?;
    outer.sequence()?;
    let key = outer
        .expect(asn1::tag::BIT_STRING)?
        .to_octets_of_bit_string()?;
    let mut numbers = asn1::only_sequence(key)?;
    let n = numbers.tlv()?.to_unsigned()?.to_vec();
    let e = numbers.tlv()?.to_unsigned()?.to_vec();
    Ok((n, e))
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
