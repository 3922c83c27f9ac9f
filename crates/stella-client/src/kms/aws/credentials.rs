//! Who asks AWS: the places where credentials are found, in the order of AWS's own clients.
//!
//! 1. the variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`;
//! 2. a token of the runner or the cluster, changed for credentials at STS (`AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`);
//! 3. access keys in the profile of the shared files;
//! 4. the container's endpoint (`AWS_CONTAINER_CREDENTIALS_FULL_URI`, `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`);
//! 5. the machine's metadata service, version 2.
//!
//! A place that is configured and fails is an error, and is not passed over. Single sign-on, programs and chains of roles in
//! profiles are not followed: `aws configure export-credentials` makes variables of them.

use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;
use stella_bundle::time::UnixTime;
use stella_keys::{KeyError, ServiceFailure};
use stella_wire::transport::{Request, Transport};
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::profile::Profile;
use super::{SERVICE, element, public_endpoint};
use crate::kms::kept::Lent;
use crate::kms::{Surroundings, ask};
use crate::oidc::SecretText;
use crate::oidc::file::read_token;

const STS: &str = "AWS STS";
const CONTAINER: &str = "the container's credentials endpoint";
const MACHINE: &str = "the machine's metadata service";

const STS_ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"];
/// Where ECS answers.
const CONTAINER_HOST: &str = "http://169.254.170.2";
/// Where EC2 answers.
const MACHINE_HOST: &str = "http://169.254.169.254";
const MACHINE_PATH: &str = "/latest/meta-data/iam/security-credentials/";
const MACHINE_TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const MACHINE_TOKEN_LIFE: HeaderName =
    HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

/// An access key, with the token that belongs to a temporary one.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) access_key: String,
    pub(super) secret: SecretText,
    pub(super) session_token: Option<SecretText>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Credentials({}, hidden)", self.access_key)
    }
}

/// Finds credentials.
///
/// # Errors
/// `Service`, of the first place that is configured and fails, or when there is none.
pub(super) async fn acquire(
    surroundings: &Surroundings,
    transport: &dyn Transport,
    region: &str,
) -> Result<Lent<Credentials>, KeyError> {
    if let Some(lent) = variables(surroundings)? {
        return Ok(lent);
    }
    if let Some(lent) = web_identity(surroundings, transport, region).await? {
        return Ok(lent);
    }
    if let Some(lent) = profile(surroundings)? {
        return Ok(lent);
    }
    if let Some(lent) = container(surroundings).await? {
        return Ok(lent);
    }
    if let Some(lent) = machine(surroundings).await? {
        return Ok(lent);
    }
    Err(missing(
        "neither variables, a profile, a container nor this machine has any",
    ))
}

fn missing(what: &str) -> KeyError {
    KeyError::service(SERVICE, ServiceFailure::Credentials, what)
}

fn variables(surroundings: &Surroundings) -> Result<Option<Lent<Credentials>>, KeyError> {
    let secret = |name| surroundings.text(name).map(SecretText::new);
    let both = (
        surroundings.text("AWS_ACCESS_KEY_ID"),
        secret("AWS_SECRET_ACCESS_KEY"),
    );
    match both {
        (Some(access_key), Some(secret_key)) => Ok(Some(Lent {
            value: Credentials {
                access_key,
                secret: secret_key,
                session_token: secret("AWS_SESSION_TOKEN"),
            },
            until: None,
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(missing("AWS_SECRET_ACCESS_KEY is not set")),
        (None, Some(_)) => Err(missing("AWS_ACCESS_KEY_ID is not set")),
    }
}

fn profile(surroundings: &Surroundings) -> Result<Option<Lent<Credentials>>, KeyError> {
    let profile = Profile::read(surroundings)?;
    match (profile.access_key, profile.secret) {
        (Some(access_key), Some(secret)) => Ok(Some(Lent {
            value: Credentials {
                access_key,
                secret,
                session_token: profile.session_token,
            },
            until: None,
        })),
        // Who names a profile wants that one and no machine's role.
        _ if surroundings.text("AWS_PROFILE").is_some() => {
            let (name, problem) = (
                profile.name,
                match profile.exists {
                    true => {
                        "has no access key; `aws configure export-credentials` makes variables of what it has"
                    }
                    false => "is in neither file",
                },
            );
            Err(missing(&format!("the profile {name} {problem}")))
        }
        _ => Ok(None),
    }
}

/// spec: AWS STS API Reference, `AssumeRoleWithWebIdentity`
async fn web_identity(
    surroundings: &Surroundings,
    transport: &dyn Transport,
    region: &str,
) -> Result<Option<Lent<Credentials>>, KeyError> {
    let Some(file) = surroundings.text("AWS_WEB_IDENTITY_TOKEN_FILE") else {
        return Ok(None);
    };
    let role = surroundings
        .text("AWS_ROLE_ARN")
        .ok_or_else(|| missing("AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not"))?;
    let token = token_file(file)?;
    let session = surroundings.text("AWS_ROLE_SESSION_NAME");
    let form = Serializer::new(String::new())
        .append_pair("Action", "AssumeRoleWithWebIdentity")
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleArn", &role)
        .append_pair("RoleSessionName", session.as_deref().unwrap_or("stella"))
        .append_pair("WebIdentityToken", &token)
        .finish();
    let endpoint = surroundings
        .first(&STS_ENDPOINTS)
        .unwrap_or_else(|| public_endpoint("sts", region));
    let endpoint = ask::address(STS, &endpoint)?;
    let content = Some((ask::FORM, Bytes::from(form)));
    let mut request = ask::request(STS, Method::POST, endpoint.as_str(), content)?;
    // JSON is not among the forms that are documented for it.
    request.headers_mut().remove(http::header::ACCEPT);
    let answer = ask::send(transport, STS, request).await?;
    let text = std::str::from_utf8(answer.body()).unwrap_or_default();
    if !answer.status().is_success() {
        let message = element::text(text, "Message").unwrap_or("it said no more");
        let failure = match ask::failure(answer.status()) {
            ServiceFailure::Unavailable => ServiceFailure::Unavailable,
            _ => ServiceFailure::Access,
        };
        return Err(KeyError::service(STS, failure, message));
    }
    let part = |name| {
        let text = element::text(text, name);
        text.ok_or_else(|| ask::unusable(STS, "it has no credentials"))
    };
    let secret = |name| part(name).map(|text| SecretText::new(text.to_owned()));
    Ok(Some(Lent {
        value: Credentials {
            access_key: part("AccessKeyId")?.to_owned(),
            secret: secret("SecretAccessKey")?,
            session_token: Some(secret("SessionToken")?),
        },
        until: UnixTime::parse_rfc3339(part("Expiration")?),
    }))
}

/// What the endpoints of containers and machines answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: SecretText,
    token: Option<SecretText>,
    expiration: Option<String>,
}

impl From<Answer> for Lent<Credentials> {
    fn from(answer: Answer) -> Self {
        let until = answer.expiration.as_deref();
        Self {
            value: Credentials {
                access_key: answer.access_key_id,
                secret: answer.secret_access_key,
                session_token: answer.token,
            },
            until: until.and_then(UnixTime::parse_rfc3339),
        }
    }
}

async fn container(surroundings: &Surroundings) -> Result<Option<Lent<Credentials>>, KeyError> {
    let relative = surroundings.text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let relative = relative.map(|path| format!("{CONTAINER_HOST}{path}"));
    let full = || surroundings.text("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let Some(address) = relative.or_else(full) else {
        return Ok(None);
    };
    let mut request = ask::request(CONTAINER, Method::GET, &address, None)?;
    let token = match surroundings.text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => Some(token_file(file)?),
        None => surroundings
            .text("AWS_CONTAINER_AUTHORIZATION_TOKEN")
            .map(Zeroizing::new),
    };
    if let Some(token) = token {
        ask::secret_header(CONTAINER, &mut request, AUTHORIZATION, &token)?;
    }
    let answer = ask::send(surroundings.metadata.as_ref(), CONTAINER, request).await?;
    require_success(CONTAINER, answer.status())?;
    let answer: Answer = ask::json(CONTAINER, &answer)?;
    Ok(Some(answer.into()))
}

/// spec: Amazon EC2 User Guide, "Use the Instance Metadata Service", version 2
async fn machine(surroundings: &Surroundings) -> Result<Option<Lent<Credentials>>, KeyError> {
    let disabled = surroundings.text("AWS_EC2_METADATA_DISABLED");
    if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let host = surroundings.text("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    let host = host.unwrap_or_else(|| MACHINE_HOST.to_owned());
    let transport = surroundings.metadata.as_ref();
    let at = |method, path: &str| -> Result<Request, KeyError> {
        let base = Url::parse(&host).and_then(|url| url.join(path));
        let address = base.map_err(|_| ask::unusable(MACHINE, "its address is none"))?;
        ask::request(MACHINE, method, address.as_str(), None)
    };

    // 1. Most machines are none of EC2's: nobody answers.
    let mut request = at(Method::PUT, "/latest/api/token")?;
    let life = HeaderValue::from_static("300");
    request.headers_mut().insert(MACHINE_TOKEN_LIFE, life);
    let Ok(answer) = ask::send(transport, MACHINE, request).await else {
        return Ok(None);
    };
    if !answer.status().is_success() {
        return Ok(None);
    }
    let token = std::str::from_utf8(answer.body()).unwrap_or_default();
    let token = Zeroizing::new(token.trim().to_owned());

    // 2. Which role the machine has; it may have none.
    let mut request = at(Method::GET, MACHINE_PATH)?;
    ask::secret_header(MACHINE, &mut request, MACHINE_TOKEN, &token)?;
    let answer = ask::send(transport, MACHINE, request).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    require_success(MACHINE, answer.status())?;
    let roles = std::str::from_utf8(answer.body()).unwrap_or_default();
    let role = roles.lines().next().unwrap_or_default().trim();
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    if role.is_empty() || !role.bytes().all(is_fine) {
        return Err(ask::unusable(MACHINE, "it names no role"));
    }

    // 3. The role's credentials.
    let mut request = at(Method::GET, &format!("{MACHINE_PATH}{role}"))?;
    ask::secret_header(MACHINE, &mut request, MACHINE_TOKEN, &token)?;
    let answer = ask::send(transport, MACHINE, request).await?;
    require_success(MACHINE, answer.status())?;
    let answer: Answer = ask::json(MACHINE, &answer)?;
    Ok(Some(answer.into()))
}

fn require_success(service: &'static str, status: StatusCode) -> Result<(), KeyError> {
    if status.is_success() {
        return Ok(());
    }
    let message = format!("HTTP {}", status.as_u16());
    Err(KeyError::service(
        service,
        ServiceFailure::Credentials,
        &message,
    ))
}

fn token_file(path: String) -> Result<Zeroizing<String>, KeyError> {
    let token = read_token(&PathBuf::from(path));
    token.map_err(|error| missing(&error.to_string()))
}
