//! What a service answers when it refuses: `{"code", "message", "details"}`, the form of Google's gateway that Fulcio and
//! Rekor share.
//!
//! Which refusal gets which code is decided by the service; what the operator reads in the log is not here.

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};

/// Details beyond these are not read: one is what services here write.
const MAX_DETAILS: usize = 16;

/// Type URL of the detail that carries a machine-readable reason.
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// Status of a refusal in gRPC's numbers (google/rpc/code.proto).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// 1: the client went away.
    Cancelled,
    /// 2: unexpected.
    Unknown,
    /// 3: the request is wrong and stays wrong.
    InvalidArgument,
    /// 4: too late.
    DeadlineExceeded,
    /// 5: no such thing.
    NotFound,
    /// 6: the thing is there already.
    AlreadyExists,
    /// 7: the caller may not.
    PermissionDenied,
    /// 8: a limit of the caller is reached.
    ResourceExhausted,
    /// 12: this service does not do that.
    Unimplemented,
    /// 13: the service failed.
    Internal,
    /// 14: the service cannot now; the same request may succeed later.
    Unavailable,
    /// 16: the caller did not say who it is.
    Unauthenticated,
}

impl Code {
    const ALL: [Self; 12] = [
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::Unauthenticated,
    ];

    /// Returns the number of google/rpc/code.proto.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Cancelled => 1,
            Self::Unknown => 2,
            Self::InvalidArgument => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound => 5,
            Self::AlreadyExists => 6,
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::Unimplemented => 12,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::Unauthenticated => 16,
        }
    }

    /// Returns the code with this number of google/rpc/code.proto; none for 0, which is success, and for those not here.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// Returns the HTTP status that grpc-gateway gives this code.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Cancelled => match StatusCode::from_u16(499) {
                Ok(status) => status,
                Err(_) => StatusCode::BAD_REQUEST,
            },
            Self::InvalidArgument => StatusCode::BAD_REQUEST,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyExists => StatusCode::CONFLICT,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Unknown | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
        }
    }
}

/// A refusal as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Problem {
    /// Number of google/rpc/code.proto; foreign services may send any.
    #[serde(default)]
    pub code: u32,
    /// One sentence for people.
    #[serde(default)]
    pub message: String,
    /// Reasons for machines; older clients ignore them.
    #[serde(default)]
    pub details: Vec<Detail>,
}

/// A machine-readable reason (google/rpc/error_details.proto, `ErrorInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Detail {
    /// Type URL; only `…/google.rpc.ErrorInfo` is understood here.
    #[serde(rename = "@type", default)]
    pub type_url: String,
    /// The reason in UPPER_SNAKE_CASE.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who defines the reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
}

impl Problem {
    /// Makes a refusal with its machine-readable `reason`, for example `TOKEN_EXPIRED`.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>, reason: &str) -> Self {
        let detail = Detail {
            type_url: ERROR_INFO.to_owned(),
            reason: reason.to_owned(),
            domain: "stella".to_owned(),
        };
        Self {
            code: code.number(),
            message: message.into(),
            details: vec![detail],
        }
    }

    /// Writes the JSON body.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        // Three fields of text and numbers: nothing here can fail to be JSON.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a body, or nothing when it is not of this form: services behind proxies answer with anything.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let problem: Self = serde_json::from_slice(body).ok()?;
        let says_something = problem.code != 0 || !problem.message.is_empty();
        (says_something && problem.details.len() <= MAX_DETAILS).then_some(problem)
    }

    /// Returns the machine-readable reason, if the service gave one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        let info = self
            .details
            .iter()
            .find(|detail| detail.type_url == ERROR_INFO)?;
        (!info.reason.is_empty()).then_some(info.reason.as_str())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_read_as_it_was_written() {
        let problem = Problem::new(Code::InvalidArgument, "no", "TOKEN_EXPIRED");
        let read = Problem::parse(&problem.to_bytes()).unwrap();
        assert_eq!(read, problem);
        assert_eq!(read.reason(), Some("TOKEN_EXPIRED"));
    }

    #[test]
    fn codes_are_found_by_their_number_and_success_is_none() {
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(code));
        }
        assert_eq!(Code::from_number(0), None);
    }

    #[test]
    fn upstream_problems_without_details_and_foreign_pages_are_told_apart() {
        let upstream = Problem::parse(br#"{"code":3,"message":"m","details":[]}"#).unwrap();
        assert_eq!((upstream.code, upstream.reason()), (3, None));
        assert_eq!(Problem::parse(b"<html>bad gateway</html>"), None);
        assert_eq!(Problem::parse(b"{}"), None);
    }
}
