//! Identity tokens (JWT): taken apart with bounds, or put together, and not yet believed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stella_bundle::json;
use stella_bundle::time::UnixTime;

use super::{MAX_DEPTH, MAX_TOKEN, OidcError};

/// Larger headers are refused: `alg`, `kid` and `typ` need a hundred bytes.
const MAX_HEADER: usize = 1 << 10;

/// A JSON Web Token in compact form (RFC 7519, RFC 7515 §7.1), taken apart and not yet believed.
#[derive(Clone, PartialEq)]
pub struct Jwt {
    header: JwtHeader,
    claims: Claims,
    signing_input: String,
    signature: Vec<u8>,
}

/// The header fields that decide how a token is verified; `jku`, `x5u` and `jwk` are not even read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtHeader {
    /// Algorithm (RFC 7518 §3.1), for example `RS256`.
    pub alg: String,
    /// Which key of the set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// `JWT`, when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
    /// Extensions that must be understood; none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<Value>,
}

impl JwtHeader {
    /// Makes the header of a token that is about to be signed.
    #[must_use]
    pub fn new(alg: &str, kid: &str) -> Self {
        let (alg, kid) = (alg.to_owned(), Some(kid.to_owned()));
        Self {
            alg,
            kid,
            typ: Some("JWT".to_owned()),
            crit: None,
        }
    }
}

impl Jwt {
    /// Takes a token apart. Believes nothing of it.
    ///
    /// # Errors
    /// Any [`OidcError`] about tokens.
    pub fn parse(token: &str) -> Result<Self, OidcError> {
        if token.len() > MAX_TOKEN {
            return Err(OidcError::TooLarge {
                length: token.len(),
            });
        }
        // Counting comes before splitting: a token of dots must not become a list (GHSA-f83f-xpx7-ffpw).
        if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
            return Err(OidcError::NotThreeParts);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(OidcError::NotThreeParts)?;
        let (header, claims) = signing_input
            .split_once('.')
            .ok_or(OidcError::NotThreeParts)?;
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| OidcError::NotBase64)
        };
        let header = decode(header)?;
        if header.len() > MAX_HEADER {
            return Err(OidcError::HeaderMalformed);
        }
        let header: JwtHeader =
            serde_json::from_slice(&header).map_err(|_| OidcError::HeaderMalformed)?;
        if header.crit.is_some() {
            return Err(OidcError::CriticalExtension);
        }
        Ok(Self {
            header,
            claims: Claims::parse(&decode(claims)?)?,
            signing_input: signing_input.to_owned(),
            signature: decode(signature)?,
        })
    }

    /// Returns what is to be signed for a token with these claims: two parts and the dot between them.
    #[must_use]
    pub fn to_be_signed(header: &JwtHeader, claims: &Claims) -> String {
        let header = serde_json::to_vec(header).unwrap_or_default();
        let claims = serde_json::to_vec(&claims.0).unwrap_or_default();
        format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        )
    }

    /// Returns the finished token.
    #[must_use]
    pub fn assemble(to_be_signed: &str, signature: &[u8]) -> String {
        format!("{to_be_signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the header.
    #[must_use]
    pub const fn header(&self) -> &JwtHeader {
        &self.header
    }

    /// Returns the claims, which nobody has vouched for yet.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Returns the bytes under the signature.
    #[must_use]
    pub fn signing_input(&self) -> &[u8] {
        self.signing_input.as_bytes()
    }

    /// Returns the signature; for ECDSA `r ‖ s` of fixed length (RFC 7518 §3.4).
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl fmt::Debug for Jwt {
    /// Prints the claims without the signature: a token in a log must not be usable.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Jwt")
            .field("header", &self.header)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// The claims of a token: names and JSON values, at most 16 levels deep.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// [`OidcError::ClaimsMalformed`].
    pub fn parse(text: &[u8]) -> Result<Self, OidcError> {
        if depth(text) > MAX_DEPTH {
            return Err(OidcError::ClaimsMalformed);
        }
        // Two readers of a name that appears twice see two tokens.
        json::require_unambiguous(text).map_err(|_| OidcError::ClaimsMalformed)?;
        serde_json::from_slice(text)
            .map(Self)
            .map_err(|_| OidcError::ClaimsMalformed)
    }

    /// Returns the value of a claim.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns a claim that is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Returns a claim that is a date in seconds (RFC 7519 §2, NumericDate); a fraction is dropped.
    #[must_use]
    pub fn time(&self, name: &str) -> Option<UnixTime> {
        let value = self.0.get(name)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float saturates, and dates that far are refused later"
        )]
        let seconds = value
            .as_i64()
            .or_else(|| value.as_f64().map(|seconds| seconds as i64))?;
        Some(UnixTime::from_seconds(seconds))
    }

    /// Returns `aud` as a list: it may be one string or an array of strings; anything else is none.
    #[must_use]
    pub fn audiences(&self) -> Vec<&str> {
        match self.0.get("aud") {
            Some(Value::String(audience)) => vec![audience],
            Some(Value::Array(list)) => list
                .iter()
                .map(Value::as_str)
                .collect::<Option<_>>()
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Says whether `email_verified` is true; some providers write it as a string.
    #[must_use]
    pub fn is_email_verified(&self) -> bool {
        match self.0.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(text)) => matches!(text.as_str(), "true" | "True"),
            _ => false,
        }
    }

    /// Sets a claim.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Returns all claims in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// How deep arrays and objects of a JSON text nest, counted without building anything.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> String {
        format!(
            "{}.{}.AAAA",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        )
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let mut claims = Claims::default();
        claims.set("iss", "https://issuer.example");
        claims.set("exp", 1_700_000_000);
        let signed = Jwt::to_be_signed(&JwtHeader::new("RS256", "k"), &claims);
        let token = Jwt::parse(&Jwt::assemble(&signed, b"sig")).unwrap();
        assert_eq!(token.header(), &JwtHeader::new("RS256", "k"));
        assert_eq!(token.claims(), &claims);
        assert_eq!(
            token.claims().time("exp"),
            Some(UnixTime::from_seconds(1_700_000_000))
        );
        assert_eq!(
            (token.signing_input(), token.signature()),
            (signed.as_bytes(), b"sig".as_slice())
        );
    }

    #[test]
    fn misshapen_tokens_are_refused_each_for_its_reason() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(17), "}".repeat(17));
        let long = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(2000));
        let cases = [
            ("".to_owned(), OidcError::NotThreeParts),
            (".".repeat(15_000), OidcError::NotThreeParts),
            ("a.b.c.d".to_owned(), OidcError::NotThreeParts),
            (
                "a".repeat(MAX_TOKEN + 1),
                OidcError::TooLarge {
                    length: MAX_TOKEN + 1,
                },
            ),
            ("!.b.c".to_owned(), OidcError::NotBase64),
            (token("[]", "{}"), OidcError::HeaderMalformed),
            (token(&long, "{}"), OidcError::HeaderMalformed),
            (token(r#"{"kid":"x"}"#, "{}"), OidcError::HeaderMalformed),
            (
                token(r#"{"alg":"RS256","crit":["b64"]}"#, "{}"),
                OidcError::CriticalExtension,
            ),
            (token(r#"{"alg":"RS256"}"#, "7"), OidcError::ClaimsMalformed),
            (
                token(r#"{"alg":"RS256"}"#, r#"{"sub":"a","sub":"b"}"#),
                OidcError::ClaimsMalformed,
            ),
            (
                token(r#"{"alg":"RS256"}"#, &deep),
                OidcError::ClaimsMalformed,
            ),
        ];
        for (text, expect) in cases {
            assert_eq!(Jwt::parse(&text).map(|_| ()), Err(expect), "{text:.60}");
        }
    }

    #[test]
    fn an_audience_is_one_string_or_a_list_of_strings() {
        let audiences = |json: &str| Claims::parse(json.as_bytes()).unwrap().audiences().len();
        assert_eq!(audiences(r#"{"aud":"sigstore"}"#), 1);
        assert_eq!(audiences(r#"{"aud":["sigstore","x"]}"#), 2);
        assert_eq!(audiences(r#"{"aud":["sigstore",7]}"#), 0);
        assert_eq!(audiences(r#"{"aud":7}"#), 0);
    }
}
