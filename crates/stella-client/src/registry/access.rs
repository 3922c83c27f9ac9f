//! One registry: how it is reached, who we are to it, and what its statuses mean.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode, Uri};
use stella_wire::registry::{BASE_PATH, Challenge, MAX_WORDS, TokenAnswer};
use stella_wire::transport::{Request, Response, Transport, TransportError};
use tokio::sync::Mutex;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::RegistryProblem;
use super::credentials::Credential;
use crate::error::{AnswerProblem, ClientError, Service};
use crate::exchange;
use crate::network::{PlainHttp, is_loopback};

/// So many redirects of one request are followed: a registry leads to its store, and that perhaps once more.
const MAX_REDIRECTS: u32 = 4;

/// How we call ourselves to a token service.
const CLIENT_ID: &str = "stella";

/// What was sent and read, for reports.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    /// Returns how many requests were sent, those for tokens among them.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns how many bytes of bodies came back.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A registry, as one user sees it.
pub struct Registry {
    transport: Arc<dyn Transport>,
    base: String,
    credential: Credential,
    /// The `Authorization` for each scope, once the registry asked; waiters for one token wait here.
    authorizations: Mutex<HashMap<String, HeaderValue>>,
    traffic: Arc<Traffic>,
}

/// What a request needs beside its address.
pub(super) struct Asking<'a> {
    pub(super) method: Method,
    /// Absolute, or a path of the registry.
    pub(super) address: &'a str,
    /// `repository:NAME:ACTIONS`; empty for the registry itself.
    pub(super) scope: &'a str,
    pub(super) headers: Vec<(http::HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    /// The largest answer, in bytes.
    pub(super) limit: usize,
}

impl<'a> Asking<'a> {
    pub(super) const fn get(address: &'a str, scope: &'a str, limit: usize) -> Self {
        Self {
            method: Method::GET,
            address,
            scope,
            headers: Vec::new(),
            body: Bytes::new(),
            limit,
        }
    }
}

impl Registry {
    /// Returns the registry that answers at `host` (`NAME[:PORT]`), by https; by plain http on the loopback, or where
    /// `plain_http` allows it anywhere.
    #[must_use]
    pub fn new(
        transport: Arc<dyn Transport>,
        host: &str,
        plain_http: PlainHttp,
        credential: Credential,
    ) -> Self {
        let name = host.parse::<http::uri::Authority>();
        let is_near = name.is_ok_and(|authority| is_loopback(authority.host()));
        let scheme = if is_near || plain_http == PlainHttp::AnywhereInsecure {
            "http"
        } else {
            "https"
        };
        Self::at(transport, &format!("{scheme}://{host}"), credential)
    }

    /// Returns the registry at an address (`https://host`).
    #[must_use]
    pub fn at(transport: Arc<dyn Transport>, base: &str, credential: Credential) -> Self {
        Self {
            transport,
            base: base.trim_end_matches('/').to_owned(),
            credential,
            authorizations: Mutex::default(),
            traffic: Arc::default(),
        }
    }

    /// Returns `NAME[:PORT]`.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.base.split_once("://");
        rest.map_or(self.base.as_str(), |(_, host)| host)
    }

    /// Returns what was sent and read.
    pub const fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Asks whether the registry is one and takes our credential.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused`, `Answer`.
    pub async fn check(&self) -> Result<(), ClientError> {
        let answer = self.send(Asking::get(BASE_PATH, "", MAX_WORDS)).await?;
        self.require_success(BASE_PATH, &answer)
    }

    /// Sends a request, with credentials where they are asked for, and follows redirects. Every status is an answer.
    ///
    /// # Errors
    /// `Unavailable`, `Address`, `Answer`; `AccessRefused` and `Refused` of the token service.
    pub(super) async fn send(&self, asking: Asking<'_>) -> Result<Response, ClientError> {
        let address = self.absolute(asking.address)?;
        let is_ours = self.is_ours(&address);
        let known = match is_ours {
            true => self.authorizations.lock().await.get(asking.scope).cloned(),
            false => None,
        };
        let answer = self.follow(&asking, &address, known.as_ref()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !is_ours {
            return Ok(answer);
        }
        match self
            .authorization(asking.scope, known.as_ref(), &answer)
            .await?
        {
            Some(authorization) => self.follow(&asking, &address, Some(&authorization)).await,
            None => Ok(answer),
        }
    }

    /// Sends a request and follows redirects; to another host no credential goes along.
    async fn follow(
        &self,
        asking: &Asking<'_>,
        address: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, ClientError> {
        let mut address = address.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.request(asking, &address)?;
            if let Some(authorization) = authorization.filter(|_| self.is_ours(&address)) {
                request
                    .headers_mut()
                    .insert(AUTHORIZATION, authorization.clone());
            }
            match self.exchange(request, asking.limit).await {
                Err(TransportError::Redirected { location, .. }) if asking.method.is_safe() => {
                    address = next_hop(&address, &location)?;
                }
                Err(problem) => {
                    let address = without_query(address);
                    return Err(exchange::no_answer(Service::Registry, address, problem));
                }
                Ok(answer) => return Ok(answer),
            }
        }
        Err(wrong(RegistryProblem::Location {
            location: address.to_string(),
        }))
    }

    fn request(&self, asking: &Asking<'_>, address: &Url) -> Result<Request, ClientError> {
        let mut request = exchange::request(
            Service::Registry,
            asking.method.clone(),
            address.as_str(),
            asking.body.clone(),
        )?;
        for (name, value) in &asking.headers {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }

    async fn exchange(
        &self,
        mut request: Request,
        limit: usize,
    ) -> Result<Response, TransportError> {
        request
            .extensions_mut()
            .insert(crate::network::AnswerLimit(limit));
        self.traffic.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.transport.send(request).await?;
        let length = answer.body().len() as u64;
        self.traffic.bytes.fetch_add(length, Ordering::Relaxed);
        Ok(answer)
    }

    /// Returns what to show for a scope after the registry asked; none when there is nothing (else) to show.
    async fn authorization(
        &self,
        scope: &str,
        refused: Option<&HeaderValue>,
        answer: &Response,
    ) -> Result<Option<HeaderValue>, ClientError> {
        // One asks, others wait for what it gets.
        let mut authorizations = self.authorizations.lock().await;
        let known = authorizations.get(scope);
        if known.is_some() && known != refused {
            return Ok(known.cloned());
        }
        let Some(challenge) = answer.headers().get(WWW_AUTHENTICATE) else {
            return Ok(None);
        };
        let challenge = challenge.to_str().unwrap_or_default();
        let fresh = match Challenge::parse(challenge) {
            Some(Challenge::Basic) => self.basic(),
            Some(Challenge::Bearer {
                realm,
                service,
                scope: wanted,
            }) => {
                let scope = if scope.is_empty() { &wanted } else { scope };
                Some(self.bearer(&realm, &service, scope).await?)
            }
            None => {
                let challenge = challenge.to_owned();
                return Err(wrong(RegistryProblem::Challenge { challenge }));
            }
        };
        let Some(fresh) = fresh.filter(|fresh| Some(fresh) != refused) else {
            return Ok(None);
        };
        authorizations.insert(scope.to_owned(), fresh.clone());
        Ok(Some(fresh))
    }

    fn basic(&self) -> Option<HeaderValue> {
        let Credential::Basic { user, password } = &self.credential else {
            return None;
        };
        let pair = Zeroizing::new(format!("{user}:{}", password.as_str()));
        secret_header("Basic", &STANDARD.encode(pair.as_bytes()))
    }

    /// Asks the token service.
    async fn bearer(
        &self,
        realm: &str,
        service: &str,
        scope: &str,
    ) -> Result<HeaderValue, ClientError> {
        let missing = || wrong(RegistryProblem::TokenMissing);
        if let Credential::RegistryToken(token) = &self.credential {
            return secret_header("Bearer", token).ok_or_else(missing);
        }
        let bad = || {
            wrong(RegistryProblem::Location {
                location: realm.to_owned(),
            })
        };
        let realm = Url::parse(realm).map_err(|_| bad())?;
        // Credentials never go from https to plain text.
        if self.base.starts_with("https:") && realm.scheme() != "https" {
            return Err(bad());
        }
        let request = self.token_request(realm, service, scope)?;
        let address = exchange::address_of(&request);
        let answer = self
            .exchange(request, MAX_WORDS)
            .await
            .map_err(|problem| exchange::no_answer(Service::Registry, address.clone(), problem))?;
        exchange::refusal(Service::Registry, address, &answer).map_or(Ok(()), Err)?;
        let answer = TokenAnswer::parse(answer.body())
            .map_err(|problem| wrong(RegistryProblem::Words(problem)))?;
        match answer.token() {
            "" => Err(missing()),
            token => secret_header("Bearer", token).ok_or_else(missing),
        }
    }

    // spec: distribution, `docs/spec/auth/token.md`; with an identity token `docs/spec/auth/oauth.md`.
    fn token_request(
        &self,
        mut realm: Url,
        service: &str,
        scope: &str,
    ) -> Result<Request, ClientError> {
        let registry = Service::Registry;
        if let Credential::IdentityToken(token) = &self.credential {
            let form = Serializer::new(String::new())
                .append_pair("grant_type", "refresh_token")
                .append_pair("service", service)
                .append_pair("client_id", CLIENT_ID)
                .append_pair("scope", scope)
                .append_pair("refresh_token", token)
                .finish();
            let mut request =
                exchange::request(registry, Method::POST, realm.as_str(), Bytes::from(form))?;
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, form);
            return Ok(request);
        }
        {
            let mut query = realm.query_pairs_mut();
            if !service.is_empty() {
                query.append_pair("service", service);
            }
            for each in scope.split(' ').filter(|each| !each.is_empty()) {
                query.append_pair("scope", each);
            }
        }
        let mut request = exchange::request(registry, Method::GET, realm.as_str(), Bytes::new())?;
        if let Some(basic) = self.basic() {
            request.headers_mut().insert(AUTHORIZATION, basic);
        }
        Ok(request)
    }

    /// Requires a status of success.
    ///
    /// # Errors
    /// `Unavailable`, `AccessRefused`, `Refused`.
    pub(super) fn require_success(
        &self,
        address: &str,
        answer: &Response,
    ) -> Result<(), ClientError> {
        let address = match self.absolute(address) {
            Ok(url) => without_query(url),
            Err(_) => address.to_owned(),
        };
        exchange::refusal(Service::Registry, address, answer).map_or(Ok(()), Err)
    }

    /// Returns the address of a path of the registry, or of what it names in whole.
    ///
    /// # Errors
    /// `Address`; `Answer` where it leads to plain http.
    fn absolute(&self, address: &str) -> Result<Url, ClientError> {
        let base = Url::parse(&self.base).map_err(|_| ClientError::Address {
            service: Service::Registry,
            address: self.base.clone(),
        })?;
        next_hop(&base, address)
    }

    fn is_ours(&self, address: &Url) -> bool {
        Url::parse(&self.base).is_ok_and(|base| base.origin() == address.origin())
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Registry")
            .field("base", &self.base)
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

/// Returns where a redirect, a next page or an upload leads: never from https to plain http.
fn next_hop(from: &Url, location: &str) -> Result<Url, ClientError> {
    let bad = || {
        wrong(RegistryProblem::Location {
            location: location.to_owned(),
        })
    };
    let next = from.join(location).map_err(|_| bad())?;
    let is_downgrade = from.scheme() == "https" && next.scheme() != "https";
    let is_web = matches!(next.scheme(), "http" | "https") && next.as_str().parse::<Uri>().is_ok();
    if is_downgrade || !is_web {
        return Err(bad());
    }
    Ok(next)
}

fn secret_header(scheme: &str, secret: &str) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("{scheme} {secret}"));
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The query may hold a signature of a store.
fn without_query(mut url: Url) -> String {
    url.set_query(None);
    url.into()
}

pub(super) const fn wrong(problem: RegistryProblem) -> ClientError {
    ClientError::answer(Service::Registry, AnswerProblem::Registry(problem))
}
