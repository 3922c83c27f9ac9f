//! How a key service fails, in words that are the same for each. Who speaks to them is `stella_client::kms`.

use crate::signer::{KeyError, one_line};

/// The ways in which a key service is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceFailure {
    /// It has no such key.
    Absent,
    /// It does not know who asks, or does not let them.
    Access,
    /// What it answers is not what its interface says, or not about what was asked.
    Answer,
    /// There is nothing by which it would know us.
    Credentials,
    /// The key is disabled, or going to be deleted.
    Disabled,
    /// It refused for another reason.
    Refused,
    /// Something that must be known to ask it is missing or wrong.
    Setting,
    /// The message is longer than it takes.
    TooLong,
    /// It cannot be reached, or cannot now.
    Unavailable,
    /// The key is there, and not for such signatures.
    Unsuitable,
}

impl ServiceFailure {
    /// Says what it means, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Absent => "there is no such key",
            Self::Access => "access is refused",
            Self::Answer => "its answer cannot be used",
            Self::Credentials => "there are no credentials for it",
            Self::Disabled => "the key is disabled, or going to be deleted",
            Self::Refused => "the request is refused",
            Self::Setting => "it cannot be asked",
            Self::TooLong => "the message is too long for it",
            Self::Unavailable => "it is not available",
            Self::Unsuitable => "the key is not for such signatures",
        }
    }
}

impl KeyError {
    /// Makes the error of a key service. What the service says is kept to one line without control characters.
    #[must_use]
    pub fn service(service: &'static str, failure: ServiceFailure, message: &str) -> Self {
        Self::Service {
            service,
            failure,
            message: one_line(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_says_is_kept_to_a_line() {
        let said = format!("no\u{1b}[31m\r\n{}", "x".repeat(5000));
        let error = KeyError::service("a service", ServiceFailure::Access, &said).to_string();
        assert!(!error.chars().any(char::is_control), "{error}");
        assert!(error.starts_with("a service: access is refused: no[31mx"));
        assert!(error.len() < 400, "{error}");
    }
}
