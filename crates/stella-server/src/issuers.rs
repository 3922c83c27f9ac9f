//! Whose tokens Fulcio believes: the instance's own issuer, and those of `DIR/issuers.yaml`.
//!
//! The story of one token is [`Issuers::verify`]. The file's form is in `configuration`, public keys and their fetching
//! in `keys`, signatures in `signature`, what a token's claims become in a certificate in `principal`.

mod configuration;
mod keys;
mod presets;
mod principal;
mod signature;
mod template;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use stella_bundle::time::UnixTime;
use stella_wire::Transport;
use stella_wire::fulcio::{Configuration, IssuerEntry};
use stella_wire::oidc::{Claims, Jwt, OidcError};
use stella_wire::problem::Code;

pub use self::configuration::ConfigurationError;
use self::keys::{KeySource, KeysUnavailable};
pub(crate) use self::principal::Principal;
use self::principal::{Identity, PrincipalError};
use crate::problem::Problem;

/// Clocks of issuers and of this machine may differ by this much.
const LEEWAY: Duration = Duration::from_secs(30);
/// Tokens issued longer ago are refused, whatever their `exp` says: a stolen one must age quickly.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Fulcio's text for every token that is not accepted; clients and documents quote it.
const MESSAGE: &str = "There was an error processing the identity token";

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the audience must be {wanted:?}, and nothing else")]
    AudienceWrong { wanted: String },
    #[error("the claim {name} is missing or no number")]
    DateMissing { name: &'static str },
    #[error("expired at {at}")]
    Expired { at: UnixTime },
    #[error("the claim iss is missing")]
    IssuerMissing,
    #[error("the issuer {issuer:?} is not configured")]
    IssuerUnknown { issuer: String },
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
    #[error(transparent)]
    Malformed(#[from] OidcError),
    #[error("valid from {from} on only")]
    NotYetValid { from: UnixTime },
    #[error(transparent)]
    Principal(#[from] PrincipalError),
    #[error(transparent)]
    Signature(#[from] signature::SignatureError),
    #[error("issued at {at}, more than {} s ago", MAX_AGE.as_secs())]
    TooOld { at: UnixTime },
}

impl TokenError {
    const fn reason(&self) -> &'static str {
        match self {
            Self::AudienceWrong { .. } => "TOKEN_AUDIENCE_WRONG",
            Self::DateMissing { .. } => "TOKEN_DATE_MISSING",
            Self::Expired { .. } => "TOKEN_EXPIRED",
            Self::IssuerMissing | Self::IssuerUnknown { .. } => "TOKEN_ISSUER_UNKNOWN",
            Self::Keys(_) => "TOKEN_ISSUER_UNAVAILABLE",
            Self::Malformed(_) => "TOKEN_MALFORMED",
            Self::NotYetValid { .. } => "TOKEN_NOT_YET_VALID",
            Self::Principal(_) => "TOKEN_CLAIMS_UNUSABLE",
            Self::Signature(error) => error.reason(),
            Self::TooOld { .. } => "TOKEN_TOO_OLD",
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let reason = error.reason();
        match error {
            // The client was right, as far as anyone can tell: it may come again.
            TokenError::Keys(_) => Self::new(Code::Unavailable, MESSAGE, reason)
                .with_status(StatusCode::SERVICE_UNAVAILABLE)
                .retry_after(Duration::from_secs(5)),
            // spec: Fulcio: a bad token is 400, not 401.
            _ => Self::invalid(MESSAGE, reason),
        }
        .because(error)
    }
}

/// One issuer that is believed.
struct Trusted {
    audience: String,
    identity: Identity,
    keys: KeySource,
    entry: IssuerEntry,
}

/// All issuers that are believed, by their exact URL.
pub(crate) struct Issuers(BTreeMap<String, Trusted>);

impl Issuers {
    /// Reads `DIR/issuers.yaml`, if there, and adds the instance's own issuer with its key set.
    ///
    /// The own URL always means the own key: the file cannot name another key for it, nor can the own issuer take
    /// another name.
    pub(crate) fn load(
        directory: &Path,
        own: Option<(&str, &[u8])>,
        transport: Option<&Arc<dyn Transport>>,
    ) -> Result<Self, ConfigurationError> {
        let mut issuers = configuration::load(directory, transport)?;
        if let Some((url, jwks)) = own {
            issuers.insert(url.to_owned(), configuration::own(url, jwks)?);
        }
        Ok(Self(issuers))
    }

    /// Says whose token this is.
    pub(crate) async fn verify(&self, token: &str, now: UnixTime) -> Result<Principal, TokenError> {
        // 1. Take it apart, with bounds.
        let token = Jwt::parse(token)?;
        // 2. Is its issuer one of ours? An unknown one costs no signature check and no network.
        let issuer = token
            .claims()
            .text("iss")
            .ok_or(TokenError::IssuerMissing)?;
        let trusted = self
            .0
            .get(issuer)
            .ok_or_else(|| TokenError::IssuerUnknown {
                issuer: issuer.to_owned(),
            })?;
        // 3. The claims that need no key, so that a stale token costs no network either.
        require_audience(token.claims(), &trusted.audience)?;
        require_fresh(token.claims(), now)?;
        // 4. The signature, by the one key that the issuer names.
        let algorithm = signature::Algorithm::of(token.header())?;
        let jwk = trusted.keys.find(token.header(), algorithm, now).await?;
        algorithm.verify(&jwk, token.signing_input(), token.signature())?;
        // 5. What of it stands in a certificate.
        Ok(trusted.identity.principal(issuer, token.claims())?)
    }

    /// Returns what `GET /api/v2/configuration` tells.
    pub(crate) fn configuration(&self) -> Configuration {
        Configuration {
            issuers: self
                .0
                .values()
                .map(|trusted| trusted.entry.clone())
                .collect(),
        }
    }
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.0.keys()).finish()
    }
}

fn require_audience(claims: &Claims, wanted: &str) -> Result<(), TokenError> {
    let audiences = claims.audiences();
    // A token for several audiences can be replayed here by each of them, unless it was made for us (azp).
    let alone = audiences.len() == 1 || claims.text("azp") == Some(wanted);
    if !audiences.contains(&wanted) || !alone {
        return Err(TokenError::AudienceWrong {
            wanted: wanted.to_owned(),
        });
    }
    Ok(())
}

fn require_fresh(claims: &Claims, now: UnixTime) -> Result<(), TokenError> {
    let date = |name: &'static str| claims.time(name).ok_or(TokenError::DateMissing { name });
    let expires = date("exp")?;
    if now >= expires.plus(LEEWAY) {
        return Err(TokenError::Expired { at: expires });
    }
    let issued = date("iat")?;
    let from = claims
        .time("nbf")
        .map_or(issued, |not_before| not_before.max(issued));
    if from > now.plus(LEEWAY) {
        return Err(TokenError::NotYetValid { from });
    }
    if now > issued.plus(MAX_AGE) {
        return Err(TokenError::TooOld { at: issued });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(10_000);

    fn dated(issued: i64, expires: i64, not_before: Option<i64>) -> Result<(), TokenError> {
        let mut claims = Claims::default();
        claims.set("iat", issued);
        claims.set("exp", expires);
        if let Some(not_before) = not_before {
            claims.set("nbf", not_before);
        }
        require_fresh(&claims, NOW)
    }

    #[test]
    fn tokens_are_believed_for_a_short_time_only() {
        assert_eq!(dated(9_990, 10_290, None), Ok(()));
        assert_eq!(
            dated(9_000, 9_970, None),
            Err(TokenError::Expired {
                at: UnixTime::from_seconds(9_970)
            })
        );
        assert_eq!(dated(9_971, 9_971, None), Ok(()));
        assert_eq!(
            dated(9_399, 20_000, None),
            Err(TokenError::TooOld {
                at: UnixTime::from_seconds(9_399)
            })
        );
        let later = UnixTime::from_seconds(10_031);
        assert_eq!(
            dated(10_031, 20_000, None),
            Err(TokenError::NotYetValid { from: later })
        );
        assert_eq!(
            dated(10_000, 20_000, Some(10_031)),
            Err(TokenError::NotYetValid { from: later })
        );
        let absurd = dated(i64::MIN, i64::MAX, None);
        assert!(matches!(absurd, Err(TokenError::TooOld { .. })));
    }

    #[test]
    fn an_audience_shared_with_others_is_refused() {
        let with = |json: &str| {
            Claims::parse(json.as_bytes())
                .map(|claims| require_audience(&claims, "sigstore").is_ok())
        };
        assert_eq!(with(r#"{"aud":"sigstore"}"#), Ok(true));
        assert_eq!(with(r#"{"aud":["sigstore"]}"#), Ok(true));
        assert_eq!(with(r#"{"aud":["sigstore","other"]}"#), Ok(false));
        assert_eq!(
            with(r#"{"aud":["sigstore","other"],"azp":"sigstore"}"#),
            Ok(true)
        );
        assert_eq!(with(r#"{"aud":"sigstore2"}"#), Ok(false));
        assert_eq!(with("{}"), Ok(false));
    }
}
