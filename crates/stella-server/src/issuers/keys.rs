//! Public keys of issuers: pinned in a file, or fetched by OpenID Connect discovery and kept for a while.
//!
//! A token is anyone's bytes until its signature is checked, so fetching is bounded: only for configured issuers, one
//! fetch at a time, a pause between two, no redirects, and never another origin than the issuer's or one that is listed.
//! A fetch that began goes on without whoever caused it: a client that hangs up takes nobody else's answer away.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use stella_bundle::time::UnixTime;
use stella_wire::oidc::{DISCOVERY_PATH, Discovery, Jwk, Jwks, JwtHeader, OidcError};
use stella_wire::{Request, Transport, TransportError, limits};
use tokio::sync::watch;
use tokio::time::Instant;
use url::{Origin, Url};

use super::TokenError;
use super::signature::{Algorithm, SignatureError};

/// Keys are used without asking again for this long.
const FRESH: Duration = Duration::from_secs(600);
/// Keys are used for this long when asking fails.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// From the end of one fetch to the next, whatever its result: tokens with made-up key ids must not become requests.
const PAUSE: Duration = Duration::from_secs(30);

/// Why an issuer's keys are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeysUnavailable {
    #[error("the issuer's document is not what it should be: {0}")]
    Document(#[from] OidcError),
    #[error("asking the issuer was given up")]
    Interrupted,
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
    Discovered(Arc<Discovered>),
}

/// An issuer that is asked for its keys.
pub(super) struct Discovered {
    issuer: String,
    origins: Vec<Origin>,
    transport: Arc<dyn Transport>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    /// The last keys, and when they were asked for.
    keys: Option<(UnixTime, Jwks)>,
    /// When the pause began.
    asked: Option<UnixTime>,
    /// The last fetch, under way or ended: a thousand waiting tokens make one request.
    fetch: Option<watch::Receiver<Progress>>,
}

/// How far a fetch is. Its keys are in the cache when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    UnderWay,
    Done(Result<(), KeysUnavailable>),
}

/// What a token needs to know of the cache.
struct Known {
    /// Its key, if there.
    key: Option<Jwk>,
    /// Of all keys in the cache; none when there are none.
    age: Option<Duration>,
}

impl Known {
    fn is_younger_than(&self, limit: Duration) -> bool {
        self.age.is_some_and(|age| age < limit)
    }
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
        Some(Self::Discovered(Arc::new(Discovered {
            issuer,
            origins: allowed,
            transport,
            cache: Mutex::default(),
        })))
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
        self: &Arc<Self>,
        header: &JwtHeader,
        algorithm: Algorithm,
        now: UnixTime,
    ) -> Result<Option<Jwk>, KeysUnavailable> {
        // 1. Fresh keys answer at once, also while somebody's unknown key id is being looked for.
        let known = self.cache().look(header, algorithm, now);
        if known.key.is_some() && known.is_younger_than(FRESH) {
            return Ok(known.key);
        }
        // 2. Otherwise the issuer has the word, if it may be asked.
        let asked = match self.begin(now) {
            Some(fetch) => finish(fetch).await,
            None => Err(KeysUnavailable::Pausing),
        };
        match asked {
            Ok(()) => Ok(self.cache().look(header, algorithm, now).key),
            // It cannot be asked now: what it said within a day still counts.
            Err(_) if known.key.is_some() && known.is_younger_than(STALE) => Ok(known.key),
            // It was asked a moment ago and had no such key.
            Err(KeysUnavailable::Pausing) if known.is_younger_than(FRESH) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Joins the fetch under way, or begins one in a task of its own. None during the pause.
    fn begin(self: &Arc<Self>, now: UnixTime) -> Option<watch::Receiver<Progress>> {
        let mut cache = self.cache();
        if let Some(fetch) = &cache.fetch {
            // A fetch whose task is gone, done or not, is no longer under way.
            if fetch.has_changed().is_ok() {
                return Some(fetch.clone());
            }
        }
        if cache.asked.is_some_and(|asked| now.since(asked) < PAUSE) {
            return None;
        }
        cache.asked = Some(now);
        let (progress, fetch) = watch::channel(Progress::UnderWay);
        cache.fetch = Some(fetch.clone());
        drop(cache);
        let discovered = Arc::clone(self);
        tokio::spawn(async move {
            let start = Instant::now();
            let fetched = discovered.fetch().await;
            let mut cache = discovered.cache();
            // A slow issuer must not be asked without a pause: it counts from here.
            cache.asked = Some(now.plus(start.elapsed()));
            let fetched = fetched.map(|jwks| cache.keys = Some((now, jwks)));
            progress.send_replace(Progress::Done(fetched));
        });
        Some(fetch)
    }

    /// The cache; held for moments only, never while the issuer is asked.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Cache {
    fn look(&self, header: &JwtHeader, algorithm: Algorithm, now: UnixTime) -> Known {
        let keys = self.keys.as_ref();
        Known {
            key: keys.and_then(|(_, jwks)| choose(jwks, header, algorithm).cloned()),
            age: keys.map(|(asked, _)| now.since(*asked)),
        }
    }
}

/// Waits for the end of a fetch.
async fn finish(mut fetch: watch::Receiver<Progress>) -> Result<(), KeysUnavailable> {
    match fetch
        .wait_for(|progress| *progress != Progress::UnderWay)
        .await
        .as_deref()
    {
        Ok(Progress::Done(result)) => result.clone(),
        // Its task ended without a word: the service stops, or a defect.
        _ => Err(KeysUnavailable::Interrupted),
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
