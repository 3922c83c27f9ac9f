//! How the registry refuses: the specification's code for programs, a sentence for people, and for the operator's log
//! what the client need not know.

use std::fmt::Display;
use std::io;

use http::{HeaderName, HeaderValue, StatusCode, header};
use stella_bundle::digest::Digest;
use stella_wire::registry::{ManifestError, Refusal, RefusalCode};

use super::body::{Body, BodyError};

/// A refusal on its way to the client.
#[derive(Debug)]
pub(crate) struct Refused {
    code: RefusalCode,
    status: StatusCode,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    internal: Option<String>,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, code: RefusalCode, message: impl Into<String>) -> Self {
        Self {
            code,
            status,
            message: message.into(),
            headers: Vec::new(),
            internal: None,
        }
    }

    /// Refuses a request that is wrong and stays wrong.
    pub(crate) fn invalid(code: RefusalCode, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn blob_unknown(digest: &Digest) -> Self {
        let message = format!("this repository has no blob {digest}");
        Self::new(StatusCode::NOT_FOUND, RefusalCode::BlobUnknown, message)
    }

    pub(crate) fn manifest_unknown(reference: &str) -> Self {
        let message = format!("this repository has no manifest {reference}");
        Self::new(StatusCode::NOT_FOUND, RefusalCode::ManifestUnknown, message)
    }

    pub(crate) fn name_unknown(repository: &str) -> Self {
        let message = format!("there is no repository {repository}");
        Self::new(StatusCode::NOT_FOUND, RefusalCode::NameUnknown, message)
    }

    pub(crate) fn upload_unknown() -> Self {
        let message = "there is no such upload: begin a new one";
        Self::new(
            StatusCode::NOT_FOUND,
            RefusalCode::BlobUploadUnknown,
            message,
        )
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn because(mut self, cause: impl Display) -> Self {
        self.internal = Some(cause.to_string());
        self
    }

    /// Writes the refusal to the log and makes the answer.
    pub(crate) fn into_response(self) -> http::Response<Body> {
        let (status, code, message) = (self.status.as_u16(), self.code.word(), &self.message);
        let cause = self.internal.as_deref().unwrap_or_default();
        if self.status.is_server_error() {
            tracing::error!(status, code, cause, "registry failed: {message}");
        } else {
            tracing::info!(status, code, cause, "registry refused: {message}");
        }
        let body = Refusal::new(self.code, message).to_bytes();
        let mut response = http::Response::new(Body::Whole(body.into()));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Incomplete => {
                Self::invalid(RefusalCode::SizeInvalid, "the body ended early")
            }
            BodyError::TooLarge(limit) => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                RefusalCode::SizeInvalid,
                format!("the body is larger than {limit} bytes"),
            ),
            BodyError::TooSlow => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                RefusalCode::Unknown,
                "the body took too long",
            ),
        }
    }
}

impl From<ManifestError> for Refused {
    fn from(error: ManifestError) -> Self {
        Self::invalid(RefusalCode::ManifestInvalid, error.to_string())
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        let (status, message) = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
                StatusCode::INSUFFICIENT_STORAGE,
                "the registry's disk is full",
            ),
            _ => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the registry's disk fails",
            ),
        };
        Self::new(status, RefusalCode::Unknown, message).because(error)
    }
}
