//! Azure Key Vault and Managed HSM: the public half of a key's version, and signatures by that very version, over digests.
//!
//! Keys come as JSON Web Keys, ECDSA signatures as two numbers: both get the form that everybody else uses here.
//!
//! spec: Azure Key Vault REST API 7.4, `Get Key` and `Sign`

mod token;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::json;
use stella_bundle::asn1;
use stella_bundle::json::decode_base64;
use stella_bundle::key::{self, KeyDetails, KeyKind, PublicKey};
use stella_keys::{KeyError, ServiceFailure};
use stella_wire::transport::Response;

use super::kept::Kept;
use super::{Surroundings, ask};
use crate::network::is_loopback;
use crate::oidc::SecretText;
use crate::retry::{RetryPolicy, Retrying};

pub(super) const SERVICE: &str = "Azure Key Vault";

const API: &str = "api-version=7.4";
/// What the names of vaults end with. Tokens go to no other host.
const DOMAINS: [&str; 7] = [
    "managedhsm.azure.cn",
    "managedhsm.azure.net",
    "managedhsm.usgovcloudapi.net",
    "vault.azure.cn",
    "vault.azure.net",
    "vault.microsoftazure.de",
    "vault.usgovcloudapi.net",
];
/// Characters of a reference.
const MAX_NAME: usize = 512;

/// A key's place: `HOST/KEY[/VERSION]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    host: String,
    key: String,
    version: Option<String>,
}

impl Place {
    pub(super) fn parse(resource: &str) -> Option<Self> {
        let parts: Vec<&str> = resource.split('/').collect();
        let (host, key, version) = match parts.as_slice() {
            [host, key] => (*host, *key, None),
            [host, key, version] => (*host, *key, Some(*version)),
            _ => return None,
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_plain);
        let is_fine = resource.len() <= MAX_NAME
            && domain(host).is_some()
            && is_name(key)
            && version.is_none_or(is_name);
        is_fine.then(|| Self {
            host: host.to_owned(),
            key: key.to_owned(),
            version: version.map(str::to_owned),
        })
    }

    /// Returns the vault's address. On this machine it is one of another maker, for tests.
    fn address(&self) -> String {
        let scheme = match name_of(&self.host) {
            name if is_loopback(name) => "http",
            _ => "https",
        };
        format!("{scheme}://{}", self.host)
    }
}

fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Returns the domain for which tokens are wanted: the part of a vault's name after its own.
fn domain(host: &str) -> Option<&'static str> {
    if is_loopback(name_of(host)) {
        return Some("vault.azure.net");
    }
    let (vault, domain) = host.split_once('.')?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_name = !vault.is_empty() && vault.bytes().all(is_plain);
    let known = DOMAINS.into_iter().find(|known| *known == domain);
    known.filter(|_| is_name)
}

/// The service, and a version of a key in it.
pub(super) struct Vault {
    surroundings: Surroundings,
    transport: Retrying,
    base: String,
    domain: &'static str,
    place: Place,
    /// Known once the public half was read.
    signs: Signs,
    token: Kept<SecretText>,
}

/// The form of a signature.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signs {
    /// As it is used: RSA.
    InOne,
    /// The numbers r and s of ECDSA (RFC 7518 §3.4).
    TwoNumbers,
}

#[derive(Deserialize)]
struct KeyAnswer {
    key: WebKey,
    #[serde(default)]
    attributes: Attributes,
}

/// spec: RFC 7517; kinds that end in `-HSM` never leave one.
#[derive(Deserialize)]
struct WebKey {
    kid: String,
    kty: String,
    #[serde(default)]
    key_ops: Vec<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Default, Deserialize)]
struct Attributes {
    enabled: Option<bool>,
}

#[derive(Deserialize)]
struct SignAnswer {
    kid: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Problem,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    message: String,
    innererror: Option<Inner>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner {
    code: String,
}

impl Vault {
    pub(super) fn new(place: &Place, surroundings: Surroundings) -> Result<Self, KeyError> {
        let base = ask::address(SERVICE, &place.address())?;
        let setting = || KeyError::service(SERVICE, ServiceFailure::Setting, &place.host);
        let network = Arc::clone(&surroundings.network);
        let waiting = Arc::clone(&surroundings.waiting);
        Ok(Self {
            transport: Retrying::with_waiting(network, RetryPolicy::default(), waiting),
            surroundings,
            base: base.as_str().trim_end_matches('/').to_owned(),
            domain: domain(&place.host).ok_or_else(setting)?,
            place: place.clone(),
            signs: Signs::InOne,
            token: Kept::default(),
        })
    }

    pub(super) async fn public_key(&mut self) -> Result<PublicKey, KeyError> {
        let version = self.place.version.as_deref();
        let version = version
            .map(|version| format!("/{version}"))
            .unwrap_or_default();
        let path = format!("/keys/{}{version}", self.place.key);
        let answer = self.ask(Method::GET, &path, None).await?;
        let answer: KeyAnswer = ask::json(SERVICE, &answer)?;
        let fails = |failure, what| Err(KeyError::service(SERVICE, failure, what));
        if answer.attributes.enabled == Some(false) {
            return fails(ServiceFailure::Disabled, "");
        }
        if !answer.key.key_ops.iter().any(|each| each == "sign") {
            return fails(
                ServiceFailure::Unsuitable,
                "signing is not among its operations",
            );
        }
        // From now on it is this version, also when there is a newer one.
        self.place.version = Some(self.version_of(&answer.key.kid)?);
        let public = answer.key.to_public().ok_or(KeyError::UnsupportedKind)?;
        if !matches!(public.kind(), KeyKind::Rsa { .. }) {
            self.signs = Signs::TwoNumbers;
        }
        Ok(public)
    }

    pub(super) fn question(&self, details: KeyDetails, message: &[u8]) -> Result<Bytes, KeyError> {
        let (Some(algorithm), Some(hash)) = (algorithm(details), details.hash()) else {
            return Err(KeyError::Unsupported(details));
        };
        let digest = URL_SAFE_NO_PAD.encode(hash.digest(message).bytes());
        let question = json!({"alg": algorithm, "value": digest});
        Ok(Bytes::from(question.to_string()))
    }

    pub(super) async fn sign(&self, question: Bytes) -> Result<Vec<u8>, KeyError> {
        let version = self.place.version.as_deref().unwrap_or_default();
        let path = format!("/keys/{}/{version}/sign", self.place.key);
        let answer = self.ask(Method::POST, &path, Some(question)).await?;
        let answer: SignAnswer = ask::json(SERVICE, &answer)?;
        if self.version_of(&answer.kid)? != version {
            return Err(ask::unusable(
                SERVICE,
                "it is by another version of the key",
            ));
        }
        let signature = decode_base64(&answer.value);
        let signature = signature.ok_or_else(|| ask::unusable(SERVICE, "it is not base64"))?;
        match self.signs {
            Signs::InOne => Ok(signature),
            Signs::TwoNumbers => numbers_to_der(&signature),
        }
    }

    /// Returns the version in a key's address, which must be of our key.
    fn version_of(&self, kid: &str) -> Result<String, KeyError> {
        let path = url::Url::parse(kid).map(|url| url.path().to_owned());
        let path = path.unwrap_or_default();
        // Names are told apart whatever their case.
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["keys", key, version] if key.eq_ignore_ascii_case(&self.place.key) => {
                Ok((*version).to_owned())
            }
            _ => Err(ask::unusable(SERVICE, "it is about another key")),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        question: Option<Bytes>,
    ) -> Result<Response, KeyError> {
        let acquire =
            async || token::acquire(&self.surroundings, &self.transport, self.domain).await;
        let token = self.token.get(self.surroundings.now(), acquire).await?;
        let address = format!("{}{path}?{API}", self.base);
        let content = question.map(|question| (ask::JSON, question));
        let mut request = ask::request(SERVICE, method, &address, content)?;
        ask::bearer(SERVICE, &mut request, token.as_str())?;
        ask::send_granted(&self.transport, SERVICE, request, refused).await
    }
}

impl WebKey {
    /// Returns the key in its usual form; none for kinds that are not used here.
    fn to_public(&self) -> Option<PublicKey> {
        let number = |text: &Option<String>| decode_base64(text.as_deref()?);
        match self.kty.as_str() {
            "RSA" | "RSA-HSM" => {
                let (modulus, exponent) = (number(&self.n)?, number(&self.e)?);
                let both = [asn1::unsigned(&modulus), asn1::unsigned(&exponent)];
                PublicKey::from_pkcs1(&asn1::sequence(&[&both[0], &both[1]])).ok()
            }
            "EC" | "EC-HSM" => {
                let (curve, size) = match self.crv.as_deref()? {
                    "P-256" => (key::SECP256R1, 32),
                    "P-384" => (key::SECP384R1, 48),
                    "P-521" => (key::SECP521R1, 66),
                    _ => return None,
                };
                let (x, y) = (number(&self.x)?, number(&self.y)?);
                if x.len() > size || y.len() > size {
                    return None;
                }
                let mut point = vec![0; 1 + 2 * size];
                point[0] = 4;
                point[1 + size - x.len()..=size].copy_from_slice(&x);
                point[1 + 2 * size - y.len()..].copy_from_slice(&y);
                let algorithm =
                    asn1::sequence(&[&asn1::oid(&key::EC_PUBLIC_KEY), &asn1::oid(&curve)]);
                let spki = asn1::sequence(&[&algorithm, &asn1::bit_string(&point)]);
                PublicKey::from_spki(&spki).ok()
            }
            _ => None,
        }
    }
}

/// Returns the algorithm's name at the service.
pub(super) const fn algorithm(details: KeyDetails) -> Option<&'static str> {
    use KeyDetails as D;
    Some(match details {
        D::EcdsaP256Sha256 => "ES256",
        D::EcdsaP384Sha384 => "ES384",
        D::EcdsaP521Sha512 => "ES512",
        D::RsaPkcs1v15_2048Sha256 | D::RsaPkcs1v15_3072Sha256 | D::RsaPkcs1v15_4096Sha256 => {
            "RS256"
        }
        _ => return None,
    })
}

/// Makes a DER signature of two numbers of equal length.
fn numbers_to_der(numbers: &[u8]) -> Result<Vec<u8>, KeyError> {
    if numbers.is_empty() || !numbers.len().is_multiple_of(2) {
        return Err(ask::unusable(SERVICE, "it is no signature"));
    }
    let (r, s) = numbers.split_at(numbers.len() / 2);
    Ok(asn1::sequence(&[&asn1::unsigned(r), &asn1::unsigned(s)]))
}

fn refused(answer: &Response) -> KeyError {
    let refusal: Refusal = serde_json::from_slice(answer.body()).unwrap_or_default();
    let problem = refusal.error;
    let inner = problem.innererror.unwrap_or_default();
    let failure = match (problem.code.as_str(), inner.code.as_str()) {
        (_, "KeyDisabled" | "ObjectIsBeingDeleted" | "ObjectIsDeletedButRecoverable") => {
            ServiceFailure::Disabled
        }
        ("KeyNotFound", _) => ServiceFailure::Absent,
        _ => ask::failure(answer.status()),
    };
    let message = match problem.message {
        message if message.is_empty() => format!("HTTP {}", answer.status().as_u16()),
        message => message,
    };
    KeyError::service(SERVICE, failure, &message)
}
