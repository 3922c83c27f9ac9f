//! How a request travels: one trait for the network and for an instance in the same process.
//!
//! Nothing here opens a socket: the network driver is `stella_client::Network`, the instance in process is
//! `stella_server::Sigstore`. Bodies are whole bytes, bounded by whoever reads them from a socket.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

/// A request with its whole body (RFC 9110 §6).
pub type Request = http::Request<Bytes>;

/// An answer with its whole body, whatever its status.
pub type Response = http::Response<Bytes>;

/// A request on its way; boxed, so that a `dyn Transport` can send it.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response, TransportError>> + Send + 'a>>;

/// Carries one request to a service and brings its answer.
///
/// An answer of any status is `Ok`: only a request that got no answer is an error. Nobody retries here.
pub trait Transport: Send + Sync {
    /// Sends `request`, whose URI is absolute (`https://host/path`).
    fn send(&self, request: Request) -> Sending<'_>;
}

/// The ways in which a request gets no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The connection ended before the answer was complete.
    #[error("{host} closed the connection before the answer was complete")]
    Closed {
        /// `host[:port]` that was asked.
        host: String,
    },
    /// The name has no address.
    #[error("the name {host} has no address")]
    HostUnknown {
        /// `host[:port]` that was asked.
        host: String,
    },
    /// What came back is not HTTP.
    #[error("{host} does not answer in HTTP")]
    NotHttp {
        /// `host[:port]` that was asked.
        host: String,
    },
    /// The answer sends us to another host, which is never followed.
    #[error("{host} redirects to {location}, which is not followed")]
    Redirected {
        /// `host[:port]` that was asked.
        host: String,
        /// The `Location` given.
        location: String,
    },
    /// Nobody listens there, or the network has no route.
    #[error("cannot connect to {host}")]
    Refused {
        /// `host[:port]` that was asked.
        host: String,
    },
    /// No complete answer within the deadline.
    #[error("{host} did not answer within {} ms", after.as_millis())]
    Timeout {
        /// `host[:port]` that was asked.
        host: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// The TLS handshake failed.
    #[error("no secure connection to {host}: {problem}")]
    Tls {
        /// `host[:port]` that was asked.
        host: String,
        /// Why.
        problem: TlsProblem,
    },
    /// The answer is larger than this side reads.
    #[error("the answer of {host} is larger than {limit} bytes")]
    TooLarge {
        /// `host[:port]` that was asked.
        host: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The URI is not one that this transport can reach (no host, or a scheme other than http and https).
    #[error("{uri} is not an address that can be asked")]
    Unreachable {
        /// The URI of the request.
        uri: String,
    },
}

/// Why a TLS handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsProblem {
    /// The certificate is not valid now.
    #[error("its certificate is expired or not yet valid")]
    CertificateExpired,
    /// The certificate names another host.
    #[error("its certificate is for another name")]
    CertificateForAnotherName,
    /// The certificate's issuer is not trusted here.
    #[error("its certificate comes from an unknown authority")]
    IssuerUnknown,
    /// Anything else.
    #[error("the handshake failed")]
    Handshake,
}

impl TransportError {
    /// Says whether the same request may succeed a moment later: connections and deadlines may, names of certificates
    /// and sizes do not.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Closed { .. }
            | Self::HostUnknown { .. }
            | Self::Refused { .. }
            | Self::Timeout { .. } => true,
            Self::Tls { problem, .. } => matches!(problem, TlsProblem::Handshake),
            Self::NotHttp { .. }
            | Self::Redirected { .. }
            | Self::TooLarge { .. }
            | Self::Unreachable { .. } => false,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use super::*;

    struct Echo;

    impl Transport for Echo {
        fn send(&self, request: Request) -> Sending<'_> {
            Box::pin(async move { Ok(Response::new(request.into_body())) })
        }
    }

    #[test]
    fn a_boxed_transport_answers() {
        let transport: Arc<dyn Transport> = Arc::new(Echo);
        let mut sending = transport.send(Request::new(Bytes::from_static(b"hello")));
        let polled = sending
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(answer) = polled else {
            panic!("an echo has nothing to wait for")
        };
        assert_eq!(answer.unwrap().into_body(), "hello");
    }

    #[test]
    fn a_refused_connection_is_worth_a_second_try_and_a_wrong_certificate_is_not() {
        let host = || "fulcio.example:443".to_owned();
        assert!(TransportError::Refused { host: host() }.is_transient());
        let wrong = TransportError::Tls {
            host: host(),
            problem: TlsProblem::CertificateForAnotherName,
        };
        assert!(!wrong.is_transient());
    }
}
