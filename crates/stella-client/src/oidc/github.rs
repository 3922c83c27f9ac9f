//! GitHub Actions, and Forgejo, whose runners have the same endpoint: a token for the asking, if the job may ask.
//!
//! Gitea runs the same workflows without such an endpoint (go-gitea/gitea #26383): there this provider does not exist.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use stella_wire::limits;
use stella_wire::oidc::RunnerToken;
use stella_wire::transport::Transport;
use url::Url;
use zeroize::Zeroizing;

use super::{Environment, ProviderError, SecretText};
use crate::error::{AnswerProblem, ClientError, Service};
use crate::exchange;

const URL_VARIABLE: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const SECRET_VARIABLE: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// A runner's token endpoint with the secret that it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerEndpoint {
    url: Url,
    secret: SecretText,
}

/// Finds the endpoint, or says why a job that runs here has none.
pub(super) fn detect(
    environment: &Environment<'_>,
) -> Result<Option<RunnerEndpoint>, ProviderError> {
    let missing = |missing| ProviderError::GithubPermission { missing };
    match (
        environment.text(URL_VARIABLE),
        environment.text(SECRET_VARIABLE),
    ) {
        (Some(url), Some(secret)) => {
            let url = Url::parse(&url).map_err(|_| ProviderError::RunnerAddress)?;
            let secret = SecretText::new(secret);
            Ok(Some(RunnerEndpoint { url, secret }))
        }
        (Some(_), None) => Err(missing(SECRET_VARIABLE)),
        (None, Some(_)) => Err(missing(URL_VARIABLE)),
        // Another token that lies about here may be of the runner's machine: never instead of the job's.
        (None, None) if environment.is_set("GITHUB_ACTIONS") => {
            if environment.is_set("GITEA_ACTIONS") {
                return Ok(None);
            }
            Err(missing(URL_VARIABLE))
        }
        (None, None) => Ok(None),
    }
}

impl RunnerEndpoint {
    /// Makes an endpoint from its address and secret.
    #[must_use]
    pub fn new(url: Url, secret: Zeroizing<String>) -> Self {
        let secret = SecretText(secret);
        Self { url, secret }
    }

    /// Asks for a token for `audience`.
    ///
    /// # Errors
    ///
    /// [`ClientError::AccessRefused`] when the secret is not accepted, `Unavailable`, `Refused`, or an answer without a
    /// token.
    pub async fn token(
        &self,
        transport: &dyn Transport,
        audience: &str,
    ) -> Result<Zeroizing<String>, ClientError> {
        // The address has a query of its own; a second `audience` would be read by some and not by others.
        let mut url = self.url.clone();
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| name != "audience")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(kept)
            .append_pair("audience", audience);

        let service = Service::OidcProvider;
        let bearer = Zeroizing::new(format!("bearer {}", self.secret.as_str()));
        let mut bearer =
            HeaderValue::from_str(&bearer).map_err(|_| ProviderError::GithubPermission {
                missing: SECRET_VARIABLE,
            })?;
        bearer.set_sensitive(true);
        let mut request =
            exchange::request(service, http::Method::GET, url.as_str(), Bytes::new())?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        request.headers_mut().insert(
            ACCEPT,
            HeaderValue::from_static("application/json; api-version=2.0"),
        );
        let answer = exchange::send(transport, service, request, limits::OIDC_ANSWER).await?;
        let token = RunnerToken::parse(answer.body())
            .map_err(|problem| ClientError::answer(service, AnswerProblem::Oidc(problem)))?;
        Ok(Zeroizing::new(token.value))
    }
}
