//! Public keys of issuers: pinned in a file, or fetched by OpenID Connect discovery and kept for a while.
//!
//! A token is anyone's bytes until its signature is checked, so fetching is bounded: only for configured issuers, one
//! fetch at a time, a pause between two, no redirects, and never another origin than the issuer's or one that is listed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use stella_bundle::time::UnixTime;
use stella_wire::oidc::{DISCOVERY_PATH, Discovery, Jwk, Jwks, JwtHeader, OidcError};
use stella_wire::{Request, Transport, TransportError, limits};
use tokio::sync::Mutex;
use url::{Origin, Url};

use super::TokenError;
use super::signature::{Algorithm, SignatureError};

/// Keys are used without asking again for this long.
const FRESH: Duration = Duration::from_secs(600);
/// Keys are used for this long when asking fails.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// Between two fetches, whatever their result: tokens with made-up key ids must not become requests.
const PAUSE: Duration = Duration::from_secs(30);

/// Why an issuer's keys are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeysUnavailable {
    #[error("the issuer's document is not what it should be: {0}")]
    Document(#[from] OidcError),
    #[error("the discovery document is for the issuer {found:?}")]
    IssuerDiffers { found: String },
    #[error(
        "the key set's address {url:?} is not of the issuer's origin, nor listed in jwks-origins"
    )]
    KeySetElsewhere { url: String },
    #[error("asking again would be too soon")]
    Pausing,
    #[error("the issuer answered {status}")]
    Status { status: StatusCode },
    #[error("the answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Where an issuer's keys come from.
pub(super) enum KeySource {
    /// An operator laid them down.
    Pinned(Jwks),
    /// The issuer is asked.
    Discovered(Discovered),
}

/// An issuer that is asked for its keys.
pub(super) struct Discovered {
    issuer: String,
    origins: Vec<Origin>,
    transport: Arc<dyn Transport>,
    /// Held while fetching, so that a thousand waiting tokens make one request.
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    keys: Option<(UnixTime, Jwks)>,
    asked: Option<UnixTime>,
}

impl KeySource {
    pub(super) const fn pinned(jwks: Jwks) -> Self {
        Self::Pinned(jwks)
    }

    /// Sets discovery up; nothing is asked yet. None when the issuer may not be asked: not https, and not http on the
    /// loopback interface.
    pub(super) fn discovered(
        issuer: &str,
        origins: &[String],
        transport: Arc<dyn Transport>,
    ) -> Option<Self> {
        let url = askable(issuer)?;
        let mut allowed = vec![url.origin()];
        for origin in origins {
            allowed.push(askable(origin)?.origin());
        }
        let issuer = issuer.to_owned();
        Some(Self::Discovered(Discovered {
            issuer,
            origins: allowed,
            transport,
            cache: Mutex::default(),
        }))
    }

    /// Finds the key that a token names, or the only one that fits its algorithm.
    pub(super) async fn find(
        &self,
        header: &JwtHeader,
        algorithm: Algorithm,
        now: UnixTime,
    ) -> Result<Jwk, TokenError> {
        let unknown = || SignatureError::KeyUnknown {
            key_id: header.kid.clone(),
        };
        match self {
            Self::Pinned(jwks) => Ok(choose(jwks, header, algorithm)
                .cloned()
                .ok_or_else(unknown)?),
            Self::Discovered(discovered) => Ok(discovered
                .find(header, algorithm, now)
                .await?
                .ok_or_else(unknown)?),
        }
    }
}

impl Discovered {
    async fn find(
        &self,
        header: &JwtHeader,
        algorithm: Algorithm,
        now: UnixTime,
    ) -> Result<Option<Jwk>, KeysUnavailable> {
        let mut cache = self.cache.lock().await;
        let age = cache.keys.as_ref().map(|(fetched, _)| now.since(*fetched));
        let known = cache
            .keys
            .as_ref()
            .and_then(|(_, jwks)| choose(jwks, header, algorithm))
            .cloned();
        if known.is_some() && age.is_some_and(|age| age < FRESH) {
            return Ok(known);
        }
        let fetched = match cache.asked {
            Some(asked) if now.since(asked) < PAUSE => Err(KeysUnavailable::Pausing),
            _ => {
                cache.asked = Some(now);
                self.fetch().await
            }
        };
        match fetched {
            Ok(jwks) => {
                let found = choose(&jwks, header, algorithm).cloned();
                cache.keys = Some((now, jwks));
                Ok(found)
            }
            // The issuer cannot be asked now: what it said within a day still counts.
            Err(_) if known.is_some() && age.is_some_and(|age| age < STALE) => Ok(known),
            // It was asked a moment ago and had no such key.
            Err(KeysUnavailable::Pausing) if age.is_some_and(|age| age < FRESH) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn fetch(&self) -> Result<Jwks, KeysUnavailable> {
        // spec: OpenID Connect Discovery 1.0 §4.1
        let discovery = format!("{}{DISCOVERY_PATH}", self.issuer.trim_end_matches('/'));
        let discovery = Discovery::parse(&self.ask(&discovery).await?)?;
        // spec: §4.3: the issuer must be identical.
        if discovery.issuer != self.issuer {
            return Err(KeysUnavailable::IssuerDiffers {
                found: discovery.issuer,
            });
        }
        let allowed =
            askable(&discovery.jwks_uri).is_some_and(|url| self.origins.contains(&url.origin()));
        if !allowed {
            return Err(KeysUnavailable::KeySetElsewhere {
                url: discovery.jwks_uri,
            });
        }
        let jwks = Jwks::parse(&self.ask(&discovery.jwks_uri).await?)?;
        tracing::info!(
            issuer = self.issuer,
            keys = jwks.keys.len(),
            "fetched an issuer's keys"
        );
        Ok(jwks)
    }

    async fn ask(&self, url: &str) -> Result<Bytes, KeysUnavailable> {
        let mut request = Request::default();
        *request.method_mut() = Method::GET;
        *request.uri_mut() = url.parse().map_err(|_| TransportError::Unreachable {
            uri: url.to_owned(),
        })?;
        request.headers_mut().insert(
            header::ACCEPT,
            header::HeaderValue::from_static("application/json"),
        );
        let answer = self.transport.send(request).await?;
        // A redirect is an answer like any other that is not 200: not followed (GHSA-f5mr-q85p-6hh6).
        if answer.status() != StatusCode::OK {
            return Err(KeysUnavailable::Status {
                status: answer.status(),
            });
        }
        if answer.body().len() > limits::OIDC_ANSWER {
            return Err(KeysUnavailable::TooLarge {
                limit: limits::OIDC_ANSWER,
            });
        }
        Ok(answer.into_body())
    }
}

/// The key with the token's id; a token without an id, the only key that fits.
fn choose<'a>(jwks: &'a Jwks, header: &JwtHeader, algorithm: Algorithm) -> Option<&'a Jwk> {
    let mut fitting = jwks.keys.iter().filter(|jwk| algorithm.fits(jwk));
    match &header.kid {
        Some(key_id) => fitting.find(|jwk| jwk.kid.as_ref() == Some(key_id)),
        None => fitting.next().filter(|_| fitting.next().is_none()),
    }
}

/// Reads a URL that may be asked: https, or http on the loopback interface for tests and neighbours on one machine.
fn askable(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let loopback = match url.host()? {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    let scheme = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    (scheme && plain && url.fragment().is_none()).then_some(url)
}

impl fmt::Debug for KeySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(jwks) => formatter
                .debug_tuple("Pinned")
                .field(&jwks.keys.len())
                .finish(),
            Self::Discovered(discovered) => formatter
                .debug_tuple("Discovered")
                .field(&discovered.issuer)
                .finish(),
        }
    }
}
