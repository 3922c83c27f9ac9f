//! AWS KMS: the public half of a key, and signatures by it.
//!
//! A message of at most 4096 bytes is sent as it is, for then the service hashes it; of a longer one its digest is sent, for
//! ML-DSA its representative. Ed25519 keys take whole messages only.
//!
//! spec: AWS KMS API Reference, `GetPublicKey` and `Sign`

mod credentials;
mod element;
mod profile;
mod representative;
mod sigv4;

use bytes::Bytes;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use stella_bundle::json::{base64_bytes, encode_base64};
use stella_bundle::key::{KeyDetails, PublicKey, Scheme};
use stella_keys::{KeyError, ServiceFailure};
use stella_wire::transport::{Request, Response, Sending, Transport, TransportError};
use url::Url;

use self::credentials::Credentials;
use self::profile::Profile;
use super::kept::Kept;
use super::{Surroundings, ask};
use crate::network::is_loopback;
use crate::retry::{RetryPolicy, Retrying};

pub(super) const SERVICE: &str = "AWS KMS";

/// Bytes of a message that the service hashes itself.
const MAX_WHOLE: usize = 4096;
/// Characters of a key's name; an ARN with the longest alias has fewer.
const MAX_NAME: usize = 2048;
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL"];
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
/// Throttling passes sooner than other troubles, and is more usual.
const RETRIES: u32 = 6;

/// A key's place: `[ENDPOINT]/ID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// `host[:port]`; none for the region's own.
    endpoint: Option<String>,
    /// An id, an ARN, or `alias/NAME`.
    key: String,
}

impl Place {
    pub(super) fn parse(resource: &str) -> Option<Self> {
        let (endpoint, key) = resource.split_once('/')?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
        let is_key = !key.is_empty() && key.len() <= MAX_NAME && key.bytes().all(is_plain);
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        let endpoint = Some(endpoint.to_owned()).filter(|endpoint| !endpoint.is_empty());
        let is_endpoint = endpoint.iter().all(|text| text.bytes().all(is_host));
        let key = key.to_owned();
        (is_key && is_endpoint).then_some(Self { endpoint, key })
    }

    /// Returns the region that an ARN names: `arn:PARTITION:kms:REGION:ACCOUNT:…`.
    fn region(&self) -> Option<&str> {
        let rest = self.key.strip_prefix("arn:")?;
        rest.split(':').nth(2).filter(|region| !region.is_empty())
    }
}

/// The service in one region, and a key in it.
pub(super) struct Kms {
    surroundings: Surroundings,
    transport: Retrying,
    endpoint: Url,
    region: String,
    key: String,
    /// The raw public key, once it was read.
    public: Vec<u8>,
    credentials: Kept<Credentials>,
}

/// What `GetPublicKey` answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublicKeyAnswer {
    #[serde(with = "base64_bytes")]
    public_key: Vec<u8>,
    key_usage: String,
    signing_algorithms: Vec<String>,
}

/// What `Sign` answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SignAnswer {
    #[serde(with = "base64_bytes")]
    signature: Vec<u8>,
}

/// What a refusal says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message")]
    message: String,
}

impl Refusal {
    /// Reads a refusal; what is none says nothing.
    fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// Returns the exception's own name: what stands before it, and `#`, is a namespace.
    fn name(&self) -> &str {
        self.kind.rsplit('#').next().unwrap_or_default()
    }
}

impl Kms {
    pub(super) fn new(place: &Place, surroundings: Surroundings) -> Result<Self, KeyError> {
        let region = match place.region() {
            Some(region) => region.to_owned(),
            None => region(&surroundings)?,
        };
        let configured = || surroundings.first(&ENDPOINTS);
        let endpoint = match &place.endpoint {
            Some(host) => at(host),
            None => configured().unwrap_or_else(|| public_endpoint("kms", &region)),
        };
        let endpoint = ask::address(SERVICE, &endpoint)?;
        let network = Arc::new(Throttled(Arc::clone(&surroundings.network)));
        let policy = RetryPolicy {
            retries: RETRIES,
            ..RetryPolicy::default()
        };
        let waiting = Arc::clone(&surroundings.waiting);
        Ok(Self {
            transport: Retrying::with_waiting(network, policy, waiting),
            surroundings,
            endpoint,
            region,
            key: place.key.clone(),
            public: Vec::new(),
            credentials: Kept::default(),
        })
    }

    pub(super) async fn public_key(&mut self) -> Result<PublicKey, KeyError> {
        let question = Bytes::from(json!({"KeyId": self.key}).to_string());
        let answer = self.ask("TrentService.GetPublicKey", question).await?;
        let answer: PublicKeyAnswer = ask::json(SERVICE, &answer)?;
        let public =
            PublicKey::from_spki(&answer.public_key).map_err(|_| KeyError::UnsupportedKind)?;
        let algorithm = public.details().and_then(algorithm);
        let algorithm = algorithm.ok_or(KeyError::UnsupportedKind)?;
        let can_sign = answer
            .signing_algorithms
            .iter()
            .any(|each| each == algorithm);
        if answer.key_usage != "SIGN_VERIFY" || !can_sign {
            let what = format!("it is for {}, not {algorithm}", answer.key_usage);
            let failure = ServiceFailure::Unsuitable;
            return Err(KeyError::service(SERVICE, failure, &what));
        }
        self.public = public.bits().to_vec();
        Ok(public)
    }

    pub(super) fn question(&self, details: KeyDetails, message: &[u8]) -> Result<Bytes, KeyError> {
        let algorithm = algorithm(details).ok_or(KeyError::Unsupported(details))?;
        let is_short = message.len() <= MAX_WHOLE;
        let (kind, message) = match details.hash() {
            // The service knows this form by its digest alone.
            Some(hash) if !is_short || details == KeyDetails::Ed25519Ph => {
                ("DIGEST", encode_base64(hash.digest(message).bytes()))
            }
            _ if is_short => ("RAW", encode_base64(message)),
            None if details.scheme() == Scheme::MlDsa => {
                let representative = representative::of(&self.public, message);
                ("EXTERNAL_MU", encode_base64(&representative))
            }
            _ => return Err(too_long(details, message)),
        };
        let question = json!({
            "KeyId": self.key, "Message": message, "MessageType": kind, "SigningAlgorithm": algorithm,
        });
        Ok(Bytes::from(question.to_string()))
    }

    pub(super) async fn sign(&self, question: Bytes) -> Result<Vec<u8>, KeyError> {
        let answer = self.ask("TrentService.Sign", question).await?;
        let answer: SignAnswer = ask::json(SERVICE, &answer)?;
        Ok(answer.signature)
    }

    async fn ask(&self, target: &'static str, question: Bytes) -> Result<Response, KeyError> {
        let now = self.surroundings.now();
        let acquire =
            async || credentials::acquire(&self.surroundings, &self.transport, &self.region).await;
        let credentials = self.credentials.get(now, acquire).await?;
        let content = Some((CONTENT_TYPE, question));
        let mut request = ask::request(SERVICE, Method::POST, self.endpoint.as_str(), content)?;
        let target = HeaderValue::from_static(target);
        request.headers_mut().insert(TARGET, target);
        let scope = sigv4::Scope {
            region: &self.region,
            service: "kms",
        };
        sigv4::sign(&mut request, &credentials, scope, now)?;
        ask::send_granted(&self.transport, SERVICE, request, refused).await
    }
}

/// Returns the algorithm's name at the service.
pub(super) const fn algorithm(details: KeyDetails) -> Option<&'static str> {
    use KeyDetails as D;
    Some(match details {
        D::EcdsaP256Sha256 => "ECDSA_SHA_256",
        D::EcdsaP384Sha384 => "ECDSA_SHA_384",
        D::EcdsaP521Sha512 => "ECDSA_SHA_512",
        D::Ed25519 => "ED25519_SHA_512",
        D::Ed25519Ph => "ED25519_PH_SHA_512",
        D::MlDsa44 | D::MlDsa65 | D::MlDsa87 => "ML_DSA_SHAKE_256",
        D::RsaPkcs1v15_2048Sha256 | D::RsaPkcs1v15_3072Sha256 | D::RsaPkcs1v15_4096Sha256 => {
            "RSASSA_PKCS1_V1_5_SHA_256"
        }
        D::RsaPss2048Sha256 | D::RsaPss3072Sha256 | D::RsaPss4096Sha256 => return None,
    })
}

/// Says what a refusal means.
fn refused(answer: &Response) -> KeyError {
    let refusal = Refusal::read(answer.body());
    let failure = match refusal.name() {
        "NotFoundException" => ServiceFailure::Absent,
        "DisabledException" | "KMSInvalidStateException" => ServiceFailure::Disabled,
        "AccessDeniedException"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException"
        | "UnrecognizedClientException" => ServiceFailure::Access,
        "InvalidKeyUsageException" => ServiceFailure::Unsuitable,
        "KeyUnavailableException" => ServiceFailure::Unavailable,
        // A status says nothing of a key here: an endpoint that knows no such path is no KMS.
        "" if answer.status() == http::StatusCode::NOT_FOUND => ServiceFailure::Answer,
        _ => ask::failure(answer.status()),
    };
    let message = match (refusal.name(), refusal.message.as_str()) {
        ("", "") => format!("HTTP {}", answer.status().as_u16()),
        (name, "") => name.to_owned(),
        (_, message) => message.to_owned(),
    };
    KeyError::service(SERVICE, failure, &message)
}

fn too_long(details: KeyDetails, message: &[u8]) -> KeyError {
    let what = format!(
        "{} bytes; of a key for {} it signs messages of at most {MAX_WHOLE} bytes",
        message.len(),
        details.name()
    );
    KeyError::service(SERVICE, ServiceFailure::TooLong, &what)
}

/// Finds the region: a variable, else the configuration file.
fn region(surroundings: &Surroundings) -> Result<String, KeyError> {
    let found = match surroundings.first(&REGIONS) {
        Some(region) => Some(region),
        None => Profile::read(surroundings)?.region,
    };
    // It becomes part of a host's name.
    let is_plain = |region: &String| {
        let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        region.bytes().all(is_fine)
    };
    found.filter(is_plain).ok_or_else(|| {
        let what = "no region is named: set AWS_REGION, or name the key by its ARN";
        KeyError::service(SERVICE, ServiceFailure::Setting, what)
    })
}

/// Returns the public address of a service in a region.
fn public_endpoint(service: &str, region: &str) -> String {
    let domain = match region.starts_with("cn-") {
        true => "amazonaws.com.cn",
        false => "amazonaws.com",
    };
    format!("https://{service}.{region}.{domain}/")
}

/// Returns the address of an endpoint that a reference names: plain http on this machine, https elsewhere.
fn at(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let scheme = if is_loopback(name) { "http" } else { "https" };
    format!("{scheme}://{host}/")
}

/// Says "too many requests" by the status that everybody else uses for it: the service says it in the body, under 400.
struct Throttled(Arc<dyn Transport>);

impl Throttled {
    async fn exchange(&self, request: Request) -> Result<Response, TransportError> {
        let mut answer = self.0.send(request).await?;
        if answer.status() == http::StatusCode::BAD_REQUEST {
            let refusal = Refusal::read(answer.body());
            if matches!(refusal.name(), "ThrottlingException" | "Throttling") {
                *answer.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
            }
        }
        Ok(answer)
    }
}

impl Transport for Throttled {
    fn send(&self, request: Request) -> Sending<'_> {
        Box::pin(self.exchange(request))
    }
}
