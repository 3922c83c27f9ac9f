//! Sockets: HTTP/1.1 in front of an instance, with a bound for everything that a stranger can send or leave unread.
//!
//! No service lives here and nothing is decided by what a request means: bytes come in, bounded in size and time, and
//! [`Sigstore::answer`] has the rest, or the registry, which reads and writes bodies piece by piece. TLS is a reverse
//! proxy's work.

mod write_deadline;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use stella_wire::problem::Code;
use stella_wire::registry::{BASE_PATH, MAX_MANIFEST};
use stella_wire::{Request, Response, fulcio, limits, rekor, tsa};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use url::{Host, Url};

use self::write_deadline::WriteDeadline;
use crate::problem::Problem;
use crate::registry::{Body, Received, Registry};
use crate::sigstore::{OwnIssuer, OwnRegistry, Sigstore};

/// Connections at once; more wait in the kernel's queue. Each may hold a body of [`SMALL_BODY`], or a piece
/// of a blob.
const MAX_CONNECTIONS: usize = 1024;
/// Bodies up to this size need no place among the large ones: a certificate request, a log entry.
const SMALL_BODY: u64 = 64 << 10;
/// Large bodies at once: envelopes of 4 MiB with their payload. Others wait with theirs unread.
const MAX_LARGE_BODIES: usize = 16;
/// Bytes of a request's head, about: hyper looks between two reads. A token of 16 KiB in `Authorization` fits.
const MAX_HEAD: usize = 32 << 10;
/// Header lines.
const MAX_HEADERS: usize = 64;
/// Time for the head of a request, and between two requests of one connection.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// Time for the body of a request.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// Time for the next bytes of an answer to be taken: who does not read holds one of [`MAX_CONNECTIONS`] no longer.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// Time for requests under way when the service stops.
const DRAIN: Duration = Duration::from_secs(10);
/// Pause after the system refused a connection (out of file descriptors): the next try would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What an operator allows strangers to reach; by default nothing that is open to whoever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exposure {
    /// Whether the own issuer may be served beyond this machine.
    pub own_issuer: Consent,
    /// Whether the registry may be.
    pub own_registry: Consent,
}

/// What an operator says about serving beyond this machine: on an address, or under a public URL, off the loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consent {
    /// No.
    #[default]
    Guarded,
    /// Yes: `--insecure-dev-issuer`, `--insecure-open-registry`.
    Insecure,
}

/// What an instance offers that is open to whoever comes, or nearly so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// The own issuer, which gives tokens to whoever has one secret.
    pub own_issuer: OwnIssuer,
    /// The registry, which whoever comes may read and write.
    pub own_registry: OwnRegistry,
}

/// The ways in which no socket is opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The system refused the address.
    #[error("cannot listen on {address}: {kind}")]
    Address {
        /// Where.
        address: SocketAddr,
        /// What the system said: `AddrInUse` when another program has the port.
        kind: io::ErrorKind,
    },
    /// The own issuer gives tokens to whoever has one secret: not for a network.
    #[error(
        "{address} can be reached by others, and this instance mints identity tokens: \
         --no-dev-issuer stops that, --insecure-dev-issuer allows it"
    )]
    OwnIssuerExposed {
        /// Where.
        address: SocketAddr,
    },
    /// The same, where a proxy on this machine passes the network's requests on.
    #[error(
        "{url} can be reached by others, and this instance mints identity tokens: \
         --no-dev-issuer stops that, --insecure-dev-issuer allows it"
    )]
    OwnIssuerPublic {
        /// The public URL.
        url: String,
    },
    /// The registry asks nobody who he is: not for a network.
    #[error(
        "{address} can be reached by others, and whoever reaches the registry may write it: \
         --insecure-open-registry allows that"
    )]
    RegistryExposed {
        /// Where.
        address: SocketAddr,
    },
    /// The same, where a proxy on this machine passes the network's requests on.
    #[error(
        "{url} can be reached by others, and whoever reaches the registry may write it: \
         --insecure-open-registry allows that"
    )]
    RegistryPublic {
        /// The public URL.
        url: String,
    },
}

/// Requires that what is open to whoever comes is for this machine only: neither the address nor the public URL leads off
/// it. Needs no instance, so that none is made for an answer that is no.
///
/// # Errors
/// `OwnIssuerExposed`, `OwnIssuerPublic`, `RegistryExposed`, `RegistryPublic`; none for what is withheld, or when the
/// exposure allows it.
pub fn require_guarded(
    url: &str,
    address: SocketAddr,
    offered: Offered,
    exposure: Exposure,
) -> Result<(), ListenError> {
    let is_exposed = !address.ip().is_loopback();
    let is_public = !is_loopback(url);
    let url = || url.to_owned();
    if offered.own_issuer == OwnIssuer::Offer && exposure.own_issuer == Consent::Guarded {
        if is_exposed {
            return Err(ListenError::OwnIssuerExposed { address });
        }
        if is_public {
            return Err(ListenError::OwnIssuerPublic { url: url() });
        }
    }
    if offered.own_registry == OwnRegistry::Offer && exposure.own_registry == Consent::Guarded {
        if is_exposed {
            return Err(ListenError::RegistryExposed { address });
        }
        if is_public {
            return Err(ListenError::RegistryPublic { url: url() });
        }
    }
    Ok(())
}

/// Says whether a URL's host is this machine, whoever asks.
fn is_loopback(url: &str) -> bool {
    let url = Url::parse(url);
    match url.as_ref().ok().and_then(Url::host) {
        // spec: RFC 6761 §6.3: localhost and every name below it.
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Opens the socket of an open instance.
///
/// # Errors
/// As [`require_guarded`] and [`bind_address`].
pub async fn bind(
    sigstore: &Sigstore,
    address: SocketAddr,
    exposure: Exposure,
) -> Result<TcpListener, ListenError> {
    let offered = Offered {
        own_issuer: sigstore.own_issuer(),
        own_registry: sigstore.own_registry(),
    };
    require_guarded(sigstore.url(), address, offered, exposure)?;
    bind_address(address).await
}

/// Opens the socket. Whether the address may be served is [`require_guarded`]'s question.
///
/// # Errors
/// `Address`.
pub async fn bind_address(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| ListenError::Address {
            address,
            kind: error.kind(),
        })
}

/// Serves until `shutdown` is ready; then takes no more connections, finishes what is under way, and closes the logs.
pub async fn serve(sigstore: Sigstore, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let large_bodies = Arc::new(Semaphore::new(MAX_LARGE_BODIES));
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        // The slot comes first: who is not served yet waits in the kernel, not in our memory.
        let slot = tokio::select! {
            () = &mut shutdown => break,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let door = Door {
                    sigstore: sigstore.clone(),
                    large_bodies: Arc::clone(&large_bodies),
                };
                let stopping = stopping.clone();
                connections.spawn(async move {
                    converse(stream, door, stopping).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drop(stop);
    let drained = tokio::time::timeout(DRAIN, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    if drained.is_err() {
        tracing::warn!("requests were still under way after {} s", DRAIN.as_secs());
        connections.shutdown().await;
    }
    sigstore.close();
}

/// What each connection needs.
#[derive(Clone)]
struct Door {
    sigstore: Sigstore,
    large_bodies: Arc<Semaphore>,
}

/// One connection, request after request.
async fn converse(stream: TcpStream, door: Door, mut stopping: watch::Receiver<()>) {
    // Answers are written whole; waiting for more to send would only cost time.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    let stream = TokioIo::new(WriteDeadline::new(stream, WRITE_DEADLINE));
    let mut connection = pin!(builder.serve_connection(stream, service));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        // The sender is gone: the service stops. The request under way is still answered.
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

impl Door {
    /// Asks the instance, by its registry or by its services.
    async fn answer(&self, request: hyper::Request<Incoming>) -> http::Response<Body> {
        let (head, body) = request.into_parts();
        let limit = body_limit(&head.method, head.uri.path());
        let may_be_large = body
            .size_hint()
            .upper()
            .is_none_or(|size| size > SMALL_BODY)
            && limit as u64 > SMALL_BODY;
        let place = if may_be_large {
            self.large_bodies.acquire().await.ok()
        } else {
            None
        };
        let mut response = match self.sigstore.registry_of(head.uri.path()) {
            Some(registry) => ask_registry(registry, &head, body).await,
            None => self.ask_services(head, body, limit).await.map(Body::from),
        };
        drop(place);
        let nosniff = HeaderValue::from_static("nosniff");
        response
            .headers_mut()
            .insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }

    /// Reads the body within its bounds and asks the services.
    async fn ask_services(&self, head: Parts, body: Incoming, limit: usize) -> Response {
        let body = match read_body(body, limit).await {
            Ok(body) => body,
            Err(problem) => return closing(problem.into_response()),
        };
        let request = Request::from_parts(head, body);
        let answered = without_panic(self.sigstore.answer(&request)).await;
        answered.unwrap_or_else(|| panicked().into_response())
    }
}

/// Asks the registry, which reads as much of the body as it wants: blobs are larger than memory.
async fn ask_registry(registry: &Registry, head: &Parts, body: Incoming) -> http::Response<Body> {
    let mut body = Received::Stream(body);
    match without_panic(registry.answer(head, &mut body)).await {
        Some(response) if body.drain().await => response,
        Some(response) => closing(response),
        None => closing(panicked().into_response().map(Body::from)),
    }
}

/// Ends the connection behind an answer: what was not read of the request is still on its way.
fn closing<B>(mut response: http::Response<B>) -> http::Response<B> {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// Waits for an answer; none when a defect panics: that is this request's 500, and the service stays up.
async fn without_panic<T>(answering: impl Future<Output = T>) -> Option<T> {
    let mut answering = pin!(answering);
    let answered = poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(context)));
        // After a panic the future is not polled again: it is dropped with what it held.
        polled.map_or(Poll::Ready(None), |poll| poll.map(Some))
    });
    answered.await
}

fn panicked() -> Problem {
    Problem::new(Code::Internal, "the request could not be answered", "PANIC")
}

async fn read_body(body: Incoming, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::invalid(
            format!("the body is larger than {limit} bytes"),
            "BODY_TOO_LARGE",
        )
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let read = tokio::time::timeout(BODY_DEADLINE, Limited::new(body, limit).collect());
    match read.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            Err(Problem::invalid("the body ended early", "BODY_INCOMPLETE").because(error))
        }
        Err(_) => Err(Problem::new(
            Code::DeadlineExceeded,
            "the body took too long",
            "BODY_TOO_SLOW",
        )
        .with_status(StatusCode::REQUEST_TIMEOUT)),
    }
}

fn body_limit(method: &Method, path: &str) -> usize {
    // A manifest is the one thing that the registry holds as a whole; of a blob it holds a piece.
    if *method == Method::PUT && path.starts_with(BASE_PATH) && path.contains("/manifests/") {
        return MAX_MANIFEST;
    }
    if *method != Method::POST {
        return 0;
    }
    match path {
        rekor::ENTRIES_PATH => limits::REKOR_REQUEST,
        fulcio::SIGNING_CERT_PATH | fulcio::LEGACY_SIGNING_CERT_PATH => limits::FULCIO_REQUEST,
        tsa::TIMESTAMP_PATH => limits::TIMESTAMP_REQUEST,
        _ => limits::OIDC_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Offered = Offered {
        own_issuer: OwnIssuer::Offer,
        own_registry: OwnRegistry::Offer,
    };
    const ONLY_ISSUER: Offered = Offered {
        own_registry: OwnRegistry::Withhold,
        ..EVERYTHING
    };
    const ONLY_REGISTRY: Offered = Offered {
        own_issuer: OwnIssuer::Withhold,
        ..EVERYTHING
    };

    #[test]
    fn what_is_open_is_for_this_machine_only() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 8470));
        let guard = |url, offered| require_guarded(url, loopback, offered, Exposure::default());
        for url in [
            "http://localhost:8470",
            "https://sigstore.localhost",
            "http://127.8.9.1:8470",
            "http://[::1]:8470",
        ] {
            assert!(guard(url, EVERYTHING).is_ok(), "{url}");
        }
        for url in [
            "https://sigstore.example",
            "http://localhost.example",
            "http://notlocalhost",
            "http://10.0.0.1:8470",
            "http://[fe80::1]",
            "no URL",
        ] {
            let refused = guard(url, ONLY_ISSUER);
            assert!(
                matches!(refused, Err(ListenError::OwnIssuerPublic { .. })),
                "{url}"
            );
            let refused = guard(url, ONLY_REGISTRY);
            assert!(
                matches!(refused, Err(ListenError::RegistryPublic { .. })),
                "{url}"
            );
        }
    }

    #[test]
    fn consent_to_one_thing_is_none_to_the_other() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 8470));
        let guard =
            |offered, exposure| require_guarded("https://s.example", everywhere, offered, exposure);
        let nothing = Offered {
            own_issuer: OwnIssuer::Withhold,
            ..ONLY_ISSUER
        };
        assert!(guard(nothing, Exposure::default()).is_ok());
        let issuer = Exposure {
            own_issuer: Consent::Insecure,
            ..Exposure::default()
        };
        assert!(guard(ONLY_ISSUER, issuer).is_ok());
        let registry = Exposure {
            own_registry: Consent::Insecure,
            ..Exposure::default()
        };
        assert!(guard(ONLY_REGISTRY, registry).is_ok());
        assert!(matches!(
            guard(EVERYTHING, registry),
            Err(ListenError::OwnIssuerExposed { .. })
        ));
        assert!(matches!(
            guard(EVERYTHING, issuer),
            Err(ListenError::RegistryExposed { .. })
        ));
    }
}
