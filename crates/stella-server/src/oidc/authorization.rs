//! The authorization-code flow with PKCE (RFC 6749 §4.1, RFC 7636) for interactive clients.
//!
//! Nobody logs in here: a request that carries the instance's secret is approved at once, any other is refused. So the
//! flow serves tests and air-gapped desks; a person's identity comes from a real provider in `issuers.yaml`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, StatusCode, header};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::time::UnixTime;
use stella_wire::oidc::TokenAnswer;
use stella_wire::problem::Code as ProblemCode;
use stella_wire::{Request, Response};
use url::Url;

use super::{DEFAULT_AUDIENCE, Issuer, TOKEN_LIFE, TokenRequest, require_host};
use crate::answer;
use crate::problem::Problem;
use crate::random;

/// Where browsers are sent.
pub(crate) const AUTHORIZE_PATH: &str = "/authorize";
/// Where codes become tokens.
pub(crate) const EXCHANGE_PATH: &str = "/oauth/token";

/// A client without a listener shows the code to a person (out of band, as sigstore-python spells it).
const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

/// Codes are used at once; a minute is generous.
const CODE_LIFE: Duration = Duration::from_secs(60);

/// Codes waiting to be exchanged; more at once are not given out.
const MAX_CODES: usize = 1000;

/// Codes that were given out.
#[derive(Default)]
pub(crate) struct Codes(Mutex<HashMap<String, Grant>>);

#[derive(Clone)]
struct Grant {
    challenge: String,
    client_id: String,
    redirect_uri: String,
    nonce: Option<String>,
    expires: UnixTime,
}

fn refused(message: &str, reason: &'static str) -> Problem {
    Problem::invalid(message, reason)
}

/// Answers `GET /authorize`: a redirect with the code, or the code as text out of band.
pub(crate) fn authorize(
    issuer: &Issuer,
    codes: &Codes,
    request: &Request,
    host: &str,
    now: UnixTime,
) -> Result<Response, Problem> {
    require_host(request.headers(), request.uri(), host)?;
    issuer.require_secret(request.headers())?;
    let asked = parameters(request.uri().query().unwrap_or_default().as_bytes());
    let wanted = |name: &str| asked.get(name).filter(|value| !value.is_empty());
    if wanted("response_type").map(String::as_str) != Some("code") {
        return Err(refused(
            "response_type must be code",
            "AUTHORIZATION_INVALID",
        ));
    }
    // spec: RFC 7636 §4.3; plain challenges are not accepted.
    let challenge =
        wanted("code_challenge").ok_or_else(|| refused("PKCE is required", "PKCE_MISSING"))?;
    if wanted("code_challenge_method").map(String::as_str) != Some("S256") {
        return Err(refused(
            "code_challenge_method must be S256",
            "PKCE_MISSING",
        ));
    }
    let redirect = wanted("redirect_uri")
        .ok_or_else(|| refused("redirect_uri is missing", "REDIRECT_INVALID"))?;
    require_local_redirect(redirect)?;
    let grant = Grant {
        challenge: challenge.clone(),
        client_id: wanted("client_id")
            .cloned()
            .unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned()),
        redirect_uri: redirect.clone(),
        nonce: wanted("nonce").cloned(),
        expires: now.plus(CODE_LIFE),
    };
    let code = codes.put(grant, now)?;
    if redirect == OUT_OF_BAND {
        return Ok(answer::text(StatusCode::OK, code));
    }
    redirect_with(redirect, &code, wanted("state").map(String::as_str))
}

/// Answers `POST /oauth/token`.
pub(crate) fn exchange(
    issuer: &Issuer,
    codes: &Codes,
    request: &Request,
    now: UnixTime,
) -> Result<Response, Problem> {
    let form = parameters(request.body());
    let wanted = |name: &str| form.get(name).map_or("", String::as_str);
    if wanted("grant_type") != "authorization_code" {
        return Err(refused(
            "grant_type must be authorization_code",
            "GRANT_UNSUPPORTED",
        ));
    }
    let grant = codes
        .take(wanted("code"), now)
        .ok_or_else(|| refused("the code is unknown or expired", "CODE_UNKNOWN"))?;
    // spec: RFC 7636 §4.6
    let verifier = DigestAlgorithm::Sha256.digest(wanted("code_verifier").as_bytes());
    if URL_SAFE_NO_PAD.encode(verifier.bytes()) != grant.challenge.trim_end_matches('=') {
        return Err(refused(
            "the code verifier does not fit the challenge",
            "PKCE_WRONG",
        ));
    }
    if wanted("redirect_uri") != grant.redirect_uri {
        return Err(refused(
            "redirect_uri is not the one of the authorization",
            "REDIRECT_INVALID",
        ));
    }
    let asked = TokenRequest {
        audience: grant.client_id,
        ..TokenRequest::default()
    };
    let id_token = issuer
        .mint(now, &asked, grant.nonce.as_deref())
        .map_err(|refusal| {
            refused("no token is given", "TOKEN_REQUEST_INVALID").because(refusal)
        })?;
    let body = TokenAnswer {
        access_token: "none".to_owned(),
        token_type: "Bearer".to_owned(),
        id_token,
        expires_in: TOKEN_LIFE.as_secs(),
    };
    Ok(answer::json(StatusCode::OK, body.to_bytes()))
}

impl Codes {
    fn put(&self, grant: Grant, now: UnixTime) -> Result<String, Problem> {
        let failed =
            |error| Problem::new(ProblemCode::Internal, "no code", "RANDOM_FAILED").because(error);
        let code = hex::encode(random::bytes::<24>().map_err(failed)?);
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, grant| grant.expires > now);
        if codes.len() >= MAX_CODES {
            return Err(Problem::new(
                ProblemCode::ResourceExhausted,
                "too many codes are waiting",
                "TOO_MANY_CODES",
            ));
        }
        codes.insert(code.clone(), grant);
        Ok(code)
    }

    /// A code works once (RFC 6749 §4.1.2).
    fn take(&self, code: &str, now: UnixTime) -> Option<Grant> {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.remove(code).filter(|grant| grant.expires > now)
    }
}

fn parameters(form: &[u8]) -> HashMap<String, String> {
    url::form_urlencoded::parse(form).into_owned().collect()
}

/// Codes go to the same machine only (RFC 8252 §7.3: any port of the loopback interface), or out of band.
fn require_local_redirect(redirect: &str) -> Result<(), Problem> {
    if redirect == OUT_OF_BAND {
        return Ok(());
    }
    let local = Url::parse(redirect).is_ok_and(|url| {
        url.scheme() == "http"
            && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
    });
    if !local {
        return Err(refused(
            "redirect_uri must be http on localhost",
            "REDIRECT_INVALID",
        ));
    }
    Ok(())
}

fn redirect_with(redirect: &str, code: &str, state: Option<&str>) -> Result<Response, Problem> {
    let unusable = || refused("redirect_uri cannot be used", "REDIRECT_INVALID");
    let mut location = Url::parse(redirect).map_err(|_| unusable())?;
    location.query_pairs_mut().append_pair("code", code);
    if let Some(state) = state {
        location.query_pairs_mut().append_pair("state", state);
    }
    let mut response = answer::text(StatusCode::FOUND, "");
    let location = HeaderValue::from_str(location.as_str()).map_err(|_| unusable())?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}
