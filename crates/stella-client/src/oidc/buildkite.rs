//! Buildkite: the agent's API gives the job a token for the asking.
//!
//! spec: Buildkite Agent API, `POST /jobs/{id}/oidc/tokens`

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::json;
use stella_wire::limits;
use stella_wire::oidc::RunnerToken;
use stella_wire::transport::Transport;
use zeroize::Zeroizing;

use super::{Environment, ProviderError, SecretText};
use crate::error::{AnswerProblem, ClientError, Service};
use crate::exchange;

const PLACE: &str = "BUILDKITE";
const ENDPOINT: &str = "BUILDKITE_AGENT_ENDPOINT";
const SECRET: &str = "BUILDKITE_AGENT_ACCESS_TOKEN";
const JOB: &str = "BUILDKITE_JOB_ID";
/// Where the agent's API is, unless it is said.
const USUAL_ENDPOINT: &str = "https://agent.buildkite.com/v3";

/// An agent's API, for one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    address: String,
    secret: SecretText,
}

/// Finds the agent's API, or says why a job that runs here has none.
pub(super) fn detect(environment: &Environment<'_>) -> Result<Option<Agent>, ProviderError> {
    if !environment.is_set(PLACE) {
        return Ok(None);
    }
    let needed = |name| {
        environment
            .text(name)
            .ok_or(ProviderError::Buildkite { missing: name })
    };
    let (secret, job) = (needed(SECRET)?, needed(JOB)?);
    let endpoint = environment
        .text(ENDPOINT)
        .unwrap_or_else(|| USUAL_ENDPOINT.to_owned());
    // A job's name is a part of the path, and no way out of it.
    let is_plain = job
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_plain {
        return Err(ProviderError::Buildkite { missing: JOB });
    }
    Ok(Some(Agent {
        address: exchange::join(&endpoint, &format!("/jobs/{job}/oidc/tokens")),
        secret: SecretText::new(secret),
    }))
}

impl Agent {
    /// Asks for a token for `audience`.
    ///
    /// # Errors
    ///
    /// [`ClientError::AccessRefused`] when the job may not ask, `Unavailable`, `Refused`, or an answer without a token.
    pub async fn token(
        &self,
        transport: &dyn Transport,
        audience: &str,
    ) -> Result<Zeroizing<String>, ClientError> {
        let service = Service::OidcProvider;
        let body = Bytes::from(json!({ "audience": audience }).to_string());
        let mut request = exchange::request(service, http::Method::POST, &self.address, body)?;
        let token = Zeroizing::new(format!("Token {}", self.secret.as_str()));
        let mut token = HeaderValue::from_str(&token)
            .map_err(|_| ProviderError::Buildkite { missing: SECRET })?;
        token.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, token);
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let answer = exchange::send(transport, service, request, limits::OIDC_ANSWER).await?;
        let token = RunnerToken::parse(answer.body())
            .map_err(|problem| ClientError::answer(service, AnswerProblem::Oidc(problem)))?;
        Ok(Zeroizing::new(token.value))
    }
}
