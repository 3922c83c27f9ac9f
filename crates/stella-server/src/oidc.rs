//! The local OIDC issuer: tokens in the shape of GitHub Actions for machines and people that have no other issuer.
//!
//! Whoever holds the instance's secret may have a token for any of the configured subjects, and for no other name: the
//! issuer is always the instance's own URL. Which issuers Fulcio believes is decided in `issuers`; the browser flow is in
//! `oidc/authorization`.

pub(crate) mod authorization;
mod claims;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Uri, header};
use serde::{Deserialize, Serialize};
use stella_bundle::time::UnixTime;
use stella_keys::{KeyError, Signer};
use stella_wire::oidc::{
    Discovery, Jwk, Jwks, Jwt, JwtHeader, OidcError, RunnerToken, TokenAlgorithm,
};
use stella_wire::problem::Code;
use stella_wire::{Request, Response};
use zeroize::Zeroizing;

use crate::answer;
use crate::directory;
use crate::instance::InstanceError;
use crate::problem::Problem;
use crate::subject_pattern::SubjectPattern;

/// The subject when none is asked for.
pub const DEFAULT_SUBJECT: &str = "repo:local/demo:ref:refs/heads/main";
/// The audience that Sigstore's clients and Fulcio agree on.
pub const DEFAULT_AUDIENCE: &str = "sigstore";
/// Path of the token endpoint for CI runners.
pub const TOKEN_PATH: &str = "/token";
/// Path of the key set.
pub(crate) const JWKS_PATH: &str = "/keys";

/// Tokens live five minutes: enough to sign with one at once, and little to steal. GitHub's live ten.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(300);

/// File inside the directory that lists the subjects.
const CONFIGURATION: &str = "issuer.json";
const MAX_CONFIGURATION: u64 = 64 << 10;
/// Subjects, audiences and claims longer than this are refused: certificates carry them.
const MAX_VALUE: usize = 512;
/// More claims than this are refused.
const MAX_CLAIMS: usize = 32;

/// What a token should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Who will accept the token: `sigstore`.
    pub audience: String,
    /// `sub`; none means the configured default.
    pub subject: Option<String>,
    /// Further claims. Those that say where the run belongs follow from the subject and cannot be set.
    pub claims: Vec<(String, String)>,
}

impl Default for TokenRequest {
    fn default() -> Self {
        Self {
            audience: DEFAULT_AUDIENCE.to_owned(),
            subject: None,
            claims: Vec::new(),
        }
    }
}

/// The ways in which no token is given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRefusal {
    /// The claim is one that the issuer alone decides, or that follows from the subject; or its name is not one.
    #[error(
        "the claim {name:?} cannot be set: it follows from the subject, or the issuer decides it"
    )]
    ClaimReserved {
        /// Its name.
        name: String,
    },
    /// The key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The subject is not in the configured list.
    #[error("the subject {subject:?} is not one that this issuer gives (see issuer.json)")]
    SubjectNotAllowed {
        /// The subject.
        subject: String,
    },
    /// A value is empty, too long, or holds control characters.
    #[error("{name} must have 1 to {MAX_VALUE} printable characters")]
    ValueUnusable {
        /// Which.
        name: String,
    },
}

/// `issuer.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    /// Subjects, literal but for `.*`.
    issuer_subjects: Vec<String>,
}

/// The issuer.
pub(crate) struct Issuer {
    url: String,
    key: Arc<dyn Signer>,
    key_id: String,
    algorithm: TokenAlgorithm,
    jwks: Vec<u8>,
    secret: Zeroizing<String>,
    subjects: Vec<SubjectPattern>,
}

impl Issuer {
    /// Sets the issuer up with the subjects of `DIR/issuer.json`, or `repo:local/.*` without one.
    pub(crate) fn new(
        directory: &Path,
        url: &str,
        key: Arc<dyn Signer>,
        secret: &Zeroizing<String>,
    ) -> Result<Self, InstanceError> {
        let subjects = subjects(&directory.join(CONFIGURATION))?;
        let public = key.public_key();
        let algorithm = TokenAlgorithm::of(public.kind()).ok_or(OidcError::KeyUnusable)?;
        let key_id = hex::encode(&public.key_id()[..8]);
        let jwk = Jwk::of(&key_id, public)?;
        Ok(Self {
            url: url.to_owned(),
            jwks: Jwks { keys: vec![jwk] }.to_bytes(),
            key,
            key_id,
            algorithm,
            secret: secret.clone(),
            subjects,
        })
    }

    /// Returns the key set as it is served.
    pub(crate) fn jwks(&self) -> &[u8] {
        &self.jwks
    }

    /// Answers `GET /.well-known/openid-configuration`.
    pub(crate) fn discovery(&self) -> Response {
        let list = |values: &[&str]| {
            values
                .iter()
                .map(|value| (*value).to_owned())
                .collect::<Vec<_>>()
        };
        let document = Discovery {
            issuer: self.url.clone(),
            authorization_endpoint: Some(format!("{}{}", self.url, authorization::AUTHORIZE_PATH)),
            token_endpoint: Some(format!("{}{}", self.url, authorization::EXCHANGE_PATH)),
            jwks_uri: format!("{}{JWKS_PATH}", self.url),
            response_types_supported: list(&["code"]),
            subject_types_supported: list(&["public"]),
            id_token_signing_alg_values_supported: list(&[self.algorithm.name()]),
            code_challenge_methods_supported: list(&["S256"]),
            grant_types_supported: list(&["authorization_code"]),
            scopes_supported: list(&["openid", "email"]),
            claims_supported: list(&["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "nonce"]),
        };
        answer::document("application/json", document.to_bytes())
    }

    /// Answers `GET /keys`.
    pub(crate) fn keys(&self) -> Response {
        answer::document("application/json", self.jwks.clone())
    }

    /// Answers `GET /token?audience=…[&subject=…][&claim=name=value…]` with `Authorization: bearer <secret>`: the shape
    /// of `ACTIONS_ID_TOKEN_REQUEST_URL`, so that other clients find it too.
    pub(crate) fn token(
        &self,
        request: &Request,
        host: &str,
        now: UnixTime,
    ) -> Result<Response, Problem> {
        require_host(request.headers(), request.uri(), host)?;
        self.require_secret(request.headers())?;
        let asked = parse_query(request.uri().query().unwrap_or_default())?;
        let value = self
            .mint(now, &asked, None)
            .map_err(|refusal| match refusal {
                TokenRefusal::Key(error) => {
                    Problem::new(Code::Internal, "no token", "ISSUER_KEY_FAILED").because(error)
                }
                TokenRefusal::SubjectNotAllowed { .. } => Problem::new(
                    Code::PermissionDenied,
                    refusal.to_string(),
                    "SUBJECT_NOT_ALLOWED",
                ),
                other => Problem::invalid(other.to_string(), "TOKEN_REQUEST_INVALID"),
            })?;
        Ok(answer::json(
            http::StatusCode::OK,
            RunnerToken { value }.to_bytes(),
        ))
    }

    /// Makes a token. `nonce` is echoed for interactive clients.
    pub(crate) fn mint(
        &self,
        now: UnixTime,
        request: &TokenRequest,
        nonce: Option<&str>,
    ) -> Result<String, TokenRefusal> {
        let subject = request.subject.as_deref().unwrap_or(DEFAULT_SUBJECT);
        require_printable("sub", subject)?;
        require_printable("aud", &request.audience)?;
        if !self.subjects.iter().any(|pattern| pattern.matches(subject)) {
            return Err(TokenRefusal::SubjectNotAllowed {
                subject: subject.to_owned(),
            });
        }
        let mut claims = claims::of(subject, now);
        for (name, value) in &request.claims {
            require_free(name)?;
            require_printable(name, value)?;
            claims.set(name, value.as_str());
        }
        let token_id = claims::seal(&mut claims, &self.url, &request.audience, subject, now)?;
        if let Some(nonce) = nonce {
            claims.set("nonce", nonce);
        }
        let header = JwtHeader::new(self.algorithm.name(), &self.key_id);
        let signed = Jwt::to_be_signed(&header, &claims);
        let signature = self.algorithm.signature(self.key.sign(signed.as_bytes())?);
        let token = Jwt::assemble(&signed, &signature.ok_or(KeyError::WrongSignature)?);
        tracing::info!(target: "stella::audit", event = "token", subject, audience = request.audience, token_id);
        Ok(token)
    }

    /// Requires `Authorization: bearer <secret>`.
    pub(crate) fn require_secret(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let refused = || {
            let message = "the token endpoint wants the instance's secret (Authorization: bearer, from issuer.secret)";
            Problem::new(Code::Unauthenticated, message, "SECRET_WRONG")
        };
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(refused)?;
        let (scheme, given) = given.split_once(' ').ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        // The time that the comparison takes must not tell how much of the secret was right.
        aws_lc_rs::constant_time::verify_slices_are_equal(
            given.trim().as_bytes(),
            self.secret.as_bytes(),
        )
        .map_err(|_| refused())
    }
}

/// Reads the list of subjects; without the file it is `repo:local/.*`.
fn subjects(path: &Path) -> Result<Vec<SubjectPattern>, InstanceError> {
    let listed = match directory::read_optional(path, MAX_CONFIGURATION)? {
        Some(bytes) => {
            serde_json::from_slice::<Configuration>(&bytes)
                .map_err(|error| InstanceError::SubjectsMalformed {
                    path: path.to_owned(),
                    line: error.line(),
                    column: error.column(),
                })?
                .issuer_subjects
        }
        None => vec!["repo:local/.*".to_owned()],
    };
    let one = |subject: String| {
        SubjectPattern::parse(&subject).ok_or_else(|| InstanceError::SubjectUnbounded {
            path: path.to_owned(),
            subject,
        })
    };
    listed.into_iter().map(one).collect()
}

/// Requires that the request was meant for this instance: a page in a browser that was sent here under another name
/// (DNS rebinding), or from another origin, gets nothing.
pub(crate) fn require_host(headers: &HeaderMap, uri: &Uri, host: &str) -> Result<(), Problem> {
    let named = match headers.get(header::HOST) {
        Some(value) => value.to_str().ok(),
        None => uri.authority().map(http::uri::Authority::as_str),
    };
    let right_host = named.is_some_and(|named| named.eq_ignore_ascii_case(host));
    if !right_host || headers.contains_key(header::ORIGIN) {
        let message =
            format!("this endpoint answers only to {host}, and not to pages of other origins");
        return Err(Problem::new(Code::PermissionDenied, message, "HOST_WRONG"));
    }
    Ok(())
}

fn parse_query(query: &str) -> Result<TokenRequest, Problem> {
    let mut request = TokenRequest::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "audience" => request.audience = value.into_owned(),
            "subject" => request.subject = Some(value.into_owned()),
            "claim" if request.claims.len() < MAX_CLAIMS => {
                let Some((name, value)) = value.split_once('=') else {
                    return Err(Problem::invalid(
                        "a claim is NAME=VALUE",
                        "TOKEN_REQUEST_INVALID",
                    ));
                };
                request.claims.push((name.to_owned(), value.to_owned()));
            }
            "claim" => return Err(Problem::invalid("too many claims", "TOKEN_REQUEST_INVALID")),
            // GitHub's URL brings its own `api-version`; what is not known here changes nothing.
            _ => {}
        }
    }
    Ok(request)
}

fn require_printable(name: &str, value: &str) -> Result<(), TokenRefusal> {
    if value.is_empty() || value.len() > MAX_VALUE || value.chars().any(char::is_control) {
        return Err(TokenRefusal::ValueUnusable {
            name: name.to_owned(),
        });
    }
    Ok(())
}

/// Requires a claim's name that the caller may set.
fn require_free(name: &str) -> Result<(), TokenRefusal> {
    /// What the issuer vouches for. E-mail addresses are among them: CI tokens have none.
    const RESERVED: [&str; 11] = [
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "nbf",
        "jti",
        "nonce",
        "azp",
        "email",
        "email_verified",
    ];
    let is_name = !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if !is_name || RESERVED.contains(&name) || claims::follows_from_subject(name) {
        return Err(TokenRefusal::ClaimReserved {
            name: name.to_owned(),
        });
    }
    Ok(())
}
