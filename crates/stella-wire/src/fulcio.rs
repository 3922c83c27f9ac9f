//! Fulcio's words: `POST /api/v2/signingCert`, the older `/api/v1/signingCert`, trust bundle and configuration.
//!
//! Read as its gateway reads (unknown fields ignored, names in either case), written as it writes. Which token and which
//! key are good enough is decided by `stella_server::fulcio`; whether an answer is, by `stella_client::fulcio`.

use serde::{Deserialize, Serialize};
use stella_bundle::json::{base64_bytes, or_default};
use stella_bundle::pem;

/// Path of the signing endpoint below Fulcio's base URL.
pub const SIGNING_CERT_PATH: &str = "/api/v2/signingCert";
/// Path of the older signing endpoint.
pub const LEGACY_SIGNING_CERT_PATH: &str = "/api/v1/signingCert";
/// Path of the older trust endpoint.
pub const LEGACY_ROOT_CERT_PATH: &str = "/api/v1/rootCert";
/// Path of the chains that this Fulcio issues under.
pub const TRUST_BUNDLE_PATH: &str = "/api/v2/trustBundle";
/// Path of the issuers that this Fulcio accepts.
pub const CONFIGURATION_PATH: &str = "/api/v2/configuration";

/// Media type of the older endpoint's answer.
pub const PEM_CHAIN: &str = "application/pem-certificate-chain";

/// Chains with more certificates are refused: three is usual, five the longest known.
const MAX_CHAIN: usize = 10;

/// The ways in which bytes are none of these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FulcioError {
    /// A certificate of the answer is not PEM of one certificate.
    #[error("certificate {index} of the chain is not PEM")]
    CertificateMalformed {
        /// Its place, from 0.
        index: usize,
    },
    /// The chain has no certificate, or too many.
    #[error("a chain of {count} certificates: 1 to {MAX_CHAIN} are read")]
    ChainLength {
        /// How many there are.
        count: usize,
    },
    /// Not JSON of this form.
    #[error("not the JSON expected, at line {line}, column {column}")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The answer holds neither form of certificate.
    #[error("the answer holds no certificate")]
    NoCertificate,
}

impl From<serde_json::Error> for FulcioError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// A request for a certificate: a token (here or in the `Authorization` header) and a key with its proof.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningCertRequest {
    /// Who asks; may be in the `Authorization` header instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// A key with a signature over the subject.
    #[serde(
        default,
        alias = "public_key_request",
        skip_serializing_if = "Option::is_none"
    )]
    pub public_key_request: Option<PublicKeyRequest>,
    /// PEM text of a PKCS#10 request instead; wins when it is not empty.
    #[serde(
        default,
        alias = "certificate_signing_request",
        with = "base64_bytes",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub certificate_signing_request: Vec<u8>,
}

/// Who asks.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The identity token.
    #[serde(
        default,
        alias = "oidc_identity_token",
        deserialize_with = "or_default"
    )]
    pub oidc_identity_token: String,
}

/// A key and the proof that the sender holds its private half.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicKeyRequest {
    /// The key.
    #[serde(default, alias = "public_key", deserialize_with = "or_default")]
    pub public_key: SubmittedKey,
    /// Signature over the UTF-8 bytes of the token's subject.
    #[serde(default, alias = "proof_of_possession", with = "base64_bytes")]
    pub proof_of_possession: Vec<u8>,
}

/// A key as text. Fulcio's field `algorithm` says nothing and is neither read nor written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedKey {
    /// PEM block `PUBLIC KEY`.
    #[serde(default, deserialize_with = "or_default")]
    pub content: String,
}

impl SigningCertRequest {
    /// Reads the JSON body.
    ///
    /// # Errors
    /// [`FulcioError::Json`].
    pub fn parse(body: &[u8]) -> Result<Self, FulcioError> {
        Ok(serde_json::from_slice(body)?)
    }

    /// Writes the JSON body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Returns the token in the body, if there is one.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        let token = self.credentials.as_ref()?.oidc_identity_token.as_str();
        (!token.is_empty()).then_some(token)
    }
}

impl std::fmt::Debug for SigningCertRequest {
    /// Prints no token.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SigningCertRequest")
            .field("public_key_request", &self.public_key_request)
            .finish_non_exhaustive()
    }
}

/// The body of the older endpoint, whose token stands in the header only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegacySigningCertRequest {
    /// The key.
    #[serde(default, deserialize_with = "or_default")]
    pub public_key: LegacyKey,
    /// Signature over the UTF-8 bytes of the token's subject; the name is older than other subjects than e-mail.
    #[serde(default, with = "base64_bytes")]
    pub signed_email_address: Vec<u8>,
    /// PEM text of a PKCS#10 request instead.
    #[serde(default, with = "base64_bytes")]
    pub certificate_signing_request: Vec<u8>,
}

/// A key as base64 of PEM text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyKey {
    /// PEM or DER of the key.
    #[serde(default, with = "base64_bytes")]
    pub content: Vec<u8>,
}

impl LegacySigningCertRequest {
    /// Reads the JSON body as the request of the newer endpoint that it means.
    ///
    /// # Errors
    /// [`FulcioError::Json`].
    pub fn parse(body: &[u8]) -> Result<SigningCertRequest, FulcioError> {
        let request: Self = serde_json::from_slice(body)?;
        // The legacy field may hold DER; the newer one is text, and DER is not.
        let content = String::from_utf8(request.public_key.content)
            .unwrap_or_else(|bytes| pem::encode("PUBLIC KEY", bytes.as_bytes()));
        Ok(SigningCertRequest {
            credentials: None,
            public_key_request: Some(PublicKeyRequest {
                public_key: SubmittedKey { content },
                proof_of_possession: request.signed_email_address,
            }),
            certificate_signing_request: request.certificate_signing_request,
        })
    }
}

/// The answer: a chain, leaf first, whose leaf embeds its SCT; or, from others, with the SCT beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningCert {
    /// DER certificates: leaf, intermediates, root.
    pub chain: Vec<Vec<u8>>,
    /// JSON of RFC 6962 §4.1's answer, when the SCT is not embedded.
    pub detached_sct: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SigningCertJson {
    #[serde(
        default,
        alias = "signed_certificate_embedded_sct",
        skip_serializing_if = "Option::is_none"
    )]
    signed_certificate_embedded_sct: Option<SignedCertificateJson>,
    #[serde(
        default,
        alias = "signed_certificate_detached_sct",
        skip_serializing_if = "Option::is_none"
    )]
    signed_certificate_detached_sct: Option<SignedCertificateJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedCertificateJson {
    chain: ChainJson,
    #[serde(
        default,
        alias = "signed_certificate_timestamp",
        with = "base64_bytes",
        skip_serializing_if = "Vec::is_empty"
    )]
    signed_certificate_timestamp: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct ChainJson {
    certificates: Vec<String>,
}

impl SigningCert {
    /// Reads the JSON body.
    ///
    /// # Errors
    /// Any [`FulcioError`].
    pub fn parse(body: &[u8]) -> Result<Self, FulcioError> {
        let json: SigningCertJson = serde_json::from_slice(body)?;
        if let Some(embedded) = json.signed_certificate_embedded_sct {
            return Ok(Self {
                chain: parse_chain(&embedded.chain)?,
                detached_sct: None,
            });
        }
        let detached = json
            .signed_certificate_detached_sct
            .ok_or(FulcioError::NoCertificate)?;
        let detached_sct = Some(detached.signed_certificate_timestamp);
        Ok(Self {
            chain: parse_chain(&detached.chain)?,
            detached_sct,
        })
    }

    /// Writes the JSON body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let chain = to_chain(&self.chain);
        let json = match &self.detached_sct {
            None => SigningCertJson {
                signed_certificate_embedded_sct: Some(SignedCertificateJson {
                    chain,
                    signed_certificate_timestamp: Vec::new(),
                }),
                signed_certificate_detached_sct: None,
            },
            Some(sct) => SigningCertJson {
                signed_certificate_embedded_sct: None,
                signed_certificate_detached_sct: Some(SignedCertificateJson {
                    chain,
                    signed_certificate_timestamp: sct.clone(),
                }),
            },
        };
        serde_json::to_vec(&json).unwrap_or_default()
    }

    /// Writes the older endpoint's answer: concatenated PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.chain
            .iter()
            .map(|der| pem::encode("CERTIFICATE", der))
            .collect()
    }
}

fn to_chain(chain: &[Vec<u8>]) -> ChainJson {
    // Fulcio trims each block; clients compare nothing, but neither should they see a difference.
    let certificates = chain
        .iter()
        .map(|der| pem::encode("CERTIFICATE", der).trim_end().to_owned())
        .collect();
    ChainJson { certificates }
}

fn parse_chain(json: &ChainJson) -> Result<Vec<Vec<u8>>, FulcioError> {
    let count = json.certificates.len();
    if !(1..=MAX_CHAIN).contains(&count) {
        return Err(FulcioError::ChainLength { count });
    }
    let one = |(index, text): (usize, &String)| {
        let malformed = FulcioError::CertificateMalformed { index };
        let mut blocks = pem::decode_all(text).map_err(|_| malformed)?;
        match (blocks.pop(), blocks.is_empty()) {
            (Some(block), true) if block.label == "CERTIFICATE" => Ok(block.der),
            _ => Err(malformed),
        }
    };
    json.certificates.iter().enumerate().map(one).collect()
}

/// The chains that an instance issues under: old, current and next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustBundle {
    /// Each chain in DER, issuer first, root last.
    pub chains: Vec<Vec<Vec<u8>>>,
}

#[derive(Serialize, Deserialize)]
struct TrustBundleJson {
    chains: Vec<ChainJson>,
}

impl TrustBundle {
    /// Reads the JSON body.
    ///
    /// # Errors
    /// `Json`, `ChainLength`, `CertificateMalformed`.
    pub fn parse(body: &[u8]) -> Result<Self, FulcioError> {
        let json: TrustBundleJson = serde_json::from_slice(body)?;
        Ok(Self {
            chains: json
                .chains
                .iter()
                .map(parse_chain)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Writes the JSON body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = TrustBundleJson {
            chains: self.chains.iter().map(|chain| to_chain(chain)).collect(),
        };
        serde_json::to_vec(&json).unwrap_or_default()
    }
}

/// The issuers that an instance accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// One entry per issuer.
    #[serde(default)]
    pub issuers: Vec<IssuerEntry>,
}

/// One issuer as `GET /api/v2/configuration` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IssuerEntry {
    /// The issuer's exact URL.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_url: String,
    /// Or a URL with `*`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub wildcard_issuer_url: String,
    /// Audience that tokens must have.
    pub audience: String,
    /// Claim that a proof of possession signs.
    pub challenge_claim: String,
    /// Trust domain of SPIFFE issuers.
    pub spiffe_trust_domain: String,
    /// How identities are read: `email`, `uri`, `ci-provider`, …
    pub issuer_type: String,
    /// Domain of `uri` and `username` subjects.
    pub subject_domain: String,
}

impl Configuration {
    /// Reads the JSON body.
    ///
    /// # Errors
    /// [`FulcioError::Json`].
    pub fn parse(body: &[u8]) -> Result<Self, FulcioError> {
        Ok(serde_json::from_slice(body)?)
    }

    /// Writes the JSON body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn requests_of_all_known_clients_are_read() {
        // sigstore-rust's empty algorithm, sigstore-python's request without credentials, protobuf's own names.
        let rust = br#"{"credentials":{"oidcIdentityToken":"t"},"publicKeyRequest":{"publicKey":{"algorithm":"","content":"PEM"},"proofOfPossession":"AQI="}}"#;
        let read = SigningCertRequest::parse(rust).unwrap();
        assert_eq!(read.token(), Some("t"));
        assert_eq!(read.public_key_request.unwrap().proof_of_possession, [1, 2]);
        let python = SigningCertRequest::parse(br#"{"certificateSigningRequest":"AQI"}"#).unwrap();
        assert_eq!(
            (
                python.token(),
                python.certificate_signing_request.as_slice()
            ),
            (None, [1, 2].as_slice())
        );
        let snake = br#"{"public_key_request":{"public_key":{"content":"x"},"proof_of_possession":"-_8"},"later":1}"#;
        let read = SigningCertRequest::parse(snake)
            .unwrap()
            .public_key_request
            .unwrap();
        assert_eq!(
            (
                read.public_key.content.as_str(),
                read.proof_of_possession.as_slice()
            ),
            ("x", [0xfb, 0xff].as_slice())
        );
    }

    #[test]
    fn answers_round_trip_with_and_without_a_detached_sct() {
        for detached_sct in [None, Some(b"{}".to_vec())] {
            let answer = SigningCert {
                chain: vec![vec![0x30, 0], vec![0x30, 1, 0]],
                detached_sct,
            };
            assert_eq!(SigningCert::parse(&answer.to_bytes()), Ok(answer));
        }
    }

    #[test]
    fn an_answer_without_a_readable_chain_is_refused() {
        let chain = |list: &str| {
            format!(r#"{{"signedCertificateEmbeddedSct":{{"chain":{{"certificates":{list}}}}}}}"#)
        };
        assert_eq!(SigningCert::parse(b"{}"), Err(FulcioError::NoCertificate));
        assert_eq!(
            SigningCert::parse(chain("[]").as_bytes()),
            Err(FulcioError::ChainLength { count: 0 })
        );
        let hello = SigningCert::parse(chain(r#"["hello"]"#).as_bytes());
        assert_eq!(hello, Err(FulcioError::CertificateMalformed { index: 0 }));
    }

    #[test]
    fn a_token_is_not_printed_by_debug() {
        let credentials = Some(Credentials {
            oidc_identity_token: "secret".to_owned(),
        });
        let request = SigningCertRequest {
            credentials,
            ..SigningCertRequest::default()
        };
        assert!(!format!("{request:?}").contains("secret"));
    }
}
