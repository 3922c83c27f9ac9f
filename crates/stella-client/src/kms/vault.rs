//! The transit engine of Vault and of OpenBao, which speak the same: the public half of a key's newest version, and
//! signatures by that very version.
//!
//! Digests are sent, but for Ed25519 keys, which sign whole messages.
//!
//! spec: Vault HTTP API, `/transit/keys/:name` and `/transit/sign/:name/:hash_algorithm`

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::json::{decode_base64, encode_base64};
use stella_bundle::key::{KeyDetails, KeyKind, PublicKey};
use stella_keys::{KeyError, ServiceFailure};
use stella_wire::transport::Response;

use super::{Surroundings, ask};
use crate::oidc::SecretText;
use crate::oidc::file::read_token;
use crate::retry::{RetryPolicy, Retrying};

/// Where the engine is mounted, unless it is said.
const USUAL_MOUNT: &str = "transit";
const MOUNT: &str = "TRANSIT_SECRET_ENGINE_PATH";
/// Where both command lines keep the token of a login, below the user's home.
const TOKEN_FILE: &str = ".vault-token";
/// Characters of a key's name.
const MAX_NAME: usize = 256;
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Proxies of Vault may demand it of whoever is no browser.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
/// What stands before a raw Ed25519 key in a SubjectPublicKeyInfo (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Whose program it is: the other's variables count too, for either takes the other's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    HashiCorp,
    OpenBao,
}

impl Maker {
    pub(super) const fn service(self) -> &'static str {
        match self {
            Self::HashiCorp => "Vault",
            Self::OpenBao => "OpenBao",
        }
    }

    /// Reads `VAULT_…` or `BAO_…`, one's own first.
    fn text(self, surroundings: &Surroundings, name: &str) -> Option<String> {
        let (first, second) = match self {
            Self::HashiCorp => ("VAULT", "BAO"),
            Self::OpenBao => ("BAO", "VAULT"),
        };
        let (first, second) = (format!("{first}_{name}"), format!("{second}_{name}"));
        surroundings.first(&[&first, &second])
    }
}

/// A key's place: its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) maker: Maker,
    key: String,
}

impl Place {
    pub(super) fn parse(maker: Maker, resource: &str) -> Option<Self> {
        let is_fine = is_path(resource) && !resource.contains('/') && resource.len() <= MAX_NAME;
        let key = resource.to_owned();
        is_fine.then_some(Self { maker, key })
    }
}

/// Says whether a text is a path of plain names: none of them leads out of it.
fn is_path(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(is_plain) && name.bytes().any(|byte| byte != b'.')
    };
    text.split('/').all(is_name)
}

/// The engine, and a key in it.
pub(super) struct Transit {
    service: &'static str,
    transport: Retrying,
    /// The engine's address, without a slash at its end.
    engine: String,
    token: SecretText,
    namespace: Option<String>,
    key: String,
    /// The version whose public half was read; 0 before.
    version: u64,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

/// What is said of a key.
#[derive(Deserialize)]
struct KeyAnswer {
    latest_version: u64,
    /// By version; of symmetric keys, numbers.
    keys: BTreeMap<String, Value>,
    #[serde(default)]
    supports_signing: bool,
    #[serde(default)]
    derived: bool,
}

#[derive(Deserialize)]
struct SignAnswer {
    signature: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    errors: Vec<String>,
}

impl Transit {
    pub(super) fn new(place: &Place, surroundings: &Surroundings) -> Result<Self, KeyError> {
        let (maker, service) = (place.maker, place.maker.service());
        let setting = |what| KeyError::service(service, ServiceFailure::Setting, what);
        let address = maker.text(surroundings, "ADDR");
        let address = address.ok_or_else(|| setting("VAULT_ADDR (or BAO_ADDR) is not set"))?;
        let address = ask::address(service, &address)?;
        let mount = surroundings.text(MOUNT);
        let mount = mount.as_deref().unwrap_or(USUAL_MOUNT).trim_matches('/');
        if !is_path(mount) {
            return Err(setting("TRANSIT_SECRET_ENGINE_PATH is no path"));
        }
        let base = address.as_str().trim_end_matches('/');
        let network = Arc::clone(&surroundings.network);
        let waiting = Arc::clone(&surroundings.waiting);
        Ok(Self {
            service,
            transport: Retrying::with_waiting(network, RetryPolicy::default(), waiting),
            engine: format!("{base}/v1/{mount}"),
            token: token(maker, surroundings)?,
            namespace: maker.text(surroundings, "NAMESPACE"),
            key: place.key.clone(),
            version: 0,
        })
    }

    pub(super) async fn public_key(&mut self) -> Result<PublicKey, KeyError> {
        let path = format!("keys/{}", self.key);
        let answer = self.ask(Method::GET, &path, None).await?;
        let answer: Answer<KeyAnswer> = ask::json(self.service, &answer)?;
        let key = answer.data;
        if !key.supports_signing || key.derived {
            let what = match key.derived {
                true => "it is derived anew for each context",
                false => "it is a key for encryption",
            };
            let failure = ServiceFailure::Unsuitable;
            return Err(KeyError::service(self.service, failure, what));
        }
        let newest = key.keys.get(&key.latest_version.to_string());
        let public = newest.and_then(|version| version.get("public_key")?.as_str());
        let public = public.ok_or_else(|| ask::unusable(self.service, "it has no public key"))?;
        self.version = key.latest_version;
        read_public(public).ok_or(KeyError::UnsupportedKind)
    }

    pub(super) fn question(&self, details: KeyDetails, message: &[u8]) -> Result<Bytes, KeyError> {
        if !can_sign(details) {
            return Err(KeyError::Unsupported(details));
        }
        let mut question = match details.hash() {
            Some(hash) => json!({
                "input": encode_base64(hash.digest(message).bytes()),
                "prehashed": true,
                "hash_algorithm": hash_name(hash),
            }),
            None => json!({"input": encode_base64(message), "prehashed": false}),
        };
        // The version whose public half is known: by now there may be a newer one.
        question["key_version"] = self.version.into();
        match details.kind() {
            KeyKind::Rsa { .. } => question["signature_algorithm"] = "pkcs1v15".into(),
            KeyKind::Ed25519 => {}
            _ => question["marshaling_algorithm"] = "asn1".into(),
        }
        Ok(Bytes::from(question.to_string()))
    }

    pub(super) async fn sign(&self, question: Bytes) -> Result<Vec<u8>, KeyError> {
        let path = format!("sign/{}", self.key);
        let answer = self.ask(Method::POST, &path, Some(question)).await?;
        let answer: Answer<SignAnswer> = ask::json(self.service, &answer)?;
        let unusable = |what: &str| ask::unusable(self.service, what);
        let mut parts = answer.data.signature.splitn(3, ':');
        let (Some("vault"), Some(version), Some(signature)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(unusable("it is no signature of a known form"));
        };
        if version.strip_prefix('v') != Some(self.version.to_string().as_str()) {
            let what = format!(
                "it is by version {version} of the key, not {}",
                self.version
            );
            return Err(unusable(&what));
        }
        decode_base64(signature).ok_or_else(|| unusable("its signature is not base64"))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        question: Option<Bytes>,
    ) -> Result<Response, KeyError> {
        let service = self.service;
        let address = format!("{}/{path}", self.engine);
        let content = question.map(|question| (ask::JSON, question));
        let mut request = ask::request(service, method, &address, content)?;
        let is_request = HeaderValue::from_static("true");
        request.headers_mut().insert(REQUEST, is_request);
        ask::secret_header(service, &mut request, TOKEN, self.token.as_str())?;
        if let Some(namespace) = &self.namespace {
            ask::secret_header(service, &mut request, NAMESPACE, namespace)?;
        }
        let answer = ask::send(&self.transport, service, request).await?;
        match answer.status() {
            StatusCode::OK => Ok(answer),
            _ => Err(refused(service, path, &answer)),
        }
    }
}

/// Says whether keys of the engine sign in this way.
pub(super) const fn can_sign(details: KeyDetails) -> bool {
    use KeyDetails as D;
    matches!(
        details,
        D::EcdsaP256Sha256
            | D::EcdsaP384Sha384
            | D::EcdsaP521Sha512
            | D::Ed25519
            | D::RsaPkcs1v15_2048Sha256
            | D::RsaPkcs1v15_3072Sha256
            | D::RsaPkcs1v15_4096Sha256
    )
}

const fn hash_name(hash: DigestAlgorithm) -> &'static str {
    match hash {
        DigestAlgorithm::Sha384 => "sha2-384",
        DigestAlgorithm::Sha512 => "sha2-512",
        _ => "sha2-256",
    }
}

/// Reads a public key: PEM, but for Ed25519, whose 32 bytes stand there in base64.
fn read_public(text: &str) -> Option<PublicKey> {
    if text.contains("-----BEGIN") {
        return PublicKey::from_pem(text).ok();
    }
    let raw = decode_base64(text).filter(|raw| raw.len() == 32)?;
    PublicKey::from_spki(&[ED25519_SPKI.as_slice(), &raw].concat()).ok()
}

fn token(maker: Maker, surroundings: &Surroundings) -> Result<SecretText, KeyError> {
    if let Some(token) = maker.text(surroundings, "TOKEN") {
        return Ok(SecretText::new(token));
    }
    let missing =
        |what: &str| KeyError::service(maker.service(), ServiceFailure::Credentials, what);
    let file = surroundings.home.as_ref().map(|home| home.join(TOKEN_FILE));
    let Some(file) = file.filter(|file| file.exists()) else {
        return Err(missing(
            "neither VAULT_TOKEN nor BAO_TOKEN is set, and there is no ~/.vault-token",
        ));
    };
    let token = read_token(&file).map_err(|error| missing(&error.to_string()))?;
    Ok(SecretText::new(token.to_string()))
}

fn refused(service: &'static str, path: &str, answer: &Response) -> KeyError {
    let refusal: Refusal = serde_json::from_slice(answer.body()).unwrap_or_default();
    let message = match refusal.errors.join("; ") {
        message if message.is_empty() => format!("HTTP {}: {path}", answer.status().as_u16()),
        message => message,
    };
    KeyError::service(service, ask::failure(answer.status()), &message)
}
