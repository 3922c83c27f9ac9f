//! An identity token that passed what can be checked without its issuer: shape, audience, times, issuer's name.
//!
//! Whether the signature is the issuer's is for the certificate authority to find out.

use std::fmt;
use std::time::Duration;

use stella_bundle::time::UnixTime;
use stella_wire::oidc::{Claims, Jwt, OidcError};
use zeroize::Zeroizing;

use super::TokenOrigin;

/// Clocks of a runner and its issuer may differ by so much.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The ways in which a token cannot be used; all are found before any request is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// A claim that every identity token has is missing, or of another type.
    #[error("the token has no usable claim {claim:?}")]
    ClaimMissing {
        /// Its name.
        claim: &'static str,
    },
    /// It is too late.
    #[error("token expired {} s ago (at {expired})", now.since(*expired).as_secs())]
    Expired {
        /// The claim `exp`.
        expired: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// It is too early.
    #[error("token is not valid before {begins}, now is {now}")]
    NotYetValid {
        /// The claim `nbf` or `iat`.
        begins: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The text is no token.
    #[error("not an identity token: {0}")]
    Shape(#[from] OidcError),
    /// Nobody signed it.
    #[error("the token is not signed")]
    Unsigned,
    /// It was made for somebody else.
    #[error("token is for audience {}, expected {expected:?}", list(found))]
    WrongAudience {
        /// The configured audience.
        expected: String,
        /// The claim `aud`.
        found: Vec<String>,
    },
    /// It comes from somebody else.
    #[error("token comes from issuer {found:?}, expected {expected:?}")]
    WrongIssuer {
        /// The configured issuer.
        expected: String,
        /// The claim `iss`.
        found: String,
    },
}

/// What a token must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenDemands<'a> {
    /// What `aud` must contain.
    pub audience: &'a str,
    /// What `iss` must be, to the letter; `None` leaves it to the certificate authority.
    pub issuer: Option<&'a str>,
}

/// A token worth sending. Forgotten when dropped, never printed.
#[derive(Clone)]
pub struct IdentityToken {
    text: Zeroizing<String>,
    issuer: String,
    subject: String,
    email: Option<String>,
    expires: UnixTime,
    origin: TokenOrigin,
}

impl IdentityToken {
    /// Checks a token at the time `now`.
    ///
    /// # Errors
    ///
    /// Any [`TokenError`].
    pub fn check(
        text: Zeroizing<String>,
        origin: TokenOrigin,
        demands: &TokenDemands<'_>,
        now: UnixTime,
    ) -> Result<Self, TokenError> {
        let jwt = Jwt::parse(&text)?;
        // spec: RFC 7519 §6.1: `none` is a token without a signature.
        if jwt.signature().is_empty() || jwt.header().alg.eq_ignore_ascii_case("none") {
            return Err(TokenError::Unsigned);
        }
        let claims = jwt.claims();
        let issuer = required_text(claims, "iss")?;
        if let Some(expected) = demands.issuer.filter(|expected| *expected != issuer) {
            return Err(TokenError::WrongIssuer {
                expected: expected.to_owned(),
                found: issuer,
            });
        }
        let audiences = claims.audiences();
        if !audiences.contains(&demands.audience) {
            return Err(TokenError::WrongAudience {
                expected: demands.audience.to_owned(),
                found: audiences.into_iter().map(str::to_owned).collect(),
            });
        }
        let expires = require_in_time(claims, now)?;
        let subject = required_text(claims, "sub")?;
        let email = claims
            .text("email")
            .filter(|email| !email.is_empty() && claims.is_email_verified())
            .map(str::to_owned);
        Ok(Self {
            issuer,
            subject,
            email,
            expires,
            origin,
            text,
        })
    }

    /// Returns the token itself: only for the request that needs it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the claim `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the claim `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the claim `email`, if its issuer verified it.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// Returns what the proof of possession signs: the verified e-mail address, else the subject.
    ///
    /// spec: Fulcio, proof of possession; issuers of e-mail identities expect `email`, all others `sub`.
    #[must_use]
    pub fn challenge(&self) -> &str {
        self.email.as_deref().unwrap_or(&self.subject)
    }

    /// Returns the claim `exp`.
    #[must_use]
    pub const fn expires(&self) -> UnixTime {
        self.expires
    }

    /// Returns where the token came from.
    #[must_use]
    pub const fn origin(&self) -> &TokenOrigin {
        &self.origin
    }
}

impl fmt::Debug for IdentityToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IdentityToken")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("expires", &self.expires)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

fn required_text(claims: &Claims, claim: &'static str) -> Result<String, TokenError> {
    claims
        .text(claim)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .ok_or(TokenError::ClaimMissing { claim })
}

/// Returns `exp`, once the token is valid at `now`.
fn require_in_time(claims: &Claims, now: UnixTime) -> Result<UnixTime, TokenError> {
    let expires = claims
        .time("exp")
        .ok_or(TokenError::ClaimMissing { claim: "exp" })?;
    // spec: RFC 7519 §4.1.4: not accepted on or after exp. No skew: the authority would refuse it as well.
    if expires <= now {
        return Err(TokenError::Expired {
            expired: expires,
            now,
        });
    }
    let begins = claims.time("nbf").max(claims.time("iat"));
    match begins.filter(|begins| *begins > now.plus(CLOCK_SKEW)) {
        Some(begins) => Err(TokenError::NotYetValid { begins, now }),
        None => Ok(expires),
    }
}

fn list(found: &[String]) -> String {
    if found.is_empty() {
        return "nobody".to_owned();
    }
    let quoted: Vec<String> = found.iter().map(|one| format!("{one:?}")).collect();
    quoted.join(", ")
}
