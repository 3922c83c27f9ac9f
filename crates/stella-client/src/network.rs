//! The one HTTP driver: the only place where a socket of ours is opened and read.
//!
//! Every answer has a deadline and a size limit; redirects are never followed; plain http reaches the loopback only,
//! unless told otherwise. The other socket, a local one, is `grpc.rs`'s. Nothing is repeated here (`retry.rs`) and nothing is believed here (the drivers).

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::LOCATION;
use http::uri::{Authority, Scheme};
use http::{StatusCode, Uri};
use stella_wire::limits;
use stella_wire::transport::{Request, Response, Sending, TlsProblem, Transport, TransportError};
use zeroize::Zeroizing;

/// How long a connection may take to come about; an answer may take longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Idle connections are kept this long: one signing uses each service once or twice.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A request's own limit for its answer, in bytes; put it into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerLimit(pub usize);

/// Lets one request reach Google's metadata server, which has no TLS; put it into the request's extensions.
///
/// The server answers on the machine's own link and nowhere else. Only its driver asks so: an address of a configuration
/// never gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkOnly;

/// Where that server is: one address on the link in IPv4, one in IPv6, and the name of both.
const LINK_ONLY: [&str; 3] = [
    "169.254.169.254",
    "[fd20:ce::254]",
    "metadata.google.internal",
];

/// Where plain http may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlainHttp {
    /// Anywhere: tokens and answers can be read and changed on the way.
    AnywhereInsecure,
    /// The loopback, and the addresses of this link where clouds have their metadata services (169.254.0.0/16, fe80::/10,
    /// fd00:ec2::/32): no router carries them on, and no proxy is asked for them.
    Link,
    /// `localhost`, 127.0.0.0/8 and ::1.
    #[default]
    LoopbackOnly,
}

/// Certificates for TLS beside the system's.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    authorities: Vec<reqwest::Certificate>,
    identity: Option<reqwest::Identity>,
}

/// A file holds no certificate or key in PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificatesError {
    /// No certificate in PEM.
    #[error("expected certificates in PEM (BEGIN CERTIFICATE)")]
    NoCertificate,
    /// No certificate with an unencrypted private key for it.
    #[error(
        "expected an X.509 certificate of version 3 and its own private key, unencrypted, in PEM (BEGIN PRIVATE KEY)"
    )]
    NoIdentity,
}

impl Certificates {
    /// Believes certificate authorities too: one or more in PEM.
    ///
    /// # Errors
    /// [`CertificatesError::NoCertificate`].
    pub fn believe(&mut self, pem: &[u8]) -> Result<(), CertificatesError> {
        let read = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|_| CertificatesError::NoCertificate)?;
        if read.is_empty() {
            return Err(CertificatesError::NoCertificate);
        }
        self.authorities.extend(read);
        Ok(())
    }

    /// Shows a certificate to whoever asks for one: it and its chain, and its private key, in PEM.
    ///
    /// # Errors
    /// [`CertificatesError::NoIdentity`].
    pub fn show(&mut self, chain: &[u8], key: &[u8]) -> Result<(), CertificatesError> {
        let both = Zeroizing::new([chain, b"\n", key].concat());
        let wrong = |_| CertificatesError::NoIdentity;
        let identity = reqwest::Identity::from_pem(&both).map_err(wrong)?;
        // Whether both belong together is found when a client is made; this one knows no authority and reads no file.
        let trial = base().tls_certs_only([]).identity(identity.clone());
        trial.build().map_err(wrong)?;
        self.identity = Some(identity);
        Ok(())
    }

    fn add_to(&self, builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        if self.authorities.is_empty() && self.identity.is_none() {
            return builder;
        }
        let builder = builder.tls_certs_merge(self.authorities.clone());
        match &self.identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        }
    }
}

/// What holds for every request.
#[derive(Debug, Clone)]
pub struct NetworkOptions {
    /// From the first byte sent to the last byte read.
    pub deadline: Duration,
    /// Largest answer in bytes where the request names no [`AnswerLimit`].
    pub answer_limit: usize,
    /// Where plain http may go.
    pub plain_http: PlainHttp,
    /// Whom TLS believes beside the system's authorities, and what it shows.
    pub certificates: Certificates,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            answer_limit: limits::TRUST_ANSWER,
            plain_http: PlainHttp::default(),
            certificates: Certificates::default(),
        }
    }
}

/// The network, by HTTP/1.1 and TLS.
///
/// Proxies of the environment (`HTTPS_PROXY`, `NO_PROXY`, …) count for everything but the loopback. The system's
/// certificate authorities are read at the first https request and not before: a process that speaks only to the
/// loopback in plain http pays nothing for TLS. `SSL_CERT_FILE` names others.
#[derive(Debug)]
pub struct Network {
    options: NetworkOptions,
    plain_loopback: OnceLock<reqwest::Client>,
    loopback: OnceLock<reqwest::Client>,
    world: OnceLock<reqwest::Client>,
}

impl Network {
    /// Makes the driver; no socket is opened yet.
    #[must_use]
    pub const fn new(options: NetworkOptions) -> Self {
        Self {
            options,
            plain_loopback: OnceLock::new(),
            loopback: OnceLock::new(),
            world: OnceLock::new(),
        }
    }

    async fn exchange(&self, request: Request) -> Result<Response, TransportError> {
        let uri = request.uri().clone();
        let Some(host) = uri.authority().map(ToString::to_string) else {
            return Err(unreachable(&uri));
        };
        let limit = request
            .extensions()
            .get::<AnswerLimit>()
            .map_or(self.options.answer_limit, |limit| limit.0);
        let is_for_link = request.extensions().get::<LinkOnly>().is_some();
        let client = self.client(&uri, is_for_link)?;
        let request = reqwest::Request::try_from(request).map_err(|_| unreachable(&uri))?;
        let asked = async {
            let answer = client.execute(request).await;
            let answer = answer.map_err(|error| explain(&error, &host))?;
            read(answer, &host, limit).await
        };
        let deadline = self.options.deadline;
        match tokio::time::timeout(deadline, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(TransportError::Timeout {
                host: host.clone(),
                after: deadline,
            }),
        }
    }

    /// Chooses the client for an address, and makes it at its first use.
    fn client(&self, uri: &Uri, is_for_link: bool) -> Result<&reqwest::Client, TransportError> {
        let is_plain = uri.scheme() == Some(&Scheme::HTTP);
        let is_googles = is_for_link && is_plain && uri.authority().is_some_and(is_link_only);
        let is_for_link = self.options.plain_http == PlainHttp::Link;
        let is_near = |host| is_loopback(host) || (is_for_link && is_on_link(host));
        let is_near = is_googles || uri.host().is_some_and(is_near);
        if !is_plain && uri.scheme() != Some(&Scheme::HTTPS) {
            return Err(unreachable(uri));
        }
        let may_be_read_on_the_way = self.options.plain_http == PlainHttp::AnywhereInsecure;
        if is_plain && !is_near && !may_be_read_on_the_way {
            return Err(unreachable(uri));
        }
        let certificates = &self.options.certificates;
        let (slot, builder) = match (is_near, is_plain) {
            // No certificate authority: a client that could never finish a handshake, and reads no file to learn it.
            (true, true) => (&self.plain_loopback, base().no_proxy().tls_certs_only([])),
            (true, false) => (&self.loopback, certificates.add_to(base().no_proxy())),
            (false, _) => (&self.world, certificates.add_to(base())),
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = builder.build().map_err(|_| TransportError::Tls {
            host: uri
                .authority()
                .map_or_else(String::new, ToString::to_string),
            problem: TlsProblem::Handshake,
        })?;
        Ok(slot.get_or_init(|| client))
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new(NetworkOptions::default())
    }
}

impl Transport for Network {
    fn send(&self, request: Request) -> Sending<'_> {
        Box::pin(self.exchange(request))
    }
}

fn base() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        // A referer would tell one service the address of another.
        .referer(false)
        .user_agent(concat!("stella/", env!("CARGO_PKG_VERSION")))
}

/// Says whether a host of a URI is this machine.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Says whether this is Google's metadata server, at its own port.
pub(crate) fn is_link_only(authority: &Authority) -> bool {
    let is_its_port = authority.port_u16().is_none_or(|port| port == 80);
    is_its_port && LINK_ONLY.contains(&authority.host())
}

/// Says whether a host of a URI is an address of this link, as clouds use them.
fn is_on_link(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address.is_unicast_link_local() || address.segments()[..2] == [0xfd00, 0x0ec2]
        }
        Err(_) => false,
    }
}

async fn read(
    mut answer: reqwest::Response,
    host: &str,
    limit: usize,
) -> Result<Response, TransportError> {
    refuse_redirect(&answer, host)?;
    let too_large = || TransportError::TooLarge {
        host: host.to_owned(),
        limit,
    };
    let announced = answer.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(piece) = answer
        .chunk()
        .await
        .map_err(|error| explain(&error, host))?
    {
        if body.len() + piece.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&piece);
    }
    let mut whole = Response::new(Bytes::from(body));
    *whole.status_mut() = answer.status();
    *whole.version_mut() = answer.version();
    *whole.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(whole)
}

/// No service of this field redirects, and a token must not follow to wherever an answer points.
fn refuse_redirect(answer: &reqwest::Response, host: &str) -> Result<(), TransportError> {
    let is_redirect = matches!(
        answer.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !is_redirect {
        return Ok(());
    }
    let location = answer.headers().get(LOCATION);
    Err(TransportError::Redirected {
        host: host.to_owned(),
        location: location
            .and_then(|location| location.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
    })
}

fn unreachable(uri: &Uri) -> TransportError {
    TransportError::Unreachable {
        uri: uri.to_string(),
    }
}

/// Finds the cause in the chain of errors that the HTTP library hands out.
fn explain(error: &reqwest::Error, host: &str) -> TransportError {
    let host = host.to_owned();
    if error.is_timeout() {
        return TransportError::Timeout {
            host,
            after: CONNECT_TIMEOUT,
        };
    }
    let mut cause = error.source();
    while let Some(one) = cause {
        // An io::Error hides what it wraps from `source`, so it is opened here; TLS comes wrapped twice.
        let mut one = one;
        while let Some(inner) = one.downcast_ref().and_then(io::Error::get_ref) {
            one = inner;
        }
        if let Some(tls) = one.downcast_ref::<rustls::Error>() {
            let problem = tls_problem(tls);
            return TransportError::Tls { host, problem };
        }
        // The library's only sign of a name without an address.
        if one.to_string().starts_with("dns error") {
            return TransportError::HostUnknown { host };
        }
        cause = one.source();
    }
    if error.is_connect() {
        return TransportError::Refused { host };
    }
    // After the head was read as HTTP, what fails is the connection.
    if error.is_body() || error.is_decode() || is_cut_off(error) {
        return TransportError::Closed { host };
    }
    TransportError::NotHttp { host }
}

fn is_cut_off(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(one) = cause {
        let is_io = one.downcast_ref::<io::Error>().is_some();
        // hyper's words for a connection that ended before its message did.
        if is_io || one.to_string().contains("connection closed") {
            return true;
        }
        cause = one.source();
    }
    false
}

const fn tls_problem(error: &rustls::Error) -> TlsProblem {
    use rustls::CertificateError as E;
    let rustls::Error::InvalidCertificate(problem) = error else {
        return TlsProblem::Handshake;
    };
    match problem {
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            TlsProblem::CertificateExpired
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            TlsProblem::CertificateForAnotherName
        }
        E::UnknownIssuer => TlsProblem::IssuerUnknown,
        _ => TlsProblem::Handshake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_the_link_where_it_may_go_there() {
        let network = |plain_http| {
            Network::new(NetworkOptions {
                plain_http,
                ..NetworkOptions::default()
            })
        };
        let (link, loopback) = (network(PlainHttp::Link), network(PlainHttp::LoopbackOnly));
        for (address, is_link, is_loopback) in [
            ("http://127.0.0.1/", true, true),
            ("http://localhost/", true, true),
            ("http://169.254.169.254/", true, false),
            ("http://[fd00:ec2::254]/", true, false),
            ("http://[fd00:ec3::254]/", false, false),
            ("http://10.0.0.1/", false, false),
            ("http://metadata.example/", false, false),
        ] {
            let uri = Uri::from_static(address);
            assert_eq!(link.client(&uri, false).is_ok(), is_link, "{address}");
            assert_eq!(
                loopback.client(&uri, false).is_ok(),
                is_loopback,
                "{address}"
            );
        }
    }
}
