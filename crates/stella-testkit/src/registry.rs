//! A registry in a temporary folder, and a way to it on which things go wrong.
//!
//! The registry itself always does what the specification says; what other registries do, or what happens on the way,
//! is put between it and the client.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use stella_server::{Registry, RegistryError, RegistryOptions};
use stella_wire::registry::{OCI_SUBJECT, Refusal, RefusalCode};
use stella_wire::{Request, Response, Sending, Transport, TransportError};
use tempfile::TempDir;

/// Why a registry could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestRegistryError {
    /// No temporary folder.
    #[error("no temporary folder: {0}")]
    Folder(#[from] io::Error),
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] RegistryError),
}

/// A registry that goes with its folder.
#[derive(Debug)]
pub struct TestRegistry {
    registry: Registry,
    folder: TempDir,
}

impl TestRegistry {
    /// Makes an empty registry whose lists have at most `page` entries on a page.
    ///
    /// # Errors
    /// [`TestRegistryError`].
    pub fn with_pages_of(page: usize) -> Result<Self, TestRegistryError> {
        let folder = tempfile::tempdir()?;
        let registry = Registry::open(folder.path(), RegistryOptions { page })?;
        Ok(Self { registry, folder })
    }

    /// Makes an empty registry.
    ///
    /// # Errors
    /// [`TestRegistryError`].
    pub fn new() -> Result<Self, TestRegistryError> {
        Self::with_pages_of(RegistryOptions::default().page)
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Returns the way to it on which nothing goes wrong.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(self.registry.clone())
    }

    /// Returns a way to it on which these faults happen, and where what is asked is written down.
    #[must_use]
    pub fn faulty(&self, faults: Vec<Fault>) -> Arc<Faulty> {
        Faulty::new(self.transport(), faults)
    }
}

/// Something that goes wrong with some requests.
#[derive(Debug, Clone)]
pub struct Fault {
    concerns: Concerns,
    what: What,
    /// How many more times; none means always.
    left: Option<usize>,
}

/// Which requests a fault concerns.
#[derive(Debug, Clone, Default)]
struct Concerns {
    method: Option<Method>,
    path: String,
}

/// What happens to a request or to its answer.
#[derive(Debug, Clone)]
enum What {
    /// The registry is not asked; this is the answer.
    Answer(Response),
    /// The registry is asked only with this `Authorization`; else this is the answer.
    Challenge { accepted: String, answer: Response },
    /// The registry does it, and the connection ends before its answer.
    Closed,
    /// The registry's answer says this instead of what it had.
    Header(HeaderName, Option<HeaderValue>),
    /// The registry's answer has this body.
    Body(Bytes),
    /// Time passes first.
    Slow(Duration),
    /// Of the registry's answer so many bytes come.
    Truncated(usize),
}

impl Fault {
    const fn new(what: What) -> Self {
        Self {
            concerns: Concerns {
                method: None,
                path: String::new(),
            },
            what,
            left: None,
        }
    }

    /// A registry without the list of referrers: 404 as Debian's docker-registry says it, and no `OCI-Subject` for what is
    /// put.
    #[must_use]
    pub fn no_referrers() -> Vec<Self> {
        let mut missing = answer(StatusCode::NOT_FOUND, b"404 page not found\n");
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        missing.headers_mut().insert(header::CONTENT_TYPE, text);
        let subject = HeaderName::from_static(OCI_SUBJECT);
        vec![
            Self::new(What::Answer(missing)).at("/referrers/"),
            Self::new(What::Header(subject, None)),
        ]
    }

    /// 401 with this `WWW-Authenticate`, unless `Authorization` is what is accepted.
    #[must_use]
    pub fn challenge(challenge: &'static str, accepted: &str) -> Self {
        let mut asked = refusal(StatusCode::UNAUTHORIZED, RefusalCode::Unauthorized);
        let challenge = HeaderValue::from_static(challenge);
        asked
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
        Self::new(What::Challenge {
            accepted: accepted.to_owned(),
            answer: asked,
        })
    }

    /// This answer, and the registry is not asked: a token service, a proxy's page.
    #[must_use]
    pub fn answer(status: StatusCode, body: &[u8]) -> Self {
        Self::new(What::Answer(answer(status, body)))
    }

    /// 406, as registries answer to types that they do not serve.
    #[must_use]
    pub fn not_acceptable() -> Self {
        let refused = refusal(StatusCode::NOT_ACCEPTABLE, RefusalCode::ManifestUnknown);
        Self::new(What::Answer(refused))
    }

    /// 429 with `Retry-After` in seconds.
    #[must_use]
    pub fn too_many_requests(retry_after: u64) -> Self {
        let mut refused = refusal(StatusCode::TOO_MANY_REQUESTS, RefusalCode::TooManyRequests);
        let wait = HeaderValue::from(retry_after);
        refused.headers_mut().insert(header::RETRY_AFTER, wait);
        Self::new(What::Answer(refused))
    }

    /// 500.
    #[must_use]
    pub fn server_error() -> Self {
        let refused = refusal(StatusCode::INTERNAL_SERVER_ERROR, RefusalCode::Unknown);
        Self::new(What::Answer(refused))
    }

    /// The registry does what is asked, and its answer never comes.
    #[must_use]
    pub const fn closed() -> Self {
        Self::new(What::Closed)
    }

    /// The answer comes after so long.
    #[must_use]
    pub const fn slow(delay: Duration) -> Self {
        Self::new(What::Slow(delay))
    }

    /// The answer's body ends after so many bytes, and its length says what it was.
    #[must_use]
    pub const fn truncated(length: usize) -> Self {
        Self::new(What::Truncated(length))
    }

    /// The answer has another body: content of a wrong digest or size, a manifest bomb.
    #[must_use]
    pub fn body(body: impl Into<Bytes>) -> Self {
        Self::new(What::Body(body.into()))
    }

    /// The answer has another header: a digest that lies, a `Link` or `Location` that leads astray. An empty value takes the
    /// header away.
    #[must_use]
    pub fn header(name: &'static str, value: &'static str) -> Self {
        let value = (!value.is_empty()).then(|| HeaderValue::from_static(value));
        Self::new(What::Header(HeaderName::from_static(name), value))
    }

    /// Concerns only paths that contain `part`.
    #[must_use]
    pub fn at(mut self, part: &str) -> Self {
        part.clone_into(&mut self.concerns.path);
        self
    }

    /// Concerns only requests of this method.
    #[must_use]
    pub fn of(mut self, method: Method) -> Self {
        self.concerns.method = Some(method);
        self
    }

    /// Happens so many times, and no more.
    #[must_use]
    pub const fn times(mut self, times: usize) -> Self {
        self.left = Some(times);
        self
    }

    /// Says whether it happens to this request, and counts it.
    fn happens(&mut self, request: &Request) -> bool {
        let Concerns { method, path } = &self.concerns;
        let is_meant = method.as_ref().is_none_or(|it| it == request.method())
            && request.uri().path().contains(path.as_str())
            && self.left != Some(0);
        if is_meant {
            self.left = self.left.map(|left| left - 1);
        }
        is_meant
    }
}

/// A way on which faults happen, in the order in which they were named.
pub struct Faulty {
    inner: Arc<dyn Transport>,
    faults: Mutex<Vec<Fault>>,
    asked: Mutex<Vec<String>>,
}

impl Faulty {
    /// Puts faults before whatever answers.
    #[must_use]
    pub fn new(inner: Arc<dyn Transport>, faults: Vec<Fault>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            faults: Mutex::new(faults),
            asked: Mutex::new(Vec::new()),
        })
    }

    /// Returns what was asked so far, `METHOD /path?query`, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }

    /// Changes what goes wrong from now on.
    pub fn set(&self, faults: Vec<Fault>) {
        *lock(&self.faults) = faults;
    }

    async fn pass(&self, request: Request) -> Result<Response, TransportError> {
        let path = request.uri().path_and_query();
        let path = path.map_or("", |path| path.as_str());
        lock(&self.asked).push(format!("{} {path}", request.method()));
        let mut faults: VecDeque<What> = lock(&self.faults)
            .iter_mut()
            .filter_map(|fault| fault.happens(&request).then(|| fault.what.clone()))
            .collect();
        let host = request.uri().authority().map(ToString::to_string);
        // 1. What comes before the registry.
        let given = request.headers().get(header::AUTHORIZATION);
        let given = given.map_or(Vec::new(), |value| value.as_bytes().to_vec());
        for fault in &faults {
            match fault {
                What::Answer(answer) => return Ok(answer.clone()),
                What::Challenge { accepted, answer } if accepted.as_bytes() != given => {
                    return Ok(answer.clone());
                }
                What::Slow(delay) => tokio::time::sleep(*delay).await,
                _ => {}
            }
        }
        // 2. What comes after it.
        let mut answer = self.inner.send(request).await?;
        while let Some(fault) = faults.pop_front() {
            match fault {
                What::Closed => {
                    let host = host.unwrap_or_default();
                    return Err(TransportError::Closed { host });
                }
                What::Header(name, Some(value)) => {
                    answer.headers_mut().insert(name, value);
                }
                What::Header(name, None) => {
                    answer.headers_mut().remove(name);
                }
                What::Body(body) => *answer.body_mut() = body,
                What::Truncated(length) => answer.body_mut().truncate(length),
                What::Answer(_) | What::Challenge { .. } | What::Slow(_) => {}
            }
        }
        Ok(answer)
    }
}

impl Transport for Faulty {
    fn send(&self, request: Request) -> Sending<'_> {
        Box::pin(self.pass(request))
    }
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Faulty")
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(status: StatusCode, body: &[u8]) -> Response {
    let mut response = Response::new(Bytes::copy_from_slice(body));
    *response.status_mut() = status;
    response
}

fn refusal(status: StatusCode, code: RefusalCode) -> Response {
    let body = Refusal::new(code, "a fault of the test").to_bytes();
    let mut response = answer(status, &body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    async fn get(transport: &dyn Transport, authorization: &str) -> Response {
        let request = http::Request::get("http://r.example/v2/")
            .header(header::AUTHORIZATION, authorization)
            .body(Bytes::new())
            .unwrap();
        transport.send(request).await.unwrap()
    }

    #[tokio::test]
    async fn a_fault_happens_as_often_as_it_shall_and_the_rest_passes() {
        let registry = TestRegistry::new().unwrap();
        let faulty = registry.faulty(vec![
            Fault::too_many_requests(3).times(1),
            Fault::server_error().at("/manifests/"),
            Fault::challenge(r#"Basic realm="r""#, "Basic right"),
            Fault::truncated(1),
        ]);
        let busy = get(faulty.as_ref(), "").await;
        assert_eq!(busy.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(busy.headers()[header::RETRY_AFTER], "3");
        let stranger = get(faulty.as_ref(), "Basic wrong").await;
        assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
        let passed = get(faulty.as_ref(), "Basic right").await;
        assert_eq!(
            (passed.status(), &passed.body()[..]),
            (StatusCode::OK, &b"{"[..])
        );
        assert_eq!(faulty.asked(), ["GET /v2/"; 3]);
        faulty.set(vec![Fault::closed()]);
        let request = http::Request::get("http://r.example/v2/").body(Bytes::new());
        let closed = faulty.send(request.unwrap()).await.unwrap_err();
        assert!(closed.is_transient());
    }
}
