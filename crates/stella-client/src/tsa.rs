//! Timestamp authorities (RFC 3161): a signature goes in, a signed time comes out, verified before anybody uses it.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use stella_bundle::digest::DigestAlgorithm;
use stella_bundle::time::UnixTime;
use stella_bundle::timestamp::SignedTimestamp;
use stella_bundle::verify::{AuthenticTime, Trust, answer};
use stella_wire::limits;
use stella_wire::transport::Transport;
use stella_wire::tsa::{Certificates, QUERY, REPLY, TimestampRequest};

use crate::error::{ClientError, Service, TimestampProblem};
use crate::exchange;

/// The clocks of this machine and of the authority may differ by so much; a verifier allows the same.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// A number that makes the answer to this request unlike the answer to any other; from the caller's randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 8]);

/// A timestamp that a trusted authority just made over our message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// TimeStampResp in DER, as bundles carry it.
    pub response: Vec<u8>,
    /// Its time, and whose.
    pub time: AuthenticTime,
}

/// A timestamp authority, named by its whole URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tsa {
    url: String,
}

impl Tsa {
    /// Names the authority by its whole URL, path included.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
        }
    }

    /// Gets a timestamp over `message`, and verifies it: imprint, nonce, signature, chain, and that its time is about
    /// `now`.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Refused`, and `Timestamp` for an answer that is not to be used.
    pub async fn timestamp(
        &self,
        transport: &dyn Transport,
        message: &[u8],
        nonce: Nonce,
        trust: &Trust,
        now: UnixTime,
    ) -> Result<Timestamp, ClientError> {
        let digest = DigestAlgorithm::Sha256.digest(message);
        // The certificate inside lets `openssl ts` verify the token without our files.
        let query = TimestampRequest::new(digest, Some(nonce.0.to_vec()), Certificates::Include);
        let service = Service::Tsa;
        let bytes = Bytes::from(query.to_der());
        let mut request = exchange::request(service, Method::POST, &self.url, bytes)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(QUERY));
        headers.insert(ACCEPT, HeaderValue::from_static(REPLY));
        let answer = exchange::send(transport, service, request, limits::TIMESTAMP_ANSWER).await?;
        Ok(verified(answer.body(), message, nonce, trust, now)?)
    }
}

fn verified(
    response: &[u8],
    message: &[u8],
    nonce: Nonce,
    trust: &Trust,
    now: UnixTime,
) -> Result<Timestamp, TimestampProblem> {
    let token = SignedTimestamp::parse(response)?;
    // spec: RFC 3161 §2.4.2: the nonce of the request, the same value; leading zeros belong to the encoding.
    let echoed = token.nonce.as_deref().map(magnitude);
    if echoed != Some(magnitude(&nonce.0)) {
        return Err(TimestampProblem::NonceMismatch);
    }
    let time = answer::timestamp(trust, &token, message)
        .map_err(TimestampProblem::Untrusted)?
        .ok_or(TimestampProblem::UnknownAuthority)?;
    let is_about_now = now.minus(CLOCK_SKEW) <= time.time && time.time <= now.plus(CLOCK_SKEW);
    if !is_about_now {
        let time = time.time;
        return Err(TimestampProblem::NotNow { time, now });
    }
    let response = response.to_vec();
    Ok(Timestamp { response, time })
}

fn magnitude(number: &[u8]) -> &[u8] {
    let first = number.iter().position(|byte| *byte != 0);
    &number[first.unwrap_or(number.len())..]
}
