//! GitLab CI: the job asks for its token in its own definition (`id_tokens`), and finds it in a variable.
//!
//! No request is made.

use super::{Environment, ProviderError, SecretText, TOKEN_VARIABLE};

/// Finds the job's token, or says how a job that runs here gets one.
pub(super) fn detect(
    environment: &Environment<'_>,
    audience: &str,
) -> Result<Option<SecretText>, ProviderError> {
    if !environment.is_set("GITLAB_CI") {
        return Ok(None);
    }
    match environment.text(TOKEN_VARIABLE) {
        Some(token) => Ok(Some(SecretText::new(token))),
        None => Err(ProviderError::GitlabToken {
            audience: audience.to_owned(),
        }),
    }
}
