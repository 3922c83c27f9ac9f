//! One request to a key service, and what is common to all answers. What a refusal says is for the drivers.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use stella_keys::{KeyError, ServiceFailure};
use stella_wire::transport::{Request, Response, Transport, TransportError};
use url::Url;
use zeroize::Zeroizing;

use crate::network::{AnswerLimit, is_loopback};
use crate::retry::is_transient_status;

/// Bytes of an answer: an ML-DSA-87 key or signature in base64 needs a fortieth.
const MAX_ANSWER: usize = 256 << 10;

pub(super) const JSON: &str = "application/json";
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// Reads the address of a service. Plain http reaches the loopback only: a token would be read on the way.
pub(super) fn address(service: &'static str, text: &str) -> Result<Url, KeyError> {
    let wrong = |what: &str| {
        let message = format!("{text} {what}");
        KeyError::service(service, ServiceFailure::Setting, &message)
    };
    let url = Url::parse(text).map_err(|_| wrong("is not an address"))?;
    let Some(host) = url.host_str() else {
        return Err(wrong("is not an address"));
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(host) => Ok(url),
        _ => Err(wrong("must be https: plain http reaches this machine only")),
    }
}

/// Makes a request with a body of some type.
pub(super) fn request(
    service: &'static str,
    method: Method,
    address: &str,
    content: Option<(&'static str, Bytes)>,
) -> Result<Request, KeyError> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = method;
    *request.uri_mut() = address.parse().map_err(|_| {
        let message = format!("{address} is not an address");
        KeyError::service(service, ServiceFailure::Setting, &message)
    })?;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static(JSON));
    if let Some((content_type, body)) = content {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        *request.body_mut() = body;
    }
    Ok(request)
}

/// Adds a header that is not printed, such as a token.
pub(super) fn secret_header(
    service: &'static str,
    request: &mut Request,
    name: HeaderName,
    value: &str,
) -> Result<(), KeyError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        let message = "a secret has characters that no header can carry";
        KeyError::service(service, ServiceFailure::Credentials, message)
    })?;
    value.set_sensitive(true);
    request.headers_mut().insert(name, value);
    Ok(())
}

/// Adds a bearer token (RFC 6750 §2.1).
pub(super) fn bearer(
    service: &'static str,
    request: &mut Request,
    token: &str,
) -> Result<(), KeyError> {
    let bearer = Zeroizing::new(format!("Bearer {token}"));
    secret_header(service, request, AUTHORIZATION, &bearer)
}

/// Sends a request and returns the answer of a service that grants it; what another one means is `refused`'s to say.
pub(super) async fn send_granted(
    transport: &dyn Transport,
    service: &'static str,
    request: Request,
    refused: fn(&Response) -> KeyError,
) -> Result<Response, KeyError> {
    let answer = send(transport, service, request).await?;
    match answer.status().is_success() {
        true => Ok(answer),
        false => Err(refused(&answer)),
    }
}

/// Sends a request and returns the answer, whatever its status.
pub(super) async fn send(
    transport: &dyn Transport,
    service: &'static str,
    mut request: Request,
) -> Result<Response, KeyError> {
    let (host, path) = (
        request.uri().host().unwrap_or_default().to_owned(),
        request.uri().path().to_owned(),
    );
    request.extensions_mut().insert(AnswerLimit(MAX_ANSWER));
    let answer = transport.send(request).await;
    let answer = answer.map_err(|error| {
        let failure = match error {
            TransportError::NotHttp { .. }
            | TransportError::Redirected { .. }
            | TransportError::TooLarge { .. } => ServiceFailure::Answer,
            // Nothing that passes by itself: another authority, name or address must be configured.
            TransportError::Tls { .. } | TransportError::Unreachable { .. } => {
                ServiceFailure::Setting
            }
            _ => ServiceFailure::Unavailable,
        };
        KeyError::service(service, failure, &error.to_string())
    })?;
    tracing::debug!(
        service,
        host,
        path,
        status = answer.status().as_u16(),
        "answer"
    );
    if answer.body().len() > MAX_ANSWER {
        return Err(unusable(service, "it is longer than any honest answer"));
    }
    Ok(answer)
}

/// Reads an answer in JSON.
pub(super) fn json<T: DeserializeOwned>(
    service: &'static str,
    answer: &Response,
) -> Result<T, KeyError> {
    // The parser's own words could repeat a secret.
    serde_json::from_slice(answer.body())
        .map_err(|_| unusable(service, "it is not the JSON that was expected"))
}

/// Says that an answer is not what was asked for.
pub(super) fn unusable(service: &'static str, what: &str) -> KeyError {
    KeyError::service(service, ServiceFailure::Answer, what)
}

/// Says what a status other than success means where the service has no word of its own for it.
pub(super) fn failure(status: StatusCode) -> ServiceFailure {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ServiceFailure::Access,
        StatusCode::NOT_FOUND => ServiceFailure::Absent,
        status if is_transient_status(status) || status.is_server_error() => {
            ServiceFailure::Unavailable
        }
        _ => ServiceFailure::Refused,
    }
}
