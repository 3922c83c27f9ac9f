//! Access tokens of Microsoft Entra for vaults.
//!
//! 1. an application's secret: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`;
//! 2. a token of the cluster or the runner in a file, which stands for the application: `AZURE_FEDERATED_TOKEN_FILE`;
//! 3. the identity of an app service or a container: `IDENTITY_ENDPOINT`, `IDENTITY_HEADER`;
//! 4. the machine's metadata service. With `AZURE_CLIENT_ID`, its identity of that name.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use stella_bundle::time::UnixTime;
use stella_keys::{KeyError, ServiceFailure};
use stella_wire::transport::{Request, Response, Transport};
use url::Url;
use url::form_urlencoded::Serializer;

use super::SERVICE;
use crate::kms::kept::Lent;
use crate::kms::{Surroundings, ask};
use crate::oidc::SecretText;
use crate::oidc::file::read_token;

const ENTRA: &str = "Microsoft Entra";
const MACHINE: &str = "the machine's metadata service";
const PLACE: &str = "the app's identity endpoint";

const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
const USUAL_AUTHORITY: &str = "https://login.microsoftonline.com/";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const METADATA: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
const METADATA_API: &str = "2018-02-01";
const PLACE_API: &str = "2019-08-01";
const IS_METADATA: HeaderName = HeaderName::from_static("metadata");
const PLACE_SECRET: HeaderName = HeaderName::from_static("x-identity-header");

/// What all of them answer; some write numbers as text.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretText,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    expires_on: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    error_description: String,
}

/// Finds a token for vaults of a domain.
///
/// # Errors
/// `Service`, of the first place that is configured and fails, or when there is none.
pub(super) async fn acquire(
    surroundings: &Surroundings,
    transport: &dyn Transport,
    domain: &str,
) -> Result<Lent<SecretText>, KeyError> {
    let now = surroundings.now();
    if let Some(request) = application(surroundings, domain)? {
        let answer = ask::send(transport, ENTRA, request).await?;
        return lent(ENTRA, &answer, now);
    }
    if let Some(request) = place(surroundings, domain)? {
        let answer = ask::send(surroundings.metadata.as_ref(), PLACE, request).await?;
        return lent(PLACE, &answer, now);
    }
    let request = machine(surroundings, domain)?;
    let answer = ask::send(surroundings.metadata.as_ref(), MACHINE, request).await;
    let answer = answer.map_err(|_| {
        missing("AZURE_CLIENT_SECRET, AZURE_FEDERATED_TOKEN_FILE and IDENTITY_ENDPOINT are not set, and no metadata service answers here")
    })?;
    lent(MACHINE, &answer, now)
}

fn missing(what: &str) -> KeyError {
    KeyError::service(SERVICE, ServiceFailure::Credentials, what)
}

/// Makes the request for an application's token; none where no application is configured.
///
/// spec: Microsoft identity platform, "OAuth 2.0 client credentials flow"
fn application(surroundings: &Surroundings, domain: &str) -> Result<Option<Request>, KeyError> {
    let secret = surroundings
        .text("AZURE_CLIENT_SECRET")
        .map(SecretText::new);
    let file = surroundings.text("AZURE_FEDERATED_TOKEN_FILE");
    if secret.is_none() && file.is_none() {
        return Ok(None);
    }
    let needed = |name: &str| {
        let value = surroundings.text(name);
        value.ok_or_else(|| missing(&format!("{name} is not set")))
    };
    let (tenant, client) = (needed("AZURE_TENANT_ID")?, needed("AZURE_CLIENT_ID")?);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if !tenant.bytes().all(is_plain) {
        return Err(missing("AZURE_TENANT_ID is no tenant"));
    }
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials")
        .append_pair("client_id", &client)
        .append_pair("scope", &format!("https://{domain}/.default"));
    match (secret, file) {
        (Some(secret), _) => {
            form.append_pair("client_secret", secret.as_str());
        }
        (None, file) => {
            let file = file.unwrap_or_default();
            let token = read_token(Path::new(&file));
            let token = token.map_err(|error| missing(&error.to_string()))?;
            form.append_pair("client_assertion_type", ASSERTION)
                .append_pair("client_assertion", &token);
        }
    }
    let authority = surroundings.text(AUTHORITY);
    let authority = authority.as_deref().unwrap_or(USUAL_AUTHORITY);
    let authority = ask::address(ENTRA, authority)?;
    let base = authority.as_str().trim_end_matches('/');
    let address = format!("{base}/{tenant}/oauth2/v2.0/token");
    let content = Some((ask::FORM, Bytes::from(form.finish())));
    ask::request(ENTRA, Method::POST, &address, content).map(Some)
}

/// Makes the request of an app service or a container.
fn place(surroundings: &Surroundings, domain: &str) -> Result<Option<Request>, KeyError> {
    let Some(endpoint) = surroundings.text("IDENTITY_ENDPOINT") else {
        return Ok(None);
    };
    let secret = surroundings.text("IDENTITY_HEADER").map(SecretText::new);
    let secret = secret.ok_or_else(|| missing("IDENTITY_HEADER is not set"))?;
    let address = with_query(surroundings, &endpoint, PLACE_API, domain)?;
    let mut request = ask::request(PLACE, Method::GET, &address, None)?;
    ask::secret_header(PLACE, &mut request, PLACE_SECRET, secret.as_str())?;
    Ok(Some(request))
}

fn machine(surroundings: &Surroundings, domain: &str) -> Result<Request, KeyError> {
    let address = with_query(surroundings, METADATA, METADATA_API, domain)?;
    let mut request = ask::request(MACHINE, Method::GET, &address, None)?;
    let yes = HeaderValue::from_static("true");
    request.headers_mut().insert(IS_METADATA, yes);
    Ok(request)
}

fn with_query(
    surroundings: &Surroundings,
    address: &str,
    version: &str,
    domain: &str,
) -> Result<String, KeyError> {
    let address = Url::parse(address);
    let mut address = address.map_err(|_| missing("IDENTITY_ENDPOINT is no address"))?;
    address
        .query_pairs_mut()
        .append_pair("api-version", version)
        .append_pair("resource", &format!("https://{domain}"));
    if let Some(client) = surroundings.text("AZURE_CLIENT_ID") {
        address.query_pairs_mut().append_pair("client_id", &client);
    }
    Ok(address.into())
}

fn lent(
    service: &'static str,
    answer: &Response,
    now: UnixTime,
) -> Result<Lent<SecretText>, KeyError> {
    if !answer.status().is_success() {
        return Err(refused(service, answer));
    }
    let answer: TokenAnswer = ask::json(service, answer)?;
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    let life = number(&answer.expires_in).map(|life| now.plus(Duration::from_secs(life)));
    let end = number(&answer.expires_on).and_then(|end| i64::try_from(end).ok());
    Ok(Lent {
        value: answer.access_token,
        // Without either it is asked for anew each time.
        until: Some(life.or(end.map(UnixTime::from_seconds)).unwrap_or(now)),
    })
}

fn refused(service: &'static str, answer: &Response) -> KeyError {
    let refusal: Refusal = serde_json::from_slice(answer.body()).unwrap_or_default();
    let message = match (refusal.error_description, refusal.error) {
        (description, _) if !description.is_empty() => description,
        (_, error) if !error.is_empty() => error,
        _ => format!("HTTP {}", answer.status().as_u16()),
    };
    let failure = match ask::failure(answer.status()) {
        ServiceFailure::Unavailable => ServiceFailure::Unavailable,
        // The machine has no identity, or is another cloud's.
        _ if service == MACHINE => ServiceFailure::Credentials,
        _ => ServiceFailure::Access,
    };
    KeyError::service(service, failure, &message)
}
