//! Identity tokens: the one that was given by hand, or the one that the CI runner or the machine offers.
//!
//! The first provider that is configured decides: its failure is an error, and no other identity takes its place.
//! Logins of people are not here.

pub mod buildkite;
pub mod file;
pub mod github;
mod gitlab;
pub mod google;
pub mod spiffe;
mod token;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use stella_wire::transport::Transport;
use zeroize::Zeroizing;

pub use self::token::{IdentityToken, TokenDemands, TokenError};
use crate::error::ClientError;

/// The variable that any runner may set.
pub(crate) const TOKEN_VARIABLE: &str = "SIGSTORE_ID_TOKEN";

/// Where a projected service-account token lies, as cosign expects it.
pub const TOKEN_FILE: &str = "/var/run/sigstore/cosign/oidc-token";

/// Where the firmware says whose machine this is.
pub const PRODUCT_FILE: &str = "/sys/class/dmi/id/product_name";

/// Where a token came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenOrigin {
    /// The agent's API of a Buildkite job.
    Buildkite,
    /// A file.
    File(PathBuf),
    /// The token endpoint of GitHub Actions or Forgejo.
    GithubActions,
    /// `id_tokens` of a GitLab job.
    GitlabCi,
    /// A flag, a variable of ours, or a caller.
    GivenByHand,
    /// The metadata server of Google Cloud.
    GoogleCloud,
    /// The SPIFFE Workload API.
    Spiffe,
    /// `SIGSTORE_ID_TOKEN`.
    Variable,
}

impl fmt::Display for TokenOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buildkite => formatter.write_str("Buildkite"),
            Self::File(path) => write!(formatter, "the file {}", path.display()),
            Self::GithubActions => formatter.write_str("GitHub Actions"),
            Self::GitlabCi => formatter.write_str("GitLab CI"),
            Self::GivenByHand => formatter.write_str("a token given by hand"),
            Self::GoogleCloud => formatter.write_str("Google Cloud's metadata server"),
            Self::Spiffe => formatter.write_str("the SPIFFE Workload API"),
            Self::Variable => write!(formatter, "${TOKEN_VARIABLE}"),
        }
    }
}

/// The ways in which a configured provider gives no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The job knows no way to the agent's API.
    #[error("this Buildkite job can ask for no identity token: {missing} is not set, or is none")]
    Buildkite {
        /// The variable.
        missing: &'static str,
    },
    /// The job's own tokens are for another audience, and the CLI that makes others was not asked.
    #[error(
        "this CircleCI job has no identity token for {audience}: set SIGSTORE_ID_TOKEN to what `circleci run oidc get --claims '{{\"aud\":\"{audience}\"}}'` prints"
    )]
    CircleciToken {
        /// The audience to ask for.
        audience: String,
    },
    /// The file with the token cannot be read, or is none.
    #[error("cannot read the token file {}: {}", path.display(), system_words(*kind, *number))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        kind: io::ErrorKind,
        /// The system's number for it, none where the system found nothing wrong.
        number: Option<i32>,
    },
    /// The job may not ask for tokens.
    #[error(
        "this GitHub Actions job may not request identity tokens: {missing} is not set; give the job `permissions: id-token: write` (pull requests of forks never have it)"
    )]
    GithubPermission {
        /// The variable that is missing.
        missing: &'static str,
    },
    /// The job does not name a token.
    #[error(
        "this GitLab job has no identity token: add `id_tokens: {{ SIGSTORE_ID_TOKEN: {{ aud: {audience} }} }}` to it"
    )]
    GitlabToken {
        /// The audience to write there.
        audience: String,
    },
    /// The metadata server that is named would be asked in the clear, beyond this machine.
    #[error(
        "GCE_METADATA_HOST is {found:?}: expected 169.254.169.254, metadata.google.internal or an address of the loopback"
    )]
    GoogleHost {
        /// What the variable says.
        found: String,
    },
    /// The runner's endpoint is no address.
    #[error("ACTIONS_ID_TOKEN_REQUEST_URL is not an address")]
    RunnerAddress,
    /// The endpoint of the Workload API is no socket of this machine.
    #[error("SPIFFE_ENDPOINT_SOCKET is {found:?}: expected a socket of this machine, unix:///PATH")]
    SpiffeEndpoint {
        /// What the variable says.
        found: String,
    },
}

fn system_words(kind: io::ErrorKind, number: Option<i32>) -> String {
    match number {
        Some(number) => io::Error::from_raw_os_error(number).to_string(),
        None => kind.to_string(),
    }
}

/// A provider that is configured here, with all it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provider {
    /// Buildkite.
    Buildkite(buildkite::Agent),
    /// A file.
    File(PathBuf),
    /// GitHub Actions, or Forgejo, which has the same form.
    GithubActions(github::RunnerEndpoint),
    /// GitLab CI, whose jobs hold their token.
    GitlabCi(SecretText),
    /// A machine of Google Cloud.
    GoogleCloud(google::MetadataServer),
    /// A workload of SPIFFE.
    Spiffe(spiffe::Workload),
    /// Any system that sets `SIGSTORE_ID_TOKEN`.
    Variable(SecretText),
}

/// Text that is forgotten when dropped and never printed.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
pub struct SecretText(Zeroizing<String>);

impl fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(hidden)")
    }
}

impl SecretText {
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The environment of the process, handed in.
pub struct Environment<'a> {
    /// Reads a variable; one that is empty counts as not set.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The token file that is looked for; [`TOKEN_FILE`] in the real world.
    pub token_file: &'a Path,
    /// The file that says whose machine this is; [`PRODUCT_FILE`] in the real world.
    pub product_file: &'a Path,
}

impl Environment<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn is_set(&self, name: &str) -> bool {
        self.text(name).is_some()
    }
}

/// Finds the provider that is configured here; `None` when there is none.
///
/// # Errors
///
/// A [`ProviderError`] of the first provider that recognises the place but cannot give a token there.
pub fn detect(
    environment: &Environment<'_>,
    audience: &str,
) -> Result<Option<Provider>, ProviderError> {
    if let Some(endpoint) = github::detect(environment)? {
        return Ok(Some(Provider::GithubActions(endpoint)));
    }
    if let Some(token) = gitlab::detect(environment, audience)? {
        return Ok(Some(Provider::GitlabCi(token)));
    }
    // Elsewhere a token that the job sets for itself is the one that it means.
    if let Some(token) = environment.text(TOKEN_VARIABLE) {
        return Ok(Some(Provider::Variable(SecretText::new(token))));
    }
    if let Some(agent) = buildkite::detect(environment)? {
        return Ok(Some(Provider::Buildkite(agent)));
    }
    if environment.is_set("CIRCLECI") {
        let audience = audience.to_owned();
        return Err(ProviderError::CircleciToken { audience });
    }
    let file = environment.token_file;
    if file.exists() {
        return Ok(Some(Provider::File(file.to_owned())));
    }
    if let Some(workload) = spiffe::detect(environment)? {
        return Ok(Some(Provider::Spiffe(workload)));
    }
    // Last: the account belongs to the whole machine.
    Ok(google::detect(environment)?.map(Provider::GoogleCloud))
}

impl Provider {
    /// Returns what its tokens will be said to come from.
    #[must_use]
    pub fn origin(&self) -> TokenOrigin {
        match self {
            Self::Buildkite(_) => TokenOrigin::Buildkite,
            Self::File(path) => TokenOrigin::File(path.clone()),
            Self::GithubActions(_) => TokenOrigin::GithubActions,
            Self::GitlabCi(_) => TokenOrigin::GitlabCi,
            Self::GoogleCloud(_) => TokenOrigin::GoogleCloud,
            Self::Spiffe(_) => TokenOrigin::Spiffe,
            Self::Variable(_) => TokenOrigin::Variable,
        }
    }

    /// Gets the token; not checked yet, see [`IdentityToken::check`].
    ///
    /// # Errors
    ///
    /// The provider's failure, which is final.
    pub async fn token(
        &self,
        transport: &dyn Transport,
        audience: &str,
    ) -> Result<Zeroizing<String>, ClientError> {
        match self {
            Self::Buildkite(agent) => agent.token(transport, audience).await,
            Self::File(path) => Ok(file::read_token(path)?),
            Self::GithubActions(endpoint) => endpoint.token(transport, audience).await,
            Self::GitlabCi(token) | Self::Variable(token) => Ok(token.0.clone()),
            Self::GoogleCloud(server) => server.token(transport, audience).await,
            Self::Spiffe(workload) => workload.token(audience).await,
        }
    }

    /// Returns the token where it is here already; none where somebody must be asked for it. Nobody is asked.
    ///
    /// # Errors
    ///
    /// [`ProviderError::File`].
    pub fn held(&self) -> Result<Option<Zeroizing<String>>, ProviderError> {
        match self {
            Self::File(path) => file::read_token(path).map(Some),
            Self::GitlabCi(token) | Self::Variable(token) => Ok(Some(token.0.clone())),
            Self::Buildkite(_)
            | Self::GithubActions(_)
            | Self::GoogleCloud(_)
            | Self::Spiffe(_) => Ok(None),
        }
    }
}
