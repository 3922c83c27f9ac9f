//! Refusals: what the client may know, and what only the operator's log says.

use std::fmt::Display;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use stella_wire::Response;
use stella_wire::problem::{Code, Problem as PublicProblem};

use crate::answer;
use crate::log::LogError;

/// A refusal on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    code: Code,
    status: StatusCode,
    message: String,
    reason: &'static str,
    internal: Option<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// Makes a refusal with a sentence for people and a machine-readable reason.
    pub(crate) fn new(code: Code, message: impl Into<String>, reason: &'static str) -> Self {
        let (status, message) = (code.status(), message.into());
        Self {
            code,
            status,
            message,
            reason,
            internal: None,
            retry_after: None,
        }
    }

    /// Makes the refusal of a request that is wrong and stays wrong.
    pub(crate) fn invalid(message: impl Into<String>, reason: &'static str) -> Self {
        Self::new(Code::InvalidArgument, message, reason)
    }

    /// Makes the answer to a failure of a log; `sentence` is for failures that are not over in a moment.
    pub(crate) fn of_log(error: LogError, sentence: &'static str) -> Self {
        let (message, reason, wait) = match &error {
            LogError::Busy => ("reached max pushback; retry", "LOG_BUSY", 1),
            LogError::QuorumNotReached => (
                "the witnesses' quorum is not reached yet; retry",
                "QUORUM_NOT_REACHED",
                5,
            ),
            LogError::Signing(_) => ("the log cannot sign now; retry", "LOG_KEY_UNAVAILABLE", 5),
            LogError::Closed | LogError::Stopped { .. } => {
                ("the log has stopped", "LOG_STOPPED", 10)
            }
            _ => return Self::new(Code::Internal, sentence, "LOG_FAILED").because(error),
        };
        Self::new(Code::Unavailable, message, reason)
            .retry_after(Duration::from_secs(wait))
            .because(error)
    }

    /// Adds what the operator should know and the client need not.
    pub(crate) fn because(mut self, cause: impl Display) -> Self {
        self.internal = Some(cause.to_string());
        self
    }

    /// Answers with another status than the code's own.
    pub(crate) const fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Tells the client when the same request may succeed.
    pub(crate) const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Writes the refusal to the log and makes the answer.
    pub(crate) fn into_response(self) -> Response {
        let (status, reason) = (self.status.as_u16(), self.reason);
        let internal = self.internal.as_deref().unwrap_or_default();
        if self.status.is_server_error() {
            tracing::error!(
                status,
                reason,
                cause = internal,
                "request failed: {}",
                self.message
            );
        } else {
            tracing::info!(
                status,
                reason,
                cause = internal,
                "request refused: {}",
                self.message
            );
        }
        let mut response = answer::json(
            self.status,
            PublicProblem::new(self.code, self.message, self.reason).to_bytes(),
        );
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(
                header::RETRY_AFTER,
                HeaderValue::from(wait.as_secs().max(1)),
            );
        }
        response
    }
}
