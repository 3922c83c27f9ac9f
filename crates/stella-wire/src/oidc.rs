//! OpenID Connect: identity tokens (JWT), key sets, discovery, and the token endpoint of CI runners.
//!
//! A [`Jwt`] is read here and not believed: whose signature counts is decided by `stella_server::issuers`.

mod algorithm;
mod jwk;
mod token;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::algorithm::TokenAlgorithm;
pub use self::jwk::{Jwk, Jwks};
pub use self::token::{Claims, Jwt, JwtHeader};

/// Identity tokens larger than this are refused before anything in them is looked at; GitHub's have 2 KiB.
pub const MAX_TOKEN: usize = 16 << 10;

/// Claims nested deeper are refused: Kubernetes, the deepest known, needs four.
const MAX_DEPTH: usize = 16;

/// Key sets with more keys are refused; the largest public ones have a dozen.
pub const MAX_KEYS: usize = 100;

/// Path of the discovery document below the issuer (OpenID Connect Discovery 1.0 §4).
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// The ways in which text is no identity token, key set or discovery document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OidcError {
    /// The claims are not a JSON object within the bounds.
    #[error("the token's claims are not a JSON object of at most {MAX_DEPTH} levels")]
    ClaimsMalformed,
    /// The header names extensions that must be understood (RFC 7515 §4.1.11).
    #[error("the token's header demands extensions (\"crit\")")]
    CriticalExtension,
    /// A JSON document is not of its form.
    #[error("the document is not valid at line {line}, column {column}")]
    DocumentMalformed {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The header is not a JSON object with `alg`, within the bounds.
    #[error("the token's header is not a small JSON object with \"alg\"")]
    HeaderMalformed,
    /// A key is none that signs tokens here.
    #[error("the key is neither RSA nor ECDSA on P-256 or P-384")]
    KeyUnusable,
    /// A part is not base64url without padding.
    #[error("a part of the token is not base64url")]
    NotBase64,
    /// There are not exactly three parts.
    #[error("the token does not have exactly three parts")]
    NotThreeParts,
    /// The token exceeds [`MAX_TOKEN`].
    #[error("the token of {length} bytes is larger than {MAX_TOKEN}")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
    },
    /// The key set exceeds [`MAX_KEYS`].
    #[error("the key set has {count} keys, more than {MAX_KEYS}")]
    TooManyKeys {
        /// How many there are.
        count: usize,
    },
}

/// A discovery document (OpenID Connect Discovery 1.0 §3), the fields used in this field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Discovery {
    /// The issuer, which must equal the one asked for, byte for byte.
    pub issuer: String,
    /// Where browsers are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<String>,
    /// Where codes become tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// Where the key set is.
    pub jwks_uri: String,
    /// `code`.
    #[serde(default)]
    pub response_types_supported: Vec<String>,
    /// `public`.
    #[serde(default)]
    pub subject_types_supported: Vec<String>,
    /// The algorithms of the issuer's keys, such as `RS256`.
    #[serde(default)]
    pub id_token_signing_alg_values_supported: Vec<String>,
    /// `S256`: interactive clients refuse an issuer without it.
    #[serde(default)]
    pub code_challenge_methods_supported: Vec<String>,
    /// `authorization_code`, …
    #[serde(default)]
    pub grant_types_supported: Vec<String>,
    /// `openid`, `email`.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    /// Claims that tokens hold.
    #[serde(default)]
    pub claims_supported: Vec<String>,
}

impl Discovery {
    /// Reads a discovery document; fields not named here are ignored.
    ///
    /// # Errors
    /// `DocumentMalformed`.
    pub fn parse(json: &[u8]) -> Result<Self, OidcError> {
        document(json)
    }

    /// Writes the JSON document.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What a CI runner's token endpoint answers: GitHub's `{"value": "<JWT>"}`; some say `token`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerToken {
    /// The identity token.
    #[serde(alias = "token")]
    pub value: String,
}

impl RunnerToken {
    /// Reads the answer.
    ///
    /// # Errors
    /// `DocumentMalformed`.
    pub fn parse(json: &[u8]) -> Result<Self, OidcError> {
        document(json)
    }

    /// Writes the answer.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl fmt::Debug for RunnerToken {
    /// Prints no token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RunnerToken")
            .finish_non_exhaustive()
    }
}

/// What a token endpoint answers to an authorization code (RFC 6749 §5.1 with OpenID Connect Core §3.1.3.3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAnswer {
    /// Opaque; nothing here uses it.
    #[serde(default)]
    pub access_token: String,
    /// `Bearer`.
    #[serde(default)]
    pub token_type: String,
    /// The identity token.
    pub id_token: String,
    /// Seconds.
    #[serde(default)]
    pub expires_in: u64,
}

impl TokenAnswer {
    /// Reads the answer.
    ///
    /// # Errors
    /// `DocumentMalformed`.
    pub fn parse(json: &[u8]) -> Result<Self, OidcError> {
        document(json)
    }

    /// Writes the answer.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl fmt::Debug for TokenAnswer {
    /// Prints no token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenAnswer")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

fn document<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, OidcError> {
    serde_json::from_slice(json).map_err(|error| OidcError::DocumentMalformed {
        line: error.line(),
        column: error.column(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_printed_by_debug() {
        let shown = format!(
            "{:?}",
            RunnerToken {
                value: "secret".to_owned()
            }
        );
        assert!(!shown.contains("secret"));
    }
}
