//! Sockets: HTTP/1.1 in front of an instance, with a bound for everything that a stranger can send or leave unread.
//!
//! No service lives here and nothing is decided by what a request means: bytes come in, bounded in size and time, and
//! [`Sigstore::answer`] has the rest. TLS is a reverse proxy's work.

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
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use stella_wire::problem::Code;
use stella_wire::{Request, Response, fulcio, limits, rekor, tsa};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use url::{Host, Url};

use self::write_deadline::WriteDeadline;
use crate::problem::Problem;
use crate::sigstore::{OwnIssuer, Sigstore};

/// Connections at once; more wait in the kernel's queue. Each may hold a body of [`SMALL_BODY`].
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

/// What an operator says about listening where others can reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Refuse to serve the own issuer beyond this machine: neither address nor public URL may lead off the loopback.
    Guarded,
    /// `--insecure-dev-issuer`: serve it all the same.
    InsecureOwnIssuer,
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
}

/// Requires that the own issuer is for this machine only: neither the address nor the public URL leads off it. Needs no
/// instance, so that none is made for an answer that is no.
///
/// # Errors
/// `OwnIssuerExposed`, `OwnIssuerPublic`; neither when the issuer is withheld, or the exposure allows it.
pub fn require_guarded(
    url: &str,
    address: SocketAddr,
    own: OwnIssuer,
    exposure: Exposure,
) -> Result<(), ListenError> {
    if own == OwnIssuer::Withhold || exposure == Exposure::InsecureOwnIssuer {
        return Ok(());
    }
    if !address.ip().is_loopback() {
        return Err(ListenError::OwnIssuerExposed { address });
    }
    if !is_loopback(url) {
        return Err(ListenError::OwnIssuerPublic {
            url: url.to_owned(),
        });
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
    require_guarded(sigstore.url(), address, sigstore.own_issuer(), exposure)?;
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
        async move { Ok::<_, Infallible>(door.answer(request).await.map(Full::new)) }
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
    /// Reads the body within its bounds and asks the instance.
    async fn answer(&self, request: hyper::Request<Incoming>) -> Response {
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
        let mut response = match read_body(body, limit).await {
            Ok(body) => answer_or_500(&self.sigstore, &Request::from_parts(head, body)).await,
            Err(problem) => {
                let mut response = problem.into_response();
                // What was not read is still on its way: this connection cannot go on.
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
                response
            }
        };
        drop(place);
        let nosniff = HeaderValue::from_static("nosniff");
        response
            .headers_mut()
            .insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }
}

/// Asks the instance; a defect that panics in one request is that request's 500, and the service stays up.
async fn answer_or_500(sigstore: &Sigstore, request: &Request) -> Response {
    let mut answering = pin!(sigstore.answer(request));
    let answered = poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(context)));
        // After a panic the future is not polled again: it is dropped with what it held.
        polled.map_or(Poll::Ready(None), |poll| poll.map(Some))
    });
    match answered.await {
        Some(response) => response,
        None => Problem::new(Code::Internal, "the request could not be answered", "PANIC")
            .into_response(),
    }
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

    #[test]
    fn the_own_issuer_is_for_this_machine_only() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 8470));
        let guard = |url| require_guarded(url, loopback, OwnIssuer::Offer, Exposure::Guarded);
        for url in [
            "http://localhost:8470",
            "https://sigstore.localhost",
            "http://127.8.9.1:8470",
            "http://[::1]:8470",
        ] {
            assert!(guard(url).is_ok(), "{url}");
        }
        for url in [
            "https://sigstore.example",
            "http://localhost.example",
            "http://notlocalhost",
            "http://10.0.0.1:8470",
            "http://[fe80::1]",
            "no URL",
        ] {
            let refused = guard(url);
            assert!(
                matches!(refused, Err(ListenError::OwnIssuerPublic { .. })),
                "{url}"
            );
        }
    }

    #[test]
    fn without_the_own_issuer_or_with_consent_every_address_will_do() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 8470));
        let guard = |own, exposure| require_guarded("https://s.example", everywhere, own, exposure);
        assert!(guard(OwnIssuer::Withhold, Exposure::Guarded).is_ok());
        assert!(guard(OwnIssuer::Offer, Exposure::InsecureOwnIssuer).is_ok());
        assert!(matches!(
            guard(OwnIssuer::Offer, Exposure::Guarded),
            Err(ListenError::OwnIssuerExposed { .. })
        ));
    }
}
