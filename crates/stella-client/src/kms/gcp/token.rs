//! Access tokens of Google Cloud, by what its own clients call application default credentials.
//!
//! 1. the file that `GOOGLE_APPLICATION_CREDENTIALS` names: a service account's key, or a workload's identity that is
//!    changed for a token (`external_account`, with its token in a file or at an address, as CI runners have it);
//! 2. the file that `gcloud auth application-default login` writes;
//! 3. the machine's metadata service.
//!
//! Workload identities by AWS or by a program are not followed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use stella_bundle::time::UnixTime;
use stella_keys::stored::{StoredKey, details_for};
use stella_keys::{KeyError, ServiceFailure, Signer as _};
use stella_wire::transport::Transport;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::SERVICE;
use crate::kms::kept::Lent;
use crate::kms::{Surroundings, ask};
use crate::oidc::SecretText;
use crate::oidc::file::read_token;

const TOKENS: &str = "Google's token service";
const SOURCE: &str = "the workload's token service";
const MACHINE: &str = "the machine's metadata service";

const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// Where gcloud writes, below the user's home.
const USUAL_FILE: &str = ".config/gcloud/application_default_credentials.json";
/// Bytes of a file.
const MAX_FILE: usize = 256 << 10;
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
/// Workload identities may ask for no narrower one.
const WIDE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const JWT_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE_GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const USER_TOKENS: &str = "https://oauth2.googleapis.com/token";
/// How long a signed request for a token is good.
const LIFE: Duration = Duration::from_secs(600);

const METADATA_HOST: &str = "169.254.169.254";
const METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// A file of credentials.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Credentials {
    ServiceAccount {
        client_email: String,
        private_key: SecretText,
        #[serde(default)]
        private_key_id: String,
        token_uri: String,
    },
    ExternalAccount {
        audience: String,
        subject_token_type: String,
        token_url: String,
        credential_source: Source,
        service_account_impersonation_url: Option<String>,
    },
    AuthorizedUser {
        client_id: String,
        client_secret: SecretText,
        refresh_token: SecretText,
    },
    #[serde(other)]
    Unknown,
}

/// Where a workload's own token is.
#[derive(Deserialize)]
struct Source {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, SecretText>,
    #[serde(default)]
    format: Format,
}

#[derive(Default, Deserialize)]
struct Format {
    subject_token_field_name: Option<String>,
}

/// What is answered to each grant.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretText,
    expires_in: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImpersonationAnswer {
    access_token: SecretText,
    expire_time: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Value,
    error_description: String,
}

/// Finds a token.
///
/// # Errors
/// `Service`, of the first place that is configured and fails, or when there is none.
pub(super) async fn acquire(
    surroundings: &Surroundings,
    transport: &dyn Transport,
) -> Result<Lent<SecretText>, KeyError> {
    let usual = || {
        let usual = surroundings.home.as_ref()?.join(USUAL_FILE);
        usual.exists().then_some(usual)
    };
    let path = surroundings.text(FILE).map(PathBuf::from).or_else(usual);
    let Some(path) = path else {
        return machine(surroundings).await;
    };
    let text = read(&path)?;
    let credentials = serde_json::from_str(&text).map_err(|_| {
        let what = format!("{} holds none that are known here", path.display());
        missing(&what)
    })?;
    let tokens = Tokens {
        surroundings,
        transport,
    };
    match credentials {
        Credentials::ServiceAccount {
            client_email,
            private_key,
            private_key_id,
            token_uri,
        } => {
            let now = surroundings.now();
            let claims = json!({
                "iss": client_email, "scope": SCOPE, "aud": token_uri,
                "iat": now.seconds(), "exp": now.plus(LIFE).seconds(),
            });
            let assertion = signed(&private_key, &private_key_id, &claims)?;
            let form = [("grant_type", JWT_GRANT), ("assertion", &assertion)];
            tokens.grant(&token_uri, &form).await
        }
        Credentials::AuthorizedUser {
            client_id,
            client_secret,
            refresh_token,
        } => {
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", &client_id),
                ("client_secret", client_secret.as_str()),
                ("refresh_token", refresh_token.as_str()),
            ];
            tokens.grant(USER_TOKENS, &form).await
        }
        Credentials::ExternalAccount {
            audience,
            subject_token_type,
            token_url,
            credential_source,
            service_account_impersonation_url,
        } => {
            let subject = tokens.subject(&credential_source).await?;
            let form = [
                ("grant_type", EXCHANGE_GRANT),
                ("audience", &audience),
                ("scope", WIDE_SCOPE),
                ("requested_token_type", ACCESS_TOKEN),
                ("subject_token_type", &subject_token_type),
                ("subject_token", &subject),
            ];
            let lent = tokens.grant(&token_url, &form).await?;
            match service_account_impersonation_url {
                Some(address) => tokens.impersonate(&address, &lent.value).await,
                None => Ok(lent),
            }
        }
        Credentials::Unknown => Err(missing(&format!(
            "{} holds none that are known here",
            path.display()
        ))),
    }
}

fn missing(what: &str) -> KeyError {
    KeyError::service(SERVICE, ServiceFailure::Credentials, what)
}

/// Asks for tokens.
struct Tokens<'a> {
    surroundings: &'a Surroundings,
    transport: &'a dyn Transport,
}

impl Tokens<'_> {
    /// Asks a token endpoint (RFC 6749 §4, RFC 7523, RFC 8693).
    async fn grant(
        &self,
        address: &str,
        form: &[(&str, &str)],
    ) -> Result<Lent<SecretText>, KeyError> {
        let address = ask::address(TOKENS, address)?;
        let form = Serializer::new(String::new()).extend_pairs(form).finish();
        let content = Some((ask::FORM, Bytes::from(form)));
        let request = ask::request(TOKENS, Method::POST, address.as_str(), content)?;
        let answer = ask::send_granted(self.transport, TOKENS, request, refused).await?;
        let answer: TokenAnswer = ask::json(TOKENS, &answer)?;
        Ok(lent(answer, self.surroundings.now()))
    }

    /// Finds the workload's own token.
    async fn subject(&self, source: &Source) -> Result<Zeroizing<String>, KeyError> {
        let text = match (&source.file, &source.url) {
            (Some(file), _) => {
                let token = read_token(file);
                token.map_err(|error| missing(&error.to_string()))?
            }
            (None, Some(address)) => self.fetch(address, &source.headers).await?,
            (None, None) => {
                return Err(missing(
                    "its workload's token is neither in a file nor at an address",
                ));
            }
        };
        let Some(field) = &source.format.subject_token_field_name else {
            return Ok(text);
        };
        let object: Value = serde_json::from_str(&text).unwrap_or_default();
        let token = object.get(field).and_then(Value::as_str);
        let token = token.ok_or_else(|| ask::unusable(SOURCE, "it has no token"))?;
        Ok(Zeroizing::new(token.to_owned()))
    }

    async fn fetch(
        &self,
        address: &str,
        headers: &BTreeMap<String, SecretText>,
    ) -> Result<Zeroizing<String>, KeyError> {
        let mut request = ask::request(SOURCE, Method::GET, address, None)?;
        for (name, value) in headers {
            let name = HeaderName::try_from(name.as_str());
            let name = name.map_err(|_| missing("a header of the workload's token has no name"))?;
            ask::secret_header(SOURCE, &mut request, name, value.as_str())?;
        }
        // A cloud's metadata service is on this link.
        let transport = match address.starts_with("http://") {
            true => self.surroundings.metadata.as_ref(),
            false => self.transport,
        };
        let answer = ask::send(transport, SOURCE, request).await?;
        if !answer.status().is_success() {
            let message = format!("HTTP {}", answer.status().as_u16());
            return Err(KeyError::service(SOURCE, ServiceFailure::Access, &message));
        }
        let text = std::str::from_utf8(answer.body()).unwrap_or_default();
        Ok(Zeroizing::new(text.trim().to_owned()))
    }

    /// Changes a workload's token for a service account's.
    ///
    /// spec: IAM Service Account Credentials API, `generateAccessToken`
    async fn impersonate(
        &self,
        address: &str,
        token: &SecretText,
    ) -> Result<Lent<SecretText>, KeyError> {
        let address = ask::address(TOKENS, address)?;
        let wanted = Bytes::from(json!({"scope": [SCOPE]}).to_string());
        let content = Some((ask::JSON, wanted));
        let mut request = ask::request(TOKENS, Method::POST, address.as_str(), content)?;
        ask::bearer(TOKENS, &mut request, token.as_str())?;
        let answer = ask::send_granted(self.transport, TOKENS, request, refused).await?;
        let answer: ImpersonationAnswer = ask::json(TOKENS, &answer)?;
        Ok(Lent {
            value: answer.access_token,
            until: UnixTime::parse_rfc3339(&answer.expire_time),
        })
    }
}

fn lent(answer: TokenAnswer, now: UnixTime) -> Lent<SecretText> {
    Lent {
        value: answer.access_token,
        until: Some(now.plus(Duration::from_secs(answer.expires_in))),
    }
}

/// Signs a request for a token: a JWT by RS256 (RFC 7523).
fn signed(key: &SecretText, id: &str, claims: &Value) -> Result<Zeroizing<String>, KeyError> {
    let key = StoredKey::read(key.as_str().as_bytes(), &mut || None)?;
    let details = details_for(key.public_key().kind(), false).ok_or(KeyError::UnsupportedKind)?;
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": id});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&header), part(claims));
    let signature = key.signer(details)?.sign(text.as_bytes())?;
    let signature = URL_SAFE_NO_PAD.encode(signature);
    Ok(Zeroizing::new(format!("{text}.{signature}")))
}

/// spec: Compute Engine, "Authenticate workloads using the metadata server"
async fn machine(surroundings: &Surroundings) -> Result<Lent<SecretText>, KeyError> {
    let none = || {
        missing(
            "GOOGLE_APPLICATION_CREDENTIALS is not set, and no metadata service of Google answers here",
        )
    };
    let host = surroundings.text("GCE_METADATA_HOST");
    // By its address: plain http goes to no name.
    let host = host.filter(|host| host != "metadata.google.internal");
    let host = host.as_deref().unwrap_or(METADATA_HOST);
    let address = format!("http://{host}{METADATA_PATH}");
    let mut request = ask::request(MACHINE, Method::GET, &address, None)?;
    let google = HeaderValue::from_static("Google");
    request.headers_mut().insert(FLAVOR, google.clone());
    let answer = ask::send(surroundings.metadata.as_ref(), MACHINE, request).await;
    let answer = answer.map_err(|_| none())?;
    // Others answer at the same address.
    if answer.headers().get(FLAVOR) != Some(&google) || !answer.status().is_success() {
        return Err(none());
    }
    let answer: TokenAnswer = ask::json(MACHINE, &answer)?;
    Ok(lent(answer, surroundings.now()))
}

fn refused(answer: &stella_wire::transport::Response) -> KeyError {
    let refusal: Refusal = serde_json::from_slice(answer.body()).unwrap_or_default();
    let named = refusal.error.as_str();
    let told = refusal.error.get("message").and_then(Value::as_str);
    let message = match (refusal.error_description.as_str(), told.or(named)) {
        ("", None) => format!("HTTP {}", answer.status().as_u16()),
        ("", Some(named)) => named.to_owned(),
        (description, _) => description.to_owned(),
    };
    let failure = match ask::failure(answer.status()) {
        ServiceFailure::Unavailable => ServiceFailure::Unavailable,
        _ => ServiceFailure::Access,
    };
    KeyError::service(TOKENS, failure, &message)
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let failed = |what: &str| missing(&format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|error| failed(&error.to_string()))?;
    let mut text = Zeroizing::new(String::new());
    let read = file.take(MAX_FILE as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| failed(&error.to_string()))?;
    if text.len() > MAX_FILE {
        return Err(failed("it is longer than any such file"));
    }
    Ok(text)
}
