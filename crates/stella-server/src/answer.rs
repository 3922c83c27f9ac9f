//! Answers in the few shapes that the services use: JSON, text, bytes that never change.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use stella_wire::Response;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Tiles and issuers are named by what they hold (C2SP tlog-tiles: one week is what other logs say).
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=604800, immutable");
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");

fn with(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// JSON of any status; clients and proxies keep no copy.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = with(status, JSON, body);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// A body of some media type, with status 200.
pub(crate) fn typed(kind: &'static str, body: impl Into<Bytes>) -> Response {
    with(StatusCode::OK, HeaderValue::from_static(kind), body)
}

/// A public document that may change: discovery, key sets, trust files.
pub(crate) fn document(kind: &'static str, body: impl Into<Bytes>) -> Response {
    for_everyone(typed(kind, body), NO_CACHE)
}

/// Text that changes with every entry: a checkpoint.
pub(crate) fn checkpoint(text: String) -> Response {
    for_everyone(with(StatusCode::OK, TEXT, text), NO_CACHE)
}

/// Bytes that never change under this path.
pub(crate) fn immutable(body: impl Into<Bytes>) -> Response {
    for_everyone(with(StatusCode::OK, BYTES, body), IMMUTABLE)
}

/// Lets pages of any origin read an answer, and says how long it stays true.
fn for_everyone(mut response: Response, cache: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
    response
}

/// Plain text of any status.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response {
    with(status, TEXT, body)
}
