//! Google Cloud KMS: the public half of a key's version, and signatures by it. Checksums go both ways.
//!
//! Digests are sent, but for Ed25519 keys, which sign whole messages.
//!
//! spec: Cloud KMS REST reference v1, `cryptoKeyVersions.getPublicKey` and `.asymmetricSign`

mod token;

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::json;
use stella_bundle::json::{base64_bytes, encode_base64};
use stella_bundle::key::{KeyDetails, PublicKey};
use stella_keys::{KeyError, ServiceFailure};
use stella_wire::transport::Response;

use super::kept::Kept;
use super::{Surroundings, ask};
use crate::oidc::SecretText;
use crate::retry::{RetryPolicy, Retrying};

pub(super) const SERVICE: &str = "Google Cloud KMS";

const USUAL_ENDPOINT: &str = "https://cloudkms.googleapis.com/";
/// What gcloud calls another endpoint.
const ENDPOINT: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS";
/// Characters of a key's name.
const MAX_NAME: usize = 1024;
/// What stands between the names of a key's place.
const COLLECTIONS: [&str; 4] = ["projects", "locations", "keyRings", "cryptoKeys"];

/// A key's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// `projects/…/cryptoKeys/KEY`.
    key: String,
    /// The version; the newest that is enabled, where none is named.
    version: Option<u64>,
}

impl Place {
    /// Reads a name. The version's collection is `cryptoKeyVersions`, or shorter `versions`, as Sigstore writes it.
    pub(super) fn parse(resource: &str) -> Option<Self> {
        let parts: Vec<&str> = resource.split('/').collect();
        let (key, version) = parts.split_at_checked(COLLECTIONS.len() * 2)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_plain) && name != "..";
        let is_key = key
            .chunks(2)
            .zip(COLLECTIONS)
            .all(|(pair, collection)| matches!(pair, [word, name] if *word == collection && is_name(name)));
        let version = match version {
            [] => None,
            ["cryptoKeyVersions" | "versions", number] => Some(number.parse().ok()?),
            _ => return None,
        };
        let key = key.join("/");
        (is_key && resource.len() <= MAX_NAME).then_some(Self { key, version })
    }
}

/// The service, and a version of a key in it.
pub(super) struct Kms {
    surroundings: Surroundings,
    transport: Retrying,
    /// The service's address, up to and with `v1/`.
    base: String,
    place: Place,
    token: Kept<SecretText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicKeyAnswer {
    pem: String,
    pem_crc32c: String,
    algorithm: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignAnswer {
    #[serde(with = "base64_bytes")]
    signature: Vec<u8>,
    signature_crc32c: String,
    #[serde(default)]
    verified_digest_crc32c: bool,
    #[serde(default)]
    verified_data_crc32c: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VersionsAnswer {
    crypto_key_versions: Vec<Version>,
    next_page_token: String,
}

#[derive(Deserialize)]
struct Version {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Problem,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    message: String,
    status: String,
}

impl Kms {
    pub(super) fn new(place: &Place, surroundings: Surroundings) -> Result<Self, KeyError> {
        let endpoint = surroundings.text(ENDPOINT);
        let endpoint = endpoint.as_deref().unwrap_or(USUAL_ENDPOINT);
        let endpoint = ask::address(SERVICE, endpoint)?;
        let network = Arc::clone(&surroundings.network);
        let waiting = Arc::clone(&surroundings.waiting);
        Ok(Self {
            transport: Retrying::with_waiting(network, RetryPolicy::default(), waiting),
            surroundings,
            base: format!("{}/v1/", endpoint.as_str().trim_end_matches('/')),
            place: place.clone(),
            token: Kept::default(),
        })
    }

    pub(super) async fn public_key(&mut self) -> Result<PublicKey, KeyError> {
        if self.place.version.is_none() {
            self.place.version = Some(self.newest_version().await?);
        }
        let path = format!("{}/publicKey", self.version());
        let answer = self.ask(Method::GET, &path, None).await?;
        let answer: PublicKeyAnswer = ask::json(SERVICE, &answer)?;
        require_checksum(answer.pem.as_bytes(), &answer.pem_crc32c)?;
        let public = PublicKey::from_pem(&answer.pem).map_err(|_| KeyError::UnsupportedKind)?;
        // A version signs by one algorithm alone: an RSA key of the same size may want another padding or hash.
        if public.details().and_then(algorithm) != Some(answer.algorithm.as_str()) {
            let what = format!("it is for {}", answer.algorithm);
            let failure = ServiceFailure::Unsuitable;
            return Err(KeyError::service(SERVICE, failure, &what));
        }
        Ok(public)
    }

    pub(super) fn question(&self, details: KeyDetails, message: &[u8]) -> Result<Bytes, KeyError> {
        algorithm(details).ok_or(KeyError::Unsupported(details))?;
        let question = match details.hash() {
            Some(hash) => {
                let digest = hash.digest(message);
                json!({
                    "digest": {hash.name(): encode_base64(digest.bytes())},
                    "digestCrc32c": crc32c::crc32c(digest.bytes()).to_string(),
                })
            }
            None => json!({
                "data": encode_base64(message),
                "dataCrc32c": crc32c::crc32c(message).to_string(),
            }),
        };
        Ok(Bytes::from(question.to_string()))
    }

    pub(super) async fn sign(&self, question: Bytes) -> Result<Vec<u8>, KeyError> {
        let path = format!("{}:asymmetricSign", self.version());
        let answer = self.ask(Method::POST, &path, Some(question)).await?;
        let answer: SignAnswer = ask::json(SERVICE, &answer)?;
        if !answer.verified_digest_crc32c && !answer.verified_data_crc32c {
            return Err(ask::unusable(SERVICE, "it did not compare our checksum"));
        }
        require_checksum(&answer.signature, &answer.signature_crc32c)?;
        Ok(answer.signature)
    }

    fn version(&self) -> String {
        let version = self.place.version.unwrap_or_default();
        format!("{}/cryptoKeyVersions/{version}", self.place.key)
    }

    /// Finds the newest version that is enabled.
    async fn newest_version(&self) -> Result<u64, KeyError> {
        let query = "filter=state%3DENABLED&pageSize=1000";
        let path = format!("{}/cryptoKeyVersions?{query}", self.place.key);
        let answer = self.ask(Method::GET, &path, None).await?;
        let answer: VersionsAnswer = ask::json(SERVICE, &answer)?;
        let unsuitable = |failure, what| Err(KeyError::service(SERVICE, failure, what));
        if !answer.next_page_token.is_empty() {
            let what = "it has too many versions: name one, …/cryptoKeyVersions/N";
            return unsuitable(ServiceFailure::Setting, what);
        }
        let number = |version: &Version| version.name.rsplit('/').next()?.parse().ok();
        match answer.crypto_key_versions.iter().filter_map(number).max() {
            Some(newest) => Ok(newest),
            None => unsuitable(ServiceFailure::Disabled, "no version of it is enabled"),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        question: Option<Bytes>,
    ) -> Result<Response, KeyError> {
        let acquire = async || token::acquire(&self.surroundings, &self.transport).await;
        let token = self.token.get(self.surroundings.now(), acquire).await?;
        let address = format!("{}{path}", self.base);
        let content = question.map(|question| (ask::JSON, question));
        let mut request = ask::request(SERVICE, method, &address, content)?;
        ask::bearer(SERVICE, &mut request, token.as_str())?;
        ask::send_granted(&self.transport, SERVICE, request, refused).await
    }
}

/// Returns the algorithm's name at the service.
pub(super) const fn algorithm(details: KeyDetails) -> Option<&'static str> {
    use KeyDetails as D;
    Some(match details {
        D::EcdsaP256Sha256 => "EC_SIGN_P256_SHA256",
        D::EcdsaP384Sha384 => "EC_SIGN_P384_SHA384",
        D::Ed25519 => "EC_SIGN_ED25519",
        D::RsaPkcs1v15_2048Sha256 => "RSA_SIGN_PKCS1_2048_SHA256",
        D::RsaPkcs1v15_3072Sha256 => "RSA_SIGN_PKCS1_3072_SHA256",
        D::RsaPkcs1v15_4096Sha256 => "RSA_SIGN_PKCS1_4096_SHA256",
        _ => return None,
    })
}

fn require_checksum(bytes: &[u8], told: &str) -> Result<(), KeyError> {
    if told == crc32c::crc32c(bytes).to_string() {
        return Ok(());
    }
    Err(ask::unusable(
        SERVICE,
        "it was changed on the way: its checksum is another",
    ))
}

fn refused(answer: &Response) -> KeyError {
    let refusal: Refusal = serde_json::from_slice(answer.body()).unwrap_or_default();
    let failure = match refusal.error.status.as_str() {
        "FAILED_PRECONDITION" => ServiceFailure::Disabled,
        _ => ask::failure(answer.status()),
    };
    let message = match refusal.error.message {
        message if message.is_empty() => format!("HTTP {}", answer.status().as_u16()),
        message => message,
    };
    KeyError::service(SERVICE, failure, &message)
}
