//! One request and its answer: what the status means, whoever is asked.
//!
//! What the body means is for the drivers.

use bytes::Bytes;
use http::{Method, StatusCode};
use stella_wire::problem::Problem;
use stella_wire::registry::Refusal;
use stella_wire::transport::{Request, Response, Transport, TransportError};

use crate::error::{AnswerProblem, ClientError, Service, Unavailability};
use crate::network::AnswerLimit;
use crate::retry;

/// What a service says about its refusal is kept to so many characters.
const MAX_MESSAGE: usize = 300;

/// Joins a base address and a path that begins with `/`.
pub(crate) fn join(base: &str, path: &str) -> String {
    format!("{}{path}", base.trim_end_matches('/'))
}

/// Makes a request.
///
/// # Errors
///
/// [`ClientError::Address`] when `address` is none.
pub(crate) fn request(
    service: Service,
    method: Method,
    address: &str,
    body: Bytes,
) -> Result<Request, ClientError> {
    let bad = || ClientError::Address {
        service,
        address: address.to_owned(),
    };
    let uri: http::Uri = address.parse().map_err(|_| bad())?;
    if uri.scheme().is_none() || uri.host().is_none_or(str::is_empty) {
        return Err(bad());
    }
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    Ok(request)
}

/// Sends a request and returns an answer of status 2xx with at most `limit`
/// bytes.
///
/// # Errors
///
/// `Unavailable`, `AccessRefused`, `Refused`, `Answer`.
pub(crate) async fn send(
    transport: &dyn Transport,
    service: Service,
    request: Request,
    limit: usize,
) -> Result<Response, ClientError> {
    let address = address_of(&request);
    let answer = ask(transport, service, request, limit).await?;
    refusal(service, address, &answer).map_or(Ok(answer), Err)
}

/// Sends a request and returns an answer of any status with at most `limit` bytes.
///
/// # Errors
///
/// `Unavailable`, `Answer`.
pub(crate) async fn ask(
    transport: &dyn Transport,
    service: Service,
    mut request: Request,
    limit: usize,
) -> Result<Response, ClientError> {
    // The query may hold a secret of the runner.
    let address = address_of(&request);
    request.extensions_mut().insert(AnswerLimit(limit));
    let answer = transport.send(request).await.map_err(|problem| {
        let address = address.clone();
        no_answer(service, address, problem)
    })?;
    tracing::debug!(%service, address, status = answer.status().as_u16(), bytes = answer.body().len(), "answer");
    let length = answer.body().len();
    if length > limit {
        return Err(ClientError::answer(
            service,
            AnswerProblem::TooLarge { length, limit },
        ));
    }
    Ok(answer)
}

/// Says that nobody answered.
pub(crate) const fn no_answer(
    service: Service,
    address: String,
    problem: TransportError,
) -> ClientError {
    ClientError::Unavailable {
        service,
        address,
        problem: Unavailability::NoAnswer(problem),
    }
}

/// Says what a status other than success means; `None` for success.
pub(crate) fn refusal(service: Service, address: String, answer: &Response) -> Option<ClientError> {
    let status = answer.status();
    if status.is_success() {
        return None;
    }
    let (message, reason) = words(service, answer);
    let code = status.as_u16();
    // 501 stays: a service that cannot do it today cannot do it tomorrow.
    if retry::is_transient_status(status) || (status.is_server_error() && code != 501) {
        return Some(ClientError::Unavailable {
            service,
            address,
            problem: Unavailability::Status {
                status: code,
                message,
            },
        });
    }
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Some(ClientError::AccessRefused {
            service,
            address,
            status: code,
            message,
            reason,
        });
    }
    if status.is_client_error() || code == 501 {
        return Some(ClientError::Refused {
            service,
            address,
            status: code,
            message,
            reason,
        });
    }
    Some(ClientError::answer(
        service,
        AnswerProblem::Status { status: code },
    ))
}

/// Reads what a refusal says, for people and for machines.
fn words(service: Service, answer: &Response) -> (String, Option<String>) {
    let shorten = |message: &str| message.chars().take(MAX_MESSAGE).collect();
    if service == Service::Registry {
        let refusal = Refusal::parse(answer.body()).unwrap_or_default();
        return (
            shorten(refusal.message()),
            refusal.code().map(str::to_owned),
        );
    }
    let problem = Problem::parse(answer.body()).unwrap_or_default();
    (
        shorten(&problem.message),
        problem.reason().map(str::to_owned),
    )
}

pub(crate) fn address_of(request: &Request) -> String {
    let uri = request.uri();
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.authority().map_or("", http::uri::Authority::as_str);
    format!("{scheme}://{host}{}", uri.path())
}
